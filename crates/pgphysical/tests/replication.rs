//! The replication client against real servers with TLS, a network that misbehaves, and strangers in the server's place.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use domain::Lsn;
use pgphysical::{
    ClusterOptions, LocalCluster,
    replication::{BackupEvent, BaseBackupOptions, ConnInfo, ReplicationConnection, ReplicationError, WalEvent},
};
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};
use test_support::{ChaosProxy, Weather};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

fn openssl(directory: &Path, arguments: &[&str]) {
    let done = Command::new("openssl").args(arguments).current_dir(directory).output().unwrap();
    assert!(done.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// An authority, a stranger's authority, and a certificate of the first for `db.test`.
fn certificates(directory: &Path) {
    for name in ["root", "stranger"] {
        let subject = format!("/CN={name}");
        let (key, cert) = (format!("{name}.key"), format!("{name}.crt"));
        openssl(
            directory,
            &[
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", &subject, "-keyout", &key,
                "-out", &cert,
            ],
        );
    }
    std::fs::write(directory.join("names"), "subjectAltName=DNS:db.test,DNS:localhost\n").unwrap();
    openssl(
        directory,
        &[
            "req",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=db.test",
            "-keyout",
            "server.key",
            "-out",
            "server.csr",
        ],
    );
    openssl(
        directory,
        &[
            "x509",
            "-req",
            "-in",
            "server.csr",
            "-CA",
            "root.crt",
            "-CAkey",
            "root.key",
            "-CAcreateserial",
            "-days",
            "30",
            "-sha256",
            "-extfile",
            "names",
            "-out",
            "server.crt",
        ],
    );
    for name in ["server.key", "server.crt"] {
        std::fs::set_permissions(directory.join(name), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let _ = Command::new("chown").arg("postgres").arg(directory.join(name)).status();
    }
}

struct Server {
    cluster: LocalCluster,
    directory: tempfile::TempDir,
}

impl Server {
    /// The newest PostgreSQL that was built with TLS, serving it.
    async fn with_tls() -> Self {
        let directory = tempfile::Builder::new().prefix("holdfast-test-").tempdir().unwrap();
        std::fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        certificates(directory.path());
        let mut refused = Vec::new();
        for install in test_support::versions() {
            let root = directory.path().join(format!("tls-{}", install.major));
            let place = |name: &str| directory.path().join(name).display().to_string();
            let options = ClusterOptions { ephemeral: true, ..ClusterOptions::new(install.clone(), "secret") }
                .setting("ssl", "on")
                .setting("ssl_cert_file", place("server.crt"))
                .setting("ssl_key_file", place("server.key"))
                .setting("wal_sender_timeout", "20s")
                .setting("fsync", "off");
            match LocalCluster::start_in(&root, options).await {
                Ok(cluster) => return Self { cluster, directory },
                Err(error) => refused.push(format!("{}: {error}", install.version)),
            }
        }
        panic!("no PostgreSQL here has TLS: {}", refused.join("; "));
    }

    fn info(&self, host: &str, port: u16, more: &str) -> ConnInfo {
        ConnInfo::parse(&format!("postgres://postgres:secret@{host}:{port}/postgres?{more}")).unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

async fn connect(info: &ConnInfo) -> Result<ReplicationConnection, ReplicationError> {
    ReplicationConnection::connect(info).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_and_passwords_are_demanded_as_asked_and_refusals_say_why() {
    let server = Server::with_tls().await;
    let port = server.cluster.port();
    let root = format!("sslrootcert={}", server.file("root.crt").display());
    let stranger = format!("sslrootcert={}", server.file("stranger.crt").display());

    for more in
        ["sslmode=require".to_owned(), format!("sslmode=verify-ca&{root}"), format!("sslmode=verify-full&{root}")]
    {
        let mut connection = connect(&server.info("localhost", port, &more)).await.unwrap();
        assert!(connection.identify_system().await.unwrap().timeline == 1, "{more}");
        // SCRAM was bound to this very channel.
        let mut sql =
            ReplicationConnection::connect_sql(&server.info("localhost", port, &more), "postgres").await.unwrap();
        let rows = sql.query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").await.unwrap();
        assert_eq!(rows[0][0].as_deref(), Some("t"), "{more}");
    }
    // Another authority; the right one for another host; no file.
    let refused = async |host: &str, more: &str| connect(&server.info(host, port, more)).await.unwrap_err().to_string();
    let said = refused("localhost", &format!("sslmode=verify-ca&{stranger}")).await;
    assert!(said.contains("not of an authority in") && said.contains("stranger.crt"), "{said}");
    let said = refused("127.0.0.1", &format!("sslmode=verify-full&{root}")).await;
    assert!(said.contains("another host than 127.0.0.1"), "{said}");
    connect(&server.info("127.0.0.1", port, &format!("sslmode=verify-ca&{root}"))).await.unwrap();
    assert!(refused("localhost", "sslmode=verify-full").await.contains("sslrootcert"));
    assert!(refused("localhost", "sslmode=verify-full&sslrootcert=/nowhere.crt").await.contains("/nowhere.crt"));

    let wrong = ConnInfo::parse(&format!("postgres://postgres:wrong@localhost:{port}/postgres")).unwrap();
    let error = connect(&wrong).await.unwrap_err();
    assert!(matches!(&error, ReplicationError::SignIn { user, .. } if user == "postgres"), "{error}");
    assert!(!error.is_retryable() && !error.to_string().contains("wrong@"), "{error}");
    let nobody = ConnInfo::parse(&format!("postgres://nobody:secret@localhost:{port}/postgres")).unwrap();
    assert!(matches!(connect(&nobody).await, Err(ReplicationError::SignIn { .. })));
    // Nobody is there.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let error = connect(&server.info("127.0.0.1", free, "")).await.unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains("is the server running"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_is_cut_or_goes_silent_ends_each_operation_in_time() {
    let server = Server::with_tls().await;
    let proxy = ChaosProxy::start(server.cluster.port()).await;
    let info = server.info("127.0.0.1", proxy.port(), "sslmode=require").with_silence_limit(Duration::from_secs(1));
    let options = BaseBackupOptions {
        label: "test".to_owned(),
        fast: true,
        progress: false,
        manifest: false,
        max_rate_kib: Some(2_048),
        tablespace_map: true,
        verify_checksums: true,
        wait: false,
    };
    for (weather, word) in [(Weather::Cut, "lost"), (Weather::BlackHole, "did not answer")] {
        // In the middle of WAL.
        proxy.set(Weather::Fair);
        let mut connection = connect(&info).await.unwrap();
        let identity = connection.identify_system().await.unwrap();
        let start = Lsn(identity.flush.0 >> 24 << 24);
        let mut stream = connection.start_physical(None, start, identity.timeline).await.unwrap();
        assert!(matches!(stream.next().await.unwrap(), WalEvent::Data { .. } | WalEvent::Keepalive { .. }));
        proxy.set(weather);
        let begun = Instant::now();
        let error = loop {
            match stream.next().await {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert!(error.is_retryable() && error.to_string().contains(word), "{weather:?}: {error}");
        assert!(begun.elapsed() < Duration::from_secs(60), "{weather:?}");

        // In the middle of a base backup.
        proxy.set(Weather::Fair);
        let mut backup = connect(&info).await.unwrap().base_backup(&options).await.unwrap();
        while !matches!(backup.next().await.unwrap(), BackupEvent::Data(_)) {}
        proxy.set(weather);
        let error = loop {
            match backup.next().await {
                Ok(BackupEvent::End { .. }) => panic!("{weather:?}: it ended well"),
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert!(error.is_retryable() && error.to_string().contains(word), "{weather:?}: {error}");
    }
    // While connecting.
    let info =
        ConnInfo::parse(&format!("postgres://postgres:secret@127.0.0.1:{}/?connect_timeout=1", proxy.port())).unwrap();
    assert!(matches!(connect(&info).await, Err(ReplicationError::Timeout { .. })));
}

/// What a stranger says to whoever connects, after the first message of the client.
async fn stranger(says: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let says = says.clone();
            tokio::spawn(async move {
                let mut input = [0; 4_096];
                let _ = stream.read(&mut input).await;
                let _ = stream.write_all(&says).await;
                // Reads on, so that nothing is reset before it was read.
                while stream.read(&mut input).await.is_ok_and(|read| read > 0) {}
            });
        }
    });
    port
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    [&[tag][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_in_the_servers_place_is_refused_without_harm() {
    let ask = |says: Vec<u8>, more: &'static str| async move {
        let port = stranger(says).await;
        let info =
            ConnInfo::parse(&format!("postgres://me:secret@127.0.0.1:{port}/?connect_timeout=2&{more}")).unwrap();
        let mut connection = connect(&info).await?;
        connection.identify_system().await.map(drop)
    };
    let plain = "sslmode=disable";
    // Another protocol.
    let error = ask(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), plain).await.unwrap_err();
    assert!(matches!(error, ReplicationError::Protocol { .. }), "{error}");
    let error = ask(b"SSH-2.0-OpenSSH\r\n".to_vec(), "sslmode=require").await.unwrap_err();
    assert!(matches!(error, ReplicationError::Tls { .. }), "{error}");
    let error = ask(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), "sslmode=prefer").await.unwrap_err();
    assert!(error.to_string().contains("no PostgreSQL"), "{error}");
    // A message of two gigabytes is only a claim; one of sixty megabytes costs no memory before it comes.
    let error = ask([&b"R"[..], &0x7FFF_FFFF_u32.to_be_bytes()].concat(), plain).await.unwrap_err();
    assert!(matches!(error, ReplicationError::Protocol { .. }), "{error}");
    let error = ask([&b"R"[..], &(60_u32 << 20).to_be_bytes()].concat(), plain).await.unwrap_err();
    assert!(matches!(error, ReplicationError::Timeout { .. } | ReplicationError::Lost { .. }), "{error}");
    // It offers SCRAM and then says that all is well, without having proved anything.
    let offer = message(b'R', &[&10_u32.to_be_bytes()[..], b"SCRAM-SHA-256\0\0"].concat());
    let well = [message(b'R', &0_u32.to_be_bytes()), message(b'Z', b"I")].concat();
    let error = ask([offer.clone(), well.clone()].concat(), plain).await.unwrap_err();
    assert!(error.to_string().contains("did not prove"), "{error}");
    // A proof of its own making.
    let forged = message(b'R', &[&12_u32.to_be_bytes()[..], b"v=AAAA"].concat());
    let error = ask([offer, forged, well.clone()].concat(), plain).await.unwrap_err();
    assert!(matches!(error, ReplicationError::SignIn { .. } | ReplicationError::Protocol { .. }), "{error}");
    // Signed in, it answers with nonsense.
    for nonsense in [message(b'D', &[0, 9, 0, 0]), message(b'?', b"x"), message(b'D', &[0, 1, 0x7F, 0xFF, 0xFF, 0xFF])]
    {
        let error = ask([well.clone(), nonsense].concat(), plain).await.unwrap_err();
        assert!(matches!(error, ReplicationError::Protocol { .. }), "{error}");
    }
}
