/*
 * virsnap.h: libvirt's domain snapshot API as a small library of its own.
 *
 * Made by cbindgen from the Rust sources (UPDATE_HEADER=1 cargo test --test header); do not edit.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The functions are libvirt's, with libvirt's types. Where libvirt's headers are installed or
 * have been included already, the types and constants are taken from there, so this header can
 * stand before or after them. Otherwise they are declared here. A program that wants them from
 * here in any case defines VIRSNAP_OWN_TYPES, and then does not include libvirt's headers.
 */

#ifndef VIRSNAP_H
#define VIRSNAP_H

#if defined(VIRSNAP_OWN_TYPES)
# if defined(LIBVIR_VERSION_NUMBER)
#  error "VIRSNAP_OWN_TYPES is defined, but libvirt's headers are included already"
# endif
#elif defined(LIBVIR_VERSION_NUMBER)
# define VIRSNAP_LIBVIRT_TYPES
#elif defined(__has_include)
# if __has_include(<libvirt/libvirt.h>) && __has_include(<libvirt/virterror.h>)
#  define VIRSNAP_LIBVIRT_TYPES
# endif
#endif

#if defined(VIRSNAP_LIBVIRT_TYPES)
# include <libvirt/libvirt.h>
# include <libvirt/virterror.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

#if !defined(VIRSNAP_LIBVIRT_TYPES)

/**
 * Whether the API that this header follows is at least of that version of libvirt.
 */
#define LIBVIR_CHECK_VERSION(major, minor, micro) \
    ((major) * 1000000 + (minor) * 1000 + (micro) <= LIBVIR_VERSION_NUMBER)

/**
 * The version of libvirt's API that this library follows: major * 1000000 + minor * 1000 + micro.
 */
#define LIBVIR_VERSION_NUMBER 9000000

/**
 * Bytes of a UUID.
 */
#define VIR_UUID_BUFLEN 16

/**
 * Bytes of a UUID in text form, the final NUL included.
 */
#define VIR_UUID_STRING_BUFLEN 37

/**
 * For lists of a snapshot's children: all descendants. The same bit as
 * VIR_DOMAIN_SNAPSHOT_LIST_ROOTS.
 */
#define VIR_DOMAIN_SNAPSHOT_LIST_DESCENDANTS 1

/**
 * How bad an error is.
 */
typedef enum {
    /**
     * No error.
     */
    VIR_ERR_NONE = 0,
    /**
     * A warning.
     */
    VIR_ERR_WARNING = 1,
    /**
     * An error.
     */
    VIR_ERR_ERROR = 2,
} virErrorLevel;

/**
 * Flags of virConnectOpenAuth().
 */
typedef enum {
    /**
     * The connection reads only.
     */
    VIR_CONNECT_RO = 1,
    /**
     * The URI is not looked up among aliases. This library has none.
     */
    VIR_CONNECT_NO_ALIASES = 2,
} virConnectFlags;

/**
 * Kinds of questions in an authentication dialogue.
 */
typedef enum {
    /**
     * Whom to act as.
     */
    VIR_CRED_USERNAME = 1,
    /**
     * Whom to authorise as.
     */
    VIR_CRED_AUTHNAME = 2,
    /**
     * Languages by RFC 1766, separated by commas.
     */
    VIR_CRED_LANGUAGE = 3,
    /**
     * A nonce of the client.
     */
    VIR_CRED_CNONCE = 4,
    /**
     * A secret.
     */
    VIR_CRED_PASSPHRASE = 5,
    /**
     * A challenge whose answer may be shown.
     */
    VIR_CRED_ECHOPROMPT = 6,
    /**
     * A challenge whose answer may not be shown.
     */
    VIR_CRED_NOECHOPROMPT = 7,
    /**
     * The realm.
     */
    VIR_CRED_REALM = 8,
    /**
     * Kept elsewhere.
     */
    VIR_CRED_EXTERNAL = 9,
} virConnectCredentialType;

/**
 * What a domain is doing.
 */
typedef enum {
    /**
     * Unknown.
     */
    VIR_DOMAIN_NOSTATE = 0,
    /**
     * Its CPUs run.
     */
    VIR_DOMAIN_RUNNING = 1,
    /**
     * It waits for a resource.
     */
    VIR_DOMAIN_BLOCKED = 2,
    /**
     * Its CPUs are stopped.
     */
    VIR_DOMAIN_PAUSED = 3,
    /**
     * It is being shut down.
     */
    VIR_DOMAIN_SHUTDOWN = 4,
    /**
     * It is inactive.
     */
    VIR_DOMAIN_SHUTOFF = 5,
    /**
     * It has crashed.
     */
    VIR_DOMAIN_CRASHED = 6,
    /**
     * The guest's power management has suspended it.
     */
    VIR_DOMAIN_PMSUSPENDED = 7,
} virDomainState;

/**
 * Why a domain runs.
 */
typedef enum {
    VIR_DOMAIN_RUNNING_UNKNOWN = 0,
    VIR_DOMAIN_RUNNING_BOOTED = 1,
    VIR_DOMAIN_RUNNING_MIGRATED = 2,
    VIR_DOMAIN_RUNNING_RESTORED = 3,
    VIR_DOMAIN_RUNNING_FROM_SNAPSHOT = 4,
    VIR_DOMAIN_RUNNING_UNPAUSED = 5,
    VIR_DOMAIN_RUNNING_MIGRATION_CANCELED = 6,
    VIR_DOMAIN_RUNNING_SAVE_CANCELED = 7,
    VIR_DOMAIN_RUNNING_WAKEUP = 8,
    VIR_DOMAIN_RUNNING_CRASHED = 9,
    VIR_DOMAIN_RUNNING_POSTCOPY = 10,
    VIR_DOMAIN_RUNNING_POSTCOPY_FAILED = 11,
} virDomainRunningReason;

/**
 * Why a domain is paused.
 */
typedef enum {
    VIR_DOMAIN_PAUSED_UNKNOWN = 0,
    VIR_DOMAIN_PAUSED_USER = 1,
    VIR_DOMAIN_PAUSED_MIGRATION = 2,
    VIR_DOMAIN_PAUSED_SAVE = 3,
    VIR_DOMAIN_PAUSED_DUMP = 4,
    VIR_DOMAIN_PAUSED_IOERROR = 5,
    VIR_DOMAIN_PAUSED_WATCHDOG = 6,
    VIR_DOMAIN_PAUSED_FROM_SNAPSHOT = 7,
    VIR_DOMAIN_PAUSED_SHUTTING_DOWN = 8,
    VIR_DOMAIN_PAUSED_SNAPSHOT = 9,
    VIR_DOMAIN_PAUSED_CRASHED = 10,
    VIR_DOMAIN_PAUSED_STARTING_UP = 11,
    VIR_DOMAIN_PAUSED_POSTCOPY = 12,
    VIR_DOMAIN_PAUSED_POSTCOPY_FAILED = 13,
} virDomainPausedReason;

/**
 * Why a domain is shut off.
 */
typedef enum {
    VIR_DOMAIN_SHUTOFF_UNKNOWN = 0,
    VIR_DOMAIN_SHUTOFF_SHUTDOWN = 1,
    VIR_DOMAIN_SHUTOFF_DESTROYED = 2,
    VIR_DOMAIN_SHUTOFF_CRASHED = 3,
    VIR_DOMAIN_SHUTOFF_MIGRATED = 4,
    VIR_DOMAIN_SHUTOFF_SAVED = 5,
    VIR_DOMAIN_SHUTOFF_FAILED = 6,
    VIR_DOMAIN_SHUTOFF_FROM_SNAPSHOT = 7,
    VIR_DOMAIN_SHUTOFF_DAEMON = 8,
} virDomainShutoffReason;

/**
 * Flags of virDomainGetXMLDesc().
 */
typedef enum {
    /**
     * With passwords.
     */
    VIR_DOMAIN_XML_SECURE = 1,
    /**
     * What the domain will be at its next start.
     */
    VIR_DOMAIN_XML_INACTIVE = 2,
    /**
     * With the CPU brought up to date with the host.
     */
    VIR_DOMAIN_XML_UPDATE_CPU = 4,
    /**
     * Fit for migration.
     */
    VIR_DOMAIN_XML_MIGRATABLE = 8,
} virDomainXMLFlags;

/**
 * Flags of virDomainDefineXMLFlags().
 */
typedef enum {
    /**
     * Check the document against the schema.
     */
    VIR_DOMAIN_DEFINE_VALIDATE = 1,
} virDomainDefineFlags;

/**
 * Flags of virDomainUndefineFlags().
 */
typedef enum {
    /**
     * Also remove the managed save image. This library has none.
     */
    VIR_DOMAIN_UNDEFINE_MANAGED_SAVE = 1,
    /**
     * Also drop the metadata of all snapshots; their data stays.
     */
    VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA = 2,
    /**
     * Also remove the NVRAM file. An embedded connection leaves it to its program.
     */
    VIR_DOMAIN_UNDEFINE_NVRAM = 4,
    /**
     * Keep the NVRAM file.
     */
    VIR_DOMAIN_UNDEFINE_KEEP_NVRAM = 8,
    /**
     * Also drop the metadata of all checkpoints. This library has none.
     */
    VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA = 16,
    /**
     * Also remove the TPM's state. An embedded connection leaves it to its program.
     */
    VIR_DOMAIN_UNDEFINE_TPM = 32,
    /**
     * Keep the TPM's state.
     */
    VIR_DOMAIN_UNDEFINE_KEEP_TPM = 64,
} virDomainUndefineFlagsValues;

/**
 * Filters of virConnectListAllDomains(). Bits of one group are alternatives; a group without a
 * bit does not filter.
 */
typedef enum {
    /**
     * Active domains.
     */
    VIR_CONNECT_LIST_DOMAINS_ACTIVE = 1,
    /**
     * Inactive domains.
     */
    VIR_CONNECT_LIST_DOMAINS_INACTIVE = 2,
    /**
     * Domains with a definition. All domains of this library.
     */
    VIR_CONNECT_LIST_DOMAINS_PERSISTENT = 4,
    /**
     * Domains without. None.
     */
    VIR_CONNECT_LIST_DOMAINS_TRANSIENT = 8,
    /**
     * Running domains.
     */
    VIR_CONNECT_LIST_DOMAINS_RUNNING = 16,
    /**
     * Paused domains.
     */
    VIR_CONNECT_LIST_DOMAINS_PAUSED = 32,
    /**
     * Domains that are shut off.
     */
    VIR_CONNECT_LIST_DOMAINS_SHUTOFF = 64,
    /**
     * Domains in any other state.
     */
    VIR_CONNECT_LIST_DOMAINS_OTHER = 128,
    /**
     * Domains with a managed save image. None.
     */
    VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE = 256,
    /**
     * Domains without. All.
     */
    VIR_CONNECT_LIST_DOMAINS_NO_MANAGEDSAVE = 512,
    /**
     * Domains that start with the host. None.
     */
    VIR_CONNECT_LIST_DOMAINS_AUTOSTART = 1024,
    /**
     * Domains that do not. All.
     */
    VIR_CONNECT_LIST_DOMAINS_NO_AUTOSTART = 2048,
    /**
     * Domains with snapshots.
     */
    VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT = 4096,
    /**
     * Domains without.
     */
    VIR_CONNECT_LIST_DOMAINS_NO_SNAPSHOT = 8192,
    /**
     * Domains with checkpoints. None.
     */
    VIR_CONNECT_LIST_DOMAINS_HAS_CHECKPOINT = 16384,
    /**
     * Domains without. All.
     */
    VIR_CONNECT_LIST_DOMAINS_NO_CHECKPOINT = 32768,
} virConnectListAllDomainsFlags;

/**
 * Flags of virDomainSnapshotCreateXML().
 */
typedef enum {
    /**
     * Restore or change metadata only.
     */
    VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE = 1,
    /**
     * With REDEFINE: the snapshot becomes the current one.
     */
    VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT = 2,
    /**
     * Capture the data, keep no metadata.
     */
    VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA = 4,
    /**
     * The domain is off afterwards.
     */
    VIR_DOMAIN_SNAPSHOT_CREATE_HALT = 8,
    /**
     * Disks only, no memory.
     */
    VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY = 16,
    /**
     * The external images exist already.
     */
    VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT = 32,
    /**
     * The guest's agent freezes its file systems meanwhile.
     */
    VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE = 64,
    /**
     * All disks or none. This library never does it otherwise.
     */
    VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC = 128,
    /**
     * The guest runs while its memory is saved.
     */
    VIR_DOMAIN_SNAPSHOT_CREATE_LIVE = 256,
    /**
     * Check the document against the schema.
     */
    VIR_DOMAIN_SNAPSHOT_CREATE_VALIDATE = 512,
} virDomainSnapshotCreateFlags;

/**
 * Flags of virDomainSnapshotGetXMLDesc().
 */
typedef enum {
    /**
     * With passwords.
     */
    VIR_DOMAIN_SNAPSHOT_XML_SECURE = 1,
} virDomainSnapshotXMLFlags;

/**
 * Filters of the functions that list or count snapshots. Bits of one group are alternatives; a
 * group without a bit does not filter. Bit 0 means ROOTS for a domain and DESCENDANTS for a
 * snapshot.
 */
typedef enum {
    /**
     * For lists of a domain: snapshots without a parent.
     */
    VIR_DOMAIN_SNAPSHOT_LIST_ROOTS = 1,
    /**
     * Snapshots with metadata. All.
     */
    VIR_DOMAIN_SNAPSHOT_LIST_METADATA = 2,
    /**
     * Snapshots without children.
     */
    VIR_DOMAIN_SNAPSHOT_LIST_LEAVES = 4,
    /**
     * Snapshots with children.
     */
    VIR_DOMAIN_SNAPSHOT_LIST_NO_LEAVES = 8,
    /**
     * Snapshots without metadata. None.
     */
    VIR_DOMAIN_SNAPSHOT_LIST_NO_METADATA = 16,
    /**
     * Taken while the domain was shut off.
     */
    VIR_DOMAIN_SNAPSHOT_LIST_INACTIVE = 32,
    /**
     * Taken while the domain was active, with its memory.
     */
    VIR_DOMAIN_SNAPSHOT_LIST_ACTIVE = 64,
    /**
     * Taken while the domain was active, without its memory.
     */
    VIR_DOMAIN_SNAPSHOT_LIST_DISK_ONLY = 128,
    /**
     * Kept inside the images.
     */
    VIR_DOMAIN_SNAPSHOT_LIST_INTERNAL = 256,
    /**
     * Kept in files of their own.
     */
    VIR_DOMAIN_SNAPSHOT_LIST_EXTERNAL = 512,
    /**
     * Parents before their children.
     */
    VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL = 1024,
} virDomainSnapshotListFlags;

/**
 * Flags of virDomainRevertToSnapshot().
 */
typedef enum {
    /**
     * The domain runs afterwards.
     */
    VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING = 1,
    /**
     * The domain is paused afterwards.
     */
    VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED = 2,
    /**
     * Also where that is risky.
     */
    VIR_DOMAIN_SNAPSHOT_REVERT_FORCE = 4,
    /**
     * The firmware's variables are made anew of their template.
     */
    VIR_DOMAIN_SNAPSHOT_REVERT_RESET_NVRAM = 8,
} virDomainSnapshotRevertFlags;

/**
 * Flags of virDomainSnapshotDelete().
 */
typedef enum {
    /**
     * The snapshot and all its descendants.
     */
    VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN = 1,
    /**
     * Metadata only; the data stays.
     */
    VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY = 2,
    /**
     * All descendants, but not the snapshot.
     */
    VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN_ONLY = 4,
} virDomainSnapshotDeleteFlags;

/**
 * What went wrong. The values that this library raises are documented.
 */
