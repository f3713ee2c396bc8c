/* The operations of the crash sweep: tools/crash runs this program under tools/crashpoints.py.
 *
 *   sweep list              the names of the operations
 *   sweep setup DIR NAME    makes the state before, below DIR
 *   sweep op DIR NAME       the operation; 0 if it says that it is done, 1 if it says that it failed
 *   sweep dump DIR          loads the state and prints it in crashpoints.py's DUMP FORMAT
 *   sweep begin DIR         starts a guest on the images as they are; `live-` operations need one
 *   sweep end DIR           kills it
 *
 * An operation added is a row in `operations`. */
#include <ftw.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "qemu.h"
#include "sweep.h"

enum { MOST_DISKS = 2 };

#define GUEST "guest"
/* Before it in the order of names: whoever has both is asked for it first. */
#define RENAMED "again"
#define METADATA VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY
#define CHILDREN VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN
#define CHILDREN_ONLY VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN_ONLY
#define DISK_ONLY VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY
#define REDEFINE VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE

static const char *directory;
/* The guest to be defined has variables of firmware and an emulated TPM. */
static bool has_firmware;
static char state_directory[PATH_SIZE];
static virConnectPtr connection;

void die(const char *what)
{
    fprintf(stderr, "sweep: %s: %s\n", what, virGetLastErrorMessage());
    exit(BROKEN);
}

