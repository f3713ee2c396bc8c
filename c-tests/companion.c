/* A program linked with -lvirsnap before -lvirt: its domains are libvirt's, its snapshots ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

static const char *const XML = "<domainsnapshot><name>a</name></domainsnapshot>";

struct told {
    int count;
    int code;
    char message[512];
};

static struct told told;       /* by the handler of the process */
static struct told told_here;  /* by the connection's own */

static void note(void *data, virErrorPtr error)
{
    struct told *by = data;

    by->count++;
    by->code = error->code;
    snprintf(by->message, sizeof(by->message), "%s", error->message);
}

static void forget(void)
{
    memset(&told, 0, sizeof(told));
    memset(&told_here, 0, sizeof(told_here));
}

/* The call failed with this error; the handler was told of it, and only once. */
static void assert_told(int code, int domain, const char *message)
{
    virErrorPtr error = virGetLastError();

    assert_non_null(error);
    assert_string_equal(error->message, message);
    assert_int_equal(error->code, code);
    assert_int_equal(error->domain, domain);
    assert_int_equal(error->level, VIR_ERR_ERROR);
    assert_int_equal(virGetLastErrorCode(), code);
    assert_string_equal(virGetLastErrorMessage(), message);
    assert_int_equal(told.count, 1);
    assert_int_equal(told.code, code);
    assert_string_equal(told.message, message);
    forget();
}

static virConnectPtr open_test(void)
{
    virConnectPtr conn = virConnectOpen("test:///default");

    assert_non_null(conn);
    return conn;
}

static virDomainPtr test_domain(virConnectPtr conn)
{
    virDomainPtr domain = virDomainLookupByName(conn, "test");

    assert_non_null(domain);
    return domain;
}

static int set_up(void **state)
{
    (void)state;
    virSetErrorFunc(&told, note);
    forget();
    return 0;
}

static void the_snapshot_functions_are_ours_and_the_rest_is_libvirts(void **state)
{
    virConnectPtr conn = open_test();
    virDomainPtr domain = test_domain(conn);
    void *libvirt = dlopen("libvirt.so.0", RTLD_NOW | RTLD_NOLOAD);
    int (*theirs)(virDomainPtr, unsigned int);
    virDomainSnapshotPtr snapshot = virDomainSnapshotCreateXML(domain, XML, 0);

    (void)state;
    assert_non_null(libvirt);
    *(void **)&theirs = dlsym(libvirt, "virDomainSnapshotNum");
    assert_true(theirs != virDomainSnapshotNum);
    assert_non_null(snapshot);
    assert_int_equal(virDomainSnapshotNum(domain, 0), 1);
    assert_int_equal(theirs(domain, 0), 0);
    assert_string_equal(virConnectGetType(conn), "TEST");
    assert_int_equal(virDomainIsActive(domain), 1);
    assert_int_equal(told.count, 0);

    assert_int_equal(virDomainSnapshotFree(snapshot), 0);
    assert_int_equal(virDomainFree(domain), 0);
    assert_int_equal(virConnectClose(conn), 0);
    dlclose(libvirt);
}

static void a_snapshot_keeps_its_domain_and_connection(void **state)
{
    virConnectPtr conn = open_test();
    virDomainPtr domain = test_domain(conn);
    virDomainSnapshotPtr snapshot = virDomainSnapshotCreateXML(domain, XML, 0);
    virDomainSnapshotPtr *list = NULL;

    (void)state;
    assert_non_null(snapshot);
    assert_ptr_equal(virDomainSnapshotGetDomain(snapshot), domain);
    assert_ptr_equal(virDomainSnapshotGetConnect(snapshot), conn);
    assert_int_equal(virDomainFree(domain), 0);
    assert_true(virConnectClose(conn) > 0);
    assert_string_equal(virDomainGetName(virDomainSnapshotGetDomain(snapshot)), "test");
    assert_int_equal(virDomainSnapshotIsCurrent(snapshot, 0), 1);
    assert_int_equal(virDomainListAllSnapshots(domain, &list, 0), 1);
    assert_int_equal(virDomainSnapshotFree(list[0]), 0);
    free(list);
    assert_int_equal(virConnectRef(conn), 0);
    assert_int_equal(virDomainSnapshotFree(snapshot), 0);
    assert_int_equal(virConnectClose(conn), 0);
    assert_int_equal(told.count, 0);
}

