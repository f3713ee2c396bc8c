/* A document made durable with the bare system calls. */
#ifndef VIRSNAP_BENCH_DURABLE_H
#define VIRSNAP_BENCH_DURABLE_H

/* Writes, syncs, renames into place and syncs the directory. */
void write_durably(const char *directory, const char *name, const char *text);

#endif
