/* What a redefined document may say, and how it comes back: disks, memory, the private elements. */
#include "snapshots.h"

#include <stdlib.h>
#include <string.h>

enum {
    REDEFINE = VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE,
    VALIDATE = VIR_DOMAIN_SNAPSHOT_CREATE_VALIDATE,
    SECURE = VIR_DOMAIN_SNAPSHOT_XML_SECURE,
};

/* DIR in a text stands for the directory of the images. */
static char *with_directory(const struct fixture *fixture, const char *text)
{
    char *path = fixture_path(fixture, "x");
    char *result = format("%s", "");
    size_t length = strlen(path) - 2;

    for (const char *at = text; *at;) {
        const char *next = strstr(at, "DIR");
        int plain = (int)(next ? (size_t)(next - at) : strlen(at));
        char *longer = format("%s%.*s%.*s", result, plain, at, next ? (int)length : 0, path);

        free(result);
        result = longer;
        at += plain + (next ? 3 : 0);
    }
    free(path);
    return result;
}

/* Redefines "n" with these elements and the domain's own definition. */
static virDomainSnapshotPtr redefine(const struct fixture *fixture, virDomainPtr domain,
                                     const char *state, const char *more, unsigned int flags)
{
    char *definition = domain_definition(domain);
    char *elements = with_directory(fixture, more);
    char *xml = document_xml((struct document){
        .name = "n", .state = state, .created = "5", .more = elements, .domain = definition});
    virDomainSnapshotPtr snapshot = virDomainSnapshotCreateXML(domain, xml, REDEFINE | flags);

    free(xml);
    free(elements);
    free(definition);
    return snapshot;
}

/* What stands between <creationTime> and the definition. */
static char *head(virDomainSnapshotPtr snapshot)
{
    char *xml = virDomainSnapshotGetXMLDesc(snapshot, SECURE);
    char *begin;
    char *end;
    char *text;

    assert_non_null(xml);
    begin = strstr(xml, "</creationTime>\n") + strlen("</creationTime>\n");
    end = strstr(xml, "  <domain type=");
    assert_non_null(end);
    *end = '\0';
    text = format("%s", begin);
    free(xml);
    return text;
}

