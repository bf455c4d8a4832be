//! Connections: one port takes plain HTTP or TLS, HTTP/1.1 and HTTP/2, the latter by ALPN or by a client
//! that knows. Owns their limits, and that what was begun is finished when the service is told to stop.

mod body;
mod intake;
mod tls;
mod warning;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_rustls::TlsAcceptor;

use warning::Warning;

pub use body::Body;

use self::intake::NoBody;
use crate::dispatch;
use crate::error::{Error, ErrorCode};
use crate::service::Service;
use crate::wire::Encoding;

/// How long a client may take to send the head of a request, or to shake hands.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(120);
/// How long open requests have when the service is told to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// How long accepting rests when there is no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often the service looks after itself.
const UPKEEP_EVERY: Duration = Duration::from_secs(60);

/// Files of a certificate chain and its key, both PEM.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The chain, leaf first.
    pub certificates: PathBuf,
    /// The key.
    pub key: PathBuf,
}

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// The certificate or the key is no good.
    #[error("cannot use {}: {what}", .file.display())]
    Tls {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// A service that listens.
pub struct Server {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    service: Arc<Service>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("listener", &self.listener).finish_non_exhaustive()
    }
}

impl Server {
    /// Listens on `address`.
    ///
    /// # Errors
    /// If that cannot be, or the files of TLS are no good.
    pub async fn bind(
        service: Arc<Service>,
        address: SocketAddr,
        tls: Option<&TlsFiles>,
    ) -> Result<Self, BindError> {
        let tls = tls.map(tls::acceptor).transpose()?;
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|source| BindError::Listen { address, source })?;
        Ok(Self { listener, tls, service })
    }

    /// The address that is listened on.
    ///
    /// # Errors
    /// The operating system's.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` is done, and then until what was begun is finished, but not for ever.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self { listener, tls, service } = self;
        let mut stop = std::pin::pin!(stop);
        let graceful = GracefulShutdown::new();
        let room = Arc::new(Semaphore::new(service.settings.most_connections.min(Semaphore::MAX_PERMITS)));
        let upkeep = tokio::spawn(upkeep(service.clone()));
        let (mut waited, mut refused) = (Warning::default(), Warning::default());
        loop {
            tokio::select! {
                accepted = accept(&listener, &room, &mut waited) => match accepted {
                    Ok(connection) => serve(&service, tls.as_ref(), &graceful, connection),
                    Err(error) => {
                        if let Some(times) = refused.due(Instant::now()) {
                            tracing::warn!(
                                %error, times,
                                "connections could not be accepted, and wait: if files are what is lacking, raise \
                                 `ulimit -n`, or lower --max-connections"
                            );
                        }
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                () = &mut stop => break,
            }
        }
        upkeep.abort();
        drop(listener);
        service.stop();
        if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
            tracing::warn!("connections are still open and are cut off");
        }
    }
}

/// A connection, with its place among those that may be open.
struct Connection {
    socket: TcpStream,
    peer: SocketAddr,
    place: OwnedSemaphorePermit,
}

/// Has the service look after itself, for as long as it runs.
async fn upkeep(service: Arc<Service>) {
    let mut due = tokio::time::interval(UPKEEP_EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        service.upkeep().await;
    }
}

/// The next connection, once there is room for it. `waited` tells that they wait.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
    waited: &mut Warning,
) -> std::io::Result<Connection> {
    if room.available_permits() == 0
        && let Some(times) = waited.due(Instant::now())
    {
        tracing::warn!(times, "as many connections are open as may be: the next is accepted when one ends");
    }
    let place = room.clone().acquire_owned().await.map_err(std::io::Error::other)?;
    let (socket, peer) = listener.accept().await?;
    Ok(Connection { socket, peer, place })
}

/// Serves one connection on a task of its own.
fn serve(
    service: &Arc<Service>,
    tls: Option<&TlsAcceptor>,
    graceful: &GracefulShutdown,
    Connection { socket, peer, place }: Connection,
) {
    // Answers are small and somebody waits for each.
    let _ = socket.set_nodelay(true);
    let watcher = graceful.watcher();
    let (service, tls) = (service.clone(), tls.cloned());
    tokio::spawn(async move {
        let _place = place;
        let answer = service_fn(move |request| {
            let service = service.clone();
            async move { Ok::<_, Infallible>(answer(&service, request, peer).await) }
        });
        let builder = builder();
        let served = match tls {
            None => watcher.watch(builder.serve_connection(TokioIo::new(socket), answer).into_owned()).await,
            Some(tls) => match tokio::time::timeout(HEAD_TIMEOUT, tls.accept(socket)).await {
                Ok(Ok(socket)) => {
                    watcher.watch(builder.serve_connection(TokioIo::new(socket), answer).into_owned()).await
                }
                Ok(Err(error)) => return tracing::debug!(%peer, %error, "a client could not shake hands"),
                Err(_) => return tracing::debug!(%peer, "a client took too long to shake hands"),
            },
        };
        if let Err(error) = served {
            tracing::debug!(%peer, %error, "a connection has broken off");
        }
    });
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(1_000).adaptive_window(true);
    builder
}

async fn answer(service: &Arc<Service>, request: Request<Incoming>, peer: SocketAddr) -> Response<Body> {
    let (head, body) = request.into_parts();
    let mut response = match (&head.method, head.uri.path()) {
        (&Method::POST, _) => {
            match tokio::time::timeout(BODY_TIMEOUT, intake::take(&service.requests, body)).await {
                Ok(Ok(body)) => dispatch::answer(service, &head, body.bytes.clone()).await,
                Ok(Err(why)) => without_body(why, &head),
                Err(_) => without_body(NoBody::Broken, &head),
            }
        }
        (&Method::GET, "/health") => plain("ok\n".to_owned()),
        (&Method::GET, "/metrics") => plain(service.metrics_text()),
        _ => dispatch::answer(service, &head, Bytes::new()).await,
    };
    let id = request_id();
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-amzn-requestid", id.clone());
        response.headers_mut().insert("x-amz-id-2", id);
    }
    let target = head.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or("-");
    tracing::debug!(target: "pelton_kinesis::access", %peer, id, target, status = response.status().as_u16(), "answered");
    response
}

/// The answer to a request whose body cannot be had.
fn without_body(why: NoBody, head: &Parts) -> Response<Body> {
    let content_type = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let encoding = Encoding::of_content_type(content_type).unwrap_or(Encoding::Json);
    let (code, message) = match why {
        NoBody::TooLarge => (ErrorCode::Serialization, "The request is too large."),
        NoBody::Broken => (ErrorCode::Serialization, "The request has no end."),
        NoBody::NoRoom => (ErrorCode::ServiceUnavailable, "Too many large requests are being received."),
    };
    let mut response = dispatch::refuse(&Error::new(code, message), encoding);
    if why == NoBody::TooLarge {
        *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
    }
    response
}

fn plain(text: String) -> Response<Body> {
    let mut response = Response::new(Body::Full(Some(text.into())));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// A random id of a request, as AWS has them.
fn request_id() -> String {
    use ring::rand::{SecureRandom, SystemRandom};
    let mut bytes = [0; 16];
    // Without randomness ids are all the same, and requests are served all the same.
    let _ = SystemRandom::new().fill(&mut bytes);
    let id = u128::from_be_bytes(bytes);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        id >> 96,
        (id >> 80) & 0xffff,
        (id >> 64) & 0xffff,
        (id >> 48) & 0xffff,
        id & 0xffff_ffff_ffff
    )
}
