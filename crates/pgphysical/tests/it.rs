//! Real clusters of every PostgreSQL found.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use pgphysical::{ClusterError, ClusterOptions, Install, LocalCluster, ShutdownMode};
use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

fn installs() -> Vec<Install> {
    let found = Install::discover().into_iter().filter(Install::is_complete).collect::<Vec<_>>();
    assert!(!found.is_empty(), "no PostgreSQL found");
    eprintln!(
        "runs on PostgreSQL {}",
        found.iter().map(|install| install.version.as_str()).collect::<Vec<_>>().join(", ")
    );
    found
}

fn psql(cluster: &LocalCluster, sql: &str) -> String {
    let output = Command::new("psql").arg(cluster.url("postgres")).args(["-AtXqc", sql]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn temporary() -> tempfile::TempDir {
    let directory = tempfile::Builder::new().prefix("holdfast-test-").tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    directory
}

fn gone(pid: i32) -> bool {
    !Path::new(&format!("/proc/{pid}")).exists()
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(100);
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[tokio::test]
async fn a_primary_and_its_standby_stream_and_the_standby_can_be_promoted() {
    for install in installs() {
        let directory = temporary();
        let options = ClusterOptions::new(install.clone(), "it's secret").setting("fsync", "off");
        let options = ClusterOptions { password: "secret".into(), ..options };
        let mut primary = LocalCluster::start_in(&directory.path().join("primary"), options.clone()).await.unwrap();
        assert!(psql(&primary, "show server_version").starts_with(&install.major.to_string()));
        let mut standby = primary.standby_in(&directory.path().join("standby"), "replica1").await.unwrap();
        psql(&primary, "create table t as select generate_series(1, 1000) g");
        wait_until("replay", || psql(&standby, "select count(*) from pg_tables where tablename = 't'") == "1");
        assert_eq!(psql(&primary, "select application_name || state from pg_stat_replication"), "replica1streaming");
        assert_eq!(psql(&standby, "select pg_is_in_recovery()"), "t");

        // A second start of the same directory is refused, and the files survive a stop and a start.
        let second = LocalCluster::start_in(&directory.path().join("primary"), options.clone()).await;
        assert!(matches!(second, Err(ClusterError::Running { .. })), "{second:?}");
        let port = primary.port();
        primary.restart(ShutdownMode::Immediate).await.unwrap();
        assert_eq!((primary.port(), psql(&primary, "select count(*) from t").as_str()), (port, "1000"));

        standby.promote().await.unwrap();
        assert_eq!(psql(&standby, "select pg_is_in_recovery()"), "f");
        let pids = [primary.postmaster_pid().unwrap(), standby.postmaster_pid().unwrap()];
        standby.stop(ShutdownMode::Fast).await.unwrap();
        drop(primary);
        for pid in pids {
            wait_until("the end of the server", || gone(pid));
        }
    }
}

/// Run by the next test in a process of its own; does nothing otherwise.
#[tokio::test]
async fn owner_of_a_cluster() {
    let Some(root) = std::env::var_os("HOLDFAST_TEST_OWNED_CLUSTER") else { return };
    let options = ClusterOptions {
        ephemeral: true,
        ..ClusterOptions::new(installs().remove(0), "secret").setting("fsync", "off")
    };
    let _cluster = LocalCluster::start_in(Path::new(&root), options).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
}

#[test]
fn a_server_does_not_outlive_an_owner_that_was_killed() {
    let directory = temporary();
    let root = directory.path().join("owned");
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "owner_of_a_cluster", "--nocapture"])
        .env("HOLDFAST_TEST_OWNED_CLUSTER", &root)
        .spawn()
        .unwrap();
    let pid_file = root.join("data/postmaster.pid");
    wait_until("the start", || std::fs::read_to_string(&pid_file).is_ok_and(|text| text.contains("ready")));
    let pid = std::fs::read_to_string(&pid_file).unwrap().lines().next().unwrap().parse().unwrap();
    owner.kill().unwrap();
    owner.wait().unwrap();
    wait_until("the end of the server", || gone(pid));
    // The guardian runs as the server's user, which may not remove `root` itself from a directory of ours.
    wait_until("the removal of its files", || !root.join("data").exists());
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why_from_its_log() {
    let directory = temporary();
    let options = ClusterOptions::new(installs().remove(0), "secret").setting("shared_buffers", "1kB");
    let error = LocalCluster::start_in(&directory.path().join("c"), options).await.unwrap_err();
    assert!(error.to_string().contains("shared_buffers"), "{error}");
}

#[tokio::test]
async fn a_taken_port_and_another_version_are_named() {
    let directory = temporary();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let options = ClusterOptions { port: Some(port), ..ClusterOptions::new(installs().remove(0), "secret") };
    let root = directory.path().join("c");
    let error = LocalCluster::start_in(&root, options.clone()).await.unwrap_err();
    assert!(error.to_string().contains(&port.to_string()), "{error}");
    std::fs::write(root.join("data/PG_VERSION"), "9.6\n").unwrap();
    let error = LocalCluster::start_in(&root, options).await.unwrap_err();
    assert!(matches!(error, ClusterError::WrongVersion { .. }), "{error}");
}
