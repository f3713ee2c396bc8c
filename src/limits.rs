//! Every bound of the library: value, unit, reason, source.
//!
//! The same bounds hold when state is written and when it is loaded, so nothing that was accepted
//! once is refused later.

/// Bytes of one state file, header included. Source: libvirt 9.0's loader drops larger files.
pub const STATE_FILE_BYTES: usize = 1024 * 1024;

/// Bytes of a snapshot's stored document when it comes in. The rest of [`STATE_FILE_BYTES`] is for
/// another parent's name: [`SNAPSHOT_NAME_BYTES`], each of which may take six bytes (`&quot;`), and
/// its tags. So the deletion of a parent can always be stored.
pub const SNAPSHOT_DOCUMENT_BYTES: usize = STATE_FILE_BYTES - 2048;

/// Bytes of a document that C hands in. Four times the state file's, so that the error can name
/// the part that is too large; libvirt's RPC caps strings at the same 4 MiB.
pub const DOCUMENT_BYTES: usize = 4 * STATE_FILE_BYTES;

/// Bytes of an error's text, about: it goes into logs, and may quote a name or value of any size.
pub const ERROR_TEXT_BYTES: usize = 16 * 1024;

/// Nesting of elements in a document. Source: libxml2's default (`XML_MAX_DEPTH`), which libvirt keeps.
pub const DOCUMENT_DEPTH: usize = 256;

/// Elements and attributes in a document: far above what a domain of a thousand devices needs.
pub const DOCUMENT_NODES: u32 = 200_000;

/// Attributes of one element. The parser compares each with all others of its element, so a bound
/// keeps reading linear; libvirt's longest element has some twenty.
pub const ELEMENT_ATTRIBUTES: usize = 256;

/// Namespace declarations in a document. Each is looked through for every prefixed name below it,
/// so a bound keeps reading linear; a domain has one for each of its drivers' extensions.
pub const DOCUMENT_NAMESPACES: usize = 256;

/// Bytes of a snapshot name. `NAME.xml.new` must fit NAME_MAX (255): libvirt's own writer makes
/// that file, and a real libvirt must be able to take the directory over.
pub const SNAPSHOT_NAME_BYTES: usize = 247;

/// Bytes of a file's name. Source: Linux's NAME_MAX.
pub const FILE_NAME_BYTES: usize = 255;

/// Bytes of a domain name: `NAME.xml.new` must fit NAME_MAX (255).
pub const DOMAIN_NAME_BYTES: usize = 247;

/// Bytes of a qcow2 snapshot table that is read (id, name, extra data of all entries).
/// Source: QEMU's own bound, `QCOW_MAX_SNAPSHOTS_SIZE` (1024 for each possible entry) in its
/// qcow2 driver.
pub const QCOW2_SNAPSHOT_TABLE_BYTES: u64 = 1024 * QCOW2_SNAPSHOTS as u64;

/// Bytes of extra data in one entry of a qcow2 snapshot table.
/// Source: QEMU's `QCOW_MAX_SNAPSHOT_EXTRA_DATA`.
pub const QCOW2_SNAPSHOT_EXTRA_BYTES: u32 = 1024;

/// Bytes of a qcow2 L1 table. Source: QEMU's `QCOW_MAX_L1_SIZE` (32 MiB).
pub const QCOW2_L1_BYTES: u64 = 32 * 1024 * 1024;

/// Bytes that are kept of what a program says. One line of it goes into an error.
pub const PROGRAM_OUTPUT_BYTES: u32 = 64 * 1024;

/// Entries of a qcow2 snapshot table. Source: QEMU's `QCOW_MAX_SNAPSHOTS` (65536).
pub const QCOW2_SNAPSHOTS: u32 = 65_536;

/// Bytes of a journal file: an intent, or the record of a change, which has a line a snapshot
/// (at most 300 bytes) and no document. Room for 200 000 of them.
pub const JOURNAL_BYTES: usize = 64 * STATE_FILE_BYTES;

/// Bytes of each file that is kept in reserve for the journal of a change on a full disk. Room for
/// the removal of some 500 snapshots with names of 20 bytes.
pub const JOURNAL_RESERVE_BYTES: usize = 16 * 1024;

/// Bytes of memory that calls live on when `malloc` has none left. A create, delete or revert
/// of a domain with a few disks takes some 100 KiB from there; a document of the largest size is
/// copied a few times. Not more, because a program that locks its memory (mlockall) has all of it.
pub const MEMORY_RESERVE_BYTES: usize = 8 * 1024 * 1024;

/// Bytes of a summary of a domain's documents: some 200 a snapshot, and each definition once. Room for 200 000
/// snapshots, or 12 000 whose definitions all differ.
pub const SUMMARY_BYTES: usize = 64 * STATE_FILE_BYTES;

/// Documents that are read before their summary pays: it takes as long to be written as some twenty of them.
#[cfg(not(any(test, feature = "fuzzing")))]
pub const SUMMARY_DOCUMENTS: usize = 64;
/// Two, so that the random histories have one.
#[cfg(any(test, feature = "fuzzing"))]
pub const SUMMARY_DOCUMENTS: usize = 2;

/// Bytes of a firmware's variables, or of one file of an emulated TPM. Source: QEMU's largest flash, 64
/// MiB on Arm's `virt` machine; a TPM's state is some 100 KiB.
pub const FIRMWARE_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// Files in the directory of an emulated TPM: swtpm has four at most.
pub const FIRMWARE_FILES: usize = 64;

