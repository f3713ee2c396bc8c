/* A domain's snapshots go to another host: two state directories, and a process at each end. */
#include "harness.h"
#include "images.h"
#include "snapshots.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define METADATA VIR_SNAP_MIGRATE_METADATA

enum { OF_A = 0x11, OF_B = 0x22, NOW = 0x33, STREAM_SIZE = 1 << 20 };

static const char hierarchy[] = "a b<a *c<b d<b e<a";

/* What a stream is kept in. */
struct buffer {
    char bytes[STREAM_SIZE];
    size_t length;
    size_t at;
    size_t most;      /* bytes a call, at most */
    size_t fails_at;  /* no byte behind that; STREAM_SIZE: none fails */
};

static struct buffer *new_buffer(void)
{
    struct buffer *buffer = calloc(1, sizeof(*buffer));

    assert_non_null(buffer);
    buffer->most = STREAM_SIZE;
    buffer->fails_at = STREAM_SIZE;
    return buffer;
}

static int take(const char *bytes, unsigned int length, void *opaque)
{
    struct buffer *buffer = opaque;
    size_t count = length < buffer->most ? length : buffer->most;

    if (buffer->length + count > buffer->fails_at)
        return -1;
    memcpy(buffer->bytes + buffer->length, bytes, count);
    buffer->length += count;
    return (int)count;
}

static int give(char *bytes, unsigned int length, void *opaque)
{
    struct buffer *buffer = opaque;
    size_t count = length < buffer->most ? length : buffer->most;

    if (count > buffer->length - buffer->at)
        count = buffer->length - buffer->at;
    if (buffer->at + count > buffer->fails_at)
        return -1;
    memcpy(bytes, buffer->bytes + buffer->at, count);
    buffer->at += count;
    return (int)count;
}

/* Another host: a state directory of its own, and what the connection says about REDEFINE. */
static virConnectPtr open_host(const struct fixture *fixture, const char *directory)
{
    char *uri = format("virsnap://%s/%s", fixture->root, directory);
    virConnectPtr connection = virConnectOpen(uri);

    assert_non_null(connection);
    free(uri);
    return connection;
}

/* One that takes snapshots without data, as the fixture's connection does. */
static virConnectPtr open_there(const struct fixture *fixture)
{
    return open_host(fixture, "there?redefine_check=trust");
}

/* The same domain, as the other host defines it. */
static virDomainPtr define_there(virConnectPtr there, virDomainPtr domain)
{
    char *definition = domain_definition(domain);
    virDomainPtr defined = virDomainDefineXML(there, definition);

    assert_non_null(defined);
    free(definition);
    return defined;
}

static char *begin(virDomainPtr domain)
{
    char *cookie = NULL;

    assert_int_equal(virSnapDomainMigrateBegin(domain, &cookie, METADATA), 0);
    assert_non_null(cookie);
    return cookie;
}

static void export(virDomainPtr domain, struct buffer *buffer)
{
    buffer->length = 0;
    assert_int_equal(virSnapDomainMigrateExport(domain, take, buffer, 0), 0);
}

static int import(virDomainPtr domain, struct buffer *buffer)
{
    buffer->at = 0;
    return virSnapDomainMigrateImport(domain, give, buffer, NULL, 0, 0);
}

static int migration_state(virDomainPtr domain)
{
    return virSnapDomainMigrateGetState(domain, NULL, 0);
}

/* The documents of the whole hierarchy, one behind the other. Freed by the caller. */
static char *documents(virDomainPtr domain)
{
    virDomainSnapshotPtr *snapshots = NULL;
    int count = virDomainListAllSnapshots(domain, &snapshots, 0);
    char *text = format("%s", "");

    assert_true(count >= 0);
    for (int i = 0; i < count; i++) {
        char *xml = virDomainSnapshotGetXMLDesc(snapshots[i], VIR_DOMAIN_SNAPSHOT_XML_SECURE);
        char *more = format("%s%s", text, xml);

        free(text);
        free(xml);
        virDomainSnapshotFree(snapshots[i]);
        text = more;
    }
    free(snapshots);
    return text;
}

/* The last error has that code, from wherever. */
static void assert_code(int code)
{
    assert_int_equal(virGetLastErrorCode(), code);
    virResetLastError();
}

