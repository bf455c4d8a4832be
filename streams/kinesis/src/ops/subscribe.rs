//! `SubscribeToShard`: records as they come, each event as soon as it is durable. The connection takes an
//! event when its window has room, and nothing is read ahead of that.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pelton_streams::{Reader, RecordBatch};
use tokio::sync::{Notify, mpsc, oneshot};

use super::consumers::by_arn;
use super::get::{Page, children_at_end, count_out, read_page, room_for};
use super::iterators::{Asked, shard_in};
use super::request::shard_of;
use super::{Reply, Request, long, members};
use crate::error::{Error, ErrorCode, Result};
use crate::event_stream::{self, MessageType};
use crate::records::Records;
use crate::service::Service;
use crate::shards::Shard;
use crate::stream::Stream;
use crate::subscriptions::Place;
use crate::value::Value;
use crate::wire::Encoding;

/// How long a subscription lasts, as in Kinesis.
const LIFETIME: Duration = Duration::from_secs(300);
/// How often a client hears that there is nothing.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Most records of an event.
const MOST_RECORDS: usize = 10_000;
/// Most bytes of the records of an event, unless a single one has more.
const MOST_BYTES: usize = 1 << 20;
/// Events that wait for the connection.
const EVENTS_AHEAD: usize = 1;

/// `SubscribeToShard`.
///
/// # Errors
/// If consumer or shard are not there, the position is none of the shard's, or another subscription is
/// in its place.
pub async fn subscribe(service: &Arc<Service>, request: &Request, encoding: Encoding) -> Result<Reply> {
    let (stream, consumer, _) = by_arn(service, request.required("ConsumerARN")?).await?;
    let record = stream.record();
    let text = request.required("ShardId")?;
    let id = shard_of(text).ok_or_else(|| {
        let before = format_args!("Could not find shard {text} in stream {}", record.name);
        service.error(ErrorCode::ResourceNotFound, before, ".")
    })?;
    let shard = shard_in(service, &stream, &record, id).await?;
    let position = request.structure("StartingPosition").cloned().unwrap_or(Value::Null);
    let position = Request(position);
    let asked = Asked {
        kind: position.required("Type")?,
        sequence: position.text("SequenceNumber"),
        at_ms: position.time_ms("Timestamp"),
    };
    let start = asked.start(service, &record, &shard, "SubscribeToShard")?;
    super::check_dry_run(request)?;
    let busy = Error::new(
        ErrorCode::ResourceInUse,
        format!(
            "Another active subscription exists for this consumer: {}:{}:{id}:{consumer}",
            service.settings.account, record.name
        ),
    );
    let now_ms = service.now_ms();
    let (place, ended) = service.subscriptions.take((record.log_id, &consumer, id), now_ms, busy)?;
    let in_use = stream.enter(service).await?;
    let (own, read) = (service.clone(), stream.clone());
    let reader = crate::blocking(move || read.reader(&own.log, id, start)).await?;
    drop(in_use);
    let (events, received) = mpsc::channel(EVENTS_AHEAD);
    let subscription =
        Subscription { service: service.clone(), stream, consumer, shard, encoding, events, _place: place };
    tokio::spawn(subscription.run(reader, ended));
    Ok(Reply::Events(received))
}

struct Subscription {
    service: Arc<Service>,
    stream: Arc<Stream>,
    consumer: String,
    shard: Shard,
    encoding: Encoding,
    events: mpsc::Sender<Bytes>,
    _place: Place,
}

