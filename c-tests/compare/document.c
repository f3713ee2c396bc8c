/* Documents out of parts; a fault is a part that is not what it should be. */
#include "document.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MANY_DISKS = 300 };

/* What a document says; a part that is NULL is left out. */
struct parts {
    char *name;
    const char *description;
    const char *state;
    char *parent;
    const char *created;
    const char *memory;
    char *disks;
    char *domain;
    const char *more;
};

static const char *some_memory(struct random *random)
{
    static const char *const words[] = {
        "<memory snapshot='no'/>",
        "<memory snapshot='no'/>",
        "<memory snapshot='internal'/>",
        "<memory snapshot='external'/>",
        "<memory snapshot='external' file='/compare/mem'/>",
        "<memory file='/compare/mem'/>",
        "<memory file='relative'/>",
        "<memory snapshot='no' file='/compare/mem'/>",
        "<memory snapshot='manual'/>",
        "<memory snapshot='default'/>",
        "<memory snapshot=''/>",
        "<memory/>",
    };

    return random_word(random, words);
}

static const char *some_mode(struct random *random)
{
    static const char *const words[] = {
        "", " snapshot='internal'", " snapshot='internal'", " snapshot='no'", " snapshot='manual'",
        " snapshot='default'", " snapshot='nonsense'",
    };
    unsigned int kind = random_below(random, 10);

    if (kind < 6)
        return words[kind % 3];
    return random_word(random, words);
}

/* What stands in a <disk> that may be external. */
static void put_image(FILE *out, struct world *world, const char *target)
{
    static const char *const images[] = {
        " snapshot='external'/>",
        " snapshot='external'><source file='/compare/%s.new'/></disk>",
        "><source file='/compare/%s.new'/></disk>",
        "><driver type='qcow2'/><source file='/compare/%s.new'/></disk>",
        " snapshot='external'><driver type='qed'/><source file='/compare/%s.new'/></disk>",
        " snapshot='external'><driver type='raw'/></disk>",
        " snapshot='external'><driver type='nonsense'/></disk>",
        " snapshot='external'><source file='relative'/></disk>",
        " snapshot='external' type='block'><source dev='/dev/compare-%s'/></disk>",
        " snapshot='external' type='network'><source protocol='nbd' name='x'>\n"
        "        <host name='h' port='1'/>\n      </source></disk>",
        " snapshot='external' type='volume'/>",
        " snapshot='external' type='dir'/>",
        " snapshot='external' type='nonsense'/>",
        " snapshot='external'><driver><metadata_cache><max_size unit='KiB'>4</max_size>"
        "</metadata_cache></driver><source file='/compare/%s.new'/></disk>",
        " snapshot='internal'><source file='/compare/%s.new'/></disk>",
        " snapshot='external'><snapshotDeleteInProgress/><driver type='qcow2'/>"
        "<source file='/compare/%s.new'/></disk>",
    };
    char *image = replaced(random_word(&world->random, images), "%s", target);

    fputs(image, out);
    free(image);
}

/* `external`: whether a disk may be so. */
static char *some_disks(struct world *world, bool external)
{
    struct random *random = &world->random;
    unsigned int count = random_below(random, (unsigned int)world->disk_count + 2);
    size_t length = 0;
    char *text = NULL;
    FILE *out = open_memstream(&text, &length);

    assert_non_null(out);
    if (random_chance(random, 1))
        count = MANY_DISKS;
    fputs("<disks>", out);
    for (unsigned int i = 0; i < count; i++) {
        const struct disk *disk =
            &world->disks[random_chance(random, 80) ? i % MOST_DISKS
                                                    : random_below(random, MOST_DISKS)];
        unsigned int kind = random_below(random, 100);

        if (kind < 3)
            fputs("<disk", out);
        else if (kind < 6)
            fputs("<disk name='vdz'", out);
        else if (kind < 14 && disk->path[0])
            fprintf(out, "<disk name='%s'", disk->path);
        else
            fprintf(out, "<disk name='%s'", disk->target);
        if (external && random_chance(random, 60))
            put_image(out, world, disk->target);
        else
            fprintf(out, "%s/>", some_mode(random));
    }
    fputs("</disks>", out);
    fclose(out);
    return text;
}

