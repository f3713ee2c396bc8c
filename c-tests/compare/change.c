/* Calls that may change something. */
#include "step.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Without what libvirt's test driver refuses, or takes unchecked, and its QEMU driver does not. */
static unsigned int common(const struct world *world, unsigned int flags, unsigned int different)
{
    return world->setting->has_common_flags ? flags & ~different : flags;
}

enum {
    DIFFERENT_CREATE = VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA |
                       VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY | VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT |
                       VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE | VIR_DOMAIN_SNAPSHOT_CREATE_LIVE,
    DIFFERENT_UNDEFINE = UNDEFINE_FLAGS & ~VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA,
};

static void make(struct world *world, unsigned int step, char *document, unsigned int flags)
{
    struct chosen_domain domain = choose_domain(world);
    struct line line;

    flags = common(world, flags, DIFFERENT_CREATE);
    /* libvirt then captures nothing (empty-disk-only). */
    if (document && strstr(document, "'internal'"))
        flags &= ~(unsigned int)VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY;
    line = line_begin(world, step, "virDomainSnapshotCreateXML(%s, %s, %#x)", domain.label,
                      document ? "document" : "NULL", flags);
    if (document) {
        line.input = format("%s", document);
        fprintf(stderr, "%s\n", document);
    }
    line_end_snapshot(&line, world, virDomainSnapshotCreateXML(domain.domain, document, flags));
    free(document);
}

void create(struct world *world, unsigned int step)
{
    struct random *random = &world->random;
    unsigned int flags = random_flags(random, CREATE_FLAGS & ~1u);
    char *document = random_chance(random, 99) ? create_document(world) : NULL;

    if (!world->has_external)
        flags &= ~(unsigned int)VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY;
    make(world, step, document, flags);
}

void redefine(struct world *world, unsigned int step)
{
    static const unsigned int usual[] = {0, 0, VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT};
    struct random *random = &world->random;
    unsigned int flags = random_chance(random, 75) ? random_word(random, usual)
                                                   : random_flags(random, CREATE_FLAGS);

    make(world, step, redefine_document(world), flags | VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE);
}

/* What an application does that moves a hierarchy. */
void redefine_from_dump(struct world *world, unsigned int step)
{
    struct chosen_snapshot chosen = choose_snapshot(world);
    unsigned int secure = random_chance(&world->random, 80) ? VIR_DOMAIN_SNAPSHOT_XML_SECURE : 0;
    unsigned int current =
        random_chance(&world->random, 30) ? VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT : 0;
    unsigned int validate =
        random_chance(&world->random, 20) ? VIR_DOMAIN_SNAPSHOT_CREATE_VALIDATE : 0;
    char *document = virDomainSnapshotGetXMLDesc(chosen.snapshot, secure);

    make(world, step, document, VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE | current | validate);
}

/* libvirt 9.0 follows freed nodes where a child with children has siblings (D3). */
static bool would_crash(virDomainSnapshotPtr snapshot)
{
    virDomainSnapshotPtr *snapshots = NULL;
    int count = virDomainSnapshotListAllChildren(snapshot, &snapshots,
                                                 VIR_DOMAIN_SNAPSHOT_LIST_DESCENDANTS);
    bool has_inner = false;
    bool is_bushy = virDomainSnapshotNumChildren(snapshot, 0) > 1;

    for (int i = 0; i < count; i++) {
        int children = virDomainSnapshotNumChildren(snapshots[i], 0);

        has_inner |= children > 0;
        is_bushy |= children > 1;
        virDomainSnapshotFree(snapshots[i]);
    }
    free(snapshots);
    return has_inner && is_bushy;
}

void delete_snapshot(struct world *world, unsigned int step)
{
    struct chosen_snapshot chosen = choose_snapshot(world);
    unsigned int flags = random_flags(&world->random, DELETE_FLAGS);
    struct line line;

    flags = common(world, flags, VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY);
    line = line_begin(world, step, "virDomainSnapshotDelete(%s, %#x)", chosen.label, flags);
    if (flags & (VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN | VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN_ONLY) &&
        would_crash(chosen.snapshot)) {
        virResetLastError();
        line_end_text(&line, "left out (D3)");
        return;
    }
    line_end_number(&line, virDomainSnapshotDelete(chosen.snapshot, flags));
}

/* Both flags together are refused. */
static unsigned int without_start(struct world *world, unsigned int flags)
{
    const unsigned int both =
        VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING | VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED;

    if (flags & both && random_chance(&world->random, 5))
        return flags | both;
    return flags & ~both;
}

