/* Errors: one for each thread and connection, handlers, copies, every field of a virError. */
#include "snapshots.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What an error handler was called with. */
struct calls {
    int count;
    int code;
    pthread_t thread;
    int code_of_connection;
    virConnectPtr connection;
};

static void note_call(void *user_data, virErrorPtr error)
{
    struct calls *calls = user_data;

    calls->count++;
    calls->code = error->code;
    calls->thread = pthread_self();
    if (calls->connection)
        calls->code_of_connection = virConnGetLastError(calls->connection)->code;
}

static void ignore_error(void *user_data, virErrorPtr error)
{
    (void)user_data;
    (void)error;
}

static void *look_at_own_error(void *unused)
{
    (void)unused;
    return (void *)(intptr_t)(virGetLastError() != NULL || virGetLastErrorCode() != 0 ||
                              strcmp(virGetLastErrorMessage(), "no error") != 0);
}

static void fail_to_find(virDomainPtr domain)
{
    assert_null(virDomainSnapshotLookupByName(domain, "nobody", 0));
}

static void error_belongs_to_its_thread(void **state)
{
    virDomainPtr domain = fixture_domain(*state, "thread", 0);
    pthread_t thread;
    void *has_error;

    fail_to_find(domain);
    assert_int_equal(pthread_create(&thread, NULL, look_at_own_error, NULL), 0);
    assert_int_equal(pthread_join(thread, &has_error), 0);
    assert_null(has_error);
    assert_error(VIR_ERR_NO_DOMAIN_SNAPSHOT, VIR_FROM_QEMU, NULL);
    virDomainFree(domain);
}

static void every_call_clears_the_error_before(void **state)
{
    virDomainPtr domain = fixture_domain(*state, "clears", 0);
    virDomainSnapshotPtr snapshot = snapshot_redefine(domain, "s", NULL, 0);

    fail_to_find(domain);
    assert_string_equal(virDomainSnapshotGetName(snapshot), "s");
    assert_no_error();
    fail_to_find(domain);
    assert_int_equal(virDomainSnapshotRef(snapshot), 0);
    assert_no_error();
    fail_to_find(domain);
    assert_int_equal(virDomainSnapshotFree(snapshot), 0);
    assert_no_error();
    fail_to_find(domain);
    virResetLastError();
    assert_no_error();
    virDomainSnapshotFree(snapshot);
    virDomainFree(domain);
}

/* The rows of the error's extra fields; a text may be NULL. */
struct fields {
    int code;
    int domain;
    const char *message;
    const char *str1;
    const char *str2;
    int int1;
    int int2;
};

static void assert_same_text(const char *found, const char *expected)
{
    assert_true((found != NULL) == (expected != NULL));
    if (expected)
        assert_string_equal(found, expected);
}

static void assert_fields(struct fields expected)
{
    const virError *error = virGetLastError();

    assert_non_null(error);
    assert_int_equal(error->code, expected.code);
    assert_int_equal(error->domain, expected.domain);
    assert_int_equal(error->level, VIR_ERR_ERROR);
    assert_same_text(error->message, expected.message);
    assert_same_text(error->str1, expected.str1);
    assert_same_text(error->str2, expected.str2);
    assert_null(error->str3);
    assert_int_equal(error->int1, expected.int1);
    assert_int_equal(error->int2, expected.int2);
    assert_int_equal(virGetLastErrorCode(), expected.code);
    assert_int_equal(virGetLastErrorDomain(), expected.domain);
    assert_string_equal(virGetLastErrorMessage(), expected.message);
}

