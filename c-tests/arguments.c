/* What every export refuses, from one table: handles that are none, unknown flags, NULL where a
 * place is needed, writing on a read-only connection. */
#include "exports.h"
#include "snapshots.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { CONNECTION, DOMAIN, SNAPSHOT, KINDS };

/* Places for what an export would write. */
static virDomainInfo info;
static virDomainPtr *domains;
static virDomainSnapshotPtr *snapshots;
static unsigned long version;
static unsigned char uuid[VIR_UUID_BUFLEN];
static char uuid_text[VIR_UUID_STRING_BUFLEN];
static char *names[1];
static int ids[1];
static int number;

/* Each calls one export and tells whether it failed. */
#define CALL(name, kind, origin, failure, arguments) \
    static bool fails_##name(void *handle, unsigned int flags) \
    { \
        (void)flags; \
        return name arguments == (failure); \
    }
#define FLAGGED(name, kind, origin, failure, known, arguments) \
    static bool fails_##name(void *handle, unsigned int flags) \
    { \
        return name arguments == (failure); \
    }
EXPORTS(CALL, FLAGGED)
#undef FLAGGED
#undef CALL

static const struct export
{
    const char *name;
    bool (*fails)(void *handle, unsigned int flags);
    enum kind kind;
    int origin;
    bool has_flags;
    unsigned int known;
} exports[] = {
#define CALL(name, kind, origin, failure, arguments) {#name, fails_##name, kind, origin, false, 0},
#define FLAGGED(name, kind, origin, failure, known, arguments) \
    {#name, fails_##name, kind, origin, true, known},
    EXPORTS(CALL, FLAGGED)
#undef FLAGGED
#undef CALL
};

enum { COUNT = sizeof(exports) / sizeof(exports[0]) };

/* The export refuses this as a handle of its kind, whatever it is. */
static void assert_refuses(const struct export *export, void *handle)
{
    static const struct {
        int code;
        int origin;
        const char *text;
    } kinds[KINDS] = {
        {VIR_ERR_INVALID_CONN, 0, "invalid connection pointer in"},
        {VIR_ERR_INVALID_DOMAIN, VIR_FROM_DOM, "invalid domain pointer in"},
        {VIR_ERR_INVALID_DOMAIN_SNAPSHOT, VIR_FROM_DOMAIN_SNAPSHOT, "Invalid domain snapshot:"},
    };
    char *message = format("%s %s", kinds[export->kind].text, export->name);

    if (!export->fails(handle, 0)) {
        print_error("%s took %p\n", export->name, handle);
        fail();
    }
    assert_error(kinds[export->kind].code,
                 export->kind == CONNECTION ? export->origin : kinds[export->kind].origin, message);
    free(message);
}

static void null_is_no_handle(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT; i++)
        assert_refuses(&exports[i], NULL);
}

/* Memory of the stack and of another library, all of whose words are no class of libvirt's. */
static void foreign_memory_is_no_handle(void **state)
{
    long on_stack[16] = {0};
    void *on_heap = calloc(1, 256);

    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        assert_refuses(&exports[i], on_stack);
        assert_refuses(&exports[i], on_heap);
        if (api_is_libvirt())
            continue;
        /* libvirt follows every pointer. */
        assert_refuses(&exports[i], (void *)1);
        assert_refuses(&exports[i], (void *)(intptr_t)-1);
        assert_refuses(&exports[i], (char *)on_stack + 1);
        assert_refuses(&exports[i], stdout);
        assert_refuses(&exports[i], (void *)exports);
    }
    free(on_heap);
}

static void handles_of_another_kind_are_refused(void **state)
{
    const struct fixture *fixture = *state;
    virDomainPtr domain = fixture_domain(fixture, "kinds", 0);
    virDomainSnapshotPtr snapshot = snapshot_redefine(domain, "s", NULL, 0);
    void *const handles[KINDS] = {fixture->connection, domain, snapshot};

    for (size_t i = 0; i < COUNT; i++)
        for (enum kind kind = CONNECTION; kind < KINDS; kind++)
            if (kind != exports[i].kind)
                assert_refuses(&exports[i], handles[kind]);
    assert_text(tree_text(domain), "s");
    virDomainSnapshotFree(snapshot);
    virDomainFree(domain);
}

