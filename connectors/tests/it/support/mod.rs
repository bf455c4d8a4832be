//! Drives sources and sinks by their contracts, and checks what every one of them promises.

mod reading;
mod writing;

pub use reading::{Reading, check_resume, drain, messages, open, read_all, splits};
pub use writing::{Run, check_script};
