//! The control store: Holdfast's own records, on an embedded SQLite file or on a shared PostgreSQL.
//!
//! Only this crate and `migration` know its schema. A repository is made over a connection or a transaction:
//! `AccountRepo(&tx).find(..)`; whatever must be atomic, and every audited change, goes through [`Store::begin`].

mod connect;
pub mod entity;
mod error;
mod repo;
pub mod rollup;

pub use connect::{Store, Transaction};
pub use error::StoreError;
pub use repo::{
    account::{Account, AccountRepo, NewAccount},
    alert::{AckRow, AlertEventRow, AlertFilter, AlertPhase, AlertRepo, AlertRow, RuleCounts, SilenceRow},
    alert_channel::{ChannelRepo, ChannelRow, DeliveryCount, DeliveryRepo, DeliveryRow, DeliveryState, NewDelivery},
    alert_rule::{AlertRuleRepo, AlertRuleRow, BlackoutRepo, BlackoutRow},
    audit::{AuditFilter, AuditRepo, NewAudit, Outcome},
    dismissal::DismissalRepo,
    dr::{DrDecisionRow, DrPlanRow, DrRepo, DrRunRecord, dr_plan_hash},
    event::EventRepo,
    health_weights::{HealthWeightsRepo, HealthWeightsRow},
    job::{JobFilter, JobRepo, JobRow, NewJob},
    known_standby::KnownStandbyRepo,
    lock::LockRepo,
    log_sample::LogSampleRepo,
    metric::{MetricPoint, MetricRepo, Sample},
    objective::ObjectiveRepo,
    person::{NamesErased, PersonRepo},
    plan::{NewPlan, PlanRepo},
    session::{SessionRepo, SessionRow},
    session_history::{LoadOfQuery, LoadPoint, LoadSamples, SessionHistoryRepo, SessionStretch, SessionsSeen},
    setup::SetupLinkRepo,
    statement::{NewlySlow, StatementBucket, StatementRecord, StatementRepo, StatementSampleRow, StatementTotal},
    throttle::{ThrottleRepo, ThrottleRow},
    tier::{History, Marks, TierRepo, TierSize, prune, roll_up},
    token::{NewToken, TokenRepo, TokenRow},
};
