/* Phases that change nothing: opening what is stored, small calls, lists. */
#include "bench.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CALLS = 20000, LIST_REPEATS = 5, THREADS = 8, SETTLED_SECONDS = 4 };

void bench_empty(struct run *run)
{
    long before = resident_bytes();
    struct span start = clock_now();

    open_run(run, false);
    report(run, "open_empty", 1, clock_since(start));
    report_figure(run, "open_empty_resident", "bytes", (double)(resident_bytes() - before));
    close_run(run);
}

/* Leaves the domain defined, for files that are put there from elsewhere. */
void bench_define(struct run *run)
{
    open_run(run, true);
    close_run(run);
}

static virDomainSnapshotPtr *list(struct run *run, unsigned int flags, int *count)
{
    virDomainSnapshotPtr *snapshots = NULL;

    *count = virDomainListAllSnapshots(run->domain, &snapshots, flags);
    expect(*count >= 0, "list");
    return snapshots;
}

static void free_all(virDomainSnapshotPtr *snapshots, int count)
{
    for (int i = 0; i < count; i++)
        virDomainSnapshotFree(snapshots[i]);
    free(snapshots);
}

static void load(struct run *run)
{
    open_run(run, true);
    expect(virDomainSnapshotNum(run->domain, 0) == run->count, "count of loaded snapshots");
}

/* Opens a hierarchy that another process has opened, once every file was old enough. */
void bench_load_again(struct run *run)
{
    long before;
    struct span start;
    pid_t child;
    int status;

    sleep(SETTLED_SECONDS);
    child = fork();
    expect(child >= 0, "fork");
    if (child == 0) {
        load(run);
        close_run(run);
        _exit(0);
    }
    expect(waitpid(child, &status, 0) == child && status == 0, "the other process");
    before = resident_bytes();
    start = clock_now();
    load(run);
    report(run, "load_again", run->count, clock_since(start));
    report_figure(run, "load_again_resident", "bytes_each",
                  (double)(resident_bytes() - before) / run->count);
    close_run(run);
}

/* Opens a stored hierarchy and serves every document once. */
void bench_load(struct run *run)
{
    long before = resident_bytes();
    struct span start = clock_now();
    virDomainSnapshotPtr *snapshots;
    size_t served = 0;
    double loaded;
    double resident;
    int count;

    load(run);
    report(run, "load", run->count, clock_since(start));
    loaded = (double)(resident_bytes() - before);
    report_figure(run, "load_resident", "bytes_each", loaded / run->count);
    snapshots = list(run, 0, &count);
    for (int i = 0; i < count; i++) {
        char *xml = virDomainSnapshotGetXMLDesc(snapshots[i], 0);

        expect(xml, "document");
        served += strlen(xml);
        free(xml);
    }
    report(run, "load_and_serve", run->count, clock_since(start));
    free_all(snapshots, count);
    resident = (double)(resident_bytes() - before);
    report_figure(run, "serve_resident", "bytes_each", resident / run->count);
    report_figure(run, "load_resident_share", "documents", loaded / (double)served);
    report_figure(run, "serve_resident_share", "documents", resident / (double)served);
    close_run(run);
}

/* Calls `call` with random snapshots of the list. */
static void time_calls(struct run *run, const char *phase, virDomainSnapshotPtr *snapshots,
                       int count, void (*call)(virDomainSnapshotPtr snapshot))
{
    struct span start;
    int done = 0;

    call(snapshots[0]);
    start = clock_now();
    while (done < CALLS) {
        call(snapshots[random_below((uint32_t)count)]);
        done++;
        if (done % 1000 == 0 && clock_since(start).wall > run->seconds)
            break;
    }
    report(run, phase, done, clock_since(start));
}

static virDomainPtr called_domain;

static void look_up(virDomainSnapshotPtr snapshot)
{
    /* The name is asked of the handle: the same for each library, and cheap beside the call. */
    const char *name = virDomainSnapshotGetName(snapshot);

    virDomainSnapshotFree(virDomainSnapshotLookupByName(called_domain, name, 0));
}

static void get_name(virDomainSnapshotPtr snapshot)
{
    virDomainSnapshotGetName(snapshot);
}

static void look_up_missing(virDomainSnapshotPtr snapshot)
{
    (void)snapshot;
    virDomainSnapshotLookupByName(called_domain, "missing", 0);
}

static void get_parent(virDomainSnapshotPtr snapshot)
{
    virDomainSnapshotPtr parent = virDomainSnapshotGetParent(snapshot, 0);

    if (parent)
        virDomainSnapshotFree(parent);
}

static void count_children(virDomainSnapshotPtr snapshot)
{
    virDomainSnapshotNumChildren(snapshot, 0);
}

static void is_current(virDomainSnapshotPtr snapshot)
{
    virDomainSnapshotIsCurrent(snapshot, 0);
}

static void has_metadata(virDomainSnapshotPtr snapshot)
{
    virDomainSnapshotHasMetadata(snapshot, 0);
}

static void has_current(virDomainSnapshotPtr snapshot)
{
    (void)snapshot;
    virDomainHasCurrentSnapshot(called_domain, 0);
}

static void get_xml(virDomainSnapshotPtr snapshot)
{
    free(virDomainSnapshotGetXMLDesc(snapshot, 0));
}

