//! A real S3 server on this machine, with a hand on its wire: it can fail, break off and answer as other stores do.
use crate::Leftovers;
use blobs::{Bytes, S3Config, S3Store};
use futures::{StreamExt, stream};
use http::{Method, Response, StatusCode, header};
use http_body_util::StreamBody;
use hyper::{
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use s3s::{Body, auth::SimpleAuth, service::S3ServiceBuilder};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};

pub const BUCKET: &str = "backups";
pub const ACCESS_KEY: &str = "AKIDFORTESTS";
pub const SECRET_KEY: &str = "a secret for tests";

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Not done; this status and code.
    Answer(u16, &'static str),
    /// Not done; the connection is reset.
    Reset,
    /// Done; the connection is reset before the answer.
    LostAnswer,
    /// The body of the answer breaks off after so many bytes.
    CutBody(usize),
    /// The whole object, whatever was asked for.
    IgnoreRange,
    /// Not done; 200 with an error in the body, as S3 may answer when an upload is completed.
    ErrorIn200,
}

/// What the store does with `If-None-Match`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conditions {
    Kept,
    Refused(u16, &'static str),
    Ignored,
}

#[derive(Debug)]
struct Rule {
    method: Method,
    /// The path and query contain this.
    part: &'static str,
    trouble: Trouble,
    times: u32,
}

struct Hand {
    rules: Mutex<Vec<Rule>>,
    log: Mutex<Vec<String>>,
    conditions: Conditions,
    root: PathBuf,
    /// The server looks before it writes; AWS does both in one.
    atomic: tokio::sync::Mutex<()>,
}

pub struct Server {
    pub address: SocketAddr,
    directory: TempDir,
    hand: Arc<Hand>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub async fn start() -> Self {
        Self::with(Conditions::Kept).await
    }

    pub async fn with(conditions: Conditions) -> Self {
        let directory = tempfile::Builder::new().prefix("holdfast-test-").tempdir().unwrap();
        std::fs::create_dir(directory.path().join(BUCKET)).unwrap();
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(directory.path()).unwrap());
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let service = builder.build();
        let hand = Arc::new(Hand {
            rules: Mutex::default(),
            log: Mutex::default(),
            conditions,
            root: directory.path().to_path_buf(),
            atomic: tokio::sync::Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let on_wire = hand.clone();
        let task = tokio::spawn(async move {
            loop {
                let Ok((socket, _)) = listener.accept().await else { continue };
                // A connection that is dropped is reset and not closed.
                socket.set_zero_linger().unwrap();
                let (service, hand) = (service.clone(), on_wire.clone());
                tokio::spawn(async move {
                    let answer = service_fn(move |request: http::Request<Incoming>| {
                        let (service, hand) = (service.clone(), hand.clone());
                        async move { hand.answer(&service, request).await }
                    });
                    let _ =
                        auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), answer).await;
                });
            }
        });
        Self { address, directory, hand, task }
    }

    pub fn config(&self) -> S3Config {
        S3Config {
            bucket: BUCKET.into(),
            region: "us-east-1".into(),
            endpoint: Some(format!("http://{}", self.address)),
            path_style: true,
            access_key: Some(ACCESS_KEY.into()),
            secret_key: Some(SECRET_KEY.into()),
            ..S3Config::default()
        }
    }

    pub async fn store(&self) -> S3Store {
        S3Store::open(self.config()).await.unwrap()
    }

    /// The next `times` requests of this method whose path or query contains `part` get into trouble.
    pub fn trouble(&self, method: Method, part: &'static str, trouble: Trouble, times: u32) {
        self.hand.rules.lock().unwrap().push(Rule { method, part, trouble, times });
    }

    pub fn heal(&self) {
        self.hand.rules.lock().unwrap().clear();
    }

    /// Requests since the last call: `PUT /bucket/key?query`, with ` if-none-match` when it was asked.
    pub fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut *self.hand.log.lock().unwrap())
    }

    /// The file of an object.
    pub fn file(&self, key: &str) -> PathBuf {
        self.directory.path().join(BUCKET).join(key)
    }

    /// Open uploads and their parts.
    pub fn leftovers(&self) -> Leftovers {
        let root = self.directory.path().to_path_buf();
        Arc::new(move || names(&root).into_iter().filter(|name| name.starts_with(".upload")).collect())
    }
}

pub fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

type Broken = std::io::Error;

fn broken() -> Broken {
    Broken::from(std::io::ErrorKind::ConnectionReset)
}

impl Hand {
    async fn answer(
        &self,
        service: &s3s::service::S3Service,
        request: http::Request<Incoming>,
    ) -> Result<Response<Body>, Broken> {
        let path = request.uri().path_and_query().unwrap().to_string();
        let conditional = request.headers().contains_key(header::IF_NONE_MATCH);
        let note = if conditional { " if-none-match" } else { "" };
        self.log.lock().unwrap().push(format!("{} {path}{note}", request.method()));
        let trouble = self.next_trouble(request.method(), &path);
        let file = self.root.join(request.uri().path().trim_start_matches('/'));
        match trouble {
            Some(Trouble::Answer(status, code)) => return drain(request, refusal(status, code)).await,
            Some(Trouble::ErrorIn200) => return drain(request, refusal(200, "InternalError")).await,
            Some(Trouble::Reset) => return Err(broken()),
            Some(Trouble::IgnoreRange) => {
                return Ok(Response::new(Body::from(Bytes::from(std::fs::read(&file)?))));
            }
            _ => {}
        }
        let _one = if conditional { Some(self.atomic.lock().await) } else { None };
        match self.conditions {
            Conditions::Refused(status, code) if conditional => return drain(request, refusal(status, code)).await,
            Conditions::Ignored if conditional => {
                let _ = std::fs::remove_file(&file);
            }
            _ => {}
        }
        let answer = service.call(request.map(Body::from)).await.map_err(|_| broken())?;
        match trouble {
            Some(Trouble::LostAnswer) => {
                // An answer may come only while it is written.
                let _ = http_body_util::BodyExt::collect(answer.into_body()).await;
                Err(broken())
            }
            Some(Trouble::CutBody(keep)) => Ok(cut(answer, keep)),
            _ => Ok(answer),
        }
    }

    fn next_trouble(&self, method: &Method, path: &str) -> Option<Trouble> {
        let mut rules = self.rules.lock().unwrap();
        let rule = rules.iter_mut().find(|it| it.times > 0 && it.method == *method && path.contains(it.part))?;
        rule.times -= 1;
        Some(rule.trouble)
    }
}

/// Takes in what the client sends, so that it reads the answer.
async fn drain(request: http::Request<Incoming>, answer: Response<Body>) -> Result<Response<Body>, Broken> {
    let _ = http_body_util::BodyExt::collect(request.into_body()).await;
    Ok(answer)
}

fn refusal(status: u16, code: &str) -> Response<Body> {
    let text = if code.is_empty() {
        String::new()
    } else {
        format!(
            r#"<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>The hand on the wire says so</Message></Error>"#
        )
    };
    let mut answer = Response::new(Body::from(text));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    answer
}

/// The first bytes of the body, and then the connection breaks. The announced length stays.
fn cut(answer: Response<Body>, keep: usize) -> Response<Body> {
    answer.map(|body| {
        let mut left = keep;
        let pieces = body.map(move |piece| {
            let mut piece = piece.map_err(|_| broken())?;
            if left == 0 {
                return Err(broken());
            }
            piece.truncate(left);
            left -= piece.len();
            Ok(Frame::data(piece))
        });
        Body::http_body(StreamBody::new(pieces.chain(stream::once(async { Err(broken()) }))))
    })
}