typedef enum {
    /**
     * No error.
     */
    VIR_ERR_OK = 0,
    /**
     * Something that should not happen, or a program that failed.
     */
    VIR_ERR_INTERNAL_ERROR = 1,
    /**
     * Memory could not be had.
     */
    VIR_ERR_NO_MEMORY = 2,
    /**
     * The connection cannot do this.
     */
    VIR_ERR_NO_SUPPORT = 3,
    VIR_ERR_UNKNOWN_HOST = 4,
    VIR_ERR_NO_CONNECT = 5,
    /**
     * No connection of this library, or one already closed.
     */
    VIR_ERR_INVALID_CONN = 6,
    /**
     * No domain of this library, or one already freed.
     */
    VIR_ERR_INVALID_DOMAIN = 7,
    /**
     * An argument or flag that the function does not take.
     */
    VIR_ERR_INVALID_ARG = 8,
    /**
     * The operation failed; nothing changed.
     */
    VIR_ERR_OPERATION_FAILED = 9,
    VIR_ERR_GET_FAILED = 10,
    VIR_ERR_POST_FAILED = 11,
    VIR_ERR_HTTP_ERROR = 12,
    VIR_ERR_SEXPR_SERIAL = 13,
    VIR_ERR_NO_XEN = 14,
    VIR_ERR_XEN_CALL = 15,
    VIR_ERR_OS_TYPE = 16,
    VIR_ERR_NO_KERNEL = 17,
    VIR_ERR_NO_ROOT = 18,
    VIR_ERR_NO_SOURCE = 19,
    VIR_ERR_NO_TARGET = 20,
    VIR_ERR_NO_NAME = 21,
    VIR_ERR_NO_OS = 22,
    VIR_ERR_NO_DEVICE = 23,
    VIR_ERR_NO_XENSTORE = 24,
    VIR_ERR_DRIVER_FULL = 25,
    VIR_ERR_CALL_FAILED = 26,
    /**
     * A document with a bad or missing value.
     */
    VIR_ERR_XML_ERROR = 27,
    VIR_ERR_DOM_EXIST = 28,
    /**
     * The connection is read-only.
     */
    VIR_ERR_OPERATION_DENIED = 29,
    VIR_ERR_OPEN_FAILED = 30,
    VIR_ERR_READ_FAILED = 31,
    VIR_ERR_PARSE_FAILED = 32,
    VIR_ERR_CONF_SYNTAX = 33,
    VIR_ERR_WRITE_FAILED = 34,
    /**
     * A document that is not well-formed, or a bad snapshot name.
     */
    VIR_ERR_XML_DETAIL = 35,
    VIR_ERR_INVALID_NETWORK = 36,
    VIR_ERR_NETWORK_EXIST = 37,
    /**
     * A system call failed; int1 has errno.
     */
    VIR_ERR_SYSTEM_ERROR = 38,
    VIR_ERR_RPC = 39,
    VIR_ERR_GNUTLS_ERROR = 40,
    VIR_WAR_NO_NETWORK = 41,
    /**
     * There is no such domain, or it is gone.
     */
    VIR_ERR_NO_DOMAIN = 42,
    VIR_ERR_NO_NETWORK = 43,
    VIR_ERR_INVALID_MAC = 44,
    VIR_ERR_AUTH_FAILED = 45,
    VIR_ERR_INVALID_STORAGE_POOL = 46,
    VIR_ERR_INVALID_STORAGE_VOL = 47,
    VIR_WAR_NO_STORAGE = 48,
    VIR_ERR_NO_STORAGE_POOL = 49,
    VIR_ERR_NO_STORAGE_VOL = 50,
    VIR_WAR_NO_NODE = 51,
    VIR_ERR_INVALID_NODE_DEVICE = 52,
    VIR_ERR_NO_NODE_DEVICE = 53,
    VIR_ERR_NO_SECURITY_MODEL = 54,
    /**
     * Not possible in the present state.
     */
    VIR_ERR_OPERATION_INVALID = 55,
    VIR_WAR_NO_INTERFACE = 56,
    VIR_ERR_NO_INTERFACE = 57,
    VIR_ERR_INVALID_INTERFACE = 58,
    VIR_ERR_MULTIPLE_INTERFACES = 59,
    VIR_WAR_NO_NWFILTER = 60,
    VIR_ERR_INVALID_NWFILTER = 61,
    VIR_ERR_NO_NWFILTER = 62,
    VIR_ERR_BUILD_FIREWALL = 63,
    VIR_WAR_NO_SECRET = 64,
    VIR_ERR_INVALID_SECRET = 65,
    VIR_ERR_NO_SECRET = 66,
    /**
     * A configuration that cannot be served.
     */
    VIR_ERR_CONFIG_UNSUPPORTED = 67,
    /**
     * Another operation held the domain for too long.
     */
    VIR_ERR_OPERATION_TIMEOUT = 68,
    VIR_ERR_MIGRATE_PERSIST_FAILED = 69,
    VIR_ERR_HOOK_SCRIPT_FAILED = 70,
    /**
     * No snapshot of this library, or one already freed.
     */
    VIR_ERR_INVALID_DOMAIN_SNAPSHOT = 71,
    /**
     * There is no such snapshot, or it is gone.
     */
    VIR_ERR_NO_DOMAIN_SNAPSHOT = 72,
    VIR_ERR_INVALID_STREAM = 73,
    VIR_ERR_ARGUMENT_UNSUPPORTED = 74,
    VIR_ERR_STORAGE_PROBE_FAILED = 75,
    VIR_ERR_STORAGE_POOL_BUILT = 76,
    /**
     * The revert needs VIR_DOMAIN_SNAPSHOT_REVERT_FORCE.
     */
    VIR_ERR_SNAPSHOT_REVERT_RISKY = 77,
    VIR_ERR_OPERATION_ABORTED = 78,
    VIR_ERR_AUTH_CANCELLED = 79,
    VIR_ERR_NO_DOMAIN_METADATA = 80,
    VIR_ERR_MIGRATE_UNSAFE = 81,
    VIR_ERR_OVERFLOW = 82,
    VIR_ERR_BLOCK_COPY_ACTIVE = 83,
    /**
     * The operation is not supported.
     */
    VIR_ERR_OPERATION_UNSUPPORTED = 84,
    VIR_ERR_SSH = 85,
    VIR_ERR_AGENT_UNRESPONSIVE = 86,
    VIR_ERR_RESOURCE_BUSY = 87,
    VIR_ERR_ACCESS_DENIED = 88,
    VIR_ERR_DBUS_SERVICE = 89,
    VIR_ERR_STORAGE_VOL_EXIST = 90,
    VIR_ERR_CPU_INCOMPATIBLE = 91,
    /**
     * A document that does not follow the schema.
     */
    VIR_ERR_XML_INVALID_SCHEMA = 92,
    VIR_ERR_MIGRATE_FINISH_OK = 93,
    VIR_ERR_AUTH_UNAVAILABLE = 94,
    VIR_ERR_NO_SERVER = 95,
    VIR_ERR_NO_CLIENT = 96,
    VIR_ERR_AGENT_UNSYNCED = 97,
    VIR_ERR_LIBSSH = 98,
    VIR_ERR_DEVICE_MISSING = 99,
    VIR_ERR_INVALID_NWFILTER_BINDING = 100,
    VIR_ERR_NO_NWFILTER_BINDING = 101,
    VIR_ERR_INVALID_DOMAIN_CHECKPOINT = 102,
    VIR_ERR_NO_DOMAIN_CHECKPOINT = 103,
    VIR_ERR_NO_DOMAIN_BACKUP = 104,
    VIR_ERR_INVALID_NETWORK_PORT = 105,
    VIR_ERR_NETWORK_PORT_EXIST = 106,
    VIR_ERR_NO_NETWORK_PORT = 107,
    VIR_ERR_NO_HOSTNAME = 108,
    VIR_ERR_CHECKPOINT_INCONSISTENT = 109,
    VIR_ERR_MULTIPLE_DOMAINS = 110,
} virErrorNumber;

/**
 * Which part noticed. The values that this library raises are documented.
 */
typedef enum {
    /**
     * No part in particular.
     */
    VIR_FROM_NONE = 0,
    VIR_FROM_XEN = 1,
    VIR_FROM_XEND = 2,
    VIR_FROM_XENSTORE = 3,
    VIR_FROM_SEXPR = 4,
    /**
     * Documents.
     */
    VIR_FROM_XML = 5,
    /**
     * Domain handles.
     */
    VIR_FROM_DOM = 6,
    VIR_FROM_RPC = 7,
    VIR_FROM_PROXY = 8,
    VIR_FROM_CONF = 9,
    /**
     * The work itself, as in the QEMU driver of libvirt.
     */
    VIR_FROM_QEMU = 10,
    VIR_FROM_NET = 11,
    VIR_FROM_TEST = 12,
    VIR_FROM_REMOTE = 13,
    VIR_FROM_OPENVZ = 14,
    VIR_FROM_XENXM = 15,
    VIR_FROM_STATS_LINUX = 16,
    VIR_FROM_LXC = 17,
    /**
     * Chains of images.
     */
    VIR_FROM_STORAGE = 18,
    VIR_FROM_NETWORK = 19,
    /**
     * Domain definitions; arguments of connection and domain functions.
     */
    VIR_FROM_DOMAIN = 20,
    VIR_FROM_UML = 21,
    VIR_FROM_NODEDEV = 22,
    VIR_FROM_XEN_INOTIFY = 23,
    VIR_FROM_SECURITY = 24,
    VIR_FROM_VBOX = 25,
    VIR_FROM_INTERFACE = 26,
    VIR_FROM_ONE = 27,
    VIR_FROM_ESX = 28,
    VIR_FROM_PHYP = 29,
    VIR_FROM_SECRET = 30,
    VIR_FROM_CPU = 31,
    VIR_FROM_XENAPI = 32,
    VIR_FROM_NWFILTER = 33,
    VIR_FROM_HOOK = 34,
    /**
     * Snapshot documents; arguments of snapshot functions.
     */
    VIR_FROM_DOMAIN_SNAPSHOT = 35,
    VIR_FROM_AUDIT = 36,
    VIR_FROM_SYSINFO = 37,
    VIR_FROM_STREAMS = 38,
    VIR_FROM_VMWARE = 39,
    VIR_FROM_EVENT = 40,
    VIR_FROM_LIBXL = 41,
    VIR_FROM_LOCKING = 42,
    VIR_FROM_HYPERV = 43,
    VIR_FROM_CAPABILITIES = 44,
    /**
     * Connection URIs.
     */
    VIR_FROM_URI = 45,
    VIR_FROM_AUTH = 46,
    VIR_FROM_DBUS = 47,
    VIR_FROM_PARALLELS = 48,
    VIR_FROM_DEVICE = 49,
    VIR_FROM_SSH = 50,
    VIR_FROM_LOCKSPACE = 51,
    VIR_FROM_INITCTL = 52,
    VIR_FROM_IDENTITY = 53,
    VIR_FROM_CGROUP = 54,
    VIR_FROM_ACCESS = 55,
    VIR_FROM_SYSTEMD = 56,
    VIR_FROM_BHYVE = 57,
    VIR_FROM_CRYPTO = 58,
    VIR_FROM_FIREWALL = 59,
    VIR_FROM_POLKIT = 60,
    VIR_FROM_THREAD = 61,
    VIR_FROM_ADMIN = 62,
    VIR_FROM_LOGGING = 63,
    VIR_FROM_XENXL = 64,
    VIR_FROM_PERF = 65,
    VIR_FROM_LIBSSH = 66,
    VIR_FROM_RESCTRL = 67,
    VIR_FROM_FIREWALLD = 68,
    VIR_FROM_DOMAIN_CHECKPOINT = 69,
    VIR_FROM_TPM = 70,
    VIR_FROM_BPF = 71,
    VIR_FROM_CH = 72,
} virErrorDomain;

/**
 * A connection to the domains of one state directory. Opaque.
 */
struct _virConnect;

/**
 * A domain: a virtual machine, running or not. Opaque.
 */
struct _virDomain;

/**
 * The name of a snapshot together with its domain. Opaque.
 */
struct _virDomainSnapshot;

/**
 * A virtual network. Only virError mentions it. Opaque.
 */
struct _virNetwork;

/**
 * A parameter with a name and a type. Only libvirt's own functions look at it. Opaque.
 */
struct _virTypedParameter;

/**
 * A connection to the domains of one state directory. Opaque.
 */
typedef struct _virConnect virConnect;

/**
 * A counted reference to a connection; give it back with virConnectClose().
 */
typedef virConnect *virConnectPtr;

/**
 * A domain: a virtual machine, running or not. Opaque.
 */
typedef struct _virDomain virDomain;

/**
 * A counted reference to a domain; give it back with virDomainFree().
 */
typedef virDomain *virDomainPtr;

/**
 * A virtual network. Only virError mentions it. Opaque.
 */
typedef struct _virNetwork virNetwork;

/**
 * Only virError mentions it.
 */
typedef virNetwork *virNetworkPtr;

/**
 * One error: what went wrong, where, and the words for it.
 *
 * Strings belong to the error: virResetError() frees them.
 */
struct _virError {
    /**
     * What went wrong: a virErrorNumber, 0 for no error.
     */
    int code;
    /**
     * Which part noticed: a virErrorDomain.
     */
    int domain;
    /**
     * For people, complete.
     */
    char *message;
    /**
     * How bad it is. This library raises VIR_ERR_ERROR only.
     */
    virErrorLevel level;
    /**
     * Always NULL.
     */
    virConnectPtr conn;
    /**
     * Always NULL.
     */
    virDomainPtr dom;
    /**
     * The message's format with one `%s`; for argument checks the function's name.
     */
    char *str1;
    /**
     * What stands for the `%s`; for argument checks the argument's name.
     */
    char *str2;
    /**
     * Always NULL.
     */
    char *str3;
    /**
     * errno of a failed system call, 0 for argument checks, else -1.
     */
    int int1;
    /**
     * 0 for argument checks, else -1.
     */
    int int2;
    /**
     * Always NULL.
     */
    virNetworkPtr net;
};

/**
 * One question of an authentication dialogue.
 */
struct _virConnectCredential {
    /**
     * A virConnectCredentialType.
     */
    int type;
    /**
     * What to show to the user.
     */
    const char *prompt;
    /**
     * More to show, or NULL.
     */
    const char *challenge;
    /**
     * The answer if the user gives none, or NULL.
     */
    const char *defresult;
    /**
     * The answer, allocated by the callback.
     */
    char *result;
    /**
     * Bytes of the answer.
     */
    unsigned int resultlen;
};

/**
 * One question of an authentication dialogue.
 */
typedef struct _virConnectCredential virConnectCredential;

/**
 * A pointer to such a question.
 */
typedef virConnectCredential *virConnectCredentialPtr;

/**
 * Answers the questions of an authentication dialogue.
 *
 * @cred: the questions, to be completed
 * @ncred: how many there are
 * @cbdata: what was registered with it
 *
 * Returns 0, or -1 if the user gave up.
 */
typedef int (*virConnectAuthCallbackPtr)(virConnectCredentialPtr cred,
                                         unsigned int ncred,
                                         void *cbdata);

/**
 * How a program authenticates. This library asks nobody and does not look inside.
 */
struct _virConnectAuth {
    /**
     * The virConnectCredentialType values that the callback can answer.
     */
    int *credtype;
    /**
     * How many there are.
     */
    unsigned int ncredtype;
    /**
     * The callback.
     */
    virConnectAuthCallbackPtr cb;
    /**
     * Handed to the callback.
     */
    void *cbdata;
};

/**
 * What virDomainGetInfo() tells about a domain.
 */
struct _virDomainInfo {
    /**
     * A virDomainState.
     */
    unsigned char state;
    /**
     * Memory that the domain may have at most, in KiB.
     */
    unsigned long maxMem;
    /**
     * Memory that the domain has, in KiB.
     */
    unsigned long memory;
    /**
     * Number of virtual CPUs.
     */
    unsigned short nrVirtCpu;
    /**
     * CPU time used, in nanoseconds.
     */
    unsigned long long cpuTime;
};

/**
 * The name of a snapshot together with its domain. Opaque.
 */
typedef struct _virDomainSnapshot virDomainSnapshot;

/**
 * A counted reference to a snapshot; give it back with virDomainSnapshotFree().
 */
typedef virDomainSnapshot *virDomainSnapshotPtr;

/**
 * A parameter with a name and a type. Only libvirt's own functions look at it. Opaque.
 */
typedef struct _virTypedParameter virTypedParameter;

/**
 * A pointer to parameters.
 */
typedef virTypedParameter *virTypedParameterPtr;

/**
 * One error: what went wrong, where, and the words for it.
 */
typedef struct _virError virError;

/**
 * A pointer to an error.
 */
typedef virError *virErrorPtr;

/**
 * Told of each error that a call ends with, in the thread of that call.
 *
 * @userData: what was registered with it
 * @error: the error, valid during the call
 */
typedef void (*virErrorFunc)(void *userData, virErrorPtr error);

/**
 * Told when a connection is closed by anybody but the program.
 *
 * @conn: the connection
 * @reason: a virConnectCloseReason
 * @opaque: what was registered with it
 */
typedef void (*virConnectCloseFunc)(virConnectPtr conn, int reason, void *opaque);

/**
 * Frees what a program has registered.
 *
 * @opaque: what was registered
 */
typedef void (*virFreeCallback)(void *opaque);

/**
 * How a program authenticates. This library asks nobody and does not look inside.
 */
typedef struct _virConnectAuth virConnectAuth;

/**
 * A pointer to it.
 */
typedef virConnectAuth *virConnectAuthPtr;

/**
 * What virDomainGetInfo() tells about a domain.
 */
typedef struct _virDomainInfo virDomainInfo;

/**
 * A pointer to it.
 */
typedef virDomainInfo *virDomainInfoPtr;

#endif /* !VIRSNAP_LIBVIRT_TYPES */

/**
 * The version of virsnap that this header belongs to: major * 1000000 + minor * 1000 + micro.
 */
#define VIRSNAP_VERSION_NUMBER 1000

/**
 * Kinds of problems with stored state.
 */