/* Of a domain with the disks vda and vdb. */
static const struct {
    const char *state;
    const char *more;
    const char *head;
} accepted[] = {
    /* Every disk appears, in the order of the domain's. */
    {"shutoff", "<disks><disk name='vdb'/></disks>",
     "  <memory snapshot='no'/>\n  <disks>\n    <disk name='vda' snapshot='internal'/>\n"
     "    <disk name='vdb' snapshot='internal'/>\n  </disks>\n"},
    {"shutoff", "<disks><disk name='DIR/of-vdb.qcow2'/><disk name='vda'/></disks>",
     "  <memory snapshot='no'/>\n  <disks>\n    <disk name='vda' snapshot='internal'/>\n"
     "    <disk name='vdb' snapshot='internal'/>\n  </disks>\n"},
    /* Any child is a disk. */
    {"shutoff", "<disks><thing name='vda' snapshot='external'><source file='/o'/></thing>"
                "<disk name='vdb' snapshot='no'/></disks>",
     "  <memory snapshot='no'/>\n  <disks>\n"
     "    <disk name='vda' snapshot='external' type='file'>\n      <source file='/o'/>\n"
     "    </disk>\n    <disk name='vdb' snapshot='no'/>\n  </disks>\n"},
    /* Names that libvirt makes: the last extension goes. */
    {"disk-snapshot", "",
     "  <memory snapshot='no'/>\n  <disks>\n"
     "    <disk name='vda' snapshot='external' type='file'>\n"
     "      <source file='DIR/of-vda.n'/>\n    </disk>\n"
     "    <disk name='vdb' snapshot='external' type='file'>\n"
     "      <source file='DIR/of-vdb.n'/>\n    </disk>\n  </disks>\n"},
    {"disk-snapshot", "<disks><disk name='vda' snapshot='manual'/>"
                      "<disk name='vdb' type='block'><source dev='/dev/x'/></disk></disks>",
     "  <memory snapshot='no'/>\n  <disks>\n    <disk name='vda' snapshot='manual'/>\n"
     "    <disk name='vdb' snapshot='external' type='block'>\n      <source dev='/dev/x'/>\n"
     "    </disk>\n  </disks>\n"},
    /* A format alone makes a disk external. */
    {"disk-snapshot", "<disks><disk name='vda'><driver type='qcow2'/></disk>"
                      "<disk name='vdb' snapshot='no'/></disks>",
     "  <memory snapshot='no'/>\n  <disks>\n"
     "    <disk name='vda' snapshot='external' type='file'>\n      <driver type='qcow2'/>\n"
     "      <source file='DIR/of-vda.n'/>\n    </disk>\n"
     "    <disk name='vdb' snapshot='no'/>\n  </disks>\n"},
    {"disk-snapshot",
     "<disks><disk name='vda'><driver type='qcow2'><metadata_cache><max_size unit='KiB'>2"
     "</max_size></metadata_cache></driver><source file='/o'/></disk>"
     "<disk name='vdb'><source file='/p'/><snapshotDeleteInProgress/></disk></disks>",
     "  <memory snapshot='no'/>\n  <disks>\n"
     "    <disk name='vda' snapshot='external' type='file'>\n      <driver type='qcow2'>\n"
     "        <metadata_cache>\n          <max_size unit='bytes'>2048</max_size>\n"
     "        </metadata_cache>\n      </driver>\n      <source file='/o'/>\n    </disk>\n"
     "    <disk name='vdb' snapshot='external' type='file'>\n"
     "      <snapshotDeleteInProgress/>\n      <source file='/p'/>\n    </disk>\n  </disks>\n"},
    /* Memory. */
    {"running", "<disks><disk name='vda'/></disks>",
     "  <memory snapshot='internal'/>\n  <disks>\n    <disk name='vda' snapshot='internal'/>\n"
     "    <disk name='vdb' snapshot='internal'/>\n  </disks>\n"},
    {"running", "<memory snapshot='no'/>",
     "  <memory snapshot='no'/>\n  <disks>\n    <disk name='vda' snapshot='internal'/>\n"
     "    <disk name='vdb' snapshot='internal'/>\n  </disks>\n"},
    {"paused", "<memory snapshot='external' file='/o/m'/><disks>"
               "<disk name='vda' snapshot='no'/><disk name='vdb' snapshot='no'/></disks>",
     "  <memory snapshot='external' file='/o/m'/>\n  <disks>\n"
     "    <disk name='vda' snapshot='no'/>\n    <disk name='vdb' snapshot='no'/>\n"
     "  </disks>\n"},
    {"crashed", "", "  <memory snapshot='internal'/>\n  <disks>\n"
     "    <disk name='vda' snapshot='internal'/>\n    <disk name='vdb' snapshot='internal'/>\n"
     "  </disks>\n"},
};

static void disks_and_memory_are_completed(void **state)
{
    const struct fixture *fixture = *state;
    virDomainPtr domain = fixture_domain(fixture, "of", 2);

    for (size_t i = 0; i < sizeof(accepted) / sizeof(accepted[0]); i++) {
        virDomainSnapshotPtr snapshot =
            redefine(fixture, domain, accepted[i].state, accepted[i].more, 0);
        char *expected = with_directory(fixture, accepted[i].head);

        if (!snapshot)
            print_error("%s: %s\n", accepted[i].more, virGetLastErrorMessage());
        assert_non_null(snapshot);
        assert_text(head(snapshot), expected);
        free(expected);
        assert_int_equal(
            virDomainSnapshotDelete(snapshot, VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY), 0);
        virDomainSnapshotFree(snapshot);
    }
    virDomainFree(domain);
}

