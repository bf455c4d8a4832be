//! Committing prepared transactions, and aborting those that will never be.

use pelton_dataflow::error::OpError;
use pelton_dataflow::failpoint;
use pelton_dataflow::sink::{Committable, Committer, SinkContext};
use pelton_streams::TransactionalWriter;

use super::committable;
use super::target::{Open, Target};
use crate::error::Result;

/// Commits the transactions of one sink.
pub(super) struct LogCommitter {
    target: Target,
    cx: SinkContext,
    /// The stream, held from the start so that nobody else writes to it; `None` until it is created.
    open: Option<Open>,
    /// There from the recovery on.
    writer: Option<TransactionalWriter>,
}

impl LogCommitter {
    pub fn new(target: Target, cx: SinkContext) -> Result<Self> {
        Ok(Self { open: target.open()?, target, cx, writer: None })
    }

    fn take_over(&mut self, generation: u64) -> Result<&mut TransactionalWriter> {
        let open = match self.open.take() {
            Some(open) => open,
            None => self.target.open_or_create()?,
        };
        let (_, stream) = self.open.insert(open);
        let writer = self.target.take_over(stream, &self.cx, generation)?;
        Ok(self.writer.insert(writer))
    }
}

/// Queues all commits before it waits for any: they share one sync.
fn commit_all(writer: &TransactionalWriter, transactions: &[pelton_streams::Committable]) -> Result<()> {
    let tickets: Result<Vec<_>, _> =
        transactions.iter().map(|transaction| writer.commit_later(transaction)).collect();
    for ticket in tickets? {
        ticket.wait()?;
    }
    Ok(())
}

fn decode_all(committables: &[Committable]) -> Result<Vec<pelton_streams::Committable>> {
    committables.iter().map(committable::decode).collect()
}

impl Committer for LogCommitter {
    fn check(&self, generation: u64, listed: &[Committable]) -> Result<(), OpError> {
        let listed = decode_all(listed)?;
        let stream = self.open.as_ref().map(|(_, stream)| stream);
        // First what is listed: a stream that was created anew knows of no generation.
        self.target.check_listed(stream, &self.cx, &listed)?;
        match stream {
            Some(stream) => Ok(self.target.check(stream, &self.cx, generation)?),
            None => Ok(()),
        }
    }

    fn recover(&mut self, generation: u64, listed: &[Committable]) -> Result<(), OpError> {
        let listed = decode_all(listed)?;
        let writer = self.take_over(generation)?;
        failpoint::at("sink::abort")?;
        let aborted = writer.abort_unlisted(&listed).map_err(crate::Error::from)?;
        if !aborted.is_empty() {
            tracing::info!(transactions = aborted.len(), "aborted what no checkpoint lists");
        }
        failpoint::at("sink::recommit")?;
        Ok(commit_all(writer, &listed)?)
    }

    fn commit(&mut self, committables: &[Committable]) -> Result<(), OpError> {
        let Some(writer) = &self.writer else { return Err("a committer recovers before it commits".into()) };
        failpoint::at("sink::commit")?;
        commit_all(writer, &decode_all(committables)?)?;
        Ok(failpoint::at("sink::committed")?)
    }
}