/* libvirt reads freed memory here. */
static void freed_handles_are_refused(void **state)
{
    struct fixture *fixture = *state;
    virDomainPtr domain;
    virDomainSnapshotPtr snapshot;
    virConnectPtr connection;
    void *handles[KINDS];

    if (api_is_libvirt())
        skip();
    connection = virConnectOpen(fixture->uri);
    domain = fixture_domain(fixture, "freed", 0);
    snapshot = snapshot_redefine(domain, "s", NULL, 0);
    handles[CONNECTION] = connection;
    handles[DOMAIN] = domain;
    handles[SNAPSHOT] = snapshot;
    assert_int_equal(virDomainSnapshotFree(snapshot), 0);
    assert_int_equal(virDomainFree(domain), 0);
    assert_int_equal(virConnectClose(connection), 0);
    for (size_t i = 0; i < COUNT; i++)
        assert_refuses(&exports[i], handles[exports[i].kind]);
    virConnSetErrorFunc(connection, NULL, NULL);
    virConnResetLastError(connection);
    assert_null(virConnGetLastError(connection));
}

/* A handle that was freed does not come back as another one soon. */
static void freed_handle_is_not_the_next_one(void **state)
{
    virDomainPtr domain = fixture_domain(*state, "next", 0);
    virDomainSnapshotPtr freed;

    if (api_is_libvirt()) {
        virDomainFree(domain);
        skip();
    }
    freed = snapshot_redefine(domain, "s", NULL, 0);
    virDomainSnapshotFree(freed);
    for (int i = 0; i < 100; i++) {
        virDomainSnapshotPtr next = snapshot_lookup(domain, "s");

        assert_ptr_not_equal(next, freed);
        assert_int_equal(virDomainSnapshotFree(freed), -1);
        virDomainSnapshotFree(next);
    }
    virDomainFree(domain);
}

static void unknown_flags_are_refused(void **state)
{
    const struct fixture *fixture = *state;
    virDomainPtr domain = fixture_domain(fixture, "flags", 0);
    virDomainSnapshotPtr snapshot = snapshot_redefine(domain, "s", NULL, 0);
    void *const handles[KINDS] = {fixture->connection, domain, snapshot};

    for (size_t i = 0; i < COUNT; i++) {
        const struct export *export = &exports[i];

        if (!export->has_flags)
            continue;
        for (unsigned int bit = 1; bit; bit <<= 1) {
            if (bit & export->known)
                continue;
            if (!export->fails(handles[export->kind], bit) ||
                virGetLastErrorCode() != VIR_ERR_INVALID_ARG ||
                virGetLastErrorDomain() != VIR_FROM_QEMU) {
                print_error("%s %#x: %d/%d %s\n", export->name, bit, virGetLastErrorCode(),
                            virGetLastErrorDomain(), virGetLastErrorMessage());
                fail();
            }
        }
    }
    assert_text(tree_text(domain), "s");
    virDomainSnapshotFree(snapshot);
    virDomainFree(domain);
}

#define assert_refused(call, failure, code, origin, message) \
    do { \
        assert_true((call) == (failure)); \
        assert_error(code, origin, message); \
    } while (0)

