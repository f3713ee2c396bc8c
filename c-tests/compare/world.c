/* The domain of a sequence: its images, its definition. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../images.h"

/* What a definition file says for a sequence's own name, UUID and directory. */
static const char name_mark[] = "compare-name";
static const char uuid_mark[] = "b9a1e3c4-0d52-4f6e-8c70-000000000000";
static const char directory_mark[] = "/compare-directory";

const char *const domain_kinds[] = {"one",  "two",   "cdrom",   "graphics", "raw",
                                    "none", "modes", "network", NULL};

enum { TEST_KINDS = 4 };

/* The <devices> of each kind, in the order of domain_kinds. */
static const char *const devices[] = {
    "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>"
    "<source file='/compare-directory/a.qcow2'/><target dev='vda' bus='virtio'/></disk>",

    "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>"
    "<source file='/compare-directory/a.qcow2'/><target dev='vda' bus='virtio'/></disk>"
    "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>"
    "<source file='/compare-directory/b.tar.qcow2'/><target dev='vdb' bus='virtio'/></disk>",

    "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>"
    "<source file='/compare-directory/a.qcow2'/><target dev='vda' bus='virtio'/></disk>"
    "<disk type='file' device='cdrom'><driver name='qemu' type='raw'/>"
    "<target dev='hda' bus='ide'/></disk>"
    "<disk type='file' device='floppy'><driver name='qemu' type='raw'/>"
    "<target dev='fda' bus='fdc'/></disk>",

    "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>"
    "<source file='/compare-directory/a.qcow2'/><target dev='vda' bus='virtio'/></disk>"
    "<graphics type='vnc' port='-1' autoport='yes' passwd='s&amp;cret'/>",

    "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>"
    "<source file='/compare-directory/a.qcow2'/><target dev='vda' bus='virtio'/></disk>"
    "<disk type='file' device='disk'><driver name='qemu' type='raw'/>"
    "<source file='/compare-directory/b.raw'/><target dev='vdb' bus='virtio'/></disk>",

    "",

    "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>"
    "<source file='/compare-directory/a.qcow2'/><target dev='vda' bus='virtio'/></disk>"
    "<disk type='file' device='disk' snapshot='no'><driver name='qemu' type='raw'/>"
    "<source file='/compare-directory/b.raw'/><target dev='vdb' bus='virtio'/></disk>"
    "<disk type='file' device='disk' snapshot='external'><driver name='qemu' type='qcow2'/>"
    "<source file='/compare-directory/noext'/><target dev='vdc' bus='virtio'/></disk>"
    "<disk type='file' device='disk'><driver name='qemu' type='raw'/>"
    "<source file='/compare-directory/c.iso'/><target dev='vdd' bus='virtio'/><readonly/></disk>",

    "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>"
    "<source file='/compare-directory/a.qcow2'/><target dev='vda' bus='virtio'/></disk>"
    "<disk type='network' device='disk'><driver name='qemu' type='qcow2'/>"
    "<source protocol='nbd' name='e'><host name='h' port='10809'/></source>"
    "<target dev='vdb' bus='virtio'/></disk>",
};

/* The disks of each kind: target, file (empty: none; NULL: no local disk), as many as it has. */
static const struct {
    const char *target;
    const char *file;
} disks[][MOST_DISKS] = {
    {{"vda", "a.qcow2"}},
    {{"vda", "a.qcow2"}, {"vdb", "b.tar.qcow2"}},
    {{"vda", "a.qcow2"}, {"hda", ""}, {"fda", ""}},
    {{"vda", "a.qcow2"}},
    {{"vda", "a.qcow2"}, {"vdb", "b.raw"}},
    {{NULL, NULL}},
    {{"vda", "a.qcow2"}, {"vdb", "b.raw"}, {"vdc", "noext"}, {"vdd", "c.iso"}},
    {{"vda", "a.qcow2"}, {"vdb", ""}},
};

char *read_file(const char *path)
{
    FILE *file = fopen(path, "r");
    char *text;
    long length;

    if (!file) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    fseek(file, 0, SEEK_END);
    length = ftell(file);
    rewind(file);
    assert_true(length >= 0);
    text = calloc(1, (size_t)length + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, (size_t)length, file), length);
    fclose(file);
    return text;
}

char *replaced(const char *text, const char *old, const char *new_text)
{
    char *out = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&out, &length);
    const char *found;

    assert_non_null(stream);
    for (; (found = strstr(text, old)); text = found + strlen(old))
        fprintf(stream, "%.*s%s", (int)(found - text), text, new_text);
    fputs(text, stream);
    fclose(stream);
    return out;
}

static char *replace_and_free(char *text, const char *old, const char *new_text)
{
    char *out = replaced(text, old, new_text);

    free(text);
    return out;
}

/* The definition as the library gives it back, or NULL. Freed by the caller. */
static char *formatted(virConnectPtr connection, const char *xml)
{
    virDomainPtr domain = virDomainDefineXML(connection, xml);
    char *text = domain ? virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_SECURE) : NULL;

    if (domain) {
        virDomainUndefine(domain);
        virDomainFree(domain);
    }
    return text;
}

