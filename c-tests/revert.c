/* Reverting shut-off domains: contents, definition and current snapshot go back together. */
#include "images.h"
#include "snapshots.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST = 0x11, SECOND = 0x22, NOW = 0x33 };

static void revert(virDomainPtr domain, const char *name)
{
    virDomainSnapshotPtr snapshot = snapshot_lookup(domain, name);

    if (virDomainRevertToSnapshot(snapshot, 0) != 0) {
        print_error("%s: %s\n", name, virGetLastErrorMessage());
        fail();
    }
    virDomainSnapshotFree(snapshot);
}

/* A domain of two disks whose contents at snapshot one, at two, and now differ. */
static virDomainPtr domain_with_past(const struct fixture *fixture, char *images[2],
                                     const char *one, const char *two)
{
    static const char *const files[] = {"past-vda.qcow2", "past-vdb.qcow2"};
    virDomainPtr domain = fixture_domain(fixture, "past", 2);

    for (size_t i = 0; i < 2; i++) {
        images[i] = fixture_path(fixture, files[i]);
        image_write(images[i], FIRST);
    }
    virDomainSnapshotFree(snapshot_create(domain, one, 0));
    for (size_t i = 0; i < 2; i++)
        image_write(images[i], SECOND);
    virDomainSnapshotFree(snapshot_create(domain, two, 0));
    for (size_t i = 0; i < 2; i++)
        image_write(images[i], NOW);
    return domain;
}

static void assert_contents(char *const images[2], unsigned char byte)
{
    assert_true(image_holds(images[0], byte));
    assert_true(image_holds(images[1], byte));
}

static void free_past(virDomainPtr domain, char *images[2])
{
    free(images[0]);
    free(images[1]);
    virDomainFree(domain);
}

static void contents_and_current_go_back(void **state)
{
    char *images[2];
    virDomainPtr domain = domain_with_past(*state, images, "one", "two");

    assert_contents(images, NOW);
    revert(domain, "one");
    assert_contents(images, FIRST);
    assert_text(tree_text(domain), "*one two<one");
    revert(domain, "two");
    assert_contents(images, SECOND);
    assert_text(tree_text(domain), "one *two<one");
    revert(domain, "two");
    assert_contents(images, SECOND);
    free_past(domain, images);
}

static void next_snapshot_is_a_branch(void **state)
{
    char *images[2];
    virDomainPtr domain = domain_with_past(*state, images, "one", "two");

    revert(domain, "one");
    virDomainSnapshotFree(snapshot_create(domain, "other", 0));
    assert_text(tree_text(domain), "one *other<one two<one");
    free_past(domain, images);
}

/* differences.md D10: qemu-img takes "2" for the snapshot with the ID 2, which is named 1 here, and
 * so does libvirt. */
static void d10_name_of_digits_is_a_name(void **state)
{
    char *images[2];
    virDomainPtr domain = domain_with_past(*state, images, "2", "1");

    if (!api_is_libvirt()) {
        revert(domain, "1");
        assert_contents(images, SECOND);
        revert(domain, "2");
        assert_contents(images, FIRST);
    } else {
        revert(domain, "1");
        assert_contents(images, FIRST);
    }
    free_past(domain, images);
}

static void assert_memory(virDomainPtr domain, unsigned long kib)
{
    virDomainInfo info;

    assert_int_equal(virDomainGetInfo(domain, &info), 0);
    assert_int_equal(info.maxMem, kib);
}

/* Gives the domain another memory size. */
static void define_larger(const struct fixture *fixture, virDomainPtr domain)
{
    char *xml = domain_definition(domain);
    char *size = strstr(xml, "16384</memory>");
    virDomainPtr redefined;

    assert_non_null(size);
    memcpy(size, "32768", 5);
    size = strstr(xml, "16384</currentMemory>");
    if (size)
        memcpy(size, "32768", 5);
    redefined = virDomainDefineXML(fixture->connection, xml);
    assert_non_null(redefined);
    virDomainFree(redefined);
    free(xml);
}

static void definition_goes_back(void **state)
{
    virDomainPtr domain = fixture_domain(*state, "smaller", 1);
    char *before = domain_definition(domain);

    virDomainSnapshotFree(snapshot_create(domain, "s", 0));
    define_larger(*state, domain);
    assert_memory(domain, 32768);
    revert(domain, "s");
    assert_memory(domain, 16384);
    assert_text(domain_definition(domain), before);
    free(before);
    virDomainFree(domain);
}

