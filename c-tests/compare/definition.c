/* Definitions of the sequence's domain: its own, slightly wrong ones, and no definitions at all. */
#include "document.h"

#include <stdio.h>
#include <stdlib.h>

char *changed_definition(struct world *world)
{
    static const struct {
        const char *old;
        const char *new_text;
    } changes[] = {
        {"<vcpu placement='static'>1<", "<vcpu placement='static'>2<"},
        {"<memory unit='KiB'>16384<", "<memory unit='KiB'>32768<"},
        {"<on_crash>destroy<", "<on_crash>restart<"},
        {"bus='virtio'", "bus='sata'"},
        {"dev='vda'", "dev='vdc'"},
        {".qcow2'/>", ".other'/>"},
        {"<os>", "<title>a title</title>\n  <os>"},
        {"'hvm'", "'xen'"},
        {">hvm<", ">exe<"},
        {"<clock offset='utc'/>", "<clock offset='localtime'/>"},
        {"</name>", "x</name>"},
        {"type='raw'", "type='qcow2'"},
        {"<readonly/>", ""},
        {"<disk type='file' device='disk'>", "<disk type='file' device='disk' snapshot='manual'>"},
        {"<type arch='x86_64'", "<type arch='i686'"},
        {"c70-", "c71-"},
        {"<name>", "<nome>"},
        {"s&amp;cret", "other"},
    };
    unsigned int which = random_below(&world->random, sizeof(changes) / sizeof(changes[0]));

    return replaced(world->definition, changes[which].old, changes[which].new_text);
}

char *domain_document(struct world *world)
{
    static const char *const bad[] = {
        "", "<domain/>", "<domain type='qemu'><name>x</name></domain>", "nonsense",
        "<domain type='qemu'>", "<domainsnapshot/>",
        "<domain type='qemu'><name>x</name><memory>16384</memory><os><type>hvm</type></os>"
        "<devices><disk/></devices></domain>",
    };
    unsigned int kind = random_below(&world->random, 100);

    if (kind < 60)
        return format("%s", world->definition);
    if (kind < 80)
        return changed_definition(world);
    return format("%s", random_word(&world->random, bad));
}

char *nested_definition(char *definition)
{
    char *indented = replaced(definition, "\n  ", "\n    ");
    char *out = replaced(indented, "\n</domain>\n", "\n  </domain>");

    free(indented);
    free(definition);
    return out;
}
