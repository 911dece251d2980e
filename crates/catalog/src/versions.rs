//! Which version of a plugin is meant where none is named, in SQL over `plugins p`. The key of a version orders releases
//! after pre-releases, and what is no semantic version has none: `solve` chooses in the same order.

/// The newest that was not taken back: its id and its number.
pub(crate) const NEWEST: &str = "SELECT v.id, v.version FROM plugin_versions v WHERE v.plugin_id = p.id AND NOT v.yanked ORDER BY v.version_key DESC NULLS LAST, v.id DESC LIMIT 1";

/// The one that is looked at: the installed one, else the newest that was not taken back.
pub(crate) const CURRENT_VERSION: &str = "SELECT v.id, v.version FROM plugin_versions v WHERE v.plugin_id = p.id AND (NOT v.yanked OR v.version = p.installed_version) ORDER BY (v.version = p.installed_version) DESC NULLS LAST, v.version_key DESC NULLS LAST, v.id DESC LIMIT 1";
