//! The key at hand: what a record, or a time that has come, does to its windows.

use pelton_dataflow::error::OpResult;
use pelton_dataflow::key::{Key, KeyHash};
use pelton_dataflow::record::{Data, Record};
use pelton_dataflow::time::EventTime;
use pelton_state::TimeDomain;
use pelton_state::tables::Tables;
use pelton_state::timers::Timers;

use super::assigner::Window;
use super::contents::{Contents, Others};
use super::firing::{FiredWindow, Firing, Timing};
use super::kind::Kind;
use super::open::{Alarm, KeyWindows, Open};
use super::rows::Rows;
use super::trigger::{Decision, Trigger, TriggerContext};
use crate::emit::Emitter;

const DOMAINS: [TimeDomain; 2] = [TimeDomain::Event, TimeDomain::Processing];

/// What is made of what a window gives.
pub(super) type Give<K, V, U> =
    Box<dyn Fn(&FiredWindow<'_, K>, V, &mut WindowOut<'_, U>) -> OpResult + Send + Sync>;

/// Where a window function puts its results; each has the event time of the window's last millisecond.
pub struct WindowOut<'a, U> {
    emitter: &'a mut Emitter<U>,
    time: EventTime,
}

impl<U: Data> WindowOut<'_, U> {
    /// Emits a result.
    pub fn emit(&mut self, value: U) {
        self.emitter.push(self.time, value);
    }
}

/// All that is the same for all keys.
pub(super) struct Plan<K: Key, T: Data, C: Contents<K, T>, R: Trigger<T>, U> {
    pub kind: Kind<T>,
    pub lateness_ms: i64,
    pub trigger: R,
    pub contents: C,
    pub give: Give<K, C::Fired, U>,
}

/// Room that is used again for each record.
#[derive(Default)]
pub(super) struct Scratch {
    windows: Vec<Window>,
    /// The indexes of the windows that take the record, and what becomes of them.
    targets: Vec<(usize, Decision)>,
}

/// The windows of one key, with what is needed to work on them.
pub(super) struct Hand<'a, K: Key, T: Data, C: Contents<K, T>, R: Trigger<T>, U> {
    pub plan: &'a Plan<K, T, C, R, U>,
    pub windows: &'a mut KeyWindows<C::Held, R::State>,
    pub hash: KeyHash,
    pub key: &'a K,
    pub tables: &'a mut Tables<K>,
    pub timers: &'a mut Timers<K>,
    pub watermark: EventTime,
    pub now_ms: i64,
    pub out: &'a mut Emitter<U>,
    pub scratch: &'a mut Scratch,
}