int run(char *output, size_t size, const char *form, const char *path)
{
    char command[PATH_SIZE];
    size_t length = 0;
    FILE *stream;
    int status;

    snprintf(command, sizeof(command), form, path);
    stream = popen(command, "r");
    if (!stream)
        die(command);
    if (output) {
        length = fread(output, 1, size - 1, stream);
        output[length] = '\0';
    }
    status = pclose(stream);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void must_run(const char *form, const char *path)
{
    if (run(NULL, 0, form, path) != 0)
        die(form);
}

static void image_path(char *path, int disk)
{
    snprintf(path, PATH_SIZE, "%s/vd%c.qcow2", directory, 'a' + disk);
}

static void open_connection(void)
{
    char uri[PATH_SIZE + 64];

    snprintf(uri, sizeof(uri), "virsnap://%s?redefine_check=trust", state_directory);
    connection = virConnectOpen(uri);
}

static virDomainPtr guest(void)
{
    virDomainPtr domain = virDomainLookupByName(connection, GUEST);

    if (!domain)
        die("no domain " GUEST);
    return domain;
}

static int define(const char *name, const char *title, int disks)
{
    char xml[XML_SIZE];
    char nvram[2 * PATH_SIZE];
    char tpm[2 * PATH_SIZE];
    int length;
    virDomainPtr domain;

    firmware_elements(directory, nvram, tpm);
    length = snprintf(xml, sizeof(xml),
                      "<domain type='qemu'><name>%s</name>"
                      "<uuid>%s</uuid><title>%s</title><memory>16384</memory>"
                      "<os><type arch='x86_64'>hvm</type>%s</os><devices>%s",
                      name, strcmp(name, GUEST) == 0 ? "5aa0f4c7-0dc4-4d4f-8d62-6dbb1ba0a1c0"
                                                     : "5aa0f4c7-0dc4-4d4f-8d62-6dbb1ba0a1c1",
                      title, has_firmware ? nvram : "", has_firmware ? tpm : "");

    for (int disk = 0; disk < disks; disk++) {
        char path[PATH_SIZE];

        image_path(path, disk);
        length += snprintf(xml + length, sizeof(xml) - (size_t)length,
                           "<disk type='file'><driver name='qemu' type='qcow2'/>"
                           "<source file='%s'/><target dev='vd%c'/></disk>",
                           path, 'a' + disk);
    }
    snprintf(xml + length, sizeof(xml) - (size_t)length, "</devices></domain>");
    domain = virDomainDefineXML(connection, xml);
    if (domain)
        virDomainFree(domain);
    return domain ? 0 : FAILED;
}

static int create_of(const char *name, const char *disks, unsigned int flags)
{
    char xml[PATH_SIZE + 512];
    virDomainPtr domain = guest();
    virDomainSnapshotPtr snapshot;

    snprintf(xml, sizeof(xml), "<domainsnapshot><name>%s</name>%s</domainsnapshot>", name, disks);
    snapshot = virDomainSnapshotCreateXML(domain, xml, flags);
    if (snapshot)
        virDomainSnapshotFree(snapshot);
    virDomainFree(domain);
    return snapshot ? 0 : FAILED;
}

static int create(const char *name, unsigned int flags)
{
    return create_of(name, "", flags);
}

/* Redefines a snapshot that has no data. */
static int redefine(const char *name, const char *parent, const char *description, unsigned int flags)
{
    char xml[XML_SIZE];
    char above[256] = "";
    virDomainPtr domain = guest();
    virDomainSnapshotPtr snapshot;
    char *definition = virDomainGetXMLDesc(domain, 0);

    if (!definition)
        die("no definition");
    if (parent)
        snprintf(above, sizeof(above), "<parent><name>%s</name></parent>", parent);
    snprintf(xml, sizeof(xml),
             "<domainsnapshot><name>%s</name><description>%s</description><state>shutoff</state>"
             "<creationTime>1700000000</creationTime>%s%s</domainsnapshot>",
             name, description, above, definition);
    snapshot = virDomainSnapshotCreateXML(domain, xml, REDEFINE | flags);
    if (snapshot)
        virDomainSnapshotFree(snapshot);
    free(definition);
    virDomainFree(domain);
    return snapshot ? 0 : FAILED;
}

static virDomainSnapshotPtr look_up(virDomainPtr domain, const char *name)
{
    virDomainSnapshotPtr snapshot = virDomainSnapshotLookupByName(domain, name, 0);

    if (!snapshot)
        die(name);
    return snapshot;
}

static int delete (const char *name, unsigned int flags)
{
    virDomainPtr domain = guest();
    virDomainSnapshotPtr snapshot = look_up(domain, name);
    int answer = virDomainSnapshotDelete(snapshot, flags);

    virDomainSnapshotFree(snapshot);
    virDomainFree(domain);
    return answer == 0 ? 0 : FAILED;
}

static int revert(const char *name)
{
    virDomainPtr domain = guest();
    virDomainSnapshotPtr snapshot = look_up(domain, name);
    int answer = virDomainRevertToSnapshot(snapshot, 0);

    virDomainSnapshotFree(snapshot);
    virDomainFree(domain);
    return answer == 0 ? 0 : FAILED;
}

/* s1 - s2 - { s3 ; s4 - s5 (current) }, each with content of its own. */
static void make_tree(int disks)
{
    static const char *const names[] = {"s1", "s2", "s3", "s4", "s5"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        for (int disk = 0; disk < disks; disk++) {
            char path[PATH_SIZE];
            char command[PATH_SIZE];

            image_path(path, disk);
            snprintf(command, sizeof(command),
                     "qemu-io -f qcow2 -c 'write -q -P %d %zuk 64k' '%%s'", (int)i + 1, i * 64);
            must_run(command, path);
        }
        if (has_firmware)
            write_firmware(directory, (int)i + 1);
        if (strcmp(names[i], "s4") == 0 && revert("s2") != 0)
            die("revert");
        if (create(names[i], 0) != 0)
            die(names[i]);
    }
}

static void prepare(int disks)
{
    for (int disk = 0; disk < disks; disk++) {
        char path[PATH_SIZE];

        image_path(path, disk);
        must_run("qemu-img create -q -f qcow2 '%s' 1M", path);
    }
    if (define(GUEST, "before", disks) != 0)
        die("define");
    make_tree(disks);
}

static void one_disk(void)
{
    prepare(1);
}

static void two_disks(void)
{
    prepare(2);
}

/* With more snapshots than are read without leaving a summary, old enough for one. */
static void many(void)
{
    enum { MORE = 70 };

    one_disk();
    for (int i = 0; i < MORE; i++) {
        char name[16];

        snprintf(name, sizeof(name), "more%02d", i);
        if (redefine(name, i % 2 ? "s2" : "s3", "one of many", 0) != 0)
            die(name);
    }
}

static void let_files_settle(void)
{
    enum { SETTLED_SECONDS = 4 };

    sleep(SETTLED_SECONDS);
}

/* As a process leaves it that has loaded them. */
static void summarized(void)
{
    char path[PATH_SIZE + 64];
    virDomainPtr domain;

    many();
    virConnectClose(connection);
    let_files_settle();
    open_connection();
    if (!connection)
        die("open");
    domain = guest();
    if (virDomainSnapshotNum(domain, 0) < 0)
        die("load");
    virDomainFree(domain);
    snprintf(path, sizeof(path), "%s/summary/" GUEST, state_directory);
    if (access(path, F_OK) != 0)
        die(path);
}

static void with_firmware(void)
{
    has_firmware = true;
    prepare(1);
    write_firmware(directory, 9);
}

static void write_to_guest(int disks, int pattern)
{
    virDomainPtr domain = guest();
    char *definition = virDomainGetXMLDesc(domain, 0);

    for (int disk = 0; disk < disks; disk++) {
        char path[PATH_SIZE];
        char command[PATH_SIZE];

        source_path(definition ? definition : "", (char)('a' + disk), path);
        snprintf(command, sizeof(command),
                 "qemu-io -f qcow2 -c 'write -q -P %d %dk 64k' '%%s'", pattern, pattern * 64);
        must_run(command, path);
    }
    free(definition);
    virDomainFree(domain);
}

/* s1 - s2 - { s3 ; s4 (current) }, each external or as `disks` says, with content of its own. */
static void make_layers(int disks, const char *modes)
{
    static const char *const names[] = {"s1", "s2", "s3", "s4"};

    for (int disk = 0; disk < disks; disk++) {
        char path[PATH_SIZE];

        image_path(path, disk);
        must_run("qemu-img create -q -f qcow2 '%s' 1M", path);
    }
    if (define(GUEST, "before", disks) != 0)
        die("define");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (i == 3 && revert("s2") != 0)
            die("revert");
        write_to_guest(disks, (int)i + 1);
        if (create_of(names[i], modes, DISK_ONLY) != 0)
            die(names[i]);
    }
    write_to_guest(disks, 5);
}

