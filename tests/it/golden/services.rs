//! Services outside that are asked about each record. Records in flight fall to other workers after a
//! restart, so between them there is no order.

use std::future::poll_fn;
use std::task::Poll;

use pelton::prelude::*;

use super::drive::{Case, Line};
use super::input::Event;

/// Lets others have their turn so many times.
async fn nap(mut turns: u64) {
    poll_fn(|cx| {
        if turns == 0 {
            return Poll::Ready(());
        }
        turns -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn line(event: &Event, of: &str) -> Line {
    (event.key, format!("{} {of} at {}", event.id, event.at))
}

fn has_answer(event: &Event) -> bool {
    !event.amount.is_multiple_of(9)
}

async fn price(event: Event) -> OpResult<Line> {
    nap(event.amount % 13).await;
    if has_answer(&event) { Ok(line(&event, "priced")) } else { Err("no price".into()) }
}

pub const ASKED: Case = Case {
    covers: &["Stream::async_io"],
    wire: |job, place| {
        let events = place.events(job);
        let priced = events.async_io("prices", Async::unordered(price).capacity(7).failures_aside());
        place.keep("priced", &priced.out);
        place.keep("failed", &priced.failed.map(|failed| line(&failed.record, &failed.reason.to_string())));
        let lookup = Async::lookup(
            |event: &Event| event.key,
            async |key: u64| {
                nap(key).await;
                Ok(key * 3)
            },
            |event, answer| (event.key, format!("{} {answer}", event.id)),
        );
        let looked_up = events.async_io("keys", lookup.keep_order().cache(Duration::from_secs(60), 5));
        // What is on time stays on time behind it.
        let counted =
            looked_up.out.key_by(|(key, _)| *key).window("tens", Tumbling::of(Duration::from_millis(10)));
        place.keep("late", &counted.count().late);
        place.keep("looked up", &looked_up.out);
    },
    check: |place| {
        let events = || Event::all(place.seed);
        place.in_any_order("priced", events().filter(has_answer).map(|event| line(&event, "priced")));
        let failed = events().filter(|event| !has_answer(event));
        place.in_any_order("failed", failed.map(|event| line(&event, "no answer after 1 attempt: no price")));
        place.in_any_order(
            "looked up",
            events().map(|event| (event.key, format!("{} {}", event.id, event.key * 3))),
        );
        place.in_any_order("late", []);
    },
};
