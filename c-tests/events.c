/* Being told of changes. libvirt has no events of snapshots. */
#include "images.h"
#include "snapshots.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What a listener was told, one word an event. */
struct heard {
    virConnectPtr conn;
    pthread_t thread;
    char text[4096];
    int freed;
    int id;
};

static const char *const words[] = {"created", "deleted", "reverted", "current", "migrated",
                                    "progress"};

static void hear(virConnectPtr conn, const virSnapEvent *event, void *opaque)
{
    struct heard *heard = opaque;
    size_t length = strlen(heard->text);

    assert_ptr_equal(conn, heard->conn);
    assert_in_range(event->id, 0, 5);
    assert_int_equal(strlen(event->uuid), VIR_UUID_STRING_BUFLEN - 1);
    heard->thread = pthread_self();
    snprintf(heard->text + length, sizeof(heard->text) - length, "%s %s%s%.0d\n", words[event->id],
             event->snapshot ? event->snapshot : "-", event->detail ? " " : "", event->detail);
}

static void forget(void *opaque)
{
    ((struct heard *)opaque)->freed++;
}

static void listen_to(struct heard *heard, virConnectPtr conn, virDomainPtr domain, int event)
{
    memset(heard, 0, sizeof(*heard));
    heard->conn = conn;
    heard->id = virSnapConnectEventRegister(conn, domain, event, hear, heard, forget);
    assert_true(heard->id >= 0);
}

/* It is in this test's frame, so it must not hear of the connection's end. */
static void leave(struct heard *heard)
{
    assert_int_equal(virSnapConnectEventDeregister(heard->conn, heard->id), 0);
    assert_int_equal(heard->freed, 1);
}

/* It heard just this since the last time. */
static void assert_heard(struct heard *heard, const char *expected)
{
    assert_string_equal(heard->text, expected);
    heard->text[0] = '\0';
}

static void changes_are_told(void **state)
{
    struct fixture *fixture = *state;
    virDomainPtr domain;
    virDomainPtr other;
    virDomainSnapshotPtr snapshot;
    struct heard all, one, deleted;

    domain = fixture_domain(fixture, "told", 1);
    other = fixture_domain(fixture, "other", 1);
    listen_to(&all, fixture->connection, NULL, -1);
    listen_to(&one, fixture->connection, domain, -1);
    listen_to(&deleted, fixture->connection, NULL, VIR_SNAP_EVENT_DELETED);
    virDomainSnapshotFree(snapshot_create(other, "o", 0));
    assert_heard(&all, "created o\ncurrent o\n");
    assert_heard(&one, "");
    virDomainSnapshotFree(snapshot_create(domain, "a", 0));
    virDomainSnapshotFree(snapshot_create(domain, "b", 0));
    assert_heard(&one, "created a\ncurrent a\ncreated b\ncurrent b\n");
    assert_true(pthread_equal(one.thread, pthread_self()));
    /* What is refused or changes nothing is told to nobody. */
    assert_null(virDomainSnapshotCreateXML(domain, "<domainsnapshot><name>a</name></domainsnapshot>",
                                           0));
    assert_error(VIR_ERR_OPERATION_FAILED, VIR_FROM_DOMAIN, NULL);
    assert_heard(&one, "");
    snapshot = snapshot_lookup(domain, "a");
    assert_int_equal(virDomainRevertToSnapshot(snapshot, 0), 0);
    assert_heard(&one, "reverted a\ncurrent a\n");
    virDomainSnapshotFree(snapshot);
    virDomainSnapshotFree(snapshot_redefine(domain, "c", "b", 0));
    assert_heard(&one, "created c 1\n");
    virDomainSnapshotFree(snapshot_redefine(domain, "c", "b", VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT));
    assert_heard(&one, "created c 1\ncurrent c\n");
    snapshot_delete(domain, "c", VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY);
    assert_heard(&one, "deleted c 2\ncurrent b\n");
    snapshot_delete(domain, "a", VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN);
    assert_heard(&one, "deleted b\ndeleted a\ncurrent -\n");
    assert_int_equal(virDomainUndefineFlags(other, VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA), 0);
    assert_heard(&deleted, "deleted c 2\ndeleted b\ndeleted a\ndeleted o 2\n");
    assert_int_equal(virSnapConnectEventDeregister(fixture->connection, one.id), 0);
    assert_int_equal(one.freed, 1);
    assert_int_equal(virSnapConnectEventDeregister(fixture->connection, one.id), -1);
    assert_error(VIR_ERR_INVALID_ARG, VIR_FROM_QEMU, NULL);
    virDomainSnapshotFree(snapshot_create(domain, "d", 0));
    assert_heard(&one, "");
    virDomainFree(domain);
    virDomainFree(other);
    virConnectClose(fixture->connection);
    fixture->connection = NULL;
    assert_int_equal(all.freed, 1);
    assert_int_equal(deleted.freed, 1);
    assert_int_equal(one.freed, 1);
}

