//! Percentiles of latency over long times.
use crate::{ControlError, ControlPlane};
use analysis::latency_classes;
use domain::{Timestamp, view::Metric};
use store::{MetricPoint, MetricRepo};

/// Each recorded percentile is one of the last five minutes. For points that are further apart their mean would be no
/// percentile of anything: those are made of the calls counted by class.
const WINDOW_MS: i64 = 300_000;

const fn quantile(metric: Metric) -> Option<f64> {
    match metric {
        Metric::LatencyP50Ms => Some(0.5),
        Metric::LatencyP95Ms => Some(0.95),
        Metric::LatencyP99Ms => Some(0.99),
        _ => None,
    }
}

impl ControlPlane {
    /// Puts the percentiles of all calls of a bucket in the place of the mean of the percentiles recorded within it; where
    /// calls were not counted by class, as before there was such a thing, the mean stays.
    pub(crate) async fn percentiles_of_distributions(
        &self,
        cluster: &str,
        metric: Metric,
        from: Timestamp,
        to: Timestamp,
        step_ms: i64,
        points: &mut Vec<MetricPoint>,
    ) -> Result<(), ControlError> {
        let Some(wanted) = quantile(metric).filter(|_| step_ms >= WINDOW_MS) else { return Ok(()) };
        let repo = MetricRepo(self.inner.store.db());
        let mut buckets = repo.histograms(cluster, Metric::MeanLatencyMs, from, to, step_ms).await?;
        for point in points.iter_mut() {
            if let Some(value) =
                buckets.remove(&point.bucket).and_then(|counts| latency_classes::quantile(&counts, wanted))
            {
                point.value = value;
            }
        }
        for (bucket, counts) in buckets {
            let value = latency_classes::quantile(&counts, wanted);
            points.extend(value.map(|value| MetricPoint {
                label: String::new(),
                bucket,
                value,
                gap: false,
                reset: false,
            }));
        }
        Ok(())
    }
}
