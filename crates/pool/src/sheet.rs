//! Rows that come as one text: the server writes the values one after the other, and makes a single row of them all.
//!
//! A row costs the driver about as much as finding it costs the server: it is received, described and divided by itself, and each of
//! its values is looked up once more. In one text all of that is done once (docs/adr/0073-what-a-question-costs-both-sides.md).
use crate::{Fields, Question, question::quoted};
use std::fmt::Write as _;

/// What parts the values, as long as none of them has it in it: a separator of units, which hardly anybody writes.
const PLAIN: char = '\u{1f}';

/// Rows of an answer, their values as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sheet {
    text: String,
    /// Where a value ends and what parts it from the next begins. The first value is the number of rows.
    ends: Vec<usize>,
    /// Bytes between two values.
    between: usize,
    columns: usize,
    rows: usize,
}

impl Sheet {
    /// `None` when it has not as many values as it says: one of them has in it what parts them, or is NULL.
    pub(crate) fn read(text: String, separator: &str, columns: usize) -> Option<Self> {
        // A single letter is found by far faster than a text is.
        let ends = if separator.chars().eq([PLAIN]) {
            text.match_indices(PLAIN).map(|it| it.0).collect::<Vec<_>>()
        } else {
            text.match_indices(separator).map(|it| it.0).collect::<Vec<_>>()
        };
        let rows = text.get(..ends.first().copied().unwrap_or(text.len()))?.parse::<usize>().ok()?;
        let whole = columns > 0 && rows.checked_mul(columns) == Some(ends.len());
        whole.then_some(Self { text, ends, between: separator.len(), columns, rows })
    }

    /// How many there are.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// The values of a row, the first of which is row 0. One that there is not has none.
    pub const fn row(&self, row: usize) -> Fields<'_> {
        if row < self.rows { Fields::new(self, row * self.columns, self.columns) } else { Fields::new(self, 0, 0) }
    }

    /// The n-th value of all; the first of the first row is number 0.
    pub(crate) fn value(&self, number: usize) -> Option<&str> {
        let begin = self.ends.get(number)? + self.between;
        let end = self.ends.get(number + 1).copied().unwrap_or(self.text.len());
        self.text.get(begin..end)
    }
}

impl Question {
    /// A question for [`Asker::sheet`](crate::Asker::sheet): `columns` of the rows that a SELECT finds, in its order. All of it is
    /// text of ours; what is bound stands in the SELECT.
    ///
    /// No column may be NULL. Where a value may be missing, `coalesce('=' || value, '')` is what
    /// [`Fields::optional`](crate::Fields::optional) reads.
    pub fn sheet(columns: &[&str], select: impl FnOnce(&mut Self)) -> Self {
        let mut question = Self::new("SELECT concat_ws(");
        question.columns = columns.len();
        question.push_bind(PLAIN.to_string()).push(", count(*), string_agg(concat_ws(").push_last();
        question.push(format!(", {}), ", columns.join(", "))).push_last().push(")) FROM (");
        select(&mut question);
        question.push(") AS sheet");
        question
    }

    /// The same, with its values parted by what nobody can have written into one: it is made up here and now.
    pub(crate) fn parted_anew(&self) -> (Self, String) {
        let mut separator = String::from("<\u{1f}");
        // Writing to a String cannot fail.
        let _ = write!(separator, "{:016x}>", rand::random::<u64>());
        (self.parted_by(&separator), separator)
    }

    /// What parts the values is the first value that is bound.
    fn parted_by(&self, separator: &str) -> Self {
        let mut again = self.clone();
        let others = self.values.strip_prefix(&quoted(&Self::plain())).unwrap_or(&self.values);
        again.values = quoted(separator) + others;
        again
    }

    /// What parts the values at first.
    pub(crate) fn plain() -> String {
        PLAIN.to_string()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(text: &str, columns: usize) -> Option<Sheet> {
        Sheet::read(text.replace('|', "\u{1f}"), "\u{1f}", columns)
    }

    #[test]
    fn a_sheet_has_as_many_values_as_it_says() {
        let sheet = read("2|a||c|d|e|ä €", 3).unwrap();
        assert_eq!(sheet.rows(), 2);
        let row = |n: usize| {
            let mut fields = sheet.row(n);
            [fields.text().unwrap(), fields.text().unwrap(), fields.text().unwrap()].map(str::to_owned)
        };
        assert_eq!((row(0), row(1)), (["a", "", "c"].map(str::to_owned), ["d", "e", "ä €"].map(str::to_owned)));
        let mut second = sheet.row(1);
        for _ in 0..3 {
            second.text().unwrap();
        }
        assert!(second.text().is_err(), "the row has no more");
        let mut first = sheet.row(0);
        for _ in 0..3 {
            first.text().unwrap();
        }
        assert!(first.text().is_err(), "what follows is the next row's");
        assert!(sheet.row(2).text().is_err());
        assert_eq!(read("0", 3).unwrap().rows(), 0);
        for wrong in ["", "x", "1", "1|a|b", "1|a|b|c|d", "2|a|b|c", "0|", "-1|a|b|c"] {
            assert_eq!(read(wrong, 3), None, "{wrong}");
        }
    }

    #[test]
    fn another_separator_is_bound_in_place_of_the_first() {
        let question = Question::sheet(&["a", "b"], |sql| {
            sql.push("SELECT a, b FROM t WHERE a = ").push_bind("x'\u{1f}").push(" AND b = ").push_bind(7_i64);
        });
        assert_eq!(
            question.body(),
            "(text,text,int8) AS SELECT concat_ws($1, count(*), string_agg(concat_ws($1, a, b), $1)) FROM (SELECT a, b FROM t WHERE a = $2 AND b = $3) AS sheet"
        );
        assert_eq!(question.execute("q"), "EXECUTE q('\u{1f}','x''\u{1f}','7')");
        let again = question.parted_by("<'>");
        assert_eq!((again.body(), again.columns), (question.body(), 2));
        assert_eq!(again.execute("q"), "EXECUTE q('<''>','x''\u{1f}','7')");
        let (one, other) = (question.parted_anew(), question.parted_anew());
        assert_ne!(one.1, other.1);
        assert!(one.0.execute("q").starts_with(&format!("EXECUTE q('{}',", one.1)));
        let sheet = Sheet::read("1<>a\u{1f}<>b".to_owned(), "<>", 2).unwrap();
        assert_eq!((sheet.value(0), sheet.value(1), sheet.value(2)), (Some("a\u{1f}"), Some("b"), None));
    }
}
