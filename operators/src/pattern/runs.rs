//! What is kept of a key, and what an event or the passing of time makes of it. No engine in here: what
//! is decided is handed to the caller.

use pelton_dataflow::record::{Data, Record};
use pelton_dataflow::time::EventTime;
use serde::{Deserialize, Serialize};

use super::buffer::{Buffer, NONE};
use super::matches::Ended;
use super::program::{Candidate, FRESH, Program, Skip, To, all_open};
use crate::by_time::ByTime;

/// A partial match: the end of its chain, and what it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Run {
    node: u16,
    /// The edges of the node that are still open, and [`FRESH`].
    open: u64,
    link: u32,
    /// The serial of its first event.
    start: u64,
    start_time: EventTime,
    last_time: EventTime,
}

/// A match that waits for older partial matches to come to an end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Found {
    link: u32,
    start: u64,
}

/// The state of a key: nothing, for most of them.
#[derive(Clone, Serialize, Deserialize)]
#[serde(bound = "T: Data")]
pub(super) struct KeyState<T>(pub Option<Box<Active<T>>>);

impl<T> Default for KeyState<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> PartialEq for KeyState<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

/// The state of a key of which something is kept.
#[derive(Clone, Serialize, Deserialize)]
#[serde(bound = "T: Data")]
pub(super) struct Active<T> {
    /// Records that the watermark has not reached, by time; those of one time in the order in which they
    /// came.
    waiting: ByTime<T>,
    /// The one timer of the key, if it has one.
    pub timer: Option<i64>,
    buffer: Buffer<T>,
    /// By their first events.
    runs: Vec<Run>,
    /// By their first events, then in the order in which they were found.
    found: Vec<Found>,
    next_serial: u64,
}

impl<T> Default for Active<T> {
    fn default() -> Self {
        Self {
            waiting: ByTime::default(),
            timer: None,
            buffer: Buffer::default(),
            runs: Vec::new(),
            found: Vec::new(),
            next_serial: 0,
        }
    }
}

/// By what is held, not by the values of events, of which equality is not asked. The state of a key is only
/// compared with that of one of which nothing is kept.
impl<T> PartialEq for Active<T> {
    fn eq(&self, other: &Self) -> bool {
        self.timer == other.timer
            && self.next_serial == other.next_serial
            && self.runs == other.runs
            && self.found == other.found
            && self.buffer == other.buffer
            && self.waiting == other.waiting
    }
}

/// What was decided about a chain of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Match,
    Partial(Ended),
}

/// Takes what is decided: when, what, and the events, latest first.
pub(super) trait Decide<T> {
    fn decide(&mut self, at: EventTime, outcome: Outcome, buffer: &Buffer<T>, link: u32);
}

/// There are more partial matches, or events in them, than allowed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany;

/// Room that is used again for each event.
#[derive(Default)]
pub(super) struct Scratch {
    plain: Vec<Option<bool>>,
    runs: Vec<Run>,
    found: Vec<Found>,
}

