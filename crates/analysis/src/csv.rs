//! CSV by RFC 4180. Text cells that a spreadsheet would run as a formula get an apostrophe in front (OWASP).

/// One cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Free text.
    Text(String),
    /// A number; `None` is empty.
    Number(Option<f64>),
    /// A whole number.
    Whole(i64),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// Header and rows. Names in the header may be labels, as of a standby or an application: they are written as text too.
pub fn write(header: &[&str], rows: impl IntoIterator<Item = Vec<Cell>>) -> String {
    let mut out = String::new();
    for (i, name) in header.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        push_text(&mut out, name);
    }
    out.push_str("\r\n");
    for row in rows {
        for (i, cell) in row.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            match cell {
                Cell::Text(text) => push_text(&mut out, text),
                Cell::Number(Some(number)) if number.is_finite() => out.push_str(&number.to_string()),
                Cell::Number(_) => {}
                Cell::Whole(number) => out.push_str(&number.to_string()),
            }
        }
        out.push_str("\r\n");
    }
    out
}

fn push_text(out: &mut String, text: &str) {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if formula || text.contains(['"', ',', '\n', '\r']) {
        out.push('"');
        if formula {
            out.push('\'');
        }
        out.push_str(&text.replace('"', "\"\""));
        out.push('"');
    } else {
        out.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_be_and_formulas_are_defused() {
        let csv = write(
            &["a", "=b", "calls, earlier"],
            [
                vec!["x,\"y\"".into(), Cell::Number(None), Cell::Whole(-3)],
                vec!["=1+1".into(), Cell::Number(Some(0.5)), "-".into()],
            ],
        );
        assert_eq!(csv, "a,\"'=b\",\"calls, earlier\"\r\n\"x,\"\"y\"\"\",,-3\r\n\"'=1+1\",0.5,\"'-\"\r\n");
    }
}
