//! Distinct counts by rank, and what `q15` and `q16` add them up to.
//!
//! What is counted is spread over all workers by its own id, however few groups there are: each id
//! remembers the ranks that it was seen with, and only a rank that is new to it goes on to its group.

use std::marker::PhantomData;

use pelton::dataflow::key::Key;
use pelton::prelude::{Context, Deserialize, KeyedProcess, NoSide, OpResult, Serialize, StateMut, Stream};

use crate::calendar::Minute;
use crate::ranks::{Counts, Ranks};

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
    /// Takes in what was counted elsewhere.
    pub fn add(&mut self, part: &Self) {
        self.minute = self.minute.max(part.minute);
        self.bids += part.bids;
        self.bidders += part.bidders;
        self.auctions += part.auctions;
    }
}

/// What a bid counts as: its group, the id that is counted, and the rank of its price.
pub type Seen<G> = (G, u64, u8);

/// How the distinct count of each group grows: the parts that it is the sum of.
pub fn distinct<G: Key>(name: &str, seen: &Stream<Seen<G>>) -> Stream<(G, Counts)> {
    seen.key_by(|(group, id, _)| (group.clone(), *id)).process(name, NewRanks(PhantomData)).out
}

struct NewRanks<G>(PhantomData<fn(G)>);

impl<G: Key> KeyedProcess for NewRanks<G> {
    type Key = (G, u64);
    type In = Seen<G>;
    type Out = (G, Counts);
    type Side = NoSide;
    type State = Ranks;

    fn on_record(
        &self,
        (group, _, rank): Seen<G>,
        ranks: &mut StateMut<'_, Ranks>,
        cx: &mut Context<'_, Self>,
    ) -> OpResult {
        let rank = usize::from(rank);
        if !ranks.has(rank) {
            let mut part = Counts::default();
            part.add_distinct(**ranks, rank);
            **ranks = ranks.with(rank);
            cx.emit((group, part));
        }
        Ok(())
    }
}