static void migration_is_told_as_one(void **state)
{
    struct fixture *fixture = *state;
    virDomainPtr domain;
    struct heard heard;
    char *cookie = NULL;

    domain = fixture_domain(fixture, "moved", 1);
    virDomainSnapshotFree(snapshot_create(domain, "a", 0));
    listen_to(&heard, fixture->connection, domain, -1);
    assert_int_equal(virSnapDomainMigrateBegin(domain, &cookie, VIR_SNAP_MIGRATE_METADATA), 0);
    assert_heard(&heard, "");
    assert_int_equal(virSnapDomainMigrateConfirm(domain, cookie, 0, 0), 0);
    assert_heard(&heard, "migrated - 3\n");
    leave(&heard);
    free(cookie);
    virDomainFree(domain);
}

/* A listener that changes the domain, asks, fails a call, and goes. */
static void answer(virConnectPtr conn, const virSnapEvent *event, void *opaque)
{
    struct heard *heard = opaque;
    virDomainPtr domain;

    hear(conn, event, opaque);
    if (event->id != VIR_SNAP_EVENT_CREATED || strcmp(event->snapshot, "a") != 0)
        return;
    domain = virDomainLookupByName(conn, event->domain);
    assert_int_equal(virDomainSnapshotNum(domain, 0), 1);
    virDomainSnapshotFree(snapshot_create(domain, "b", 0));
    assert_null(virDomainSnapshotLookupByName(domain, "none", 0));
    virDomainFree(domain);
    assert_int_equal(virSnapConnectEventDeregister(conn, heard->id), 0);
    assert_int_equal(heard->freed, 0);
}

static void a_listener_may_do_anything(void **state)
{
    struct fixture *fixture = *state;
    virDomainPtr domain;
    struct heard first, second;

    domain = fixture_domain(fixture, "told", 1);
    memset(&first, 0, sizeof(first));
    first.conn = fixture->connection;
    first.id = virSnapConnectEventRegister(fixture->connection, NULL, -1, answer, &first, forget);
    listen_to(&second, fixture->connection, domain, -1);
    virDomainSnapshotFree(snapshot_create(domain, "a", 0));
    assert_no_error();
    /* In the order of the changes, the nested one's last. */
    assert_heard(&second, "created a\ncurrent a\ncreated b\ncurrent b\n");
    assert_heard(&first, "created a\n");
    assert_int_equal(first.freed, 1);
    leave(&second);
    virDomainFree(domain);
}

/* How often something was told of a long operation, and what came behind that. */
struct course {
    int told;
    int ended;
    int behind;
};

static void watch(virConnectPtr conn, const virSnapEvent *event, void *opaque)
{
    struct course *course = opaque;
    virDomainPtr domain = virDomainLookupByName(conn, event->domain);

    /* The domain may be read. */
    assert_true(virDomainSnapshotNum(domain, 0) >= 1);
    virDomainFree(domain);
    if (event->id != VIR_SNAP_EVENT_PROGRESS) {
        course->behind++;
        return;
    }
    assert_int_equal(course->behind, 0);
    assert_null(event->snapshot);
    assert_in_range(event->done, 0, event->total);
    course->told++;
    course->ended += event->done == event->total;
}

static void progress_is_told(void **state)
{
    struct fixture *fixture = *state;
    virDomainPtr domain = fixture_domain(fixture, "long", 1);
    struct course course = {0};
    int id;

    virDomainSnapshotFree(snapshot_create(domain, "a", VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY));
    virDomainSnapshotFree(snapshot_create(domain, "b", VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY));
    id = virSnapConnectEventRegister(fixture->connection, domain, -1, watch, &course, NULL);
    assert_true(id >= 0);
    snapshot_delete(domain, "a", 0);
    /* To write it down, then to compare: each begins and ends. */
    assert_true(course.told >= 4);
    assert_true(course.ended >= 2);
    assert_int_equal(course.behind, 1);
    virDomainFree(domain);
}

