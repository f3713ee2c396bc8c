//! UUIDs: as text, read as leniently as libvirt does, and new ones.

use crate::error::{Error, Result};

/// Reads a UUID: 32 hexadecimal digits, in pairs, with dashes before any pair and white space
/// around the whole. Source: what libvirt 9.0's virDomainLookupByUUIDString takes and refuses.
pub(crate) fn parse(text: &str) -> Option<[u8; 16]> {
    let mut uuid = [0; 16];
    let mut rest = text.trim_ascii().bytes().peekable();
    for byte in &mut uuid {
        while rest.next_if_eq(&b'-').is_some() {}
        *byte = hex_digit(rest.next()?)? << 4 | hex_digit(rest.next()?)?;
    }
    rest.next().is_none().then_some(uuid)
}

/// A UUID in the usual form, lower case.
pub(crate) fn format(uuid: &[u8; 16]) -> String {
    let digits = u128::from_be_bytes(*uuid);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        digits >> 96,
        digits >> 80 & 0xffff,
        digits >> 64 & 0xffff,
        digits >> 48 & 0xffff,
        digits & 0xffff_ffff_ffff,
    )
}

/// A new random UUID (RFC 9562, version 4).
pub(crate) fn random() -> Result<[u8; 16]> {
    let mut uuid = [0; 16];
    rustix::rand::getrandom(&mut uuid, rustix::rand::GetRandomFlags::empty())
        .map_err(|cause| Error::io("read random bytes from", "/dev/urandom", cause))?;
    let [.., version, _, variant, _, _, _, _, _, _, _] = &mut uuid;
    *version = *version & 0x0f | 0x40;
    *variant = *variant & 0x3f | 0x80;
    Ok(uuid)
}

fn hex_digit(character: u8) -> Option<u8> {
    char::from(character)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_one_has_the_marks_of_version_4() {
        let text = format(&random().unwrap());
        assert_eq!(text.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&text.as_bytes()[19]));
        assert_ne!(random().unwrap(), random().unwrap());
    }

    const TEXT: &str = "6695eb01-f6a4-8304-79aa-97f2502e193f";
    const BYTES: [u8; 16] = [
        0x66, 0x95, 0xeb, 0x01, 0xf6, 0xa4, 0x83, 0x04, 0x79, 0xaa, 0x97, 0xf2, 0x50, 0x2e, 0x19,
        0x3f,
    ];

    #[test]
    fn the_usual_form_goes_both_ways() {
        assert_eq!(parse(TEXT), Some(BYTES));
        assert_eq!(format(&BYTES), TEXT);
    }

    // Each of these was given to libvirt 9.0's test driver.
    #[test]
    fn what_libvirt_takes_is_taken() {
        for text in [
            "6695eb01f6a4830479aa97f2502e193f",
            " 6695eb01-f6a4-8304-79aa-97f2502e193f ",
            "6695EB01-f6-a4-8304-79aa-97f2502e193f",
            "-6695eb01-f6a4-8304-79aa-97f2502e193f",
        ] {
            assert_eq!(parse(text), Some(BYTES), "{text}");
        }
    }

    #[test]
    fn what_libvirt_refuses_is_refused() {
        for text in [
            "",
            "zz",
            "6695eb01-f6a4-8304-79aa-97f2502e193f-",
            "6-695eb01f6a4830479aa97f2502e193f",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
