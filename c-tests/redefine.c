/* REDEFINE: what a document must say, where it goes in the hierarchy, what becomes current. */
#include "snapshots.h"

#include <stdlib.h>
#include <string.h>

enum {
    REDEFINE = VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE,
    CURRENT = VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT,
    DISK_ONLY = VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY,
};

static const char other_domain[] =
    "<domain type='qemu'><name>rules</name><uuid>00000000-0000-4000-8000-000000000001</uuid>"
    "<memory>16384</memory><os><type arch='x86_64' machine='pc'>hvm</type></os></domain>";

/* Each is refused by a domain that has "*top low<top running". */
static const struct {
    struct document document;
    unsigned int flags;
    int code;
    int domain;
    const char *message;
    bool without_domain;
} refusals[] = {
    {{.state = "shutoff", .created = "1"}, 0, VIR_ERR_XML_ERROR, VIR_FROM_DOMAIN_SNAPSHOT,
     "XML error: a redefined snapshot must have a name", false},
    {{.name = "n", .created = "1"}, 0, VIR_ERR_XML_ERROR, VIR_FROM_DOMAIN_SNAPSHOT,
     "XML error: missing state from existing snapshot", false},
    {{.name = "n", .state = "nostate", .created = "1"}, 0, VIR_ERR_CONFIG_UNSUPPORTED,
     VIR_FROM_DOMAIN_SNAPSHOT,
     "unsupported configuration: Invalid state 'nostate' in domain snapshot XML", false},
    {{.name = "n", .state = "asleep", .created = "1"}, 0, VIR_ERR_CONFIG_UNSUPPORTED,
     VIR_FROM_DOMAIN_SNAPSHOT,
     "unsupported configuration: Invalid state 'asleep' in domain snapshot XML", false},
    {{.name = "n", .state = "blocked", .created = "1"}, 0, VIR_ERR_INTERNAL_ERROR, VIR_FROM_QEMU,
     "internal error: Invalid domain state blocked", false},
    {{.name = "n", .state = "pmsuspended", .created = "1"}, 0, VIR_ERR_OPERATION_UNSUPPORTED,
     VIR_FROM_QEMU,
     "Operation not supported: qemu doesn't support taking snapshots of PMSUSPENDED guests", false},
    {{.name = "n", .state = "shutoff"}, 0, VIR_ERR_INTERNAL_ERROR, VIR_FROM_DOMAIN_SNAPSHOT,
     "internal error: missing creationTime from existing snapshot", false},
    {{.name = "n", .state = "shutoff", .created = "soon"}, 0, VIR_ERR_INTERNAL_ERROR,
     VIR_FROM_DOMAIN_SNAPSHOT, "internal error: missing creationTime from existing snapshot",
     false},
    {{.name = "a/b", .state = "shutoff", .created = "1"}, 0, VIR_ERR_XML_DETAIL, VIR_FROM_QEMU,
     "invalid snapshot name 'a/b': name can't contain '/'", false},
    {{.name = ".n", .state = "shutoff", .created = "1"}, 0, VIR_ERR_XML_DETAIL, VIR_FROM_QEMU,
     "invalid snapshot name '.n': name can't start with '.'", false},
    {{.name = "n", .state = "shutoff", .created = "1", .parent = "n"}, 0, VIR_ERR_INVALID_ARG,
     VIR_FROM_DOMAIN, "invalid argument: cannot set moment n as its own parent", false},
    {{.name = "n", .state = "shutoff", .created = "1", .parent = "nobody"}, 0,
     VIR_ERR_INVALID_ARG, VIR_FROM_DOMAIN,
     "invalid argument: parent nobody for moment n not found", false},
    {{.name = "top", .state = "shutoff", .created = "1", .parent = "low"}, 0,
     VIR_ERR_INVALID_ARG, VIR_FROM_DOMAIN,
     "invalid argument: parent low would create cycle to top", false},
    {{.name = "n", .state = "shutoff", .created = "1"}, DISK_ONLY, VIR_ERR_INVALID_ARG,
     VIR_FROM_DOMAIN_SNAPSHOT,
     "invalid argument: disk-only flag for snapshot n requires disk-snapshot state", false},
    {{.name = "top", .state = "running", .created = "1"}, 0, VIR_ERR_INVALID_ARG,
     VIR_FROM_DOMAIN_SNAPSHOT,
     "invalid argument: cannot change between online and offline snapshot state in snapshot top",
     false},
    {{.name = "running", .state = "shutoff", .created = "1"}, 0, VIR_ERR_INVALID_ARG,
     VIR_FROM_DOMAIN_SNAPSHOT,
     "invalid argument: cannot change between online and offline snapshot state in snapshot "
     "running", false},
    {{.name = "top", .state = "disk-snapshot", .created = "1"}, 0, VIR_ERR_INVALID_ARG,
     VIR_FROM_DOMAIN_SNAPSHOT,
     "invalid argument: cannot change between disk only and full system in snapshot top", false},
    {{.name = "n", .state = "shutoff", .created = "1"}, 0, VIR_ERR_INTERNAL_ERROR,
     VIR_FROM_DOMAIN_SNAPSHOT, "internal error: missing domain in snapshot", true},
    {{.name = "n", .state = "shutoff", .created = "1",
      .more = "<memory snapshot='internal'/>"}, 0, VIR_ERR_XML_ERROR, VIR_FROM_DOMAIN_SNAPSHOT,
     "XML error: memory state cannot be saved with offline or disk-only snapshot", false},
    {{.name = "n", .state = "running", .created = "1",
      .more = "<memory snapshot='external'/>"}, 0, VIR_ERR_XML_ERROR, VIR_FROM_DOMAIN_SNAPSHOT,
     "XML error: external memory snapshots require a filename", false},
    {{.name = "n", .state = "running", .created = "1",
      .more = "<memory snapshot='sometimes'/>"}, 0, VIR_ERR_XML_ERROR, VIR_FROM_XML,
     "XML error: Invalid value for attribute 'snapshot' in element 'memory': 'sometimes'.", false},
    {{.name = "n", .state = "shutoff", .created = "1",
      .more = "<disks><disk name='vdz'/></disks>"}, 0, VIR_ERR_CONFIG_UNSUPPORTED,
     VIR_FROM_DOMAIN_SNAPSHOT, "unsupported configuration: no disk named 'vdz'", false},
    {{.name = "n", .state = "shutoff", .created = "1",
      .more = "<disks><disk name='vda' snapshot='no'/></disks>"}, 0, VIR_ERR_CONFIG_UNSUPPORTED,
     VIR_FROM_DOMAIN_SNAPSHOT,
     "unsupported configuration: disk 'vda' must use snapshot mode 'internal'", false},
    {{.name = "n", .state = "shutoff", .created = "1",
      .more = "<disks><disk name='vda'/><disk name='vdb'/></disks>"}, 0,
     VIR_ERR_CONFIG_UNSUPPORTED, VIR_FROM_DOMAIN_SNAPSHOT,
     "unsupported configuration: too many disk snapshot requests for domain", false},
    {{.name = "n", .state = "disk-snapshot", .created = "1",
      .more = "<disks><disk name='vda' snapshot='external'><source file='near'/></disk></disks>"},
     0, VIR_ERR_XML_ERROR, VIR_FROM_DOMAIN_SNAPSHOT,
     "XML error: disk snapshot image path 'near' must be absolute", false},
};

