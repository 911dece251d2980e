//! Where copies that are thrown away lie. Each try of a job has a directory of its own: the server of an earlier one may
//! only be frozen, and goes on writing to its own, and removes it, when it is back.
use crate::work::{Ended, Work};
use control::{Slot, running_in};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Holds the copy of a drill; its job's number follows, and the number of the try from the second on.
pub(crate) const DRILL_PREFIX: &str = "drill-";
/// As [`DRILL_PREFIX`], of a restore test.
pub(crate) const TEST_PREFIX: &str = "restore-test-";
/// What a killed server started is ended by its guardian within this time; what a frozen one started runs on.
const GUARDIAN: Duration = Duration::from_secs(10);

fn directory(slot: &Slot, prefix: &str, job: i64, attempt: i64) -> PathBuf {
    let name = if attempt > 1 { format!("{prefix}{job}-{attempt}") } else { format!("{prefix}{job}") };
    slot.config.test_directory.join(name)
}

/// The directory of this try.
pub(crate) fn of(slot: &Slot, prefix: &str, work: &Work) -> PathBuf {
    directory(slot, prefix, work.row.id, work.row.attempt)
}

/// The number of the job that a directory of this name is of.
pub(crate) fn job_of(name: &str) -> Option<i64> {
    let rest = name.strip_prefix(DRILL_PREFIX).or_else(|| name.strip_prefix(TEST_PREFIX))?;
    let (job, attempt) = rest.split_once('-').unwrap_or((rest, "1"));
    attempt.parse::<i64>().ok()?;
    job.parse().ok()
}

/// A job wrote to it.
pub(crate) fn is_of(directory: &Path, job: i64) -> bool {
    fs::read_to_string(directory.join("holdfast-job")).is_ok_and(|mark| mark.trim() == job.to_string())
}

/// Before a try: waits a moment until the servers of earlier ones have ended, and removes their directories.
pub(crate) async fn clear_earlier(slot: &Slot, prefix: &str, work: &Work) -> Result<(), Ended> {
    let begun = Instant::now();
    let runs = |attempt| running_in(&directory(slot, prefix, work.row.id, attempt).join("data")).is_some();
    while (1..work.row.attempt).any(runs) && begun.elapsed() < GUARDIAN {
        work.sleep(Duration::from_millis(200)).await?;
    }
    remove_earlier(slot, prefix, work);
    Ok(())
}

/// Removes what earlier tries left, but where a server still runs: that is swept once it has ended.
pub(crate) fn remove_earlier(slot: &Slot, prefix: &str, work: &Work) {
    for attempt in 1..work.row.attempt {
        let path = directory(slot, prefix, work.row.id, attempt);
        if !is_of(&path, work.row.id) || running_in(&path.join("data")).is_some() {
            continue;
        }
        if let Err(error) = fs::remove_dir_all(&path) {
            tracing::warn!(%error, directory = %path.display(), "what an earlier try left could not be removed; it is swept later");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::job_of;

    #[test]
    fn a_directory_names_its_job_and_perhaps_its_try() {
        assert_eq!(job_of("drill-17"), Some(17));
        assert_eq!(job_of("restore-test-17-3"), Some(17));
        for name in ["drill-", "drill-x", "drill-17-old", "restore-test", "mine"] {
            assert_eq!(job_of(name), None, "{name}");
        }
    }
}
