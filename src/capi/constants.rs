//! libvirt's constants, except the lists of error numbers and error domains.
//!
//! Names and values: libvirt 9.0.0's headers.

use std::ffi::{c_int, c_uint, c_ulong};

/// The version of libvirt's API that this library follows: major * 1000000 + minor * 1000 + micro.
pub const LIBVIR_VERSION_NUMBER: c_ulong = 9000000;

/// Bytes of a UUID.
pub const VIR_UUID_BUFLEN: c_int = 16;

/// Bytes of a UUID in text form, the final NUL included.
pub const VIR_UUID_STRING_BUFLEN: c_int = 37;

/// For lists of a snapshot's children: all descendants. The same bit as
/// VIR_DOMAIN_SNAPSHOT_LIST_ROOTS.
pub const VIR_DOMAIN_SNAPSHOT_LIST_DESCENDANTS: c_uint = 1;

/// How bad an error is.
#[repr(C)]
pub enum virErrorLevel {
    /// No error.
    VIR_ERR_NONE = 0,
    /// A warning.
    VIR_ERR_WARNING = 1,
    /// An error.
    VIR_ERR_ERROR = 2,
}

/// Flags of virConnectOpenAuth().
#[repr(C)]
pub enum virConnectFlags {
    /// The connection reads only.
    VIR_CONNECT_RO = 1,
    /// The URI is not looked up among aliases. This library has none.
    VIR_CONNECT_NO_ALIASES = 2,
}

/// Kinds of questions in an authentication dialogue.
#[repr(C)]
pub enum virConnectCredentialType {
    /// Whom to act as.
    VIR_CRED_USERNAME = 1,
    /// Whom to authorise as.
    VIR_CRED_AUTHNAME = 2,
    /// Languages by RFC 1766, separated by commas.
    VIR_CRED_LANGUAGE = 3,
    /// A nonce of the client.
    VIR_CRED_CNONCE = 4,
    /// A secret.
    VIR_CRED_PASSPHRASE = 5,
    /// A challenge whose answer may be shown.
    VIR_CRED_ECHOPROMPT = 6,
    /// A challenge whose answer may not be shown.
    VIR_CRED_NOECHOPROMPT = 7,
    /// The realm.
    VIR_CRED_REALM = 8,
    /// Kept elsewhere.
    VIR_CRED_EXTERNAL = 9,
}

/// What a domain is doing.
#[repr(C)]
pub enum virDomainState {
    /// Unknown.
    VIR_DOMAIN_NOSTATE = 0,
    /// Its CPUs run.
    VIR_DOMAIN_RUNNING = 1,
    /// It waits for a resource.
    VIR_DOMAIN_BLOCKED = 2,
    /// Its CPUs are stopped.
    VIR_DOMAIN_PAUSED = 3,
    /// It is being shut down.
    VIR_DOMAIN_SHUTDOWN = 4,
    /// It is inactive.
    VIR_DOMAIN_SHUTOFF = 5,
    /// It has crashed.
    VIR_DOMAIN_CRASHED = 6,
    /// The guest's power management has suspended it.
    VIR_DOMAIN_PMSUSPENDED = 7,
}

/// Why a domain runs.
#[repr(C)]
pub enum virDomainRunningReason {
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
}

/// Why a domain is paused.
#[repr(C)]
pub enum virDomainPausedReason {
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
}

/// Why a domain is shut off.
#[repr(C)]
pub enum virDomainShutoffReason {
    VIR_DOMAIN_SHUTOFF_UNKNOWN = 0,
    VIR_DOMAIN_SHUTOFF_SHUTDOWN = 1,
    VIR_DOMAIN_SHUTOFF_DESTROYED = 2,
    VIR_DOMAIN_SHUTOFF_CRASHED = 3,
    VIR_DOMAIN_SHUTOFF_MIGRATED = 4,
    VIR_DOMAIN_SHUTOFF_SAVED = 5,
    VIR_DOMAIN_SHUTOFF_FAILED = 6,
    VIR_DOMAIN_SHUTOFF_FROM_SNAPSHOT = 7,
    VIR_DOMAIN_SHUTOFF_DAEMON = 8,
}

/// Flags of virDomainGetXMLDesc().
#[repr(C)]
pub enum virDomainXMLFlags {
    /// With passwords.
    VIR_DOMAIN_XML_SECURE = 1,
    /// What the domain will be at its next start.
    VIR_DOMAIN_XML_INACTIVE = 2,
    /// With the CPU brought up to date with the host.
    VIR_DOMAIN_XML_UPDATE_CPU = 4,
    /// Fit for migration.
    VIR_DOMAIN_XML_MIGRATABLE = 8,
}

/// Flags of virDomainDefineXMLFlags().
#[repr(C)]
pub enum virDomainDefineFlags {
    /// Check the document against the schema.
    VIR_DOMAIN_DEFINE_VALIDATE = 1,
}

/// Flags of virDomainUndefineFlags().
#[repr(C)]
pub enum virDomainUndefineFlagsValues {
    /// Also remove the managed save image. This library has none.
    VIR_DOMAIN_UNDEFINE_MANAGED_SAVE = 1,
    /// Also drop the metadata of all snapshots; their data stays.
    VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA = 2,
    /// Also remove the NVRAM file. An embedded connection leaves it to its program.
    VIR_DOMAIN_UNDEFINE_NVRAM = 4,
    /// Keep the NVRAM file.
    VIR_DOMAIN_UNDEFINE_KEEP_NVRAM = 8,
    /// Also drop the metadata of all checkpoints. This library has none.
    VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA = 16,
    /// Also remove the TPM's state. An embedded connection leaves it to its program.
    VIR_DOMAIN_UNDEFINE_TPM = 32,
    /// Keep the TPM's state.
    VIR_DOMAIN_UNDEFINE_KEEP_TPM = 64,
}

