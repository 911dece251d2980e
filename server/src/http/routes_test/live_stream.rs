//! What the stream of a cluster tells of jobs: each new state, of this cluster alone, to every listener.
use super::{Site, ask, site_of};
use axum::{
    body::{Body, BodyDataStream},
    http::{Request, header},
};
use control::Actor;
use domain::{
    Role,
    view::{JobKind, JobLive, JobProgress, JobState},
};
use futures::StreamExt as _;
use std::time::Duration;
use store::{JobRepo, NewJob};

const HOLDER: &str = "here/1/1";
const LEASE_MS: i64 = 60_000;

async fn listen(site: &Site, token: &str, cluster: &str) -> BodyDataStream {
    let request = Request::get(format!("/api/database/stream?cluster={cluster}"));
    let request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    let response = ask(site, request.body(Body::empty()).unwrap()).await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
    response.into_body().into_data_stream()
}

/// The job of the next `job` event.
async fn next(stream: &mut BodyDataStream) -> JobLive {
    loop {
        let part = tokio::time::timeout(Duration::from_secs(200), stream.next()).await.expect("an event").unwrap();
        let text = String::from_utf8(part.unwrap().to_vec()).unwrap();
        if let Some(data) = text.strip_prefix("event: job\n") {
            return serde_json::from_str(data.trim().strip_prefix("data:").unwrap().trim()).unwrap();
        }
    }
}

fn new(cluster: &str, title: &str) -> NewJob {
    NewJob {
        cluster: cluster.to_owned(),
        kind: JobKind::Backup,
        lane: format!("write {cluster}"),
        title: title.to_owned(),
        params: serde_json::json!({ "do": "backup", "kind": "full" }),
        schedule_key: None,
        requested_by: "ada".to_owned(),
        at: control::now(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_state_of_a_job_is_told_to_every_stream_of_its_cluster_and_to_no_other() {
    let site = site_of(&["main", "other"]).await;
    let (_, token) = site.control.token_create(&Actor::cli(), "reader", Role::Viewer, None).await.unwrap();
    let repo = JobRepo(site.control.store().db());
    // What was before nobody is told of.
    let before = repo.insert(new("main", "Before")).await.unwrap().unwrap();
    assert!(repo.request_cancel(before).await.unwrap());
    let mut first = listen(&site, &token, "main").await;
    let mut second = listen(&site, &token, "main").await;
    let mut other = listen(&site, &token, "other").await;

    // Whoever works on it does so through the store.
    let id = repo.insert(new("main", "Full backup")).await.unwrap().unwrap();
    let told = |state| JobLive {
        id: id.to_string(),
        cluster: "main".to_owned(),
        kind: JobKind::Backup,
        state,
        title: "Full backup".to_owned(),
    };
    for stream in [&mut first, &mut second] {
        assert_eq!(next(stream).await, told(JobState::Queued));
    }
    let row = repo.claim(HOLDER, LEASE_MS).await.unwrap().unwrap();
    for stream in [&mut first, &mut second] {
        assert_eq!(next(stream).await, told(JobState::Running));
    }
    // Its progress is no new state, and the other cluster's job is nothing to them.
    repo.heartbeat(id, HOLDER, row.attempt, LEASE_MS, &JobProgress::default()).await.unwrap().unwrap();
    let elsewhere = repo.insert(new("other", "Elsewhere")).await.unwrap().unwrap();
    let heard = next(&mut other).await;
    assert_eq!((heard.id, heard.cluster, heard.state), (elsewhere.to_string(), "other".to_owned(), JobState::Queued));
    let so_far = JobProgress::default();
    let ended = repo.finish(id, HOLDER, row.attempt, JobState::Failed, &so_far, None, Some("full")).await.unwrap();
    assert!(ended);
    for stream in [&mut first, &mut second] {
        assert_eq!(next(stream).await, told(JobState::Failed));
    }

    // What is over before anybody looked is told all the same.
    let short = repo.insert(new("main", "Short")).await.unwrap().unwrap();
    assert!(repo.request_cancel(short).await.unwrap());
    let mut heard = next(&mut first).await;
    if heard.state == JobState::Queued {
        heard = next(&mut first).await;
    }
    assert_eq!((heard.id, heard.state), (short.to_string(), JobState::Cancelled));

    // With nobody left the looking ends, and begins again with the next.
    drop((first, second, other));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut late = listen(&site, &token, "main").await;
    let again = repo.insert(new("main", "Again")).await.unwrap().unwrap();
    let heard = next(&mut late).await;
    assert_eq!((heard.id, heard.state), (again.to_string(), JobState::Queued));
}