/* A domain with one disk that nothing is ever done to, and "*top low<top running". */
static virDomainPtr domain_with_rules(const struct fixture *fixture)
{
    virDomainPtr domain = fixture_domain(fixture, "rules", 1);
    char *definition = domain_definition(domain);
    char *xml = document_xml((struct document){
        .name = "running",
        .state = "running",
        .created = "1000000000",
        .domain = definition,
    });
    virDomainSnapshotPtr running;

    tree_redefine(domain, "*top low<top");
    running = virDomainSnapshotCreateXML(domain, xml, REDEFINE);
    assert_non_null(running);
    virDomainSnapshotFree(running);
    free(xml);
    free(definition);
    return domain;
}

static void faulty_documents_are_refused(void **state)
{
    virDomainPtr domain = domain_with_rules(*state);
    char *definition = domain_definition(domain);

    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        struct document document = refusals[i].document;
        char *xml;

        document.domain = refusals[i].without_domain ? NULL : definition;
        xml = document_xml(document);
        assert_null(virDomainSnapshotCreateXML(domain, xml, REDEFINE | refusals[i].flags));
        assert_error(refusals[i].code, refusals[i].domain, refusals[i].message);
        assert_text(tree_text(domain), "low<top running *top");
        free(xml);
    }
    free(definition);
    virDomainFree(domain);
}

