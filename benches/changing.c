/* Phases that change metadata only: redefine, delete, transfer, undefine. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DELETED_LEAVES = 100 };

static void redefine(virDomainPtr domain, const char *xml, unsigned int flags)
{
    virDomainSnapshotPtr snapshot =
        virDomainSnapshotCreateXML(domain, xml, VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE | flags);

    expect(snapshot, "redefine");
    virDomainSnapshotFree(snapshot);
}

/* Redefines the hierarchy, parents first, the last one as the current snapshot. What is made after
 * the time is up is reported apart, so that a slow library still leaves the whole hierarchy. */
void bench_build(struct run *run)
{
    char *definition = definition_of(run, 'a');
    char *deeper = nested(definition);
    int *parents = parents_of(run->shape, run->count);
    char *xml = must_have(malloc(XML_SIZE));
    int tenth = run->count - run->count / 10;
    struct span start;
    struct span late;

    open_run(run, true);
    start = late = clock_now();
    for (int i = 0; i < run->count; i++) {
        if (i == tenth)
            late = clock_now();
        snapshot_xml(xml, deeper, i, parents[i]);
        if (run->shape == UNLIKE)
            set_title(xml, i);
        redefine(run->domain, xml,
                 i == run->count - 1 ? VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT : 0);
    }
    report(run, "redefine", run->count, clock_since(start));
    report(run, "redefine_last_tenth", run->count - tenth, clock_since(late));
    free(xml);
    free(parents);
    free(deeper);
    free(definition);
    close_run(run);
}

static virDomainSnapshotPtr find(struct run *run, int number)
{
    char name[NAME_SIZE];
    virDomainSnapshotPtr snapshot;

    snapshot_name(name, number);
    snapshot = virDomainSnapshotLookupByName(run->domain, name, 0);
    expect(snapshot, "look up");
    return snapshot;
}

static void delete(struct run *run, int number, unsigned int flags)
{
    virDomainSnapshotPtr snapshot = find(run, number);

    expect(virDomainSnapshotDelete(snapshot, VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY | flags) == 0,
           "delete");
    virDomainSnapshotFree(snapshot);
}

static void time_delete(struct run *run, const char *phase, int number, unsigned int flags)
{
    struct span start;

    open_run(run, true);
    virDomainSnapshotFree(find(run, number));
    start = clock_now();
    delete(run, number, flags);
    report(run, phase, 1, clock_since(start));
    close_run(run);
}

/* The newest snapshots of a wide hierarchy, or of any, are leaves; the current one goes unmeasured. */
void bench_delete_leaves(struct run *run)
{
    int last = run->count - 1;
    struct span start;

    open_run(run, true);
    delete(run, last, 0);
    start = clock_now();
    for (int i = 1; i <= DELETED_LEAVES; i++)
        delete(run, last - i, 0);
    report(run, "delete_leaf", DELETED_LEAVES, clock_since(start));
    close_run(run);
}

/* Of the shape `group`: the node with 1,000 children, which move up. */
void bench_delete_node(struct run *run)
{
    time_delete(run, "delete_node_of_1000", 1, 0);
}

void bench_delete_root(struct run *run)
{
    time_delete(run, "delete_root", 0, 0);
}

void bench_delete_subtree(struct run *run)
{
    time_delete(run, "delete_subtree", 0, VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN);
}

void bench_undefine(struct run *run)
{
    struct span start;

    open_run(run, true);
    virDomainSnapshotFree(find(run, 0));
    start = clock_now();
    expect(virDomainUndefineFlags(run->domain, VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA) == 0,
           "undefine");
    report(run, "undefine", run->count, clock_since(start));
    close_run(run);
}

/* Says in place that a document is of the other domain: the words have the same length. */
static void rename_domain(char *xml)
{
    static const char *const words[][2] = {{"guest-a", "guest-b"}, {"7a000a<", "7a000b<"}};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        for (char *at = xml; (at = strstr(at, words[i][0])); at++)
            memcpy(at, words[i][1], strlen(words[i][1]));
}

/* Exports every document of one domain, parents first, and redefines it in another. */
void bench_transfer(struct run *run)
{
    char *definition = definition_of(run, 'b');
    virDomainSnapshotPtr *snapshots = NULL;
    virDomainPtr other;
    struct span start;
    int count;

    open_run(run, true);
    other = virDomainDefineXML(run->connection, definition);
    expect(other, "define the other domain");
    virDomainSnapshotFree(find(run, 0));
    start = clock_now();
    count = virDomainListAllSnapshots(run->domain, &snapshots,
                                      VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL);
    for (int i = 0; i < count; i++) {
        char *xml = virDomainSnapshotGetXMLDesc(snapshots[i], VIR_DOMAIN_SNAPSHOT_XML_SECURE);

        expect(xml, "document");
        rename_domain(xml);
        redefine(other, xml, 0);
        free(xml);
        virDomainSnapshotFree(snapshots[i]);
    }
    report(run, "transfer", count, clock_since(start));
    expect(virDomainSnapshotNum(other, 0) == run->count, "count of transferred snapshots");
    free(snapshots);
    virDomainFree(other);
    free(definition);
    close_run(run);
}
