//! CBOR 1.1 of AWS (RFC 8949): blobs are byte strings, times have tag 1 and are whole milliseconds, as AWS's
//! SDK for Java writes and reads them.

mod read;
mod write;

pub(super) use read::read;
pub(super) use write::{head, string, write};

pub(super) const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
pub(super) const BYTES: u8 = 2;
pub(super) const TEXT: u8 = 3;
pub(super) const ARRAY: u8 = 4;
pub(super) const MAP: u8 = 5;
pub(super) const TAG: u8 = 6;
pub(super) const SIMPLE: u8 = 7;

const FALSE: u8 = 20;
const TRUE: u8 = 21;
pub(super) const NULL: u8 = 22;
const UNDEFINED: u8 = 23;

/// Of a time since the Unix epoch.
const TIME_TAG: u8 = 1;

/// Ends what has no length of its own.
pub(super) const BREAK: u8 = 0xff;
