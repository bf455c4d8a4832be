//! `get`: reading what was put, each connection its shards in turn.

use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};

use super::answers::{Place, records, refusal};
use super::args::{Common, GetArgs};
use super::bodies::print;
use super::client::{Client, Sendable};
use super::endpoint::Endpoint;
use super::places::Places;
use super::put::{self, Until, join};
use super::report::{Counts, Report};
use super::stream::{self, Shard, pause};
use crate::stopwatch::Stopwatch;
use crate::usage;

/// How long it is looked for a record that does not come.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long it is waited when there is nothing, and when a shard was read too often.
const PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(200));

/// Puts, and measures reading it.
pub fn run(args: &GetArgs) -> Result<Report> {
    let common = &args.common;
    let endpoint = Endpoint::of(common)?;
    let mut client = Client::connect(&endpoint)?;
    let shards = stream::open_shards(&mut client, common)?;
    let iterators = stream::iterators_at_end(&mut client, &common.stream, &shards)?;
    let calls = Until::Calls(args.total.div_ceil(args.records.into()));
    let put = put::put(&endpoint, common, args.records.into(), calls)?;
    let cpu_s = usage::cpu_s();
    let read = drain(&endpoint, common, &shards, iterators, &put.places)?;
    let cpu_s = usage::cpu_s() - cpu_s;
    let verified = put.places.len();
    put.places.check_read(read.places)?;
    let report = Report::new("get", common, shards.len(), None, cpu_s, &read.counts, read.seconds);
    Ok(Report { verified: Some(verified), ..report })
}

/// What was read.
pub struct Drained {
    pub counts: Counts,
    pub places: Places,
    pub seconds: f64,
}

/// Reads each shard from its iterator on, until it has given as many records as `expected` has of it and has no
/// more.
pub fn drain(
    endpoint: &Endpoint,
    common: &Common,
    shards: &[Shard],
    iterators: Vec<String>,
    expected: &Places,
) -> Result<Drained> {
    let connections = usize::from(common.connections).min(shards.len());
    let mut drains = Vec::new();
    for _ in 0..connections {
        drains.push(Drain {
            client: Client::connect(endpoint)?,
            shards: Vec::new(),
            counts: Counts::default(),
            places: Places::default(),
        });
    }
    for (index, (shard, iterator)) in shards.iter().zip(iterators).enumerate() {
        let left = expected.of_shard(shard.number);
        if left > 0 {
            drains[index % connections].shards.push(Unread { number: shard.number, iterator, left });
        }
    }
    let since = Stopwatch::start();
    let drained = thread::scope(|scope| {
        let threads: Vec<_> =
            drains.into_iter().map(|mut drain| scope.spawn(move || drain.run().map(|()| drain))).collect();
        threads.into_iter().map(join).collect::<Result<Vec<_>>>()
    })?;
    let seconds = since.elapsed().as_secs_f64();
    let mut all = Drained { counts: Counts::default(), places: Places::default(), seconds };
    for drain in drained {
        all.counts.add(&drain.counts)?;
        all.places.extend(drain.places);
    }
    Ok(all)
}

/// A shard that is not read to its end.
struct Unread {
    number: u32,
    iterator: String,
    /// Records that are known to come.
    left: u64,
}

/// A connection that reads.
struct Drain {
    client: Client,
    shards: Vec<Unread>,
    counts: Counts,
    places: Places,
}

impl Drain {
    fn run(&mut self) -> Result<()> {
        let mut news = Stopwatch::start();
        while !self.shards.is_empty() {
            let before = self.counts.records;
            for mut shard in std::mem::take(&mut self.shards) {
                if !self.read(&mut shard)? {
                    self.shards.push(shard);
                }
            }
            if self.counts.records > before {
                news = Stopwatch::start();
            } else if news.elapsed() > PATIENCE {
                let left: u64 = self.shards.iter().map(|shard| shard.left).sum();
                bail!("{left} records that were acknowledged cannot be read, after {PATIENCE:?}");
            } else if !self.shards.is_empty() {
                pause(PAUSES.0);
            }
        }
        Ok(())
    }

    /// Reads on in a shard; whether that is its end.
    fn read(&mut self, shard: &mut Unread) -> Result<bool> {
        let encoding = self.client.endpoint().encoding;
        let mut body = Vec::new();
        let mut writer = pelton_kinesis::wire::Writer::new(encoding, &mut body);
        writer.begin_structure(1);
        writer.member("ShardIterator").text(&shard.iterator);
        writer.end_structure();
        let began = Stopwatch::start();
        let answered = self.client.call(&mut Sendable::new("GetRecords", body));
        self.counts.called(began.elapsed())?;
        let (status, body) = match answered {
            Ok(answered) => answered,
            Err(error) => return self.counts.failed(&error).map(|()| false),
        };
        if status != 200 {
            let refusal = refusal(encoding, body);
            if !refusal.is_throttle {
                bail!("GetRecords was answered by {status}: {}", refusal.code);
            }
            self.counts.retries += 1;
            pause(PAUSES.1);
            return Ok(false);
        }
        let mut count = 0;
        let places = &mut self.places;
        let rest = records(encoding, body, |record| {
            let place = Place::of(shard.number, record.sequence);
            places.add(place, print(record.key.as_bytes(), record.data.as_sent()));
            count += 1;
        })?;
        self.counts.records += count;
        shard.left = shard.left.saturating_sub(count);
        match rest.next {
            Some(next) => shard.iterator = next,
            None if shard.left == 0 => return Ok(true),
            None => bail!("shard {} ends {} records too early", shard.number, shard.left),
        }
        Ok(shard.left == 0 && rest.behind_ms == 0)
    }
}
