//! The enumerators of a generation, on a thread of their own: they may block, the driver must not.

use std::sync::mpsc::{Receiver, Sender, channel};

use pelton_dataflow::graph::NodeId;

use crate::blocking::enumerators::Enumerators;
use crate::coordinator::Event;
use crate::error::JobError;

/// Has enumerators asked. Its drop lets the thread go after its current call: one that hangs holds
/// nothing that others need.
pub struct Discovery {
    wanted: Sender<NodeId>,
}

impl Discovery {
    /// Starts the thread; answers go to `events`.
    pub fn start(enumerators: Enumerators, events: Sender<Event>) -> Result<Self, JobError> {
        let (wanted, wishes) = channel();
        let name = "pelton-enumerators".to_owned();
        let thread = std::thread::Builder::new().name(name.clone());
        thread
            .spawn(move || run(enumerators, &wishes, &events))
            .map_err(|source| JobError::Thread { name, source })?;
        Ok(Self { wanted })
    }

    /// Has the enumerator of `source` asked.
    pub fn discover(&self, source: NodeId) {
        // The thread ends only when this is dropped.
        let _ = self.wanted.send(source);
    }
}

fn run(mut enumerators: Enumerators, wishes: &Receiver<NodeId>, events: &Sender<Event>) {
    for source in wishes {
        if let Some(event) = enumerators.ask(source)
            && events.send(event).is_err()
        {
            return;
        }
    }
}
