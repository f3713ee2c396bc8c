//! Escaping of text and attribute values.

/// Which characters become references.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escape {
    /// Those that libvirt writes as references, in text and attributes alike.
    Markup,
    /// Those, and the line ends that a parser would turn into others (XML 1.0, 2.11).
    Text,
    /// Those, and the white space that a parser would turn into blanks (XML 1.0, 3.3.3).
    Attribute,
}

impl Escape {
    /// What stands for a byte; `None` if it stands for itself.
    fn replacement(self, byte: u8) -> Option<&'static str> {
        match byte {
            b'<' => Some("&lt;"),
            b'>' => Some("&gt;"),
            b'&' => Some("&amp;"),
            b'"' => Some("&quot;"),
            b'\'' => Some("&apos;"),
            b'\r' if self != Escape::Markup => Some("&#13;"),
            b'\n' if self == Escape::Attribute => Some("&#10;"),
            b'\t' if self == Escape::Attribute => Some("&#9;"),
            b'\t' | b'\n' | b'\r' => None,
            // No XML 1.0 document can hold these. libvirt drops them as well.
            0x00..=0x1F => Some(""),
            _ => None,
        }
    }

    /// Appends a string.
    pub(super) fn push(self, out: &mut String, text: &str) {
        let mut rest = text;
        while let Some((at, replacement)) = self.first(rest) {
            out.push_str(rest.get(..at).unwrap_or_default());
            out.push_str(replacement);
            rest = rest.get(at.saturating_add(1)..).unwrap_or_default();
        }
        out.push_str(rest);
    }

    /// The first byte that does not stand for itself.
    fn first(self, text: &str) -> Option<(usize, &'static str)> {
        text.bytes()
            .enumerate()
            .filter(|(_, byte)| !is_plain(*byte))
            .find_map(|(at, byte)| self.replacement(byte).map(|replacement| (at, replacement)))
    }
}

/// Whether a byte stands for itself everywhere, as nearly each does.
fn is_plain(byte: u8) -> bool {
    byte >= b' ' && !matches!(byte, b'<' | b'>' | b'&' | b'"' | b'\'')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(escape: Escape, text: &str) -> String {
        let mut out = String::new();
        escape.push(&mut out, text);
        out
    }

    // virBufferEscapeString of libvirt 9.0.0.
    #[test]
    fn markup_is_written_as_libvirt_writes_it() {
        assert_eq!(
            escaped(Escape::Markup, "<a b='c' d=\"e\">&"),
            "&lt;a b=&apos;c&apos; d=&quot;e&quot;&gt;&amp;"
        );
        assert_eq!(
            escaped(Escape::Markup, "a\tb\nc\rd\u{1}\u{8}\u{b}é😀\u{7f}"),
            "a\tb\nc\rdé😀\u{7f}"
        );
    }

    #[test]
    fn white_space_survives_where_it_must() {
        assert_eq!(escaped(Escape::Text, "\t\n\r"), "\t\n&#13;");
        assert_eq!(escaped(Escape::Attribute, "\t\n\r"), "&#9;&#10;&#13;");
    }
}
