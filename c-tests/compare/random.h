/* Numbers from a seed: the same on every machine and in every run. */
#ifndef VIRSNAP_COMPARE_RANDOM_H
#define VIRSNAP_COMPARE_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct random {
    uint64_t state;
};

/* A stream of its own for each pair of these. */
struct random random_from(uint64_t seed, uint64_t stream);

/* 0 up to, not including, the bound. */
unsigned int random_below(struct random *random, unsigned int bound);

bool random_chance(struct random *random, unsigned int percent);

/* One of the words of an array. */
#define random_word(random, words) \
    ((words)[random_below((random), (unsigned int)(sizeof(words) / sizeof((words)[0])))])

/* A word of flags out of those valid: mostly none, one or a few of them, at times every one, and
 * at times bits that no flag has. */
unsigned int random_flags(struct random *random, unsigned int valid);

#endif
