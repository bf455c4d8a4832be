//! `fanout`: a subscription to each shard by one consumer, and records put at a rate. Each has in its data when its
//! call was sent; both ends are threads of this process, and so is the clock.
//!
//! Subscriptions go over HTTP/1.1, each on a connection of its own, as those of boto3 do.

use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use pelton_kinesis::event_stream;
use serde_json::json;

use super::answers::{Place, records};
use super::args::{Common, FanoutArgs};
use super::bodies::print;
use super::client::{Client, Sendable};
use super::endpoint::Endpoint;
use super::places::Places;
use super::put::{Producer, join};
use super::report::{Counts, Report};
use super::stream::{self, Shard, pause, wait_until_active};
use crate::report::Latency;
use crate::stopwatch::Stopwatch;
use crate::usage;

const CONSUMER: &str = "pelton-bench";
/// How long it is waited for records that have not come yet when all are put.
const PATIENCE: Duration = Duration::from_secs(10);

/// Subscribes, puts, and measures when records come.
pub fn run(args: &FanoutArgs) -> Result<Report> {
    let common = &args.common;
    let endpoint = Endpoint::of(common)?;
    let mut client = Client::connect(&endpoint)?;
    let shards = stream::open_shards(&mut client, common)?;
    let consumer = register(&mut client, &common.stream)?;
    let ran = subscribe_and_put(args, &endpoint, &shards, &consumer);
    // Whatever came of it; the consumer is in nobody's way if this fails.
    let _ = client.try_ask("DeregisterStreamConsumer", &json!({ "ConsumerARN": consumer }));
    ran
}

/// The consumer's ARN, once it is active.
fn register(client: &mut Client, stream: &str) -> Result<String> {
    let described = client.ask("DescribeStreamSummary", &json!({ "StreamName": stream }))?;
    let arn = &described["StreamDescriptionSummary"]["StreamARN"];
    let named = json!({ "StreamARN": arn, "ConsumerName": CONSUMER });
    let (status, answer) = client.try_ask("RegisterStreamConsumer", &named)?;
    if status != 200
        && !answer["__type"].as_str().is_some_and(|code| code.ends_with("ResourceInUseException"))
    {
        bail!("RegisterStreamConsumer was answered by {status}: {answer}");
    }
    let mut consumer = None;
    wait_until_active(|| {
        let described = client.ask("DescribeStreamConsumer", &named)?;
        let description = &described["ConsumerDescription"];
        consumer = description["ConsumerARN"].as_str().map(str::to_owned);
        Ok(description["ConsumerStatus"] == "ACTIVE")
    })
    .context("the consumer does not become active")?;
    consumer.context("DescribeStreamConsumer gives no ARN")
}

/// What subscribers and producers share.
struct Shared {
    since: Stopwatch,
    received: AtomicU64,
    is_over: AtomicBool,
}

fn subscribe_and_put(
    args: &FanoutArgs,
    endpoint: &Endpoint,
    shards: &[Shard],
    consumer: &str,
) -> Result<Report> {
    let shared =
        Shared { since: Stopwatch::start(), received: AtomicU64::new(0), is_over: AtomicBool::new(false) };
    let shared = &shared;
    let common = &args.common;
    thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        let mut handles = Vec::new();
        let mut subscribers = Vec::new();
        for shard in shards {
            let mut client = Client::connect(endpoint)?;
            handles.push(client.handle()?);
            let tell = tell.clone();
            let subscriber =
                Subscriber { shard: shard.number, counts: Counts::default(), places: Places::default() };
            let mut request = request(endpoint, consumer, &shard.id);
            subscribers.push(scope.spawn(move || {
                client.open(&mut request)?;
                subscriber.run(&mut client, shared, &tell)
            }));
        }
        drop(tell);
        let ran = match shards.iter().try_for_each(|_| told.recv()) {
            Ok(()) => put(args, endpoint, shared),
            Err(_) => Err(anyhow!("a subscription has not begun")),
        };
        let acknowledged = ran.as_ref().map_or(0, |(_, places)| places.len());
        wait_for(acknowledged, shared);
        shared.is_over.store(true, Ordering::SeqCst);
        handles.iter().for_each(close);
        let subscribers = subscribers.into_iter().map(join).collect::<Result<Vec<_>>>()?;
        let (put, acknowledged) = ran?;
        let (mut counts, mut read) = (Counts::default(), Places::default());
        for subscriber in subscribers {
            counts.add(&subscriber.counts)?;
            read.extend(subscriber.places);
        }
        let verified = acknowledged.len();
        acknowledged.check_read(read)?;
        (counts.throttled_records, counts.retries) = (put.throttled_records, put.retries);
        (counts.calls, counts.errors) = (put.calls, put.errors);
        let seconds = args.seconds as f64;
        let report =
            Report::new("fanout", common, shards.len(), Some(args.records), usage::cpu_s(), &counts, seconds);
        Ok(Report { put: Some(Latency::of(&put.micros)), verified: Some(verified), ..report })
    })
}