static void flags_that_do_not_go_together(void **state)
{
    static const struct {
        unsigned int flags;
        int origin;
        const char *message;
    } rows[] = {
        {VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT, VIR_FROM_DOMAIN_SNAPSHOT,
         "Flag 'VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE' is required by flag "
         "'VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT'"},
        {VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE | VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA,
         VIR_FROM_DOMAIN_SNAPSHOT,
         "Flags 'VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE' and "
         "'VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA' are mutually exclusive"},
        {VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE | VIR_DOMAIN_SNAPSHOT_CREATE_HALT,
         VIR_FROM_DOMAIN_SNAPSHOT,
         "Flags 'VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE' and 'VIR_DOMAIN_SNAPSHOT_CREATE_HALT' are "
         "mutually exclusive"},
        {VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE, VIR_FROM_QEMU,
         "Flag 'VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY' is required by flag "
         "'VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE'"},
        {VIR_DOMAIN_SNAPSHOT_CREATE_LIVE | VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE, VIR_FROM_QEMU,
         "Flags 'VIR_DOMAIN_SNAPSHOT_CREATE_LIVE' and 'VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE' are "
         "mutually exclusive"},
    };
    virDomainPtr domain = fixture_domain(*state, "pairs", 0);
    virDomainSnapshotPtr snapshot = snapshot_redefine(domain, "s", NULL, 0);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_refused(virDomainSnapshotCreateXML(domain, "<domainsnapshot/>", rows[i].flags),
                       NULL, VIR_ERR_INVALID_ARG, rows[i].origin, rows[i].message);
    assert_refused(virDomainSnapshotDelete(snapshot, VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN |
                                                         VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN_ONLY),
                   -1, VIR_ERR_INVALID_ARG, VIR_FROM_DOMAIN_SNAPSHOT,
                   "Flags 'VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN' and "
                   "'VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN_ONLY' are mutually exclusive");
    virDomainSnapshotFree(snapshot);
    virDomainFree(domain);
}

static void places_and_texts_are_needed(void **state)
{
    const struct fixture *fixture = *state;
    virConnectPtr connection = fixture->connection;
    virDomainPtr domain = fixture_domain(fixture, "places", 0);

#define assert_needed(call, failure, origin, argument, function) \
    assert_refused(call, failure, VIR_ERR_INVALID_ARG, origin, \
                   argument " in " function " must not be NULL")

    assert_needed(virDomainDefineXML(connection, NULL), NULL, VIR_FROM_DOMAIN, "xml",
                  "virDomainDefineXML");
    assert_needed(virDomainDefineXMLFlags(connection, NULL, 0), NULL, VIR_FROM_DOMAIN, "xml",
                  "virDomainDefineXMLFlags");
    assert_needed(virDomainLookupByName(connection, NULL), NULL, VIR_FROM_DOMAIN, "name",
                  "virDomainLookupByName");
    assert_needed(virDomainLookupByUUID(connection, NULL), NULL, VIR_FROM_DOMAIN, "uuid",
                  "virDomainLookupByUUID");
    assert_needed(virDomainLookupByUUIDString(connection, NULL), NULL, VIR_FROM_DOMAIN, "uuidstr",
                  "virDomainLookupByUUIDString");
    assert_needed(virConnectListDomains(connection, NULL, 1), -1, VIR_FROM_DOMAIN, "ids",
                  "virConnectListDomains");
    assert_needed(virConnectListDefinedDomains(connection, NULL, 1), -1, VIR_FROM_DOMAIN, "names",
                  "virConnectListDefinedDomains");
    assert_needed(virDomainGetUUID(domain, NULL), -1, VIR_FROM_DOMAIN, "uuid", "virDomainGetUUID");
    assert_needed(virDomainGetUUIDString(domain, NULL), -1, VIR_FROM_DOMAIN, "buf",
                  "virDomainGetUUIDString");
    assert_needed(virDomainGetInfo(domain, NULL), -1, VIR_FROM_DOMAIN, "info", "virDomainGetInfo");
    assert_needed(virDomainGetState(domain, NULL, NULL, 0), -1, VIR_FROM_DOMAIN, "state",
                  "virDomainGetState");
    assert_needed(virDomainSnapshotCreateXML(domain, NULL, 0), NULL, VIR_FROM_DOMAIN_SNAPSHOT,
                  "xmlDesc", "virDomainSnapshotCreateXML");
    assert_needed(virDomainSnapshotLookupByName(domain, NULL, 0), NULL, VIR_FROM_DOMAIN_SNAPSHOT,
                  "name", "virDomainSnapshotLookupByName");
#undef assert_needed
    assert_refused(virConnectListDefinedDomains(connection, names, -1), -1, VIR_ERR_INVALID_ARG,
                   VIR_FROM_DOMAIN,
                   "maxnames in virConnectListDefinedDomains must be zero or greater");
    assert_refused(virConnectListDomains(connection, ids, -1), -1, VIR_ERR_INVALID_ARG,
                   VIR_FROM_DOMAIN, "maxids in virConnectListDomains must be zero or greater");
    virDomainFree(domain);
}

