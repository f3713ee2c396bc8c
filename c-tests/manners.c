/* Programs with manners of their own: what they do with children, signals and threads breaks no
 * snapshot of a guest that is off or runs, and is left as they have it. */
#include "harness.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "images.h"
#include "qemu.h"
#include "snapshots.h"

enum { THREADS = 8, SIGNALS = 32 };

/* How the program treats signals: what must not change behind its back. */
struct signals {
    sigset_t blocked;
    void (*handlers[SIGNALS])(int);
};

static struct signals signals_now(void)
{
    struct signals now;

    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &now.blocked), 0);
    for (int number = 1; number < SIGNALS; number++) {
        struct sigaction action;

        assert_int_equal(sigaction(number, NULL, &action), 0);
        now.handlers[number] = action.sa_handler;
    }
    return now;
}

static void assert_same(const struct signals *before)
{
    struct signals now = signals_now();

    for (int number = 1; number < SIGNALS; number++) {
        assert_int_equal(sigismember(&before->blocked, number), sigismember(&now.blocked, number));
        assert_ptr_equal(before->handlers[number], now.handlers[number]);
    }
}

static void revert(virDomainPtr domain, const char *name)
{
    virDomainSnapshotPtr snapshot = snapshot_lookup(domain, name);

    if (virDomainRevertToSnapshot(snapshot, 0) != 0)
        fail_msg("revert to %s: %s", name, virGetLastErrorMessage());
    virDomainSnapshotFree(snapshot);
}

/* How the program behaves now, and how it stops; NULL while it behaves as others. */
static void (*manner_begins)(void);
static void (*manner_ends)(void);

static void end_manner(void)
{
    if (manner_ends)
        manner_ends();
    manner_ends = NULL;
}

/* The harness's own programs are waited for as usual. */
static void write_plainly(const char *image, unsigned char byte)
{
    void (*end)(void) = manner_ends;

    end_manner();
    image_write(image, byte);
    manner_begins();
    manner_ends = end;
}

static void off(const struct fixture *fixture)
{
    virDomainPtr domain = virDomainLookupByName(fixture->connection, "off");
    char *image = fixture_path(fixture, "off-vda.qcow2");

    write_plainly(image, 1);
    virDomainSnapshotFree(snapshot_create(domain, "inside", 0));
    write_plainly(image, 2);
    revert(domain, "inside");
    virDomainSnapshotFree(snapshot_create(domain, "outside", VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY));
    revert(domain, "outside");
    snapshot_delete(domain, "outside", 0);
    snapshot_delete(domain, "inside", 0);
    assert_text(domain_list(domain, 0), "");
    end_manner();
    assert_text(image_snapshots(image), "");
    assert_true(image_holds(image, 1));
    free(image);
    virDomainFree(domain);
}

/* Whether the running guest reads the pattern where write_in_guest() puts it. */
static bool guest_reads(const char *root, int pattern)
{
    char command[64];
    char said[4096];

    snprintf(command, sizeof(command), "read -P %d %dk 64k", pattern, pattern * 64);
    device_io(root, 'a', command, said, sizeof(said));
    return strstr(said, "read 65536/65536") && !strstr(said, "verification failed");
}

static void running(const struct fixture *fixture, virDomainPtr domain)
{
    write_in_guest(fixture->root, 2, 1);
    virDomainSnapshotFree(snapshot_create(domain, "inside", 0));
    write_in_guest(fixture->root, 2, 2);
    revert(domain, "inside");
    assert_true(guest_reads(fixture->root, 1) && !guest_reads(fixture->root, 2));
    virDomainSnapshotFree(snapshot_create(domain, "outside", VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY));
    write_in_guest(fixture->root, 2, 3);
    snapshot_delete(domain, "outside", 0);
    snapshot_delete(domain, "inside", 0);
    assert_text(domain_list(domain, 0), "");
    assert_true(guest_reads(fixture->root, 1) && guest_reads(fixture->root, 3));
}

/* A guest that runs, a snapshot of it and of one that is off, and its end. The guest is started
 * before the manner begins. */
