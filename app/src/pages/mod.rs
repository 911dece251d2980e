//! One file a page.

mod account;
mod activity;
mod alerts;
mod indexes;
mod locks;
mod login;
mod not_found;
mod overview;
mod performance;
mod queries;
mod query;

pub use account::Account;
pub use activity::Activity;
pub use alerts::Alerts;
pub use locks::Locks;
pub use login::{Login, Setup};
pub use not_found::NotFound;
pub use overview::Overview;
pub use performance::Performance;
pub use query::QueryPage;