enum virSnapProblemKind {
    /**
     * A file that cannot be read, or is no document of this domain.
     */
    VIR_SNAP_PROBLEM_UNREADABLE = 1,
    /**
     * A snapshot whose parent is missing. It is listed as a root.
     */
    VIR_SNAP_PROBLEM_PARENT_MISSING = 2,
    /**
     * A snapshot that is its own ancestor. It is listed as a root.
     */
    VIR_SNAP_PROBLEM_CYCLE = 3,
    /**
     * A document that claims to be the current snapshot's, while another one counts.
     */
    VIR_SNAP_PROBLEM_SEVERAL_CURRENT = 4,
    /**
     * An operation that was cut off and can be neither finished nor undone now.
     */
    VIR_SNAP_PROBLEM_INTERRUPTED = 5,
};

/**
 * Flags of virSnapDomainRepair(). Without any nothing is mended.
 */
enum virSnapRepairFlags {
    /**
     * Tell what the other flags would mend, and change nothing.
     */
    VIR_SNAP_REPAIR_DRY_RUN = 1,
    /**
     * Move files that cannot be read to STATE_DIR/damaged/DOMAIN/.
     */
    VIR_SNAP_REPAIR_SET_ASIDE = 2,
    /**
     * Make roots of snapshots whose parent is missing or that are their own ancestors.
     */
    VIR_SNAP_REPAIR_REROOT = 4,
    /**
     * Take the mark of the current snapshot from all but the one that counts.
     */
    VIR_SNAP_REPAIR_ONE_CURRENT = 8,
};

/**
 * Flags of virSnapDomainMigrateCheck() and virSnapDomainMigrateBegin().
 */
enum virSnapMigrateFlags {
    /**
     * The domain's snapshots go with it. Without this flag there may be none.
     */
    VIR_SNAP_MIGRATE_METADATA = 1,
};

/**
 * How far the last migration of a domain has come on this host.
 */
enum virSnapMigrateState {
    /**
     * There was none.
     */
    VIR_SNAP_MIGRATE_STATE_NONE = 0,
    /**
     * It began here, and the snapshots are frozen: confirm or cancel it.
     */
    VIR_SNAP_MIGRATE_STATE_OUTGOING = 1,
    /**
     * Snapshots came in and are not visible yet; those that are here are frozen: finish or cancel it.
     */
    VIR_SNAP_MIGRATE_STATE_INCOMING = 2,
    /**
     * Snapshots that came in are visible: confirm it at the source.
     */
    VIR_SNAP_MIGRATE_STATE_FINISHED = 3,
    /**
     * The snapshots have gone from here.
     */
    VIR_SNAP_MIGRATE_STATE_CONFIRMED = 4,
    /**
     * It was given up here.
     */
    VIR_SNAP_MIGRATE_STATE_CANCELLED = 5,
};

/**
 * Flags of virSnapDomainMigrateAdopt().
 */
enum virSnapMigrateAdoptFlags {
    /**
     * libvirt forgets the metadata that was adopted; data stays.
     */
    VIR_SNAP_MIGRATE_ADOPT_FORGET = 1,
};

/**
 * Flags of virSnapDomainMigrateImport() and virSnapDomainMigrateImportFD().
 */
enum virSnapMigrateImportFlags {
    /**
     * The storage is not there yet: the data is not looked at.
     */
    VIR_SNAP_MIGRATE_IMPORT_UNCHECKED = 1,
};

/**
 * How the start callback is to start a guest. Its CPUs are stopped in any case (QEMU's `-S`).
 */
enum virSnapStartFlags {
    /**
     * The guest waits for its memory (QEMU's `-incoming defer`).
     */
    VIR_SNAP_START_INCOMING = 1,
};

/**
 * Which differences are listed; neither means both.
 */
enum virSnapListDifferencesFlags {
    /**
     * Data that is not as the metadata says.
     */
    VIR_SNAP_LIST_DIFFERENCES_DIFFERING = 1,
    /**
     * Data that cannot be looked at from here: of it nothing is known to be wrong.
     */
    VIR_SNAP_LIST_DIFFERENCES_UNCHECKED = 2,
};

/**
 * What a step of a plan does.
 */
enum virSnapPlanStepKind {
    /**
     * Snapshot `name` comes, below `parent`.
     */
    VIR_SNAP_PLAN_ADD = 1,
    /**
     * The metadata of snapshot `name` is replaced.
     */
    VIR_SNAP_PLAN_REDEFINE = 2,
    /**
     * Snapshot `name` goes.
     */
    VIR_SNAP_PLAN_DROP = 3,
    /**
     * Snapshot `name` gets another parent, `parent`; NULL: it becomes a root.
     */
    VIR_SNAP_PLAN_REPARENT = 4,
    /**
     * Snapshot `name` becomes the current one; NULL: there is none afterwards.
     */
    VIR_SNAP_PLAN_CURRENT = 5,
    /**
     * `file` is made.
     */
    VIR_SNAP_PLAN_CREATE_FILE = 6,
    /**
     * `file` is written to: another image is merged into it, or it is replaced.
     */
    VIR_SNAP_PLAN_WRITE_FILE = 7,
    /**
     * The image `file` names another one below it, which shows the same.
     */
    VIR_SNAP_PLAN_RELINK_FILE = 8,
    /**
     * `file` is removed.
     */
    VIR_SNAP_PLAN_REMOVE_FILE = 9,
    /**
     * The internal snapshot `name` is made in `file`.
     */
    VIR_SNAP_PLAN_TAKE_DATA = 10,
    /**
     * The internal snapshot `name` of `file` becomes what the image shows.
     */
    VIR_SNAP_PLAN_RESTORE_DATA = 11,
    /**
     * The internal snapshot `name` is dropped from `file`.
     */
    VIR_SNAP_PLAN_DROP_DATA = 12,
    /**
     * The domain's disk `disk` is in `file` from then on.
     */
    VIR_SNAP_PLAN_SWITCH_DISK = 13,
    /**
     * The guest waits.
     */
    VIR_SNAP_PLAN_PAUSE = 14,
    /**
     * The guest's CPUs run on.
     */
    VIR_SNAP_PLAN_RESUME = 15,
    /**
     * The guest is ended.
     */
    VIR_SNAP_PLAN_STOP = 16,
    /**
     * A guest is started.
     */
    VIR_SNAP_PLAN_START = 17,
    /**
     * The domain's definition is removed.
     */
    VIR_SNAP_PLAN_UNDEFINE = 18,
    /**
     * The snapshots cannot be changed until the migration ends.
     */
    VIR_SNAP_PLAN_FREEZE = 19,
    /**
     * What is to be done with data is done by somebody else, the program's callbacks or libvirt:
     * this library cannot tell more.
     */
    VIR_SNAP_PLAN_ELSEWHERE = 20,
};

/**
 * What has happened.
 */
enum virSnapEventID {
    /**
     * A snapshot is there that was not. With VIR_SNAP_EVENT_DETAIL_REDEFINED its metadata was taken
     * in, or replaced.
     */
    VIR_SNAP_EVENT_CREATED = 0,
    /**
     * A snapshot is gone.
     */
    VIR_SNAP_EVENT_DELETED = 1,
    /**
     * The domain is what it was when the snapshot was taken.
     */
    VIR_SNAP_EVENT_REVERTED = 2,
    /**
     * Another snapshot is the current one; without a name, none is.
     */
    VIR_SNAP_EVENT_CURRENT_CHANGED = 3,
    /**
     * All snapshots of the domain have left with a migration, or have arrived.
     */
    VIR_SNAP_EVENT_MIGRATED = 4,
    /**
     * How far a long operation is.
     */
    VIR_SNAP_EVENT_PROGRESS = 5,
};

/**
 * How it has happened.
 */
enum virSnapEventDetail {
    /**
     * As the word for the event says.
     */
    VIR_SNAP_EVENT_DETAIL_NONE = 0,
    /**
     * CREATED: by REDEFINE. No guest was touched.
     */
    VIR_SNAP_EVENT_DETAIL_REDEFINED = 1,
    /**
     * DELETED: the metadata alone. The data is where it was.
     */
    VIR_SNAP_EVENT_DETAIL_METADATA = 2,
    /**
     * MIGRATED: they have left for another host.
     */
    VIR_SNAP_EVENT_DETAIL_LEFT = 3,
    /**
     * MIGRATED: they have come from another host.
     */
    VIR_SNAP_EVENT_DETAIL_ARRIVED = 4,
    /**
     * Found when the domain was loaded anew: by another process, or by an operation that was cut off
     * and has been finished now.
     */
    VIR_SNAP_EVENT_DETAIL_FOUND = 5,
};

/**
 * One thing that is wrong with stored state.
 */
struct _virSnapProblem {
    /**
     * A virSnapProblemKind.
     */
    int kind;
    /**
     * The snapshot; of a definition or a journal, the domain.
     */
    char *name;
    /**
     * The file.
     */
    char *file;
    /**
     * What is wrong, for people.
     */
    char *text;
};

/**
 * One thing that is wrong with stored state.
 */
typedef struct _virSnapProblem virSnapProblem;

/**
 * A pointer to it; give it back with virSnapProblemFree().
 */
typedef virSnapProblem *virSnapProblemPtr;

/**
 * Is told of a problem at the end of the call that found it, in that call's thread.
 *
 * @opaque: what was registered with it
 * @problem: the problem, valid during the call
 */
typedef void (*virSnapProblemFunc)(void *opaque, const virSnapProblem *problem);

/**
 * How much a snapshot takes, in bytes of the host's disks.
 */
struct _virSnapSize {
    /**
     * sizeof(virSnapSize), which the caller sets: later versions of the library have more members.
     */
    unsigned long size;
    /**
     * What its data takes: of internal disks the clusters that it uses, alone or with others; of
     * external ones the file that keeps its content, without those below; its memory file; the copy
     * of firmware and TPM.
     */
    unsigned long long occupied;
    /**
     * What deleting it alone, with flags 0, would give back.
     */
    unsigned long long freed;
    /**
     * Of occupied: saved memory of the guest.
     */
    unsigned long long memory;
    /**
     * Number of files that could not be looked at. What they take is not in the other numbers.
     */
    int unknown;
};

/**
 * How much a snapshot takes, in bytes of the host's disks.
 */
typedef struct _virSnapSize virSnapSize;

/**
 * A pointer to it.
 */
typedef virSnapSize *virSnapSizePtr;

/**
 * One step of a plan. What a kind of step does not have is NULL or 0.
 */
struct _virSnapPlanStep {
    /**
     * A virSnapPlanStepKind. Later versions may have more.
     */
    int kind;
    /**
     * A snapshot.
     */
    char *name;
    /**
     * A snapshot's parent.
     */
    char *parent;
    /**
     * A file.
     */
    char *file;
    /**
     * The target of a disk.
     */
    char *disk;
    /**
     * Bytes that the step gives back (REMOVE_FILE, DROP_DATA, RESTORE_DATA) or takes (the others).
     */
    unsigned long long bytes;
    /**
     * The step for people, in one line.
     */
    char *text;
};

/**
 * One step of a plan. What a kind of step does not have is NULL or 0.
 */
typedef struct _virSnapPlanStep virSnapPlanStep;

/**
 * A pointer to it.
 */
typedef virSnapPlanStep *virSnapPlanStepPtr;

/**
 * What an operation would do now, or why it would be refused.
 */
struct _virSnapPlan {
    /**
     * Number of steps. There may be none beside refusals that leave nothing to plan.
     */
    int nsteps;
    /**
     * The steps, in their order; a NULL behind the last.
     */
    virSnapPlanStepPtr *steps;
    /**
     * Number of reasons; 0: the operation would be carried out.
     */
    int nrefusals;
    /**
     * Every reason for which the operation would be refused now, as its error would say it, the
     * operation's own error first; a NULL behind the last.
     */
    char **refusals;
    /**
     * Bytes of the host's disks that are given back in the end, those that are taken subtracted.
     */
    unsigned long long freed;
    /**
     * Bytes of the host's disks that the operation takes meanwhile.
     */
    unsigned long long needed;
    /**
     * How long a running guest waits at least, in milliseconds.
     */
    unsigned long long pause_ms;
    /**
     * The whole plan for people, one line a step, or a reason.
     */
    char *text;
};

/**
 * What an operation would do now, or why it would be refused.
 */
typedef struct _virSnapPlan virSnapPlan;

/**
 * A pointer to it; give it back with virSnapPlanFree().
 */
typedef virSnapPlan *virSnapPlanPtr;

/**
 * One event. Its texts are valid during the call that tells of it.
 */
struct _virSnapEvent {
    /**
     * A virSnapEventID. Later versions may have more.
     */
    int id;
    /**
     * A virSnapEventDetail.
     */
    int detail;
    /**
     * The domain's name.
     */
    const char *domain;
    /**
     * The domain's UUID, as text.
     */
    const char *uuid;
    /**
     * The snapshot's name, or NULL.
     */
    const char *snapshot;
    /**
     * PROGRESS: what is done, in bytes where they are known, else in steps.
     */
    unsigned long long done;
    /**
     * PROGRESS: what there is to do.
     */
    unsigned long long total;
};

/**
 * One event. Its texts are valid during the call that tells of it.
 */
typedef struct _virSnapEvent virSnapEvent;

/**
 * Is told of an event, in the thread of the call that made the change.
 *
 * @conn: the connection that it was registered on
 * @event: the event, valid during the call
 * @opaque: what was registered with it
 */
typedef void (*virSnapEventFunc)(virConnectPtr conn, const virSnapEvent *event, void *opaque);

/**
 * A directory or file of the source, and what it is called on this host.
 */
struct _virSnapMigratePath {
    /**
     * An absolute path, or the beginning of one up to a slash.
     */
    const char *from;
    /**
     * What takes its place.
     */
    const char *to;
};

/**
 * A directory or file of the source, and what it is called on this host.
 */
typedef struct _virSnapMigratePath virSnapMigratePath;

/**
 * Takes bytes of a stream that is exported.
 *
 * @bytes: the bytes, valid during the call
 * @length: how many; at most 2 MiB
 * @opaque: what was handed over with the function
 *
 * Returns how many it took, at least 1; or -1 to end the export.
 */
typedef int (*virSnapMigrateSendFunc)(const char *bytes, unsigned int length, void *opaque);

/**
 * Gives bytes of a stream that is imported.
 *
 * @bytes: where to write them, valid during the call
 * @length: how many there is room for; at most 2 MiB
 * @opaque: what was handed over with the function
 *
 * Returns how many it wrote, 0 where the stream ends, or -1 to end the import.
 */
typedef int (*virSnapMigrateReceiveFunc)(char *bytes, unsigned int length, void *opaque);

/**
 * What a program does for a domain with its own hands. Any function may be NULL: then the library
 * does it itself, through the domain's monitor and images.
 *
 * Each function gets `opaque` as it was registered. Those that answer int answer 0, or a negative
 * number for failure; those that answer a text answer one from malloc(), which the library frees,
 * or NULL for failure. Before it fails, a callback may tell the cause with
 * virSnapSetCallbackError(). Callbacks are called in the thread of the operation, and may call the
 * library; they must not change snapshots of the domain.
 */
struct _virSnapDomainCallbacks {
    /**
     * sizeof(virSnapDomainCallbacks): later versions of the library have more functions.
     */
    unsigned long size;
    /**
     * Answers the domain's state, a virDomainState.
     */
    int (*getState)(void *opaque);
    /**
     * Answers the `<domain>` document that snapshots keep.
     */
    char *(*getDefinition)(void *opaque);
    /**
     * Is told that the `<domain>` document is another one from now on. The library has stored it.
     */
    int (*setDefinition)(void *opaque, const char *xml);
    /**
     * Starts the guest of a definition, with its CPUs stopped, and attaches it with
     * virSnapDomainSetMonitor() unless it gives monitorCommand.
     */
    int (*start)(void *opaque, const char *xml, unsigned int flags);
    /**
     * Ends the guest's process, and returns when it has ended.
     */
    int (*stop)(void *opaque);
    /**
     * Stops the guest's CPUs.
     */
    int (*pause)(void *opaque);
    /**
     * Lets the guest's CPUs run.
     */
    int (*resume)(void *opaque);
    /**
     * Hands a line of QMP to the guest's monitor, and a descriptor with it if fd is not -1
     * (SCM_RIGHTS). Answers the monitor's answer, an object with `return` or `error`.
     */
    char *(*monitorCommand)(void *opaque, const char *command, int fd);
    /**
     * Hands a line to the guest agent, and waits at most that many seconds for its answer.
     */
    char *(*agentCommand)(void *opaque, const char *command, int seconds);
    /**
     * Captures the data of the snapshot that the document describes. All or nothing.
     */
    int (*createData)(void *opaque, const char *xml, unsigned int flags);
    /**
     * Makes the captured data the guest's again, with all that belongs to it.
     */
    int (*revertData)(void *opaque, const char *xml, unsigned int flags);
    /**
     * Drops the captured data; lacking data is no failure. A program that gives createData or
     * revertData gives this, too.
     */
    int (*deleteData)(void *opaque, const char *xml);
    /**
     * Is told how far a long operation is, in bytes where they are known; answers 0 to go on, any
     * other number to stop and take back.
     */
    int (*progress)(void *opaque, unsigned long long done, unsigned long long total);
    /**
     * Is called once when the library needs opaque no more.
     */
    void (*release)(void *opaque);
};

