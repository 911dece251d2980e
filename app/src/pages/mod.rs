//! One file a page.

mod account;
mod activity;
mod backups;
mod indexes;
mod job;
mod locks;
mod login;
mod not_found;
mod overview;
mod performance;
mod queries;
mod query;
mod recovery;

pub use account::Account;
pub use activity::Activity;
pub use backups::{BackupPage, Backups, RetentionPage};
pub use job::JobPage;
pub use locks::Locks;
pub use login::{Login, Setup};
pub use not_found::NotFound;
pub use overview::Overview;
pub use performance::Performance;
pub use query::QueryPage;
pub use recovery::{Recovery, RestorePage};