/* Refused by the same domain. */
static const struct {
    const char *state;
    const char *more;
    int code;
    int domain;
    const char *message;
} refused[] = {
    {"disk-snapshot", "<disks><disk name='vda' type='volume'><source pool='p' volume='v'/></disk>"
                      "</disks>",
     VIR_ERR_XML_ERROR, VIR_FROM_DOMAIN_SNAPSHOT,
     "XML error: unsupported disk snapshot type 'volume'"},
    {"disk-snapshot", "<disks><disk name='vda' type='dir'><source dir='/d'/></disk></disks>",
     VIR_ERR_XML_ERROR, VIR_FROM_DOMAIN_SNAPSHOT,
     "XML error: unsupported disk snapshot type 'dir'"},
    {"disk-snapshot", "<disks><disk name='vda' type='drum'/></disks>", VIR_ERR_XML_ERROR,
     VIR_FROM_XML, "XML error: Invalid value for attribute 'type' in element 'disk': 'drum'."},
    {"shutoff", "<disks><disk name='vda' snapshot='default'/></disks>", VIR_ERR_XML_ERROR,
     VIR_FROM_XML,
     "XML error: Invalid value for attribute 'snapshot' in element 'disk': 'default'."},
    {"disk-snapshot", "<disks><disk name='vda'><driver type='zip'/></disk></disks>",
     VIR_ERR_CONFIG_UNSUPPORTED, VIR_FROM_DOMAIN_SNAPSHOT,
     "unsupported configuration: unknown disk snapshot driver 'zip'"},
    {"disk-snapshot", "<disks><disk name='vda' snapshot='no'><source file='/o'/></disk></disks>",
     VIR_ERR_CONFIG_UNSUPPORTED, VIR_FROM_DOMAIN_SNAPSHOT,
     "unsupported configuration: file '/o' for disk 'vda' requires use of external snapshot "
     "mode"},
    {"shutoff", "<disks><disk name='vda'/><disk name='DIR/of-vda.qcow2'/></disks>",
     VIR_ERR_CONFIG_UNSUPPORTED, VIR_FROM_DOMAIN_SNAPSHOT,
     "unsupported configuration: disk 'DIR/of-vda.qcow2' specified twice"},
    {"shutoff", "<disks><disk name='/not/there.qcow2'/></disks>", VIR_ERR_CONFIG_UNSUPPORTED,
     VIR_FROM_DOMAIN_SNAPSHOT, "unsupported configuration: no disk named '/not/there.qcow2'"},
    {"disk-snapshot", "<disks><disk name='vda' type='block'/></disks>",
     VIR_ERR_CONFIG_UNSUPPORTED, VIR_FROM_DOMAIN_SNAPSHOT,
     "unsupported configuration: cannot generate external snapshot name for disk 'vda' on a "
     "'block' device"},
    {"running", "<memory snapshot='manual'/>", VIR_ERR_XML_ERROR, VIR_FROM_DOMAIN_SNAPSHOT,
     "XML error: 'manual' memory snapshot mode not supported"},
    {"running", "<memory snapshot='internal' file='/o/m'/>", VIR_ERR_XML_ERROR,
     VIR_FROM_DOMAIN_SNAPSHOT, "XML error: memory filename '/o/m' requires external snapshot"},
    {"running", "<memory file='m'/>", VIR_ERR_XML_ERROR, VIR_FROM_DOMAIN_SNAPSHOT,
     "XML error: memory snapshot file path (m) must be absolute"},
    {"shutoff", "<memory file='/o/m'/>", VIR_ERR_XML_ERROR, VIR_FROM_DOMAIN_SNAPSHOT,
     "XML error: memory state cannot be saved with offline or disk-only snapshot"},
};

static void faulty_disks_and_memory_are_refused(void **state)
{
    const struct fixture *fixture = *state;
    virDomainPtr domain = fixture_domain(fixture, "of", 2);

    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        char *message = with_directory(fixture, refused[i].message);

        assert_null(redefine(fixture, domain, refused[i].state, refused[i].more, 0));
        assert_error(refused[i].code, refused[i].domain, message);
        free(message);
    }
    assert_text(tree_text(domain), "");
    virDomainFree(domain);
}

/* Two images whose names differ in their extension only. */
static void generated_names_do_not_collide(void **state)
{
    const struct fixture *fixture = *state;
    char *images[] = {fixture_path(fixture, "same.one"), fixture_path(fixture, "same.two")};
    char *xml = domain_xml("same", NULL, images, 2);
    virDomainPtr domain;

    for (size_t i = 0; i < 2; i++)
        qcow2_create(images[i], "1M");
    domain = virDomainDefineXML(fixture->connection, xml);
    assert_non_null(domain);
    assert_null(redefine(fixture, domain, "disk-snapshot", "", 0));
    assert_error(VIR_ERR_CONFIG_UNSUPPORTED, VIR_FROM_DOMAIN_SNAPSHOT,
                 "unsupported configuration: cannot generate external snapshot name for disk "
                 "'vdb': collision with disk 'vda'");
    free(xml);
    free(images[0]);
    free(images[1]);
    virDomainFree(domain);
}

