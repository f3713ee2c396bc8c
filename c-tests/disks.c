/* What a redefined document may say of disks and memory, and how it comes back. */
#include "documents.h"

#include <stdlib.h>
#include <string.h>

enum { REDEFINE = VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE };

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
            document_redefine(fixture, domain, accepted[i].state, accepted[i].more, 0);
        char *expected = with_directory(fixture, accepted[i].head);

        if (!snapshot)
            print_error("%s: %s\n", accepted[i].more, virGetLastErrorMessage());
        assert_non_null(snapshot);
        assert_text(document_head(snapshot), expected);
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

        assert_null(document_redefine(fixture, domain, refused[i].state, refused[i].more, 0));
        assert_error(refused[i].code, refused[i].domain, message);
        free(message);
    }
    assert_text(tree_text(domain), "");
    virDomainFree(domain);
}

/* A disk may say in the domain what snapshots do with it; a CD-ROM is read only. */
static void disks_follow_what_the_domain_says_of_them(void **state)
{
    static const struct {
        const char *state;
        const char *more;
        const char *disks;
    } rows[] = {
        {"shutoff", "", "    <disk name='vda' snapshot='no'/>\n"
         "    <disk name='vdb' snapshot='external' type='file'>\n"
         "      <source file='DIR/b.n'/>\n    </disk>\n    <disk name='sda' snapshot='no'/>\n"},
        {"shutoff", "<disks><disk name='vdb'/><disk name='vda'/></disks>",
         "    <disk name='vda' snapshot='no'/>\n    <disk name='vdb' snapshot='internal'/>\n"
         "    <disk name='sda' snapshot='no'/>\n"},
        {"disk-snapshot", "<disks><disk name='vda' snapshot='external'/></disks>",
         "    <disk name='vda' snapshot='external' type='file'>\n"
         "      <source file='DIR/a.n'/>\n    </disk>\n"
         "    <disk name='vdb' snapshot='external' type='file'>\n"
         "      <source file='DIR/b.n'/>\n    </disk>\n    <disk name='sda' snapshot='no'/>\n"},
    };
    const struct fixture *fixture = *state;
    char *xml = with_directory(
        fixture,
        "<domain type='qemu'><name>says</name><memory>16384</memory>"
        "<os><type arch='x86_64' machine='pc'>hvm</type></os><devices>"
        "<disk type='file' snapshot='no'><driver name='qemu' type='qcow2'/>"
        "<source file='DIR/a.img'/><target dev='vda'/></disk>"
        "<disk type='file' snapshot='external'><driver name='qemu' type='qcow2'/>"
        "<source file='DIR/b'/><target dev='vdb'/></disk>"
        "<disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>"
        "</devices></domain>");
    static const char *const images[] = {"a.img", "b"};
    virDomainPtr domain = virDomainDefineXML(fixture->connection, xml);

    assert_non_null(domain);
    for (size_t i = 0; i < 2; i++) {
        char *path = fixture_path(fixture, images[i]);

        qcow2_create(path, "1M");
        free(path);
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        virDomainSnapshotPtr snapshot =
            document_redefine(fixture, domain, rows[i].state, rows[i].more, 0);
        char *disks = with_directory(fixture, rows[i].disks);
        char *expected =
            format("  <memory snapshot='no'/>\n  <disks>\n%s  </disks>\n", disks);

        assert_non_null(snapshot);
        assert_text(document_head(snapshot), expected);
        free(expected);
        free(disks);
        snapshot_delete(domain, "n", VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY);
        virDomainSnapshotFree(snapshot);
    }
    free(xml);
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
    assert_null(document_redefine(fixture, domain, "disk-snapshot", "", 0));
    assert_error(VIR_ERR_CONFIG_UNSUPPORTED, VIR_FROM_DOMAIN_SNAPSHOT,
                 "unsupported configuration: cannot generate external snapshot name for disk "
                 "'vdb': collision with disk 'vda'");
    free(xml);
    free(images[0]);
    free(images[1]);
    virDomainFree(domain);
}

/* libvirt 9.0 follows a NULL here. */
static void external_disk_without_definition_is_named_by_the_stored_one(void **state)
{
    const struct fixture *fixture = *state;
    virDomainPtr domain;
    virDomainSnapshotPtr snapshot;
    virDomainSnapshotPtr again;
    char *expected;
    char *found;

    if (api_is_libvirt())
        skip();
    domain = fixture_domain(fixture, "of", 1);
    snapshot = document_redefine(fixture, domain, "disk-snapshot", "", 0);
    assert_non_null(snapshot);
    again = virDomainSnapshotCreateXML(
        domain,
        "<domainsnapshot><name>n</name><state>disk-snapshot</state><creationTime>6</creationTime>"
        "<disks><disk name='vda' snapshot='external'/></disks></domainsnapshot>", REDEFINE);
    assert_non_null(again);
    found = document_head(again);
    expected = with_directory(fixture, "<source file='DIR/of-vda.n'/>");
    assert_non_null(strstr(found, expected));
    free(expected);
    free(found);
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
    top = document_redefine(fixture, domain, "disk-snapshot", "", 0);
    assert_non_null(top);
    low = document_xml((struct document){
        .name = "low", .state = "disk-snapshot", .created = "6", .parent = "n",
        .more = "<disks><disk name='vda'><source file='/o/2'/></disk></disks>",
        .domain = definition});
    below = virDomainSnapshotCreateXML(domain, low, REDEFINE);
    assert_non_null(below);
    assert_int_equal(virDomainSnapshotDelete(top, VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY), 0);
    assert_text(document_head(below),
                "  <memory snapshot='no'/>\n  <disks>\n"
                "    <disk name='vda' snapshot='external' type='file'>\n"
                "      <source file='/o/2'/>\n    </disk>\n  </disks>\n");
    free(low);
    free(definition);
    virDomainSnapshotFree(below);
    virDomainSnapshotFree(top);
    virDomainFree(domain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(disks_and_memory_are_completed),
        fixture_test(faulty_disks_and_memory_are_refused),
        fixture_test(disks_follow_what_the_domain_says_of_them),
        fixture_test(generated_names_do_not_collide),
        fixture_test(external_disk_without_definition_is_named_by_the_stored_one),
        fixture_test(forgetting_a_snapshot_changes_no_path),
    };

    return run_family("disks", tests);
}
