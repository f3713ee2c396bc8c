//! An error in libvirt's words and numbers: prefix, detail, and the extra fields of a virError.
//!
//! Source: libvirt 9.0.0 (virterror.h, and the fields as a program printed them).

use std::ffi::c_int;

use crate::error::{Error, Number, Origin};
use crate::printable::printable;

/// VIR_FROM_QEMU: what the work itself finds, on embedded connections, too.
pub(super) const QEMU_DRIVER: c_int = 10;

/// VIR_FROM_TEST.
pub(super) const TEST_DRIVER: c_int = 12;

/// What a virError says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// virErrorNumber.
    pub(super) code: c_int,
    /// virErrorDomain.
    pub(super) domain: c_int,
    /// The whole text.
    pub(super) text: String,
    /// The text's format; of an argument check the function.
    pub(super) str1: String,
    /// What stands for its `%s`, if it has one; of an argument check the argument.
    pub(super) str2: Option<String>,
    /// errno of a failed system call, 0 for argument checks, else -1.
    pub(super) int1: c_int,
    /// 0 for argument checks, else -1.
    pub(super) int2: c_int,
}

impl Message {
    /// Says an error as libvirt's QEMU driver would.
    #[cfg(test)]
    pub(super) fn of(error: &Error) -> Message {
        Message::of_driver(error, QEMU_DRIVER)
    }

    /// Says an error as the driver of libvirt's would that has this number among error domains.
    pub(super) fn of_driver(error: &Error, driver: c_int) -> Message {
        if let Some(saved) = error.of_libvirt() {
            let detail = error.to_string();
            return Message {
                code: saved.code(),
                domain: saved.domain(),
                text: detail.clone(),
                str1: "%s".to_owned(),
                str2: Some(detail),
                int1: -1,
                int2: -1,
            };
        }
        let number = error.number();
        let code = number as c_int;
        let domain = error_domain(error.origin(), driver);
        let detail = printable(&error.to_string(), kept(error));
        if let Some((function, argument)) = argument_check(error) {
            return Message {
                code,
                domain,
                text: detail,
                str1: function.to_owned(),
                str2: Some(argument.to_owned()),
                int1: 0,
                int2: 0,
            };
        }
        let (detail, int1) = match error {
            Error::Io { source, .. }
            | Error::OverlayStat { source, .. }
            | Error::OverlayMissing { source, .. } => system_detail(detail, source),
            _ => (detail, -1),
        };
        let format = format(number);
        Message {
            code,
            domain,
            text: format.replacen("%s", &detail, 1),
            str1: format.to_owned(),
            str2: format.contains("%s").then_some(detail),
            int1,
            int2: -1,
        }
    }
}

/// The control characters that are libvirt's own in an error's text: of a document that is not
/// well-formed it shows the line, and a pointer below it.
fn kept(error: &Error) -> &'static [char] {
    match error {
        Error::NotWellFormed { .. }
        | Error::DomainNotWellFormed { .. }
        | Error::SchemaMismatch { .. } => &['\n', '\t'],
        _ => &[],
    }
}

/// Function and argument, if the error is a check that libvirt raises without a prefix.
fn argument_check(error: &Error) -> Option<(&'static str, &'static str)> {
    match error {
        Error::NullArgument {
            function, argument, ..
        }
        | Error::NegativeArgument {
            function, argument, ..
        }
        | Error::NotPositiveArgument {
            function, argument, ..
        }
        | Error::EmptyArgument {
            function, argument, ..
        }
        | Error::NotUtf8 {
            function, argument, ..
        } => Some((function, argument)),
        // libvirt's flag macros are given a word with the names of both flags; its name is `ctl`.
        Error::FlagsExclusive { function, .. } | Error::FlagRequired { function, .. } => {
            Some((function, "ctl"))
        }
        Error::UnsupportedFlags { function, .. } => Some((function, "flags")),
        Error::MalformedUuid { function } => Some((function, "uuidstr")),
        _ => None,
    }
}

/// The detail as strerror() would end it, and errno. Rust adds the number in brackets.
fn system_detail(detail: String, source: &std::io::Error) -> (String, c_int) {
    let Some(errno) = source.raw_os_error() else {
        return (detail, 0);
    };
    let shortened = detail
        .strip_suffix(&format!(" (os error {errno})"))
        .map(str::to_owned);
    (shortened.unwrap_or(detail), errno)
}

