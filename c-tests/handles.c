/* Handles: references, what they keep alive, what they stand for when the snapshot goes. */
#include "snapshots.h"

#include <stdlib.h>

static void references_are_counted(void **state)
{
    virDomainPtr domain = fixture_domain(*state, "counted", 0);
    virDomainSnapshotPtr snapshot = snapshot_redefine(domain, "s", NULL, 0);

    assert_int_equal(virDomainSnapshotRef(snapshot), 0);
    assert_int_equal(virDomainSnapshotRef(snapshot), 0);
    assert_int_equal(virDomainSnapshotFree(snapshot), 0);
    assert_int_equal(virDomainSnapshotFree(snapshot), 0);
    assert_string_equal(virDomainSnapshotGetName(snapshot), "s");
    assert_int_equal(virDomainSnapshotFree(snapshot), 0);
    assert_int_equal(virDomainRef(domain), 0);
    assert_int_equal(virDomainFree(domain), 0);
    assert_string_equal(virDomainGetName(domain), "counted");
    virDomainFree(domain);
}

static void snapshot_knows_the_very_domain_and_connection(void **state)
{
    const struct fixture *fixture = *state;
    virDomainPtr domain = fixture_domain(fixture, "owner", 0);
    virDomainPtr second = virDomainLookupByName(fixture->connection, "owner");
    virDomainSnapshotPtr snapshot;
    virDomainSnapshotPtr *listed = NULL;

    tree_redefine(domain, "r *s<r");
    snapshot = virDomainSnapshotCurrent(second, 0);
    assert_ptr_equal(virDomainSnapshotGetDomain(snapshot), second);
    assert_ptr_equal(virDomainSnapshotGetConnect(snapshot), fixture->connection);
    assert_ptr_equal(virDomainGetConnect(domain), fixture->connection);
    virDomainSnapshotFree(snapshot);
    snapshot = snapshot_lookup(domain, "s");
    assert_ptr_equal(virDomainSnapshotGetDomain(snapshot), domain);
    assert_int_equal(virDomainListAllSnapshots(domain, &listed, 0), 2);
    for (int i = 0; i < 2; i++) {
        assert_ptr_equal(virDomainSnapshotGetDomain(listed[i]), domain);
        virDomainSnapshotFree(listed[i]);
    }
    free(listed);
    virDomainSnapshotFree(snapshot);
    virDomainFree(second);
    virDomainFree(domain);
}

static void every_look_up_makes_a_handle(void **state)
{
    virDomainPtr domain = fixture_domain(*state, "pair", 0);
    virDomainSnapshotPtr made = snapshot_redefine(domain, "s", NULL, 0);
    virDomainSnapshotPtr found = snapshot_lookup(domain, "s");

    assert_ptr_not_equal(made, found);
    assert_int_equal(virDomainSnapshotFree(made), 0);
    assert_string_equal(virDomainSnapshotGetName(found), "s");
    virDomainSnapshotFree(found);
    virDomainFree(domain);
}

static void snapshot_keeps_domain_and_connection(void **state)
{
    struct fixture *fixture = *state;
    virDomainPtr domain = fixture_domain(fixture, "kept", 0);
    virDomainSnapshotPtr snapshot = snapshot_redefine(domain, "s", NULL, 0);

    assert_int_equal(virDomainFree(domain), 0);
    assert_int_equal(virConnectClose(fixture->connection), 1);
    assert_string_equal(virDomainGetName(virDomainSnapshotGetDomain(snapshot)), "kept");
    assert_int_equal(virConnectIsAlive(virDomainSnapshotGetConnect(snapshot)), 1);
    assert_int_equal(virDomainSnapshotNumChildren(snapshot, 0), 0);
    assert_int_equal(virDomainSnapshotFree(snapshot), 0);
    fixture->connection = NULL;
}

