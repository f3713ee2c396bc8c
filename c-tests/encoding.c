/* Documents in other encodings, and in none. libvirt reads each as UTF-8, whatever it declares, up to
 * its first NUL: so what is UTF-8 is taken as it is, and what is not is not well-formed. */
#include "snapshots.h"

#include <stdlib.h>
#include <string.h>

#define UUID "c7a5fdbd-edaf-9455-926a-d65c16db1809"
#define DECLARED(encoding) "<?xml version='1.0' encoding='" encoding "'?>"
#define BOM "\xef\xbb\xbf"

enum outcome {
    TAKEN,
    REFUSED,
    /* differences.md, declared-encoding */
    TAKEN_HERE_ONLY,
};

static const struct {
    const char *head;
    const char *text;
    enum outcome outcome;
} rows[] = {
    {"", "x", TAKEN},
    {DECLARED("UTF-8"), "\xc3\xa4", TAKEN},
    {DECLARED("utf-8"), "\xf0\x9f\x98\x80", TAKEN},
    {BOM, "\xc3\xa4", TAKEN},
    {BOM DECLARED("ISO-8859-1"), "\xc3\xa4", TAKEN},
    {DECLARED("ISO-8859-1"), "\xc3\xa4", TAKEN},
    {DECLARED("US-ASCII"), "\xc3\xa4", TAKEN},
    {DECLARED("UTF-16"), "\xc3\xa4", TAKEN},
    {DECLARED("UCS-4"), "x", TAKEN},
    {DECLARED("UTF-7"), "+AOQ-", TAKEN},
    {DECLARED("X-NONE"), "x", TAKEN_HERE_ONLY},
    {DECLARED(""), "x", TAKEN_HERE_ONLY},
    /* What the declaration says, and the text is. */
    {DECLARED("ISO-8859-1"), "\xe4", REFUSED},
    {DECLARED("windows-1252"), "\x80", REFUSED},
    {DECLARED("KOI8-R"), "\xd6", REFUSED},
    {DECLARED("Shift_JIS"), "\x82\xa0", REFUSED},
    {DECLARED("UTF-8"), "\xe4", REFUSED},
    /* '/' in two, three and four bytes; NUL in two. */
    {"", "\xc0\xaf", REFUSED},
    {"", "\xe0\x80\xaf", REFUSED},
    {"", "\xf0\x80\x80\xaf", REFUSED},
    {"", "\xc0\x80", REFUSED},
    /* Half of a surrogate pair, and a whole one. */
    {"", "\xed\xa0\x80", REFUSED},
    {"", "\xed\xa0\xbd\xed\xb8\x80", REFUSED},
    /* Beyond Unicode, in four, five and six bytes. */
    {"", "\xf4\x90\x80\x80", REFUSED},
    {"", "\xf8\x88\x80\x80\x80", REFUSED},
    {"", "\xfc\x84\x80\x80\x80\x80", REFUSED},
    /* Cut off, without a beginning, and what is no character. */
    {"", "\xe2\x82", REFUSED},
    {"", "\x80", REFUSED},
    {"", "\xff", REFUSED},
    {"", "\xef\xbf\xbe", REFUSED},
    {"", "\x1b[31m", REFUSED},
};

static bool is_taken(enum outcome outcome)
{
    return outcome == TAKEN || (outcome == TAKEN_HERE_ONLY && !api_is_libvirt());
}

static char *definition(const char *head, const char *title)
{
    return format("%s<domain type='qemu'><name>encoded</name><uuid>" UUID "</uuid><title>%s</title>"
                  "<memory>16384</memory><os><type arch='x86_64'>hvm</type></os></domain>",
                  head, title);
}

static char *snapshot_document(const char *head, const char *description)
{
    char *domain = definition("", "t");
    char *document = format("%s<domainsnapshot><name>n</name><description>%s</description>"
                            "<state>shutoff</state><creationTime>5</creationTime>%s</domainsnapshot>",
                            head, description, domain);

    free(domain);
    return document;
}

/* The text stands in the document between these tags as it was given, and nothing is declared. */
static void assert_kept(char *document, const char *tag, const char *text)
{
    char *element = format("<%s>%s</%s>", tag, text, tag);

    assert_non_null(document);
    if (!strstr(document, element))
        fail_msg("'%s' is not in '%s'", element, document);
    assert_null(strstr(document, "encoding="));
    free(element);
    free(document);
}

static virDomainPtr define(const struct fixture *fixture)
{
    char *xml = definition("", "t");
    virDomainPtr domain = virDomainDefineXML(fixture->connection, xml);

    assert_non_null(domain);
    free(xml);
    return domain;
}

