/* Snapshots of a guest that runs, each call beside the same commands given bare to a twin. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"
#include "images.h"

static void find(void *function, const char *name)
{
    void *address = api_find(name);

    expect(address, name);
    memcpy(function, &address, sizeof(address));
}

static void end_libvirts_guest(const struct run *run)
{
    char path[PATH_SIZE];
    FILE *file;
    int pid;

    snprintf(path, sizeof(path), "%s/run/qemu/guest-a.pid", run->root);
    file = fopen(path, "r");
    if (file && fscanf(file, "%d", &pid) == 1)
        kill(pid, SIGKILL);
    if (file)
        fclose(file);
}

/* libvirt's guest would outlive this process. Somebody waits for the end of that, however it ends: the
 * other end of the pipe is its alone. */
static void guard_libvirts_guest(const struct run *run)
{
    int ends[2];
    char nothing;

    expect(pipe(ends) == 0 && fcntl(ends[1], F_SETFD, FD_CLOEXEC) == 0, "pipe");
    switch (fork()) {
    case -1:
        expect(false, "fork");
        break;
    case 0:
        setsid();
        close(ends[1]);
        while (read(ends[0], &nothing, 1) != 0) {
        }
        end_libvirts_guest(run);
        _exit(EXIT_SUCCESS);
    }
    close(ends[0]);
}

/* The least that makes the file and lets the guest write to it. */
static void bare_external(struct guest *twin, const char *overlay)
{
    char arguments[PATH_SIZE + 128];

    snprintf(arguments, sizeof(arguments),
             "\"node-name\":\"disk\",\"snapshot-node-name\":\"overlay\",\"format\":\"qcow2\","
             "\"snapshot-file\":\"%s\"", overlay);
    command(twin, "blockdev-snapshot-sync", arguments);
}

static void bare_merge(struct guest *twin, const char *overlay)
{
    command(twin, "block-commit", "\"job-id\":\"merge\",\"device\":\"overlay\"");
    hear(twin, "\"BLOCK_JOB_READY\"");
    command(twin, "job-complete", "\"id\":\"merge\"");
    hear(twin, "\"BLOCK_JOB_COMPLETED\"");
    expect(unlink(overlay) == 0, overlay);
}

/* Overlay made, and merged again. */
static void time_external(const struct run *run, struct guest *twin, struct both *ways, int round)
{
    char overlay[PATH_SIZE];
    struct span start = clock_now();
    virDomainSnapshotPtr snapshot = create_external(run);

    time_round(&ways->create.ours, round, start);
    overlay_path(overlay, run, 'b');
    start = clock_now();
    bare_external(twin, overlay);
    time_round(&ways->create.bare, round, start);
    start = clock_now();
    delete_snapshot(snapshot);
    time_round(&ways->delete.ours, round, start);
    start = clock_now();
    bare_merge(twin, overlay);
    time_round(&ways->delete.bare, round, start);
}

/* Memory and disk inside of the image. */
static void time_internal(const struct run *run, struct guest *twin, struct both *ways, int round)
{
    struct span start = clock_now();
    virDomainSnapshotPtr snapshot = create_internal(run);

    time_round(&ways->create.ours, round, start);
    start = clock_now();
    command_line(twin, "savevm real");
    time_round(&ways->create.bare, round, start);
    start = clock_now();
    delete_snapshot(snapshot);
    time_round(&ways->delete.ours, round, start);
    start = clock_now();
    command_line(twin, "delvm real");
    time_round(&ways->delete.bare, round, start);
}

/* The firmware finds nothing to boot, and waits. */
static void wait_until_idle(void)
{
    static const struct timespec while_it_looks = {5, 0};

    nanosleep(&while_it_looks, NULL);
}

/* libvirt starts its guest itself; ours is started here, and its monitor given to the library. */
static void start_measured(struct guest *ours, struct run *run)
{
    int (*create_domain)(virDomainPtr domain);

    if (!api_is_libvirt()) {
        start_guest(ours, run, 'a');
        expect(virSnapDomainSetMonitor(run->domain, ours->library_socket, NULL, 0) == 0, "attach");
        return;
    }
    find(&create_domain, "virDomainCreate");
    expect(create_domain(run->domain) == 0, "start");
}

static void stop_measured(struct guest *ours, struct run *run)
{
    int (*destroy_domain)(virDomainPtr domain);

    if (!api_is_libvirt()) {
        stop_guest(ours);
        return;
    }
    find(&destroy_domain, "virDomainDestroy");
    expect(destroy_domain(run->domain) == 0, "destroy");
}

void bench_live(struct run *run)
{
    static struct guest ours, twin;
    struct both internal, external;

    if (api_is_libvirt())
        guard_libvirts_guest(run);
    make_images(run, 'a', 1);
    make_images(run, 'b', 1);
    open_run(run, true);
    start_guest(&twin, run, 'b');
    start_measured(&ours, run);
    wait_until_idle();
    for (int i = 0; i < MEDIAN_OF; i++)
        time_internal(run, &twin, &internal, i);
    for (int i = 0; i < MEDIAN_OF; i++)
        time_external(run, &twin, &external, i);
    stop_measured(&ours, run);
    stop_guest(&twin);
    report_pair(run, "live_internal", &internal.create);
    report_pair(run, "live_internal_delete", &internal.delete);
    report_pair(run, "live_external", &external.create);
    report_pair(run, "live_external_delete", &external.delete);
    close_run(run);
}
