/* Plans and sizes: what would be done, asked before it is done. No libvirt has this. */
#include "images.h"
#include "snapshots.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The plan's steps in one text: kind, name, parent, and the last part of the file's path. */
static char *steps_text(virSnapPlanPtr plan)
{
    char *text = format("%s", "");

    assert_non_null(plan);
    for (int i = 0; i < plan->nsteps; i++) {
        const virSnapPlanStep *step = plan->steps[i];
        const char *file = step->file ? strrchr(step->file, '/') + 1 : "-";
        char *longer = format("%s%d %s %s %s\n", text, step->kind, step->name ? step->name : "-",
                              step->parent ? step->parent : "-", file);

        assert_non_null(step->text);
        free(text);
        text = longer;
    }
    assert_null(plan->steps[plan->nsteps]);
    assert_null(plan->refusals[plan->nrefusals]);
    assert_non_null(plan->text);
    return text;
}

static long long blocks(const char *path)
{
    struct stat found;

    assert_int_equal(stat(path, &found), 0);
    return (long long)found.st_blocks * 512;
}

static void delete_is_planned_and_done(void **state)
{
    virDomainPtr domain;
    virDomainSnapshotPtr snapshot;
    virSnapPlanPtr plan;
    virSnapSize size = {.size = sizeof(size)};
    char *image;
    long long before;

    domain = fixture_domain(*state, "planned", 1);
    image = fixture_path(*state, "planned-vda.qcow2");
    image_write(image, 1);
    virDomainSnapshotFree(snapshot_create(domain, "a", 0));
    virDomainSnapshotFree(snapshot_create(domain, "b", 0));
    image_write(image, 2);
    virDomainSnapshotFree(snapshot_create(domain, "c", 0));
    snapshot = snapshot_lookup(domain, "a");
    assert_int_equal(virSnapDomainSnapshotGetSize(snapshot, &size, 0), 0);
    virDomainSnapshotFree(snapshot);
    /* One data cluster, one L2 table, one block of an L1 table. */
    assert_int_equal(size.occupied, 2 * 65536 + 4096);
    /* b has the same data. */
    assert_int_equal(size.freed, 4096);
    assert_int_equal(size.memory, 0);
    assert_int_equal(size.unknown, 0);

    snapshot = snapshot_lookup(domain, "b");
    plan = virSnapDomainSnapshotPlanDelete(snapshot, 0);
    assert_text(steps_text(plan), "12 b - planned-vda.qcow2\n3 b - -\n4 c a -\n");
    assert_int_equal(plan->nrefusals, 0);
    assert_int_equal(plan->freed, 4096);
    assert_int_equal(plan->pause_ms, 0);
    assert_non_null(strstr(plan->text, "snapshot 'c' stands below 'a' from then on\n"));
    virSnapPlanFree(plan);
    assert_text(tree_text(domain), "a b<a *c<b");

    plan = virSnapDomainSnapshotPlanDelete(snapshot, VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN);
    assert_text(steps_text(plan), "12 c - planned-vda.qcow2\n12 b - planned-vda.qcow2\n3 c - -\n3 b - -\n"
                                  "5 a - -\n");
    before = blocks(image);
    assert_int_equal(virDomainSnapshotDelete(snapshot, VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN), 0);
    assert_true(llabs(before - blocks(image) - (long long)plan->freed) <= 8192);
    virSnapPlanFree(plan);
    assert_text(tree_text(domain), "*a");
    assert_null(virSnapDomainSnapshotPlanDelete(snapshot, 0));
    assert_error(VIR_ERR_NO_DOMAIN_SNAPSHOT, VIR_FROM_QEMU, NULL);
    assert_int_equal(virSnapDomainSnapshotGetSize(snapshot, &size, 0), -1);
    assert_error(VIR_ERR_NO_DOMAIN_SNAPSHOT, VIR_FROM_QEMU, NULL);
    virDomainSnapshotFree(snapshot);
    virDomainFree(domain);
    free(image);
}