static void fields_of_each_kind_of_error(void **state)
{
    virDomainPtr domain = fixture_domain(*state, "fields", 1);

    fail_to_find(domain);
    assert_fields((struct fields){
        VIR_ERR_NO_DOMAIN_SNAPSHOT, VIR_FROM_QEMU,
        "Domain snapshot not found: no domain snapshot with matching name 'nobody'",
        "Domain snapshot not found: %s", "no domain snapshot with matching name 'nobody'", -1,
        -1});
    assert_null(virDomainSnapshotCreateXML(domain, NULL, 0));
    assert_fields((struct fields){
        VIR_ERR_INVALID_ARG, VIR_FROM_DOMAIN_SNAPSHOT,
        "xmlDesc in virDomainSnapshotCreateXML must not be NULL", "virDomainSnapshotCreateXML",
        "xmlDesc", 0, 0});
    assert_null(virDomainSnapshotCreateXML(domain, "", VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT));
    assert_fields((struct fields){
        VIR_ERR_INVALID_ARG, VIR_FROM_DOMAIN_SNAPSHOT,
        "Flag 'VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE' is required by flag "
        "'VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT'",
        "virDomainSnapshotCreateXML", "ctl", 0, 0});
    assert_int_equal(virDomainSnapshotFree(NULL), -1);
    assert_fields((struct fields){
        VIR_ERR_INVALID_DOMAIN_SNAPSHOT, VIR_FROM_DOMAIN_SNAPSHOT,
        "Invalid domain snapshot: virDomainSnapshotFree", "Invalid domain snapshot: %s",
        "virDomainSnapshotFree", -1, -1});
    assert_int_equal(virDomainSnapshotNum(NULL, 0), -1);
    assert_fields((struct fields){
        VIR_ERR_INVALID_DOMAIN, VIR_FROM_DOM,
        "invalid domain pointer in virDomainSnapshotNum", "invalid domain pointer in %s",
        "virDomainSnapshotNum", -1, -1});
    assert_null(virDomainSnapshotCreateXML(
        domain, "<domainsnapshot><name>.n</name></domainsnapshot>", 0));
    assert_fields((struct fields){
        VIR_ERR_XML_DETAIL, VIR_FROM_QEMU, "invalid snapshot name '.n': name can't start with '.'",
        "%s", "invalid snapshot name '.n': name can't start with '.'", -1, -1});
    virDomainFree(domain);
}

static void unknown_flags_name_their_argument(void **state)
{
    virDomainPtr domain = fixture_domain(*state, "argument", 0);
    const virError *error;

    assert_int_equal(virDomainSnapshotNum(domain, 0x1800), -1);
    error = virGetLastError();
    assert_int_equal(error->code, VIR_ERR_INVALID_ARG);
    assert_int_equal(error->domain, VIR_FROM_QEMU);
    assert_string_equal(error->str2, "flags");
    assert_null(error->str3);
    assert_int_equal(error->int1, 0);
    assert_int_equal(error->int2, 0);
    /* Then the name of the function, which is the driver's own with libvirt. */
    assert_ptr_equal(strstr(error->message, "unsupported flags (0x1800) in function "),
                     error->message);
    virDomainFree(domain);
}

static void handlers_are_called_once_and_the_nearest(void **state)
{
    struct fixture *fixture = *state;
    virDomainPtr domain = fixture_domain(fixture, "handlers", 0);
    struct calls all = {.connection = fixture->connection};
    struct calls own = {.connection = fixture->connection};

    virSetErrorFunc(&all, note_call);
    fail_to_find(domain);
    assert_int_equal(all.count, 1);
    assert_int_equal(all.code, VIR_ERR_NO_DOMAIN_SNAPSHOT);
    assert_int_equal(all.code_of_connection, VIR_ERR_NO_DOMAIN_SNAPSHOT);
    assert_true(pthread_equal(all.thread, pthread_self()));
    virConnSetErrorFunc(fixture->connection, &own, note_call);
    fail_to_find(domain);
    assert_int_equal(all.count, 1);
    assert_int_equal(own.count, 1);
    assert_int_equal(own.code, VIR_ERR_NO_DOMAIN_SNAPSHOT);
    assert_int_equal(own.code_of_connection, VIR_ERR_NO_DOMAIN_SNAPSHOT);
    /* A handle that is none has no connection. */
    assert_int_equal(virDomainSnapshotFree(NULL), -1);
    assert_int_equal(all.count, 2);
    assert_int_equal(all.code, VIR_ERR_INVALID_DOMAIN_SNAPSHOT);
    assert_int_equal(own.count, 1);
    assert_int_equal(virDomainSnapshotNum(domain, 0), 0);
    assert_int_equal(all.count + own.count, 3);
    virConnSetErrorFunc(fixture->connection, NULL, NULL);
    fail_to_find(domain);
    assert_int_equal(all.count, 3);
    virSetErrorFunc(NULL, ignore_error);
    virDomainFree(domain);
}

static void connection_keeps_its_last_error(void **state)
{
    struct fixture *fixture = *state;
    virDomainPtr domain = fixture_domain(fixture, "keeps", 0);
    virErrorPtr error = virConnGetLastError(fixture->connection);
    virError copy;

    assert_non_null(error);
    virConnResetLastError(fixture->connection);
    assert_int_equal(error->code, VIR_ERR_OK);
    memset(&copy, 0x5a, sizeof(copy));
    assert_int_equal(virConnCopyLastError(fixture->connection, &copy), VIR_ERR_OK);
    assert_int_equal(copy.code, VIR_ERR_OK);
    assert_null(copy.message);
    fail_to_find(domain);
    assert_int_equal(virDomainSnapshotNum(domain, 0), 0);
    assert_int_equal(virConnGetLastError(fixture->connection)->code, VIR_ERR_NO_DOMAIN_SNAPSHOT);
    assert_int_equal(virConnCopyLastError(fixture->connection, &copy),
                     VIR_ERR_NO_DOMAIN_SNAPSHOT);
    virConnResetLastError(fixture->connection);
    assert_int_equal(virConnGetLastError(fixture->connection)->code, VIR_ERR_OK);
    assert_string_equal(
        copy.message, "Domain snapshot not found: no domain snapshot with matching name 'nobody'");
    virResetError(&copy);
    assert_null(copy.message);
    assert_int_equal(copy.code, VIR_ERR_OK);
    virDomainFree(domain);
}

