//! The windows of a key that are open: one struct per key.
//!
//! A key seldom has more than one open window, so the first lies in place. The earliest times at which a window of the
//! key wants to be called are the key's *alarms*: one timer per key and clock, whatever the number of its
//! windows. An alarm that has become too early, as a session has grown, is left alone until it goes off.
//!
//! As a row: the windows as a sequence, in the order of their ends; the alarms, `i64::MAX` for none; the number of
//! records taken.

use pelton_dataflow::time::EventTime;
use pelton_state::{State, TimeDomain};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::assigner::Window;

/// The times of one window at which its trigger wants to be called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WindowTimers(Option<Box<[Vec<i64>; 2]>>);

impl WindowTimers {
    pub fn set(&mut self, domain: TimeDomain, at_ms: i64) {
        let times = &mut self.0.get_or_insert_default()[domain as usize];
        if let Err(index) = times.binary_search(&at_ms) {
            times.insert(index, at_ms);
        }
    }

    pub fn delete(&mut self, domain: TimeDomain, at_ms: i64) {
        if let Some(times) = &mut self.0 {
            times[domain as usize].retain(|time| *time != at_ms);
            if times.iter().all(Vec::is_empty) {
                self.0 = None;
            }
        }
    }

    pub fn clear(&mut self) {
        self.0 = None;
    }

    #[inline]
    pub fn first(&self, domain: TimeDomain) -> Option<i64> {
        self.0.as_ref().and_then(|times| times[domain as usize].first().copied())
    }

    pub fn merge(&mut self, other: Self) {
        let Some(times) = other.0 else { return };
        for domain in [TimeDomain::Event, TimeDomain::Processing] {
            times[domain as usize].iter().for_each(|at_ms| self.set(domain, *at_ms));
        }
    }
}

/// One open window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound = "")]
pub(super) struct Open<H: State, S: State> {
    pub window: Window,
    /// What it holds of its records.
    pub held: H,
    /// Its trigger's state.
    pub trigger: S,
    pub timers: WindowTimers,
    /// How many results it has given.
    pub fired: u32,
    /// It has taken records, since it was last purged.
    pub holds: bool,
    /// It has ended; it is open for late records.
    pub ended: bool,
    /// Whatever it gives from now on is late.
    pub settled: bool,
}

impl<H: State, S: State> Open<H, S> {
    /// A window without records. One that is opened by late records has its end behind it.
    pub fn new(window: Window, ended: bool) -> Self {
        Self {
            window,
            held: H::default(),
            trigger: S::default(),
            timers: WindowTimers::default(),
            fired: 0,
            holds: false,
            ended,
            settled: ended,
        }
    }

    /// By what windows are ordered.
    #[inline]
    pub fn place(&self) -> (EventTime, EventTime) {
        (self.window.end, self.window.start)
    }
}

/// The time of a timer, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Alarm(i64);

impl Alarm {
    pub const NONE: Self = Self(i64::MAX);
    /// The last time that an alarm can be set for: the end of the input sets it off.
    pub const LAST_MS: i64 = i64::MAX - 1;

    pub fn at_ms(at_ms: i64) -> Self {
        Self(at_ms.min(Self::LAST_MS))
    }

    pub fn get(self) -> Option<i64> {
        (self != Self::NONE).then_some(self.0)
    }

    #[inline]
    pub fn is_due(self, up_to_ms: i64) -> bool {
        self.0 <= up_to_ms.min(Self::LAST_MS)
    }

    #[inline]
    pub fn is_before(self, other: Self) -> bool {
        self.0 < other.0
    }
}

impl Default for Alarm {
    fn default() -> Self {
        Self::NONE
    }
}

/// The open windows of a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound = "")]
pub(super) struct KeyWindows<H: State, S: State> {
    pub open: Few<Open<H, S>>,
    /// By event time and by processing time.
    pub alarms: [Alarm; 2],
    /// Records taken since no window was open; of count windows, since one began.
    pub taken: u64,
}

