/* The whole state of a domain's snapshots, as every call that asks about it tells it. */
#include "step.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../images.h"

/* Frees the text. */
static void put_document(const struct world *world, char *text)
{
    char *shown = text ? masked(world, text) : NULL;

    put_string(stdout, shown);
    free(shown);
    free(text);
}

static void put_name(const struct world *world, const char *name)
{
    char *shown = name ? masked(world, name) : NULL;

    put_string(stdout, shown);
    free(shown);
}

/* Whether a document that should have no secrets has one. */
static bool shows_password(virDomainSnapshotPtr snapshot)
{
    char *xml = virDomainSnapshotGetXMLDesc(snapshot, 0);
    bool shows = xml && strstr(xml, " passwd=");

    free(xml);
    return shows;
}

static void put_snapshot(const struct world *world, virDomainSnapshotPtr snapshot)
{
    const char *name = virDomainSnapshotGetName(snapshot);
    virDomainSnapshotPtr parent = virDomainSnapshotGetParent(snapshot, 0);

    fputs("{\"name\":", stdout);
    put_name(world, name);
    fputs(",\"parent\":", stdout);
    put_name(world, parent ? virDomainSnapshotGetName(parent) : NULL);
    printf(",\"password\":%d,\"current\":%d,\"children\":%d,\"descendants\":%d,\"xml\":",
           shows_password(snapshot), virDomainSnapshotIsCurrent(snapshot, 0),
           virDomainSnapshotNumChildren(snapshot, 0),
           virDomainSnapshotNumChildren(snapshot, VIR_DOMAIN_SNAPSHOT_LIST_DESCENDANTS));
    put_document(world, virDomainSnapshotGetXMLDesc(snapshot, VIR_DOMAIN_SNAPSHOT_XML_SECURE));
    fputc('}', stdout);
    if (parent)
        virDomainSnapshotFree(parent);
}

static int by_name(const void *left, const void *right)
{
    virDomainSnapshotPtr first = *(virDomainSnapshotPtr const *)left;
    virDomainSnapshotPtr second = *(virDomainSnapshotPtr const *)right;

    return strcmp(virDomainSnapshotGetName(first), virDomainSnapshotGetName(second));
}

void report_state(struct world *world, unsigned int step)
{
    static const unsigned int filters[] = {0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 5, 0x140};
    virDomainSnapshotPtr *snapshots = NULL;
    int count = virDomainListAllSnapshots(world->domain, &snapshots, 0);
    virDomainSnapshotPtr current = virDomainSnapshotCurrent(world->domain, 0);

    printf("{\"sequence\":%u,\"step\":%u,\"kind\":\"%s\",\"call\":\"state\",\"value\":"
           "{\"count\":%d,\"counts\":[",
           world->number, step, world->kind, count);
    for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++)
        printf("%s%d", i ? "," : "", virDomainSnapshotNum(world->domain, filters[i]));
    printf("],\"has_current\":%d,\"current\":", virDomainHasCurrentSnapshot(world->domain, 0));
    put_name(world, current ? virDomainSnapshotGetName(current) : NULL);
    fputs(",\"domain\":", stdout);
    put_document(world, virDomainGetXMLDesc(world->domain, VIR_DOMAIN_XML_SECURE));
    fputs(",\"snapshots\":[", stdout);
    if (count > 0)
        qsort(snapshots, (size_t)count, sizeof(*snapshots), by_name);
    for (int i = 0; i < count; i++) {
        if (i)
            fputc(',', stdout);
        put_snapshot(world, snapshots[i]);
        virDomainSnapshotFree(snapshots[i]);
    }
    puts("]},\"error\":null}");
    free(snapshots);
    if (current)
        virDomainSnapshotFree(current);
}

/* The table of `qemu-img snapshot -l` without sizes and dates: ID and name. */
static void put_table(const struct world *world, const char *path)
{
    const char *const words[] = {"qemu-img", "snapshot", "-l", path, NULL};
    char *output;
    char *rest = NULL;
    int line = 0;

    assert_int_equal(run_program(words, &output), 0);
    fputc('[', stdout);
    for (char *row = strtok_r(output, "\n", &rest); row; row = strtok_r(NULL, "\n", &rest)) {
        char id[16];
        char name[256];
        char *entry;

        if (line++ < 2 || sscanf(row, "%15s %255s", id, name) != 2)
            continue;
        if (line > 3)
            fputc(',', stdout);
        entry = format("%s %s", id, name);
        put_name(world, entry);
        free(entry);
    }
    fputc(']', stdout);
    free(output);
}

/* The last byte that the guest has written and that the image shows now. */
static int content(const struct world *world, const char *path)
{
    for (int pattern = world->pattern; pattern >= 0; pattern--)
        if (image_holds(path, (unsigned char)pattern))
            return pattern;
    return -1;
}

void report_images(struct world *world, unsigned int step)
{
    bool is_first = true;

    printf("{\"sequence\":%u,\"step\":%u,\"kind\":\"%s\",\"call\":\"images\",\"value\":{",
           world->number, step, world->kind);
    for (size_t i = 0; i < world->disk_count; i++) {
        const struct disk *disk = &world->disks[i];

        if (!disk->path[0] || !disk->is_qcow2)
            continue;
        printf("%s\"%s\":{\"snapshots\":", is_first ? "" : ",", disk->target);
        is_first = false;
        put_table(world, disk->path);
        printf(",\"content\":%d}", content(world, disk->path));
    }
    puts("},\"error\":null}");
}
