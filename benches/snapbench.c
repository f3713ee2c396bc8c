/* Times libvirt's snapshot API in any library that has it, through the public functions alone; `import`
 * needs this library's own.
 *
 * usage: snapbench [-l LIBRARY] [-r ROOT] [-i IMAGES] [-d DEFINITION] [-s SHAPE] [-n COUNT]
 *                  [-t SECONDS] GROUP
 *
 * LIBRARY is opened by path; without it only the group `limits` runs, which times the machine.
 * One line of JSON a phase: library, shape, n, phase, then the mean of its operations in microseconds. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name;
    void (*run)(struct run *run);
} groups[] = {
    {"empty", bench_empty},
    {"define", bench_define},
    {"build", bench_build},
    {"load", bench_load},
    {"load-again", bench_load_again},
    {"calls", bench_calls},
    {"lists", bench_lists},
    {"threads", bench_threads},
    {"delete-leaves", bench_delete_leaves},
    {"delete-node", bench_delete_node},
    {"delete-root", bench_delete_root},
    {"delete-subtree", bench_delete_subtree},
    {"undefine", bench_undefine},
    {"transfer", bench_transfer},
    {"import", bench_import},
    {"durable", bench_durable},
    {"durable-domains", bench_durable_domains},
    {"durable-threads", bench_durable_threads},
    {"real", bench_real},
    {"one-disk", bench_one_disk},
    {"merge", bench_merge},
    {"live", bench_live},
    {"limits", bench_limits},
};

static enum shape shape_called(const char *name)
{
    for (int i = 0; i < SHAPES; i++)
        if (strcmp(shape_names[i], name) == 0)
            return (enum shape)i;
    fprintf(stderr, "snapbench: no shape '%s'\n", name);
    exit(EXIT_FAILURE);
}

static void ignore_error(void *data, virErrorPtr error)
{
    (void)data;
    (void)error;
}

char *read_file(const char *path)
{
    FILE *file = must_have(fopen(path, "r"));
    char *text = must_have(calloc(1, XML_SIZE));

    expect(fread(text, 1, XML_SIZE - 1, file) > 0, path);
    fclose(file);
    return text;
}

void open_run(struct run *run, bool with_domain)
{
    char uri[PATH_SIZE + 64];

    snprintf(uri, sizeof(uri),
             api_is_libvirt() ? "qemu:///embed?root=%s" : "virsnap://%s?redefine_check=trust",
             run->root);
    run->connection = virConnectOpen(uri);
    expect(run->connection, uri);
    if (!with_domain)
        return;
    run->domain = virDomainLookupByName(run->connection, "guest-a");
    if (!run->domain) {
        char *definition = definition_of(run, 'a');

        run->domain = virDomainDefineXML(run->connection, definition);
        free(definition);
    }
    expect(run->domain, "define");
}

void close_run(struct run *run)
{
    if (run->domain)
        expect(virDomainFree(run->domain) == 0, "free domain");
    expect(virConnectClose(run->connection) >= 0, "close");
    run->domain = NULL;
    run->connection = NULL;
}

static void load_library(const char *path)
{
    int (*register_loop)(void) = NULL;
    void *address;

    expect(setenv("VIRSNAP_TEST_LIBRARY", path, 1) == 0, "setenv");
    api_load();
    has_library = true;
    expect(virInitialize() == 0, "virInitialize");
    virSetErrorFunc(NULL, ignore_error);
    address = api_find("virEventRegisterDefaultImpl");
    memcpy(&register_loop, &address, sizeof(address));
    expect(!register_loop || register_loop() == 0, "event loop");
}

int main(int argc, char **argv)
{
    struct run run = {.root = "", .images = "/srv/images", .count = 100, .seconds = 20};
    const char *library = NULL;
    const char *definition = "benches/domain.xml";
    int option;

    while ((option = getopt(argc, argv, "l:r:i:d:s:n:t:")) != -1) {
        switch (option) {
        case 'l': library = optarg; break;
        case 'r': run.root = optarg; break;
        case 'i': run.images = optarg; break;
        case 'd': definition = optarg; break;
        case 's': run.shape = shape_called(optarg); break;
        case 'n': run.count = atoi(optarg); break;
        case 't': run.seconds = atof(optarg); break;
        default: return EXIT_FAILURE;
        }
    }
    for (size_t i = 0; optind + 1 == argc && i < sizeof(groups) / sizeof(groups[0]); i++) {
        if (strcmp(groups[i].name, argv[optind]) != 0)
            continue;
        run.template = read_file(definition);
        if (library)
            load_library(library);
        groups[i].run(&run);
        free(run.template);
        return EXIT_SUCCESS;
    }
    fprintf(stderr, "usage: snapbench [-l LIBRARY] [-r ROOT] [-i IMAGES] [-d DEFINITION] "
            "[-s SHAPE] [-n COUNT] [-t SECONDS] GROUP\n");
    return EXIT_FAILURE;
}
