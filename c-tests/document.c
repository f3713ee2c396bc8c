/* What a document may say beside disks, and how it comes back. */
#include "documents.h"

#include <stdlib.h>
#include <string.h>

enum {
    REDEFINE = VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE,
    VALIDATE = VIR_DOMAIN_SNAPSHOT_CREATE_VALIDATE,
    SECURE = VIR_DOMAIN_SNAPSHOT_XML_SECURE,
};

/* What a replaced snapshot says of the machine must stay. */
static void another_machine_is_no_replacement(void **state)
{
    static const struct {
        const char *from;
        const char *to;
        const char *message;
    } rows[] = {
        {">1</vcpu>", ">2</vcpu>",
         "unsupported configuration: Target domain vCPU max 2 does not match source 1"},
        {"<name>same</name>", "<name>else</name>",
         "unsupported configuration: Target domain name 'else' does not match source 'same'"},
        {">16384</memory>", ">32768</memory>",
         "unsupported configuration: Target domain max memory 32768 does not match source 16384"},
    };
    const struct fixture *fixture = *state;
    virDomainPtr domain = fixture_domain(fixture, "same", 1);
    virDomainSnapshotPtr snapshot = document_redefine(fixture, domain, "shutoff", "", 0);
    char *definition = domain_definition(domain);

    assert_non_null(snapshot);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *at = strstr(definition, rows[i].from);
        char *changed;
        char *xml;

        assert_non_null(at);
        changed = format("%.*s%s%s", (int)(at - definition), definition, rows[i].to,
                         at + strlen(rows[i].from));
        xml = document_xml((struct document){
            .name = "n", .state = "shutoff", .created = "5", .domain = changed});
        assert_null(virDomainSnapshotCreateXML(domain, xml, REDEFINE));
        assert_error(VIR_ERR_CONFIG_UNSUPPORTED, VIR_FROM_DOMAIN, rows[i].message);
        free(xml);
        free(changed);
    }
    free(definition);
    virDomainSnapshotFree(snapshot);
    virDomainFree(domain);
}

/* What libvirt keeps of a running guest, and asks for again when it reverts. */
static void what_stands_behind_the_definition_is_kept(void **state)
{
    static const char inactive[] =
        "<inactiveDomain type='qemu'><name>kept</name><memory>16384</memory>"
        "<os><type arch='x86_64' machine='pc'>hvm</type></os></inactiveDomain>";
    static const char cookie[] =
        "<cookie><cpu mode='custom' match='exact' check='partial'>"
        "<model fallback='allow'>qemu64</model></cpu></cookie>";
    const struct fixture *fixture = *state;
    virDomainPtr domain = fixture_domain(fixture, "kept", 1);
    char *more = format("%s%s", inactive, cookie);
    virDomainSnapshotPtr snapshot = document_redefine(fixture, domain, "running", more, 0);
    char *xml;
    char *again;

    assert_non_null(snapshot);
    xml = virDomainSnapshotGetXMLDesc(snapshot, SECURE);
    assert_non_null(strstr(xml, "\n  <inactiveDomain type='qemu'>"));
    assert_non_null(strstr(xml, "</inactiveDomain>\n  <cookie>"));
    assert_non_null(strstr(xml, "<model fallback='allow'>qemu64</model>"));
    /* Nothing of it is lost on the way through another redefinition. */
    virDomainSnapshotFree(virDomainSnapshotCreateXML(domain, xml, REDEFINE));
    again = virDomainSnapshotGetXMLDesc(snapshot, SECURE);
    assert_text(again, xml);
    free(xml);
    virDomainSnapshotFree(snapshot);
    /* A snapshot without memory has no CPU to start with. */
    snapshot_delete(domain, "n", VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY);
    snapshot = document_redefine(fixture, domain, "shutoff", cookie, 0);
    assert_non_null(snapshot);
    xml = virDomainSnapshotGetXMLDesc(snapshot, SECURE);
    assert_null(strstr(xml, "<cookie>"));
    free(xml);
    free(more);
    virDomainSnapshotFree(snapshot);
    virDomainFree(domain);
}

