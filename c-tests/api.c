/* Fills the table of function pointers from the library that VIRSNAP_TEST_LIBRARY names. */
#define API_TABLE_ONLY
#include "api.h"

#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct api api;

static void *library;

static const struct {
    const char *name;
    size_t offset;
} functions[] = {
#define FUNCTION(name) {#name, offsetof(struct api, name)},
    API_FUNCTIONS(FUNCTION)
#undef FUNCTION
};

void api_load(void)
{
    const char *path = getenv("VIRSNAP_TEST_LIBRARY");

    if (!path) {
        fprintf(stderr, "VIRSNAP_TEST_LIBRARY must name the library to test\n");
        exit(EXIT_FAILURE);
    }
    library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        exit(EXIT_FAILURE);
    }
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        void *address = dlsym(library, functions[i].name);
        bool is_ours = strncmp(functions[i].name, "virSnap", strlen("virSnap")) == 0;

        if (!address && !is_ours) {
            fprintf(stderr, "%s lacks %s\n", path, functions[i].name);
            exit(EXIT_FAILURE);
        }
        memcpy((char *)&api + functions[i].offset, &address, sizeof(address));
    }
}

void *api_find(const char *name)
{
    return dlsym(library, name);
}

bool api_is_libvirt(void)
{
    return !api_find("virSnapGetVersion");
}
