//! Repositories: one file for each resource. Each is made over anything that runs statements, so that the same code
//! works alone and inside a transaction.
pub mod account;
pub mod alert;
pub mod alert_channel;
pub mod alert_rule;
pub mod audit;
mod damage;
pub mod dismissal;
pub mod dr;
pub mod event;
pub mod health_weights;
pub mod job;
pub mod known_standby;
pub mod lock;
pub mod log_sample;
pub mod metric;
pub mod objective;
pub mod person;
pub mod plan;
pub mod session;
pub mod session_history;
pub mod setup;
pub mod statement;
pub mod throttle;
pub mod tier;
pub mod token;
