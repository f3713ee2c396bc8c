/* Domains: defining, identity, looking up, what they say of themselves, undefining. */
#include "snapshots.h"

#include <stdlib.h>
#include <string.h>

static const char uuid_a[] = "aaaaaaaa-1111-4222-8333-444444444444";
static const char uuid_b[] = "bbbbbbbb-1111-4222-8333-444444444444";

static virDomainPtr define(const struct fixture *fixture, const char *name, const char *uuid)
{
    char *xml = domain_xml(name, uuid, NULL, 0);
    virDomainPtr domain = virDomainDefineXML(fixture->connection, xml);

    free(xml);
    return domain;
}

static void identity_is_given_or_made(void **state)
{
    virDomainPtr given = define(*state, "given", uuid_a);
    virDomainPtr made = define(*state, "made", NULL);
    unsigned char bytes[VIR_UUID_BUFLEN];
    char text[VIR_UUID_STRING_BUFLEN];

    assert_non_null(given);
    assert_int_equal(virDomainGetUUIDString(given, text), 0);
    assert_string_equal(text, uuid_a);
    assert_int_equal(virDomainGetUUID(given, bytes), 0);
    assert_int_equal(bytes[0], 0xaa);
    assert_int_equal(bytes[15], 0x44);
    assert_int_equal(virDomainGetID(given), (unsigned int)-1);
    assert_non_null(made);
    assert_int_equal(virDomainGetUUIDString(made, text), 0);
    /* RFC 4122, 4.1.1 and 4.1.3: random. */
    assert_int_equal(text[14], '4');
    assert_non_null(strchr("89ab", text[19]));
    virDomainFree(made);
    virDomainFree(given);
}

static void name_and_uuid_belong_together(void **state)
{
    virDomainPtr domain = define(*state, "one", uuid_a);
    virDomainPtr other = define(*state, "two", uuid_b);
    virDomainPtr again;

    assert_null(define(*state, "one", uuid_b));
    assert_error(VIR_ERR_OPERATION_FAILED, VIR_FROM_DOMAIN,
                 "operation failed: domain 'two' is already defined with uuid "
                 "bbbbbbbb-1111-4222-8333-444444444444");
    virDomainUndefine(other);
    assert_null(define(*state, "one", uuid_b));
    assert_error(VIR_ERR_OPERATION_FAILED, VIR_FROM_DOMAIN,
                 "operation failed: domain 'one' already exists with uuid "
                 "aaaaaaaa-1111-4222-8333-444444444444");
    assert_null(define(*state, "three", uuid_a));
    assert_error(VIR_ERR_OPERATION_FAILED, VIR_FROM_DOMAIN,
                 "operation failed: domain 'one' is already defined with uuid "
                 "aaaaaaaa-1111-4222-8333-444444444444");
    again = define(*state, "one", uuid_a);
    assert_non_null(again);
    assert_int_equal(virConnectNumOfDefinedDomains(((struct fixture *)*state)->connection), 1);
    virDomainFree(again);
    virDomainFree(other);
    virDomainFree(domain);
}

/* A definition without a UUID gets a new one, which then is not the old one's. */
static void definition_without_uuid_is_another_domain(void **state)
{
    virDomainPtr domain = define(*state, "one", uuid_a);

    assert_null(define(*state, "one", NULL));
    assert_int_equal(virGetLastErrorCode(), VIR_ERR_OPERATION_FAILED);
    virDomainFree(domain);
}

static void definition_is_replaced(void **state)
{
    const struct fixture *fixture = *state;
    virDomainPtr domain = define(fixture, "grows", NULL);
    char *xml = domain_definition(domain);
    char *cpus = strstr(xml, ">1</vcpu>");
    virDomainPtr again;
    virDomainInfo info;

    assert_non_null(cpus);
    cpus[1] = '3';
    again = virDomainDefineXMLFlags(fixture->connection, xml, 0);
    assert_non_null(again);
    assert_int_equal(virDomainGetInfo(domain, &info), 0);
    assert_int_equal(info.nrVirtCpu, 3);
    virDomainFree(again);
    free(xml);
    virDomainFree(domain);
}

