//! What time a page looks at, and with what it is compared.
use crate::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

/// How far back a page looks; part of the address: `?range=1h`, or `?from=…&to=…`. As text it is `1h`, or the two moments
/// with a slash between them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Range {
    /// 15 minutes.
    Minutes15,
    /// One hour.
    #[default]
    Hour1,
    /// Six hours.
    Hours6,
    /// A day.
    Hours24,
    /// A week.
    Days7,
    /// Thirty days.
    Days30,
    /// From one moment to another: it stands still.
    Between {
        /// First moment.
        from: Timestamp,
        /// Last moment.
        to: Timestamp,
    },
}

/// Shorter, a chart has more points than there are samples.
const SHORTEST_MS: i64 = 60_000;

impl Range {
    /// All that end now, the shortest first.
    pub const ALL: [Self; 6] = [Self::Minutes15, Self::Hour1, Self::Hours6, Self::Hours24, Self::Days7, Self::Days30];

    /// The value in the address; of two moments there is none.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Minutes15 => "15m",
            Self::Hour1 => "1h",
            Self::Hours6 => "6h",
            Self::Hours24 => "24h",
            Self::Days7 => "7d",
            Self::Days30 => "30d",
            Self::Between { .. } => "",
        }
    }
    /// On the button.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Minutes15 => "15 m",
            Self::Hour1 => "1 h",
            Self::Hours6 => "6 h",
            Self::Hours24 => "24 h",
            Self::Days7 => "7 d",
            Self::Days30 => "30 d",
            Self::Between { .. } => "custom",
        }
    }
    /// In a sentence: "last hour". How two moments are written is the reader's time zone's business.
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::Minutes15 => "last 15 minutes",
            Self::Hour1 => "last hour",
            Self::Hours6 => "last 6 hours",
            Self::Hours24 => "last 24 hours",
            Self::Days7 => "last 7 days",
            Self::Days30 => "last 30 days",
            Self::Between { .. } => "custom range",
        }
    }
    /// Length in milliseconds.
    pub const fn ms(self) -> i64 {
        match self {
            Self::Minutes15 => 900_000,
            Self::Hour1 => 3_600_000,
            Self::Hours6 => 21_600_000,
            Self::Hours24 => 86_400_000,
            Self::Days7 => 604_800_000,
            Self::Days30 => 2_592_000_000,
            Self::Between { from, to } => to.0 - from.0,
        }
    }

    /// Its last moment, when it is `now`.
    pub const fn end(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Between { to, .. } => to,
            _ => now,
        }
    }

    /// From the parameters of an address: `from` and `to` win over `range`, which is where one comes back to. Empty
    /// values are absent ones.
    ///
    /// # Errors
    /// The parameter's name, and what is allowed.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, (String, String)> {
        let text = |name: &str| get(name).filter(|value| !value.trim().is_empty());
        if let (None, None) = (text("from"), text("to")) {
            let read = |text: String| text.trim().parse().map_err(|message| ("range".to_owned(), message));
            return text("range").map_or(Ok(Self::default()), read);
        }
        let moment = |name: &str| {
            let value = text(name).unwrap_or_default();
            moment(value.trim()).map_err(|message| (name.to_owned(), message))
        };
        Self::between(moment("from")?, moment("to")?).map_err(|message| ("to".to_owned(), message))
    }

    /// From one moment to another.
    ///
    /// # Errors
    /// A sentence, when there is no time between them.
    pub fn between(from: Timestamp, to: Timestamp) -> Result<Self, String> {
        if to <= from {
            return Err(format!("the range ends ({to}) before it begins ({from}): 'to' must be later than 'from'"));
        }
        if to.0 - from.0 < SHORTEST_MS {
            return Err("the range is shorter than a minute: choose moments further apart".to_owned());
        }
        Ok(Self::Between { from, to })
    }

    /// What stands in an address for it; `live` is what one comes back to from two moments.
    pub fn pairs(self, live: Self) -> Vec<(&'static str, String)> {
        let mut pairs = Vec::new();
        if live != Self::default() {
            pairs.push(("range", live.to_string()));
        }
        if let Self::Between { from, to } = self {
            pairs.extend([("from", from.to_string()), ("to", to.to_string())]);
        }
        pairs
    }
}

/// RFC 3339; without an offset, as a form sends it, it is UTC.
fn moment(text: &str) -> Result<Timestamp, String> {
    if text.is_empty() {
        return Err("a range of two moments needs both 'from' and 'to'".to_owned());
    }
    Timestamp::parse_moment(text).ok_or_else(|| {
        let text = text.chars().take(40).collect::<String>();
        format!("'{text}' is not a moment; write it like 2026-11-24T02:00:00Z")
    })
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Between { from, to } => write!(f, "{from}/{to}"),
            other => f.write_str(other.as_str()),
        }
    }
}

