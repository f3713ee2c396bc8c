/* A real QEMU, told what to do by the benchmark itself. */
#ifndef VIRSNAP_BENCH_GUEST_H
#define VIRSNAP_BENCH_GUEST_H

#include <stdio.h>
#include <sys/types.h>

#include "bench.h"

enum { HEARD_SIZE = 1 << 16 };

/* A guest with the disk of guest-a or guest-b. It dies with this process. */
struct guest {
    pid_t pid;
    char library_socket[PATH_SIZE];  /* for whoever else wants to command it */
    char own_socket[PATH_SIZE];
    FILE *lines;                     /* what the monitor says on the second one */
    int monitor;
    char heard[HEARD_SIZE];          /* since the last command was given */
};

/* Starts one of 32 MiB, and waits until its monitor answers. */
void start_guest(struct guest *guest, const struct run *run, char suffix);

/* Ends it. */
void stop_guest(struct guest *guest);

/* Gives a command, `arguments` being the inside of an object, and waits for its answer, which must be no
 * error. */
void command(struct guest *guest, const char *name, const char *arguments);

/* A command of the human monitor, which must have nothing to say. */
void command_line(struct guest *guest, const char *line);

/* Waits until the monitor says that, unless it has since the last command. */
void hear(struct guest *guest, const char *text);

#endif
