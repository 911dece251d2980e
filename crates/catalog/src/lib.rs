//! The platform's plugins on the pools: finding them, what they need, changing many of them, and remembering answers.
//! Every question is asked as one tenant, and PostgreSQL itself shows no row of another.
mod bulk;
mod bulk_status;
mod cache;
mod change;
mod dependencies;
mod details;
mod discovery;
mod error;
mod filter;
mod installed;
mod listen;
mod marks;
mod question;
mod solve;
mod tenancy;
mod versions;

pub use bulk::{BulkMode, BulkOperation, BulkRequest};
pub use bulk_status::{BulkState, UNATTENDED, Unfinished};
pub use cache::CacheStats;
pub use change::{NewDependency, NewPlugin, NewVersion, PluginChange};
pub use error::{CatalogError, explained};
pub use filter::{PluginFilter, Sort};
pub use installed::Installed;
pub use listen::CHANNEL;
pub use solve::Wanted;
pub use tenancy::{Tenant, platform_scope};

use cache::ResultCache;
use pool::Pools;
use tokio_util::sync::{CancellationToken, DropGuard};

/// All of it; cheap to clone.
#[derive(Clone, Debug)]
pub struct Catalog {
    pools: Pools,
    cache: ResultCache,
    _guard: std::sync::Arc<DropGuard>,
}

impl Catalog {
    /// Over running pools. `primary_url` is listened on for the changes of other processes.
    pub fn new(pools: Pools, primary_url: secrecy::SecretString) -> Self {
        let cache = ResultCache::new();
        let stop = CancellationToken::new();
        tokio::spawn(listen::run(primary_url, cache.clone(), stop.clone()));
        Self { pools, cache, _guard: std::sync::Arc::new(stop.drop_guard()) }
    }

    /// The pools below, for their figures.
    pub const fn pools(&self) -> &Pools {
        &self.pools
    }

    /// How well answers are remembered.
    pub fn cache_stats(&self) -> CacheStats {
        self.cache.stats()
    }
}