static void with_manner(const struct fixture *fixture, void (*begin)(void), void (*end)(void))
{
    virDomainPtr domain = fixture_domain(fixture, "guest", 2);
    virDomainPtr other = fixture_domain(fixture, "off", 2);
    char *definition = domain_definition(domain);
    char monitor[GUEST_PATH_SIZE];
    struct signals before;
    int state = 0;

    begin_guest(fixture->root, definition, 1);
    run_path(monitor, fixture->root, "qmp");
    begin();
    manner_begins = begin;
    manner_ends = end;
    before = signals_now();
    assert_int_equal(virSnapDomainSetMonitor(domain, monitor, NULL, 0), 0);
    running(fixture, domain);
    end_guest(fixture->root);
    /* The library writes to a socket that nobody reads. */
    assert_int_equal(virDomainGetState(domain, &state, NULL, 0), 0);
    assert_int_equal(state, VIR_DOMAIN_SHUTOFF);
    assert_same(&before);
    off(fixture);
    free(definition);
    virDomainFree(other);
    virDomainFree(domain);
}

static void ignore(int number)
{
    struct sigaction action = {.sa_handler = SIG_IGN};

    assert_int_equal(sigaction(number, &action, NULL), 0);
}

static void reset(int number)
{
    struct sigaction action = {.sa_handler = SIG_DFL};

    assert_int_equal(sigaction(number, &action, NULL), 0);
}

static void ignore_children(void)
{
    ignore(SIGCHLD);
}

static void notice_children(void)
{
    reset(SIGCHLD);
}

static void ignore_pipes(void)
{
    ignore(SIGPIPE);
}

static void notice_pipes(void)
{
    reset(SIGPIPE);
}

static sigset_t unblocked;

static void block_all(void)
{
    sigset_t all;

    sigfillset(&all);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &all, &unblocked), 0);
}

static void unblock(void)
{
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &unblocked, NULL), 0);
}

static atomic_bool is_over;
static pthread_t threads[THREADS];

/* Takes every child of the process, whoever has started it. */
static void *reap(void *unused)
{
    while (!is_over)
        if (waitpid(-1, NULL, WNOHANG) <= 0)
            pause_for_a_moment();
    return unused;
}

/* Has children, and takes no others. */
static void *have_children(void *unused)
{
    while (!is_over) {
        pid_t child = fork();

        if (child == 0)
            _exit(0);
        assert_int_equal(waitpid(child, NULL, 0), child);
        pause_for_a_moment();
    }
    return unused;
}

static void start_threads(void *(*work)(void *))
{
    is_over = false;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, NULL), 0);
}

static void end_threads(void)
{
    is_over = true;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void start_reapers(void)
{
    start_threads(reap);
}

static void start_parents(void)
{
    start_threads(have_children);
}

/* Another thread's timer interrupts every system call. */
static void notice(int number)
{
    (void)number;
}

static void *interrupt(void *whom)
{
    while (!is_over) {
        pthread_kill(*(pthread_t *)whom, SIGUSR1);
        pause_for_a_moment();
    }
    return NULL;
}

static pthread_t interrupted;

static void start_interrupting(void)
{
    struct sigaction action = {.sa_handler = notice, .sa_flags = SA_RESTART};

    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    interrupted = pthread_self();
    is_over = false;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, interrupt, &interrupted), 0);
}

static void end_interrupting(void)
{
    end_threads();
    reset(SIGUSR1);
}

#define manner(name, begin, end)       \
    static void name(void **state)     \
    {                                  \
        with_manner(*state, begin, end); \
    }

manner(sigchld_is_ignored, ignore_children, notice_children)
manner(sigpipe_is_ignored, ignore_pipes, notice_pipes)
manner(sigpipe_ends_the_program, notice_pipes, notice_pipes)
manner(all_signals_are_blocked, block_all, unblock)
manner(all_children_are_reaped, start_reapers, end_threads)
manner(many_threads_have_children, start_parents, end_threads)
manner(calls_are_interrupted, start_interrupting, end_interrupting)

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    end_manner();
    end_guest(fixture->root);
    return fixture_tear_down(state);
}

#define manner_test(function) cmocka_unit_test_setup_teardown(function, fixture_set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        manner_test(sigchld_is_ignored),
        manner_test(sigpipe_is_ignored),
        manner_test(sigpipe_ends_the_program),
        manner_test(all_signals_are_blocked),
        manner_test(all_children_are_reaped),
        manner_test(many_threads_have_children),
        manner_test(calls_are_interrupted),
    };

    return run_family("manners", tests);
}
