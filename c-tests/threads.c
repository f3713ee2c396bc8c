/* Many threads on one domain: nothing acknowledged is lost, readers see whole hierarchies only. */
#include "snapshots.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 8, ROUNDS = 25 };

struct worker {
    pthread_t thread;
    int number;
    virDomainPtr domain;
    const char *definition;
    int kept;    /* snapshots whose making was acknowledged and whose deletion was not */
    int faults;  /* answers that no order of the calls explains */
};

/* cmocka's assertions work in the first thread only. */
static void expect(struct worker *worker, bool fact, const char *what)
{
    if (fact)
        return;
    worker->faults++;
    print_error("thread %d: %s: %s\n", worker->number, what, virGetLastErrorMessage());
}

/* No assertion of cmocka's may fail in here. */
static void name_of(char name[32], int thread, int round)
{
    snprintf(name, 32, "t%d-%d", thread, round);
}

static void redefine(struct worker *worker, const char *name, const char *parent,
                     unsigned int flags)
{
    char xml[4096];
    virDomainSnapshotPtr snapshot;

    snprintf(xml, sizeof(xml),
             "<domainsnapshot><name>%s</name><state>shutoff</state>%s%s%s"
             "<creationTime>1</creationTime>%s</domainsnapshot>",
             name, parent ? "<parent><name>" : "", parent ? parent : "",
             parent ? "</name></parent>" : "", worker->definition);
    snapshot = virDomainSnapshotCreateXML(worker->domain, xml,
                                          VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE | flags);
    expect(worker, snapshot != NULL, "redefine");
    if (snapshot)
        expect(worker, virDomainSnapshotFree(snapshot) == 0, "free");
}

/* A snapshot of one's own may be looked at in every way while the others change theirs. */
static void look_at(struct worker *worker, const char *name, const char *parent)
{
    virDomainSnapshotPtr snapshot = virDomainSnapshotLookupByName(worker->domain, name, 0);
    virDomainSnapshotPtr above;
    char *xml;

    expect(worker, snapshot != NULL, "look up");
    if (!snapshot)
        return;
    xml = virDomainSnapshotGetXMLDesc(snapshot, 0);
    expect(worker, xml && strstr(xml, name), "document");
    free(xml);
    expect(worker, virDomainSnapshotIsCurrent(snapshot, 0) >= 0, "is current");
    above = virDomainSnapshotGetParent(snapshot, 0);
    expect(worker, above && strcmp(virDomainSnapshotGetName(above), parent) == 0, "parent");
    if (above)
        virDomainSnapshotFree(above);
    virDomainSnapshotFree(snapshot);
}

/* A parent always stands before its children, and each listed one can be asked about; it may only
 * have been deleted since. */
static void list_all(struct worker *worker)
{
    virDomainSnapshotPtr *snapshots = NULL;
    int count = virDomainListAllSnapshots(worker->domain, &snapshots,
                                          VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL);

    expect(worker, count >= 1, "list");
    if (count >= 1)
        expect(worker, strcmp(virDomainSnapshotGetName(snapshots[0]), "root") == 0, "root first");
    for (int i = 0; i < count; i++) {
        int children = virDomainSnapshotNumChildren(snapshots[i], 0);

        expect(worker,
               children >= 0 || virGetLastErrorCode() == VIR_ERR_NO_DOMAIN_SNAPSHOT, "children");
        virDomainSnapshotFree(snapshots[i]);
    }
    free(snapshots);
}

static void delete(struct worker *worker, const char *name)
{
    virDomainSnapshotPtr snapshot = virDomainSnapshotLookupByName(worker->domain, name, 0);

    expect(worker, snapshot != NULL, "look up");
    if (!snapshot)
        return;
    expect(worker,
           virDomainSnapshotDelete(snapshot, VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY) == 0,
           "delete");
    expect(worker, virDomainSnapshotDelete(snapshot, 0) == -1, "delete twice");
    expect(worker, virGetLastErrorCode() == VIR_ERR_NO_DOMAIN_SNAPSHOT, "code of the thread");
    virDomainSnapshotFree(snapshot);
}

/* Each thread builds a branch of its own below the root, and deletes every third of it. */
static void *work(void *argument)
{
    struct worker *worker = argument;
    char parent[32] = "root";

    for (int round = 0; round < ROUNDS; round++) {
        char name[32];

        name_of(name, worker->number, round);
        redefine(worker, name, parent, round % 5 == 0 ? VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT : 0);
        look_at(worker, name, parent);
        list_all(worker);
        if (round % 3 == 2) {
            delete(worker, name);
            continue;
        }
        worker->kept++;
        strcpy(parent, name);
    }
    return NULL;
}

static void run(struct worker *workers, virDomainPtr domain, const char *definition)
{
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.number = i, .domain = domain, .definition = definition};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
}