impl<H: State, S: State> Default for KeyWindows<H, S> {
    fn default() -> Self {
        Self { open: Few::default(), alarms: [Alarm::NONE; 2], taken: 0 }
    }
}

/// A vector whose first element lies in place.
#[derive(Clone, Debug, Default)]
pub(super) enum Few<T> {
    #[default]
    None,
    One(T),
    Many(Vec<T>),
}

impl<T> Few<T> {
    #[inline]
    pub fn as_slice(&self) -> &[T] {
        match self {
            Self::None => &[],
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }

    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        match self {
            Self::None => &mut [],
            Self::One(one) => std::slice::from_mut(one),
            Self::Many(many) => many,
        }
    }

    pub fn insert(&mut self, index: usize, value: T) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(value),
            Self::One(one) => Self::Many(if index == 0 { vec![value, one] } else { vec![one, value] }),
            Self::Many(mut many) => {
                many.insert(index, value);
                Self::Many(many)
            }
        };
    }

    /// Takes the element at `index` out, if there is one.
    pub fn remove(&mut self, index: usize) -> Option<T> {
        match std::mem::take(self) {
            Self::One(one) if index == 0 => Some(one),
            Self::Many(mut many) if index < many.len() => {
                let taken = many.remove(index);
                if !many.is_empty() {
                    *self = Self::Many(many);
                }
                Some(taken)
            }
            other => {
                *self = other;
                None
            }
        }
    }
}

impl<T: PartialEq> PartialEq for Few<T> {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl<T: Serialize> Serialize for Few<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_slice().serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Few<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut many = Vec::deserialize(deserializer)?;
        Ok(match many.len() {
            0 => Self::None,
            1 => many.pop().map_or(Self::None, Self::One),
            _ => Self::Many(many),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton_state::{codec, fingerprint};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn few_is_a_vector(steps in prop::collection::vec((any::<bool>(), 0usize..5, 0u8..9), 0..30)) {
            let (mut few, mut many) = (Few::default(), Vec::new());
            for (is_insert, index, value) in steps {
                if is_insert {
                    let index = index.min(many.len());
                    few.insert(index, value);
                    many.insert(index, value);
                } else {
                    let taken = (index < many.len()).then(|| many.remove(index));
                    prop_assert_eq!(few.remove(index), taken);
                }
                prop_assert_eq!(few.as_slice(), many.as_slice());
                prop_assert_eq!(few == Few::None, many.is_empty());
                let bytes = codec::encode(&few).unwrap();
                prop_assert_eq!(&bytes, &codec::encode(&many).unwrap());
                prop_assert_eq!(&codec::decode::<Few<u8>>(&bytes).unwrap(), &few);
            }
        }
    }

    /// These bytes lie in checkpoints: they must not change.
    #[test]
    fn the_row_of_a_key_is_fixed() {
        let mut windows = KeyWindows::<u8, u16>::default();
        let mut open = Open::new(Window::of_millis(1, 2), true);
        (open.held, open.trigger, open.fired, open.holds) = (3, 4, 5, true);
        open.timers.set(TimeDomain::Processing, 6);
        windows.open.insert(0, open);
        (windows.alarms[0], windows.taken) = (Alarm::at_ms(7), 8);
        let int = |n: i64| n.to_le_bytes();
        let mut fixed = [int(1), int(1), int(2)].concat();
        fixed.extend([3, 4, 0, 1]);
        fixed.extend([int(0), int(1), int(6)].concat());
        fixed.extend([5, 0, 0, 0, 1, 1, 1]);
        fixed.extend([int(7), int(i64::MAX), int(8)].concat());
        assert_eq!(codec::encode(&windows).unwrap(), fixed);
        assert_eq!(codec::decode::<KeyWindows<u8, u16>>(&fixed).unwrap(), windows);
        assert!(fingerprint::<KeyWindows<u8, u16>>().is_ok());
    }
}