static const char *some_more(struct random *random)
{
    static const char *const more[] = {
        "<unknown/>",
        "<unknown a='1'><b>text</b></unknown>",
        "<active>1</active>",
        "<cookie/>",
        "<cookie>\n    <cpu mode='custom' match='exact' check='none'>\n"
        "      <model fallback='allow'>qemu64</model>\n    </cpu>\n  </cookie>",
        "<inactiveDomain/>",
        "<inactiveDomain type='qemu'/>",
        "<revertDisks/>",
        "<name>second</name>",
        "<state>running</state>",
        "<disks><disk/></disks>",
        "<parent/>",
        "<!-- a comment -->",
        "text",
    };

    return random_word(random, more);
}

/* All parts in one document. What libvirt itself writes has line ends and two blanks. */
static char *assembled(struct world *world, const struct parts *parts)
{
    struct random *random = &world->random;
    bool reversed = random_chance(random, 5);
    size_t length = 0;
    char *text = NULL;
    FILE *out = open_memstream(&text, &length);

    assert_non_null(out);
    if (random_chance(random, 2))
        fputs("<?xml version='1.0' encoding='UTF-8'?>\n", out);
    fprintf(out, "<domainsnapshot%s>\n", random_chance(random, 1) ? " xmlns='urn:x'" : "");
    if (reversed && parts->disks)
        fprintf(out, "  %s\n", parts->disks);
    if (parts->name)
        fprintf(out, "  <name>%s</name>\n", parts->name);
    if (parts->description)
        fprintf(out, "  <description>%s</description>\n", parts->description);
    if (parts->state)
        fprintf(out, "  <state>%s</state>\n", parts->state);
    if (parts->parent)
        fprintf(out, "  <parent>\n    <name>%s</name>\n  </parent>\n", parts->parent);
    if (parts->created)
        fprintf(out, "  <creationTime>%s</creationTime>\n", parts->created);
    if (parts->memory)
        fprintf(out, "  %s\n", parts->memory);
    if (!reversed && parts->disks)
        fprintf(out, "  %s\n", parts->disks);
    if (parts->domain)
        fprintf(out, "  %s\n", parts->domain);
    if (parts->more)
        fprintf(out, "  %s\n", parts->more);
    fputs("</domainsnapshot>\n", out);
    fclose(out);
    return text;
}

/* Now and then no document at all. */
static char *broken(struct world *world, char *document)
{
    static const char *const bad[] = {
        "", " ", "nonsense", "<domainsnapshot>", "<domainsnapshot/>", "<domain/>",
        "<domainsnapshot><name>x</domainsnapshot>", "<domainsnapshot/><domainsnapshot/>",
        "<domainsnapshot a='1' a='2'/>", "<domainsnapshot>&nbsp;</domainsnapshot>",
        "<domainsnapshot><name>x</name></domainsnapshot>trailing",
    };
    struct random *random = &world->random;
    unsigned int kind = random_below(random, 100);
    char *text;

    if (kind >= 5)
        return document;
    if (kind < 3)
        text = format("%s", random_word(random, bad));
    else
        text = format("%.*s", (int)random_below(random, (unsigned int)strlen(document)), document);
    free(document);
    return text;
}

static char *finished(struct world *world, struct parts *parts)
{
    char *document = assembled(world, parts);

    free(parts->name);
    free(parts->parent);
    free(parts->disks);
    free(parts->domain);
    return document;
}

static const char *some_description(struct random *random)
{
    static const char *const words[] = {"plain", "", "two\nlines", "&lt;&amp;&gt;&quot;&apos;",
                                        " blanks ", "<b>x</b>", "\xc3\xa4"};

    return random_chance(random, 30) ? random_word(random, words) : NULL;
}

char *plain_create_document(struct world *world)
{
    struct parts parts = {.name = format("c%u", world->fresh_names++)};

    return finished(world, &parts);
}

