/* Many processes and threads on one domain for a while: every acknowledged operation is there at the
 * end, and one who reads all the time never sees an unsound tree.
 *
 *   stress [SECONDS [PROCESSES [THREADS]]] */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <virsnap.h>

enum { MOST_THREADS = 256, MOST_OPERATIONS = 4096, LIVE = 8, NAME_SIZE = 64, XML_SIZE = 4096 };
enum { UNKNOWN, CREATED, DELETED };

/* What has been acknowledged; shared by all processes. */
static struct record {
    atomic_uchar state[MOST_THREADS][MOST_OPERATIONS];
    atomic_int unsound;
    atomic_long operations;
    atomic_long reads;
} *record;

static char uri[512];
static time_t deadline;
static int threads = 8;

static void ignore_error(void *user_data, virErrorPtr error)
{
    (void)user_data;
    (void)error;
}

static void unsound(const char *what)
{
    fprintf(stderr, "stress: %s: %s\n", what, virGetLastErrorMessage());
    atomic_fetch_add(&record->unsound, 1);
}

static void name_of(char *name, int owner, int number)
{
    snprintf(name, NAME_SIZE, "t%d-%d", owner, number);
}

static bool create(virDomainPtr domain, const char *name, const char *parent)
{
    char xml[XML_SIZE];
    char above[NAME_SIZE + 64] = "";
    char uuid[VIR_UUID_STRING_BUFLEN];
    virDomainSnapshotPtr snapshot;

    if (parent[0])
        snprintf(above, sizeof(above), "<parent><name>%s</name></parent>", parent);
    virDomainGetUUIDString(domain, uuid);
    snprintf(xml, sizeof(xml),
             "<domainsnapshot><name>%s</name>%s<state>shutoff</state><creationTime>1</creationTime>"
             "<domain type='qemu'><name>guest</name><uuid>%s</uuid><memory>1</memory>"
             "<os><type>hvm</type></os></domain></domainsnapshot>",
             name, above, uuid);
    snapshot = virDomainSnapshotCreateXML(domain, xml, VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE);
    if (snapshot)
        virDomainSnapshotFree(snapshot);
    return snapshot;
}

static bool drop(virDomainPtr domain, const char *name)
{
    virDomainSnapshotPtr snapshot = virDomainSnapshotLookupByName(domain, name, 0);
    bool done;

    if (!snapshot)
        return false;
    done = virDomainSnapshotDelete(snapshot, VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY) == 0;
    virDomainSnapshotFree(snapshot);
    return done;
}

/* The name of any snapshot, or none. */
static void any_name(virDomainPtr domain, unsigned int *seed, char *name)
{
    virDomainSnapshotPtr *snapshots = NULL;
    int count = virDomainListAllSnapshots(domain, &snapshots, 0);

    name[0] = '\0';
    for (int i = 0; i < count; i++) {
        if (i == (int)((unsigned int)rand_r(seed) % (unsigned int)count))
            snprintf(name, NAME_SIZE, "%s", virDomainSnapshotGetName(snapshots[i]));
        virDomainSnapshotFree(snapshots[i]);
    }
    free(snapshots);
}

static void *work(void *argument)
{
    int owner = *(int *)argument;
    unsigned int seed = (unsigned int)owner + 1;
    virConnectPtr connection = virConnectOpen(uri);
    virDomainPtr domain = connection ? virDomainLookupByName(connection, "guest") : NULL;
    int created = 0;
    int deleted = 0;

    if (!domain) {
        unsound("open");
        return NULL;
    }
    while (time(NULL) < deadline && created < MOST_OPERATIONS) {
        char name[NAME_SIZE];
        char parent[NAME_SIZE];

        if (created - deleted < LIVE && rand_r(&seed) % 3 != 0) {
            name_of(name, owner, created);
            any_name(domain, &seed, parent);
            if (create(domain, name, parent)) {
                atomic_store(&record->state[owner][created], CREATED);
                created++;
            } else if (!parent[0]) {
                unsound(name);
            }
        } else if (deleted < created) {
            name_of(name, owner, deleted);
            if (drop(domain, name))
                atomic_store(&record->state[owner][deleted++], DELETED);
            else
                unsound(name);
        }
        atomic_fetch_add(&record->operations, 1);
        /* What this thread has made is there for the very next call. */
        if (created > deleted) {
            virDomainSnapshotPtr own;

            name_of(name, owner, created - 1);
            own = virDomainSnapshotLookupByName(domain, name, 0);
            if (own)
                virDomainSnapshotFree(own);
            else
                unsound(name);
        }
    }
    virDomainFree(domain);
    virConnectClose(connection);
    return NULL;
}