/* What libvirt keeps of a running guest, and asks for again when it reverts. */
static void what_stands_behind_the_definition_is_kept(void **state)
{
    static const char inactive[] =
        "<inactiveDomain type='qemu'><name>kept</name><memory>16384</memory>"
        "<os><type arch='x86_64' machine='pc'>hvm</type></os></inactiveDomain>";
    static const char cookie[] =
        "<cookie><cpu mode='custom' match='exact' check='partial'>"
        "<model fallback='allow'>qemu64</model></cpu></cookie>";
    const struct fixture *fixture = *state;
    virDomainPtr domain = fixture_domain(fixture, "kept", 1);
    char *more = format("%s%s", inactive, cookie);
    virDomainSnapshotPtr snapshot = redefine(fixture, domain, "running", more, 0);
    char *xml;
    char *again;

    assert_non_null(snapshot);
    xml = virDomainSnapshotGetXMLDesc(snapshot, SECURE);
    assert_non_null(strstr(xml, "\n  <inactiveDomain type='qemu'>"));
    assert_non_null(strstr(xml, "</inactiveDomain>\n  <cookie>"));
    assert_non_null(strstr(xml, "<model fallback='allow'>qemu64</model>"));
    /* Nothing of it is lost on the way through another redefinition. */
    virDomainSnapshotFree(virDomainSnapshotCreateXML(domain, xml, REDEFINE));
    again = virDomainSnapshotGetXMLDesc(snapshot, SECURE);
    assert_text(again, xml);
    free(xml);
    virDomainSnapshotFree(snapshot);
    /* A snapshot without memory has no CPU to start with. */
    snapshot_delete(domain, "n", VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY);
    snapshot = redefine(fixture, domain, "shutoff", cookie, 0);
    assert_non_null(snapshot);
    xml = virDomainSnapshotGetXMLDesc(snapshot, SECURE);
    assert_null(strstr(xml, "<cookie>"));
    free(xml);
    free(more);
    virDomainSnapshotFree(snapshot);
    virDomainFree(domain);
}

/* VALIDATE goes by the schema: what is only ignored otherwise is an error. */
static void validation_refuses_what_the_schema_does_not_know(void **state)
{
    static const struct {
        const char *state;
        const char *more;
        bool is_valid;
    } rows[] = {
        {"shutoff", "", true},
        {"shutoff", "<description>d</description><memory snapshot='no'/>", true},
        {"disk-snapshot", "<disks><disk name='vda' snapshot='external' type='file'>"
                          "<driver type='qcow2'/><source file='/o'/></disk></disks>", true},
        {"shutoff", "<disks><disk name='vda' snapshot='internal'/></disks>", true},
        {"shutoff", "<unknown/>", false},
        {"shutoff", "<disks><disk name='vda' snapshot='maybe'/></disks>", false},
        {"shutoff", "<disks><disk/></disks>", false},
        {"running", "<memory snapshot='external' file='near'/>", false},
        {"asleep", "", false},
    };
    const struct fixture *fixture = *state;
    virDomainPtr domain = fixture_domain(fixture, "valid", 1);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        virDomainSnapshotPtr snapshot =
            redefine(fixture, domain, rows[i].state, rows[i].more, VALIDATE);

        if (!snapshot == rows[i].is_valid)
            print_error("%s: %s\n", rows[i].more, virGetLastErrorMessage());
        assert_int_equal(snapshot != NULL, rows[i].is_valid);
        if (!snapshot) {
            assert_error(VIR_ERR_XML_INVALID_SCHEMA, VIR_FROM_XML, NULL);
            continue;
        }
        snapshot_delete(domain, "n", VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY);
        virDomainSnapshotFree(snapshot);
    }
    virDomainFree(domain);
}

/* libvirt 9.0 follows a NULL here. */
static void external_disk_without_definition_is_named_by_the_stored_one(void **state)
{
    const struct fixture *fixture = *state;
    virDomainPtr domain;
    virDomainSnapshotPtr snapshot;
    virDomainSnapshotPtr again;

    if (api_is_libvirt())
        skip();
    domain = fixture_domain(fixture, "of", 1);
    snapshot = redefine(fixture, domain, "disk-snapshot", "", 0);
    assert_non_null(snapshot);
    again = virDomainSnapshotCreateXML(
        domain,
        "<domainsnapshot><name>n</name><state>disk-snapshot</state><creationTime>6</creationTime>"
        "<disks><disk name='vda' snapshot='external'/></disks></domainsnapshot>", REDEFINE);
    assert_non_null(again);
    {
        char *found = head(again);
        char *expected = with_directory(fixture, "<source file='DIR/of-vda.n'/>");

        assert_non_null(strstr(found, expected));
        free(expected);
        free(found);
    }
    virDomainSnapshotFree(again);
    virDomainSnapshotFree(snapshot);
    virDomainFree(domain);
}

