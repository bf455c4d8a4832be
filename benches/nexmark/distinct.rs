//! Distinct counts by rank, as `q15` and `q16` add them up.
//!
//! What is counted is spread over all workers by its own id, however few groups there are. Each bid passes the one
//! who remembers its auction, then the one who remembers its bidder, and learns from both whether they have met its
//! group before; what comes to the group is sums.

use std::collections::HashMap;
use std::hash::Hash;

use hashbrown::DefaultHashBuilder;
use pelton::dataflow::key::Key;
use pelton::prelude::{Context, Deserialize, KeyedProcess, NoSide, OpResult, Serialize, StateMut, Stream};

use crate::calendar::Minute;
use crate::ranks::{Counts, Novelty, Ranks};

/// The bids of a group, and the distinct bidders and auctions among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// The latest minute of a bid.
    pub minute: Minute,
    /// The number of bids.
    pub bids: Counts,
    /// The number of bidders.
    pub bidders: Counts,
    /// The number of auctions.
    pub auctions: Counts,
}

impl Statistics {
    /// Takes in a bid that has passed its auction and its bidder.
    #[inline]
    pub fn count<G>(&mut self, bid: &Passing<G>) {
        let rank = usize::from(bid.rank);
        self.minute = self.minute.max(bid.minute);
        self.bids.add(rank);
        self.bidders.add_distinct(bid.bidder_is, rank);
        self.auctions.add_distinct(bid.auction_is, rank);
    }

    /// Takes in what was counted elsewhere.
    pub fn add(&mut self, part: &Self) {
        self.minute = self.minute.max(part.minute);
        self.bids += part.bids;
        self.bidders += part.bidders;
        self.auctions += part.auctions;
    }
}

/// A bid of a group.
#[derive(Clone, Serialize, Deserialize)]
pub struct Passing<G> {
    /// What it counts for.
    pub group: G,
    /// What is bid on.
    pub auction: u64,
    /// Who bids.
    pub bidder: u64,
    /// When.
    pub minute: Minute,
    /// That of its price.
    pub rank: u8,
    /// Whether its group has met the auction.
    pub auction_is: Novelty,
    /// Whether its group has met the bidder.
    pub bidder_is: Novelty,
}

impl<G> Passing<G> {
    /// One that has passed nobody.
    pub fn new(group: G, (auction, bidder): (u64, u64), minute: Minute, rank: usize) -> Self {
        let (auction_is, bidder_is) = (Novelty::Known, Novelty::Known);
        Self { group, auction, bidder, minute, rank: rank as u8, auction_is, bidder_is }
    }
}

/// Where a bid notes what it learns.
type Learns<G> = fn(&mut Passing<G>) -> &mut Novelty;

/// Bids that have passed their auctions and bidders. For few groups: each pair of a group and an id remembers the
/// ranks that it was seen with.
pub fn distinct<G: Key>(bids: &Stream<Passing<G>>) -> Stream<Passing<G>> {
    let bids = bids.key_by(|bid| (bid.group.clone(), bid.auction));
    let bids = bids.process("auctions", OfPair(|bid| &mut bid.auction_is)).out;
    let bids = bids.key_by(|bid| (bid.group.clone(), bid.bidder));
    bids.process("bidders", OfPair(|bid| &mut bid.bidder_is)).out
}

/// As [`distinct`], for many groups: each id remembers those that it was seen in. It is one row with all
/// its groups, where its pairs would be nearly as many as there are bids.
pub fn distinct_of_many<G: Key + Hash>(bids: &Stream<Passing<G>>) -> Stream<Passing<G>> {
    let bids = bids.key_by(|bid| bid.auction).process("auctions", OfId(|bid| &mut bid.auction_is)).out;
    bids.key_by(|bid| bid.bidder).process("bidders", OfId(|bid| &mut bid.bidder_is)).out
}

struct OfPair<G>(Learns<G>);

impl<G: Key> KeyedProcess for OfPair<G> {
    type Key = (G, u64);
    type In = Passing<G>;
    type Out = Passing<G>;
    type Side = NoSide;
    type State = Ranks;

    fn on_record(
        &self,
        mut bid: Passing<G>,
        ranks: &mut StateMut<'_, Ranks>,
        cx: &mut Context<'_, Self>,
    ) -> OpResult {
        let novelty = ranks.novelty(usize::from(bid.rank));
        if novelty != Novelty::Known {
            **ranks = ranks.with(usize::from(bid.rank));
        }
        *(self.0)(&mut bid) = novelty;
        cx.emit(bid);
        Ok(())
    }
}

struct OfId<G>(Learns<G>);

impl<G: Key + Hash> KeyedProcess for OfId<G> {
    type Key = u64;
    type In = Passing<G>;
    type Out = Passing<G>;
    type Side = NoSide;
    type State = HashMap<G, Ranks, DefaultHashBuilder>;

    fn on_record(
        &self,
        mut bid: Passing<G>,
        groups: &mut StateMut<'_, Self::State>,
        cx: &mut Context<'_, Self>,
    ) -> OpResult {
        let before = groups.get(&bid.group).copied().unwrap_or_default();
        let novelty = before.novelty(usize::from(bid.rank));
        if novelty != Novelty::Known {
            groups.insert(bid.group.clone(), before.with(usize::from(bid.rank)));
        }
        *(self.0)(&mut bid) = novelty;
        cx.emit(bid);
        Ok(())
    }
}
