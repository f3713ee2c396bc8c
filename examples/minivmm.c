/* A small manager of guests, in front of virsnap: it starts a real QEMU for a domain, gives the
 * library its hooks, and takes, reverts and deletes snapshots of the running guest. The domain moves
 * to another minivmm with all of them (minivmm_move.c).
 *
 *     minivmm STATE_DIR DOMAIN.xml [URI_PARAMETERS]
 *
 * It reads commands from standard input, one a line, and answers each with one line, `ok` or
 * `error: ...`:
 *
 *     start                  start the guest, paused
 *     stop | kill            end it, politely or not
 *     state                  the domain's state, a number of virDomainState
 *     create FLAGS XML       take a snapshot
 *     revert FLAGS NAME      FLAGS are numbers, as in virsnap.h
 *     delete FLAGS NAME
 *     current | list         names
 *     xml                    the domain's definition now, in one line
 *     define XML             give it another one while it is off
 *     snapshot NAME          the snapshot's document, in one line
 *     pid                    the guest's process
 *
 * The domain is the one in STATE_DIR; if there is none, DOMAIN.xml defines it, and if that is not there
 * either, it comes from another host. A guest that has outlived its minivmm is taken over.
 *
 * The guest has 16 MiB of memory, no kernel, and the disks that the definition names. Its QMP sockets
 * are DOMAIN.xml.qmp for the library and DOMAIN.xml.own for everybody else. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "minivmm.h"

enum { MAX_ARGUMENTS = 64 };

/* The value of an attribute behind a place in a document: attr="value" or attr='value'. */
static const char *attribute(const char *from, const char *end, const char *name, char *value)
{
    const char *place = strstr(from, name);
    if (!place || place >= end)
        return NULL;
    place += strlen(name);
    char quote = *place++;
    size_t length = 0;
    while (place[length] && place[length] != quote && length < TEXT - 1)
        length++;
    memcpy(value, place, length);
    value[length] = 0;
    return value;
}

static char *copy(const char *format, const char *first, int number)
{
    char *text = NULL;
    if (asprintf(&text, format, first, number) < 0)
        abort();
    return text;
}

/* Whether an element stands between two places of a document. */
static int has(const char *from, const char *end, const char *element)
{
    const char *place = strstr(from, element);
    return place && place < end;
}

/* QEMU's arguments for a definition. This manager knows disks and CD-ROMs in files or on block devices,
 * and nothing else. */
static void arguments_of(const struct guest *guest, const char *xml, unsigned int flags, char **list)
{
    int count = 0, disks = 0;
    const char *fixed[] = {"qemu-system-x86_64", "-nodefaults", "-display", "none", "-accel", "tcg",
                           "-m", "16", "-S"};
    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
        list[count++] = strdup(fixed[i]);
    if (flags & VIR_SNAP_START_INCOMING) {
        list[count++] = strdup("-incoming");
        list[count++] = strdup("defer");
    }
    list[count++] = strdup("-qmp");
    list[count++] = copy("unix:%s,server=on,wait=off", guest->monitor, 0);
    list[count++] = strdup("-qmp");
    list[count++] = copy("unix:%s,server=on,wait=off", guest->own, 0);
    const char *disk = xml;
    while ((disk = strstr(disk, "<disk ")) && count < MAX_ARGUMENTS - 5) {
        char file[TEXT], format[TEXT];
        const char *end = strstr(disk, "</disk>");
        int is_file = end && attribute(disk, end, "<source file=", file);
        if ((is_file || (end && attribute(disk, end, "<source dev=", file))) &&
            attribute(disk, end, "<driver name='qemu' type=", format)) {
            char *blockdev = NULL;
            int is_cdrom = has(disk, end, " device='cdrom'");
            int is_read_only = is_cdrom || has(disk, end, "<readonly/>");
            if (asprintf(&blockdev,
                         "driver=%s,node-name=disk%d,read-only=%s,file.driver=%s,file.filename=%s",
                         format, disks, is_read_only ? "on" : "off",
                         is_file ? "file" : "host_device", file) < 0)
                abort();
            list[count++] = strdup("-blockdev");
            list[count++] = blockdev;
            list[count++] = strdup("-device");
            list[count++] = copy("%1$s,drive=disk%2$d,id=vd%2$d", is_cdrom ? "ide-cd" : "virtio-blk-pci",
                                 disks);
            disks++;
        }
        disk = end ? end : disk + 1;
    }
    list[count] = NULL;
}

