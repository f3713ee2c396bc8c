/* Phases whose time is the disk's, each call beside the same work done bare. */
#include "bench.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "durable.h"

enum { PAIRS = 200, WRITERS = 8, ROUNDS = 5, EACH = 8 };

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

/* A thread that redefines snapshots of a domain, or writes them into a bare directory. */
struct writer {
    virDomainPtr domain;        /* NULL: bare */
    char directory[PATH_SIZE];
    char *deeper;
    int first, end;             /* the numbers of what it writes */
};

static void write_one(const struct writer *writer, int number, char xml[XML_SIZE])
{
    virDomainSnapshotPtr snapshot;

    snapshot_xml(xml, writer->deeper, number, number > 0 ? 0 : -1);
    if (!writer->domain) {
        char name[NAME_SIZE];

        snapshot_name(name, number);
        write_durably(writer->directory, name, xml);
        return;
    }
    snapshot = virDomainSnapshotCreateXML(writer->domain, xml, VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE);
    expect(snapshot, "redefine");
    virDomainSnapshotFree(snapshot);
}

static void *write_all(void *data)
{
    struct writer *writer = data;
    char *xml = must_have(malloc(XML_SIZE));

    for (int i = writer->first; i < writer->end; i++)
        write_one(writer, i, xml);
    free(xml);
    return NULL;
}

/* Each writer's next few at once. */
static void write_at_once(struct writer writers[WRITERS], struct span *sum)
{
    pthread_t threads[WRITERS];
    struct span start = clock_now();

    for (int i = 0; i < WRITERS; i++) {
        writers[i].first = writers[i].end;
        writers[i].end += EACH;
        expect(pthread_create(&threads[i], NULL, write_all, &writers[i]) == 0, "thread");
    }
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    add(sum, start);
}

/* The writers of domains, and those that write the same bare, in turn. */
static void time_writers(struct run *run, const char *phase, struct writer ours[WRITERS],
                         struct writer bare[WRITERS])
{
    char bare_phase[64];
    struct span sum = {0, 0};
    struct span floor = {0, 0};

    for (int i = 0; i < ROUNDS; i++) {
        write_at_once(ours, &sum);
        write_at_once(bare, &floor);
    }
    snprintf(bare_phase, sizeof(bare_phase), "%s_bare", phase);
    report(run, phase, (long)WRITERS * ROUNDS * EACH, sum);
    report(run, bare_phase, (long)WRITERS * ROUNDS * EACH, floor);
}

/* A writer of the domain guest-SUFFIX, and one of a bare directory. */
static void prepare(struct run *run, char suffix, struct writer *ours, struct writer *bare)
{
    char *definition = definition_of(run, suffix);

    ours->deeper = bare->deeper = nested(definition);
    ours->domain = virDomainDefineXML(run->connection, definition);
    expect(ours->domain, "define");
    snprintf(bare->directory, PATH_SIZE, "%s-bare-%c", run->root, suffix);
    expect(mkdir(bare->directory, 0700) == 0, bare->directory);
    free(definition);
}

static void release(struct writer *ours)
{
    virDomainFree(ours->domain);
    free(ours->deeper);
}

/* Several domains at once, a thread each: what the file system makes of syncs that come together. */
void bench_durable_domains(struct run *run)
{
    static struct writer ours[WRITERS];
    static struct writer bare[WRITERS];

    open_run(run, false);
    for (int i = 0; i < WRITERS; i++)
        prepare(run, (char)('0' + i), &ours[i], &bare[i]);
    time_writers(run, "redefine_durable_domains", ours, bare);
    for (int i = 0; i < WRITERS; i++)
        release(&ours[i]);
    close_run(run);
}

/* One domain, several threads: each change is to see what the one before has done. */
void bench_durable_threads(struct run *run)
{
    static struct writer ours[WRITERS];
    static struct writer bare[WRITERS];
    char *xml = must_have(malloc(XML_SIZE));

    open_run(run, false);
    prepare(run, 'a', &ours[0], &bare[0]);
    /* The parent of all others. */
    write_one(&ours[0], 0, xml);
    write_one(&bare[0], 0, xml);
    for (int i = 0; i < WRITERS; i++) {
        ours[i] = ours[0];
        bare[i] = bare[0];
        ours[i].end = bare[i].end = 1 + i * ROUNDS * EACH;
    }
    time_writers(run, "redefine_durable_threads", ours, bare);
    release(&ours[0]);
    free(xml);
    close_run(run);
}