/// libvirt's format for a message with a detail.
fn format(number: Number) -> &'static str {
    match number {
        Number::InternalError => "internal error: %s",
        Number::NoMemory => "out of memory: %s",
        Number::NoConnect => "no connection driver available for %s",
        Number::NoSupport => "this function is not supported by the connection driver: %s",
        Number::InvalidConn => "invalid connection pointer in %s",
        Number::InvalidDomain => "invalid domain pointer in %s",
        Number::InvalidArg => "invalid argument: %s",
        Number::OperationFailed => "operation failed: %s",
        // libvirt: without a detail.
        Number::NoTarget => "missing target information for device",
        Number::NoName => "missing name information",
        Number::XmlError => "XML error: %s",
        Number::OperationDenied => "operation forbidden: %s",
        Number::XmlDetail | Number::SystemError => "%s",
        Number::NoDomain => "Domain not found: %s",
        Number::OperationInvalid => "Requested operation is not valid: %s",
        Number::ConfigUnsupported => "unsupported configuration: %s",
        Number::OperationTimeout => "Timed out during operation: %s",
        Number::InvalidDomainSnapshot => "Invalid domain snapshot: %s",
        Number::NoDomainSnapshot => "Domain snapshot not found: %s",
        Number::ArgumentUnsupported => "argument unsupported: %s",
        Number::OperationAborted => "operation aborted: %s",
        Number::AgentUnresponsive => "Guest agent is not responding: %s",
        Number::SnapshotRevertRisky => "revert requires force: %s",
        Number::OperationUnsupported => "Operation not supported: %s",
        Number::XmlInvalidSchema => "XML document failed to validate against schema: %s",
    }
}