impl Subscription {
    /// Sends events until the subscription has lasted for long enough, the shard ends, somebody ends it, or
    /// the client is gone.
    async fn run(self, reader: Reader, mut ended: oneshot::Receiver<Error>) {
        let mut stop = self.service.stopping();
        let told = tokio::select! {
            biased;
            // The service's end and a lifetime that is over are no errors: the client subscribes again.
            _ = stop.wait_for(|stop| *stop) => Ok(()),
            () = tokio::time::sleep(LIFETIME) => Ok(()),
            () = self.events.closed() => return,
            why = &mut ended => Err(why.unwrap_or_else(|_| Error::internal("a subscription has lost its place"))),
            done = self.follow(reader) => done,
        };
        if let Err(error) = told {
            let mut message = Vec::new();
            let kind = MessageType::Exception(error.code().name());
            event_stream::write(&mut message, kind, self.encoding, |out| {
                self.encoding.write(&members! { "message": error.message() }, out);
            });
            // A client that is gone does not want to know.
            let _ = self.events.send(message.into()).await;
        }
    }

    async fn follow(&self, mut reader: Reader) -> Result {
        let mut first = Vec::new();
        event_stream::write(&mut first, MessageType::Event("initial-response"), self.encoding, |out| {
            self.encoding.write(&Value::Map(Vec::new()), out);
        });
        let news = Arc::new(Notify::new());
        let tell = news.clone();
        let _subscribed = reader.subscribe(move || tell.notify_one())?;
        let mut is_due = true;
        if self.events.send(first.into()).await.is_err() {
            return Ok(());
        }
        loop {
            // Nothing is read before the connection can take it.
            let Ok(slot) = self.events.reserve().await else { return Ok(()) };
            let horizon_ms = self.stream.shards().horizon_ms(self.service.now_ms());
            let (mut share, most_bytes) = room_for(&self.service, MOST_BYTES);
            let (page, batches, back) = crate::blocking(move || {
                let mut batches = Vec::new();
                let take = |batch| batches.push(batch);
                let page = read_page(&mut reader, MOST_RECORDS, most_bytes, horizon_ms, take)?;
                reader.settle();
                Ok((page, batches, reader))
            })
            .await?;
            reader = back;
            if page.records > 0 || page.is_ended || is_due {
                slot.send(share.hold(self.event(&page, &batches, &reader)?));
                is_due = false;
            }
            // Nothing is kept while there is nothing to send.
            drop((share, batches));
            if page.is_ended {
                return Ok(());
            }
            self.rest(&page).await;
            if page.next_arrival_ms.is_none() {
                is_due = tokio::time::timeout(HEARTBEAT, news.notified()).await.is_err();
            }
        }
    }

    /// Waits until the consumer may be given more, if it is held to the limit.
    async fn rest(&self, page: &Page) {
        if !self.service.settings.enforce_limits {
            return;
        }
        let Self { service, consumer, shard, .. } = self;
        let log_id = self.stream.record().log_id;
        let rest_ms = service.limits.have_pushed(log_id, shard.id, consumer, page.bytes, service.now_ms());
        tokio::time::sleep(Duration::from_millis(rest_ms)).await;
    }

    fn event(&self, page: &Page, batches: &[RecordBatch], reader: &Reader) -> Result<Vec<u8>> {
        let now_ms = self.service.now_ms();
        let behind_ms = page.behind_ms(now_ms);
        count_out(&self.service, reader.stream_id(), self.shard.id, page, behind_ms);
        // At the end of a shard there is nothing to go on from.
        let next = (!page.is_ended).then(|| {
            let number = reader.position().0.saturating_sub(1);
            self.shard.sequence(number, page.last_arrival_ms.unwrap_or(now_ms)).to_string()
        });
        let children =
            page.is_ended.then(|| children_at_end(&self.service, &self.stream, self.shard.id)).transpose()?;
        let is_encrypted = self.stream.record().key_id.is_some();
        let rest = members! {
            "ContinuationSequenceNumber": next,
            "MillisBehindLatest": long(behind_ms),
            "ChildShards": children,
        };
        let mut message = Vec::new();
        event_stream::write(
            &mut message,
            MessageType::Event("SubscribeToShardEvent"),
            self.encoding,
            |out| {
                Records { shard: &self.shard, batches, is_encrypted, rest }.write(self.encoding, out);
            },
        );
        Ok(message)
    }
}
