//! How fast the sources are by themselves, on one thread: the generator, JSON lines in a file, JSON and
//! bincode in the shard log. Beside the time that passed stands the time that the thread had a processor,
//! which says more on a machine that has other work.
//!
//! `cargo run --release -p pelton-connectors --example connector_speed -- 2000000`

use std::io::Write;

use pelton_connectors::{Files, Generator, LogAddress, ShardLog};
use pelton_dataflow::clock::{Clock, SystemClock};
use pelton_dataflow::error::OpResult;
use pelton_dataflow::operator::Waker;
use pelton_dataflow::source::{Fetched, Polled, ReaderContext, Source};
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
    for _ in 0..3 {
        measure("generator, u64", &Generator::new(100 * count, |index| index).splits(2))?;
        measure("generator, payments", &Generator::new(10 * count, payment).splits(2))?;
        measure("file, JSON lines", &Files::read_jsonl::<Payment>(&path))?;
        measure("shard log, raw", &ShardLog::raw(&address("json")).until_end())?;
        measure("shard log, JSON", &ShardLog::json::<Payment>(&address("json")).until_end())?;
        measure("shard log, bincode", &ShardLog::bincode::<Payment>(&address("bincode")).until_end())?;
    }
    Ok(())
}
