//! The generator as a timely source, which the slowest sink holds back.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use timely::container::NoopBuilder;
use timely::dataflow::operators::generic::operator::source;
use timely::dataflow::{Scope, StreamVec};
use timely::scheduling::Activator;

use super::Run;
use crate::generator::{BLOCK, Blocks, EVENTS_PER_MS, Event, event};

/// Blocks per activation: scheduling no longer shows, and what was made is still in the cache
/// when the next operator takes it.
const BLOCKS_PER_TURN: usize = 4;

/// How far the source runs ahead of the sinks, in milliseconds of event time. Timely has no flow
/// control; without this a worker that the machine has set aside would find gigabytes in its
/// inbox.
const AHEAD_MS: u64 = 64 * BLOCKS_PER_TURN as u64 * BLOCK / EVENTS_PER_MS;

/// How far the sinks are, and the source that waits for them.
#[derive(Clone, Default)]
pub struct Reached(Rc<Shared>);

#[derive(Default)]
struct Shared {
    ms: Cell<u64>,
    source: RefCell<Option<Activator>>,
    held_back: Cell<bool>,
}

impl Reached {
    /// All sinks have reached `ms` milliseconds of event time; the end is `u64::MAX`.
    pub fn advance(&self, ms: u64) {
        if self.0.ms.replace(ms) < ms
            && self.0.held_back.take()
            && let Some(source) = self.0.source.borrow().as_ref()
        {
            source.activate();
        }
    }
}

/// The blocks of this worker, each timely time being milliseconds of event time.
pub fn blocks<'scope>(
    scope: Scope<'scope, u64>,
    run: &Run,
    reached: &Reached,
) -> StreamVec<'scope, u64, Event> {
    let mut blocks = Blocks::new(scope.index(), scope.peers(), run.events).peekable();
    let (keys, reached) = (run.keys, reached.clone());
    source::<_, NoopBuilder<Vec<Event>>, _, _>(scope, "Generator", move |capability, info| {
        let mut capability = Some(capability);
        let activator = scope.activator_for(info.address.clone());
        *reached.0.source.borrow_mut() = Some(scope.activator_for(info.address));
        let mut batch = Vec::new();
        move |output| {
            let Some(held) = capability.as_mut() else { return };
            if *held.time() > reached.0.ms.get().saturating_add(AHEAD_MS) {
                reached.0.held_back.set(true);
                return;
            }
            let mut session = output.session_with_builder(held);
            for block in blocks.by_ref().take(BLOCKS_PER_TURN) {
                batch.clear();
                batch.reserve_exact(BLOCK as usize);
                batch.extend(block.map(|index| event(index, keys)));
                session.give_container(&mut batch);
            }
            drop(session);
            match blocks.peek() {
                Some(next) => {
                    held.downgrade(&(next.start / EVENTS_PER_MS));
                    activator.activate();
                }
                None => capability = None,
            }
        }
    })
}
