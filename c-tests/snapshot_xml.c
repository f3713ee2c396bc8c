/* The document that virDomainSnapshotGetXMLDesc gives: layout, secrets, what survives. */
#include "snapshots.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECURE = VIR_DOMAIN_SNAPSHOT_XML_SECURE };

static char *dump(virDomainPtr domain, const char *name, unsigned int flags)
{
    virDomainSnapshotPtr snapshot = snapshot_lookup(domain, name);
    char *xml = virDomainSnapshotGetXMLDesc(snapshot, flags);

    assert_non_null(xml);
    virDomainSnapshotFree(snapshot);
    return xml;
}

static void redefine(virDomainPtr domain, const char *xml)
{
    virDomainSnapshotPtr snapshot =
        virDomainSnapshotCreateXML(domain, xml, VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE);

    if (!snapshot)
        print_error("%s\n", virGetLastErrorMessage());
    assert_non_null(snapshot);
    virDomainSnapshotFree(snapshot);
}

static void redefine_document(virDomainPtr domain, struct document document)
{
    char *definition = domain_definition(domain);
    char *xml;

    document.domain = definition;
    xml = document_xml(document);
    redefine(domain, xml);
    free(xml);
    free(definition);
}

/* The text of the definition inside the document, indented as libvirt does. */
static char *indented(const char *definition)
{
    char *result = format("%s", "");
    char *lines = format("%s", definition);
    char *rest = NULL;

    for (char *line = strtok_r(lines, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *longer = format("%s  %s\n", result, line);

        free(result);
        result = longer;
    }
    free(lines);
    return result;
}

static void layout_of_a_created_snapshot(void **state)
{
    virDomainPtr domain = fixture_domain(*state, "created", 2);
    virDomainSnapshotPtr first = snapshot_create(domain, "one", 0);
    virDomainSnapshotPtr second = snapshot_create(domain, "two", 0);
    char *plain = virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_INACTIVE);
    char *definition = indented(plain);
    char *xml = virDomainSnapshotGetXMLDesc(second, 0);
    char created[32];
    char *expected;

    assert_int_equal(sscanf(strstr(xml, "<creationTime>"), "<creationTime>%31[0-9]", created), 1);
    expected = format("<domainsnapshot>\n"
                      "  <name>two</name>\n"
                      "  <state>shutoff</state>\n"
                      "  <parent>\n"
                      "    <name>one</name>\n"
                      "  </parent>\n"
                      "  <creationTime>%s</creationTime>\n"
                      "  <memory snapshot='no'/>\n"
                      "  <disks>\n"
                      "    <disk name='vda' snapshot='internal'/>\n"
                      "    <disk name='vdb' snapshot='internal'/>\n"
                      "  </disks>\n"
                      "%s</domainsnapshot>\n", created, definition);
    assert_text(xml, expected);
    free(expected);
    free(definition);
    free(plain);
    virDomainSnapshotFree(second);
    virDomainSnapshotFree(first);
    virDomainFree(domain);
}

/* What stands before the definition, of documents that leave out and disorder. */
static void layout_of_redefined_snapshots(void **state)
{
    static const struct {
        struct document document;
        const char *head;
    } rows[] = {
        {{.name = "a", .state = "shutoff", .created = "12"},
         "<domainsnapshot>\n  <name>a</name>\n  <state>shutoff</state>\n"
         "  <creationTime>12</creationTime>\n  <memory snapshot='no'/>\n  <disks>\n"
         "    <disk name='vda' snapshot='internal'/>\n  </disks>\n  <domain type='qemu'>"},
        {{.name = "b &amp; &quot;c&quot;", .state = "running", .created = "-5", .parent = "a",
          .more = "<description>it&apos;s &lt;this&gt; &amp; that</description>"},
         "<domainsnapshot>\n  <name>b &amp; &quot;c&quot;</name>\n"
         "  <description>it&apos;s &lt;this&gt; &amp; that</description>\n"
         "  <state>running</state>\n  <parent>\n    <name>a</name>\n  </parent>\n"
         "  <creationTime>-5</creationTime>\n  <memory snapshot='internal'/>\n  <disks>\n"
         "    <disk name='vda' snapshot='internal'/>\n  </disks>\n  <domain type='qemu'>"},
        {{.name = "d", .state = "disk-snapshot", .created = "13",
          .more = "<disks><disk name='vda'><driver type='qed'/><source file='/o/1'/></disk>"
                  "</disks>"},
         "<domainsnapshot>\n  <name>d</name>\n  <state>disk-snapshot</state>\n"
         "  <creationTime>13</creationTime>\n  <memory snapshot='no'/>\n  <disks>\n"
         "    <disk name='vda' snapshot='external' type='file'>\n      <driver type='qed'/>\n"
         "      <source file='/o/1'/>\n    </disk>\n  </disks>\n  <domain type='qemu'>"},
        {{.name = "m", .state = "paused", .created = "14",
          .more = "<memory file='/o/m'/><disks><disk name='vda' snapshot='no'/></disks>"},
         "<domainsnapshot>\n  <name>m</name>\n  <state>paused</state>\n"
         "  <creationTime>14</creationTime>\n  <memory snapshot='external' file='/o/m'/>\n"
         "  <disks>\n    <disk name='vda' snapshot='no'/>\n  </disks>\n"
         "  <domain type='qemu'>"},
    };
    virDomainPtr domain = fixture_domain(*state, "heads", 1);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *name = i == 1 ? "b & \"c\"" : rows[i].document.name;
        char *xml;

        redefine_document(domain, rows[i].document);
        xml = dump(domain, name, 0);
        xml[strlen(rows[i].head)] = '\0';
        assert_text(xml, rows[i].head);
    }
    virDomainFree(domain);
}

