//! How long it takes until a connection has answered: through these pools, through pgbouncer and pgpool2 as they come from
//! the system's packages, and directly. All in one run, on one server, in turns; `script/bench catalog` runs it.
//!
//! `new` opens a connection for each statement, as a program without a pool does; `kept` holds one open for each client.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use pool::{Histogram, PoolError, PoolSettings, Pools, Reader, Scope, Work};
use sqlx::{Connection as _, Executor as _, PgConnection};
use std::{
    net::{Ipv4Addr, TcpListener},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

/// Both poolers refuse to be root, or should.
const NOBODY: u32 = 65_534;
const CLIENTS: [usize; 3] = [1, 50, 200];

struct Pooler {
    child: Child,
    port: u16,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        // The group: pgpool has a process for each client.
        let _ = Command::new("kill").args(["-INT", "--", &format!("-{}", self.child.id())]).status();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn spawn(program: &str, arguments: &[&str], directory: &Path, port: u16) -> Option<Pooler> {
    let path = directory.join(format!("{port}.log"));
    let log = std::fs::File::create(&path).unwrap();
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).process_group(0);
    if Command::new("id").arg("-u").output().is_ok_and(|it| it.stdout == b"0\n") {
        command.uid(NOBODY).gid(NOBODY);
    }
    let child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            println!("{program} does not start ({error}): it is not measured");
            return None;
        }
    };
    let pooler = Pooler { child, port };
    let begun = Instant::now();
    while std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        if begun.elapsed() > Duration::from_secs(10) {
            let said = std::fs::read_to_string(&path).unwrap_or_default();
            println!("{program} does not listen: it is not measured\n{said}");
            return None;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Some(pooler)
}

fn pgbouncer(program: &str, directory: &Path, server: u16, size: u32) -> Option<Pooler> {
    let port = free_port();
    let path = directory.join("pgbouncer.ini");
    let text = format!(
        "[databases]\npostgres = host=127.0.0.1 port={server} dbname=postgres user=postgres password=secret\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\ndefault_pool_size = {size}\nmax_client_conn = 1000\nignore_startup_parameters = extra_float_digits,options,IntervalStyle,TimeZone\nserver_reset_query =\n"
    );
    std::fs::write(&path, text).unwrap();
    spawn(program, &[path.to_str().unwrap()], directory, port)
}

fn pgpool(program: &str, directory: &Path, server: u16) -> Option<Pooler> {
    let (port, pcp) = (free_port(), free_port());
    let path = directory.join("pgpool.conf");
    let dir = directory.display();
    // A process for each client: that is its way.
    let text = format!(
        "listen_addresses = '127.0.0.1'\nport = {port}\npcp_port = {pcp}\nsocket_dir = '{dir}'\nunix_socket_directories = '{dir}'\npcp_socket_dir = '{dir}'\nbackend_clustering_mode = 'raw'\nbackend_hostname0 = '127.0.0.1'\nbackend_port0 = {server}\nbackend_weight0 = 1\nenable_pool_hba = off\nallow_clear_text_frontend_auth = on\nnum_init_children = 210\nmax_pool = 1\nconnection_cache = on\nload_balance_mode = off\nhealth_check_period = 0\npid_file_name = '{dir}/pgpool.pid'\nlogdir = '{dir}'\nwork_dir = '{dir}'\n"
    );
    std::fs::write(&path, text).unwrap();
    spawn(program, &["-n", "-f", path.to_str().unwrap()], directory, port)
}

fn row(name: &str, clients: usize, histogram: &Histogram, seconds: f64, failed: usize) {
    let seen = histogram.snapshot();
    let at = |share| seen.quantile_ms(share).unwrap_or(f64::NAN);
    println!(
        "{name:<34} {clients:>7} {:>8} {:>9.3} {:>9.3} {:>9.3} {:>9.0}{}",
        seen.count(),
        at(0.5),
        at(0.99),
        at(0.999),
        seen.count() as f64 / seconds,
        if failed > 0 { format!("  {failed} clients failed") } else { String::new() }
    );
}

/// So many clients at once, each again and again until the time is over; one that fails gives up.
async fn load<S, F, W>(name: &str, time: Duration, states: Vec<Option<S>>, work: W)
where
    S: Send + 'static,
    W: Fn(S) -> F + Clone + Send + 'static,
    F: Future<Output = Option<S>> + Send,
{
    let histogram = Arc::new(Histogram::default());
    let clients = states.len();
    let started = Instant::now();
    let tasks = states.into_iter().map(|state| {
        let (histogram, work) = (histogram.clone(), work.clone());
        tokio::spawn(async move {
            let mut state = state;
            while started.elapsed() < time {
                let Some(present) = state.take() else { return 1 };
                let begun = Instant::now();
                state = work(present).await;
                if state.is_some() {
                    histogram.record(begun.elapsed());
                }
            }
            usize::from(state.is_none())
        })
    });
    let mut failed = 0;
    for task in tasks.collect::<Vec<_>>() {
        failed += task.await.unwrap();
    }
    row(name, clients, &histogram, started.elapsed().as_secs_f64(), failed);
}

