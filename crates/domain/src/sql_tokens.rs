//! SQL in tokens, for masking, laying out and setting off on pages. A lexer, not a parser: it must do something sensible
//! with statements that are cut off, and never fail.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A reserved word that is set off on pages.
    Keyword,
    /// A name, quoted or not.
    Name,
    /// A string, number or bit string.
    Literal,
    /// `$1`.
    Parameter,
    /// `--` or `/* */`.
    Comment,
    /// An operator or bracket.
    Symbol,
    /// White space.
    Space,
}

const KEYWORDS: [&str; 74] = [
    "ALL",
    "ALTER",
    "ANALYZE",
    "AND",
    "ANY",
    "AS",
    "ASC",
    "BEGIN",
    "BETWEEN",
    "BY",
    "CASE",
    "COMMIT",
    "CONCURRENTLY",
    "COPY",
    "CREATE",
    "CROSS",
    "DELETE",
    "DESC",
    "DISTINCT",
    "DO",
    "DROP",
    "ELSE",
    "END",
    "EXISTS",
    "EXPLAIN",
    "FETCH",
    "FILTER",
    "FOR",
    "FROM",
    "FULL",
    "GRANT",
    "GROUP",
    "HAVING",
    "ILIKE",
    "IN",
    "INCLUDE",
    "INDEX",
    "INNER",
    "INSERT",
    "INTO",
    "IS",
    "JOIN",
    "LATERAL",
    "LEFT",
    "LIKE",
    "LIMIT",
    "MERGE",
    "NOT",
    "NULL",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "PARTITION",
    "RECURSIVE",
    "REINDEX",
    "RETURNING",
    "RIGHT",
    "ROLLBACK",
    "SELECT",
    "SET",
    "TABLE",
    "THEN",
    "UNION",
    "UNIQUE",
    "UPDATE",
    "USING",
    "VACUUM",
    "VALUES",
    "WHEN",
    "WHERE",
    "WITH",
];

/// Splits a text into tokens; together they are the text again.
pub fn tokens(sql: &str) -> Vec<(TokenKind, &str)> {
    let mut found = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let (kind, length) = next(rest, first);
        let (token, after) = rest.split_at(length);
        let kind = if kind == TokenKind::Name && is_keyword(token) { TokenKind::Keyword } else { kind };
        found.push((kind, token));
        rest = after;
    }
    found
}

fn is_keyword(word: &str) -> bool {
    KEYWORDS.binary_search_by(|keyword| keyword.bytes().cmp(word.bytes().map(|byte| byte.to_ascii_uppercase()))).is_ok()
}

fn next(rest: &str, first: char) -> (TokenKind, usize) {
    let bytes = rest.as_bytes();
    let second = bytes.get(1).copied().unwrap_or(0);
    let while_ = |condition: fn(char) -> bool| rest.find(|c| !condition(c)).unwrap_or(rest.len());
    match first {
        c if c.is_whitespace() => (TokenKind::Space, while_(char::is_whitespace)),
        '-' if second == b'-' => (TokenKind::Comment, rest.find('\n').unwrap_or(rest.len())),
        '/' if second == b'*' => (TokenKind::Comment, block_comment(rest)),
        '\'' => (TokenKind::Literal, quoted(rest, '\'', false)),
        '"' => (TokenKind::Name, quoted(rest, '"', false)),
        'e' | 'E' if second == b'\'' => (TokenKind::Literal, 1 + quoted(&rest[1..], '\'', true)),
        'b' | 'B' | 'x' | 'X' | 'n' | 'N' if second == b'\'' => {
            (TokenKind::Literal, 1 + quoted(&rest[1..], '\'', false))
        }
        '$' if second.is_ascii_digit() => {
            (TokenKind::Parameter, 1 + rest[1..].find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len() - 1))
        }
        '$' => dollar_quoted(rest).map_or((TokenKind::Symbol, 1), |length| (TokenKind::Literal, length)),
        c if c.is_ascii_digit() || c == '.' && second.is_ascii_digit() => (TokenKind::Literal, number(bytes)),
        c if c.is_alphabetic() || c == '_' => {
            (TokenKind::Name, while_(|c| c.is_alphanumeric() || c == '_' || c == '$'))
        }
        c => (TokenKind::Symbol, c.len_utf8()),
    }
}

fn number(bytes: &[u8]) -> usize {
    let mut i = 0;
    while let Some(byte) = bytes.get(i) {
        let exponent_sign = matches!(byte, b'+' | b'-') && i > 0 && matches!(bytes[i - 1], b'e' | b'E');
        if byte.is_ascii_alphanumeric() || *byte == b'.' || *byte == b'_' || exponent_sign { i += 1 } else { break }
    }
    i.max(1)
}

fn quoted(rest: &str, quote: char, backslash: bool) -> usize {
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((i, c)) = chars.next() {
        if c == '\\' && backslash {
            chars.next();
        } else if c == quote {
            if chars.peek().is_some_and(|(_, next)| *next == quote) {
                chars.next();
            } else {
                return i + 1;
            }
        }
    }
    rest.len()
}

fn dollar_quoted(rest: &str) -> Option<usize> {
    let tag_end = 1 + rest.get(1..)?.find('$')?;
    let tag = &rest[..=tag_end];
    let inside = &tag[1..tag_end];
    if !inside.chars().all(|c| c.is_alphanumeric() || c == '_') {
        return None;
    }
    Some(rest[tag.len()..].find(tag).map_or(rest.len(), |end| end + 2 * tag.len()))
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut i) = (0usize, 0);
    let bytes = rest.as_bytes();
    while i + 1 < bytes.len() {
        match (bytes[i], bytes[i + 1]) {
            (b'/', b'*') => {
                depth += 1;
                i += 2;
            }
            (b'*', b'/') => {
                depth -= 1;
                i += 2;
                if depth == 0 {
                    return i;
                }
            }
            _ => i += 1,
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_sorted_for_the_search() {
        assert!(KEYWORDS.is_sorted());
    }

    #[test]
    fn keywords_are_those_outside_of_quotes_and_comments() {
        let sql = "select p.\"order\" from t -- where\n where a = 'and' AND b = $1";
        let found = tokens(sql).into_iter().filter(|(kind, _)| *kind == TokenKind::Keyword);
        assert_eq!(found.map(|(_, token)| token).collect::<Vec<_>>(), ["select", "from", "where", "AND"]);
    }
}
