/* Deleting snapshots: who goes, who gets another parent, who becomes current, what stays in the
 * images. */
#include "images.h"
#include "snapshots.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHILDREN = VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN,
    CHILDREN_ONLY = VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN_ONLY,
    METADATA_ONLY = VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY,
};

struct deletion {
    const char *before;
    const char *target;
    unsigned int flags;
    const char *after;
};

/* What libvirt 9.0 and we do alike. */
static const struct deletion deletions[] = {
    /* One. */
    {"r a<r *b<a", "b", 0, "*a<r r"},
    {"r *a<r b<r", "b", 0, "*a<r r"},
    {"r a<r *b<a", "a", 0, "*b<r r"},
    {"r *a<r b<a c<a d<c", "a", 0, "b<r c<r d<c *r"},
    {"r *a<r", "r", 0, "*a"},
    {"*r a<r b<r", "r", 0, "a b"},
    {"r s *a<s", "r", 0, "*a<s s"},
    {"*r", "r", 0, ""},
    /* With everything below it. */
    {"r a<r *b<a", "a", CHILDREN, "*r"},
    {"r *a<r b<a", "a", CHILDREN, "*r"},
    {"*r a<r b<a", "a", CHILDREN, "*r"},
    {"r a<r b<a *c<b", "r", CHILDREN, ""},
    {"r a<r *s", "r", CHILDREN, "*s"},
    {"r a<r *b<r", "b", CHILDREN, "a<r *r"},
    /* Only what is below it. */
    {"r a<r *b<a", "r", CHILDREN_ONLY, "*r"},
    {"r *a<r b<a", "a", CHILDREN_ONLY, "*a<r r"},
    {"*r a<r b<a", "a", CHILDREN_ONLY, "a<r *r"},
    {"r *a<r", "a", CHILDREN_ONLY, "*a<r r"},
};

/* libvirt 9.0 reads freed memory on these (differences.md D3). */
static const struct deletion bushy_deletions[] = {
    {"r x<r y<r y1<y", "r", CHILDREN_ONLY, "r"},
    {"r x<r y<r *y1<y", "r", CHILDREN, ""},
    {"r a<r a1<a a2<a *a21<a2 b<r b1<b c<r", "r", CHILDREN_ONLY, "*r"},
    {"r a<r a1<a a2<a *a21<a2 b<r b1<b c<r", "a", CHILDREN, "b<r b1<b c<r *r"},
    {"r a<r a1<a a2<a a21<a2 b<r *b1<b c<r", "a", CHILDREN_ONLY, "a<r b<r *b1<b c<r r"},
};

static void check_deletion(const struct fixture *fixture, const struct deletion *deletion,
                           unsigned int more)
{
    virDomainPtr domain = fixture_domain(fixture, "deletion", 0);

    tree_redefine(domain, deletion->before);
    snapshot_delete(domain, deletion->target, deletion->flags | more);
    assert_text(tree_text(domain), deletion->after);
    assert_int_equal(
        virDomainUndefineFlags(domain, VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA), 0);
    virDomainFree(domain);
}

static void hierarchy_after_a_deletion(void **state)
{
    for (size_t i = 0; i < sizeof(deletions) / sizeof(deletions[0]); i++) {
        check_deletion(*state, &deletions[i], 0);
        check_deletion(*state, &deletions[i], METADATA_ONLY);
    }
}

static void d3_bushy_hierarchy_after_a_deletion(void **state)
{
    if (api_is_libvirt())
        skip();
    for (size_t i = 0; i < sizeof(bushy_deletions) / sizeof(bushy_deletions[0]); i++) {
        check_deletion(*state, &bushy_deletions[i], 0);
        check_deletion(*state, &bushy_deletions[i], METADATA_ONLY);
    }
}

/* A domain with two disks and a chain of real snapshots a, b, c. */
static virDomainPtr domain_with_chain(const struct fixture *fixture)
{
    virDomainPtr domain = fixture_domain(fixture, "chain", 2);

    virDomainSnapshotFree(snapshot_create(domain, "a", 0));
    virDomainSnapshotFree(snapshot_create(domain, "b", 0));
    virDomainSnapshotFree(snapshot_create(domain, "c", 0));
    assert_text(tree_text(domain), "a b<a *c<b");
    return domain;
}

