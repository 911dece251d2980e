//! The engine on a real S3 server whose wire is troubled, at each verb and each kind of object.
use crate::{
    server::{Server, Trouble},
    support::Bench,
};
use backup::{BackupError, BackupType, CreateOptions, KeySource, Repository, SourceKind, Summary, verify};
use http::Method;
use std::{sync::Arc, time::Instant};

async fn create(bench: &Bench, repository: &Repository, kind: BackupType) -> Result<Summary, BackupError> {
    let options = CreateOptions { kind, source: Some(SourceKind::Local), ..CreateOptions::default() };
    backup::create(repository, &bench.source(), "postgres", &options, &Arc::default()).await
}

async fn problems(repository: &Repository, one: &Summary) -> Vec<String> {
    verify(repository, one, &Arc::default()).await.map_or_else(|error| vec![error.to_string()], |it| it.problems)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_troubled_s3_server_costs_time_or_the_backup_and_never_another() {
    let bench = Bench::new(test_support::versions().remove(0)).await;
    let server = Server::start().await;
    let store: Arc<dyn blobs::BlobStore> = Arc::new(server.store().await);
    let (key, _) = KeySource::new_file().unwrap();
    let repository = Repository::init(store.clone(), Some(&key)).await.unwrap();
    let first = create(&bench, &repository, BackupType::Full).await.unwrap();
    let system = first.cluster.system_identifier;
    assert_eq!(problems(&repository, &first).await, Vec::<String>::new());

    // Passing: each verb, each kind of object. A try or two later it works.
    for (method, part, trouble) in [
        (Method::PUT, "/packs/", Trouble::Answer(503, "SlowDown")),
        (Method::PUT, "/maps/", Trouble::Reset),
        (Method::PUT, "/wal/", Trouble::LostAnswer),
        (Method::PUT, "/commit", Trouble::LostAnswer),
        (Method::PUT, "leases/", Trouble::Answer(503, "SlowDown")),
        (Method::DELETE, "leases/", Trouble::Reset),
        (Method::GET, "list-type", Trouble::CutBody(40)),
        (Method::GET, "/maps/", Trouble::CutBody(30)),
        (Method::GET, "/commit", Trouble::Answer(500, "InternalError")),
    ] {
        bench.change(1).await;
        server.take_log();
        server.trouble(method.clone(), part, trouble, 1);
        let begun = Instant::now();
        let made = create(&bench, &repository, BackupType::Incremental).await;
        println!("{trouble:?} at {method} {part}: {:.1} s", begun.elapsed().as_secs_f64());
        let asked = server.take_log();
        let fitting = asked.iter().filter(|line| line.starts_with(method.as_str()) && line.contains(part)).count();
        assert!(fitting > 0, "{method} {part} was never asked for: {asked:?}");
        server.heal();
        let made = made.unwrap_or_else(|error| panic!("{trouble:?} at {method} {part}: {error}"));
        assert_eq!(
            (made.kind, made.lineage),
            (BackupType::Incremental, first.lineage),
            "{trouble:?} at {method} {part}"
        );
        assert_eq!(problems(&repository, &made).await, Vec::<String>::new(), "{trouble:?} at {method} {part}");
    }
    let whole = repository.backups(system).await.unwrap();

    // Lasting: a clear error, and nothing that was there is lost.
    for (method, part, trouble) in [
        (Method::PUT, "/packs/", Trouble::Answer(403, "AccessDenied")),
        (Method::PUT, "/manifest", Trouble::Answer(507, "InsufficientStorage")),
        (Method::PUT, "/commit", Trouble::Answer(403, "ExpiredToken")),
        (Method::GET, "list-type", Trouble::Answer(403, "RequestTimeTooSkewed")),
    ] {
        server.trouble(method.clone(), part, trouble, u32::MAX);
        let begun = Instant::now();
        let error = create(&bench, &repository, BackupType::Full).await.unwrap_err();
        println!("{trouble:?} at {method} {part} in {:.1} s: {error}", begun.elapsed().as_secs_f64());
        assert!(error.to_string().contains("s3://backups") && !error.is_damage(), "{error}");
        server.heal();
        assert_eq!(repository.backups(system).await.unwrap(), whole, "{trouble:?} at {method} {part}");
    }

    // Reading: what is cut off or not what was asked for is read again or told; never taken for the pages.
    let last = whole.last().unwrap();
    for trouble in [Trouble::CutBody(1_000), Trouble::IgnoreRange, Trouble::Reset] {
        server.trouble(Method::GET, "/packs/", trouble, 1);
        let found = problems(&repository, last).await;
        assert!(found.is_empty() || trouble == Trouble::IgnoreRange, "{trouble:?}: {found:?}");
        server.heal();
    }
    let next = create(&bench, &repository, BackupType::Incremental).await.unwrap();
    assert_eq!(problems(&repository, &next).await, Vec::<String>::new());
}
