/* The domain moves to another host with its snapshots, and with its guest if that is on: a manager's
 * part, at both ends.
 *
 *     migrate-to PATH           to the minivmm that listens there; memory goes to PATH.ram
 *     incoming PATH [FROM TO]   from the one that comes; files below FROM are below TO here
 *     migration                 how far it has come here: a number of virSnapMigrateState
 *
 * and for a move that was cut off (docs/migration.md says which):
 *
 *     begin                     the cookie again
 *     finish COOKIE             the domain is this host's now, and its guest goes on
 *     confirm                   it is the other one's
 *     cancel                    it stays where it was, and its guest goes on there
 *     undefine                  the domain that was prepared here does not come
 *
 * The source says              the destination answers
 *     domain on|paused|off N   and N bytes of definition, and the stream of snapshots
 *                              ready
 *     finish COOKIE            when QEMU has sent the guest
 *                              finished
 * or at any time
 *     cancel                   cancelled
 *
 * An answer may be `error: ...`, too. When the connection is lost, both ends stay as they are: the one
 * who asks both knows how to go on. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "minivmm.h"

enum { TRIES = 250 };

static const char lost[] = "the connection was lost";

/* Why the last step failed. */
static char failure[TEXT];

static int fail(const char *why)
{
    snprintf(failure, sizeof(failure), "%s", why);
    failure[strcspn(failure, "\r\n")] = 0;
    return -1;
}

static int library_failed(void)
{
    return fail(virGetLastErrorMessage());
}

static int conclude(int failed)
{
    if (failed)
        printf("error: %s\n", failure);
    else
        printf("ok\n");
    return 0;
}

/* Reads a line, and no byte behind it. */
static int read_line(int channel, char *line, size_t size)
{
    size_t length = 0;

    while (length + 1 < size && read(channel, line + length, 1) == 1) {
        if (line[length] == '\n') {
            line[length] = 0;
            return 0;
        }
        length++;
    }
    return fail(lost);
}

static int expect(int channel, const char *word)
{
    char line[TEXT];

    if (read_line(channel, line, sizeof(line)) < 0)
        return -1;
    return strcmp(line, word) == 0 ? 0 : fail(line);
}

static int is_guest(struct guest *guest, const char *status)
{
    char said[TEXT], wanted[64];

    snprintf(wanted, sizeof(wanted), "\"status\": \"%s\"", status);
    return qmp(guest->own, "query-status", "", said, sizeof(said)) && strstr(said, wanted);
}

static int tell_guest(struct guest *guest, const char *command, const char *arguments)
{
    char said[TEXT];

    return qmp(guest->own, command, arguments, said, sizeof(said)) ? 0 : fail(said);
}

/* ---- what both ends may be told ---------------------------------------------------------- */

static int confirm(struct guest *guest)
{
    if (virSnapDomainMigrateConfirm(guest->domain, NULL, 0, 0) < 0)
        return library_failed();
    return stop(guest);
}

/* Whether QEMU is sending the guest now. */
static int is_sending(struct guest *guest)
{
    static const char *const words[] = {"setup", "active", "device", "cancelling"};
    char said[TEXT], wanted[64];

    if (!qmp(guest->own, "query-migrate", "", said, sizeof(said)))
        return 0;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        snprintf(wanted, sizeof(wanted), "\"status\": \"%s\"", words[i]);
        if (strstr(said, wanted))
            return 1;
    }
    return 0;
}

/* The guest that was sent goes on. QEMU's locks on the images refuse it while the one that has
 * arrived is there. */
static int resume(struct guest *guest)
{
    tell_guest(guest, "migrate_cancel", "");
    while (is_sending(guest))
        pause_for_a_moment();
    if (!is_guest(guest, "postmigrate"))
        return 0;
    if (tell_guest(guest, "cont", "") < 0)
        return -1;
    return guest->is_paused ? tell_guest(guest, "stop", "") : 0;
}

/* The domain was not here before it came. */
static int forget(struct guest *guest)
{
    if (virDomainUndefine(guest->domain) < 0)
        return library_failed();
    virDomainFree(guest->domain);
    guest->domain = NULL;
    return 0;
}

static int cancel(struct guest *guest)
{
    int state = virSnapDomainMigrateGetState(guest->domain, NULL, 0);
    int is_incoming = state == VIR_SNAP_MIGRATE_STATE_INCOMING;

    if (is_incoming)
        stop(guest);
    if (state == VIR_SNAP_MIGRATE_STATE_OUTGOING && is_alive(guest) && resume(guest) < 0)
        return -1;
    if (virSnapDomainMigrateCancel(guest->domain, 0) < 0)
        return library_failed();
    return is_incoming ? forget(guest) : 0;
}