/* libvirt 9.0 writes the paths of descendants as if the data had been merged. */
static void forgetting_a_snapshot_changes_no_path(void **state)
{
    const struct fixture *fixture = *state;
    char *definition;
    char *low;
    virDomainSnapshotPtr top;
    virDomainSnapshotPtr below;
    virDomainPtr domain;

    if (api_is_libvirt())
        skip();
    domain = fixture_domain(fixture, "of", 1);
    definition = domain_definition(domain);
    top = redefine(fixture, domain, "disk-snapshot", "", 0);
    assert_non_null(top);
    low = document_xml((struct document){
        .name = "low", .state = "disk-snapshot", .created = "6", .parent = "n",
        .more = "<disks><disk name='vda'><source file='/o/2'/></disk></disks>",
        .domain = definition});
    below = virDomainSnapshotCreateXML(domain, low, REDEFINE);
    assert_non_null(below);
    assert_int_equal(virDomainSnapshotDelete(top, VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY), 0);
    assert_text(head(below),
                "  <memory snapshot='no'/>\n  <disks>\n"
                "    <disk name='vda' snapshot='external' type='file'>\n"
                "      <source file='/o/2'/>\n    </disk>\n  </disks>\n");
    free(low);
    free(definition);
    virDomainSnapshotFree(below);
    virDomainSnapshotFree(top);
    virDomainFree(domain);
}

/* libvirt 9.0 leaves the time out of its file, and cannot load it again. */
static void a_time_of_zero_can_be_loaded_again(void **state)
{
    struct fixture *fixture = *state;
    virDomainPtr domain;
    char *definition;
    char *xml;

    if (api_is_libvirt())
        skip();
    domain = fixture_domain(fixture, "epoch", 1);
    definition = domain_definition(domain);
    xml = document_xml((struct document){
        .name = "z", .state = "shutoff", .created = "0", .domain = definition});
    virDomainSnapshotFree(virDomainSnapshotCreateXML(domain, xml, REDEFINE));
    free(xml);
    free(definition);
    virDomainFree(domain);
    assert_int_equal(virConnectClose(fixture->connection), 0);
    fixture->connection = virConnectOpen(fixture->uri);
    assert_non_null(fixture->connection);
    domain = virDomainLookupByName(fixture->connection, "epoch");
    assert_non_null(domain);
    assert_text(tree_text(domain), "z");
    virDomainFree(domain);
}

/* Names and texts as they are; an empty element is none; the first of several counts. */
static void texts_are_taken_as_they_are(void **state)
{
    static const struct {
        const char *xml;
        const char *name;
        const char *description;
    } rows[] = {
        {"<domainsnapshot><name> a </name></domainsnapshot>", " a ", NULL},
        {"<domainsnapshot><name>b</name><name>c</name></domainsnapshot>", "b", NULL},
        {"<domainsnapshot><name>d</name><description/></domainsnapshot>", "d", NULL},
        {"<domainsnapshot><name>e</name><description> f\n</description></domainsnapshot>", "e",
         "<description> f\n</description>"},
        {"<?xml version='1.0'?><!-- g --><domainsnapshot><name>h%s&amp;\"</name>"
         "<state>nonsense</state><parent><name>nobody</name></parent><active>9</active>"
         "<domain type='x'/><other/></domainsnapshot>", "h%s&\"", NULL},
    };
    virDomainPtr domain = fixture_domain(*state, "texts", 1);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        virDomainSnapshotPtr snapshot = virDomainSnapshotCreateXML(domain, rows[i].xml, 0);
        char *xml;

        assert_non_null(snapshot);
        assert_string_equal(virDomainSnapshotGetName(snapshot), rows[i].name);
        xml = virDomainSnapshotGetXMLDesc(snapshot, 0);
        if (rows[i].description)
            assert_non_null(strstr(xml, rows[i].description));
        else
            assert_null(strstr(xml, "<description"));
        free(xml);
        virDomainSnapshotFree(snapshot);
    }
    virDomainFree(domain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(disks_and_memory_are_completed),
        fixture_test(faulty_disks_and_memory_are_refused),
        fixture_test(generated_names_do_not_collide),
        fixture_test(what_stands_behind_the_definition_is_kept),
        fixture_test(validation_refuses_what_the_schema_does_not_know),
        fixture_test(external_disk_without_definition_is_named_by_the_stored_one),
        fixture_test(forgetting_a_snapshot_changes_no_path),
        fixture_test(a_time_of_zero_can_be_loaded_again),
        fixture_test(texts_are_taken_as_they_are),
    };

    return run_family("document", tests);
}