/// Waits until all that were acknowledged were received, but not for ever.
fn wait_for(acknowledged: u64, shared: &Shared) {
    let waiting = Stopwatch::start();
    while shared.received.load(Ordering::SeqCst) < acknowledged && waiting.elapsed() < PATIENCE {
        pause(Duration::from_millis(1));
    }
}

fn close(handle: &TcpStream) {
    // One that is closed already is as it should be.
    let _ = handle.shutdown(Shutdown::Both);
}

fn request(endpoint: &Endpoint, consumer: &str, shard: &str) -> Sendable {
    let mut body = Vec::new();
    let mut writer = pelton_kinesis::wire::Writer::new(endpoint.encoding, &mut body);
    writer.begin_structure(3);
    writer.member("ConsumerARN").text(consumer);
    writer.member("ShardId").text(shard);
    writer.member("StartingPosition").begin_structure(1);
    writer.member("Type").plain(b"LATEST");
    writer.end_structure();
    writer.end_structure();
    Sendable::new("SubscribeToShard", body)
}

/// Puts at the rate that is asked for, over all connections.
fn put(args: &FanoutArgs, endpoint: &Endpoint, shared: &Shared) -> Result<(Counts, Places)> {
    let common: &Common = &args.common;
    let connections = usize::from(common.connections);
    let every = Duration::from_secs_f64(connections as f64 / args.rate as f64);
    let calls = (args.seconds * args.rate).div_ceil(connections as u64);
    let producers = (0..connections).map(|of| Producer::new(endpoint, common, of, args.records.into()));
    let producers = producers.collect::<Result<Vec<_>>>()?;
    let began = Stopwatch::start();
    let work = |of: usize, mut producer: Producer| {
        // Connections take turns.
        let first = every.mul_f64(of as f64 / connections as f64);
        for call in 0..calls {
            let due = first + every.mul_f64(call as f64);
            while let Some(left) = due.checked_sub(began.elapsed()).filter(|left| !left.is_zero()) {
                pause(left);
            }
            producer.put_stamped(u64::try_from(shared.since.elapsed().as_nanos())?)?;
        }
        Ok((producer.counts, producer.places))
    };
    let work = &work;
    let made = thread::scope(|scope| {
        let threads: Vec<_> = producers
            .into_iter()
            .enumerate()
            .map(|(of, producer)| scope.spawn(move || work(of, producer)))
            .collect();
        threads.into_iter().map(join).collect::<Result<Vec<_>>>()
    })?;
    let (mut counts, mut places) = (Counts::default(), Places::default());
    for (of_one, its_places) in made {
        counts.add(&of_one)?;
        places.extend(its_places);
    }
    Ok((counts, places))
}

/// What has come of a shard.
struct Subscriber {
    shard: u32,
    counts: Counts,
    places: Places,
}

impl Subscriber {
    fn run(mut self, client: &mut Client, shared: &Shared, tell: &mpsc::Sender<()>) -> Result<Self> {
        let encoding = client.endpoint().encoding;
        let (mut unread, mut scratch) = (Vec::new(), Vec::new());
        loop {
            let chunk = match client.next_chunk() {
                Ok(Some(chunk)) => chunk,
                _ if shared.is_over.load(Ordering::SeqCst) => return Ok(self),
                Ok(None) => bail!("a subscription has ended"),
                Err(error) => return Err(error.context("a subscription has broken off")),
            };
            unread.extend_from_slice(chunk);
            let mut rest = unread.as_slice();
            while let Some((message, behind)) = event_stream::read(rest).map_err(|what| anyhow!(what))? {
                rest = behind;
                let kind = message
                    .headers
                    .iter()
                    .find(|(name, _)| matches!(*name, ":event-type" | ":exception-type"));
                match kind {
                    // Nobody waits for it once the measurement has failed.
                    Some((_, "initial-response")) => drop(tell.send(())),
                    Some((_, "SubscribeToShardEvent")) => {
                        let now = shared.since.elapsed();
                        let before = self.counts.records;
                        records(encoding, message.payload, |record| {
                            let sent = record.data.bytes(&mut scratch).and_then(|data| data.first_chunk());
                            let sent =
                                Duration::from_nanos(sent.map_or(0, |stamp| u64::from_le_bytes(*stamp)));
                            // A histogram of all sizes takes any.
                            let _ = self.counts.micros.record(now.saturating_sub(sent).as_micros() as u64);
                            let place = Place::of(self.shard, record.sequence);
                            self.places.add(place, print(record.key.as_bytes(), record.data.as_sent()));
                            self.counts.records += 1;
                        })?;
                        shared.received.fetch_add(self.counts.records - before, Ordering::SeqCst);
                    }
                    other => {
                        bail!("a subscription says {other:?}: {}", String::from_utf8_lossy(message.payload))
                    }
                }
            }
            let read = unread.len() - rest.len();
            unread.drain(..read);
        }
    }
}