/// In one message, as every pooler carries it.
async fn ask(connection: &mut PgConnection) -> Option<()> {
    connection.execute(sqlx::raw_sql("SELECT 1")).await.ok().map(drop)
}

/// Through one address: a new connection for each statement, and one that is kept.
async fn through(name: &str, url: &str, clients: usize, time: Duration) {
    let address = url.to_owned();
    let work = move |()| {
        let address = address.clone();
        async move {
            let mut connection = PgConnection::connect(&address).await.ok()?;
            ask(&mut connection).await?;
            connection.close().await.ok()
        }
    };
    load(&format!("{name}, new"), time, vec![Some(()); clients], work).await;
    let mut kept = Vec::new();
    for _ in 0..clients {
        kept.push(PgConnection::connect(url).await.ok());
    }
    let work = |mut connection: PgConnection| async move {
        ask(&mut connection).await?;
        Some(connection)
    };
    load(&format!("{name}, kept"), time, kept, work).await;
}

fn find(name: &str) -> Option<String> {
    let found = Command::new("sh").args(["-c", &format!("PATH=$PATH:/usr/sbin; command -v {name}")]).output().ok()?;
    let path = String::from_utf8_lossy(&found.stdout).trim().to_owned();
    if path.is_empty() {
        println!("{name} is not there: it is not measured");
        return None;
    }
    Some(path)
}

#[tokio::main]
async fn main() {
    let seconds = std::env::args().nth(1).map_or(5, |text| text.parse().expect("seconds: a number"));
    let time = Duration::from_secs(seconds);
    let cluster = test_support::private_cluster(&[("max_connections", "500")]).await;
    let (url, server) = (cluster.server.url("postgres"), cluster.server.port());
    let directory = tempfile::tempdir_in("/var/tmp").unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let settings = PoolSettings::new(url.clone(), None);
    let size = settings.primary_max;
    let bouncer = find("pgbouncer").and_then(|program| pgbouncer(&program, directory.path(), server, size));
    let pgpool = find("pgpool").and_then(|program| pgpool(&program, directory.path(), server));
    let pools = Pools::start(settings).unwrap();
    while pools.snapshot().nodes[0].slots.is_none_or(|slots| slots.idle < 10) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!(
        "until a connection has answered SELECT 1; at most {size} connections to the server in pgbouncer and in these pools, {seconds} s a line"
    );
    println!("{:<34} {:>7} {:>8} {:>9} {:>9} {:>9} {:>9}", "", "clients", "n", "p50 ms", "p99 ms", "p99.9 ms", "per s");
    for clients in CLIENTS {
        through("direct", &url, clients, time).await;
        for (name, pooler) in [("pgbouncer", &bouncer), ("pgpool2", &pgpool)] {
            if let Some(pooler) = pooler {
                let url = format!("postgres://postgres:secret@127.0.0.1:{}/postgres?sslmode=disable", pooler.port);
                through(name, &url, clients, time).await;
            }
        }
        let before = pools.snapshot().nodes[0].timing.wait.clone();
        let asked = pools.clone();
        let work = move |()| {
            let pools = asked.clone();
            async move {
                pools
                    .read_primary(&Scope::default(), |reader: &mut Reader, _: Work<'_, '_>| {
                        Box::pin(async move {
                            reader.connection()?.execute(sqlx::raw_sql("SELECT 1")).await?;
                            Ok::<_, PoolError>(())
                        })
                    })
                    .await
                    .ok()
            }
        };
        load("these pools, a read transaction", time, vec![Some(()); clients], work).await;
        // The wait for a connection alone, as the pools themselves count it; the line above holds a transaction too.
        let waits = pools.snapshot().nodes[0].timing.wait.since(&before);
        println!(
            "{:<34} {clients:>7} {:>8} {:>9.3} {:>9.3} {:>9.3}",
            "these pools, acquire alone",
            waits.count(),
            waits.quantile_ms(0.5).unwrap_or(f64::NAN),
            waits.quantile_ms(0.99).unwrap_or(f64::NAN),
            waits.quantile_ms(0.999).unwrap_or(f64::NAN),
        );
    }
}