static void without_metadata_there_may_be_no_snapshots(void **state)
{
    static const char text[] =
        "Requested operation is not valid: cannot migrate domain with 5 snapshots";
    virDomainPtr domain = fixture_domain(*state, "guest", 1);
    char *cookie = (char *)text;

    assert_int_equal(virSnapDomainMigrateCheck(domain, 0), 0);
    assert_int_equal(virSnapDomainMigrateBegin(domain, &cookie, 0), 0);
    assert_null(cookie);
    assert_int_equal(virSnapDomainMigrateBegin(domain, NULL, 0), 0);
    tree_redefine(domain, hierarchy);
    assert_int_equal(virSnapDomainMigrateCheck(domain, 0), -1);
    assert_error(VIR_ERR_OPERATION_INVALID, VIR_FROM_QEMU, text);
    assert_int_equal(virSnapDomainMigrateBegin(domain, &cookie, 0), -1);
    assert_error(VIR_ERR_OPERATION_INVALID, VIR_FROM_QEMU, text);
    assert_int_equal(virSnapDomainMigrateCheck(domain, METADATA), 0);
    assert_int_equal(migration_state(domain), VIR_SNAP_MIGRATE_STATE_NONE);
    virDomainFree(domain);
}

/* The destination's process: defines the domain, takes the stream in, and finishes when it is told. */
static int destination(const struct fixture *fixture, int channel, const char *definition)
{
    virConnectPtr there = open_there(fixture);
    virDomainPtr domain = virDomainDefineXML(there, definition);
    char cookie[4096] = "";

    if (!domain || virSnapDomainMigrateImportFD(domain, channel, NULL, 0, 0) != 0)
        return 1;
    if (virDomainSnapshotNum(domain, 0) != 0)
        return 2;
    /* The cookie follows the stream on the same channel: no byte of it was taken. */
    if (read(channel, cookie, sizeof(cookie) - 1) <= 0 ||
        virSnapDomainMigrateFinish(domain, cookie, 0) != 0)
        return 3;
    virDomainFree(domain);
    return virConnectClose(there) == 0 ? 0 : 4;
}

static void a_process_at_each_end(void **state)
{
    struct fixture *fixture = *state;
    virDomainPtr domain = fixture_domain(fixture, "guest", 1);
    virDomainPtr arrived;
    virConnectPtr there;
    char *definition = domain_definition(domain);
    char *before;
    char *cookie;
    int channel[2];
    int status;
    pid_t child;

    tree_redefine(domain, hierarchy);
    before = documents(domain);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, channel), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(channel[0]);
        _exit(destination(fixture, channel[1], definition));
    }
    close(channel[1]);
    cookie = begin(domain);
    assert_int_equal(virSnapDomainMigrateExportFD(domain, channel[0], 0), 0);
    assert_int_equal(write(channel[0], cookie, strlen(cookie)), (ssize_t)strlen(cookie));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    close(channel[0]);

    there = open_there(fixture);
    arrived = virDomainLookupByName(there, "guest");
    assert_non_null(arrived);
    assert_int_equal(migration_state(arrived), VIR_SNAP_MIGRATE_STATE_FINISHED);
    assert_text(tree_text(arrived), "a b<a *c<b d<b e<a");
    assert_text(documents(arrived), before);
    assert_text(documents(domain), before);
    assert_int_equal(virSnapDomainMigrateConfirm(domain, cookie, 0, 0), 0);
    assert_int_equal(virSnapDomainMigrateConfirm(domain, cookie, 0, 0), 0);
    assert_int_equal(virDomainSnapshotNum(domain, 0), 0);
    assert_int_equal(virDomainUndefine(domain), 0);
    assert_text(documents(arrived), before);
    /* It goes on there. */
    virDomainSnapshotFree(snapshot_create(arrived, "f", 0));
    assert_text(tree_text(arrived), "a b<a c<b d<b e<a *f<c");
    virDomainFree(arrived);
    virDomainFree(domain);
    virConnectClose(there);
    free(definition);
    free(before);
    free(cookie);
}

