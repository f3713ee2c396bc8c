/* Clocks, memory, and lines of figures. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

bool has_library;

void expect(bool fact, const char *what)
{
    if (fact)
        return;
    fprintf(stderr, "snapbench: %s: %s\n", what, has_library ? virGetLastErrorMessage() : "");
    exit(EXIT_FAILURE);
}

void *must_have(void *memory)
{
    if (!memory) {
        perror("snapbench");
        exit(EXIT_FAILURE);
    }
    return memory;
}

static double read_clock(clockid_t id)
{
    struct timespec now;

    clock_gettime(id, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

struct span clock_now(void)
{
    return (struct span){read_clock(CLOCK_MONOTONIC), read_clock(CLOCK_PROCESS_CPUTIME_ID)};
}

struct span clock_since(struct span start)
{
    struct span now = clock_now();

    return (struct span){now.wall - start.wall, now.cpu - start.cpu};
}

long resident_bytes(void)
{
    FILE *file = must_have(fopen("/proc/self/statm", "r"));
    long all = 0;
    long resident = 0;

    expect(fscanf(file, "%ld %ld", &all, &resident) == 2, "/proc/self/statm");
    fclose(file);
    return resident * sysconf(_SC_PAGESIZE);
}

const char *const shape_names[SHAPES] = {"chain", "wide", "random", "balanced", "group", "unlike"};

static void begin_line(const struct run *run, const char *phase)
{
    printf("{\"library\":\"%s\",\"shape\":\"%s\",\"n\":%d,\"phase\":\"%s\"",
           !has_library ? "machine" : api_is_libvirt() ? "libvirt" : "virsnap",
           shape_names[run->shape], run->count, phase);
}

void report(const struct run *run, const char *phase, long operations, struct span span)
{
    double each = operations > 0 ? 1e6 / (double)operations : 0;

    begin_line(run, phase);
    printf(",\"operations\":%ld,\"wall_us\":%.4f,\"cpu_us\":%.4f}\n", operations,
           span.wall * each, span.cpu * each);
    fflush(stdout);
}

void time_round(struct way *way, int round, struct span start)
{
    way->rounds[round] = clock_since(start);
}

static int compare_times(const void *left, const void *right)
{
    double first = *(const double *)left;
    double second = *(const double *)right;

    return (first > second) - (first < second);
}

static double median(double times[MEDIAN_OF])
{
    qsort(times, MEDIAN_OF, sizeof(*times), compare_times);
    return times[MEDIAN_OF / 2];
}

void report_excess(const struct run *run, const char *phase, const struct way *way, const struct way *bare)
{
    double wall[MEDIAN_OF];
    double cpu[MEDIAN_OF];

    for (int i = 0; i < MEDIAN_OF; i++) {
        wall[i] = way->rounds[i].wall - bare->rounds[i].wall;
        cpu[i] = way->rounds[i].cpu - bare->rounds[i].cpu;
    }
    report(run, phase, 1, (struct span){median(wall), median(cpu)});
}

void report_median(const struct run *run, const char *phase, const struct way *way)
{
    static const struct way nothing;

    report_excess(run, phase, way, &nothing);
}

void report_pair(const struct run *run, const char *phase, const struct pair *pair)
{
    char bare[64];

    snprintf(bare, sizeof(bare), "%s_bare", phase);
    report_median(run, phase, &pair->ours);
    report_median(run, bare, &pair->bare);
}

void report_figure(const struct run *run, const char *phase, const char *unit, double value)
{
    begin_line(run, phase);
    printf(",\"%s\":%.3f}\n", unit, value);
    fflush(stdout);
}
