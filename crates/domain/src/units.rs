//! Quantities with their unit in the type, and how a DBA reads them.
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

/// A position in the write-ahead log, in bytes; written `X/Y` in hexadecimal as PostgreSQL does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String))]
pub struct Lsn(pub u64);

impl Lsn {
    /// Bytes from `earlier` to here; negative when `earlier` is in fact later.
    pub fn bytes_since(self, earlier: Self) -> i64 {
        (self.0 as i64).wrapping_sub(earlier.0 as i64)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 as u32)
    }
}

/// The text is not `X/Y` with up to eight hexadecimal digits on each side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseLsnError(String);

impl fmt::Display for ParseLsnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' is not an LSN; write it as PostgreSQL does, for example 0/16B3748", self.0)
    }
}

impl std::error::Error for ParseLsnError {}

impl FromStr for Lsn {
    type Err = ParseLsnError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = |half: &str| {
            (!half.is_empty() && half.len() <= 8 && half.bytes().all(|b| b.is_ascii_hexdigit()))
                .then(|| u64::from_str_radix(half, 16).ok())
                .flatten()
        };
        text.split_once('/')
            .and_then(|(high, low)| Some(Self(parse(high)? << 32 | parse(low)?)))
            .ok_or_else(|| ParseLsnError(text.chars().take(40).collect()))
    }
}

