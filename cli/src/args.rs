//! What can be said at the command line. Of nothing but clap, so that the man pages and completions
//! are made of it alone.

use std::path::PathBuf;

use clap::{ArgAction, ArgGroup, Args, Parser, Subcommand, ValueEnum};

/// What the exit code says, for the end of the help and of the man page.
pub const EXIT_CODES: &str = "Exit codes: 0 done; 1 failed; 2 wrong usage; 3 no such domain or \
snapshot; 4 refused, nothing was changed; 5 `check` found something.";

/// Snapshots of virtual machines: trees, moves, checks and retention
///
/// Works on a state directory of libvirsnap (--state), on a libvirt connection with libvirsnap in front of it
/// (--connect), and reads the directory of a real libvirt (--state /var/lib/libvirt/qemu), where it never writes.
#[derive(Debug, Parser)]
#[command(name = "virsnap", version, after_help = EXIT_CODES, arg_required_else_help = true)]
#[command(max_term_width = 100)]
pub struct Arguments {
    #[command(flatten)]
    pub place: Place,
    /// Tell nothing but errors and what was asked for
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: When,
    #[command(subcommand)]
    pub command: Command,
}

/// Where the snapshots are.
#[derive(Args, Debug)]
pub struct Place {
    /// State directory, or the directory of a real libvirt, which is only read [env: VIRSNAP_STATE_DIR]
    #[arg(long, global = true, value_name = "DIR", conflicts_with = "connect")]
    pub state: Option<PathBuf>,
    /// Connection instead of a state directory: virsnap:///DIR, qemu:///system ...
    #[arg(long, short, global = true, value_name = "URI")]
    pub connect: Option<String>,
    /// Where that libvirt keeps its definitions [default: as libvirt does, beside its directory]
    #[arg(long, global = true, value_name = "DIR")]
    pub definitions: Option<PathBuf>,
}

/// When something is done that depends on where the output goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum When {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the domains
    Domains {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// List the snapshots of a domain
    #[command(visible_alias = "ls")]
    List(List),
    /// Show the snapshot tree, or draw it as SVG or for Graphviz
    Tree(Tree),
    /// Show a snapshot
    Show(Show),
    /// Show which snapshot is the current one, or make another one current
    Current(Current),
    /// Define a domain
    Define {
        /// File with a <domain> document; - for standard input
        file: PathBuf,
    },
    /// Forget a domain
    Undefine(Undefine),
    /// Take a snapshot
    Create(Create),
    /// Take metadata of a snapshot in from a file
    Redefine(Redefine),
    /// Delete a snapshot
    #[command(visible_alias = "rm")]
    Delete(Delete),
    /// Put the domain back to a snapshot
    Revert(Revert),
    /// Write all snapshots of a domain, with its definition, to standard output
    Export(Export),
    /// Take in what `export` wrote, all of it or nothing
    Import(Import),
    /// Tell how far the domain's last move has come, and end it
    Migration(Migration),
    /// Compare snapshots with the images
    Check(Check),
    /// Mend stored state
    Repair(Repair),
    /// Make metadata for snapshots inside images, or take over those of a libvirt
    Adopt(Adopt),
    /// Delete old snapshots by a rule; shows the plan unless --yes is given
    Prune(Prune),
}

#[derive(Args, Debug)]
pub struct List {
    /// Domain
    pub domain: String,
    /// As a tree
    #[arg(long, conflicts_with_all = ["json", "names"])]
    pub tree: bool,
    /// As JSON
    #[arg(long, conflicts_with = "names")]
    pub json: bool,
    /// Names alone, one a line
    #[arg(long)]
    pub names: bool,
}

#[derive(Args, Debug)]
#[command(group = ArgGroup::new("form").args(["svg", "dot"]))]
pub struct Tree {
    /// Domain
    pub domain: String,
    /// As an SVG picture
    #[arg(long)]
    pub svg: bool,
    /// For Graphviz
    #[arg(long)]
    pub dot: bool,
}

