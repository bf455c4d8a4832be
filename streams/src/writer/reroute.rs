//! Records whose shard was closed after their batch was made, or their transaction staged: they go to the
//! shards that are open now, in the order in which they came. Batches are made against the shards of their
//! time, so the engine looks at each frame before it writes it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use crate::batch::{EncodedFrame, RecordOrder, encoded};
use crate::format::frame::FRAME_HEADER;
use crate::format::record;
use crate::hash::Router;
use crate::types::ShardId;

/// Where a frame that is made here ends, if more follows.
const FRAME_BYTES: usize = 1 << 20;

/// The frames and the order of a batch as they are for the shards of `router`.
pub(crate) fn reroute(
    frames: Vec<EncodedFrame>,
    order: &RecordOrder,
    router: &Arc<Router>,
) -> (Vec<EncodedFrame>, RecordOrder) {
    let (mut kept, closed): (Vec<_>, Vec<_>) =
        frames.into_iter().partition(|frame| router.slot_of_shard(frame.shard).is_some());
    let mut payloads: HashMap<ShardId, VecDeque<&[u8]>> = HashMap::new();
    for frame in &closed {
        let payload = &frame.bytes[FRAME_HEADER..FRAME_HEADER + frame.payload_len as usize];
        payloads.entry(frame.shard).or_default().push_back(payload);
    }
    // In the order in which they were pushed: two shards may have been merged into one.
    let mut dealer = Dealer::new(router);
    let slots = order.slots.iter().map(|&slot| {
        let shard = order.router.shard(slot as usize);
        match router.slot_of_shard(shard) {
            Some(slot) => slot as u32,
            None => dealer.take_next(payloads.entry(shard).or_default()),
        }
    });
    let slots = slots.collect();
    kept.extend(dealer.finish());
    (kept, RecordOrder { router: router.clone(), slots })
}

/// The frames that the records of `payloads`, taken one after the other, make for the shards of `router`.
pub(crate) fn deal<'a>(payloads: impl IntoIterator<Item = &'a [u8]>, router: &Router) -> Vec<EncodedFrame> {
    let mut dealer = Dealer::new(router);
    for payload in payloads {
        let mut rest = VecDeque::from([payload]);
        while !rest.is_empty() {
            dealer.take_next(&mut rest);
        }
    }
    dealer.finish()
}

/// Deals records out to open shards.
struct Dealer<'r> {
    router: &'r Router,
    /// By slot: the records of the frame that is being filled, with room for its header.
    open: BTreeMap<usize, (u32, Vec<u8>)>,
    full: Vec<EncodedFrame>,
}

impl<'r> Dealer<'r> {
    fn new(router: &'r Router) -> Self {
        Self { router, open: BTreeMap::new(), full: Vec::new() }
    }

    /// Takes the first record of `payloads`, none of which is empty; gives the slot that it goes to.
    fn take_next(&mut self, payloads: &mut VecDeque<&[u8]>) -> u32 {
        let payload = payloads.front_mut().expect("a batch holds each record of its order");
        let raw = record::decode(payload).expect("a payload was made here, or checked when it was read");
        let slot = self.router.slot(raw.routed_by());
        let (record, rest) = payload.split_at(raw.len);
        let (records, bytes) = self.open.entry(slot).or_insert_with(|| (0, vec![0; FRAME_HEADER]));
        bytes.extend_from_slice(record);
        *records += 1;
        if bytes.len() >= FRAME_BYTES {
            let (records, bytes) = self.open.remove(&slot).expect("it is being filled");
            self.full.push(encoded(self.router.shard(slot), records, bytes));
        }
        *payload = rest;
        if rest.is_empty() {
            payloads.pop_front();
        }
        slot as u32
    }

    fn finish(mut self) -> Vec<EncodedFrame> {
        let router = self.router;
        let last =
            self.open.into_iter().map(|(slot, (records, bytes))| encoded(router.shard(slot), records, bytes));
        self.full.extend(last);
        self.full
    }
}
