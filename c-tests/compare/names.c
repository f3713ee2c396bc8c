/* Names of snapshots: that may exist, that do, and that should not. */
#include "document.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONG_NAME = 300 };

/* Names that are taken in by REDEFINE; their data never existed. */
static const char *const tree_names[] = {"t0", "t1", "t2", "t3", "t4", "t5", "t6"};

/* No short number: qemu-img takes it for an ID first (D10). */
static const char *const odd_names[] = {
    "a/b", ".hidden", "..", " padded ", "two words", "&lt;tag&gt;", "\xc3\xa4\xe2\x82\xac", "%s%n",
    "-c", "quo&quot;te", "tab&#9;", "&apos;", "new&#10;line", "back\\slash",
};

char *tree_name(struct world *world)
{
    return format("%s", random_word(&world->random, tree_names));
}

char *some_name(struct world *world)
{
    struct random *random = &world->random;
    unsigned int kind = random_below(random, 100);

    if (kind < 55)
        return tree_name(world);
    if (kind < 92 && world->fresh_names)
        return format("c%u", random_below(random, world->fresh_names));
    return format("%s", kind < 96 ? "none" : random_word(random, odd_names));
}

char *known_name(struct world *world)
{
    static const char *const escapes[][2] = {
        {"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\t", "&#9;"}, {"\n", "&#10;"},
    };
    unsigned int first = random_below(&world->random, SLOTS);
    char *name = NULL;

    for (unsigned int i = 0; i < SLOTS && !name; i++) {
        const struct slot *slot = &world->slots[(first + i) % SLOTS];

        if (slot->snapshot)
            name = format("%s", virDomainSnapshotGetName(slot->snapshot));
    }
    for (size_t i = 0; name && i < sizeof(escapes) / sizeof(escapes[0]); i++) {
        char *escaped = replaced(name, escapes[i][0], escapes[i][1]);

        free(name);
        name = escaped;
    }
    return name;
}

static char *long_name(void)
{
    char *name = malloc(LONG_NAME + 1);

    assert_non_null(name);
    memset(name, 'n', LONG_NAME);
    name[LONG_NAME] = '\0';
    return name;
}

char *create_name(struct world *world)
{
    struct random *random = &world->random;
    unsigned int kind = random_below(random, 100);

    if (kind < 82)
        return format("c%u", world->fresh_names++);
    if (kind < 88)
        return tree_name(world);
    if (kind < 92) {
        bool is_second = world->has_unnamed;

        world->has_unnamed = true;
        return is_second ? tree_name(world) : random_chance(random, 50) ? NULL : format("%s", "");
    }
    if (kind == 99 && random_chance(random, 30))
        return long_name();
    return format("%s", random_word(random, odd_names));
}