static void layers(void)
{
    make_layers(1, "");
}

#define MIXED "<disks><disk name='vda' snapshot='internal'/><disk name='vdb' snapshot='external'/></disks>"

static void mixed_layers(void)
{
    make_layers(2, MIXED);
}

/* Starts the guest, as it is defined now, with what is to tell its memory from that of others. */
static void start_guest(int word)
{
    virDomainPtr domain = guest();
    char *definition = virDomainGetXMLDesc(domain, 0);

    if (!definition)
        die("no definition");
    begin_guest(directory, definition, word);
    attach_guest(domain, directory);
    free(definition);
    virDomainFree(domain);
}

static void attach(void)
{
    virDomainPtr domain = virDomainLookupByName(connection, GUEST);

    if (!domain)
        return;
    attach_guest(domain, directory);
    virDomainFree(domain);
}

/* s1 - s2 (current) of a running guest, each of a start of its own and with content of its own. */
static void live_tree(unsigned int flags)
{
    static const char *const names[] = {"s1", "s2"};

    for (int disk = 0; disk < 2; disk++) {
        char path[PATH_SIZE];

        image_path(path, disk);
        must_run("qemu-img create -q -f qcow2 '%s' 1M", path);
    }
    if (define(GUEST, "before", 2) != 0)
        die("define");
    for (int i = 0; i < 3; i++) {
        start_guest(i + 1);
        write_in_guest(directory, 2, i + 1);
        if (i < 2 && create(names[i], flags) != 0)
            die(names[i]);
        end_guest(directory);
    }
}

static void live_inside(void)
{
    live_tree(0);
}

static void live_layers(void)
{
    live_tree(DISK_ONLY);
}

/* Two of the five nodes of an import are there; the second became current. */
static void half_imported(void)
{
    if (define(GUEST, "before", 0) != 0 || redefine("s1", NULL, "", VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT) ||
        redefine("s2", "s1", "", 0))
        die("import");
}

static int create_one(void)
{
    return create("s6", 0);
}

static int create_without_metadata(void)
{
    return create("s6", VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA);
}

static int redefine_new(void)
{
    return redefine("s6", "s2", "new", 0);
}

/* What it loads first is old enough to leave a summary. */
static int redefine_and_summarize(void)
{
    let_files_settle();
    return redefine_new();
}

