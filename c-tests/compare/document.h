/* Documents to give to libvirt: good ones, slightly wrong ones and hostile ones. */
#ifndef VIRSNAP_COMPARE_DOCUMENT_H
#define VIRSNAP_COMPARE_DOCUMENT_H

#include "world.h"

/* A <domainsnapshot> that asks for a new snapshot. Freed by the caller. */
char *create_document(struct world *world);

/* A <domainsnapshot> of one that exists. Freed by the caller. */
char *redefine_document(struct world *world);

/* The same without faults. */
char *plain_create_document(struct world *world);
char *plain_redefine_document(struct world *world);

/* A <domain> for the sequence's domain: mostly its own. Freed by the caller. */
char *domain_document(struct world *world);

/* The sequence's definition with one thing changed, or not changed at all. Freed by the caller. */
char *changed_definition(struct world *world);

/* A definition as it stands in a <domainsnapshot>, as libvirt indents it. Frees its argument; freed
 * by the caller. */
char *nested_definition(char *definition);

/* The name of a snapshot that may exist. Freed by the caller. */
char *some_name(struct world *world);

/* One of those that REDEFINE takes in; their data never existed. Freed by the caller. */
char *tree_name(struct world *world);

/* The name of a snapshot that a handle is there for, as XML; or NULL. Freed by the caller. */
char *known_name(struct world *world);

/* A new name, mostly: one whose data is still in the images is refused here (D11). NULL for none;
 * freed by the caller. */
char *create_name(struct world *world);

#endif
