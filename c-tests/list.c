/* Lists of snapshots: every filter and its combinations, order, arrays that are too short. */
#include "snapshots.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    ROOTS = VIR_DOMAIN_SNAPSHOT_LIST_ROOTS,
    DESCENDANTS = VIR_DOMAIN_SNAPSHOT_LIST_DESCENDANTS,
    LEAVES = VIR_DOMAIN_SNAPSHOT_LIST_LEAVES,
    NO_LEAVES = VIR_DOMAIN_SNAPSHOT_LIST_NO_LEAVES,
    METADATA = VIR_DOMAIN_SNAPSHOT_LIST_METADATA,
    NO_METADATA = VIR_DOMAIN_SNAPSHOT_LIST_NO_METADATA,
    INACTIVE = VIR_DOMAIN_SNAPSHOT_LIST_INACTIVE,
    ACTIVE = VIR_DOMAIN_SNAPSHOT_LIST_ACTIVE,
    DISK_ONLY = VIR_DOMAIN_SNAPSHOT_LIST_DISK_ONLY,
    INTERNAL = VIR_DOMAIN_SNAPSHOT_LIST_INTERNAL,
    EXTERNAL = VIR_DOMAIN_SNAPSHOT_LIST_EXTERNAL,
    TOPOLOGICAL = VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL,
};

/* One of each state and place: off, run and stopped are internal, disk and memory external. */
static const char tree_of_kinds[] = "disk<run memory<disk off *run<off stopped<off";

static void redefine(virDomainPtr domain, struct document document, unsigned int flags)
{
    char *definition = domain_definition(domain);
    char *xml;
    virDomainSnapshotPtr snapshot;

    document.created = "1000000000";
    document.domain = definition;
    xml = document_xml(document);
    snapshot = virDomainSnapshotCreateXML(domain, xml, VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE | flags);
    if (!snapshot)
        print_error("%s: %s\n", document.name, virGetLastErrorMessage());
    assert_non_null(snapshot);
    virDomainSnapshotFree(snapshot);
    free(xml);
    free(definition);
}

static virDomainPtr domain_with_kinds(const struct fixture *fixture)
{
    static const struct document documents[] = {
        {.name = "off", .state = "shutoff"},
        {.name = "run", .state = "running", .parent = "off"},
        {.name = "stopped", .state = "crashed", .parent = "off"},
        {.name = "disk", .state = "disk-snapshot", .parent = "run",
         .more = "<disks><disk name='vda' snapshot='external'>"
                 "<source file='/nowhere/vda.disk'/></disk></disks>"},
        {.name = "memory", .state = "paused", .parent = "disk",
         .more = "<memory snapshot='external' file='/nowhere/memory'/>"
                 "<disks><disk name='vda' snapshot='no'/></disks>"},
    };
    virDomainPtr domain = fixture_domain(fixture, "kinds", 1);

    for (size_t i = 0; i < sizeof(documents) / sizeof(documents[0]); i++)
        redefine(domain, documents[i], 0);
    redefine(domain, documents[1], VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT);
    assert_text(tree_text(domain), tree_of_kinds);
    return domain;
}

/* Each row names what passes of the whole domain; combinations pass what both groups pass. */
static const struct {
    unsigned int flags;
    const char *names;
} domain_rows[] = {
    {0, "disk memory off run stopped"},
    {ROOTS, "off"},
    {METADATA, "disk memory off run stopped"},
    {NO_METADATA, ""},
    {METADATA | NO_METADATA, "disk memory off run stopped"},
    {LEAVES, "memory stopped"},
    {NO_LEAVES, "disk off run"},
    {INACTIVE, "off"},
    {ACTIVE, "memory run stopped"},
    {DISK_ONLY, "disk"},
    {INACTIVE | ACTIVE, "memory off run stopped"},
    {INACTIVE | DISK_ONLY, "disk off"},
    {ACTIVE | DISK_ONLY, "disk memory run stopped"},
    {INACTIVE | ACTIVE | DISK_ONLY, "disk memory off run stopped"},
    {INTERNAL, "off run stopped"},
    {EXTERNAL, "disk memory"},
    {INTERNAL | EXTERNAL, "disk memory off run stopped"},
    {TOPOLOGICAL, "disk memory off run stopped"},
    {ROOTS | TOPOLOGICAL, "off"},
    {ROOTS | LEAVES, ""},
    {ROOTS | NO_LEAVES, "off"},
    {LEAVES | INTERNAL, "stopped"},
    {LEAVES | EXTERNAL, "memory"},
    {NO_LEAVES | ACTIVE, "run"},
    {ACTIVE | INTERNAL, "run stopped"},
    {DISK_ONLY | INTERNAL, ""},
    {LEAVES | ACTIVE | EXTERNAL | METADATA | TOPOLOGICAL, "memory"},
    {NO_METADATA | LEAVES | ACTIVE, ""},
};

