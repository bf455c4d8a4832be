//! The book of rules: a worker's copy of what they add up to, and the rules that are not in effect yet.
//!
//! Every worker gets the same rules and applies them in the same order, some a little later than others. So of
//! two copies at one barrier one is the other with some of its pending rules applied.
//!
//! In a checkpoint, numbers little endian:
//!
//! | bytes | what |
//! | --- | --- |
//! | 1 | the version of this layout, 1 |
//! | 8 | up to when rules are in effect, `i64` |
//! | 8 | how many rules are, since the job's first start, `u64` |
//! | 4 + n | what they add up to: its length `u32`, and it, by the state's codec |
//! | 8 + 4 + n each | a rule that is pending: its time `i64`, its length `u32`, and it, by the state's codec |

use std::collections::VecDeque;

use pelton_dataflow::error::{OpError, OpResult};
use pelton_dataflow::record::Data;
use pelton_dataflow::time::EventTime;
use pelton_state::{State, codec};

const VERSION: u8 = 1;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pending<R> {
    at: EventTime,
    /// Decides between rules of one time.
    bytes: Vec<u8>,
    rule: R,
}

/// The rules of one worker.
#[derive(Clone, Debug)]
pub(super) struct Book<R, S> {
    rules: S,
    /// In the order in which they will be applied.
    pending: VecDeque<Pending<R>>,
    applied: u64,
    /// No rule that is still to come takes effect before this.
    in_effect_to: EventTime,
}

impl<R: Data, S: State> Book<R, S> {
    fn new() -> Self {
        Self { rules: S::default(), pending: VecDeque::new(), applied: 0, in_effect_to: EventTime::MIN }
    }

    /// What the rules in effect add up to.
    pub fn rules(&self) -> &S {
        &self.rules
    }

    /// When the next rule takes effect.
    pub fn next_time(&self) -> Option<EventTime> {
        self.pending.front().map(|pending| pending.at)
    }

    /// Adds a rule of time `at`.
    pub fn add(&mut self, at: EventTime, rule: R) -> OpResult {
        let at = at.max(self.in_effect_to);
        let bytes = codec::encode(&rule)?;
        let index = self.pending.partition_point(|known| (known.at, &known.bytes) <= (at, &bytes));
        self.pending.insert(index, Pending { at, bytes, rule });
        Ok(())
    }

    /// Has the next rule take effect, by `on_rule`.
    pub fn apply_next(&mut self, on_rule: impl FnOnce(R, &mut S, EventTime) -> OpResult) -> OpResult {
        let Some(Pending { at, rule, .. }) = self.pending.pop_front() else { return Ok(()) };
        self.applied += 1;
        self.in_effect_to = self.in_effect_to.max(at);
        on_rule(rule, &mut self.rules, at)
    }

    /// All rules before `at` are in effect.
    pub fn passed(&mut self, at: EventTime) {
        self.in_effect_to = self.in_effect_to.max(at);
    }

    /// As a checkpoint keeps it.
    pub fn to_bytes(&self) -> OpResult<Vec<u8>> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.in_effect_to.0.to_le_bytes());
        bytes.extend_from_slice(&self.applied.to_le_bytes());
        put_sized(&codec::encode(&self.rules)?, &mut bytes)?;
        for pending in &self.pending {
            bytes.extend_from_slice(&pending.at.0.to_le_bytes());
            put_sized(&pending.bytes, &mut bytes)?;
        }
        Ok(bytes)
    }

    /// The copy of `parts`, one of each old worker, that has come least far, after a look at whether the others come of
    /// it by `on_rule`.
    pub fn restore<'a>(
        parts: impl Iterator<Item = &'a [u8]>,
        on_rule: impl Fn(R, &mut S, EventTime) -> OpResult,
    ) -> OpResult<Self> {
        let mut copies = parts.map(Self::of_bytes).collect::<OpResult<Vec<_>>>()?;
        copies.sort_by_key(|copy| (copy.applied, copy.in_effect_to));
        let Some(least) = copies.first().cloned() else { return Ok(Self::new()) };
        let mut made = least.clone();
        for copy in &copies {
            while made.applied < copy.applied && !made.pending.is_empty() {
                made.apply_next(&on_rule)?;
            }
            let times = |book: &Self| book.pending.iter().map(|pending| pending.at).collect::<Vec<_>>();
            if made.applied != copy.applied || made.rules != copy.rules || times(&made) != times(copy) {
                return Err(format!(
                    "the workers' copies of its rules differ after {} rules: `on_rule` must do the same on each worker, and read nothing but the rule and the rules before it",
                    copy.applied
                )
                .into());
            }
        }
        Ok(least)
    }

    fn of_bytes(bytes: &[u8]) -> OpResult<Self> {
        let (in_effect_to, applied, rules, mut rest) = match bytes {
            [VERSION, body @ ..] => {
                let (time, rest) = take::<8>(body)?;
                let (applied, rest) = take::<8>(rest)?;
                let (rules, rest) = take_sized(rest)?;
                (EventTime(i64::from_le_bytes(time)), u64::from_le_bytes(applied), codec::decode(rules)?, rest)
            }
            _ => return Err("its rules are of a version that this program does not know: run it with the version of the program that wrote the checkpoint".into()),
        };
        let mut pending = VecDeque::new();
        while !rest.is_empty() {
            let (at, after) = take::<8>(rest)?;
            let (rule, after) = take_sized(after)?;
            let at = EventTime(i64::from_le_bytes(at));
            pending.push_back(Pending { at, bytes: rule.to_vec(), rule: codec::decode(rule)? });
            rest = after;
        }
        Ok(Self { rules, pending, applied, in_effect_to })
    }
}