/* Every branch is a chain of what was kept, in the order in which it was made. */
static void assert_branch(virDomainPtr domain, int thread)
{
    char parent[32] = "root";

    for (int round = 0; round < ROUNDS; round++) {
        char name[32];
        virDomainSnapshotPtr snapshot;
        virDomainSnapshotPtr above;

        name_of(name, thread, round);
        snapshot = virDomainSnapshotLookupByName(domain, name, 0);
        if (round % 3 == 2) {
            assert_null(snapshot);
            continue;
        }
        assert_non_null(snapshot);
        above = virDomainSnapshotGetParent(snapshot, 0);
        assert_non_null(above);
        assert_string_equal(virDomainSnapshotGetName(above), parent);
        virDomainSnapshotFree(above);
        virDomainSnapshotFree(snapshot);
        strcpy(parent, name);
    }
}

static int current_count(virDomainPtr domain)
{
    virDomainSnapshotPtr *snapshots = NULL;
    int count = virDomainListAllSnapshots(domain, &snapshots, 0);
    int current = 0;

    for (int i = 0; i < count; i++) {
        current += virDomainSnapshotIsCurrent(snapshots[i], 0) == 1;
        virDomainSnapshotFree(snapshots[i]);
    }
    free(snapshots);
    return current;
}

static void assert_hierarchy(virDomainPtr domain, int kept)
{
    assert_int_equal(virDomainSnapshotNum(domain, 0), kept + 1);
    assert_int_equal(virDomainSnapshotNum(domain, VIR_DOMAIN_SNAPSHOT_LIST_ROOTS), 1);
    assert_int_equal(current_count(domain), 1);
    for (int i = 0; i < THREADS; i++)
        assert_branch(domain, i);
}

static void acknowledged_changes_stay(void **state)
{
    struct fixture *fixture = *state;
    struct worker workers[THREADS];
    virDomainPtr domain;
    char *definition;
    int kept = 0;

    if (api_is_libvirt())
        skip();
    domain = fixture_domain(fixture, "busy", 0);
    definition = domain_definition(domain);
    tree_redefine(domain, "*root");
    run(workers, domain, definition);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(workers[i].faults, 0);
        kept += workers[i].kept;
    }
    assert_hierarchy(domain, kept);
    free(definition);
    virDomainFree(domain);
    /* So does the state directory. */
    assert_int_equal(virConnectClose(fixture->connection), 0);
    fixture->connection = virConnectOpen(fixture->uri);
    domain = virDomainLookupByName(fixture->connection, "busy");
    assert_non_null(domain);
    assert_hierarchy(domain, kept);
    virDomainFree(domain);
}

static void *create_one(void *argument)
{
    struct worker *worker = argument;
    char xml[128];
    virDomainSnapshotPtr snapshot;

    snprintf(xml, sizeof(xml), "<domainsnapshot><name>c%d</name></domainsnapshot>",
             worker->number);
    snapshot = virDomainSnapshotCreateXML(worker->domain, xml, 0);
    expect(worker, snapshot != NULL, "create");
    if (snapshot)
        virDomainSnapshotFree(snapshot);
    return NULL;
}

/* api.md 8: each becomes the child of the one before, so they are one line. */
static void creates_follow_each_other(void **state)
{
    struct worker workers[THREADS];
    virDomainPtr domain;

    if (api_is_libvirt())
        skip();
    domain = fixture_domain(*state, "line", 1);
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.number = i, .domain = domain};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, create_one, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        assert_int_equal(workers[i].faults, 0);
    }
    assert_int_equal(virDomainSnapshotNum(domain, 0), THREADS);
    assert_int_equal(virDomainSnapshotNum(domain, VIR_DOMAIN_SNAPSHOT_LIST_ROOTS), 1);
    assert_int_equal(virDomainSnapshotNum(domain, VIR_DOMAIN_SNAPSHOT_LIST_LEAVES), 1);
    assert_int_equal(current_count(domain), 1);
    virDomainFree(domain);
}

struct shared_handle {
    virDomainSnapshotPtr snapshot;
    int faults;
};

static void *count_references(void *argument)
{
    struct shared_handle *shared = argument;

    for (int i = 0; i < 1000; i++) {
        if (virDomainSnapshotRef(shared->snapshot) != 0 ||
            virDomainSnapshotFree(shared->snapshot) != 0)
            __atomic_add_fetch(&shared->faults, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void reference_counts_are_atomic(void **state)
{
    pthread_t threads[THREADS];
    virDomainPtr domain = fixture_domain(*state, "atomic", 0);
    struct shared_handle shared = {.snapshot = snapshot_redefine(domain, "s", NULL, 0)};

    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_references, &shared), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(shared.faults, 0);
    assert_int_equal(virDomainSnapshotFree(shared.snapshot), 0);
    if (!api_is_libvirt())
        assert_int_equal(virDomainSnapshotFree(shared.snapshot), -1);
    virDomainFree(domain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(acknowledged_changes_stay),
        fixture_test(creates_follow_each_other),
        fixture_test(reference_counts_are_atomic),
    };

    return run_family("threads", tests);
}
