/* A first program with virsnap.
 *
 * It makes a disk image, takes three snapshots of it (one of them on a branch), goes back in
 * time, throws metadata away and takes it in again, and at the end finds everything as it was
 * after opening the state directory anew. Only the public header is used; `qemu-img` and
 * `qemu-io` stand in for the guest that writes to its disk.
 *
 * Run it with `make demo`.
 */
#define _XOPEN_SOURCE 700 /* mkdtemp */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <virsnap.h>

static char directory[] = "/tmp/virsnap-demo-XXXXXX";
static char image[64];

/* ---- small tools ------------------------------------------------------------------------- */

static void quiet(void *data, virErrorPtr error)
{
    (void)data;
    (void)error; /* we report errors ourselves, below */
}

/* Ends the program when something is not as it should be. */
static void expect(int truth, const char *what)
{
    if (truth)
        return;
    printf("FAILED: %s: %s\n", what, virGetLastErrorMessage());
    exit(EXIT_FAILURE);
}

/* Runs a command; the demo's own paths are the only words in it. */
static void run(const char *format, ...)
{
    char command[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(command, sizeof(command), format, arguments);
    va_end(arguments);
    expect(system(command) == 0, command);
}

/* The guest writes: its first megabyte is filled with one byte. */
static void guest_writes(int byte)
{
    run("qemu-io -f qcow2 -c 'write -q -P %d 0 1M' %s", byte, image);
    printf("   the guest fills its disk with 0x%02x\n", (unsigned)byte);
}

/* The guest reads: the disk holds that byte, or the demo fails. */
static void guest_reads(int byte)
{
    run("qemu-io -f qcow2 -c 'read -q -P %d 0 1M' %s", byte, image);
    printf("   the guest reads 0x%02x: its content is back\n", (unsigned)byte);
}

/* ---- the tree ---------------------------------------------------------------------------- */

/* Appends one snapshot and everything below it to a picture of the tree. */
static void draw(virDomainSnapshotPtr snapshot, int depth, char *picture, size_t size)
{
    virDomainSnapshotPtr *children = NULL;
    size_t used = strlen(picture);
    int count;

    snprintf(picture + used, size - used, "   %*s%s%s\n", depth * 3, "",
             virDomainSnapshotGetName(snapshot),
             virDomainSnapshotIsCurrent(snapshot, 0) == 1 ? "   <- you are here" : "");
    count = virDomainSnapshotListAllChildren(snapshot, &children, 0);
    expect(count >= 0, "list children");
    for (int i = 0; i < count; i++) {
        draw(children[i], depth + 1, picture, size);
        virDomainSnapshotFree(children[i]);
    }
    free(children);
}

/* The whole tree as text; the caller frees it. */
static char *tree_of(virDomainPtr domain)
{
    size_t size = 4096;
    char *picture = calloc(1, size);
    virDomainSnapshotPtr *roots = NULL;
    int count = virDomainListAllSnapshots(domain, &roots, VIR_DOMAIN_SNAPSHOT_LIST_ROOTS);

    expect(picture != NULL && count >= 0, "list roots");
    for (int i = 0; i < count; i++) {
        draw(roots[i], 0, picture, size);
        virDomainSnapshotFree(roots[i]);
    }
    free(roots);
    return picture;
}

static void print_tree(virDomainPtr domain)
{
    char *picture = tree_of(domain);

    fputs(picture, stdout);
    free(picture);
}

/* ---- snapshots --------------------------------------------------------------------------- */

static void take(virDomainPtr domain, const char *name, const char *description)
{
    char xml[256];
    virDomainSnapshotPtr snapshot;

    snprintf(xml, sizeof(xml),
             "<domainsnapshot><name>%s</name><description>%s</description></domainsnapshot>",
             name, description);
    snapshot = virDomainSnapshotCreateXML(domain, xml, 0);
    expect(snapshot != NULL, "create a snapshot");
    printf("   snapshot '%s' taken\n", name);
    virDomainSnapshotFree(snapshot);
}

static void go_back(virDomainPtr domain, const char *name)
{
    virDomainSnapshotPtr snapshot = virDomainSnapshotLookupByName(domain, name, 0);

    expect(snapshot != NULL, "look a snapshot up");
    expect(virDomainRevertToSnapshot(snapshot, 0) == 0, "revert");
    printf("   reverted to '%s'\n", name);
    virDomainSnapshotFree(snapshot);
}

/* Drops one snapshot's metadata, shows that its data stayed, and takes the metadata in again. */
static void forget_and_redefine(virDomainPtr domain, const char *name)
{
    virDomainSnapshotPtr snapshot = virDomainSnapshotLookupByName(domain, name, 0);
    char *xml;

    expect(snapshot != NULL, "look a snapshot up");
    xml = virDomainSnapshotGetXMLDesc(snapshot, VIR_DOMAIN_SNAPSHOT_XML_SECURE);
    expect(xml != NULL, "dump a snapshot");
    expect(virDomainSnapshotDelete(snapshot, VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY) == 0,
           "delete metadata");
    virDomainSnapshotFree(snapshot);
    expect(virDomainSnapshotLookupByName(domain, name, 0) == NULL, "the metadata is gone");
    printf("   metadata of '%s' dropped; the image still lists:\n", name);
    run("qemu-img snapshot -l %s | awk 'NR > 2 { print \"      \" $2 }'", image);
    run("qemu-img snapshot -l %s | awk '{ print $2 }' | grep -qx '%s'", image, name);

    snapshot = virDomainSnapshotCreateXML(domain, xml, VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE);
    expect(snapshot != NULL, "redefine");
    printf("   '%s' redefined: the same metadata, no guest data touched\n", name);
    virDomainSnapshotFree(snapshot);
    free(xml);
}

/* ---- the story --------------------------------------------------------------------------- */

static virConnectPtr connect_to(const char *directory_path)
{
    char uri[128];
    virConnectPtr connection;

    snprintf(uri, sizeof(uri), "virsnap://%s/state", directory_path);
    connection = virConnectOpen(uri);
    expect(connection != NULL, "open a connection");
    printf("   opened %s\n", uri);
    return connection;
}

static virDomainPtr define_domain(virConnectPtr connection)
{
    char xml[1024];
    virDomainPtr domain;

    snprintf(xml, sizeof(xml),
             "<domain type='qemu'>\n"
             "  <name>demo</name>\n"
             "  <memory unit='MiB'>64</memory>\n"
             "  <vcpu>1</vcpu>\n"
             "  <os>\n"
             "    <type arch='x86_64'>hvm</type>\n"
             "  </os>\n"
             "  <devices>\n"
             "    <disk type='file' device='disk'>\n"
             "      <driver name='qemu' type='qcow2'/>\n"
             "      <source file='%s'/>\n"
             "      <target dev='vda' bus='virtio'/>\n"
             "    </disk>\n"
             "  </devices>\n"
             "</domain>\n",
             image);
    domain = virDomainDefineXML(connection, xml);
    expect(domain != NULL, "define the domain");
    return domain;
}

/* Carries the domain's snapshots to another host's state directory, through a file. */
static void migrate(virDomainPtr domain)
{
    char there[sizeof(directory) + 64], stream_path[sizeof(directory) + 64];
    char *definition = virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_SECURE);
    char *before = tree_of(domain), *after, *cookie = NULL;
    virConnectPtr other;
    virDomainPtr arrived;
    FILE *stream;

    snprintf(there, sizeof(there), "%s/there", directory);
    snprintf(stream_path, sizeof(stream_path), "%s/stream", directory);
    other = connect_to(there);
    arrived = virDomainDefineXML(other, definition);
    stream = fopen(stream_path, "w+");
    expect(arrived != NULL && stream != NULL, "define the domain at the destination");
    expect(virSnapDomainMigrateBegin(domain, NULL, 0) == -1, "refuse to lose snapshots");
    printf("   %s\n", virGetLastErrorMessage());
    expect(virSnapDomainMigrateBegin(domain, &cookie, VIR_SNAP_MIGRATE_METADATA) == 0, "begin");
    printf("   cookie: %s\n", cookie);
    expect(virSnapDomainMigrateExportFD(domain, fileno(stream), 0) == 0, "export");
    rewind(stream);
    expect(virSnapDomainMigrateImportFD(arrived, fileno(stream), NULL, 0, 0) == 0, "import");
    expect(virSnapDomainMigrateFinish(arrived, cookie, 0) == 0, "finish");
    expect(virSnapDomainMigrateConfirm(domain, cookie, 0, 0) == 0, "confirm");
    expect(virDomainSnapshotNum(domain, 0) == 0, "leave nothing at the source");
    after = tree_of(arrived);
    expect(strcmp(before, after) == 0, "the tree has arrived");
    print_tree(arrived);
    go_back(arrived, "installed");
    guest_reads(0x11);
    fclose(stream);
    free(definition);
    free(cookie);
    free(before);
    free(after);
    virDomainFree(arrived);
    expect(virConnectClose(other) == 0, "close the destination");
}

