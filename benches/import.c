/* A whole hierarchy carried to another state directory by one import: a process at each end, a socket
 * between them. Only this library can do it. */
#define _GNU_SOURCE /* syncfs */
#include "bench.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { COOKIE_SIZE = 16384 };

/* The documents as they are stored. */
static char **read_documents(const struct run *run)
{
    char **texts = must_have(calloc((size_t)run->count, sizeof(*texts)));

    for (int i = 0; i < run->count; i++) {
        char name[NAME_SIZE];
        char path[PATH_SIZE];

        snapshot_name(name, i);
        snprintf(path, sizeof(path), "%s/snapshot/guest-a/%s.xml", run->root, name);
        texts[i] = read_file(path);
    }
    return texts;
}

/* The floor: the same files written, and all of them synced at once. */
static void write_bare(struct run *run, int channel)
{
    char **texts = read_documents(run);
    char bare[PATH_SIZE];
    struct span start;
    int directory;

    (void)channel;
    snprintf(bare, sizeof(bare), "%s-bare", run->root);
    expect(mkdir(bare, 0700) == 0, bare);
    directory = open(bare, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* What was copied for this run is not to be waited for. */
    expect(directory >= 0 && syncfs(directory) == 0, bare);
    start = clock_now();
    for (int i = 0; i < run->count; i++) {
        char name[NAME_SIZE];
        ssize_t length = (ssize_t)strlen(texts[i]);
        int file;

        snapshot_name(name, i);
        file = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        expect(file >= 0 && write(file, texts[i], (size_t)length) == length, name);
        close(file);
    }
    expect(syncfs(directory) == 0, bare);
    report(run, "import_bare", run->count, clock_since(start));
    close(directory);
    for (int i = 0; i < run->count; i++)
        free(texts[i]);
    free(texts);
}

static void report_peak(const struct run *run, const char *phase)
{
    struct rusage usage;

    expect(getrusage(RUSAGE_SELF, &usage) == 0, "getrusage");
    report_figure(run, phase, "bytes", 1024.0 * (double)usage.ru_maxrss);
}

static void tell(int channel, const void *bytes, size_t length)
{
    expect(write(channel, bytes, length) == (ssize_t)length, "tell the other end");
}

static void hear(int channel, void *bytes, size_t length)
{
    expect(recv(channel, bytes, length, MSG_WAITALL) == (ssize_t)length, "hear from the other end");
}

/* Says what time it took when the stream is durable, and when all of it is visible. */
static void destination(struct run *run, int channel)
{
    char there[PATH_SIZE];
    char cookie[COOKIE_SIZE] = "";
    struct span spent;
    struct span start;

    snprintf(there, sizeof(there), "%s-there", run->root);
    expect(mkdir(there, 0700) == 0, there);
    run->root = there;
    open_run(run, true);
    tell(channel, "r", 1);
    start = clock_now();
    expect(virSnapDomainMigrateImportFD(run->domain, channel, NULL, 0, 0) == 0, "import");
    spent = clock_since(start);
    tell(channel, &spent, sizeof(spent));
    hear(channel, cookie, sizeof(cookie));
    start = clock_now();
    expect(virSnapDomainMigrateFinish(run->domain, cookie, 0) == 0, "finish");
    spent = clock_since(start);
    tell(channel, &spent, sizeof(spent));
    expect(virDomainSnapshotNum(run->domain, 0) == run->count, "count of imported snapshots");
    report_peak(run, "import_destination_peak");
    close_run(run);
}

/* Reports a step of both ends together, and adds it up. */
static void report_step(const struct run *run, const char *phase, struct span here, double cpu_there,
                        struct span *sum)
{
    here.cpu += cpu_there;
    report(run, phase, run->count, here);
    sum->wall += here.wall;
    sum->cpu += here.cpu;
}

static void source(struct run *run, int channel)
{
    char sent[COOKIE_SIZE] = "";
    char *cookie = NULL;
    struct span sum = {0, 0};
    struct span start;
    struct span there;
    char word;

    open_run(run, true);
    expect(virDomainSnapshotNum(run->domain, 0) == run->count, "count of loaded snapshots");
    hear(channel, &word, 1);
    start = clock_now();
    expect(virSnapDomainMigrateBegin(run->domain, &cookie, VIR_SNAP_MIGRATE_METADATA) == 0, "begin");
    report_step(run, "import_begin", clock_since(start), 0, &sum);
    start = clock_now();
    expect(virSnapDomainMigrateExportFD(run->domain, channel, 0) == 0, "export");
    hear(channel, &there, sizeof(there));
    report_step(run, "import_stream", clock_since(start), there.cpu, &sum);
    snprintf(sent, sizeof(sent), "%s", cookie);
    start = clock_now();
    tell(channel, sent, sizeof(sent));
    hear(channel, &there, sizeof(there));
    report_step(run, "import_finish", clock_since(start), there.cpu, &sum);
    report(run, "import", run->count, sum);
    start = clock_now();
    expect(virSnapDomainMigrateConfirm(run->domain, cookie, 0, 0) == 0, "confirm");
    report(run, "import_confirm", run->count, clock_since(start));
    report_peak(run, "import_source_peak");
    free(cookie);
    close_run(run);
}

/* Begins a process: what another one has in memory is not its. The end of the channel that is the
 * other's is closed in it, so that it does not wait for one that is gone. */
static pid_t begin(struct run *run, void (*work)(struct run *run, int channel), int channel, int other)
{
    pid_t child = fork();

    expect(child >= 0, "fork");
    if (child > 0)
        return child;
    close(other);
    work(run, channel);
    _exit(EXIT_SUCCESS);
}

static void wait_for(pid_t child)
{
    int status;

    expect(waitpid(child, &status, 0) == child && status == 0, "a process of the import");
}

/* From the beginning at the source until all snapshots are durable and visible at the destination. */
void bench_import(struct run *run)
{
    int channel[2];
    pid_t here;
    pid_t there;

    wait_for(begin(run, write_bare, -1, -1));
    expect(socketpair(AF_UNIX, SOCK_STREAM, 0, channel) == 0, "socketpair");
    there = begin(run, destination, channel[1], channel[0]);
    here = begin(run, source, channel[0], channel[1]);
    close(channel[0]);
    close(channel[1]);
    wait_for(here);
    wait_for(there);
}
