/* Documents that are redefined, and what comes back of them. */
#ifndef VIRSNAP_TEST_DOCUMENTS_H
#define VIRSNAP_TEST_DOCUMENTS_H

#include "snapshots.h"

/* The text with the directory of the fixture's images for each DIR. Freed by the caller. */
char *with_directory(const struct fixture *fixture, const char *text);

/* Redefines "n", of second 5, with these elements and the domain's own definition. A new handle, or
 * NULL if that is refused. */
virDomainSnapshotPtr document_redefine(const struct fixture *fixture, virDomainPtr domain,
                                       const char *state, const char *more, unsigned int flags);

/* What a document says between <creationTime> and the definition. Freed by the caller. */
char *document_head(virDomainSnapshotPtr snapshot);

#endif