/* A guest that runs is another comparison; QEMU takes seconds to say that it has no such memory. */
static bool would_start(struct world *world, virDomainSnapshotPtr snapshot)
{
    char *xml;
    bool is_active;

    if (world->setting->has_guests || random_chance(&world->random, 5))
        return false;
    xml = virDomainSnapshotGetXMLDesc(snapshot, 0);
    is_active = xml && (strstr(xml, "<state>running<") || strstr(xml, "<state>paused<"));
    free(xml);
    return is_active;
}

static void revert_to(struct world *world, unsigned int step, const struct chosen_snapshot *chosen,
                      unsigned int flags)
{
    struct line line =
        line_begin(world, step, "virDomainRevertToSnapshot(%s, %#x)", chosen->label, flags);

    if (would_start(world, chosen->snapshot)) {
        virResetLastError();
        line_end_text(&line, "left out (running)");
        return;
    }
    line_end_number(&line, virDomainRevertToSnapshot(chosen->snapshot, flags));
}

void revert(struct world *world, unsigned int step)
{
    struct chosen_snapshot chosen = choose_snapshot(world);
    unsigned int flags = random_flags(&world->random, REVERT_FLAGS);

    if (!world->setting->has_guests)
        flags = without_start(world, flags);
    flags = common(world, flags, VIR_DOMAIN_SNAPSHOT_REVERT_RESET_NVRAM);
    revert_to(world, step, &chosen, flags);
}

/* Nothing that libvirt could object to, in most domains. */
void grow(struct world *world, unsigned int step)
{
    struct chosen_snapshot chosen;

    if (random_chance(&world->random, 50)) {
        make(world, step, plain_redefine_document(world), VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE);
        return;
    }
    if (random_chance(&world->random, 70)) {
        make(world, step, plain_create_document(world), 0);
        return;
    }
    chosen = choose_snapshot(world);
    revert_to(world, step, &chosen, 0);
}

static void define(struct world *world, unsigned int step)
{
    static const unsigned int usual[] = {0, 0, 0, 2};
    unsigned int flags = random_word(&world->random, usual);
    char *xml = domain_document(world);
    struct line line =
        line_begin(world, step, "virDomainDefineXMLFlags(connection, document, %#x)", flags);
    virDomainPtr domain;

    line.input = format("%s", xml);
    domain = virDomainDefineXMLFlags(world->setting->connection, xml, flags);
    line_end_text(&line, domain ? virDomainGetName(domain) : NULL);
    if (domain)
        virDomainFree(domain);
    free(xml);
}

/* A domain that is gone would make the rest of the sequence dull. */
static void define_again(struct world *world, unsigned int step)
{
    struct line line = line_begin(world, step, "virDomainDefineXML(connection, own document)");
    virDomainPtr domain = virDomainDefineXML(world->setting->connection, world->definition);

    line_end_text(&line, domain ? virDomainGetName(domain) : NULL);
    if (domain)
        virDomainFree(domain);
}

/* Every later step finds it under its own name again. */
static void rename_domain(struct world *world, unsigned int step)
{
    static const char *const names[] = {"renamed", "renamed", "renamed", "a/b", "", "d0"};
    const char *name = random_word(&world->random, names);
    unsigned int flags = random_chance(&world->random, 90) ? 0 : 1;
    struct line line =
        line_begin(world, step, "virDomainRename(domain, '%s', %#x)", name, flags);
    int result = virDomainRename(world->domain, name, flags);

    line_end_number(&line, result);
    report_state(world, step);
    if (result != 0)
        return;
    line = line_begin(world, step, "virDomainRename(domain, own name, 0)");
    line_end_number(&line, virDomainRename(world->domain, world->name, 0));
}

void change_domain(struct world *world, unsigned int step)
{
    struct chosen_domain domain = choose_domain(world);
    unsigned int flags = random_flags(&world->random, UNDEFINE_FLAGS);
    struct line line;

    if (world->setting->has_guests && random_chance(&world->random, 60)) {
        change_guest(world, step);
        return;
    }
    switch (random_below(&world->random, world->setting->has_rename ? 5 : 4)) {
    case 0:
        define(world, step);
        break;
    case 1:
        line = line_begin(world, step, "virDomainUndefine(%s)", domain.label);
        line_end_number(&line, virDomainUndefine(domain.domain));
        break;
    case 2:
        flags = common(world, flags, DIFFERENT_UNDEFINE);
        line = line_begin(world, step, "virDomainUndefineFlags(%s, %#x)", domain.label, flags);
        line_end_number(&line, virDomainUndefineFlags(domain.domain, flags));
        break;
    case 4:
        rename_domain(world, step);
        return;
    default:
        line = line_begin(world, step, "the guest writes");
        guest_writes(world);
        line_end_number(&line, 0);
        return;
    }
    define_again(world, step);
}
