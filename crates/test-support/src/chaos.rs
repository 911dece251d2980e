//! A TCP proxy that can be told to misbehave, to stand between a client and its database.
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// What the proxy does with traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Forwards everything.
    Fair,
    /// Accepts, keeps connections open and forwards nothing, in either direction, with no error: a black hole.
    BlackHole,
    /// Closes what is open and what comes.
    Cut,
    /// Forwards each piece after a delay.
    Slow(Duration),
}

/// The proxy; it ends when dropped.
#[derive(Debug)]
pub struct ChaosProxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    accepted: Arc<AtomicUsize>,
    upstream: Arc<AtomicU16>,
    task: tokio::task::JoinHandle<()>,
}

impl ChaosProxy {
    /// Listens on a free port of 127.0.0.1 and forwards to `upstream` port there.
    pub async fn start(upstream: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (weather, watcher) = watch::channel(Weather::Fair);
        let accepted = Arc::new(AtomicUsize::new(0));
        let counter = accepted.clone();
        let upstream = Arc::new(AtomicU16::new(upstream));
        let port = upstream.clone();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    Ok((client, _)) = listener.accept() => {
                        counter.fetch_add(1, Ordering::Relaxed);
                        connections.spawn(serve(client, port.load(Ordering::Relaxed), watcher.clone()));
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Self { address, weather, accepted, upstream, task }
    }

    /// Its port.
    pub const fn port(&self) -> u16 {
        self.address.port()
    }

    /// Changes what it does, for open connections too.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Forwards what comes from now on to another port: the server behind an address was replaced.
    pub fn forward_to(&self, upstream: u16) {
        self.upstream.store(upstream, Ordering::Relaxed);
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for ChaosProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(client: TcpStream, upstream: u16, mut weather: watch::Receiver<Weather>) {
    let mut calm = weather.clone();
    let upstream_stream = tokio::select! {
        stream = async {
            wait_for_traffic(&mut calm).await;
            TcpStream::connect(("127.0.0.1", upstream)).await
        } => stream,
        () = until_cut(&mut weather) => return,
    };
    let Ok(server) = upstream_stream else { return };
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    let (up, down) = (weather.clone(), weather.clone());
    tokio::select! {
        () = pump(client_read, server_write, up) => {}
        () = pump(server_read, client_write, down) => {}
        () = until_cut(&mut weather) => {}
    }
}

async fn pump(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut weather: watch::Receiver<Weather>,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let Ok(read) = from.read(&mut buffer).await else { return };
        if read == 0 {
            return;
        }
        wait_for_traffic(&mut weather).await;
        let now = *weather.borrow();
        if let Weather::Slow(delay) = now {
            tokio::time::sleep(delay).await;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

async fn wait_for_traffic(weather: &mut watch::Receiver<Weather>) {
    // An error means that the proxy is gone, and this task with it.
    let _ = weather.wait_for(|weather| *weather != Weather::BlackHole).await;
}

async fn until_cut(weather: &mut watch::Receiver<Weather>) {
    let _ = weather.wait_for(|weather| *weather == Weather::Cut).await;
}