/**
 * What a program does for a domain with its own hands.
 */
typedef struct _virSnapDomainCallbacks virSnapDomainCallbacks;

/**
 * Prepares the library. Nothing has to be prepared, so programs may leave the call out.
 *
 * Returns 0.
 *
 * Errors: none. Threads: any. Ownership: nothing changes hands.
 * Since: 0.1.0. Source: libvirt-host.h of libvirt 9.0.0.
 */
int virInitialize(void);

/**
 * Tells the version of libvirt's API that this library follows.
 *
 * @libVer: where to store the version, major * 1000000 + minor * 1000 + micro
 * @type: ignored
 * @typeVer: NULL, or where to store the same version
 *
 * Returns 0, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_ARG (libVer is NULL).
 * Threads: any. Ownership: nothing changes hands.
 * Since: 0.0.3. Source: libvirt-host.h of libvirt 9.0.0.
 *
 * Safety: libVer and typeVer are NULL or writable.
 */
int virGetVersion(unsigned long *libVer, const char *type, unsigned long *typeVer);

/**
 * Tells the version of virsnap itself. No libvirt has this function: a program finds out with
 * it (dlsym) which of the two libraries answers.
 *
 * @version: where to store the version, major * 1000000 + minor * 1000 + micro
 *
 * Returns 0, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_ARG (version is NULL).
 * Threads: any. Ownership: nothing changes hands.
 * Since: virsnap 0.1.0.
 *
 * Safety: version is NULL or writable.
 */
int virSnapGetVersion(unsigned long *version);

/**
 * Opens a connection that reads and writes.
 *
 * @name: virsnap:///ABSOLUTE/STATE/DIRECTORY, or NULL for the URI in the environment variable
 * LIBVIRT_DEFAULT_URI
 *
 * The directory is made if it does not exist. Connections of one process to one directory share
 * its domains; other processes may use it at the same time.
 *
 * Returns a new connection, or NULL in case of error.
 *
 * Errors: VIR_ERR_INVALID_ARG (another kind of URI), VIR_ERR_SYSTEM_ERROR (the directory cannot
 * be used), VIR_ERR_INTERNAL_ERROR (the directory cannot be trusted).
 * Threads: any. Ownership: the caller closes the connection with virConnectClose().
 * Since: 0.0.3. Source: libvirt-host.h of libvirt 9.0.0.
 *
 * Safety: name is NULL or NUL-terminated.
 */
virConnectPtr virConnectOpen(const char *name);

/**
 * Opens a connection that changes nothing: functions that write fail on it with
 * VIR_ERR_OPERATION_DENIED, and secrets are not shown.
 *
 * @name: as for virConnectOpen()
 *
 * Returns a new connection, or NULL in case of error.
 *
 * Errors: as for virConnectOpen().
 * Threads: any. Ownership: the caller closes the connection with virConnectClose().
 * Since: 0.0.3. Source: libvirt-host.h of libvirt 9.0.0.
 *
 * Safety: name is NULL or NUL-terminated.
 */
virConnectPtr virConnectOpenReadOnly(const char *name);

/**
 * Opens a connection with flags.
 *
 * @name: as for virConnectOpen()
 * @auth: ignored: this library asks nobody for a password. May be NULL
 * @flags: bitwise-OR of virConnectFlags
 *
 * Returns a new connection, or NULL in case of error.
 *
 * Errors: as for virConnectOpen(), VIR_ERR_INVALID_ARG (unknown flag).
 * Threads: any. Ownership: the caller closes the connection with virConnectClose().
 * Since: 0.4.0. Source: libvirt-host.h of libvirt 9.0.0.
 *
 * Safety: name is NULL or NUL-terminated.
 */
virConnectPtr virConnectOpenAuth(const char *name, virConnectAuthPtr auth, unsigned int flags);

/**
 * Adds a reference to a connection. Each needs a virConnectClose() of its own.
 *
 * @conn: a connection
 *
 * Returns 0, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_CONN (bad handle).
 * Threads: any. Ownership: the caller has one reference more to give back.
 * Since: 0.6.0. Source: libvirt-host.h of libvirt 9.0.0.
 */
int virConnectRef(virConnectPtr conn);

/**
 * Gives back a reference to a connection. With the last one it is closed. Domain and snapshot
 * handles keep their connection open and go on working.
 *
 * @conn: a connection
 *
 * Returns the number of references left, 0 if it is closed now, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_CONN (bad handle, or all references are given back already).
 * Threads: any. Ownership: the caller's reference is gone.
 * Since: 0.0.3. Source: libvirt-host.h of libvirt 9.0.0.
 */
int virConnectClose(virConnectPtr conn);

/**
 * Tells the URI of a connection.
 *
 * @conn: a connection
 *
 * Returns the URI, or NULL in case of error.
 *
 * Errors: VIR_ERR_INVALID_CONN (bad handle), VIR_ERR_NO_MEMORY.
 * Threads: any. Ownership: the caller frees the string with free().
 * Since: 0.3.0. Source: libvirt-host.h of libvirt 9.0.0.
 */
char *virConnectGetURI(virConnectPtr conn);

/**
 * Tells what kind of connection it is: "virsnap", where libvirt has "QEMU" and others.
 *
 * @conn: a connection
 *
 * Returns the name, or NULL in case of error.
 *
 * Errors: VIR_ERR_INVALID_CONN (bad handle).
 * Threads: any. Ownership: the string is the library's; it is never freed.
 * Since: 0.0.3. Source: libvirt-host.h of libvirt 9.0.0.
 */
const char *virConnectGetType(virConnectPtr conn);

/**
 * Tells the version of libvirt's API that the library behind a connection follows.
 *
 * @conn: a connection
 * @libVer: where to store the version, major * 1000000 + minor * 1000 + micro
 *
 * Returns 0, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_CONN (bad handle), VIR_ERR_INVALID_ARG (libVer is NULL).
 * Threads: any. Ownership: nothing changes hands.
 * Since: 0.7.3. Source: libvirt-host.h of libvirt 9.0.0.
 *
 * Safety: libVer is NULL or writable.
 */
int virConnectGetLibVersion(virConnectPtr conn, unsigned long *libVer);

/**
 * Tells the name of the host.
 *
 * @conn: a connection
 *
 * Returns the name, or NULL in case of error.
 *
 * Errors: VIR_ERR_INVALID_CONN (bad handle), VIR_ERR_NO_MEMORY.
 * Threads: any. Ownership: the caller frees the string with free().
 * Since: 0.3.0. Source: libvirt-host.h of libvirt 9.0.0.
 */
char *virConnectGetHostname(virConnectPtr conn);

/**
 * Tells whether a connection still works. There is nobody at the other end who could go away.
 *
 * @conn: a connection
 *
 * Returns 1, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_CONN (bad handle).
 * Threads: any. Ownership: nothing changes hands.
 * Since: 0.9.8. Source: libvirt-host.h of libvirt 9.0.0.
 */
int virConnectIsAlive(virConnectPtr conn);

/**
 * Tells whether a connection is secure. It never leaves the process.
 *
 * @conn: a connection
 *
 * Returns 1, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_CONN (bad handle).
 * Threads: any. Ownership: nothing changes hands.
 * Since: 0.7.3. Source: libvirt-host.h of libvirt 9.0.0.
 */
int virConnectIsSecure(virConnectPtr conn);

/**
 * Tells whether a connection is encrypted. There is nothing to encrypt.
 *
 * @conn: a connection
 *
 * Returns 0, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_CONN (bad handle).
 * Threads: any. Ownership: nothing changes hands.
 * Since: 0.7.3. Source: libvirt-host.h of libvirt 9.0.0.
 */
int virConnectIsEncrypted(virConnectPtr conn);

/**
 * Counts the active domains.
 *
 * @conn: a connection
 *
 * Returns the number of domains, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_CONN (bad handle).
 * Threads: any. Ownership: nothing changes hands.
 * Since: 0.0.3. Source: libvirt-domain.h of libvirt 9.0.0.
 */
int virConnectNumOfDomains(virConnectPtr conn);

/**
 * Lists the ids of the active domains. Domains of this library have no ids, so there are none.
 *
 * @conn: a connection
 * @ids: an array for the ids; may be NULL if maxids is 0
 * @maxids: how many ids the array holds
 *
 * Returns the number of ids stored, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_CONN (bad handle), VIR_ERR_INVALID_ARG (no array, negative length).
 * Threads: any. Ownership: nothing changes hands.
 * Since: 0.0.3. Source: libvirt-domain.h of libvirt 9.0.0.
 */
int virConnectListDomains(virConnectPtr conn, int *ids, int maxids);

/**
 * Counts the inactive domains.
 *
 * @conn: a connection
 *
 * Returns the number of domains, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_CONN (bad handle).
 * Threads: any. Ownership: nothing changes hands.
 * Since: 0.1.5. Source: libvirt-domain.h of libvirt 9.0.0.
 */
int virConnectNumOfDefinedDomains(virConnectPtr conn);

/**
 * Lists the names of the inactive domains, ordered by name.
 *
 * @conn: a connection
 * @names: an array for the names; may be NULL if maxnames is 0
 * @maxnames: how many names the array holds
 *
 * Returns the number of names stored, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_CONN (bad handle), VIR_ERR_INVALID_ARG (no array, negative length),
 * VIR_ERR_NO_MEMORY.
 * Threads: any. Ownership: the caller frees each name with free().
 * Since: 0.1.1. Source: libvirt-domain.h of libvirt 9.0.0.
 *
 * Safety: names is NULL or has maxnames writable slots.
 */
int virConnectListDefinedDomains(virConnectPtr conn, char **names, int maxnames);

/**
 * Lists the domains, ordered by name.
 *
 * @conn: a connection
 * @domains: where to store the array of domains; NULL to count them only
 * @flags: bitwise-OR of virConnectListAllDomainsFlags
 *
 * Returns the number of domains, or -1 in case of error. The array has a NULL behind the last.
 *
 * Errors: VIR_ERR_INVALID_CONN (bad handle), VIR_ERR_INVALID_ARG (unknown flag),
 * VIR_ERR_NO_MEMORY. *domains is NULL then.
 * Threads: any. Ownership: the caller frees each domain with virDomainFree(), then the array with
 * free().
 * Since: 0.9.13. Source: libvirt-domain.h of libvirt 9.0.0.
 *
 * Safety: domains is NULL or writable.
 */
int virConnectListAllDomains(virConnectPtr conn, virDomainPtr **domains, unsigned int flags);

/**
 * Asks to be told when a connection is closed by anybody but the program. There is nobody at the
 * other end who could: nothing is ever told.
 *
 * @conn: a connection
 * @cb: the function to tell
 * @opaque: handed to the function
 * @freecb: ignored, as by libvirt for its drivers without a daemon; may be NULL
 *
 * Returns 0, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_CONN (bad handle), VIR_ERR_INVALID_ARG (cb is NULL).
 * Threads: any. Ownership: opaque stays the caller's.
 * Since: 0.10.0. Source: libvirt-host.h of libvirt 9.0.0.
 */
int virConnectRegisterCloseCallback(virConnectPtr conn,
                                    virConnectCloseFunc cb,
                                    void *opaque,
                                    virFreeCallback freecb);

/**
 * Takes back what virConnectRegisterCloseCallback() has asked for.
 *
 * @conn: a connection
 * @cb: the function that was registered
 *
 * Returns 0, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_CONN (bad handle), VIR_ERR_INVALID_ARG (cb is NULL).
 * Threads: any. Ownership: nothing changes hands.
 * Since: 0.10.0. Source: libvirt-host.h of libvirt 9.0.0.
 */
int virConnectUnregisterCloseCallback(virConnectPtr conn, virConnectCloseFunc cb);

/**
 * Defines a domain, or replaces the definition of the one with the same name and UUID.
 *
 * @conn: a connection
 * @xml: the definition, a `<domain>` document
 *
 * A definition without a UUID gets one.
 *
 * Returns a new domain handle, or NULL in case of error.
 *
 * Errors: VIR_ERR_INVALID_CONN (bad handle), VIR_ERR_OPERATION_DENIED (read-only),
 * VIR_ERR_INVALID_ARG (xml is NULL), VIR_ERR_XML_DETAIL, VIR_ERR_XML_ERROR (bad document),
 * VIR_ERR_OPERATION_FAILED (name or UUID belongs to another domain).
 * Threads: any. Ownership: the caller frees the domain with virDomainFree().
 * Since: 0.1.1. Source: libvirt-domain.h of libvirt 9.0.0.
 *
 * Safety: xml is NULL or NUL-terminated.
 */
virDomainPtr virDomainDefineXML(virConnectPtr conn, const char *xml);

/**
 * Defines a domain as virDomainDefineXML() does, with flags.
 *
 * @conn: a connection
 * @xml: the definition, a `<domain>` document
 * @flags: bitwise-OR of virDomainDefineFlags
 *
 * VIR_DOMAIN_DEFINE_VALIDATE changes nothing: what this library reads of a definition is always
 * checked.
 *
 * Returns a new domain handle, or NULL in case of error.
 *
 * Errors: as for virDomainDefineXML(), VIR_ERR_INVALID_ARG (unknown flag).
 * Threads: any. Ownership: the caller frees the domain with virDomainFree().
 * Since: 1.2.12. Source: libvirt-domain.h of libvirt 9.0.0.
 *
 * Safety: xml is NULL or NUL-terminated.
 */
virDomainPtr virDomainDefineXMLFlags(virConnectPtr conn, const char *xml, unsigned int flags);

/**
 * Removes the definition of a domain that has no snapshots. Its images stay.
 *
 * @domain: a domain
 *
 * Returns 0, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_OPERATION_DENIED (read-only),
 * VIR_ERR_NO_DOMAIN (gone already), VIR_ERR_OPERATION_INVALID (it has snapshots).
 * Threads: any. Ownership: the handle stays and is freed with virDomainFree().
 * Since: 0.1.1. Source: libvirt-domain.h of libvirt 9.0.0.
 */
int virDomainUndefine(virDomainPtr domain);

/**
 * Removes the definition of a domain, with flags. Its images stay.
 *
 * @domain: a domain
 * @flags: bitwise-OR of virDomainUndefineFlagsValues
 *
 * With VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA the metadata of its snapshots goes too; without,
 * snapshots are a reason to refuse. The other flags are about things that domains of this library
 * do not have; they change nothing.
 *
 * Returns 0, or -1 in case of error.
 *
 * Errors: as for virDomainUndefine(), VIR_ERR_INVALID_ARG (unknown flag).
 * Threads: any. Ownership: the handle stays and is freed with virDomainFree().
 * Since: 0.9.4. Source: libvirt-domain.h of libvirt 9.0.0.
 */
int virDomainUndefineFlags(virDomainPtr domain, unsigned int flags);

/**
 * Gives a domain another name. Its snapshots stay its own; handles that are there keep answering
 * the old name and work on.
 *
 * @domain: a domain
 * @new_name: the name
 * @flags: 0
 *
 * Returns 0, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_OPERATION_DENIED (read-only),
 * VIR_ERR_INVALID_ARG (new_name is NULL or empty, unknown flag), VIR_ERR_XML_ERROR (no name for a
 * domain), VIR_ERR_OPERATION_INVALID (it has the name already, or another one has, or snapshots
 * of another one are stored under it), VIR_ERR_NO_DOMAIN (undefined meanwhile).
 * Threads: any. Ownership: nothing changes hands.
 * Since: 1.2.19. Source: libvirt-domain.h of libvirt 9.0.0.
 *
 * Safety: new_name is NULL or NUL-terminated.
 */
int virDomainRename(virDomainPtr domain, const char *new_name, unsigned int flags);

/**
 * Finds a domain by its name.
 *
 * @conn: a connection
 * @name: the name
 *
 * Returns a new domain handle, or NULL in case of error.
 *
 * Errors: VIR_ERR_INVALID_CONN (bad handle), VIR_ERR_INVALID_ARG (name is NULL),
 * VIR_ERR_NO_DOMAIN (there is none).
 * Threads: any. Ownership: the caller frees the domain with virDomainFree().
 * Since: 0.0.3. Source: libvirt-domain.h of libvirt 9.0.0.
 *
 * Safety: name is NULL or NUL-terminated.
 */
virDomainPtr virDomainLookupByName(virConnectPtr conn, const char *name);

/**
 * Finds a domain by its UUID.
 *
 * @conn: a connection
 * @uuid: VIR_UUID_BUFLEN bytes
 *
 * Returns a new domain handle, or NULL in case of error.
 *
 * Errors: VIR_ERR_INVALID_CONN (bad handle), VIR_ERR_INVALID_ARG (uuid is NULL),
 * VIR_ERR_NO_DOMAIN (there is none).
 * Threads: any. Ownership: the caller frees the domain with virDomainFree().
 * Since: 0.0.5. Source: libvirt-domain.h of libvirt 9.0.0.
 *
 * Safety: uuid is NULL or has VIR_UUID_BUFLEN readable bytes.
 */
virDomainPtr virDomainLookupByUUID(virConnectPtr conn, const unsigned char *uuid);

