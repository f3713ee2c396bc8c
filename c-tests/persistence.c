/* What the state directory keeps: the same hierarchy after it is opened again, by us and by the
 * real libvirt, which has a process of its own here. */
#include "images.h"
#include "snapshots.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OF_A = 0x11, OF_B = 0x22, NOW = 0x33 };

/* The hierarchy of the tests about both libraries. */
static const char hierarchy[] = "a b<a *c<a";
static const char *const names[] = {"a", "b", "c"};

static void opening_again_finds_the_same(void **state)
{
    static const char *const kept[] = {"real", "moved", "it's <odd>"};
    struct fixture *fixture = *state;
    virDomainPtr domain = fixture_domain(fixture, "stays", 1);
    char *documents[3];
    char *definition;
    char *tree;

    virDomainSnapshotFree(snapshot_create(domain, "real", 0));
    virDomainSnapshotFree(snapshot_redefine(domain, "moved", "real", 0));
    virDomainSnapshotFree(snapshot_create(domain, "it&apos;s &lt;odd&gt;", 0));
    for (size_t i = 0; i < 3; i++)
        documents[i] = snapshot_text(domain, kept[i]);
    definition = domain_definition(domain);
    tree = tree_text(domain);
    virDomainFree(domain);
    assert_int_equal(virConnectClose(fixture->connection), 0);

    fixture->connection = virConnectOpen(fixture->uri);
    assert_non_null(fixture->connection);
    domain = virDomainLookupByName(fixture->connection, "stays");
    assert_non_null(domain);
    assert_text(tree_text(domain), tree);
    assert_text(domain_definition(domain), definition);
    for (size_t i = 0; i < 3; i++) {
        assert_text(snapshot_text(domain, kept[i]), documents[i]);
        free(documents[i]);
    }
    virDomainFree(domain);
    free(definition);
    free(tree);
}

/* One root for both: libvirt's driver keeps its snapshots in ROOT/lib/qemu/snapshot, and a state
 * directory ROOT/lib/qemu has them in the same place. */
struct both {
    const struct fixture *fixture;
    char *libvirt_uri;
    char *image;
    char *definition;        /* as libvirt writes it */
    virConnectPtr connection;  /* ours */
    virDomainPtr domain;       /* ours */
};

/* What virsh prints, without the line ends at its end. */
static char *virsh(const struct both *both, const char *command)
{
    const char *const words[] = {"virsh", "-q", "-c", both->libvirt_uri, command, NULL};
    char *output;
    int status = run_program(words, &output);
    size_t length = strlen(output);

    if (status != 0)
        print_error("virsh %s: %s\n", command, output);
    assert_int_equal(status, 0);
    while (length > 0 && output[length - 1] == '\n')
        output[--length] = '\0';
    return output;
}

static void virsh_silent(const struct both *both, const char *command)
{
    free(virsh(both, command));
}

static bool has_virsh(void)
{
    const char *const words[] = {"virsh", "--version", NULL};
    char *output;
    int status = run_program(words, &output);

    free(output);
    return status == 0;
}

