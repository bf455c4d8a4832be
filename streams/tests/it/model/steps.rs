//! What is done to a log, and random lists of it.

use proptest::prelude::*;
use proptest::sample::Index;

#[derive(Clone, Debug)]
pub enum Step {
    Append {
        records: u8,
    },
    /// Opens a writer of the family's generation at hand, or of the next one: the others are zombies.
    Open {
        family: usize,
        member: usize,
        takes_over: bool,
    },
    /// Writes a transaction with one of the writers that were ever opened, and prepares it.
    Prepare {
        with: Index,
        records: u8,
    },
    /// Writes one, and throws it away.
    Discard {
        with: Index,
        records: u8,
    },
    Commit {
        with: Index,
        which: Index,
    },
    Abort {
        with: Index,
        which: Index,
    },
    /// Aborts the prepared ones of lower generations, but for those whose bit is set.
    AbortUnlisted {
        with: Index,
        listed: u64,
    },
    Roll,
    Pass {
        ms: u64,
    },
    Retain {
        age_ms: Option<u64>,
        bytes: Option<u64>,
    },
    /// Splits an open shard, at so many 256ths of its hash keys.
    Split {
        which: Index,
        at: u8,
    },
    /// Merges an open shard with the one after it.
    Merge {
        which: Index,
    },
    NewReader {
        shard: Index,
        from: From,
    },
    Read {
        which: Index,
        records: usize,
    },
    Reopen,
}

#[derive(Clone, Copy, Debug)]
pub enum From {
    Oldest,
    Latest,
    At(u64),
    After(u64),
    AtTime(u64),
}

pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    let with = || any::<Index>();
    let from = prop_oneof![
        2 => Just(From::Oldest),
        1 => Just(From::Latest),
        1 => (0..40u64).prop_map(From::At),
        1 => (0..40u64).prop_map(From::After),
        1 => (0..200u64).prop_map(From::AtTime),
    ];
    let step = prop_oneof![
        8 => (1..12u8).prop_map(|records| Step::Append { records }),
        3 => (0..2usize, 0..2usize, prop::bool::weighted(0.4))
            .prop_map(|(family, member, takes_over)| Step::Open { family, member, takes_over }),
        6 => (with(), 1..8u8).prop_map(|(with, records)| Step::Prepare { with, records }),
        1 => (with(), 1..8u8).prop_map(|(with, records)| Step::Discard { with, records }),
        6 => (with(), with()).prop_map(|(with, which)| Step::Commit { with, which }),
        2 => (with(), with()).prop_map(|(with, which)| Step::Abort { with, which }),
        1 => (with(), any::<u64>()).prop_map(|(with, listed)| Step::AbortUnlisted { with, listed }),
        2 => Just(Step::Roll),
        2 => (0..60u64).prop_map(|ms| Step::Pass { ms }),
        1 => (prop::option::of(0..80u64), prop::option::of(1_000..6_000u64))
            .prop_map(|(age_ms, bytes)| Step::Retain { age_ms, bytes }),
        1 => (with(), 1..=255u8).prop_map(|(which, at)| Step::Split { which, at }),
        1 => with().prop_map(|which| Step::Merge { which }),
        2 => (with(), from).prop_map(|(shard, from)| Step::NewReader { shard, from }),
        6 => (with(), 1..9usize).prop_map(|(which, records)| Step::Read { which, records }),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..60)
}
