//! What goes wrong, and the exit code that says so.

use std::fmt;
use std::path::Path;

use crate::ffi::{self, Refusal};

/// Exit codes other than 0; clap itself ends with 2.
const FAILED: u8 = 1;
const USAGE: u8 = 2;
const NOT_FOUND: u8 = 3;
const REFUSED: u8 = 4;
const FOUND_SOMETHING: u8 = 5;

/// Why a command does not end well.
#[derive(Debug)]
pub enum Failure {
    /// The library says so.
    Library(Refusal),
    /// Something that cannot be asked for.
    Usage(String),
    /// There is no such thing.
    NotFound(String),
    /// Not done on purpose; nothing was changed.
    Refused(String),
    /// Anything else.
    Other(String),
    /// `check` has told what it found.
    FoundSomething,
}

/// What a command comes to.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A file or directory that cannot be used.
    pub fn file(path: &Path, error: &std::io::Error) -> Failure {
        Failure::Other(format!("{}: {error}", path.display()))
    }

    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Library(refusal) => match refusal.code {
                ffi::VIR_ERR_NO_DOMAIN | ffi::VIR_ERR_NO_DOMAIN_SNAPSHOT => NOT_FOUND,
                ffi::VIR_ERR_OPERATION_INVALID
                | ffi::VIR_ERR_OPERATION_DENIED
                | ffi::VIR_ERR_CONFIG_UNSUPPORTED
                | ffi::VIR_ERR_ARGUMENT_UNSUPPORTED
                | ffi::VIR_ERR_OPERATION_UNSUPPORTED
                | ffi::VIR_ERR_SNAPSHOT_REVERT_RISKY
                | ffi::VIR_ERR_NO_SUPPORT => REFUSED,
                _ => FAILED,
            },
            Failure::Usage(_) => USAGE,
            Failure::NotFound(_) => NOT_FOUND,
            Failure::Refused(_) => REFUSED,
            Failure::Other(_) => FAILED,
            Failure::FoundSomething => FOUND_SOMETHING,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Library(refusal) => out.write_str(&refusal.message),
            Failure::Usage(text)
            | Failure::NotFound(text)
            | Failure::Refused(text)
            | Failure::Other(text) => out.write_str(text),
            Failure::FoundSomething => out.write_str("something was found"),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        Failure::Library(refusal)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure::Other(error.to_string())
    }
}
