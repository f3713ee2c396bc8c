/* How long a domain's snapshots take to another state directory, and how much memory each end needs.
 *
 *   migratebench COUNT DIRECTORY
 *
 * DIRECTORY is empty, on the file system to be measured, and is left as it is. A process at each end,
 * a socket between them. Peak memory is that of the whole process, the tree it has loaded included. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <virsnap.h>

enum { PATH_SIZE = 4096, TEXT_SIZE = 16384, DEVICES = 40 };

static void expect(int fact, const char *what)
{
    if (fact)
        return;
    fprintf(stderr, "migratebench: %s: %s\n", what, virGetLastErrorMessage());
    _exit(EXIT_FAILURE);
}

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static long peak_kilobytes(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

/* A definition of some 5 KiB, as a guest of that many devices has. */
static void define_guest(char *xml)
{
    int length = snprintf(xml, TEXT_SIZE,
                          "<domain type='qemu'>\n  <name>guest</name>\n"
                          "  <uuid>5aa0f4c7-0dc4-4d4f-8d62-6dbb1ba0a1c0</uuid>\n"
                          "  <memory unit='KiB'>16384</memory>\n"
                          "  <os>\n    <type arch='x86_64'>hvm</type>\n  </os>\n  <devices>\n");

    for (int i = 0; i < DEVICES; i++)
        length += snprintf(xml + length, TEXT_SIZE - (size_t)length,
                           "    <controller type='pci' index='%d' model='pcie-root-port'>\n"
                           "      <address type='pci' slot='0x%02x' function='0x0'/>\n"
                           "    </controller>\n",
                           i, i);
    snprintf(xml + length, TEXT_SIZE - (size_t)length, "  </devices>\n</domain>\n");
}

static virConnectPtr open_directory(const char *directory, const char *name)
{
    char uri[PATH_SIZE];
    virConnectPtr connection;

    snprintf(uri, sizeof(uri), "virsnap://%s/%s", directory, name);
    connection = virConnectOpen(uri);
    expect(connection != NULL, uri);
    return connection;
}

/* The documents of a chain with branches, in libvirt's layout; the last one is current. */
static void write_documents(const char *directory, const char *definition, int count)
{
    char path[PATH_SIZE];

    snprintf(path, sizeof(path), "%s/source/snapshot/guest", directory);
    expect(mkdir(path, 0700) == 0, path);
    for (int i = 0; i < count; i++) {
        char parent[128] = "";
        FILE *file;

        if (i > 0)
            snprintf(parent, sizeof(parent), "  <parent>\n    <name>s%d</name>\n  </parent>\n",
                     (i - 1) / 2 * 2);
        snprintf(path, sizeof(path), "%s/source/snapshot/guest/s%d.xml", directory, i);
        file = fopen(path, "w");
        expect(file != NULL, path);
        fprintf(file,
                "<domainsnapshot>\n  <name>s%d</name>\n  <state>shutoff</state>\n%s"
                "  <creationTime>%d</creationTime>\n  <memory snapshot='no'/>\n  %s"
                "  <active>%d</active>\n</domainsnapshot>\n",
                i, parent, 1700000000 + i, definition, i == count - 1);
        expect(fclose(file) == 0, path);
    }
}

static int destination(const char *directory, const char *definition, int channel)
{
    virConnectPtr there = open_directory(directory, "destination");
    virDomainPtr domain = virDomainDefineXML(there, definition);
    char cookie[TEXT_SIZE] = "";
    double start;

    expect(domain != NULL, "define");
    expect(virSnapDomainMigrateImportFD(domain, channel, NULL, 0, 0) == 0, "import");
    expect(write(channel, "i", 1) == 1 && read(channel, cookie, sizeof(cookie) - 1) > 0, "cookie");
    start = now();
    expect(virSnapDomainMigrateFinish(domain, cookie, 0) == 0, "finish");
    printf("finish       %8.2f s\n", now() - start);
    printf("destination  %8ld KiB at most, %d snapshots\n", peak_kilobytes(),
           virDomainSnapshotNum(domain, 0));
    fflush(stdout);
    return EXIT_SUCCESS;
}

static void source(const char *directory, int channel, pid_t child)
{
    virConnectPtr here = open_directory(directory, "source");
    virDomainPtr domain = virDomainLookupByName(here, "guest");
    char *cookie = NULL;
    double start = now();
    char word;
    int status;

    expect(domain != NULL && virDomainSnapshotNum(domain, 0) > 0, "load");
    printf("load         %8.2f s, %ld KiB\n", now() - start, peak_kilobytes());
    start = now();
    expect(virSnapDomainMigrateBegin(domain, &cookie, VIR_SNAP_MIGRATE_METADATA) == 0, "begin");
    printf("begin        %8.2f s, cookie of %zu bytes\n", now() - start, strlen(cookie));
    start = now();
    expect(virSnapDomainMigrateExportFD(domain, channel, 0) == 0, "export");
    expect(read(channel, &word, 1) == 1, "import");
    printf("transfer     %8.2f s\n", now() - start);
    fflush(stdout);
    expect(write(channel, cookie, strlen(cookie)) > 0, "send the cookie");
    expect(waitpid(child, &status, 0) == child && status == 0, "destination");
    start = now();
    expect(virSnapDomainMigrateConfirm(domain, cookie, 0, 0) == 0, "confirm");
    printf("confirm      %8.2f s\n", now() - start);
    printf("source       %8ld KiB at most, %d snapshots\n", peak_kilobytes(),
           virDomainSnapshotNum(domain, 0));
    free(cookie);
}

int main(int argc, char **argv)
{
    char definition[TEXT_SIZE];
    int channel[2];
    pid_t child;

    if (argc != 3) {
        fprintf(stderr, "usage: migratebench COUNT DIRECTORY\n");
        return EXIT_FAILURE;
    }
    define_guest(definition);
    expect(socketpair(AF_UNIX, SOCK_STREAM, 0, channel) == 0, "socketpair");
    /* What prepares the source is another process: its memory is not the source's. */
    child = fork();
    if (child == 0) {
        virConnectPtr here = open_directory(argv[2], "source");

        expect(virDomainDefineXML(here, definition) != NULL, "define");
        write_documents(argv[2], definition, atoi(argv[1]));
        _exit(EXIT_SUCCESS);
    }
    waitpid(child, NULL, 0);
    child = fork();
    if (child == 0) {
        close(channel[0]);
        _exit(destination(argv[2], definition, channel[1]));
    }
    close(channel[1]);
    source(argv[2], channel[0], child);
    return EXIT_SUCCESS;
}
