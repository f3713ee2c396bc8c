/* Calls that only ask. */
#include "step.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PRINTED_NAME = 300 };

/* Mostly a handle from an earlier call, whatever has become of its snapshot. */
struct chosen_snapshot choose_snapshot(struct world *world)
{
    struct chosen_snapshot chosen = {.label = "NULL"};
    unsigned int kind = random_below(&world->random, 100);
    unsigned int first = random_below(&world->random, SLOTS);

    if (kind == 0)
        return chosen;
    if (kind == 1) {
        chosen.snapshot = (virDomainSnapshotPtr)(void *)world->domain;
        snprintf(chosen.label, sizeof(chosen.label), "a domain");
        return chosen;
    }
    for (unsigned int i = 0; i < SLOTS; i++) {
        const struct slot *slot = &world->slots[(first + i) % SLOTS];

        if (!slot->snapshot)
            continue;
        chosen.snapshot = slot->snapshot;
        snprintf(chosen.label, sizeof(chosen.label), "%s'%.*s'", slot->is_read_only ? "ro " : "",
                 PRINTED_NAME, virDomainSnapshotGetName(slot->snapshot));
        break;
    }
    return chosen;
}

struct chosen_domain choose_domain(struct world *world)
{
    unsigned int kind = random_below(&world->random, 100);

    if (kind == 0)
        return (struct chosen_domain){NULL, "NULL"};
    if (kind == 1)
        return (struct chosen_domain){(virDomainPtr)(void *)world->setting->connection,
                                      "a connection"};
    if (kind < 10)
        return (struct chosen_domain){world->read_only, "ro domain"};
    return (struct chosen_domain){world->domain, "domain"};
}

void line_end_snapshot(struct line *line, struct world *world, virDomainSnapshotPtr snapshot)
{
    unsigned int index = random_below(&world->random, SLOTS);
    struct slot *slot = &world->slots[index];

    /* The name is asked for below, which clears the error. */
    if (!snapshot) {
        line_end_text(line, NULL);
        return;
    }
    if (slot->snapshot)
        virDomainSnapshotFree(slot->snapshot);
    slot->snapshot = snapshot;
    slot->is_read_only =
        virDomainSnapshotGetConnect(snapshot) == world->setting->read_only;
    line_end_text(line, virDomainSnapshotGetName(snapshot));
}

