//! Records of `csvlog`: fields in quotes hold line ends.

/// The records of a text; one that is cut off at its end is left out.
pub(super) fn records(text: &str) -> impl Iterator<Item = Vec<String>> + '_ {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut fields = Vec::new();
        let mut field = String::new();
        let mut chars = rest.char_indices().peekable();
        let mut quoted = false;
        while let Some((at, c)) = chars.next() {
            match c {
                '"' if quoted && chars.peek().is_some_and(|(_, next)| *next == '"') => {
                    field.push('"');
                    chars.next();
                }
                '"' => quoted = !quoted,
                ',' if !quoted => fields.push(std::mem::take(&mut field)),
                '\n' if !quoted => {
                    fields.push(std::mem::take(&mut field));
                    rest = &rest[at + 1..];
                    return Some(fields);
                }
                c => field.push(c),
            }
        }
        rest = "";
        None
    })
}

#[cfg(test)]
mod tests {
    use super::records;

    #[test]
    fn quotes_hold_commas_quotes_and_lines() {
        let found = records("a,\"b,\"\"c\"\"\nd\",\ne,f\n\"cut off").collect::<Vec<_>>();
        assert_eq!(found, [vec!["a", "b,\"c\"\nd", ""], vec!["e", "f"]]);
    }
}
