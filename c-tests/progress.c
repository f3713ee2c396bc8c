/* How far work on the images of a domain that is off has come, and how it is stopped. */
#include "images.h"
#include "snapshots.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DISK_ONLY VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY

enum { DISK_BYTES = 1 << 20, BASE = 0x11, MIDDLE = 0x22, TOP = 0x33 };

/* What the program's function gets. */
static struct watch {
    int calls;
    int ended;        /* calls that told that all is done */
    int stopping_at;  /* the call that answers to stop; 0 for none */
} watch;

static int progress(void *opaque, unsigned long long done, unsigned long long total)
{
    assert_ptr_equal(opaque, &watch);
    watch.calls++;
    assert_int_equal(total, DISK_BYTES);
    assert_in_range(done, 0, total);
    watch.ended += done == total;
    return watch.calls == watch.stopping_at;
}

static virDomainPtr watched_domain(const struct fixture *fixture)
{
    virSnapDomainCallbacks hooks = {.size = sizeof(hooks), .progress = progress};
    virDomainPtr domain = fixture_domain(fixture, "off", 1);

    memset(&watch, 0, sizeof(watch));
    assert_int_equal(virSnapDomainSetCallbacks(domain, &hooks, &watch, 0), 0);
    return domain;
}

static char *image(const struct fixture *fixture, const char *ending)
{
    char *name = format("off-vda.%s", ending);
    char *path = fixture_path(fixture, name);

    free(name);
    return path;
}

static void write_to(const struct fixture *fixture, const char *ending, unsigned char byte)
{
    char *path = image(fixture, ending);

    image_write(path, byte);
    free(path);
}

static void assert_holds(const struct fixture *fixture, const char *ending, unsigned char byte)
{
    char *path = image(fixture, ending);

    assert_true(image_holds(path, byte));
    free(path);
}

static bool exists(const struct fixture *fixture, const char *ending)
{
    char *path = image(fixture, ending);
    bool answer = access(path, F_OK) == 0;

    free(path);
    return answer;
}

/* e1 shows the image, e2 the overlay on it, and the guest goes on in another overlay. */
static virDomainPtr layered_domain(const struct fixture *fixture)
{
    virDomainPtr domain = watched_domain(fixture);

    write_to(fixture, "qcow2", BASE);
    virDomainSnapshotFree(snapshot_create(domain, "e1", DISK_ONLY));
    write_to(fixture, "e1", MIDDLE);
    virDomainSnapshotFree(snapshot_create(domain, "e2", DISK_ONLY));
    write_to(fixture, "e2", TOP);
    return domain;
}

static int delete(virDomainPtr domain, const char *name)
{
    virDomainSnapshotPtr snapshot = snapshot_lookup(domain, name);
    int answer = virDomainSnapshotDelete(snapshot, 0);
    int code = virGetLastErrorCode();

    virDomainSnapshotFree(snapshot);
    return answer == 0 ? 0 : code;
}

static void a_merge_tells_how_far_it_is(void **state)
{
    virDomainPtr domain = layered_domain(*state);

    watch.calls = 0;
    assert_int_equal(delete(domain, "e1"), 0);
    /* To write it down, then to compare: each begins and ends. */
    assert_true(watch.calls >= 4);
    assert_true(watch.ended >= 2);
    assert_text(tree_text(domain), "*e2");
    assert_holds(*state, "qcow2", MIDDLE);
    assert_holds(*state, "e2", TOP);
    virDomainFree(domain);
}

static void a_merge_that_is_stopped_at_once_has_not_happened(void **state)
{
    virDomainPtr domain = layered_domain(*state);

    watch.calls = 0;
    watch.stopping_at = 1;
    assert_int_equal(delete(domain, "e1"), VIR_ERR_OPERATION_ABORTED);
    assert_int_equal(watch.ended, 0);
    assert_text(tree_text(domain), "e1 *e2<e1");
    assert_holds(*state, "qcow2", BASE);
    assert_holds(*state, "e1", MIDDLE);
    assert_holds(*state, "e2", TOP);
    /* Another one is another matter. */
    assert_int_equal(delete(domain, "e1"), 0);
    assert_text(tree_text(domain), "*e2");
    assert_false(exists(*state, "e1"));
    virDomainFree(domain);
}

/* What the lower image showed is gone by then. */
static void a_merge_that_is_stopped_later_is_finished_by_the_next_change(void **state)
{
    virDomainPtr domain = layered_domain(*state);

    watch.calls = 0;
    /* What was written down is to be compared. */
    watch.stopping_at = 3;
    assert_int_equal(delete(domain, "e1"), VIR_ERR_OPERATION_ABORTED);
    assert_text(tree_text(domain), "*e2");
    assert_holds(*state, "e2", TOP);
    virDomainSnapshotFree(snapshot_create(domain, "e3", DISK_ONLY));
    assert_text(tree_text(domain), "e2 *e3<e2");
    assert_false(exists(*state, "e1"));
    assert_holds(*state, "qcow2", MIDDLE);
    assert_holds(*state, "e2", TOP);
    virDomainFree(domain);
}

static void what_is_cancelled_while_nothing_runs_is_forgotten(void **state)
{
    virDomainPtr domain = layered_domain(*state);

    assert_int_equal(virSnapDomainCancel(domain, 0), 0);
    assert_int_equal(delete(domain, "e1"), 0);
    assert_text(tree_text(domain), "*e2");
    virDomainFree(domain);
}

/* The snapshot is inside of an image that another one stands on: the guest gets a copy. */
static void a_copy_that_is_stopped_leaves_nothing(void **state)
{
    const struct fixture *fixture = *state;
    virDomainPtr domain = watched_domain(fixture);
    virDomainSnapshotPtr inside;
    char *definition;

    write_to(fixture, "qcow2", BASE);
    inside = snapshot_create(domain, "inside", 0);
    write_to(fixture, "qcow2", MIDDLE);
    virDomainSnapshotFree(snapshot_create(domain, "e", DISK_ONLY));
    write_to(fixture, "e", TOP);
    definition = domain_definition(domain);
    watch.calls = 0;
    watch.stopping_at = 1;
    assert_int_equal(virDomainRevertToSnapshot(inside, 0), -1);
    assert_error(VIR_ERR_OPERATION_ABORTED, VIR_FROM_QEMU, NULL);
    assert_text(tree_text(domain), "*e<inside inside");
    assert_text(domain_definition(domain), definition);
    assert_holds(fixture, "qcow2", MIDDLE);
    assert_holds(fixture, "e", TOP);
    assert_int_equal(virDomainRevertToSnapshot(inside, 0), 0);
    assert_true(watch.ended >= 1);
    assert_holds(fixture, "qcow2", MIDDLE);
    virDomainSnapshotFree(inside);
    free(definition);
    virDomainFree(domain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(a_merge_tells_how_far_it_is),
        fixture_test(a_merge_that_is_stopped_at_once_has_not_happened),
        fixture_test(a_merge_that_is_stopped_later_is_finished_by_the_next_change),
        fixture_test(what_is_cancelled_while_nothing_runs_is_forgotten),
        fixture_test(a_copy_that_is_stopped_leaves_nothing),
    };

    return run_family("progress", tests);
}
