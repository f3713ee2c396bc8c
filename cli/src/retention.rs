//! Which snapshots a rule of retention keeps, and why. Of times alone.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike, FixedOffset, Timelike};

/// How many to keep of each kind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rule {
    pub last: usize,
    pub hourly: usize,
    pub daily: usize,
    pub weekly: usize,
    pub monthly: usize,
    pub yearly: usize,
}

/// A period of time in which a snapshot was taken, as numbers that are equal within it.
type Period = (i32, u32, u32, i32);

/// When a snapshot was taken: compared as an instant, with the clock that the host showed then.
pub type When = DateTime<FixedOffset>;

/// The period of a time.
type PeriodOf = fn(When) -> Period;

/// Why each snapshot is kept; those that are not there are not kept. Periods are local ones: a day is a
/// day where the host is. Of those of one second a later one in the list is newer.
pub fn kept<'a>(snapshots: &[(&'a str, When)], rule: Rule) -> BTreeMap<&'a str, Vec<&'static str>> {
    let mut newest_first = snapshots.to_vec();
    newest_first.reverse();
    newest_first.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
    let mut kept: BTreeMap<&str, Vec<&'static str>> = BTreeMap::new();
    for (name, _) in newest_first.iter().take(rule.last) {
        kept.entry(name).or_default().push("last");
    }
    let periods: [(usize, &'static str, PeriodOf); 5] = [
        (rule.hourly, "hourly", |time| {
            // In autumn an hour of the clock comes twice, with another offset.
            let offset = time.offset().local_minus_utc();
            (time.year(), time.ordinal(), time.hour(), offset)
        }),
        (rule.daily, "daily", |time| {
            (time.year(), time.ordinal(), 0, 0)
        }),
        (rule.weekly, "weekly", |time| {
            (time.iso_week().year(), time.iso_week().week(), 0, 0)
        }),
        (rule.monthly, "monthly", |time| {
            (time.year(), time.month(), 0, 0)
        }),
        (rule.yearly, "yearly", |time| (time.year(), 0, 0, 0)),
    ];
    for (number, word, period_of) in periods {
        // All of them: a clock that is set back over midnight is in a day that is over.
        let mut seen = BTreeSet::new();
        let newest_of_each = newest_first
            .iter()
            .filter(|(_, time)| seen.insert(period_of(*time)));
        for (name, _) in newest_of_each.take(number) {
            kept.entry(name).or_default().push(word);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::NaiveDate;

    fn at(text: &str) -> When {
        let date = NaiveDate::parse_from_str(text.get(..10).unwrap(), "%Y-%m-%d").unwrap();
        let mut clock = text
            .get(11..)
            .unwrap()
            .split(':')
            .map(|part| part.parse().unwrap());
        date.and_hms_opt(clock.next().unwrap(), clock.next().unwrap(), 0)
            .unwrap()
            .and_utc()
            .fixed_offset()
    }

    fn names(snapshots: &[(&str, &str)], rule: Rule) -> Vec<String> {
        let snapshots: Vec<_> = snapshots
            .iter()
            .map(|(name, time)| (*name, at(time)))
            .collect();
        kept(&snapshots, rule)
            .into_keys()
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn the_newest_of_each_day() {
        let taken = [
            ("a", "2026-11-27 23:59"),
            ("b", "2026-11-28 00:00"),
            ("c", "2026-11-28 23:59"),
            ("d", "2026-11-29 00:00"),
        ];
        assert_eq!(
            names(
                &taken,
                Rule {
                    daily: 2,
                    ..Rule::default()
                }
            ),
            ["c", "d"]
        );
        assert_eq!(
            names(
                &taken,
                Rule {
                    daily: 9,
                    ..Rule::default()
                }
            ),
            ["a", "c", "d"]
        );
    }

    #[test]
    fn a_day_without_one_does_not_count() {
        let taken = [("a", "2026-01-01 12:00"), ("b", "2026-06-01 12:00")];
        assert_eq!(
            names(
                &taken,
                Rule {
                    daily: 2,
                    ..Rule::default()
                }
            ),
            ["a", "b"]
        );
    }

    #[test]
    fn a_week_begins_on_monday_and_may_begin_in_the_year_before() {
        // 2026-12-28 is a Monday, in whose week 2027 begins.
        let taken = [
            ("a", "2026-12-27 12:00"),
            ("b", "2026-12-28 12:00"),
            ("c", "2027-01-03 12:00"),
            ("d", "2027-01-04 12:00"),
        ];
        assert_eq!(
            names(
                &taken,
                Rule {
                    weekly: 9,
                    ..Rule::default()
                }
            ),
            ["a", "c", "d"]
        );
    }

    #[test]
    fn the_same_hour_of_another_day_is_another_hour() {
        let taken = [
            ("a", "2026-01-01 12:10"),
            ("b", "2026-01-01 12:50"),
            ("c", "2026-01-02 12:10"),
        ];
        assert_eq!(
            names(
                &taken,
                Rule {
                    hourly: 9,
                    ..Rule::default()
                }
            ),
            ["b", "c"]
        );
    }

    #[test]
    fn of_one_second_the_child_is_newer() {
        let taken = [
            ("parent", "2026-01-01 12:10"),
            ("child", "2026-01-01 12:10"),
        ];
        assert_eq!(
            names(
                &taken,
                Rule {
                    last: 1,
                    ..Rule::default()
                }
            ),
            ["child"]
        );
    }

    /// The same clock, so many hours before UTC.
    fn ahead(text: &str, hours: i32) -> When {
        let zone = FixedOffset::east_opt(hours * 3600).unwrap();
        at(text).naive_utc().and_local_timezone(zone).unwrap()
    }

    #[test]
    fn an_hour_that_comes_twice_is_two() {
        // Central Europe, 2026-10-25: at 03:00 of summer time it is 02:00 again.
        let taken = [
            ("a", ahead("2026-10-25 02:10", 2)),
            ("b", ahead("2026-10-25 02:50", 2)),
            ("c", ahead("2026-10-25 02:10", 1)),
        ];
        let of = |rule| kept(&taken, rule).into_keys().collect::<Vec<_>>();
        let hourly = |hourly| Rule {
            hourly,
            ..Rule::default()
        };
        let last = Rule {
            last: 1,
            ..Rule::default()
        };
        assert_eq!(of(last), ["c"]);
        assert_eq!(of(hourly(1)), ["c"]);
        assert_eq!(of(hourly(3)), ["b", "c"]);
    }

    #[test]
    fn a_day_that_comes_back_is_one() {
        // Newfoundland, 2010-11-07: at 00:01 of summer time it is 23:01 again. In whole hours:
        let taken = [
            ("a", ahead("2010-11-06 23:30", -2)),
            ("b", ahead("2010-11-07 00:00", -2)),
            ("c", ahead("2010-11-06 23:30", -3)),
            ("d", ahead("2010-11-07 00:10", -3)),
        ];
        let daily = Rule {
            daily: 9,
            ..Rule::default()
        };
        let kept: Vec<_> = kept(&taken, daily).into_keys().collect();
        assert_eq!(kept, ["c", "d"]);
    }

    #[test]
    fn each_reason_is_told() {
        let taken = [("a", at("2026-01-01 12:10"))];
        let rule = Rule {
            last: 1,
            hourly: 1,
            daily: 1,
            weekly: 1,
            monthly: 1,
            yearly: 1,
        };
        assert_eq!(
            kept(&taken, rule).get("a").unwrap(),
            &["last", "hourly", "daily", "weekly", "monthly", "yearly"]
        );
    }
}