static void other_operations_are_planned(void **state)
{
    struct fixture *fixture = *state;
    const char *xml = "<domainsnapshot><name>b</name></domainsnapshot>";
    virDomainPtr domain;
    virDomainSnapshotPtr snapshot;
    virSnapPlanPtr plan;

    domain = fixture_domain(fixture, "planned", 1);
    virDomainSnapshotFree(snapshot_create(domain, "a", 0));
    plan = virSnapDomainPlanCreate(domain, xml, 0);
    assert_text(steps_text(plan), "10 b - planned-vda.qcow2\n1 b a -\n5 b - -\n");
    virSnapPlanFree(plan);
    plan = virSnapDomainPlanCreate(domain, xml, VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY);
    assert_text(steps_text(plan), "6 - - planned-vda.b\n1 b a -\n5 b - -\n13 - - planned-vda.b\n");
    virSnapPlanFree(plan);
    virDomainSnapshotFree(snapshot_create(domain, "b", 0));
    snapshot = snapshot_lookup(domain, "a");
    plan = virSnapDomainSnapshotPlanRevert(snapshot, 0);
    assert_text(steps_text(plan), "11 a - planned-vda.qcow2\n5 a - -\n");
    virSnapPlanFree(plan);
    virDomainSnapshotFree(snapshot);
    plan = virSnapDomainPlanMigrate(domain, VIR_SNAP_MIGRATE_METADATA);
    assert_text(steps_text(plan), "19 - - -\n3 b - -\n3 a - -\n5 - - -\n");
    virSnapPlanFree(plan);
    plan = virSnapDomainPlanUndefine(domain, VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA);
    assert_text(steps_text(plan), "3 b - -\n3 a - -\n5 - - -\n18 - - -\n");
    virSnapPlanFree(plan);
    assert_text(tree_text(domain), "a *b<a");
    virDomainFree(domain);
}

/* The reasons are those that the operations give as their errors. */
static void refusals_are_told(void **state)
{
    struct fixture *fixture = *state;
    virDomainPtr domain;
    virDomainSnapshotPtr snapshot;
    virSnapPlanPtr plan;
    char *image;

    domain = fixture_domain(fixture, "refused", 2);
    virDomainSnapshotFree(snapshot_create(domain, "a", 0));
    plan = virSnapDomainPlanCreate(domain, "<domainsnapshot><name>a</name></domainsnapshot>", 0);
    assert_int_equal(plan->nrefusals, 2);
    assert_string_equal(plan->refusals[0], "domain moment a already exists");
    assert_non_null(strstr(plan->refusals[1], "refused-vda.qcow2"));
    virSnapPlanFree(plan);
    plan = virSnapDomainPlanUndefine(domain, 0);
    assert_int_equal(plan->nrefusals, 1);
    assert_string_equal(plan->refusals[0], "cannot delete inactive domain with 1 snapshots");
    virSnapPlanFree(plan);
    plan = virSnapDomainPlanMigrate(domain, 0);
    assert_int_equal(plan->nrefusals, 1);
    assert_int_equal(plan->nsteps, 0);
    virSnapPlanFree(plan);
    image = fixture_path(fixture, "refused-vdb.qcow2");
    image_snapshot_delete(image, "a");
    snapshot = snapshot_lookup(domain, "a");
    plan = virSnapDomainSnapshotPlanRevert(snapshot, 0);
    assert_int_equal(plan->nrefusals, 1);
    assert_non_null(strstr(plan->refusals[0], "refused-vdb.qcow2"));
    assert_int_equal(virDomainRevertToSnapshot(snapshot, 0), -1);
    assert_non_null(strstr(virGetLastErrorMessage(), plan->refusals[0]));
    virSnapPlanFree(plan);
    free(image);
    virDomainSnapshotFree(snapshot);
    virDomainFree(domain);
}

