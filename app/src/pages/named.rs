//! Backups as a reader names them: by their moment, with which their id begins.

use crate::zone::Local as _;
use domain::Timestamp;

/// A text in which each id of a backup is its moment, in the reader's zone, with the last digits of the id.
pub(super) fn with_moments(text: &str) -> String {
    let word = |word: &str| match backup(word) {
        Some((at, digits)) => format!("{} ({digits})", at.local()),
        None => word.to_owned(),
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// When a backup ended and what its id ends with, of an id like `20261125T020000Z-F-1a2b3c4d`; `None` for any other word.
fn backup(word: &str) -> Option<(Timestamp, &str)> {
    let (moment, rest) = word.split_once("Z-")?;
    let digits = rest.strip_prefix("F-").or_else(|| rest.strip_prefix("I-"))?;
    if digits.len() != 8 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let (day, clock) = moment.split_once('T')?;
    let (year, month, day) = (day.get(..4)?, day.get(4..6)?, day.get(6..)?);
    let (hour, minute, second) = (clock.get(..2)?, clock.get(2..4)?, clock.get(4..)?);
    Some((Timestamp::parse_rfc3339(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z"))?, digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_its_moment_and_no_other_word_is() {
        let at = Timestamp::parse_rfc3339("2026-11-25T02:00:00Z");
        assert_eq!(backup("20261125T020000Z-F-1a2b3c4d"), at.map(|at| (at, "1a2b3c4d")));
        assert_eq!(backup("20261125T020000Z-I-00000000").map(|it| it.1), Some("00000000"));
        for word in
            ["the", "2026-11-25T02:00:00Z", "20261125T020000Z-F-1a2b", "20261125T0200Z-F-1a2b3c4d", "Z-F-1a2b3c4d"]
        {
            assert_eq!(backup(word), None, "{word}");
        }
    }
}