static void a_definition_is_read_as_utf8(void **state)
{
    const struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *xml = definition(rows[i].head, rows[i].text);
        virDomainPtr domain = virDomainDefineXML(fixture->connection, xml);

        if (!domain != !is_taken(rows[i].outcome))
            fail_msg("row %zu: %s", i, domain ? "taken" : virGetLastErrorMessage());
        if (domain) {
            assert_kept(virDomainGetXMLDesc(domain, 0), "title", rows[i].text);
            assert_int_equal(virDomainUndefine(domain), 0);
            virDomainFree(domain);
        } else {
            assert_error(VIR_ERR_XML_DETAIL, VIR_FROM_DOMAIN, NULL);
        }
        assert_int_equal(virConnectNumOfDefinedDomains(fixture->connection), 0);
        free(xml);
    }
}

static void a_snapshot_is_read_as_utf8(void **state)
{
    virDomainPtr domain = define(*state);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *xml = snapshot_document(rows[i].head, rows[i].text);
        virDomainSnapshotPtr snapshot =
            virDomainSnapshotCreateXML(domain, xml, VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE);

        if (!snapshot != !is_taken(rows[i].outcome))
            fail_msg("row %zu: %s", i, snapshot ? "taken" : virGetLastErrorMessage());
        if (snapshot) {
            assert_kept(virDomainSnapshotGetXMLDesc(snapshot, 0), "description", rows[i].text);
            virDomainSnapshotFree(snapshot);
            snapshot_delete(domain, "n", VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY);
        } else {
            assert_error(VIR_ERR_XML_DETAIL, VIR_FROM_DOMAIN_SNAPSHOT, NULL);
        }
        assert_text(tree_text(domain), "");
        free(xml);
    }
    virDomainFree(domain);
}

/* One of ASCII alone in units of so many bytes, behind a mark of the order if there is to be one.
 * Freed by the caller. */
static char *widened(const char *text, size_t width, bool is_big_endian, bool is_marked)
{
    size_t length = strlen(text) + (is_marked ? 1 : 0);
    char *wide = calloc(length + 1, width);
    size_t low = is_big_endian ? width - 1 : 0;
    size_t high = is_big_endian ? width - 2 : 1;

    assert_non_null(wide);
    if (is_marked) {
        wide[low] = '\xff';
        wide[high] = '\xfe';
    }
    for (size_t i = is_marked ? 1 : 0; i < length; i++)
        wide[i * width + low] = *text++;
    return wide;
}

/* In C's strings each of them ends at a NUL in its first character, or the one after. */
static void wide_characters_are_refused(void **state)
{
    const struct fixture *fixture = *state;
    char *domain_narrow = definition(DECLARED("UTF-16"), "t");
    char *snapshot_narrow = snapshot_document(DECLARED("UTF-16"), "d");
    virDomainPtr domain = define(fixture);

    for (unsigned int form = 0; form < 8; form++) {
        size_t width = form & 1 ? 4 : 2;
        char *xml = widened(domain_narrow, width, form & 2, form & 4);

        assert_null(virDomainDefineXML(fixture->connection, xml));
        assert_error(VIR_ERR_XML_DETAIL, VIR_FROM_DOMAIN, NULL);
        free(xml);
        xml = widened(snapshot_narrow, width, form & 2, form & 4);
        assert_null(virDomainSnapshotCreateXML(domain, xml, VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE));
        assert_error(VIR_ERR_XML_DETAIL, VIR_FROM_DOMAIN_SNAPSHOT, NULL);
        free(xml);
    }
    assert_int_equal(virConnectNumOfDefinedDomains(fixture->connection), 1);
    assert_text(tree_text(domain), "");
    virDomainFree(domain);
    free(snapshot_narrow);
    free(domain_narrow);
}

/* What stands behind a NUL is not there. */
static void a_document_ends_at_nul(void **state)
{
    virDomainPtr domain = define(*state);
    char *xml = snapshot_document("", "@");
    char *at = strchr(xml, '@');

    assert_non_null(at);
    *at = '\0';
    assert_null(virDomainSnapshotCreateXML(domain, xml, VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE));
    assert_error(VIR_ERR_XML_DETAIL, VIR_FROM_DOMAIN_SNAPSHOT, NULL);
    assert_null(virDomainSnapshotCreateXML(domain, "", VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE));
    assert_error(VIR_ERR_XML_DETAIL, VIR_FROM_DOMAIN_SNAPSHOT, NULL);
    free(xml);
    virDomainFree(domain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(a_definition_is_read_as_utf8),
        fixture_test(a_snapshot_is_read_as_utf8),
        fixture_test(wide_characters_are_refused),
        fixture_test(a_document_ends_at_nul),
    };

    return run_family("encoding", tests);
}
