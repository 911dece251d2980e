//! Roll-ups of events: hours and minutes from the rows, the day from its hours, totals from both.
use super::{Fill, Marks, bin, marked, of_day, users};
use sqlx::PgConnection;

const KEY: &str = "tenant_id, bucket, plugin_id, event_type, country";

/// Marked minutes or hours.
pub(super) fn from_rows<'a>(table: &'a str, tier: &str) -> Fill<'a> {
    let fresh = format!(
        "SELECT tenant_id, {} AS bucket, plugin_id, event_type, coalesce(country::text, '') AS country, count(*) AS events FROM plugin_analytics WHERE {} GROUP BY 1, 2, 3, 4, 5",
        bin(tier, "\"timestamp\""),
        marked("\"timestamp\"")
    );
    Fill { table, key: KEY, values: "events", fresh }
}

/// The day of every tenant that has a mark in it.
pub(super) async fn day(connection: &mut PgConnection, marks: &Marks) -> Result<(), sqlx::Error> {
    let within = of_day("bucket");
    let fills = [
        Fill {
            table: "analytics_events_day",
            key: KEY,
            values: "events",
            fresh: format!(
                "SELECT tenant_id, {} AS bucket, plugin_id, event_type, country, sum(events)::int8 AS events FROM analytics_events_hour WHERE {within} GROUP BY 1, 2, 3, 4, 5",
                bin("day", "bucket")
            ),
        },
        Fill {
            table: "analytics_events_hour_total",
            key: "tenant_id, bucket",
            values: "events",
            fresh: format!(
                "SELECT tenant_id, bucket, sum(events)::int8 AS events FROM analytics_events_hour WHERE {within} GROUP BY 1, 2"
            ),
        },
        Fill {
            table: "analytics_events_day_total",
            key: "tenant_id, dimension, bucket, key",
            values: "events",
            fresh: format!(
                "SELECT d.tenant_id, x.dimension, d.bucket, x.key, sum(d.events)::int8 AS events FROM (SELECT * FROM analytics_events_day WHERE {within}) AS d CROSS JOIN LATERAL (VALUES ('all', ''), ('plugin', d.plugin_id::text), ('event_type', d.event_type), ('country', d.country)) AS x (dimension, key) GROUP BY 1, 2, 3, 4"
            ),
        },
    ];
    for fill in fills {
        if marks.removed {
            marks.run_day(&mut *connection, format!("DELETE FROM {} WHERE {within}", fill.table)).await?;
        }
        // A tenant has few of them: it does not pay to look whether there is any.
        marks.run_day(&mut *connection, fill.sql(false)).await?;
    }
    users::day(connection, marks).await
}