static void faulty_definitions_are_refused(void **state)
{
    static const struct {
        const char *xml;
        int code;
    } rows[] = {
        {"", VIR_ERR_XML_DETAIL},
        {"<domain", VIR_ERR_XML_DETAIL},
        {"<machine/>", VIR_ERR_XML_ERROR},
        {"<domain type='qemu'><memory>16384</memory>"
         "<os><type arch='x86_64' machine='pc'>hvm</type></os></domain>", VIR_ERR_NO_NAME},
        {"<domain type='qemu'><name>a/b</name><memory>16384</memory>"
         "<os><type arch='x86_64' machine='pc'>hvm</type></os></domain>", VIR_ERR_XML_ERROR},
        {"<domain type='qemu'><name>n</name><uuid>none</uuid><memory>16384</memory>"
         "<os><type arch='x86_64' machine='pc'>hvm</type></os></domain>", VIR_ERR_INTERNAL_ERROR},
    };
    const struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_null(virDomainDefineXML(fixture->connection, rows[i].xml));
        if (virGetLastErrorCode() != rows[i].code)
            print_error("%s: %s\n", rows[i].xml, virGetLastErrorMessage());
        assert_int_equal(virGetLastErrorCode(), rows[i].code);
    }
    assert_int_equal(virConnectNumOfDefinedDomains(fixture->connection), 0);
}

static void each_look_up_finds_it(void **state)
{
    const struct fixture *fixture = *state;
    virConnectPtr connection = fixture->connection;
    virDomainPtr domain = define(fixture, "found", uuid_a);
    unsigned char uuid[VIR_UUID_BUFLEN];
    virDomainPtr found[3];

    assert_int_equal(virDomainGetUUID(domain, uuid), 0);
    found[0] = virDomainLookupByName(connection, "found");
    found[1] = virDomainLookupByUUID(connection, uuid);
    found[2] = virDomainLookupByUUIDString(connection, "AAAAAAAA111142228333444444444444");
    for (size_t i = 0; i < 3; i++) {
        assert_non_null(found[i]);
        assert_string_equal(virDomainGetName(found[i]), "found");
        assert_ptr_equal(virDomainGetConnect(found[i]), connection);
        virDomainFree(found[i]);
    }
    virDomainFree(domain);
}

static void who_is_not_there_is_not_found(void **state)
{
    virConnectPtr connection = ((struct fixture *)*state)->connection;
    static const unsigned char uuid[VIR_UUID_BUFLEN] = {1, 2, 3};

    assert_null(virDomainLookupByName(connection, "nobody"));
    assert_error(VIR_ERR_NO_DOMAIN, VIR_FROM_QEMU,
                 "Domain not found: no domain with matching name 'nobody'");
    assert_null(virDomainLookupByUUID(connection, uuid));
    assert_error(VIR_ERR_NO_DOMAIN, VIR_FROM_QEMU,
                 "Domain not found: no domain with matching uuid "
                 "'01020300-0000-0000-0000-000000000000'");
    assert_null(virDomainLookupByID(connection, 1));
    assert_error(VIR_ERR_NO_DOMAIN, VIR_FROM_QEMU,
                 "Domain not found: no domain with matching id 1");
    assert_null(virDomainLookupByUUIDString(connection, "no uuid"));
    assert_int_equal(virGetLastErrorCode(), VIR_ERR_INVALID_ARG);
    assert_null(virDomainLookupByID(connection, -1));
    assert_int_equal(virGetLastErrorCode(), VIR_ERR_INVALID_ARG);
}

static void shut_off_and_persistent(void **state)
{
    virDomainPtr domain = define(*state, "off", NULL);
    virDomainInfo info;
    int value = -1;
    int reason = -1;

    assert_int_equal(virDomainIsActive(domain), 0);
    assert_int_equal(virDomainIsPersistent(domain), 1);
    assert_int_equal(virDomainHasManagedSaveImage(domain, 0), 0);
    assert_int_equal(virDomainGetState(domain, &value, &reason, 0), 0);
    assert_int_equal(value, VIR_DOMAIN_SHUTOFF);
    assert_int_equal(reason, VIR_DOMAIN_SHUTOFF_UNKNOWN);
    assert_int_equal(virDomainGetState(domain, &value, NULL, 0), 0);
    memset(&info, 0x5a, sizeof(info));
    assert_int_equal(virDomainGetInfo(domain, &info), 0);
    assert_int_equal(info.state, VIR_DOMAIN_SHUTOFF);
    assert_int_equal(info.maxMem, 16384);
    assert_int_equal(info.memory, 16384);
    assert_int_equal(info.nrVirtCpu, 1);
    assert_int_equal(info.cpuTime, 0);
    virDomainFree(domain);
}

