/* Files of snapshots that nobody here would write: two of one name, and other encodings. What is sound
 * is loaded, the rest is named, and nothing is written over or removed. */
#include "damaged.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A call may not make anything of a name whose file holds something else, whoever asks. */
static void assert_nobody_takes(virDomainPtr domain, const char *name)
{
    char *file = format("%s.xml", name);
    char *plain = format("<domainsnapshot><name>%s</name></domainsnapshot>", name);
    char *definition = domain_definition(domain);
    char *whole = document_xml((struct document){
        .name = name, .state = "shutoff", .created = "9", .domain = definition});

    assert_null(virDomainSnapshotCreateXML(domain, plain, 0));
    assert_refused(file);
    assert_null(virDomainSnapshotCreateXML(domain, whole, VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE));
    assert_refused(file);
    assert_null(virDomainSnapshotLookupByName(domain, name, 0));
    assert_error(VIR_ERR_NO_DOMAIN_SNAPSHOT, VIR_FROM_QEMU, NULL);
    assert_int_equal(virDomainUndefineFlags(domain, VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA), -1);
    assert_non_null(strstr(virGetLastErrorMessage(), ".xml"));
    free(whole);
    free(definition);
    free(plain);
    free(file);
}

static void assert_file(const struct fixture *fixture, const char *file, const char *expected)
{
    assert_text(read_document(fixture, file), expected);
}

/* libvirt 9.0 loads the one that its directory names first. */
static void of_two_files_of_one_name_the_one_that_is_named_so_counts(void **state)
{
    struct fixture *fixture = *state;
    virDomainPtr domain;
    char *whole;
    char *other;
    char *xml;

    furnish(fixture);
    whole = read_document(fixture, "s4.xml");
    /* Before and behind it in any order, and with a claim to be the current one. */
    put(fixture, "a.xml", whole);
    change_document(fixture, "a.xml", "<active>0", "<active>1");
    change_document(fixture, "a.xml", "<creationTime>", "<description>other</description><creationTime>");
    other = read_document(fixture, "a.xml");
    put(fixture, "z.xml", other);
    domain = open_guest(fixture);
    assert_tree(domain, "s1 s2<s1 *s3<s2 s4<s2");
    assert_problems(domain, "1 a a.xml\n1 z z.xml\n");
    assert_nobody_takes(domain, "a");
    assert_nobody_takes(domain, "z");

    /* The one that is named so is the one that is shown, written and deleted. */
    xml = snapshot_text(domain, "s4");
    assert_null(strstr(xml, "other"));
    free(xml);
    virDomainSnapshotFree(snapshot_redefine(domain, "s4", "s1", 0));
    assert_tree(domain, "s1 s2<s1 *s3<s2 s4<s1");
    snapshot_delete(domain, "s1", VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN |
                                  VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY);
    assert_tree(domain, "");
    assert_problems(domain, "1 a a.xml\n1 z z.xml\n");
    assert_file(fixture, "a.xml", other);
    assert_file(fixture, "z.xml", other);

    /* And it is gone: the others do not bring it back. */
    close_guest(fixture, domain);
    domain = open_guest(fixture);
    assert_tree(domain, "");
    assert_problems(domain, "1 a a.xml\n1 z z.xml\n");
    assert_int_equal(virSnapDomainRepair(domain, NULL, VIR_SNAP_REPAIR_SET_ASIDE), 2);
    assert_problems(domain, "");
    virDomainFree(domain);
    free(other);
    free(whole);
}

/* Neither is the one. */
static void two_files_that_claim_a_name_which_no_file_has(void **state)
{
    struct fixture *fixture = *state;
    virDomainPtr domain;
    char *path;
    char *whole;

    furnish(fixture);
    whole = read_document(fixture, "s3.xml");
    put(fixture, "one.xml", whole);
    put(fixture, "two.xml", whole);
    path = document_path(fixture, "s3.xml");
    assert_int_equal(unlink(path), 0);
    domain = open_guest(fixture);
    assert_tree(domain, "s1 s2<s1 s4<s2");
    assert_problems(domain, "1 one one.xml\n1 two two.xml\n");
    assert_nobody_takes(domain, "one");
    assert_nobody_takes(domain, "two");
    assert_file(fixture, "one.xml", whole);
    assert_file(fixture, "two.xml", whole);

    /* Given its name again, it is itself again. */
    put(fixture, "s3.xml", whole);
    close_guest(fixture, domain);
    domain = open_guest(fixture);
    assert_tree(domain, "s1 s2<s1 *s3<s2 s4<s2");
    assert_problems(domain, "1 one one.xml\n1 two two.xml\n");
    virDomainFree(domain);
    free(path);
    free(whole);
}

/* The document in UTF-16, behind a mark of its order. Freed by the caller. */
static char *utf16(const char *text, size_t *count)
{
    size_t length = strlen(text);
    char *wide = calloc(length + 1, 2);

    assert_non_null(wide);
    wide[0] = '\xff';
    wide[1] = '\xfe';
    for (size_t i = 0; i < length; i++)
        wide[2 * i + 2] = text[i];
    *count = 2 * length + 2;
    return wide;
}

