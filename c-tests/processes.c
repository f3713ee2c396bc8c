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
        fixture_test(a_recovery_waits_for_the_dead_ones_program),
        fixture_test(a_child_forked_meanwhile_keeps_no_lock),
    };

    return run_family("processes", tests);
}