static int compare_names(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* The names sorted: libvirt's order is that of a hash. Frees them. */
static char *sorted_json(const struct world *world, int count, char **names)
{
    size_t length = 0;
    char *json = NULL;
    FILE *out = open_memstream(&json, &length);

    assert_non_null(out);
    qsort(names, (size_t)count, sizeof(*names), compare_names);
    fputc('[', out);
    for (int i = 0; i < count; i++) {
        char *name = masked(world, names[i]);

        if (i)
            fputc(',', out);
        put_string(out, name);
        free(name);
        free(names[i]);
    }
    fputc(']', out);
    fclose(out);
    return json;
}

/* Whether no snapshot stands in front of its parent. */
static bool parents_first(int count, virDomainSnapshotPtr *snapshots)
{
    for (int i = 0; i < count; i++) {
        virDomainSnapshotPtr parent = virDomainSnapshotGetParent(snapshots[i], 0);

        if (!parent)
            continue;
        for (int later = i + 1; later < count; later++)
            if (strcmp(virDomainSnapshotGetName(snapshots[later]),
                       virDomainSnapshotGetName(parent)) == 0) {
                virDomainSnapshotFree(parent);
                return false;
            }
        virDomainSnapshotFree(parent);
    }
    return true;
}

static void end_list(struct line *line, const struct world *world, int count,
                     virDomainSnapshotPtr *snapshots, bool is_counted_only)
{
    char **names;
    char *list;
    char *json;
    bool is_ordered;

    if (count < 0 || is_counted_only) {
        line_end_number(line, count < 0 && snapshots ? -2 : count);
        return;
    }
    names = calloc((size_t)count + 1, sizeof(*names));
    assert_non_null(names);
    assert_null(snapshots[count]);
    is_ordered = parents_first(count, snapshots);
    for (int i = 0; i < count; i++) {
        names[i] = format("%s", virDomainSnapshotGetName(snapshots[i]));
        virDomainSnapshotFree(snapshots[i]);
    }
    list = sorted_json(world, count, names);
    json = format("{\"count\":%d,\"names\":%s}", count, list);
    free(list);
    free(names);
    free(snapshots);
    virResetLastError();
    /* libvirt promises an order with TOPOLOGICAL only; ours must always have it. */
    if (!is_ordered && (!api_is_libvirt() || strstr(line->call, "TOPOLOGICAL")))
        fprintf(stderr, "%s: a snapshot stands before its parent\n", line->call);
    line_end_json(line, json);
    free(json);
}

static void end_names(struct line *line, const struct world *world, int count, char **names,
                      int room)
{
    int filled = count < room ? count : room;
    char *list;
    char *json;

    if (count < 0) {
        line_end_number(line, count);
        return;
    }
    /* Which of them fit depends on the order. */
    if (count >= room && room > 0)
        for (int i = 0; i < filled; i++) {
            assert_non_null(names[i]);
            free(names[i]);
            names[i] = format("%s", "some");
        }
    list = sorted_json(world, room > 0 ? filled : 0, names);
    json = format("{\"count\":%d,\"room\":%d,\"names\":%s}", count, room, list);
    line_end_json(line, json);
    free(list);
    free(json);
}

static int some_room(struct random *random)
{
    static const int rooms[] = {200, 200, 200, 0, 1, 2, 3, -1};

    return random_word(random, rooms);
}

static const char *topological(unsigned int flags)
{
    return flags & VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL ? " TOPOLOGICAL" : "";
}

enum { LEAVES_AND_NOT = VIR_DOMAIN_SNAPSHOT_LIST_LEAVES | VIR_DOMAIN_SNAPSHOT_LIST_NO_LEAVES };

void ask_list(struct world *world, unsigned int step)
{
    struct chosen_domain domain = choose_domain(world);
    unsigned int flags = random_flags(&world->random, LIST_FLAGS);
    const char *order = topological(flags);
    bool has_both = (flags & LEAVES_AND_NOT) == LEAVES_AND_NOT;
    virDomainSnapshotPtr *snapshots = (virDomainSnapshotPtr *)(void *)world;
    char *names[200] = {NULL};
    int room;
    int equivalent;
    struct line line;

    equivalent = virDomainSnapshotNum(domain.domain, flags & ~(unsigned int)LEAVES_AND_NOT);
    switch (random_below(&world->random, 4)) {
    case 0:
        line = line_begin(world, step, "virDomainSnapshotNum(%s, %#x)%s", domain.label, flags,
                          order);
        if (has_both)
            line.equivalent = format("%d", equivalent);
        line_end_number(&line, virDomainSnapshotNum(domain.domain, flags));
        break;
    case 1:
        line = line_begin(world, step, "virDomainListAllSnapshots(%s, NULL, %#x)%s", domain.label,
                          flags, order);
        if (has_both)
            line.equivalent = format("%d", equivalent);
        end_list(&line, world, virDomainListAllSnapshots(domain.domain, NULL, flags), NULL, true);
        break;
    case 2:
        line = line_begin(world, step, "virDomainListAllSnapshots(%s, &snapshots, %#x)%s",
                          domain.label, flags, order);
        if (has_both)
            line.equivalent = format("%d", equivalent);
        room = virDomainListAllSnapshots(domain.domain, &snapshots, flags);
        end_list(&line, world, room, snapshots, false);
        break;
    default:
        room = some_room(&world->random);
        line = line_begin(world, step, "virDomainSnapshotListNames(%s, names, %d, %#x)%s",
                          domain.label, room, flags, order);
        if (has_both)
            line.equivalent = format("%d", equivalent);
        end_names(&line, world,
                  virDomainSnapshotListNames(domain.domain, room == 0 ? NULL : names, room, flags),
                  names, room);
    }
}

void ask_children(struct world *world, unsigned int step)
{
    struct chosen_snapshot chosen = choose_snapshot(world);
    virDomainSnapshotPtr snapshot = chosen.snapshot;
    unsigned int flags = random_flags(&world->random, LIST_FLAGS);
    const char *order = topological(flags);
    bool has_both = (flags & LEAVES_AND_NOT) == LEAVES_AND_NOT;
    virDomainSnapshotPtr *snapshots = (virDomainSnapshotPtr *)(void *)world;
    char *names[200] = {NULL};
    int room;
    int equivalent;
    struct line line;

    equivalent = virDomainSnapshotNumChildren(snapshot, flags & ~(unsigned int)LEAVES_AND_NOT);
    switch (random_below(&world->random, 3)) {
    case 0:
        line = line_begin(world, step, "virDomainSnapshotNumChildren(%s, %#x)%s", chosen.label,
                          flags, order);
        if (has_both)
            line.equivalent = format("%d", equivalent);
        line_end_number(&line, virDomainSnapshotNumChildren(snapshot, flags));
        break;
    case 1:
        line = line_begin(world, step, "virDomainSnapshotListAllChildren(%s, &snapshots, %#x)%s",
                          chosen.label, flags, order);
        if (has_both)
            line.equivalent = format("%d", equivalent);
        room = virDomainSnapshotListAllChildren(snapshot, &snapshots, flags);
        end_list(&line, world, room, snapshots, false);
        break;
    default:
        room = some_room(&world->random);
        line = line_begin(world, step, "virDomainSnapshotListChildrenNames(%s, names, %d, %#x)%s",
                          chosen.label, room, flags, order);
        if (has_both)
            line.equivalent = format("%d", equivalent);
        end_names(&line, world,
                  virDomainSnapshotListChildrenNames(snapshot, room == 0 ? NULL : names, room,
                                                     flags),
                  names, room);
    }
}

/* Flags of a function that has none. */
static unsigned int no_flags(struct random *random)
{
    return random_chance(random, 92) ? 0 : random_flags(random, 0xf);
}

void ask_domain(struct world *world, unsigned int step)
{
    struct chosen_domain domain = choose_domain(world);
    unsigned int flags = no_flags(&world->random);
    struct line line;
    char *name;

    switch (random_below(&world->random, 6)) {
    case 0:
        line = line_begin(world, step, "virDomainHasCurrentSnapshot(%s, %#x)", domain.label, flags);
        line_end_number(&line, virDomainHasCurrentSnapshot(domain.domain, flags));
        break;
    case 1:
        line = line_begin(world, step, "virDomainSnapshotCurrent(%s, %#x)", domain.label, flags);
        line_end_snapshot(&line, world, virDomainSnapshotCurrent(domain.domain, flags));
        break;
    default:
        name = random_chance(&world->random, 98) ? some_name(world) : NULL;
        line = line_begin(world, step, "virDomainSnapshotLookupByName(%s, '%s', %#x)",
                          domain.label, name ? name : "NULL", flags);
        line_end_snapshot(&line, world,
                          virDomainSnapshotLookupByName(domain.domain, name, flags));
        free(name);
    }
}

/* A reference more and one less: the handle stays what it was. */
static void refer(struct world *world, unsigned int step, struct chosen_snapshot *chosen)
{
    struct line line = line_begin(world, step, "virDomainSnapshotRef(%s)", chosen->label);
    int result = virDomainSnapshotRef(chosen->snapshot);

    line_end_number(&line, result);
    line = line_begin(world, step, "virDomainSnapshotFree(%s)", chosen->label);
    if (result == 0)
        line_end_number(&line, virDomainSnapshotFree(chosen->snapshot));
    else
        line_end_number(&line, virDomainSnapshotFree(NULL));
}

static void ask_owner(struct world *world, unsigned int step, struct chosen_snapshot *chosen)
{
    struct line line = line_begin(world, step, "virDomainSnapshotGetDomain(%s)", chosen->label);
    virDomainPtr domain = virDomainSnapshotGetDomain(chosen->snapshot);
    virConnectPtr connection;

    line_end_text(&line, !domain                       ? NULL
                         : domain == world->domain    ? "domain"
                         : domain == world->read_only ? "ro domain"
                                                      : "another");
    line = line_begin(world, step, "virDomainSnapshotGetConnect(%s)", chosen->label);
    connection = virDomainSnapshotGetConnect(chosen->snapshot);
    line_end_text(&line, !connection                                   ? NULL
                         : connection == world->setting->connection ? "connection"
                                                                     : "another");
}

void ask_snapshot(struct world *world, unsigned int step)
{
    struct chosen_snapshot chosen = choose_snapshot(world);
    virDomainSnapshotPtr snapshot = chosen.snapshot;
    unsigned int flags = no_flags(&world->random);
    struct line line;
    char *xml;

    switch (random_below(&world->random, 7)) {
    case 0:
        line = line_begin(world, step, "virDomainSnapshotGetName(%s)", chosen.label);
        line_end_text(&line, virDomainSnapshotGetName(snapshot));
        break;
    case 1:
        ask_owner(world, step, &chosen);
        break;
    case 2:
        refer(world, step, &chosen);
        break;
    case 3:
        line = line_begin(world, step, "virDomainSnapshotIsCurrent(%s, %#x)", chosen.label, flags);
        line_end_number(&line, virDomainSnapshotIsCurrent(snapshot, flags));
        break;
    case 4:
        line = line_begin(world, step, "virDomainSnapshotHasMetadata(%s, %#x)", chosen.label,
                          flags);
        line_end_number(&line, virDomainSnapshotHasMetadata(snapshot, flags));
        break;
    case 5:
        line = line_begin(world, step, "virDomainSnapshotGetParent(%s, %#x)", chosen.label, flags);
        line_end_snapshot(&line, world, virDomainSnapshotGetParent(snapshot, flags));
        break;
    default:
        flags = random_flags(&world->random, VIR_DOMAIN_SNAPSHOT_XML_SECURE);
        line = line_begin(world, step, "virDomainSnapshotGetXMLDesc(%s, %#x)", chosen.label, flags);
        xml = virDomainSnapshotGetXMLDesc(snapshot, flags);
        line_end_text(&line, xml);
        free(xml);
    }
}
