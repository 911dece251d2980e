//! The control store: Holdfast's own records, on an embedded SQLite file or on a shared PostgreSQL.
//!
//! Only this crate and `migration` know its schema. A repository is made over a connection or a transaction:
//! `AccountRepo(&tx).find(..)`; whatever must be atomic, and every audited change, goes through [`Store::begin`].

mod connect;
pub mod entity;
mod error;
mod repo;

pub use connect::{Store, Transaction};
pub use error::StoreError;
pub use repo::{
    account::{Account, AccountRepo, NewAccount},
    audit::{AuditFilter, AuditRepo, NewAudit, Outcome},
    event::EventRepo,
    job::{JobFilter, JobRepo, JobRow, NewJob},
    lock::LockRepo,
    metric::{MetricPoint, MetricRepo, Sample},
    objective::ObjectiveRepo,
    session::{SessionRepo, SessionRow},
    session_history::{LoadOfQuery, LoadPoint, LoadSamples, SessionHistoryRepo},
    setup::SetupLinkRepo,
    statement::{StatementBucket, StatementRecord, StatementRepo, StatementSampleRow, StatementTotal},
    throttle::{ThrottleRepo, ThrottleRow},
    token::{NewToken, TokenRepo, TokenRow},
};