int main(void)
{
    virConnectPtr connection;
    virDomainPtr domain;
    char *before, *after;

    setvbuf(stdout, NULL, _IOLBF, 0); /* the programs we run print in between */
    virSetErrorFunc(NULL, quiet);
    expect(mkdtemp(directory) != NULL, "make a directory");
    snprintf(image, sizeof(image), "%s/disk.qcow2", directory);

    printf("1. A guest with one qcow2 disk\n");
    run("qemu-img create -q -f qcow2 %s 16M", image);
    connection = connect_to(directory);
    domain = define_domain(connection);

    printf("2. Three snapshots, one of them on a branch\n");
    guest_writes(0x11);
    take(domain, "installed", "fresh from the installer");
    guest_writes(0x22);
    take(domain, "configured", "with all its services");
    guest_writes(0x33);
    go_back(domain, "installed");
    guest_reads(0x11);
    guest_writes(0x44);
    take(domain, "experiment", "another way from the same start");
    print_tree(domain);

    printf("3. Back to another branch\n");
    guest_writes(0x55);
    go_back(domain, "configured");
    guest_reads(0x22);
    print_tree(domain);

    printf("4. Metadata goes, data stays, metadata comes back\n");
    forget_and_redefine(domain, "experiment");
    print_tree(domain);

    printf("5. Close, open again, and find the same tree\n");
    before = tree_of(domain);
    virDomainFree(domain);
    expect(virConnectClose(connection) == 0, "close the last reference");
    connection = connect_to(directory);
    domain = virDomainLookupByName(connection, "demo");
    expect(domain != NULL, "look the domain up");
    print_tree(domain);
    after = tree_of(domain);
    expect(strcmp(before, after) == 0, "the tree is the same");
    go_back(domain, "experiment");
    guest_reads(0x44);

    printf("6. Move to another host, with the whole history\n");
    migrate(domain);

    free(before);
    free(after);
    virDomainFree(domain);
    expect(virConnectClose(connection) == 0, "close the last reference");
    run("rm -r %s", directory);
    printf("SUCCESS: three snapshots taken, reverted to, forgotten, redefined, found again and moved.\n");
    return EXIT_SUCCESS;
}
