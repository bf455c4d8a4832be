//! Committing prepared transactions, and aborting those that will never be.

use pelton_dataflow::error::OpError;
use pelton_dataflow::sink::{Committable, Committer};
use pelton_streams::TransactionalWriter;

use super::committable;
use crate::error::Result;

/// Commits the transactions of one sink.
pub(super) struct LogCommitter {
    pub writer: TransactionalWriter,
    /// Held as long as the writer: opened a second time, it would find its streams locked by itself.
    pub _log: pelton_streams::ShardLog,
}

impl LogCommitter {
    /// Queues all commits before it waits for any: they share one sync.
    fn commit_all(&self, transactions: &[pelton_streams::Committable]) -> Result<()> {
        let tickets: Result<Vec<_>, _> =
            transactions.iter().map(|transaction| self.writer.commit_later(transaction)).collect();
        for ticket in tickets? {
            ticket.wait()?;
        }
        Ok(())
    }
}

fn decode_all(committables: &[Committable]) -> Result<Vec<pelton_streams::Committable>> {
    committables.iter().map(committable::decode).collect()
}

impl Committer for LogCommitter {
    fn recover(&mut self, listed: &[Committable]) -> Result<(), OpError> {
        let listed = decode_all(listed)?;
        let aborted = self.writer.abort_unlisted(&listed).map_err(crate::Error::from)?;
        if !aborted.is_empty() {
            tracing::info!(transactions = aborted.len(), "aborted what no checkpoint lists");
        }
        Ok(self.commit_all(&listed)?)
    }

    fn commit(&mut self, committables: &[Committable]) -> Result<(), OpError> {
        Ok(self.commit_all(&decode_all(committables)?)?)
    }
}
