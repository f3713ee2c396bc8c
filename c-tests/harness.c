/* The world of one test: directories, images, domains, assertions. */
#include "harness.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SKIPPED = 77, MOST_DISKS = 26, OPEN_DIRECTORIES = 16 };

#if !defined(VIRSNAP_TEST_DLOPEN) && !defined(VIRSNAP_TEST_PRELOAD)
void api_load(void)
{
}

void *api_find(const char *name)
{
    (void)name;
    return NULL;
}

bool api_is_libvirt(void)
{
    return false;
}
#endif

char *format(const char *form, ...)
{
    va_list values;
    va_list again;
    int length;
    char *text;

    va_start(values, form);
    va_copy(again, values);
    length = vsnprintf(NULL, 0, form, values);
    va_end(values);
    assert_true(length >= 0);
    text = malloc((size_t)length + 1);
    assert_non_null(text);
    vsnprintf(text, (size_t)length + 1, form, again);
    va_end(again);
    return text;
}

static void ignore_error(void *user_data, virErrorPtr error)
{
    (void)user_data;
    (void)error;
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *position)
{
    (void)status;
    (void)kind;
    (void)position;
    return remove(path);
}

int write_embedded_configuration(const char *root)
{
    static const char configuration[] =
        "user=\"root\"\ngroup=\"root\"\ndynamic_ownership=0\nremember_owner=0\n"
        "security_driver=\"none\"\ncgroup_controllers=[]\nnamespaces=[]\nstdio_handler=\"file\"\n";
    char *directory = format("%s/etc", root);
    char *path = format("%s/qemu.conf", directory);
    FILE *file = mkdir(directory, 0700) == 0 ? fopen(path, "w") : NULL;
    int result = -1;

    if (file) {
        result = fputs(configuration, file) < 0 ? -1 : 0;
        if (fclose(file) != 0)
            result = -1;
    }
    free(path);
    free(directory);
    return result;
}

/* The one root that the embedded driver takes in a process; empty for our own library. */
static char libvirt_root[PATH_SIZE];

/* Held as long as the process lives: the embedded driver registers itself again each time it is
 * opened after its last connection closed, and libvirt soon has "too many drivers". */
static virConnectPtr libvirt_connection;

/* A new directory, with a name that may stand in XML as it is. */
static int make_directory(char path[PATH_SIZE])
{
    const char *parent = getenv("TMPDIR");

    snprintf(path, PATH_SIZE, "%s/virsnap-XXXXXX", parent ? parent : "/tmp");
    return strpbrk(path, "<&'") || !mkdtemp(path) ? -1 : 0;
}

static void remove_directory(const char *path)
{
    nftw(path, remove_entry, OPEN_DIRECTORIES, FTW_DEPTH | FTW_PHYS);
}

static void choose_uri(struct fixture *fixture)
{
    if (api_is_libvirt())
        snprintf(fixture->uri, sizeof(fixture->uri), "qemu:///embed?root=%s", libvirt_root);
    else
        /* As libvirt, which defines snapshots that have no data. */
        snprintf(fixture->uri, sizeof(fixture->uri), "virsnap://%s/state?redefine_check=trust",
                 fixture->root);
}

int fixture_set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    if (!fixture)
        return -1;
    if (make_directory(fixture->root) == 0) {
        choose_uri(fixture);
        fixture->connection = virConnectOpen(fixture->uri);
        if (fixture->connection) {
            *state = fixture;
            return 0;
        }
        print_error("%s: %s\n", fixture->uri, virGetLastErrorMessage());
        remove_directory(fixture->root);
    }
    free(fixture);
    return -1;
}

/* The root that all tests of the process share is empty again for the next. */
static void undefine_all(void)
{
    virDomainPtr *domains = NULL;
    int count = virConnectListAllDomains(libvirt_connection, &domains, 0);

    for (int i = 0; i < count; i++) {
        virDomainUndefineFlags(domains[i], VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA);
        virDomainFree(domains[i]);
    }
    free(domains);
}

int fixture_tear_down(void **state)
{
    struct fixture *fixture = *state;

    if (fixture->connection)
        virConnectClose(fixture->connection);
    if (api_is_libvirt())
        undefine_all();
    remove_directory(fixture->root);
    free(fixture);
    return 0;
}

/* libvirt's embedded driver wants an event loop registered, and a configuration below its root. */
static bool prepare_libvirt(void)
{
    int (*register_loop)(void) = NULL;
    void *address = api_find("virEventRegisterDefaultImpl");
    char *uri;

    memcpy(&register_loop, &address, sizeof(address));
    if (!register_loop || register_loop() != 0 || make_directory(libvirt_root) != 0 ||
        write_embedded_configuration(libvirt_root) != 0)
        return false;
    uri = format("qemu:///embed?root=%s", libvirt_root);
    libvirt_connection = virConnectOpen(uri);
    if (!libvirt_connection)
        fprintf(stderr, "%s: %s\n", uri, virGetLastErrorMessage());
    free(uri);
    return libvirt_connection;
}