/* Lets libvirt define the domain: it deletes the snapshots of a name that is new to it. */
static void set_up_both(struct both *both, const struct fixture *fixture)
{
    char *path = fixture_path(fixture, "guest.xml");
    char *command = format("define %s", path);
    FILE *file = fopen(path, "w");
    char *xml;

    *both = (struct both){.fixture = fixture};
    both->libvirt_uri = format("qemu:///embed?root=%s", fixture->root);
    both->image = fixture_path(fixture, "guest.qcow2");
    qcow2_create(both->image, "1M");
    xml = domain_xml("guest", NULL, &both->image, 1);
    assert_non_null(file);
    assert_true(fputs(xml, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(write_embedded_configuration(fixture->root), 0);
    virsh_silent(both, command);
    both->definition = virsh(both, "dumpxml --inactive --security-info guest");
    free(xml);
    free(command);
    free(path);
}

static void open_ours(struct both *both)
{
    char *uri = format("virsnap://%s/lib/qemu?redefine_check=trust", both->fixture->root);

    both->connection = virConnectOpen(uri);
    if (!both->connection)
        print_error("%s: %s\n", uri, virGetLastErrorMessage());
    assert_non_null(both->connection);
    both->domain = virDomainDefineXML(both->connection, both->definition);
    if (!both->domain)
        print_error("define: %s\n", virGetLastErrorMessage());
    assert_non_null(both->domain);
    free(uri);
}

static void close_ours(struct both *both)
{
    virDomainFree(both->domain);
    assert_int_equal(virConnectClose(both->connection), 0);
}

static void tear_down_both(struct both *both)
{
    free(both->definition);
    free(both->image);
    free(both->libvirt_uri);
}

/* The hierarchy that libvirt has loaded, in the form of tree_text(). */
static char *libvirt_tree(const struct both *both)
{
    char *listed = virsh(both, "snapshot-list guest --name");
    char *current = virsh(both, "snapshot-current guest --name");
    char *text = format("%s", "");
    char *rest = NULL;

    for (char *name = strtok_r(listed, "\n", &rest); name; name = strtok_r(NULL, "\n", &rest)) {
        char *command = format("snapshot-info guest %s", name);
        char *info = virsh(both, command);
        char parent[64] = "";
        char *longer;

        if (strstr(info, "Parent:"))
            sscanf(strstr(info, "Parent:"), "Parent: %63s", parent);
        if (strcmp(parent, "-") == 0)
            parent[0] = '\0';
        longer = format("%s%s%s%s%s%s", text, text[0] ? " " : "",
                        strcmp(name, current) == 0 ? "*" : "", name, parent[0] ? "<" : "", parent);
        free(text);
        free(info);
        free(command);
        text = longer;
    }
    free(current);
    free(listed);
    return sorted(text);
}

static void assert_same_documents(const struct both *both)
{
    for (size_t i = 0; i < 3; i++) {
        char *command = format("snapshot-dumpxml --security-info guest %s", names[i]);
        char *theirs = virsh(both, command);
        char *ours = snapshot_text(both->domain, names[i]);

        ours[strlen(ours) - 1] = '\0';
        assert_text(ours, theirs);
        free(theirs);
        free(command);
    }
}

static bool is_for_both(void)
{
    if (api_is_libvirt())
        return false;
    if (has_virsh())
        return true;
    print_message("virsh is missing: not compared with libvirt\n");
    return false;
}

static void revert_ours(virDomainPtr domain, const char *name)
{
    virDomainSnapshotPtr snapshot = snapshot_lookup(domain, name);

    assert_int_equal(virDomainRevertToSnapshot(snapshot, 0), 0);
    virDomainSnapshotFree(snapshot);
}

static void libvirt_loads_what_we_wrote(void **state)
{
    struct both both;

    if (!is_for_both())
        skip();
    set_up_both(&both, *state);
    open_ours(&both);
    image_write(both.image, OF_A);
    virDomainSnapshotFree(snapshot_create(both.domain, "a", 0));
    image_write(both.image, OF_B);
    virDomainSnapshotFree(snapshot_create(both.domain, "b", 0));
    image_write(both.image, NOW);
    revert_ours(both.domain, "a");
    virDomainSnapshotFree(snapshot_create(both.domain, "c", 0));
    assert_text(tree_text(both.domain), hierarchy);
    assert_text(libvirt_tree(&both), hierarchy);
    assert_same_documents(&both);
    close_ours(&both);
    /* And it can go on with it, and we after it. */
    virsh_silent(&both, "snapshot-revert guest b");
    assert_true(image_holds(both.image, OF_B));
    virsh_silent(&both, "snapshot-delete guest a");
    open_ours(&both);
    assert_text(tree_text(both.domain), "*b c");
    close_ours(&both);
    tear_down_both(&both);
}

static void we_load_what_libvirt_wrote(void **state)
{
    struct both both;

    if (!is_for_both())
        skip();
    set_up_both(&both, *state);
    image_write(both.image, OF_A);
    virsh_silent(&both, "snapshot-create-as guest a 'first of all'");
    image_write(both.image, OF_B);
    virsh_silent(&both, "snapshot-create-as guest b; snapshot-revert guest a; "
                        "snapshot-create-as guest c");
    open_ours(&both);
    assert_text(tree_text(both.domain), hierarchy);
    assert_same_documents(&both);
    revert_ours(both.domain, "b");
    assert_true(image_holds(both.image, OF_B));
    snapshot_delete(both.domain, "a", 0);
    assert_text(image_snapshots(both.image), "b c");
    close_ours(&both);
    assert_text(libvirt_tree(&both), "*b c");
    tear_down_both(&both);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(opening_again_finds_the_same),
        fixture_test(libvirt_loads_what_we_wrote),
        fixture_test(we_load_what_libvirt_wrote),
    };

    return run_family("persistence", tests);
}
