/* Makes a random sequence of calls from a seed and prints what each answers.
 *
 * usage: compare URI ROOT DEFINITIONS SEED FIRST LAST [OPTION...]
 *        compare --definitions URI ROOT DEFINITIONS TYPE
 *
 * Options: "external" (snapshots may be so), "common" (only what libvirt's drivers treat alike),
 * "guests" (domains may run), "rename" (and be renamed), "dataless" (the driver touches no image).
 * ROOT is a directory of this process alone; sequences FIRST to LAST are run, each on a domain
 * of its own. The first form needs the definitions that the second writes with the real libvirt.
 * Which call is made with which arguments depends on the seed alone, except for handles and
 * documents that earlier calls gave: so two libraries are asked the same as long as they answer
 * the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "step.h"

/* A sequence has so many steps; in the first of them most make the hierarchy grow. */
enum { STEPS = 30, GROWTH = 8 };

/* Whether the step may have changed something. */
static bool make_step(struct world *world, unsigned int step)
{
    unsigned int kind = random_below(&world->random, 100);

    if (step < GROWTH && kind < 70)
        return grow(world, step), true;
    if (kind < 12)
        ask_list(world, step);
    else if (kind < 21)
        ask_children(world, step);
    else if (kind < 32)
        ask_domain(world, step);
    else if (kind < 46)
        ask_snapshot(world, step);
    else if (kind < 60)
        return create(world, step), true;
    else if (kind < 76)
        return redefine(world, step), true;
    else if (kind < 80)
        return redefine_from_dump(world, step), true;
    else if (kind < 89)
        return delete_snapshot(world, step), true;
    else if (kind < 96)
        return revert(world, step), true;
    else
        return change_domain(world, step), true;
    return false;
}

static void run_sequence(const struct setting *setting, uint64_t seed, unsigned int number)
{
    struct world world;

    world_open(&world, setting, seed, number);
    for (unsigned int step = 0; step < STEPS; step++)
        if (make_step(&world, step))
            report_state(&world, step);
    if (setting->has_data)
        report_images(&world, STEPS);
    world_close(&world);
}

int main(int argc, char **argv)
{
    struct setting setting = {NULL};
    bool is_writing = argc == 6 && strcmp(argv[1], "--definitions") == 0;

    if (!is_writing && argc < 7)
        return EXIT_FAILURE;
    setting.uri = argv[is_writing ? 2 : 1];
    setting.root = argv[is_writing ? 3 : 2];
    setting.definitions = argv[is_writing ? 4 : 3];
    setting.has_data = true;
    for (int i = 7; i < argc; i++) {
        setting.has_external |= strcmp(argv[i], "external") == 0;
        setting.has_common_flags |= strcmp(argv[i], "common") == 0;
        setting.has_rename |= strcmp(argv[i], "rename") == 0;
        setting.has_guests |= strcmp(argv[i], "guests") == 0;
        setting.has_data &= strcmp(argv[i], "dataless") != 0;
    }
    /* What was answered stands there also if a later call ends the process. */
    setvbuf(stdout, NULL, _IOLBF, 0);
    api_load();
    if (virInitialize() != 0)
        return EXIT_FAILURE;
    open_connections(&setting);
    if (is_writing) {
        write_definitions(&setting, argv[5]);
    } else {
        uint64_t seed = strtoull(argv[4], NULL, 10);
        unsigned int last = (unsigned int)strtoul(argv[6], NULL, 10);

        for (unsigned int i = (unsigned int)strtoul(argv[5], NULL, 10); i <= last; i++)
            run_sequence(&setting, seed, i);
    }
    virConnectClose(setting.read_only);
    virConnectClose(setting.connection);
    return EXIT_SUCCESS;
}
