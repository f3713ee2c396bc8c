/* What the parts of the crash sweep share. */
#ifndef SWEEP_H
#define SWEEP_H

#include <stddef.h>
#include <stdint.h>

#include <virsnap.h>

enum { PATH_SIZE = 4096, XML_SIZE = 16384, FAILED = 1, BROKEN = 2 };

void die(const char *what) __attribute__((noreturn));

/* The output of a command, cut at the size; its exit status. `path` is put into `form`. */
int run(char *output, size_t size, const char *form, const char *path);

/* FNV-1a, 64 bits. */
uint64_t hash(const char *bytes, size_t length);

/* Of a text in which the time in names of new images is masked: it is another in each trial. */
uint64_t hash_of_text(const char *text);

/* What snapshots and guest show of a domain that has image files besides its first ones, and the
 * files that nothing accounts for. */
void print_layers(virDomainPtr domain, const char *directory);

/* The elements of a definition with variables of firmware and an emulated TPM; each of twice PATH_SIZE. */
void firmware_elements(const char *directory, char *nvram, char *tpm);

/* Gives both that content. */
void write_firmware(const char *directory, int byte);

/* Prints what both hold, and the copies that snapshots have of them. */
void print_firmware(const char *directory);

/* Prints what `look` prints, and answers as it does. A guest that was told to end may do so while it is
 * looked at: then it is looked again, without it. */
int look_at_what_is_left(int (*look)(void), const char *directory);

/* As a program does that asks for snapshots before it has attached its guest: what was cut off must not
 * be settled behind the guest's back. */
void look_before_attaching(virDomainPtr domain, const char *directory);

/* Gives the library the guest's monitor, if there is a guest. */
void attach_guest(virDomainPtr domain, const char *directory);

/* Sends the guest's memory away: it is paused then, and has given its images away. */
void send_guest_away(const char *directory);

/* What the guest does, and what its memory and disks hold. */
void print_guest(virDomainPtr domain, const char *directory);

#endif
