//! The time zone in which a reader sees moments: their browser's, UTC, or that of the machine that Holdfast runs on. The
//! choice is a cookie, so that the server writes times as the browser does. Figures by the day and the API stay in UTC.

use domain::Timestamp;

/// A moment as the reader has it.
pub trait Local {
    /// `2026-11-24 03:00:00 +01:00`; `… UTC` where that is the same.
    fn local(self) -> String;
    /// `03:00:00`.
    fn local_clock(self) -> String;
}

impl Local for Timestamp {
    fn local(self) -> String {
        self.to_human_at(minutes(self))
    }

    fn local_clock(self) -> String {
        self.plus_ms(minutes(self) * 60_000).to_clock()
    }
}

/// Two moments in a sentence, the day and the zone not twice where they are the same.
pub fn between(from: Timestamp, to: Timestamp) -> String {
    let (from, to) = (from.local(), to.local());
    let part = |text: &str, from: usize, to: usize| text.get(from..to).unwrap_or_default().to_owned();
    let begin = if part(&from, 0, 10) == part(&to, 0, 10) { 11 } else { 0 };
    format!("{} to {}{}", part(&from, 0, 16), part(&to, begin, 16), part(&to, 19, to.len()))
}

/// Two moments on a button: the clock, with the day where they are not of one.
pub fn short(from: Timestamp, to: Timestamp) -> String {
    let (from, to) = (from.local(), to.local());
    let part = |text: &str, from: usize| text.get(from..16).unwrap_or_default().to_owned();
    let begin = if from.get(..10) == to.get(..10) { 11 } else { 5 };
    format!("{} – {}", part(&from, 5), part(&to, begin))
}

#[cfg(feature = "ssr")]
pub use server::{chosen, day_start, days_before, minutes_in, name, today};

#[cfg(feature = "ssr")]
mod server {
    use crate::scope::cookie;
    use jiff::tz::TimeZone;

    const UTC: &str = "UTC";