char *create_document(struct world *world)
{
    struct random *random = &world->random;
    struct parts parts = {.description = some_description(random)};

    parts.name = create_name(world);
    if (random_chance(random, 15))
        parts.memory = some_memory(random);
    if (random_chance(random, 35))
        parts.disks = some_disks(world, world->has_external);
    if (random_chance(random, 10)) {
        parts.state = "nonsense";
        parts.created = "12";
        parts.parent = some_name(world);
        parts.more = some_more(random);
    }
    /* Without external snapshots a memory file is one all the same. */
    if (!world->has_external && parts.memory && strstr(parts.memory, "file="))
        parts.memory = NULL;
    return broken(world, finished(world, &parts));
}

static const char *some_state(struct random *random)
{
    static const char *const common[] = {"shutoff", "shutoff", "shutoff", "running",
                                         "disk-snapshot"};
    static const char *const words[] = {"paused", "crashed",     "shutdown", "blocked",
                                        "nostate", "pmsuspended", "nonsense", ""};

    return random_chance(random, 88) ? random_word(random, common) : random_word(random, words);
}

static const char *some_time(struct random *random)
{
    static const char *const words[] = {"-5", "+6", " 7", "8 ", "nonsense", "", "1e3",
                                        "99999999999999999999", "0x10", "1.5"};
    static const char *const good[] = {"1", "22", "333", "4444"};

    return random_chance(random, 93) ? random_word(random, good) : random_word(random, words);
}

static char *some_definition(struct world *world)
{
    unsigned int kind = random_below(&world->random, 100);

    if (kind < 64)
        return nested_definition(format("%s", world->definition));
    if (kind < 86)
        return nested_definition(changed_definition(world));
    if (kind < 93)
        return NULL;
    return format("<domain><uuid>%s</uuid></domain>", world->uuid);
}

/* libvirt 9.0 crashes on an external one that has neither <domain> nor path (D4). The domain
 * "modes" has a disk that is external unless a document says otherwise. */
static void avoid_crash(const struct world *world, struct parts *parts)
{
    bool is_external = strcmp(world->kind, "modes") == 0 ||
                       (parts->disks && strstr(parts->disks, "external")) ||
                       (parts->disks && strstr(parts->disks, "<source")) ||
                       (parts->disks && strstr(parts->disks, "<driver")) ||
                       (parts->memory && strstr(parts->memory, "file")) ||
                       (parts->state && strcmp(parts->state, "disk-snapshot") == 0);

    if (!is_external || (parts->domain && strstr(parts->domain, "<domain type=")))
        return;
    free(parts->domain);
    parts->domain = nested_definition(format("%s", world->definition));
}

char *plain_redefine_document(struct world *world)
{
    static const char *const states[] = {"shutoff", "shutoff", "running", "disk-snapshot"};
    struct random *random = &world->random;
    struct parts parts = {
        .name = tree_name(world),
        .state = random_word(random, states),
        .created = "55",
    };

    if (random_chance(random, 75))
        parts.parent = known_name(world);
    parts.domain = nested_definition(format("%s", world->definition));
    return finished(world, &parts);
}

char *redefine_document(struct world *world)
{
    struct random *random = &world->random;
    struct parts parts = {
        .description = some_description(random),
        .state = some_state(random),
        .created = some_time(random),
    };

    parts.name = random_chance(random, 80) ? tree_name(world)
                                           : some_name(world);
    if (random_chance(random, 40))
        parts.parent = known_name(world);
    else if (random_chance(random, 40))
        parts.parent = some_name(world);
    if (random_chance(random, 20))
        parts.memory = some_memory(random);
    if (random_chance(random, 30))
        parts.disks = some_disks(world, random_chance(random, 50));
    parts.domain = some_definition(world);
    if (random_chance(random, 8))
        parts.more = some_more(random);
    if (random_chance(random, 2))
        parts.state = NULL;
    if (random_chance(random, 2))
        parts.created = NULL;
    if (random_chance(random, 2)) {
        free(parts.name);
        parts.name = NULL;
    }
    avoid_crash(world, &parts);
    return broken(world, finished(world, &parts));
}