/**
 * Finds a domain by its UUID in text form.
 *
 * @conn: a connection
 * @uuidstr: 32 hexadecimal digits; dashes between pairs do not count
 *
 * Returns a new domain handle, or NULL in case of error.
 *
 * Errors: VIR_ERR_INVALID_CONN (bad handle), VIR_ERR_INVALID_ARG (NULL, or no UUID),
 * VIR_ERR_NO_DOMAIN (there is none).
 * Threads: any. Ownership: the caller frees the domain with virDomainFree().
 * Since: 0.1.1. Source: libvirt-domain.h of libvirt 9.0.0.
 *
 * Safety: uuidstr is NULL or NUL-terminated.
 */
virDomainPtr virDomainLookupByUUIDString(virConnectPtr conn, const char *uuidstr);

/**
 * Finds an active domain by its id. Domains of this library have no ids, so none is found.
 *
 * @conn: a connection
 * @id: the id
 *
 * Returns NULL.
 *
 * Errors: VIR_ERR_INVALID_CONN (bad handle), VIR_ERR_INVALID_ARG (negative id),
 * VIR_ERR_NO_DOMAIN (there is none).
 * Threads: any. Ownership: nothing changes hands.
 * Since: 0.0.3. Source: libvirt-domain.h of libvirt 9.0.0.
 */
virDomainPtr virDomainLookupByID(virConnectPtr conn, int id);

/**
 * Tells the name of a domain.
 *
 * @domain: a domain
 *
 * Returns the name, or NULL in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle).
 * Threads: any. Ownership: the string belongs to the handle and is valid until its last
 * virDomainFree().
 * Since: 0.0.3. Source: libvirt-domain.h of libvirt 9.0.0.
 */
const char *virDomainGetName(virDomainPtr domain);

/**
 * Tells the UUID of a domain.
 *
 * @domain: a domain
 * @uuid: an array of VIR_UUID_BUFLEN bytes
 *
 * Returns 0, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_INVALID_ARG (uuid is NULL).
 * Threads: any. Ownership: nothing changes hands.
 * Since: 0.0.5. Source: libvirt-domain.h of libvirt 9.0.0.
 *
 * Safety: uuid is NULL or has VIR_UUID_BUFLEN writable bytes.
 */
int virDomainGetUUID(virDomainPtr domain, unsigned char *uuid);

/**
 * Tells the UUID of a domain in text form.
 *
 * @domain: a domain
 * @buf: an array of VIR_UUID_STRING_BUFLEN bytes
 *
 * Returns 0, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_INVALID_ARG (buf is NULL).
 * Threads: any. Ownership: nothing changes hands.
 * Since: 0.1.1. Source: libvirt-domain.h of libvirt 9.0.0.
 *
 * Safety: buf is NULL or has VIR_UUID_STRING_BUFLEN writable bytes.
 */
int virDomainGetUUIDString(virDomainPtr domain, char *buf);

/**
 * Tells the id of an active domain. Domains of this library have none.
 *
 * @domain: a domain
 *
 * Returns (unsigned int) -1, in case of error as well.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle).
 * Threads: any. Ownership: nothing changes hands.
 * Since: 0.0.3. Source: libvirt-domain.h of libvirt 9.0.0.
 */
unsigned int virDomainGetID(virDomainPtr domain);

/**
 * Gives the definition of a domain.
 *
 * @domain: a domain
 * @flags: bitwise-OR of virDomainXMLFlags
 *
 * Without VIR_DOMAIN_XML_SECURE there are no passwords in it.
 *
 * Returns the `<domain>` document, or NULL in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_OPERATION_DENIED (SECURE or MIGRATABLE on a
 * read-only connection), VIR_ERR_INVALID_ARG (unknown flag), VIR_ERR_NO_DOMAIN (gone),
 * VIR_ERR_NO_MEMORY.
 * Threads: any. Ownership: the caller frees the string with free().
 * Since: 0.0.3. Source: libvirt-domain.h of libvirt 9.0.0.
 */
char *virDomainGetXMLDesc(virDomainPtr domain, unsigned int flags);

/**
 * Tells the state of a domain.
 *
 * @domain: a domain
 * @state: where to store the state, a virDomainState
 * @reason: NULL, or where to store the reason; it is always 0, unknown
 * @flags: 0
 *
 * Returns 0, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_INVALID_ARG (state is NULL, or a flag),
 * VIR_ERR_NO_DOMAIN (gone).
 * Threads: any. Ownership: nothing changes hands.
 * Since: 0.9.2. Source: libvirt-domain.h of libvirt 9.0.0.
 *
 * Safety: state and reason are NULL or writable.
 */
int virDomainGetState(virDomainPtr domain, int *state, int *reason, unsigned int flags);

/**
 * Tells state, memory and number of CPUs of a domain.
 *
 * @domain: a domain
 * @info: where to store it
 *
 * Memory and CPUs are those of the definition. The CPU time is 0: this library does not measure it.
 *
 * Returns 0, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_INVALID_ARG (info is NULL),
 * VIR_ERR_NO_DOMAIN (gone).
 * Threads: any. Ownership: nothing changes hands.
 * Since: 0.0.3. Source: libvirt-domain.h of libvirt 9.0.0.
 *
 * Safety: info is NULL or writable.
 */
int virDomainGetInfo(virDomainPtr domain, virDomainInfoPtr info);

/**
 * Tells the connection of a domain.
 *
 * @domain: a domain
 *
 * Returns the connection, or NULL in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle).
 * Threads: any. Ownership: no reference is added; the connection is valid as long as the domain
 * handle.
 * Since: 0.3.0. Source: libvirt-domain.h of libvirt 9.0.0.
 */
virConnectPtr virDomainGetConnect(virDomainPtr domain);

/**
 * Tells whether a domain is active: running, paused, or anything but shut off.
 *
 * @domain: a domain
 *
 * Returns 1 or 0, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_NO_DOMAIN (gone).
 * Threads: any. Ownership: nothing changes hands.
 * Since: 0.7.3. Source: libvirt-domain.h of libvirt 9.0.0.
 */
int virDomainIsActive(virDomainPtr domain);

/**
 * Tells whether a domain has a definition that stays. All domains of this library have.
 *
 * @domain: a domain
 *
 * Returns 1, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_NO_DOMAIN (gone).
 * Threads: any. Ownership: nothing changes hands.
 * Since: 0.7.3. Source: libvirt-domain.h of libvirt 9.0.0.
 */
int virDomainIsPersistent(virDomainPtr domain);

/**
 * Tells whether memory is saved for the next start of a domain. This library saves none: virsh asks before
 * it undefines a domain.
 *
 * @domain: a domain
 * @flags: 0
 *
 * Returns 0, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_INVALID_ARG (a flag), VIR_ERR_NO_DOMAIN (gone).
 * Threads: any. Ownership: nothing changes hands.
 * Since: 0.8.0. Source: libvirt-domain.h of libvirt 9.0.0.
 */
int virDomainHasManagedSaveImage(virDomainPtr domain,
                                 unsigned int flags);

/**
 * Adds a reference to a domain handle. Each needs a virDomainFree() of its own.
 *
 * @domain: a domain
 *
 * Returns 0, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle).
 * Threads: any. Ownership: the caller has one reference more to give back.
 * Since: 0.6.0. Source: libvirt-domain.h of libvirt 9.0.0.
 */
int virDomainRef(virDomainPtr domain);

/**
 * Gives back a reference to a domain handle. The domain itself stays.
 *
 * @domain: a domain
 *
 * Returns 0, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle, or all references are given back already). NULL is
 * such an error.
 * Threads: any. Ownership: the caller's reference is gone. Snapshot handles keep their domain
 * handle valid.
 * Since: 0.0.3. Source: libvirt-domain.h of libvirt 9.0.0.
 */
int virDomainFree(virDomainPtr domain);

/**
 * Takes a snapshot of a domain, or with VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE restores or changes the
 * metadata of one.
 *
 * @domain: a domain
 * @xmlDesc: a `<domainsnapshot>` document
 * @flags: bitwise-OR of virDomainSnapshotCreateFlags
 *
 * A new snapshot is the child of the current one and becomes the current one itself. Without a
 * name in the document it is called by the time in seconds since 1970. Either the whole snapshot
 * exists afterwards, data and metadata, or nothing of it.
 *
 * Returns a new snapshot handle, or NULL in case of error. With
 * VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA the handle knows its name only.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_INVALID_ARG (xmlDesc is NULL, flags, parent
 * of a redefined snapshot), VIR_ERR_OPERATION_DENIED (read-only), VIR_ERR_NO_DOMAIN (gone),
 * VIR_ERR_XML_DETAIL, VIR_ERR_XML_ERROR (bad document), VIR_ERR_OPERATION_FAILED (the name is
 * taken), VIR_ERR_CONFIG_UNSUPPORTED (disks that cannot be captured so), VIR_ERR_OPERATION_TIMEOUT
 * (another operation runs), VIR_ERR_INTERNAL_ERROR (the capture failed).
 * Threads: any; one operation of a domain after the other. Ownership: the caller frees the
 * snapshot with virDomainSnapshotFree().
 * Since: 0.8.0. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
 *
 * Safety: xmlDesc is NULL or NUL-terminated.
 */
virDomainSnapshotPtr virDomainSnapshotCreateXML(virDomainPtr domain,
                                                const char *xmlDesc,
                                                unsigned int flags);

/**
 * Describes a snapshot.
 *
 * @snapshot: a snapshot
 * @flags: bitwise-OR of virDomainSnapshotXMLFlags
 *
 * The document can be given to virDomainSnapshotCreateXML() with
 * VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE, here or elsewhere. Without VIR_DOMAIN_SNAPSHOT_XML_SECURE
 * there are no passwords in it.
 *
 * Returns the `<domainsnapshot>` document, or NULL in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN_SNAPSHOT (bad handle), VIR_ERR_OPERATION_DENIED (SECURE on a
 * read-only connection), VIR_ERR_INVALID_ARG (unknown flag), VIR_ERR_NO_DOMAIN,
 * VIR_ERR_NO_DOMAIN_SNAPSHOT (gone), VIR_ERR_NO_MEMORY.
 * Threads: any. Ownership: the caller frees the string with free().
 * Since: 0.8.0. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
 */
char *virDomainSnapshotGetXMLDesc(virDomainSnapshotPtr snapshot, unsigned int flags);

/**
 * Finds a snapshot by its name.
 *
 * @domain: a domain
 * @name: the name
 * @flags: 0
 *
 * Returns a new snapshot handle, or NULL in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_INVALID_ARG (name is NULL, or a flag),
 * VIR_ERR_NO_DOMAIN (gone), VIR_ERR_NO_DOMAIN_SNAPSHOT (there is none).
 * Threads: any. Ownership: the caller frees the snapshot with virDomainSnapshotFree().
 * Since: 0.8.0. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
 *
 * Safety: name is NULL or NUL-terminated.
 */
virDomainSnapshotPtr virDomainSnapshotLookupByName(virDomainPtr domain,
                                                   const char *name,
                                                   unsigned int flags);

/**
 * Tells whether a domain has a current snapshot: the one that would be the parent of the next.
 *
 * @domain: a domain
 * @flags: 0
 *
 * Returns 1 or 0, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_INVALID_ARG (a flag), VIR_ERR_NO_DOMAIN
 * (gone).
 * Threads: any. Ownership: nothing changes hands.
 * Since: 0.8.0. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
 */
int virDomainHasCurrentSnapshot(virDomainPtr domain, unsigned int flags);

/**
 * Gives the current snapshot of a domain.
 *
 * @domain: a domain
 * @flags: 0
 *
 * Returns a new snapshot handle, or NULL in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_INVALID_ARG (a flag), VIR_ERR_NO_DOMAIN
 * (gone), VIR_ERR_NO_DOMAIN_SNAPSHOT (there is no current one).
 * Threads: any. Ownership: the caller frees the snapshot with virDomainSnapshotFree().
 * Since: 0.8.0. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
 */
virDomainSnapshotPtr virDomainSnapshotCurrent(virDomainPtr domain, unsigned int flags);

/**
 * Gives the parent of a snapshot.
 *
 * @snapshot: a snapshot
 * @flags: 0
 *
 * Returns a new snapshot handle, or NULL in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN_SNAPSHOT (bad handle), VIR_ERR_INVALID_ARG (a flag),
 * VIR_ERR_NO_DOMAIN (gone), VIR_ERR_NO_DOMAIN_SNAPSHOT (gone, or it has no parent).
 * Threads: any. Ownership: the caller frees the snapshot with virDomainSnapshotFree().
 * Since: 0.9.7. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
 */
virDomainSnapshotPtr virDomainSnapshotGetParent(virDomainSnapshotPtr snapshot, unsigned int flags);

/**
 * Tells whether a snapshot is the current one of its domain.
 *
 * @snapshot: a snapshot
 * @flags: 0
 *
 * Returns 1 or 0, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN_SNAPSHOT (bad handle), VIR_ERR_INVALID_ARG (a flag),
 * VIR_ERR_NO_DOMAIN, VIR_ERR_NO_DOMAIN_SNAPSHOT (gone).
 * Threads: any. Ownership: nothing changes hands.
 * Since: 0.9.13. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
 */
int virDomainSnapshotIsCurrent(virDomainSnapshotPtr snapshot, unsigned int flags);

/**
 * Tells whether a snapshot has metadata. Each that exists has.
 *
 * @snapshot: a snapshot
 * @flags: 0
 *
 * Returns 1 or 0, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN_SNAPSHOT (bad handle), VIR_ERR_INVALID_ARG (a flag),
 * VIR_ERR_NO_DOMAIN, VIR_ERR_NO_DOMAIN_SNAPSHOT (gone).
 * Threads: any. Ownership: nothing changes hands.
 * Since: 0.9.13. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
 */
int virDomainSnapshotHasMetadata(virDomainSnapshotPtr snapshot, unsigned int flags);

/**
 * Makes a domain what it was when a snapshot was taken. What it has become since is lost unless
 * another snapshot has it.
 *
 * @snapshot: a snapshot
 * @flags: bitwise-OR of virDomainSnapshotRevertFlags
 *
 * The snapshot becomes the current one. Before the first image is touched all are checked to
 * hold the snapshot.
 *
 * Returns 0, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN_SNAPSHOT (bad handle), VIR_ERR_OPERATION_DENIED (read-only),
 * VIR_ERR_INVALID_ARG (flags), VIR_ERR_NO_DOMAIN, VIR_ERR_NO_DOMAIN_SNAPSHOT (gone),
 * VIR_ERR_SNAPSHOT_REVERT_RISKY (needs FORCE), VIR_ERR_CONFIG_UNSUPPORTED (not that kind of
 * snapshot), VIR_ERR_OPERATION_TIMEOUT (another operation runs), VIR_ERR_INTERNAL_ERROR (the
 * revert failed).
 * Threads: any; one operation of a domain after the other. Ownership: nothing changes hands.
 * Since: 0.8.0. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
 */
int virDomainRevertToSnapshot(virDomainSnapshotPtr snapshot, unsigned int flags);

/**
 * Deletes a snapshot, data and metadata. Its children become those of its parent.
 *
 * @snapshot: a snapshot
 * @flags: bitwise-OR of virDomainSnapshotDeleteFlags
 *
 * With VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN its descendants go too, with
 * VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN_ONLY only they, with VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY
 * the data stays.
 *
 * Returns 0, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN_SNAPSHOT (bad handle), VIR_ERR_OPERATION_DENIED (read-only),
 * VIR_ERR_INVALID_ARG (flags), VIR_ERR_NO_DOMAIN, VIR_ERR_NO_DOMAIN_SNAPSHOT (gone),
 * VIR_ERR_OPERATION_TIMEOUT (another operation runs), VIR_ERR_INTERNAL_ERROR (the data could not
 * be dropped).
 * Threads: any; one operation of a domain after the other. Ownership: the handle stays and is
 * freed with virDomainSnapshotFree().
 * Since: 0.8.0. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
 */
int virDomainSnapshotDelete(virDomainSnapshotPtr snapshot, unsigned int flags);

/**
 * Counts the snapshots of a domain.
 *
 * @domain: a domain
 * @flags: bitwise-OR of virDomainSnapshotListFlags
 *
 * Returns the number of snapshots, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_INVALID_ARG (unknown flag),
 * VIR_ERR_NO_DOMAIN (gone).
 * Threads: any. Ownership: nothing changes hands.
 * Since: 0.8.0. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
 */
int virDomainSnapshotNum(virDomainPtr domain, unsigned int flags);

/**
 * Lists the names of the snapshots of a domain.
 *
 * @domain: a domain
 * @names: an array for the names; may be NULL if nameslen is 0
 * @nameslen: how many names the array holds; 0 to count them only
 * @flags: bitwise-OR of virDomainSnapshotListFlags
 *
 * Use virDomainListAllSnapshots() instead: the number may change between two calls.
 *
 * Returns the number of names stored (never more than nameslen; with 0 the number there is), or
 * -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_INVALID_ARG (no array, negative length,
 * unknown flag), VIR_ERR_NO_DOMAIN (gone), VIR_ERR_NO_MEMORY. The array is untouched then.
 * Threads: any. Ownership: the caller frees each name with free().
 * Since: 0.8.0. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
 *
 * Safety: names is NULL or has nameslen writable slots.
 */
