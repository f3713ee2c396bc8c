//! Times and sizes, for people.

use chrono::{DateTime, Local};

/// A size: `4.0 KiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut tenths = u128::from(bytes) * 10 / 1024;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    while tenths >= 10240 {
        let Some(next) = units.next() else { break };
        tenths /= 1024;
        unit = Some(next);
    }
    format!(
        "{}.{} {}",
        tenths / 10,
        tenths % 10,
        unit.copied().unwrap_or_default()
    )
}

/// How long ago: `3 days`.
pub fn age(seconds: i64) -> String {
    const UNITS: [(i64, &str); 6] = [
        (31_557_600, "year"),
        (2_629_800, "month"),
        (604_800, "week"),
        (86_400, "day"),
        (3_600, "hour"),
        (60, "minute"),
    ];
    if seconds < 0 {
        return "in the future".to_owned();
    }
    // From the second of a unit on: "90 minutes" says more than "1 hour".
    for (length, unit) in UNITS {
        if seconds >= 2 * length {
            return format!("{} {unit}s", seconds / length);
        }
    }
    match seconds {
        1 => "1 second".to_owned(),
        _ => format!("{seconds} seconds"),
    }
}

/// A time in the zone of this host: `2026-11-29 13:05:09`.
pub fn time(seconds: i64) -> String {
    match DateTime::from_timestamp(seconds, 0) {
        Some(time) => time
            .with_timezone(&Local)
            .format("%Y-%m-%d %H:%M:%S")
            .to_string(),
        None => seconds.to_string(),
    }
}

/// `1 snapshot`, `2 snapshots`.
pub fn count(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1024), "1.0 KiB");
        assert_eq!(size(1024 * 1024 - 1), "1023.9 KiB");
        assert_eq!(size(1536 * 1024 * 1024), "1.5 GiB");
        assert_eq!(size(u64::MAX), "15.9 EiB");
    }

    #[test]
    fn ages() {
        assert_eq!(age(-1), "in the future");
        assert_eq!(age(0), "0 seconds");
        assert_eq!(age(1), "1 second");
        assert_eq!(age(119), "119 seconds");
        assert_eq!(age(120), "2 minutes");
        assert_eq!(age(3 * 86_400), "3 days");
        assert_eq!(age(40 * 31_557_600), "40 years");
    }
}
