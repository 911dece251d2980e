//! What killed servers left of drills and restore tests.
use crate::throwaway;
use control::{ControlError, ControlPlane, Slot, running_in};
use std::fs;
use store::JobRepo;

/// Removes the directories of jobs that are over. Only what carries the number of a job of our store, and that job's
/// mark, is ours to remove; the server in it is ended by its guardian first.
pub(crate) async fn sweep(control: &ControlPlane, slot: &Slot) -> Result<(), ControlError> {
    let Ok(entries) = fs::read_dir(&slot.config.test_directory) else { return Ok(()) };
    for entry in entries.flatten() {
        let Some(number) = entry.file_name().to_str().and_then(throwaway::job_of) else { continue };
        let path = entry.path();
        if !throwaway::is_of(&path, number) || running_in(&path.join("data")).is_some() {
            continue;
        }
        let job = JobRepo(control.store().db()).get(number).await.map_err(ControlError::from)?;
        if job.is_none_or(|job| !job.state.is_over()) {
            continue;
        }
        match fs::remove_dir_all(&path) {
            Ok(()) => {
                tracing::info!(job = number, directory = %path.display(), "what a killed server left was removed")
            }
            Err(error) => {
                tracing::warn!(%error, directory = %path.display(), "what a killed server left could not be removed");
            }
        }
    }
    Ok(())
}
