/* SplitMix64 (Steele, Lea, Flood 2014): small, and good enough to choose calls. */
#include "random.h"

static uint64_t next(struct random *random)
{
    uint64_t mixed = random->state += 0x9e3779b97f4a7c15;

    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    return mixed ^ (mixed >> 31);
}

struct random random_from(uint64_t seed, uint64_t stream)
{
    struct random random = {.state = seed};

    random.state = next(&random) ^ (stream * 0xd1342543de82ef95);
    return random;
}

unsigned int random_below(struct random *random, unsigned int bound)
{
    return (unsigned int)(next(random) % bound);
}

bool random_chance(struct random *random, unsigned int percent)
{
    return random_below(random, 100) < percent;
}

static unsigned int some_bits(struct random *random, unsigned int valid)
{
    unsigned int bits = 0;

    for (unsigned int bit = 1; bit && bit <= valid; bit <<= 1)
        if (valid & bit && random_chance(random, 25))
            bits |= bit;
    return bits;
}

static unsigned int one_bit(struct random *random, unsigned int valid)
{
    unsigned int bit;

    if (valid == 0)
        return 0;
    do
        bit = 1u << random_below(random, 32);
    while (!(valid & bit));
    return bit;
}

unsigned int random_flags(struct random *random, unsigned int valid)
{
    unsigned int kind = random_below(random, 100);

    if (kind < 45)
        return 0;
    if (kind < 70)
        return one_bit(random, valid);
    if (kind < 94)
        return some_bits(random, valid);
    if (kind < 98)
        return some_bits(random, valid) | one_bit(random, ~valid);
    return kind == 98 ? valid : ~0u;
}
