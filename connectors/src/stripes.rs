//! Counted splits: split *s* of *n* holds the indexes *s*, *s+n*, *s+2n*, ... below a count.
//!
//! Interleaved, not cut into ranges: the splits of an endless or rate-limited source then advance
//! together, and so do their event times.

use pelton_dataflow::source::{Enumerator, SplitId, SplitInfo, SplitState};

use crate::error::{Error, Result};
use crate::position::{self, Kind};
use crate::splits::KnownSplits;

/// Most splits of a counted source: each is a line in every checkpoint.
pub(crate) const MAX_SPLITS: u32 = 10_000;

/// One split, named `3-of-8`: a checkpoint names how many there were, so that a job that has
/// another number now cannot read indexes twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stripe {
    pub index: u32,
    pub of: u32,
}

impl Stripe {
    /// The splits of a source that has `of` of them.
    fn all(of: u32) -> Result<Vec<SplitInfo>> {
        if of == 0 || of > MAX_SPLITS {
            let reason = format!("{of} splits; choose from 1 to {MAX_SPLITS}");
            return Err(Error::Setting { what: "number of splits", reason });
        }
        Ok((0..of).map(|index| SplitInfo::root(format!("{index}-of-{of}"))).collect())
    }

    /// The stripe that `split` names, in a source that has `of` of them, and the index at `position`.
    pub fn open(
        split: &SplitId,
        position: Option<&[u8]>,
        of: u32,
        source: impl Fn() -> String,
    ) -> Result<(Self, u64)> {
        let stripe = Self::parse(split, of, source)?;
        let Some(bytes) = position else { return Ok((stripe, stripe.first())) };
        let [next] = position::decode(Kind::Index, bytes, split)?;
        Ok((stripe, stripe.check(next, split)?))
    }

    /// The enumerator of a source that has `of` of them and is described as `source`.
    pub fn enumerator(of: u32, source: String) -> Result<Box<dyn Enumerator>> {
        // Also one that is read to its end: of another number of splits it would be read again.
        let check = move |split: &SplitState| {
            Self::open(&split.info.id, split.position.as_deref(), of, || source.clone()).map(drop)
        };
        Ok(Box::new(KnownSplits { splits: Self::all(of)?, check }))
    }

    /// The stripe that `split` names, in a source that has `of` of them.
    fn parse(split: &SplitId, of: u32, source: impl Fn() -> String) -> Result<Self> {
        let parse = |text: &str| text.parse::<u32>().ok();
        let parsed = split.0.split_once("-of-").and_then(|(index, of)| Some((parse(index)?, parse(of)?)));
        let unknown =
            |reason: String| Error::UnknownSplit { split: split.clone(), source_is: source(), reason };
        match parsed {
            Some((index, named)) if named == of && index < of => Ok(Self { index, of }),
            Some((_, named)) if named != of => Err(unknown(format!(
                "it was one of {named} splits, and there are {of} now; set the number back to {named}"
            ))),
            _ => Err(unknown("the checkpoint belongs to another source".to_owned())),
        }
    }

    /// The first index of this split.
    pub fn first(self) -> u64 {
        u64::from(self.index)
    }

    /// From one index to the next.
    pub fn stride(self) -> u64 {
        u64::from(self.of)
    }

    /// How many indexes from `next` on are below `limit`.
    pub fn remaining(self, next: u64, limit: u64) -> u64 {
        limit.saturating_sub(next).div_ceil(self.stride())
    }

    /// Checks that a position that a checkpoint gave is an index of this split.
    fn check(self, next: u64, split: &SplitId) -> Result<u64> {
        if next % self.stride() == self.first() {
            return Ok(next);
        }
        let reason = format!("index {next} is in another split");
        Err(Error::Position { split: split.clone(), expected: "position of this split", reason })
    }
}