/* Whether the guest's process is there; takes its exit status if not. It may be another minivmm's
 * child. */
int is_alive(struct guest *guest)
{
    struct pollfd end = {.fd = guest->process, .events = POLLIN};
    if (guest->pid && poll(&end, 1, 0) != 0) {
        waitpid(guest->pid, NULL, WNOHANG);
        close(guest->process);
        guest->pid = 0;
    }
    return guest->pid != 0;
}

/* Remembers the guest's process. */
static void watch(struct guest *guest, pid_t pid)
{
    guest->process = (int)syscall(SYS_pidfd_open, pid, 0);
    guest->pid = guest->process < 0 ? 0 : pid;
}

/* Takes over a guest that has outlived the minivmm that started it. */
static void take_over(struct guest *guest)
{
    struct ucred peer = {0};
    socklen_t size = sizeof(peer);
    int end = connect_to(guest->own);
    if (end < 0)
        return;
    if (getsockopt(end, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0)
        watch(guest, peer.pid);
    close(end);
    if (is_alive(guest))
        virSnapDomainSetMonitor(guest->domain, guest->attached, NULL, 0);
}

void pause_for_a_moment(void)
{
    struct timespec moment = {0, 20 * 1000 * 1000};
    nanosleep(&moment, NULL);
}

/* Hook: starts the guest, and attaches its monitor as soon as it answers. */
int start(void *opaque, const char *xml, unsigned int flags)
{
    struct guest *guest = opaque;
    char *list[MAX_ARGUMENTS] = {0};
    if (is_alive(guest)) {
        virSnapSetCallbackError("the guest is on");
        return -1;
    }
    unlink(guest->monitor);
    unlink(guest->own);
    arguments_of(guest, xml, flags, list);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(STDERR_FILENO, STDOUT_FILENO);
        execvp(list[0], list);
        _exit(127);
    }
    for (char **argument = list; *argument; argument++)
        free(*argument);
    if (pid < 0) {
        virSnapSetCallbackError(strerror(errno));
        return -1;
    }
    watch(guest, pid);
    while (is_alive(guest)) {
        if (access(guest->own, F_OK) == 0 &&
            virSnapDomainSetMonitor(guest->domain, guest->attached, guest->agent, 0) == 0)
            return 0;
        pause_for_a_moment();
    }
    virSnapSetCallbackError("QEMU ended at once");
    return -1;
}

/* Hook: ends the guest's process. What it has written is in its images when it is gone. */
int stop(void *opaque)
{
    struct guest *guest = opaque;
    if (is_alive(guest)) {
        kill(guest->pid, SIGTERM);
        while (is_alive(guest))
            pause_for_a_moment();
    }
    return 0;
}

/* Hook: shows how far a long operation is. */
static int progress(void *opaque, unsigned long long done, unsigned long long total)
{
    (void)opaque;
    if (total)
        fprintf(stderr, "minivmm: %llu of %llu\n", done, total);
    return 0;
}

int answer(int failed)
{
    if (failed)
        printf("error: %s\n", virGetLastErrorMessage());
    else
        printf("ok\n");
    return 0;
}

/* Whether the guest may be another host's. */
static int is_elsewhere(struct guest *guest)
{
    int state = virSnapDomainMigrateGetState(guest->domain, NULL, 0);
    return state == VIR_SNAP_MIGRATE_STATE_OUTGOING || state == VIR_SNAP_MIGRATE_STATE_INCOMING ||
           state == VIR_SNAP_MIGRATE_STATE_CONFIRMED;
}