int virDomainSnapshotListNames(virDomainPtr domain, char **names, int nameslen, unsigned int flags);

/**
 * Lists the snapshots of a domain.
 *
 * @domain: a domain
 * @snaps: where to store the array of snapshots; NULL to count them only
 * @flags: bitwise-OR of virDomainSnapshotListFlags
 *
 * Returns the number of snapshots, or -1 in case of error. The array has a NULL behind the last.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_INVALID_ARG (unknown flag),
 * VIR_ERR_NO_DOMAIN (gone), VIR_ERR_NO_MEMORY. *snaps is NULL then.
 * Threads: any. Ownership: the caller frees each snapshot with virDomainSnapshotFree(), then the
 * array with free().
 * Since: 0.9.13. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
 *
 * Safety: snaps is NULL or writable.
 */
int virDomainListAllSnapshots(virDomainPtr domain,
                              virDomainSnapshotPtr **snaps,
                              unsigned int flags);

/**
 * Counts the children of a snapshot.
 *
 * @snapshot: a snapshot
 * @flags: bitwise-OR of virDomainSnapshotListFlags
 *
 * With VIR_DOMAIN_SNAPSHOT_LIST_DESCENDANTS all descendants count.
 *
 * Returns the number of snapshots, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN_SNAPSHOT (bad handle), VIR_ERR_INVALID_ARG (unknown flag),
 * VIR_ERR_NO_DOMAIN, VIR_ERR_NO_DOMAIN_SNAPSHOT (gone).
 * Threads: any. Ownership: nothing changes hands.
 * Since: 0.9.7. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
 */
int virDomainSnapshotNumChildren(virDomainSnapshotPtr snapshot, unsigned int flags);

/**
 * Lists the names of the children of a snapshot.
 *
 * @snapshot: a snapshot
 * @names: an array for the names; may be NULL if nameslen is 0
 * @nameslen: how many names the array holds; 0 to count them only
 * @flags: bitwise-OR of virDomainSnapshotListFlags
 *
 * With VIR_DOMAIN_SNAPSHOT_LIST_DESCENDANTS all descendants are listed. Use
 * virDomainSnapshotListAllChildren() instead: the number may change between two calls.
 *
 * Returns the number of names stored (never more than nameslen; with 0 the number there is), or
 * -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN_SNAPSHOT (bad handle), VIR_ERR_INVALID_ARG (no array, negative
 * length, unknown flag), VIR_ERR_NO_DOMAIN, VIR_ERR_NO_DOMAIN_SNAPSHOT (gone), VIR_ERR_NO_MEMORY.
 * The array is untouched then.
 * Threads: any. Ownership: the caller frees each name with free().
 * Since: 0.9.7. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
 *
 * Safety: names is NULL or has nameslen writable slots.
 */
int virDomainSnapshotListChildrenNames(virDomainSnapshotPtr snapshot,
                                       char **names,
                                       int nameslen,
                                       unsigned int flags);

/**
 * Lists the children of a snapshot.
 *
 * @snapshot: a snapshot
 * @snaps: where to store the array of snapshots; NULL to count them only
 * @flags: bitwise-OR of virDomainSnapshotListFlags
 *
 * With VIR_DOMAIN_SNAPSHOT_LIST_DESCENDANTS all descendants are listed, parents before their
 * children.
 *
 * Returns the number of snapshots, or -1 in case of error. The array has a NULL behind the last.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN_SNAPSHOT (bad handle), VIR_ERR_INVALID_ARG (unknown flag),
 * VIR_ERR_NO_DOMAIN, VIR_ERR_NO_DOMAIN_SNAPSHOT (gone), VIR_ERR_NO_MEMORY. *snaps is NULL then.
 * Threads: any. Ownership: the caller frees each snapshot with virDomainSnapshotFree(), then the
 * array with free().
 * Since: 0.9.13. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
 *
 * Safety: snaps is NULL or writable.
 */
int virDomainSnapshotListAllChildren(virDomainSnapshotPtr snapshot,
                                     virDomainSnapshotPtr **snaps,
                                     unsigned int flags);

/**
 * Tells the name of a snapshot, also when the snapshot is gone.
 *
 * @snapshot: a snapshot
 *
 * Returns the name, or NULL in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN_SNAPSHOT (bad handle).
 * Threads: any. Ownership: the string belongs to the handle and is valid until its last
 * virDomainSnapshotFree().
 * Since: 0.9.5. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
 */
const char *virDomainSnapshotGetName(virDomainSnapshotPtr snapshot);

/**
 * Tells the domain of a snapshot: the very handle that the snapshot's handle was made with.
 *
 * @snapshot: a snapshot
 *
 * Returns the domain, or NULL in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN_SNAPSHOT (bad handle).
 * Threads: any. Ownership: no reference is added; the domain handle is valid as long as the
 * snapshot handle.
 * Since: 0.9.5. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
 */
virDomainPtr virDomainSnapshotGetDomain(virDomainSnapshotPtr snapshot);

/**
 * Tells the connection of a snapshot.
 *
 * @snapshot: a snapshot
 *
 * Returns the connection, or NULL in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN_SNAPSHOT (bad handle).
 * Threads: any. Ownership: no reference is added; the connection is valid as long as the snapshot
 * handle.
 * Since: 0.9.5. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
 */
virConnectPtr virDomainSnapshotGetConnect(virDomainSnapshotPtr snapshot);

/**
 * Adds a reference to a snapshot handle. Each needs a virDomainSnapshotFree() of its own.
 *
 * @snapshot: a snapshot
 *
 * Returns 0, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN_SNAPSHOT (bad handle).
 * Threads: any. Ownership: the caller has one reference more to give back.
 * Since: 0.9.13. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
 */
int virDomainSnapshotRef(virDomainSnapshotPtr snapshot);

/**
 * Gives back a reference to a snapshot handle. The snapshot itself stays.
 *
 * @snapshot: a snapshot
 *
 * Returns 0, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN_SNAPSHOT (bad handle). NULL is such an error.
 * Threads: any. Ownership: the caller's reference is gone.
 * Since: 0.8.0. Source: libvirt-domain-snapshot.h of libvirt 9.0.0.
 */
int virDomainSnapshotFree(virDomainSnapshotPtr snapshot);

/**
 * Lists what the data of snapshots has different from their metadata. Nothing is changed.
 *
 * @domain: a domain
 * @xmlDesc: a `<domainsnapshot>` document, to learn what VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE of it
 * would find; or NULL for all snapshots that the domain has
 * @differences: where to store the array of texts; NULL to count them only
 * @flags: bitwise-OR of virSnapListDifferencesFlags
 *
 * Images are read themselves, without a program and without a lock, so a guest may have them open.
 * An internal snapshot must stand once in the table of each image; of an external one the image
 * must be there and readable down to the end of its chain, and its overlay must name it, in its
 * format; a memory file, and the copy of firmware and TPM, must be there. A text names snapshot, disk, image and what was found.
 *
 * Returns the number of differences, or -1 in case of error. The array has a NULL behind the last.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_INVALID_ARG (unknown flag),
 * VIR_ERR_NO_DOMAIN (gone), VIR_ERR_NO_MEMORY, and for a bad document those of
 * virDomainSnapshotCreateXML(). *differences is NULL then.
 * Threads: any. Ownership: the caller frees each text and the array with free().
 * Since: virsnap 0.1.0.
 *
 * Safety: xmlDesc is NULL or NUL-terminated; differences is NULL or writable.
 */
int virSnapDomainListDifferences(virDomainPtr domain,
                                 const char *xmlDesc,
                                 char ***differences,
                                 unsigned int flags);

/**
 * Gives the calling thread's last error.
 *
 * Returns the error, or NULL if the thread's last call succeeded.
 *
 * Errors: none. Threads: each has its own. Ownership: the library's; the next call in this thread
 * overwrites it.
 * Since: 0.1.0. Source: virterror.h of libvirt 9.0.0.
 */
virErrorPtr virGetLastError(void);

/**
 * Gives the code of the calling thread's last error.
 *
 * Returns a virErrorNumber, 0 if the thread's last call succeeded.
 *
 * Errors: none. Threads: each has its own. Ownership: nothing changes hands.
 * Since: 4.5.0. Source: virterror.h of libvirt 9.0.0.
 */
int virGetLastErrorCode(void);

/**
 * Gives the error domain of the calling thread's last error.
 *
 * Returns a virErrorDomain, 0 if the thread's last call succeeded.
 *
 * Errors: none. Threads: each has its own. Ownership: nothing changes hands.
 * Since: 4.5.0. Source: virterror.h of libvirt 9.0.0.
 */
int virGetLastErrorDomain(void);

/**
 * Gives the words of the calling thread's last error.
 *
 * Returns the message, "no error" if the thread's last call succeeded; never NULL.
 *
 * Errors: none. Threads: each has its own. Ownership: the library's; the next call in this thread
 * frees it.
 * Since: 1.0.6. Source: virterror.h of libvirt 9.0.0.
 */
const char *virGetLastErrorMessage(void);

/**
 * Forgets the calling thread's last error.
 *
 * Errors: none. Threads: each has its own. Ownership: nothing changes hands.
 * Since: 0.1.0. Source: virterror.h of libvirt 9.0.0.
 */
void virResetLastError(void);

/**
 * Copies the calling thread's last error.
 *
 * Returns the copy, also if there is no error (its code is 0 then); NULL if memory cannot be had.
 * errno stays as it is.
 *
 * Errors: none. Threads: each has its own. Ownership: the caller frees it with virFreeError().
 * Since: 0.6.1. Source: virterror.h of libvirt 9.0.0.
 */
virErrorPtr virSaveLastError(void);

/**
 * Copies the calling thread's last error into memory of the caller's.
 *
 * @to: where to; what is there is overwritten, not freed
 *
 * Returns the code of the error, 0 if there is none, or -1 if to is NULL.
 *
 * Errors: none. Threads: each has its own. Ownership: the caller frees the copy's strings with
 * virResetError().
 * Since: 0.1.0. Source: virterror.h of libvirt 9.0.0.
 *
 * Safety: to is NULL or writable.
 */
int virCopyLastError(virErrorPtr to);

/**
 * Frees the strings of an error and makes it "no error".
 *
 * @err: an error, or NULL
 *
 * Errors: none. Threads: any. Ownership: the error's memory stays the caller's.
 * Since: 0.1.0. Source: virterror.h of libvirt 9.0.0.
 *
 * Safety: err is NULL or an error that this library has filled or copied.
 */
void virResetError(virErrorPtr err);

/**
 * Frees an error.
 *
 * @err: what virSaveLastError() gave, or NULL
 *
 * Errors: none. Threads: any. Ownership: the error is gone.
 * Since: 0.6.1. Source: virterror.h of libvirt 9.0.0.
 *
 * Safety: err is NULL or came from virSaveLastError() and was not freed before.
 */
void virFreeError(virErrorPtr err);

/**
 * Prints an error as one line on stderr: what is done with errors as long as the program has no
 * function of its own for them.
 *
 * @err: an error, or NULL
 *
 * Errors: none. Threads: any. Ownership: nothing changes hands.
 * Since: 0.1.0. Source: virterror.h of libvirt 9.0.0.
 *
 * Safety: err is NULL or an initialised error.
 */
void virDefaultErrorFunc(virErrorPtr err);

/**
 * Sets the function that is told of errors in the whole process.
 *
 * @userData: handed to the function
 * @handler: the function; NULL for virDefaultErrorFunc()
 *
 * It is called once for each failing call, at its end and in its thread. It may call this library.
 *
 * Errors: none. Threads: any. Ownership: userData stays the caller's.
 * Since: 0.1.0. Source: virterror.h of libvirt 9.0.0.
 */
void virSetErrorFunc(void *userData, virErrorFunc handler);

/**
 * Sets the function that is told of errors of one connection, instead of the process's.
 *
 * @conn: a connection; anything else is ignored
 * @userData: handed to the function
 * @handler: the function; NULL for the process's
 *
 * Errors: none. Threads: any. Ownership: userData stays the caller's.
 * Since: 0.1.0. Source: virterror.h of libvirt 9.0.0.
 */
void virConnSetErrorFunc(virConnectPtr conn, void *userData, virErrorFunc handler);

/**
 * Gives the last error of a connection. Calls that succeed do not change it.
 *
 * @conn: a connection
 *
 * Returns the error, with code 0 if there was none; NULL for a bad handle.
 *
 * Errors: none. Threads: only while no other thread uses the connection; virConnCopyLastError()
 * has no such limit. Ownership: the connection's; the next error overwrites it.
 * Since: 0.1.0. Source: virterror.h of libvirt 9.0.0.
 */
virErrorPtr virConnGetLastError(virConnectPtr conn);

/**
 * Copies the last error of a connection into memory of the caller's.
 *
 * @conn: a connection
 * @to: where to; what is there is overwritten, not freed
 *
 * Returns the code of the error, 0 if there is none, or -1 for a bad handle or if to is NULL.
 *
 * Errors: none. Threads: any. Ownership: the caller frees the copy's strings with virResetError().
 * Since: 0.1.0. Source: virterror.h of libvirt 9.0.0.
 *
 * Safety: to is NULL or writable.
 */
int virConnCopyLastError(virConnectPtr conn, virErrorPtr to);

/**
 * Forgets the last error of a connection.
 *
 * @conn: a connection; anything else is ignored
 *
 * Errors: none. Threads: any. Ownership: nothing changes hands.
 * Since: 0.1.0. Source: virterror.h of libvirt 9.0.0.
 */
void virConnResetLastError(virConnectPtr conn);

/**
 * Lists what is wrong with the stored snapshots of a domain. They are read anew if anything was, or if a
 * document was not read because its file had not changed since a summary of it was made.
 *
 * @domain: a domain
 * @problems: where to store the array of problems; NULL to count them only
 * @flags: not used; 0
 *
 * Snapshots that can be read work in spite of it. What stands against a problem is refused with
 * VIR_ERR_INTERNAL_ERROR and a message that names the file: changes of a snapshot that cannot be
 * read, a new snapshot while the current one may be among these, undefining the domain.
 *
 * Returns the number of problems, or -1 in case of error. The array has a NULL behind the last.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_INVALID_ARG (a flag), VIR_ERR_NO_MEMORY.
 * Threads: any. Ownership: the caller frees each problem with virSnapProblemFree(), then the array
 * with free().
 * Since: virsnap 0.1.0.
 *
 * Safety: problems is NULL or writable.
 */
int virSnapDomainListProblems(virDomainPtr domain,
                              virSnapProblemPtr **problems,
                              unsigned int flags);

/**
 * Lists the definitions of domains that cannot be read. A domain of such a name cannot be defined.
 *
 * @conn: a connection
 * @problems: where to store the array of problems; NULL to count them only
 * @flags: not used; 0
 *
 * Returns the number of problems, or -1 in case of error. The array has a NULL behind the last.
 *
 * Errors: VIR_ERR_INVALID_CONN (bad handle), VIR_ERR_INVALID_ARG (a flag), VIR_ERR_NO_MEMORY.
 * Threads: any. Ownership: the caller frees each problem with virSnapProblemFree(), then the array
 * with free().
 * Since: virsnap 0.1.0.
 *
 * Safety: problems is NULL or writable.
 */
int virSnapConnectListProblems(virConnectPtr conn,
                               virSnapProblemPtr **problems,
                               unsigned int flags);

/**
 * Mends stored state of a domain as the flags say. Nothing is ever deleted.
 *
 * @domain: a domain
 * @mended: where to store the array of problems that were mended, or with DRY_RUN would be; NULL
 * to count them only
 * @flags: bitwise-OR of virSnapRepairFlags
 *
 * Returns the number of problems that were mended, or -1 in case of error. The array has a NULL
 * behind the last.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_OPERATION_DENIED (a read-only connection),
 * VIR_ERR_INVALID_ARG (unknown flag), VIR_ERR_SYSTEM_ERROR (a file cannot be moved or written; what
 * was mended before stays so), VIR_ERR_NO_MEMORY (it is mended all the same).
 * Threads: any. Ownership: the caller frees each problem with virSnapProblemFree(), then the array
 * with free().
 * Since: virsnap 0.1.0.
 *
 * Safety: mended is NULL or writable.
 */
int virSnapDomainRepair(virDomainPtr domain, virSnapProblemPtr **mended, unsigned int flags);

/**
 * Frees a problem. NULL is allowed.
 *
 * @problem: a problem of one of the lists above
 *
 * Errors: none. Threads: any. Ownership: the problem is gone.
 * Since: virsnap 0.1.0.
 *
 * Safety: problem is NULL or comes from this library and was not freed before.
 */
void virSnapProblemFree(virSnapProblemPtr problem);

