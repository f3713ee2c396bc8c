/* The library under test when the program is linked with libvirt: libvirt, or what was preloaded. */
#include "../api.h"

#include <dlfcn.h>
#include <stddef.h>

void api_load(void)
{
}

void *api_find(const char *name)
{
    return dlsym(RTLD_DEFAULT, name);
}

bool api_is_libvirt(void)
{
    return !api_find("virSnapGetVersion");
}