/// How long a writer waits for another. Source: libvirt 9.0's QEMU driver waits 30 seconds for a
/// domain's job.
pub const LOCK_WAIT: std::time::Duration = std::time::Duration::from_secs(30);

/// How long a monitor may take for a greeting or an answer. QEMU answers from its main loop, which
/// a slow disk may hold up.
pub const MONITOR_REPLY: std::time::Duration = std::time::Duration::from_secs(30);

/// Bytes of one line of a monitor or guest agent. A node of a block graph takes about one KiB, and
/// no guest has thousands.
pub const MONITOR_LINE_BYTES: usize = 4 * 1024 * 1024;

/// How long a guest agent may take for an answer. It is a process in the guest: a busy guest is
/// slow, one that is off never answers. Source: libvirt 9.0 waits 5 seconds for the first sign.
pub const AGENT_REPLY: std::time::Duration = std::time::Duration::from_secs(5);

/// How long a guest may take to freeze its file systems, which writes all dirty pages.
pub const AGENT_FREEZE: std::time::Duration = std::time::Duration::from_secs(60);

/// How long a process that was killed may hold its images after its monitor was closed: the kernel
/// closes one descriptor after the other, on a busy machine not at once.
pub const IMAGE_RELEASE: std::time::Duration = std::time::Duration::from_secs(5);

/// Between two looks whether it does.
pub const IMAGE_LOOK: std::time::Duration = std::time::Duration::from_millis(20);

/// How long a job is waited for between two looks, at most. Events of the monitor cut it short.
pub const JOB_LOOK: std::time::Duration = std::time::Duration::from_millis(200);

/// Bytes of the definition in a memory file's header. Source: that of a document.
pub const MEMORY_HEADER_BYTES: usize = DOCUMENT_BYTES;

/// How long a monitor may be silent while a job runs: QEMU writes a guest's memory without looking
/// at its monitors. Ten minutes are 600 GiB at 1 GiB a second.
pub const JOB_SILENCE: std::time::Duration = std::time::Duration::from_secs(600);

/// Images of a backing chain. Source: libvirt's `VIR_STORAGE_MAX_CHAIN_DEPTH` (200): its parser of
/// QEMU's answers cannot nest deeper.
pub const BACKING_CHAIN: usize = 200;

/// Files that are synced at the same time, once all are on their way to the disk. Eight take a half of
/// the time of one after the other on a disk without a journal, and a third on one with; more threads
/// gain nothing.
pub const SYNCS_AT_ONCE: usize = 8;

/// `qemu-img` processes of one operation that run at the same time: each mostly waits for fsync, and
/// takes some 20 MiB of memory.
pub const PROGRAMS_AT_ONCE: usize = 8;

/// Bytes of an overlay that are compared with the image below it in this process: some tens of
/// milliseconds for what is in memory, as what was just written is. For more a program is started, which
/// can be stopped.
pub const COMPARED_BYTES: u64 = 64 << 20;

/// Bytes of a change that are staged while programs work. They are in memory once more until the commit has
/// compared them; the syncs of more documents take longer than the programs.
pub const PREPARED_BYTES: usize = STATE_FILE_BYTES;

/// Directories of domains that stay open for the next change: more domains than are changed in turn on
/// most hosts, and few beside the 1024 files that a process may have open by default.
pub const FOLDERS_OPEN: usize = 16;

/// Files that are open at the same time to be synced together: few beside the 1024 that a process
/// may have by default.
pub const FILES_AT_ONCE: usize = 128;

/// Snapshots that one migration carries: the record of the change that makes them visible has to fit
/// [`JOURNAL_BYTES`].
pub const MIGRATION_SNAPSHOTS: usize = 200_000;

/// Prefixes in a table that maps paths: more than a host has storage pools.
pub const MIGRATION_PREFIXES: usize = 1024;

/// Host clusters of an image whose compressed data is counted at once: 4 MiB of counters, for 64 GiB of
/// the default cluster size.
pub const COMPRESSED_CLUSTERS: usize = 1 << 20;

/// Bytes that are read of images to measure one of them, in a minute or two at most. What a snapshot takes is
/// told by 8 bytes a cluster, and 4 KiB of refcounts where clusters lie scattered: enough for 1 TiB of
/// clusters of the default size in no order at all, and for 500 TiB in order. An image can be made so that
/// its tables have no end; then nothing is known of it.
pub const MEASURED_BYTES: u64 = 64 * 1024 * 1024 * 1024;

/// Internal snapshots of an image that are measured together: for each there are windows of its tables in
/// memory, some 16 KiB.
pub const MEASURED_TOGETHER: usize = 4096;

/// Bytes that the fastest storage reads or writes in a millisecond: 16 GiB a second, four times what one
/// PCIe 5.0 drive does. What takes longer at that speed takes longer anywhere.
pub const FASTEST_STORAGE_BYTES_A_MS: u64 = 16 * 1024 * 1024;

/// How long a call waits for another thread to deliver events of the same domain that come before its own.
/// A function that is told may wait for the very thread that waits for it; then that thread's events are
/// delivered by the other one.
pub const EVENT_TURN: std::time::Duration = std::time::Duration::from_secs(10);