static void the_data_goes_with_it(void **state)
{
    struct fixture *fixture = *state;
    virConnectPtr there = open_host(fixture, "there");
    virDomainPtr domain = fixture_domain(fixture, "guest", 1);
    virDomainPtr arrived;
    char *image = fixture_path(fixture, "guest-vda.qcow2");
    char *directory = fixture_path(fixture, "images");
    char *moved = fixture_path(fixture, "images/guest-vda.qcow2");
    const virSnapMigratePath paths[] = {{"/nowhere", "/elsewhere"}, {fixture->root, directory}};
    const char *const words[] = {"cp", image, moved, NULL};
    const char *const make[] = {"mkdir", directory, NULL};
    struct buffer *buffer = new_buffer();
    char *definition;
    char *at;
    char *mapped;
    char *expected;
    char *output;
    char *cookie;

    image_write(image, OF_A);
    virDomainSnapshotFree(snapshot_create(domain, "a", 0));
    image_write(image, OF_B);
    virDomainSnapshotFree(snapshot_create(domain, "b", 0));
    image_write(image, NOW);
    cookie = begin(domain);
    export(domain, buffer);
    assert_int_equal(run_program(make, &output), 0);
    free(output);
    assert_int_equal(run_program(words, &output), 0);
    free(output);
    definition = domain_definition(domain);
    arrived = virSnapConnectMigratePrepare(there, definition, paths, 2, 0);
    assert_non_null(arrived);
    mapped = domain_definition(arrived);
    at = strstr(definition, image);
    assert_non_null(at);
    expected = format("%.*s%s%s", (int)(at - definition), definition, moved, at + strlen(image));
    assert_string_equal(mapped, expected);
    assert_int_equal(virSnapDomainMigrateImport(arrived, give, buffer, paths, 2, 0), 0);
    assert_int_equal(virSnapDomainMigrateFinish(arrived, cookie, 0), 0);
    assert_int_equal(virSnapDomainMigrateConfirm(domain, cookie, 0, 0), 0);
    assert_text(image_snapshots(image), "a b");
    assert_text(tree_text(arrived), "a *b<a");
    for (const char *name = "ab"; *name; name++) {
        const char word[] = {*name, '\0'};
        virDomainSnapshotPtr snapshot = snapshot_lookup(arrived, word);

        assert_int_equal(virDomainRevertToSnapshot(snapshot, 0), 0);
        assert_true(image_holds(moved, *name == 'a' ? OF_A : OF_B));
        virDomainSnapshotFree(snapshot);
    }
    snapshot_delete(arrived, "a", 0);
    assert_text(image_snapshots(moved), "b");
    assert_true(image_holds(image, NOW));
    virDomainFree(arrived);
    virDomainFree(domain);
    virConnectClose(there);
    free(definition);
    free(mapped);
    free(expected);
    free(cookie);
    free(buffer);
    free(image);
    free(directory);
    free(moved);
}

/* Takes a stream in from a descriptor. */
static int import_fd(virDomainPtr domain, const struct buffer *buffer, unsigned int flags)
{
    FILE *file = tmpfile();
    int answer;

    assert_non_null(file);
    assert_int_equal(fwrite(buffer->bytes, 1, buffer->length, file), buffer->length);
    rewind(file);
    answer = virSnapDomainMigrateImportFD(domain, fileno(file), NULL, 0, flags);
    fclose(file);
    return answer;
}

/* The snapshots come in on that host. */
static void assert_arrives(const struct fixture *fixture, const char *directory,
                           virDomainPtr domain, const struct buffer *buffer, const char *cookie,
                           unsigned int flags)
{
    virConnectPtr there = open_host(fixture, directory);
    virDomainPtr arriving = define_there(there, domain);

    assert_int_equal(import_fd(arriving, buffer, flags), 0);
    assert_int_equal(virSnapDomainMigrateFinish(arriving, cookie, 0), 0);
    assert_int_equal(virSnapDomainMigrateFinish(arriving, cookie, 0), 0);
    assert_text(tree_text(arriving), "a *b<a");
    virDomainFree(arriving);
    virConnectClose(there);
}

