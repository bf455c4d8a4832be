//! One record for each group of records of a key. By event time, records are gone through in its order, as
//! `sorted` does; that a group is over is known by the watermark, and then nothing is kept of it.

use std::marker::PhantomData;

use pelton_dataflow::error::OpResult;
use pelton_dataflow::key::Key;
use pelton_dataflow::record::Data;
use pelton_dataflow::time::EventTime;
use pelton_state::StateMut;
use serde::{Deserialize, Serialize};

use crate::by_time::has_time;
use crate::process::{Context, KeyedContext, KeyedProcess};
use crate::sorted::Waiting;

/// The end of a group that begins at `time`.
fn end(time: EventTime, within_ms: i64) -> EventTime {
    EventTime(time.0.saturating_add(within_ms))
}

/// The first record that arrives.
pub(super) struct FirstArrived<K, T> {
    pub within_ms: i64,
    pub types: PhantomData<(K, T)>,
}

impl<K: Key, T: Data + Sync> KeyedProcess for FirstArrived<K, T> {
    type Key = K;
    type In = T;
    type Out = T;
    type Side = T;
    /// The end of the group at hand, and the timer that is set.
    type State = Option<(EventTime, EventTime)>;

    fn on_record(
        &self,
        record: T,
        group: &mut StateMut<'_, Self::State>,
        cx: &mut Context<'_, Self>,
    ) -> OpResult {
        if cx.is_late() {
            cx.side(record);
            return Ok(());
        }
        let time = cx.time();
        has_time(time)?;
        let timer = match **group {
            Some((until, _)) if time < until => return Ok(()),
            Some((_, timer)) => timer,
            None => {
                let until = end(time, self.within_ms);
                cx.timer_at(until);
                until
            }
        };
        **group = Some((end(time, self.within_ms), timer));
        cx.emit(record);
        Ok(())
    }

    fn on_timer(
        &self,
        _at: EventTime,
        group: &mut StateMut<'_, Self::State>,
        cx: &mut Context<'_, Self>,
    ) -> OpResult {
        // The key may be in a later group by now.
        **group = group.filter(|(until, _)| *until > cx.watermark()).map(|(until, _)| {
            cx.timer_at(until);
            (until, until)
        });
        Ok(())
    }
}

/// The records of a key that wait for the watermark, and the group that is not over.
#[derive(Clone, Serialize, Deserialize)]
#[serde(bound = "T: Data")]
pub(super) struct Groups<T> {
    waiting: Waiting<T>,
    /// The end of the group, and its last record, if that is asked for.
    group: Option<(EventTime, Option<T>)>,
}

impl<T> Default for Groups<T> {
    fn default() -> Self {
        Self { waiting: Waiting::default(), group: None }
    }
}

/// As keyed state it equals its default, and nothing else.
impl<T> PartialEq for Groups<T> {
    fn eq(&self, other: &Self) -> bool {
        self.waiting == other.waiting && self.group.is_none() && other.group.is_none()
    }
}

impl<T: Data> Groups<T> {
    /// The end of the group at hand.
    fn until(&self) -> Option<EventTime> {
        self.group.as_ref().map(|(until, _)| *until)
    }
}

/// The first record by event time.
pub(super) struct First<K, T> {
    pub within_ms: i64,
    pub types: PhantomData<(K, T)>,
}

impl<K: Key, T: Data + Sync> KeyedProcess for First<K, T> {
    type Key = K;
    type In = T;
    type Out = T;
    type Side = T;
    type State = Groups<T>;

    fn on_record(
        &self,
        record: T,
        groups: &mut StateMut<'_, Groups<T>>,
        cx: &mut Context<'_, Self>,
    ) -> OpResult {
        if cx.is_late() {
            cx.side(record);
            return Ok(());
        }
        has_time(cx.time())?;
        if groups.until().is_none_or(|until| until <= cx.time()) {
            groups.waiting.push(record, cx);
        }
        Ok(())
    }

    fn on_timer(
        &self,
        _at: EventTime,
        groups: &mut StateMut<'_, Groups<T>>,
        cx: &mut Context<'_, Self>,
    ) -> OpResult {
        let Groups { waiting, group } = &mut **groups;
        waiting.release(cx, |time, record, cx| {
            if group.as_ref().is_none_or(|(until, _)| *until <= time) {
                *group = Some((end(time, self.within_ms), None));
                cx.emit_at(time, record);
            }
        });
        close(group, waiting, cx, |_, _, _| ());
        Ok(())
    }
}

/// The last record by event time.
pub(super) struct Last<K, T> {
    pub within_ms: i64,
    pub types: PhantomData<(K, T)>,
}

impl<K: Key, T: Data + Sync> Last<K, T> {
    /// Gives the last record of a group that is over, at the last moment of the group.
    fn give(until: EventTime, last: Option<T>, cx: &mut Context<'_, Self>) {
        if let Some(last) = last {
            cx.emit_at(EventTime(until.0.saturating_sub(1)), last);
        }
    }
}

impl<K: Key, T: Data + Sync> KeyedProcess for Last<K, T> {
    type Key = K;
    type In = T;
    type Out = T;
    type Side = T;
    type State = Groups<T>;

    fn on_record(
        &self,
        record: T,
        groups: &mut StateMut<'_, Groups<T>>,
        cx: &mut Context<'_, Self>,
    ) -> OpResult {
        if cx.is_late() {
            cx.side(record);
            return Ok(());
        }
        has_time(cx.time())?;
        groups.waiting.push(record, cx);
        Ok(())
    }

    fn on_timer(
        &self,
        _at: EventTime,
        groups: &mut StateMut<'_, Groups<T>>,
        cx: &mut Context<'_, Self>,
    ) -> OpResult {
        let Groups { waiting, group } = &mut **groups;
        waiting.release(cx, |time, record, cx| match group {
            Some((until, last)) if time < *until => *last = Some(record),
            _ => {
                let over = group.replace((end(time, self.within_ms), Some(record)));
                if let Some((until, last)) = over {
                    Self::give(until, last, cx);
                }
            }
        });
        close(group, waiting, cx, Self::give);
        Ok(())
    }
}

/// Forgets the group if it is over and no record of it waits, else has the key called when it is over.
fn close<K: Key, O: Data, S: Data, T: Data>(
    group: &mut Option<(EventTime, Option<T>)>,
    waiting: &mut Waiting<T>,
    cx: &mut KeyedContext<'_, K, O, S>,
    give: impl FnOnce(EventTime, Option<T>, &mut KeyedContext<'_, K, O, S>),
) {
    let Some((until, _)) = group else { return };
    let until = *until;
    if until > cx.watermark() {
        waiting.call_at(until, cx);
    } else if waiting.first_time().is_none_or(|first| first >= until)
        && let Some((until, last)) = group.take()
    {
        give(until, last, cx);
    }
}