enum { THREADS = 4, ROUNDS = 20 };

struct worker {
    virDomainPtr domain;
    int number;
    pthread_t thread;
};

/* The threads of the events, in their order, and whether each was told in the thread of its change. */
static struct {
    char names[THREADS * ROUNDS * 2][32];
    int count;
    bool is_wrong;
    bool is_inside;
} order;

static _Thread_local int own_number = -1;

static void note(virConnectPtr conn, const virSnapEvent *event, void *opaque)
{
    (void)conn;
    (void)opaque;
    /* No two at once: nothing else guards this. */
    if (order.is_inside)
        order.is_wrong = true;
    order.is_inside = true;
    if (event->id == VIR_SNAP_EVENT_CREATED || event->id == VIR_SNAP_EVENT_DELETED) {
        if (event->snapshot[0] - '0' != own_number)
            order.is_wrong = true;
        snprintf(order.names[order.count++], sizeof(order.names[0]), "%c%s",
                 event->id == VIR_SNAP_EVENT_CREATED ? '+' : '-', event->snapshot);
        nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
    }
    order.is_inside = false;
}

static void *work(void *opaque)
{
    struct worker *worker = opaque;

    own_number = worker->number;
    for (int round = 0; round < ROUNDS; round++) {
        char *name = format("%d-%d", worker->number, round);

        virDomainSnapshotFree(snapshot_redefine(worker->domain, name, NULL, 0));
        snapshot_delete(worker->domain, name, VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY);
        free(name);
    }
    return NULL;
}

