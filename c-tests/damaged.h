/* Snapshots whose files something else has written, and what is said of them. */
#ifndef VIRSNAP_TEST_DAMAGED_H
#define VIRSNAP_TEST_DAMAGED_H

#include "snapshots.h"

/* A domain "guest" with s1 - s2 - { s3 (current) ; s4 }, closed. */
void furnish(struct fixture *fixture);

/* Opens the connection; a new handle of "guest". */
virDomainPtr open_guest(struct fixture *fixture);

/* Frees the handle, closes the connection. */
void close_guest(struct fixture *fixture, virDomainPtr domain);

/* A file of the domain's snapshots. Freed by the caller. */
char *document_path(const struct fixture *fixture, const char *file);

/* Writes one. */
void put(const struct fixture *fixture, const char *file, const char *text);
void put_bytes(const struct fixture *fixture, const char *file, const void *bytes, size_t count);
void write_bytes(const char *path, const void *bytes, size_t count);

/* Its text. Freed by the caller. */
char *read_document(const struct fixture *fixture, const char *file);

/* Writes it again with another text in one place. */
void change_document(const struct fixture *fixture, const char *file, const char *from,
                     const char *to);

/* The problems as "kind name file", one a line, in the order of the list; they are freed. Freed by the caller. */
char *problems_text(virSnapProblemPtr *problems, int count);

void assert_problems(virDomainPtr domain, const char *expected);
void assert_tree(virDomainPtr domain, const char *expected);

/* The last error is an internal one that names the file. */
void assert_refused(const char *file);

#endif
