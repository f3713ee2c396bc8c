/* Snapshots in the form in which tests compare them: text. */
#ifndef VIRSNAP_TEST_SNAPSHOTS_H
#define VIRSNAP_TEST_SNAPSHOTS_H

#include "harness.h"

/* What a <domainsnapshot> to redefine says; what is NULL is left out. */
struct document {
    const char *name;
    const char *state;
    const char *parent;
    const char *created;
    const char *more;  /* any elements */
    const char *domain;  /* a whole <domain> */
};

/* The document's text. Freed by the caller. */
char *document_xml(struct document document);

/* The domain's own definition with its secrets. Freed by the caller. */
char *domain_definition(virDomainPtr domain);

/* A new handle of a shut-off snapshot taken in with the domain's own definition; parent may be
 * NULL. */
virDomainSnapshotPtr snapshot_redefine(virDomainPtr domain, const char *name, const char *parent,
                                       unsigned int flags);

/* Makes a hierarchy by redefining, from its names and parents: "r *a<r b<r" has the current
 * snapshot a and its sibling b below r. Parents stand first; the current one is redefined again at
 * the end, with CURRENT, so that it is current whatever the connection's rule. */
void tree_redefine(virDomainPtr domain, const char *tree);

/* Redefines each of these once, in this order, the marked ones with CURRENT. */
void redefine_each(virDomainPtr domain, const char *tree);

/* The domain's hierarchy in the same form, sorted by name. Freed by the caller. */
char *tree_text(virDomainPtr domain);

/* The names that a domain's lists give for these flags, in that order, separated by blanks. The
 * three kinds of list must agree. Freed by the caller. */
char *domain_list(virDomainPtr domain, unsigned int flags);

/* The same of the snapshots below one. */
char *children_list(virDomainPtr domain, const char *snapshot, unsigned int flags);

/* The same words sorted. Frees its argument; freed by the caller. */
char *sorted(char *words);

/* A new handle. */
virDomainSnapshotPtr snapshot_lookup(virDomainPtr domain, const char *name);

/* A snapshot's document with its secrets. Freed by the caller. */
char *snapshot_text(virDomainPtr domain, const char *name);

void snapshot_delete(virDomainPtr domain, const char *name, unsigned int flags);

/* Two texts are equal; the first, which is freed, is what was found. */
#define assert_text(found, expected) check_text((found), (expected), __FILE__, __LINE__)
void check_text(char *found, const char *expected, const char *file, int line);

#endif
