//! SQL as text: masking of literals, one line, a readable layout. By tokens, without a parser: it must do something
//! sensible with statements that are cut off, and never fail.
use domain::{
    sql_tokens::{TokenKind, tokens},
    view::QueryKind,
};

/// Puts `?` in place of every string, number and bit string; comments may hold values too and are left out.
pub fn mask_literals(sql: &str) -> String {
    let mut masked = String::with_capacity(sql.len());
    for (kind, token) in tokens(sql) {
        match kind {
            TokenKind::Literal => masked.push('?'),
            TokenKind::Comment => masked.push(' '),
            _ => masked.push_str(token),
        }
    }
    masked.trim().to_owned()
}

/// White space outside of quotes collapsed, comments left out, cut to `max_chars` with an ellipsis.
pub fn one_line(sql: &str, max_chars: usize) -> String {
    let mut line = String::new();
    for (kind, token) in tokens(sql) {
        if matches!(kind, TokenKind::Space | TokenKind::Comment) {
            if !line.is_empty() && !line.ends_with(' ') {
                line.push(' ');
            }
        } else {
            line.push_str(token);
        }
        if line.len() > max_chars * 4 {
            break;
        }
    }
    let line = line.trim_end().replace(['\n', '\r', '\t'], " ");
    if line.chars().count() > max_chars {
        let mut cut = line.chars().take(max_chars.saturating_sub(1)).collect::<String>();
        cut.push('…');
        return cut;
    }
    line
}

/// Whether the statement is one of Holdfast's own.
pub fn is_own(sql: &str) -> bool {
    sql.find("/* holdfast:").is_some_and(|at| at < 16)
}

/// The kind of a statement by its first word; a WITH is DML when it changes something.
pub fn kind(sql: &str) -> QueryKind {
    let words = tokens(sql)
        .into_iter()
        .filter(|(kind, _)| matches!(kind, TokenKind::Keyword | TokenKind::Name))
        .map(|(_, word)| word.to_ascii_uppercase());
    let mut words = words.peekable();
    match words.next().as_deref() {
        Some("SELECT" | "VALUES" | "TABLE") => QueryKind::Select,
        Some("INSERT" | "UPDATE" | "DELETE" | "MERGE" | "COPY") => QueryKind::Dml,
        Some("CREATE" | "ALTER" | "DROP" | "TRUNCATE" | "COMMENT" | "GRANT" | "REVOKE" | "REINDEX" | "REFRESH") => {
            QueryKind::Ddl
        }
        Some("WITH") if words.any(|word| matches!(word.as_str(), "INSERT" | "UPDATE" | "DELETE" | "MERGE")) => {
            QueryKind::Dml
        }
        Some("WITH") => QueryKind::Select,
        _ => QueryKind::Utility,
    }
}