static void definition_without_secrets_unless_asked_for(void **state)
{
    static const char xml[] =
        "<domain type='qemu'><name>secret</name><memory>16384</memory>"
        "<os><type arch='x86_64' machine='pc'>hvm</type></os><devices>"
        "<graphics type='vnc' port='-1' autoport='yes' passwd='sesame'/></devices></domain>";
    const struct fixture *fixture = *state;
    virDomainPtr domain = virDomainDefineXML(fixture->connection, xml);
    virConnectPtr reader = virConnectOpenReadOnly(fixture->uri);
    virDomainPtr seen = virDomainLookupByName(reader, "secret");
    char *with = virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_SECURE);
    char *without = virDomainGetXMLDesc(domain, 0);

    assert_non_null(strstr(with, "sesame"));
    assert_null(strstr(without, "sesame"));
    assert_null(virDomainGetXMLDesc(seen, VIR_DOMAIN_XML_SECURE));
    assert_error(VIR_ERR_OPERATION_DENIED, VIR_FROM_DOMAIN,
                 "operation forbidden: virDomainGetXMLDesc with secure flag");
    free(with);
    free(without);
    virDomainFree(seen);
    virConnectClose(reader);
    virDomainFree(domain);
}

static void undefine_is_refused_while_there_are_snapshots(void **state)
{
    virDomainPtr domain = define(*state, "guarded", NULL);

    tree_redefine(domain, "a *b<a c<a");
    assert_int_equal(virDomainUndefine(domain), -1);
    assert_error(VIR_ERR_OPERATION_INVALID, VIR_FROM_QEMU,
                 "Requested operation is not valid: cannot delete inactive domain with 3 "
                 "snapshots");
    assert_int_equal(virDomainUndefineFlags(domain, 0), -1);
    assert_error(VIR_ERR_OPERATION_INVALID, VIR_FROM_QEMU, NULL);
    assert_text(tree_text(domain), "a *b<a c<a");
    assert_int_equal(virDomainUndefineFlags(domain, VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA), 0);
    virDomainFree(domain);
    /* The name starts anew. */
    domain = define(*state, "guarded", NULL);
    assert_text(tree_text(domain), "");
    assert_int_equal(virDomainUndefine(domain), 0);
    virDomainFree(domain);
}

static void undefined_domain_is_gone(void **state)
{
    virDomainPtr domain = define(*state, "gone", uuid_a);
    virDomainSnapshotPtr snapshot = snapshot_redefine(domain, "s", NULL, 0);
    static const char message[] =
        "Domain not found: no domain with matching uuid "
        "'aaaaaaaa-1111-4222-8333-444444444444' (gone)";
    virDomainInfo info;
    int value;

#define assert_gone(call, failure) \
    do { \
        assert_true((call) == (failure)); \
        assert_error(VIR_ERR_NO_DOMAIN, VIR_FROM_QEMU, message); \
    } while (0)

    assert_int_equal(virDomainUndefineFlags(domain, VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA), 0);
    assert_string_equal(virDomainGetName(domain), "gone");
    assert_string_equal(virDomainSnapshotGetName(snapshot), "s");
    assert_gone(virDomainIsActive(domain), -1);
    assert_gone(virDomainIsPersistent(domain), -1);
    assert_gone(virDomainHasManagedSaveImage(domain, 0), -1);
    assert_gone(virDomainGetState(domain, &value, NULL, 0), -1);
    assert_gone(virDomainGetInfo(domain, &info), -1);
    assert_gone(virDomainGetXMLDesc(domain, 0), NULL);
    assert_gone(virDomainUndefine(domain), -1);
    assert_gone(virDomainSnapshotCreateXML(domain, "<domainsnapshot/>", 0), NULL);
    assert_gone(virDomainSnapshotNum(domain, 0), -1);
    assert_gone(virDomainListAllSnapshots(domain, NULL, 0), -1);
    assert_gone(virDomainSnapshotLookupByName(domain, "s", 0), NULL);
    assert_gone(virDomainHasCurrentSnapshot(domain, 0), -1);
    assert_gone(virDomainSnapshotCurrent(domain, 0), NULL);
    assert_gone(virDomainSnapshotGetXMLDesc(snapshot, 0), NULL);
    assert_gone(virDomainSnapshotNumChildren(snapshot, 0), -1);
    assert_gone(virDomainSnapshotGetParent(snapshot, 0), NULL);
    assert_gone(virDomainSnapshotIsCurrent(snapshot, 0), -1);
    assert_gone(virDomainSnapshotHasMetadata(snapshot, 0), -1);
    assert_gone(virDomainRevertToSnapshot(snapshot, 0), -1);
    assert_gone(virDomainSnapshotDelete(snapshot, 0), -1);
#undef assert_gone
    virDomainSnapshotFree(snapshot);
    virDomainFree(domain);
}

