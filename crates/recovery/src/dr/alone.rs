//! A drill of the command line.
use super::{
    point::Goal,
    run::{Run, run},
};
use crate::{
    alone::{Alone, must_be_empty, reason},
    copy::CopyHost,
    loss::Witness,
};
use backup::Repository;
use domain::view::{DrKind, DrPlanSpec, DrReport, Objectives};
use std::{collections::BTreeMap, path::PathBuf};

/// A drill of the command line: without service, configuration or store.
#[derive(Debug)]
pub struct DrillAlone {
    /// Newest moment or random moment.
    pub kind: DrKind,
    /// The plan.
    pub plan: DrPlanSpec,
    /// Its id, when it comes from a store.
    pub plan_id: Option<String>,
    /// Id of the configured cluster, when there is one.
    pub cluster: Option<String>,
    /// The repository.
    pub repository: Repository,
    /// Where it is, for people.
    pub place: String,
    /// Opened by the recovery code alone.
    pub from_kit: bool,
    /// System identifier; the only cluster when `None`.
    pub system: Option<u64>,
    /// A superuser of the cluster.
    pub superuser: String,
    /// `DATABASE: SELECT …`.
    pub probes: Vec<String>,
    /// Parts fetched at once.
    pub workers: usize,
    /// Where the copy goes meanwhile; must not hold anything.
    pub directory: PathBuf,
    /// What it is measured against.
    pub objectives: Option<Objectives>,
    /// The source writes a heartbeat: [`control::Protected::writes_heartbeat`].
    pub heartbeat: bool,
}

impl Alone {
    /// Rehearses a plan; the copy is gone afterwards.
    ///
    /// # Errors
    /// Why there is no report; a step that failed is told in the report.
    pub async fn drill(&self, of: DrillAlone) -> Result<DrReport, String> {
        must_be_empty(&of.directory, "a drill")?;
        let of = Run {
            kind: of.kind,
            plan_id: of.plan_id,
            plan: of.plan,
            cluster: of.cluster.unwrap_or_default(),
            place: of.place,
            repository: of.repository,
            from_kit: of.from_kit,
            system: of.system,
            host: CopyHost { workers: of.workers, superuser: of.superuser, probes: of.probes, listen: None },
            root: of.directory,
            goal: if of.kind == DrKind::FullTest { Goal::Random } else { Goal::Latest },
            objectives: of.objectives,
            witness: Witness { heartbeat: of.heartbeat, ..Witness::default() },
            hooks: BTreeMap::new(),
            connect_host: "127.0.0.1".to_owned(),
        };
        let mut report = run(&self.0, of).await.map_err(reason)?;
        if report.cluster.is_empty() {
            report.cluster = report.system_identifier.clone().unwrap_or_default();
        }
        Ok(report)
    }
}