/// A layout to read: clauses on lines of their own, brackets that hold a SELECT indented. Only white space changes.
pub fn format_sql(sql: &str) -> String {
    let tokens = tokens(sql.trim());
    let mut out = String::with_capacity(sql.len() * 2);
    // For each open bracket: whether it holds a statement.
    let mut brackets: Vec<bool> = Vec::new();
    let mut space = false;
    let new_line = |out: &mut String, depth: usize| {
        let end = out.trim_end().len();
        out.truncate(end);
        if !out.is_empty() {
            out.push('\n');
            out.push_str(&"  ".repeat(depth));
        }
    };
    for (i, (kind, token)) in tokens.iter().enumerate() {
        let depth = brackets.iter().filter(|holds| **holds).count();
        let following = || {
            tokens[i + 1..]
                .iter()
                .find(|(kind, _)| *kind != TokenKind::Space)
                .map(|(_, token)| token.to_ascii_uppercase())
        };
        let upper = token.to_ascii_uppercase();
        match kind {
            TokenKind::Space => {
                space = true;
                continue;
            }
            TokenKind::Comment => {
                new_line(&mut out, depth);
                out.push_str(token);
                new_line(&mut out, depth);
                out.push('\u{1}');
                space = false;
                continue;
            }
            TokenKind::Symbol if *token == ")" => {
                if brackets.pop() == Some(true) {
                    new_line(&mut out, depth.saturating_sub(1));
                    space = false;
                }
            }
            TokenKind::Keyword => {
                let in_plain_bracket = brackets.last() == Some(&false);
                let previous = tokens[..i]
                    .iter()
                    .rev()
                    .find(|(kind, _)| *kind != TokenKind::Space)
                    .map(|(_, token)| token.to_ascii_uppercase());
                let starts = match upper.as_str() {
                    "SELECT" | "FROM" | "WHERE" | "HAVING" | "LIMIT" | "OFFSET" | "UNION" | "VALUES" | "RETURNING"
                    | "SET" => true,
                    "GROUP" | "ORDER" => following().as_deref() == Some("BY"),
                    "LEFT" | "RIGHT" | "FULL" | "CROSS" | "INNER" => {
                        following().is_some_and(|word| matches!(word.as_str(), "JOIN" | "OUTER"))
                    }
                    "JOIN" => !previous
                        .as_deref()
                        .is_some_and(|word| matches!(word, "LEFT" | "RIGHT" | "FULL" | "CROSS" | "INNER" | "OUTER")),
                    "AND" | "OR" => true,
                    _ => false,
                };
                if starts && !in_plain_bracket && i > 0 && previous.as_deref() != Some("(") {
                    let extra = usize::from(matches!(upper.as_str(), "AND" | "OR"));
                    new_line(&mut out, depth + extra);
                    space = false;
                }
            }
            _ => {}
        }
        if space && !out.is_empty() && !out.ends_with([' ', '\n']) {
            out.push(' ');
        }
        space = false;
        out.push_str(token);
        if *kind == TokenKind::Symbol && *token == "(" {
            let holds = following().is_some_and(|word| matches!(word.as_str(), "SELECT" | "WITH"));
            brackets.push(holds);
            if holds {
                new_line(&mut out, depth + 1);
                out.push('\u{1}');
            }
        }
    }
    // \u{1} kept the indentation of an otherwise empty line from being trimmed.
    out.replace('\u{1}', "").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn literals_are_masked_and_names_are_not() {
        for (sql, masked) in [
            ("SELECT * FROM t WHERE a = 'it''s' AND b = 12.5e-3", "SELECT * FROM t WHERE a = ? AND b = ?"),
            ("SELECT E'a\\'b', $$x$$, $tag$ y $$ $tag$, $1", "SELECT ?, ?, ?, $1"),
            ("SELECT \"Card 4111\" FROM t2 -- 4111111111111111", "SELECT \"Card 4111\" FROM t2"),
            ("UPDATE t SET a = 'cut off in the midd", "UPDATE t SET a = ?"),
            ("SELECT x'1F', B'101' /* secret /* nested */ 7 */ FROM t", "SELECT ?, ?   FROM t"),
            ("SELECT 'ä€😀', a1 FROM ä", "SELECT ?, a1 FROM ä"),
        ] {
            assert_eq!(mask_literals(sql), masked);
        }
    }

    #[test]
    fn statements_are_sorted_by_kind() {
        for (sql, expected) in [
            ("/* c */ select 1", QueryKind::Select),
            ("WITH a AS (SELECT 1) SELECT * FROM a", QueryKind::Select),
            ("with a as (update t set b = 1 returning *) select * from a", QueryKind::Dml),
            ("insert into t values ($1)", QueryKind::Dml),
            ("CREATE INDEX i ON t (a)", QueryKind::Ddl),
            ("VACUUM", QueryKind::Utility),
            ("", QueryKind::Utility),
        ] {
            assert_eq!(kind(sql), expected, "{sql}");
        }
    }

    #[test]
    fn the_layout_puts_clauses_on_lines() {
        let sql = "SELECT a, count(*) FROM t LEFT JOIN u ON u.id = t.id WHERE t.x IN (SELECT id FROM v WHERE z = $1) AND y = $2 GROUP BY a ORDER BY 2 DESC LIMIT $3";
        let lines = "SELECT a, count(*)\nFROM t\nLEFT JOIN u ON u.id = t.id\nWHERE t.x IN (\n  SELECT id\n  FROM v\n  WHERE z = $1\n)\n  AND y = $2\nGROUP BY a\nORDER BY 2 DESC\nLIMIT $3";
        assert_eq!(format_sql(sql), lines);
    }

    #[test]
    fn one_line_is_one_line_and_short() {
        assert_eq!(one_line("SELECT\n   1 -- x\n  , 2", 40), "SELECT 1 , 2");
        assert_eq!(one_line("SELECT abcdefgh", 10), "SELECT ab…");
    }

    fn solid(sql: &str) -> Vec<(TokenKind, String)> {
        tokens(sql)
            .into_iter()
            .filter(|(kind, _)| *kind != TokenKind::Space)
            .map(|(kind, token)| (kind, token.trim_end().to_owned()))
            .collect()
    }

    proptest! {
        #[test]
        fn tokens_are_the_text_again(sql in "\\PC{0,80}") {
            prop_assert_eq!(tokens(&sql).into_iter().map(|(_, token)| token).collect::<String>(), sql);
        }

        #[test]
        fn the_layout_changes_white_space_only(sql in "[a-z(),=$'1 ]{0,60}|(SELECT|FROM|WHERE|\\(|\\)|AND|a|,|'x y'| ){0,24}") {
            prop_assert_eq!(solid(&format_sql(&sql)), solid(sql.trim()));
        }

        #[test]
        fn no_digit_of_a_literal_survives_masking(number in 1_000_000u64..9_999_999_999, text in "[0-9]{8,16}") {
            let masked = mask_literals(&format!("SELECT {number}, '{text}' /* {text} */ FROM t WHERE a=-{number}"));
            prop_assert!(!masked.contains(&text) && !masked.contains(&number.to_string()));
        }
    }
}
