/* The library under test, under the same names however it was reached.
 *
 * Built with VIRSNAP_TEST_DLOPEN, each name is a pointer out of the library that the environment
 * names, which may be the real libvirt. Built with VIRSNAP_TEST_PRELOAD, it is libvirt's own, unless
 * another library was preloaded; otherwise it is what the linker found. */
#ifndef VIRSNAP_TEST_API_H
#define VIRSNAP_TEST_API_H

#include <stdbool.h>
#include <virsnap.h>

#ifdef VIRSNAP_TEST_DLOPEN
#include "api-table.h"
#endif

/* Makes the names callable; ends the program if the library cannot be loaded or lacks a function of
 * libvirt's. Before it, no function of the library may be called. */
void api_load(void);

/* The address of a function that only the real libvirt has, or NULL. */
void *api_find(const char *name);

/* Whether the library under test is the real libvirt. */
bool api_is_libvirt(void);

#endif