static int finish(struct guest *guest, const char *cookie)
{
    for (int i = 0; i < TRIES && is_alive(guest) && is_guest(guest, "inmigrate"); i++)
        pause_for_a_moment();
    if (guest->is_awaited && !is_alive(guest))
        return fail("the guest has not arrived");
    if (virSnapDomainMigrateFinish(guest->domain, cookie, 0) < 0)
        return library_failed();
    guest->is_awaited = 0;
    return is_alive(guest) && !guest->is_paused ? tell_guest(guest, "cont", "") : 0;
}

/* ---- the source -------------------------------------------------------------------------- */

static int send_definition(struct guest *guest, int channel)
{
    static const char *const words[] = {"on", "paused"};
    const char *word = is_alive(guest) ? words[guest->is_paused] : "off";
    char *xml = virDomainGetXMLDesc(guest->domain, VIR_DOMAIN_XML_SECURE);
    int failed = xml ? 0 : library_failed();

    if (xml && dprintf(channel, "domain %s %zu\n%s", word, strlen(xml), xml) < 0)
        failed = fail(lost);
    free(xml);
    return failed;
}

/* Lets QEMU send the guest. It has given its images away when it is through. */
static int send_guest(struct guest *guest, const char *path)
{
    char text[TEXT];

    snprintf(text, sizeof(text), "\"uri\": \"unix:%s.ram\"", path);
    if (tell_guest(guest, "migrate", text) < 0)
        return -1;
    while (qmp(guest->own, "query-migrate", "", text, sizeof(text))) {
        if (strstr(text, "\"status\": \"completed\""))
            return 0;
        if (strstr(text, "\"status\": \"failed\"") || strstr(text, "\"status\": \"cancelled\""))
            break;
        pause_for_a_moment();
    }
    return fail(text);
}

/* All that the destination needs before it can have the domain. */
static int carry(struct guest *guest, int channel, const char *path)
{
    if (send_definition(guest, channel) < 0)
        return -1;
    if (virSnapDomainMigrateExportFD(guest->domain, channel, 0) < 0)
        return library_failed();
    if (expect(channel, "ready") < 0)
        return -1;
    return is_alive(guest) ? send_guest(guest, path) : 0;
}

static int hand_over(struct guest *guest, int channel, const char *cookie)
{
    if (dprintf(channel, "finish %s\n", cookie) < 0)
        return fail(lost);
    return expect(channel, "finished") < 0 ? -1 : confirm(guest);
}

/* The destination cancels first: it decides. The failure stays the one that has led here. */
static void give_up(struct guest *guest, int channel)
{
    char why[TEXT];

    memcpy(why, failure, sizeof(why));
    if (dprintf(channel, "cancel\n") > 0 && expect(channel, "cancelled") == 0 && cancel(guest) == 0)
        memcpy(failure, why, sizeof(failure));
}

static int migrate_to(struct guest *guest, const char *path)
{
    char *cookie = NULL;
    int channel = connect_to(path);
    int state = 0, failed;

    if (channel < 0)
        return fail("nobody listens there");
    virDomainGetState(guest->domain, &state, NULL, 0);
    guest->is_paused = state == VIR_DOMAIN_PAUSED;
    if (virSnapDomainMigrateBegin(guest->domain, &cookie, VIR_SNAP_MIGRATE_METADATA) < 0) {
        failed = library_failed();
    } else {
        failed = carry(guest, channel, path) < 0 || hand_over(guest, channel, cookie) < 0;
        if (failed)
            give_up(guest, channel);
    }
    free(cookie);
    close(channel);
    return failed;
}

/* ---- the destination --------------------------------------------------------------------- */

