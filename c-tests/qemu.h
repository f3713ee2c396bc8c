/* A real QEMU for tests: started for a definition, asked, killed.
 *
 * It has no kernel, and at GUEST_WORD a number that tells from which start its memory is. What belongs
 * to the process stands in DIR.run, beside the directory that a test calls its own. What cannot be
 * done ends the program. */
#ifndef VIRSNAP_TEST_QEMU_H
#define VIRSNAP_TEST_QEMU_H

#include <stddef.h>
#include <sys/types.h>

#define GUEST_WORD "0x500000"

enum { GUEST_PATH_SIZE = 4096 };

/* The image of disk `vd<letter>` in a definition; nothing if there is none. */
void source_path(const char *definition, char letter, char *path);

/* A file of the process: its sockets are `qmp` and `own`, what it prints is in `said`. */
void run_path(char *path, const char *directory, const char *name);

void pause_for_a_moment(void);

/* Starts QEMU for a definition, with that number in its memory, and lets it run. */
void begin_guest(const char *directory, const char *definition, int word);

/* Kills it, if there is one. */
void end_guest(const char *directory);

/* The guest's process, 0 if there is none. */
pid_t guest_process(const char *directory);

/* The answer to one command, given by the socket `own`. Freed by the caller. */
char *ask(const char *directory, const char *command);

/* The same, of a line of the human monitor. */
char *ask_human(const char *directory, const char *line);

/* What qemu-io says in the guest's process, as the disk's device. */
void device_io(const char *directory, char letter, const char *command, char *said, size_t size);

/* Writes 64 KiB of a pattern to each disk, as the guest's device, and flushes. */
void write_in_guest(const char *directory, int disks, int pattern);

#endif
