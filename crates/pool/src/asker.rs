//! Asking in one message: who is asked for and the question, in one transaction that the message itself begins and ends.
//!
//! A read transaction around a question takes three messages (begin, question, end), and on few cores each costs the server
//! and us about as much as choosing the rows of a page. Several statements in one message are one transaction in PostgreSQL,
//! and what was set for the transaction ends with it, however it ends.
use crate::{
    Question, Sheet,
    error::{code, out_of_step},
    slots::Lease,
};
use domain::Lsn;
use sqlx::{AssertSqlSafe, Executor as _, PgConnection, Row as _, postgres::PgRow};
use std::collections::HashMap;

/// Questions that a connection keeps prepared; the one longest not asked makes room.
const KEPT: usize = 64;

/// What a connection has prepared.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    /// Statements that say for whom it is asked, by what was prepared. Their texts are those of the scopes that there are: few.
    openings: HashMap<String, u64>,
    /// By what was prepared: the name, and when it was asked last.
    known: HashMap<String, (u64, u64)>,
    asked: u64,
    /// Names are never used twice: whether one was prepared in a message that failed need not be known.
    named: u64,
}

fn name(number: u64) -> String {
    format!("holdfast_{number}")
}

fn opening_name(number: u64) -> String {
    format!("opening_{number}")
}

/// Asks questions, each in a read-only transaction of its own.
#[derive(Debug)]
pub struct Asker {
    lease: Lease,
    /// The statement that says for whom it is asked. It gives one text, which begins with how far a replica has replayed.
    opening: Question,
    /// As the first answer had it.
    replayed: Option<Option<Lsn>>,
    in_doubt: bool,
}

impl Asker {
    pub(crate) const fn new(lease: Lease, opening: Question) -> Self {
        Self { lease, opening, replayed: None, in_doubt: false }
    }

    /// The rows of the answer; their values are text, which `try_get` reads all the same.
    ///
    /// # Errors
    /// The statement's own, and those of the connection.
    pub async fn ask(&mut self, question: &Question) -> Result<Vec<PgRow>, sqlx::Error> {
        let asked = self.asked(question).await;
        // A statement that is gone or no longer fits the tables: the next connection prepares it anew.
        let stale = |error: &sqlx::Error| matches!(code(error).as_deref(), Some("26000" | "0A000"));
        self.in_doubt |= asked.as_ref().is_err_and(|error| out_of_step(error) || stale(error));
        asked
    }

    /// The rows of the answer to a [`Question::sheet`].
    ///
    /// # Errors
    /// As [`Self::ask`]; and a column that is not to be NULL is.
    pub async fn sheet(&mut self, question: &Question) -> Result<Sheet, sqlx::Error> {
        let text = one_text(&self.ask(question).await?)?;
        if let Some(sheet) = Sheet::read(text, &Question::plain(), question.columns) {
            return Ok(sheet);
        }
        // A value has in it what parts them: it was there before this is made up.
        let (again, separator) = question.parted_anew();
        let text = one_text(&self.ask(&again).await?)?;
        Sheet::read(text, &separator, question.columns).ok_or_else(|| sqlx::Error::ColumnDecode {
            index: "0".to_owned(),
            source: "a row has fewer values than columns: one of them is NULL".into(),
        })
    }

    async fn asked(&mut self, question: &Question) -> Result<Vec<PgRow>, sqlx::Error> {
        let (connection, prepared) = self.lease.parts().ok_or(sqlx::Error::PoolClosed)?;
        let opening = prepared.opening(connection, &self.opening).await?;
        let name = prepared.name_of(connection, &opening, question).await?;
        let mut rows = message(connection, format!("{opening}; {}", question.execute(&name))).await?;
        if rows.is_empty() {
            return Err(sqlx::Error::Protocol("the answer has no beginning".to_owned()));
        }
        let first = rows.remove(0);
        if self.replayed.is_none() {
            let said = first.try_get::<String, _>(0)?;
            self.replayed = Some(said.split(' ').next().and_then(|text| text.parse().ok()));
        }
        Ok(rows)
    }

    pub(crate) fn connection(&mut self) -> Option<&mut PgConnection> {
        self.lease.connection()
    }

    /// The connection is as it was.
    pub(crate) fn clean(self) {
        self.lease.clean();
    }

    /// Whether any question was answered.
    pub(crate) const fn answered(&self) -> bool {
        self.replayed.is_some()
    }

    /// Gives the connection back when it is as it was; how far a replica had replayed.
    pub(crate) fn end(self) -> Option<Lsn> {
        let replayed = self.replayed.flatten();
        if !self.in_doubt {
            self.lease.clean();
        }
        replayed
    }
}

impl Prepared {
    /// What says for whom it is asked: prepared, because planning a SELECT costs more than this one does.
    async fn opening(&mut self, connection: &mut PgConnection, opening: &Question) -> Result<String, sqlx::Error> {
        let body = opening.body();
        if let Some(number) = self.openings.get(&body) {
            return Ok(opening.execute(&opening_name(*number)));
        }
        self.named += 1;
        let number = self.named;
        message(connection, format!("PREPARE {}{body}", opening_name(number))).await?;
        self.openings.insert(body, number);
        Ok(opening.execute(&opening_name(number)))
    }

    async fn name_of(
        &mut self,
        connection: &mut PgConnection,
        opening: &str,
        question: &Question,
    ) -> Result<String, sqlx::Error> {
        self.asked += 1;
        let body = question.body();
        if let Some((number, asked)) = self.known.get_mut(&body) {
            *asked = self.asked;
            return Ok(name(*number));
        }
        if self.known.len() >= KEPT
            && let Some(oldest) = self.known.iter().min_by_key(|it| it.1.1).map(|it| it.0.clone())
            && let Some((number, _)) = self.known.remove(&oldest)
        {
            message(connection, format!("DEALLOCATE {}", name(number))).await?;
        }
        self.named += 1;
        let number = self.named;
        // For the same role as it is asked: it decides which names mean what.
        message(connection, format!("{opening}; PREPARE {}{body}", name(number))).await?;
        self.known.insert(body, (number, self.asked));
        Ok(name(number))
    }
}

fn one_text(rows: &[PgRow]) -> Result<String, sqlx::Error> {
    rows.first().ok_or(sqlx::Error::RowNotFound)?.try_get(0)
}

async fn message(connection: &mut PgConnection, sql: String) -> Result<Vec<PgRow>, sqlx::Error> {
    // The text is ours; values are quoted by `Scope` and `Question`.
    connection.fetch_all(sqlx::raw_sql(AssertSqlSafe(sql))).await
}
