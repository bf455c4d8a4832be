//! The exchange by key: full batches to each worker, where timely's own sends 8 kB.

use timely::communication::Push;
use timely::dataflow::channels::Message;
use timely::dataflow::channels::pact::DistributorPact;
use timely::dataflow::channels::pushers::exchange::Distributor;
use timely::progress::Stamp;

use super::mix;
use crate::generator::{BLOCK, Event};

/// Sends each record to the worker that its key belongs to.
pub fn by_key() -> DistributorPact<fn(usize) -> ByKey> {
    DistributorPact(|workers| ByKey { lanes: vec![Vec::new(); workers] })
}

/// One batch in the making for each worker.
pub struct ByKey {
    lanes: Vec<Vec<Event>>,
}

impl Distributor<Vec<Event>> for ByKey {
    fn partition<T: Clone, P: Push<Message<T, Vec<Event>>>>(
        &mut self,
        batch: &mut Vec<Event>,
        stamp: &Stamp<T>,
        pushers: &mut [P],
    ) {
        let workers = self.lanes.len() as u64;
        for event in batch.drain(..) {
            // The high bits choose the worker; tables use the others.
            let worker = (((mix(event.key) >> 32) * workers) >> 32) as usize;
            let lane = &mut self.lanes[worker];
            if lane.capacity() == 0 {
                lane.reserve_exact(BLOCK as usize);
            }
            lane.push(event);
            if lane.len() == BLOCK as usize {
                Message::push_at(lane, stamp.clone(), &mut pushers[worker]);
                lane.clear();
            }
        }
    }

    fn flush<T: Clone, P: Push<Message<T, Vec<Event>>>>(&mut self, stamp: &Stamp<T>, pushers: &mut [P]) {
        for (lane, pusher) in self.lanes.iter_mut().zip(pushers) {
            if !lane.is_empty() {
                Message::push_at(lane, stamp.clone(), pusher);
                lane.clear();
            }
        }
    }
}