static int run_threads(int process)
{
    pthread_t ids[MOST_THREADS];
    int owners[MOST_THREADS];

    for (int i = 0; i < threads; i++) {
        owners[i] = process * threads + i;
        if (pthread_create(&ids[i], NULL, work, &owners[i]) != 0)
            return EXIT_FAILURE;
    }
    for (int i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    return EXIT_SUCCESS;
}

/* A list is one state: each snapshot's parent stands in it before it, and no name twice. */
static void check_list(virDomainPtr domain)
{
    virDomainSnapshotPtr *snapshots = NULL;
    int count = virDomainListAllSnapshots(domain, &snapshots, VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL);

    if (count < 0)
        unsound("list");
    for (int i = 0; i < count; i++)
        for (int other = 0; other < i; other++)
            if (strcmp(virDomainSnapshotGetName(snapshots[i]),
                       virDomainSnapshotGetName(snapshots[other])) == 0)
                unsound("twice");
    for (int i = 0; i < count; i++)
        virDomainSnapshotFree(snapshots[i]);
    free(snapshots);
    if (virSnapDomainListProblems(domain, NULL, 0) != 0)
        unsound("problems");
    atomic_fetch_add(&record->reads, 1);
}

static int read_all_the_time(void)
{
    virConnectPtr connection = virConnectOpen(uri);
    virDomainPtr domain = connection ? virDomainLookupByName(connection, "guest") : NULL;

    if (!domain) {
        unsound("open");
        return EXIT_FAILURE;
    }
    while (time(NULL) < deadline)
        check_list(domain);
    virDomainFree(domain);
    virConnectClose(connection);
    return EXIT_SUCCESS;
}

/* Compares what is there with what was acknowledged. */
static long lost(int owners)
{
    virConnectPtr connection = virConnectOpen(uri);
    virDomainPtr domain = connection ? virDomainLookupByName(connection, "guest") : NULL;
    long count = 0;

    for (int owner = 0; domain && owner < owners; owner++) {
        for (int number = 0; number < MOST_OPERATIONS; number++) {
            unsigned char state = atomic_load(&record->state[owner][number]);
            char name[NAME_SIZE];
            virDomainSnapshotPtr snapshot;

            if (state == UNKNOWN)
                break;
            name_of(name, owner, number);
            snapshot = virDomainSnapshotLookupByName(domain, name, 0);
            count += (snapshot != NULL) != (state == CREATED);
            if (snapshot)
                virDomainSnapshotFree(snapshot);
        }
    }
    if (!domain)
        count = -1;
    else
        virDomainFree(domain);
    if (connection)
        virConnectClose(connection);
    return count;
}

/* What a call costs when nothing has changed, in nanoseconds. */
static double idle_cost(void)
{
    enum { CALLS = 200000 };
    virConnectPtr connection = virConnectOpen(uri);
    virDomainPtr domain = virDomainLookupByName(connection, "guest");
    struct timespec begin;
    struct timespec end;

    virDomainSnapshotNum(domain, 0);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int i = 0; i < CALLS; i++)
        virDomainSnapshotNum(domain, 0);
    clock_gettime(CLOCK_MONOTONIC, &end);
    virDomainFree(domain);
    virConnectClose(connection);
    return ((double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec)) /
           CALLS;
}

int main(int argc, char **argv)
{
    int seconds = argc > 1 ? atoi(argv[1]) : 4;
    int processes = argc > 2 ? atoi(argv[2]) : 8;
    char directory[] = "/tmp/virsnap-stress-XXXXXX";
    char command[128];
    virConnectPtr connection;
    virDomainPtr domain;
    long missing;
    bool good = true;

    threads = argc > 3 ? atoi(argv[3]) : threads;
    record = mmap(NULL, sizeof(*record), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (record == MAP_FAILED || processes * threads > MOST_THREADS || !mkdtemp(directory))
        return EXIT_FAILURE;
    snprintf(uri, sizeof(uri), "virsnap://%s/state", directory);
    virSetErrorFunc(NULL, ignore_error);
    connection = virConnectOpen(uri);
    domain = virDomainDefineXML(connection, "<domain type='qemu'><name>guest</name><memory>1</memory>"
                                            "<os><type>hvm</type></os></domain>");
    if (!domain)
        return EXIT_FAILURE;
    deadline = time(NULL) + seconds;
    for (int process = 0; process <= processes; process++) {
        pid_t child = fork();

        if (child < 0)
            return EXIT_FAILURE;
        if (child == 0)
            _exit(process < processes ? run_threads(process) : read_all_the_time());
    }
    for (int process = 0; process <= processes; process++) {
        int status;

        good = wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0 && good;
    }
    missing = lost(processes * threads);
    printf("%d processes x %d threads, %d s: %ld operations, %ld reads, %ld lost, %d unsound; "
           "a call when nothing has changed: %.0f ns\n",
           processes, threads, seconds, atomic_load(&record->operations),
           atomic_load(&record->reads), missing, atomic_load(&record->unsound), idle_cost());
    virDomainFree(domain);
    virConnectClose(connection);
    snprintf(command, sizeof(command), "rm -rf %s", directory);
    good = system(command) == 0 && good;
    return good && missing == 0 && atomic_load(&record->unsound) == 0 &&
                   atomic_load(&record->operations) > 0
               ? EXIT_SUCCESS
               : EXIT_FAILURE;
}
