//! The two ways to read: a piece of work within one transaction, and questions that are one each.
use crate::{
    Asker, PoolError, Question, Reader, Scope, Work,
    error::{Trouble, WorkError, one_line, out_of_step, trouble},
    node::Node,
    pools::simple,
    slots::Lease,
};
use domain::Lsn;
use futures::future::BoxFuture;
use sqlx::Row as _;
use std::marker::PhantomData;

/// What came of one attempt to read.
pub(crate) enum Read<T, E> {
    Done(T),
    /// The replica has not replayed up to the floor.
    Behind,
    /// It is read-only, or a standby.
    Refused(E),
    Lost(String),
    Failed(E),
}

/// Who is read for, and what it must see.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'w> {
    pub(crate) scope: &'w Scope,
    pub(crate) floor: Option<Lsn>,
    /// Questions that are a transaction each, in place of one transaction for all of the work.
    pub(crate) by_message: bool,
}

/// One attempt.
pub(crate) async fn read_once<'a, T, E, F>(
    node: &Node,
    lease: Lease,
    asked: Asked<'_>,
    on_replica: bool,
    work: &F,
) -> Read<T, E>
where
    E: WorkError,
    F: for<'c> Fn(&'c mut Reader, Work<'c, 'a>) -> BoxFuture<'c, Result<T, E>> + Send + Sync,
{
    if asked.by_message {
        ask_once(node, lease, asked, on_replica, work).await
    } else {
        work_once(node, lease, asked, on_replica, work).await
    }
}

/// The transaction begins, the work runs, the transaction is rolled back, which also undoes every SET.
async fn work_once<'a, T, E, F>(node: &Node, lease: Lease, asked: Asked<'_>, on_replica: bool, work: &F) -> Read<T, E>
where
    E: WorkError,
    F: for<'c> Fn(&'c mut Reader, Work<'c, 'a>) -> BoxFuture<'c, Result<T, E>> + Send + Sync,
{
    let mut reader = Reader { asker: Asker::new(lease, Question::default()) };
    // The query before the work fixes the transaction: from then on it cannot be made READ WRITE. On the primary the
    // session would write again after a COMMIT or ROLLBACK of its own, so that is turned off too, in a transaction before.
    let begin = if on_replica {
        format!("BEGIN READ ONLY; {}", asked.scope.sql(REPLAYED))
    } else {
        format!(
            "BEGIN; SET default_transaction_read_only = on; COMMIT; BEGIN READ ONLY; {}",
            asked.scope.sql("NULL::text")
        )
    };
    match simple(reader.asker.connection(), &begin).await {
        Ok(rows) => {
            let replayed = rows
                .first()
                .and_then(|row| row.try_get::<Option<String>, _>(0).ok())
                .flatten()
                .and_then(|it| it.parse().ok());
            if is_behind(node, on_replica, asked.floor, replayed) {
                if simple(reader.asker.connection(), "ROLLBACK").await.is_ok() {
                    reader.asker.clean();
                }
                return Read::Behind;
            }
        }
        Err(error) => {
            return match trouble(&error) {
                Trouble::Statement => Read::Failed(E::from(PoolError::Sql(error))),
                _ => Read::Lost(one_line(&error)),
            };
        }
    }
    let result = work(&mut reader, PhantomData).await;
    // Advisory locks and the session's own default are the two things that a rollback does not undo.
    let end = if on_replica {
        "ROLLBACK; SELECT pg_advisory_unlock_all()"
    } else {
        "ROLLBACK; RESET default_transaction_read_only; SELECT pg_advisory_unlock_all()"
    };
    if !result.as_ref().err().and_then(WorkError::sql).is_some_and(out_of_step)
        && simple(reader.asker.connection(), end).await.is_ok()
    {
        reader.asker.clean();
    }
    came_of_it(result)
}

/// Each question is a transaction of its own, which its message begins and ends. The questions are ours, so that the session
/// needs no cleaning after them; that they do not write is seen to all the same.
async fn ask_once<'a, T, E, F>(node: &Node, lease: Lease, asked: Asked<'_>, on_replica: bool, work: &F) -> Read<T, E>
where
    E: WorkError,
    F: for<'c> Fn(&'c mut Reader, Work<'c, 'a>) -> BoxFuture<'c, Result<T, E>> + Send + Sync,
{
    let opening = if on_replica {
        asked.scope.question(REPLAYED)
    } else {
        asked.scope.clone().set("transaction_read_only", "on").question("NULL::text")
    };
    let mut reader = Reader { asker: Asker::new(lease, opening) };
    let result = work(&mut reader, PhantomData).await;
    let answered = reader.asker.answered();
    let replayed = reader.asker.end();
    // What was found on a replica that is too old counts for nothing.
    if answered && is_behind(node, on_replica, asked.floor, replayed) {
        return Read::Behind;
    }
    came_of_it(result)
}

/// How far a standby has replayed; what begins a read there gives it first.
const REPLAYED: &str = "pg_last_wal_replay_lsn()::text";

/// Whether a replica lacks what the reader wrote.
fn is_behind(node: &Node, on_replica: bool, floor: Option<Lsn>, replayed: Option<Lsn>) -> bool {
    if let Some(replayed) = replayed {
        node.saw_replay(replayed);
    }
    on_replica && floor.is_some_and(|floor| replayed.is_none_or(|replayed| replayed < floor))
}

fn came_of_it<T, E: WorkError>(result: Result<T, E>) -> Read<T, E> {
    match result {
        Ok(value) => Read::Done(value),
        Err(error) => match error.sql().map(trouble) {
            Some(Trouble::Server) => Read::Lost(error.sql().map(one_line).unwrap_or_default()),
            Some(Trouble::ReadOnly | Trouble::Standby) => Read::Refused(error),
            _ => Read::Failed(error),
        },
    }
}