    /// `browser`, `utc` or `server`.
    pub fn chosen() -> &'static str {
        match cookie("zone").unwrap_or_default().as_str() {
            "server" => "server",
            text if text.starts_with("browser.") => "browser",
            _ => "utc",
        }
    }

    /// The zone's name: `Europe/Berlin`.
    pub fn name() -> String {
        of_cookie(&cookie("zone").unwrap_or_default())
    }

    /// The zone that a cookie stands for; one that is not known is UTC.
    pub fn of_cookie(text: &str) -> String {
        let found = match text.strip_prefix("browser.") {
            Some(name) => TimeZone::get(name).ok(),
            None if text == "server" => Some(TimeZone::system()),
            None => None,
        };
        found.and_then(|zone| zone.iana_name().map(str::to_owned)).unwrap_or_else(|| UTC.to_owned())
    }

    /// Minutes that a zone is ahead of UTC at a moment.
    pub fn minutes_in(name: &str, at: domain::Timestamp) -> i64 {
        if name == UTC {
            return 0;
        }
        let (Ok(zone), Ok(at)) = (TimeZone::get(name), jiff::Timestamp::from_millisecond(at.0)) else { return 0 };
        i64::from(zone.to_offset(at).seconds()).div_euclid(60)
    }

    /// The first moment of a day like `2026-11-24` in a zone; `None` for what is no day, or a zone that is not known.
    pub fn day_start(name: &str, day: &str) -> Option<domain::Timestamp> {
        let day = day.parse::<jiff::civil::Date>().ok()?;
        start(day, TimeZone::get(name).ok()?)
    }

    fn start(day: jiff::civil::Date, zone: TimeZone) -> Option<domain::Timestamp> {
        Some(domain::Timestamp(day.to_zoned(zone).ok()?.timestamp().as_millisecond()))
    }

    fn day_of(name: &str, at: domain::Timestamp) -> Option<(jiff::civil::Date, TimeZone)> {
        let zone = TimeZone::get(name).ok()?;
        Some((jiff::Timestamp::from_millisecond(at.0).ok()?.to_zoned(zone.clone()).date(), zone))
    }

    /// The day of a moment in a zone, like `2026-11-24`.
    pub fn today(name: &str, at: domain::Timestamp) -> Option<String> {
        day_of(name, at).map(|it| it.0.to_string())
    }

    /// The first moment of the day that is so many days before that of a moment; after it, for a negative number.
    pub fn days_before(name: &str, at: domain::Timestamp, days: i64) -> Option<domain::Timestamp> {
        let (day, zone) = day_of(name, at)?;
        start(day.checked_sub(jiff::Span::new().try_days(days).ok()?).ok()?, zone)
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use domain::Timestamp;

        #[test]
        fn a_zone_is_what_the_cookie_names_and_utc_otherwise() {
            assert_eq!(of_cookie("browser.Europe/Berlin"), "Europe/Berlin");
            for wrong in ["", "utc", "browser.", "browser.Nowhere/Land", "browser.../../etc/passwd", "x"] {
                assert_eq!(of_cookie(wrong), "UTC", "{wrong}");
            }
        }

        #[test]
        fn days_begin_where_the_zone_has_them() {
            let at = |text| Timestamp::parse_rfc3339(text).unwrap_or_default();
            let start = |zone: &str, day: &str| day_start(zone, day).map(|it| it.to_rfc3339());
            assert_eq!(day_start("Europe/Berlin", "2026-03-30"), Some(at("2026-03-29T22:00:00Z")));
            assert_eq!(day_start("Asia/Kolkata", "2026-03-30"), Some(at("2026-03-29T18:30:00Z")));
            assert_eq!(start("UTC", "2026-02-30"), None);
            assert_eq!(start("Nowhere/Land", "2026-02-03"), None);
            // Over the night of the change it is 47 hours.
            assert_eq!(days_before("Europe/Berlin", at("2026-03-30T10:00:00Z"), 2), Some(at("2026-03-27T23:00:00Z")));
            assert_eq!(days_before("UTC", at("2026-03-30T10:00:00Z"), -1), Some(at("2026-03-31T00:00:00Z")));
            assert_eq!(today("America/New_York", at("2026-03-30T03:00:00Z")).as_deref(), Some("2026-03-29"));
        }

        #[test]
        fn minutes_follow_summer_time() {
            let at = |text| Timestamp::parse_rfc3339(text).unwrap_or_default();
            assert_eq!(minutes_in("Europe/Berlin", at("2026-01-15T12:00:00Z")), 60);
            assert_eq!(minutes_in("Europe/Berlin", at("2026-07-15T12:00:00Z")), 120);
            assert_eq!(minutes_in("Asia/Kolkata", at("2026-07-15T12:00:00Z")), 330);
            assert_eq!(minutes_in("America/St_Johns", at("2026-01-15T12:00:00Z")), -210);
            assert_eq!(minutes_in("Nowhere/Land", at("2026-01-15T12:00:00Z")), 0);
        }
    }
}

#[cfg(feature = "ssr")]
fn minutes(at: Timestamp) -> i64 {
    server::minutes_in(&name(), at)
}

/// `choices.js` knows the browser's zones.
#[cfg(not(feature = "ssr"))]
fn minutes(at: Timestamp) -> i64 {
    use wasm_bindgen::JsCast as _;
    let function = js_sys::Reflect::get(&leptos::prelude::window(), &"holdfastOffset".into()).ok();
    let answer = function
        .as_ref()
        .and_then(|it| it.dyn_ref::<js_sys::Function>())
        .and_then(|function| function.call1(&wasm_bindgen::JsValue::NULL, &(at.0 as f64).into()).ok());
    answer.and_then(|minutes| minutes.as_f64()).map_or(0, |minutes| minutes as i64)
}

/// The shell is the server's.
#[cfg(not(feature = "ssr"))]
pub const fn chosen() -> &'static str {
    ""
}

/// As [`chosen`].
#[cfg(not(feature = "ssr"))]
pub const fn name() -> &'static str {
    ""
}

#[cfg(all(test, feature = "ssr"))]
mod tests {
    use super::*;

    #[test]
    fn two_moments_of_a_day_name_it_once() {
        let at = |text| Timestamp::parse_rfc3339(text).unwrap_or_default();
        let (from, to) = (at("2026-11-24T02:00:00Z"), at("2026-11-24T03:30:00Z"));
        assert_eq!(between(from, to), "2026-11-24 02:00 to 03:30 UTC");
        assert_eq!(between(from, at("2026-11-25T03:30:00Z")), "2026-11-24 02:00 to 2026-11-25 03:30 UTC");
    }
}
