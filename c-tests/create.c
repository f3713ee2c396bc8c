/* Internal snapshots of shut-off domains: what is read of the document, what is refused, all disks
 * or none. */
#include "images.h"
#include "snapshots.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static virDomainSnapshotPtr create(virDomainPtr domain, const char *content, unsigned int flags)
{
    char *xml = format("<domainsnapshot>%s</domainsnapshot>", content);
    virDomainSnapshotPtr snapshot = virDomainSnapshotCreateXML(domain, xml, flags);

    free(xml);
    return snapshot;
}

static void assert_image(const struct fixture *fixture, const char *file, const char *names)
{
    char *path = fixture_path(fixture, file);

    assert_text(image_snapshots(path), names);
    free(path);
}

static void assert_xml_has(virDomainSnapshotPtr snapshot, const char *part)
{
    char *xml = virDomainSnapshotGetXMLDesc(snapshot, 0);

    assert_non_null(xml);
    if (!strstr(xml, part))
        print_error("no %s in\n%s", part, xml);
    assert_non_null(strstr(xml, part));
    free(xml);
}

static void every_disk_holds_the_snapshot(void **state)
{
    virDomainPtr domain = fixture_domain(*state, "three", 3);
    virDomainSnapshotPtr snapshot = snapshot_create(domain, "s", 0);

    assert_image(*state, "three-vda.qcow2", "s");
    assert_image(*state, "three-vdb.qcow2", "s");
    assert_image(*state, "three-vdc.qcow2", "s");
    assert_text(tree_text(domain), "*s");
    virDomainSnapshotFree(snapshot);
    virDomainFree(domain);
}

static void each_becomes_current_and_child_of_the_one_before(void **state)
{
    virDomainPtr domain = fixture_domain(*state, "line", 1);
    virDomainSnapshotPtr first = snapshot_create(domain, "first", 0);
    virDomainSnapshotPtr second = snapshot_create(domain, "second", 0);

    assert_text(tree_text(domain), "first *second<first");
    assert_image(*state, "line-vda.qcow2", "first second");
    virDomainSnapshotFree(second);
    virDomainSnapshotFree(first);
    virDomainFree(domain);
}

static void name_is_the_time_by_default(void **state)
{
    static const char *const nameless[] = {"", "<name/>", "<name></name>"};
    virDomainPtr domain = fixture_domain(*state, "nameless", 1);

    for (size_t i = 0; i < sizeof(nameless) / sizeof(nameless[0]); i++) {
        time_t before = time(NULL);
        virDomainSnapshotPtr snapshot = create(domain, nameless[i], 0);
        char *end;
        long name;

        assert_non_null(snapshot);
        name = strtol(virDomainSnapshotGetName(snapshot), &end, 10);
        assert_true(*end == '\0' && name >= before && name <= time(NULL));
        assert_int_equal(virDomainSnapshotDelete(snapshot, 0), 0);
        virDomainSnapshotFree(snapshot);
    }
    virDomainFree(domain);
}

static void document_says_name_and_description_only(void **state)
{
    virDomainPtr domain = fixture_domain(*state, "ignored", 1);
    virDomainSnapshotPtr snapshot = create(
        domain,
        "<name>s</name><name>other</name><description>a &lt; b</description>"
        "<state>nonsense</state><parent><name>nobody</name></parent>"
        "<creationTime>yesterday</creationTime><domain type='x'/><active>many</active>"
        "<cookie/>",
        0);

    assert_non_null(snapshot);
    assert_string_equal(virDomainSnapshotGetName(snapshot), "s");
    assert_text(tree_text(domain), "*s");
    assert_xml_has(snapshot, "<description>a &lt; b</description>\n  <state>shutoff</state>\n"
                             "  <creationTime>");
    assert_xml_has(snapshot, "<memory snapshot='no'/>\n  <disks>\n"
                             "    <disk name='vda' snapshot='internal'/>\n  </disks>");
    virDomainSnapshotFree(snapshot);
    virDomainFree(domain);
}