static int redefine_current(void)
{
    return redefine("s6", "s2", "new", VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT);
}

static int redefine_again(void)
{
    return redefine("s3", "s1", "moved", 0);
}

static int import_next(void)
{
    return redefine("s3", "s2", "", 0);
}

static int delete_leaf(void)
{
    return delete ("s5", 0);
}

static int delete_node(void)
{
    return delete ("s2", 0);
}

static int delete_children(void)
{
    return delete ("s2", CHILDREN);
}

static int delete_children_only(void)
{
    return delete ("s2", CHILDREN_ONLY);
}

static int delete_metadata_leaf(void)
{
    return delete ("s5", METADATA);
}

static int delete_metadata_node(void)
{
    return delete ("s2", METADATA);
}

static int delete_metadata_children(void)
{
    return delete ("s2", METADATA | CHILDREN);
}

static int delete_metadata_children_only(void)
{
    return delete ("s2", METADATA | CHILDREN_ONLY);
}

static int revert_one(void)
{
    return revert("s3");
}

static int create_external(void)
{
    return create("s6", DISK_ONLY);
}

static int create_mixed(void)
{
    return create_of("s6", MIXED, DISK_ONLY);
}

static int create_with_memory(void)
{
    char memory[PATH_SIZE + 64];

    snprintf(memory, sizeof(memory), "<memory snapshot='external' file='%s/memory.s6'/>", directory);
    return create_of("s6", memory, 0);
}

/* With a disk inside of its image, and while the guest runs. */
static int create_live(void)
{
    char more[PATH_SIZE + 256];

    snprintf(more, sizeof(more), MIXED "<memory snapshot='external' file='%s/memory.s6'/>", directory);
    return create_of("s6", more, VIR_DOMAIN_SNAPSHOT_CREATE_LIVE);
}

static int delete_first(void)
{
    return delete ("s1", 0);
}

static int delete_last(void)
{
    return delete ("s2", 0);
}

static int revert_first(void)
{
    return revert("s1");
}

static int delete_current(void)
{
    return delete ("s4", 0);
}

/* With the data that it has. */
static int redefine_external(void)
{
    virDomainPtr domain = guest();
    virDomainSnapshotPtr snapshot = look_up(domain, "s3");
    char *xml = virDomainSnapshotGetXMLDesc(snapshot, 0);
    virDomainSnapshotPtr again =
        virDomainSnapshotCreateXML(domain, xml, REDEFINE | VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT);

    if (again)
        virDomainSnapshotFree(again);
    free(xml);
    virDomainSnapshotFree(snapshot);
    virDomainFree(domain);
    return again ? 0 : FAILED;
}

static int undefine(void)
{
    virDomainPtr domain = guest();
    int answer = virDomainUndefineFlags(domain, VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA);

    virDomainFree(domain);
    return answer == 0 ? 0 : FAILED;
}

static int rename_guest(void)
{
    virDomainPtr domain = guest();
    int answer = virDomainRename(domain, RENAMED, 0);

    virDomainFree(domain);
    return answer == 0 ? 0 : FAILED;
}

static int define_new(void)
{
    return define("other", "new", 0);
}

static int define_again(void)
{
    return define(GUEST, "after", 1);
}

/* Where the source of an import keeps what it sends. */
static void sent_path(char *path, const char *what)
{
    snprintf(path, PATH_SIZE, "%s/%s", directory, what);
}

static char *begin_migration(void)
{
    virDomainPtr domain = guest();
    char *cookie = NULL;

    if (virSnapDomainMigrateBegin(domain, &cookie, VIR_SNAP_MIGRATE_METADATA) != 0)
        cookie = NULL;
    virDomainFree(domain);
    return cookie;
}

static void begin_or_die(void)
{
    char *cookie = begin_migration();

    if (!cookie)
        die("begin");
    free(cookie);
}

static void migrating(void)
{
    one_disk();
    begin_or_die();
}

static void live_migrating(void)
{
    live_layers();
    begin_or_die();
}

static int migrate_begin(void)
{
    char *cookie = begin_migration();

    free(cookie);
    return cookie ? 0 : FAILED;
}