static int start_defined(struct guest *guest)
{
    if (is_elsewhere(guest))
        return printf("error: the domain moves, or has moved\n") < 0;
    char *xml = virDomainGetXMLDesc(guest->domain, VIR_DOMAIN_XML_SECURE);
    int failed = !xml || start(guest, xml, 0) < 0;
    free(xml);
    return answer(failed);
}

static int state(struct guest *guest)
{
    int now = 0;
    is_alive(guest);
    if (virDomainGetState(guest->domain, &now, NULL, 0) < 0)
        return answer(1);
    printf("ok %d\n", now);
    return 0;
}

static int create(struct guest *guest, const char *rest)
{
    char *xml = NULL;
    unsigned int flags = (unsigned int)strtoul(rest, &xml, 0);
    virDomainSnapshotPtr snapshot = virDomainSnapshotCreateXML(guest->domain, xml + 1, flags);
    if (!snapshot)
        return answer(1);
    virDomainSnapshotFree(snapshot);
    return answer(0);
}

static int revert_or_delete(struct guest *guest, const char *rest, int is_revert)
{
    char *name = NULL;
    unsigned int flags = (unsigned int)strtoul(rest, &name, 0);
    virDomainSnapshotPtr snapshot = virDomainSnapshotLookupByName(guest->domain, name + 1, 0);
    if (!snapshot)
        return answer(1);
    int done = is_revert ? virDomainRevertToSnapshot(snapshot, flags)
                         : virDomainSnapshotDelete(snapshot, flags);
    answer(done < 0);
    virDomainSnapshotFree(snapshot);
    return 0;
}

static int list(struct guest *guest)
{
    virDomainSnapshotPtr *snapshots = NULL;
    int count = virDomainListAllSnapshots(guest->domain, &snapshots, 0);
    if (count < 0)
        return answer(1);
    printf("ok");
    for (int i = 0; i < count; i++) {
        printf(" %s", virDomainSnapshotGetName(snapshots[i]));
        virDomainSnapshotFree(snapshots[i]);
    }
    printf("\n");
    free(snapshots);
    return 0;
}

static int current(struct guest *guest)
{
    virDomainSnapshotPtr snapshot = virDomainSnapshotCurrent(guest->domain, 0);
    if (!snapshot)
        return answer(1);
    printf("ok %s\n", virDomainSnapshotGetName(snapshot));
    virDomainSnapshotFree(snapshot);
    return 0;
}

/* Answers with a document in one line, and frees it. */
static int in_one_line(char *xml)
{
    if (!xml)
        return answer(1);
    for (char *place = xml; *place; place++)
        if (*place == '\n')
            *place = ' ';
    printf("ok %s\n", xml);
    free(xml);
    return 0;
}

static int redefine(struct guest *guest, const char *xml)
{
    virDomainPtr defined = virDomainDefineXML(virDomainGetConnect(guest->domain), xml);
    if (defined)
        virDomainFree(defined);
    return answer(!defined);
}

static int document(struct guest *guest, const char *name)
{
    virDomainSnapshotPtr snapshot = virDomainSnapshotLookupByName(guest->domain, name, 0);
    if (!snapshot)
        return answer(1);
    in_one_line(virDomainSnapshotGetXMLDesc(snapshot, 0));
    virDomainSnapshotFree(snapshot);
    return 0;
}

