//! q6, average selling price by seller: with each auction won, the average price of it and of the ten
//! that the seller sold before it.
//!
//! "Before" is by the time of the winning bid, as in the public query, whose frame is `10 PRECEDING AND CURRENT
//! ROW`. Auctions end in another order than their winning bids were made in, so an auction won waits
//! until no auction of the seller runs any more that could yet be won by an earlier bid. Each auction
//! won gives one row then, which stays. Averages are rounded down.

use std::collections::VecDeque;

use pelton::prelude::{
    CoContext, Deserialize, EventTime, KeyedCoProcess, NoSide, OpResult, Serialize, StateMut, Stream,
};

use crate::model::{Event, Views};
use crate::results::Row;
use crate::winning::{Lot, Offer, closed};

/// The average price of a seller at a sale.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Average {
    seller: u64,
    avg_price: u64,
}

impl Row for Average {}

/// Sales in an average: ten, and the one at hand.
const SALES: usize = 11;

/// The query.
pub fn query(events: &Stream<Event>) -> Stream<Average> {
    let opened = events.auctions(|auction| Some((auction.seller, (auction.date_time, auction.id))));
    let lots = events.auctions(|auction| {
        let (starts, expires) = (auction.date_time, auction.expires);
        Some(Lot { id: auction.id, starts, expires, columns: auction.seller })
    });
    let offers = events
        .bids(|bid| Some(Offer { auction: bid.auction, price: bid.price, time: bid.date_time, columns: () }));
    let ended = closed(&lots, &offers).map(|closed| Ended {
        seller: closed.lot.columns,
        opened: (closed.lot.starts, closed.lot.id),
        sold: closed.best.map(|best| Sale { time: best.time, auction: best.auction, price: best.price }),
    });
    let ended = ended.key_by(|ended| ended.seller);
    opened.key_by(|(seller, _)| *seller).connect(&ended).process("last-sales", LastSales).out
}

/// When an auction began, and its id.
type Opened = (i64, u64);

/// An auction is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Ended {
    seller: u64,
    opened: Opened,
    sold: Option<Sale>,
}

/// An auction was won; sales are in the order of the bids.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Sale {
    time: i64,
    auction: u64,
    price: u64,
}

/// What is remembered of a seller.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Seller {
    /// Auctions that are not known to be over.
    running: Vec<Opened>,
    /// Auctions that are over.
    ended: Vec<Opened>,
    /// Sales that an earlier one may yet come before.
    waiting: Vec<Sale>,
    /// The prices of the last sales, at most as many as are in an average.
    last: VecDeque<u64>,
}

struct LastSales;

impl KeyedCoProcess for LastSales {
    type Key = u64;
    type First = (u64, Opened);
    type Second = Ended;
    type Out = Average;
    type Side = NoSide;
    type State = Seller;

    fn on_first(
        &self,
        (_, opened): (u64, Opened),
        seller: &mut StateMut<'_, Seller>,
        _cx: &mut CoContext<'_, Self>,
    ) -> OpResult {
        seller.running.push(opened);
        Ok(())
    }

    fn on_second(
        &self,
        ended: Ended,
        seller: &mut StateMut<'_, Seller>,
        cx: &mut CoContext<'_, Self>,
    ) -> OpResult {
        seller.ended.push(ended.opened);
        seller.waiting.extend(ended.sold);
        // All that happened before is known then, whichever input it comes by.
        cx.timer_at(EventTime(cx.time().0 + 1));
        Ok(())
    }

    fn on_timer(
        &self,
        at: EventTime,
        seller: &mut StateMut<'_, Seller>,
        cx: &mut CoContext<'_, Self>,
    ) -> OpResult {
        let Seller { running, ended, waiting, last } = &mut **seller;
        running.retain(|opened| !ended.contains(opened));
        ended.clear();
        // Auctions that are yet to come begin at `at` or later.
        let settled = running.iter().map(|(starts, _)| *starts).fold(at.0, i64::min);
        waiting.sort();
        for sale in waiting.drain(..waiting.partition_point(|sale| sale.time < settled)) {
            last.push_back(sale.price);
            if last.len() > SALES {
                last.pop_front();
            }
            let avg_price = last.iter().sum::<u64>() / last.len() as u64;
            cx.emit(Average { seller: *cx.key(), avg_price });
        }
        Ok(())
    }
}
