//! One file a page.

#[cfg(feature = "ssr")]
mod account;
mod activity;
#[cfg(feature = "ssr")]
mod advice;
#[cfg(feature = "ssr")]
pub mod alert_filter;
mod alerts;
#[cfg(feature = "ssr")]
mod analytics;
#[cfg(feature = "ssr")]
mod audit;
#[cfg(feature = "ssr")]
mod backups;
#[cfg(feature = "ssr")]
mod estate;
#[cfg(feature = "ssr")]
mod index;
#[cfg(feature = "ssr")]
pub mod index_list;
mod indexes;
#[cfg(feature = "ssr")]
mod job;
#[cfg(feature = "ssr")]
mod jobs;
mod locks;
#[cfg(feature = "ssr")]
mod login;
#[cfg(feature = "ssr")]
mod moment;
#[cfg(feature = "ssr")]
mod named;
mod not_found;
mod overview;
mod performance;
#[cfg(feature = "ssr")]
mod plan;
#[cfg(feature = "ssr")]
mod plan_log;
#[cfg(feature = "ssr")]
mod plans;
#[cfg(feature = "ssr")]
mod plugins;
mod queries;
mod query;
#[cfg(feature = "ssr")]
mod recovery;
#[cfg(feature = "ssr")]
mod removal;
#[cfg(feature = "ssr")]
mod score;
#[cfg(feature = "ssr")]
mod start;
#[cfg(feature = "ssr")]
pub mod statement_tab;
#[cfg(feature = "ssr")]
mod stream_badge;
#[cfg(feature = "ssr")]
mod tenant;
#[cfg(feature = "ssr")]
pub mod topology;

#[cfg(feature = "ssr")]
pub use account::Account;
pub use activity::Activity;
#[cfg(feature = "ssr")]
pub use advice::Advice;
pub use alerts::Alerts;
#[cfg(feature = "ssr")]
pub use analytics::AnalyticsPage;
#[cfg(feature = "ssr")]
pub use audit::Audit;
#[cfg(feature = "ssr")]
pub use backups::{BackupPage, Backups, RetentionPage};
#[cfg(feature = "ssr")]
pub use estate::Estate;
#[cfg(feature = "ssr")]
pub use index::IndexPage;
#[cfg(feature = "ssr")]
pub use job::JobPage;
#[cfg(feature = "ssr")]
pub use jobs::JobsPage;
pub use locks::Locks;
#[cfg(feature = "ssr")]
pub use login::{Login, Setup};
pub use not_found::NotFound;
pub use overview::Overview;
pub use performance::Performance;
#[cfg(feature = "ssr")]
pub use plan::QueryPlan;
#[cfg(feature = "ssr")]
pub use plans::Plans;
#[cfg(feature = "ssr")]
pub use plugins::{BulkPage, BulkPreviewPage, PluginPage, PluginsPage};
pub use query::QueryPage;
#[cfg(feature = "ssr")]
pub use recovery::{Recovery, RestorePage};
#[cfg(feature = "ssr")]
pub use score::Score;
#[cfg(feature = "ssr")]
pub use start::Start;

// In the browser these addresses lead to the server.
#[cfg(not(feature = "ssr"))]
mod elsewhere;
#[cfg(not(feature = "ssr"))]
pub use elsewhere::{
    Elsewhere as Account, Elsewhere as Advice, Elsewhere as AnalyticsPage, Elsewhere as Audit, Elsewhere as BackupPage,
    Elsewhere as Backups, Elsewhere as BulkPage, Elsewhere as BulkPreviewPage, Elsewhere as Estate,
    Elsewhere as IndexPage, Elsewhere as JobPage, Elsewhere as JobsPage, Elsewhere as Login, Elsewhere as Plans,
    Elsewhere as PluginPage, Elsewhere as PluginsPage, Elsewhere as QueryPlan, Elsewhere as Recovery,
    Elsewhere as RestorePage, Elsewhere as RetentionPage, Elsewhere as Score, Elsewhere as Setup, Elsewhere as Start,
};
