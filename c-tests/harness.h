/* What every family of the C harness needs: a state directory, a connection, domains, images, and
 * assertions that show what the library answered. */
#ifndef VIRSNAP_TEST_HARNESS_H
#define VIRSNAP_TEST_HARNESS_H

/* cmocka.h needs these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api.h"

enum { PATH_SIZE = 4096 };

/* One test's world, removed with everything in it when the test ends. The real libvirt's state
 * stands elsewhere: its embedded driver takes one root in a process, emptied after each test. */
struct fixture {
    char root[PATH_SIZE];      /* a directory of its own under TMPDIR */
    char uri[PATH_SIZE + 64];
    virConnectPtr connection;  /* NULL once a test has closed it */
};

/* A test that gets a fixture: the connection is open, errors are not printed. */
#define fixture_test(function) \
    cmocka_unit_test_setup_teardown(function, fixture_set_up, fixture_tear_down)

int fixture_set_up(void **state);
int fixture_tear_down(void **state);

/* Runs a family's tests; the result is for main() to return. 77, which meson counts as skipped, if
 * the real libvirt is asked for and its embedded driver cannot be opened here. */
#define run_family(name, tests) run_family_of(name, tests, sizeof(tests) / sizeof((tests)[0]))
int run_family_of(const char *name, const struct CMUnitTest *tests, size_t count);

/* A path below the fixture's root. Freed by the caller. */
char *fixture_path(const struct fixture *fixture, const char *relative);

/* Where the library keeps the documents of a domain's snapshots. Freed by the caller. */
char *fixture_snapshot_directory(const struct fixture *fixture, const char *domain);

/* Defines a shut-off domain with that many qcow2 disks vda, vdb, ... of 1 MiB in files
 * ROOT/NAME-vda.qcow2 and so on. Freed by the caller with virDomainFree(). */
virDomainPtr fixture_domain(const struct fixture *fixture, const char *name, size_t disks);

/* A new handle of the fixture's domain with a snapshot made from <name> only. */
virDomainSnapshotPtr snapshot_create(virDomainPtr domain, const char *name, unsigned int flags);

/* A shut-off <domain>; uuid may be NULL. The images are qcow2 files, disk i of them becomes
 * vda + i. Freed by the caller. */
char *domain_xml(const char *name, const char *uuid, char *const *images, size_t disks);

/* Text made as printf makes it. Freed by the caller. */
char *format(const char *form, ...) __attribute__((format(printf, 1, 2)));

/* Runs qemu-img with these arguments (the last is NULL, the program's name is not among them) and
 * gives its exit status; its output goes to standard error. */
int qemu_img(const char *const *arguments);

/* Prepares a directory to be the root of libvirt's embedded QEMU driver, which would change to
 * another user, relabel images and want control groups without a configuration; -1 if it cannot. */
int write_embedded_configuration(const char *root);

/* Makes an empty qcow2 image. */
void qcow2_create(const char *path, const char *size);

/* The calling thread's last error has this code, error domain and message (NULL: any), is of
 * level VIR_ERR_ERROR, and is cleared by the assertion. */
#define assert_error(code, domain, message) \
    check_error((code), (domain), (message), __FILE__, __LINE__)
void check_error(int code, int domain, const char *message, const char *file, int line);

/* The calling thread has no last error. */
#define assert_no_error() check_no_error(__FILE__, __LINE__)
void check_no_error(const char *file, int line);

#endif
