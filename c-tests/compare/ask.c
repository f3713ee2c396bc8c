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
    if (kind == 2)
        return (struct chosen_domain){(virDomainPtr)(void *)world->slots[0].snapshot,
                                      world->slots[0].snapshot ? "a snapshot" : "NULL"};
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

    /* Handles that only read come from here. */
    if (domain.domain == world->domain && random_chance(&world->random, 35))
        domain = (struct chosen_domain){world->read_only, "ro domain"};
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