static void what_comes_in_is_checked_against_the_data(void **state)
{
    static const unsigned int unchecked = VIR_SNAP_MIGRATE_IMPORT_UNCHECKED;
    struct fixture *fixture = *state;
    virConnectPtr there = open_host(fixture, "there");
    virDomainPtr domain = fixture_domain(fixture, "guest", 1);
    virDomainPtr arriving = define_there(there, domain);
    struct buffer *buffer = new_buffer();
    char *image = fixture_path(fixture, "guest-vda.qcow2");
    char *missing = fixture_path(fixture, "missing.qcow2");
    char *unreachable = fixture_path(fixture, "nowhere/guest-vda.qcow2");
    const virSnapMigratePath to_missing = {image, missing};
    const virSnapMigratePath to_unreachable = {image, unreachable};
    char *expected;
    char *cookie;

    virDomainSnapshotFree(snapshot_create(domain, "a", 0));
    virDomainSnapshotFree(snapshot_create(domain, "b", 0));
    cookie = begin(domain);
    export(domain, buffer);
    image_snapshot_delete(image, "b");
    expected = format("unsupported configuration: snapshot 'b' of domain 'guest' does not agree with "
                      "its data: disk 'vda', image '%s': it holds no snapshot named 'b'", image);
    assert_int_equal(import(arriving, buffer), -1);
    assert_error(VIR_ERR_CONFIG_UNSUPPORTED, VIR_FROM_QEMU, expected);
    assert_int_equal(import_fd(arriving, buffer, 0), -1);
    assert_error(VIR_ERR_CONFIG_UNSUPPORTED, VIR_FROM_QEMU, expected);
    buffer->at = 0;
    assert_int_equal(virSnapDomainMigrateImport(arriving, give, buffer, &to_missing, 1, 0), -1);
    assert_non_null(strstr(virGetLastErrorMessage(), missing));
    assert_error(VIR_ERR_CONFIG_UNSUPPORTED, VIR_FROM_QEMU, NULL);
    assert_int_equal(migration_state(arriving), VIR_SNAP_MIGRATE_STATE_NONE);
    assert_int_equal(virDomainSnapshotNum(arriving, 0), 0);

    assert_arrives(fixture, "warning?redefine_check=warn", domain, buffer, cookie, 0);
    assert_arrives(fixture, "trusting?redefine_check=trust", domain, buffer, cookie, 0);
    assert_arrives(fixture, "early?redefine_check=strict", domain, buffer, cookie, unchecked);
    buffer->at = 0;
    assert_int_equal(virSnapDomainMigrateImport(arriving, give, buffer, &to_missing, 1, unchecked),
                     0);
    buffer->at = 0;
    assert_int_equal(virSnapDomainMigrateImport(arriving, give, buffer, &to_unreachable, 1, 0), 0);
    /* A refused one leaves what came in before. */
    assert_int_equal(import(arriving, buffer), -1);
    assert_error(VIR_ERR_CONFIG_UNSUPPORTED, VIR_FROM_QEMU, expected);
    assert_int_equal(migration_state(arriving), VIR_SNAP_MIGRATE_STATE_INCOMING);
    image_snapshot_create(image, "b");
    assert_int_equal(import(arriving, buffer), 0);
    assert_int_equal(virSnapDomainMigrateFinish(arriving, cookie, 0), 0);
    assert_text(tree_text(arriving), "a *b<a");
    virDomainFree(arriving);
    virDomainFree(domain);
    virConnectClose(there);
    free(buffer);
    free(image);
    free(missing);
    free(unreachable);
    free(expected);
    free(cookie);
}

/* Another name changes nothing about what has been: both ends may ask, and repeat. */
static void a_phase_is_repeated_after_a_rename(void **state)
{
    struct fixture *fixture = *state;
    virConnectPtr there = open_there(fixture);
    virDomainPtr domain = fixture_domain(fixture, "guest", 1);
    virDomainPtr arrived = define_there(there, domain);
    virDomainPtr renamed;
    struct buffer *buffer = new_buffer();
    char *cookie;
    char *ids[2];

    tree_redefine(domain, hierarchy);
    cookie = begin(domain);
    export(domain, buffer);
    assert_int_equal(import(arrived, buffer), 0);
    assert_int_equal(virSnapDomainMigrateFinish(arrived, cookie, 0), 0);
    assert_int_equal(virSnapDomainMigrateConfirm(domain, cookie, 0, 0), 0);
    assert_int_equal(virSnapDomainMigrateGetState(arrived, &ids[0], 0),
                     VIR_SNAP_MIGRATE_STATE_FINISHED);

    assert_int_equal(virDomainRename(arrived, "renamed", 0), 0);
    assert_int_equal(virDomainRename(domain, "gone", 0), 0);
    virDomainFree(arrived);
    virConnectClose(there);
    there = open_there(fixture);
    renamed = virDomainLookupByName(there, "renamed");
    assert_non_null(renamed);
    assert_int_equal(virSnapDomainMigrateGetState(renamed, &ids[1], 0),
                     VIR_SNAP_MIGRATE_STATE_FINISHED);
    assert_string_equal(ids[0], ids[1]);
    assert_int_equal(virSnapDomainMigrateFinish(renamed, cookie, 0), 0);
    assert_int_equal(virSnapDomainMigrateCancel(renamed, 0), -1);
    assert_error(VIR_ERR_OPERATION_INVALID, VIR_FROM_QEMU, NULL);
    assert_int_equal(virSnapDomainMigrateConfirm(domain, cookie, 0, 0), 0);
    assert_text(tree_text(renamed), hierarchy);
    /* A domain that gets the old name has not migrated. */
    assert_int_equal(virDomainUndefineFlags(renamed, VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA), 0);
    virDomainFree(renamed);
    renamed = define_there(there, domain);
    assert_int_equal(migration_state(renamed), VIR_SNAP_MIGRATE_STATE_NONE);
    virDomainFree(renamed);
    virDomainFree(domain);
    virConnectClose(there);
    free(buffer);
    free(cookie);
    free(ids[0]);
    free(ids[1]);
}