impl<T> Active<T> {
    /// Whether nothing is kept of the key any more.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.runs.is_empty() && self.found.is_empty()
    }

    /// Keeps a record until the watermark has passed it.
    pub fn wait(&mut self, record: Record<T>) {
        self.waiting.insert(record.time, record.value);
    }

    /// The first of the records that the watermark has passed.
    pub fn next_due(&mut self, watermark: EventTime) -> Option<Record<T>> {
        let first = self.waiting.pop_first_if(|time| time < watermark || watermark == EventTime::END);
        first.map(|(time, value)| Record::new(time, value))
    }

    /// When the key has to be looked at next.
    pub fn next_timer(&self, program: &Program<T>) -> Option<i64> {
        let record = self.waiting.first_time().map(|time| time.0.saturating_add(1));
        [record, self.deadline(program)].into_iter().flatten().min()
    }

    /// When time is up for the first of the partial matches.
    fn deadline(&self, program: &Program<T>) -> Option<i64> {
        if program.within_ms.is_none() && !program.has_gaps {
            return None;
        }
        self.runs.iter().filter_map(|run| run.deadline(program)).min()
    }

    /// Takes in that event time, or processing time, is `now`: no earlier event will be matched.
    pub fn advance(&mut self, program: &Program<T>, now: EventTime, out: &mut impl Decide<T>) {
        // One deadline after the other, so that it does not matter how time goes on, where the order of
        // runs is not that of their deadlines, or what is skipped depends on it.
        while let Some(at) = self.deadline(program).filter(|at| *at <= now.0).map(EventTime) {
            let until = if program.skip == Skip::None && !program.has_gaps { now } else { at };
            let mut runs = std::mem::take(&mut self.runs);
            runs.retain_mut(|run| !self.is_over(program, run, until, out));
            self.runs = runs;
            self.release(program, at, out);
        }
    }

    /// Closes what `run` has no more time for at `now`; whether nothing of it is left.
    fn is_over(
        &mut self,
        program: &Program<T>,
        run: &mut Run,
        now: EventTime,
        out: &mut impl Decide<T>,
    ) -> bool {
        let edges = &program.nodes[usize::from(run.node)].edges;
        let whole = run.whole_deadline(program).filter(|at| *at <= now.0);
        let mut ended = None;
        let mut last_closed = i64::MIN;
        for (index, edge) in edges.iter().enumerate() {
            let bit = 1 << index;
            let gap = edge.gap_ms.map(|gap| run.last_time.0.saturating_add(gap)).filter(|at| *at <= now.0);
            let Some(at) = [whole, gap].into_iter().flatten().min().filter(|_| run.open & bit != 0) else {
                continue;
            };
            run.open &= !bit;
            last_closed = last_closed.max(at);
            // That something does not follow is sure now.
            if edge.to == To::End && !edge.forbidden.is_empty() {
                ended = Some(at);
            }
        }
        let is_over = run.open & !FRESH == 0;
        if let Some(at) = ended {
            self.found(program, run.link, run.start, EventTime(at), out);
        } else if is_over {
            out.decide(EventTime(last_closed), Outcome::Partial(Ended::TimedOut), &self.buffer, run.link);
        }
        if is_over {
            self.buffer.release(run.link);
        }
        is_over
    }

    /// Matches an event. `now` is its event time, or processing time in arrival order.
    pub fn process(
        &mut self,
        program: &Program<T>,
        record: Record<T>,
        now: EventTime,
        scratch: &mut Scratch,
        out: &mut impl Decide<T>,
    ) -> Result<(), TooMany> {
        self.advance(program, now, out);
        if self.runs.is_empty() && self.found.is_empty() && !program.may_begin(&record.value) {
            return Ok(());
        }
        scratch.plain.clear();
        let serial = self.next_serial;
        self.next_serial += 1;
        let event = self.buffer.add_event(record, serial);
        let mut step = Step {
            program,
            event,
            serial,
            now,
            next: std::mem::take(&mut scratch.runs),
            found: std::mem::take(&mut scratch.found),
        };
        for run in std::mem::take(&mut self.runs) {
            step.run(&mut self.buffer, run, &mut scratch.plain);
        }
        step.begin(&mut self.buffer, &mut scratch.plain);
        let Step { mut next, mut found, .. } = step;
        self.runs.append(&mut next);
        for Found { link, start } in found.drain(..) {
            self.found(program, link, start, now, out);
            self.buffer.release(link);
        }
        (scratch.runs, scratch.found) = (next, found);
        self.buffer.release_event(event);
        self.release(program, now, out);
        self.keep_to_limit(program, now, out)
    }

    /// A match at the end of `link`: decided at once, or once no older partial match is left.
    fn found(
        &mut self,
        program: &Program<T>,
        link: u32,
        start: u64,
        at: EventTime,
        out: &mut impl Decide<T>,
    ) {
        if program.skip == Skip::None {
            out.decide(at, Outcome::Match, &self.buffer, link);
            return;
        }
        self.buffer.hold(link);
        let place = self.found.partition_point(|earlier| earlier.start <= start);
        self.found.insert(place, Found { link, start });
    }

    /// Decides the matches that no older partial match is in the way of, and gives up what they skip.
    fn release(&mut self, program: &Program<T>, now: EventTime, out: &mut impl Decide<T>) {
        while let Some(first) = self.found.first() {
            if self.runs.first().is_some_and(|run| run.start < first.start) {
                break;
            }
            let first = self.found.remove(0);
            let keep_from = self.keep_from(program, &first);
            let Self { runs, found, buffer, .. } = self;
            let mut is_kept = |start: u64, link: u32| {
                if start < keep_from {
                    buffer.release(link);
                }
                start >= keep_from
            };
            runs.retain(|run| is_kept(run.start, run.link));
            found.retain(|found| is_kept(found.start, found.link));
            out.decide(now, Outcome::Match, &self.buffer, first.link);
            self.buffer.release(first.link);
        }
    }

    /// The serial before which nothing begins any more, once `found` is a match.
    fn keep_from(&self, program: &Program<T>, found: &Found) -> u64 {
        let mut chain = self.buffer.chain(found.link);
        match program.skip {
            Skip::None => 0,
            Skip::ToNext => found.start + 1,
            Skip::PastLast => chain.next().map_or(0, |(_, last, _)| last + 1),
            Skip::ToLast(to) => chain.find(|(stage, ..)| *stage == to).map_or(0, |(_, serial, _)| serial),
            Skip::ToFirst(to) => {
                chain.filter(|(stage, ..)| *stage == to).last().map_or(0, |(_, serial, _)| serial)
            }
        }
    }

    /// Partial matches and their events are counted, so that a checkpoint has no more than that to write of
    /// a key besides the records that wait.
    fn keep_to_limit(
        &mut self,
        program: &Program<T>,
        now: EventTime,
        out: &mut impl Decide<T>,
    ) -> Result<(), TooMany> {
        let mut dropped = 0;
        while self.runs.len() - dropped + self.found.len() > program.at_most
            || self.buffer.events() > program.at_most
        {
            // What is left are matches that wait: those are not dropped.
            let Some(run) = self.runs.get(dropped).filter(|_| program.drops_oldest) else {
                return Err(TooMany);
            };
            out.decide(now, Outcome::Partial(Ended::Dropped), &self.buffer, run.link);
            self.buffer.release(run.link);
            dropped += 1;
        }
        if dropped > 0 {
            self.runs.drain(..dropped);
            self.release(program, now, out);
        }
        Ok(())
    }

    /// Whether nothing is held that no partial match or match needs.
    #[cfg(test)]
    pub fn holds_nothing(&self) -> bool {
        self.buffer.is_empty()
    }
}

