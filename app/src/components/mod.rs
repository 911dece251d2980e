//! What pages are built from.

mod chart;
#[cfg(feature = "ssr")]
mod confirm;
mod copy;
mod dismiss;
mod frame;
mod icon;
mod live;
mod load;
mod panel;
mod signal;
mod state;
mod statement;
#[cfg(feature = "ssr")]
mod timebar;

pub use chart::{Chart, Spark};
#[cfg(feature = "ssr")]
pub use confirm::{Confirm, FormOutcome};
pub use copy::CopyButton;
pub use dismiss::Dismiss;
pub use frame::Frame;
pub use icon::{Icon, Logo};
pub use live::LiveBadge;
pub use load::LoadPanel;
pub use panel::{Panel, laid_out};
pub use signal::{SignalMenu, Told};
pub use state::{Failed, Missing, Skeleton, ago, answered};
pub use statement::{statement, statement_or_words};
#[cfg(feature = "ssr")]
pub use timebar::TimeBar;
