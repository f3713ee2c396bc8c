//! What the environment says about companion mode. Read once, by the first call that needs it.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use once_cell::sync::OnceCell;

use crate::error::{Error, Result};
use crate::ops::{RedefineCheck, RedefineCurrent};

/// Where root's state is. Source: the Filesystem Hierarchy Standard, /var/lib.
const SYSTEM_DIRECTORY: &str = "/var/lib/virsnap";

static SETTINGS: OnceCell<Settings> = OnceCell::new();

/// How companion mode behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    /// VIRSNAP_STATE_DIR.
    pub state_directory: PathBuf,
    /// VIRSNAP_REDEFINE_CURRENT.
    pub redefine_current: RedefineCurrent,
    /// VIRSNAP_REDEFINE_CHECK.
    pub redefine_check: RedefineCheck,
}

/// The settings of this process. A bad one is an error of each call that needs them.
pub(super) fn settings() -> Result<&'static Settings> {
    SETTINGS.get_or_try_init(|| {
        Settings::read(
            |name| env::var_os(name),
            rustix::process::geteuid().is_root(),
        )
    })
}

impl Settings {
    fn read(variable: impl Fn(&str) -> Option<OsString>, is_root: bool) -> Result<Settings> {
        Ok(Settings {
            state_directory: state_directory(&variable, is_root)?,
            redefine_current: word(
                &variable,
                "VIRSNAP_REDEFINE_CURRENT",
                "one of flag, parent is needed",
                RedefineCurrent::Flag,
                &[
                    ("flag", RedefineCurrent::Flag),
                    ("parent", RedefineCurrent::Parent),
                ],
            )?,
            redefine_check: word(
                &variable,
                "VIRSNAP_REDEFINE_CHECK",
                "one of strict, warn, trust is needed",
                RedefineCheck::Strict,
                &[
                    ("strict", RedefineCheck::Strict),
                    ("warn", RedefineCheck::Warn),
                    ("trust", RedefineCheck::Trust),
                ],
            )?,
        })
    }
}

/// Source: for an ordinary user the XDG Base Directory Specification 0.8, XDG_STATE_HOME.
fn state_directory(variable: &impl Fn(&str) -> Option<OsString>, is_root: bool) -> Result<PathBuf> {
    const NAME: &str = "VIRSNAP_STATE_DIR";
    if let Some(given) = variable(NAME).filter(|value| !value.is_empty()) {
        let path = PathBuf::from(given);
        return if path.is_absolute() {
            Ok(path)
        } else {
            Err(bad(NAME, path.as_os_str(), "an absolute path is needed"))
        };
    }
    if is_root {
        return Ok(SYSTEM_DIRECTORY.into());
    }
    let directory = |name| {
        variable(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let state = directory("XDG_STATE_HOME")
        .or_else(|| directory("HOME").map(|home| home.join(".local/state")));
    state
        .map(|state| state.join("virsnap"))
        .ok_or_else(|| bad(NAME, "".as_ref(), "needed, as there is no home directory"))
}

fn word<T: Copy>(
    variable: &impl Fn(&str) -> Option<OsString>,
    name: &'static str,
    expected: &'static str,
    default: T,
    words: &[(&str, T)],
) -> Result<T> {
    match variable(name).filter(|value| !value.is_empty()) {
        None => Ok(default),
        Some(value) => words
            .iter()
            .find(|(word, _)| value == *word)
            .map(|(_, meaning)| *meaning)
            .ok_or_else(|| bad(name, &value, expected)),
    }
}

fn bad(variable: &'static str, value: &std::ffi::OsStr, expected: &'static str) -> Error {
    Error::Setting {
        variable,
        value: value.to_string_lossy().into_owned(),
        expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)], is_root: bool) -> Result<Settings> {
        let variables: Vec<_> = variables.to_vec();
        Settings::read(
            |name| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| OsString::from(value))
            },
            is_root,
        )
    }

    #[test]
    fn the_state_directory_is_the_users_own() {
        let of = |variables: &[_], is_root| read(variables, is_root).unwrap().state_directory;
        let home = ("HOME", "/home/u");
        assert_eq!(of(&[home], true), PathBuf::from("/var/lib/virsnap"));
        assert_eq!(
            of(&[home], false),
            PathBuf::from("/home/u/.local/state/virsnap")
        );
        let xdg = ("XDG_STATE_HOME", "/s");
        assert_eq!(of(&[home, xdg], false), PathBuf::from("/s/virsnap"));
        // XDG: a relative path is to be ignored.
        let relative = ("XDG_STATE_HOME", "s");
        assert_eq!(
            of(&[home, relative], false),
            PathBuf::from("/home/u/.local/state/virsnap")
        );
        let own = ("VIRSNAP_STATE_DIR", "/own");
        assert_eq!(of(&[home, own], true), PathBuf::from("/own"));
        assert!(read(&[], false).is_err());
        assert!(read(&[("VIRSNAP_STATE_DIR", "own")], true).is_err());
    }

    #[test]
    fn words_are_read_and_unknown_ones_refused() {
        let settings = read(&[], true).unwrap();
        assert_eq!(settings.redefine_current, RedefineCurrent::Flag);
        assert_eq!(settings.redefine_check, RedefineCheck::Strict);
        let variables = [
            ("VIRSNAP_REDEFINE_CURRENT", "parent"),
            ("VIRSNAP_REDEFINE_CHECK", "warn"),
        ];
        let settings = read(&variables, true).unwrap();
        assert_eq!(settings.redefine_current, RedefineCurrent::Parent);
        assert_eq!(settings.redefine_check, RedefineCheck::Warn);
        let refused = read(&[("VIRSNAP_REDEFINE_CHECK", "Strict")], true).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "environment variable VIRSNAP_REDEFINE_CHECK is 'Strict': \
             one of strict, warn, trust is needed"
        );
        assert!(read(&[("VIRSNAP_REDEFINE_CURRENT", "none")], true).is_err());
    }
}