impl<K, T, C, R, U> Hand<'_, K, T, C, R, U>
where
    K: Key,
    T: Data,
    C: Contents<K, T>,
    R: Trigger<T>,
    U: Data,
{
    /// Takes a record into its windows; gives it back if none takes it.
    #[inline]
    pub fn record(&mut self, time: EventTime, value: T) -> OpResult<Option<T>> {
        let Self { windows, watermark, .. } = self;
        if windows.alarms[TimeDomain::Event as usize].is_due(watermark.0) {
            // The watermark was reached before a restart, and what it set off was not over.
            self.catch_up()?;
        }
        let number = self.windows.taken + 1;
        self.scratch.targets.clear();
        match &self.plan.kind {
            Kind::Assigned { merges: true, .. } => self.find_merged(time, &value)?,
            Kind::Assigned { .. } => self.find_assigned(time, &value)?,
            Kind::Count(windows) => self.find_counted(windows.windows_of(number), time),
            Kind::Global => self.find_counted(1, time),
        }
        if self.scratch.targets.is_empty() && !matches!(self.plan.kind, Kind::Count(_)) {
            return Ok(Some(value));
        }
        self.windows.taken = number;
        let left = self.take(number, time, value)?;
        if let Kind::Count(windows) = &self.plan.kind
            && windows.is_full_at(number)
            && left.is_none()
        {
            self.end(0)?;
            self.close(0)?;
        }
        if self.windows.open.as_slice().is_empty() {
            self.rest()?;
        }
        Ok(left)
    }

    /// Adds a record to its targets and does what the trigger says.
    #[inline]
    fn take(&mut self, number: u64, time: EventTime, value: T) -> OpResult<Option<T>> {
        let Some(last) = self.scratch.targets.len().checked_sub(1) else { return Ok(Some(value)) };
        for nth in 0..=last {
            let index = self.scratch.targets[nth].0;
            let (trigger, open, mut cx) = self.ask(index, time, None);
            self.scratch.targets[nth].1 = trigger.on_record(&value, open, &mut cx);
        }
        let mut rows = Rows { tables: self.tables, hash: self.hash, key: self.key };
        let item = self.plan.contents.keep(number, Record::new(time, value), &mut rows)?;
        let open = self.windows.open.as_mut_slice();
        for (index, _) in &self.scratch.targets[..last] {
            self.plan.contents.add_shared(&mut open[*index].held, number, &item);
            open[*index].holds = true;
        }
        let index = self.scratch.targets[last].0;
        self.plan.contents.add(&mut open[index].held, number, item);
        open[index].holds = true;
        for domain in DOMAINS {
            let targets = self.scratch.targets.iter();
            let wanted = targets.filter_map(|(index, _)| self.next_of(*index, domain)).min();
            self.arm(domain, wanted)?;
        }
        for nth in 0..=last {
            let (index, decision) = self.scratch.targets[nth];
            self.act(index, decision)?;
        }
        Ok(None)
    }

    /// The time of a record on the clock of the windows.
    #[inline]
    fn time_of(&self, time: EventTime) -> EventTime {
        match self.plan.kind.domain() {
            TimeDomain::Event => time,
            TimeDomain::Processing => EventTime(self.now_ms),
        }
    }

    /// How far the clock of the windows has come.
    #[inline]
    fn reached(&self) -> EventTime {
        self.time_of(self.watermark)
    }

    fn is_late(&self, window: Window) -> bool {
        self.plan.kind.knows_late()
            && self.plan.kind.closes_at(window.end, self.plan.lateness_ms) <= self.watermark.0
    }

    /// The windows that the assigner gives; those that have closed are left out.
    fn find_assigned(&mut self, time: EventTime, value: &T) -> OpResult {
        self.plan.kind.assign(value, self.time_of(time), &mut self.scratch.windows)?;
        let reached = self.reached();
        let place = |window: Window| (window.end, window.start);
        for nth in 0..self.scratch.windows.len() {
            let window = self.scratch.windows[nth];
            if self.is_late(window) {
                continue;
            }
            let open = self.windows.open.as_slice();
            let found = open.binary_search_by_key(&place(window), Open::place);
            let index = found.unwrap_or_else(|index| {
                self.windows.open.insert(index, Open::new(window, window.end <= reached));
                index
            });
            // Windows come in order: what is inserted later lies behind.
            self.scratch.targets.push((index, Decision::Continue));
        }
        Ok(())
    }

    /// The windows that the assigner gives, each merged with those that it touches.
    fn find_merged(&mut self, time: EventTime, value: &T) -> OpResult {
        self.plan.kind.assign(value, self.time_of(time), &mut self.scratch.windows)?;
        for nth in 0..self.scratch.windows.len() {
            let window = self.scratch.windows[nth];
            let open = self.windows.open.as_slice();
            // Open windows do not touch each other, so they are in order of their starts too.
            let first = open.partition_point(|open| open.window.end < window.start);
            let touched = open[first..].iter().take_while(|open| open.window.touches(window)).count();
            if touched > 0 {
                self.merge(first, touched, window);
            } else if !self.is_late(window) {
                let ended = window.end <= self.reached();
                self.windows.open.insert(first, Open::new(window, ended));
            }
        }
        // Windows found first may have moved since, or merged.
        for nth in 0..self.scratch.windows.len() {
            let window = self.scratch.windows[nth];
            let open = self.windows.open.as_slice();
            let index = open.partition_point(|open| open.window.end < window.start);
            let is_there = open.get(index).is_some_and(|open| open.window.touches(window));
            if is_there && self.scratch.targets.last().is_none_or(|(last, _)| *last != index) {
                self.scratch.targets.push((index, Decision::Continue));
            }
        }
        Ok(())
    }

    /// Makes one window of `count` open ones from `first` on and of `window`.
    #[inline]
    fn merge(&mut self, first: usize, count: usize, window: Window) {
        for _ in 1..count {
            if let Some(later) = self.windows.open.remove(first + 1) {
                self.absorb(first, later);
            }
        }
        let reached = self.reached();
        let open = &mut self.windows.open.as_mut_slice()[first];
        open.window = open.window.cover(window);
        if open.window.end > reached {
            (open.ended, open.settled) = (false, false);
        }
    }

    fn absorb(&mut self, first: usize, later: Open<C::Held, R::State>) {
        let Plan { contents, trigger, .. } = self.plan;
        let open = &mut self.windows.open.as_mut_slice()[first];
        open.window = open.window.cover(later.window);
        match (open.holds, later.holds) {
            (true, true) => contents.merge(&mut open.held, later.held),
            (false, true) => open.held = later.held,
            (_, false) => {}
        }
        open.holds |= later.holds;
        trigger.on_merge(&mut open.trigger, later.trigger);
        open.timers.merge(later.timers);
        open.fired = open.fired.saturating_add(later.fired);
        (open.ended, open.settled) = (open.ended && later.ended, open.settled && later.settled);
    }

    /// The first `count` windows; those that are not there yet are opened. Their bounds are what they span.
    fn find_counted(&mut self, count: u64, time: EventTime) {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let instant = Window { start: time, end: EventTime(time.0.saturating_add(1)) };
        while self.windows.open.as_slice().len() < count {
            let last = self.windows.open.as_slice().len();
            self.windows.open.insert(last, Open::new(instant, false));
        }
        for (index, open) in self.windows.open.as_mut_slice().iter_mut().enumerate() {
            open.window = if open.holds { open.window.cover(instant) } else { instant };
            self.scratch.targets.push((index, Decision::Continue));
        }
    }

    /// The trigger, its state for a window, and what it is lent.
    #[inline]
    fn ask(
        &mut self,
        index: usize,
        time: EventTime,
        called: Option<(TimeDomain, i64)>,
    ) -> (&R, &mut R::State, TriggerContext<'_>) {
        let open = &mut self.windows.open.as_mut_slice()[index];
        let cx = TriggerContext {
            window: open.window,
            time,
            watermark: self.watermark,
            now_ms: self.now_ms,
            ended: open.ended,
            ends_by_watermark: self.plan.kind.knows_late(),
            called,
            timers: &mut open.timers,
        };
        (&self.plan.trigger, &mut open.trigger, cx)
    }

    /// Does what the trigger has decided; whether the window is gone.
    #[inline]
    fn act(&mut self, index: usize, decision: Decision) -> OpResult<bool> {
        if decision.fires() {
            self.fire(index)?;
        }
        if decision.purges() {
            return self.purge(index);
        }
        Ok(false)
    }

    fn fire(&mut self, index: usize) -> OpResult {
        let (before, rest) = self.windows.open.as_mut_slice().split_at_mut(index);
        let Some((open, after)) = rest.split_first_mut() else { return Ok(()) };
        let timing = match (open.ended, open.settled) {
            (false, _) => Timing::Early,
            (true, false) => Timing::OnTime,
            (true, true) => Timing::Late,
        };
        open.settled |= open.ended;
        if !open.holds {
            return Ok(());
        }
        let firing = Firing { timing, nth: open.fired };
        let fired = FiredWindow { key: self.key, window: open.window, firing };
        let mut out = WindowOut { emitter: self.out, time: open.window.last() };
        let mut rows = Rows { tables: self.tables, hash: self.hash, key: self.key };
        let give = &self.plan.give;
        let given = self.plan.contents.fire(
            &mut open.held,
            open.window,
            &Others { before, after },
            &mut rows,
            &mut |value| give(&fired, value, &mut out),
        )?;
        open.fired = open.fired.saturating_add(u32::from(given));
        Ok(())
    }

    fn purge(&mut self, index: usize) -> OpResult<bool> {
        if matches!(self.plan.kind, Kind::Global) {
            self.close(index)?;
            return Ok(true);
        }
        let (before, rest) = self.windows.open.as_mut_slice().split_at_mut(index);
        if let Some((open, after)) = rest.split_first_mut() {
            open.holds = false;
            let held = std::mem::take(&mut open.held);
            let mut rows = Rows { tables: self.tables, hash: self.hash, key: self.key };
            self.plan.contents.clear(held, &Others { before, after }, &mut rows)?;
        }
        Ok(false)
    }

    /// Drops all that is kept of a window.
    fn close(&mut self, index: usize) -> OpResult {
        let Some(open) = self.windows.open.remove(index) else { return Ok(()) };
        let (before, after) = self.windows.open.as_slice().split_at(index);
        let mut rows = Rows { tables: self.tables, hash: self.hash, key: self.key };
        self.plan.contents.clear(open.held, &Others { before, after }, &mut rows)
    }

    /// A window ends; whether it is gone.
    fn end(&mut self, index: usize) -> OpResult<bool> {
        self.windows.open.as_mut_slice()[index].ended = true;
        let (trigger, state, mut cx) = self.ask(index, self.watermark, None);
        let decision = trigger.on_end(state, &mut cx);
        self.act(index, decision)
    }

    /// The alarm of this key has gone off: does all that is due at `up_to_ms`.
    pub fn alarm(&mut self, domain: TimeDomain, up_to_ms: i64) -> OpResult {
        self.windows.alarms[domain as usize] = Alarm::NONE;
        let mut index = 0;
        while index < self.windows.open.as_slice().len() {
            if !self.is_gone(index, domain, up_to_ms)? {
                index += 1;
            }
        }
        self.arm_all()
    }

    /// Does what is due of one window; whether it is gone.
    fn is_gone(&mut self, index: usize, domain: TimeDomain, up_to_ms: i64) -> OpResult<bool> {
        loop {
            let Plan { kind, lateness_ms, .. } = self.plan;
            let open = &mut self.windows.open.as_mut_slice()[index];
            let is_due = |at_ms: &i64| *at_ms <= up_to_ms.min(Alarm::LAST_MS);
            let asked = open.timers.first(domain).filter(is_due);
            let own = (kind.domain() == domain).then(|| kind.own_time(open, *lateness_ms)).flatten();
            match (asked, own.filter(is_due)) {
                (Some(at_ms), own) if own.is_none_or(|own| at_ms <= own) => {
                    open.timers.delete(domain, at_ms);
                    let (trigger, state, mut cx) = self.ask(index, self.watermark, Some((domain, at_ms)));
                    let decision = match domain {
                        TimeDomain::Event => trigger.on_event_time(EventTime(at_ms), state, &mut cx),
                        TimeDomain::Processing => trigger.on_processing_time(at_ms, state, &mut cx),
                    };
                    if self.act(index, decision)? {
                        return Ok(true);
                    }
                }
                (_, Some(_)) if !open.ended => {
                    if self.end(index)? {
                        return Ok(true);
                    }
                }
                (_, Some(_)) => {
                    self.close(index)?;
                    return Ok(true);
                }
                _ => return Ok(false),
            }
        }
    }

    /// The input has ended: whatever is open ends too, if it ever does, and goes.
    pub fn finish(&mut self) -> OpResult {
        while let Some(open) = self.windows.open.as_slice().first() {
            let is_over = open.ended || !self.plan.kind.ends_with_input();
            if is_over || !self.end(0)? {
                self.close(0)?;
            }
        }
        self.windows.alarms[TimeDomain::Processing as usize] = Alarm::NONE;
        self.rest()
    }

    #[cold]
    fn catch_up(&mut self) -> OpResult {
        self.disarm(TimeDomain::Event)?;
        self.alarm(TimeDomain::Event, self.watermark.0)
    }

    fn next_of(&self, index: usize, domain: TimeDomain) -> Option<i64> {
        let Plan { kind, lateness_ms, .. } = self.plan;
        let open = &self.windows.open.as_slice()[index];
        let own = (kind.domain() == domain).then(|| kind.own_time(open, *lateness_ms)).flatten();
        match (own, open.timers.first(domain)) {
            (Some(own), Some(asked)) => Some(own.min(asked)),
            (own, asked) => own.or(asked),
        }
    }

    /// Sets the alarms for what windows want.
    fn arm_all(&mut self) -> OpResult {
        let count = self.windows.open.as_slice().len();
        if count == 0 {
            return self.rest();
        }
        for domain in DOMAINS {
            let wanted = (0..count).filter_map(|index| self.next_of(index, domain)).min();
            self.arm(domain, wanted)?;
        }
        Ok(())
    }

    /// Has the key called at `wanted` or before.
    #[inline]
    fn arm(&mut self, domain: TimeDomain, wanted: Option<i64>) -> OpResult {
        let Some(wanted) = wanted.map(Alarm::at_ms) else { return Ok(()) };
        if !wanted.is_before(self.windows.alarms[domain as usize]) {
            return Ok(());
        }
        self.disarm(domain)?;
        self.windows.alarms[domain as usize] = wanted;
        match wanted.get() {
            Some(at_ms) => Ok(self.timers.set(domain, self.hash, self.key, at_ms)?),
            None => Ok(()),
        }
    }

    fn disarm(&mut self, domain: TimeDomain) -> OpResult {
        let alarm = std::mem::take(&mut self.windows.alarms[domain as usize]);
        match alarm.get() {
            Some(at_ms) => Ok(self.timers.delete(domain, self.hash, self.key, at_ms)?),
            None => Ok(()),
        }
    }

    /// No window is open: nothing is kept of the key, but how far it is in windows of a number of records.
    fn rest(&mut self) -> OpResult {
        self.disarm(TimeDomain::Event)?;
        self.disarm(TimeDomain::Processing)?;
        self.windows.taken = match &self.plan.kind {
            Kind::Count(windows) if self.watermark != EventTime::END => self.windows.taken % windows.every,
            _ => 0,
        };
        Ok(())
    }
}