/* VALIDATE goes by the schema: what is only ignored otherwise is an error. */
static void validation_refuses_what_the_schema_does_not_know(void **state)
{
    static const struct {
        const char *state;
        const char *more;
        bool is_valid;
    } rows[] = {
        {"shutoff", "", true},
        {"shutoff", "<description>d</description><memory snapshot='no'/>", true},
        {"disk-snapshot", "<disks><disk name='vda' snapshot='external' type='file'>"
                          "<driver type='qcow2'/><source file='/o'/></disk></disks>", true},
        {"shutoff", "<disks><disk name='vda' snapshot='internal'/></disks>", true},
        {"shutoff", "<unknown/>", false},
        {"shutoff", "<disks><disk name='vda' snapshot='maybe'/></disks>", false},
        {"shutoff", "<disks><disk/></disks>", false},
        {"running", "<memory snapshot='external' file='near'/>", false},
        {"asleep", "", false},
    };
    const struct fixture *fixture = *state;
    virDomainPtr domain = fixture_domain(fixture, "valid", 1);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        virDomainSnapshotPtr snapshot =
            document_redefine(fixture, domain, rows[i].state, rows[i].more, VALIDATE);

        if (!snapshot == rows[i].is_valid)
            print_error("%s: %s\n", rows[i].more, virGetLastErrorMessage());
        assert_int_equal(snapshot != NULL, rows[i].is_valid);
        if (!snapshot) {
            assert_error(VIR_ERR_XML_INVALID_SCHEMA, VIR_FROM_XML, NULL);
            continue;
        }
        snapshot_delete(domain, "n", VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY);
        virDomainSnapshotFree(snapshot);
    }
    virDomainFree(domain);
}

/* libvirt 9.0 leaves the time out of its file, and cannot load it again. */
static void a_time_of_zero_can_be_loaded_again(void **state)
{
    struct fixture *fixture = *state;
    virDomainPtr domain;
    char *definition;
    char *xml;

    if (api_is_libvirt())
        skip();
    domain = fixture_domain(fixture, "epoch", 1);
    definition = domain_definition(domain);
    xml = document_xml((struct document){
        .name = "z", .state = "shutoff", .created = "0", .domain = definition});
    virDomainSnapshotFree(virDomainSnapshotCreateXML(domain, xml, REDEFINE));
    free(xml);
    free(definition);
    virDomainFree(domain);
    assert_int_equal(virConnectClose(fixture->connection), 0);
    fixture->connection = virConnectOpen(fixture->uri);
    assert_non_null(fixture->connection);
    domain = virDomainLookupByName(fixture->connection, "epoch");
    assert_non_null(domain);
    assert_text(tree_text(domain), "z");
    virDomainFree(domain);
}

/* Names and texts as they are; an empty element is none; the first of several counts. */
static void texts_are_taken_as_they_are(void **state)
{
    static const struct {
        const char *xml;
        const char *name;
        const char *description;
    } rows[] = {
        {"<domainsnapshot><name> a </name></domainsnapshot>", " a ", NULL},
        {"<domainsnapshot><name>b</name><name>c</name></domainsnapshot>", "b", NULL},
        {"<domainsnapshot><name>d</name><description/></domainsnapshot>", "d", NULL},
        {"<domainsnapshot><name>e</name><description> f\n</description></domainsnapshot>", "e",
         "<description> f\n</description>"},
        {"<?xml version='1.0'?><!-- g --><domainsnapshot><name>h%s&amp;\"</name>"
         "<state>nonsense</state><parent><name>nobody</name></parent><active>9</active>"
         "<domain type='x'/><other/></domainsnapshot>", "h%s&\"", NULL},
    };
    virDomainPtr domain = fixture_domain(*state, "texts", 1);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        virDomainSnapshotPtr snapshot = virDomainSnapshotCreateXML(domain, rows[i].xml, 0);
        char *xml;

        assert_non_null(snapshot);
        assert_string_equal(virDomainSnapshotGetName(snapshot), rows[i].name);
        xml = virDomainSnapshotGetXMLDesc(snapshot, 0);
        if (rows[i].description)
            assert_non_null(strstr(xml, rows[i].description));
        else
            assert_null(strstr(xml, "<description"));
        free(xml);
        virDomainSnapshotFree(snapshot);
    }
    virDomainFree(domain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(another_machine_is_no_replacement),
        fixture_test(what_stands_behind_the_definition_is_kept),
        fixture_test(validation_refuses_what_the_schema_does_not_know),
        fixture_test(a_time_of_zero_can_be_loaded_again),
        fixture_test(texts_are_taken_as_they_are),
    };

    return run_family("document", tests);
}
