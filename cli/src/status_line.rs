//! The status line: a running job in one line of text.
//!
//! Pure: from a status and a time to text. When and where it is shown is for `run`.

use pelton_runtime::JobStatus;
use pelton_runtime::status::{OperatorStatus, Phase};

use crate::units;

/// A watermark further behind than this says when its events were, not how far behind it is: the
/// job reads history.
const LONGEST_LAG_MS: i64 = 24 * 3_600_000;

/// `fraud: 1.21 M/s, 5,000,000 in | alerts 1,234 | lag 1.20 s | checkpoint 14, 955 ms ago, took 45 ms`.
pub(crate) fn line(status: &JobStatus, now_ms: i64) -> String {
    let mut parts = vec![format!("{}: {}", status.job, progress(status))];
    if status.restarts > 0 {
        parts.push(units::plural(status.restarts.into(), "restart"));
    }
    parts.extend(status.stuck.first().map(|call| {
        format!("STUCK in {} on worker {} for {}", call.operator, call.worker, units::millis(call.for_ms))
    }));
    let sinks = status.operators.iter().filter(|operator| operator.is_sink);
    parts.extend(sinks.map(|sink| format!("{} {}", sink.name, units::count(sink.records_in))));
    parts.extend(watermark(status, now_ms));
    // Last, because a narrow terminal cuts it off first.
    parts.extend(checkpoint(status, now_ms));
    parts.join(" | ")
}

fn progress(status: &JobStatus) -> String {
    let sources = || status.operators.iter().filter(|operator| operator.is_source);
    let records = units::count(sources().map(|source| source.records_out).sum());
    match status.phase {
        Phase::Starting => "starting".to_owned(),
        Phase::Running => {
            format!("{}, {records} in", units::rate(sources().map(|source| source.out_per_s).sum()))
        }
        Phase::Stopping => format!("stopping, {records} in"),
        Phase::Restarting => {
            let why = status.last_failure.as_deref().unwrap_or("a failure");
            format!("restarting after: {why}")
        }
        Phase::Over => format!("over, {records} in"),
    }
}

/// The watermark furthest behind: what windows and timers wait for.
fn watermark(status: &JobStatus, now_ms: i64) -> Option<String> {
    let watermark_ms = status.operators.iter().filter_map(|operator| operator.watermark_ms).min()?;
    let lag_ms = now_ms.saturating_sub(watermark_ms);
    Some(if lag_ms < LONGEST_LAG_MS {
        format!("lag {}", units::millis(u64::try_from(lag_ms).unwrap_or(0)))
    } else {
        format!("watermark {}", units::second(watermark_ms))
    })
}

fn checkpoint(status: &JobStatus, now_ms: i64) -> Option<String> {
    let last = status.last_checkpoint.as_ref()?;
    let ago_ms = now_ms.saturating_sub(last.started_ms.saturating_add(last.duration_ms));
    let duration = |ms: i64| units::millis(u64::try_from(ms).unwrap_or(0));
    Some(format!(
        "checkpoint {}, {} ago, took {}",
        last.sequence,
        duration(ago_ms),
        duration(last.duration_ms)
    ))
}

/// What a source or sink is called and has handled.
pub(crate) fn handled(operator: &OperatorStatus) -> u64 {
    if operator.is_source { operator.records_out } else { operator.records_in }
}

#[cfg(test)]
mod tests {
    use pelton_dataflow::time::Epoch;
    use pelton_runtime::coordinator::CheckpointTaken;

    use super::*;
    use pelton_runtime::status::StuckCall;

    fn operator(name: &str, is_source: bool, records: u64) -> OperatorStatus {
        OperatorStatus {
            name: name.to_owned(),
            kind: if is_source { "source" } else { "sink" },
            is_source,
            is_sink: !is_source,
            records_in: if is_source { 0 } else { records },
            records_out: if is_source { records } else { 0 },
            ports: Vec::new(),
            in_per_s: 0.0,
            out_per_s: if is_source { 1_210_000.0 } else { 0.0 },
            watermark_ms: None,
            has_ended: false,
            busy_ns: 0,
            backpressured_ns: 0,
            held_splits: 0,
            idle_ns: 0,
            processed: None,
            committed: None,
            processed_since_creation: None,
            committed_since_creation: None,
        }
    }

    fn status() -> JobStatus {
        JobStatus {
            job: "fraud".to_owned(),
            phase: Phase::Running,
            generation: 1,
            restarts: 0,
            operators: vec![operator("payments", true, 5_000_000), operator("alerts", false, 1_234)],
            channels: Vec::new(),
            checkpoints_completed: 0,
            checkpoints_abandoned: 0,
            last_checkpoint: None,
            stuck: Vec::new(),
            last_failure: None,
        }
    }

    #[test]
    fn a_running_job_in_one_line() {
        let mut status = status();
        assert_eq!(line(&status, 0), "fraud: 1.21 M/s, 5,000,000 in | alerts 1,234");

        status.operators[0].watermark_ms = Some(98_800);
        status.operators[1].watermark_ms = Some(99_500);
        status.last_checkpoint = Some(CheckpointTaken {
            epoch: Epoch(13),
            sequence: 14,
            started_ms: 99_000,
            duration_ms: 45,
            bytes: 0,
            new_bytes: 0,
            alignment_us: 0,
            is_final: false,
        });
        status.restarts = 1;
        assert_eq!(
            line(&status, 100_000),
            "fraud: 1.21 M/s, 5,000,000 in | 1 restart | alerts 1,234 | lag 1.20 s | checkpoint 14, 955 ms ago, took 45 ms"
        );
    }

    #[test]
    fn history_shows_its_own_time() {
        let mut status = status();
        status.operators[0].watermark_ms = Some(0);
        let line = line(&status, 1_769_860_800_000);
        assert!(line.ends_with("| watermark 1970-01-01 00:00:00"), "{line}");
    }

    #[test]
    fn a_call_that_does_not_return_is_shown_early_in_the_line() {
        let mut status = status();
        let call = StuckCall { operator: "rules".to_owned(), worker: 1, for_ms: 12_000, since_ns: 0 };
        status.stuck.push(call);
        let line = line(&status, 0);
        assert!(line.contains("in | STUCK in rules on worker 1 for 12.00 s | alerts"), "{line}");
    }

    #[test]
    fn a_restart_says_what_failed() {
        let mut status = status();
        status.phase = Phase::Restarting;
        status.last_failure = Some("operator `parse` panicked".to_owned());
        assert!(line(&status, 0).starts_with("fraud: restarting after: operator `parse` panicked"));
    }
}
