/* What the machine can do at best with a document: the floor under each library's figures. */
#include "bench.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "durable.h"

enum { FILES = 500, COPIES = 100000 };

static void path_of(char path[PATH_SIZE], const struct run *run, const char *kind, int number)
{
    snprintf(path, PATH_SIZE, "%s/%s-%06d", run->root, kind, number);
}

static void write_bytes(const char *path, const char *text, size_t length, bool durable)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    expect(file >= 0, path);
    expect(write(file, text, length) == (ssize_t)length, path);
    expect(!durable || fsync(file) == 0, path);
    close(file);
}

void write_durably(const char *directory, const char *name, const char *text)
{
    char new[PATH_SIZE];
    char path[PATH_SIZE];
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    expect(fd >= 0, directory);
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    snprintf(new, sizeof(new), "%s/%s.new", directory, name);
    write_bytes(new, text, strlen(text), true);
    expect(rename(new, path) == 0, path);
    expect(fsync(fd) == 0, directory);
    close(fd);
}

static void time_files(const struct run *run, const char *text)
{
    size_t length = strlen(text);
    char path[PATH_SIZE];
    char new[PATH_SIZE];
    char *bytes = must_have(malloc(length + 1));
    struct span start = clock_now();

    for (int i = 0; i < FILES; i++) {
        path_of(new, run, "new", i);
        path_of(path, run, "file", i);
        write_bytes(new, text, length, true);
        expect(rename(new, path) == 0, path);
    }
    report(run, "write_fsync_rename", FILES, clock_since(start));
    start = clock_now();
    for (int i = 0; i < FILES; i++) {
        int file;

        path_of(path, run, "file", i);
        file = open(path, O_RDONLY | O_CLOEXEC);
        expect(file >= 0 && read(file, bytes, length + 1) == (ssize_t)length, path);
        close(file);
    }
    report(run, "open_read_close", FILES, clock_since(start));
    start = clock_now();
    for (int i = 0; i < FILES; i++) {
        struct stat status;

        path_of(path, run, "file", i);
        expect(lstat(path, &status) == 0, path);
    }
    report(run, "look_up", FILES, clock_since(start));
    start = clock_now();
    for (int i = 0; i < FILES; i++) {
        path_of(path, run, "file", i);
        expect(unlink(path) == 0, path);
    }
    report(run, "unlink", FILES, clock_since(start));
    start = clock_now();
    for (int i = 0; i < FILES; i++)
        write_durably(run->root, "durable", text);
    report(run, "write_fsync_rename_fsync_directory", FILES, clock_since(start));
    free(bytes);
}

static void time_memory(const struct run *run, const char *text)
{
    size_t length = strlen(text);
    struct span start = clock_now();
    const char *volatile source = text;
    char *volatile copy;

    for (int i = 0; i < COPIES; i++) {
        copy = must_have(malloc(length + 1));
        memcpy(copy, source, length + 1);
        free(copy);
    }
    report(run, "malloc_copy_free", COPIES, clock_since(start));
    start = clock_now();
    for (int i = 0; i < COPIES / 10; i++)
        for (const char *at = source; (at = strchr(at, '<')); at++)
            copy = (char *)(uintptr_t)at;
    report(run, "find_every_tag", COPIES / 10, clock_since(start));
}

void bench_limits(struct run *run)
{
    char *definition = definition_of(run, 'a');
    char *deeper = nested(definition);
    char *xml = must_have(malloc(XML_SIZE));

    snapshot_xml(xml, deeper, 1, 0);
    mkdir(run->root, 0700);
    report_figure(run, "document", "bytes", (double)strlen(xml));
    time_files(run, xml);
    time_memory(run, xml);
    free(xml);
    free(deeper);
    free(definition);
}
