/* Every export that takes a connection, a domain or a snapshot, and how it is called. */
#ifndef VIRSNAP_TEST_EXPORTS_H
#define VIRSNAP_TEST_EXPORTS_H

/* CALL(name, kind, error domain of what is no connection, what it returns then, arguments), and
 * FLAGGED the same of an export with flags, with all the bits that it knows before the
 * arguments. The arguments but `handle` and `flags` are arguments.c's. */
#define EXPORTS(CALL, FLAGGED) \
    CALL(virConnectClose, CONNECTION, VIR_FROM_NONE, -1, (handle)) \
    CALL(virConnectGetHostname, CONNECTION, VIR_FROM_DOMAIN, NULL, (handle)) \
    CALL(virConnectGetLibVersion, CONNECTION, VIR_FROM_DOMAIN, -1, (handle, &version)) \
    CALL(virConnectGetType, CONNECTION, VIR_FROM_DOMAIN, NULL, (handle)) \
    CALL(virConnectGetURI, CONNECTION, VIR_FROM_DOMAIN, NULL, (handle)) \
    CALL(virConnectIsAlive, CONNECTION, VIR_FROM_DOMAIN, -1, (handle)) \
    CALL(virConnectIsEncrypted, CONNECTION, VIR_FROM_DOMAIN, -1, (handle)) \
    CALL(virConnectIsSecure, CONNECTION, VIR_FROM_DOMAIN, -1, (handle)) \
    CALL(virConnectListDefinedDomains, CONNECTION, VIR_FROM_DOMAIN, -1, (handle, names, 1)) \
    CALL(virConnectListDomains, CONNECTION, VIR_FROM_DOMAIN, -1, (handle, ids, 1)) \
    CALL(virConnectNumOfDefinedDomains, CONNECTION, VIR_FROM_DOMAIN, -1, (handle)) \
    CALL(virConnectNumOfDomains, CONNECTION, VIR_FROM_DOMAIN, -1, (handle)) \
    CALL(virConnectRef, CONNECTION, VIR_FROM_DOMAIN, -1, (handle)) \
    CALL(virConnectRegisterCloseCallback, CONNECTION, VIR_FROM_DOMAIN, -1, \
         (handle, closed, NULL, NULL)) \
    CALL(virConnectUnregisterCloseCallback, CONNECTION, VIR_FROM_DOMAIN, -1, (handle, closed)) \
    CALL(virDomainDefineXML, CONNECTION, VIR_FROM_DOMAIN, NULL, (handle, "<domain/>")) \
    CALL(virDomainLookupByID, CONNECTION, VIR_FROM_DOMAIN, NULL, (handle, 1)) \
    CALL(virDomainLookupByName, CONNECTION, VIR_FROM_DOMAIN, NULL, (handle, "n")) \
    CALL(virDomainLookupByUUID, CONNECTION, VIR_FROM_DOMAIN, NULL, (handle, uuid)) \
    CALL(virDomainLookupByUUIDString, CONNECTION, VIR_FROM_DOMAIN, NULL, (handle, uuid_text)) \
    FLAGGED(virConnectListAllDomains, CONNECTION, VIR_FROM_DOMAIN, -1, 0xffff, \
            (handle, &domains, flags)) \
    FLAGGED(virDomainDefineXMLFlags, CONNECTION, VIR_FROM_DOMAIN, NULL, 0x1, \
            (handle, "<domain/>", flags)) \
    CALL(virDomainFree, DOMAIN, 0, -1, (handle)) \
    CALL(virDomainGetConnect, DOMAIN, 0, NULL, (handle)) \
    CALL(virDomainGetID, DOMAIN, 0, (unsigned int)-1, (handle)) \
    CALL(virDomainGetInfo, DOMAIN, 0, -1, (handle, &info)) \
    CALL(virDomainGetName, DOMAIN, 0, NULL, (handle)) \
    CALL(virDomainGetUUID, DOMAIN, 0, -1, (handle, uuid)) \
    CALL(virDomainGetUUIDString, DOMAIN, 0, -1, (handle, uuid_text)) \
    CALL(virDomainIsActive, DOMAIN, 0, -1, (handle)) \
    CALL(virDomainIsPersistent, DOMAIN, 0, -1, (handle)) \
    CALL(virDomainMigrate, DOMAIN, 0, NULL, (handle, NULL, 0, NULL, NULL, 0)) \
    CALL(virDomainMigrate2, DOMAIN, 0, NULL, (handle, NULL, NULL, 0, NULL, NULL, 0)) \
    CALL(virDomainMigrate3, DOMAIN, 0, NULL, (handle, NULL, NULL, 0, 0)) \
    CALL(virDomainMigrateToURI, DOMAIN, 0, -1, (handle, NULL, 0, NULL, 0)) \
    CALL(virDomainMigrateToURI2, DOMAIN, 0, -1, (handle, NULL, NULL, NULL, 0, NULL, 0)) \
    CALL(virDomainMigrateToURI3, DOMAIN, 0, -1, (handle, NULL, NULL, 0, 0)) \
    CALL(virDomainRef, DOMAIN, 0, -1, (handle)) \
    CALL(virDomainUndefine, DOMAIN, 0, -1, (handle)) \
    FLAGGED(virDomainGetState, DOMAIN, 0, -1, 0, (handle, &number, NULL, flags)) \
    FLAGGED(virDomainGetXMLDesc, DOMAIN, 0, NULL, 0xf, (handle, flags)) \
    FLAGGED(virDomainHasCurrentSnapshot, DOMAIN, 0, -1, 0, (handle, flags)) \
    FLAGGED(virDomainHasManagedSaveImage, DOMAIN, 0, -1, 0, (handle, flags)) \
    FLAGGED(virDomainListAllSnapshots, DOMAIN, 0, -1, 0x7ff, (handle, &snapshots, flags)) \
    FLAGGED(virDomainRename, DOMAIN, 0, -1, 0, (handle, "n", flags)) \
    FLAGGED(virDomainSnapshotCreateXML, DOMAIN, 0, NULL, 0x3ff, \
            (handle, "<domainsnapshot/>", flags)) \
    FLAGGED(virDomainSnapshotCurrent, DOMAIN, 0, NULL, 0, (handle, flags)) \
    FLAGGED(virDomainSnapshotListNames, DOMAIN, 0, -1, 0x7ff, (handle, names, 1, flags)) \
    FLAGGED(virDomainSnapshotLookupByName, DOMAIN, 0, NULL, 0, (handle, "n", flags)) \
    FLAGGED(virDomainSnapshotNum, DOMAIN, 0, -1, 0x7ff, (handle, flags)) \
    FLAGGED(virDomainUndefineFlags, DOMAIN, 0, -1, 0x7f, (handle, flags)) \
    CALL(virDomainSnapshotFree, SNAPSHOT, 0, -1, (handle)) \
    CALL(virDomainSnapshotGetConnect, SNAPSHOT, 0, NULL, (handle)) \
    CALL(virDomainSnapshotGetDomain, SNAPSHOT, 0, NULL, (handle)) \
    CALL(virDomainSnapshotGetName, SNAPSHOT, 0, NULL, (handle)) \
    CALL(virDomainSnapshotRef, SNAPSHOT, 0, -1, (handle)) \
    FLAGGED(virDomainRevertToSnapshot, SNAPSHOT, 0, -1, 0xf, (handle, flags)) \
    FLAGGED(virDomainSnapshotDelete, SNAPSHOT, 0, -1, 0x7, (handle, flags)) \
    FLAGGED(virDomainSnapshotGetParent, SNAPSHOT, 0, NULL, 0, (handle, flags)) \
    FLAGGED(virDomainSnapshotGetXMLDesc, SNAPSHOT, 0, NULL, 0x1, (handle, flags)) \
    FLAGGED(virDomainSnapshotHasMetadata, SNAPSHOT, 0, -1, 0, (handle, flags)) \
    FLAGGED(virDomainSnapshotIsCurrent, SNAPSHOT, 0, -1, 0, (handle, flags)) \
    FLAGGED(virDomainSnapshotListAllChildren, SNAPSHOT, 0, -1, 0x7ff, \
            (handle, &snapshots, flags)) \
    FLAGGED(virDomainSnapshotListChildrenNames, SNAPSHOT, 0, -1, 0x7ff, \
            (handle, names, 1, flags)) \
    FLAGGED(virDomainSnapshotNumChildren, SNAPSHOT, 0, -1, 0x7ff, (handle, flags))

#endif
