//! The `<snapshots>` element of a migration cookie.
//!
//! It stands alone, or among the children of libvirt's `<qemu-migration>`, where a libvirt that does
//! not know it passes over it (QEMU driver, 9.0: only known children are looked up).

use std::fmt::Write;

use super::document::{self, Kind, attribute, child, is};
use super::escape::Escape;
use crate::uuid;

const ELEMENT: &str = "snapshots";

/// What the source says of the hierarchy that it sends. Its size does not depend on the hierarchy's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// Which migration this is; drawn by Begin.
    pub id: String,
    /// The domain.
    pub uuid: [u8; 16],
    /// How many snapshots there are.
    pub count: usize,
    /// Of all documents, in hexadecimal digits: SHA-256.
    pub digest: String,
    /// The current snapshot's name, if there is one.
    pub current: Option<String>,
}

impl Cookie {
    /// The element, on one line.
    pub fn format(&self) -> String {
        let mut out = String::new();
        let _ = write!(
            out,
            "<{ELEMENT} id='{}' domain='{}' count='{}' sha256='{}'",
            self.id,
            uuid::format(&self.uuid),
            self.count,
            self.digest
        );
        if let Some(current) = &self.current {
            out.push_str(" current='");
            Escape::Attribute.push(&mut out, current);
            out.push('\'');
        }
        out.push_str("/>");
        out
    }

    /// Reads the element, wherever in a cookie it stands. The error is the reason.
    pub fn parse(text: &str) -> Result<Cookie, String> {
        let document = document::read(text, Kind::Domain).map_err(|error| error.to_string())?;
        let root = document.root_element();
        let element = if is(root, ELEMENT) {
            root
        } else {
            child(root, ELEMENT).ok_or("missing snapshots element in migration data")?
        };
        let needed = |name: &str| {
            attribute(element, name)
                .ok_or_else(|| format!("missing {name} of snapshots element in migration data"))
        };
        let invalid = |name: &str| format!("invalid {name} of snapshots element in migration data");
        let hexadecimal = |name: &str, length: usize| {
            let text = needed(name)?;
            let is_valid = text.len() == length
                && text
                    .bytes()
                    .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            is_valid
                .then(|| text.to_owned())
                .ok_or_else(|| invalid(name))
        };
        Ok(Cookie {
            id: hexadecimal("id", 32)?,
            uuid: uuid::parse(needed("domain")?).ok_or_else(|| invalid("domain"))?,
            count: needed("count")?.parse().map_err(|_| invalid("count"))?,
            digest: hexadecimal("sha256", 64)?,
            current: attribute(element, "current").map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;

    fn cookie(current: Option<&str>) -> Cookie {
        Cookie {
            id: "00112233445566778899aabbccddeeff".into(),
            uuid: [7; 16],
            count: 200_000,
            digest: "ab".repeat(32),
            current: current.map(str::to_owned),
        }
    }

    #[test]
    fn what_is_written_is_read_alone_and_in_libvirts_cookie() {
        for current in [None, Some("s1"), Some("a\nb\t<&'\"> \r ä")] {
            let cookie = cookie(current);
            let text = cookie.format();
            assert_eq!(Cookie::parse(&text).unwrap(), cookie);
            let within = format!(
                "<qemu-migration>\n  <name>d</name>\n  <feature name='lockstate'/>\n  {text}\n\
                 </qemu-migration>\n"
            );
            assert_eq!(Cookie::parse(&within).unwrap(), cookie);
        }
    }

    #[test]
    fn it_stays_small() {
        assert!(cookie(None).format().len() <= 1024);
        let name = "n".repeat(limits::SNAPSHOT_NAME_BYTES);
        let length = cookie(Some(&name)).format().len();
        assert!(length <= name.len() + 1024, "{length}");
    }

    #[test]
    fn what_is_no_cookie_is_refused() {
        let whole = cookie(Some("s")).format();
        for (from, to) in [
            ("snapshots ", "snapshot "),
            ("id='00", "id='0"),
            ("id='00", "id='GG"),
            ("domain='", "domain='x"),
            ("count='2", "count='-2"),
            ("count='", "counts='"),
            ("sha256='ab", "sha256='AB"),
            ("sha256='ab", "sha256='"),
            ("/>", ""),
        ] {
            let bent = whole.replacen(from, to, 1);
            assert_ne!(bent, whole);
            assert!(Cookie::parse(&bent).is_err(), "{bent}");
        }
        for text in [
            "",
            "x",
            "<qemu-migration/>",
            "<!DOCTYPE snapshots><snapshots/>",
        ] {
            assert!(Cookie::parse(text).is_err(), "{text}");
        }
    }
}