static void assert_bytes(const char *path, const char *bytes, size_t count)
{
    FILE *stream = fopen(path, "r");
    char *found = calloc(1, count + 1);

    assert_non_null(stream);
    assert_non_null(found);
    assert_int_equal(fread(found, 1, count + 1, stream), count);
    assert_memory_equal(found, bytes, count);
    fclose(stream);
    free(found);
}

static void files_that_are_not_utf8_are_kept_and_named(void **state)
{
    static const struct {
        const char *bytes;
        size_t count;
    } descriptions[] = {
#define BYTES(text) {text, sizeof(text) - 1}
        BYTES("\xe4"), BYTES("\xc0\xaf"), BYTES("\xed\xa0\x80"), BYTES("\xf4\x90\x80\x80"),
        BYTES("\xe2\x82"), BYTES("\xff"), BYTES("\0"), BYTES("a\0b"), BYTES("\xef\xbf\xbe"),
#undef BYTES
    };
    struct fixture *fixture = *state;
    size_t rows = sizeof(descriptions) / sizeof(descriptions[0]);
    char *whole;

    furnish(fixture);
    whole = read_document(fixture, "s4.xml");
    for (size_t i = 0; i <= rows; i++) {
        const char *rest = strstr(whole, "<state>");
        virDomainPtr domain;
        size_t count;
        char *bytes;
        char *path;

        assert_non_null(rest);
        if (i == rows) {
            bytes = utf16(whole, &count);
        } else {
            size_t before = (size_t)(rest - whole);

            count = strlen(whole) + descriptions[i].count + 27;
            bytes = calloc(1, count);
            assert_non_null(bytes);
            memcpy(bytes, whole, before);
            memcpy(bytes + before, "<description>", 13);
            memcpy(bytes + before + 13, descriptions[i].bytes, descriptions[i].count);
            memcpy(bytes + before + 13 + descriptions[i].count, "</description>", 14);
            memcpy(bytes + before + 27 + descriptions[i].count, rest, strlen(rest));
        }
        put_bytes(fixture, "s4.xml", bytes, count);
        domain = open_guest(fixture);
        assert_tree(domain, "s1 s2<s1 *s3<s2");
        assert_problems(domain, "1 s4 s4.xml\n");
        assert_nobody_takes(domain, "s4");
        path = document_path(fixture, "s4.xml");
        assert_bytes(path, bytes, count);
        free(path);
        free(bytes);
        close_guest(fixture, domain);
    }
    free(whole);
}

/* As documents that are given. */
static void files_in_utf8_are_loaded_whatever_they_declare(void **state)
{
    static const char *const heads[] = {
        "\xef\xbb\xbf",
        "<?xml version='1.0' encoding='UTF-8'?>\n",
        "<?xml version='1.0' encoding='ISO-8859-1'?>\n",
        "<?xml version='1.0' encoding='UTF-16'?>\n",
    };
    struct fixture *fixture = *state;
    char *whole;

    furnish(fixture);
    change_document(fixture, "s4.xml", "<state>", "<description>\xc3\xa4</description><state>");
    whole = read_document(fixture, "s4.xml");
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        virDomainPtr domain;
        char *text = format("%s%s", heads[i], whole);
        char *xml;

        put(fixture, "s4.xml", text);
        domain = open_guest(fixture);
        assert_problems(domain, "");
        assert_tree(domain, "s1 s2<s1 *s3<s2 s4<s2");
        xml = snapshot_text(domain, "s4");
        assert_non_null(strstr(xml, "<description>\xc3\xa4</description>"));
        free(xml);
        free(text);
        close_guest(fixture, domain);
    }
    free(whole);
}

/* A definition is the same. */
static void a_definition_that_is_not_utf8_is_kept_and_named(void **state)
{
    struct fixture *fixture = *state;
    char *path = format("%s/state/domain/guest.xml", fixture->root);
    virSnapProblemPtr *problems = NULL;
    char *whole;
    char *bytes;
    size_t count;

    furnish(fixture);
    whole = domain_xml("guest", NULL, NULL, 0);
    bytes = utf16(whole, &count);
    write_bytes(path, bytes, count);
    fixture->connection = virConnectOpen(fixture->uri);
    assert_non_null(fixture->connection);
    assert_int_equal(virSnapConnectListProblems(fixture->connection, &problems, 0), 1);
    assert_string_equal(problems[0]->name, "guest");
    free(problems_text(problems, 1));
    assert_null(virDomainDefineXML(fixture->connection, whole));
    assert_refused("guest.xml");

    assert_bytes(path, bytes, count);
    free(bytes);
    free(whole);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(of_two_files_of_one_name_the_one_that_is_named_so_counts),
        fixture_test(two_files_that_claim_a_name_which_no_file_has),
        fixture_test(files_that_are_not_utf8_are_kept_and_named),
        fixture_test(files_in_utf8_are_loaded_whatever_they_declare),
        fixture_test(a_definition_that_is_not_utf8_is_kept_and_named),
    };

    return run_family("strange_files", tests);
}
