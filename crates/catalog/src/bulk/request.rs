//! What is asked for: an operation on many plugins.
use crate::CatalogError;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    str::FromStr,
};

/// Most items of one operation.
const MOST_ITEMS: usize = 100_000;

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BulkOperation {
    /// Install the newest version.
    Install,
    /// Enable what is installed.
    Enable,
    /// Disable.
    Disable,
    /// Go to the newest version.
    Upgrade,
    /// Add and remove tags.
    Tag,
    /// Remove from the catalogue.
    Delete,
}

impl BulkOperation {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Install, Self::Enable, Self::Disable, Self::Upgrade, Self::Tag, Self::Delete];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::Upgrade => "upgrade",
            Self::Tag => "tag",
            Self::Delete => "delete",
        }
    }

    /// Whether the installed version changes by it, so that others may no longer fit.
    pub(crate) const fn moves(self) -> bool {
        matches!(self, Self::Install | Self::Upgrade)
    }
}

impl FromStr for BulkOperation {
    type Err = CatalogError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|it| it.as_str() == text).ok_or_else(|| {
            CatalogError::invalid("operation", "operation is install, enable, disable, upgrade, tag or delete")
        })
    }
}

/// What one bad item does to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BulkMode {
    /// All or none.
    Atomic,
    /// Each by itself.
    Each,
}

impl BulkMode {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Atomic => "atomic",
            Self::Each => "each",
        }
    }
}

impl FromStr for BulkMode {
    type Err = CatalogError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "atomic" => Ok(Self::Atomic),
            "each" => Ok(Self::Each),
            _ => Err(CatalogError::invalid("mode", "mode is atomic or each")),
        }
    }
}

/// An operation on many plugins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkRequest {
    /// What.
    pub operation: BulkOperation,
    /// How.
    pub mode: BulkMode,
    /// On which; at most 100,000, in any order.
    pub plugins: BTreeSet<i64>,
    /// Tags to add.
    pub add_tags: Vec<String>,
    /// Tags to remove.
    pub remove_tags: Vec<String>,
    /// Versions to install in place of the newest, by plugin; one that is installed goes to that version. Left out where
    /// there are none: the hash of a request that an older version wrote down stays what it was.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub versions: BTreeMap<i64, String>,
}

impl BulkRequest {
    pub(crate) fn check(&self) -> Result<(), CatalogError> {
        if self.plugins.is_empty() || self.plugins.len() > MOST_ITEMS {
            return Err(CatalogError::invalid("plugins", format!("name 1 to {MOST_ITEMS} plugins")));
        }
        let tags = self.add_tags.iter().chain(&self.remove_tags);
        if (self.operation == BulkOperation::Tag) == (tags.clone().count() == 0) {
            return Err(CatalogError::invalid(
                "tags",
                "tags are added or removed by the operation tag, and only by it",
            ));
        }
        if tags.clone().any(|tag| tag.is_empty() || tag.len() > 60) || tags.count() > 50 {
            return Err(CatalogError::invalid("tags", "a tag has 1 to 60 bytes, and at most 50 are changed at once"));
        }
        let named = self.versions.keys().all(|id| self.plugins.contains(id));
        if !self.versions.is_empty() && (self.operation != BulkOperation::Install || !named) {
            return Err(CatalogError::invalid(
                "versions",
                "versions are named for plugins of the operation install, and only for them",
            ));
        }
        Ok(())
    }

    /// The same request has the same hash: a key is not used for two.
    pub(crate) fn hash(&self) -> String {
        let text = serde_json::to_vec(self).unwrap_or_default();
        Sha256::digest(&text).iter().fold(String::new(), |mut hex, byte| {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_an_older_version_wrote_down_is_still_the_same() {
        let old = r#"{"operation":"install","mode":"each","plugins":[1,2],"add_tags":[],"remove_tags":[]}"#;
        let request = serde_json::from_str::<BulkRequest>(old).unwrap();
        assert_eq!(serde_json::to_string(&request).unwrap(), old);
        let request = BulkRequest { versions: BTreeMap::from([(2, "1.0.0".to_owned())]), ..request };
        let again = serde_json::from_str::<BulkRequest>(&serde_json::to_string(&request).unwrap()).unwrap();
        assert_eq!(again, request);
    }
}
