/* Phases whose time is qemu-img's, each call beside the same work done bare. */
#include "bench.h"

#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

/* ROUNDS is odd: it has a middle. */
enum { IMAGES = 3, ROUNDS = 11 };

extern char **environ;

static pid_t begin_qemu_img(char *const arguments[])
{
    pid_t child;

    expect(posix_spawnp(&child, "qemu-img", NULL, NULL, arguments, environ) == 0, "qemu-img");
    return child;
}

static void end_qemu_img(pid_t child)
{
    int status;

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
        end_qemu_img(begin_qemu_img(arguments));
    }
}

static pid_t begin_snapshot(const struct run *run, char *verb, int disk)
{
    char path[PATH_SIZE];
    char *arguments[] = {"qemu-img", "snapshot", verb, "real", path, NULL};

    image_path(path, run, 'b', disk);
    return begin_qemu_img(arguments);
}

static void one_after_the_other(const struct run *run, char *verb)
{
    for (int i = 0; i < IMAGES; i++)
        end_qemu_img(begin_snapshot(run, verb, i));
}

static void side_by_side(const struct run *run, char *verb)
{
    pid_t children[IMAGES];

    for (int i = 0; i < IMAGES; i++)
        children[i] = begin_snapshot(run, verb, i);
    for (int i = 0; i < IMAGES; i++)
        end_qemu_img(children[i]);
}

/* One way to do something, timed in each round. */
struct way {
    double wall[ROUNDS];
    double cpu[ROUNDS];
};

static void time_round(struct way *way, int round, struct span start)
{
    struct span span = clock_since(start);

    way->wall[round] = span.wall;
    way->cpu[round] = span.cpu;
}

static int compare_times(const void *left, const void *right)
{
    double first = *(const double *)left;
    double second = *(const double *)right;

    return (first > second) - (first < second);
}

/* A round that other work of the machine holds up must not count for many. */
static void report_median(const struct run *run, const char *phase, struct way *way)
{
    qsort(way->wall, ROUNDS, sizeof(*way->wall), compare_times);
    qsort(way->cpu, ROUNDS, sizeof(*way->cpu), compare_times);
    report(run, phase, 1, (struct span){way->wall[ROUNDS / 2], way->cpu[ROUNDS / 2]});
}

/* Offline internal snapshots of three disks, and at once the same by qemu-img on images that are
 * alike, one after the other and side by side. The hierarchy that is there already is the library's
 * to carry. */
void bench_real(struct run *run)
{
    struct way create, create_bare, create_beside, delete, delete_bare, delete_beside;

    make_images(run, 'a');
    make_images(run, 'b');
    open_run(run, true);
    virDomainSnapshotNum(run->domain, 0);
    for (int i = 0; i < ROUNDS; i++) {
        struct span start = clock_now();
        virDomainSnapshotPtr snapshot = virDomainSnapshotCreateXML(
            run->domain, "<domainsnapshot><name>real</name></domainsnapshot>", 0);

        expect(snapshot, "create");
        time_round(&create, i, start);
        start = clock_now();
        one_after_the_other(run, "-c");
        time_round(&create_bare, i, start);
        start = clock_now();
        expect(virDomainSnapshotDelete(snapshot, 0) == 0, "delete");
        time_round(&delete, i, start);
        virDomainSnapshotFree(snapshot);
        start = clock_now();
        one_after_the_other(run, "-d");
        time_round(&delete_bare, i, start);
        start = clock_now();
        side_by_side(run, "-c");
        time_round(&create_beside, i, start);
        start = clock_now();
        side_by_side(run, "-d");
        time_round(&delete_beside, i, start);
    }
    report_median(run, "create_internal", &create);
    report_median(run, "create_internal_bare", &create_bare);
    report_median(run, "create_internal_beside", &create_beside);
    report_median(run, "delete_internal", &delete);
    report_median(run, "delete_internal_bare", &delete_bare);
    report_median(run, "delete_internal_beside", &delete_beside);
    close_run(run);
}
