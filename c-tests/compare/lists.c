/* Calls that list or count snapshots. */
#include "step.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

enum { MOST_NAMES = 200 };

/* An array of names, and how long the caller says it is. */
struct room {
    char *array[MOST_NAMES];
    char **names;
    int length;
};

static void choose_room(struct room *room, struct random *random)
{
    static const int lengths[] = {MOST_NAMES, MOST_NAMES, MOST_NAMES, 0, 1, 2, 3, -1};
    bool is_there = random_chance(random, 90);

    memset(room, 0, sizeof(*room));
    room->length = random_word(random, lengths);
    room->names = is_there && room->length != 0 ? room->array : NULL;
}

static void end_names(struct line *line, const struct world *world, int count,
                      const struct room *room)
{
    int filled = count < room->length ? count : room->length;
    char **names = room->names;
    char *list;
    char *json;

    if (count < 0) {
        line_end_number(line, count);
        return;
    }
    /* Which of them fit depends on the order. */
    if (count >= room->length && room->length > 0)
        for (int i = 0; i < filled; i++) {
            assert_non_null(names[i]);
            free(names[i]);
            names[i] = format("%s", "some");
        }
    list = sorted_json(world, room->length > 0 ? filled : 0, names);
    json = format("{\"count\":%d,\"room\":%d,\"names\":%s}", count, room->length, list);
    line_end_json(line, json);
    free(list);
    free(json);
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
    struct room room;
    int count;
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
        count = virDomainListAllSnapshots(domain.domain, &snapshots, flags);
        end_list(&line, world, count, snapshots, false);
        break;
    default:
        choose_room(&room, &world->random);
        line = line_begin(world, step, "virDomainSnapshotListNames(%s, %s, %d, %#x)%s",
                          domain.label, room.names ? "names" : "NULL", room.length, flags, order);
        if (has_both)
            line.equivalent = format("%d", equivalent);
        count = virDomainSnapshotListNames(domain.domain, room.names, room.length, flags);
        end_names(&line, world, count, &room);
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
    struct room room;
    int count;
    int equivalent;
    struct line line;

    equivalent = virDomainSnapshotNumChildren(snapshot, flags & ~(unsigned int)LEAVES_AND_NOT);
    switch (random_below(&world->random, 4)) {
    case 0:
        line = line_begin(world, step, "virDomainSnapshotNumChildren(%s, %#x)%s", chosen.label,
                          flags, order);
        if (has_both)
            line.equivalent = format("%d", equivalent);
        line_end_number(&line, virDomainSnapshotNumChildren(snapshot, flags));
        break;
    case 1:
        line = line_begin(world, step, "virDomainSnapshotListAllChildren(%s, NULL, %#x)%s",
                          chosen.label, flags, order);
        if (has_both)
            line.equivalent = format("%d", equivalent);
        count = virDomainSnapshotListAllChildren(snapshot, NULL, flags);
        end_list(&line, world, count, NULL, true);
        break;
    case 2:
        line = line_begin(world, step, "virDomainSnapshotListAllChildren(%s, &snapshots, %#x)%s",
                          chosen.label, flags, order);
        if (has_both)
            line.equivalent = format("%d", equivalent);
        count = virDomainSnapshotListAllChildren(snapshot, &snapshots, flags);
        end_list(&line, world, count, snapshots, false);
        break;
    default:
        choose_room(&room, &world->random);
        line = line_begin(world, step, "virDomainSnapshotListChildrenNames(%s, %s, %d, %#x)%s",
                          chosen.label, room.names ? "names" : "NULL", room.length, flags, order);
        if (has_both)
            line.equivalent = format("%d", equivalent);
        count = virDomainSnapshotListChildrenNames(snapshot, room.names, room.length, flags);
        end_names(&line, world, count, &room);
    }
}
