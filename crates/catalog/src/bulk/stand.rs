//! Plugins as far as operations touch them.
use super::BulkRequest;
use crate::{CatalogError, discovery::words, versions::NEWEST};
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use std::collections::BTreeMap;

/// One of them, as it is now.
#[derive(Clone, Debug, Default)]
pub(super) struct Stand {
    pub name: String,
    pub is_installed: bool,
    pub is_enabled: bool,
    pub tags: Vec<String>,
    /// The installed version, and the id of its row where there is one.
    pub installed: Option<String>,
    pub installed_id: Option<i64>,
    /// The version that the operation would install, where there is one: its id and its number.
    pub to: Option<(i64, String)>,
}

/// Those that are there.
pub(super) async fn stands(
    connection: &mut PgConnection,
    request: &BulkRequest,
    ids: &[i64],
) -> Result<BTreeMap<i64, Stand>, CatalogError> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let sql = format!(
        "SELECT p.id, p.name, p.installed_version, p.is_installed, p.is_enabled, p.tags, current.id AS installed_id, newest.id AS newest_id, newest.version
         FROM plugins p LEFT JOIN plugin_versions current ON current.plugin_id = p.id AND current.version = p.installed_version
         LEFT JOIN LATERAL ({NEWEST}) AS newest ON true WHERE p.id = ANY($1)"
    );
    // The text is ours; the ids are bound.
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(ids).persistent(false).fetch_all(&mut *connection).await?;
    let mut stands = BTreeMap::new();
    for row in &rows {
        let newest = (row.try_get::<Option<i64>, _>("newest_id")?, row.try_get::<Option<String>, _>("version")?);
        let stand = Stand {
            name: row.try_get("name")?,
            is_installed: row.try_get("is_installed")?,
            is_enabled: row.try_get("is_enabled")?,
            tags: words(row, "tags")?,
            installed: row.try_get("installed_version")?,
            installed_id: row.try_get("installed_id")?,
            to: newest.0.zip(newest.1),
        };
        stands.insert(row.try_get("id")?, stand);
    }
    if !request.versions.is_empty() {
        exactly(connection, request, &mut stands).await?;
    }
    Ok(stands)
}

/// Where the request names a version, that one is meant and no other.
async fn exactly(
    connection: &mut PgConnection,
    request: &BulkRequest,
    stands: &mut BTreeMap<i64, Stand>,
) -> Result<(), CatalogError> {
    let (mut ids, mut versions) = (Vec::new(), Vec::new());
    for (id, stand) in stands.iter_mut() {
        if let Some(version) = request.versions.get(id) {
            stand.to = None;
            ids.push(*id);
            versions.push(version.as_str());
        }
    }
    let found = sqlx::query_as::<_, (i64, i64, String)>("SELECT v.plugin_id, v.id, v.version FROM unnest($1::int8[], $2::text[]) AS u (id, version) JOIN plugin_versions v ON v.plugin_id = u.id AND v.version = u.version WHERE NOT v.yanked")
        .bind(ids)
        .bind(versions)
        .fetch_all(connection)
        .await?;
    for (plugin, id, version) in found {
        if let Some(stand) = stands.get_mut(&plugin) {
            stand.to = Some((id, version));
        }
    }
    Ok(())
}