/* Takes the definition in: how the guest is, and the domain with this host's paths. */
static int receive_definition(struct guest *guest, int channel, const virSnapMigratePath *paths,
                              unsigned int count)
{
    static char xml[64 * TEXT];
    char line[TEXT], word[16];
    size_t length = 0, got = 0;
    ssize_t more = 1;

    if (read_line(channel, line, sizeof(line)) < 0)
        return -1;
    if (sscanf(line, "domain %15s %zu", word, &length) != 2 || length >= sizeof(xml))
        return fail("that is no domain");
    while (got < length && (more = read(channel, xml + got, length - got)) > 0)
        got += (size_t)more;
    xml[got] = 0;
    if (got < length)
        return fail(lost);
    guest->is_awaited = strcmp(word, "off") != 0;
    guest->is_paused = strcmp(word, "paused") == 0;
    virDomainPtr domain = virSnapConnectMigratePrepare(guest->conn, xml, paths, count, 0);
    if (!domain)
        return library_failed();
    if (guest->domain)
        virDomainFree(guest->domain);
    guest->domain = domain;
    return set_hooks(guest) < 0 ? library_failed() : 0;
}

/* Starts a guest that waits for the other one's memory. */
static int await_guest(struct guest *guest, const char *path)
{
    char uri[TEXT];
    char *xml = virDomainGetXMLDesc(guest->domain, VIR_DOMAIN_XML_SECURE);
    int started = xml && start(guest, xml, VIR_SNAP_START_INCOMING) == 0;

    free(xml);
    if (!started)
        return fail("QEMU does not start");
    snprintf(uri, sizeof(uri), "\"uri\": \"unix:%s.ram\"", path);
    return tell_guest(guest, "migrate-incoming", uri);
}

static int receive(struct guest *guest, int channel, const char *path,
                   const virSnapMigratePath *paths, unsigned int count)
{
    if (receive_definition(guest, channel, paths, count) < 0)
        return -1;
    if (virSnapDomainMigrateImportFD(guest->domain, channel, paths, count, 0) < 0)
        return library_failed();
    return guest->is_awaited ? await_guest(guest, path) : 0;
}

static int reply(int channel, int failed, const char *word)
{
    if (failed)
        return dprintf(channel, "error: %s\n", failure);
    return dprintf(channel, "%s\n", word);
}

/* Does what the source says until it hangs up. */
static int serve(struct guest *guest, int channel)
{
    char line[TEXT];

    while (read_line(channel, line, sizeof(line)) == 0) {
        if (strncmp(line, "finish ", 7) == 0)
            reply(channel, finish(guest, line + 7), "finished");
        else if (strcmp(line, "cancel") == 0)
            reply(channel, guest->domain ? cancel(guest) : 0, "cancelled");
    }
    if (guest->domain && virSnapDomainMigrateGetState(guest->domain, NULL, 0) ==
                             VIR_SNAP_MIGRATE_STATE_FINISHED)
        return 0;
    return -1;
}

static int accept_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), channel = -1;

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    unlink(path);
    if (bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(listener, 1) == 0)
        channel = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    close(listener);
    unlink(path);
    return channel;
}

static int incoming(struct guest *guest, const char *words)
{
    char path[TEXT], from[TEXT], to[TEXT];
    virSnapMigratePath paths = {.from = from, .to = to};
    int count = sscanf(words, "%4095s %4095s %4095s", path, from, to);
    int channel = accept_at(path), failed;

    if (channel < 0)
        return fail("nobody can come there");
    failed = receive(guest, channel, path, &paths, count == 3);
    reply(channel, failed, "ready");
    failed = serve(guest, channel);
    close(channel);
    return failed;
}

/* ---- commands ---------------------------------------------------------------------------- */

static int begin(struct guest *guest)
{
    char *cookie = NULL;

    if (virSnapDomainMigrateBegin(guest->domain, &cookie, VIR_SNAP_MIGRATE_METADATA) < 0)
        return answer(1);
    printf("ok %s\n", cookie);
    free(cookie);
    return 0;
}

/* Whether the line was one of these commands. */
int move_command(struct guest *guest, const char *line)
{
    if (strncmp(line, "incoming ", 9) == 0)
        conclude(incoming(guest, line + 9));
    else if (!guest->domain)
        return 0;
    else if (strncmp(line, "migrate-to ", 11) == 0)
        conclude(migrate_to(guest, line + 11));
    else if (strcmp(line, "migration") == 0)
        printf("ok %d\n", virSnapDomainMigrateGetState(guest->domain, NULL, 0));
    else if (strcmp(line, "begin") == 0)
        begin(guest);
    else if (strncmp(line, "finish ", 7) == 0)
        conclude(finish(guest, line + 7));
    else if (strcmp(line, "confirm") == 0)
        conclude(confirm(guest));
    else if (strcmp(line, "cancel") == 0)
        conclude(cancel(guest));
    else if (strcmp(line, "undefine") == 0)
        conclude(forget(guest));
    else
        return 0;
    return 1;
}
