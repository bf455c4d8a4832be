//! Splits that are all known at the start, and whether one can be read on where a checkpoint has it.

use pelton_dataflow::error::OpError;
use pelton_dataflow::source::{Enumerator, SplitInfo, SplitState};

use crate::error::Result;

/// The enumerator of a fixed list of splits, with what says whether a split of a checkpoint can be read on.
pub(crate) struct KnownSplits<F> {
    pub splits: Vec<SplitInfo>,
    pub check: F,
}

impl<F: Fn(&SplitState) -> Result<()> + Send> Enumerator for KnownSplits<F> {
    fn discover(&mut self) -> Result<Vec<SplitInfo>, OpError> {
        Ok(self.splits.clone())
    }

    fn is_complete(&self) -> bool {
        true
    }

    fn check(&self, splits: &[SplitState]) -> Result<(), OpError> {
        Ok(splits.iter().try_for_each(&self.check)?)
    }
}
