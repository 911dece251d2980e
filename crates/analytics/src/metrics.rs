//! Metrics over a plan: sums, extremes and histograms of buckets, merged here.
use crate::{
    AnalyticsError, HOUR_MS,
    filter::{Only, SeriesFilter, bind_only},
    floor,
    plan::{Known, Plan, Tier},
    zone::Zone,
};
use catalog::Tenant;
use domain::{
    Timestamp,
    view::{AnalyticsPoint, Bucket},
};
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use std::collections::BTreeMap;

/// What is known of one bucket.
#[derive(Clone, Debug, PartialEq)]
struct Merged {
    samples: i64,
    sum: f64,
    min: f64,
    max: f64,
    /// Samples by bin, in the order of values.
    bins: BTreeMap<i16, i64>,
}

impl Merged {
    const NONE: Self = Self { samples: 0, sum: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY, bins: BTreeMap::new() };

    fn add(&mut self, (samples, sum, min, max): (i64, f64, f64, f64), bins: impl Iterator<Item = (i16, i64)>) {
        self.samples += samples;
        self.sum += sum;
        self.min = self.min.min(min);
        self.max = self.max.max(max);
        for (bin, count) in bins {
            *self.bins.entry(bin).or_default() += count;
        }
    }

    /// The middle of the bin in which the share is reached; `analytics_bin` of the schema is its counterpart.
    fn quantile(&self, share: f64) -> Option<f64> {
        let total: i64 = self.bins.values().sum();
        let wanted = ((total as f64 * share).ceil() as i64).max(1);
        let mut seen = 0;
        for (bin, count) in &self.bins {
            seen += count;
            if seen >= wanted {
                let power = f64::from(bin.abs()) - 430.0;
                let middle = 1.05_f64.powf(power) * (1.0 + 1.0 / 1.05) / 2.0;
                let value = if *bin == 0 { 0.0 } else { middle.copysign(f64::from(*bin)) };
                return Some(value.clamp(self.min, self.max));
            }
        }
        None
    }

    fn point(&self, at: i64) -> AnalyticsPoint {
        AnalyticsPoint {
            at: Timestamp(at),
            count: self.samples,
            sum: Some(self.sum),
            min: Some(self.min),
            max: Some(self.max),
            p50: self.quantile(0.5),
            p95: self.quantile(0.95),
            p99: self.quantile(0.99),
        }
    }
}

/// Pieces of rows, those of hours that are rolled up apart from the others.
fn by_state(pieces: (Vec<i64>, Vec<i64>), known: &Known) -> [(bool, Vec<i64>, Vec<i64>); 2] {
    let mut apart = [(true, Vec::new(), Vec::new()), (false, Vec::new(), Vec::new())];
    for (mut from, to) in pieces.0.into_iter().zip(pieces.1) {
        while from < to {
            let hour = floor(from, HOUR_MS);
            let until = to.min(hour + HOUR_MS);
            let (_, froms, tos) = &mut apart[usize::from(known.dirty.contains(&hour))];
            match tos.last_mut() {
                Some(last) if *last == from => *last = until,
                _ => {
                    froms.push(from);
                    tos.push(until);
                }
            }
            from = until;
        }
    }
    apart
}

/// $1 tenant, $2 and $3 the pieces, $4 the metric, $5 and so on the conditions, which are on plugins. Each piece is looked up by itself, see
/// [`crate::counts`]. Rows are counted by bucket and bin there, roll-ups come as they are. Rows have an index by plugin and
/// none by tenant; which plugins have any in a piece of clean hours is known from these hours.
fn sql(tier: Tier, (bucket, zone): (Bucket, &Zone), only: &[Only], clean: bool) -> String {
    let (table, time) = match (tier, !only.is_empty()) {
        (Tier::Raw, false) if clean => (
            "(SELECT DISTINCT h.plugin_id FROM analytics_metrics_hour h WHERE h.tenant_id = $1 AND h.metric_name = $4 AND h.bucket >= date_bin('1 hour', to_timestamp(piece.f / 1000.0), timestamptz 'epoch') AND h.bucket < to_timestamp(piece.t / 1000.0)) AS h JOIN plugin_metrics r ON r.plugin_id = h.plugin_id AND",
            "r.\"timestamp\"",
        ),
        (Tier::Raw, _) => ("plugin_metrics", "r.\"timestamp\""),
        (Tier::Restored, _) => ("analytics_restored.plugin_metrics", "r.\"timestamp\""),
        (Tier::Minute, _) => ("analytics_metrics_minute", "r.bucket"),
        (Tier::Hour, _) => ("analytics_metrics_hour", "r.bucket"),
        (Tier::Day, true) => ("analytics_metrics_day", "r.bucket"),
        (Tier::Day, false) => ("analytics_metrics_day_total", "r.bucket"),
    };
    let columns = match tier {
        Tier::Raw | Tier::Restored => "r.value",
        _ => "r.samples, r.value_sum, r.value_min, r.value_max, r.bins, r.bin_samples",
    };
    let mut conditions = (5..).zip(only).map(|(n, one)| one.sql("''", n)).collect::<String>();
    if matches!(tier, Tier::Raw | Tier::Restored) {
        conditions += " AND r.value > '-Infinity' AND r.value < 'Infinity'";
    }
    // The table, or what it is joined to and the first half of the condition.
    let table = if table.ends_with("AND") { table.to_owned() } else { format!("{table} r WHERE") };
    let rows = format!(
        "FROM unnest($2::int8[], $3::int8[]) AS piece (f, t) CROSS JOIN LATERAL (SELECT {time} AS at, {columns} FROM {table} r.tenant_id = $1 AND r.metric_name = $4 AND {time} >= to_timestamp(piece.f / 1000.0) AND {time} < to_timestamp(piece.t / 1000.0){conditions} OFFSET 0) AS e"
    );
    match tier {
        Tier::Raw | Tier::Restored => format!(
            "SELECT (date_part('epoch', {}) * 1000)::int8, count(*), sum(e.value), min(e.value), max(e.value), ARRAY[analytics_bin(e.value)], ARRAY[count(*)] {rows} GROUP BY 1, analytics_bin(e.value)",
            zone.start_sql(bucket, "e.at")
        ),
        _ => format!(
            "SELECT (date_part('epoch', e.at) * 1000)::int8, e.samples, e.value_sum, e.value_min, e.value_max, e.bins, e.bin_samples {rows}"
        ),
    }
}