static void a_reader_may_ask(void **state)
{
    struct fixture *fixture = *state;
    virConnectPtr reader;
    virDomainPtr domain;
    virDomainSnapshotPtr snapshot;
    virSnapPlanPtr plan;
    virSnapSize size = {.size = sizeof(size)};

    domain = fixture_domain(fixture, "read", 1);
    virDomainSnapshotFree(snapshot_create(domain, "a", 0));
    virDomainFree(domain);
    reader = virConnectOpenReadOnly(fixture->uri);
    assert_non_null(reader);
    domain = virDomainLookupByName(reader, "read");
    snapshot = snapshot_lookup(domain, "a");
    plan = virSnapDomainSnapshotPlanDelete(snapshot, 0);
    assert_int_equal(plan->nrefusals, 0);
    assert_int_equal(plan->nsteps, 3);
    virSnapPlanFree(plan);
    assert_int_equal(virSnapDomainSnapshotGetSize(snapshot, &size, 0), 0);
    virDomainSnapshotFree(snapshot);
    virDomainFree(domain);
    virConnectClose(reader);
}

/* Programs that were built with another version of the header. */
static void older_and_newer_sizes_are_filled(void **state)
{
    const size_t first = offsetof(virSnapSize, unknown) + sizeof(int);
    struct {
        virSnapSize known;
        unsigned char newer[24];
    } whole;
    unsigned char untouched[sizeof(whole)];
    virDomainPtr domain;
    virDomainSnapshotPtr snapshot;

    domain = fixture_domain(*state, "versions", 0);
    snapshot = snapshot_redefine(domain, "s", NULL, 0);
    memset(untouched, 0xa5, sizeof(untouched));
    for (int i = 0; i < 2; i++) {
        size_t written = i == 0 ? first : sizeof(whole.known);

        memset(&whole, 0xa5, sizeof(whole));
        whole.known.size = i == 0 ? first : sizeof(whole);
        assert_int_equal(virSnapDomainSnapshotGetSize(snapshot, &whole.known, 0), 0);
        assert_int_equal(whole.known.size, i == 0 ? first : sizeof(whole));
        assert_int_equal(whole.known.occupied, 0);
        assert_int_equal(whole.known.freed, 0);
        assert_int_equal(whole.known.unknown, 0);
        assert_memory_equal((unsigned char *)&whole + written, untouched, sizeof(whole) - written);
    }
    virDomainSnapshotFree(snapshot);
    virDomainFree(domain);
}

