//! The result of a run, as JSON and as text.

use std::io::Write;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::args::{Args, Backend, CheckpointEvery, Engine, Workload};
use crate::shape::Shape;
use crate::usage;

/// What a run was asked to do.
#[derive(Clone, Debug, Serialize)]
pub struct Settings {
    /// Distinct keys.
    pub keys: u64,
    /// Worker threads.
    pub workers: usize,
    /// What records are like and what they pass.
    #[serde(flatten)]
    pub shape: Shape,
    /// Where keyed state lives; the reference and the log have none of these.
    pub backend: Option<Backend>,
    /// Milliseconds between checkpoints; `null` if there are none.
    pub checkpoint_ms: CheckpointEvery,
    /// Records a second, if that was limited.
    pub rate: Option<u64>,
}

/// What a run came to. The result is verified before this is made.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was run.
    pub workload: Workload,
    /// Who ran it.
    pub engine: Engine,
    /// How.
    pub settings: Settings,
    /// Records in all.
    pub events: u64,
    /// Time of the run. `startup`: from process start to first output; `recovery`: from the kill
    /// to new output.
    pub seconds: f64,
    /// Records a second.
    pub events_per_s: f64,
    /// Processor time of all threads, in seconds, the verification left out.
    pub cpu_s: f64,
    /// The largest resident size, the verification left out.
    pub peak_rss_bytes: u64,
    /// Checkpoints that were completed.
    pub checkpoints_completed: u64,
    /// The longest time that a worker emitted nothing after the first 5 s; `null` in shorter runs.
    pub max_gap_ms: Option<f64>,
    /// The most files that a worker wrote of its state in one epoch; `null` where that is not checked.
    pub files_per_epoch: Option<usize>,
    /// From scheduled time to the sink.
    #[serde(flatten)]
    pub latency: Option<Latency>,
}

/// Percentiles of latency, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latency {
    /// Half are faster.
    pub p50_ms: f64,
    /// One in 100 is slower.
    pub p99_ms: f64,
    /// One in 1,000 is slower.
    pub p999_ms: f64,
    /// The slowest.
    pub max_ms: f64,
}

impl Latency {
    /// The percentiles of a histogram of microseconds.
    pub fn of(micros: &Histogram<u64>) -> Self {
        let ms = |quantile: f64| micros.value_at_quantile(quantile) as f64 / 1e3;
        Self { p50_ms: ms(0.5), p99_ms: ms(0.99), p999_ms: ms(0.999), max_ms: micros.max() as f64 / 1e3 }
    }
}

impl Report {
    /// The report of a run that has just ended after `elapsed`: takes the use of the machine now.
    pub fn now(args: &Args, elapsed: Duration) -> Self {
        let (events, seconds) = (args.events(), elapsed.as_secs_f64());
        let is_log = matches!(args.workload, Workload::LogAppend | Workload::LogScan);
        let has_state = args.engine == Engine::Pelton && !is_log;
        Self {
            workload: args.workload,
            engine: args.engine,
            settings: Settings {
                keys: args.keys,
                workers: args.workers,
                shape: args.shape(),
                backend: has_state.then_some(args.backend),
                checkpoint_ms: if has_state { args.checkpoint_ms } else { CheckpointEvery(None) },
                rate: args.rate,
            },
            events,
            seconds,
            events_per_s: events as f64 / seconds,
            cpu_s: usage::cpu_s(),
            peak_rss_bytes: usage::peak_rss_bytes(),
            checkpoints_completed: 0,
            max_gap_ms: None,
            files_per_epoch: None,
            latency: None,
        }
    }

    /// Prints it, as one line of JSON or for people.
    pub fn print(&self, json: bool) {
        let text = if json {
            serde_json::to_string(self).expect("a report has only strings as keys")
        } else {
            self.for_people()
        };
        print_line(&text);
    }

    fn for_people(&self) -> String {
        let Self { workload, settings, events, seconds, .. } = self;
        let engine = match self.engine {
            Engine::Pelton => "pelton",
            Engine::Timely => "timely by hand",
        };
        let what = match workload {
            Workload::Startup => format!("{seconds:.3} s to the first output"),
            Workload::Recovery => {
                format!("{seconds:.3} s from the kill to new output, after {events} events")
            }
            _ => format!(
                "{:.2} M events/s ({events} events in {seconds:.3} s), result verified",
                self.events_per_s / 1e6
            ),
        };
        let mut text = format!(
            "{workload} on {engine}: {what}; {} workers, {} keys, {:.1} s of processor time, {:.0} MB at most",
            settings.workers,
            settings.keys,
            self.cpu_s,
            self.peak_rss_bytes as f64 / 1e6,
        );
        if settings.checkpoint_ms.0.is_some() {
            text += &format!("; {} checkpoints", self.checkpoints_completed);
        }
        if let Some(files) = self.files_per_epoch {
            text += &format!("; files of state per worker and epoch: {files}");
        }
        if let Some(gap) = self.max_gap_ms {
            text += &format!("; longest gap {gap:.1} ms");
        }
        if let Some(Latency { p50_ms, p99_ms, p999_ms, max_ms }) = self.latency {
            text += &format!(
                "; latency p50 {p50_ms:.2} ms, p99 {p99_ms:.2} ms, p99.9 {p999_ms:.2} ms, max {max_ms:.2} ms"
            );
        }
        text
    }
}

/// A line of the result.
pub fn print_line(text: &str) {
    // A closed output is the reader's own doing.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Says on the error stream what goes on.
pub fn note(text: &str) {
    // Whoever closed the error stream does not want to see this.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Says on the error stream why there is no report.
pub fn print_error(error: &anyhow::Error) {
    note(&format!("pelton-bench: {error:#}"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn the_json_has_the_agreed_fields() {
        let args = Args::parse_from(["pelton-bench", "latency", "--rate", "1m", "--events", "3m"]);
        let mut micros = Histogram::new(3).unwrap();
        (1..=1_000u64).for_each(|us| micros.record(us).unwrap());
        let mut report = Report::now(&args, Duration::from_secs(3));
        report.latency = Some(Latency::of(&micros));
        let json: serde_json::Value = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
        for (field, value) in [
            ("workload", serde_json::json!("latency")),
            ("engine", serde_json::json!("pelton")),
            ("events", serde_json::json!(3_000_000)),
            ("events_per_s", serde_json::json!(1_000_000.0)),
            ("max_gap_ms", serde_json::json!(null)),
            ("p50_ms", serde_json::json!(0.5)),
            ("max_ms", serde_json::json!(1.0)),
        ] {
            assert_eq!(json[field], value, "{field}");
        }
        assert_eq!(json["settings"]["checkpoint_ms"], 1_000);
        assert_eq!(json["settings"]["backend"], "rocksdb");
    }
}