static void assert_listed(virConnectPtr connection, unsigned int flags, const char *names)
{
    virDomainPtr *domains = NULL;
    int count = virConnectListAllDomains(connection, &domains, flags);
    char *text = format("%s", "");

    assert_true(count >= 0);
    assert_null(domains[count]);
    for (int i = 0; i < count; i++) {
        char *longer = format("%s %s", text, virDomainGetName(domains[i]));

        free(text);
        text = longer;
        virDomainFree(domains[i]);
    }
    free(domains);
    assert_int_equal(virConnectListAllDomains(connection, NULL, flags), count);
    assert_text(sorted(text), names);
}

static void lists_of_domains(void **state)
{
    static const struct {
        unsigned int flags;
        const char *names;
    } rows[] = {
        {0, "bare snapped"},
        {VIR_CONNECT_LIST_DOMAINS_ACTIVE, ""},
        {VIR_CONNECT_LIST_DOMAINS_INACTIVE, "bare snapped"},
        {VIR_CONNECT_LIST_DOMAINS_PERSISTENT, "bare snapped"},
        {VIR_CONNECT_LIST_DOMAINS_TRANSIENT, ""},
        {VIR_CONNECT_LIST_DOMAINS_RUNNING, ""},
        {VIR_CONNECT_LIST_DOMAINS_SHUTOFF, "bare snapped"},
        {VIR_CONNECT_LIST_DOMAINS_RUNNING | VIR_CONNECT_LIST_DOMAINS_SHUTOFF, "bare snapped"},
        {VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT, "snapped"},
        {VIR_CONNECT_LIST_DOMAINS_NO_SNAPSHOT, "bare"},
        {VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT | VIR_CONNECT_LIST_DOMAINS_NO_SNAPSHOT,
         "bare snapped"},
        {VIR_CONNECT_LIST_DOMAINS_INACTIVE | VIR_CONNECT_LIST_DOMAINS_NO_SNAPSHOT, "bare"},
        {VIR_CONNECT_LIST_DOMAINS_ACTIVE | VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT, ""},
        {VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE, ""},
        {VIR_CONNECT_LIST_DOMAINS_AUTOSTART, ""},
    };
    const struct fixture *fixture = *state;
    virConnectPtr connection = fixture->connection;
    virDomainPtr bare = define(fixture, "bare", NULL);
    virDomainPtr snapped = define(fixture, "snapped", NULL);
    char *names[3] = {NULL};
    int ids[1];

    tree_redefine(snapped, "s");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_listed(connection, rows[i].flags, rows[i].names);
    assert_int_equal(virConnectNumOfDefinedDomains(connection), 2);
    assert_int_equal(virConnectListDefinedDomains(connection, names, 3), 2);
    assert_null(names[2]);
    free(names[0]);
    free(names[1]);
    assert_int_equal(virConnectListDefinedDomains(connection, names, 1), 1);
    free(names[0]);
    assert_int_equal(virConnectNumOfDomains(connection), 0);
    assert_int_equal(virConnectListDomains(connection, ids, 1), 0);
    virDomainFree(snapped);
    virDomainFree(bare);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(identity_is_given_or_made),
        fixture_test(name_and_uuid_belong_together),
        fixture_test(definition_without_uuid_is_another_domain),
        fixture_test(definition_is_replaced),
        fixture_test(faulty_definitions_are_refused),
        fixture_test(each_look_up_finds_it),
        fixture_test(who_is_not_there_is_not_found),
        fixture_test(shut_off_and_persistent),
        fixture_test(definition_without_secrets_unless_asked_for),
        fixture_test(undefine_is_refused_while_there_are_snapshots),
        fixture_test(undefined_domain_is_gone),
        fixture_test(lists_of_domains),
    };

    return run_family("domain", tests);
}
