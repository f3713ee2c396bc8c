/* Several processes on one state directory: changes are seen by the next call elsewhere, a fork is
 * survived, and a recovery waits for what a killed process has left running. */
#include "harness.h"
#include "images.h"
#include "snapshots.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static virDomainPtr guest(const struct fixture *fixture)
{
    return virDomainLookupByName(fixture->connection, "guest");
}

/* Runs a function in a child that has inherited all of this process; 0 if it says so. */
static int in_child(const struct fixture *fixture, int (*work)(const struct fixture *))
{
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (child == 0)
        _exit(work(fixture));
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int create_s2(const struct fixture *fixture)
{
    virDomainPtr domain = guest(fixture);
    virDomainSnapshotPtr snapshot = virDomainSnapshotCreateXML(
        domain, "<domainsnapshot><name>s2</name></domainsnapshot>", 0);

    return snapshot ? 0 : 1;
}

static int delete_s1(const struct fixture *fixture)
{
    virDomainSnapshotPtr snapshot = virDomainSnapshotLookupByName(guest(fixture), "s1", 0);

    return snapshot && virDomainSnapshotDelete(snapshot, 0) == 0 ? 0 : 1;
}

static int define_other(const struct fixture *fixture)
{
    return virDomainDefineXML(fixture->connection,
                              "<domain type='qemu'><name>other</name><memory>1</memory>"
                              "<os><type>hvm</type></os></domain>")
               ? 0
               : 1;
}

static int undefine_other(const struct fixture *fixture)
{
    return virDomainUndefine(virDomainLookupByName(fixture->connection, "other")) == 0 ? 0 : 1;
}

static int rename_guest(const struct fixture *fixture)
{
    return virDomainRename(guest(fixture), "renamed", 0) == 0 ? 0 : 1;
}

static void a_new_name_given_elsewhere_is_seen_by_the_next_call(void **state)
{
    struct fixture *fixture = *state;
    virDomainPtr domain = fixture_domain(fixture, "guest", 1);
    virDomainSnapshotPtr first = snapshot_create(domain, "s1", 0);
    virDomainPtr renamed;

    assert_int_equal(in_child(fixture, rename_guest), 0);
    assert_null(guest(fixture));
    assert_error(VIR_ERR_NO_DOMAIN, VIR_FROM_QEMU, NULL);
    renamed = virDomainLookupByName(fixture->connection, "renamed");
    assert_non_null(renamed);
    assert_text(tree_text(renamed), "*s1");
    virDomainSnapshotFree(snapshot_create(domain, "s2", 0));
    assert_int_equal(virDomainRevertToSnapshot(first, 0), 0);
    assert_text(tree_text(renamed), "*s1 s2<s1");
    virDomainFree(renamed);
    virDomainSnapshotFree(first);
    virDomainFree(domain);
}

static void a_change_elsewhere_is_seen_by_the_next_call(void **state)
{
    struct fixture *fixture = *state;
    virDomainPtr domain = fixture_domain(fixture, "guest", 1);
    virDomainPtr other;
    char *text;

    virDomainSnapshotFree(snapshot_create(domain, "s1", 0));
    assert_int_equal(in_child(fixture, create_s2), 0);
    text = tree_text(domain);
    assert_string_equal(text, "s1 *s2<s1");
    free(text);
    assert_int_equal(in_child(fixture, delete_s1), 0);
    text = tree_text(domain);
    assert_string_equal(text, "*s2");
    free(text);

    assert_null(virDomainLookupByName(fixture->connection, "other"));
    assert_int_equal(in_child(fixture, define_other), 0);
    other = virDomainLookupByName(fixture->connection, "other");
    assert_non_null(other);
    assert_int_equal(in_child(fixture, undefine_other), 0);
    assert_int_equal(virDomainSnapshotNum(other, 0), -1);
    assert_error(VIR_ERR_NO_DOMAIN, VIR_FROM_QEMU, NULL);
    virDomainFree(other);
    virDomainFree(domain);
}

static void make_executable(const char *path, const char *script)
{
    FILE *stream = fopen(path, "w");

    assert_non_null(stream);
    fputs(script, stream);
    fclose(stream);
    assert_int_equal(chmod(path, 0755), 0);
}

static bool wait_for_file(const char *path)
{
    const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};

    for (int i = 0; i < 500; i++) {
        if (access(path, F_OK) == 0)
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

/* A child that creates s2 with a qemu-img that first sleeps for that many seconds; it has begun. */
static pid_t begin_slow_create(const struct fixture *fixture, const char *seconds)
{
    char *directory = fixture_path(fixture, "bin");
    char *program = format("%s/qemu-img", directory);
    char *begun = fixture_path(fixture, "begun");
    char *script = format("#!/bin/sh\nPATH=${PATH#*:}\n: >'%s'\nsleep %s\nexec qemu-img \"$@\"\n",
                          begun, seconds);
    pid_t child;

    assert_int_equal(mkdir(directory, 0755), 0);
    make_executable(program, script);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char *path = format("%s:%s", directory, getenv("PATH"));

        setenv("PATH", path, 1);
        _exit(create_s2(fixture));
    }
    assert_true(wait_for_file(begun));
    free(script);
    free(begun);
    free(program);
    free(directory);
    return child;
}

/* libvirt counts a snapshot that is being made, and its lists fail meanwhile. */
static void d51_lists_are_whole_while_a_create_runs(void **state)
{
    static const unsigned int flags[] = {
        0, VIR_DOMAIN_SNAPSHOT_LIST_ROOTS, VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL,
        VIR_DOMAIN_SNAPSHOT_LIST_LEAVES};
    struct fixture *fixture = *state;
    virDomainPtr domain = fixture_domain(fixture, "guest", 1);
    pid_t child;
    int status;

    virDomainSnapshotFree(snapshot_create(domain, "s1", 0));
    child = begin_slow_create(fixture, "0.7");
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        assert_int_equal(virDomainSnapshotNum(domain, flags[i]), 1);
        check_text(domain_list(domain, flags[i]), "s1", __FILE__, __LINE__);
    }
    assert_int_equal(waitpid(child, &status, WNOHANG), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_text(tree_text(domain), "s1 *s2<s1");
    virDomainFree(domain);
}

/* src/limits.rs: 30 seconds, as libvirt waits for a job. */
static void a_waiting_call_is_bounded_and_names_the_process(void **state)
{
    struct fixture *fixture = *state;
    virDomainPtr domain = fixture_domain(fixture, "guest", 1);
    pid_t child = begin_slow_create(fixture, "40");
    char *process = format("process %d", (int)child);
    struct timespec begin, end;
    const char *message;

    clock_gettime(CLOCK_MONOTONIC, &begin);
    assert_null(virDomainSnapshotCreateXML(domain, "<domainsnapshot/>", 0));
    clock_gettime(CLOCK_MONOTONIC, &end);
    assert_in_range(end.tv_sec - begin.tv_sec, 29, 39);
    message = virGetLastErrorMessage();
    if (!strstr(message, process) || !strstr(message, "guest"))
        fail_msg("'%s' does not name %s", message, process);
    assert_error(VIR_ERR_OPERATION_TIMEOUT, VIR_FROM_QEMU, NULL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_text(tree_text(domain), "*s2");
    virDomainSnapshotFree(snapshot_create(domain, "s3", 0));
    free(process);
    virDomainFree(domain);
}

/* The manager dies while its qemu-img is about to write the image. What is recovered at once must
 * not miss what that program does later. */
static void a_recovery_waits_for_the_dead_ones_program(void **state)
{
    struct fixture *fixture = *state;
    virDomainPtr domain = fixture_domain(fixture, "guest", 1);
    char *image = fixture_path(fixture, "guest-vda.qcow2");
    char *directory = fixture_path(fixture, "bin");
    char *program = format("%s/qemu-img", directory);
    char *begun = fixture_path(fixture, "begun");
    char *ended = fixture_path(fixture, "ended");
    char *script = format("#!/bin/sh\nPATH=${PATH#*:}\n: >'%s'\nsleep 0.7\nqemu-img \"$@\"\n"
                          "status=$?\n: >'%s'\nexit $status\n",
                          begun, ended);
    const char *const words[] = {"qemu-img", "snapshot", "-l", image, NULL};
    char *listing = NULL;
    char *text;
    pid_t child;

    virDomainSnapshotFree(snapshot_create(domain, "s1", 0));
    assert_int_equal(mkdir(directory, 0755), 0);
    make_executable(program, script);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char *path = format("%s:%s", directory, getenv("PATH"));

        setenv("PATH", path, 1);
        create_s2(fixture);
        _exit(0);
    }
    assert_true(wait_for_file(begun));
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);

    /* A reader does not wait; a writer does, and finds the orphan. */
    assert_int_equal(virDomainSnapshotNum(domain, 0), 1);
    assert_int_equal(access(ended, F_OK), -1);
    virDomainSnapshotFree(snapshot_create(domain, "s3", 0));
    assert_int_equal(access(ended, F_OK), 0);
    text = tree_text(domain);
    assert_string_equal(text, "s1 *s3<s1");
    assert_int_equal(run_program(words, &listing), 0);
    assert_null(strstr(listing, "s2"));
    assert_non_null(strstr(listing, "s3"));

    free(text);
    free(listing);
    free(script);
    free(ended);
    free(begun);
    free(program);
    free(directory);
    free(image);
    virDomainFree(domain);
}

