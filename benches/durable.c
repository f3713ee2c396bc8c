/* Phases whose time is the disk's, each call beside the same work done bare. */
#include "bench.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "durable.h"

enum { PAIRS = 200, DOMAINS = 8 };

static void add(struct span *sum, struct span start)
{
    struct span span = clock_since(start);

    sum->wall += span.wall;
    sum->cpu += span.cpu;
}

/* A redefine, and at once the same bytes written, synced and renamed into a synced directory. */
void bench_durable(struct run *run)
{
    char *definition = definition_of(run, 'a');
    char *deeper = nested(definition);
    char *xml = must_have(malloc(XML_SIZE));
    char bare[PATH_SIZE];
    struct span ours = {0, 0};
    struct span floor = {0, 0};

    snprintf(bare, sizeof(bare), "%s-bare", run->root);
    expect(mkdir(bare, 0700) == 0, bare);
    open_run(run, true);
    for (int i = 0; i < PAIRS; i++) {
        struct span start;
        char name[NAME_SIZE];
        virDomainSnapshotPtr snapshot;

        snapshot_xml(xml, deeper, i, i > 0 ? 0 : -1);
        start = clock_now();
        snapshot = virDomainSnapshotCreateXML(run->domain, xml,
                                              VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE);
        expect(snapshot, "redefine");
        virDomainSnapshotFree(snapshot);
        add(&ours, start);
        snapshot_name(name, i);
        start = clock_now();
        write_durably(bare, name, xml);
        add(&floor, start);
    }
    report(run, "redefine_durable", PAIRS, ours);
    report(run, "redefine_durable_bare", PAIRS, floor);
    free(xml);
    free(deeper);
    free(definition);
    close_run(run);
}

/* A writer of its own domain, or of a bare directory of its own. */
struct writer {
    virDomainPtr domain;        /* NULL: bare */
    char directory[PATH_SIZE];
    char *deeper;
    int first, end;             /* the numbers of what it writes */
};

static void *write_all(void *data)
{
    struct writer *writer = data;
    char *xml = must_have(malloc(XML_SIZE));

    for (int i = writer->first; i < writer->end; i++) {
        char name[NAME_SIZE];
        virDomainSnapshotPtr snapshot;

        snapshot_xml(xml, writer->deeper, i, i > 0 ? 0 : -1);
        snapshot_name(name, i);
        if (!writer->domain) {
            write_durably(writer->directory, name, xml);
            continue;
        }
        snapshot = virDomainSnapshotCreateXML(writer->domain, xml,
                                              VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE);
        expect(snapshot, "redefine");
        virDomainSnapshotFree(snapshot);
    }
    free(xml);
    return NULL;
}

/* Each writer's next few at once. */
static void write_at_once(struct writer writers[DOMAINS], int count, struct span *sum)
{
    pthread_t threads[DOMAINS];
    struct span start = clock_now();

    for (int i = 0; i < DOMAINS; i++) {
        writers[i].first = writers[i].end;
        writers[i].end += count;
        expect(pthread_create(&threads[i], NULL, write_all, &writers[i]) == 0, "thread");
    }
    for (int i = 0; i < DOMAINS; i++)
        pthread_join(threads[i], NULL);
    add(sum, start);
}

/* Several domains at once, a thread each, and the same bare: what the file system makes of syncs that
 * come together. */
void bench_durable_domains(struct run *run)
{
    static struct writer ours[DOMAINS];
    static struct writer bare[DOMAINS];
    struct span sum = {0, 0};
    struct span floor = {0, 0};
    const int rounds = 5;
    const int each = 8;

    open_run(run, false);
    for (int i = 0; i < DOMAINS; i++) {
        char *definition = definition_of(run, (char)('0' + i));

        ours[i].deeper = bare[i].deeper = nested(definition);
        ours[i].domain = virDomainDefineXML(run->connection, definition);
        expect(ours[i].domain, "define");
        snprintf(bare[i].directory, PATH_SIZE, "%s-bare-%d", run->root, i);
        expect(mkdir(bare[i].directory, 0700) == 0, bare[i].directory);
        free(definition);
    }
    for (int i = 0; i < rounds; i++) {
        write_at_once(ours, each, &sum);
        write_at_once(bare, each, &floor);
    }
    report(run, "redefine_durable_domains", (long)DOMAINS * rounds * each, sum);
    report(run, "redefine_durable_domains_bare", (long)DOMAINS * rounds * each, floor);
    for (int i = 0; i < DOMAINS; i++) {
        virDomainFree(ours[i].domain);
        free(ours[i].deeper);
    }
    close_run(run);
}