#[derive(Args, Debug)]
pub struct Show {
    /// Domain
    pub domain: String,
    /// Snapshot [default: the current one]
    pub snapshot: Option<String>,
    /// The document as it is
    #[arg(long, conflicts_with = "json")]
    pub xml: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// With passwords, in the document
    #[arg(long, requires = "xml")]
    pub secure: bool,
}

#[derive(Args, Debug)]
pub struct Current {
    /// Domain
    pub domain: String,
    /// Snapshot that becomes the current one, the parent of the next; the guest's data stays as it is
    pub snapshot: Option<String>,
}

#[derive(Args, Debug)]
pub struct Undefine {
    /// Domain
    pub domain: String,
    /// Drop the metadata of its snapshots; their data stays
    #[arg(long)]
    pub snapshots_metadata: bool,
    #[command(flatten)]
    pub dry: DryRun,
}

#[derive(Args, Debug)]
pub struct Create {
    /// Domain
    pub domain: String,
    /// Name of the snapshot [default: seconds since 1970]
    pub name: Option<String>,
    /// Description
    #[arg(long, short)]
    pub description: Option<String>,
    /// Overlays on the images instead of snapshots inside of them; disks only
    #[arg(long)]
    pub disk_only: bool,
    /// What to do with one disk: vda,snapshot=internal|external|no[,file=PATH]; can be repeated
    #[arg(long = "disk", value_name = "SPEC")]
    pub disks: Vec<String>,
    /// File for the memory of a running guest
    #[arg(long, value_name = "FILE")]
    pub memory: Option<PathBuf>,
    /// Document to take instead of name, description, disks and memory; - for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "description", "disks", "memory"])]
    pub xml: Option<PathBuf>,
    /// The guest is off afterwards
    #[arg(long)]
    pub halt: bool,
    /// The guest goes on while its memory is saved
    #[arg(long)]
    pub live: bool,
    /// The guest's agent freezes its file systems meanwhile
    #[arg(long)]
    pub quiesce: bool,
    /// The overlays are there already
    #[arg(long)]
    pub reuse_external: bool,
    /// Keep no metadata
    #[arg(long)]
    pub no_metadata: bool,
    #[command(flatten)]
    pub guest: Guest,
    #[command(flatten)]
    pub dry: DryRun,
}

/// Asking first.
#[derive(Args, Debug)]
pub struct DryRun {
    /// Show what would be done, or every reason why it would be refused; change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// That plan as JSON
    #[arg(long, requires = "dry_run")]
    pub json: bool,
}

