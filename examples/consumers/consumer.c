/* Takes a snapshot of a guest that is off, and prints what there is.
 *
 *     consumer virsnap:///STATE_DIR IMAGE */
#include <stdio.h>
#include <stdlib.h>

#include <virsnap.h>

int main(int argc, char **argv)
{
    char xml[1024];
    virConnectPtr conn = argc == 3 ? virConnectOpen(argv[1]) : NULL;
    virDomainPtr domain = NULL;
    virDomainSnapshotPtr snapshot = NULL;

    if (!conn)
        return EXIT_FAILURE;
    snprintf(xml, sizeof(xml),
             "<domain type='qemu'><name>guest</name><memory>16384</memory>"
             "<os><type arch='x86_64'>hvm</type></os>"
             "<devices><disk type='file'><driver name='qemu' type='qcow2'/><source file='%s'/>"
             "<target dev='vda'/></disk></devices></domain>",
             argv[2]);
    domain = virDomainDefineXML(conn, xml);
    if (domain)
        snapshot = virDomainSnapshotCreateXML(
            domain, "<domainsnapshot><name>consumed</name></domainsnapshot>", 0);
    if (!snapshot)
        return EXIT_FAILURE; /* the reason is printed, as no handler was set */
    printf("%s, one of %d\n", virDomainSnapshotGetName(snapshot), virDomainSnapshotNum(domain, 0));
    virDomainSnapshotFree(snapshot);
    virDomainFree(domain);
    return virConnectClose(conn);
}
