//! What happens to a record for which user code returns an error.

use pelton_dataflow::record::{Data, Origin};
use pelton_dataflow::source::Rejected;

/// The policy of an operator; without one an error fails the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnError {
    /// The record goes to a stream of its own.
    DeadLetter,
}

/// The dead letter of `record`, one of those of `origin`.
pub(crate) fn dead_letter<T: Data>(origin: &Origin, reason: String, record: &T) -> Rejected {
    Rejected {
        split: origin.to_string(),
        position: origin.spans.first().map_or(0, |span| span.first),
        reason,
        raw: shown(record),
    }
}

/// A record as JSON, cut to the length of a dead letter.
pub(crate) fn shown<T: Data>(record: &T) -> String {
    let json = serde_json::to_string(record).unwrap_or_else(|error| format!("(no JSON: {error})"));
    Rejected::text(json.as_bytes())
}
