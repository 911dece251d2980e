//! What a job's stream tells while somebody works on it: its step, bytes and rate as they are, and its end.
use super::{ask, site};
use axum::{
    body::{Body, BodyDataStream},
    http::{Request, header},
};
use control::Actor;
use domain::{
    Role,
    view::{JobKind, JobProgress, JobResult, JobState, JobStep, JobView},
};
use futures::StreamExt as _;
use std::time::Duration;
use store::{JobRepo, NewJob};

const HOLDER: &str = "here/1/1";
const LEASE_MS: i64 = 60_000;

/// The job of the next event; `None`: the stream has ended.
async fn next(stream: &mut BodyDataStream) -> Option<JobView> {
    loop {
        let part = tokio::time::timeout(Duration::from_secs(200), stream.next()).await.expect("an event or the end")?;
        let text = String::from_utf8(part.unwrap().to_vec()).unwrap();
        // A comment keeps a silent connection.
        if !text.starts_with(':') {
            let (event, data) = text.trim_end().split_once('\n').unwrap();
            assert_eq!(event, "event: job");
            return Some(serde_json::from_str(data.strip_prefix("data:").unwrap().trim()).unwrap());
        }
    }
}

fn step(name: &str, seconds: Option<f64>) -> JobStep {
    JobStep { name: name.to_owned(), started_at: Some(control::now()), seconds, detail: String::new() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jobs_stream_tells_step_bytes_and_rate_while_it_runs_and_ends_with_it() {
    let site = site().await;
    let (_, token) = site.control.token_create(&Actor::cli(), "reader", Role::Viewer, None).await.unwrap();
    let repo = JobRepo(site.control.store().db());
    let new = NewJob {
        cluster: "main".to_owned(),
        kind: JobKind::Backup,
        lane: "write".to_owned(),
        title: "Full backup".to_owned(),
        params: serde_json::json!({ "do": "backup", "kind": "full" }),
        schedule_key: None,
        requested_by: "ada".to_owned(),
        at: control::now(),
    };
    let id = repo.insert(new).await.unwrap().unwrap();
    let listen = async || {
        let request = Request::get(format!("/api/v1/jobs/{id}/stream"));
        let request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        let response = ask(&site, request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        response.into_body().into_data_stream()
    };
    let mut stream = listen().await;
    let waits = next(&mut stream).await.unwrap();
    assert_eq!((waits.id, waits.state, waits.attempt), (id.to_string(), JobState::Queued, 0));
    assert_eq!(waits.progress, JobProgress::default());

    // Somebody takes it and works on it, as a server does: through the store.
    let row = repo.claim(HOLDER, LEASE_MS).await.unwrap().unwrap();
    let mut so_far = JobProgress {
        steps: vec![step("Read the cluster", Some(0.5)), step("Write the files", None)],
        total_bytes: Some(400),
        ..JobProgress::default()
    };
    for (done, rate, remaining) in [(100, 50.0, 6.0), (300, 75.0, 1.5)] {
        so_far.done_bytes = Some(done);
        (so_far.bytes_per_second, so_far.remaining_seconds) = (Some(rate), Some(remaining));
        repo.log(id, control::now(), &format!("{done} of 400")).await.unwrap();
        repo.heartbeat(id, HOLDER, row.attempt, LEASE_MS, &so_far).await.unwrap().unwrap();
        let told = loop {
            let job = next(&mut stream).await.unwrap();
            assert_eq!((job.state, job.attempt), (JobState::Running, 1));
            if job.progress == so_far {
                break job;
            }
        };
        assert_eq!(told.log.last().unwrap().line, format!("{done} of 400"));
        assert!(told.started_at.is_some() && told.finished_at.is_none() && told.result.is_none(), "{told:#?}");
    }
    so_far.steps[1].seconds = Some(5.0);
    let result =
        JobResult::Backup { id: "20261124".to_owned(), kind: "full".to_owned(), stored_bytes: 90, damaged_pages: 0 };
    let ended = repo.finish(id, HOLDER, row.attempt, JobState::Succeeded, &so_far, Some(&result), None).await.unwrap();
    assert!(ended);
    let last = next(&mut stream).await.unwrap();
    assert_eq!((last.state, last.progress.clone(), last.result.clone()), (JobState::Succeeded, so_far, Some(result)));
    assert!(last.finished_at.is_some(), "{last:#?}");
    assert_eq!(next(&mut stream).await, None, "after its end there is nothing to tell");
    // Who comes late hears the end, and that it is the end.
    let mut late = listen().await;
    assert_eq!((next(&mut late).await, next(&mut late).await), (Some(last), None));
}
