//! Kept plans.
use domain::{Timestamp, view::ExplainMethod};
use store::{NewPlan, PlanRepo, Store};

on_both_databases!(
    a_shape_is_kept_once_and_the_newest_comes_first,
    a_plan_that_ran_stands_beside_one_of_its_shape_that_was_asked_for,
    only_so_many_shapes_are_kept
);

fn plan(statement_id: i64, hash: &str, cost: f64) -> NewPlan {
    NewPlan {
        statement_id,
        hash: hash.to_owned(),
        method: ExplainMethod::Prepared,
        version_num: 150_018,
        role: "app".to_owned(),
        shape: "Seq Scan t".to_owned(),
        taken_by: "ada".to_owned(),
        total_cost: cost,
        json: "[]".to_owned(),
    }
}

async fn a_shape_is_kept_once_and_the_newest_comes_first(store: Store) {
    let repo = PlanRepo(store.db());
    repo.keep(&plan(1, "aa", 10.0), Timestamp(1)).await.unwrap();
    repo.keep(&plan(1, "bb", 20.0), Timestamp(2)).await.unwrap();
    repo.keep(&plan(2, "aa", 30.0), Timestamp(2)).await.unwrap();
    repo.keep(&plan(1, "aa", 11.0), Timestamp(3)).await.unwrap();
    let kept = repo.list(1).await.unwrap();
    let seen = kept
        .iter()
        .map(|it| (it.hash.as_str(), it.times, it.first_at.0, it.last_at.0, it.total_cost))
        .collect::<Vec<_>>();
    assert_eq!(seen, [("aa", 2, 1, 3, 11.0), ("bb", 1, 2, 2, 20.0)]);
    let id = kept[1].id.parse().unwrap();
    assert_eq!(repo.get(1, id).await.unwrap().unwrap().0.hash, "bb");
    assert_eq!(repo.get(2, id).await.unwrap(), None, "of another statement");
    assert_eq!(repo.prune(Timestamp(3)).await.unwrap(), 2);
}

async fn a_plan_that_ran_stands_beside_one_of_its_shape_that_was_asked_for(store: Store) {
    let repo = PlanRepo(store.db());
    repo.keep(&plan(1, "aa", 10.0), Timestamp(1)).await.unwrap();
    let ran = NewPlan { method: ExplainMethod::AutoExplain, ..plan(1, "aa", 12.0) };
    repo.keep(&ran, Timestamp(2)).await.unwrap();
    repo.keep(&ran, Timestamp(3)).await.unwrap();
    let kept = repo.list(1).await.unwrap();
    let seen = kept.iter().map(|it| (it.method, it.times)).collect::<Vec<_>>();
    assert_eq!(seen, [(ExplainMethod::AutoExplain, 2), (ExplainMethod::Prepared, 1)]);
}

async fn only_so_many_shapes_are_kept(store: Store) {
    let repo = PlanRepo(store.db());
    for i in 0..25 {
        repo.keep(&plan(1, &format!("{i:02}"), 1.0), Timestamp(i)).await.unwrap();
    }
    let kept = repo.list(1).await.unwrap();
    assert_eq!((kept.len(), kept[0].hash.as_str(), kept[19].hash.as_str()), (20, "24", "05"));
}
