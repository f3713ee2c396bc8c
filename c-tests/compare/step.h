/* One call of the sequence, chosen at random, made and reported. */
#ifndef VIRSNAP_COMPARE_STEP_H
#define VIRSNAP_COMPARE_STEP_H

#include "document.h"
#include "output.h"

/* Flags that libvirt's QEMU driver takes, or whose mere presence is worth a try. */
enum {
    CREATE_FLAGS = 0x3ff,
    LIST_FLAGS = 0x7ff,
    REVERT_FLAGS = 0xf,
    DELETE_FLAGS = 0x7,
    UNDEFINE_FLAGS = 0x7f,
};

/* A handle to call with, and what a line calls it. */
struct chosen_snapshot {
    virDomainSnapshotPtr snapshot;
    char label[400];
};

struct chosen_domain {
    virDomainPtr domain;
    const char *label;
};

struct chosen_snapshot choose_snapshot(struct world *world);
struct chosen_domain choose_domain(struct world *world);

/* Puts a new handle where a later step finds it, and says so in the line. */
void line_end_snapshot(struct line *line, struct world *world, virDomainSnapshotPtr snapshot);

/* Calls that change nothing (ask_*) and that may change something. */
void ask_list(struct world *world, unsigned int step);
void ask_children(struct world *world, unsigned int step);
void ask_domain(struct world *world, unsigned int step);
void ask_snapshot(struct world *world, unsigned int step);
void create(struct world *world, unsigned int step);
void grow(struct world *world, unsigned int step);
void redefine(struct world *world, unsigned int step);
void redefine_from_dump(struct world *world, unsigned int step);
void delete_snapshot(struct world *world, unsigned int step);
void revert(struct world *world, unsigned int step);
void change_domain(struct world *world, unsigned int step);
void change_guest(struct world *world, unsigned int step);

/* The whole hierarchy as the library tells it. */
void report_state(struct world *world, unsigned int step);

/* What is in the images of the domain. */
void report_images(struct world *world, unsigned int step);

#endif
