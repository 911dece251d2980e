//! Settings of one transaction: who it works for.
use crate::{Question, question::quoted};
use std::fmt::Write as _;

/// Settings made by `SET LOCAL`: they end with the transaction, however it ends, and never leak into the next one on
/// the same connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scope {
    locals: Vec<(&'static str, String)>,
}

impl Scope {
    /// Adds a setting. Names are ours; values may be anybody's.
    #[must_use]
    pub fn set(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.locals.push((name, value.into()));
        self
    }

    /// The statement that makes the settings and gives `first` as its first column: one statement costs less than two.
    pub(crate) fn sql(&self, first: &str) -> String {
        let mut sql = format!("SELECT {first}");
        for (name, value) in &self.locals {
            // Writing to a String cannot fail.
            let _ = write!(sql, ", set_config('{name}', {}, true)", quoted(value));
        }
        sql
    }

    /// The same as a question that can be prepared: one text, `first` and the values with a space between them. One column,
    /// because it is described anew with each answer.
    pub(crate) fn question(&self, first: &str) -> Question {
        let mut question = Question::new("SELECT concat_ws(' ', coalesce(");
        question.push(first).push(", '')");
        for (name, value) in &self.locals {
            question.push(format!(", set_config('{name}', ")).push_bind(value.as_str()).push(", true)");
        }
        question.push(")");
        question
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_end_its_string() {
        let scope = Scope::default().set("a.b", "x'; DROP TABLE t; --\\");
        assert_eq!(scope.sql("NULL"), "SELECT NULL, set_config('a.b', 'x''; DROP TABLE t; --\\', true)");
        assert_eq!(Scope::default().sql("NULL"), "SELECT NULL");
        let question = scope.question("now()");
        assert_eq!(
            question.body(),
            "(text) AS SELECT concat_ws(' ', coalesce(now(), ''), set_config('a.b', $1, true))"
        );
        assert_eq!(question.execute("o"), "EXECUTE o('x''; DROP TABLE t; --\\')");
        assert_eq!(Scope::default().question("NULL").body(), " AS SELECT concat_ws(' ', coalesce(NULL, ''))");
    }
}
