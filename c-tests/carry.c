/* Snapshots between a libvirt that keeps them itself and a state directory: for
 * tests/companion/test_migrate.py.
 *
 *   carry adopt FROM TO NAME [forget]   from libvirt's connection FROM to the embedded connection TO
 *   carry replay FROM TO NAME           from the embedded connection FROM to libvirt's connection TO
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <virsnap.h>

static int failed(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, virGetLastErrorMessage());
    return EXIT_FAILURE;
}

/* The same domain on another connection: defined where it is not. */
static virDomainPtr define_same(virConnectPtr connection, virDomainPtr domain)
{
    char *xml = virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_SECURE | VIR_DOMAIN_XML_INACTIVE);
    virDomainPtr same = xml ? virDomainDefineXML(connection, xml) : NULL;

    free(xml);
    return same;
}

static int adopt(virDomainPtr from, virDomainPtr to, int forget)
{
    unsigned int flags = forget ? VIR_SNAP_MIGRATE_ADOPT_FORGET : 0;

    return virSnapDomainMigrateAdopt(to, from, flags) == 0 ? 0 : failed("adopt");
}

static int replay(virDomainPtr from, virDomainPtr to)
{
    char *cookie = NULL;
    int answer = 0;

    if (virSnapDomainMigrateBegin(from, &cookie, VIR_SNAP_MIGRATE_METADATA) != 0)
        return failed("begin");
    /* Twice: repeating is harmless. */
    for (int time = 0; time < 2 && answer == 0; time++) {
        if (virSnapDomainMigrateReplay(from, to, 0) != 0)
            answer = failed("replay");
    }
    if (virSnapDomainMigrateConfirm(from, cookie, answer, 0) != 0)
        answer = failed("confirm");
    free(cookie);
    return answer;
}

static void ignore_error(void *user_data, virErrorPtr error)
{
    (void)user_data;
    (void)error;
}

int main(int argc, char **argv)
{
    virConnectPtr connections[2];
    virDomainPtr from;
    virDomainPtr to;
    int answer;

    if (argc < 5) {
        fprintf(stderr, "usage: carry adopt|replay FROM TO NAME [forget]\n");
        return EXIT_FAILURE;
    }
    virSetErrorFunc(NULL, ignore_error);
    /* libvirt's QEMU driver asks for it. */
    virEventRegisterDefaultImpl();
    for (int i = 0; i < 2; i++) {
        connections[i] = virConnectOpen(argv[2 + i]);
        if (!connections[i])
            return failed(argv[2 + i]);
    }
    from = virDomainLookupByName(connections[0], argv[4]);
    if (!from)
        return failed(argv[4]);
    to = define_same(connections[1], from);
    if (!to)
        return failed("define");
    answer = strcmp(argv[1], "adopt") == 0 ? adopt(from, to, argc > 5) : replay(from, to);
    virDomainFree(to);
    virDomainFree(from);
    for (int i = 0; i < 2; i++)
        virConnectClose(connections[i]);
    return answer;
}
