//! The epochs that have ended and wait: for acknowledgements, for their manifest, or, when they
//! were abandoned, for a later manifest that lists their committables.

use std::collections::{BTreeMap, VecDeque};

use pelton_dataflow::graph::NodeId;
use pelton_dataflow::time::Epoch;
use pelton_state::files::KeyedAck;

use super::event::{CheckpointTaken, OperatorAcked, Plan};

/// How far an ended epoch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Acknowledgements are missing.
    Collecting,
    /// Its manifest is being appended.
    Appending,
    /// It gets no manifest of its own.
    Abandoned,
}

/// An epoch that has ended.
#[derive(Debug)]
pub struct Ended {
    /// The epoch.
    pub epoch: Epoch,
    /// When it was ended, in milliseconds since the Unix epoch.
    pub started_ms: i64,
    /// Whether the job stops once it is committed.
    pub for_stop: bool,
    progress: Progress,
    deadline_ms: i64,
    acks: BTreeMap<(NodeId, usize), OperatorAcked>,
    /// By worker; `None` for one whose state could not be stored.
    keyed: BTreeMap<usize, Option<KeyedAck>>,
    taken: Option<CheckpointTaken>,
}

impl Ended {
    /// The acknowledgements of operators, in the order of the graph and of workers.
    pub fn acks(&self) -> impl Iterator<Item = &OperatorAcked> {
        self.acks.values()
    }

    /// The acknowledgements of keyed state.
    pub fn keyed_acks(&self) -> Vec<KeyedAck> {
        self.keyed.values().flatten().cloned().collect()
    }
}

/// The current epoch, and those that have ended and wait.
#[derive(Debug)]
pub struct Epochs {
    current: Epoch,
    /// Oldest first.
    ended: VecDeque<Ended>,
    /// Acknowledgements of operators that an epoch needs.
    operator_acks: usize,
    /// Acknowledgements of keyed state that it needs.
    keyed_acks: usize,
}

impl Epochs {
    /// Starts in the first epoch of `plan`.
    pub fn new(plan: &Plan) -> Self {
        Self {
            current: plan.first_epoch,
            ended: VecDeque::new(),
            operator_acks: plan.operators.len() * plan.workers,
            keyed_acks: if plan.keyed { plan.workers } else { 0 },
        }
    }

    /// The epoch that sources are in, or on their way to.
    pub fn current(&self) -> Epoch {
        self.current
    }

    /// Whether the current epoch may be ended: those before it are complete or abandoned.
    pub fn may_end(&self) -> bool {
        self.ended.iter().all(|one| one.progress == Progress::Abandoned)
    }

    /// Whether the epoch that the job stops with has been ended and may still complete.
    pub fn ends_stopped(&self) -> bool {
        self.ended.iter().any(|one| one.for_stop && one.progress != Progress::Abandoned)
    }

    /// Until when acknowledgements of the epoch that ended last may still come, as far as time can tell.
    pub fn answers_until_ms(&self) -> i64 {
        self.ended.back().map_or(i64::MIN, |one| one.deadline_ms)
    }

    /// Ends the current epoch; answers with the next.
    pub fn end_current(&mut self, now_ms: i64, timeout_ms: i64, for_stop: bool) -> Epoch {
        self.ended.push_back(Ended {
            epoch: self.current,
            started_ms: now_ms,
            for_stop,
            progress: Progress::Collecting,
            deadline_ms: now_ms.saturating_add(timeout_ms),
            acks: BTreeMap::new(),
            keyed: BTreeMap::new(),
            taken: None,
        });
        self.current = self.current.next();
        self.current
    }

    /// Takes an acknowledgement; answers with what is wrong with it.
    pub fn operator_acked(&mut self, ack: OperatorAcked) -> Option<String> {
        let epoch = ack.epoch;
        let Some(ended) = self.find(epoch) else {
            let current = self.current;
            return Some(format!(
                "node {} on worker {} acknowledged epoch {epoch}, which does not wait for it; the current one is {current}",
                ack.operator.0, ack.worker
            ));
        };
        ended.acks.insert((ack.operator, ack.worker), ack);
        None
    }