/// Filters of virConnectListAllDomains(). Bits of one group are alternatives; a group without a
/// bit does not filter.
#[repr(C)]
pub enum virConnectListAllDomainsFlags {
    /// Active domains.
    VIR_CONNECT_LIST_DOMAINS_ACTIVE = 1,
    /// Inactive domains.
    VIR_CONNECT_LIST_DOMAINS_INACTIVE = 2,
    /// Domains with a definition. All domains of this library.
    VIR_CONNECT_LIST_DOMAINS_PERSISTENT = 4,
    /// Domains without. None.
    VIR_CONNECT_LIST_DOMAINS_TRANSIENT = 8,
    /// Running domains.
    VIR_CONNECT_LIST_DOMAINS_RUNNING = 16,
    /// Paused domains.
    VIR_CONNECT_LIST_DOMAINS_PAUSED = 32,
    /// Domains that are shut off.
    VIR_CONNECT_LIST_DOMAINS_SHUTOFF = 64,
    /// Domains in any other state.
    VIR_CONNECT_LIST_DOMAINS_OTHER = 128,
    /// Domains with a managed save image. None.
    VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE = 256,
    /// Domains without. All.
    VIR_CONNECT_LIST_DOMAINS_NO_MANAGEDSAVE = 512,
    /// Domains that start with the host. None.
    VIR_CONNECT_LIST_DOMAINS_AUTOSTART = 1024,
    /// Domains that do not. All.
    VIR_CONNECT_LIST_DOMAINS_NO_AUTOSTART = 2048,
    /// Domains with snapshots.
    VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT = 4096,
    /// Domains without.
    VIR_CONNECT_LIST_DOMAINS_NO_SNAPSHOT = 8192,
    /// Domains with checkpoints. None.
    VIR_CONNECT_LIST_DOMAINS_HAS_CHECKPOINT = 16384,
    /// Domains without. All.
    VIR_CONNECT_LIST_DOMAINS_NO_CHECKPOINT = 32768,
}

/// Flags of virDomainSnapshotCreateXML().
#[repr(C)]
pub enum virDomainSnapshotCreateFlags {
    /// Restore or change metadata only.
    VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE = 1,
    /// With REDEFINE: the snapshot becomes the current one.
    VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT = 2,
    /// Capture the data, keep no metadata.
    VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA = 4,
    /// The domain is off afterwards.
    VIR_DOMAIN_SNAPSHOT_CREATE_HALT = 8,
    /// Disks only, no memory.
    VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY = 16,
    /// The external images exist already.
    VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT = 32,
    /// The guest's agent freezes its file systems meanwhile.
    VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE = 64,
    /// All disks or none. This library never does it otherwise.
    VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC = 128,
    /// The guest runs while its memory is saved.
    VIR_DOMAIN_SNAPSHOT_CREATE_LIVE = 256,
    /// Check the document against the schema.
    VIR_DOMAIN_SNAPSHOT_CREATE_VALIDATE = 512,
}

/// Flags of virDomainSnapshotGetXMLDesc().
#[repr(C)]
pub enum virDomainSnapshotXMLFlags {
    /// With passwords.
    VIR_DOMAIN_SNAPSHOT_XML_SECURE = 1,
}

/// Filters of the functions that list or count snapshots. Bits of one group are alternatives; a
/// group without a bit does not filter. Bit 0 means ROOTS for a domain and DESCENDANTS for a
/// snapshot.
#[repr(C)]
pub enum virDomainSnapshotListFlags {
    /// For lists of a domain: snapshots without a parent.
    VIR_DOMAIN_SNAPSHOT_LIST_ROOTS = 1,
    /// Snapshots with metadata. All.
    VIR_DOMAIN_SNAPSHOT_LIST_METADATA = 2,
    /// Snapshots without children.
    VIR_DOMAIN_SNAPSHOT_LIST_LEAVES = 4,
    /// Snapshots with children.
    VIR_DOMAIN_SNAPSHOT_LIST_NO_LEAVES = 8,
    /// Snapshots without metadata. None.
    VIR_DOMAIN_SNAPSHOT_LIST_NO_METADATA = 16,
    /// Taken while the domain was shut off.
    VIR_DOMAIN_SNAPSHOT_LIST_INACTIVE = 32,
    /// Taken while the domain was active, with its memory.
    VIR_DOMAIN_SNAPSHOT_LIST_ACTIVE = 64,
    /// Taken while the domain was active, without its memory.
    VIR_DOMAIN_SNAPSHOT_LIST_DISK_ONLY = 128,
    /// Kept inside the images.
    VIR_DOMAIN_SNAPSHOT_LIST_INTERNAL = 256,
    /// Kept in files of their own.
    VIR_DOMAIN_SNAPSHOT_LIST_EXTERNAL = 512,
    /// Parents before their children.
    VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL = 1024,
}

/// Flags of virDomainRevertToSnapshot().
#[repr(C)]
pub enum virDomainSnapshotRevertFlags {
    /// The domain runs afterwards.
    VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING = 1,
    /// The domain is paused afterwards.
    VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED = 2,
    /// Also where that is risky.
    VIR_DOMAIN_SNAPSHOT_REVERT_FORCE = 4,
    /// The firmware's variables are made anew of their template.
    VIR_DOMAIN_SNAPSHOT_REVERT_RESET_NVRAM = 8,
}

/// Flags of virDomainSnapshotDelete().
#[repr(C)]
pub enum virDomainSnapshotDeleteFlags {
    /// The snapshot and all its descendants.
    VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN = 1,
    /// Metadata only; the data stays.
    VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY = 2,
    /// All descendants, but not the snapshot.
    VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN_ONLY = 4,
}
