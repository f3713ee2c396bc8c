/* What is in an image, as QEMU's own programs see it. */
#ifndef VIRSNAP_TEST_IMAGES_H
#define VIRSNAP_TEST_IMAGES_H

#include "harness.h"

/* The names of an image's internal snapshots, as `qemu-img snapshot -l` lists them, separated by
 * blanks. Freed by the caller. */
char *image_snapshots(const char *path);

/* Makes an internal snapshot behind the library's back. */
void image_snapshot_create(const char *path, const char *name);
void image_snapshot_delete(const char *path, const char *name);

/* Fills the first 64 KiB with a byte. */
void image_write(const char *path, unsigned char byte);

/* Whether the first 64 KiB hold nothing but that byte. */
bool image_holds(const char *path, unsigned char byte);

/* Runs a program, the first of these words (the last is NULL), and gives its exit status; what it
 * writes to standard output is freed by the caller. */
int run_program(const char *const *words, char **output);

#endif
