//! Keyed state against models: freezes, writes in flight, crashes, and restores at another
//! parallelism, with every backend that is built in; and checkpoints on disks that lie and decay.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod decay;
mod disk;
mod harness;
mod local_store;
mod lying_disk;
mod model;
mod scripts;
mod short_lived;
mod slices;
mod windows;
