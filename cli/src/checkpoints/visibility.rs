//! Whether what a checkpoint lists for its sinks to commit is known to be visible.
//!
//! Pure: from the entries of the manifest log. A later checkpoint lists again what is not known to
//! be committed; one that does not, and goes back to this one, proves the commit.

use std::fmt;

use pelton_dataflow::sink::Committable;
use pelton_state::checkpoint::log::Found;
use pelton_state::checkpoint::manifest::{Entry, Manifest};

/// What the log says of a committable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Visibility {
    /// A later checkpoint no longer lists it.
    Committed {
        /// That checkpoint.
        by: u64,
    },
    /// Nothing later speaks of it.
    Listed,
    /// The job has started from it since, which commits it first.
    Restarted {
        /// The generation that did.
        generation: u64,
    },
    /// The job began again from before it.
    LeftBehind {
        /// The checkpoint that it began from, if not from nothing.
        base: Option<u64>,
    },
}

impl fmt::Display for Visibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Committed { by } => write!(f, "visible: checkpoint {by} no longer lists it"),
            Self::Listed => f.write_str(
                "made visible right after this checkpoint; if the job was killed before, when it next starts",
            ),
            Self::Restarted { generation } => {
                write!(f, "visible, unless generation {generation} failed to start: it commits this first")
            }
            Self::LeftBehind { base: Some(base) } => {
                write!(
                    f,
                    "left behind: the job went back to checkpoint {base}; visible only if it was before"
                )
            }
            Self::LeftBehind { base: None } => {
                f.write_str("left behind: the job began anew; visible only if it was before")
            }
        }
    }
}

/// What `entries` say of the `committable` of `sink` that the checkpoint `sequence` of `generation`
/// lists.
pub(super) fn of(
    sink: &str,
    committable: &Committable,
    (sequence, generation): (u64, u64),
    entries: &[Found],
) -> Visibility {
    // The checkpoints that go back to this one and list it still.
    let mut listing = vec![sequence];
    // The generation that goes on from one of them.
    let mut heir = Some(generation);
    let mut last = Visibility::Listed;
    for found in entries.iter().filter(|found| found.sequence > sequence) {
        match &found.entry {
            Ok(Entry::Takeover(takeover)) => {
                let goes_on = takeover.base.is_some_and(|base| listing.contains(&base));
                heir = goes_on.then_some(takeover.generation);
                last = if goes_on {
                    Visibility::Restarted { generation: takeover.generation }
                } else {
                    Visibility::LeftBehind { base: takeover.base }
                };
            }
            Ok(Entry::Checkpoint(manifest)) if heir == Some(manifest.generation) => {
                if !lists(manifest, sink, committable) {
                    return Visibility::Committed { by: found.sequence };
                }
                listing.push(found.sequence);
            }
            // Of a branch that is not this one's, or damaged.
            _ => {}
        }
    }
    last
}

fn lists(manifest: &Manifest, sink: &str, committable: &Committable) -> bool {
    manifest.committables_of(sink).contains(committable)
}

#[cfg(test)]
mod tests {
    use pelton_dataflow::key::KeyGroups;
    use pelton_dataflow::time::Epoch;
    use pelton_state::checkpoint::manifest::{SinkPart, Takeover};
    use pelton_state::error::StateError;

    use super::*;

    fn committable(epoch: u64) -> Committable {
        Committable { epoch: Epoch(epoch), worker: 0, bytes: vec![1] }
    }

    /// Entries from scripts such as `c1:5,6` (a checkpoint of generation 1 that lists epochs 5 and
    /// 6), `t2<3` (generation 2 begins from entry 3), `t2` (from nothing) and `x` (damaged); the
    /// first has the number 1.
    fn entries(script: &str) -> Vec<Found> {
        let entry = |text: &str| {
            let (kind, rest) = text.split_at(1);
            match kind {
                "c" => {
                    let (generation, epochs) = rest.split_once(':').unwrap();
                    let (generation, groups) = (generation.parse().unwrap(), KeyGroups::default());
                    let mut manifest = Manifest::empty("job", generation, Epoch(9), groups, 1);
                    let epochs = epochs.split(',').filter(|epoch| !epoch.is_empty());
                    let committables = epochs.map(|epoch| committable(epoch.parse().unwrap())).collect();
                    manifest.committables = vec![SinkPart { sink: "alerts".to_owned(), committables }];
                    Ok(Entry::Checkpoint(Box::new(manifest)))
                }
                "t" => {
                    let (generation, base) = rest.split_once('<').map_or((rest, None), |(g, b)| (g, Some(b)));
                    let base = base.map(|base| base.parse().unwrap());
                    let generation = generation.parse().unwrap();
                    Ok(Entry::Takeover(Takeover { job: "job".to_owned(), generation, base, at_ms: 0 }))
                }
                _ => Err(StateError::Damaged { file: "f".to_owned(), problem: "p".to_owned() }),
            }
        };
        let numbered = script.split_whitespace().zip(1..);
        numbered.map(|(text, sequence)| Found { sequence, entry: entry(text) }).collect()
    }

    #[test]
    fn the_log_tells_what_is_visible() {
        use Visibility::{Committed, LeftBehind, Listed, Restarted};
        for (script, told) in [
            ("t1 c1:5", Listed),
            ("t1 c1:5 c1:5,6", Listed),
            ("t1 c1:5 c1:6", Committed { by: 3 }),
            ("t1 c1:5 c1:5,6 c1:6,7", Committed { by: 4 }),
            ("t1 c1:5 t2<2", Restarted { generation: 2 }),
            ("t1 c1:5 t2<2 t3", LeftBehind { base: None }),
            ("t1 c1:5 t2<2 c2:6", Committed { by: 4 }),
            ("t1 c1:5 c1:5,6 t2<3 c2:7", Committed { by: 5 }),
            ("t1 c1:5 t2 c2:", LeftBehind { base: None }),
            ("t1 c1:5 t2 c2: t3<4 c3:", LeftBehind { base: Some(4) }),
            ("t1 c1:5 t2 c2: t3<2 c3:", Committed { by: 6 }),
            ("t1 c1:5 x c1:", Committed { by: 4 }),
            ("t1 c1:5 x c2:", Listed),
        ] {
            assert_eq!(of("alerts", &committable(5), (2, 1), &entries(script)), told, "{script}");
        }
    }
}
