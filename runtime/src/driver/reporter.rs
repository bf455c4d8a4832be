//! The ear of the coordinator on the workers' threads: turns reports into events, and has
//! prepares run elsewhere. Never blocks.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Sender;

use pelton_dataflow::env::{OperatorAck, Reporter};
use pelton_dataflow::error::{Failure, panic_message};
use pelton_dataflow::graph::NodeId;
use pelton_dataflow::operator::Deferred;
use pelton_dataflow::source::SplitId;
use pelton_dataflow::time::Epoch;

use super::prepare::InOrder;
use crate::coordinator::{Event, OperatorAcked};

/// Reports to the driver of one generation.
pub struct ToDriver {
    events: Sender<Event>,
    prepares: InOrder<(NodeId, usize)>,
}

impl ToDriver {
    /// Sends to `events`, and runs prepares on `prepares`.
    pub fn new(events: Sender<Event>, prepares: InOrder<(NodeId, usize)>) -> Self {
        Self { events, prepares }
    }

    fn tell(&self, event: Event) {
        // The driver of a generation that is over does not listen any more.
        let _ = self.events.send(event);
    }
}

impl Reporter for ToDriver {
    fn frozen(&self, ack: OperatorAck) {
        let deferred = ack.deferred;
        let acked = OperatorAcked {
            epoch: ack.epoch,
            operator: ack.operator,
            worker: ack.worker,
            watermark: ack.watermark,
            bytes: ack.bytes,
            splits: ack.splits,
            committable: None,
            alignment_us: ack.alignment_us,
        };
        let Some(prepare) = deferred else {
            self.tell(Event::OperatorAcked(acked));
            return;
        };
        let events = self.events.clone();
        self.prepares.submit((acked.operator, acked.worker), move || {
            let _ = events.send(prepared(acked, prepare));
        });
    }

    fn split_finished(&self, source: NodeId, _worker: usize, split: SplitId, epoch: Epoch) {
        self.tell(Event::SplitFinished { source, split, epoch });
    }

    fn failed(&self, failure: Failure) {
        self.tell(Event::OperatorFailed(failure));
    }
}

/// Runs a prepare. One that fails has lost what was written in its epoch, so that no later
/// checkpoint could hold it: the generation is over.
fn prepared(acked: OperatorAcked, prepare: Deferred) -> Event {
    let problem = match catch_unwind(AssertUnwindSafe(prepare)) {
        Ok(Ok(committable)) => return Event::OperatorAcked(OperatorAcked { committable, ..acked }),
        Ok(Err(error)) => format!("failed: {error}"),
        Err(payload) => format!("panicked: {}", panic_message(payload.as_ref())),
    };
    let OperatorAcked { operator, worker, epoch, .. } = acked;
    let message =
        format!("the prepare of epoch {epoch} of sink node {} on worker {worker} {problem}", operator.0);
    Event::Failed { message }
}