void write_definitions(const struct setting *setting, const char *domain_type)
{
    bool is_test = strcmp(domain_type, "test") == 0;

    for (size_t kind = 0; domain_kinds[kind]; kind++) {
        char *xml = format("<domain type='%s'><name>%s</name><uuid>%s</uuid>"
                           "<memory unit='KiB'>16384</memory><vcpu>1</vcpu>"
                           "<os><type arch='%s'%s>hvm</type></os><devices>%s</devices></domain>",
                           domain_type, name_mark, uuid_mark, is_test ? "i686" : "x86_64",
                           is_test ? "" : " machine='pc'", devices[kind]);
        char *path = format("%s/%s.xml", setting->definitions, domain_kinds[kind]);
        char *first = formatted(setting->connection, xml);
        /* libvirt 9.0 adds controllers in one order and reads them back in another. */
        char *text = first ? formatted(setting->connection, first) : NULL;
        FILE *file = text ? fopen(path, "w") : NULL;

        if (!file) {
            fprintf(stderr, "%s: %s\n", path, virGetLastErrorMessage());
            exit(EXIT_FAILURE);
        }
        fputs(text, file);
        fclose(file);
        free(text);
        free(first);
        free(path);
        free(xml);
    }
}

static void copy_file(const char *from, const char *to)
{
    const char *const words[] = {"cp", from, to, NULL};
    char *output;

    assert_int_equal(run_program(words, &output), 0);
    free(output);
}

/* Every image is a copy of one of two that the process makes once. */
static void make_image(const struct setting *setting, const struct disk *disk)
{
    char *master = format("%s/master.%s", setting->root, disk->is_qcow2 ? "qcow2" : "raw");

    if (access(master, F_OK) != 0 && disk->is_qcow2)
        qcow2_create(master, "1M");
    else if (access(master, F_OK) != 0) {
        const char *const words[] = {"truncate", "-s", "1M", master, NULL};
        char *output;

        assert_int_equal(run_program(words, &output), 0);
        free(output);
    }
    copy_file(master, disk->path);
    free(master);
}

static void make_disks(struct world *world, size_t kind, const char *directory)
{
    assert_int_equal(mkdir(directory, 0700), 0);
    for (size_t i = 0; i < MOST_DISKS && disks[kind][i].target; i++) {
        struct disk *disk = &world->disks[world->disk_count++];
        const char *file = disks[kind][i].file;

        snprintf(disk->target, sizeof(disk->target), "%s", disks[kind][i].target);
        disk->is_qcow2 = strstr(file, "qcow2") || strcmp(file, "noext") == 0;
        if (file[0]) {
            snprintf(disk->path, sizeof(disk->path), "%s/%s", directory, file);
            make_image(world->setting, disk);
        }
    }
}

static void open_as(struct world *world, const struct setting *setting, size_t kind,
                    unsigned int number)
{
    char *directory = format("%s/images-%u", setting->root, number);
    char *path;

    world->setting = setting;
    world->number = number;
    world->kind = domain_kinds[kind];
    snprintf(world->name, sizeof(world->name), "d%u", number);
    snprintf(world->uuid, sizeof(world->uuid), "b9a1e3c4-0d52-4f6e-8c70-%012x", number + 1);
    make_disks(world, kind, directory);

    path = format("%s/%s.xml", setting->definitions, world->kind);
    world->definition = read_file(path);
    world->definition = replace_and_free(world->definition, name_mark, world->name);
    world->definition = replace_and_free(world->definition, uuid_mark, world->uuid);
    world->definition = replace_and_free(world->definition, directory_mark, directory);
    world->domain = virDomainDefineXML(setting->connection, world->definition);
    if (world->domain)
        world->read_only = virDomainLookupByName(setting->read_only, world->name);
    if (!world->read_only) {
        fprintf(stderr, "%s: %s\n", world->name, virGetLastErrorMessage());
        exit(EXIT_FAILURE);
    }
    free(path);
    free(directory);
}

void world_open(struct world *world, const struct setting *setting, uint64_t seed,
                unsigned int number)
{
    size_t kinds = setting->has_common_flags ? TEST_KINDS : sizeof(disks) / sizeof(disks[0]);
    unsigned int kind;

    *world = (struct world){.random = random_from(seed, number)};
    kind = random_below(&world->random, (unsigned int)kinds);
    world->has_external = setting->has_external && random_chance(&world->random, 25);
    open_as(world, setting, kind, number);
}

void world_open_simple(struct world *world, const struct setting *setting, unsigned int number)
{
    *world = (struct world){.number = number};
    open_as(world, setting, 0, number);
}

static void ignore_error(void *user_data, virErrorPtr error)
{
    (void)user_data;
    (void)error;
}

void open_connections(struct setting *setting)
{
    int (*register_loop)(void) = NULL;
    void *address = api_find("virEventRegisterDefaultImpl");

    virSetErrorFunc(NULL, ignore_error);
    memcpy(&register_loop, &address, sizeof(address));
    if (register_loop)
        register_loop();
    setting->connection = virConnectOpen(setting->uri);
    if (setting->connection)
        setting->read_only = virConnectOpenReadOnly(setting->uri);
    if (!setting->read_only) {
        fprintf(stderr, "%s: %s\n", setting->uri, virGetLastErrorMessage());
        exit(EXIT_FAILURE);
    }
}

void world_close(struct world *world)
{
    char *directory = format("%s/images-%u", world->setting->root, world->number);
    const char *const words[] = {"rm", "-r", directory, NULL};
    char *output;

    for (size_t i = 0; i < SLOTS; i++)
        if (world->slots[i].snapshot)
            virDomainSnapshotFree(world->slots[i].snapshot);
    /* One that runs would outlive the program. */
    guest_stop(world);
    virDomainUndefineFlags(world->domain, VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA);
    virDomainFree(world->domain);
    virDomainFree(world->read_only);
    assert_int_equal(run_program(words, &output), 0);
    free(output);
    free(directory);
    free(world->definition);
}
