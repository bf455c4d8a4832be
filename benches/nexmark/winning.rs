//! Winning bids: of each auction the best of the bids made while it ran, once it is over. Shared by `q4`, `q6`
//! and `q9`.
//!
//! A bid counts if `starts <= time <= expires`; the highest price wins, the earlier of equal ones. What the
//! public queries update with every better bid is given here once, when event time has passed the end
//! of the auction: what they hold in the end is the same.
//!
//! Auctions and bids come over different channels, so a bid may come before its auction. It waits until
//! event time has passed it: an auction that comes after that begins too late for it.

use pelton::dataflow::record::Data;
use pelton::prelude::{
    CoContext, Deserialize, EventTime, KeyedCoProcess, NoSide, OpResult, Serialize, StateMut, Stream,
};
use std::marker::PhantomData;

/// What is kept of an auction, and of a bid, for the result.
pub trait Columns: Data + Sync + PartialEq {}

impl<C: Data + Sync + PartialEq> Columns for C {}

/// An auction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lot<A> {
    /// Its id.
    pub id: u64,
    /// When it begins.
    pub starts: i64,
    /// The last millisecond in which bids count.
    pub expires: i64,
    /// What the query needs of it.
    pub columns: A,
}

/// A bid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Offer<B> {
    /// The auction that it is for.
    pub auction: u64,
    /// What is offered.
    pub price: u64,
    /// When.
    pub time: i64,
    /// What the query needs of it.
    pub columns: B,
}

/// An auction that is over. Its event time is the first millisecond after it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Closed<A, B> {
    /// The auction.
    pub lot: Lot<A>,
    /// The bid that has won, if there was one.
    pub best: Option<Offer<B>>,
}

/// The auctions that are over, with the bids that have won.
pub fn closed<A: Columns, B: Columns>(
    lots: &Stream<Lot<A>>,
    offers: &Stream<Offer<B>>,
) -> Stream<Closed<A, B>> {
    let offers = offers.key_by(|offer| offer.auction);
    lots.key_by(|lot| lot.id).connect(&offers).process("winning", Winning(PhantomData)).out
}

struct Winning<A, B>(PhantomData<fn(A) -> B>);

/// What is remembered of an auction.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct Running<A, B> {
    lot: Option<Lot<A>>,
    best: Option<Offer<B>>,
    /// Bids without an auction.
    early: Vec<Offer<B>>,
}

impl<A, B> Default for Running<A, B> {
    fn default() -> Self {
        Self { lot: None, best: None, early: Vec::new() }
    }
}

impl<A, B> Running<A, B> {
    /// Whether `offer` counts and is better than what there is: few are, and only those change what is
    /// kept.
    #[inline]
    fn is_beaten_by(&self, offer: &Offer<B>) -> bool {
        let rank = |offer: &Offer<B>| (offer.price, std::cmp::Reverse(offer.time));
        self.lot.as_ref().is_some_and(|lot| (lot.starts..=lot.expires).contains(&offer.time))
            && self.best.as_ref().is_none_or(|best| rank(offer) > rank(best))
    }
}

impl<A: Columns, B: Columns> KeyedCoProcess for Winning<A, B> {
    type Key = u64;
    type First = Lot<A>;
    type Second = Offer<B>;
    type Out = Closed<A, B>;
    type Side = NoSide;
    type State = Running<A, B>;

    fn on_first(
        &self,
        lot: Lot<A>,
        running: &mut StateMut<'_, Running<A, B>>,
        cx: &mut CoContext<'_, Self>,
    ) -> OpResult {
        cx.timer_at(EventTime(lot.expires + 1));
        let running = &mut **running;
        running.lot = Some(lot);
        for offer in std::mem::take(&mut running.early) {
            if running.is_beaten_by(&offer) {
                running.best = Some(offer);
            }
        }
        Ok(())
    }

    fn on_second(
        &self,
        offer: Offer<B>,
        running: &mut StateMut<'_, Running<A, B>>,
        cx: &mut CoContext<'_, Self>,
    ) -> OpResult {
        if running.is_beaten_by(&offer) {
            running.best = Some(offer);
        } else if running.lot.is_none() {
            if running.early.is_empty() {
                cx.timer_at(EventTime(offer.time + 1));
            }
            running.early.push(offer);
        }
        Ok(())
    }

    fn on_timer(
        &self,
        at: EventTime,
        running: &mut StateMut<'_, Running<A, B>>,
        cx: &mut CoContext<'_, Self>,
    ) -> OpResult {
        let is_over = running.lot.as_ref().is_some_and(|lot| lot.expires < at.0);
        if is_over {
            let Running { lot, best, .. } = std::mem::take(&mut **running);
            if let Some(lot) = lot {
                cx.emit(Closed { lot, best });
            }
        } else if running.lot.is_none() {
            let passed = cx.watermark().0;
            running.early.retain(|offer| offer.time >= passed);
            let next = running.early.iter().map(|offer| offer.time + 1).min();
            next.into_iter().for_each(|next| cx.timer_at(EventTime(next)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pelton::testing::Harness;

    /// An auction as (id, starts, expires), or a bid as (auction, price, time).
    #[derive(Clone, Serialize, Deserialize)]
    enum Step {
        Lot(u64, i64, i64),
        Offer(u64, u64, i64),
    }

    fn script() -> Harness<Step> {
        Harness::new(|steps, taps| {
            let lots = steps.flat_map(|step| match step {
                Step::Lot(id, starts, expires) => Some(Lot { id, starts, expires, columns: () }),
                Step::Offer(..) => None,
            });
            let offers = steps.flat_map(|step| match step {
                Step::Offer(auction, price, time) => Some(Offer { auction, price, time, columns: () }),
                Step::Lot(..) => None,
            });
            let shown = closed(&lots, &offers)
                .map(|closed| (closed.lot.id, closed.best.map(|best| (best.price, best.time))));
            taps.tap("closed", &shown);
        })
    }

    #[test]
    fn bids_count_from_the_first_millisecond_to_the_last_whichever_comes_first() {
        let mut script = script();
        // Two bids are there before their auction; one was made before it began.
        script.record(9, Step::Offer(1, 90, 9)).record(10, Step::Offer(1, 50, 10));
        script
            .record(10, Step::Lot(1, 10, 20))
            .record(20, Step::Offer(1, 60, 20))
            .record(21, Step::Offer(1, 99, 21));
        script.watermark(20);
        assert!(script.output().is_empty(), "a bid of its last millisecond may yet come");
        script.watermark(21);
        assert_eq!(script.output(), ["closed@21 (1, Some((60, 20)))"]);
    }

    #[test]
    fn the_earlier_of_equal_bids_wins_and_an_auction_without_bids_closes_too() {
        let mut script = script();
        script.record(1, Step::Lot(1, 1, 9)).record(2, Step::Lot(2, 2, 8));
        script.record(5, Step::Offer(1, 50, 5)).record(4, Step::Offer(1, 50, 4));
        script.barrier().crash().end();
        assert_eq!(script.output(), ["closed@9 (2, None)", "closed@10 (1, Some((50, 4)))"]);
    }
}