static void definition_of_another_domain_is_refused(void **state)
{
    virDomainPtr domain = domain_with_rules(*state);
    char uuid[VIR_UUID_STRING_BUFLEN];
    char *message;
    char *xml = document_xml((struct document){
        .name = "n", .state = "shutoff", .created = "1", .domain = other_domain});

    assert_int_equal(virDomainGetUUIDString(domain, uuid), 0);
    message =
        format("invalid argument: definition for snapshot n must use uuid %s", uuid);
    assert_null(virDomainSnapshotCreateXML(domain, xml, REDEFINE));
    assert_error(VIR_ERR_INVALID_ARG, VIR_FROM_DOMAIN_SNAPSHOT, message);
    free(message);
    free(xml);
    virDomainFree(domain);
}

static void current_moves_only_when_told(void **state)
{
    virDomainPtr domain = fixture_domain(*state, "current", 0);

    redefine_each(domain, "a b c<a");
    assert_text(tree_text(domain), "a b c<a");
    redefine_each(domain, "*b");
    assert_text(tree_text(domain), "a *b c<a");
    redefine_each(domain, "*c<a");
    assert_text(tree_text(domain), "a b *c<a");
    /* Replacing keeps who is current, whether it is replaced itself or not. */
    redefine_each(domain, "c<a");
    assert_text(tree_text(domain), "a b *c<a");
    redefine_each(domain, "b<c");
    assert_text(tree_text(domain), "a b<c *c<a");
    virDomainFree(domain);
}

static void replacing_moves_a_whole_branch(void **state)
{
    virDomainPtr domain = fixture_domain(*state, "branch", 0);

    tree_redefine(domain, "a b<a c<b d<c *e<d x");
    tree_redefine(domain, "c<x");
    assert_text(tree_text(domain), "a b<a c<x d<c *e<d x");
    tree_redefine(domain, "c");
    assert_text(tree_text(domain), "a b<a c d<c *e<d x");
    virDomainFree(domain);
}

static void replacing_changes_what_it_may(void **state)
{
    static const char *const states[] = {"shutdown", "crashed", "shutoff"};
    virDomainPtr domain = fixture_domain(*state, "replaced", 0);
    virDomainSnapshotPtr snapshot;

    tree_redefine(domain, "s child<s");
    snapshot = snapshot_lookup(domain, "s");
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        /* No <domain>: the old one stays. */
        char *xml = document_xml((struct document){
            .name = "s", .state = states[i], .created = "77",
            .more = "<description>new</description>"});
        char *expected = format("<state>%s</state>", states[i]);
        char *now;
        virDomainSnapshotPtr again = virDomainSnapshotCreateXML(domain, xml, REDEFINE);

        assert_non_null(again);
        virDomainSnapshotFree(again);
        now = virDomainSnapshotGetXMLDesc(snapshot, 0);
        assert_non_null(now);
        assert_non_null(strstr(now, expected));
        assert_non_null(strstr(now, "<creationTime>77</creationTime>"));
        assert_non_null(strstr(now, "<description>new</description>"));
        assert_non_null(strstr(now, "<domain type='qemu'"));
        free(now);
        free(expected);
        free(xml);
    }
    assert_text(tree_text(domain), "child<s s");
    virDomainSnapshotFree(snapshot);
    virDomainFree(domain);
}