void bench_calls(struct run *run)
{
    virDomainSnapshotPtr *snapshots;
    int count;

    open_run(run, true);
    called_domain = run->domain;
    snapshots = list(run, 0, &count);
    time_calls(run, "get_name", snapshots, count, get_name);
    time_calls(run, "look_up_and_free", snapshots, count, look_up);
    time_calls(run, "look_up_missing", snapshots, count, look_up_missing);
    time_calls(run, "get_parent_and_free", snapshots, count, get_parent);
    time_calls(run, "count_children", snapshots, count, count_children);
    time_calls(run, "is_current", snapshots, count, is_current);
    time_calls(run, "has_metadata", snapshots, count, has_metadata);
    time_calls(run, "has_current", snapshots, count, has_current);
    time_calls(run, "get_xml", snapshots, count, get_xml);
    free_all(snapshots, count);
    close_run(run);
}

/* Lists with these flags, per entry found, and frees. */
static void time_list(struct run *run, const char *phase, unsigned int flags)
{
    struct span listed = {0, 0};
    struct span freed = {0, 0};
    char free_phase[64];
    long entries = 0;

    for (int i = 0; i < LIST_REPEATS + 1; i++) {
        struct span start = clock_now();
        struct span span;
        int count;
        virDomainSnapshotPtr *snapshots = list(run, flags, &count);

        span = clock_since(start);
        start = clock_now();
        free_all(snapshots, count);
        if (i == 0)
            continue;
        listed.wall += span.wall;
        listed.cpu += span.cpu;
        span = clock_since(start);
        freed.wall += span.wall;
        freed.cpu += span.cpu;
        entries += count;
    }
    report(run, phase, entries, listed);
    snprintf(free_phase, sizeof(free_phase), "%s_free", phase);
    report(run, free_phase, entries, freed);
}

static void time_names(struct run *run)
{
    char **names = must_have(calloc((size_t)run->count, sizeof(*names)));
    struct span listed = {0, 0};
    long entries = 0;

    for (int i = 0; i < LIST_REPEATS + 1; i++) {
        struct span start = clock_now();
        int count = virDomainSnapshotListNames(run->domain, names, run->count, 0);
        struct span span = clock_since(start);

        expect(count == run->count, "names");
        for (int j = 0; j < count; j++)
            free(names[j]);
        if (i == 0)
            continue;
        listed.wall += span.wall;
        listed.cpu += span.cpu;
        entries += count;
    }
    report(run, "list_names", entries, listed);
    free(names);
}

void bench_lists(struct run *run)
{
    virDomainSnapshotPtr top;
    struct span start;

    open_run(run, true);
    expect(virDomainSnapshotNum(run->domain, 0) == run->count, "count of loaded snapshots");
    time_names(run);
    time_list(run, "list_all", 0);
    time_list(run, "list_topological", VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL);
    time_list(run, "list_roots", VIR_DOMAIN_SNAPSHOT_LIST_ROOTS);
    time_list(run, "list_leaves", VIR_DOMAIN_SNAPSHOT_LIST_LEAVES);
    top = virDomainSnapshotLookupByName(run->domain, "nightly-000000", 0);
    expect(top, "look up");
    virDomainSnapshotNumChildren(top, VIR_DOMAIN_SNAPSHOT_LIST_DESCENDANTS);
    start = clock_now();
    for (int i = 0; i < LIST_REPEATS; i++)
        expect(virDomainSnapshotNumChildren(top, VIR_DOMAIN_SNAPSHOT_LIST_DESCENDANTS) ==
               run->count - 1, "count of descendants");
    report(run, "count_descendants", LIST_REPEATS, clock_since(start));
    virDomainSnapshotNum(run->domain, VIR_DOMAIN_SNAPSHOT_LIST_LEAVES);
    start = clock_now();
    for (int i = 0; i < LIST_REPEATS; i++)
        virDomainSnapshotNum(run->domain, VIR_DOMAIN_SNAPSHOT_LIST_LEAVES);
    report(run, "count_leaves", LIST_REPEATS, clock_since(start));
    virDomainSnapshotFree(top);
    close_run(run);
}

static void *read_on(void *context)
{
    struct run *run = context;

    for (int i = 0; i < CALLS; i++) {
        char name[NAME_SIZE];
        virDomainSnapshotPtr snapshot;

        snapshot_name(name, (int)((unsigned int)i * 7919U % (unsigned int)run->count));
        snapshot = virDomainSnapshotLookupByName(run->domain, name, 0);
        virDomainSnapshotIsCurrent(snapshot, 0);
        virDomainSnapshotFree(snapshot);
    }
    return NULL;
}

/* One domain read by one thread, then by several. */
void bench_threads(struct run *run)
{
    pthread_t threads[THREADS];
    struct span start;

    open_run(run, true);
    read_on(run);
    start = clock_now();
    read_on(run);
    report(run, "read_by_1_thread", CALLS, clock_since(start));
    start = clock_now();
    for (int i = 0; i < THREADS; i++)
        expect(pthread_create(&threads[i], NULL, read_on, run) == 0, "thread");
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    report(run, "read_by_8_threads", (long)THREADS * CALLS, clock_since(start));
    close_run(run);
}