impl FromStr for Range {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some((from, to)) = text.split_once('/') {
            return Self::between(moment(from.trim())?, moment(to.trim())?);
        }
        Self::ALL
            .into_iter()
            .find(|range| range.as_str() == text)
            .ok_or_else(|| format!("'{text}' is not a range; use 15m, 1h, 6h, 24h, 7d or 30d, or 'from' and 'to'"))
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Range {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::Type::String)
            .description(Some(
                "How far back: 15m, 1h, 6h, 24h, 7d or 30d; or two moments in RFC 3339 with a slash between them.",
            ))
            .examples(["1h", "2026-11-24T02:00:00Z/2026-11-24T03:30:00Z"])
            .into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Range {}

impl Serialize for Range {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Range {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Which earlier time is set beside a range; part of the address: `?compare=previous`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Compare {
    /// None.
    #[default]
    #[serde(rename = "off")]
    Off,
    /// The time as long as the range just before it.
    #[serde(rename = "previous")]
    Previous,
    /// The same hours a week before: what a Monday is like is told by a Monday.
    #[serde(rename = "7d")]
    Week,
}

impl Compare {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Off, Self::Previous, Self::Week];

    /// The value in the address.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Previous => "previous",
            Self::Week => "7d",
        }
    }

    /// On the button and in legends.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Previous => "period before",
            Self::Week => "week before",
        }
    }

    /// How much earlier, in milliseconds; `None` when nothing is compared.
    pub const fn shift_ms(self, range: Range) -> Option<i64> {
        match self {
            Self::Off => None,
            Self::Previous => Some(range.ms()),
            Self::Week => Some(Range::Days7.ms()),
        }
    }
}

impl fmt::Display for Compare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Compare {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|compare| compare.as_str() == text)
            .ok_or_else(|| format!("'{text}' is nothing to compare with; use off, previous or 7d"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(address: &[(&str, &str)]) -> Result<Range, (String, String)> {
        Range::read(|name| address.iter().find(|pair| pair.0 == name).map(|pair| pair.1.to_owned()))
    }

    #[test]
    fn a_range_of_two_moments_is_read_from_an_address_and_written_back() {
        let found =
            read(&[("range", "6h"), ("from", "2026-11-24T02:00"), ("to", "2026-11-24T04:30:00+01:00")]).unwrap();
        assert_eq!(found.to_string(), "2026-11-24T02:00:00Z/2026-11-24T03:30:00Z");
        assert_eq!(found.to_string().parse(), Ok(found));
        assert_eq!(serde_json::from_str::<Range>(&serde_json::to_string(&found).unwrap()).unwrap(), found);
        assert_eq!(found.ms(), 5_400_000);
        let pairs = found.pairs(Range::Hours6);
        assert_eq!(pairs.iter().map(|pair| pair.0).collect::<Vec<_>>(), ["range", "from", "to"]);
        let pairs = pairs.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>();
        assert_eq!(read(&pairs), Ok(found));
        // What is compared with is as long, just before.
        assert_eq!(Compare::Previous.shift_ms(found), Some(5_400_000));
    }

    #[test]
    fn a_range_without_moments_is_what_it_was() {
        assert_eq!(read(&[("range", "7d"), ("from", ""), ("to", " ")]), Ok(Range::Days7));
        assert_eq!(read(&[]), Ok(Range::Hour1));
        assert_eq!(serde_json::to_string(&Range::Days7).unwrap(), "\"7d\"");
        assert!(Range::Days7.pairs(Range::Days7) == [("range", "7d".to_owned())]);
    }

    #[test]
    fn wrong_moments_are_named_with_what_is_allowed() {
        let wrong = |address: &[(&str, &str)]| read(address).unwrap_err();
        let (field, message) = wrong(&[("from", "2026-11-24T04:00"), ("to", "2026-11-24T02:00")]);
        assert_eq!(field, "to");
        assert!(message.contains("later than 'from'"), "{message}");
        assert_eq!(wrong(&[("from", "2026-11-24T04:00")]).0, "to");
        assert!(wrong(&[("from", "2026-11-24T04:00")]).1.contains("both"));
        let (field, message) = wrong(&[("from", "yesterday"), ("to", "2026-11-24T02:00")]);
        assert_eq!(field, "from");
        assert!(message.contains("2026-11-24T02:00:00Z"), "{message}");
        assert!(wrong(&[("from", "2026-11-24T04:00:00"), ("to", "2026-11-24T04:00:30")]).1.contains("minute"));
        assert!("2026-11-24T04:00:00Z/".parse::<Range>().unwrap_err().contains("both"));
    }
}
