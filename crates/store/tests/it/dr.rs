//! Plans, decisions and runs.
use domain::{
    Timestamp,
    view::{DrKind, DrPlanSpec, DrRunRow, Objectives},
};
use store::{DrDecisionRow, DrRepo, Store, dr_plan_hash};

on_both_databases!(
    a_plan_has_one_name_and_stays_known_to_its_runs,
    a_step_is_decided_once_and_a_run_is_written_once,
    the_newest_sound_run_is_found_behind_many_others,
);

async fn a_plan_has_one_name_and_stays_known_to_its_runs(store: Store) {
    let repo = DrRepo(store.db());
    assert!(!repo.had_plan("main").await.unwrap());
    let standard = DrPlanSpec::standard();
    let id = repo.plan_add("main", &standard, "ada", Timestamp(1)).await.unwrap().unwrap();
    assert_eq!(repo.plan_add("main", &standard, "bob", Timestamp(2)).await.unwrap(), None, "the name is taken");
    assert!(
        repo.plan_add("other", &standard, "bob", Timestamp(2)).await.unwrap().is_some(),
        "in another cluster it is not"
    );
    let row = repo.plan(id).await.unwrap().unwrap();
    assert_eq!(
        (row.spec.clone(), row.hash.clone(), row.changed_by.as_str()),
        (standard.clone(), dr_plan_hash(&standard), "ada")
    );
    let changed = DrPlanSpec { test: Some("0 3 * * 0".to_owned()), ..standard.clone() };
    assert!(repo.plan_set(id, &changed, "bob", Timestamp(3)).await.unwrap());
    let after = repo.plan(id).await.unwrap().unwrap();
    assert!(after.hash != row.hash && after.spec == changed, "what it says is what its hash is of");
    let second = DrPlanSpec { name: "second".to_owned(), ..standard.clone() };
    let other = repo.plan_add("main", &second, "bob", Timestamp(4)).await.unwrap().unwrap();
    assert!(!repo.plan_set(other, &changed, "bob", Timestamp(5)).await.unwrap(), "a name that is taken by a change");
    assert!(repo.plan_remove(id, Timestamp(6)).await.unwrap() && !repo.plan_remove(id, Timestamp(7)).await.unwrap());
    assert_eq!(repo.plans("main").await.unwrap().len(), 1);
    assert!(repo.had_plan("main").await.unwrap());
    assert!(repo.plan_add("main", &standard, "ada", Timestamp(8)).await.unwrap().is_some(), "its name is free again");
}

async fn a_step_is_decided_once_and_a_run_is_written_once(store: Store) {
    let repo = DrRepo(store.db());
    let decision = |actor: &str, decision: &str| DrDecisionRow {
        step: 3,
        decision: decision.to_owned(),
        actor: actor.to_owned(),
        at: Timestamp(1),
        note: "go".to_owned(),
    };
    assert!(repo.decide(7, &decision("ada", "approve")).await.unwrap());
    assert!(!repo.decide(7, &decision("bob", "approve")).await.unwrap(), "of two at once one is told");
    assert!(repo.decide(8, &decision("bob", "approve")).await.unwrap());
    assert_eq!(repo.decisions(7).await.unwrap(), [decision("ada", "approve")]);

    let row = |id: &str, at: i64| DrRunRow {
        id: id.to_owned(),
        plan_id: Some("4".to_owned()),
        plan_name: "standard".to_owned(),
        cluster: "main".to_owned(),
        kind: DrKind::FullTest,
        started_at: Timestamp(at),
        finished_at: Timestamp(at + 10),
        ok: true,
        rto_seconds: Some(9.5),
        rpo_seconds: None,
        objectives: Some(Objectives { rpo_seconds: 60.0, rto_seconds: 900.0 }),
        error: None,
        evidence_sha256: None,
    };
    repo.run_add(row("1", 100), None).await.unwrap();
    repo.run_add(row("2", 200), None).await.unwrap();
    repo.run_add(DrRunRow { ok: false, ..row("2", 200) }, None).await.unwrap();
    assert_eq!(
        repo.runs("main", None, 10).await.unwrap(),
        [row("2", 200), row("1", 100)],
        "the newest first, each as it was written first"
    );
    // By pages, also where two ended at the same moment.
    repo.run_add(row("3", 200), None).await.unwrap();
    let (mut seen, mut behind) = (Vec::new(), None::<(Timestamp, String)>);
    for _ in 0..3 {
        let after = behind.as_ref().map(|(at, id)| (*at, id.as_str()));
        let page = repo.runs("main", after, 1).await.unwrap();
        assert_eq!(page.len(), 1, "{seen:?}");
        behind = Some((page[0].finished_at, page[0].id.clone()));
        seen.push(page[0].id.clone());
    }
    assert_eq!(seen, ["3", "2", "1"]);
    assert!(repo.runs("main", Some((Timestamp(110), "1")), 1).await.unwrap().is_empty());
    assert!(repo.run("other", "1").await.unwrap().is_none());
    let found = repo.run("main", "1").await.unwrap().unwrap();
    assert_eq!((found.row.clone(), found.read_report()), (row("1", 100), None));
}

async fn the_newest_sound_run_is_found_behind_many_others(store: Store) {
    let repo = DrRepo(store.db());
    let row = |at: i64, kind: DrKind, ok: bool| DrRunRow {
        id: at.to_string(),
        plan_id: Some("4".to_owned()),
        plan_name: "standard".to_owned(),
        cluster: "main".to_owned(),
        kind,
        started_at: Timestamp(at),
        finished_at: Timestamp(at + 10),
        ok,
        rto_seconds: None,
        rpo_seconds: None,
        objectives: None,
        error: (!ok).then(|| "stopped".to_owned()),
        evidence_sha256: None,
    };
    repo.run_add(row(100, DrKind::FullTest, true), None).await.unwrap();
    for at in 200..260 {
        repo.run_add(row(at, DrKind::Test, true), None).await.unwrap();
    }
    repo.run_add(row(300, DrKind::FullTest, false), None).await.unwrap();
    let sound = repo.newest_run("main", 4, DrKind::FullTest, true).await.unwrap();
    assert_eq!(sound, Some(row(100, DrKind::FullTest, true)));
    assert_eq!(repo.newest_run("main", 4, DrKind::FullTest, false).await.unwrap(), sound, "a stopped one says nothing");
    assert_eq!(repo.newest_run("main", 4, DrKind::Test, true).await.unwrap(), Some(row(259, DrKind::Test, true)));
    assert_eq!(repo.newest_run("main", 5, DrKind::Test, true).await.unwrap(), None);
    assert_eq!(repo.newest_run("other", 4, DrKind::Test, true).await.unwrap(), None);
}
