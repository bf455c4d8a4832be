//! JSON 1.1 of AWS: blobs are base64, times are seconds with a fraction.

mod read;
mod write;

pub(super) use read::read;
pub(super) use write::{blob, text, write};