static int command(struct guest *guest, const char *line)
{
    if (move_command(guest, line))
        return 0;
    if (!guest->domain)
        return printf("error: no domain\n") < 0;
    if (strcmp(line, "start") == 0)
        return start_defined(guest);
    if (strcmp(line, "stop") == 0)
        return answer(stop(guest));
    if (strcmp(line, "kill") == 0) {
        if (is_alive(guest))
            kill(guest->pid, SIGKILL);
        return answer(stop(guest));
    }
    if (strcmp(line, "state") == 0)
        return state(guest);
    if (strcmp(line, "pid") == 0)
        return printf("ok %d\n", (int)guest->pid) < 0;
    if (strncmp(line, "create ", 7) == 0)
        return create(guest, line + 7);
    if (strncmp(line, "revert ", 7) == 0)
        return revert_or_delete(guest, line + 7, 1);
    if (strncmp(line, "delete ", 7) == 0)
        return revert_or_delete(guest, line + 7, 0);
    if (strcmp(line, "list") == 0)
        return list(guest);
    if (strcmp(line, "current") == 0)
        return current(guest);
    if (strcmp(line, "xml") == 0)
        return in_one_line(virDomainGetXMLDesc(guest->domain, 0));
    if (strncmp(line, "define ", 7) == 0)
        return redefine(guest, line + 7);
    if (strncmp(line, "snapshot ", 9) == 0)
        return document(guest, line + 9);
    printf("error: unknown command\n");
    return 0;
}

/* The domain that is there, or a new one, or none. */
static int find_domain(struct guest *guest, const char *file)
{
    static char xml[64 * TEXT];
    virDomainPtr *domains = NULL;
    int count = virConnectListAllDomains(guest->conn, &domains, 0);
    FILE *stream = fopen(file, "r");
    for (int i = 1; i < count; i++)
        virDomainFree(domains[i]);
    if (count > 0)
        guest->domain = domains[0];
    free(domains);
    if (count != 0 || !stream) {
        if (stream)
            fclose(stream);
        return count < 0 ? -1 : 0;
    }
    xml[fread(xml, 1, sizeof(xml) - 1, stream)] = 0;
    fclose(stream);
    guest->domain = virDomainDefineXML(guest->conn, xml);
    return guest->domain ? 0 : -1;
}

int set_hooks(struct guest *guest)
{
    virSnapDomainCallbacks hooks = {
        .size = sizeof(hooks),
        .start = start,
        .stop = stop,
        .progress = progress,
    };
    return virSnapDomainSetCallbacks(guest->domain, &hooks, guest, 0);
}

static void quiet(void *data, virErrorPtr error)
{
    (void)data;
    (void)error;
}

int main(int argc, char **argv)
{
    struct guest guest = {0};
    char uri[TEXT + 16];
    char line[16 * TEXT];

    if (argc != 3 && argc != 4) {
        fprintf(stderr, "usage: minivmm STATE_DIR DOMAIN.xml [URI_PARAMETERS]\n");
        return 2;
    }
    virSetErrorFunc(NULL, quiet);
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    snprintf(uri, sizeof(uri), "virsnap://%s?%s", argv[1], argc == 4 ? argv[3] : "");
    snprintf(guest.monitor, sizeof(guest.monitor), "%s.qmp", argv[2]);
    snprintf(guest.own, sizeof(guest.own), "%s.own", argv[2]);
    guest.attached = getenv("MINIVMM_MONITOR") ? getenv("MINIVMM_MONITOR") : guest.monitor;
    guest.agent = getenv("MINIVMM_AGENT");
    guest.conn = virConnectOpen(uri);
    if (!guest.conn || find_domain(&guest, argv[2]) < 0 ||
        (guest.domain && set_hooks(&guest) < 0)) {
        fprintf(stderr, "minivmm: %s\n", virGetLastErrorMessage());
        return 1;
    }
    if (guest.domain)
        take_over(&guest);
    while (fgets(line, sizeof(line), stdin)) {
        line[strcspn(line, "\n")] = 0;
        command(&guest, line);
    }
    stop(&guest);
    if (guest.domain) {
        virSnapDomainSetCallbacks(guest.domain, NULL, NULL, 0);
        virDomainFree(guest.domain);
    }
    virConnectClose(guest.conn);
    return 0;
}