static void null_connection_has_no_error(void **state)
{
    virError copy;

    (void)state;
    assert_null(virConnGetLastError(NULL));
    assert_int_equal(virConnCopyLastError(NULL, &copy), -1);
    virConnResetLastError(NULL);
    virConnSetErrorFunc(NULL, NULL, NULL);
}

static void copies_are_deep(void **state)
{
    virDomainPtr domain = fixture_domain(*state, "copies", 0);
    virError copy;
    virErrorPtr saved;

    memset(&copy, 0x5a, sizeof(copy));
    virResetLastError();
    assert_int_equal(virCopyLastError(&copy), VIR_ERR_OK);
    assert_null(copy.message);
    assert_null(copy.str1);
    assert_int_equal(virCopyLastError(NULL), -1);
    saved = virSaveLastError();
    assert_non_null(saved);
    assert_int_equal(saved->code, VIR_ERR_OK);
    virFreeError(saved);
    fail_to_find(domain);
    assert_int_equal(virCopyLastError(&copy), VIR_ERR_NO_DOMAIN_SNAPSHOT);
    saved = virSaveLastError();
    assert_int_equal(virGetLastErrorCode(), VIR_ERR_NO_DOMAIN_SNAPSHOT);
    assert_ptr_not_equal(saved->message, virGetLastErrorMessage());
    virResetLastError();
    assert_int_equal(saved->code, VIR_ERR_NO_DOMAIN_SNAPSHOT);
    assert_string_equal(saved->str1, "Domain snapshot not found: %s");
    assert_string_equal(saved->message, copy.message);
    virFreeError(saved);
    virResetError(&copy);
    virResetError(NULL);
    virFreeError(NULL);
    virDomainFree(domain);
}

/* The default handler's line, without anything before or after it. */
static char *default_line(virErrorPtr error)
{
    int ends[2];
    int own = dup(STDERR_FILENO);
    char line[512];
    ssize_t length;

    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    virDefaultErrorFunc(error);
    dup2(own, STDERR_FILENO);
    close(ends[1]);
    length = read(ends[0], line, sizeof(line) - 1);
    assert_true(length >= 0);
    line[length] = '\0';
    close(ends[0]);
    close(own);
    return format("%s", line);
}

static void default_handler_prints_one_line(void **state)
{
    virDomainPtr domain = fixture_domain(*state, "prints", 0);
    virErrorPtr saved;

    fail_to_find(domain);
    saved = virSaveLastError();
    assert_text(default_line(saved), "libvirt: QEMU Driver error : Domain snapshot not found: no "
                                     "domain snapshot with matching name 'nobody'\n");
    virFreeError(saved);
    assert_int_equal(virDomainSnapshotFree(NULL), -1);
    saved = virSaveLastError();
    assert_text(default_line(saved), "libvirt: Domain Snapshot error : Invalid domain snapshot: "
                                     "virDomainSnapshotFree\n");
    virFreeError(saved);
    virDomainFree(domain);
}

static bool has_error_before_initialisation;

/* differences.md D2: libvirt reads what is not there yet. */
static void d2_no_error_before_the_first_call(void **state)
{
    (void)state;
    assert_false(has_error_before_initialisation);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(error_belongs_to_its_thread),
        fixture_test(every_call_clears_the_error_before),
        fixture_test(fields_of_each_kind_of_error),
        fixture_test(unknown_flags_name_their_argument),
        fixture_test(handlers_are_called_once_and_the_nearest),
        fixture_test(connection_keeps_its_last_error),
        cmocka_unit_test(null_connection_has_no_error),
        fixture_test(copies_are_deep),
        fixture_test(default_handler_prints_one_line),
        cmocka_unit_test(d2_no_error_before_the_first_call),
    };

    api_load();
    if (!api_is_libvirt())
        has_error_before_initialisation = virGetLastError() || virGetLastErrorCode() != 0 ||
                                          strcmp(virGetLastErrorMessage(), "no error") != 0;
    return run_family("errors", tests);
}