static void assert_frozen(virDomainPtr domain, const char *reason)
{
    static const char xml[] = "<domainsnapshot><name>new</name></domainsnapshot>";
    virErrorPtr error;

    assert_null(virDomainSnapshotCreateXML(domain, xml, 0));
    error = virGetLastError();
    assert_non_null(error);
    assert_int_equal(error->code, VIR_ERR_OPERATION_INVALID);
    assert_non_null(strstr(error->message, "domain 'guest' is being migrated"));
    assert_non_null(strstr(error->message, reason));
    assert_int_equal(virDomainUndefineFlags(domain, VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA), -1);
    assert_error(VIR_ERR_OPERATION_INVALID, VIR_FROM_QEMU, NULL);
    assert_int_equal(virSnapDomainMigrateCheck(domain, METADATA), -1);
    assert_error(VIR_ERR_OPERATION_INVALID, VIR_FROM_QEMU, NULL);
}

/* A process that begins and takes in, and dies. */
static int begin_and_die(const struct fixture *fixture, const char *definition)
{
    virConnectPtr here = virConnectOpen(fixture->uri);
    virConnectPtr there = open_there(fixture);
    virDomainPtr domain = virDomainLookupByName(here, "guest");
    virDomainPtr arriving = virDomainDefineXML(there, definition);
    struct buffer *buffer = calloc(1, sizeof(*buffer));
    char *cookie;

    if (!buffer || virSnapDomainMigrateBegin(domain, &cookie, METADATA) != 0)
        return 1;
    buffer->most = STREAM_SIZE;
    buffer->fails_at = STREAM_SIZE;
    if (virSnapDomainMigrateExport(domain, take, buffer, 0) != 0 || import(arriving, buffer) != 0)
        return 1;
    kill(getpid(), SIGKILL);
    return 1;
}

static void both_ends_stay_frozen_when_the_manager_dies(void **state)
{
    struct fixture *fixture = *state;
    virDomainPtr domain = fixture_domain(fixture, "guest", 1);
    virConnectPtr there;
    virDomainPtr arriving;
    char *definition = domain_definition(domain);
    char *ids[2] = {NULL, NULL};
    char *cookie;
    int status;
    pid_t child;

    tree_redefine(domain, hierarchy);
    child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(begin_and_die(fixture, definition));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    there = open_there(fixture);
    arriving = virDomainLookupByName(there, "guest");
    assert_non_null(arriving);
    assert_int_equal(virSnapDomainMigrateGetState(domain, &ids[0], 0),
                     VIR_SNAP_MIGRATE_STATE_OUTGOING);
    assert_int_equal(virSnapDomainMigrateGetState(arriving, &ids[1], 0),
                     VIR_SNAP_MIGRATE_STATE_INCOMING);
    assert_string_equal(ids[0], ids[1]);
    assert_frozen(domain, "going to");
    assert_frozen(arriving, "coming from");
    assert_text(tree_text(domain), hierarchy);
    assert_text(tree_text(arriving), "");
    /* Its successor goes on. */
    cookie = begin(domain);
    assert_non_null(strstr(cookie, ids[0]));
    assert_int_equal(virSnapDomainMigrateFinish(arriving, cookie, 0), 0);
    assert_int_equal(virSnapDomainMigrateCancel(arriving, 0), -1);
    assert_error(VIR_ERR_OPERATION_INVALID, VIR_FROM_QEMU, NULL);
    assert_int_equal(virSnapDomainMigrateConfirm(domain, cookie, 0, 0), 0);
    assert_int_equal(virSnapDomainMigrateCancel(domain, 0), -1);
    assert_error(VIR_ERR_OPERATION_INVALID, VIR_FROM_QEMU, NULL);
    assert_text(tree_text(arriving), hierarchy);
    assert_text(tree_text(domain), "");
    virDomainFree(arriving);
    virDomainFree(domain);
    virConnectClose(there);
    free(definition);
    free(cookie);
    free(ids[0]);
    free(ids[1]);
}