impl Serialize for Lsn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Lsn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A moment, in milliseconds since 1970-01-01 UTC; RFC 3339 on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String, format = DateTime))]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Seconds from `earlier` to here; negative when `earlier` is in fact later.
    pub fn seconds_since(self, earlier: Self) -> f64 {
        (self.0 - earlier.0) as f64 / 1_000.0
    }
    /// The moment `milliseconds` later (earlier when negative).
    pub fn plus_ms(self, milliseconds: i64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }
    /// `2026-11-24T02:00:00Z`; milliseconds only when there are some.
    pub fn to_rfc3339(self) -> String {
        let (y, mo, d, h, mi, s, ms) = self.civil();
        if ms == 0 {
            format!("{y:04}-{mo:02}-{d:02}T{h:02}:{mi:02}:{s:02}Z")
        } else {
            format!("{y:04}-{mo:02}-{d:02}T{h:02}:{mi:02}:{s:02}.{ms:03}Z")
        }
    }
    /// `2026-11-24 02:00:00 UTC`, for people.
    pub fn to_human(self) -> String {
        let (y, mo, d, h, mi, s, _) = self.civil();
        format!("{y:04}-{mo:02}-{d:02} {h:02}:{mi:02}:{s:02} UTC")
    }
    /// As [`Self::to_human`] so many minutes ahead of UTC: `2026-11-24 03:00:00 +01:00`.
    pub fn to_human_at(self, minutes: i64) -> String {
        if minutes == 0 {
            return self.to_human();
        }
        let (y, mo, d, h, mi, s, _) = self.plus_ms(minutes * 60_000).civil();
        let (sign, ahead) = (if minutes < 0 { '-' } else { '+' }, minutes.abs());
        format!("{y:04}-{mo:02}-{d:02} {h:02}:{mi:02}:{s:02} {sign}{:02}:{:02}", ahead / 60, ahead % 60)
    }
    /// `02:00:00`, for the axis of a chart.
    pub fn to_clock(self) -> String {
        let (_, _, _, h, mi, s, _) = self.civil();
        format!("{h:02}:{mi:02}:{s:02}")
    }
    /// Year, month, day, hour, minute, second, millisecond (UTC). Proleptic Gregorian calendar after
    /// Howard Hinnant's `civil_from_days`: small enough for the browser, where a calendar crate is not.
    fn civil(self) -> (i64, i64, i64, i64, i64, i64, i64) {
        let days = self.0.div_euclid(86_400_000);
        let rest = self.0.rem_euclid(86_400_000);
        let z = days + 719_468;
        let era = z.div_euclid(146_097);
        let doe = z.rem_euclid(146_097);
        let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let day = doy - (153 * mp + 2) / 5 + 1;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        let year = yoe + era * 400 + i64::from(month <= 2);
        (year, month, day, rest / 3_600_000, rest / 60_000 % 60, rest / 1_000 % 60, rest % 1_000)
    }
    /// As [`Self::parse_rfc3339`]; without an offset, as a form sends it, it is UTC.
    pub fn parse_moment(text: &str) -> Option<Self> {
        let read = |end: &str| Self::parse_rfc3339(&format!("{text}{end}"));
        read("").or_else(|| read("Z")).or_else(|| read(":00Z"))
    }
    /// Reads RFC 3339 with any offset. By hand for the same reason as [`Self::civil`].
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let number = |from: usize, to: usize| {
            let digits = bytes.get(from..to)?;
            digits.iter().try_fold(0_i64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
        };
        let is = |at: usize, allowed: &[u8]| bytes.get(at).is_some_and(|byte| allowed.contains(byte));
        let apart = is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":");
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = match month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        // A leap second is the last moment of its minute.
        if !apart || !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let (mut at, mut fraction) = (19, 0);
        if is(at, b".") {
            let digits = bytes.get(at + 1..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 {
                return None;
            }
            fraction =
                (0..3).fold(0, |sum, i| sum * 10 + if i < digits { i64::from(bytes[at + 1 + i] - b'0') } else { 0 });
            at += 1 + digits;
        }
        let offset = match bytes.get(at..)? {
            [b'Z' | b'z'] => 0,
            [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
                let (hours, minutes) = (number(at + 1, at + 3)?, number(at + 4, at + 6)?);
                if hours > 23 || minutes > 59 {
                    return None;
                }
                (hours * 60 + minutes) * if *sign == b'-' { -1 } else { 1 }
            }
            _ => return None,
        };
        // The reverse of `civil`: years begin in March, so that the leap day is the last.
        let shifted = year - i64::from(month <= 2);
        let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let era = shifted.div_euclid(400);
        let of_era = shifted.rem_euclid(400);
        let date = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
        if second == 60 {
            fraction = 999;
        }
        let seconds = date * 86_400 + hour * 3_600 + minute * 60 + second.min(59) - offset * 60;
        Some(Self(seconds * 1_000 + fraction))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_rfc3339())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse_rfc3339(&text).ok_or_else(|| de::Error::custom(format!("'{text}' is not an RFC 3339 time")))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_lsn_reads_back_what_it_writes() {
        for lsn in [0, 1, 0x16B_3748, u64::MAX, 0x1_0000_0000] {
            assert_eq!(Lsn(lsn).to_string().parse::<Lsn>().unwrap(), Lsn(lsn));
        }
        for wrong in ["", "0", "/", "0/", "g/0", "0/123456789", "-1/0", "0/0/0", "+1/2"] {
            assert!(wrong.parse::<Lsn>().is_err(), "{wrong}");
        }
    }

    /// Every some days from 1600 to 2400 in many forms, as a library reads them.
    #[test]
    fn moments_are_read_as_a_library_reads_them() {
        let library = |text: &str| {
            let at = time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok()?;
            i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000_000)).ok().map(Timestamp)
        };
        let (first, last) = (Timestamp::parse_rfc3339("1600-01-01T00:00:00Z"), Timestamp(13_569_465_600_000));
        let mut at = first.unwrap();
        let mut seen = 0;
        while at < last {
            let text = at.to_rfc3339();
            let plain = text.trim_end_matches('Z');
            for end in ["Z", "z", "+05:30", "-03:30", "+00:00"] {
                let text = format!("{plain}{end}");
                assert_eq!(Timestamp::parse_rfc3339(&text), library(&text), "{text}");
                seen += 1;
            }
            at = at.plus_ms(97 * 3_600_000 + 61_001);
        }
        assert!(seen > 100_000, "{seen}");
        for text in ["2016-12-31T23:59:60Z", "2026-11-24T03:00:00.1234567Z", "2026-11-24T03:00:00.5+01:00"] {
            assert_eq!(Timestamp::parse_rfc3339(text), library(text), "{text}");
        }
    }

    #[test]
    fn a_timestamp_is_rfc3339_on_the_wire() {
        for ms in [0, 1_795_485_600_000, 951_782_400_123, -1, 4_102_444_800_000] {
            let text = Timestamp(ms).to_rfc3339();
            assert_eq!(Timestamp::parse_rfc3339(&text), Some(Timestamp(ms)), "{text}");
        }
        assert_eq!(Timestamp::parse_rfc3339("2026-11-24T03:00:00+01:00").unwrap().to_rfc3339(), "2026-11-24T02:00:00Z");
        assert_eq!(Timestamp::parse_rfc3339("2024-02-29T00:00:00Z").unwrap().to_human(), "2024-02-29 00:00:00 UTC");
        for wrong in [
            "",
            "2026-11-24",
            "2026-11-24T03:00:00",
            "2026-11-24T03:00:00.Z",
            "2026-11-24T03:00:00+1:00",
            "2026-11-24T03:00:00+01:00x",
            "2026-02-29T03:00:00Z",
            "2026-13-01T03:00:00Z",
            "2026-11-24T24:00:00Z",
            "2026-11-24T03:60:00Z",
            "+026-11-24T03:00:00Z",
            "2026-11-24T03:00:00Ä",
        ] {
            assert_eq!(Timestamp::parse_rfc3339(wrong), None, "{wrong}");
        }
        let at = Timestamp::parse_rfc3339("2024-02-29T23:45:00Z").unwrap();
        assert_eq!(at.to_human_at(330), "2024-03-01 05:15:00 +05:30");
        assert_eq!(at.to_human_at(-210), "2024-02-29 20:15:00 -03:30");
        assert_eq!(at.to_human_at(0), at.to_human());
    }
}