static int migrate_confirm(void)
{
    virDomainPtr domain = guest();
    int answer = virSnapDomainMigrateConfirm(domain, NULL, 0, 0);

    virDomainFree(domain);
    return answer == 0 ? 0 : FAILED;
}

static int migrate_cancel(void)
{
    virDomainPtr domain = guest();
    int answer = virSnapDomainMigrateCancel(domain, 0);

    virDomainFree(domain);
    return answer == 0 ? 0 : FAILED;
}

/* Another host's stream and cookie; that host is gone afterwards. Here the domain has one of the
 * snapshots already, and it is current. */
static void sent_here(void)
{
    static const char *const parents[] = {NULL, "s1", "s2", "s2", "s4"};
    virConnectPtr here = connection;
    virDomainPtr domain;
    char uri[PATH_SIZE + 64];
    char path[PATH_SIZE];
    char *cookie;
    FILE *file;

    snprintf(uri, sizeof(uri), "virsnap://%s/source", directory);
    connection = virConnectOpen(uri);
    if (!connection || define(GUEST, "before", 0) != 0)
        die("source");
    for (int i = 0; i < 5; i++) {
        char name[] = {'s', (char)('1' + i), '\0'};

        if (redefine(name, parents[i], "sent", i == 4 ? VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT : 0) != 0)
            die(name);
    }
    cookie = begin_migration();
    sent_path(path, "cookie");
    file = fopen(path, "w");
    if (!cookie || !file || fputs(cookie, file) < 0 || fclose(file) != 0)
        die("cookie");
    free(cookie);
    sent_path(path, "stream");
    file = fopen(path, "w");
    domain = guest();
    if (!file || virSnapDomainMigrateExportFD(domain, fileno(file), 0) != 0 || fclose(file) != 0)
        die("export");
    virDomainFree(domain);
    virConnectClose(connection);
    connection = here;
    if (define(GUEST, "before", 0) != 0 ||
        redefine("s1", NULL, "sent", VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT) != 0)
        die("destination");
}

static int migrate_import(void)
{
    char path[PATH_SIZE];
    virDomainPtr domain = guest();
    FILE *file;
    int answer;

    sent_path(path, "stream");
    file = fopen(path, "r");
    if (!file)
        die(path);
    answer = virSnapDomainMigrateImportFD(domain, fileno(file), NULL, 0, 0);
    fclose(file);
    virDomainFree(domain);
    return answer == 0 ? 0 : FAILED;
}

static void imported(void)
{
    sent_here();
    if (migrate_import() != 0)
        die("import");
}

static int migrate_finish(void)
{
    char path[PATH_SIZE];
    char cookie[XML_SIZE] = "";
    virDomainPtr domain = guest();
    FILE *file;
    int answer;

    sent_path(path, "cookie");
    file = fopen(path, "r");
    if (!file || fread(cookie, 1, sizeof(cookie) - 1, file) == 0)
        die(path);
    fclose(file);
    answer = virSnapDomainMigrateFinish(domain, cookie, 0);
    virDomainFree(domain);
    return answer == 0 ? 0 : FAILED;
}

/* Begins what an operation works on: the guest, which has come as far in a migration as its domain. */
static void begin_trial(void)
{
    virDomainPtr domain = guest();
    int state = virSnapDomainMigrateGetState(domain, NULL, 0);

    virDomainFree(domain);
    start_guest(0x77);
    if (state == VIR_SNAP_MIGRATE_STATE_OUTGOING)
        send_guest_away(directory);
    else if (state == VIR_SNAP_MIGRATE_STATE_INCOMING)
        free(ask(directory, "{\"execute\":\"stop\"}"));
}

