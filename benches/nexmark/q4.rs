//! q4, average price per category: of the winning bids of all auctions that are over, the average price
//! in each category.
//!
//! Each auction that ends gives a row, and the last row of a category is its result. Averages are
//! whole numbers, rounded down, as those of SQL's integers are.

use pelton::prelude::{Deserialize, Serialize, Stream};

use crate::model::{Event, Views};
use crate::results::Row;
use crate::winning::{Lot, Offer, closed};

/// The average of a category so far.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Average {
    id: u64,
    r#final: u64,
}

impl Row for Average {
    fn replaces(&self) -> Option<String> {
        Some(self.id.to_string())
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Sales {
    sum: u64,
    count: u64,
}

/// The query.
pub fn query(events: &Stream<Event>) -> Stream<Average> {
    let lots = events.auctions(|auction| {
        let (starts, expires) = (auction.date_time, auction.expires);
        Some(Lot { id: auction.id, starts, expires, columns: auction.category })
    });
    let offers = events
        .bids(|bid| Some(Offer { auction: bid.auction, price: bid.price, time: bid.date_time, columns: () }));
    let prices =
        closed(&lots, &offers).flat_map(|closed| closed.best.map(|best| (closed.lot.columns, best.price)));
    let sales = prices.key_by(|(category, _)| *category).fold("average", |sales: &mut Sales, (_, price)| {
        sales.sum += price;
        sales.count += 1;
    });
    sales.map(|(id, sales)| Average { id, r#final: sales.sum / sales.count })
}