static void assert_images(const struct fixture *fixture, const char *names)
{
    static const char *const images[] = {"chain-vda.qcow2", "chain-vdb.qcow2"};

    for (size_t i = 0; i < 2; i++) {
        char *path = fixture_path(fixture, images[i]);

        assert_text(image_snapshots(path), names);
        free(path);
    }
}

static void data_goes_with_the_snapshot(void **state)
{
    static const struct {
        const char *target;
        unsigned int flags;
        const char *after;
        const char *data;
    } rows[] = {
        {"b", 0, "a *c<a", "a c"},
        {"b", METADATA_ONLY, "a *c<a", "a b c"},
        {"b", CHILDREN, "*a", "a"},
        {"b", CHILDREN | METADATA_ONLY, "*a", "a b c"},
        {"a", CHILDREN_ONLY, "*a", "a"},
        {"a", CHILDREN_ONLY | METADATA_ONLY, "*a", "a b c"},
        {"a", CHILDREN, "", ""},
        {"c", CHILDREN_ONLY, "a b<a *c<b", "a b c"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        virDomainPtr domain = domain_with_chain(*state);

        snapshot_delete(domain, rows[i].target, rows[i].flags);
        assert_text(tree_text(domain), rows[i].after);
        assert_images(*state, rows[i].data);
        virDomainUndefineFlags(domain, VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA);
        virDomainFree(domain);
    }
}

/* D19 of differences.md keeps this: what is gone already is as it should be. */
static void data_that_is_gone_already_is_no_error(void **state)
{
    virDomainPtr domain = domain_with_chain(*state);
    char *path = fixture_path(*state, "chain-vda.qcow2");

    image_snapshot_delete(path, "b");
    snapshot_delete(domain, "b", 0);
    assert_text(tree_text(domain), "a *c<a");
    assert_images(*state, "a c");
    free(path);
    virDomainFree(domain);
}

/* libvirt: only logged, the data stays (differences.md D19). */
static void d19_data_that_cannot_be_deleted_keeps_the_snapshot(void **state)
{
    virDomainPtr domain = domain_with_chain(*state);
    virDomainSnapshotPtr snapshot = snapshot_lookup(domain, "b");
    char *path = fixture_path(*state, "chain-vda.qcow2");
    char *away = fixture_path(*state, "away");

    assert_int_equal(rename(path, away), 0);
    if (api_is_libvirt()) {
        assert_int_equal(virDomainSnapshotDelete(snapshot, 0), 0);
        assert_text(tree_text(domain), "a *c<a");
    } else {
        assert_int_equal(virDomainSnapshotDelete(snapshot, 0), -1);
        assert_non_null(strstr(virGetLastErrorMessage(), path));
        virResetLastError();
        assert_text(tree_text(domain), "a b<a *c<b");
    }
    assert_int_equal(rename(away, path), 0);
    free(away);
    free(path);
    virDomainSnapshotFree(snapshot);
    virDomainFree(domain);
}

static void deleted_snapshot_is_gone(void **state)
{
    virDomainPtr domain = fixture_domain(*state, "gone", 0);
    virDomainSnapshotPtr snapshot;

    tree_redefine(domain, "*r");
    snapshot = snapshot_lookup(domain, "r");
    assert_int_equal(virDomainSnapshotDelete(snapshot, 0), 0);
    assert_int_equal(virDomainSnapshotDelete(snapshot, 0), -1);
    assert_error(VIR_ERR_NO_DOMAIN_SNAPSHOT, VIR_FROM_QEMU,
                 "Domain snapshot not found: no domain snapshot with matching name 'r'");
    assert_null(virDomainSnapshotLookupByName(domain, "r", 0));
    assert_error(VIR_ERR_NO_DOMAIN_SNAPSHOT, VIR_FROM_QEMU,
                 "Domain snapshot not found: no domain snapshot with matching name 'r'");
    assert_int_equal(virDomainHasCurrentSnapshot(domain, 0), 0);
    virDomainSnapshotFree(snapshot);
    virDomainFree(domain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(hierarchy_after_a_deletion),
        fixture_test(d3_bushy_hierarchy_after_a_deletion),
        fixture_test(data_goes_with_the_snapshot),
        fixture_test(data_that_is_gone_already_is_no_error),
        fixture_test(d19_data_that_cannot_be_deleted_keeps_the_snapshot),
        fixture_test(deleted_snapshot_is_gone),
    };

    return run_family("delete", tests);
}