static const struct operation {
    const char *name;
    void (*prepare)(void);
    int (*run)(void);
} operations[] = {
    {"create", one_disk, create_one},
    {"create-two-disks", two_disks, create_one},
    {"create-no-metadata", one_disk, create_without_metadata},
    {"redefine", one_disk, redefine_new},
    {"redefine-current", one_disk, redefine_current},
    {"redefine-again", one_disk, redefine_again},
    {"import-next", half_imported, import_next},
    {"delete-leaf", one_disk, delete_leaf},
    {"delete-node", one_disk, delete_node},
    {"delete-children", one_disk, delete_children},
    {"delete-children-only", one_disk, delete_children_only},
    {"delete-two-disks", two_disks, delete_node},
    {"delete-metadata-leaf", one_disk, delete_metadata_leaf},
    {"delete-metadata-node", one_disk, delete_metadata_node},
    {"delete-metadata-children", one_disk, delete_metadata_children},
    {"delete-metadata-children-only", one_disk, delete_metadata_children_only},
    {"revert", one_disk, revert_one},
    {"revert-two-disks", two_disks, revert_one},
    {"external-create", layers, create_external},
    {"external-create-mixed", mixed_layers, create_mixed},
    {"external-redefine", layers, redefine_external},
    {"external-delete-current", layers, delete_current},
    {"external-delete-node", layers, delete_node},
    {"external-delete-children", layers, delete_children},
    {"external-delete-mixed", mixed_layers, delete_node},
    {"external-revert", layers, revert_one},
    {"external-revert-mixed", mixed_layers, revert_one},
    {"create-nvram", with_firmware, create_one},
    {"revert-nvram", with_firmware, revert_one},
    {"delete-nvram", with_firmware, delete_node},
    {"live-create", live_inside, create_one},
    {"live-create-external", live_layers, create_external},
    {"live-create-memory", live_layers, create_with_memory},
    {"live-create-live", live_layers, create_live},
    {"live-delete", live_inside, delete_first},
    {"live-delete-external", live_layers, delete_first},
    {"live-delete-current", live_layers, delete_last},
    {"live-revert", live_inside, revert_first},
    {"live-revert-external", live_layers, revert_first},
    {"live-migrate-begin", live_layers, migrate_begin},
    {"live-migrate-finish", imported, migrate_finish},
    {"live-migrate-confirm", live_migrating, migrate_confirm},
    {"live-migrate-cancel", live_migrating, migrate_cancel},
    {"undefine", one_disk, undefine},
    {"migrate-begin", one_disk, migrate_begin},
    {"migrate-import", sent_here, migrate_import},
    {"migrate-finish", imported, migrate_finish},
    {"migrate-confirm", migrating, migrate_confirm},
    {"migrate-cancel", migrating, migrate_cancel},
    {"migrate-cancel-import", imported, migrate_cancel},
    {"rename", one_disk, rename_guest},
    {"redefine-summarizing", many, redefine_and_summarize},
    {"summarized-create", summarized, create_one},
    {"summarized-delete-node", summarized, delete_node},
    {"summarized-undefine", summarized, undefine},
    {"define", one_disk, define_new},
    {"define-again", one_disk, define_again},
};

enum { OPERATIONS = sizeof(operations) / sizeof(operations[0]) };

static const struct operation *find_operation(const char *name)
{
    for (size_t i = 0; i < OPERATIONS; i++)
        if (strcmp(operations[i].name, name) == 0)
            return &operations[i];
    fprintf(stderr, "sweep: no operation '%s'\n", name);
    exit(BROKEN);
}

uint64_t hash(const char *bytes, size_t length)
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < length; i++)
        sum = (sum ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
    return sum;
}

static void print_snapshot(virDomainSnapshotPtr snapshot)
{
    const char *name = virDomainSnapshotGetName(snapshot);
    virDomainSnapshotPtr parent = virDomainSnapshotGetParent(snapshot, 0);
    char *xml = virDomainSnapshotGetXMLDesc(snapshot, 0);
    const char *description = xml ? strstr(xml, "<description>") : NULL;
    const char *definition = xml ? strstr(xml, "<domain") : NULL;

    if (!xml)
        die(name);
    definition = strstr(definition + 1, "<domain");
    printf("node %s parent=%s description=%.*s definition=%" PRIx64 "\n", name,
           parent ? virDomainSnapshotGetName(parent) : "-",
           description ? (int)strcspn(description + 13, "<") : 0,
           description ? description + 13 : "",
           definition ? hash_of_text(definition) : 0);
    if (parent)
        virDomainSnapshotFree(parent);
    free(xml);
}