static void threads_are_told_in_order(void **state)
{
    struct fixture *fixture = *state;
    struct worker workers[THREADS];
    virDomainPtr domain;
    int next[THREADS] = {0};

    domain = fixture_domain(fixture, "told", 1);
    assert_true(virSnapConnectEventRegister(fixture->connection, domain, -1, note, NULL, NULL) >= 0);
    for (int i = 0; i < THREADS; i++) {
        workers[i].domain = domain;
        workers[i].number = i;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(workers[i].thread, NULL);
    assert_false(order.is_wrong);
    assert_int_equal(order.count, THREADS * ROUNDS * 2);
    /* Of each thread: +N-0 -N-0 +N-1 -N-1 ... */
    for (int i = 0; i < order.count; i++) {
        int number = order.names[i][1] - '0';
        char *expected = format("%c%d-%d", next[number] % 2 ? '-' : '+', number, next[number] / 2);

        assert_string_equal(order.names[i], expected);
        free(expected);
        next[number]++;
    }
    virDomainFree(domain);
}

/* Another process changes the domain. */
static void change_elsewhere(const struct fixture *fixture, const char *form)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        virConnectPtr conn = virConnectOpen(fixture->uri);
        virDomainPtr domain = virDomainLookupByName(conn, "told");

        tree_redefine(domain, form);
        virDomainFree(domain);
        virConnectClose(conn);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void changes_of_other_processes_are_found(void **state)
{
    struct fixture *fixture = *state;
    virDomainPtr domain;
    struct heard heard;

    domain = fixture_domain(fixture, "told", 1);
    virDomainSnapshotFree(snapshot_redefine(domain, "r", NULL, 0));
    assert_int_equal(virDomainSnapshotNum(domain, 0), 1);
    listen_to(&heard, fixture->connection, NULL, -1);
    change_elsewhere(fixture, "r *a<r");
    assert_heard(&heard, "");
    assert_int_equal(virDomainSnapshotNum(domain, 0), 2);
    assert_heard(&heard, "created a 5\ncurrent a 5\n");
    assert_int_equal(virDomainSnapshotNum(domain, 0), 2);
    /* Seen by a change: first what was found, then that. */
    change_elsewhere(fixture, "r a<r *b<r");
    snapshot_delete(domain, "a", VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY);
    assert_heard(&heard, "created b 5\ncurrent b 5\ndeleted a 2\n");
    leave(&heard);
    virDomainFree(domain);
}

/* What came while nobody listened was there before, whether this process has seen it or not. */
static void nothing_is_told_of_the_time_before(void **state)
{
    struct fixture *fixture = *state;
    virDomainPtr domain;
    struct heard heard;

    domain = fixture_domain(fixture, "told", 1);
    virDomainSnapshotFree(snapshot_redefine(domain, "r", NULL, 0));
    for (int is_seen = 0; is_seen < 2; is_seen++) {
        listen_to(&heard, fixture->connection, NULL, -1);
        assert_int_equal(virDomainSnapshotNum(domain, 0), is_seen ? 3 : 1);
        leave(&heard);
        change_elsewhere(fixture, is_seen ? "r a<r b<r *c<r" : "r *a<r");
        if (is_seen)
            assert_int_equal(virDomainSnapshotNum(domain, 0), 4);
        listen_to(&heard, fixture->connection, NULL, -1);
        assert_int_equal(virDomainSnapshotNum(domain, 0), is_seen ? 4 : 2);
        assert_heard(&heard, "");
        change_elsewhere(fixture, is_seen ? "r a<r b<r c<r *d<r" : "r a<r *b<r");
        assert_int_equal(virDomainSnapshotNum(domain, 0), is_seen ? 5 : 3);
        assert_heard(&heard, is_seen ? "created d 5\ncurrent d 5\n" : "created b 5\ncurrent b 5\n");
        leave(&heard);
    }
    virDomainFree(domain);
}

static void bad_arguments_are_refused(void **state)
{
    struct fixture *fixture = *state;
    virConnectPtr conn = fixture->connection;
    virConnectPtr reader;
    virDomainPtr domain;
    struct heard heard = {0};
    long foreign[16] = {0};

    domain = fixture_domain(fixture, "checked", 0);
    for (int i = 0; i < 3; i++) {
        void *none = i == 0 ? NULL : i == 1 ? (void *)foreign : (void *)domain;

        assert_int_equal(virSnapConnectEventRegister(none, NULL, -1, hear, &heard, forget), -1);
        assert_error(VIR_ERR_INVALID_CONN, VIR_FROM_DOMAIN, NULL);
        assert_int_equal(virSnapConnectEventDeregister(none, 0), -1);
        assert_error(VIR_ERR_INVALID_CONN, VIR_FROM_DOMAIN, NULL);
    }
    assert_int_equal(virSnapConnectEventRegister(conn, (void *)foreign, -1, hear, &heard, forget), -1);
    assert_error(VIR_ERR_INVALID_DOMAIN, VIR_FROM_DOM, NULL);
    assert_int_equal(virSnapConnectEventRegister(conn, NULL, -1, NULL, &heard, forget), -1);
    assert_error(VIR_ERR_INVALID_ARG, VIR_FROM_DOMAIN, NULL);
    for (int id = -2; id < 9; id += 8) {
        assert_int_equal(virSnapConnectEventRegister(conn, NULL, id, hear, &heard, forget), -1);
        assert_error(VIR_ERR_INVALID_ARG, VIR_FROM_QEMU, NULL);
    }
    assert_int_equal(virSnapConnectEventDeregister(conn, -1), -1);
    assert_error(VIR_ERR_INVALID_ARG, VIR_FROM_QEMU, NULL);
    /* Of another connection. */
    reader = virConnectOpenReadOnly(fixture->uri);
    assert_int_equal(virSnapConnectEventRegister(reader, domain, -1, hear, &heard, forget), -1);
    assert_error(VIR_ERR_INVALID_DOMAIN, VIR_FROM_DOM, NULL);
    assert_int_equal(heard.freed, 0);
    listen_to(&heard, reader, NULL, -1);
    assert_int_equal(virSnapConnectEventDeregister(conn, heard.id), -1);
    assert_error(VIR_ERR_INVALID_ARG, VIR_FROM_QEMU, NULL);
    virDomainSnapshotFree(snapshot_redefine(domain, "s", NULL, 0));
    assert_heard(&heard, "created s 1\n");
    virConnectClose(reader);
    assert_int_equal(heard.freed, 1);
    virDomainFree(domain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(changes_are_told),
        fixture_test(migration_is_told_as_one),
        fixture_test(a_listener_may_do_anything),
        fixture_test(progress_is_told),
        fixture_test(threads_are_told_in_order),
        fixture_test(changes_of_other_processes_are_found),
        fixture_test(nothing_is_told_of_the_time_before),
        fixture_test(bad_arguments_are_refused),
    };

    return run_family("events", tests);
}
