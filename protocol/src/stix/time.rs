//! Timestamps as STIX writes them (STIX 2.1, section 2.16: RFC 3339 in UTC,
//! `Z`, any number of sub-second digits), without a clock and without a date
//! library: two conversions, both strict.

use core::fmt;

/// Last millisecond that can be written with a four-digit year:
/// 9999-12-31T23:59:59.999Z.
pub const UNIX_MS_MAX: u64 = 253_402_300_799_999;

/// Most sub-second digits that are read: nanoseconds.
const FRACTION_DIGITS_MAX: usize = 9;

/// A moment of 1970 to 9999. Two versions of an object may lie less than a
/// millisecond apart, so what is below the millisecond is kept too.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode,
)]
pub struct Timestamp {
    unix_ms: u64,
    nanos_below_ms: u32,
}

impl Timestamp {
    /// A moment given as milliseconds since 1970, UTC; a later one than can be
    /// written becomes the last that can.
    pub fn from_unix_ms(unix_ms: u64) -> Self {
        Self {
            unix_ms: unix_ms.min(UNIX_MS_MAX),
            nanos_below_ms: 0,
        }
    }

    /// Milliseconds since 1970, UTC.
    pub const fn unix_ms(self) -> u64 {
        self.unix_ms
    }

    /// Reads `YYYY-MM-DDTHH:MM:SS[.f]Z` with up to nine digits of fraction.
    ///
    /// # Errors
    /// Anything else: another zone, a day the month does not have, a leap
    /// second, a year before 1970, a tenth digit.
    pub fn parse(text: &str) -> Result<Self, NotATimestamp> {
        parse(text).ok_or(NotATimestamp)
    }
}

/// The text is no timestamp of the form STIX uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a timestamp: expected the form 2026-11-23T02:00:00.000Z, in UTC, from 1970 on, with at most nine digits below the second"
)]
pub struct NotATimestamp;

fn parse(text: &str) -> Option<Timestamp> {
    let mut rest = text.as_bytes();
    let mut number = |digits: usize, then: u8| -> Option<u64> {
        let (field, after) = rest.split_at_checked(digits)?;
        let (separator, after) = after.split_first()?;
        if *separator != then || !field.iter().all(u8::is_ascii_digit) {
            return None;
        }
        rest = after;
        core::str::from_utf8(field).ok()?.parse().ok()
    };
    let year = number(4, b'-')?;
    let month = number(2, b'-')?;
    let day = number(2, b'T')?;
    let hour = number(2, b':')?;
    let minute = number(2, b':')?;
    // The second ends with a full stop or with the zone.
    let (second, mut nanos) = match number(2, b'.') {
        Some(second) => {
            let fraction = rest.strip_suffix(b"Z")?;
            if fraction.is_empty()
                || fraction.len() > FRACTION_DIGITS_MAX
                || !fraction.iter().all(u8::is_ascii_digit)
            {
                return None;
            }
            let text = core::str::from_utf8(fraction).ok()?;
            (second, format!("{text:0<9}").parse::<u32>().ok()?)
        }
        None => {
            let second = number(2, b'Z')?;
            if !rest.is_empty() {
                return None;
            }
            (second, 0)
        }
    };
    if year < 1970 || day == 0 || day > days_in_month(year, month)? {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = ((days_before(year, month)? + day - 1) * 24 + hour) * 3600 + minute * 60 + second;
    let ms = seconds * 1000 + u64::from(nanos / 1_000_000);
    nanos %= 1_000_000;
    Some(Timestamp {
        unix_ms: ms,
        nanos_below_ms: nanos,
    })
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn days_in_month(year: u64, month: u64) -> Option<u64> {
    Some(match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => return None,
    })
}

/// Days from 1970-01-01 to the first of the month.
fn days_before(year: u64, month: u64) -> Option<u64> {
    let past = year.checked_sub(1)?;
    // Days of all years up to the last one, less those up to 1969.
    let leaps = |year: u64| year / 4 - year / 100 + year / 400;
    let mut days = (past - 1969) * 365 + leaps(past) - leaps(1969);
    for earlier in 1..month {
        days += days_in_month(year, earlier)?;
    }
    Some(days)
}

/// Year, month and day of a day counted from 1970-01-01.
fn civil(day: u64) -> (u64, u64, u64) {
    // 400 years have 146,097 days, so this is at most one year too late.
    let mut year = 1970 + day * 400 / 146_097;
    while days_before(year, 1).is_none_or(|first| first > day) {
        year -= 1;
    }
    while days_before(year + 1, 1).is_some_and(|first| first <= day) {
        year += 1;
    }
    let mut left = day - days_before(year, 1).unwrap_or(0);
    let mut month = 1;
    while let Some(days) = days_in_month(year, month) {
        if left < days {
            break;
        }
        left -= days;
        month += 1;
    }
    (year, month, left + 1)
}

impl fmt::Display for Timestamp {
    /// `2026-11-23T02:00:00.000Z`, with more digits only where there are any.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.unix_ms / 1000;
        let (year, month, day) = civil(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        let ms = self.unix_ms % 1000;
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}"
        )?;
        if self.nanos_below_ms != 0 {
            let below = format!("{:06}", self.nanos_below_ms);
            f.write_str(below.trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_moments() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_664_582_400_000, "2022-10-01T00:00:00.000Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (UNIX_MS_MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Timestamp::from_unix_ms(ms).to_string(), text);
            assert_eq!(Timestamp::parse(text).unwrap().unix_ms(), ms);
        }
    }

    #[test]
    fn every_day_to_9999_reads_back() {
        let mut before = String::new();
        for day in 0..=UNIX_MS_MAX / 86_400_000 {
            let moment = Timestamp::from_unix_ms(day * 86_400_000);
            let text = moment.to_string();
            assert_eq!(Timestamp::parse(&text).unwrap(), moment);
            assert!(text > before);
            before = text;
        }
    }

    #[test]
    fn fractions_are_kept_and_compared() {
        let micro = Timestamp::parse("2026-01-01T00:00:00.123456Z").unwrap();
        let milli = Timestamp::parse("2026-01-01T00:00:00.123Z").unwrap();
        assert_eq!(micro.unix_ms(), milli.unix_ms());
        assert!(micro > milli);
        assert_eq!(micro.to_string(), "2026-01-01T00:00:00.123456Z");
        assert_eq!(
            Timestamp::parse("2026-01-01T00:00:00Z"),
            Timestamp::parse("2026-01-01T00:00:00.000000000Z")
        );
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "2026-11-23",
            "2026-11-23T02:00:00",
            "2026-11-23T02:00:00+00:00",
            "2026-11-23 02:00:00Z",
            "2026-11-23t02:00:00z",
            "2026-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2016-12-31T23:59:60Z",
            "1969-12-31T23:59:59Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00.0000000000Z",
            "2026-01-01T00:00:00.1xZ",
            "2026-01-01T00:00:00ZZ",
            "+026-01-01T00:00:00Z",
            "2026-01-01T00:00:0éZ",
            "10000-01-01T00:00:00Z",
        ] {
            assert_eq!(Timestamp::parse(text), Err(NotATimestamp), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_moment_reads_back(ms in 0..=UNIX_MS_MAX) {
            let moment = Timestamp::from_unix_ms(ms);
            prop_assert_eq!(Timestamp::parse(&moment.to_string()).unwrap(), moment);
        }

        #[test]
        fn arbitrary_text_never_panics(text in any::<String>()) {
            let _ = Timestamp::parse(&text);
        }
    }
}
