/* Variables of firmware and the state of an emulated TPM in the crash sweep. */
#include <dirent.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sweep.h"

enum { MOST_BYTES = 65536, VARIABLES_SIZE = 5000, TPM_SIZE = 300 };

#define VARIABLES "vars.fd"
#define TPM "tpm"

void firmware_elements(const char *directory, char *nvram, char *tpm)
{
    snprintf(nvram, 2 * PATH_SIZE,
             "<loader readonly='yes' type='pflash'>/firmware.fd</loader><nvram>%s/" VARIABLES "</nvram>",
             directory);
    snprintf(tpm, 2 * PATH_SIZE,
             "<tpm model='tpm-crb'><backend type='emulator' version='2.0'>"
             "<source type='dir' path='%s/" TPM "'/></backend></tpm>",
             directory);
}

static void fill(const char *directory, const char *name, int byte, size_t size)
{
    char path[2 * PATH_SIZE];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    file = fopen(path, "w");
    if (!file)
        die(path);
    while (size-- > 0)
        fputc(byte, file);
    if (fclose(file) != 0)
        die(path);
}

void write_firmware(const char *directory, int byte)
{
    char path[2 * PATH_SIZE];

    snprintf(path, sizeof(path), "%s/" TPM, directory);
    mkdir(path, 0700);
    fill(directory, VARIABLES, byte, VARIABLES_SIZE);
    fill(directory, TPM "/tpm2-00.permall", byte, TPM_SIZE);
    /* There only while the byte is odd: a revert brings it back or takes it away. */
    snprintf(path, sizeof(path), "%s/" TPM "/tpm2-00.volatilestate", directory);
    if (byte % 2)
        fill(directory, TPM "/tpm2-00.volatilestate", byte, TPM_SIZE);
    else
        remove(path);
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text);

    return length >= strlen(end) && strcmp(text + length - strlen(end), end) == 0;
}

static void print_file(const char *directory, const char *name)
{
    static char bytes[MOST_BYTES];
    char path[2 * PATH_SIZE];
    FILE *file;
    size_t length;

    if (ends_with(name, ".virsnap-new")) {
        printf("litter %s\n", name);
        return;
    }
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    file = fopen(path, "r");
    if (!file)
        die(path);
    length = fread(bytes, 1, sizeof(bytes), file);
    fclose(file);
    printf("content %s %zu %" PRIx64 "\n", name, length, hash(bytes, length));
    if (strncmp(name, VARIABLES ".", sizeof(VARIABLES)) != 0)
        return;
    printf("data copy %s\n", name + sizeof(VARIABLES));
    printf("check %s %s\n", name, run(NULL, 0, "tar -tf '%s' >/dev/null 2>&1", path) == 0 ? "ok" : "corrupt");
}

/* Files below a directory whose names begin so. */
static void print_files(const char *directory, const char *below, const char *begin)
{
    char path[2 * PATH_SIZE];
    DIR *open;
    struct dirent *entry;

    snprintf(path, sizeof(path), "%s/%s", directory, below);
    open = opendir(path);
    while (open && (entry = readdir(open))) {
        char name[512];

        if (strncmp(entry->d_name, begin, strlen(begin)) != 0 || entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof(name), "%s%s", below, entry->d_name);
        print_file(directory, name);
    }
    if (open)
        closedir(open);
}

void print_firmware(const char *directory)
{
    print_files(directory, "", VARIABLES);
    print_files(directory, TPM "/", "");
}