static void reader_may_not_write(void **state)
{
    const struct fixture *fixture = *state;
    virDomainPtr writable = fixture_domain(fixture, "read", 0);
    virConnectPtr reader = virConnectOpenReadOnly(fixture->uri);
    virDomainPtr domain;
    virDomainSnapshotPtr snapshot;

    tree_redefine(writable, "*s");
    domain = virDomainLookupByName(reader, "read");
    snapshot = virDomainSnapshotCurrent(domain, 0);
    assert_non_null(snapshot);

#define assert_denied(call, failure, origin, function) \
    assert_refused(call, failure, VIR_ERR_OPERATION_DENIED, origin, \
                   "operation forbidden: read only access prevents " function)

    assert_denied(virDomainDefineXML(reader, "<domain/>"), NULL, VIR_FROM_DOMAIN,
                  "virDomainDefineXML");
    assert_denied(virDomainDefineXMLFlags(reader, "<domain/>", 0), NULL, VIR_FROM_DOMAIN,
                  "virDomainDefineXMLFlags");
    assert_denied(virDomainUndefine(domain), -1, VIR_FROM_DOMAIN, "virDomainUndefine");
    assert_denied(virDomainUndefineFlags(domain, 2), -1, VIR_FROM_DOMAIN,
                  "virDomainUndefineFlags");
    assert_denied(virDomainSnapshotCreateXML(domain, "<domainsnapshot/>", 0), NULL,
                  VIR_FROM_DOMAIN_SNAPSHOT, "virDomainSnapshotCreateXML");
    assert_denied(virDomainRevertToSnapshot(snapshot, 0), -1, VIR_FROM_DOMAIN_SNAPSHOT,
                  "virDomainRevertToSnapshot");
    assert_denied(virDomainSnapshotDelete(snapshot, 0), -1, VIR_FROM_DOMAIN_SNAPSHOT,
                  "virDomainSnapshotDelete");
#undef assert_denied
    assert_text(tree_text(domain), "*s");
    virDomainSnapshotFree(snapshot);
    virDomainFree(domain);
    virConnectClose(reader);
    virDomainFree(writable);
}

#ifdef VIRSNAP_TEST_DLOPEN
/* Whether an export takes none of the three handles, or answers a bad one without an error. */
static bool is_without_handle(const char *name)
{
    static const char *const prefixes[] = {
        "virConnectOpen", "virConnCopy", "virConnGet",  "virConnReset", "virConnSet", "virCopy",
        "virDefault",     "virFree",     "virGet",      "virInit",      "virReset",   "virSave",
        "virSet",         "virSnap",
    };

    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

static void every_export_is_in_the_table(void **state)
{
    static const char *const all[] = {
#define FUNCTION(name) #name,
        API_FUNCTIONS(FUNCTION)
#undef FUNCTION
    };

    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        bool is_known = is_without_handle(all[i]);

        for (size_t j = 0; j < COUNT && !is_known; j++)
            is_known = strcmp(all[i], exports[j].name) == 0;
        if (!is_known)
            print_error("%s is not in the table\n", all[i]);
        assert_true(is_known);
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(null_is_no_handle),
        cmocka_unit_test(foreign_memory_is_no_handle),
        fixture_test(handles_of_another_kind_are_refused),
        fixture_test(freed_handles_are_refused),
        fixture_test(freed_handle_is_not_the_next_one),
        fixture_test(unknown_flags_are_refused),
        fixture_test(flags_that_do_not_go_together),
        fixture_test(places_and_texts_are_needed),
        fixture_test(reader_may_not_write),
#ifdef VIRSNAP_TEST_DLOPEN
        cmocka_unit_test(every_export_is_in_the_table),
#endif
    };

    return run_family("arguments", tests);
}
