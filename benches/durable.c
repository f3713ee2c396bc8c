/* Phases whose time is the disk's or qemu-img's, each call beside the same work done bare. */
#include "bench.h"

#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "durable.h"

enum { PAIRS = 200, DOMAINS = 8, IMAGES = 3, ROUNDS = 5 };

extern char **environ;

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

static void qemu_img(char *const arguments[])
{
    pid_t child;
    int status;

    expect(posix_spawnp(&child, "qemu-img", NULL, NULL, arguments, environ) == 0, "qemu-img");
    expect(waitpid(child, &status, 0) == child && status == 0, "qemu-img");
}

static void image_path(char path[PATH_SIZE], const struct run *run, char guest, int disk)
{
    snprintf(path, PATH_SIZE, "%s/guest-%c-vd%c.qcow2", run->images, guest, 'a' + disk);
}

static void make_images(const struct run *run, char guest)
{
    for (int i = 0; i < IMAGES; i++) {
        char path[PATH_SIZE];
        char *arguments[] = {"qemu-img", "create", "-q", "-f", "qcow2", path, "64M", NULL};

        image_path(path, run, guest, i);
        qemu_img(arguments);
    }
}

static void bare_snapshot(const struct run *run, char *verb)
{
    for (int i = 0; i < IMAGES; i++) {
        char path[PATH_SIZE];
        char *arguments[] = {"qemu-img", "snapshot", verb, "real", path, NULL};

        image_path(path, run, 'b', i);
        qemu_img(arguments);
    }
}

/* Offline internal snapshots of three disks, and at once the same by qemu-img on images that are
 * alike. The hierarchy that is there already is the library's to carry. */
void bench_real(struct run *run)
{
    struct span create = {0, 0};
    struct span delete = {0, 0};
    struct span bare_create = {0, 0};
    struct span bare_delete = {0, 0};

    make_images(run, 'a');
    make_images(run, 'b');
    open_run(run, true);
    virDomainSnapshotNum(run->domain, 0);
    for (int i = 0; i < ROUNDS; i++) {
        struct span start = clock_now();
        virDomainSnapshotPtr snapshot = virDomainSnapshotCreateXML(
            run->domain, "<domainsnapshot><name>real</name></domainsnapshot>", 0);

        expect(snapshot, "create");
        add(&create, start);
        start = clock_now();
        bare_snapshot(run, "-c");
        add(&bare_create, start);
        start = clock_now();
        expect(virDomainSnapshotDelete(snapshot, 0) == 0, "delete");
        add(&delete, start);
        virDomainSnapshotFree(snapshot);
        start = clock_now();
        bare_snapshot(run, "-d");
        add(&bare_delete, start);
    }
    report(run, "create_internal", ROUNDS, create);
    report(run, "create_internal_bare", ROUNDS, bare_create);
    report(run, "delete_internal", ROUNDS, delete);
    report(run, "delete_internal_bare", ROUNDS, bare_delete);
    close_run(run);
}
