//! Where the snapshots are: a state directory, a connection, or a real libvirt's directory. This last
//! one is read into a copy of one's own, so that nothing is ever written there.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::args;
use crate::document;
use crate::failure::{Failure, Outcome};
use crate::ffi::{Access, Connection};
use crate::terminal::Terminal;
use crate::turn::Turns;

/// What a command is about to do there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// Look.
    Look,
    /// Take a copy out, for which snapshots are frozen meanwhile.
    CopyOut,
    /// Change something.
    Change,
    /// The same, where there may be nothing yet.
    Begin,
}

/// An open connection.
pub struct Place {
    pub connection: Connection,
    /// Who begins a move there.
    pub turns: Turns,
    /// The directory that the connection is of, if that is to go with it.
    _copy: Option<TempDir>,
}

/// The variable that names the state directory, here as for the library in front of libvirt.
const VARIABLE: &str = "VIRSNAP_STATE_DIR";

/// Directories that libvirt's QEMU driver makes beside its snapshots, and this library does not.
const LIBVIRTS_OWN: [&str; 3] = ["save", "dump", "checkpoint"];

/// Opens the place that the command line names.
pub fn open(place: &args::Place, purpose: Purpose, terminal: Terminal) -> Outcome<Place> {
    if let Some(uri) = &place.connect {
        let access = match purpose {
            Purpose::Look => Access::Read,
            _ => Access::Write,
        };
        return Ok(Place {
            connection: Connection::open(uri, access)?,
            turns: Turns::of(&directory_of(uri)),
            _copy: None,
        });
    }
    let directory = match &place.state {
        Some(directory) => directory.clone(),
        None => std::env::var_os(VARIABLE).map(PathBuf::from).ok_or_else(|| {
            Failure::Usage(format!(
                "where are the snapshots? --state DIR, --connect URI, or the variable {VARIABLE}"
            ))
        })?,
    };
    if is_libvirts(&directory) {
        if matches!(purpose, Purpose::Change | Purpose::Begin) {
            return Err(Failure::Refused(format!(
                "{} is a real libvirt's directory, which is only read; `adopt --from-libvirt` takes \
                 its snapshots over into a state directory",
                directory.display()
            )));
        }
        return libvirts(&directory, place.definitions.as_deref(), terminal);
    }
    if purpose != Purpose::Begin && !directory.is_dir() {
        return Err(Failure::NotFound(format!(
            "no directory {}",
            directory.display()
        )));
    }
    let access = match purpose {
        Purpose::Look => Access::Read,
        _ => Access::Write,
    };
    Ok(Place {
        connection: Connection::open(&uri_of(&directory)?, access)?,
        turns: Turns::of(&directory),
        _copy: None,
    })
}

/// The connection URI of a state directory.
fn uri_of(directory: &Path) -> Outcome<String> {
    let directory = std::path::absolute(directory)?;
    let mut uri = String::from("virsnap://");
    for byte in directory.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'~' => uri.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => uri.push(char::from(*byte)),
            byte => uri += &format!("%{byte:02X}"),
        }
    }
    Ok(uri)
}

/// The state directory of a connection: in its URI, or the one of the library in front of libvirt.
fn directory_of(uri: &str) -> PathBuf {
    let Some(rest) = uri.strip_prefix("virsnap://") else {
        return in_front();
    };
    let path = rest.split('?').next().unwrap_or_default();
    let mut parts = path.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        // The library has opened it, so the codes are right.
        let (code, plain) = part.split_at_checked(2).unwrap_or_default();
        bytes.extend(u8::from_str_radix(code, 16));
        bytes.extend_from_slice(plain.as_bytes());
    }
    PathBuf::from(OsString::from_vec(bytes))
}

/// Where the library in front of libvirt keeps its state (docs/companion.md).
fn in_front() -> PathBuf {
    let of = |variable| {
        let path = std::env::var_os(variable).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    if let Some(directory) = of(VARIABLE) {
        return directory;
    }
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/virsnap");
    }
    let states =
        of("XDG_STATE_HOME").unwrap_or_else(|| of("HOME").unwrap_or_default().join(".local/state"));
    states.join("virsnap")
}

/// Whether a directory is that of a real libvirt in which no domain was ever defined by this library.
fn is_libvirts(directory: &Path) -> bool {
    !directory.join("domain").exists()
        && LIBVIRTS_OWN
            .iter()
            .all(|name| directory.join(name).is_dir())
}