impl Run {
    fn whole_deadline<T>(&self, program: &Program<T>) -> Option<i64> {
        program.within_ms.map(|within| self.start_time.0.saturating_add(within))
    }

    fn deadline<T>(&self, program: &Program<T>) -> Option<i64> {
        let edges = program.nodes[usize::from(self.node)].edges.iter().enumerate();
        let open = edges.filter(|(index, _)| self.open & (1 << index) != 0);
        let gap = open.filter_map(|(_, edge)| edge.gap_ms).min();
        let gap = gap.map(|gap| self.last_time.0.saturating_add(gap));
        [self.whole_deadline(program), gap].into_iter().flatten().min()
    }
}

/// One event, on its way through the partial matches of a key.
struct Step<'a, T> {
    program: &'a Program<T>,
    event: u32,
    serial: u64,
    now: EventTime,
    next: Vec<Run>,
    found: Vec<Found>,
}

impl<T> Step<'_, T> {
    /// Shows the event to a run, which goes on as it is, as others that have taken the event, or not at
    /// all. Those that have taken it come first, so that of matches that begin and end alike the first
    /// is the one that left out least.
    fn run(&mut self, buffer: &mut Buffer<T>, run: Run, plain: &mut Vec<Option<bool>>) {
        let edges = &self.program.nodes[usize::from(run.node)].edges;
        let record = buffer.record(self.event);
        let mut candidate = self.program.candidate(&record.value, plain);
        let verdict = candidate.judge(edges, run.open, buffer, run.link);
        self.take(buffer, edges, verdict.takes, (run.link, run.start, run.start_time));
        if verdict.ends != 0 {
            buffer.hold(run.link);
            self.found.push(Found { link: run.link, start: run.start });
        }
        if verdict.keeps == 0 {
            buffer.release(run.link);
        } else {
            self.next.push(Run { open: verdict.keeps, ..run });
        }
    }

    /// What begins with the event.
    fn begin(&mut self, buffer: &mut Buffer<T>, plain: &mut Vec<Option<bool>>) {
        let start = &self.program.start;
        let record = buffer.record(self.event);
        let mut candidate: Candidate<'_, T> = self.program.candidate(&record.value, plain);
        let verdict = candidate.judge(start, all_open(start), buffer, NONE);
        self.take(buffer, start, verdict.takes, (NONE, self.serial, self.now));
    }

    fn take(
        &mut self,
        buffer: &mut Buffer<T>,
        edges: &[super::program::Edge],
        mut takes: u64,
        (earlier, start, start_time): (u32, u64, EventTime),
    ) {
        while takes != 0 {
            let index = takes.trailing_zeros() as usize;
            takes &= takes - 1;
            let To::Node(node) = edges[index].to else { continue };
            let reached = &self.program.nodes[usize::from(node)];
            let link = buffer.add_link(self.event, reached.stage, earlier);
            if reached.accepts {
                buffer.hold(link);
                self.found.push(Found { link, start });
            }
            if reached.edges.is_empty() {
                buffer.release(link);
                continue;
            }
            let open = all_open(&reached.edges);
            self.next.push(Run { node, open, link, start, start_time, last_time: self.now });
        }
    }
}
