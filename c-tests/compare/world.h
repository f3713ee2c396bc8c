/* What one sequence of calls works on: a domain with its images, and handles from earlier calls. */
#ifndef VIRSNAP_COMPARE_WORLD_H
#define VIRSNAP_COMPARE_WORLD_H

#include "../harness.h"
#include "random.h"

enum { SLOTS = 6, MOST_DISKS = 4 };

/* The same for every sequence of a process. */
struct setting {
    const char *uri;
    const char *root;         /* a directory of this process alone; masked in all output */
    const char *definitions;  /* a directory with a definition for each kind of domain */
    virConnectPtr connection;
    virConnectPtr read_only;
    bool has_external;        /* external snapshots may be asked for */
    bool has_common_flags;    /* leave out what libvirt's test driver takes otherwise */
    bool has_rename;          /* domains may be renamed */
    bool has_guests;          /* domains may run */
    bool has_data;            /* libvirt's test driver touches no image */
};

struct disk {
    char target[8];
    char path[PATH_SIZE];  /* empty: a drive without medium */
    bool is_qcow2;
};

struct slot {
    virDomainSnapshotPtr snapshot;
    bool is_read_only;
};

struct world {
    const struct setting *setting;
    struct random random;
    unsigned int number;       /* of the sequence */
    const char *kind;          /* of domain */
    bool has_external;
    char name[64];
    char uuid[40];
    char *definition;          /* a fixed point of libvirt's own formatting */
    struct disk disks[MOST_DISKS];
    size_t disk_count;
    virDomainPtr domain;
    virDomainPtr read_only;
    struct slot slots[SLOTS];
    unsigned int fresh_names;  /* given out so far */
    bool has_unnamed;          /* one unnamed snapshot a sequence: its name is the second */
    unsigned char pattern;     /* last written by the guest */
};

/* The kinds of domain, ended by NULL: first those that libvirt's test driver treats as QEMU's. */
extern const char *const domain_kinds[];

/* Defines the domain of a sequence with images of its own. */
void world_open(struct world *world, const struct setting *setting, uint64_t seed,
                unsigned int number);

/* The same on the first kind of domain: one qcow2 disk. */
void world_open_simple(struct world *world, const struct setting *setting, unsigned int number);

/* Opens both connections of a setting; ends the program if it cannot. */
void open_connections(struct setting *setting);

/* Frees every handle, removes the domain and its images. */
void world_close(struct world *world);

/* Writes each kind of domain as the library under test, libvirt, gives it back. */
void write_definitions(const struct setting *setting, const char *domain_type);

/* The whole file. Freed by the caller. */
char *read_file(const char *path);

/* The text with each occurrence of `old` replaced. Freed by the caller. */
char *replaced(const char *text, const char *old, const char *new_text);

/* Writes a byte pattern to the start of each image, as a guest would. */
void guest_writes(struct world *world);

/* Stops the guest, if the library can. */
void guest_stop(struct world *world);

#endif
