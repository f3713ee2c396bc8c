/* Rows of docs/testing.md, "libvirt's defects", that no other family has a place for. */
#include "images.h"
#include "snapshots.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { REDEFINE = VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE };

static void close_and_open(struct fixture *fixture)
{
    assert_int_equal(virConnectClose(fixture->connection), 0);
    fixture->connection = virConnectOpen(fixture->uri);
    assert_non_null(fixture->connection);
}

static virDomainPtr guest(const struct fixture *fixture)
{
    virDomainPtr domain = virDomainLookupByName(fixture->connection, "guest");

    assert_non_null(domain);
    return domain;
}

/* libvirt crashes: it makes the name of the overlay from the definition that is not there. */
static void d4_an_external_snapshot_is_redefined_without_domain_and_source(void **state)
{
    virDomainPtr domain;
    char *definition, *whole, *bare;
    virDomainSnapshotPtr snapshot;

    if (api_is_libvirt())
        skip();
    domain = fixture_domain(*state, "guest", 1);
    definition = domain_definition(domain);
    whole = document_xml((struct document){
        .name = "e", .state = "disk-snapshot", .created = "1",
        .more = "<disks><disk name='vda' snapshot='external'>"
                "<source file='/nowhere/vda.e'/></disk></disks>",
        .domain = definition,
    });
    bare = document_xml((struct document){
        .name = "e", .state = "disk-snapshot", .created = "1",
        .more = "<disks><disk name='vda' snapshot='external'/></disks>",
    });
    snapshot = virDomainSnapshotCreateXML(domain, whole, REDEFINE);
    assert_non_null(snapshot);
    virDomainSnapshotFree(snapshot);
    snapshot = virDomainSnapshotCreateXML(domain, bare, REDEFINE);
    if (snapshot) {
        char *xml = virDomainSnapshotGetXMLDesc(snapshot, 0);

        assert_non_null(strstr(xml, "<domain "));
        free(xml);
        virDomainSnapshotFree(snapshot);
    } else {
        assert_int_not_equal(virGetLastErrorCode(), VIR_ERR_OK);
    }
    assert_text(tree_text(domain), "e");
    free(bare);
    free(whole);
    free(definition);
    virDomainFree(domain);
}

/* libvirt gives these to a monitor's command line, while the guest runs. */
static void d12_quotes_and_backslashes_stay_in_the_name(void **state)
{
    static const char name[] = "a\"b\\c'd";
    virDomainPtr domain = fixture_domain(*state, "guest", 1);
    char *image = fixture_path(*state, "guest-vda.qcow2");
    virDomainSnapshotPtr snapshot = snapshot_create(domain, name, 0);

    assert_string_equal(virDomainSnapshotGetName(snapshot), name);
    assert_text(image_snapshots(image), name);
    assert_int_equal(virDomainSnapshotDelete(snapshot, 0), 0);
    assert_text(image_snapshots(image), "");
    virDomainSnapshotFree(snapshot);
    free(image);
    virDomainFree(domain);
}

/* libvirt leaves a time of 0 out, and then cannot read its own file. */
static void d35_a_creation_time_of_zero_is_stored(void **state)
{
    virDomainPtr domain;
    char *definition, *xml, *text;
    virDomainSnapshotPtr snapshot;

    if (api_is_libvirt())
        skip();
    domain = fixture_domain(*state, "guest", 0);
    definition = domain_definition(domain);
    xml = document_xml((struct document){
        .name = "z", .state = "shutoff", .created = "0", .domain = definition});
    snapshot = virDomainSnapshotCreateXML(domain, xml, REDEFINE);
    assert_non_null(snapshot);
    virDomainSnapshotFree(snapshot);
    virDomainFree(domain);
    close_and_open(*state);
    domain = guest(*state);
    assert_text(tree_text(domain), "z");
    snapshot = snapshot_lookup(domain, "z");
    text = virDomainSnapshotGetXMLDesc(snapshot, 0);
    assert_non_null(strstr(text, "<creationTime>0</creationTime>"));
    free(text);
    virDomainSnapshotFree(snapshot);
    free(xml);
    free(definition);
    virDomainFree(domain);
}

/* The definition is lost with the host's other files, the snapshots are not. */
static void lose_definition(struct fixture *fixture)
{
    char *path = fixture_path(fixture, "state/domain/guest.xml");

    assert_int_equal(virConnectClose(fixture->connection), 0);
    assert_int_equal(unlink(path), 0);
    fixture->connection = virConnectOpen(fixture->uri);
    assert_non_null(fixture->connection);
    free(path);
}

/* libvirt removes whatever stands under the name of a domain that is defined. */
static void d38_defining_a_domain_removes_no_snapshots(void **state)
{
    struct fixture *fixture = *state;
    virDomainPtr domain;
    char *definition, *path, *other;

    if (api_is_libvirt())
        skip();
    domain = fixture_domain(fixture, "guest", 0);
    path = fixture_path(fixture, "state/snapshot/guest/s.xml");
    definition = domain_definition(domain);
    tree_redefine(domain, "*s t<s");
    virDomainFree(domain);

    lose_definition(fixture);
    domain = virDomainDefineXML(fixture->connection, definition);
    assert_non_null(domain);
    assert_text(tree_text(domain), "*s t<s");
    virDomainFree(domain);

    /* Another domain of that name: they are not its own, and stay where they are. */
    lose_definition(fixture);
    other = domain_xml("guest", "00000000-0000-4000-8000-00000000000f", NULL, 0);
    domain = virDomainDefineXML(fixture->connection, other);
    assert_non_null(domain);
    assert_text(tree_text(domain), "");
    assert_int_equal(virSnapDomainListProblems(domain, NULL, 0), 2);
    assert_int_equal(access(path, F_OK), 0);
    free(other);
    free(definition);
    free(path);
    virDomainFree(domain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(d4_an_external_snapshot_is_redefined_without_domain_and_source),
        fixture_test(d12_quotes_and_backslashes_stay_in_the_name),
        fixture_test(d35_a_creation_time_of_zero_is_stored),
        fixture_test(d38_defining_a_domain_removes_no_snapshots),
    };

    return run_family("differences", tests);
}
