//! Roll-ups of metrics: hours and minutes from the rows, the day from its hours, the day over all plugins from the day.
use super::{Fill, Marks, bin, marked, of_day};
use crate::DAY_MS;
use sqlx::PgConnection;

const KEY: &str = "tenant_id, metric_name, bucket, plugin_id";
const VALUES: &str = "samples, value_sum, value_min, value_max, bins, bin_samples";

/// Marked minutes or hours. A value that is no number is counted by nobody.
pub(super) fn from_rows<'a>(table: &'a str, tier: &str) -> Fill<'a> {
    let fresh = format!(
        "SELECT tenant_id, metric_name, bucket, plugin_id, sum(n)::int8 AS samples, sum(s) AS value_sum, min(lo) AS value_min, max(hi) AS value_max, array_agg(bin ORDER BY bin) AS bins, array_agg(n ORDER BY bin) AS bin_samples FROM (SELECT tenant_id, metric_name, {} AS bucket, plugin_id, analytics_bin(value) AS bin, count(*) AS n, sum(value) AS s, min(value) AS lo, max(value) AS hi FROM plugin_metrics WHERE {} AND tenant_id IS NOT NULL AND value > '-Infinity' AND value < 'Infinity' GROUP BY 1, 2, 3, 4, 5) AS by_bin GROUP BY 1, 2, 3, 4",
        bin(tier, "\"timestamp\""),
        marked("\"timestamp\"")
    );
    Fill { table, key: KEY, values: VALUES, fresh }
}

/// Histograms of several rows as one. Each row comes once per bin: its sum is taken with its first.
fn merged(from: &str, within: &str, keys: &str) -> String {
    format!(
        "SELECT {keys}, sum(n)::int8 AS samples, sum(value_sum) AS value_sum, min(value_min) AS value_min, max(value_max) AS value_max, array_agg(bin ORDER BY bin) AS bins, array_agg(n ORDER BY bin) AS bin_samples FROM (SELECT {keys}, u.bin, sum(u.n)::int8 AS n, sum(h.value_sum) FILTER (WHERE u.i = 1) AS value_sum, min(h.value_min) AS value_min, max(h.value_max) AS value_max FROM (SELECT *, to_timestamp($4::int8 / 1000.0) AS day FROM {from} WHERE {within}) AS h CROSS JOIN LATERAL unnest(h.bins, h.bin_samples) WITH ORDINALITY AS u (bin, n, i) GROUP BY {keys}, u.bin) AS by_bin GROUP BY {keys}"
    )
}

/// The day of every tenant that has a mark in it.
pub(super) async fn day(connection: &mut PgConnection, marks: &Marks) -> Result<(), sqlx::Error> {
    let within = of_day("bucket");
    let fills = [
        Fill {
            table: "analytics_metrics_day",
            key: KEY,
            values: VALUES,
            fresh: merged("analytics_metrics_hour", &within, "tenant_id, metric_name, day, plugin_id"),
        },
        Fill {
            table: "analytics_metrics_day_total",
            key: "tenant_id, metric_name, bucket",
            values: VALUES,
            fresh: merged("analytics_metrics_day", &within, "tenant_id, metric_name, day"),
        },
    ];
    for fill in fills {
        if marks.removed {
            marks.run_day(&mut *connection, format!("DELETE FROM {} WHERE {within}", fill.table)).await?;
        }
        let empty = fill.is_empty(&mut *connection, marks.day, marks.day + DAY_MS).await?;
        marks.run_day(&mut *connection, fill.sql(empty)).await?;
    }
    Ok(())
}
