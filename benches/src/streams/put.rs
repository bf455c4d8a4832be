//! `put`: connections that put the same records again and again, each one call after the other. What a shard has
//! no room for is put again until it is in.

use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, bail, ensure};
use hdrhistogram::Histogram;

use super::answers::{Outcome, outcomes, refusal};
use super::args::{Common, PutArgs};
use super::bodies::Records;
use super::client::{Client, Sendable};
use super::endpoint::Endpoint;
use super::get;
use super::places::Places;
use super::report::{Counts, Report};
use super::stream::{self, pause};
use crate::stopwatch::Stopwatch;
use crate::usage;

/// How often a call is tried: with the pauses, for about a minute.
const MOST_TRIES: u32 = 120;
/// The first pause after a refusal, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));

/// Puts, and reads back what was acknowledged.
pub fn run(args: &PutArgs) -> Result<Report> {
    let common = &args.common;
    let endpoint = Endpoint::of(common)?;
    let mut client = Client::connect(&endpoint)?;
    let shards = stream::open_shards(&mut client, common)?;
    let iterators = if args.no_verify {
        Vec::new()
    } else {
        stream::iterators_at_end(&mut client, &common.stream, &shards)?
    };
    let until = args.total.map_or(Until::Elapsed(Duration::from_secs(args.seconds)), |total| {
        Until::Calls(total.div_ceil(args.records.into()))
    });
    let cpu_s = usage::cpu_s();
    let put = put(&endpoint, common, args.records.into(), until)?;
    let cpu_s = usage::cpu_s() - cpu_s;
    let report =
        Report::new("put", common, shards.len(), Some(args.records), cpu_s, &put.counts, put.seconds);
    if args.no_verify {
        return Ok(report);
    }
    let read = get::drain(&endpoint, common, &shards, iterators, &put.places)?;
    let verified = put.places.len();
    put.places.check_read(read.places)?;
    Ok(Report { verified: Some(verified), ..report })
}

/// How long connections put.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    Elapsed(Duration),
    /// So many calls, over all connections.
    Calls(u64),
}

/// What was put.
pub struct Put {
    pub counts: Counts,
    pub places: Places,
    pub seconds: f64,
}

/// Puts by all connections, each on a thread of its own.
pub fn put(endpoint: &Endpoint, common: &Common, records: usize, until: Until) -> Result<Put> {
    let left = AtomicI64::new(match until {
        Until::Calls(calls) => i64::try_from(calls)?,
        Until::Elapsed(_) => i64::MAX,
    });
    let time = if let Until::Elapsed(time) = until { time } else { Duration::MAX };
    // Connections and bodies are made before the time runs.
    let producers = (0..common.connections.into()).map(|of| Producer::new(endpoint, common, of, records));
    let producers = producers.collect::<Result<Vec<_>>>()?;
    let since = Stopwatch::start();
    let tallies = thread::scope(|scope| {
        let work = |mut producer: Producer| {
            while since.elapsed() < time && left.fetch_sub(1, Ordering::Relaxed) > 0 {
                producer.put()?;
            }
            Ok((producer.counts, producer.places))
        };
        let threads: Vec<_> =
            producers.into_iter().map(|producer| scope.spawn(move || work(producer))).collect();
        threads.into_iter().map(join).collect::<Result<Vec<_>>>()
    })?;
    let mut put =
        Put { counts: Counts::default(), places: Places::default(), seconds: since.elapsed().as_secs_f64() };
    for (counts, places) in tallies {
        put.counts.add(&counts)?;
        put.places.extend(places);
    }
    Ok(put)
}

/// What a thread came to.
pub fn join<T>(thread: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|_| Err(anyhow!("a thread has panicked")))
}

/// A connection that puts.
pub struct Producer {
    client: Client,
    records: Records,
    /// The call that puts all of them.
    whole: Sendable,
    all: Vec<usize>,
    outcomes: Vec<Outcome>,
    pub counts: Counts,
    pub places: Places,
}

impl Producer {
    pub fn new(endpoint: &Endpoint, common: &Common, of: usize, records: usize) -> Result<Self> {
        let all: Vec<usize> = (0..records).collect();
        let records = Records::new(&common.stream, common.encoding(), of, records, common.bytes as usize);
        Ok(Self {
            client: Client::connect(endpoint)?,
            whole: records.call(&all),
            records,
            all,
            outcomes: Vec::new(),
            counts: Counts::default(),
            places: Places::default(),
        })
    }

    /// Puts its records with a stamp in the first eight bytes of each.
    pub fn put_stamped(&mut self, stamp: u64) -> Result<()> {
        self.records.stamp(stamp);
        self.whole = self.records.call(&self.all);
        self.put()
    }

    /// Puts its records, those that are refused for now again and again.
    pub fn put(&mut self) -> Result<()> {
        let mut left = self.try_whole()?;
        let mut pause_for = PAUSES.0;
        for _ in 1..MOST_TRIES {
            if left.is_empty() {
                return Ok(());
            }
            self.counts.retries += 1;
            pause(pause_for);
            pause_for = PAUSES.1.min(pause_for * 2);
            let mut call = self.records.call(&left);
            left = self.try_call(&mut call, &left)?;
        }
        bail!("{} records could not be put by {MOST_TRIES} calls", left.len())
    }

    fn try_whole(&mut self) -> Result<Vec<usize>> {
        let mut whole = std::mem::replace(&mut self.whole, Sendable::new("", Vec::new()));
        let all = std::mem::take(&mut self.all);
        let left = self.try_call(&mut whole, &all);
        (self.whole, self.all) = (whole, all);
        left
    }

    /// Puts those of these numbers; gives those that are to be put again.
    fn try_call(&mut self, call: &mut Sendable, numbers: &[usize]) -> Result<Vec<usize>> {
        let encoding = self.client.endpoint().encoding;
        let began = Stopwatch::start();
        let answered = self.client.call(call);
        self.counts.called(began.elapsed())?;
        let (status, body) = match answered {
            Ok(answered) => answered,
            // The next call connects anew.
            Err(error) => {
                self.counts.failed(&error)?;
                return Ok(numbers.to_vec());
            }
        };
        if status != 200 {
            let refusal = refusal(encoding, body);
            if refusal.is_throttle {
                self.counts.throttled_records += numbers.len() as u64;
            } else {
                let error = anyhow!("putting was answered by {status}: {}", refusal.code);
                ensure!(status >= 500, "{error}");
                self.counts.failed(&error)?;
            }
            return Ok(numbers.to_vec());
        }
        outcomes(encoding, body, self.records.is_single(), &mut self.outcomes)?;
        let (told, put) = (self.outcomes.len(), numbers.len());
        ensure!(told == put, "{put} records were put, and the answer tells of {told}");
        let mut left = Vec::new();
        for (number, outcome) in numbers.iter().zip(&self.outcomes) {
            match outcome {
                Outcome::Written(place) => {
                    self.counts.records += 1;
                    self.places.add(*place, self.records.prints[*number]);
                    continue;
                }
                Outcome::Throttled => self.counts.throttled_records += 1,
                Outcome::Failed(code) => self.counts.failed(&anyhow!("a record was refused: {code}"))?,
            }
            left.push(*number);
        }
        Ok(left)
    }
}

/// A histogram of microseconds.
pub fn micros() -> Histogram<u64> {
    Histogram::new(3).expect("three digits are few enough")
}
