#include "documents.h"

#include <stdlib.h>
#include <string.h>

char *with_directory(const struct fixture *fixture, const char *text)
{
    char *path = fixture_path(fixture, "x");
    char *result = format("%s", "");
    size_t length = strlen(path) - 2;

    for (const char *at = text; *at;) {
        const char *next = strstr(at, "DIR");
        int plain = (int)(next ? (size_t)(next - at) : strlen(at));
        char *longer = format("%s%.*s%.*s", result, plain, at, next ? (int)length : 0, path);

        free(result);
        result = longer;
        at += plain + (next ? 3 : 0);
    }
    free(path);
    return result;
}

virDomainSnapshotPtr document_redefine(const struct fixture *fixture, virDomainPtr domain,
                                       const char *state, const char *more, unsigned int flags)
{
    char *definition = domain_definition(domain);
    char *elements = with_directory(fixture, more);
    char *xml = document_xml((struct document){
        .name = "n", .state = state, .created = "5", .more = elements, .domain = definition});
    virDomainSnapshotPtr snapshot =
        virDomainSnapshotCreateXML(domain, xml, VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE | flags);

    free(xml);
    free(elements);
    free(definition);
    return snapshot;
}

char *document_head(virDomainSnapshotPtr snapshot)
{
    char *xml = virDomainSnapshotGetXMLDesc(snapshot, VIR_DOMAIN_SNAPSHOT_XML_SECURE);
    char *begin;
    char *end;
    char *text;

    assert_non_null(xml);
    begin = strstr(xml, "</creationTime>\n") + strlen("</creationTime>\n");
    end = strstr(xml, "  <domain type=");
    assert_non_null(end);
    *end = '\0';
    text = format("%s", begin);
    free(xml);
    return text;
}
