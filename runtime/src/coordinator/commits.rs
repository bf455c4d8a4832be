//! What sinks have prepared and is not known to be visible.
//!
//! A committable is *listed* once a manifest that names it exists; only then may it be committed.
//! It stays listed in every manifest until its commit is known to be done, because the job may
//! recover from any of them.

use pelton_dataflow::sink::Committable;
use pelton_state::checkpoint::manifest::SinkPart;

use super::epochs::Ended;
use super::event::Plan;

/// The committables of a generation.
#[derive(Debug)]
pub struct Commits {
    /// Listed in the newest manifest and not known to be committed, oldest first.
    listed: Vec<SinkPart>,
    /// How many of `listed`, per sink, the commit under way holds.
    in_flight: Option<Vec<usize>>,
    attempts: u32,
    retry_at_ms: i64,
}

impl Commits {
    /// Starts with what an earlier generation left.
    pub fn new(listed: Vec<SinkPart>) -> Self {
        Self { listed, in_flight: None, attempts: 0, retry_at_ms: i64::MIN }
    }

    /// What a manifest has to list that also holds the epochs `ended`.
    pub fn listed_with<'a>(&self, plan: &Plan, ended: impl Iterator<Item = &'a Ended>) -> Vec<SinkPart> {
        let mut listed = self.listed.clone();
        for one in ended {
            add(&mut listed, plan, one);
        }
        listed
    }

    /// The manifest that lists the epochs `ended` exists.
    pub fn appended(&mut self, plan: &Plan, ended: &[Ended]) {
        for one in ended {
            add(&mut self.listed, plan, one);
        }
    }

    /// What to commit now: everything listed, unless a commit is under way.
    pub fn next(&mut self, now_ms: i64) -> Option<Vec<SinkPart>> {
        if self.in_flight.is_some() || self.listed.is_empty() || now_ms < self.retry_at_ms {
            return None;
        }
        self.in_flight = Some(self.listed.iter().map(|part| part.committables.len()).collect());
        Some(self.listed.clone())
    }

    /// The commit under way is done.
    pub fn committed(&mut self) {
        // Sinks are only ever added at the end, so counts and parts belong together.
        for (part, count) in self.listed.iter_mut().zip(self.in_flight.take().unwrap_or_default()) {
            part.committables.drain(..count);
        }
        self.listed.retain(|part| !part.committables.is_empty());
        self.attempts = 0;
        self.retry_at_ms = i64::MIN;
    }

    /// The commit under way has failed and is due again later; answers with how often it has.
    pub fn failed(&mut self, now_ms: i64, retry_ms: i64) -> u32 {
        self.in_flight = None;
        self.attempts += 1;
        self.retry_at_ms = now_ms.saturating_add(retry_ms.saturating_mul(i64::from(self.attempts)));
        self.attempts
    }

    /// When a commit that failed is due again.
    pub fn retry_at_ms(&self) -> i64 {
        let waits = self.in_flight.is_none() && !self.listed.is_empty();
        if waits { self.retry_at_ms } else { i64::MAX }
    }

    /// Whether everything listed is committed.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }
}

fn add(listed: &mut Vec<SinkPart>, plan: &Plan, ended: &Ended) {
    for ack in ended.acks() {
        let Some(bytes) = &ack.committable else { continue };
        let committable = Committable { epoch: ended.epoch, worker: ack.worker, bytes: bytes.clone() };
        let sink = &plan.operator(ack.operator).name;
        match listed.iter_mut().find(|part| part.sink == *sink) {
            Some(part) => part.committables.push(committable),
            None => listed.push(SinkPart { sink: sink.clone(), committables: vec![committable] }),
        }
    }
}