/// The points of a metric that have samples.
pub(crate) async fn points(
    connection: &mut PgConnection,
    tenant: Tenant,
    (name, filter): (&str, &SeriesFilter),
    (bucket, zone): (Bucket, &Zone),
    plan: &Plan,
    known: &Known,
) -> Result<BTreeMap<i64, AnalyticsPoint>, AnalyticsError> {
    let only = filter.of_users();
    let mut merged: BTreeMap<i64, Merged> = BTreeMap::new();
    let mut reads = by_state(plan.of(Tier::Raw), known).map(|(clean, from, to)| (Tier::Raw, clean, from, to)).to_vec();
    for tier in [Tier::Restored, Tier::Minute, Tier::Hour, Tier::Day] {
        let (from, to) = plan.of(tier);
        reads.push((tier, true, from, to));
    }
    for (tier, clean, from, to) in reads {
        if from.is_empty() {
            continue;
        }
        let query = sqlx::query(AssertSqlSafe(sql(tier, (bucket, zone), &only, clean)))
            .bind(tenant.0)
            .bind(from)
            .bind(to)
            .bind(name);
        for row in bind_only(query, &only).fetch_all(&mut *connection).await? {
            let (bins, counts): (Vec<i16>, Vec<i64>) = (row.try_get(5)?, row.try_get(6)?);
            let sums = (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
            let at = zone.start(bucket, row.try_get(0)?);
            merged.entry(at).or_insert(Merged::NONE).add(sums, bins.into_iter().zip(counts));
        }
    }
    Ok(merged.into_iter().map(|(at, it)| (at, it.point(at))).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// As the schema's function.
    fn bin(value: f64) -> i16 {
        if value.abs() < 1e-9 {
            return 0;
        }
        let power = (value.abs().ln() / 1.05_f64.ln()).ceil() + 430.0;
        power.min(16_000.0).copysign(value) as i16
    }

    #[test]
    fn pieces_are_told_apart_by_the_state_of_their_hours() {
        let h = HOUR_MS;
        let known = Known { dirty: [2 * h, 3 * h].into(), ..Known::default() };
        assert_eq!(
            by_state((vec![5, 2 * h], vec![h, 5 * h]), &known),
            [(true, vec![5, 4 * h], vec![h, 5 * h]), (false, vec![2 * h], vec![4 * h])]
        );
    }

    #[test]
    fn a_quantile_is_within_its_bin() {
        let mut values = (1..=10_000).map(|n| f64::from(n).powf(1.7) / 100.0 - 20.0).collect::<Vec<_>>();
        values.sort_by(f64::total_cmp);
        // Two parts of it merge into the same, whatever the order of their bins.
        let mut merged = Merged::NONE;
        for part in values.chunks(3_000).rev() {
            let sum = part.iter().sum::<f64>();
            let (min, max) = (part[0], part[part.len() - 1]);
            merged.add((part.len() as i64, sum, min, max), part.iter().rev().map(|value| (bin(*value), 1)));
        }
        for share in [0.01, 0.5, 0.95, 0.99, 1.0] {
            let exact = values[((values.len() as f64 * share).ceil() as usize).max(1) - 1];
            let read = merged.quantile(share).unwrap();
            assert!((read - exact).abs() <= exact.abs() * 0.0256, "{share}: {read} for {exact}");
        }
        assert_eq!((merged.samples, merged.min, merged.max), (10_000, values[0], values[9_999]));
        assert_eq!(Merged::NONE.quantile(0.5), None);
    }
}