static void filters_of_a_domain(void **state)
{
    virDomainPtr domain = domain_with_kinds(*state);

    for (size_t i = 0; i < sizeof(domain_rows) / sizeof(domain_rows[0]); i++)
        assert_text(sorted(domain_list(domain, domain_rows[i].flags)), domain_rows[i].names);
    virDomainFree(domain);
}

static const struct {
    const char *snapshot;
    unsigned int flags;
    const char *names;
} children_rows[] = {
    {"off", 0, "run stopped"},
    {"off", DESCENDANTS, "disk memory run stopped"},
    {"off", LEAVES, "stopped"},
    {"off", NO_LEAVES, "run"},
    {"off", DESCENDANTS | LEAVES, "memory stopped"},
    {"off", DESCENDANTS | NO_LEAVES, "disk run"},
    {"off", EXTERNAL, ""},
    {"off", DESCENDANTS | EXTERNAL, "disk memory"},
    {"off", DESCENDANTS | INACTIVE, ""},
    {"off", NO_METADATA, ""},
    {"run", 0, "disk"},
    {"run", DESCENDANTS | ACTIVE, "memory"},
    {"memory", 0, ""},
    {"memory", DESCENDANTS, ""},
};

static void filters_of_children(void **state)
{
    virDomainPtr domain = domain_with_kinds(*state);

    for (size_t i = 0; i < sizeof(children_rows) / sizeof(children_rows[0]); i++)
        assert_text(sorted(children_list(domain, children_rows[i].snapshot,
                                         children_rows[i].flags)),
                    children_rows[i].names);
    virDomainFree(domain);
}

/* differences.md D50: the documentation says that both together filter nothing. */
static void d50_leaves_with_no_leaves_filter_nothing(void **state)
{
    virDomainPtr domain = domain_with_kinds(*state);

    assert_text(sorted(domain_list(domain, LEAVES | NO_LEAVES)),
                api_is_libvirt() ? "" : "disk memory off run stopped");
    assert_text(sorted(children_list(domain, "off", LEAVES | NO_LEAVES)),
                api_is_libvirt() ? "" : "run stopped");
    virDomainFree(domain);
}

static void unknown_bits_are_refused_and_arrays_nulled(void **state)
{
    virDomainPtr domain = fixture_domain(*state, "bits", 0);
    virDomainSnapshotPtr snapshot = snapshot_redefine(domain, "s", NULL, 0);
    virDomainSnapshotPtr *snapshots = (void *)1;

    for (unsigned int bit = 0x800; bit; bit <<= 1) {
        snapshots = (void *)1;
        assert_int_equal(virDomainListAllSnapshots(domain, &snapshots, bit), -1);
        assert_null(snapshots);
        snapshots = (void *)1;
        assert_int_equal(virDomainSnapshotListAllChildren(snapshot, &snapshots, bit), -1);
        assert_null(snapshots);
        assert_int_equal(virDomainSnapshotNum(domain, bit), -1);
        assert_error(VIR_ERR_INVALID_ARG, VIR_FROM_QEMU, NULL);
    }
    virDomainSnapshotFree(snapshot);
    virDomainFree(domain);
}

/* differences.md D52: siblings stand in order of creation, where libvirt has the newest first. */
static void topological_order_is_preorder(void **state)
{
    static const struct {
        const char *libvirt;
        const char *ours;
        unsigned int flags;
    } rows[] = {
        {"r1 c b b1 a a1 a2", "r1 a a1 a2 b b1 c", TOPOLOGICAL},
        {"c b1 a2", "a2 b1 c", TOPOLOGICAL | LEAVES},
        {"r1 b a a1", "r1 a a1 b", TOPOLOGICAL | NO_LEAVES},
    };
    virDomainPtr domain = fixture_domain(*state, "order", 0);

    tree_redefine(domain, "r1 a<r1 a1<a a2<a1 b<r1 b1<b *c<r1");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_text(domain_list(domain, rows[i].flags),
                    api_is_libvirt() ? rows[i].libvirt : rows[i].ours);
    assert_text(children_list(domain, "r1", 0), api_is_libvirt() ? "c b a" : "a b c");
    assert_text(children_list(domain, "r1", DESCENDANTS),
                api_is_libvirt() ? "c b b1 a a1 a2" : "a a1 a2 b b1 c");
    assert_text(children_list(domain, "r1", DESCENDANTS | NO_LEAVES),
                api_is_libvirt() ? "b a a1" : "a a1 b");
    if (!api_is_libvirt())
        assert_text(domain_list(domain, 0), "r1 a a1 a2 b b1 c");
    virDomainFree(domain);
}