/* The documented way of moving metadata: dump with secrets, delete METADATA_ONLY, redefine. */
static void dumped_metadata_come_back_byte_for_byte(void **state)
{
    static const char *const names[] = {"first", "second", "third"};
    virDomainPtr domain = fixture_domain(*state, "moved", 2);
    char *dumps[3];

    for (size_t i = 0; i < 3; i++)
        virDomainSnapshotFree(snapshot_create(domain, names[i], 0));
    for (size_t i = 0; i < 3; i++) {
        virDomainSnapshotPtr snapshot = snapshot_lookup(domain, names[i]);

        dumps[i] = virDomainSnapshotGetXMLDesc(snapshot, VIR_DOMAIN_SNAPSHOT_XML_SECURE);
        assert_non_null(dumps[i]);
        virDomainSnapshotFree(snapshot);
    }
    for (size_t i = 3; i > 0; i--)
        snapshot_delete(domain, names[i - 1], VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY);
    assert_text(tree_text(domain), "");
    for (size_t i = 0; i < 3; i++) {
        virDomainSnapshotPtr snapshot =
            virDomainSnapshotCreateXML(domain, dumps[i], REDEFINE | (i == 2 ? CURRENT : 0));

        assert_non_null(snapshot);
        assert_text(virDomainSnapshotGetXMLDesc(snapshot, VIR_DOMAIN_SNAPSHOT_XML_SECURE),
                    dumps[i]);
        free(dumps[i]);
        virDomainSnapshotFree(snapshot);
    }
    assert_text(tree_text(domain), "first second<first *third<second");
    virDomainFree(domain);
}

/* Ours: a new snapshot whose parent is current may be what the running state descends from. */
static void child_of_current_becomes_current(void **state)
{
    virDomainPtr domain;

    if (api_is_libvirt())
        skip();
    domain = fixture_domain(*state, "follows", 0);
    redefine_each(domain, "*a b<a c<b");
    assert_text(tree_text(domain), "a b<a *c<b");
    redefine_each(domain, "d<a");
    assert_text(tree_text(domain), "a b<a *c<b d<a");
    /* Only new ones. */
    redefine_each(domain, "d<c");
    assert_text(tree_text(domain), "a b<a *c<b d<c");
    virDomainFree(domain);
}

static void connection_says_that_only_the_flag_makes_current(void **state)
{
    const struct fixture *fixture = *state;
    char *uri = api_is_libvirt() ? format("%s", fixture->uri)
                                 : format("%s&redefine_current=flag", fixture->uri);
    virConnectPtr connection = virConnectOpen(uri);
    virDomainPtr made;
    virDomainPtr domain;

    assert_non_null(connection);
    made = fixture_domain(fixture, "flag", 0);
    domain = virDomainLookupByName(connection, "flag");
    assert_non_null(domain);
    redefine_each(domain, "*a b<a c<b");
    assert_text(tree_text(domain), "*a b<a c<b");
    virDomainFree(domain);
    virDomainFree(made);
    virConnectClose(connection);
    free(uri);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(faulty_documents_are_refused),
        fixture_test(definition_of_another_domain_is_refused),
        fixture_test(current_moves_only_when_told),
        fixture_test(replacing_moves_a_whole_branch),
        fixture_test(replacing_changes_what_it_may),
        fixture_test(dumped_metadata_come_back_byte_for_byte),
        fixture_test(child_of_current_becomes_current),
        fixture_test(connection_says_that_only_the_flag_makes_current),
    };

    return run_family("redefine", tests);
}