static void stale_handle_keeps_its_name_only(void **state)
{
    static const char message[] =
        "Domain snapshot not found: no domain snapshot with matching name 's'";
    const struct fixture *fixture = *state;
    virDomainPtr domain = fixture_domain(fixture, "stale", 0);
    virDomainSnapshotPtr snapshot = snapshot_redefine(domain, "s", NULL, 0);
    virDomainSnapshotPtr *listed = NULL;
    char *names[1];

#define assert_stale(call, failure) \
    do { \
        assert_true((call) == (failure)); \
        assert_error(VIR_ERR_NO_DOMAIN_SNAPSHOT, VIR_FROM_QEMU, message); \
    } while (0)

    snapshot_delete(domain, "s", 0);
    assert_string_equal(virDomainSnapshotGetName(snapshot), "s");
    assert_ptr_equal(virDomainSnapshotGetDomain(snapshot), domain);
    assert_ptr_equal(virDomainSnapshotGetConnect(snapshot), fixture->connection);
    assert_stale(virDomainSnapshotGetXMLDesc(snapshot, 0), NULL);
    assert_stale(virDomainSnapshotNumChildren(snapshot, 0), -1);
    assert_stale(virDomainSnapshotListChildrenNames(snapshot, names, 1, 0), -1);
    assert_stale(virDomainSnapshotListAllChildren(snapshot, &listed, 0), -1);
    assert_stale(virDomainSnapshotGetParent(snapshot, 0), NULL);
    assert_stale(virDomainSnapshotIsCurrent(snapshot, 0), -1);
    assert_stale(virDomainSnapshotHasMetadata(snapshot, 0), -1);
    assert_stale(virDomainRevertToSnapshot(snapshot, 0), -1);
    assert_stale(virDomainSnapshotDelete(snapshot, 0), -1);
#undef assert_stale

    /* A handle is a name: the next snapshot that has it is meant then. */
    virDomainSnapshotFree(snapshot_redefine(domain, "s", NULL, 0));
    assert_int_equal(virDomainSnapshotIsCurrent(snapshot, 0), 0);
    assert_int_equal(virDomainSnapshotRef(snapshot), 0);
    assert_int_equal(virDomainSnapshotFree(snapshot), 0);
    assert_int_equal(virDomainSnapshotFree(snapshot), 0);
    virDomainFree(domain);
}

static void root_has_no_parent(void **state)
{
    virDomainPtr domain = fixture_domain(*state, "parents", 0);
    virDomainSnapshotPtr child;
    virDomainSnapshotPtr parent;

    tree_redefine(domain, "r c<r");
    child = snapshot_lookup(domain, "c");
    parent = virDomainSnapshotGetParent(child, 0);
    assert_string_equal(virDomainSnapshotGetName(parent), "r");
    assert_ptr_equal(virDomainSnapshotGetDomain(parent), domain);
    assert_null(virDomainSnapshotGetParent(parent, 0));
    assert_error(VIR_ERR_NO_DOMAIN_SNAPSHOT, VIR_FROM_QEMU,
                 "Domain snapshot not found: snapshot 'r' does not have a parent");
    virDomainSnapshotFree(parent);
    virDomainSnapshotFree(child);
    virDomainFree(domain);
}

static void unknown_names_are_not_found(void **state)
{
    virDomainPtr domain = fixture_domain(*state, "names", 0);

    assert_null(virDomainSnapshotLookupByName(domain, "nobody", 0));
    assert_error(VIR_ERR_NO_DOMAIN_SNAPSHOT, VIR_FROM_QEMU,
                 "Domain snapshot not found: no domain snapshot with matching name 'nobody'");
    assert_null(virDomainSnapshotLookupByName(domain, "", 0));
    assert_error(VIR_ERR_NO_DOMAIN_SNAPSHOT, VIR_FROM_QEMU,
                 "Domain snapshot not found: no domain snapshot with matching name ''");
    virDomainFree(domain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(references_are_counted),
        fixture_test(snapshot_knows_the_very_domain_and_connection),
        fixture_test(every_look_up_makes_a_handle),
        fixture_test(snapshot_keeps_domain_and_connection),
        fixture_test(stale_handle_keeps_its_name_only),
        fixture_test(root_has_no_parent),
        fixture_test(unknown_names_are_not_found),
    };

    return run_family("handles", tests);
}