static void snapshots_of_the_test_driver_go_with_its_last_connection(void **state)
{
    virConnectPtr conn = open_test();
    virConnectPtr other = open_test();
    virDomainPtr domain = test_domain(conn);

    (void)state;
    assert_int_equal(virDomainSnapshotFree(virDomainSnapshotCreateXML(domain, XML, 0)), 0);
    assert_int_equal(virDomainFree(domain), 0);
    assert_int_equal(virConnectClose(conn), 0);
    domain = test_domain(other);
    assert_int_equal(virDomainSnapshotNum(domain, 0), 1);
    /* Closed while a domain is still held: it ends with that. */
    assert_true(virConnectClose(other) > 0);
    assert_int_equal(virDomainSnapshotNum(domain, 0), 1);
    assert_int_equal(virDomainFree(domain), 0);

    conn = open_test();
    domain = test_domain(conn);
    assert_int_equal(virDomainSnapshotNum(domain, 0), 0);
    assert_int_equal(virDomainFree(domain), 0);
    assert_int_equal(virConnectClose(conn), 0);
}

static void errors_are_libvirts_own_and_told_once(void **state)
{
    virConnectPtr conn = open_test();
    virDomainPtr domain = test_domain(conn);

    (void)state;
    assert_null(virDomainSnapshotLookupByName(domain, "nope", 0));
    assert_told(VIR_ERR_NO_DOMAIN_SNAPSHOT, VIR_FROM_TEST,
                "Domain snapshot not found: no domain snapshot with matching name 'nope'");
    assert_int_equal(virConnGetLastError(conn)->code, VIR_ERR_NO_DOMAIN_SNAPSHOT);
    assert_null(virDomainSnapshotCreateXML(domain, NULL, 0));
    assert_told(VIR_ERR_INVALID_ARG, VIR_FROM_DOMAIN_SNAPSHOT,
                "xmlDesc in virDomainSnapshotCreateXML must not be NULL");
    /* Found by libvirt, on our way. */
    assert_null(virDomainSnapshotCreateXML(
        domain, "<domainsnapshot><disks><disk name='x'/></disks></domainsnapshot>", 0));
    assert_told(VIR_ERR_CONFIG_UNSUPPORTED, VIR_FROM_DOMAIN_SNAPSHOT,
                "unsupported configuration: no disk named 'x'");
    /* Libvirt's own function, through us. */
    assert_null(virDomainLookupByName(conn, "nobody"));
    assert_int_equal(virGetLastErrorCode(), VIR_ERR_NO_DOMAIN);
    assert_int_equal(virGetLastErrorDomain(), VIR_FROM_TEST);
    assert_int_equal(told.count, 1);
    forget();

    virConnSetErrorFunc(conn, &told_here, note);
    assert_null(virDomainSnapshotCurrent(domain, 0));
    assert_int_equal(told.count, 0);
    assert_int_equal(told_here.count, 1);
    assert_int_equal(told_here.code, VIR_ERR_NO_DOMAIN_SNAPSHOT);
    virConnSetErrorFunc(conn, NULL, NULL);
    assert_int_equal(virDomainSnapshotNum(domain, 0), 0);
    assert_null(virGetLastError());

    assert_int_equal(virDomainFree(domain), 0);
    assert_int_equal(virConnectClose(conn), 0);
}

static void *last_code_of_thread(void *unused)
{
    (void)unused;
    return (void *)(intptr_t)virGetLastErrorCode();
}

static void errors_are_the_threads_own(void **state)
{
    virConnectPtr conn = open_test();
    virDomainPtr domain = test_domain(conn);
    pthread_t thread;
    void *code;

    (void)state;
    assert_null(virDomainSnapshotCurrent(domain, 0));
    assert_int_equal(pthread_create(&thread, NULL, last_code_of_thread, NULL), 0);
    assert_int_equal(pthread_join(thread, &code), 0);
    assert_int_equal((intptr_t)code, 0);
    assert_int_equal(virGetLastErrorCode(), VIR_ERR_NO_DOMAIN_SNAPSHOT);
    assert_int_equal(virDomainFree(domain), 0);
    assert_int_equal(virConnectClose(conn), 0);
}

