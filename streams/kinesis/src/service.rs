//! The service as a whole: the log, the catalog over it, and the streams that are served. How requests come
//! in is for `server`, what each asks for is for [`ops`](crate::ops).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use pelton_streams::clock::{Clock, SystemClock};
use pelton_streams::storage::{FileStorage, Storage};
use pelton_streams::{Options, ShardId, ShardLog};
use tokio::sync::watch;

use crate::auth::Authenticator;
use crate::catalog::{Catalog, CatalogError, Status, StreamRecord};
use crate::error::{Error, ErrorCode, Result};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::on_demand::OnDemand;
use crate::readers::Readers;
use crate::room::Room;
use crate::shards::ShardTable;
use crate::stream::{Stream, not_found};
use crate::subscriptions::Subscriptions;
use crate::token::{Purpose, Sealer};

/// What the service says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The account that everything belongs to: 12 digits.
    pub account: String,
    /// The region that ARNs name.
    pub region: String,
    /// Most open shards in all streams together.
    pub shard_limit: u32,
    /// Hold clients to the throughput of shards and the rates of the control plane.
    pub enforce_limits: bool,
    /// Connections at a time; who comes after them waits to be accepted.
    pub most_connections: usize,
    /// Bytes of bodies of requests that may be there at a time, beside a little of each; who sends more is told to
    /// come again.
    pub most_body_bytes: usize,
    /// Bytes of answers with records that wait for who asked for them, beside a little of each: the more there are, the
    /// fewer records are given at a time.
    pub most_answer_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            account: "000000000000".to_owned(),
            region: "us-east-1".to_owned(),
            shard_limit: 100_000,
            enforce_limits: false,
            most_connections: 10_000,
            most_body_bytes: 128 << 20,
            most_answer_bytes: 128 << 20,
        }
    }
}

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The log cannot be opened.
    #[error(transparent)]
    Log(#[from] pelton_streams::Error),
    /// The catalog cannot be opened.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// The service.
#[derive(Debug)]
pub struct Service {
    /// The log that records are in.
    pub log: ShardLog,
    /// What is known of streams beyond it.
    pub catalog: Catalog,
    /// What it says of itself.
    pub settings: Settings,
    /// Readers that are kept between calls.
    pub readers: Readers,
    /// Who is subscribed to what.
    pub subscriptions: Subscriptions,
    /// What clients are held to, if they are.
    pub limits: Limits,
    /// What is counted.
    pub metrics: Metrics,
    /// What is known of the load of on-demand streams.
    pub on_demand: OnDemand,
    /// Where the bodies of requests are.
    pub requests: Arc<Room>,
    /// Where answers with records are until they are sent.
    pub answers: Arc<Room>,
    stopping: watch::Sender<bool>,
    authenticator: Option<Authenticator>,
    clock: Arc<dyn Clock>,
    sealer: Sealer,
    streams: RwLock<BTreeMap<String, Arc<Stream>>>,
}

impl Service {
    /// Opens the data directory, making it if it is not there, and brings to an end what was cut short.
    ///
    /// # Errors
    /// If the log or the catalog cannot be opened.
    pub fn open(data: impl AsRef<Path>, settings: Settings) -> Result<Self, StartError> {
        let log = ShardLog::open(&data, &Options::create())?;
        Self::over(log, settings, Arc::new(FileStorage), Arc::new(SystemClock))
    }

    /// A service over a log that is open, on its storage and by its clock.
    ///
    /// # Errors
    /// If the log or the catalog cannot be read.
    pub fn over(
        log: ShardLog,
        settings: Settings,
        storage: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        let catalog = Catalog::open(log.dir(), storage)?;
        let sealer = Sealer::new(&catalog.token_key()?);
        let service = Self {
            log,
            catalog,
            requests: Room::new(settings.most_body_bytes),
            answers: Room::new(settings.most_answer_bytes),
            settings,
            readers: Readers::default(),
            subscriptions: Subscriptions::default(),
            limits: Limits::default(),
            metrics: Metrics::default(),
            on_demand: OnDemand::default(),
            stopping: watch::Sender::new(false),
            authenticator: None,
            clock,
            sealer,
            streams: RwLock::default(),
        };
        service.finish_what_was_cut_short()?;
        service.adopt()?;
        Ok(service)
    }

    /// Takes requests from those alone whom `authenticator` knows.
    #[must_use]
    pub fn with_authenticator(mut self, authenticator: Authenticator) -> Self {
        self.authenticator = Some(authenticator);
        self
    }

    /// Who knows the senders of requests; none if requests are taken from everybody.
    #[must_use]
    pub fn authenticator(&self) -> Option<&Authenticator> {
        self.authenticator.as_ref()
    }

    /// Creations and deletions that the last process did not finish.
    fn finish_what_was_cut_short(&self) -> Result<(), StartError> {
        let there = self.log.list_streams()?;
        for mut record in self.catalog.streams()? {
            let is_there = there.contains(&record.name);
            match record.status {
                Status::Creating => {
                    if !is_there {
                        self.create_log(&record)?;
                    }
                    record.log_id = self.log.describe_stream(&record.name)?.stream_id;
                    record.status = Status::Active;
                    self.catalog.put(&record)?;
                }
                Status::Deleting => {
                    if is_there {
                        self.log.delete_stream(&record.name)?;
                    }
                    self.catalog.remove(&record.name)?;
                }
                // Its log was deleted by other means.
                _ if !is_there => self.catalog.remove(&record.name)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Creates the log of a stream that is entered.
    ///
    /// # Errors
    /// Those of the log.
    pub fn create_log(&self, record: &StreamRecord) -> Result<(), pelton_streams::Error> {
        let retention = pelton_streams::Retention { age_ms: Some(DAY_MS), bytes: None };
        self.log.create_stream_with(&record.name, record.initial_shards, retention)
    }

    /// Takes in every stream of the log that is not served yet. Reads from disk.
    ///
    /// # Errors
    /// If the log or the catalog cannot be read.
    pub fn adopt(&self) -> Result<(), StartError> {
        let known = self.catalog.streams()?;
        for name in self.log.list_streams()? {
            if self.served(&name).is_none() {
                let record = known.iter().find(|record| record.name == name);
                self.adopt_stream(&name, record)?;
            }
        }
        Ok(())
    }

    fn adopt_stream(
        &self,
        name: &str,
        known: Option<&StreamRecord>,
    ) -> Result<Arc<Stream>, pelton_streams::Error> {
        let described = self.log.describe_stream(name)?;
        // A file of a stream that was deleted by other means says nothing of its successor.
        let known = known.filter(|record| record.log_id == described.stream_id).cloned();
        let record = known.unwrap_or_else(|| StreamRecord {
            log_id: described.stream_id,
            ..StreamRecord::new(name, described.created_ms)
        });
        let stream = Arc::new(Stream::new(record, ShardTable::new(&described), described.ended_in_order));
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        Ok(streams.entry(name.to_owned()).or_insert(stream).clone())
    }

    /// Tells whether the service is being stopped.
    #[must_use]
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// Ends what would last, for the service is being stopped.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// Makes a token for a client.
    ///
    /// # Errors
    /// `InternalFailure` without randomness.
    pub fn seal<T: serde::Serialize>(&self, purpose: Purpose, content: &T) -> Result<String> {
        self.sealer.seal(purpose, content).ok_or_else(|| Error::internal("there is no randomness"))
    }

    /// What a token was made of.
    #[must_use]
    pub fn unseal<T: serde::de::DeserializeOwned>(&self, purpose: Purpose, token: &str) -> Option<T> {
        self.sealer.open(purpose, token)
    }

    /// The streams, by name.
    #[must_use]
    pub fn streams(&self) -> Vec<Arc<Stream>> {
        self.streams.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// A stream that is served.
    #[must_use]
    pub fn served(&self, name: &str) -> Option<Arc<Stream>> {
        self.streams.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Serves a stream; `false` if there is one of its name.
    #[must_use]
    pub fn add(&self, stream: Arc<Stream>) -> bool {
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        match streams.entry(stream.record().name.clone()) {
            std::collections::btree_map::Entry::Occupied(_) => false,
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert(stream);
                true
            }
        }
    }

    /// Serves a stream no more.
    pub fn remove(&self, name: &str) {
        self.streams.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// The stream `name`; one that another process has created is taken in.
    ///
    /// # Errors
    /// `ResourceNotFoundException`; `InternalFailure` if that cannot be told.
    pub async fn stream(self: &Arc<Self>, name: &str) -> Result<Arc<Stream>> {
        if let Some(stream) = self.served(name) {
            return Ok(stream);
        }
        let (service, owned) = (self.clone(), name.to_owned());
        let adopted = crate::blocking(move || Ok(service.adopt_stream(&owned, None)?)).await;
        adopted.map_err(|error| match error.code() {
            ErrorCode::InternalFailure => error,
            _ => not_found(name, &self.settings.account),
        })
    }

    /// Everything that is counted, as Prometheus reads it.
    #[must_use]
    pub fn metrics_text(&self) -> String {
        let streams = self.streams();
        let names =
            streams.iter().map(|stream| stream.record()).map(|record| (record.log_id, record.name.clone()));
        let open = streams.iter().map(|stream| stream.shards().open().count()).sum();
        let gauges = [
            ("kinesis_streams", "Streams.", streams.len()),
            ("kinesis_open_shards", "Shards that take records.", open),
            ("kinesis_subscriptions", "Subscriptions of consumers to shards.", self.subscriptions.count()),
            (
                "kinesis_body_bytes",
                "Bytes of requests that are being received or answered.",
                self.requests.held(),
            ),
            (
                "kinesis_answer_bytes",
                "Bytes of answers with records that are not sent yet.",
                self.answers.held(),
            ),
        ];
        self.metrics.render(&names.collect(), &gauges)
    }

    /// AWS's words for a shard that is used more than it may.
    #[must_use]
    pub fn shard_rate_exceeded(&self, shard: ShardId, stream: &str) -> String {
        format!("Rate exceeded for shard {shard} in stream {stream} under account {}.", self.settings.account)
    }

    /// The ARN of a stream.
    #[must_use]
    pub fn arn(&self, stream: &str) -> String {
        let Settings { region, account, .. } = &self.settings;
        format!("arn:aws:kinesis:{region}:{account}:stream/{stream}")
    }

    /// An error of `code` that says `message`, which names the account.
    pub fn error(&self, code: ErrorCode, before: impl std::fmt::Display, after: &str) -> Error {
        Error::new(code, format!("{before} under account {}{after}", self.settings.account))
    }
}

/// A day, in ms.
pub const DAY_MS: u64 = 24 * HOUR_MS;
/// An hour, in ms.
pub const HOUR_MS: u64 = 3_600_000;