static void a_cancelled_one_leaves_nothing(void **state)
{
    struct fixture *fixture = *state;
    virConnectPtr there = open_there(fixture);
    virDomainPtr domain = fixture_domain(fixture, "guest", 1);
    virDomainPtr arriving = define_there(there, domain);
    struct buffer *buffer = new_buffer();
    char *cookie;

    tree_redefine(domain, hierarchy);
    cookie = begin(domain);
    export(domain, buffer);
    assert_int_equal(import(arriving, buffer), 0);
    for (int time = 0; time < 2; time++) {
        assert_int_equal(virSnapDomainMigrateCancel(arriving, 0), 0);
        assert_int_equal(virSnapDomainMigrateConfirm(domain, cookie, 1, 0), 0);
    }
    assert_int_equal(migration_state(domain), VIR_SNAP_MIGRATE_STATE_CANCELLED);
    assert_int_equal(virSnapDomainMigrateFinish(arriving, cookie, 0), -1);
    assert_error(VIR_ERR_OPERATION_INVALID, VIR_FROM_QEMU, NULL);
    assert_int_equal(virSnapDomainMigrateConfirm(domain, cookie, 0, 0), -1);
    assert_error(VIR_ERR_OPERATION_INVALID, VIR_FROM_QEMU, NULL);
    assert_text(tree_text(domain), hierarchy);
    assert_text(tree_text(arriving), "");
    virDomainSnapshotFree(snapshot_create(domain, "new", 0));
    virDomainFree(arriving);
    virDomainFree(domain);
    virConnectClose(there);
    free(cookie);
    free(buffer);
}

static void bytes_come_and_go_in_any_pieces(void **state)
{
    struct fixture *fixture = *state;
    virConnectPtr there = open_there(fixture);
    virDomainPtr domain = fixture_domain(fixture, "guest", 1);
    virDomainPtr arriving = define_there(there, domain);
    struct buffer *whole = new_buffer();
    struct buffer *pieces = new_buffer();

    tree_redefine(domain, "a *b<a");
    free(begin(domain));
    export(domain, whole);
    for (pieces->most = 1; pieces->most < 300; pieces->most += 149) {
        export(domain, pieces);
        assert_int_equal(pieces->length, whole->length);
        assert_memory_equal(pieces->bytes, whole->bytes, whole->length);
        assert_int_equal(import(arriving, pieces), 0);
        assert_int_equal(virSnapDomainMigrateCancel(arriving, 0), 0);
        /* What was cancelled does not come in again. */
        assert_int_equal(import(arriving, pieces), -1);
        assert_error(VIR_ERR_OPERATION_INVALID, VIR_FROM_QEMU, NULL);
        assert_int_equal(virSnapDomainMigrateCancel(domain, 0), 0);
        free(begin(domain));
        export(domain, whole);
    }
    pieces->most = STREAM_SIZE;
    for (pieces->fails_at = 0; pieces->fails_at < whole->length; pieces->fails_at += 101) {
        pieces->length = 0;
        assert_int_equal(virSnapDomainMigrateExport(domain, take, pieces, 0), -1);
        assert_error(VIR_ERR_OPERATION_FAILED, VIR_FROM_QEMU, NULL);
        memcpy(pieces->bytes, whole->bytes, whole->length);
        pieces->length = whole->length;
        assert_int_equal(import(arriving, pieces), -1);
        assert_error(VIR_ERR_OPERATION_FAILED, VIR_FROM_QEMU, NULL);
    }
    assert_int_equal(migration_state(arriving), VIR_SNAP_MIGRATE_STATE_CANCELLED);
    assert_text(tree_text(arriving), "");
    virDomainFree(arriving);
    virDomainFree(domain);
    virConnectClose(there);
    free(whole);
    free(pieces);
}