static void print_tree(virDomainPtr domain, bool with_definition)
{
    virDomainSnapshotPtr *snapshots = NULL;
    virDomainSnapshotPtr current = virDomainSnapshotCurrent(domain, 0);
    int count = virDomainListAllSnapshots(domain, &snapshots, 0);
    char *xml = virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_SECURE);

    if (count < 0 || !xml)
        die("list");
    if (with_definition)
        printf("domain %s %" PRIx64 " migration=%d\n", virDomainGetName(domain), hash_of_text(xml),
               virSnapDomainMigrateGetState(domain, NULL, 0));
    for (int i = 0; i < count; i++) {
        print_snapshot(snapshots[i]);
        virDomainSnapshotFree(snapshots[i]);
    }
    if (strcmp(virDomainGetName(domain), GUEST) == 0 ||
        strcmp(virDomainGetName(domain), RENAMED) == 0)
        printf("current %s\n", current ? virDomainSnapshotGetName(current) : "-");
    if (current)
        virDomainSnapshotFree(current);
    free(snapshots);
    free(xml);
}

/* What this process believes after the operation. */
static void print_live(void)
{
    virDomainPtr domain = virDomainLookupByName(connection, GUEST);

    if (!domain && virGetLastErrorCode() == VIR_ERR_NO_DOMAIN)
        domain = virDomainLookupByName(connection, RENAMED);
    /* An error is no view. */
    if (domain ? virDomainSnapshotNum(domain, 0) < 0 : virGetLastErrorCode() != VIR_ERR_NO_DOMAIN)
        return;
    printf("@@live\n");
    if (domain) {
        print_tree(domain, false);
        virDomainFree(domain);
    }
}

static void print_image(int disk)
{
    char path[PATH_SIZE];
    char output[XML_SIZE];
    int status;

    image_path(path, disk);
    if (access(path, F_OK) != 0)
        return;
    if (run(output, sizeof(output), "qemu-img snapshot -U -l '%s' 2>&1", path) != 0) {
        printf("check vd%c unreadable\n", 'a' + disk);
        return;
    }
    for (char *line = strtok(output, "\n"); line; line = strtok(NULL, "\n")) {
        char id[64];
        char tag[256];

        if (sscanf(line, "%63s %255s", id, tag) != 2 || strspn(id, "0123456789") != strlen(id))
            continue;
        if (tag[0] == '.')
            printf("litter vd%c:%s\n", 'a' + disk, tag);
        else
            printf("data vd%c %s\n", 'a' + disk, tag);
    }
    /* 3: leaked clusters, which cost space and nothing else */
    status = run(output, sizeof(output), "qemu-img check -U -q '%s' 2>&1", path);
    printf("check vd%c %s\n", 'a' + disk, status == 0 || status == 3 ? "ok" : "corrupt");
    if (status == 3)
        printf("litter vd%c:leaked-clusters\n", 'a' + disk);
}

static void print_content(int disk)
{
    enum { RAW_SIZE = 1 << 20 };
    char path[PATH_SIZE];
    char raw_path[] = "/tmp/virsnap-sweep-XXXXXX";
    char command[PATH_SIZE];
    char *bytes = malloc(RAW_SIZE);
    FILE *raw;
    int descriptor;

    image_path(path, disk);
    if (access(path, F_OK) != 0 || !bytes) {
        free(bytes);
        return;
    }
    descriptor = mkstemp(raw_path);
    if (descriptor < 0)
        die(raw_path);
    close(descriptor);
    snprintf(command, sizeof(command), "qemu-img convert -U -f qcow2 -O raw '%%s' %s", raw_path);
    if (run(NULL, 0, command, path) == 0 && (raw = fopen(raw_path, "rb"))) {
        size_t length = fread(bytes, 1, RAW_SIZE, raw);

        printf("content vd%c %zu %" PRIx64 "\n", 'a' + disk, length, hash(bytes, length));
        fclose(raw);
    } else {
        printf("check vd%c-content unreadable\n", 'a' + disk);
    }
    unlink(raw_path);
    free(bytes);
}

