//! `log_line_prefix`: who a line is of.

/// What a prefix says; empty where it does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) time: Option<String>,
    pub(super) user: Option<String>,
    pub(super) database: Option<String>,
    pub(super) application: Option<String>,
    pub(super) client: Option<String>,
    pub(super) query_id: Option<i64>,
}

enum Piece {
    Text(String),
    Escape(char),
}

fn pieces(prefix: &str) -> Vec<Piece> {
    let mut found = Vec::new();
    let mut text = String::new();
    let mut chars = prefix.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        // A width may stand between: %-10u.
        while chars.peek().is_some_and(|c| c.is_ascii_digit() || *c == '-') {
            chars.next();
        }
        match chars.next() {
            Some('%') => text.push('%'),
            // Where it stops for other processes; nothing is written for it.
            Some('q') | None => {}
            Some(escape) => {
                if !text.is_empty() {
                    found.push(Piece::Text(std::mem::take(&mut text)));
                }
                found.push(Piece::Escape(escape));
            }
        }
    }
    if !text.is_empty() {
        found.push(Piece::Text(text));
    }
    found
}

/// Reads `written` by the setting; what does not fit ends the reading, and what was read until then stays.
pub(super) fn read(prefix: &str, written: &str) -> Said {
    let mut said = Said::default();
    let mut rest = written;
    let pieces = pieces(prefix);
    for (i, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Text(text) => {
                let Some(after) = rest.trim_start_matches(' ').strip_prefix(text.trim_start_matches(' ')) else {
                    return said;
                };
                rest = after;
            }
            Piece::Escape(escape) => {
                let end = match pieces.get(i + 1) {
                    Some(Piece::Text(next)) => {
                        // A time has blanks within it: a date, a time of day and a zone.
                        let from = if matches!(escape, 't' | 'm' | 's') {
                            rest.char_indices().filter(|(_, c)| *c == ' ').nth(1).map_or(0, |(at, _)| at + 1)
                        } else {
                            0
                        };
                        rest.get(from..).and_then(|tail| tail.find(next.as_str())).map_or(rest.len(), |at| from + at)
                    }
                    // Two values without anything between cannot be told apart, unless one of them is a number.
                    Some(Piece::Escape(_)) => rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()),
                    None => rest.len(),
                };
                let (value, after) = rest.split_at(end);
                keep(&mut said, *escape, value.trim());
                rest = after;
            }
        }
    }
    said
}

fn keep(said: &mut Said, escape: char, value: &str) {
    let text = (!value.is_empty() && value != "[unknown]").then(|| value.to_owned());
    match escape {
        't' | 'm' | 'n' => said.time = text,
        'u' => said.user = text,
        'd' => said.database = text,
        'a' => said.application = text,
        'h' => said.client = text,
        // With the port in brackets.
        'r' => said.client = text.map(|it| it.split('(').next().unwrap_or_default().to_owned()),
        'Q' => said.query_id = value.parse().ok().filter(|id| *id != 0),
        _ => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::read;

    #[test]
    fn usual_prefixes_are_read() {
        let debian = read("%m [%p] %q%u@%d ", "2026-11-29 15:33:05.123 UTC [4711] api@shop ");
        assert_eq!(debian.time.as_deref(), Some("2026-11-29 15:33:05.123 UTC"));
        assert_eq!((debian.user.as_deref(), debian.database.as_deref()), (Some("api"), Some("shop")));
        let plain = read("%m [%p] ", "2026-11-29 15:33:05.123 CET [4711] ");
        assert_eq!((plain.time.is_some(), plain.user), (true, None));
        let badger = "%t [%p]: [%l-1] user=%u,db=%d,app=%a,client=%h,id=%Q ";
        let said =
            read(badger, "2026-11-29 15:33:05 UTC [4711]: [3-1] user=api,db=shop,app=my app,client=10.0.0.7,id=-42 ");
        assert_eq!((said.application.as_deref(), said.client.as_deref()), (Some("my app"), Some("10.0.0.7")));
        assert_eq!((said.database.as_deref(), said.query_id), (Some("shop"), Some(-42)));
        let epoch = read("%n %-10u %r ", "1764430385.123 api        10.0.0.7(5432) ");
        assert_eq!(
            (epoch.time.as_deref(), epoch.user.as_deref(), epoch.client.as_deref()),
            (Some("1764430385.123"), Some("api"), Some("10.0.0.7"))
        );
    }

    #[test]
    fn what_does_not_fit_says_nothing() {
        assert_eq!(read("%u@%d ", ""), super::Said::default());
        assert_eq!(read("", "anything "), super::Said::default());
        let other = read("<%u> ", "2026 [7] ");
        assert_eq!(other.user, None);
    }
}