/// virErrorDomain.
fn error_domain(origin: Origin, driver: c_int) -> c_int {
    match origin {
        Origin::None => 0,
        Origin::Xml => 5,
        Origin::Domain => 6,
        Origin::Driver => driver,
        Origin::Storage => 18,
        Origin::DomainConfig => 20,
        Origin::DomainSnapshot => 35,
        Origin::Uri => 45,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::error::{Family, Layer};
    use crate::limits;

    fn message(
        code: c_int,
        domain: c_int,
        text: &str,
        str1: &str,
        str2: &str,
        ints: (c_int, c_int),
    ) -> Message {
        Message {
            code,
            domain,
            text: text.to_owned(),
            str1: str1.to_owned(),
            str2: Some(str2.to_owned()),
            int1: ints.0,
            int2: ints.1,
        }
    }

    // Each expectation is what a C program got from libvirt 9.0's test driver, except that the
    // work itself has the QEMU driver's error domain here (10, not 12).

    #[test]
    fn an_error_has_prefix_and_detail() {
        assert_eq!(
            Message::of(&Error::SnapshotMissing {
                name: "nope".into()
            }),
            message(
                72,
                10,
                "Domain snapshot not found: no domain snapshot with matching name 'nope'",
                "Domain snapshot not found: %s",
                "no domain snapshot with matching name 'nope'",
                (-1, -1),
            )
        );
    }

    #[test]
    fn bad_handles_are_named_by_the_function() {
        assert_eq!(
            Message::of(&Error::InvalidDomain {
                function: "virDomainFree"
            }),
            message(
                7,
                6,
                "invalid domain pointer in virDomainFree",
                "invalid domain pointer in %s",
                "virDomainFree",
                (-1, -1),
            )
        );
        assert_eq!(
            Message::of(&Error::InvalidSnapshot {
                function: "virDomainSnapshotRef"
            }),
            message(
                71,
                35,
                "Invalid domain snapshot: virDomainSnapshotRef",
                "Invalid domain snapshot: %s",
                "virDomainSnapshotRef",
                (-1, -1),
            )
        );
        let domain =
            |function, family| Message::of(&Error::InvalidConnection { function, family }).domain;
        assert_eq!(domain("virConnectRef", Family::Connect), 20);
        assert_eq!(domain("virConnectClose", Family::Core), 0);
    }

    #[test]
    fn names_in_a_text_cannot_forge_lines_or_steer_a_terminal() {
        let name = "a\nlibvirt: error\u{1b}[31m\u{9b}0m\t\u{7f}é\\".to_owned();
        assert_eq!(
            Message::of(&Error::SnapshotMissing { name }).text,
            "Domain snapshot not found: no domain snapshot with matching name \
             'a\\nlibvirt: error\\u{1b}[31m\\u{9b}0m\\t\\u{7f}é\\'"
        );
        let detail = "(domain_snapshot):2: bad\n\t<a\u{1b}>\n--^".to_owned();
        assert_eq!(
            Message::of(&Error::NotWellFormed { detail }).text,
            "(domain_snapshot):2: bad\n\t<a\\u{1b}>\n--^"
        );
    }

    #[test]
    fn a_text_has_an_end() {
        let name = "\u{1}".repeat(10_000_000);
        let said = Message::of(&Error::SnapshotMissing { name });
        assert!(said.text.len() < limits::ERROR_TEXT_BYTES + 100);
        assert!(said.text.ends_with('…'));
    }

    #[test]
    fn some_errors_have_no_detail() {
        let said = Message::of(&Error::DomainWithoutName);
        assert_eq!((said.code, said.domain), (21, 20));
        assert_eq!(said.text, "missing name information");
        assert_eq!(said.str1, "missing name information");
        assert_eq!(said.str2, None);
    }

    #[test]
    fn bad_uris_are_told_apart() {
        let of = |error| {
            let said = Message::of(&error);
            (said.code, said.domain, said.text)
        };
        let uri = || "::bad uri".to_owned();
        assert_eq!(
            of(Error::MalformedUri { uri: uri() }),
            (
                1,
                45,
                "internal error: Unable to parse URI ::bad uri".to_owned()
            )
        );
        assert_eq!(
            of(Error::NoDriver { uri: uri() }),
            (
                5,
                0,
                "no connection driver available for ::bad uri".to_owned()
            )
        );
    }

    #[test]
    fn argument_checks_have_no_prefix() {
        assert_eq!(
            Message::of(&Error::NullArgument {
                function: "virDomainSnapshotCreateXML",
                argument: "xmlDesc",
                family: Family::Snapshot,
            }),
            message(
                8,
                35,
                "xmlDesc in virDomainSnapshotCreateXML must not be NULL",
                "virDomainSnapshotCreateXML",
                "xmlDesc",
                (0, 0),
            )
        );
        assert_eq!(
            Message::of(&Error::NegativeArgument {
                function: "virDomainLookupByID",
                argument: "id",
                family: Family::Domain,
            }),
            message(
                8,
                20,
                "id in virDomainLookupByID must be zero or greater",
                "virDomainLookupByID",
                "id",
                (0, 0),
            )
        );
        assert_eq!(
            Message::of(&Error::MalformedUuid {
                function: "virDomainLookupByUUIDString"
            }),
            message(
                8,
                20,
                "Invalid UUID",
                "virDomainLookupByUUIDString",
                "uuidstr",
                (0, 0)
            )
        );
    }

    #[test]
    fn flag_checks_have_no_prefix() {
        assert_eq!(
            Message::of(&Error::UnsupportedFlags {
                function: "virTest",
                bits: 0xff00
            }),
            message(
                8,
                10,
                "unsupported flags (0xff00) in function virTest",
                "virTest",
                "flags",
                (0, 0)
            )
        );
        let text = "Flags 'VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING' and \
                    'VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED' are mutually exclusive";
        assert_eq!(
            Message::of(&Error::FlagsExclusive {
                function: "virDomainRevertToSnapshot",
                first: "VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING",
                second: "VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED",
                layer: Layer::Public,
            }),
            message(8, 35, text, "virDomainRevertToSnapshot", "ctl", (0, 0))
        );
        let text = "Flag 'VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE' is required by flag \
                    'VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT'";
        assert_eq!(
            Message::of(&Error::FlagRequired {
                function: "virDomainSnapshotCreateXML",
                needed: "VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE",
                given: "VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT",
                layer: Layer::Public,
            }),
            message(8, 35, text, "virDomainSnapshotCreateXML", "ctl", (0, 0))
        );
    }

    #[test]
    fn a_read_only_connection_has_the_familys_domain() {
        for (family, domain) in [(Family::Domain, 20), (Family::Snapshot, 35)] {
            assert_eq!(
                Message::of(&Error::ReadOnly {
                    function: "virTest",
                    family
                }),
                message(
                    29,
                    domain,
                    "operation forbidden: read only access prevents virTest",
                    "operation forbidden: %s",
                    "read only access prevents virTest",
                    (-1, -1),
                )
            );
        }
    }

    #[test]
    fn a_system_error_carries_errno_and_strerrors_words() {
        let detail = "unable to open '/nowhere': No such file or directory";
        let error = Error::io(
            "open",
            "/nowhere",
            io::Error::from_raw_os_error(libc::ENOENT),
        );
        assert_eq!(
            Message::of(&error),
            message(38, 10, detail, "%s", detail, (2, -1))
        );
    }

    #[test]
    fn a_percent_sign_in_a_detail_stays_as_it_is() {
        let error = Error::SnapshotMissing {
            name: "%s%n".into(),
        };
        assert_eq!(
            Message::of(&error).text,
            "Domain snapshot not found: no domain snapshot with matching name '%s%n'"
        );
    }
}
