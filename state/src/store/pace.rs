//! How a worker that outruns its writer is slowed down: by degrees.
//!
//! A worker that ran on until [`MAX_FROZEN`] layers wait, and stood still until one of them is written,
//! would be silent for as long as that takes: a second where millions of keys change in each epoch. So it
//! takes no input for a part of each few milliseconds, and the part grows with what waits. One layer before
//! the writer is what every barrier leaves, and costs nothing.

use super::MAX_FROZEN;
use super::writer::PARTS_OF_A_LAYER;

/// A worker's time is divided into stretches of this many nanoseconds; it waits at the beginning of each.
const STRETCH_NS: u64 = 8_000_000;

/// With so much before the writer, in parts of a layer, the worker is not slowed down yet.
const FREE: usize = PARTS_OF_A_LAYER;

/// With so much it has to wait for all but the last [`PARTS`]th of its time.
const FULL: usize = 5 * PARTS_OF_A_LAYER / 2;

const PARTS: u64 = 16;

/// Whether a worker with `backlog` parts of layers before its writer takes no input at this moment, which is one
/// of the monotonic clock.
pub(super) fn is_time_to_wait(backlog: usize, now_ns: u64) -> bool {
    if backlog >= MAX_FROZEN * PARTS_OF_A_LAYER {
        return true;
    }
    let over = backlog.saturating_sub(FREE).min(FULL - FREE) as u64;
    let longest_ns = STRETCH_NS - STRETCH_NS / PARTS;
    now_ns % STRETCH_NS < longest_ns * over / (FULL - FREE) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How much of its time a worker waits, in percent.
    fn percent(backlog: usize) -> usize {
        (0..100).filter(|nth| is_time_to_wait(backlog, STRETCH_NS * 7 + STRETCH_NS * nth / 100)).count()
    }

    #[test]
    fn the_more_waits_the_longer_a_worker_does() {
        let tenths = |tenths: usize| tenths * PARTS_OF_A_LAYER / 10;
        assert_eq!([0, 5, 10].map(tenths).map(percent), [0; 3]);
        let growing = [11, 15, 20, 25].map(tenths).map(percent);
        assert_eq!(growing, [7, 32, 63, 94]);
        assert_eq!(percent(tenths(29)), 94, "it goes on, if slowly, until three whole layers wait");
        assert_eq!(percent(tenths(30)), 100);
    }
}