static void a_damaged_stream_changes_nothing(void **state)
{
    struct fixture *fixture = *state;
    virConnectPtr there = open_there(fixture);
    virDomainPtr domain = fixture_domain(fixture, "guest", 1);
    virDomainPtr other = fixture_domain(fixture, "other", 1);
    virDomainPtr arriving = define_there(there, domain);
    virDomainPtr foreign = define_there(there, other);
    struct buffer *buffer = new_buffer();
    size_t length;

    tree_redefine(domain, "a *b<a");
    free(begin(domain));
    export(domain, buffer);
    length = buffer->length;
    assert_int_equal(import(foreign, buffer), -1);
    assert_error(VIR_ERR_OPERATION_FAILED, VIR_FROM_QEMU, NULL);
    for (buffer->length = 0; buffer->length < length; buffer->length += 89) {
        assert_int_equal(import(arriving, buffer), -1);
        assert_error(VIR_ERR_OPERATION_FAILED, VIR_FROM_QEMU, NULL);
    }
    buffer->length = length;
    /* Behind the head with its identifier every byte counts. */
    for (size_t at = 100; at < length; at += 23) {
        buffer->bytes[at] ^= 2;
        assert_int_equal(import(arriving, buffer), -1);
        buffer->bytes[at] ^= 2;
    }
    assert_int_equal(migration_state(arriving), VIR_SNAP_MIGRATE_STATE_NONE);
    assert_int_equal(import(arriving, buffer), 0);
    assert_int_equal(virSnapDomainMigrateFinish(arriving, "<snapshots/>", 0), -1);
    assert_error(VIR_ERR_INTERNAL_ERROR, VIR_FROM_QEMU, NULL);
    assert_int_equal(virSnapDomainMigrateFinish(arriving, NULL, 0), 0);
    assert_text(tree_text(arriving), "a b<a");
    virDomainFree(arriving);
    virDomainFree(foreign);
    virDomainFree(other);
    virDomainFree(domain);
    virConnectClose(there);
    free(buffer);
}

static void another_snapshot_of_a_name_is_a_conflict(void **state)
{
    struct fixture *fixture = *state;
    virConnectPtr there = open_there(fixture);
    virDomainPtr domain = fixture_domain(fixture, "guest", 1);
    virDomainPtr arriving = define_there(there, domain);
    struct buffer *buffer = new_buffer();
    char *cookie;

    tree_redefine(domain, hierarchy);
    tree_redefine(arriving, "a b");
    cookie = begin(domain);
    export(domain, buffer);
    assert_int_equal(import(arriving, buffer), -1);
    assert_error(VIR_ERR_OPERATION_FAILED, VIR_FROM_QEMU,
                 "operation failed: domain 'guest' has another snapshot named 'b' already");
    assert_text(tree_text(arriving), "a b");
    snapshot_delete(arriving, "b", 0);
    /* Equal, and not in the stream: both stay. */
    tree_redefine(arriving, "own");
    assert_int_equal(import(arriving, buffer), 0);
    assert_int_equal(virSnapDomainMigrateFinish(arriving, cookie, 0), 0);
    assert_text(tree_text(arriving), "a b<a *c<b d<b e<a own");
    virDomainFree(arriving);
    virDomainFree(domain);
    virConnectClose(there);
    free(cookie);
    free(buffer);
}

/* Every call on something that is no domain, with unknown flags, on a read-only connection. */
static void assert_all_fail(virDomainPtr domain, unsigned int flags, int code)
{
    struct buffer *buffer = new_buffer();
    char *text = NULL;

    assert_int_equal(virSnapDomainMigrateBegin(domain, &text, METADATA | flags), -1);
    assert_code(code);
    assert_int_equal(virSnapDomainMigrateExport(domain, take, buffer, flags), -1);
    assert_code(code);
    assert_int_equal(virSnapDomainMigrateExportFD(domain, 0, flags), -1);
    assert_code(code);
    assert_int_equal(virSnapDomainMigrateImport(domain, give, buffer, NULL, 0, flags), -1);
    assert_code(code);
    assert_int_equal(virSnapDomainMigrateImportFD(domain, 0, NULL, 0, flags), -1);
    assert_code(code);
    assert_int_equal(virSnapDomainMigrateFinish(domain, NULL, flags), -1);
    assert_code(code);
    assert_int_equal(virSnapDomainMigrateConfirm(domain, NULL, 0, flags), -1);
    assert_code(code);
    assert_int_equal(virSnapDomainMigrateCancel(domain, flags), -1);
    assert_code(code);
    assert_int_equal(virSnapDomainMigrateGetState(domain, &text, flags), -1);
    assert_code(code);
    assert_null(text);
    free(buffer);
}

