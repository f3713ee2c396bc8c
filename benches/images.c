/* Phases whose time is qemu-img's, each call beside the same work done bare. */
#include "images.h"

#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DISKS = 3 };

extern char **environ;

static pid_t begin(char *const arguments[])
{
    pid_t child;

    expect(posix_spawnp(&child, arguments[0], NULL, NULL, arguments, environ) == 0, arguments[0]);
    return child;
}

static void end(pid_t child)
{
    int status;

    expect(waitpid(child, &status, 0) == child && status == 0, "qemu-img or qemu-io");
}

static void run_program(char *const arguments[])
{
    end(begin(arguments));
}

void image_path(char path[PATH_SIZE], const struct run *run, char guest, int disk)
{
    snprintf(path, PATH_SIZE, "%s/guest-%c-vd%c.qcow2", run->images, guest, 'a' + disk);
}

void overlay_path(char path[PATH_SIZE], const struct run *run, char guest)
{
    snprintf(path, PATH_SIZE, "%s/guest-%c-vda.overlay", run->images, guest);
}

void make_images(const struct run *run, char guest, int disks)
{
    for (int i = 0; i < disks; i++) {
        char path[PATH_SIZE];
        char *arguments[] = {"qemu-img", "create", "-q", "-f", "qcow2", path, "64M", NULL};

        image_path(path, run, guest, i);
        run_program(arguments);
    }
}

static virDomainSnapshotPtr create(const struct run *run, const char *xml, unsigned int flags)
{
    virDomainSnapshotPtr snapshot = virDomainSnapshotCreateXML(run->domain, xml, flags);

    expect(snapshot, "create");
    return snapshot;
}

virDomainSnapshotPtr create_internal(const struct run *run)
{
    return create(run, "<domainsnapshot><name>real</name></domainsnapshot>", 0);
}

virDomainSnapshotPtr create_external(const struct run *run)
{
    char path[PATH_SIZE];
    char xml[PATH_SIZE + 256];

    overlay_path(path, run, 'a');
    snprintf(xml, sizeof(xml),
             "<domainsnapshot><name>real</name><disks><disk name='vda' snapshot='external'>"
             "<source file='%s'/></disk></disks></domainsnapshot>", path);
    return create(run, xml, VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY);
}

void delete_snapshot(virDomainSnapshotPtr snapshot)
{
    expect(virDomainSnapshotDelete(snapshot, 0) == 0, "delete");
    virDomainSnapshotFree(snapshot);
}

static pid_t begin_snapshot(const struct run *run, char *verb, int disk)
{
    char path[PATH_SIZE];
    char *arguments[] = {"qemu-img", "snapshot", verb, "real", path, NULL};

    image_path(path, run, 'b', disk);
    return begin(arguments);
}

static void one_after_the_other(const struct run *run, char *verb, int disks)
{
    for (int i = 0; i < disks; i++)
        end(begin_snapshot(run, verb, i));
}

static void side_by_side(const struct run *run, char *verb)
{
    pid_t children[DISKS];

    for (int i = 0; i < DISKS; i++)
        children[i] = begin_snapshot(run, verb, i);
    for (int i = 0; i < DISKS; i++)
        end(children[i]);
}

/* A snapshot inside of so many images, and at once by qemu-img on images that are alike, one after the
 * other. */
static void time_internal(const struct run *run, struct both *ways, int round, int disks)
{
    struct span start = clock_now();
    virDomainSnapshotPtr snapshot = create_internal(run);

    time_round(&ways->create.ours, round, start);
    start = clock_now();
    one_after_the_other(run, "-c", disks);
    time_round(&ways->create.bare, round, start);
    start = clock_now();
    delete_snapshot(snapshot);
    time_round(&ways->delete.ours, round, start);
    start = clock_now();
    one_after_the_other(run, "-d", disks);
    time_round(&ways->delete.bare, round, start);
}

/* Opens the run with the hierarchy that is there already: the library's to carry. */
static void open_with_images(struct run *run, int disks)
{
    make_images(run, 'a', disks);
    make_images(run, 'b', disks);
    open_run(run, true);
    virDomainSnapshotNum(run->domain, 0);
}

/* Offline internal snapshots of three disks, also beside programs that work side by side. */
void bench_real(struct run *run)
{
    struct both ways;
    struct way create_beside, delete_beside;

    open_with_images(run, DISKS);
    for (int i = 0; i < MEDIAN_OF; i++) {
        struct span start;

        time_internal(run, &ways, i, DISKS);
        start = clock_now();
        side_by_side(run, "-c");
        time_round(&create_beside, i, start);
        start = clock_now();
        side_by_side(run, "-d");
        time_round(&delete_beside, i, start);
    }
    report_pair(run, "create_internal", &ways.create);
    report_median(run, "create_internal_beside", &create_beside);
    report_pair(run, "delete_internal", &ways.delete);
    report_median(run, "delete_internal_beside", &delete_beside);
    close_run(run);
}

/* The same of a domain with one disk. */
void bench_one_disk(struct run *run)
{
    struct both ways;

    open_with_images(run, 1);
    for (int i = 0; i < MEDIAN_OF; i++)
        time_internal(run, &ways, i, 1);
    report_pair(run, "create_one_disk", &ways.create);
    report_excess(run, "create_one_disk_excess", &ways.create.ours, &ways.create.bare);
    report_pair(run, "delete_one_disk", &ways.delete);
    report_excess(run, "delete_one_disk_excess", &ways.delete.ours, &ways.delete.bare);
    close_run(run);
}

/* Lets a guest that is off have written 8 MiB, another eighth of its disk each time. */
static void write_to_overlay(const struct run *run, char guest, int round)
{
    char path[PATH_SIZE];
    char command[64];
    char *arguments[] = {"qemu-io", "-f", "qcow2", "-c", command, path, NULL};

    overlay_path(path, run, guest);
    snprintf(command, sizeof(command), "write -q -P %d %dM 8M", round + 1, 8 * (round % 8));
    run_program(arguments);
}

static void make_overlay(const struct run *run, char guest)
{
    char image[PATH_SIZE];
    char overlay[PATH_SIZE];
    char *arguments[] = {"qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", image, overlay, NULL};

    image_path(image, run, guest, 0);
    overlay_path(overlay, run, guest);
    run_program(arguments);
}

/* Nobody needs the overlay afterwards, so it is not emptied. */
static void commit_overlay(const struct run *run, char guest)
{
    char overlay[PATH_SIZE];
    char *arguments[] = {"qemu-img", "commit", "-q", "-d", "-f", "qcow2", overlay, NULL};

    overlay_path(overlay, run, guest);
    run_program(arguments);
    expect(unlink(overlay) == 0, overlay);
}

/* The offline external snapshot of one disk deleted: 8 MiB go into the image below. */
void bench_merge(struct run *run)
{
    struct pair merge;

    open_with_images(run, 1);
    for (int i = 0; i < MEDIAN_OF; i++) {
        virDomainSnapshotPtr snapshot = create_external(run);
        struct span start;

        make_overlay(run, 'b');
        write_to_overlay(run, 'a', i);
        write_to_overlay(run, 'b', i);
        start = clock_now();
        delete_snapshot(snapshot);
        time_round(&merge.ours, i, start);
        start = clock_now();
        commit_overlay(run, 'b');
        time_round(&merge.bare, i, start);
    }
    report_pair(run, "delete_external", &merge);
    close_run(run);
}
