//! How fast sources and sinks are by themselves, on one thread: the generator, JSON lines in files, JSON
//! and bincode in the shard log. Beside the time that passed stands the time that the thread had a processor,
//! which says more on a machine that has other work.
//!
//! `cargo run --release -p pelton-connectors --example connector_speed -- 2000000`

use std::io::Write;

use pelton_connectors::{Files, Generator, LogAddress, ShardLog};
use pelton_dataflow::clock::{Clock, SystemClock};
use pelton_dataflow::error::OpResult;
use pelton_dataflow::operator::Waker;
use pelton_dataflow::record::Record;
use pelton_dataflow::sink::{Committable, Sink, SinkContext, WriterContext};
use pelton_dataflow::source::{Fetched, Polled, ReaderContext, Source};
use pelton_dataflow::time::{Epoch, EventTime};
use pelton_streams::Options;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct Payment {
    id: u64,
    card: u32,
    merchant: u32,
    amount: i64,
    country: [char; 2],
    at: i64,
}

fn payment(index: u64) -> Payment {
    let card = (index.wrapping_mul(2_654_435_761) % 100_000) as u32;
    let at = 1_700_000_000_000 + index as i64;
    Payment {
        id: index,
        card,
        merchant: card % 5_000,
        amount: (index % 50_000) as i64,
        country: ['D', 'E'],
        at,
    }
}

/// Reads all splits of `source` one after the other, as a worker does, and prints how fast.
fn measure<S: Source>(name: &str, source: &S) -> OpResult {
    let (start_us, start_cpu_us) = (SystemClock.now_us(), thread_cpu_us()?);
    let mut records = 0;
    for split in source.enumerator()?.discover()? {
        let cx = ReaderContext { waker: Waker::noop(), worker: 0 };
        let mut reader = source.open(&split, None, &cx)?;
        let mut fetched = Fetched::default();
        while reader.poll(1_024, &mut fetched)? == Polled::Ready {
            records += std::hint::black_box(std::mem::take(&mut fetched)).values.len();
        }
    }
    report(name, records, start_us, start_cpu_us)
}

/// Writes payments in batches and epochs of a hundred thousand, commits them, and prints how fast.
fn measure_sink<S: Sink<Item = Payment>>(name: &str, sink: &S, generation: u64, count: u64) -> OpResult {
    let cx = SinkContext { job: "speed".to_owned(), operator: "out".to_owned() };
    let mut committer = sink.committer(&cx)?.ok_or("a transactional sink")?;
    committer.recover(generation, &[])?;
    let mut writer = sink.writer(&WriterContext { sink: cx, generation, worker: 0, workers: 1 })?;
    let (start_us, start_cpu_us) = (SystemClock.now_us(), thread_cpu_us()?);
    for (epoch, first) in (0..count).step_by(100_000).enumerate() {
        for first in (first..count.min(first + 100_000)).step_by(1_000) {
            let records = (first..first + 1_000).map(|index| Record::new(EventTime(0), payment(index)));
            writer.write(records.collect())?;
        }
        let epoch = Epoch(epoch as u64);
        let bytes = writer.prepare(epoch)?.ok_or("records were written")?()?.ok_or("they are prepared")?;
        committer.commit(&[Committable { epoch, worker: 0, bytes }])?;
    }
    report(name, count as usize, start_us, start_cpu_us)
}

fn report(name: &str, records: usize, start_us: i64, start_cpu_us: f64) -> OpResult {
    let wall_s = (SystemClock.now_us() - start_us) as f64 / 1e6;
    let cpu_ns = (thread_cpu_us()? - start_cpu_us) * 1e3 / records as f64;
    let rate = records as f64 / wall_s / 1e6;
    Ok(writeln!(
        std::io::stdout(),
        "{name:<22} {records:>10} records {rate:>8.2} M/s, {cpu_ns:>6.1} ns each"
    )?)
}

/// How long this thread has run, by the kernel's accounts.
fn thread_cpu_us() -> OpResult<f64> {
    let accounts = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let on_processor_ns: f64 = accounts.split(' ').next().unwrap_or_default().parse()?;
    Ok(on_processor_ns / 1e3)
}

fn main() -> OpResult {
    let count: u64 = std::env::args().nth(1).map_or(Ok(1_000_000), |count| count.parse())?;
    let dir = tempfile::tempdir()?;
    let log = pelton_streams::ShardLog::open(dir.path(), &Options::create())?;
    for stream in ["json", "bincode"] {
        log.create_stream(stream, 4)?;
    }
    let (json, bincode) = (log.writer("json")?, log.writer("bincode")?);
    let path = dir.path().join("payments.jsonl");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path)?);
    for first in (0..count).step_by(10_000) {
        let (mut json_batch, mut bincode_batch) = (json.batch(), bincode.batch());
        for payment in (first..count.min(first + 10_000)).map(payment) {
            let (key, line) = (payment.card.to_be_bytes(), serde_json::to_vec(&payment)?);
            json_batch.push(&key, &line)?;
            bincode_batch.push(&key, &bincode::serialize(&payment)?)?;
            file.write_all(&line)?;
            file.write_all(b"\n")?;
        }
        json.append(json_batch)?;
        bincode.append(bincode_batch)?;
    }
    file.flush()?;
    let address = |stream| LogAddress::new(dir.path(), stream);
    for generation in 1..=3 {
        measure("generator, u64", &Generator::new(100 * count, |index| index).splits(2))?;
        measure("generator, payments", &Generator::new(10 * count, payment).splits(2))?;
        measure("file, JSON lines", &Files::read_jsonl::<Payment>(&path))?;
        measure("shard log, raw", &ShardLog::raw(&address("json")).until_end())?;
        measure("shard log, JSON", &ShardLog::json::<Payment>(&address("json")).until_end())?;
        measure("shard log, bincode", &ShardLog::bincode::<Payment>(&address("bincode")).until_end())?;
        let alerts = ShardLog::json_sink::<Payment>(&address("out")).create_if_missing(4);
        let alerts = alerts.partition_by(|payment| payment.card.to_be_bytes());
        measure_sink("to the shard log, JSON", &alerts, generation, count)?;
        let lines = Files::jsonl::<Payment>(dir.path().join("out"));
        measure_sink("to files, JSON lines", &lines, generation, count)?;
    }
    Ok(())
}