/**
 * Sets who is told of problems with stored state from now on, in the whole process. Each is told
 * once, at the end of the call that found it. Without a function nobody is told; the lists above have
 * them in any case.
 *
 * @func: the function, or NULL. It may call this library; only where libvirt migrates a domain
 * (VIRSNAP_MIGRATE=carry) that domain's snapshots cannot be changed by it
 * @opaque: handed to it
 *
 * A call that one of the program's functions makes belongs to the one that called that function: it is
 * the end of that one. When this returns, another thread may still be in the function from before.
 *
 * Errors: none. Threads: any; the function is called in the thread that found the problem.
 * Ownership: opaque stays the caller's.
 * Since: virsnap 0.1.0.
 */
void virSnapSetProblemFunc(virSnapProblemFunc func,
                           void *opaque);

/**
 * Tells how much a snapshot takes, and how much deleting it would give back.
 *
 * @snapshot: a snapshot
 * @size: where to store the sizes; its first member tells how many bytes it has
 * @flags: not used; 0
 *
 * Images are read themselves, without a program and without a lock, so a guest may have them open;
 * then the numbers are those of an instant. The cost is that of reading the tables of its images: 8
 * bytes for each cluster that the snapshot has.
 *
 * Nothing is stored beyond size->size bytes, so a program may be older than the library. Members that the
 * library is too old for, and size->size itself, stay what they were.
 *
 * Returns 0, or -1 in case of error; then nothing is stored.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN_SNAPSHOT (bad handle), VIR_ERR_INVALID_ARG (size is NULL, size->size is
 * less than virsnap 0.1.0 has, a flag), VIR_ERR_NO_DOMAIN, VIR_ERR_NO_DOMAIN_SNAPSHOT (gone),
 * VIR_ERR_NO_MEMORY.
 * Threads: any. Ownership: nothing changes hands.
 * Since: virsnap 0.1.0.
 *
 * Safety: size is NULL, or its first member is readable and tells how many bytes from there on are writable.
 */
int virSnapDomainSnapshotGetSize(virDomainSnapshotPtr snapshot,
                                 virSnapSizePtr size,
                                 unsigned int flags);

/**
 * Tells what virDomainSnapshotCreateXML() would do.
 *
 * @domain: a domain
 * @xmlDesc: a `<domainsnapshot>` document
 * @flags: bitwise-OR of virDomainSnapshotCreateFlags
 *
 * Nothing is changed, no program is started, and a read-only connection will do. What would be
 * refused is no error of this function: it is in the plan.
 *
 * Returns a plan, or NULL in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_INVALID_ARG (xmlDesc is NULL, flags),
 * VIR_ERR_NO_DOMAIN (gone), VIR_ERR_XML_DETAIL, VIR_ERR_XML_ERROR (bad document), VIR_ERR_NO_MEMORY.
 * Threads: any. Ownership: the caller frees the plan with virSnapPlanFree().
 * Since: virsnap 0.1.0.
 *
 * Safety: xmlDesc is NULL or NUL-terminated.
 */
virSnapPlanPtr virSnapDomainPlanCreate(virDomainPtr domain,
                                       const char *xmlDesc,
                                       unsigned int flags);

/**
 * Tells what virDomainSnapshotDelete() would do.
 *
 * @snapshot: a snapshot
 * @flags: bitwise-OR of virDomainSnapshotDeleteFlags
 *
 * Nothing is changed, no program is started, and a read-only connection will do. What would be
 * refused is no error of this function: it is in the plan.
 *
 * Returns a plan, or NULL in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN_SNAPSHOT (bad handle), VIR_ERR_INVALID_ARG (flags),
 * VIR_ERR_NO_DOMAIN, VIR_ERR_NO_DOMAIN_SNAPSHOT (gone), VIR_ERR_NO_MEMORY.
 * Threads: any. Ownership: the caller frees the plan with virSnapPlanFree().
 * Since: virsnap 0.1.0.
 */
virSnapPlanPtr virSnapDomainSnapshotPlanDelete(virDomainSnapshotPtr snapshot, unsigned int flags);

/**
 * Tells what virDomainRevertToSnapshot() would do.
 *
 * @snapshot: a snapshot
 * @flags: bitwise-OR of virDomainSnapshotRevertFlags
 *
 * Nothing is changed, no program is started, and a read-only connection will do. What would be
 * refused is no error of this function: it is in the plan.
 *
 * Returns a plan, or NULL in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN_SNAPSHOT (bad handle), VIR_ERR_INVALID_ARG (flags),
 * VIR_ERR_NO_DOMAIN, VIR_ERR_NO_DOMAIN_SNAPSHOT (gone), VIR_ERR_NO_MEMORY.
 * Threads: any. Ownership: the caller frees the plan with virSnapPlanFree().
 * Since: virsnap 0.1.0.
 */
virSnapPlanPtr virSnapDomainSnapshotPlanRevert(virDomainSnapshotPtr snapshot, unsigned int flags);

/**
 * Tells what virDomainUndefineFlags() would do with a domain and its snapshots.
 *
 * @domain: a domain
 * @flags: bitwise-OR of virDomainUndefineFlagsValues
 *
 * Nothing is changed, and a read-only connection will do. What would be refused is no error of this
 * function: it is in the plan.
 *
 * Returns a plan, or NULL in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_INVALID_ARG (flags), VIR_ERR_NO_DOMAIN
 * (gone), VIR_ERR_NO_MEMORY.
 * Threads: any. Ownership: the caller frees the plan with virSnapPlanFree().
 * Since: virsnap 0.1.0.
 */
virSnapPlanPtr virSnapDomainPlanUndefine(virDomainPtr domain, unsigned int flags);

/**
 * Tells what a migration would do at its source, from virSnapDomainMigrateBegin() to
 * virSnapDomainMigrateConfirm().
 *
 * @domain: a domain
 * @flags: bitwise-OR of virSnapMigrateFlags
 *
 * Nothing is changed, and a read-only connection will do. What would be refused is no error of this
 * function: it is in the plan. Of a migration that has begun, what is left of it is planned.
 *
 * Returns a plan, or NULL in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_INVALID_ARG (flags), VIR_ERR_NO_DOMAIN
 * (gone), VIR_ERR_NO_MEMORY.
 * Threads: any. Ownership: the caller frees the plan with virSnapPlanFree().
 * Since: virsnap 0.1.0.
 */
virSnapPlanPtr virSnapDomainPlanMigrate(virDomainPtr domain, unsigned int flags);

/**
 * Frees a plan. NULL is allowed.
 *
 * @plan: a plan of one of the functions above
 *
 * Errors: none. Threads: any. Ownership: the plan is gone, with all that it names.
 * Since: virsnap 0.1.0.
 *
 * Safety: plan is NULL or comes from this library and was not freed before.
 */
void virSnapPlanFree(virSnapPlanPtr plan);

/**
 * Asks to be told of changes of snapshots from now on.
 *
 * @conn: a connection; read-only will do
 * @dom: a domain of it, or NULL for all that it has
 * @eventID: a virSnapEventID, or -1 for all
 * @cb: the function to tell
 * @opaque: handed to it
 * @freecb: called with opaque when it is of no use any more; may be NULL
 *
 * A change is told before the call returns that made it, in its thread, when it is durable and no lock is
 * held: the function may call this library, also to change the domain, and may take itself away. The
 * events of one domain come in the order of its changes, whichever threads make them.
 *
 * Returns a number for virSnapConnectEventDeregister(), 0 or more, or -1 in case of error; then freecb
 * is not called.
 *
 * Errors: VIR_ERR_INVALID_CONN, VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_INVALID_ARG (cb is NULL,
 * no such event, a domain of another connection), VIR_ERR_NO_SUPPORT (not that kind of connection).
 * Threads: any. Ownership: opaque is the library's until it calls freecb: when cb is taken away and no
 * call of it runs any more, or when the connection is closed.
 * Since: virsnap 0.1.0.
 *
 * Safety: cb and freecb may be called in any thread.
 */
int virSnapConnectEventRegister(virConnectPtr conn,
                                virDomainPtr dom,
                                int eventID,
                                virSnapEventFunc cb,
                                void *opaque,
                                virFreeCallback freecb);

/**
 * Takes away what virSnapConnectEventRegister() has registered.
 *
 * @conn: the connection
 * @callbackID: the number that it answered
 *
 * Afterwards the function is not called any more, but for calls that other threads are in already.
 *
 * Returns 0, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_CONN (bad handle), VIR_ERR_INVALID_ARG (no such number on this connection).
 * Threads: any; a registered function may take itself away. Ownership: freecb is called, at the end of
 * this call; called from an event's function, at the end of the call whose event it is.
 * Since: virsnap 0.1.0.
 */
int virSnapConnectEventDeregister(virConnectPtr conn,
                                  int callbackID);

/**
 * Tells whether virSnapDomainMigrateBegin() would succeed with these flags now, and changes nothing.
 *
 * @domain: a domain
 * @flags: bitwise-OR of virSnapMigrateFlags
 *
 * Returns 0 if it would, or -1 in case of error: the very error that it would have.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_INVALID_ARG (unknown flag),
 * VIR_ERR_OPERATION_INVALID (without METADATA: the domain has snapshots; a migration goes on
 * already), VIR_ERR_INTERNAL_ERROR (stored snapshots cannot be read).
 * Threads: any. Ownership: nothing changes hands.
 * Since: virsnap 0.1.0.
 */
int virSnapDomainMigrateCheck(virDomainPtr domain,
                              unsigned int flags);

/**
 * Begins a migration at the source.
 *
 * @domain: the domain at the source
 * @cookie: where to store the cookie for the destination; without METADATA NULL is stored, and
 * this may be NULL
 * @flags: bitwise-OR of virSnapMigrateFlags
 *
 * Without METADATA it succeeds if the domain has no snapshots, and changes nothing.
 * With METADATA the snapshots are frozen: every change of them is refused with
 * VIR_ERR_OPERATION_INVALID, in each process and after a crash, until virSnapDomainMigrateConfirm() or
 * virSnapDomainMigrateCancel(). Reading goes on. The cookie is an XML element that stands alone or
 * among the children of libvirt's migration cookie; beyond the current snapshot's name it has less
 * than 1 KiB. Repeated, it gives the same cookie again.
 *
 * Returns 0, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_OPERATION_DENIED (a read-only connection),
 * VIR_ERR_INVALID_ARG (unknown flag, NULL), VIR_ERR_OPERATION_INVALID (without METADATA: the domain
 * has snapshots; another migration goes on), VIR_ERR_INTERNAL_ERROR (stored snapshots cannot be
 * read), VIR_ERR_SYSTEM_ERROR (nothing can be written).
 * Threads: any. Ownership: the caller frees the cookie with free().
 * Since: virsnap 0.1.0.
 *
 * Safety: cookie is NULL or writable.
 */
int virSnapDomainMigrateBegin(virDomainPtr domain,
                              char **cookie,
                              unsigned int flags);

/**
 * Defines a domain at the destination, with the paths of this host.
 *
 * @conn: an embedded connection of the destination
 * @xml: the definition at the source: virDomainGetXMLDesc() with VIR_DOMAIN_XML_SECURE
 * @paths: directories and files that have other paths on this host, as for
 * virSnapDomainMigrateImport(); NULL if there are none
 * @npaths: how many; at most 1024
 * @flags: not used; 0
 *
 * As virDomainDefineXML() with paths of disks, of their backing files and of variable stores that are
 * mapped. Repeated, it defines the domain again.
 *
 * Returns a new domain handle, or NULL in case of error.
 *
 * Errors: VIR_ERR_INVALID_CONN (bad handle), VIR_ERR_OPERATION_DENIED (a read-only connection),
 * VIR_ERR_INVALID_ARG (a flag, NULL, a path that is not absolute), and those of
 * virDomainDefineXML().
 * Threads: any. Ownership: the caller frees the domain with virDomainFree(); the paths stay the
 * caller's.
 * Since: virsnap 0.1.0.
 *
 * Safety: xml is NULL or NUL-terminated; paths has npaths elements, whose texts are NUL-terminated.
 */
virDomainPtr virSnapConnectMigratePrepare(virConnectPtr conn,
                                          const char *xml,
                                          const virSnapMigratePath *paths,
                                          unsigned int npaths,
                                          unsigned int flags);

/**
 * Sends the domain's snapshots, parents before their children. What is sent holds passwords.
 *
 * @domain: the domain at the source, after virSnapDomainMigrateBegin() with METADATA
 * @func: takes the bytes; it may not change snapshots of this domain
 * @opaque: handed to it
 * @flags: not used; 0
 *
 * One document at a time is in memory. Can be repeated.
 *
 * Returns 0, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_OPERATION_DENIED (a read-only connection),
 * VIR_ERR_INVALID_ARG (a flag, NULL), VIR_ERR_OPERATION_INVALID (no migration was begun; the stored
 * snapshots were changed by somebody else), VIR_ERR_OPERATION_FAILED (the function failed).
 * Threads: any; the function is called in this thread. Ownership: opaque stays the caller's.
 * Since: virsnap 0.1.0.
 *
 * Safety: func may be called with opaque.
 */
int virSnapDomainMigrateExport(virDomainPtr domain,
                               virSnapMigrateSendFunc func,
                               void *opaque,
                               unsigned int flags);

/**
 * As virSnapDomainMigrateExport(), to a file descriptor.
 *
 * @domain: the domain at the source, after virSnapDomainMigrateBegin() with METADATA
 * @fd: a descriptor that blocks: a pipe, a socket, a file. A signal that write() raises is the
 * caller's to ignore (SIGPIPE)
 * @flags: not used; 0
 *
 * Returns 0, or -1 in case of error.
 *
 * Errors: those of virSnapDomainMigrateExport(), with VIR_ERR_SYSTEM_ERROR where writing fails.
 * Threads: any. Ownership: the descriptor stays the caller's, and open.
 * Since: virsnap 0.1.0.
 */
int virSnapDomainMigrateExportFD(virDomainPtr domain, int fd, unsigned int flags);

/**
 * Takes a domain's snapshots in at the destination, all of them or none. They are not visible before
 * virSnapDomainMigrateFinish(), and until then the snapshots that are there are frozen.
 *
 * @domain: the domain at the destination, with the UUID that it has at the source
 * @func: gives the bytes; it may not change snapshots of this domain. None behind the end of the stream
 * are asked for
 * @opaque: handed to it
 * @paths: directories and files that have other paths on this host; NULL if there are none. The
 * longest one that fits counts
 * @npaths: how many; at most 1024
 * @flags: bitwise-OR of virSnapMigrateImportFlags
 *
 * Every document is checked when it comes, and with the connection's redefine_check=strict, the
 * default, also against its data on this host, as REDEFINE does it: what can be reached must be as
 * the document says. VIR_SNAP_MIGRATE_IMPORT_UNCHECKED leaves that out, where the storage comes later.
 * A snapshot that is there already must be equal. Repeated, it takes the place of what came before.
 *
 * Returns 0, or -1 in case of error; then nothing has changed.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_OPERATION_DENIED (a read-only connection),
 * VIR_ERR_INVALID_ARG (unknown flag, NULL, a path that is not absolute, a snapshot of another domain),
 * VIR_ERR_CONFIG_UNSUPPORTED (the data differs, or is not there),
 * VIR_ERR_OPERATION_FAILED (the stream is damaged, not complete, of another domain; another
 * snapshot of a name is there; the function failed), VIR_ERR_OPERATION_INVALID (the domain is being
 * migrated away; this migration is over), VIR_ERR_XML_ERROR and others of a document,
 * VIR_ERR_SYSTEM_ERROR (nothing can be written).
 * Threads: any; the function is called in this thread. Ownership: opaque and paths stay the caller's.
 * Since: virsnap 0.1.0.
 *
 * Safety: func may be called with opaque; paths has npaths elements, whose texts are NUL-terminated.
 */
int virSnapDomainMigrateImport(virDomainPtr domain,
                               virSnapMigrateReceiveFunc func,
                               void *opaque,
                               const virSnapMigratePath *paths,
                               unsigned int npaths,
                               unsigned int flags);

/**
 * As virSnapDomainMigrateImport(), from a file descriptor. No byte behind the stream's end is read.
 *
 * @domain: the domain at the destination, with the UUID that it has at the source
 * @fd: a descriptor that blocks: a pipe, a socket, a file
 * @paths: directories and files that have other paths on this host; NULL if there are none
 * @npaths: how many; at most 1024
 * @flags: bitwise-OR of virSnapMigrateImportFlags
 *
 * Returns 0, or -1 in case of error; then nothing has changed.
 *
 * Errors: those of virSnapDomainMigrateImport(), with VIR_ERR_SYSTEM_ERROR where reading fails.
 * Threads: any. Ownership: the descriptor stays the caller's, and open; so do the paths.
 * Since: virsnap 0.1.0.
 *
 * Safety: paths has npaths elements, whose texts are NUL-terminated.
 */
int virSnapDomainMigrateImportFD(virDomainPtr domain,
                                 int fd,
                                 const virSnapMigratePath *paths,
                                 unsigned int npaths,
                                 unsigned int flags);