/// Opens a copy of what a real libvirt keeps in its directory.
pub fn libvirts(
    directory: &Path,
    definitions: Option<&Path>,
    terminal: Terminal,
) -> Outcome<Place> {
    if !directory.is_dir() {
        return Err(Failure::NotFound(format!(
            "no directory {}",
            directory.display()
        )));
    }
    let definitions = match definitions {
        Some(definitions) => definitions.to_owned(),
        None => beside(directory),
    };
    let copy = tempfile::Builder::new().prefix("virsnap-").tempdir()?;
    let snapshots = copy.path().join("snapshot");
    copy_snapshots(&directory.join("snapshot"), &snapshots)?;
    let uri = format!("{}?redefine_check=trust", uri_of(copy.path())?);
    let connection = Connection::open(&uri, Access::Write)?;
    for file in files_of(&definitions, "xml")? {
        let defined = read(&file).and_then(|xml| {
            connection.define(&xml)?;
            Ok(())
        });
        if let Err(failure) = defined {
            terminal.note(format!("{}: {failure}", file.display()));
        }
    }
    for domain in directories_of(&snapshots)? {
        let name = domain
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if connection.domain(&name).is_err() {
            define_by_snapshot(&connection, &domain, &name, terminal)?;
        }
    }
    Ok(Place {
        connection,
        turns: Turns::of(copy.path()),
        _copy: Some(copy),
    })
}

/// Where a libvirt of such a directory has its definitions: an embedded one and the system's keep them
/// in `etc`, a user's in the same place.
fn beside(directory: &Path) -> PathBuf {
    let root = directory.parent().and_then(Path::parent);
    match root {
        Some(root) if directory.ends_with("lib/qemu") => root.join("etc/qemu"),
        Some(root) if directory.ends_with("lib/libvirt/qemu") => root
            .parent()
            .and_then(Path::parent)
            .unwrap_or(root)
            .join("etc/libvirt/qemu"),
        _ => directory.to_owned(),
    }
}

fn copy_snapshots(from: &Path, to: &Path) -> Outcome {
    fs::create_dir(to).map_err(|error| Failure::file(to, &error))?;
    for domain in directories_of(from)? {
        let copy = to.join(domain.file_name().unwrap_or_default());
        fs::create_dir(&copy).map_err(|error| Failure::file(&copy, &error))?;
        for file in files_of(&domain, "")? {
            let copy = copy.join(file.file_name().unwrap_or_default());
            fs::copy(&file, &copy).map_err(|error| Failure::file(&file, &error))?;
        }
    }
    Ok(())
}

/// Defines a domain that is known by its snapshots alone, as the newest of them describes it.
fn define_by_snapshot(
    connection: &Connection,
    snapshots: &Path,
    name: &str,
    terminal: Terminal,
) -> Outcome {
    let mut newest: Option<(i64, String)> = None;
    for file in files_of(snapshots, "xml")? {
        let xml = read(&file)?;
        let Ok(document) = document::parse(&xml) else {
            continue;
        };
        let root = document.root_element();
        let time = document::text(root, "creationTime").and_then(|time| time.parse().ok());
        let definition = document::child(root, "domain").and_then(|it| xml.get(it.range()));
        if let (Some(time), Some(definition)) = (time, definition)
            && newest.as_ref().is_none_or(|(found, _)| *found < time)
        {
            newest = Some((time, definition.to_owned()));
        }
    }
    match newest.map(|(_, definition)| connection.define(&definition)) {
        Some(Ok(_)) => terminal.note(format!(
            "domain '{name}' has no definition there; its newest snapshot's is taken"
        )),
        Some(Err(refusal)) => terminal.note(format!("domain '{name}': {}", refusal.message)),
        None => terminal.note(format!(
            "domain '{name}' has no definition there, and is left out"
        )),
    }
    Ok(())
}

fn read(file: &Path) -> Outcome<String> {
    fs::read_to_string(file).map_err(|error| Failure::file(file, &error))
}

/// The regular files of a directory that end so, by name; none if it is not there.
fn files_of(directory: &Path, extension: &str) -> Outcome<Vec<PathBuf>> {
    let mut found = entries(directory)?;
    found.retain(|path| {
        path.is_file()
            && (extension.is_empty() || path.extension().is_some_and(|end| end == extension))
    });
    Ok(found)
}

fn directories_of(directory: &Path) -> Outcome<Vec<PathBuf>> {
    let mut found = entries(directory)?;
    found.retain(|path| path.is_dir());
    Ok(found)
}

fn entries(directory: &Path) -> Outcome<Vec<PathBuf>> {
    let reading = match fs::read_dir(directory) {
        Ok(reading) => reading,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::file(directory, &error)),
    };
    let mut found = reading
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Failure::file(directory, &error))?;
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_stand_where_libvirt_has_them() {
        let beside = |directory| beside(Path::new(directory));
        assert_eq!(
            beside("/var/lib/libvirt/qemu"),
            Path::new("/etc/libvirt/qemu")
        );
        assert_eq!(beside("/r/lib/qemu"), Path::new("/r/etc/qemu"));
        assert_eq!(
            beside("/home/u/.config/libvirt/qemu"),
            Path::new("/home/u/.config/libvirt/qemu")
        );
    }

    #[test]
    fn a_directory_becomes_a_uri() {
        assert_eq!(
            uri_of(Path::new("/srv/a b%?")).unwrap(),
            "virsnap:///srv/a%20b%25%3F"
        );
    }

    #[test]
    fn a_uri_is_of_a_directory() {
        let path = Path::new("/srv/a b%?ü");
        let uri = format!("{}?redefine_check=warn", uri_of(path).unwrap());
        assert_eq!(directory_of(&uri), path);
    }
}