/* Whether a file of the state directory is one that the loaded state accounts for. */
static bool is_accounted_for(const char *path)
{
    char domain_name[256];
    char snapshot_name[256];
    char *end;
    virDomainPtr domain;
    virDomainSnapshotPtr snapshot;

    if (strncmp(path, "lock/", 5) == 0 || strncmp(path, "stage/.reserve.", 15) == 0)
        return true;
    if (sscanf(path, "migration/%255[^/]", domain_name) == 1 ||
        sscanf(path, "summary/%255[^/]", domain_name) == 1) {
        domain = virDomainLookupByName(connection, domain_name);
        if (domain)
            virDomainFree(domain);
        return domain;
    }
    if (sscanf(path, "domain/%255[^/]", domain_name) == 1) {
        end = strstr(domain_name, ".xml");
        if (!end || strcmp(end, ".xml") != 0)
            return false;
        *end = '\0';
        domain = virDomainLookupByName(connection, domain_name);
        if (domain)
            virDomainFree(domain);
        return domain;
    }
    if (sscanf(path, "snapshot/%255[^/]/%255[^/]", domain_name, snapshot_name) != 2)
        return false;
    end = strstr(snapshot_name, ".xml");
    if (!end || strcmp(end, ".xml") != 0)
        return false;
    *end = '\0';
    domain = virDomainLookupByName(connection, domain_name);
    snapshot = domain ? virDomainSnapshotLookupByName(domain, snapshot_name, 0) : NULL;
    if (snapshot)
        virDomainSnapshotFree(snapshot);
    if (domain)
        virDomainFree(domain);
    return snapshot;
}

static int visit(const char *path, const struct stat *status, int kind, struct FTW *position)
{
    const char *relative = path + strlen(state_directory);

    (void)status;
    (void)position;
    if (kind == FTW_D || kind == FTW_DP)
        return 0;
    relative += strspn(relative, "/");
    if (!is_accounted_for(relative))
        printf("litter %s\n", relative);
    return 0;
}

static int dump(void)
{
    virDomainPtr *domains = NULL;
    int count = virConnectListAllDomains(connection, &domains, 0);

    if (count < 0)
        die("domains");
    for (int i = 0; i < count; i++) {
        look_before_attaching(domains[i], directory);
        attach_guest(domains[i], directory);
        print_tree(domains[i], true);
        if (strcmp(virDomainGetName(domains[i]), GUEST) == 0)
            print_layers(domains[i], directory);
        if (strcmp(virDomainGetName(domains[i]), GUEST) == 0)
            print_guest(domains[i], directory);
        virDomainFree(domains[i]);
    }
    free(domains);
    for (int disk = 0; disk < MOST_DISKS; disk++) {
        print_image(disk);
        print_content(disk);
    }
    print_firmware(directory);
    return nftw(state_directory, visit, 8, FTW_PHYS) == 0 ? 0 : BROKEN;
}

static void ignore_error(void *user_data, virErrorPtr error)
{
    (void)user_data;
    (void)error;
}

static int open_and_dump(void)
{
    int answer;

    open_connection();
    if (!connection)
        die("open");
    answer = dump();
    virConnectClose(connection);
    return answer;
}

int main(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "";
    int answer;

    if (strcmp(command, "list") == 0) {
        for (size_t i = 0; i < OPERATIONS; i++)
            puts(operations[i].name);
        return 0;
    }
    if (argc < 3) {
        fprintf(stderr, "usage: sweep list | setup DIR NAME | op DIR NAME | dump DIR | begin DIR | end DIR\n");
        return BROKEN;
    }
    directory = argv[2];
    if (strcmp(command, "end") == 0) {
        end_guest(directory);
        return 0;
    }
    snprintf(state_directory, sizeof(state_directory), "%s/state", directory);
    virSetErrorFunc(NULL, ignore_error);
    if (strcmp(command, "dump") == 0)
        return look_at_what_is_left(open_and_dump, directory);
    open_connection();
    if (!connection) {
        fprintf(stderr, "sweep: %s\n", virGetLastErrorMessage());
        return FAILED;
    }
    if (strcmp(command, "setup") == 0 && argc > 3) {
        find_operation(argv[3])->prepare();
        answer = 0;
    } else if (strcmp(command, "begin") == 0) {
        begin_trial();
        answer = 0;
    } else {
        attach();
        answer = find_operation(argc > 3 ? argv[3] : "")->run();
        if (answer != 0)
            fprintf(stderr, "sweep: %s\n", virGetLastErrorMessage());
        print_live();
    }
    virConnectClose(connection);
    return answer;
}