static void disk_may_be_named_by_target_or_path(void **state)
{
    virDomainPtr domain = fixture_domain(*state, "named", 2);
    char *path = fixture_path(*state, "named-vdb.qcow2");
    char *content = format("<name>s</name><disks><disk name='%s'/>"
                           "<disk name='vda' snapshot='internal'/></disks>", path);
    virDomainSnapshotPtr snapshot = create(domain, content, 0);

    assert_non_null(snapshot);
    assert_xml_has(snapshot, "<disk name='vda' snapshot='internal'/>\n"
                             "    <disk name='vdb' snapshot='internal'/>");
    free(content);
    free(path);
    virDomainSnapshotFree(snapshot);
    virDomainFree(domain);
}

/* Each is refused by a domain with the disks vda and vdb and the snapshot "taken", before anything
 * happens to the images. */
static const struct {
    const char *content;
    unsigned int flags;
    int code;
    int domain;
    const char *message;
} refusals[] = {
    {"<name>taken</name>", 0, VIR_ERR_OPERATION_FAILED, VIR_FROM_DOMAIN,
     "operation failed: domain moment taken already exists"},
    {"<name>a/b</name>", 0, VIR_ERR_XML_DETAIL, VIR_FROM_QEMU,
     "invalid snapshot name 'a/b': name can't contain '/'"},
    {"<name>../up</name>", 0, VIR_ERR_XML_DETAIL, VIR_FROM_QEMU,
     "invalid snapshot name '../up': name can't contain '/'"},
    {"<name>.hidden</name>", 0, VIR_ERR_XML_DETAIL, VIR_FROM_QEMU,
     "invalid snapshot name '.hidden': name can't start with '.'"},
    {"<name>n</name><disks><disk name='vda' snapshot='no'/></disks>", 0,
     VIR_ERR_CONFIG_UNSUPPORTED, VIR_FROM_DOMAIN_SNAPSHOT,
     "unsupported configuration: disk 'vda' must use snapshot mode 'internal'"},
    {"<name>n</name><disks><disk name='vdz'/></disks>", 0, VIR_ERR_CONFIG_UNSUPPORTED,
     VIR_FROM_DOMAIN_SNAPSHOT, "unsupported configuration: no disk named 'vdz'"},
    {"<name>n</name><disks><disk name='vda'/><disk name='vda'/></disks>", 0,
     VIR_ERR_CONFIG_UNSUPPORTED, VIR_FROM_DOMAIN_SNAPSHOT,
     "unsupported configuration: disk 'vda' specified twice"},
    {"<name>n</name><disks><disk name='a'/><disk name='b'/><disk name='c'/></disks>", 0,
     VIR_ERR_CONFIG_UNSUPPORTED, VIR_FROM_DOMAIN_SNAPSHOT,
     "unsupported configuration: too many disk snapshot requests for domain"},
    {"<name>n</name><disks><disk/></disks>", 0, VIR_ERR_INTERNAL_ERROR, VIR_FROM_DOMAIN_SNAPSHOT,
     "internal error: missing name from disk snapshot element"},
    {"<name>n</name><disks><disk name='vda' snapshot='maybe'/></disks>", 0, VIR_ERR_XML_ERROR,
     VIR_FROM_XML,
     "XML error: Invalid value for attribute 'snapshot' in element 'disk': 'maybe'."},
    {"<name>n</name><memory snapshot='internal'/>", 0, VIR_ERR_XML_ERROR,
     VIR_FROM_DOMAIN_SNAPSHOT,
     "XML error: memory state cannot be saved with offline or disk-only snapshot"},
    {"<name>n</name><memory snapshot='manual'/>", 0, VIR_ERR_XML_ERROR, VIR_FROM_DOMAIN_SNAPSHOT,
     "XML error: 'manual' memory snapshot mode not supported"},
    {"<name>n</name>", VIR_DOMAIN_SNAPSHOT_CREATE_LIVE, VIR_ERR_OPERATION_UNSUPPORTED,
     VIR_FROM_QEMU,
     "Operation not supported: live snapshot creation is supported only during full system "
     "snapshots"},
};