/* The stored definition says which disks; one that was added since has no part in it. */
static void disks_are_those_of_the_snapshot(void **state)
{
    const struct fixture *fixture = *state;
    virDomainPtr domain = fixture_domain(fixture, "grown", 1);
    char *images[2] = {fixture_path(fixture, "grown-vda.qcow2"),
                       fixture_path(fixture, "grown-vdb.qcow2")};
    char uuid[VIR_UUID_STRING_BUFLEN];
    virDomainPtr grown;
    char *xml;

    image_write(images[0], FIRST);
    virDomainSnapshotFree(snapshot_create(domain, "s", 0));
    image_write(images[0], NOW);
    qcow2_create(images[1], "1M");
    image_write(images[1], NOW);
    assert_int_equal(virDomainGetUUIDString(domain, uuid), 0);
    xml = domain_xml("grown", uuid, images, 2);
    grown = virDomainDefineXML(fixture->connection, xml);
    assert_non_null(grown);
    revert(domain, "s");
    assert_true(image_holds(images[0], FIRST));
    assert_true(image_holds(images[1], NOW));
    free(xml);
    xml = domain_definition(domain);
    assert_null(strstr(xml, "vdb"));
    free(xml);
    virDomainFree(grown);
    free_past(domain, images);
}

/* differences.md D18: libvirt reverts the other disks. */
static void d18_image_without_the_snapshot_fails_for_all(void **state)
{
    for (int missing = 0; missing < 2; missing++) {
        char *images[2];
        virDomainPtr domain = domain_with_past(*state, images, "one", "two");
        virDomainSnapshotPtr one = snapshot_lookup(domain, "one");

        image_snapshot_delete(images[missing], "one");
        define_larger(*state, domain);
        assert_int_equal(virDomainRevertToSnapshot(one, 0), -1);
        assert_int_equal(virGetLastErrorCode(), VIR_ERR_INTERNAL_ERROR);
        assert_true(image_holds(images[missing], NOW));
        assert_true(image_holds(images[!missing], api_is_libvirt() ? FIRST : NOW));
        if (!api_is_libvirt())
            assert_non_null(strstr(virGetLastErrorMessage(), images[missing]));
        assert_memory(domain, 32768);
        assert_text(tree_text(domain), "one *two<one");
        virDomainSnapshotFree(one);
        assert_int_equal(
            virDomainUndefineFlags(domain, VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA), 0);
        free_past(domain, images);
    }
}

static void flags_are_checked(void **state)
{
    virDomainPtr domain = fixture_domain(*state, "flags", 0);
    virDomainSnapshotPtr snapshot = snapshot_redefine(domain, "s", NULL, 0);

    assert_int_equal(virDomainRevertToSnapshot(snapshot, VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING |
                                                             VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED),
                     -1);
    assert_error(VIR_ERR_INVALID_ARG, VIR_FROM_DOMAIN_SNAPSHOT,
                 "Flags 'VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING' and "
                 "'VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED' are mutually exclusive");
    assert_int_equal(virDomainRevertToSnapshot(snapshot, 16), -1);
    assert_error(VIR_ERR_INVALID_ARG, VIR_FROM_QEMU, NULL);
    assert_int_equal(virDomainRevertToSnapshot(snapshot, VIR_DOMAIN_SNAPSHOT_REVERT_FORCE), 0);
    assert_text(tree_text(domain), "*s");
    virDomainSnapshotFree(snapshot);
    virDomainFree(domain);
}

static void external_snapshot_without_its_images_is_refused(void **state)
{
    virDomainPtr domain = fixture_domain(*state, "outside", 1);
    char *definition = domain_definition(domain);
    char *xml = document_xml((struct document){
        .name = "s", .state = "shutoff", .created = "1", .domain = definition,
        .more = "<disks><disk name='vda' snapshot='external'><source file='/nowhere/o'/></disk>"
                "</disks>"});
    virDomainSnapshotPtr snapshot =
        virDomainSnapshotCreateXML(domain, xml, VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE);

    assert_non_null(snapshot);
    assert_int_equal(virDomainRevertToSnapshot(snapshot, 0), -1);
    /* libvirt refuses every external one (docs/differences.md, external-revert). */
    if (api_is_libvirt())
        assert_error(VIR_ERR_CONFIG_UNSUPPORTED, VIR_FROM_QEMU, NULL);
    else
        assert_error(VIR_ERR_INTERNAL_ERROR, VIR_FROM_QEMU,
                     "internal error: image '/nowhere/o' of disk 'vda' is not usable: "
                     "cannot be reached from here: its directory is missing");
    virDomainSnapshotFree(snapshot);
    free(xml);
    free(definition);
    virDomainFree(domain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(contents_and_current_go_back),
        fixture_test(next_snapshot_is_a_branch),
        fixture_test(d10_name_of_digits_is_a_name),
        fixture_test(definition_goes_back),
        fixture_test(disks_are_those_of_the_snapshot),
        fixture_test(d18_image_without_the_snapshot_fails_for_all),
        fixture_test(flags_are_checked),
        fixture_test(external_snapshot_without_its_images_is_refused),
    };

    return run_family("revert", tests);
}
