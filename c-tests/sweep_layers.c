/* External snapshots in the crash sweep: what each shows, and the files that nobody names. */
#include <ctype.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "qemu.h"
#include "sweep.h"

enum { MOST_FILES = 64, TEXTS_SIZE = 1 << 18, RAW_SIZE = 1 << 20 };

uint64_t hash_of_text(const char *text)
{
    char *masked = malloc(strlen(text) + 1);
    char *end = masked;
    uint64_t sum;

    if (!masked)
        die("memory");
    for (const char *at = text; *at; at++) {
        size_t digits = *at == '.' ? strspn(at + 1, "0123456789") : 0;

        *end++ = *at;
        if (digits >= 10)
            at += digits;
    }
    sum = hash(masked, (size_t)(end - masked));
    free(masked);
    return sum;
}

/* Prints what `qemu-img convert` makes of an image; `name` is an internal snapshot in it, or NULL. */
static void print_shown(const char *whose, char letter, const char *path, const char *name)
{
    char raw_path[] = "/tmp/virsnap-sweep-XXXXXX";
    char command[PATH_SIZE];
    char *bytes = malloc(RAW_SIZE);
    int descriptor = mkstemp(raw_path);
    FILE *raw;

    if (!bytes || descriptor < 0)
        die(raw_path);
    close(descriptor);
    snprintf(command, sizeof(command), "qemu-img convert -U -f qcow2 -O raw %s%s '%%s' %s 2>/dev/null",
             name ? "-l snapshot.name=" : "", name ? name : "", raw_path);
    if (run(NULL, 0, command, path) == 0 && (raw = fopen(raw_path, "rb"))) {
        size_t length = fread(bytes, 1, RAW_SIZE, raw);

        printf("shown %s:vd%c %zu %" PRIx64 "\n", whose, letter, length, hash(bytes, length));
        if (whose[0] != '*')
            printf("data %s:vd%c %s\n", whose, letter, whose);
        fclose(raw);
    } else {
        printf("check %s:vd%c unreadable\n", whose, letter);
    }
    unlink(raw_path);
    free(bytes);
}

static void print_snapshot_shown(const char *name, const char *xml)
{
    const char *definition = strstr(xml, "<domain ");

    for (char letter = 'a'; definition && letter <= 'b'; letter++) {
        char path[PATH_SIZE];
        char mark[64];
        const char *disk;

        snprintf(mark, sizeof(mark), "<disk name='vd%c' snapshot='", letter);
        disk = strstr(xml, mark);
        source_path(definition, letter, path);
        if (disk && disk < definition && path[0])
            print_shown(name, letter, path,
                        strncmp(disk + strlen(mark), "internal", 8) == 0 ? name : NULL);
    }
}

struct files {
    char names[MOST_FILES][256];
    bool known[MOST_FILES];
    int count;
};

static void list_files(const char *directory, struct files *files)
{
    DIR *open = opendir(directory);
    struct dirent *entry;

    if (!open)
        die(directory);
    while ((entry = readdir(open)) && files->count < MOST_FILES)
        if (strncmp(entry->d_name, "vd", 2) == 0 || strncmp(entry->d_name, "memory", 6) == 0)
            snprintf(files->names[files->count++], 256, "%s", entry->d_name);
    closedir(open);
}

/* A file is accounted for by a document, by the definition, or by an image that is and names it. */
static void know(struct files *files, const char *directory, const char *texts)
{
    for (int i = 0; i < files->count; i++) {
        char path[PATH_SIZE];
        char output[XML_SIZE];
        char *at = NULL;

        snprintf(path, sizeof(path), "%s/%s", directory, files->names[i]);
        if (!files->known[i])
            for (at = strstr(texts, path); at && isalnum((unsigned char)at[strlen(path)]);)
                at = strstr(at + 1, path);
        if (!at || at[strlen(path)] == '.')
            continue;
        files->known[i] = true;
        if (run(output, sizeof(output), "qemu-img info -U --backing-chain '%s' 2>/dev/null", path) == 0)
            know(files, directory, output);
    }
}

void print_layers(virDomainPtr domain, const char *directory)
{
    static char texts[TEXTS_SIZE];
    struct files files = {.count = 0};
    virDomainSnapshotPtr *snapshots = NULL;
    char *definition = virDomainGetXMLDesc(domain, 0);
    int count;

    list_files(directory, &files);
    count = virDomainListAllSnapshots(domain, &snapshots, 0);
    if (!definition || count < 0)
        die("layers");
    snprintf(texts, sizeof(texts), "%s", definition);
    for (int i = 0; i < count; i++) {
        char *xml = virDomainSnapshotGetXMLDesc(snapshots[i], 0);

        if (!xml)
            die("document");
        strncat(texts, xml, sizeof(texts) - strlen(texts) - 1);
        if (strstr(texts, "snapshot='external'"))
            print_snapshot_shown(virDomainSnapshotGetName(snapshots[i]), xml);
        free(xml);
        virDomainSnapshotFree(snapshots[i]);
    }
    for (char letter = 'a'; letter <= 'b'; letter++) {
        char path[PATH_SIZE];

        source_path(definition, letter, path);
        if (path[0])
            print_shown("*", letter, path, NULL);
    }
    know(&files, directory, texts);
    for (int i = 0; i < files.count; i++)
        if (!files.known[i])
            printf("litter %s\n", files.names[i]);
    free(snapshots);
    free(definition);
}