static void faulty_requests_change_nothing(void **state)
{
    virDomainPtr domain = fixture_domain(*state, "refuses", 2);

    virDomainSnapshotFree(snapshot_create(domain, "taken", 0));
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        assert_null(create(domain, refusals[i].content, refusals[i].flags));
        assert_error(refusals[i].code, refusals[i].domain, refusals[i].message);
    }
    assert_text(tree_text(domain), "*taken");
    assert_image(*state, "refuses-vda.qcow2", "taken");
    assert_image(*state, "refuses-vdb.qcow2", "taken");
    virDomainFree(domain);
}

static void document_that_is_no_snapshot_is_refused(void **state)
{
    virDomainPtr domain = fixture_domain(*state, "wrong", 1);

    assert_null(virDomainSnapshotCreateXML(domain, "<snapshot/>", 0));
    assert_error(VIR_ERR_XML_ERROR, VIR_FROM_XML,
                 "XML error: expecting root element of 'domainsnapshot', not 'snapshot'");
    assert_null(virDomainSnapshotCreateXML(domain, "<domainsnapshot>", 0));
    assert_error(VIR_ERR_XML_DETAIL, VIR_FROM_DOMAIN_SNAPSHOT, NULL);
    assert_null(virDomainSnapshotCreateXML(domain, "", 0));
    assert_error(VIR_ERR_XML_DETAIL, VIR_FROM_DOMAIN_SNAPSHOT, NULL);
    virDomainFree(domain);
}

static virDomainPtr domain_with_disk(const struct fixture *fixture, const char *disk)
{
    char *xml = format("<domain type='qemu'><name>special</name><memory>16384</memory>"
                       "<os><type arch='x86_64' machine='pc'>hvm</type></os>"
                       "<devices>%s</devices></domain>", disk);
    virDomainPtr domain = virDomainDefineXML(fixture->connection, xml);

    assert_non_null(domain);
    free(xml);
    return domain;
}

static void raw_disk_is_refused(void **state)
{
    virDomainPtr domain = domain_with_disk(
        *state, "<disk type='file'><driver name='qemu' type='raw'/>"
                "<source file='/nowhere/raw.img'/><target dev='vda' bus='virtio'/></disk>");

    assert_null(create(domain, "<name>n</name>", 0));
    assert_error(VIR_ERR_CONFIG_UNSUPPORTED, VIR_FROM_QEMU,
                 "unsupported configuration: internal snapshot for disk vda unsupported for "
                 "storage type raw");
    assert_text(tree_text(domain), "");
    virDomainFree(domain);
}

static void writable_disk_may_not_be_left_out(void **state)
{
    const struct fixture *fixture = *state;
    char *path = fixture_path(fixture, "left.qcow2");
    char *disks = format("<disk type='file'><driver name='qemu' type='qcow2'/>"
                         "<source file='%s'/><target dev='vda' bus='virtio'/></disk>"
                         "<disk type='file' snapshot='no'><driver name='qemu' type='qcow2'/>"
                         "<source file='/nowhere/b'/><target dev='vdb' bus='virtio'/></disk>",
                         path);
    virDomainPtr domain;

    qcow2_create(path, "1M");
    domain = domain_with_disk(fixture, disks);
    assert_null(create(domain, "<name>n</name>", 0));
    assert_error(VIR_ERR_CONFIG_UNSUPPORTED, VIR_FROM_QEMU,
                 "unsupported configuration: internal and full system snapshots require all disks "
                 "to be selected for snapshot");
    assert_text(image_snapshots(path), "");
    free(disks);
    free(path);
    virDomainFree(domain);
}

static void nothing_to_snapshot_is_refused(void **state)
{
    virDomainPtr domain = fixture_domain(*state, "diskless", 0);

    assert_null(create(domain, "<name>n</name>", 0));
    assert_error(VIR_ERR_CONFIG_UNSUPPORTED, VIR_FROM_QEMU,
                 "unsupported configuration: nothing selected for snapshot");
    virDomainFree(domain);
}