/* Creation time decides, and where it is the same, the name; not the order of the calls. */
static void d52_siblings_stand_in_order_of_creation(void **state)
{
    static const struct document documents[] = {
        {.name = "late", .created = "30"},
        {.name = "early", .created = "10"},
        {.name = "zero", .created = "20"},
        {.name = "alpha", .created = "20"},
    };
    virDomainPtr domain = fixture_domain(*state, "times", 0);
    char *definition = domain_definition(domain);

    if (api_is_libvirt()) {
        free(definition);
        virDomainFree(domain);
        skip();
    }
    for (size_t i = 0; i < sizeof(documents) / sizeof(documents[0]); i++) {
        struct document document = documents[i];
        char *xml;
        virDomainSnapshotPtr snapshot;

        document.state = "shutoff";
        document.domain = definition;
        xml = document_xml(document);
        snapshot = virDomainSnapshotCreateXML(domain, xml, VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE);
        assert_non_null(snapshot);
        virDomainSnapshotFree(snapshot);
        free(xml);
    }
    assert_text(domain_list(domain, 0), "early alpha zero late");
    free(definition);
    virDomainFree(domain);
}

/* differences.md D1: libvirt answers the number of all names, more than the array holds. An array
 * without room is a question for that number. */
static void d1_short_arrays_are_filled_and_no_more(void **state)
{
    virDomainPtr domain = fixture_domain(*state, "short", 0);
    virDomainSnapshotPtr root;

    tree_redefine(domain, "r a<r b<r c<r d<c");
    root = snapshot_lookup(domain, "r");
    for (int room = 0; room <= 6; room++) {
        char *names[7] = {NULL};
        int expected = api_is_libvirt() || room == 0 || room > 5 ? 5 : room;

        assert_int_equal(virDomainSnapshotListNames(domain, names, room, 0), expected);
        for (int i = 0; i < 7; i++) {
            assert_true((names[i] != NULL) == (i < room && i < 5));
            free(names[i]);
            names[i] = NULL;
        }
        expected = api_is_libvirt() || room == 0 || room > 4 ? 4 : room;
        assert_int_equal(
            virDomainSnapshotListChildrenNames(root, names, room, DESCENDANTS), expected);
        for (int i = 0; i < 7; i++) {
            assert_true((names[i] != NULL) == (i < room && i < 4));
            free(names[i]);
        }
    }
    virDomainSnapshotFree(root);
    virDomainFree(domain);
}

static void arrays_and_lengths_are_checked(void **state)
{
    virDomainPtr domain = fixture_domain(*state, "lengths", 0);
    virDomainSnapshotPtr root;
    char *names[1] = {NULL};

    tree_redefine(domain, "r a<r");
    root = snapshot_lookup(domain, "r");
    assert_int_equal(virDomainSnapshotListNames(domain, NULL, 0, 0), 2);
    assert_int_equal(virDomainSnapshotListChildrenNames(root, NULL, 0, 0), 1);
    assert_int_equal(virDomainSnapshotListNames(domain, NULL, 1, 0), -1);
    assert_error(VIR_ERR_INVALID_ARG, VIR_FROM_DOMAIN_SNAPSHOT,
                 "names in virDomainSnapshotListNames must not be NULL");
    assert_int_equal(virDomainSnapshotListNames(domain, names, -1, 0), -1);
    assert_error(VIR_ERR_INVALID_ARG, VIR_FROM_DOMAIN_SNAPSHOT,
                 "nameslen in virDomainSnapshotListNames must be zero or greater");
    assert_int_equal(virDomainSnapshotListNames(domain, NULL, -1, 0), -1);
    assert_error(VIR_ERR_INVALID_ARG, VIR_FROM_DOMAIN_SNAPSHOT,
                 "nameslen in virDomainSnapshotListNames must be zero or greater");
    assert_int_equal(virDomainSnapshotListChildrenNames(root, NULL, 1, 0), -1);
    assert_error(VIR_ERR_INVALID_ARG, VIR_FROM_DOMAIN_SNAPSHOT,
                 "names in virDomainSnapshotListChildrenNames must not be NULL");
    assert_int_equal(virDomainSnapshotListChildrenNames(root, names, -1, 0), -1);
    assert_error(VIR_ERR_INVALID_ARG, VIR_FROM_DOMAIN_SNAPSHOT,
                 "nameslen in virDomainSnapshotListChildrenNames must be zero or greater");
    assert_null(names[0]);
    virDomainSnapshotFree(root);
    virDomainFree(domain);
}

