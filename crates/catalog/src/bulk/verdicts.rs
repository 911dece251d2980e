//! What is to be said of each item before anything is done.
use super::{BulkOperation, BulkRequest, fit};
use crate::CatalogError;
use sqlx::{AssertSqlSafe, PgConnection};

/// Of one plugin. `done` is "will be".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub id: i64,
    /// `done`, `unchanged`, `refused: …`, `failed: …`
    pub said: String,
    /// The version that is installed by it.
    pub to: Option<String>,
    /// What it is written down as among the plugin's operations.
    pub does: &'static str,
}

impl Verdict {
    pub(super) fn is_done(&self) -> bool {
        self.said == "done"
    }

    pub(super) fn is_refused(&self) -> bool {
        self.said.starts_with("refused")
    }

    /// The outcome, and why where it is a bad one.
    pub(super) fn parts(&self) -> (&str, Option<&str>) {
        self.said.split_once(": ").map_or((self.said.as_str(), None), |(outcome, reason)| (outcome, Some(reason)))
    }
}

/// Of some plugins of an operation on `all`, in the order of their ids. Both are sorted.
pub(crate) async fn verdicts(
    connection: &mut PgConnection,
    request: &BulkRequest,
    ids: &[i64],
    all: &[i64],
) -> Result<Vec<Verdict>, CatalogError> {
    if request.operation.moves() || request.operation == BulkOperation::Enable {
        return fit::verdicts(connection, request, ids, all).await;
    }
    // The text is ours; everything else is bound.
    let said = sqlx::query_as::<_, (i64, String)>(AssertSqlSafe(request.question()))
        .bind(ids)
        .bind(all)
        .bind(&request.add_tags)
        .bind(&request.remove_tags)
        .persistent(false)
        .fetch_all(connection)
        .await?;
    let does = request.operation.as_str();
    Ok(said.into_iter().map(|(id, said)| Verdict { id, said, to: None, does }).collect())
}

impl BulkRequest {
    /// Where no version is at stake the database says it all.
    fn question(&self) -> String {
        let refused = match self.operation {
            BulkOperation::Disable => format!(
                "WHEN NOT p.is_enabled THEN 'unchanged' WHEN {NEEDING} IS NOT NULL THEN 'refused: ' || {NEEDING} || ' needs it and is enabled'"
            ),
            BulkOperation::Delete => {
                format!("WHEN {NEEDING_AT_ALL} IS NOT NULL THEN 'refused: ' || {NEEDING_AT_ALL} || ' needs it'")
            }
            _ => "WHEN p.tags @> $3 AND NOT p.tags && $4 THEN 'unchanged'".to_owned(),
        };
        format!(
            "SELECT u.id, CASE WHEN p.id IS NULL THEN 'refused: there is no such plugin' {refused} ELSE 'done' END AS verdict
             FROM unnest($1::int8[]) AS u (id) LEFT JOIN plugins p ON p.id = u.id
             WHERE $2::int8[] IS NOT NULL AND $3::text[] IS NOT NULL AND $4::text[] IS NOT NULL ORDER BY u.id"
        )
    }
}

/// Something enabled that needs it and is not part of the operation (`$2`).
const NEEDING: &str = "(SELECT min(n.name) FROM plugin_dependencies d JOIN plugin_versions v ON v.id = d.plugin_version_id JOIN plugins n ON n.id = v.plugin_id WHERE d.depends_on_id = p.id AND NOT d.optional AND n.is_enabled AND v.version = n.installed_version AND n.id <> ALL($2))";
const NEEDING_AT_ALL: &str = "(SELECT min(n.name) FROM plugin_dependencies d JOIN plugin_versions v ON v.id = d.plugin_version_id JOIN plugins n ON n.id = v.plugin_id WHERE d.depends_on_id = p.id AND NOT d.optional AND n.id <> ALL($2))";