int run_family_of(const char *name, const struct CMUnitTest *tests, size_t count)
{
    int result = SKIPPED;

    api_load();
    if (virInitialize() != 0) {
        fprintf(stderr, "%s: virInitialize: %s\n", name, virGetLastErrorMessage());
        return EXIT_FAILURE;
    }
    virSetErrorFunc(NULL, ignore_error);
    if (api_is_libvirt() && !prepare_libvirt())
        fprintf(stderr, "SKIPPED %s: libvirt's embedded QEMU driver cannot be opened\n", name);
    else
        result = _cmocka_run_group_tests(name, tests, count, NULL, NULL) == 0 ? EXIT_SUCCESS
                                                                              : EXIT_FAILURE;
    if (libvirt_connection)
        virConnectClose(libvirt_connection);
    if (libvirt_root[0])
        remove_directory(libvirt_root);
    return result;
}

char *fixture_path(const struct fixture *fixture, const char *relative)
{
    return format("%s/%s", fixture->root, relative);
}

char *fixture_snapshot_directory(const struct fixture *fixture, const char *domain)
{
    if (api_is_libvirt())
        return format("%s/lib/qemu/snapshot/%s", libvirt_root, domain);
    return format("%s/state/snapshot/%s", fixture->root, domain);
}

virDomainPtr fixture_domain(const struct fixture *fixture, const char *name, size_t disks)
{
    char *images[MOST_DISKS] = {NULL};
    char *xml;
    virDomainPtr domain;

    assert_true(disks <= MOST_DISKS);
    for (size_t i = 0; i < disks; i++) {
        images[i] = format("%s/%s-vd%c.qcow2", fixture->root, name, (char)('a' + (int)i));
        qcow2_create(images[i], "1M");
    }
    xml = domain_xml(name, NULL, images, disks);
    domain = virDomainDefineXML(fixture->connection, xml);
    if (!domain)
        print_error("%s: %s\n", name, virGetLastErrorMessage());
    assert_non_null(domain);
    free(xml);
    for (size_t i = 0; i < disks; i++)
        free(images[i]);
    return domain;
}

virDomainSnapshotPtr snapshot_create(virDomainPtr domain, const char *name, unsigned int flags)
{
    char *xml = format("<domainsnapshot><name>%s</name></domainsnapshot>", name);
    virDomainSnapshotPtr snapshot = virDomainSnapshotCreateXML(domain, xml, flags);

    if (!snapshot)
        print_error("%s: %s\n", name, virGetLastErrorMessage());
    assert_non_null(snapshot);
    free(xml);
    return snapshot;
}

char *domain_xml(const char *name, const char *uuid, char *const *images, size_t disks)
{
    char *devices = format("%s", "");
    char *identity = uuid ? format("<uuid>%s</uuid>", uuid) : format("%s", "");
    char *xml;

    assert_true(disks <= MOST_DISKS);
    for (size_t i = 0; i < disks; i++) {
        char *more = format("%s"
                            "<disk type='file' device='disk'>"
                            "<driver name='qemu' type='qcow2'/>"
                            "<source file='%s'/>"
                            "<target dev='vd%c' bus='virtio'/>"
                            "</disk>",
                            devices, images[i], (char)('a' + (int)i));
        free(devices);
        devices = more;
    }
    xml = format("<domain type='qemu'>"
                 "<name>%s</name>%s"
                 "<memory unit='KiB'>16384</memory>"
                 "<vcpu>1</vcpu>"
                 "<os><type arch='x86_64' machine='pc'>hvm</type></os>"
                 "<devices>%s</devices>"
                 "</domain>",
                 name, identity, devices);
    free(identity);
    free(devices);
    return xml;
}

int qemu_img(const char *const *arguments)
{
    enum { MOST_ARGUMENTS = 32 };
    char *vector[MOST_ARGUMENTS + 2] = {(char *)"qemu-img"};
    size_t count = 0;
    int status;
    pid_t child;

    for (; arguments[count]; count++) {
        assert_true(count < MOST_ARGUMENTS);
        vector[count + 1] = (char *)arguments[count];
    }
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(STDERR_FILENO, STDOUT_FILENO);
        execvp(vector[0], vector);
        _exit(127);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void qcow2_create(const char *path, const char *size)
{
    const char *const arguments[] = {"create", "-q", "-f", "qcow2", path, size, NULL};

    assert_int_equal(qemu_img(arguments), 0);
}

void check_error(int code, int domain, const char *message, const char *file, int line)
{
    virErrorPtr error = virGetLastError();

    if (!error) {
        print_error("expected error %d/%d '%s', there is none\n", code, domain,
                    message ? message : "(any)");
        _fail(file, line);
        return;
    }
    if (error->code != code || error->domain != domain || error->level != VIR_ERR_ERROR ||
        (message && (!error->message || strcmp(error->message, message) != 0))) {
        print_error("expected error %d/%d level %d '%s'\n"
                    "     got error %d/%d level %d '%s'\n",
                    code, domain, VIR_ERR_ERROR, message ? message : "(any)", error->code,
                    error->domain, error->level, error->message ? error->message : "(none)");
        _fail(file, line);
    }
    virResetLastError();
}

void check_no_error(const char *file, int line)
{
    virErrorPtr error = virGetLastError();

    if (error) {
        print_error("expected no error, got %d/%d '%s'\n", error->code, error->domain,
                    error->message ? error->message : "(none)");
        _fail(file, line);
    }
}
