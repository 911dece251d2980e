//! What we cost ourselves: processor time and memory from `/proc`, the size of the store, what waits to be written.
use crate::{batch::Batch, cadence::Cadence, recorder::Recorder};
use control::{ControlPlane, now};
use domain::view::{Metric, ProcessCost, StoreCost};
use std::time::{Duration, Instant};
use store::Sample;
use tokio_util::sync::CancellationToken;

/// Of one process, and the same on every Linux that is supported.
const CLOCK_TICKS: f64 = 100.0;
/// How often the size of the store is asked for: rows are counted for it.
const STORE_EVERY: Duration = Duration::from_secs(300);

pub(crate) async fn run(control: ControlPlane, recorder: Recorder, cadence: Cadence, stop: CancellationToken) {
    let started = Instant::now();
    let counters = recorder.counters();
    let mut before: Option<(Instant, f64, u64)> = None;
    let mut store: Option<(Instant, StoreCost)> = None;
    loop {
        let read_at = Instant::now();
        if store.as_ref().is_none_or(|(at, _)| at.elapsed() >= STORE_EVERY.min(cadence.tick * 10)) {
            match control.store_cost().await {
                Ok(cost) => store = Some((read_at, cost)),
                Err(error) => tracing::warn!(%error, "the size of our own store cannot be read; it is tried again"),
            }
        }
        let cpu = processor_seconds();
        let written = counters.rows();
        let (cpu_percent, rows_per_second) = match (before, cpu) {
            (Some((at, then, rows)), Some(cpu)) => {
                let seconds = read_at.duration_since(at).as_secs_f64().max(1e-3);
                (Some(100.0 * (cpu - then) / seconds), Some((written - rows) as f64 / seconds))
            }
            _ => (None, None),
        };
        before = cpu.map(|cpu| (read_at, cpu, written));
        let process = ProcessCost {
            at: Some(now()),
            cpu_percent,
            memory_bytes: status_kib("VmRSS:").map(|kib| kib * 1_024),
            memory_peak_bytes: status_kib("VmHWM:").map(|kib| kib * 1_024),
            uptime_seconds: started.elapsed().as_secs_f64(),
            store: StoreCost {
                rows_per_second,
                queued: counters.queued(),
                dropped: counters.dropped(),
                ..store.as_ref().map(|(_, cost)| cost.clone()).unwrap_or_default()
            },
        };
        recorder.push(Batch { at: now(), metrics: samples(&process), ..Batch::default() });
        control.process_cost_publish(process);
        tokio::select! {
            () = tokio::time::sleep(cadence.tick) => {}
            () = stop.cancelled() => return,
        }
    }
}

fn samples(process: &ProcessCost) -> Vec<Sample> {
    [
        (Metric::OwnCpuPercent, process.cpu_percent),
        (Metric::OwnMemoryBytes, process.memory_bytes.map(|bytes| bytes as f64)),
        (Metric::StoreBytes, process.store.bytes.map(|bytes| bytes as f64)),
        (Metric::StoreRowsPerSecond, process.store.rows_per_second),
    ]
    .into_iter()
    .filter_map(|(metric, value)| Some(Sample { metric, label: String::new(), value: value?, histogram: None }))
    .collect()
}

/// User and system time of this process. The name in `stat` may hold spaces and brackets: what follows the last one
/// counts.
fn processor_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields = stat.rsplit_once(')')?.1.split_whitespace().collect::<Vec<_>>();
    let ticks = |i: usize| fields.get(i).and_then(|text| text.parse::<f64>().ok());
    Some((ticks(11)? + ticks(12)?) / CLOCK_TICKS)
}

fn status_kib(name: &str) -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_can_be_measured() {
        assert!(processor_seconds().is_some_and(|seconds| seconds >= 0.0));
        assert!(status_kib("VmRSS:").is_some_and(|kib| kib > 1_000));
    }
}