/// Appends `bytes` behind their length.
pub(super) fn put_sized(bytes: &[u8], out: &mut Vec<u8>) -> OpResult {
    let length = u32::try_from(bytes.len()).map_err(|_| "rules of more than 4 GiB")?;
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

/// Takes what [`put_sized`] has put; and the rest.
pub(super) fn take_sized(bytes: &[u8]) -> OpResult<(&[u8], &[u8])> {
    let (length, rest) = take::<4>(bytes)?;
    rest.split_at_checked(u32::from_le_bytes(length) as usize).ok_or_else(damaged)
}

pub(super) fn take<const N: usize>(bytes: &[u8]) -> OpResult<([u8; N], &[u8])> {
    let (first, rest) = bytes.split_first_chunk().ok_or_else(damaged)?;
    Ok((*first, rest))
}

fn damaged() -> OpError {
    "its rules in the checkpoint are damaged".into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Text = Book<u8, String>;

    /// The order tells.
    #[expect(clippy::unnecessary_wraps, reason = "as a user's function")]
    fn note(rule: u8, text: &mut String, at: EventTime) -> OpResult {
        text.push_str(&format!("{rule}@{} ", at.0));
        Ok(())
    }

    fn advance(book: &mut Text, to: i64) {
        while book.next_time().is_some_and(|at| at.0 < to) {
            book.apply_next(note).unwrap();
        }
        book.passed(EventTime(to));
    }

    proptest! {
        /// Copies that got the same rules in different orders and have come differently far are taken for one, the
        /// one that has come least far.
        #[test]
        fn the_least_copy_is_restored(
            early in prop::collection::vec((0i64..20, 0u8..4), 0..8),
            late in prop::collection::vec((0i64..20, 0u8..4), 0..8),
            reached in prop::collection::vec(0i64..30, 1..5),
        ) {
            let least = reached.iter().min().copied().unwrap();
            let copies: Vec<Text> = (0..reached.len()).map(|worker| {
                let mut copy = Text::new();
                let mut rules = early.clone();
                rules.rotate_left(worker.min(early.len()));
                rules.iter().for_each(|(at, rule)| copy.add(EventTime(*at), *rule).unwrap());
                // What comes later was sent by one that had told of a watermark that nobody has passed.
                advance(&mut copy, least);
                late.iter().for_each(|(at, rule)| copy.add(EventTime(*at + least), *rule).unwrap());
                advance(&mut copy, reached[worker]);
                copy
            }).collect();
            let parts: Vec<_> = copies.iter().map(|copy| copy.to_bytes().unwrap()).collect();
            let mut restored = Text::restore(parts.iter().map(Vec::as_slice), note).unwrap();
            prop_assert_eq!(restored.in_effect_to, EventTime(least));
            advance(&mut restored, 100);
            for mut copy in copies {
                advance(&mut copy, 100);
                prop_assert_eq!(&copy.rules, &restored.rules);
            }
        }
    }

    #[test]
    fn copies_that_differ_are_refused() {
        let book = |rules: &[u8]| {
            let mut book = Text::new();
            rules.iter().for_each(|rule| book.add(EventTime(1), *rule).unwrap());
            advance(&mut book, 5);
            book.to_bytes().unwrap()
        };
        let restore = |parts: [Vec<u8>; 2]| {
            Text::restore(parts.iter().map(Vec::as_slice), note).map(|book| book.applied)
        };
        assert_eq!(restore([book(&[1, 2]), book(&[2, 1])]).ok(), Some(2));
        for other in [&[1, 3][..], &[1], &[1, 2, 3]] {
            let refused = restore([book(&[1, 2]), book(other)]).unwrap_err().to_string();
            assert!(refused.contains("copies of its rules differ"), "{refused}");
        }
    }

    /// These bytes lie in checkpoints: they must not change.
    #[test]
    fn the_bytes_are_fixed() {
        let mut book = Text::new();
        book.add(EventTime(1), 7).unwrap();
        advance(&mut book, 3);
        book.add(EventTime(4), 9).unwrap();
        let bytes = b"\x01\x03\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x0c\0\0\0\x04\0\0\0\0\0\0\x007@1 \x04\0\0\0\0\0\0\0\x01\0\0\0\x09";
        assert_eq!(book.to_bytes().unwrap(), bytes);
        let again = Text::of_bytes(bytes).unwrap();
        assert_eq!((again.rules, again.pending, again.applied), (book.rules, book.pending, 1));
        for cut in (0..bytes.len()).filter(|cut| *cut != 33) {
            assert!(Text::of_bytes(&bytes[..cut]).is_err(), "{cut}");
        }
    }
}