/* A child that outlives an operation of its parent, and has all descriptors of that moment, keeps
 * nobody from writing. */
static void a_child_forked_meanwhile_keeps_no_lock(void **state)
{
    struct fixture *fixture = *state;
    virDomainPtr domain = fixture_domain(fixture, "guest", 1);
    pid_t children[8];
    struct timespec begin;
    struct timespec end;

    for (size_t i = 0; i < 8; i++) {
        char name[8];

        snprintf(name, sizeof(name), "s%zu", i);
        virDomainSnapshotFree(snapshot_create(domain, name, 0));
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            pause();
            _exit(0);
        }
    }
    clock_gettime(CLOCK_MONOTONIC, &begin);
    virDomainSnapshotFree(snapshot_create(domain, "last", 0));
    clock_gettime(CLOCK_MONOTONIC, &end);
    assert_true(end.tv_sec - begin.tv_sec < 10);
    for (size_t i = 0; i < 8; i++) {
        kill(children[i], SIGKILL);
        waitpid(children[i], NULL, 0);
    }
    virDomainFree(domain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(a_change_elsewhere_is_seen_by_the_next_call),
        fixture_test(a_new_name_given_elsewhere_is_seen_by_the_next_call),
        fixture_test(d51_lists_are_whole_while_a_create_runs),
        fixture_test(a_waiting_call_is_bounded_and_names_the_process),
        fixture_test(a_recovery_waits_for_the_dead_ones_program),
        fixture_test(a_child_forked_meanwhile_keeps_no_lock),
    };

    return run_family("processes", tests);
}