/**
 * Makes the snapshots that came in visible at the destination, all at once, and current what the
 * cookie says.
 *
 * @domain: the domain at the destination, after virSnapDomainMigrateImport()
 * @cookie: what virSnapDomainMigrateBegin() gave, alone or within libvirt's migration cookie; or NULL:
 * then no snapshot becomes current
 * @flags: not used; 0
 *
 * The digest in the cookie must be that of the snapshots that came in. A guest that is attached must
 * have arrived: while it waits for its memory, this is refused. From here on the destination has the
 * snapshots, and virSnapDomainMigrateCancel() is refused there. Let the guest's CPUs run afterwards.
 * Repeated, it does nothing.
 *
 * Returns 0, or -1 in case of error; then nothing is visible.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_OPERATION_DENIED (a read-only connection),
 * VIR_ERR_INVALID_ARG (a flag), VIR_ERR_OPERATION_INVALID (nothing came in; it was cancelled here;
 * the guest has not arrived), VIR_ERR_INTERNAL_ERROR (the cookie is none, or of other snapshots), VIR_ERR_SYSTEM_ERROR (nothing
 * can be written; where even that is not certain, call it again).
 * Threads: any. Ownership: nothing changes hands.
 * Since: virsnap 0.1.0.
 *
 * Safety: cookie is NULL or NUL-terminated.
 */
int virSnapDomainMigrateFinish(virDomainPtr domain,
                               const char *cookie,
                               unsigned int flags);

/**
 * Ends a migration at the source.
 *
 * @domain: the domain at the source
 * @cookie: what virSnapDomainMigrateBegin() gave, so that no other migration is ended; or NULL: the last
 * @cancelled: 0 after virSnapDomainMigrateFinish() has succeeded: the metadata of all snapshots goes,
 * and their data stays. Else it failed: the snapshots can be changed again
 * @flags: not used; 0
 *
 * After success the guest that is attached is let go: it must be off, or QEMU must have sent it away
 * (`postmigrate`); while it is here, this is refused. Ending its process is the program's task.
 * Repeated with the same outcome, it does nothing.
 *
 * Returns 0, or -1 in case of error; then everything is there.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_OPERATION_DENIED (a read-only connection),
 * VIR_ERR_INVALID_ARG (a flag), VIR_ERR_OPERATION_INVALID (it was not begun here, has had the other
 * outcome, the guest is still here, or the stored snapshots were changed by somebody else),
 * VIR_ERR_INTERNAL_ERROR (the cookie is none), VIR_ERR_SYSTEM_ERROR (nothing can be written).
 * Threads: any. Ownership: nothing changes hands.
 * Since: virsnap 0.1.0.
 *
 * Safety: cookie is NULL or NUL-terminated.
 */
int virSnapDomainMigrateConfirm(virDomainPtr domain,
                                const char *cookie,
                                int cancelled,
                                unsigned int flags);

/**
 * Gives the snapshots of a domain whose migration has begun to a host that has libvirt alone: they
 * are redefined there, parents first, the current one with VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT.
 *
 * @domain: the domain at the source, after virSnapDomainMigrateBegin() with METADATA
 * @target: the same domain on a connection of libvirt's, persistent if its snapshots shall stay
 * @flags: not used; 0
 *
 * libvirt itself keeps them from then on; confirm the migration at the source. If it fails midway, what
 * was redefined is dropped there again. Repeated after a crash, it goes on with what is missing.
 *
 * Returns 0, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle; target is not libvirt's), VIR_ERR_OPERATION_DENIED (a
 * read-only connection), VIR_ERR_INVALID_ARG (a flag), VIR_ERR_OPERATION_FAILED (target has another
 * UUID), VIR_ERR_OPERATION_INVALID (no migration was begun; libvirt keeps another snapshot of a name),
 * and what libvirt refuses.
 * Threads: any. Ownership: nothing changes hands.
 * Since: virsnap 0.1.0.
 */
int virSnapDomainMigrateReplay(virDomainPtr domain,
                               virDomainPtr target,
                               unsigned int flags);

/**
 * Adopts the snapshots that libvirt itself keeps of a domain, with parents and current one, all of
 * them or none.
 *
 * @domain: the domain that gets them, of an embedded connection, with the same UUID
 * @source: the domain on a connection of libvirt's
 * @flags: bitwise-OR of virSnapMigrateAdoptFlags
 *
 * A snapshot that is there already must be equal. A domain of libvirt's needs no such call in companion
 * mode: the first change of its snapshots adopts them.
 *
 * Returns 0, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle; source is not libvirt's), VIR_ERR_OPERATION_DENIED (a
 * read-only connection), VIR_ERR_INVALID_ARG (unknown flag), VIR_ERR_OPERATION_FAILED (source has
 * another UUID; another snapshot of a name is there), VIR_ERR_OPERATION_INVALID (the domain is being
 * migrated), VIR_ERR_SYSTEM_ERROR (nothing can be written), and what libvirt refuses.
 * Threads: any. Ownership: nothing changes hands.
 * Since: virsnap 0.1.0.
 */
int virSnapDomainMigrateAdopt(virDomainPtr domain,
                              virDomainPtr source,
                              unsigned int flags);

/**
 * Gives a migration up, at either end: at the source the snapshots can be changed again, at the
 * destination what came in is dropped. Cancel the destination first: it refuses if it has finished,
 * and then the source is to be confirmed.
 *
 * @domain: the domain
 * @flags: not used; 0
 *
 * Where there is nothing to cancel, it does nothing. A guest that was sent already goes on at the source
 * when it is resumed there (QMP `cont`), after its process at the destination has ended.
 *
 * Returns 0, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_OPERATION_DENIED (a read-only connection),
 * VIR_ERR_INVALID_ARG (a flag), VIR_ERR_OPERATION_INVALID (it has succeeded), VIR_ERR_SYSTEM_ERROR
 * (nothing can be written).
 * Threads: any. Ownership: nothing changes hands.
 * Since: virsnap 0.1.0.
 */
int virSnapDomainMigrateCancel(virDomainPtr domain,
                               unsigned int flags);

/**
 * Tells how far the last migration of a domain has come on this host: for a manager that was
 * restarted, or that has lost the other one.
 *
 * @domain: the domain
 * @id: where to store the migration's identifier, which is the same on both hosts; NULL if it is not
 * wanted. NULL is stored if there was no migration
 * @flags: not used; 0
 *
 * Returns a virSnapMigrateState, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_OPERATION_DENIED (a read-only connection),
 * VIR_ERR_INVALID_ARG (a flag), VIR_ERR_INTERNAL_ERROR (what is kept about it cannot be read),
 * VIR_ERR_SYSTEM_ERROR (it cannot be made durable).
 * Threads: any. Ownership: the caller frees the identifier with free().
 * Since: virsnap 0.1.0.
 *
 * Safety: id is NULL or writable.
 */
int virSnapDomainMigrateGetState(virDomainPtr domain,
                                 char **id,
                                 unsigned int flags);

/**
 * Migrates a domain of libvirt's to another host, by libvirt.
 *
 * @domain: a domain of libvirt's
 * @dconn: connection to the destination
 * @flags: bitwise-OR of libvirt's virDomainMigrateFlags
 * @dname: the domain's name there, or NULL
 * @uri: where the data goes, or NULL
 * @bandwidth: MiB a second, or 0
 *
 * Refused while the domain has snapshots, kept here or by libvirt. With VIRSNAP_MIGRATE=carry in the
 * environment it goes on: the snapshots stay here, where they are found by the domain's UUID from both
 * hosts' connections, and nobody changes them meanwhile.
 *
 * Returns the domain at the destination, or NULL in case of error.
 *
 * Errors: VIR_ERR_OPERATION_INVALID (the domain has snapshots), VIR_ERR_INVALID_DOMAIN (a domain of
 * an embedded connection: see virSnapDomainMigrateBegin()), and libvirt's.
 * Threads: any. Ownership: the caller frees the domain with virDomainFree().
 * Since: 0.3.2. Source: libvirt-domain.h of libvirt 9.0.0.
 *
 * Safety: The arguments are what libvirt's function needs.
 */
virDomainPtr virDomainMigrate(virDomainPtr domain,
                              virConnectPtr dconn,
                              unsigned long flags,
                              const char *dname,
                              const char *uri,
                              unsigned long bandwidth);

/**
 * As virDomainMigrate(), with a definition for the destination.
 *
 * @domain: a domain of libvirt's
 * @dconn: connection to the destination
 * @dxml: definition at the destination, or NULL
 * @flags: bitwise-OR of libvirt's virDomainMigrateFlags
 * @dname: the domain's name there, or NULL
 * @uri: where the data goes, or NULL
 * @bandwidth: MiB a second, or 0
 *
 * Returns the domain at the destination, or NULL in case of error.
 *
 * Errors: VIR_ERR_OPERATION_INVALID (the domain has snapshots), VIR_ERR_INVALID_DOMAIN (a domain of
 * an embedded connection: see virSnapDomainMigrateBegin()), and libvirt's.
 * Threads: any. Ownership: the caller frees the domain with virDomainFree().
 * Since: 0.9.2. Source: libvirt-domain.h of libvirt 9.0.0.
 *
 * Safety: The arguments are what libvirt's function needs.
 */
virDomainPtr virDomainMigrate2(virDomainPtr domain,
                               virConnectPtr dconn,
                               const char *dxml,
                               unsigned long flags,
                               const char *dname,
                               const char *uri,
                               unsigned long bandwidth);

/**
 * As virDomainMigrate(), with libvirt's parameters.
 *
 * @domain: a domain of libvirt's
 * @dconn: connection to the destination
 * @params: libvirt's parameters of migrations
 * @nparams: how many
 * @flags: bitwise-OR of libvirt's virDomainMigrateFlags
 *
 * Returns the domain at the destination, or NULL in case of error.
 *
 * Errors: VIR_ERR_OPERATION_INVALID (the domain has snapshots), VIR_ERR_INVALID_DOMAIN (a domain of
 * an embedded connection: see virSnapDomainMigrateBegin()), and libvirt's.
 * Threads: any. Ownership: the caller frees the domain with virDomainFree().
 * Since: 1.1.0. Source: libvirt-domain.h of libvirt 9.0.0.
 *
 * Safety: The arguments are what libvirt's function needs.
 */
virDomainPtr virDomainMigrate3(virDomainPtr domain,
                               virConnectPtr dconn,
                               virTypedParameterPtr params,
                               unsigned int nparams,
                               unsigned int flags);

/**
 * As virDomainMigrate(), to a URI.
 *
 * @domain: a domain of libvirt's
 * @duri: where to
 * @flags: bitwise-OR of libvirt's virDomainMigrateFlags
 * @dname: the domain's name there, or NULL
 * @bandwidth: MiB a second, or 0
 *
 * Returns 0, or -1 in case of error.
 *
 * Errors: VIR_ERR_OPERATION_INVALID (the domain has snapshots), VIR_ERR_INVALID_DOMAIN (a domain of
 * an embedded connection: see virSnapDomainMigrateBegin()), and libvirt's.
 * Threads: any. Ownership: nothing changes hands.
 * Since: 0.7.2. Source: libvirt-domain.h of libvirt 9.0.0.
 *
 * Safety: The arguments are what libvirt's function needs.
 */
int virDomainMigrateToURI(virDomainPtr domain,
                          const char *duri,
                          unsigned long flags,
                          const char *dname,
                          unsigned long bandwidth);

/**
 * As virDomainMigrateToURI(), with a definition for the destination.
 *
 * @domain: a domain of libvirt's
 * @dconnuri: the destination's connection
 * @miguri: where the data goes, or NULL
 * @dxml: definition at the destination, or NULL
 * @flags: bitwise-OR of libvirt's virDomainMigrateFlags
 * @dname: the domain's name there, or NULL
 * @bandwidth: MiB a second, or 0
 *
 * Returns 0, or -1 in case of error.
 *
 * Errors: VIR_ERR_OPERATION_INVALID (the domain has snapshots), VIR_ERR_INVALID_DOMAIN (a domain of
 * an embedded connection: see virSnapDomainMigrateBegin()), and libvirt's.
 * Threads: any. Ownership: nothing changes hands.
 * Since: 0.9.2. Source: libvirt-domain.h of libvirt 9.0.0.
 *
 * Safety: The arguments are what libvirt's function needs.
 */
int virDomainMigrateToURI2(virDomainPtr domain,
                           const char *dconnuri,
                           const char *miguri,
                           const char *dxml,
                           unsigned long flags,
                           const char *dname,
                           unsigned long bandwidth);

/**
 * As virDomainMigrateToURI(), with libvirt's parameters.
 *
 * @domain: a domain of libvirt's
 * @dconnuri: the destination's connection
 * @params: libvirt's parameters of migrations
 * @nparams: how many
 * @flags: bitwise-OR of libvirt's virDomainMigrateFlags
 *
 * Returns 0, or -1 in case of error.
 *
 * Errors: VIR_ERR_OPERATION_INVALID (the domain has snapshots), VIR_ERR_INVALID_DOMAIN (a domain of
 * an embedded connection: see virSnapDomainMigrateBegin()), and libvirt's.
 * Threads: any. Ownership: nothing changes hands.
 * Since: 1.1.0. Source: libvirt-domain.h of libvirt 9.0.0.
 *
 * Safety: The arguments are what libvirt's function needs.
 */
int virDomainMigrateToURI3(virDomainPtr domain,
                           const char *dconnuri,
                           virTypedParameterPtr params,
                           unsigned int nparams,
                           unsigned int flags);

/**
 * Attaches the monitor of a running guest to a domain, or takes it away.
 *
 * @domain: a domain of an embedded connection
 * @monitor: path of the guest's QMP socket (QEMU: `-qmp unix:PATH,server=on,wait=off`), or NULL to
 * let the guest go
 * @agent: path of the guest agent's socket, or NULL if there is none
 * @flags: not used; 0
 *
 * From now on the domain's state is the guest's, and snapshots are taken of it while it runs. When
 * the monitor's connection ends, the guest is taken for gone and the domain for shut off. The
 * connection is the library's own: a guest that the program talks to needs a second socket for
 * that. Each answer may take 30 seconds, or what the connection's URI says (monitor_reply=90). The agent is asked when a snapshot is to be quiesced, by a connection of its own each time.
 *
 * Returns 0, or -1 in case of error; then what was attached before stays.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_OPERATION_DENIED (read-only),
 * VIR_ERR_INVALID_ARG (a flag), VIR_ERR_NO_DOMAIN (gone), VIR_ERR_OPERATION_FAILED (no monitor
 * there), VIR_ERR_OPERATION_TIMEOUT (it does not answer).
 * Threads: any. Ownership: nothing changes hands.
 * Since: virsnap 0.1.0.
 *
 * Safety: monitor and agent are NULL or NUL-terminated.
 */
int virSnapDomainSetMonitor(virDomainPtr domain,
                            const char *monitor,
                            const char *agent,
                            unsigned int flags);

/**
 * Puts a program's own hands in place of the library's, for one domain, in this process.
 *
 * @domain: a domain of an embedded connection
 * @callbacks: the functions, their size first; NULL to take them all away
 * @opaque: handed to each of them
 * @flags: not used; 0
 *
 * The structure is copied. A size larger than this library's is taken if what this library does
 * not know of is all NULL.
 *
 * Returns 0, or -1 in case of error; then the callbacks from before stay, and release is not
 * called.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_OPERATION_DENIED (read-only),
 * VIR_ERR_INVALID_ARG (a flag, or a size that is none), VIR_ERR_NO_DOMAIN (gone).
 * Threads: any. Ownership: opaque is the library's until it calls release, which may be in any
 * thread: when the callbacks are replaced, the domain goes, or the last connection to the state directory
 * is closed; at the end of the call that does so. It may call this library.
 * Since: virsnap 0.1.0.
 *
 * Safety: callbacks is NULL, or its first member is the number of readable bytes behind it; its functions
 * are as virSnapDomainCallbacks says.
 */
int virSnapDomainSetCallbacks(virDomainPtr domain,
                              const virSnapDomainCallbacks *callbacks,
                              void *opaque,
                              unsigned int flags);

/**
 * Asks the long operation that runs on a domain to stop and to take back what it did.
 *
 * @domain: a domain of an embedded connection
 * @flags: not used; 0
 *
 * What is asked for when nothing runs is forgotten. The operation ends with
 * VIR_ERR_OPERATION_ABORTED, or succeeds if it was too late to stop it. A deletion that has begun to
 * merge images cannot be taken back: it stops for now, and the next change of the domain finishes it.
 *
 * Returns 0, or -1 in case of error.
 *
 * Errors: VIR_ERR_INVALID_DOMAIN (bad handle), VIR_ERR_OPERATION_DENIED (read-only),
 * VIR_ERR_INVALID_ARG (a flag), VIR_ERR_NO_DOMAIN (gone).
 * Threads: any, while another one is in the operation. Ownership: nothing changes hands.
 * Since: virsnap 0.1.0.
 */
int virSnapDomainCancel(virDomainPtr domain,
                        unsigned int flags);

/**
 * Tells why a callback is about to fail. It becomes the end of the error's message.
 *
 * @message: the cause, or NULL for none
 *
 * Errors: none. Threads: the one that the callback was called in. Ownership: message is copied.
 * Since: virsnap 0.1.0.
 *
 * Safety: message is NULL or NUL-terminated.
 */
void virSnapSetCallbackError(const char *message);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* VIRSNAP_H */