static void wrong_handles_are_refused(void **state)
{
    virConnectPtr conn = open_test();
    virDomainPtr domain = test_domain(conn);
    virDomainSnapshotPtr snapshot = virDomainSnapshotCreateXML(domain, XML, 0);

    (void)state;
    assert_non_null(snapshot);
    assert_int_equal(virDomainSnapshotNum(NULL, 0), -1);
    assert_told(VIR_ERR_INVALID_DOMAIN, VIR_FROM_DOM,
                "invalid domain pointer in virDomainSnapshotNum");
    assert_int_equal(virDomainSnapshotNum((virDomainPtr)conn, 0), -1);
    assert_told(VIR_ERR_INVALID_DOMAIN, VIR_FROM_DOM,
                "invalid domain pointer in virDomainSnapshotNum");
    assert_int_equal(virDomainSnapshotIsCurrent((virDomainSnapshotPtr)domain, 0), -1);
    assert_told(VIR_ERR_INVALID_DOMAIN_SNAPSHOT, VIR_FROM_DOMAIN_SNAPSHOT,
                "Invalid domain snapshot: virDomainSnapshotIsCurrent");
    assert_int_equal(virDomainSuspend((virDomainPtr)snapshot), -1);
    assert_told(VIR_ERR_INVALID_DOMAIN, VIR_FROM_DOM, "invalid domain pointer in virDomainSuspend");
    assert_null(virDomainGetName((virDomainPtr)snapshot));
    assert_told(VIR_ERR_INVALID_DOMAIN, VIR_FROM_DOM, "invalid domain pointer in virDomainGetName");
    assert_int_equal(virDomainSnapshotFree(snapshot), 0);
    assert_int_equal(virDomainSnapshotFree(snapshot), -1);
    assert_told(VIR_ERR_INVALID_DOMAIN_SNAPSHOT, VIR_FROM_DOMAIN_SNAPSHOT,
                "Invalid domain snapshot: virDomainSnapshotFree");
    assert_int_equal(virDomainSnapshotFree(NULL), -1);
    assert_told(VIR_ERR_INVALID_DOMAIN_SNAPSHOT, VIR_FROM_DOMAIN_SNAPSHOT,
                "Invalid domain snapshot: virDomainSnapshotFree");
    assert_int_equal(virDomainFree(domain), 0);
    assert_int_equal(virConnectClose(conn), 0);
}

static void libvirts_functions_refuse_our_handles(void **state)
{
    char root[] = "/tmp/virsnap-companion-XXXXXX";
    char uri[sizeof(root) + 32];
    char command[sizeof(root) + 32];
    virConnectPtr conn;
    virDomainPtr domain;
    virDomainInfo info;
    int maximum;

    (void)state;
    assert_non_null(mkdtemp(root));
    snprintf(uri, sizeof(uri), "virsnap://%s/state", root);
    conn = virConnectOpen(uri);
    assert_non_null(conn);
    assert_string_equal(virConnectGetType(conn), "virsnap");
    domain = virDomainDefineXML(
        conn, "<domain type='qemu'><name>own</name><memory>1024</memory>"
              "<os><type>hvm</type></os></domain>");
    assert_non_null(domain);
    assert_int_equal(virDomainGetInfo(domain, &info), 0);
    assert_int_equal(told.count, 0);

#define refused(call) \
    do { \
        forget(); \
        assert_true((intptr_t)(call) <= 0); \
        assert_int_equal(told.count, 1); \
        assert_true(told.code == VIR_ERR_INVALID_DOMAIN || told.code == VIR_ERR_INVALID_CONN); \
    } while (0)
    refused(virDomainSuspend(domain));
    refused(virDomainResume(domain));
    refused(virDomainDestroy(domain));
    refused(virDomainCreate(domain));
    refused(virDomainSave(domain, "/nowhere"));
    refused(virDomainGetOSType(domain));
    refused(virDomainGetMaxMemory(domain));
    refused(virDomainSetMemory(domain, 1));
    refused(virDomainGetAutostart(domain, &maximum));
    refused(virDomainListAllCheckpoints(domain, NULL, 0));
    refused(virDomainMigrate(domain, conn, 0, NULL, NULL, 0));
    refused(virDomainGetMetadata(domain, VIR_DOMAIN_METADATA_TITLE, NULL, 0));
    refused(virDomainBlockCommit(domain, "vda", NULL, NULL, 0, 0));
    refused(virDomainGetJobInfo(domain, NULL));
    refused(virConnectGetCapabilities(conn));
    refused(virConnectGetMaxVcpus(conn, NULL));
    refused(virNodeGetInfo(conn, NULL));
    refused(virConnectListAllNetworks(conn, NULL, 0));
    refused(virConnectListAllStoragePools(conn, NULL, 0));
    refused(virConnectGetSysinfo(conn, 0));
    refused(virConnectDomainEventRegisterAny(conn, domain, 0, NULL, NULL, NULL));
    refused(virStreamNew(conn, 0));
    forget();

    assert_int_equal(virDomainSnapshotNum(domain, 0), 0);
    assert_int_equal(virDomainUndefine(domain), 0);
    assert_int_equal(virDomainFree(domain), 0);
    assert_int_equal(virConnectClose(conn), 0);
    snprintf(command, sizeof(command), "rm -rf '%s'", root);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_snapshot_functions_are_ours_and_the_rest_is_libvirts, set_up),
        cmocka_unit_test_setup(a_snapshot_keeps_its_domain_and_connection, set_up),
        cmocka_unit_test_setup(snapshots_of_the_test_driver_go_with_its_last_connection, set_up),
        cmocka_unit_test_setup(errors_are_libvirts_own_and_told_once, set_up),
        cmocka_unit_test_setup(errors_are_the_threads_own, set_up),
        cmocka_unit_test_setup(wrong_handles_are_refused, set_up),
        cmocka_unit_test_setup(libvirts_functions_refuse_our_handles, set_up),
    };

    return cmocka_run_group_tests_name("companion", tests, NULL, NULL);
}
