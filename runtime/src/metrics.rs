//! Metrics: a job's figures through the `metrics` facade, and a Prometheus endpoint for them.
//!
//! The endpoint is off unless an address is given. Without it the figures go to whatever recorder
//! the process has installed, and to nothing if there is none.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use metrics::{counter, gauge, with_local_recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use crate::coordinator::CheckpointTaken;
use crate::error::JobError;
use crate::status::{ChannelStatus, JobStatus, LatencySummary, OperatorStatus};

/// Where a job's figures go.
pub struct Metrics {
    job: String,
    endpoint: Option<Endpoint>,
    totals: Mutex<Totals>,
}

/// Records in and out, by operator.
type Counts = BTreeMap<String, (u64, u64)>;

/// What operators have counted over all generations: a counter never goes back.
#[derive(Default)]
struct Totals {
    generation: u64,
    /// Of the generations before.
    before: Counts,
    /// Of this one.
    now: Counts,
}

impl Totals {
    fn of(&mut self, status: &JobStatus) -> Counts {
        if status.generation != self.generation {
            self.generation = status.generation;
            for (name, (taken, given)) in std::mem::take(&mut self.now) {
                let before = self.before.entry(name).or_default();
                *before = (before.0 + taken, before.1 + given);
            }
        }
        for operator in &status.operators {
            self.now.insert(operator.name.clone(), (operator.records_in, operator.records_out));
        }
        let total = |(name, now): (&String, &(u64, u64))| {
            let before = self.before.get(name).copied().unwrap_or_default();
            (name.clone(), (before.0 + now.0, before.1 + now.1))
        };
        self.now.iter().map(total).collect()
    }
}

/// A listener with a recorder of its own, so that jobs of one process do not share one.
struct Endpoint {
    recorder: Arc<PrometheusRecorder>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Metrics {
    /// Serves the figures of `job` at `address`, if one is given.
    ///
    /// # Errors
    /// The port is taken, or the address is not this machine's.
    pub fn start(job: &str, address: Option<SocketAddr>) -> Result<Self, JobError> {
        let endpoint = address.map(Endpoint::open).transpose()?;
        Ok(Self { job: job.to_owned(), endpoint, totals: Mutex::default() })
    }

    /// Publishes the figures of `status`.
    pub fn publish(&self, status: &JobStatus, now_ms: i64) {
        let totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner).of(status);
        self.record(|job| {
            gauge!("pelton_generation", "job" => job.clone()).set(status.generation as f64);
            counter!("pelton_restarts_total", "job" => job.clone()).absolute(u64::from(status.restarts));
            counter!("pelton_checkpoints_completed_total", "job" => job.clone())
                .absolute(status.checkpoints_completed);
            counter!("pelton_checkpoints_abandoned_total", "job" => job.clone())
                .absolute(status.checkpoints_abandoned);
            for operator in &status.operators {
                publish_operator(&job, operator, totals.get(&operator.name).copied(), now_ms);
            }
            for channel in &status.channels {
                publish_channel(&job, channel);
            }
        });
    }

    /// Publishes the figures of a checkpoint.
    pub fn checkpoint(&self, taken: &CheckpointTaken) {
        self.record(|job| {
            let gauges = [
                ("pelton_checkpoint_duration_seconds", taken.duration_ms as f64 / 1e3),
                ("pelton_checkpoint_bytes", taken.bytes as f64),
                ("pelton_checkpoint_new_bytes", taken.new_bytes as f64),
                ("pelton_checkpoint_alignment_seconds", taken.alignment_us as f64 / 1e6),
                ("pelton_checkpoint_epoch", taken.epoch.0 as f64),
            ];
            for (name, value) in gauges {
                gauge!(name, "job" => job.clone()).set(value);
            }
        });
    }

    fn record(&self, publish: impl FnOnce(String)) {
        match &self.endpoint {
            Some(endpoint) => with_local_recorder(&*endpoint.recorder, || publish(self.job.clone())),
            None => publish(self.job.clone()),
        }
    }
}

