/* Hierarchies made from text and shown as text. */
#include "snapshots.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_WORDS = 128 };

/* An element with a text, or nothing where there is no text. */
static char *element(const char *name, const char *text)
{
    return text ? format("<%s>%s</%s>", name, text, name) : format("%s", "");
}

char *document_xml(struct document document)
{
    char *name = element("name", document.name);
    char *state = element("state", document.state);
    char *parent_name = element("name", document.parent);
    char *parent = element("parent", document.parent ? parent_name : NULL);
    char *created = element("creationTime", document.created);
    char *xml = format("<domainsnapshot>%s%s%s%s%s%s</domainsnapshot>", name, state, parent,
                       created, document.more ? document.more : "",
                       document.domain ? document.domain : "");

    free(created);
    free(parent);
    free(parent_name);
    free(state);
    free(name);
    return xml;
}

char *domain_definition(virDomainPtr domain)
{
    char *xml = virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_SECURE | VIR_DOMAIN_XML_INACTIVE);

    assert_non_null(xml);
    return xml;
}

virDomainSnapshotPtr snapshot_redefine(virDomainPtr domain, const char *name, const char *parent,
                                       unsigned int flags)
{
    char *definition = domain_definition(domain);
    char *xml = document_xml((struct document){
        .name = name,
        .state = "shutoff",
        .parent = parent,
        .created = "1000000000",
        .domain = definition,
    });
    virDomainSnapshotPtr snapshot =
        virDomainSnapshotCreateXML(domain, xml, VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE | flags);

    if (!snapshot)
        print_error("%s: %s\n", name, virGetLastErrorMessage());
    assert_non_null(snapshot);
    free(xml);
    free(definition);
    return snapshot;
}

enum which { EACH_AS_MARKED, EACH_WITHOUT_MARK, ONLY_MARKED };

static void redefine_words(virDomainPtr domain, const char *tree, enum which which)
{
    char *words = format("%s", tree);
    char *rest = NULL;

    for (char *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        bool is_marked = word[0] == '*';
        bool makes_current = is_marked && which != EACH_WITHOUT_MARK;
        char *name = is_marked ? word + 1 : word;
        char *parent = strchr(name, '<');

        if (which == ONLY_MARKED && !is_marked)
            continue;
        if (parent)
            *parent++ = '\0';
        assert_int_equal(
            virDomainSnapshotFree(snapshot_redefine(
                domain, name, parent, makes_current ? VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT : 0)),
            0);
    }
    free(words);
}

void redefine_each(virDomainPtr domain, const char *tree)
{
    redefine_words(domain, tree, EACH_AS_MARKED);
}

void tree_redefine(virDomainPtr domain, const char *tree)
{
    redefine_words(domain, tree, EACH_WITHOUT_MARK);
    redefine_words(domain, tree, ONLY_MARKED);
}

static char *node_text(virDomainSnapshotPtr snapshot)
{
    virDomainSnapshotPtr parent = virDomainSnapshotGetParent(snapshot, 0);
    const char *name = virDomainSnapshotGetName(snapshot);
    int is_current = virDomainSnapshotIsCurrent(snapshot, 0);
    char *text;

    assert_in_range(is_current, 0, 1);
    assert_int_equal(virDomainSnapshotHasMetadata(snapshot, 0), 1);
    text = format("%s%s%s%s", is_current ? "*" : "", name, parent ? "<" : "",
                  parent ? virDomainSnapshotGetName(parent) : "");
    if (parent)
        virDomainSnapshotFree(parent);
    return text;
}

char *tree_text(virDomainPtr domain)
{
    virDomainSnapshotPtr *snapshots = NULL;
    int count = virDomainListAllSnapshots(domain, &snapshots, 0);
    char *text = format("%s", "");

    assert_true(count >= 0);
    for (int i = 0; i < count; i++) {
        char *node = node_text(snapshots[i]);
        char *longer = format("%s%s%s", text, i ? " " : "", node);

        free(node);
        free(text);
        text = longer;
        virDomainSnapshotFree(snapshots[i]);
    }
    free(snapshots);
    return sorted(text);
}

/* Compares the names; the current one's mark and the parent's name do not count. */
static int by_name(const void *left, const void *right)
{
    const char *a = *(char *const *)left;
    const char *b = *(char *const *)right;

    a += a[0] == '*';
    b += b[0] == '*';
    while (*a && *a != '<' && *a == *b) {
        a++;
        b++;
    }
    return (*a == '<' ? 0 : (unsigned char)*a) - (*b == '<' ? 0 : (unsigned char)*b);
}

