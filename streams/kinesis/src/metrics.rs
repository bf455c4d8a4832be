//! What the service counts, as Prometheus reads it: requests by operation and answer, their latencies, and
//! for each shard what comes in, goes out, and is refused.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pelton_streams::ShardId;

/// Upper bounds of the buckets of latencies, in seconds.
const BOUNDS: [f64; 12] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// The counters of a shard.
#[derive(Debug, Default)]
pub struct ShardMetrics {
    /// Records that were put.
    pub records_in: AtomicU64,
    /// Their bytes, keys included.
    pub bytes_in: AtomicU64,
    /// Records that were given.
    pub records_out: AtomicU64,
    /// Their bytes in the log.
    pub bytes_out: AtomicU64,
    /// Records that were refused by a limit.
    pub puts_throttled: AtomicU64,
    /// Reads that were refused by a limit.
    pub reads_throttled: AtomicU64,
    /// How far the last reader was behind, in ms.
    pub iterator_age_ms: AtomicU64,
}

#[derive(Debug, Default, Clone)]
struct Latencies {
    buckets: [u64; BOUNDS.len()],
    count: u64,
    seconds: f64,
}

#[derive(Debug, Default)]
struct Requests {
    by_answer: BTreeMap<(&'static str, &'static str), u64>,
    latencies: BTreeMap<&'static str, Latencies>,
}

/// The counters.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: Mutex<Requests>,
    shards: Mutex<HashMap<(u64, ShardId), Arc<ShardMetrics>>>,
}

fn relock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds to a counter.
pub fn add(counter: &AtomicU64, more: usize) {
    counter.fetch_add(more as u64, Ordering::Relaxed);
}

impl Metrics {
    /// Counts a request that was answered, with `code` of the error or `OK`.
    pub fn answered(&self, operation: &'static str, code: &'static str, took: Duration) {
        let mut requests = relock(&self.requests);
        *requests.by_answer.entry((operation, code)).or_default() += 1;
        let latencies = requests.latencies.entry(operation).or_default();
        let seconds = took.as_secs_f64();
        latencies.count += 1;
        latencies.seconds += seconds;
        if let Some(bucket) = BOUNDS.iter().position(|bound| seconds <= *bound) {
            latencies.buckets[bucket] += 1;
        }
    }

    /// The counters of a shard.
    #[must_use]
    pub fn shard(&self, log_id: u64, shard: ShardId) -> Arc<ShardMetrics> {
        relock(&self.shards).entry((log_id, shard)).or_default().clone()
    }

    /// Forgets the shards of a log that is gone.
    pub fn forget(&self, log_id: u64) {
        relock(&self.shards).retain(|(of, _), _| *of != log_id);
    }

    /// All of it as text; `names` are those of the streams by their logs, `gauges` what is counted elsewhere.
    #[must_use]
    pub fn render(&self, names: &BTreeMap<u64, String>, gauges: &[(&str, &str, usize)]) -> String {
        let mut out = String::new();
        for (name, help, value) in gauges {
            head(&mut out, name, "gauge", help);
            line(&mut out, name, &[], *value as f64);
        }
        self.render_requests(&mut out);
        let mut shards: Vec<_> = relock(&self.shards)
            .iter()
            .filter_map(|((log_id, shard), counters)| {
                Some((names.get(log_id)?.clone(), *shard, counters.clone()))
            })
            .collect();
        shards.sort_by(|one, other| (&one.0, one.1).cmp(&(&other.0, other.1)));
        for (name, kind, help, counter) in SHARD_METRICS {
            head(&mut out, name, kind, help);
            for (stream, shard, counters) in &shards {
                let value = counter(counters).load(Ordering::Relaxed);
                line(&mut out, name, &[("stream", stream), ("shard", &shard.to_string())], value as f64);
            }
        }
        out
    }

