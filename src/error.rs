//! The one error type. A variant is a cause with its facts; libvirt's code, error domain and text
//! follow from it.
//!
//! `Display` is the detail only. The prefix that libvirt puts in front of it, and the extra fields
//! of a `virError`, are made in `capi::last_error`. Codes, domains and texts: libvirt 9.0.0,
//! virterror.h and what its QEMU driver answers.

use std::path::PathBuf;

/// What can go wrong, anywhere in the library.
#[allow(
    missing_docs,
    reason = "a field is the word that the message above it shows"
)]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    // ---- arguments, checked where C enters ----
    /// A connection handle that is NULL, freed, foreign or of another kind.
    #[error("{function}")]
    InvalidConnection {
        function: &'static str,
        family: Family,
    },
    /// A domain handle that is NULL, freed, foreign or of another kind.
    #[error("{function}")]
    InvalidDomain { function: &'static str },
    /// A snapshot handle that is NULL, freed, foreign or of another kind.
    #[error("{function}")]
    InvalidSnapshot { function: &'static str },
    /// A pointer argument is NULL that must not be.
    #[error("{argument} in {function} must not be NULL")]
    NullArgument {
        function: &'static str,
        argument: &'static str,
        family: Family,
    },
    /// A length is negative.
    #[error("{argument} in {function} must be zero or greater")]
    NegativeArgument {
        function: &'static str,
        argument: &'static str,
        family: Family,
    },
    /// A structure that says it is smaller than any version of it.
    #[error("{argument} in {function} says a size of less than {least} bytes")]
    StructureTooSmall {
        function: &'static str,
        argument: &'static str,
        least: usize,
        family: Family,
    },
    /// A length is zero or negative that must be positive.
    #[error("{argument} in {function} must be greater than zero")]
    NotPositiveArgument {
        function: &'static str,
        argument: &'static str,
        family: Family,
    },
    /// A string argument is not UTF-8.
    #[error("{argument} in {function} is not valid UTF-8")]
    NotUtf8 {
        function: &'static str,
        argument: &'static str,
        family: Family,
    },
    /// A writing call on a read-only connection.
    #[error("read only access prevents {function}")]
    ReadOnly {
        function: &'static str,
        family: Family,
    },
    /// Secrets asked for on a read-only connection.
    #[error("{function} with secure flag")]
    SecureOnReadOnly {
        function: &'static str,
        family: Family,
    },
    /// Two flags that exclude each other.
    #[error("Flags '{first}' and '{second}' are mutually exclusive")]
    FlagsExclusive {
        function: &'static str,
        first: &'static str,
        second: &'static str,
        layer: Layer,
    },
    /// A flag that needs another.
    #[error("Flag '{needed}' is required by flag '{given}'")]
    FlagRequired {
        function: &'static str,
        needed: &'static str,
        given: &'static str,
        layer: Layer,
    },
    /// A text that must have at least one byte.
    #[error("string {argument} in {function} must not be empty")]
    EmptyArgument {
        function: &'static str,
        argument: &'static str,
        family: Family,
    },
    /// Bits that no flag of the function has.
    #[error("unsupported flags ({bits:#x}) in function {function}")]
    UnsupportedFlags { function: &'static str, bits: u32 },
    /// A number that no event has.
    #[error("eventID in {function} is no event: {id}")]
    NoEvent { function: &'static str, id: i32 },
    /// A number under which nobody is told of events.
    #[error("callbackID in {function} is not registered: {id}")]
    NoListener { function: &'static str, id: i32 },
    /// A URI that is none.
    #[error("Unable to parse URI {uri}")]
    MalformedUri { uri: String },
    /// A URI of another driver.
    #[error("{uri}")]
    NoDriver { uri: String },
    /// A URI of ours that names no state directory.
    #[error("{reason}: '{uri}'")]
    InvalidUri { uri: String, reason: &'static str },
    /// A function, or a kind of request to it, that this connection cannot serve.
    #[error("{function}")]
    NoSupport { function: &'static str },

    /// A path that does not begin at the root.
    #[error("path '{path}' must be absolute")]
    PathRelative { path: String },

    // ---- domains ----
    /// No domain has that UUID.
    #[error("no domain with matching uuid '{uuid}' ({name})")]
    DomainGone { uuid: String, name: String },
    /// No domain has that UUID (look-up).
    #[error("no domain with matching uuid '{uuid}'")]
    NoDomainWithUuid { uuid: String },
    /// No domain has that name.
    #[error("no domain with matching name '{name}'")]
    NoDomainWithName { name: String },
    /// No active domain has that id.
    #[error("no domain with matching id {id}")]
    NoDomainWithId { id: i32 },
    /// A UUID string that is none.
    #[error("Invalid UUID")]
    MalformedUuid { function: &'static str },
    /// The `<domain>` document is missing something or has a bad value.
    #[error("{detail}")]
    DomainXml { detail: String },
    /// A domain definition that is not well-formed.
    #[error("{detail}")]
    DomainNotWellFormed { detail: String },
    /// A domain definition with another root element.
    #[error("expecting root element of 'domain', not '{found}'")]
    DomainRoot { found: String },
    /// What libvirt's domain parser refuses as an internal error.
    #[error("{detail}")]
    DomainInternal { detail: &'static str },
    /// A domain definition without `<name>`.
    #[error("missing name information")]
    DomainWithoutName,
    /// A disk without `<target dev=…>`.
    #[error("missing target information for device")]
    DiskWithoutTarget,
    /// The name is in use by a domain with another UUID.
    #[error("domain '{name}' already exists with uuid {uuid}")]
    DomainNameTaken { name: String, uuid: String },
    /// The UUID is in use by a domain with another name.
    #[error("domain '{name}' is already defined with uuid {uuid}")]
    DomainUuidTaken { name: String, uuid: String },
    /// A domain name that cannot be a file name.
    #[error("invalid domain name '{name}': {reason}")]
    DomainName { name: String, reason: &'static str },
    /// A domain cannot get the name it has.
    #[error("Can't rename domain to itself")]
    RenamedToItself,
    /// The new name is another domain's.
    #[error("domain with name '{name}' already exists")]
    NewNameTaken { name: String },
    /// A new name that is no name.
    #[error("name {name} cannot contain '/'")]
    NewNameWithSlash { name: String },
    /// Snapshots are kept under the new name.
    #[error("there are stored snapshots of a domain '{name}' that is not defined")]
    NewNameHasSnapshots { name: String },
    /// Undefine that shall keep a thing and delete it.
    #[error("cannot both keep and delete {what}")]
    UndefineContradiction { what: &'static str },
    /// Undefine of a domain that still has snapshots.
    #[error("cannot delete inactive domain with {count} snapshots")]
    DomainHasSnapshots { count: usize },
    /// Another operation holds the domain for too long.
    #[error("cannot acquire state change lock of domain '{domain}' (held by {holder})")]
    DomainBusy { domain: String, holder: String },

    // ---- the hierarchy ----
    /// No snapshot has that name.
    #[error("no domain snapshot with matching name '{name}'")]
    SnapshotMissing { name: String },
    /// The domain has no current snapshot.
    #[error("the domain does not have a current snapshot")]
    NoCurrent,
    /// The snapshot is a root.
    #[error("snapshot '{name}' does not have a parent")]
    NoParent { name: String },
    /// A new snapshot has the name of an existing one.
    #[error("domain moment {name} already exists")]
    SnapshotExists { name: String },
    /// A snapshot names itself as its parent.
    #[error("cannot set moment {name} as its own parent")]
    OwnParent { name: String },
    /// The parent is not in the tree.
    #[error("parent {parent} for moment {name} not found")]
    ParentMissing { parent: String, name: String },
    /// The parent is a descendant.
    #[error("parent {parent} would create cycle to {name}")]
    Cycle { parent: String, name: String },
    /// `VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY` with a redefined snapshot in another state.
    #[error("disk-only flag for snapshot {name} requires disk-snapshot state")]
    DiskOnlyState { name: String },
    /// The `<domain>` in the document is another domain.
    #[error("definition for snapshot {name} must use uuid {uuid}")]
    ForeignDefinition { name: String, uuid: String },
    /// A redefine would turn an online snapshot into an offline one or the other way.
    #[error("cannot change between online and offline snapshot state in snapshot {name}")]
    ChangesOnline { name: String },
    /// A redefine would turn a disk-only snapshot into a full one or the other way.
    #[error("cannot change between disk only and full system in snapshot {name}")]
    ChangesDiskOnly { name: String },
    /// A redefine would change what the guest sees.
    #[error("{detail}")]
    AbiChanged { detail: String },

    // ---- migration ----
    /// Begin without METADATA of a domain that has snapshots.
    #[error("cannot migrate domain with {count} snapshots")]
    MigrationLosesSnapshots { count: usize },
    /// A change while a migration keeps the hierarchy as it is.
    #[error("domain '{domain}' is being migrated: {reason}")]
    Migrating {
        domain: String,
        reason: &'static str,
    },
    /// A phase that does not follow what was done before.
    #[error("cannot {phase} migration of domain '{domain}': {reason}")]
    MigrationPhase {
        domain: String,
        phase: &'static str,
        reason: String,
    },
    /// What came from the source is not what was sent, or no hierarchy of that domain.
    #[error("snapshots of domain '{domain}' from another host refused: {reason}")]
    MigrationStream { domain: String, reason: String },
    /// A cookie that is none, or another hierarchy's.
    #[error("migration cookie of domain '{domain}' refused: {reason}")]
    MigrationCookie { domain: String, reason: String },
    /// The caller's side of the transfer failed.
    #[error("transfer of snapshots of domain '{domain}' failed: {reason}")]
    MigrationTransfer { domain: String, reason: String },
    /// A snapshot that is there already, and another one than that which comes.
    #[error("domain '{domain}' has another snapshot named '{name}' already")]
    MigrationConflict { domain: String, name: String },

    // ---- the <domainsnapshot> document ----
    /// Not well-formed.
    #[error("{detail}")]
    NotWellFormed { detail: String },
    /// Another root element.
    #[error("expecting root element of 'domainsnapshot', not '{found}'")]
    WrongRoot { found: String },
    /// The document does not follow the schema (VALIDATE).
    #[error("{detail}")]
    SchemaMismatch { detail: String },
    /// A document that is too large, too deep or has too many parts.
    #[error("{what} exceeds the limit of {limit}")]
    TooLarge { what: &'static str, limit: usize },
    /// A redefined snapshot without a name.
    #[error("a redefined snapshot must have a name")]
    NameMissing,
    /// A name that libvirt's QEMU driver refuses too.
    #[error("invalid snapshot name '{name}': {reason}")]
    SnapshotName { name: String, reason: &'static str },
    /// A redefined snapshot without `<state>`.
    #[error("missing state from existing snapshot")]
    StateMissing,
    /// A word that is no state.
    #[error("Invalid state '{word}' in domain snapshot XML")]
    StateUnknown { word: String },
    /// A state that no snapshot can have.
    #[error("Invalid domain state {word}")]
    StateInvalid { word: &'static str },
    /// A snapshot of a guest suspended by its power management.
    #[error("qemu doesn't support taking snapshots of PMSUSPENDED guests")]
    StatePmSuspended,
    /// A redefined snapshot without `<creationTime>`.
    #[error("missing creationTime from existing snapshot")]
    CreationTimeMissing,
    /// A stored snapshot without `<active>`.
    #[error("Could not find 'active' element")]
    ActiveMissing,
    /// An attribute with a value that it cannot have.
    #[error("Invalid value for attribute '{attribute}' in element '{element}': '{value}'.")]
    AttributeValue {
        attribute: &'static str,
        element: &'static str,
        value: String,
    },
    /// `<memory snapshot='manual'/>`.
    #[error("'manual' memory snapshot mode not supported")]
    MemoryManual,
    /// A memory file with a mode that has none.
    #[error("memory filename '{file}' requires external snapshot")]
    MemoryFileUnexpected { file: String },
    /// External memory without a file.
    #[error("external memory snapshots require a filename")]
    MemoryFileMissing,
    /// Memory in an offline snapshot.
    #[error("memory state cannot be saved with offline or disk-only snapshot")]
    MemoryOffline,
    /// A relative memory file.
    #[error("memory snapshot file path ({file}) must be absolute")]
    MemoryFileRelative { file: String },
    /// An internal snapshot of a running guest without its memory.
    #[error("internal snapshot of a running VM must include the memory state")]
    MemoryRequired,
    /// A disk without a name.
    #[error("missing name from disk snapshot element")]
    DiskNameMissing,
    /// A disk type that no snapshot can have.
    #[error("unsupported disk snapshot type '{kind}'")]
    DiskType { kind: String },
    /// An unknown `driver/@type`.
    #[error("unknown disk snapshot driver '{driver}'")]
    DiskDriver { driver: String },
    /// A `<max_size>` of the metadata cache that is no number of bytes.
    #[error("Invalid value '{value}' for element or attribute './driver/metadata_cache/max_size'")]
    DiskCacheSize { value: String },
    /// A relative path.
    #[error("disk snapshot image path '{path}' must be absolute")]
    DiskPathRelative { path: String },
    /// No `<domain>` to align the disks with.
    #[error("missing domain in snapshot")]
    DefinitionMissing,
    /// More disks than the domain has.
    #[error("too many disk snapshot requests for domain")]
    TooManyDisks,
    /// The domain has no such disk.
    #[error("no disk named '{disk}'")]
    NoSuchDisk { disk: String },
    /// One disk named twice.
    #[error("disk '{disk}' specified twice")]
    DiskTwice { disk: String },
    /// A disk that must be internal.
    #[error("disk '{disk}' must use snapshot mode '{mode}'")]
    DiskMode { disk: String, mode: &'static str },
    /// A file for a disk that is not external.
    #[error("file '{path}' for disk '{disk}' requires use of external snapshot mode")]
    DiskFileUnexpected { path: String, disk: String },
    /// No name can be made for an external image: the disk is no file.
    #[error("cannot generate external snapshot name for disk '{disk}' on a '{kind}' device")]
    GenerateOnDevice { disk: String, kind: String },
    /// No name can be made for an external image: the disk is empty.
    #[error("cannot generate external snapshot name for disk '{disk}' without source")]
    GenerateWithoutSource { disk: String },
    /// No name can be made for an external image: the disk's source is no regular file.
    #[error(
        "source for disk '{disk}' is not a regular file; refusing to generate external snapshot name"
    )]
    GenerateNotRegular { disk: String },
    /// Two generated names are equal.
    #[error(
        "cannot generate external snapshot name for disk '{disk}': collision with disk '{other}'"
    )]
    GenerateCollision { disk: String, other: String },

    // ---- what can be snapshotted ----
    /// Nothing takes part.
    #[error("nothing selected for snapshot")]
    NothingSelected,
    /// An internal snapshot that leaves a writable disk out.
    #[error("internal and full system snapshots require all disks to be selected for snapshot")]
    DisksLeftOut,
    /// A disk-only snapshot without an external disk.
    #[error("disk-only snapshots require at least one disk to be selected for snapshot")]
    NoDiskSelected,
    /// A format that has no internal snapshots.
    #[error("internal snapshot for disk {disk} unsupported for storage type {format}")]
    FormatWithoutSnapshots { disk: String, format: String },
    /// A storage type that has no offline internal snapshots.
    #[error("internal inactive snapshots are not supported on '{kind}' disks")]
    InternalOnType { kind: String },
    /// A disk on the network, which has no offline internal snapshots.
    #[error(
        "internal inactive snapshots are not supported on 'network' disks using '{protocol}' protocol"
    )]
    InternalOnNetwork { protocol: String },
    /// A storage type that has no offline external snapshots.
    #[error("external inactive snapshots are not supported on '{kind}' disks")]
    ExternalOnType { kind: String },
    /// A format that an overlay cannot have.
    #[error("external snapshot format for disk {disk} is unsupported: {format}")]
    ExternalFormat { disk: String, format: String },
    /// A metadata cache for a format that has none.
    #[error("metadata cache max size control is supported only with qcow2 images")]
    CacheWithoutQcow2,
    /// A shared disk whose overlay would have one writer only.
    #[error("shared access for disk '{disk}' requires use of supported storage format")]
    SharedOverlay { disk: String },
    /// An overlay's path that cannot be looked up.
    #[error("unable to stat for disk {disk}: {}: {source}", path.display())]
    OverlayStat {
        disk: String,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// REUSE_EXT without the file.
    #[error("missing existing file for disk {disk}: {}: {source}", path.display())]
    OverlayMissing {
        disk: String,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// An overlay on a block device that is not there.
    #[error("block device snapshot target '{}' doesn't exist", path.display())]
    OverlayDeviceMissing { path: PathBuf },
    /// An overlay's path that is something else.
    #[error("mismatch between configured type for snapshot disk '{disk}' and the type of existing file '{}'", path.display())]
    OverlayKind { disk: String, path: PathBuf },
    /// An overlay's path that is taken.
    #[error("external snapshot file for disk {disk} already exists and is not a block device: {}", path.display())]
    OverlayExists { disk: String, path: PathBuf },
    /// Two disks with one overlay.
    #[error("disks '{first}' and '{second}' cannot both have the image '{}'", path.display())]
    OverlayTwice {
        first: String,
        second: String,
        path: PathBuf,
    },
    /// REUSE_EXT with an image that is no overlay of the disk.
    #[error("existing image '{}' for disk '{disk}' is not an overlay of it: {found}", path.display())]
    OverlayForeign {
        disk: String,
        path: PathBuf,
        found: String,
    },
    /// A chain that would be too long.
    #[error("backing chains more than {limit} layers deep are not supported for disk '{disk}'")]
    ChainTooDeep { disk: String, limit: usize },
    /// A disk without a local image.
    #[error("can't manipulate inactive snapshots of disk '{disk}'")]
    DiskWithoutSource { disk: String },
    /// LIVE without a running guest and external memory.
    #[error("live snapshot creation is supported only during full system snapshots")]
    LiveWithoutMemory,
    /// A kind of snapshot that this connection cannot make or restore.
    #[error("{what} not supported by this connection")]
    Unsupported { what: &'static str },

    /// A set of snapshots that libvirt's QEMU driver does not delete.
    #[error("{what} not supported")]
    DeletionUnsupported { what: &'static str },

    /// An internal snapshot of a domain whose firmware keeps its variables in flash.
    #[error("internal snapshots of a VM with pflash based firmware are not supported")]
    InternalWithPflash,

    // ---- the data ----
    /// A program that works on images failed, or its result is not in the image.
    #[error("{action} of snapshot '{snapshot}' failed on disk '{disk}' (image '{}'): {reason}{}", image.display(), undo_note(undo))]
    ImageOperation {
        action: &'static str,
        snapshot: String,
        disk: String,
        image: PathBuf,
        reason: String,
        /// Steps of the undo that failed too.
        undo: Vec<String>,
    },
    /// Layers of a disk could not be brought together.
    #[error("merging layers of disk '{disk}' failed on image '{}': {reason}", image.display())]
    MergeFailed {
        disk: String,
        image: PathBuf,
        reason: String,
    },
    /// The image does not hold the snapshot.
    #[error("snapshot '{snapshot}' not found in image '{}' of disk '{disk}'", image.display())]
    ImageLacksSnapshot {
        snapshot: String,
        disk: String,
        image: PathBuf,
    },
    /// The image holds that name already.
    #[error("image '{}' of disk '{disk}' already holds {count} snapshot(s) named '{snapshot}'", image.display())]
    ImageHoldsName {
        snapshot: String,
        disk: String,
        image: PathBuf,
        count: usize,
    },
    /// A redefined snapshot's data is not what its document says.
    #[error("snapshot '{snapshot}' of domain '{domain}' does not agree with its data: {place}: {found}{}", more_note(*more))]
    DataDiffers {
        domain: String,
        snapshot: String,
        /// Which image or file.
        place: String,
        found: String,
        /// Differences besides this one.
        more: usize,
    },
    /// The file is not what its disk says.
    #[error("image '{}' of disk '{disk}' is not usable: {reason}", image.display())]
    ImageUnusable {
        disk: String,
        image: PathBuf,
        reason: String,
    },
    /// A revert that needs FORCE, or cannot be done even with it.
    #[error("{detail}")]
    RevertRisky { detail: String },
    /// A snapshot whose state cannot be restored.
    #[error("Invalid target domain state '{word}'. Refusing snapshot reversion")]
    RevertState { word: &'static str },

    /// A snapshot of a guest suspended by its power management.
    #[error("qemu doesn't support reversion of snapshot taken in PMSUSPENDED state")]
    RevertPmSuspended,

    // ---- running guests ----
    /// The monitor of a guest does not answer as a monitor does, or no more.
    #[error("monitor '{}' {reason}", socket.display())]
    MonitorLost { socket: PathBuf, reason: String },
    /// The monitor did not answer in time.
    #[error("monitor '{}' did not answer '{command}' within {seconds} seconds", socket.display())]
    MonitorSlow {
        socket: PathBuf,
        command: String,
        seconds: u64,
    },
    /// QEMU refused a command.
    #[error("unable to execute QEMU command '{command}': {reason}")]
    MonitorRefused { command: String, reason: String },
    /// A job of QEMU failed.
    #[error("job '{job}' of {action} failed: {reason}")]
    JobFailed {
        action: &'static str,
        job: String,
        reason: String,
    },
    /// The caller asked to stop.
    #[error("{action} was cancelled")]
    Cancelled { action: &'static str },
    /// QUIESCE without a guest agent.
    #[error("QEMU guest agent is not configured")]
    AgentMissing,
    /// The guest agent does not answer, or not as an agent does.
    #[error("{reason}")]
    AgentLost { reason: String },
    /// The guest agent refused a command.
    #[error("unable to execute QEMU agent command '{command}': {reason}")]
    AgentRefused { command: String, reason: String },
    /// The guest does not have the image open as it must for the operation.
    #[error("image '{}' is not the active image of any writable disk of the running guest", image.display())]
    ImageNotInGuest { image: PathBuf },
    /// The memory file is none, or cannot be made.
    #[error("memory file '{}' {reason}", file.display())]
    MemoryFile { file: PathBuf, reason: String },
    /// What firmware or a TPM remember cannot be kept or brought back.
    #[error("state of the firmware for snapshot '{snapshot}': '{}' {reason}", file.display())]
    FirmwareState {
        snapshot: String,
        file: PathBuf,
        reason: String,
    },
    /// Variables that are to be made anew, and nothing says of what.
    #[error("NVRAM '{}' cannot be reset: its definition names no template", path.display())]
    NvramWithoutTemplate { path: PathBuf },
    /// A callback of the program failed.
    #[error("callback '{callback}' failed: {reason}")]
    CallbackFailed {
        callback: &'static str,
        reason: String,
    },
    /// A structure of callbacks that is none, or of a version that is too new.
    #[error("the size of the callbacks in {function}, or a function beyond it, is not known")]
    CallbacksSize { function: &'static str },
    /// A request that only works on a running guest, or only on one that is not.
    #[error("{detail}")]
    GuestState { detail: String },

    // ---- the store ----
    /// A file or directory of the state could not be read or written.
    #[error("unable to {action} '{}': {source}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// A file of the state holds something that no version of this library wrote there.
    #[error("state file '{}' is damaged: {reason}", path.display())]
    Damaged { path: PathBuf, reason: String },
    /// The state directory cannot be trusted.
    #[error("state directory '{}' refused: {reason}", path.display())]
    StateDirectory { path: PathBuf, reason: &'static str },

    /// An operation failed, and so did taking back what it had done before.
    #[error("{cause} (the undo failed too: {undo})")]
    UndoFailed {
        #[source]
        cause: Box<Error>,
        undo: String,
    },

    // ---- the real libvirt ----
    /// A call of libvirt's failed. It has set the error and told the program's handler.
    #[error("{0}")]
    Libvirt(crate::libvirt::Saved),
    /// libvirt itself keeps another snapshot of that name, and one of the two would be lost.
    #[error("libvirt itself keeps another snapshot named '{name}' of domain '{domain}'")]
    KeptElsewhere { name: String, domain: String },
    /// An environment variable with a value that it cannot have.
    #[error("environment variable {variable} is '{value}': {expected}")]
    Setting {
        variable: &'static str,
        value: String,
        expected: &'static str,
    },

    // ---- ourselves ----
    /// A panic was stopped at the boundary.
    #[error("{function}: {payload}")]
    Panicked {
        function: &'static str,
        payload: String,
    },
    /// Memory could not be had.
    #[error("{function}")]
    OutOfMemory { function: &'static str },
}

/// The result of everything that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// Which family of functions an argument check belongs to: it decides the error domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Opening and closing connections.
    Core,
    /// virConnect…
    Connect,
    /// virDomain…
    Domain,
    /// virDomainSnapshot…
    Snapshot,
}

/// Where libvirt makes a flag check: before the driver is called, or in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// The public function.
    Public,
    /// The driver.
    Driver,
}

/// libvirt's virErrorNumber, as far as this library raises it.
#[allow(
    missing_docs,
    reason = "libvirt documents its numbers; the names are its own"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Number {
    InternalError = 1,
    NoMemory = 2,
    NoSupport = 3,
    NoConnect = 5,
    InvalidConn = 6,
    InvalidDomain = 7,
    InvalidArg = 8,
    OperationFailed = 9,
    NoTarget = 20,
    NoName = 21,
    XmlError = 27,
    OperationDenied = 29,
    XmlDetail = 35,
    SystemError = 38,
    NoDomain = 42,
    OperationInvalid = 55,
    ConfigUnsupported = 67,
    OperationTimeout = 68,
    InvalidDomainSnapshot = 71,
    NoDomainSnapshot = 72,
    ArgumentUnsupported = 74,
    SnapshotRevertRisky = 77,
    OperationAborted = 78,
    OperationUnsupported = 84,
    AgentUnresponsive = 86,
    XmlInvalidSchema = 92,
}

/// libvirt's virErrorDomain, as far as this library raises it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// No part of libvirt (0): child processes.
    None,
    /// XML utilities (5).
    Xml,
    /// Public domain functions (6).
    Domain,
    /// The driver behind the connection: QEMU's number (10) on an embedded connection.
    Driver,
    /// Storage chains (18).
    Storage,
    /// The domain configuration (20).
    DomainConfig,
    /// Public snapshot functions and the snapshot document (35).
    DomainSnapshot,
    /// Connection URIs (45).
    Uri,
}

impl Error {
    /// libvirt's code for this cause.
    pub fn number(&self) -> Number {
        use Error as E;
        match self {
            E::InvalidConnection { .. } => Number::InvalidConn,
            E::InvalidDomain { .. } => Number::InvalidDomain,
            E::InvalidSnapshot { .. } => Number::InvalidDomainSnapshot,
            E::NullArgument { .. }
            | E::NegativeArgument { .. }
            | E::StructureTooSmall { .. }
            | E::NotPositiveArgument { .. }
            | E::EmptyArgument { .. }
            | E::NotUtf8 { .. }
            | E::FlagsExclusive { .. }
            | E::FlagRequired { .. }
            | E::UnsupportedFlags { .. }
            | E::InvalidUri { .. }
            | E::PathRelative { .. }
            | E::MalformedUuid { .. }
            | E::OwnParent { .. }
            | E::ParentMissing { .. }
            | E::Cycle { .. }
            | E::DiskOnlyState { .. }
            | E::ForeignDefinition { .. }
            | E::ChangesOnline { .. }
            | E::ChangesDiskOnly { .. } => Number::InvalidArg,
            E::ReadOnly { .. } | E::SecureOnReadOnly { .. } => Number::OperationDenied,
            E::NoSupport { .. } => Number::NoSupport,
            E::NoDriver { .. } => Number::NoConnect,
            E::DomainWithoutName => Number::NoName,
            E::DiskWithoutTarget => Number::NoTarget,
            E::DomainGone { .. }
            | E::NoDomainWithUuid { .. }
            | E::NoDomainWithName { .. }
            | E::NoDomainWithId { .. } => Number::NoDomain,
            E::DomainNameTaken { .. }
            | E::DomainUuidTaken { .. }
            | E::SnapshotExists { .. }
            | E::MigrationStream { .. }
            | E::MigrationTransfer { .. }
            | E::MigrationConflict { .. } => Number::OperationFailed,
            E::DomainHasSnapshots { .. }
            | E::MigrationLosesSnapshots { .. }
            | E::Migrating { .. }
            | E::MigrationPhase { .. }
            | E::RenamedToItself
            | E::NewNameTaken { .. }
            | E::NewNameHasSnapshots { .. }
            | E::UndefineContradiction { .. }
            | E::KeptElsewhere { .. }
            | E::DiskWithoutSource { .. } => Number::OperationInvalid,
            E::DomainBusy { .. } => Number::OperationTimeout,
            E::SnapshotMissing { .. } | E::NoCurrent | E::NoParent { .. } => {
                Number::NoDomainSnapshot
            }
            E::NotWellFormed { .. } | E::DomainNotWellFormed { .. } | E::SnapshotName { .. } => {
                Number::XmlDetail
            }
            E::DomainXml { .. }
            | E::DomainRoot { .. }
            | E::DiskCacheSize { .. }
            | E::NewNameWithSlash { .. }
            | E::DomainName { .. }
            | E::WrongRoot { .. }
            | E::TooLarge { .. }
            | E::NameMissing
            | E::StateMissing
            | E::AttributeValue { .. }
            | E::MemoryManual
            | E::MemoryFileUnexpected { .. }
            | E::MemoryFileMissing
            | E::MemoryOffline
            | E::MemoryFileRelative { .. }
            | E::DiskType { .. }
            | E::DiskPathRelative { .. } => Number::XmlError,
            E::SchemaMismatch { .. } => Number::XmlInvalidSchema,
            E::AbiChanged { .. }
            | E::StateUnknown { .. }
            | E::DiskDriver { .. }
            | E::TooManyDisks
            | E::NoSuchDisk { .. }
            | E::DiskTwice { .. }
            | E::DiskMode { .. }
            | E::DiskFileUnexpected { .. }
            | E::GenerateOnDevice { .. }
            | E::GenerateWithoutSource { .. }
            | E::GenerateNotRegular { .. }
            | E::GenerateCollision { .. }
            | E::NothingSelected
            | E::DisksLeftOut
            | E::NoDiskSelected
            | E::FormatWithoutSnapshots { .. }
            | E::ExternalFormat { .. }
            | E::CacheWithoutQcow2
            | E::SharedOverlay { .. }
            | E::OverlayKind { .. }
            | E::OverlayExists { .. }
            | E::OverlayTwice { .. }
            | E::OverlayForeign { .. }
            | E::DataDiffers { .. }
            | E::Unsupported { .. }
            | E::DeletionUnsupported { .. }
            | E::Setting { .. } => Number::ConfigUnsupported,
            // libvirt: what it finds wrong with a cookie.
            E::MigrationCookie { .. }
            | E::StateInvalid { .. }
            | E::CreationTimeMissing
            | E::ActiveMissing
            | E::DiskNameMissing
            | E::DefinitionMissing
            | E::InternalOnType { .. }
            | E::InternalOnNetwork { .. }
            | E::ExternalOnType { .. }
            | E::ImageOperation { .. }
            | E::MergeFailed { .. }
            | E::ImageLacksSnapshot { .. }
            | E::ImageHoldsName { .. }
            | E::ImageUnusable { .. }
            | E::RevertState { .. }
            | E::Damaged { .. }
            | E::MalformedUri { .. }
            | E::StateDirectory { .. }
            | E::DomainInternal { .. }
            // Its own code is in it; capi::message takes that.
            | E::Libvirt(_)
            | E::Panicked { .. } => Number::InternalError,
            E::StatePmSuspended
            | E::OverlayDeviceMissing { .. }
            | E::ChainTooDeep { .. }
            | E::RevertPmSuspended
            | E::InternalWithPflash
            | E::MemoryRequired
            | E::LiveWithoutMemory => Number::OperationUnsupported,
            E::RevertRisky { .. } => Number::SnapshotRevertRisky,
            E::Io { .. } | E::OverlayStat { .. } | E::OverlayMissing { .. } => Number::SystemError,
            E::MonitorLost { .. }
            | E::JobFailed { .. }
            | E::MemoryFile { .. }
            | E::FirmwareState { .. }
            | E::NvramWithoutTemplate { .. }
            | E::CallbackFailed { .. } => Number::OperationFailed,
            E::CallbacksSize { .. } | E::NoEvent { .. } | E::NoListener { .. } => {
                Number::InvalidArg
            }
            E::MonitorSlow { .. } => Number::OperationTimeout,
            E::MonitorRefused { .. } | E::AgentRefused { .. } => Number::InternalError,
            E::Cancelled { .. } => Number::OperationAborted,
            E::AgentMissing => Number::ArgumentUnsupported,
            E::AgentLost { .. } => Number::AgentUnresponsive,
            E::ImageNotInGuest { .. } | E::GuestState { .. } => Number::OperationInvalid,
            E::OutOfMemory { .. } => Number::NoMemory,
            E::UndoFailed { cause, .. } => cause.number(),
        }
    }

    /// libvirt's error domain for this cause.
    pub fn origin(&self) -> Origin {
        use Error as E;
        match self {
            E::InvalidDomain { .. } => Origin::Domain,
            E::InvalidSnapshot { .. } => Origin::DomainSnapshot,
            E::NullArgument { family, .. }
            | E::NegativeArgument { family, .. }
            | E::StructureTooSmall { family, .. }
            | E::NotPositiveArgument { family, .. }
            | E::EmptyArgument { family, .. }
            | E::NotUtf8 { family, .. }
            | E::InvalidConnection { family, .. }
            | E::ReadOnly { family, .. }
            | E::SecureOnReadOnly { family, .. } => match family {
                Family::Core => Origin::None,
                Family::Connect | Family::Domain => Origin::DomainConfig,
                Family::Snapshot => Origin::DomainSnapshot,
            },
            E::FlagsExclusive { layer, .. } | E::FlagRequired { layer, .. } => match layer {
                Layer::Public => Origin::DomainSnapshot,
                Layer::Driver => Origin::Driver,
            },
            E::InvalidUri { .. } | E::MalformedUri { .. } => Origin::Uri,
            E::NoDriver { .. } => Origin::None,
            E::UnsupportedFlags { .. }
            | E::NoSupport { .. }
            | E::DomainGone { .. }
            | E::NoDomainWithUuid { .. }
            | E::NoDomainWithName { .. }
            | E::NoDomainWithId { .. }
            | E::DomainHasSnapshots { .. }
            | E::PathRelative { .. }
            | E::MigrationLosesSnapshots { .. }
            | E::Migrating { .. }
            | E::MigrationPhase { .. }
            | E::MigrationStream { .. }
            | E::MigrationCookie { .. }
            | E::MigrationTransfer { .. }
            | E::MigrationConflict { .. }
            | E::DomainBusy { .. }
            | E::SnapshotMissing { .. }
            | E::NoCurrent
            | E::NoParent { .. }
            | E::SnapshotName { .. }
            | E::StateInvalid { .. }
            | E::StatePmSuspended
            | E::MemoryRequired
            | E::NothingSelected
            | E::DisksLeftOut
            | E::NoDiskSelected
            | E::FormatWithoutSnapshots { .. }
            | E::InternalOnType { .. }
            | E::InternalOnNetwork { .. }
            | E::UndefineContradiction { .. }
            | E::ExternalOnType { .. }
            | E::ExternalFormat { .. }
            | E::CacheWithoutQcow2
            | E::SharedOverlay { .. }
            | E::OverlayStat { .. }
            | E::OverlayMissing { .. }
            | E::OverlayDeviceMissing { .. }
            | E::OverlayKind { .. }
            | E::OverlayExists { .. }
            | E::OverlayTwice { .. }
            | E::OverlayForeign { .. }
            | E::ChainTooDeep { .. }
            | E::NewNameWithSlash { .. }
            | E::NewNameHasSnapshots { .. }
            | E::DiskWithoutSource { .. }
            | E::LiveWithoutMemory
            | E::InternalWithPflash
            | E::RevertPmSuspended
            | E::Unsupported { .. }
            | E::DeletionUnsupported { .. }
            | E::ImageHoldsName { .. }
            | E::ImageUnusable { .. }
            | E::DataDiffers { .. }
            | E::RevertRisky { .. }
            | E::RevertState { .. }
            | E::MonitorLost { .. }
            | E::MonitorSlow { .. }
            | E::MonitorRefused { .. }
            | E::JobFailed { .. }
            | E::Cancelled { .. }
            | E::AgentMissing
            | E::AgentLost { .. }
            | E::AgentRefused { .. }
            | E::ImageNotInGuest { .. }
            | E::MemoryFile { .. }
            | E::FirmwareState { .. }
            | E::NvramWithoutTemplate { .. }
            | E::CallbackFailed { .. }
            | E::CallbacksSize { .. }
            | E::NoEvent { .. }
            | E::NoListener { .. }
            | E::GuestState { .. }
            | E::Io { .. }
            | E::Damaged { .. }
            | E::StateDirectory { .. }
            | E::Libvirt(_)
            | E::KeptElsewhere { .. }
            | E::Setting { .. }
            | E::Panicked { .. }
            | E::OutOfMemory { .. } => Origin::Driver,
            E::DomainXml { .. }
            | E::DomainNotWellFormed { .. }
            | E::DomainInternal { .. }
            | E::DomainWithoutName
            | E::DiskWithoutTarget
            | E::DomainName { .. }
            | E::RenamedToItself
            | E::NewNameTaken { .. }
            | E::DomainNameTaken { .. }
            | E::DomainUuidTaken { .. }
            | E::MalformedUuid { .. }
            | E::SnapshotExists { .. }
            | E::OwnParent { .. }
            | E::ParentMissing { .. }
            | E::Cycle { .. }
            | E::AbiChanged { .. } => Origin::DomainConfig,
            E::WrongRoot { .. }
            | E::DomainRoot { .. }
            | E::SchemaMismatch { .. }
            | E::DiskCacheSize { .. }
            | E::AttributeValue { .. } => Origin::Xml,
            E::DiskOnlyState { .. }
            | E::ForeignDefinition { .. }
            | E::ChangesOnline { .. }
            | E::ChangesDiskOnly { .. }
            | E::NotWellFormed { .. }
            | E::TooLarge { .. }
            | E::NameMissing
            | E::StateMissing
            | E::StateUnknown { .. }
            | E::CreationTimeMissing
            | E::ActiveMissing
            | E::MemoryManual
            | E::MemoryFileUnexpected { .. }
            | E::MemoryFileMissing
            | E::MemoryOffline
            | E::MemoryFileRelative { .. }
            | E::DiskNameMissing
            | E::DiskType { .. }
            | E::DiskDriver { .. }
            | E::DiskPathRelative { .. }
            | E::DefinitionMissing
            | E::TooManyDisks
            | E::NoSuchDisk { .. }
            | E::DiskTwice { .. }
            | E::DiskMode { .. }
            | E::DiskFileUnexpected { .. }
            | E::GenerateOnDevice { .. }
            | E::GenerateWithoutSource { .. }
            | E::GenerateNotRegular { .. }
            | E::GenerateCollision { .. } => Origin::DomainSnapshot,
            // libvirt: what qemu-img refuses.
            E::ImageOperation { .. } | E::MergeFailed { .. } | E::ImageLacksSnapshot { .. } => {
                Origin::None
            }
            E::UndoFailed { cause, .. } => cause.origin(),
        }
    }

    /// The error of libvirt's that this one comes from.
    pub(crate) fn of_libvirt(&self) -> Option<&crate::libvirt::Saved> {
        match self {
            Error::Libvirt(saved) => Some(saved),
            Error::UndoFailed { cause, .. } => cause.of_libvirt(),
            _ => None,
        }
    }

    /// The same error, with the note that the undo failed too.
    pub(crate) fn with_failed_undo(self, undo: &Error) -> Error {
        Error::UndoFailed {
            cause: Box::new(self),
            undo: undo.to_string(),
        }
    }

    /// Whether the system or the C library said that it has no memory.
    pub(crate) fn lacks_memory(&self) -> bool {
        match self {
            Error::Io { source, .. } => source.kind() == std::io::ErrorKind::OutOfMemory,
            Error::UndoFailed { cause, .. } => cause.lacks_memory(),
            _ => false,
        }
    }

    /// The error of a call that was refused memory: whatever failed, that was the cause.
    pub(crate) fn for_want_of_memory(self, function: &'static str) -> Error {
        let cause = Error::OutOfMemory { function };
        match self {
            Error::UndoFailed { undo, .. } => Error::UndoFailed {
                cause: Box::new(cause),
                undo,
            },
            _ => cause,
        }
    }

    /// A failed system call on a path of ours.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
        source: impl Into<std::io::Error>,
    ) -> Error {
        Error::Io {
            action,
            path: path.into(),
            source: source.into(),
        }
    }
}

/// How many differences are not told.
fn more_note(more: usize) -> String {
    match more {
        0 => String::new(),
        more => format!(" ({more} more)"),
    }
}

/// What is said of an undo that failed as well.
fn undo_note(undo: &[String]) -> String {
    if undo.is_empty() {
        String::new()
    } else {
        format!(" (the undo failed too: {})", undo.join("; "))
    }
}
