//! What a command showed of a backup stands beside it, as what a job of the service shows does
//! (docs/adr/0066-what-was-shown-stands-beside-the-backup.md).
use super::now;
use backup::{Repository, Summary, Verified};
use control::{JobParams, RestoreTestParams, VerifyParams, command_record};
use domain::{
    Timestamp,
    view::{JobResult, ProofView},
};

/// Keeps what a verification showed.
pub async fn verified(repository: &Repository, one: &Summary, begun: Timestamp, found: &Verified) {
    let result = JobResult::Verify {
        id: found.id.clone(),
        checked_bytes: found.checked_bytes,
        pages: found.pages,
        problems: found.problems.clone(),
    };
    let params = JobParams::Verify(VerifyParams { backup: Some(one.id.clone()) });
    keep(repository, one.cluster.system_identifier, &params, begun, &result, found.problems.first()).await;
}

/// Keeps what a restore test showed.
pub async fn tested(repository: &Repository, system: u64, latest: bool, begun: Timestamp, proof: &ProofView) {
    let params = JobParams::RestoreTest(RestoreTestParams { backup: Some(proof.backup.clone()), latest });
    let result = JobResult::RestoreTest(proof.clone());
    keep(repository, system, &params, begun, &result, proof.problems.first()).await;
}

/// Without it nothing is worse restored: a repository that cannot be written to makes no sound backup a bad one.
async fn keep(
    repository: &Repository,
    system: u64,
    params: &JobParams,
    begun: Timestamp,
    result: &JobResult,
    problem: Option<&String>,
) {
    let Some(record) = command_record(params, (begun, now()), result, problem.map(String::as_str)) else { return };
    if let Err(error) = repository.record(system, &record).await {
        tracing::warn!(%error, "what it showed could not be written to the repository");
    }
}