/* Both texts, which are freed. */
static char *joined(char *text, char *more)
{
    char *both;

    assert_non_null(more);
    both = format("%s\n%s", text, more);
    free(text);
    free(more);
    return both;
}

/* What every list of the domain gives, each in its order, and every document. */
static char *everything(virDomainPtr domain)
{
    virDomainSnapshotPtr *snapshots;
    int count = virDomainListAllSnapshots(domain, &snapshots, 0);
    char *text = tree_text(domain);

    for (size_t i = 0; i < sizeof(domain_rows) / sizeof(domain_rows[0]); i++)
        text = joined(text, domain_list(domain, domain_rows[i].flags));
    for (size_t i = 0; i < sizeof(children_rows) / sizeof(children_rows[0]); i++)
        text = joined(text, children_list(domain, children_rows[i].snapshot,
                                          children_rows[i].flags));
    assert_true(count > 0);
    for (int i = 0; i < count; i++) {
        text = joined(text, virDomainSnapshotGetXMLDesc(snapshots[i],
                                                        VIR_DOMAIN_SNAPSHOT_XML_SECURE));
        virDomainSnapshotFree(snapshots[i]);
    }
    free(snapshots);
    return text;
}

static virDomainPtr opened_again(struct fixture *fixture, virDomainPtr domain)
{
    char *name = format("%s", virDomainGetName(domain));

    virDomainFree(domain);
    assert_int_equal(virConnectClose(fixture->connection), 0);
    fixture->connection = virConnectOpen(fixture->uri);
    assert_non_null(fixture->connection);
    domain = virDomainLookupByName(fixture->connection, name);
    assert_non_null(domain);
    free(name);
    return domain;
}

/* Whoever loads many documents that have not changed for a while leaves a summary of them. */
static void a_summary_gives_the_lists_that_its_documents_give(void **state)
{
    enum { MORE = 80, SETTLED_SECONDS = 4 };
    struct fixture *fixture = *state;
    virDomainPtr domain;
    char *summary;
    char *before;

    if (api_is_libvirt())
        skip();
    domain = domain_with_kinds(fixture);
    summary = fixture_path(fixture, "state/summary/kinds");
    for (int i = 0; i < MORE; i++) {
        char *name = format("more%02d", i);
        char *parent = format("more%02d", i / 2);

        virDomainSnapshotFree(snapshot_redefine(domain, name, i > 0 ? parent : "stopped", 0));
        free(parent);
        free(name);
    }
    sleep(SETTLED_SECONDS);
    assert_int_equal(access(summary, F_OK), -1);
    domain = opened_again(fixture, domain);
    before = everything(domain);
    assert_int_equal(access(summary, F_OK), 0);
    domain = opened_again(fixture, domain);
    assert_text(everything(domain), before);
    assert_int_equal(virDomainSnapshotNum(domain, 0), MORE + 5);
    virDomainFree(domain);
    free(before);
    free(summary);
}

static void domain_without_snapshots_has_empty_lists(void **state)
{
    virDomainPtr domain = fixture_domain(*state, "empty", 0);

    assert_text(domain_list(domain, 0), "");
    assert_int_equal(virDomainHasCurrentSnapshot(domain, 0), 0);
    assert_null(virDomainSnapshotCurrent(domain, 0));
    assert_error(VIR_ERR_NO_DOMAIN_SNAPSHOT, VIR_FROM_QEMU,
                 "Domain snapshot not found: the domain does not have a current snapshot");
    virDomainFree(domain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(filters_of_a_domain),
        fixture_test(filters_of_children),
        fixture_test(d50_leaves_with_no_leaves_filter_nothing),
        fixture_test(unknown_bits_are_refused_and_arrays_nulled),
        fixture_test(topological_order_is_preorder),
        fixture_test(d52_siblings_stand_in_order_of_creation),
        fixture_test(d1_short_arrays_are_filled_and_no_more),
        fixture_test(arrays_and_lengths_are_checked),
        fixture_test(a_summary_gives_the_lists_that_its_documents_give),
        fixture_test(domain_without_snapshots_has_empty_lists),
    };

    return run_family("list", tests);
}
