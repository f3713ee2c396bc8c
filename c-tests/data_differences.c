/* What the data of snapshots has different from their metadata. No libvirt has this. */
#include "images.h"
#include "snapshots.h"

#include <stdlib.h>
#include <string.h>

/* "s" of a domain with one disk, whose image has lost it. */
static virDomainPtr domain_without_data(const struct fixture *fixture, char **image)
{
    virDomainPtr domain = fixture_domain(fixture, "checked", 1);

    *image = fixture_path(fixture, "checked-vda.qcow2");
    virDomainSnapshotFree(snapshot_create(domain, "s", 0));
    image_snapshot_delete(*image, "s");
    return domain;
}

static void differences_are_listed(void **state)
{
    char *image;
    virDomainPtr domain;
    char **found = NULL;
    char *expected;

    if (api_is_libvirt())
        skip();
    domain = domain_without_data(*state, &image);
    assert_int_equal(virSnapDomainListDifferences(domain, NULL, NULL, 0), 1);
    assert_int_equal(virSnapDomainListDifferences(domain, NULL, &found, 0), 1);
    expected = format("snapshot 's', disk 'vda', image '%s': it holds no snapshot named 's'", image);
    assert_string_equal(found[0], expected);
    assert_null(found[1]);
    free(expected);
    free(found[0]);
    free(found);
    assert_int_equal(virSnapDomainListDifferences(domain, NULL, &found,
                                                  VIR_SNAP_LIST_DIFFERENCES_UNCHECKED), 0);
    assert_non_null(found);
    assert_null(found[0]);
    free(found);
    assert_int_equal(virSnapDomainListDifferences(domain, NULL, NULL,
                                                  VIR_SNAP_LIST_DIFFERENCES_DIFFERING), 1);
    image_snapshot_create(image, "s");
    assert_int_equal(virSnapDomainListDifferences(domain, NULL, NULL, 0), 0);
    free(image);
    virDomainFree(domain);
}

static void document_is_checked_before_it_is_defined(void **state)
{
    struct fixture *fixture = *state;
    char *image;
    virDomainPtr domain;
    virDomainSnapshotPtr snapshot;
    virConnectPtr strict;
    char *uri;
    char *xml;

    if (api_is_libvirt())
        skip();
    domain = domain_without_data(fixture, &image);
    snapshot = snapshot_lookup(domain, "s");
    xml = virDomainSnapshotGetXMLDesc(snapshot, VIR_DOMAIN_SNAPSHOT_XML_SECURE);
    assert_int_equal(virDomainSnapshotDelete(snapshot, VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY),
                     0);
    virDomainSnapshotFree(snapshot);
    virDomainFree(domain);

    uri = format("virsnap://%s/state", fixture->root);
    strict = virConnectOpen(uri);
    assert_non_null(strict);
    domain = virDomainLookupByName(strict, "checked");
    assert_int_equal(virSnapDomainListDifferences(domain, NULL, NULL, 0), 0);
    assert_int_equal(virSnapDomainListDifferences(domain, xml, NULL, 0), 1);
    assert_null(virDomainSnapshotCreateXML(domain, xml, VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE));
    assert_error(VIR_ERR_CONFIG_UNSUPPORTED, VIR_FROM_QEMU, NULL);
    assert_int_equal(virDomainSnapshotNum(domain, 0), 0);
    image_snapshot_create(image, "s");
    snapshot = virDomainSnapshotCreateXML(domain, xml, VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE);
    assert_non_null(snapshot);
    virDomainSnapshotFree(snapshot);
    free(image);
    free(uri);
    free(xml);
    virDomainFree(domain);
    virConnectClose(strict);
}

static void bad_arguments_are_refused(void **state)
{
    virDomainPtr domain;
    char *nothing[1];
    char **found = nothing;

    if (api_is_libvirt())
        skip();
    domain = fixture_domain(*state, "checked", 0);
    assert_int_equal(virSnapDomainListDifferences(NULL, NULL, &found, 0), -1);
    assert_error(VIR_ERR_INVALID_DOMAIN, VIR_FROM_DOM,
                 "invalid domain pointer in virSnapDomainListDifferences");
    assert_null(found);
    assert_int_equal(virSnapDomainListDifferences(domain, NULL, NULL, 4), -1);
    assert_error(VIR_ERR_INVALID_ARG, VIR_FROM_QEMU, NULL);
    assert_int_equal(virSnapDomainListDifferences(domain, "<x/>", NULL, 0), -1);
    assert_error(VIR_ERR_XML_ERROR, VIR_FROM_XML, NULL);
    virDomainFree(domain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(differences_are_listed),
        fixture_test(document_is_checked_before_it_is_defined),
        fixture_test(bad_arguments_are_refused),
    };

    return run_family("data_differences", tests);
}
