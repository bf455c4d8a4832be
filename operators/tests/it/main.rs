//! Operators by script: records, watermarks, barriers, crashes and time in, lines out.

mod process;
mod slices;
mod update;
mod window;
