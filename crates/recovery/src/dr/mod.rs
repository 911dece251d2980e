//! Plans for disasters: rehearsed on a private copy, or carried out.
//!
//! A drill does the steps of the plan by the code that carries them out; it does not wait for approvals, runs no hook,
//! and throws its copy away. So what it measures is what the plan takes.
mod alone;
mod hook;
mod point;
mod report;
mod run;
mod sweep;
mod takeover;

pub use alone::DrillAlone;
pub(crate) use sweep::sweep;

use crate::{
    copy::CopyHost,
    loss::Witness,
    throwaway::{self, DRILL_PREFIX},
    work::{Ended, Work},
};
use control::{ControlPlane, DrillParams, ExecutionParams, Slot};
use domain::view::{DrKind, JobResult};
use point::Goal;
use run::{Run, run};
use std::sync::Arc;

pub(crate) async fn drill(
    control: &ControlPlane,
    work: &Arc<Work>,
    slot: &Slot,
    params: &DrillParams,
) -> Result<JobResult, Ended> {
    let full = params.kind == DrKind::FullTest;
    let repository = if full {
        let open = slot.config.disaster.kit.as_ref().map_err(|reason| {
            Ended::Failed(format!("a full drill opens the repository by the recovery kit: {reason}"))
        })?;
        (open.0)()
            .await
            .map_err(|error| Ended::Failed(format!("the recovery kit does not open the repository: {error}")))?
    } else {
        slot.repository().await?
    };
    throwaway::clear_earlier(slot, DRILL_PREFIX, work).await?;
    let ended = run(
        work,
        Run {
            kind: params.kind,
            plan_id: Some(params.plan_id.clone()),
            plan: params.plan.clone(),
            cluster: slot.config.cluster.clone(),
            place: slot.config.place.clone(),
            repository,
            from_kit: full,
            // From the kit alone: which cluster it is has to be found too.
            system: slot.catalogue.load().system.filter(|_| !full),
            host: CopyHost::of(slot),
            root: throwaway::of(slot, DRILL_PREFIX, work),
            goal: if full { Goal::Random } else { Goal::Latest },
            objectives: Some(control.objectives(slot).await?),
            witness: Witness::of(slot),
            hooks: slot.config.disaster.hooks.clone(),
            connect_host: slot.config.disaster.host.clone(),
        },
    )
    .await;
    throwaway::remove_earlier(slot, DRILL_PREFIX, work);
    Ok(JobResult::DrRun(Box::new(ended?)))
}

pub(crate) async fn execution(
    control: &ControlPlane,
    work: &Arc<Work>,
    slot: &Slot,
    params: &ExecutionParams,
) -> Result<JobResult, Ended> {
    let disaster = &slot.config.disaster;
    let report = run(
        work,
        Run {
            kind: DrKind::Execution,
            plan_id: Some(params.plan_id.clone()),
            plan: params.plan.clone(),
            cluster: slot.config.cluster.clone(),
            place: slot.config.place.clone(),
            repository: slot.repository().await?,
            from_kit: false,
            system: slot.catalogue.load().system,
            host: CopyHost { listen: Some((disaster.listen.clone(), disaster.port)), ..CopyHost::of(slot) },
            root: params.directory.clone(),
            goal: Goal::Chosen(params.target.target()?, params.target.label()),
            objectives: Some(control.objectives(slot).await?),
            witness: Witness::of(slot),
            hooks: disaster.hooks.clone(),
            connect_host: disaster.host.clone(),
        },
    )
    .await?;
    Ok(JobResult::DrRun(Box::new(report)))
}
