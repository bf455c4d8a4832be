//! The summary: what a job did, when it is over.
//!
//! Pure: from a report to text.

use std::fmt::Write as _;

use pelton_runtime::status::{LatencySummary, OperatorStatus};
use pelton_runtime::{End, JobReport};

use crate::status_line::handled;
use crate::table::Table;
use crate::units;

/// The lines that end a run.
pub(crate) fn summary(report: &JobReport) -> String {
    let status = &report.status;
    let how = match report.end {
        End::Completed => "has processed all its input",
        End::CompletedBefore => {
            "had processed all its input before: nothing was read (what has come since is for another job: give it another --job-id)"
        }
        End::Stopped if status.checkpoints_completed == 0 => "was stopped before it had begun",
        End::Stopped => "was stopped, with a last checkpoint",
        End::Aborted => "was ended at once, without a last checkpoint",
    };
    let mut text = format!("\njob `{}` {how}, in {}\n", status.job, units::millis(report.elapsed_ms));
    if report.end == End::CompletedBefore {
        return text;
    }
    let seconds = report.elapsed_ms.max(1) as f64 / 1e3;

    let mut table = Table::new(&["  source", ">records", ">a second"]);
    for source in status.operators.iter().filter(|operator| operator.is_source) {
        for (name, records) in outputs(source) {
            let rate = units::rate(records as f64 / seconds);
            table.row([format!("  {name}"), units::count(records), rate]);
        }
    }
    let _ = write!(text, "\n{table}");

    let mut table =
        Table::new(&["  sink", ">records", ">a second", "latency", ">p50", ">p99", ">p99.9", ">max"]);
    for sink in status.operators.iter().filter(|operator| operator.is_sink) {
        let records = handled(sink);
        let mut cells =
            vec![format!("  {}", sink.name), units::count(records), units::rate(records as f64 / seconds)];
        let latencies = [
            ("read to sink", sink.processed),
            ("read to commit", sink.committed),
            ("created to sink", sink.processed_since_creation),
            ("created to commit", sink.committed_since_creation),
        ];
        let known = latencies.into_iter().filter_map(|(what, latency)| latency.map(|one| (what, one)));
        for (what, latency) in known {
            cells.extend(percentiles(what, &latency));
            table.row(std::mem::replace(&mut cells, vec![String::new(); 3]));
        }
        if cells.iter().any(|cell| !cell.is_empty()) {
            table.row(cells);
        }
    }
    let _ = write!(text, "\n{table}");

    let abandoned = match status.checkpoints_abandoned {
        0 => String::new(),
        some => format!(", {} abandoned", units::count(some)),
    };
    let _ =
        write!(text, "\n  checkpoints  {} completed{abandoned}", units::count(status.checkpoints_completed));
    if let Some(last) = &status.last_checkpoint {
        let took = units::millis(u64::try_from(last.duration_ms).unwrap_or(0));
        let _ =
            write!(text, "; the last, {}, took {took} and has {}", last.sequence, units::bytes(last.bytes));
    }
    let _ = write!(text, "\n  restarts     {}", restarts(status.restarts));
    if let Some(failure) = &status.last_failure {
        let _ = write!(text, "\n  last failure {failure}");
    }
    text
}

/// A source's outputs: the stream itself by its name, others as `name.rejected`.
fn outputs(source: &OperatorStatus) -> Vec<(String, u64)> {
    if source.ports.is_empty() {
        return vec![(source.name.clone(), handled(source))];
    }
    let name =
        |label: &str| if label == "out" { source.name.clone() } else { format!("{}.{label}", source.name) };
    source.ports.iter().map(|(label, records)| (name(label), *records)).collect()
}

fn percentiles(what: &str, latency: &LatencySummary) -> [String; 5] {
    let &LatencySummary { p50_us, p99_us, p999_us, max_us, .. } = latency;
    [
        what.to_owned(),
        units::micros(p50_us),
        units::micros(p99_us),
        units::micros(p999_us),
        units::micros(max_us),
    ]
}

fn restarts(number: u32) -> String {
    if number == 0 { "0".to_owned() } else { format!("{number} (records are counted since the last one)") }
}
