//! One record for each key there ever is: what is kept of a key is that it has been, or when.

use std::marker::PhantomData;

use pelton_dataflow::error::OpResult;
use pelton_dataflow::key::Key;
use pelton_dataflow::record::Data;
use pelton_dataflow::time::EventTime;
use pelton_state::StateMut;
use serde::{Deserialize, Serialize};

use crate::by_time::past_at;
use crate::process::{Context, KeyedProcess, NoSide};

/// The first record that arrives.
pub(super) struct FirstArrived<K, T> {
    pub types: PhantomData<(K, T)>,
}

impl<K: Key, T: Data + Sync> KeyedProcess for FirstArrived<K, T> {
    type Key = K;
    type In = T;
    type Out = T;
    type Side = NoSide;
    type State = bool;

    fn on_record(
        &self,
        record: T,
        is_known: &mut StateMut<'_, bool>,
        cx: &mut Context<'_, Self>,
    ) -> OpResult {
        if !**is_known {
            **is_known = true;
            cx.emit(record);
        }
        Ok(())
    }
}

/// The last record by event time, and each that was so far.
pub(super) struct Last<K, T> {
    pub types: PhantomData<(K, T)>,
}

impl<K: Key, T: Data + Sync> KeyedProcess for Last<K, T> {
    type Key = K;
    type In = T;
    type Out = T;
    type Side = NoSide;
    type State = Option<EventTime>;

    fn on_record(
        &self,
        record: T,
        last: &mut StateMut<'_, Option<EventTime>>,
        cx: &mut Context<'_, Self>,
    ) -> OpResult {
        if last.is_none_or(|last| last <= cx.time()) {
            **last = Some(cx.time());
            cx.emit(record);
        }
        Ok(())
    }
}

/// The first record by event time.
pub(super) struct First<K, T> {
    pub types: PhantomData<(K, T)>,
}

/// How far it is known which record of a key is the first.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(bound = "T: Data")]
pub(super) enum Known<T> {
    #[default]
    Nothing,
    /// The first so far; the watermark has not passed it. A timer is set for it.
    SoFar(EventTime, T),
    Given,
}

/// As keyed state, all that matters is whether there is anything to keep.
impl<T> PartialEq for Known<T> {
    fn eq(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Nothing, Self::Nothing) | (Self::Given, Self::Given))
    }
}

impl<K: Key, T: Data + Sync> KeyedProcess for First<K, T> {
    type Key = K;
    type In = T;
    type Out = T;
    type Side = NoSide;
    type State = Known<T>;

    fn on_record(
        &self,
        record: T,
        first: &mut StateMut<'_, Known<T>>,
        cx: &mut Context<'_, Self>,
    ) -> OpResult {
        let time = cx.time();
        match **first {
            Known::Given => return Ok(()),
            Known::SoFar(so_far, _) if so_far <= time => return Ok(()),
            Known::SoFar(so_far, _) => cx.delete_timer(past_at(so_far)),
            Known::Nothing => {}
        }
        if cx.is_late() {
            // Whatever is on time is later than it.
            **first = Known::Given;
            cx.emit(record);
        } else {
            **first = Known::SoFar(time, record);
            cx.timer_at(past_at(time));
        }
        Ok(())
    }

    fn on_timer(
        &self,
        _at: EventTime,
        first: &mut StateMut<'_, Known<T>>,
        cx: &mut Context<'_, Self>,
    ) -> OpResult {
        if let Known::SoFar(time, record) = std::mem::replace(&mut **first, Known::Given) {
            cx.emit_at(time, record);
        }
        Ok(())
    }
}