static void output_is_redefined_to_itself(void **state)
{
    virDomainPtr domain = fixture_domain(*state, "fixed", 1);
    char *first;

    redefine_document(domain, (struct document){
        .name = "s", .state = "running", .created = "99",
        .more = "<description>two\nlines</description>"});
    first = dump(domain, "s", SECURE);
    redefine(domain, first);
    assert_text(dump(domain, "s", SECURE), first);
    free(first);
    virDomainFree(domain);
}

static virDomainPtr domain_with_password(const struct fixture *fixture)
{
    static const char xml[] =
        "<domain type='qemu'><name>secret</name><memory>16384</memory>"
        "<os><type arch='x86_64' machine='pc'>hvm</type></os><devices>"
        "<graphics type='vnc' port='-1' autoport='yes' passwd='sesame'/></devices></domain>";
    virDomainPtr domain = virDomainDefineXML(fixture->connection, xml);

    assert_non_null(domain);
    virDomainSnapshotFree(snapshot_redefine(domain, "s", NULL, 0));
    return domain;
}

static void password_is_given_to_whom_asks_for_it(void **state)
{
    virDomainPtr domain = domain_with_password(*state);
    char *with = dump(domain, "s", SECURE);
    char *without = dump(domain, "s", 0);

    assert_non_null(strstr(with, "sesame"));
    assert_null(strstr(without, "sesame"));
    assert_non_null(strstr(without, "<graphics type='vnc' port='-1' autoport='yes'"));
    free(without);
    free(with);
    virDomainFree(domain);
}

/* differences.md D21: libvirt loses the password that an insecure dump lacks. */
static void d21_insecure_dump_keeps_the_password(void **state)
{
    virDomainPtr domain = domain_with_password(*state);
    char *without = dump(domain, "s", 0);
    char *now;

    redefine(domain, without);
    now = dump(domain, "s", SECURE);
    assert_true((strstr(now, "sesame") != NULL) == !api_is_libvirt());
    free(now);
    free(without);
    virDomainFree(domain);
}

static void reader_gets_no_secrets(void **state)
{
    const struct fixture *fixture = *state;
    virDomainPtr domain = domain_with_password(fixture);
    virConnectPtr reader = virConnectOpenReadOnly(fixture->uri);
    virDomainPtr seen = virDomainLookupByName(reader, "secret");
    virDomainSnapshotPtr snapshot = snapshot_lookup(seen, "s");
    char *xml = virDomainSnapshotGetXMLDesc(snapshot, 0);

    assert_non_null(xml);
    assert_null(strstr(xml, "sesame"));
    free(xml);
    assert_null(virDomainSnapshotGetXMLDesc(snapshot, SECURE));
    assert_error(VIR_ERR_OPERATION_DENIED, VIR_FROM_DOMAIN_SNAPSHOT,
                 "operation forbidden: virDomainSnapshotGetXMLDesc with secure flag");
    virDomainSnapshotFree(snapshot);
    virDomainFree(seen);
    virConnectClose(reader);
    virDomainFree(domain);
}

/* Ours: elements of later versions are kept; libvirt drops what it does not know (xml.md 7). */
static void unknown_elements_survive(void **state)
{
    static const char element[] = "<later xmlns='http://example.org/later' a='1'><b/></later>";
    virDomainPtr domain = fixture_domain(*state, "later", 1);
    char *xml;

    redefine_document(domain, (struct document){
        .name = "s", .state = "shutoff", .created = "1", .more = element});
    xml = dump(domain, "s", 0);
    assert_true((strstr(xml, element) != NULL) == !api_is_libvirt());
    free(xml);
    virDomainFree(domain);
}

/* The inner definition is that of the time when the snapshot was made. */
static void definition_is_that_of_then(void **state)
{
    const struct fixture *fixture = *state;
    virDomainPtr domain = fixture_domain(fixture, "then", 0);
    char *definition = domain_definition(domain);
    char *size = strstr(definition, "16384</memory>");
    virDomainPtr larger;
    char *xml;

    virDomainSnapshotFree(snapshot_redefine(domain, "s", NULL, 0));
    memcpy(size, "32768", 5);
    larger = virDomainDefineXML(fixture->connection, definition);
    assert_non_null(larger);
    xml = dump(domain, "s", 0);
    assert_non_null(strstr(xml, "<memory unit='KiB'>16384</memory>"));
    free(xml);
    free(definition);
    virDomainFree(larger);
    virDomainFree(domain);
}

static void unknown_flags_are_refused(void **state)
{
    virDomainPtr domain = fixture_domain(*state, "bits", 0);
    virDomainSnapshotPtr snapshot = snapshot_redefine(domain, "s", NULL, 0);

    for (unsigned int bit = 2; bit; bit <<= 1) {
        assert_null(virDomainSnapshotGetXMLDesc(snapshot, bit));
        assert_error(VIR_ERR_INVALID_ARG, VIR_FROM_QEMU, NULL);
    }
    virDomainSnapshotFree(snapshot);
    virDomainFree(domain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(layout_of_a_created_snapshot),
        fixture_test(layout_of_redefined_snapshots),
        fixture_test(output_is_redefined_to_itself),
        fixture_test(password_is_given_to_whom_asks_for_it),
        fixture_test(d21_insecure_dump_keeps_the_password),
        fixture_test(reader_gets_no_secrets),
        fixture_test(unknown_elements_survive),
        fixture_test(definition_is_that_of_then),
        fixture_test(unknown_flags_are_refused),
    };

    return run_family("snapshot_xml", tests);
}
