/* Variables of UEFI firmware and the state of an emulated TPM, with snapshots of a domain that is off. */
#include "images.h"
#include "snapshots.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FIRST = 0x11, SECOND = 0x22, NOW = 0x33, VARIABLES_SIZE = 3000 };

static const char *const parts[] = {"vars.fd", "tpm/tpm2-00.permall"};

static void fill(const struct fixture *fixture, const char *name, unsigned char byte)
{
    char *path = fixture_path(fixture, name);
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    for (int i = 0; i < VARIABLES_SIZE; i++)
        fputc(byte, file);
    assert_int_equal(fclose(file), 0);
    free(path);
}

static bool is_full_of(const struct fixture *fixture, const char *name, unsigned char byte)
{
    char *path = fixture_path(fixture, name);
    FILE *file = fopen(path, "r");
    int count = 0;
    int found;

    assert_non_null(file);
    while ((found = fgetc(file)) == byte)
        count++;
    fclose(file);
    free(path);
    return found == EOF && count == VARIABLES_SIZE;
}

static void mark(const struct fixture *fixture, unsigned char byte)
{
    char *image = fixture_path(fixture, "uefi.qcow2");

    image_write(image, byte);
    free(image);
    for (size_t i = 0; i < 2; i++)
        fill(fixture, parts[i], byte);
}

static void assert_shows(const struct fixture *fixture, unsigned char byte)
{
    char *image = fixture_path(fixture, "uefi.qcow2");

    assert_true(image_holds(image, byte));
    free(image);
    for (size_t i = 0; i < 2; i++)
        assert_true(is_full_of(fixture, parts[i], byte));
}

static bool has_copy(const struct fixture *fixture, const char *name)
{
    char *path = fixture_path(fixture, name);
    bool is_there = access(path, F_OK) == 0;

    free(path);
    return is_there;
}

/* A domain of one disk, variables and TPM; `template` is the attribute, or empty. */
static virDomainPtr uefi_domain(const struct fixture *fixture, const char *template)
{
    char *image = fixture_path(fixture, "uefi.qcow2");
    char *tpm = fixture_path(fixture, "tpm");
    char *variables = fixture_path(fixture, parts[0]);
    char *xml = format("<domain type='qemu'><name>uefi</name><memory>16384</memory>"
                       "<os><type arch='x86_64'>hvm</type>"
                       "<loader readonly='yes' type='pflash'>/firmware.fd</loader><nvram %s>%s</nvram></os>"
                       "<devices><disk type='file'><driver name='qemu' type='qcow2'/><source file='%s'/>"
                       "<target dev='vda'/></disk><tpm model='tpm-crb'><backend type='emulator' version='2.0'>"
                       "<source type='dir' path='%s'/></backend></tpm></devices></domain>",
                       template, variables, image, tpm);
    virDomainPtr domain;

    qcow2_create(image, "1M");
    assert_int_equal(mkdir(tpm, 0700), 0);
    domain = virDomainDefineXML(fixture->connection, xml);
    assert_non_null(domain);
    free(xml);
    free(variables);
    free(tpm);
    free(image);
    return domain;
}

/* The same with snapshots one and two, and changed since. */
static virDomainPtr domain_with_past(const struct fixture *fixture, const char *template)
{
    virDomainPtr domain = uefi_domain(fixture, template);

    mark(fixture, FIRST);
    virDomainSnapshotFree(snapshot_create(domain, "one", 0));
    mark(fixture, SECOND);
    virDomainSnapshotFree(snapshot_create(domain, "two", 0));
    mark(fixture, NOW);
    return domain;
}

static int revert(virDomainPtr domain, const char *name, unsigned int flags)
{
    virDomainSnapshotPtr snapshot = snapshot_lookup(domain, name);
    int answer = virDomainRevertToSnapshot(snapshot, flags);

    virDomainSnapshotFree(snapshot);
    return answer;
}

