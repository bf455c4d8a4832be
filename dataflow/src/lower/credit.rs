//! Credits: how many batches a worker may have in flight to another on one channel.
//!
//! The receiver returns a credit when a batch has been processed; a stashed batch has not. Credits
//! travel on a timely channel of their own, addressed to the sending operator, so that their
//! arrival schedules it. Freedom from deadlock rests on epoch order: a stash never holds credits
//! that an earlier epoch needs.

use std::rc::Rc;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use timely::Bincode;
use timely::communication::{Pull, Push};
use timely::worker::Worker;

use crate::clock::monotonic_ns;
use crate::stats::channels::ChannelStats;

/// Credits that `from` returns.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Credits {
    from: usize,
    count: usize,
}

/// The sending side of a channel's credits.
pub struct CreditLine {
    available: Vec<usize>,
    returns: Box<dyn Pull<Bincode<Credits>>>,
    stats: Arc<ChannelStats>,
}

/// The receiving side: gives credits back.
pub struct CreditReturn {
    owed: Vec<usize>,
    from: usize,
    /// Credits are returned in groups of this many while work goes on: each return is a message.
    group: usize,
    senders: Vec<Box<dyn Push<Bincode<Credits>>>>,
}

/// The two sides of the credits of a channel whose sending operator on this worker is at
/// `address`, with as many batches in flight to each receiver as `stats` says, which gets the
/// counts. Must be called on all workers in the same order.
pub fn allocate(
    worker: &Worker,
    address: Rc<[usize]>,
    stats: Arc<ChannelStats>,
) -> (CreditLine, CreditReturn) {
    let limit = stats.limit;
    let identifier = worker.new_identifier();
    let (senders, returns) = worker.allocate::<Bincode<Credits>>(identifier, address);
    let line = CreditLine { available: vec![limit; worker.peers()], returns, stats };
    let back = CreditReturn {
        owed: vec![0; worker.peers()],
        from: worker.index(),
        group: (limit / 2).max(1),
        senders,
    };
    (line, back)
}

impl CreditLine {
    /// Takes in what has come back.
    pub fn collect(&mut self) {
        while let Some(credits) = self.returns.recv() {
            let Credits { from, count } = credits.payload;
            self.available[from] += count;
            self.stats.edges()[from].came_back(count, monotonic_ns);
        }
    }

    /// Spends a credit for a batch to `receiver`; `false` if there is none, and the batch waits.
    pub fn try_spend(&mut self, receiver: usize) -> bool {
        let edge = &self.stats.edges()[receiver];
        if self.available[receiver] == 0 {
            edge.waits(monotonic_ns);
            return false;
        }
        self.available[receiver] -= 1;
        edge.sent();
        true
    }
}

impl CreditReturn {
    /// Notes that a batch of `sender` has been processed.
    pub fn owe(&mut self, sender: usize) {
        self.owed[sender] += 1;
        if self.owed[sender] >= self.group {
            self.pay(sender);
        }
    }

    /// Returns everything owed.
    pub fn settle(&mut self) {
        for sender in 0..self.owed.len() {
            if self.owed[sender] > 0 {
                self.pay(sender);
            }
        }
    }

    fn pay(&mut self, sender: usize) {
        let credits = Credits { from: self.from, count: std::mem::take(&mut self.owed[sender]) };
        self.senders[sender].send(Bincode { payload: credits });
        self.senders[sender].done();
    }
}
