/* The images of the guests guest-a, which is the library's, and guest-b, its twin. */
#ifndef VIRSNAP_BENCH_IMAGES_H
#define VIRSNAP_BENCH_IMAGES_H

#include "bench.h"

/* An image, or an overlay on it. */
void image_path(char path[PATH_SIZE], const struct run *run, char guest, int disk);
void overlay_path(char path[PATH_SIZE], const struct run *run, char guest);

/* Makes empty ones of 64 MiB. */
void make_images(const struct run *run, char guest, int disks);

/* A new snapshot of the domain: inside of its images, or of its one disk with an overlay. */
virDomainSnapshotPtr create_internal(const struct run *run);
virDomainSnapshotPtr create_external(const struct run *run);

/* Deletes it, with its data. */
void delete_snapshot(virDomainSnapshotPtr snapshot);

#endif