    /// Takes an acknowledgement of keyed state; one of an epoch that is done with is late.
    pub fn keyed_acked(&mut self, ack: KeyedAck) {
        if self.keyed_acks == 0 {
            // States without rows are acknowledged too, and leave nothing.
            return;
        }
        if let Some(ended) = self.find(ack.epoch) {
            ended.keyed.insert(ack.worker, Some(ack));
        }
    }

    /// Notes that the state of `worker` could not be stored; answers with the epoch that misses it.
    pub fn keyed_failed(&mut self, worker: usize) -> Option<Epoch> {
        let ended = self.ended.iter_mut().find(|one| !one.keyed.contains_key(&worker))?;
        ended.keyed.insert(worker, None);
        Some(ended.epoch)
    }

    /// Gives up `epoch`; whether it was not done with before.
    pub fn abandon(&mut self, epoch: Epoch) -> bool {
        match self.find(epoch) {
            Some(ended) if ended.progress != Progress::Abandoned => {
                ended.progress = Progress::Abandoned;
                true
            }
            _ => false,
        }
    }

    /// The epoch that has just got everything its manifest needs: its own acknowledgements, and
    /// those of operators for the abandoned epochs before it, whose committables it lists.
    pub fn take_completed(&self) -> Option<Epoch> {
        let mut complete_so_far = true;
        for one in &self.ended {
            complete_so_far &= one.acks.len() == self.operator_acks;
            if one.progress == Progress::Collecting {
                let keyed = one.keyed.values().filter(|ack| ack.is_some()).count() == self.keyed_acks;
                return (complete_so_far && keyed).then_some(one.epoch);
            }
        }
        None
    }

    /// The manifest of `epoch` is on its way.
    pub fn appending(&mut self, epoch: Epoch, taken: CheckpointTaken) {
        if let Some(ended) = self.find(epoch) {
            ended.progress = Progress::Appending;
            ended.taken = Some(taken);
        }
    }

    /// The manifest of `epoch` exists: it and all before it are done with.
    pub fn appended(&mut self, epoch: Epoch) -> Option<(CheckpointTaken, Vec<Ended>)> {
        let taken = self.find(epoch)?.taken.take()?;
        let count = self.ended.iter().filter(|one| one.epoch <= epoch).count();
        Some((taken, self.ended.drain(..count).collect()))
    }

    /// The oldest epoch whose time is over.
    pub fn timed_out(&self, now_ms: i64) -> Option<Epoch> {
        let late = |one: &&Ended| one.progress == Progress::Collecting && now_ms >= one.deadline_ms;
        self.ended.iter().find(late).map(|one| one.epoch)
    }

    /// When the next epoch's time is over.
    pub fn next_timeout_ms(&self) -> i64 {
        let collecting = self.ended.iter().filter(|one| one.progress == Progress::Collecting);
        collecting.map(|one| one.deadline_ms).min().unwrap_or(i64::MAX)
    }

    /// What `epoch` waits for, for a message.
    pub fn missing(&self, epoch: Epoch) -> String {
        let ended = self.ended(epoch);
        let keyed = ended.keyed.values().flatten().count();
        format!(
            "{} of {} operators and the keyed state of {keyed} of {} workers have acknowledged",
            ended.acks.len(),
            self.operator_acks,
            self.keyed_acks
        )
    }

    /// How far `epoch` is.
    pub fn progress(&self, epoch: Epoch) -> Option<Progress> {
        self.ended.iter().find(|one| one.epoch == epoch).map(|one| one.progress)
    }

    /// The epoch `epoch`, which waits.
    ///
    /// # Panics
    /// It does not.
    pub fn ended(&self, epoch: Epoch) -> &Ended {
        let found = self.ended.iter().find(|one| one.epoch == epoch);
        found.unwrap_or_else(|| panic!("epoch {epoch} does not wait; the current one is {}", self.current))
    }

    /// The waiting epochs up to `epoch`, oldest first.
    pub fn up_to(&self, epoch: Epoch) -> impl Iterator<Item = &Ended> {
        self.ended.iter().filter(move |one| one.epoch <= epoch)
    }

    fn find(&mut self, epoch: Epoch) -> Option<&mut Ended> {
        self.ended.iter_mut().find(|one| one.epoch == epoch)
    }
}
