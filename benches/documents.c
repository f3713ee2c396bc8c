/* The domain, the snapshots and how they hang together: the same for every library and run. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BALANCED_CHILDREN = 8, GROUP_CHILDREN = 1000 };

static uint32_t random_state = 88172645;

/* Marsaglia's xorshift with 32 bits. */
uint32_t random_below(uint32_t bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state % bound;
}

int *parents_of(enum shape shape, int count)
{
    int *parents = must_have(calloc((size_t)count + 1, sizeof(*parents)));
    bool is_random = shape == RANDOM || shape == UNLIKE;
    uint32_t before = random_state;

    random_state = 2463534242;
    for (int i = 0; i < count; i++)
        parents[i] = is_random && i > 0 ? (int)random_below((uint32_t)i) : parent_of(shape, i);
    random_state = before;
    return parents;
}

int parent_of(enum shape shape, int number)
{
    if (number == 0)
        return -1;
    switch (shape) {
    case CHAIN:
        return number - 1;
    case BALANCED:
        return (number - 1) / BALANCED_CHILDREN;
    case GROUP:
        return number > 1 && number <= 1 + GROUP_CHILDREN ? 1 : 0;
    default:
        return 0;
    }
}

void snapshot_name(char name[NAME_SIZE], int number)
{
    snprintf(name, NAME_SIZE, "nightly-%06d", number);
}

/* The text with each `old` replaced; freed by the caller. */
static char *replaced(const char *text, const char *old, const char *new)
{
    size_t size = 2 * strlen(text) + 8 * PATH_SIZE;
    char *out = must_have(malloc(size));
    char *end = out;
    const char *found;

    while ((found = strstr(text, old))) {
        end += snprintf(end, size - (size_t)(end - out), "%.*s%s", (int)(found - text), text, new);
        text = found + strlen(old);
    }
    snprintf(end, size - (size_t)(end - out), "%s", text);
    return out;
}

char *definition_of(const struct run *run, char suffix)
{
    char name[] = {'g', 'u', 'e', 's', 't', '-', suffix, 0};
    char uuid[] = {'7', 'a', '0', '0', '0', suffix, '<', 0};
    char *with_images = replaced(run->template, "@IMAGES@", run->images);
    char *with_name = replaced(with_images, "guest-a", name);
    char *definition = replaced(with_name, "7a0001<", uuid);

    free(with_name);
    free(with_images);
    return definition;
}

char *nested(const char *definition)
{
    char *deeper = replaced(definition, "\n", "\n  ");
    size_t length = strlen(deeper);

    while (length > 0 && (deeper[length - 1] == ' ' || deeper[length - 1] == '\n'))
        deeper[--length] = 0;
    return deeper;
}

void snapshot_xml(char xml[XML_SIZE], const char *nested_definition, int number, int parent)
{
    char name[NAME_SIZE];
    char above[NAME_SIZE] = "";
    bool has_parent = parent >= 0;

    snapshot_name(name, number);
    if (has_parent)
        snapshot_name(above, parent);
    snprintf(xml, XML_SIZE,
             "<domainsnapshot>\n"
             "  <name>%s</name>\n"
             "  <description>Before the nightly update, number %d</description>\n"
             "  <state>shutoff</state>\n"
             "%s%s%s"
             "  <creationTime>%d</creationTime>\n"
             "  <memory snapshot='no'/>\n"
             "  <disks>\n"
             "    <disk name='vda' snapshot='internal'/>\n"
             "    <disk name='vdb' snapshot='internal'/>\n"
             "    <disk name='vdc' snapshot='internal'/>\n"
             "  </disks>\n"
             "  %s\n"
             "</domainsnapshot>\n",
             name, number, has_parent ? "  <parent>\n    <name>" : "", above,
             has_parent ? "</name>\n  </parent>\n" : "", 1600000000 + number, nested_definition);
}

void set_title(char xml[XML_SIZE], int number)
{
    char title[NAME_SIZE];
    char *with_title;

    snprintf(title, sizeof(title), "<title>Number %d, ", number);
    with_title = replaced(xml, "<title>", title);
    expect(strlen(with_title) < XML_SIZE, "the size of a document");
    strcpy(xml, with_title);
    free(with_title);
}
