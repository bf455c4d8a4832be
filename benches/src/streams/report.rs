//! What a measurement came to, as JSON and as text.

use std::time::Duration;

use anyhow::{Result, bail};
use hdrhistogram::Histogram;
use serde::Serialize;

use super::args::Common;
use super::put::micros;
use crate::report::{Latency, note};

/// A connection that fails so often is given up.
const MOST_FAILURES: u64 = 100;

/// What connections count.
#[derive(Debug, Clone)]
pub struct Counts {
    pub calls: u64,
    /// Records that were acknowledged, or read.
    pub records: u64,
    /// Records that were refused for now.
    pub throttled_records: u64,
    /// Calls that put again what was refused, or ask again.
    pub retries: u64,
    /// Calls and records that failed otherwise.
    pub errors: u64,
    pub micros: Histogram<u64>,
}

impl Default for Counts {
    fn default() -> Self {
        Self { calls: 0, records: 0, throttled_records: 0, retries: 0, errors: 0, micros: micros() }
    }
}

impl Counts {
    /// A call was answered, or has failed.
    pub fn called(&mut self, took: Duration) -> Result<()> {
        self.calls += 1;
        Ok(self.micros.record(u64::try_from(took.as_micros())?)?)
    }

    /// Counts a failure, and tells of the first.
    pub fn failed(&mut self, error: &anyhow::Error) -> Result<()> {
        if self.errors == 0 {
            note(&format!("{error:#}"));
        }
        self.errors += 1;
        if self.errors > MOST_FAILURES {
            bail!("given up after {MOST_FAILURES} failures of one connection; the last: {error:#}");
        }
        Ok(())
    }

    pub fn add(&mut self, other: &Self) -> Result<()> {
        self.calls += other.calls;
        self.records += other.records;
        self.throttled_records += other.throttled_records;
        self.retries += other.retries;
        self.errors += other.errors;
        Ok(self.micros.add(&other.micros)?)
    }
}

/// What a measurement came to. What was acknowledged has been read before this is made, or `verified` says that it
/// has not.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    pub measurement: &'static str,
    pub endpoint: String,
    pub encoding: &'static str,
    pub connections: u16,
    pub shards: usize,
    pub records_per_call: Option<u16>,
    pub record_bytes: u32,
    pub seconds: f64,
    pub calls: u64,
    /// Records that were acknowledged; of `get`, that were read.
    pub records: u64,
    pub records_per_s: f64,
    /// Their data, in millions of bytes.
    pub mb_per_s: f64,
    pub throttled_records: u64,
    pub retries: u64,
    pub errors: u64,
    /// Processor time of this program meanwhile, in seconds: the service has not had it.
    pub client_cpu_s: f64,
    /// Of a call; of `fanout`, from when it is sent to when a subscriber has its records.
    #[serde(flatten)]
    pub latency: Latency,
    /// Of `fanout`: of the calls that put.
    pub put: Option<Latency>,
    /// Acknowledged records that were found where they should be, as they were put; `null` if that was left out.
    pub verified: Option<u64>,
}

impl Report {
    pub fn new(
        measurement: &'static str,
        common: &Common,
        shards: usize,
        records_per_call: Option<u16>,
        client_cpu_s: f64,
        counts: &Counts,
        seconds: f64,
    ) -> Self {
        let records_per_s = counts.records as f64 / seconds;
        Self {
            measurement,
            endpoint: common.endpoint.clone(),
            encoding: if common.cbor { "cbor" } else { "json" },
            connections: common.connections,
            shards,
            records_per_call,
            record_bytes: common.bytes,
            seconds,
            calls: counts.calls,
            records: counts.records,
            records_per_s,
            mb_per_s: records_per_s * f64::from(common.bytes) / 1e6,
            throttled_records: counts.throttled_records,
            retries: counts.retries,
            errors: counts.errors,
            client_cpu_s,
            latency: Latency::of(&counts.micros),
            put: None,
            verified: None,
        }
    }

    pub fn as_json(&self) -> String {
        serde_json::to_string(self).expect("a report has only strings as keys")
    }

    pub fn for_people(&self) -> String {
        let Self { measurement, records, seconds, records_per_s, mb_per_s, client_cpu_s, .. } = self;
        let latency = |Latency { p50_ms, p99_ms, p999_ms, max_ms }: Latency| {
            format!("p50 {p50_ms:.2} ms, p99 {p99_ms:.2} ms, p99.9 {p999_ms:.2} ms, max {max_ms:.2} ms")
        };
        let mut text = format!(
            "{measurement} of {}: {records} records in {seconds:.2} s, {records_per_s:.0} records/s, {mb_per_s:.1} MB/s; {}",
            self.endpoint,
            latency(self.latency)
        );
        if let Some(put) = self.put {
            text += &format!("; the calls that put {}", latency(put));
        }
        text += &format!(
            "; {} throttled records, {} retries, {} errors; {client_cpu_s:.2} s of processor time here; ",
            self.throttled_records, self.retries, self.errors
        );
        text += &match self.verified {
            Some(verified) => format!("all {verified} that were acknowledged were read as they were put"),
            None => "not verified".to_owned(),
        };
        text
    }
}