static void bad_arguments_are_refused(void **state)
{
    virDomainPtr domain;
    virDomainSnapshotPtr snapshot;
    virSnapSize size = {sizeof(size), 1, 2, 3, 4};
    long foreign[16] = {0};

    domain = fixture_domain(*state, "checked", 0);
    snapshot = snapshot_redefine(domain, "s", NULL, 0);
    virSnapPlanFree(NULL);
    for (int i = 0; i < 3; i++) {
        void *none = i == 0 ? NULL : i == 1 ? (void *)foreign : (void *)((*(struct fixture **)state)->connection);

        assert_int_equal(virSnapDomainSnapshotGetSize(none, &size, 0), -1);
        assert_error(VIR_ERR_INVALID_DOMAIN_SNAPSHOT, VIR_FROM_DOMAIN_SNAPSHOT, NULL);
        assert_null(virSnapDomainSnapshotPlanDelete(none, 0));
        assert_error(VIR_ERR_INVALID_DOMAIN_SNAPSHOT, VIR_FROM_DOMAIN_SNAPSHOT, NULL);
        assert_null(virSnapDomainSnapshotPlanRevert(none, 0));
        assert_error(VIR_ERR_INVALID_DOMAIN_SNAPSHOT, VIR_FROM_DOMAIN_SNAPSHOT, NULL);
        assert_null(virSnapDomainPlanCreate(none, "<domainsnapshot/>", 0));
        assert_error(VIR_ERR_INVALID_DOMAIN, VIR_FROM_DOM, NULL);
        assert_null(virSnapDomainPlanUndefine(none, 0));
        assert_error(VIR_ERR_INVALID_DOMAIN, VIR_FROM_DOM, NULL);
        assert_null(virSnapDomainPlanMigrate(none, 0));
        assert_error(VIR_ERR_INVALID_DOMAIN, VIR_FROM_DOM, NULL);
    }
    assert_int_equal(virSnapDomainSnapshotGetSize(snapshot, NULL, 0), -1);
    assert_error(VIR_ERR_INVALID_ARG, VIR_FROM_DOMAIN_SNAPSHOT, NULL);
    assert_int_equal(virSnapDomainSnapshotGetSize(snapshot, &size, 1), -1);
    assert_error(VIR_ERR_INVALID_ARG, VIR_FROM_QEMU, NULL);
    size.size = offsetof(virSnapSize, unknown);
    assert_int_equal(virSnapDomainSnapshotGetSize(snapshot, &size, 0), -1);
    assert_error(VIR_ERR_INVALID_ARG, VIR_FROM_DOMAIN_SNAPSHOT, NULL);
    size.size = 0;
    assert_int_equal(virSnapDomainSnapshotGetSize(snapshot, &size, 0), -1);
    assert_error(VIR_ERR_INVALID_ARG, VIR_FROM_DOMAIN_SNAPSHOT, NULL);
    assert_int_equal(size.occupied, 1);
    assert_int_equal(size.unknown, 4);
    assert_null(virSnapDomainPlanCreate(domain, NULL, 0));
    assert_error(VIR_ERR_INVALID_ARG, VIR_FROM_DOMAIN_SNAPSHOT, NULL);
    assert_null(virSnapDomainPlanCreate(domain, "<x/>", 0));
    assert_error(VIR_ERR_XML_ERROR, VIR_FROM_XML, NULL);
    assert_null(virSnapDomainPlanUndefine(domain, 0x80));
    assert_error(VIR_ERR_INVALID_ARG, VIR_FROM_QEMU, NULL);
    assert_null(virSnapDomainPlanMigrate(domain, 2));
    assert_error(VIR_ERR_INVALID_ARG, VIR_FROM_QEMU, NULL);
    assert_null(virSnapDomainSnapshotPlanDelete(snapshot, 5));
    assert_error(VIR_ERR_INVALID_ARG, VIR_FROM_DOMAIN_SNAPSHOT, NULL);
    assert_null(virSnapDomainSnapshotPlanDelete(snapshot, 8));
    assert_error(VIR_ERR_INVALID_ARG, VIR_FROM_QEMU, NULL);
    assert_null(virSnapDomainSnapshotPlanRevert(snapshot, 16));
    assert_error(VIR_ERR_INVALID_ARG, VIR_FROM_QEMU, NULL);
    assert_null(virSnapDomainPlanCreate(domain, "<domainsnapshot/>", 0x400));
    assert_error(VIR_ERR_INVALID_ARG, VIR_FROM_QEMU, NULL);
    virDomainSnapshotFree(snapshot);
    assert_null(virSnapDomainSnapshotPlanDelete(snapshot, 0));
    assert_error(VIR_ERR_INVALID_DOMAIN_SNAPSHOT, VIR_FROM_DOMAIN_SNAPSHOT, NULL);
    virDomainFree(domain);
    assert_null(virSnapDomainPlanUndefine(domain, 0));
    assert_error(VIR_ERR_INVALID_DOMAIN, VIR_FROM_DOM, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(delete_is_planned_and_done),
        fixture_test(other_operations_are_planned),
        fixture_test(refusals_are_told),
        fixture_test(a_reader_may_ask),
        fixture_test(older_and_newer_sizes_are_filled),
        fixture_test(bad_arguments_are_refused),
    };

    return run_family("plans", tests);
}
