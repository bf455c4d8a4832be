//! What goes wrong next: armed by the world just before a call, taken by the store, the sink or the
//! enumerator that the call comes to.

use std::sync::{Arc, Mutex};

/// Where a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done.
    Before,
    /// A part of it is done, where it has parts.
    Half,
    /// All is done, and the answer gets lost.
    After,
}

/// What a call may come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Put,
    Delete,
    Commit,
    Recover,
    Enumerate,
}

/// The fault that is armed, if one is. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Option<(Call, Fault)>>>);

impl Faults {
    pub fn arm(&self, call: Call, fault: Fault) {
        *self.0.lock().unwrap() = Some((call, fault));
    }

    pub fn disarm(&self) {
        *self.0.lock().unwrap() = None;
    }

    /// The fault of `call`, which strikes once.
    pub fn take(&self, call: Call) -> Option<Fault> {
        let mut armed = self.0.lock().unwrap();
        let (_, fault) = (*armed).filter(|(armed, _)| *armed == call)?;
        *armed = None;
        Some(fault)
    }
}