static void assert_not_reverted(virDomainPtr domain, const char *name, unsigned int flags)
{
    virDomainSnapshotPtr snapshot = snapshot_lookup(domain, name);

    assert_int_equal(virDomainRevertToSnapshot(snapshot, flags), -1);
    assert_error(VIR_ERR_OPERATION_FAILED, VIR_FROM_QEMU, NULL);
    virDomainSnapshotFree(snapshot);
}

static void they_go_back_and_away_with_the_disks(void **state)
{
    const struct fixture *fixture = *state;
    virDomainPtr domain = domain_with_past(fixture, "");

    assert_int_equal(revert(domain, "one", 0), 0);
    assert_shows(fixture, FIRST);
    assert_int_equal(revert(domain, "two", 0), 0);
    assert_shows(fixture, SECOND);
    snapshot_delete(domain, "one", 0);
    assert_false(has_copy(fixture, "vars.fd.one"));
    assert_true(has_copy(fixture, "vars.fd.two"));
    snapshot_delete(domain, "two", VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY);
    assert_true(has_copy(fixture, "vars.fd.two"));
    assert_shows(fixture, SECOND);
    virDomainFree(domain);
}

static void a_reset_needs_a_template(void **state)
{
    virDomainPtr domain = domain_with_past(*state, "");

    assert_not_reverted(domain, "one", VIR_DOMAIN_SNAPSHOT_REVERT_RESET_NVRAM);
    assert_shows(*state, NOW);
    virDomainFree(domain);
}

static void a_reset_takes_the_template(void **state)
{
    const struct fixture *fixture = *state;
    char *path = fixture_path(fixture, "template.fd");
    char *attribute = format("template='%s'", path);
    virDomainPtr domain = domain_with_past(fixture, attribute);

    fill(fixture, "template.fd", 0x7f);
    assert_int_equal(revert(domain, "one", VIR_DOMAIN_SNAPSHOT_REVERT_RESET_NVRAM), 0);
    assert_true(is_full_of(fixture, parts[0], 0x7f));
    assert_true(is_full_of(fixture, parts[1], FIRST));
    virDomainFree(domain);
    free(attribute);
    free(path);
}

static void a_copy_that_is_missing_is_told(void **state)
{
    const struct fixture *fixture = *state;
    virDomainPtr domain = domain_with_past(fixture, "");
    char *copy = fixture_path(fixture, "vars.fd.one");
    char *expected = format("snapshot 'one', copy of the firmware's state '%s': there is no such file", copy);
    char **differences = NULL;

    assert_int_equal(unlink(copy), 0);
    assert_int_equal(virSnapDomainListDifferences(domain, NULL, &differences, 0), 1);
    assert_string_equal(differences[0], expected);
    assert_not_reverted(domain, "one", 0);
    assert_shows(fixture, NOW);
    free(differences[0]);
    free(differences);
    free(expected);
    free(copy);
    virDomainFree(domain);
}

static void what_is_no_file_is_refused(void **state)
{
    const struct fixture *fixture = *state;
    virDomainPtr domain = uefi_domain(fixture, "");
    char *fifo = fixture_path(fixture, "tpm/fifo");

    mark(fixture, NOW);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_null(virDomainSnapshotCreateXML(domain, "<domainsnapshot><name>one</name></domainsnapshot>", 0));
    assert_error(VIR_ERR_OPERATION_FAILED, VIR_FROM_QEMU, NULL);
    assert_text(tree_text(domain), "");
    assert_false(has_copy(fixture, "vars.fd.one"));
    free(fifo);
    virDomainFree(domain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(they_go_back_and_away_with_the_disks),
        fixture_test(a_reset_needs_a_template),
        fixture_test(a_reset_takes_the_template),
        fixture_test(a_copy_that_is_missing_is_told),
        fixture_test(what_is_no_file_is_refused),
    };

    return run_family("firmware", tests);
}
