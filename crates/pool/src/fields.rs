//! The values of a row of text, one after the other.
use crate::Sheet;
use sqlx::Error;
use std::str::FromStr;

/// Reads the values of a row of a [`Sheet`], in the order of its columns. By their names, each looked up and its type compared, a page of
/// plugins takes the driver nearly as long as choosing it takes the server.
#[derive(Clone, Debug)]
pub struct Fields<'s> {
    sheet: &'s Sheet,
    first: usize,
    next: usize,
    columns: usize,
}

impl<'s> Fields<'s> {
    /// So many values of a sheet, from one on.
    pub(crate) const fn new(sheet: &'s Sheet, first: usize, columns: usize) -> Self {
        Self { sheet, first, next: 0, columns }
    }

    /// The next value.
    ///
    /// # Errors
    /// There is none.
    pub fn text(&mut self) -> Result<&'s str, Error> {
        let sheet = self.sheet;
        let value = if self.next < self.columns { sheet.value(self.first + self.next) } else { None };
        self.next += 1;
        value.ok_or_else(|| self.wrong("the row has no more values"))
    }

    /// The next value, written as `coalesce('=' || value, '')`; `None` for NULL.
    ///
    /// # Errors
    /// There is none.
    pub fn optional(&mut self) -> Result<Option<&'s str>, Error> {
        Ok(self.text()?.strip_prefix('='))
    }

    /// The next value, as what its text stands for.
    ///
    /// # Errors
    /// There is none, or it does not stand for one.
    pub fn parsed<T: FromStr>(&mut self) -> Result<T, Error>
    where
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        self.text()?.parse::<T>().map_err(|error: T::Err| self.wrong(error))
    }

    /// The next value, a boolean.
    ///
    /// # Errors
    /// There is none.
    pub fn flag(&mut self) -> Result<bool, Error> {
        Ok(self.text()? == "t")
    }

    /// The next value, a list of texts; NULL in it is no word.
    ///
    /// # Errors
    /// There is none.
    pub fn words(&mut self) -> Result<Vec<String>, Error> {
        Ok(words(self.text()?))
    }

    /// Of the value that was read last.
    fn wrong(&self, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::ColumnDecode { index: self.next.saturating_sub(1).to_string(), source: why.into() }
    }
}

/// The words of a list as PostgreSQL writes it: `{one,"two, or three",NULL}`.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let (mut quoted, mut within) = (false, false);
    // Where a list does not begin at one, its bounds stand before it.
    let mut letters = text.trim_start_matches(|letter: char| letter != '{').chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => word.extend(letters.next()),
            '"' => {
                within = !within;
                quoted = true;
            }
            ',' | '}' if !within => {
                if quoted || !(word.is_empty() || word == "NULL") {
                    words.push(std::mem::take(&mut word));
                }
                word.clear();
                quoted = false;
            }
            '{' if !within => {}
            letter => word.push(letter),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_postgresql_writes_them() {
        assert_eq!(words("{}"), [""; 0]);
        assert_eq!(words("{one,two}"), ["one", "two"]);
        assert_eq!(
            words(r#"{"a,b","{c}","say \"d\"","back\\slash","",NULL,"NULL","null"," e ",ä€}"#),
            ["a,b", "{c}", "say \"d\"", "back\\slash", "", "NULL", "null", " e ", "ä€"]
        );
        assert_eq!(words("[0:1]={a,NULL}"), ["a"]);
        assert_eq!(words("{{a,b},{c,NULL}}"), ["a", "b", "c"]);
    }
}