static void arguments_are_checked(void **state)
{
    struct fixture *fixture = *state;
    virDomainPtr domain = fixture_domain(fixture, "guest", 1);
    const virSnapMigratePath relative = {"a", "/b"};
    const virSnapMigratePath missing = {"/a", NULL};
    struct buffer *buffer = new_buffer();
    virConnectPtr reading;
    virDomainPtr read_only;

    tree_redefine(domain, hierarchy);
    assert_all_fail(NULL, 0, VIR_ERR_INVALID_DOMAIN);
    assert_all_fail((virDomainPtr)fixture->connection, 0, VIR_ERR_INVALID_DOMAIN);
    assert_all_fail(domain, 2, VIR_ERR_INVALID_ARG);
    reading = virConnectOpenReadOnly(fixture->uri);
    read_only = virDomainLookupByName(reading, "guest");
    assert_all_fail(read_only, 0, VIR_ERR_OPERATION_DENIED);
    assert_int_equal(virSnapDomainMigrateCheck(read_only, METADATA), 0);
    assert_null(virSnapConnectMigratePrepare(reading, "<domain/>", NULL, 0, 0));
    assert_code(VIR_ERR_OPERATION_DENIED);
    virDomainFree(read_only);
    virConnectClose(reading);
    assert_null(virSnapConnectMigratePrepare(NULL, "<domain/>", NULL, 0, 0));
    assert_error(VIR_ERR_INVALID_CONN, VIR_FROM_DOMAIN, NULL);
    assert_null(virSnapConnectMigratePrepare(fixture->connection, NULL, NULL, 0, 0));
    assert_code(VIR_ERR_INVALID_ARG);
    assert_null(virSnapConnectMigratePrepare(fixture->connection, "<domain/>", NULL, 0, 1));
    assert_code(VIR_ERR_INVALID_ARG);
    assert_null(virSnapConnectMigratePrepare(fixture->connection, "<domain/>", &relative, 1, 0));
    assert_code(VIR_ERR_INVALID_ARG);
    assert_null(virSnapConnectMigratePrepare(fixture->connection, "<domain", NULL, 0, 0));
    assert_code(VIR_ERR_XML_DETAIL);
    assert_int_equal(virSnapDomainMigrateCheck(NULL, 0), -1);
    assert_error(VIR_ERR_INVALID_DOMAIN, VIR_FROM_DOM, NULL);
    assert_int_equal(virSnapDomainMigrateBegin(domain, NULL, METADATA), -1);
    assert_code(VIR_ERR_INVALID_ARG);
    assert_int_equal(virSnapDomainMigrateExport(domain, NULL, NULL, 0), -1);
    assert_code(VIR_ERR_INVALID_ARG);
    assert_int_equal(virSnapDomainMigrateImport(domain, NULL, NULL, NULL, 0, 0), -1);
    assert_code(VIR_ERR_INVALID_ARG);
    assert_int_equal(virSnapDomainMigrateImport(domain, give, buffer, NULL, 1, 0), -1);
    assert_code(VIR_ERR_INVALID_ARG);
    assert_int_equal(virSnapDomainMigrateImport(domain, give, buffer, &relative, 1, 0), -1);
    assert_code(VIR_ERR_INVALID_ARG);
    assert_int_equal(virSnapDomainMigrateImport(domain, give, buffer, &missing, 1, 0), -1);
    assert_code(VIR_ERR_INVALID_ARG);
    assert_int_equal(virSnapDomainMigrateImportFD(domain, -1, NULL, 0, 0), -1);
    assert_code(VIR_ERR_INVALID_ARG);
    /* Nothing was begun by any of these. */
    assert_int_equal(migration_state(domain), VIR_SNAP_MIGRATE_STATE_NONE);
    assert_int_equal(virSnapDomainMigrateExport(domain, take, buffer, 0), -1);
    assert_error(VIR_ERR_OPERATION_INVALID, VIR_FROM_QEMU, NULL);
    assert_int_equal(virSnapDomainMigrateConfirm(domain, NULL, 0, 0), -1);
    assert_error(VIR_ERR_OPERATION_INVALID, VIR_FROM_QEMU, NULL);
    assert_int_equal(virSnapDomainMigrateCancel(domain, 0), 0);
    free(begin(domain));
    assert_int_equal(virSnapDomainMigrateExportFD(domain, 1000, 0), -1);
    assert_error(VIR_ERR_SYSTEM_ERROR, VIR_FROM_QEMU, NULL);
    virDomainFree(domain);
    free(buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(without_metadata_there_may_be_no_snapshots),
        fixture_test(a_process_at_each_end),
        fixture_test(the_data_goes_with_it),
        fixture_test(what_comes_in_is_checked_against_the_data),
        fixture_test(a_phase_is_repeated_after_a_rename),
        fixture_test(both_ends_stay_frozen_when_the_manager_dies),
        fixture_test(a_cancelled_one_leaves_nothing),
        fixture_test(bytes_come_and_go_in_any_pieces),
        fixture_test(a_damaged_stream_changes_nothing),
        fixture_test(another_snapshot_of_a_name_is_a_conflict),
        fixture_test(arguments_are_checked),
    };

    return run_family("migrate", tests);
}
