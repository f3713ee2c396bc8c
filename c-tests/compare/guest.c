/* What happens to a domain outside of the snapshot functions: its guest writes, starts, stops. */
#include "step.h"

#include <string.h>

#include "../images.h"

void guest_writes(struct world *world)
{
    world->pattern++;
    for (size_t i = 0; i < world->disk_count; i++)
        if (world->disks[i].path[0] && world->disks[i].is_qcow2)
            image_write(world->disks[i].path, world->pattern);
}

/* Calls a function that only libvirt has: of all that take a domain and nothing else. */
static int call(const char *name, virDomainPtr domain)
{
    int (*function)(virDomainPtr) = NULL;
    void *address = api_find(name);

    memcpy(&function, &address, sizeof(address));
    return function ? function(domain) : -1;
}

void guest_stop(struct world *world)
{
    call("virDomainDestroy", world->domain);
}

void change_guest(struct world *world, unsigned int step)
{
    static const char *const functions[] = {
        "virDomainCreate", "virDomainCreate",  "virDomainSuspend",
        "virDomainResume", "virDomainDestroy",
    };
    const char *name = random_word(&world->random, functions);
    struct line line = line_begin(world, step, "%s(domain)", name);

    line_end_number(&line, call(name, world->domain));
}
