/* What the parts of the benchmark share: the run, its documents, clocks and lines of figures. */
#ifndef VIRSNAP_BENCH_H
#define VIRSNAP_BENCH_H

#include <stddef.h>
#include <stdint.h>

#include "../c-tests/api.h"

enum { PATH_SIZE = 4096, NAME_SIZE = 32, XML_SIZE = 16384 };

/* Rounds of what is timed beside the same work done bare: odd, so there is a middle. */
enum { MEDIAN_OF = 11 };

/* How the snapshots hang together, and whether the definitions in them are alike. */
enum shape {
    CHAIN,     /* each below the one before */
    WIDE,      /* all below the first */
    RANDOM,    /* each below any of those before it; the same in every run */
    BALANCED,  /* eight children each */
    GROUP,     /* the first, one below it with 1,000 children, the rest below the first */
    UNLIKE,    /* as RANDOM, the definition in each with a title of its own */
    SHAPES,
};

extern const char *const shape_names[SHAPES];

/* One process's run: one library, one state, one hierarchy. */
struct run {
    const char *root;    /* where the library keeps its state */
    const char *images;  /* where the domain's images are, as its definition says */
    enum shape shape;
    int count;           /* snapshots of the hierarchy */
    double seconds;      /* a phase that repeats stops after that long */
    char *template;      /* the domain's definition, before its images' directory is put in */
    virConnectPtr connection;
    virDomainPtr domain;
};

/* A stretch of time. */
struct span {
    double wall, cpu;  /* seconds */
};

/* One way to do something, timed in each round. */
struct way {
    struct span rounds[MEDIAN_OF];
};

/* Whether a library is loaded; without one, its functions may not be called. */
extern bool has_library;

/* Ends the program with what the library says, if `fact` is false. */
void expect(bool fact, const char *what);

/* Memory that is there, or the end of the program. */
void *must_have(void *memory);

/* Now, and the time since then. CPU time is this process's own, its children's not included. */
struct span clock_now(void);
struct span clock_since(struct span start);

/* Bytes of the process that are in memory. */
long resident_bytes(void);

/* One line of figures on standard output: the mean of `operations` that took `span` together. */
void report(const struct run *run, const char *phase, long operations, struct span span);

/* What the library does, and the same done bare. */
struct pair {
    struct way ours, bare;
};

/* A snapshot created, and deleted again. */
struct both {
    struct pair create, delete;
};

/* What a round took that began then. */
void time_round(struct way *way, int round, struct span start);

/* One line with the median of the rounds: one that other work of the machine holds up must not count for
 * many. */
void report_median(const struct run *run, const char *phase, const struct way *way);

/* The medians of both, of the bare one as PHASE_bare. */
void report_pair(const struct run *run, const char *phase, const struct pair *pair);

/* One line with the median of how much longer a way took than another in the same round. */
void report_excess(const struct run *run, const char *phase, const struct way *way, const struct way *bare);

/* One line with a figure that is no time. */
void report_figure(const struct run *run, const char *phase, const char *unit, double value);

/* A number below `bound`; the same sequence in every run. */
uint32_t random_below(uint32_t bound);

/* The parent of a snapshot of the shape, or -1. */
int parent_of(enum shape shape, int number);

/* Every parent of the hierarchy. Freed by the caller. */
int *parents_of(enum shape shape, int count);

void snapshot_name(char name[NAME_SIZE], int number);

/* The definition of the domain guest-SUFFIX, as libvirt writes it; freed by the caller. */
char *definition_of(const struct run *run, char suffix);

/* The document of a snapshot: 3 disks and the definition, as libvirt writes it. */
void snapshot_xml(char xml[XML_SIZE], const char *nested_definition, int number, int parent);

/* Gives the definition in a document a title that no other one has. */
void set_title(char xml[XML_SIZE], int number);

/* A definition two columns deeper, as it stands in a snapshot's document; freed by the caller. */
char *nested(const char *definition);

/* A file's text, at most XML_SIZE - 1 bytes; freed by the caller. */
char *read_file(const char *path);

/* Connects; where `with_domain`, finds the domain guest-a or defines it. */
void open_run(struct run *run, bool with_domain);
void close_run(struct run *run);

/* The groups of phases; each is run in a process of its own. */
void bench_empty(struct run *run);
void bench_define(struct run *run);
void bench_build(struct run *run);
void bench_load(struct run *run);
void bench_load_again(struct run *run);
void bench_calls(struct run *run);
void bench_lists(struct run *run);
void bench_threads(struct run *run);
void bench_delete_leaves(struct run *run);
void bench_delete_node(struct run *run);
void bench_delete_root(struct run *run);
void bench_delete_subtree(struct run *run);
void bench_undefine(struct run *run);
void bench_transfer(struct run *run);
void bench_import(struct run *run);
void bench_durable(struct run *run);
void bench_durable_domains(struct run *run);
void bench_durable_threads(struct run *run);
void bench_real(struct run *run);
void bench_one_disk(struct run *run);
void bench_merge(struct run *run);
void bench_live(struct run *run);
void bench_limits(struct run *run);

#endif