static void without_metadata_only_the_data_are_made(void **state)
{
    virDomainPtr domain = fixture_domain(*state, "bare", 1);
    virDomainSnapshotPtr snapshot =
        create(domain, "<name>data</name>", VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA);

    assert_non_null(snapshot);
    assert_string_equal(virDomainSnapshotGetName(snapshot), "data");
    assert_image(*state, "bare-vda.qcow2", "data");
    assert_text(tree_text(domain), "");
    assert_null(virDomainSnapshotGetXMLDesc(snapshot, 0));
    assert_error(VIR_ERR_NO_DOMAIN_SNAPSHOT, VIR_FROM_QEMU,
                 "Domain snapshot not found: no domain snapshot with matching name 'data'");
    virDomainSnapshotFree(snapshot);
    virDomainFree(domain);
}

/* qemu-img refuses a file that is no qcow2 image, so the third disk fails after two were done. */
static void failure_on_one_disk_undoes_the_others(void **state)
{
    virDomainPtr domain = fixture_domain(*state, "undone", 3);
    char *third = fixture_path(*state, "undone-vdc.qcow2");
    FILE *file = fopen(third, "w");

    assert_non_null(file);
    assert_true(fputs("not an image", file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_null(create(domain, "<name>n</name>", 0));
    assert_int_equal(virGetLastErrorCode(), VIR_ERR_INTERNAL_ERROR);
    assert_non_null(strstr(virGetLastErrorMessage(), third));
    virResetLastError();
    assert_image(*state, "undone-vda.qcow2", "");
    assert_image(*state, "undone-vdb.qcow2", "");
    assert_text(tree_text(domain), "");
    free(third);
    virDomainFree(domain);
}

/* differences.md D11: libvirt adds a second one of that name and later reverts to the first. */
static void d11_name_that_an_image_holds_already_is_refused(void **state)
{
    virDomainPtr domain = fixture_domain(*state, "twice", 2);
    char *second = fixture_path(*state, "twice-vdb.qcow2");
    virDomainSnapshotPtr snapshot;

    image_snapshot_create(second, "n");
    snapshot = create(domain, "<name>n</name>", 0);
    if (api_is_libvirt()) {
        assert_non_null(snapshot);
        virDomainSnapshotFree(snapshot);
        assert_image(*state, "twice-vdb.qcow2", "n n");
    } else {
        assert_null(snapshot);
        assert_non_null(strstr(virGetLastErrorMessage(), second));
        assert_image(*state, "twice-vda.qcow2", "");
        assert_image(*state, "twice-vdb.qcow2", "n");
        assert_text(tree_text(domain), "");
    }
    free(second);
    virDomainFree(domain);
}

/* The longest name whose file NAME.xml.new has a valid name. libvirt makes a longer one's data
 * before it fails (differences.md D31). */
static void d31_a_name_too_long_is_refused_before_the_data(void **state)
{
    virDomainPtr domain = fixture_domain(*state, "long", 1);
    char name[249];
    char *content;

    memset(name, 'n', sizeof(name) - 1);
    name[248] = '\0';
    content = format("<name>%s</name>", name);
    assert_null(create(domain, content, 0));
    assert_int_not_equal(virGetLastErrorCode(), VIR_ERR_OK);
    if (!api_is_libvirt())
        assert_image(*state, "long-vda.qcow2", "");
    free(content);
    name[247] = '\0';
    virDomainSnapshotFree(snapshot_create(domain, name, 0));
    virDomainFree(domain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(every_disk_holds_the_snapshot),
        fixture_test(each_becomes_current_and_child_of_the_one_before),
        fixture_test(name_is_the_time_by_default),
        fixture_test(document_says_name_and_description_only),
        fixture_test(disk_may_be_named_by_target_or_path),
        fixture_test(faulty_requests_change_nothing),
        fixture_test(document_that_is_no_snapshot_is_refused),
        fixture_test(raw_disk_is_refused),
        fixture_test(writable_disk_may_not_be_left_out),
        fixture_test(nothing_to_snapshot_is_refused),
        fixture_test(without_metadata_only_the_data_are_made),
        fixture_test(failure_on_one_disk_undoes_the_others),
        fixture_test(d11_name_that_an_image_holds_already_is_refused),
        fixture_test(d31_a_name_too_long_is_refused_before_the_data),
    };

    return run_family("create", tests);
}
