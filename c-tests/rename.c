/* Domains that get another name, with their snapshots. */
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

static void renaming_keeps_snapshots(void **state)
{
    const struct fixture *fixture = *state;
    virDomainPtr domain = define(fixture, "old", uuid_a);
    virDomainSnapshotPtr snapshot;
    virDomainPtr renamed;
    char *xml;

    tree_redefine(domain, "a *b<a c<a");
    snapshot = snapshot_lookup(domain, "b");
    assert_int_equal(virDomainRename(domain, "new", 0), 0);
    assert_no_error();
    /* Handles keep the name they were made with, and work on. */
    assert_string_equal(virDomainGetName(domain), "old");
    assert_text(tree_text(domain), "a *b<a c<a");
    assert_int_equal(virDomainSnapshotIsCurrent(snapshot, 0), 1);
    assert_null(virDomainLookupByName(fixture->connection, "old"));
    assert_error(VIR_ERR_NO_DOMAIN, VIR_FROM_QEMU,
                 "Domain not found: no domain with matching name 'old'");
    renamed = virDomainLookupByName(fixture->connection, "new");
    assert_non_null(renamed);
    assert_text(tree_text(renamed), "a *b<a c<a");
    xml = virDomainGetXMLDesc(renamed, 0);
    assert_non_null(strstr(xml, "<name>new</name>"));
    assert_non_null(strstr(xml, uuid_a));
    free(xml);
    /* The definitions that snapshots keep are those of their time. */
    xml = virDomainSnapshotGetXMLDesc(snapshot, 0);
    assert_non_null(strstr(xml, "<name>old</name>"));
    free(xml);
    assert_int_equal(virConnectNumOfDefinedDomains(fixture->connection), 1);
    assert_int_equal(virDomainRename(renamed, "old", 0), 0);
    assert_text(tree_text(renamed), "a *b<a c<a");
    virDomainSnapshotFree(snapshot);
    virDomainFree(renamed);
    virDomainFree(domain);
}

/* A snapshot from before has the old name in its definition. */
static void reverting_keeps_the_new_name(void **state)
{
    const struct fixture *fixture = *state;
    virDomainPtr domain = fixture_domain(fixture, "old", 1);
    virDomainSnapshotPtr before = snapshot_create(domain, "before", 0);
    virDomainSnapshotPtr after;
    virDomainPtr renamed;

    assert_int_equal(virDomainRename(domain, "new", 0), 0);
    after = snapshot_create(domain, "after", 0);
    assert_int_equal(virDomainRevertToSnapshot(before, 0), 0);
    assert_null(virDomainLookupByName(fixture->connection, "old"));
    renamed = virDomainLookupByName(fixture->connection, "new");
    assert_non_null(renamed);
    assert_text(tree_text(renamed), "after<before *before");
    virDomainFree(renamed);
    virDomainSnapshotFree(after);
    virDomainSnapshotFree(before);
    virDomainFree(domain);
}

static void names_that_no_domain_can_get(void **state)
{
    const struct fixture *fixture = *state;
    virDomainPtr domain = define(fixture, "one", uuid_a);
    virDomainPtr other = define(fixture, "two", uuid_b);

    assert_int_equal(virDomainRename(domain, NULL, 0), -1);
    assert_error(VIR_ERR_INVALID_ARG, VIR_FROM_DOMAIN,
                 "new_name in virDomainRename must not be NULL");
    assert_int_equal(virDomainRename(domain, "", 0), -1);
    assert_error(VIR_ERR_INVALID_ARG, VIR_FROM_DOMAIN,
                 "string new_name in virDomainRename must not be empty");
    assert_int_equal(virDomainRename(domain, "three", 4), -1);
    assert_error(VIR_ERR_INVALID_ARG, VIR_FROM_QEMU, NULL);
    assert_int_equal(virDomainRename(domain, "a/b", 0), -1);
    assert_error(VIR_ERR_XML_ERROR, VIR_FROM_QEMU, "XML error: name a/b cannot contain '/'");
    assert_int_equal(virDomainRename(domain, "one", 0), -1);
    assert_error(VIR_ERR_OPERATION_INVALID, VIR_FROM_DOMAIN,
                 "Requested operation is not valid: Can't rename domain to itself");
    assert_int_equal(virDomainRename(domain, "two", 0), -1);
    assert_error(VIR_ERR_OPERATION_INVALID, VIR_FROM_DOMAIN,
                 "Requested operation is not valid: domain with name 'two' already exists");
    assert_int_equal(virConnectNumOfDefinedDomains(fixture->connection), 2);
    virDomainFree(other);
    virDomainFree(domain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(renaming_keeps_snapshots),
        fixture_test(reverting_keeps_the_new_name),
        fixture_test(names_that_no_domain_can_get),
    };

    return run_family("rename", tests);
}
