//! Texts of `pg_stat_statements` that are no SQL any more, and what the parser does not know, written so that both are read.
use domain::sql_tokens::{TokenKind, tokens};

type Tokens<'a> = [(TokenKind, &'a str)];

/// The first token after `i` that is no white space, and where it stands.
fn after<'a>(tokens: &Tokens<'a>, i: usize) -> Option<(usize, TokenKind, &'a str)> {
    let at = (i + 1..tokens.len()).find(|at| tokens[*at].0 != TokenKind::Space)?;
    let (kind, token) = tokens[at];
    Some((at, kind, token))
}

/// `pg_stat_statements` puts `$1` in place of the string of `INTERVAL '1 day'` and of the field of `EXTRACT(day FROM x)`.
pub fn readable(sql: &str) -> String {
    const TYPES: [&str; 6] = ["interval", "date", "time", "timestamp", "timestamptz", "timetz"];
    let tokens = tokens(sql);
    let mut out = String::with_capacity(sql.len() + 32);
    let mut i = 0;
    while let Some((kind, token)) = tokens.get(i) {
        let word = token.to_ascii_lowercase();
        let is_word = matches!(kind, TokenKind::Name | TokenKind::Keyword);
        if is_word
            && TYPES.contains(&word.as_str())
            && let Some((next, TokenKind::Parameter, parameter)) = after(&tokens, i)
            && next > i + 1
        {
            out.push_str(&format!("CAST({parameter} AS {word})"));
            i = next + 1;
        } else if is_word
            && word == "extract"
            && let Some((open, _, "(")) = after(&tokens, i)
            && let Some((field, TokenKind::Parameter, parameter)) = after(&tokens, open)
            && let Some((from, _, between)) = after(&tokens, field)
            && between.eq_ignore_ascii_case("from")
        {
            out.push_str(&format!("date_part({parameter},"));
            i = from + 1;
        } else {
            out.push_str(token);
            i += 1;
        }
    }
    out.trim().trim_end_matches(';').trim_end().to_owned()
}

/// As the parser reads it: of the locks of rows it knows `FOR UPDATE` and `FOR SHARE` alone, and which it is matters to
/// nobody here. What is sent keeps its own.
pub fn with_known_locks(sql: &str) -> String {
    let tokens = tokens(sql);
    let mut out = String::with_capacity(sql.len());
    let mut i = 0;
    while let Some((_, token)) = tokens.get(i) {
        out.push_str(token);
        match lock_after(&tokens, i).filter(|_| token.eq_ignore_ascii_case("for")) {
            Some(lock) => {
                out.push(' ');
                i = lock;
            }
            None => i += 1,
        }
    }
    out
}

/// Where `UPDATE` or `SHARE` stands after `NO KEY` or `KEY`.
fn lock_after(tokens: &Tokens<'_>, i: usize) -> Option<usize> {
    let mut next = after(tokens, i)?;
    if next.2.eq_ignore_ascii_case("no") {
        next = after(tokens, next.0)?;
    }
    if !next.2.eq_ignore_ascii_case("key") {
        return None;
    }
    let (at, _, lock) = after(tokens, next.0)?;
    (lock.eq_ignore_ascii_case("update") || lock.eq_ignore_ascii_case("share")).then_some(at)
}