char *sorted(char *words)
{
    char *vector[MOST_WORDS];
    size_t count = 0;
    char *rest = NULL;
    char *text = format("%s", "");

    for (char *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        assert_true(count < MOST_WORDS);
        vector[count++] = word;
    }
    qsort(vector, count, sizeof(vector[0]), by_name);
    for (size_t i = 0; i < count; i++) {
        char *longer = format("%s%s%s", text, i ? " " : "", vector[i]);

        free(text);
        text = longer;
    }
    free(words);
    return text;
}

/* Joins and frees what a list of handles gave. */
static char *joined_handles(virDomainSnapshotPtr *snapshots, int count)
{
    char *text = format("%s", "");

    assert_true(count >= 0);
    assert_non_null(snapshots);
    assert_null(snapshots[count]);
    for (int i = 0; i < count; i++) {
        char *longer =
            format("%s%s%s", text, i ? " " : "", virDomainSnapshotGetName(snapshots[i]));

        free(text);
        text = longer;
        assert_int_equal(virDomainSnapshotFree(snapshots[i]), 0);
    }
    free(snapshots);
    return text;
}

static void assert_names(char *const *names, int count, const char *expected)
{
    char *text = format("%s", "");

    for (int i = 0; i < count; i++) {
        char *longer = format("%s%s%s", text, i ? " " : "", names[i]);

        free(text);
        free(names[i]);
        text = longer;
    }
    assert_text(text, expected);
}

char *domain_list(virDomainPtr domain, unsigned int flags)
{
    virDomainSnapshotPtr *snapshots = NULL;
    char *names[MOST_WORDS] = {NULL};
    int count = virDomainListAllSnapshots(domain, &snapshots, flags);
    char *text = joined_handles(snapshots, count);

    assert_int_equal(virDomainSnapshotNum(domain, flags), count);
    assert_int_equal(virDomainListAllSnapshots(domain, NULL, flags), count);
    assert_int_equal(virDomainSnapshotListNames(domain, names, MOST_WORDS, flags), count);
    assert_names(names, count, text);
    return text;
}

char *children_list(virDomainPtr domain, const char *name, unsigned int flags)
{
    virDomainSnapshotPtr snapshot = snapshot_lookup(domain, name);
    virDomainSnapshotPtr *snapshots = NULL;
    char *names[MOST_WORDS] = {NULL};
    int count = virDomainSnapshotListAllChildren(snapshot, &snapshots, flags);
    char *text = joined_handles(snapshots, count);

    assert_int_equal(virDomainSnapshotNumChildren(snapshot, flags), count);
    assert_int_equal(virDomainSnapshotListAllChildren(snapshot, NULL, flags), count);
    assert_int_equal(virDomainSnapshotListChildrenNames(snapshot, names, MOST_WORDS, flags),
                     count);
    assert_names(names, count, text);
    virDomainSnapshotFree(snapshot);
    return text;
}

virDomainSnapshotPtr snapshot_lookup(virDomainPtr domain, const char *name)
{
    virDomainSnapshotPtr snapshot = virDomainSnapshotLookupByName(domain, name, 0);

    if (!snapshot)
        print_error("%s: %s\n", name, virGetLastErrorMessage());
    assert_non_null(snapshot);
    return snapshot;
}

char *snapshot_text(virDomainPtr domain, const char *name)
{
    virDomainSnapshotPtr snapshot = snapshot_lookup(domain, name);
    char *xml = virDomainSnapshotGetXMLDesc(snapshot, VIR_DOMAIN_SNAPSHOT_XML_SECURE);

    assert_non_null(xml);
    virDomainSnapshotFree(snapshot);
    return xml;
}

void snapshot_delete(virDomainPtr domain, const char *name, unsigned int flags)
{
    virDomainSnapshotPtr snapshot = snapshot_lookup(domain, name);

    if (virDomainSnapshotDelete(snapshot, flags) != 0) {
        print_error("%s: %s\n", name, virGetLastErrorMessage());
        fail();
    }
    virDomainSnapshotFree(snapshot);
}

void check_text(char *found, const char *expected, const char *file, int line)
{
    _assert_string_equal(found, expected, file, line);
    free(found);
}
