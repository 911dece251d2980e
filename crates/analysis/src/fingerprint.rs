//! What a statement in the log is recognised by: its text as a client sent it and as `pg_stat_statements` writes it give
//! the same number. By tokens, without a parser.
use domain::sql_tokens::{TokenKind, tokens};

/// Longer texts are the same when so much of them is: `pg_stat_statements` is read up to a length too.
const CHARS: usize = 4_000;
/// How PostgreSQL 18 writes a list of constants.
const SQUASHED: &str = "/*, ... */";

/// Of a text of `pg_stat_statements`.
pub fn of_known(sql: &str) -> u64 {
    of(sql, sql.contains(SQUASHED))
}

/// Of a text that a client sent: as each constant counts, and with every list of constants as one of them.
pub fn of_written(sql: &str) -> [u64; 2] {
    [of(sql, false), of(sql, true)]
}

fn of(sql: &str, squash: bool) -> u64 {
    let parts = parts(sql, squash);
    // FNV-1a.
    let mut state = if squash { 0x9ae1_6a3b_2f90_404f } else { 0xcbf2_9ce4_8422_2325_u64 };
    for byte in parts.iter().flat_map(|part| part.bytes().chain([0])) {
        state = (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    state
}

/// Tokens that count, in lower case; constants and parameters as `?`.
fn parts(sql: &str, squash: bool) -> Vec<String> {
    let tokens = tokens(sql);
    let significant =
        tokens.iter().filter(|(kind, _)| !matches!(kind, TokenKind::Space | TokenKind::Comment)).collect::<Vec<_>>();
    let mut out: Vec<String> = Vec::new();
    let mut length = 0;
    for (i, (kind, token)) in significant.iter().enumerate() {
        let part = match kind {
            TokenKind::Literal | TokenKind::Parameter => "?".to_owned(),
            // A sign is part of the constant, unless it stands after an operand.
            TokenKind::Symbol if *token == "-" && is_negative(&significant, i) => continue,
            _ if token.starts_with('"') => (*token).to_owned(),
            _ => match token.to_ascii_lowercase() {
                word if matches!(word.as_str(), "true" | "false" | "null") => "?".to_owned(),
                word => word,
            },
        };
        length += part.len();
        if squash && part == "?" && out.ends_with(&["?".to_owned(), ",".to_owned()]) {
            out.pop();
            continue;
        }
        out.push(part);
        if length > CHARS {
            break;
        }
    }
    while out.last().is_some_and(|last| last == ";") {
        out.pop();
    }
    out
}

fn is_negative(significant: &[&(TokenKind, &str)], at: usize) -> bool {
    let is_number = significant.get(at + 1).is_some_and(|(kind, token)| {
        *kind == TokenKind::Literal && token.starts_with(|c: char| c.is_ascii_digit() || c == '.')
    });
    let after_operand =
        at.checked_sub(1).and_then(|before| significant.get(before)).is_some_and(|(kind, token)| match kind {
            TokenKind::Name | TokenKind::Literal | TokenKind::Parameter => true,
            TokenKind::Symbol => matches!(*token, ")" | "]"),
            _ => false,
        });
    is_number && !after_operand
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(written: &str, known: &str) -> bool {
        of_written(written).contains(&of_known(known))
    }

    #[test]
    fn a_statement_is_recognised_by_what_it_does() {
        assert!(same(
            "SELECT  a FROM t\n WHERE b = 'it''s' -- why\n AND c IN (1, -2, 3.5);",
            "select a from t where b = $1 and c in ($2, $3, $4)"
        ));
        assert!(same("SELECT a - 5, -5, (-5), a*-5 FROM t", "SELECT a - $1, $2, ($3), a*$4 FROM t"));
        assert!(same("UPDATE t SET a = true, b = NULL", "UPDATE t SET a = $1, b = $2"));
        assert!(same("SELECT 1 FROM t WHERE a = $1 LIMIT 10", "SELECT $2 FROM t WHERE a = $1 LIMIT $3"));
        // As PostgreSQL 18 writes lists.
        assert!(same(
            "SELECT f(1, 2) FROM t WHERE a IN (1, 2, 3, 4)",
            "SELECT f($1, $2) FROM t WHERE a IN ($3 /*, ... */)"
        ));
        assert!(!same("SELECT a FROM t WHERE b IN (1, 2)", "SELECT a FROM t WHERE b IN ($1, $2, $3)"));
        assert!(!same("SELECT a FROM t", "SELECT b FROM t"));
        assert!(!same("SELECT \"A\" FROM t", "SELECT a FROM t"));
    }

    #[test]
    fn long_texts_are_told_by_their_beginning() {
        let long = |tail: &str| format!("SELECT {} {tail}", "a, ".repeat(4_000));
        assert!(same(&long("x"), &long("y")));
    }
}