    fn render_requests(&self, out: &mut String) {
        let requests = relock(&self.requests);
        let name = "kinesis_requests_total";
        head(out, name, "counter", "Requests that were answered, by operation and error code.");
        for ((operation, code), count) in &requests.by_answer {
            line(out, name, &[("operation", operation), ("code", code)], *count as f64);
        }
        let name = "kinesis_request_seconds";
        head(out, name, "histogram", "Time from the whole request to the head of its answer.");
        for (operation, latencies) in &requests.latencies {
            let mut below = 0;
            for (bound, count) in BOUNDS.iter().zip(latencies.buckets) {
                below += count;
                let labels = [("operation", *operation), ("le", &bound.to_string())];
                line(out, "kinesis_request_seconds_bucket", &labels, below as f64);
            }
            let labels = [("operation", *operation), ("le", "+Inf")];
            line(out, "kinesis_request_seconds_bucket", &labels, latencies.count as f64);
            line(out, "kinesis_request_seconds_sum", &labels[..1], latencies.seconds);
            line(out, "kinesis_request_seconds_count", &labels[..1], latencies.count as f64);
        }
    }
}

type ShardMetric = (&'static str, &'static str, &'static str, fn(&ShardMetrics) -> &AtomicU64);

const SHARD_METRICS: [ShardMetric; 7] = [
    ("kinesis_shard_incoming_records_total", "counter", "Records put, synced.", |shard| &shard.records_in),
    ("kinesis_shard_incoming_bytes_total", "counter", "Their keys and data.", |shard| &shard.bytes_in),
    ("kinesis_shard_outgoing_records_total", "counter", "Records given.", |shard| &shard.records_out),
    ("kinesis_shard_outgoing_bytes_total", "counter", "Their bytes in the log.", |shard| &shard.bytes_out),
    ("kinesis_shard_throttled_puts_total", "counter", "Records refused by a limit.", |shard| {
        &shard.puts_throttled
    }),
    ("kinesis_shard_throttled_reads_total", "counter", "Reads refused by a limit.", |shard| {
        &shard.reads_throttled
    }),
    ("kinesis_shard_iterator_age_ms", "gauge", "How far the last read was behind.", |shard| {
        &shard.iterator_age_ms
    }),
];

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a string does not fail.
    let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
}

fn line(out: &mut String, name: &str, labels: &[(&str, &str)], value: f64) {
    out.push_str(name);
    for ((label, text), before) in labels.iter().zip(std::iter::once('{').chain(std::iter::repeat(','))) {
        // Neither operations nor streams have characters that would have to be escaped.
        let _ = write!(out, "{before}{label}=\"{text}\"");
    }
    out.push_str(if labels.is_empty() { " " } else { "} " });
    let _ = writeln!(out, "{value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_written_as_prometheus_reads_them() {
        let metrics = Metrics::default();
        metrics.answered("PutRecord", "OK", Duration::from_millis(2));
        metrics.answered("PutRecord", "OK", Duration::from_secs(9));
        add(&metrics.shard(7, ShardId(0)).records_in, 3);
        add(&metrics.shard(8, ShardId(0)).records_in, 4);
        let names = BTreeMap::from([(7, "payments".to_owned())]);
        let text = metrics.render(&names, &[("kinesis_streams", "Streams.", 1)]);
        for line in [
            "# TYPE kinesis_streams gauge",
            "kinesis_streams 1",
            r#"kinesis_requests_total{operation="PutRecord",code="OK"} 2"#,
            r#"kinesis_request_seconds_bucket{operation="PutRecord",le="0.0025"} 1"#,
            r#"kinesis_request_seconds_bucket{operation="PutRecord",le="5"} 1"#,
            r#"kinesis_request_seconds_bucket{operation="PutRecord",le="+Inf"} 2"#,
            r#"kinesis_request_seconds_count{operation="PutRecord"} 2"#,
            r#"kinesis_shard_incoming_records_total{stream="payments",shard="shardId-000000000000"} 3"#,
        ] {
            assert!(text.lines().any(|there| there == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("} 4"), "a stream that is gone is not shown");
    }
}