fn publish_operator(job: &str, operator: &OperatorStatus, totals: Option<(u64, u64)>, now_ms: i64) {
    let labels = [("job", job.to_owned()), ("operator", operator.name.clone())];
    if let Some((taken, given)) = totals {
        counter!("pelton_records_in_total", &labels).absolute(taken);
        counter!("pelton_records_out_total", &labels).absolute(given);
    }
    for (port, records) in &operator.ports {
        let labels = [labels[0].clone(), labels[1].clone(), ("port", (*port).to_owned())];
        gauge!("pelton_port_records", &labels).set(*records as f64);
    }
    gauge!("pelton_busy_seconds", &labels).set(operator.busy_ns as f64 / 1e9);
    gauge!("pelton_backpressured_seconds", &labels).set(operator.backpressured_ns as f64 / 1e9);
    gauge!("pelton_idle_seconds", &labels).set(operator.idle_ns as f64 / 1e9);
    if operator.is_source {
        gauge!("pelton_held_splits", &labels).set(operator.held_splits as f64);
    }
    if let Some(watermark_ms) = operator.watermark_ms {
        gauge!("pelton_watermark_lag_seconds", &labels).set((now_ms - watermark_ms) as f64 / 1e3);
    }
    for (stage, since, latency) in [
        ("processed", "read", operator.processed),
        ("committed", "read", operator.committed),
        ("processed", "creation", operator.processed_since_creation),
        ("committed", "creation", operator.committed_since_creation),
    ] {
        let Some(LatencySummary { p50_us, p99_us, p999_us, max_us, .. }) = latency else { continue };
        for (quantile, us) in [("0.5", p50_us), ("0.99", p99_us), ("0.999", p999_us), ("1", max_us)] {
            let labels = [
                labels[0].clone(),
                labels[1].clone(),
                ("stage", stage.to_owned()),
                ("since", since.to_owned()),
                ("quantile", quantile.to_owned()),
            ];
            gauge!("pelton_latency_seconds", &labels).set(us as f64 / 1e6);
        }
    }
}

/// What one worker sends to another is a series of its own: the one that waits is then seen with the one
/// that it waits for.
fn publish_channel(job: &str, channel: &ChannelStatus) {
    for edge in &channel.edges {
        let labels = [
            ("job", job.to_owned()),
            ("from", channel.from.clone()),
            ("output", channel.output.to_owned()),
            ("to", channel.to.clone()),
            ("input", channel.input.to_string()),
            ("sender", edge.sender.to_string()),
            ("receiver", edge.receiver.to_string()),
        ];
        gauge!("pelton_channel_batches", &labels).set(edge.batches as f64);
        gauge!("pelton_channel_in_flight_batches", &labels).set(edge.in_flight as f64);
        gauge!("pelton_channel_credits", &labels).set(edge.credits as f64);
        gauge!("pelton_channel_waits", &labels).set(edge.waits as f64);
        gauge!("pelton_channel_wait_seconds", &labels).set(edge.waited_ns as f64 / 1e9);
    }
}

impl Endpoint {
    fn open(address: SocketAddr) -> Result<Self, JobError> {
        let failed = |problem: String| JobError::Metrics { address, problem };
        let runtime =
            Builder::new_current_thread().enable_all().build().map_err(|error| failed(error.to_string()))?;
        let built = {
            let _inside = runtime.enter();
            PrometheusBuilder::new().with_http_listener(address).build()
        };
        let (recorder, exporter) = built.map_err(|error| failed(error.to_string()))?;
        let recorder = Arc::new(recorder);
        // Metrics of user code go to the same endpoint, unless the process has a recorder already.
        let _ = metrics::set_global_recorder(recorder.clone());
        let (stop, stopped) = oneshot::channel();
        let name = "pelton-metrics".to_owned();
        let serve = move |runtime: Runtime| {
            runtime.block_on(async {
                tokio::select! {
                    _ = exporter => {}
                    _ = stopped => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name(name).spawn(move || serve(runtime));
        let thread = thread.map_err(|error| failed(error.to_string()))?;
        Ok(Self { recorder, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // A listener that has failed has gone before.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_port_that_is_taken_is_an_error_that_says_so() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let message = Metrics::start("job", Some(address)).err().unwrap().to_string();
        assert!(message.contains(&format!("cannot serve metrics at {address}")), "{message}");
        assert!(message.contains("a free port"), "{message}");
    }

    /// `docs/metrics.md` has a row for each figure, and none for what does not exist.
    #[test]
    fn every_figure_is_documented() {
        let source = include_str!("metrics.rs");
        let source = source.split("#[cfg(test)]").next().unwrap();
        let document = include_str!("../../docs/metrics.md");
        let names = |text: &str, quote: char| -> std::collections::BTreeSet<String> {
            let start = format!("{quote}pelton_");
            text.split(&start).skip(1).map(|rest| rest.split(quote).next().unwrap().to_owned()).collect()
        };
        let published = names(source, '"');
        assert!(published.len() > 20, "{published:?}");
        assert_eq!(names(document, '`'), published);
    }

    #[test]
    fn the_endpoint_shows_the_figures_and_frees_its_port() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let metrics = Metrics::start("job", Some(free)).unwrap();
        let taken = CheckpointTaken {
            epoch: pelton_dataflow::time::Epoch(7),
            sequence: 9,
            started_ms: 0,
            duration_ms: 250,
            bytes: 4_096,
            new_bytes: 1_024,
            alignment_us: 0,
            is_final: false,
        };
        metrics.checkpoint(&taken);
        let mut stream = TcpStream::connect(free).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        assert!(page.contains("pelton_checkpoint_bytes{job=\"job\"} 4096"), "{page}");
        assert!(page.contains("pelton_checkpoint_duration_seconds{job=\"job\"} 0.25"), "{page}");
        drop(metrics);
        TcpListener::bind(free).unwrap();
    }
}