/// A guest that runs.
#[derive(Args, Debug)]
pub struct Guest {
    /// The guest runs, and this is its QMP socket
    #[arg(long, value_name = "SOCKET")]
    pub monitor: Option<PathBuf>,
    /// Its guest agent's socket
    #[arg(long, value_name = "SOCKET", requires = "monitor")]
    pub agent: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct Redefine {
    /// Domain
    pub domain: String,
    /// File with a <domainsnapshot> document; - for standard input
    pub file: PathBuf,
    /// The snapshot becomes the current one
    #[arg(long)]
    pub current: bool,
    /// Check the document against the schema
    #[arg(long)]
    pub validate: bool,
}

#[derive(Args, Debug)]
#[command(group = ArgGroup::new("which").args(["children", "children_only"]))]
pub struct Delete {
    /// Domain
    pub domain: String,
    /// Snapshot
    pub snapshot: String,
    /// The snapshot and all that descend from it
    #[arg(long)]
    pub children: bool,
    /// All that descend from the snapshot, but not itself
    #[arg(long)]
    pub children_only: bool,
    /// Metadata only; the data stays
    #[arg(long)]
    pub metadata: bool,
    #[command(flatten)]
    pub guest: Guest,
    #[command(flatten)]
    pub dry: DryRun,
}

#[derive(Args, Debug)]
#[command(group = ArgGroup::new("state_after").args(["running", "paused"]))]
pub struct Revert {
    /// Domain
    pub domain: String,
    /// Snapshot
    pub snapshot: String,
    /// The guest runs afterwards
    #[arg(long)]
    pub running: bool,
    /// The guest is paused afterwards
    #[arg(long)]
    pub paused: bool,
    /// Also where that is risky
    #[arg(long)]
    pub force: bool,
    /// Make the firmware's variables anew of their template
    #[arg(long)]
    pub reset_nvram: bool,
    #[command(flatten)]
    pub guest: Guest,
    #[command(flatten)]
    pub dry: DryRun,
}

#[derive(Args, Debug)]
pub struct Export {
    /// Domain
    pub domain: String,
    /// The snapshots move: from now on nobody can change them here, until `migration --confirm` or `--cancel`
    #[arg(long = "move")]
    pub moves: bool,
    /// Write to this file instead, which must not be there yet
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub dry: DryRun,
}

#[derive(Args, Debug)]
pub struct Import {
    /// File that `export` wrote [default: standard input]
    pub file: Option<PathBuf>,
    /// A directory or file that is called otherwise on this host; can be repeated
    #[arg(long = "map", value_name = "FROM=TO")]
    pub paths: Vec<String>,
    /// The images come later: do not look at them
    #[arg(long)]
    pub unchecked: bool,
}

#[derive(Args, Debug)]
#[command(group = ArgGroup::new("outcome").args(["confirm", "cancel"]))]
pub struct Migration {
    /// Domain
    pub domain: String,
    /// It has arrived: forget the snapshots here; their data stays
    #[arg(long)]
    pub confirm: bool,
    /// It has not: give it up
    #[arg(long)]
    pub cancel: bool,
}

#[derive(Args, Debug)]
pub struct Check {
    /// Domains [default: all]
    pub domains: Vec<String>,
    /// Do not have qemu-img look through each image
    #[arg(long)]
    pub quick: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Repair {
    /// Domain
    pub domain: String,
    /// Move files that cannot be read out of the way
    #[arg(long)]
    pub set_aside: bool,
    /// Make roots of snapshots whose parent is missing
    #[arg(long)]
    pub reroot: bool,
    /// Let one of several snapshots that claim it be the current one
    #[arg(long)]
    pub one_current: bool,
    /// Show what would be mended
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Args, Debug)]
#[command(group = ArgGroup::new("source").args(["from_libvirt", "from"]))]
pub struct Adopt {
    /// Domain; with --from-libvirt, all of them if none is named
    #[arg(required_unless_present = "from_libvirt")]
    pub domain: Option<String>,
    /// Take definitions and snapshots out of a real libvirt's directory, which stays as it is
    #[arg(long, value_name = "DIR")]
    pub from_libvirt: Option<PathBuf>,
    /// Take the snapshots from a libvirt connection
    #[arg(long, value_name = "URI")]
    pub from: Option<String>,
    /// libvirt forgets their metadata
    #[arg(long, requires = "from")]
    pub forget: bool,
    /// Each snapshot found in the images is the child of the one taken before it, instead of a root
    #[arg(long, conflicts_with = "source")]
    pub chain: bool,
    /// Show what would be adopted
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Args, Debug)]
#[command(group = ArgGroup::new("rule").multiple(true).required(true).args([
    "last", "hourly", "daily", "weekly", "monthly", "yearly",
]))]
pub struct Prune {
    /// Domain
    pub domain: String,
    /// Keep the newest N
    #[arg(
        long = "keep-last",
        value_name = "N",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub last: usize,
    /// Keep the newest of each of the last N hours that have one
    #[arg(
        long = "keep-hourly",
        value_name = "N",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub hourly: usize,
    /// The same, days
    #[arg(
        long = "keep-daily",
        value_name = "N",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub daily: usize,
    /// The same, weeks that begin on Monday
    #[arg(
        long = "keep-weekly",
        value_name = "N",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub weekly: usize,
    /// The same, months
    #[arg(
        long = "keep-monthly",
        value_name = "N",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub monthly: usize,
    /// The same, years
    #[arg(
        long = "keep-yearly",
        value_name = "N",
        default_value_t = 0,
        hide_default_value = true
    )]
    pub yearly: usize,
    /// Do it
    #[arg(long, action = ArgAction::SetTrue)]
    pub yes: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub guest: Guest,
}
