//! The URI of an embedded connection: `virsnap:///ABSOLUTE/STATE/DIR`, and behind a `?`, separated by
//! `&`: `redefine_current=parent|flag`, `redefine_check=strict|warn|trust`, `monitor_reply=SECONDS`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::limits;

/// The scheme, and the type that the connection answers.
const SCHEME: &str = "virsnap";

const NOT_LOCAL: &str = "the state directory must be local and absolute in URI";

/// What a URI says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Uri {
    /// The state directory.
    pub directory: PathBuf,
    /// How REDEFINE is carried out.
    pub redefine: RedefineRules,
    /// How long a guest's monitor may take for an answer.
    pub monitor_reply: Duration,
}

/// How a connection carries out REDEFINE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RedefineRules {
    /// Who becomes current.
    pub current: RedefineCurrent,
    /// What the data has to say.
    pub check: RedefineCheck,
}

/// Whether REDEFINE looks at the data that the document describes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RedefineCheck {
    /// Data that can be reached must be as the document says, or nothing is defined.
    #[default]
    Strict,
    /// Anything is defined; differences can be listed at any time.
    Warn,
    /// The data is not looked at, as with libvirt.
    Trust,
}

/// Who becomes current by REDEFINE without the CURRENT flag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RedefineCurrent {
    /// A snapshot whose name is new and whose parent is the current one: then the running state
    /// may descend from it. In every other case nobody can tell.
    #[default]
    Parent,
    /// Nobody, as with libvirt.
    Flag,
}

/// Reads a connection URI.
pub(super) fn parse(uri: &str) -> Result<Uri> {
    let refuse = |reason| Error::InvalidUri {
        uri: uri.to_owned(),
        reason,
    };
    // RFC 3986 has neither in a URI.
    if uri.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(Error::MalformedUri {
            uri: uri.to_owned(),
        });
    }
    let rest = uri
        .strip_prefix(SCHEME)
        .and_then(|rest| rest.strip_prefix(':'))
        .ok_or_else(|| Error::NoDriver {
            uri: uri.to_owned(),
        })?;
    let rest = rest.strip_prefix("//").ok_or_else(|| refuse(NOT_LOCAL))?;
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    if !path.starts_with('/') {
        return Err(refuse(NOT_LOCAL));
    }
    let path = decoded(path).ok_or_else(|| refuse("bad percent-encoding in URI"))?;
    if path.contains('\0') {
        return Err(refuse("NUL in URI"));
    }
    // More likely a forgotten path than somebody who wants the state there.
    if path.bytes().all(|byte| byte == b'/') {
        return Err(refuse("the root directory cannot hold the state in URI"));
    }
    let mut redefine = RedefineRules::default();
    let mut monitor_reply = limits::MONITOR_REPLY;
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter {
            "redefine_current=parent" => redefine.current = RedefineCurrent::Parent,
            "redefine_current=flag" => redefine.current = RedefineCurrent::Flag,
            "redefine_check=strict" => redefine.check = RedefineCheck::Strict,
            "redefine_check=warn" => redefine.check = RedefineCheck::Warn,
            "redefine_check=trust" => redefine.check = RedefineCheck::Trust,
            _ => match parameter.strip_prefix("monitor_reply=").map(seconds) {
                Some(Some(time)) => monitor_reply = time,
                Some(None) => return Err(refuse("monitor_reply is not 1 to 3600 seconds in URI")),
                None => return Err(refuse("unknown parameter in URI")),
            },
        }
    }
    Ok(Uri {
        directory: Path::new(&path).to_owned(),
        redefine,
        monitor_reply,
    })
}

fn seconds(text: &str) -> Option<Duration> {
    let seconds = text.parse().ok()?;
    (1..=3600)
        .contains(&seconds)
        .then(|| Duration::from_secs(seconds))
}

/// Undoes percent-encoding (RFC 3986, section 2.1).
fn decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (code, plain) = part.split_at_checked(2)?;
        if !code.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(code, 16).ok()?);
        bytes.extend_from_slice(plain.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_parameters() {
        let uri = parse("virsnap:///srv/a%20b?redefine_current=flag&redefine_check=warn").unwrap();
        assert_eq!(uri.directory, Path::new("/srv/a b"));
        assert_eq!(uri.redefine.current, RedefineCurrent::Flag);
        assert_eq!(uri.redefine.check, RedefineCheck::Warn);
        let slow = parse("virsnap:///s?monitor_reply=90").unwrap();
        assert_eq!(slow.monitor_reply, Duration::from_secs(90));
        let defaults = parse("virsnap:///s").unwrap().redefine;
        assert_eq!(defaults.current, RedefineCurrent::Parent);
        assert_eq!(defaults.check, RedefineCheck::Strict);
    }

    #[test]
    fn other_uris_are_refused() {
        for uri in ["", "foo", "test:///default", "virsnapped:///s"] {
            assert!(matches!(parse(uri), Err(Error::NoDriver { .. })), "{uri}");
        }
        assert!(matches!(
            parse("not a uri"),
            Err(Error::MalformedUri { .. })
        ));
        let refused = [
            "virsnap:/s",
            "virsnap:///",
            "virsnap://host/s",
            "virsnap:///s?x=1",
            "virsnap:///s?redefine_current=maybe",
            "virsnap:///s?redefine_check=",
            "virsnap:///s?monitor_reply=0",
            "virsnap:///s?monitor_reply=3601",
            "virsnap:////",
            "virsnap:///%2F",
            "virsnap:///s%2",
            "virsnap:///s%+1",
            "virsnap:///s%00",
            "virsnap:///s%ff",
        ];
        for uri in refused {
            assert!(matches!(parse(uri), Err(Error::InvalidUri { .. })), "{uri}");
        }
    }
}
