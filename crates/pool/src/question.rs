//! A question: text of ours, and values that may be anybody's.
use std::fmt::Write as _;

/// What can stand for `$n`, as PostgreSQL reads it from text.
pub trait Value {
    /// The type in SQL.
    const TYPE: &'static str;
    /// In the text form of the type.
    fn text(&self) -> String;
}

macro_rules! plain {
    ($($of:ty => $name:literal),+ $(,)?) => {$(
        impl Value for $of {
            const TYPE: &'static str = $name;
            fn text(&self) -> String {
                self.to_string()
            }
        }
    )+};
}
plain!(i64 => "int8", i32 => "int4", i16 => "int2", f32 => "float4", bool => "bool", String => "text", &str => "text");

impl Value for Vec<String> {
    const TYPE: &'static str = "text[]";
    fn text(&self) -> String {
        let mut text = String::from("{");
        for (i, one) in self.iter().enumerate() {
            text.push_str(if i > 0 { ",\"" } else { "\"" });
            for letter in one.chars() {
                if matches!(letter, '"' | '\\') {
                    text.push('\\');
                }
                text.push(letter);
            }
            text.push('"');
        }
        text.push('}');
        text
    }
}

/// Its text is prepared once a connection; then only the name and the values are sent.
#[derive(Clone, Debug, Default)]
pub struct Question {
    sql: String,
    types: String,
    pub(crate) values: String,
    count: usize,
    /// Of a sheet; else 0.
    pub(crate) columns: usize,
}

impl Question {
    /// Begins with text of ours.
    pub fn new(sql: &str) -> Self {
        Self { sql: sql.to_owned(), ..Self::default() }
    }

    /// Adds text of ours.
    pub fn push(&mut self, sql: impl AsRef<str>) -> &mut Self {
        self.sql.push_str(sql.as_ref());
        self
    }

    /// Adds a value: `$n` in the text.
    pub fn push_bind<V: Value>(&mut self, value: V) -> &mut Self {
        self.count += 1;
        if self.count > 1 {
            self.types.push(',');
            self.values.push(',');
        }
        self.types.push_str(V::TYPE);
        self.values.push_str(&quoted(&value.text()));
        // Writing to a String cannot fail.
        let _ = write!(self.sql, "${}", self.count);
        self
    }

    /// The value that was added last, once more.
    pub fn push_last(&mut self) -> &mut Self {
        // Writing to a String cannot fail.
        let _ = write!(self.sql, "${}", self.count);
        self
    }

    /// What is prepared: the same for questions that differ in their values alone.
    pub(crate) fn body(&self) -> String {
        if self.count == 0 { format!(" AS {}", self.sql) } else { format!("({}) AS {}", self.types, self.sql) }
    }

    /// Asks it by the name that it was prepared by.
    pub(crate) fn execute(&self, name: &str) -> String {
        if self.count == 0 { format!("EXECUTE {name}") } else { format!("EXECUTE {name}({})", self.values) }
    }
}

/// A string in SQL. Our sessions run with standard_conforming_strings: only the quote itself is special.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\0', "").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_end_its_string() {
        let mut question = Question::new("SELECT ");
        question.push_bind("x'); DROP TABLE t; --\\\0").push(", ").push_bind(7_i64).push(" + ").push_last().push(", ");
        question.push_bind(vec!["a'b".to_owned(), "c\"d\\".to_owned(), "NULL".to_owned(), String::new()]);
        assert_eq!(question.body(), "(text,int8,text[]) AS SELECT $1, $2 + $2, $3");
        assert_eq!(
            question.execute("q1"),
            r#"EXECUTE q1('x''); DROP TABLE t; --\','7','{"a''b","c\"d\\","NULL",""}')"#
        );
        let plain = Question::new("SELECT 1");
        assert_eq!((plain.body().as_str(), plain.execute("q2").as_str()), (" AS SELECT 1", "EXECUTE q2"));
    }
}
