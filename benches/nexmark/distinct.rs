//! Distinct counts by rank, and what `q15` and `q16` add them up to.
//!
//! What is counted is spread over all workers by its own id, however few groups there are: what it
//! was seen with is remembered, and only what is new goes on to its group.

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

/// How the distinct count of each group grows: the parts that it is the sum of. For few groups: each pair
/// of a group and an id remembers the ranks that it was seen with.
pub fn distinct<G: Key>(name: &str, seen: &Stream<Seen<G>>) -> Stream<(G, Counts)> {
    seen.key_by(|(group, id, _)| (group.clone(), *id)).process(name, OfPair(PhantomData)).out
}

/// As [`distinct`], for many groups: each id remembers those that it was seen in. It is one row with all
/// its groups, where its pairs would be nearly as many as there are bids.
pub fn distinct_of_many<G: Key + Ord>(name: &str, seen: &Stream<Seen<G>>) -> Stream<(G, Counts)> {
    seen.key_by(|(_, id, _)| *id).process(name, OfId(PhantomData)).out
}

/// What a rank adds to a count that has those `before`, and the ranks with it; `None` if it has it.
fn added(before: Ranks, rank: u8) -> Option<(Counts, Ranks)> {
    let rank = usize::from(rank);
    let mut part = Counts::default();
    part.add_distinct(before, rank);
    (!before.has(rank)).then(|| (part, before.with(rank)))
}

struct OfPair<G>(PhantomData<fn(G)>);

impl<G: Key> KeyedProcess for OfPair<G> {
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
        if let Some((part, now)) = added(**ranks, rank) {
            **ranks = now;
            cx.emit((group, part));
        }
        Ok(())
    }
}

struct OfId<G>(PhantomData<fn(G)>);

impl<G: Key + Ord> KeyedProcess for OfId<G> {
    type Key = u64;
    type In = Seen<G>;
    type Out = (G, Counts);
    type Side = NoSide;
    /// In the order of groups.
    type State = Vec<(G, Ranks)>;

    fn on_record(
        &self,
        (group, _, rank): Seen<G>,
        groups: &mut StateMut<'_, Vec<(G, Ranks)>>,
        cx: &mut Context<'_, Self>,
    ) -> OpResult {
        let place = groups.binary_search_by(|(known, _)| known.cmp(&group));
        let before = place.map_or(Ranks::default(), |at| groups[at].1);
        let Some((part, now)) = added(before, rank) else { return Ok(()) };
        match place {
            Ok(at) => groups[at].1 = now,
            Err(at) => groups.insert(at, (group.clone(), now)),
        }
        cx.emit((group, part));
        Ok(())
    }
}
