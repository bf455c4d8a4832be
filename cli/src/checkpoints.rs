//! `checkpoints list|show|verify`: what lies in a checkpoint store.
//!
//! Reads only. What one checkpoint holds is told in `show`, with `visibility` for what its sinks have
//! committed. What entries say is for `pelton_state::checkpoint`.

mod show;
mod visibility;

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;

use clap::Subcommand;
use pelton_state::checkpoint::log::{self, Found};
use pelton_state::checkpoint::manifest::{Entry, Manifest, Takeover};
use pelton_state::checkpoint::store::CheckpointStore;
use pelton_state::error::StateError;
use pelton_state::files::StoredFile;

use crate::error::{Error, Remedy, Result};
use crate::table::Table;
use crate::units;

/// What is asked of the checkpoints.
#[derive(Debug, Subcommand)]
pub(crate) enum CheckpointsCommand {
    /// List all checkpoints, and where a start took the job over
    ///
    /// Each start, by hand or after a failure, takes the job over: a new generation goes on from a
    /// checkpoint, and the one before it, if it still runs somewhere, can add nothing more.
    List,
    /// Show what a checkpoint holds: sources, operators, state, what sinks have yet to commit
    Show {
        /// Its number, or `latest`
        #[arg(default_value = "latest")]
        checkpoint: Which,
    },
    /// Read every file of the checkpoints and compare it with its checksum
    Verify {
        /// Their numbers, or `latest` [default: all]
        checkpoints: Vec<Which>,
    },
}

/// A checkpoint, as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Latest,
    Number(u64),
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "latest" => Ok(Self::Latest),
            number => number.parse().map(Self::Number).map_err(|_| {
                "write the number of a checkpoint, as `checkpoints list` shows it, or `latest`".to_owned()
            }),
        }
    }
}

impl CheckpointsCommand {
    /// Does it, with the checkpoints in `directory`.
    pub fn execute(&self, directory: &str) -> Result<ExitCode> {
        let store = open(directory)?;
        let mut out = std::io::stdout().lock();
        match self {
            Self::List => list(&store, &mut out),
            Self::Show { checkpoint } => show::show(&store, *checkpoint, &mut out),
            Self::Verify { checkpoints } => verify(&store, checkpoints, &mut out),
        }
    }
}

/// Opening a store makes its directory, which looking at it must not.
fn open(directory: &str) -> Result<CheckpointStore> {
    let path = directory.strip_prefix("file://").unwrap_or(directory);
    let local = Path::new(path);
    if !path.contains("://") && !local.is_dir() {
        return Err(Error::configuration(match local.ancestors().find(|part| part.is_file()) {
            Some(file) => format!(
                "{} is a file, where a checkpoint directory is expected; check the path (--checkpoint-dir)",
                file.display()
            ),
            None => format!(
                "the checkpoint directory {path} does not exist; check the path (--checkpoint-dir), or run the job first"
            ),
        }));
    }
    Ok(CheckpointStore::open(directory)?)
}

/// What the store holds, which is something: else it is not where the job has its checkpoints.
fn entries(store: &CheckpointStore) -> Result<Vec<Found>> {
    let entries = log::entries(store)?;
    if entries.is_empty() {
        return Err(Error::configuration(format!(
            "the checkpoint directory {} holds no checkpoints; check the path (--checkpoint-dir), or run the job first",
            store.location()
        )));
    }
    Ok(entries)
}

fn list(store: &CheckpointStore, out: &mut impl Write) -> Result<ExitCode> {
    let entries = entries(store)?;
    let mut table = Table::new(&[
        ">checkpoint",
        ">generation",
        ">epoch",
        "completed",
        ">took",
        ">size",
        ">new",
        ">workers",
        "note",
    ]);
    for found in &entries {
        table.row(row(found));
    }
    write!(out, "{table}")?;
    Ok(ExitCode::SUCCESS)
}

fn row(found: &Found) -> Vec<String> {
    let sequence = found.sequence.to_string();
    match &found.entry {
        Ok(Entry::Checkpoint(manifest)) => vec![
            sequence,
            manifest.generation.to_string(),
            manifest.epoch.0.to_string(),
            units::time(manifest.completed_ms),
            duration(manifest),
            units::bytes(manifest.total_bytes()),
            units::bytes(manifest.new_bytes()),
            manifest.workers.to_string(),
            note(manifest).to_owned(),
        ],
        Ok(Entry::Takeover(takeover)) => {
            let empty = String::new;
            vec![
                sequence,
                takeover.generation.to_string(),
                empty(),
                units::time(takeover.at_ms),
                empty(),
                empty(),
                empty(),
                empty(),
                began(takeover),
            ]
        }
        Err(problem) => {
            let mut cells = vec![sequence];
            cells.resize(8, String::new());
            cells.push(format!("damaged: {problem}"));
            cells
        }
    }
}

/// What an entry without a checkpoint says.
fn began(takeover: &Takeover) -> String {
    match (takeover.generation, takeover.base) {
        (1, None) => "(no checkpoint: the job began here)".to_owned(),
        (_, None) => "(no checkpoint: a start took the job over, from nothing)".to_owned(),
        (_, Some(base)) => format!("(no checkpoint: a start took the job over, from checkpoint {base})"),
    }
}

fn note(manifest: &Manifest) -> &'static str {
    match (manifest.is_final, manifest.savepoint) {
        (true, _) => "final: the input has ended",
        (false, true) => "savepoint",
        (false, false) => "",
    }
}

fn duration(manifest: &Manifest) -> String {
    units::millis(u64::try_from(manifest.completed_ms - manifest.started_ms).unwrap_or(0))
}

/// The checkpoint `asked` among `entries`; the latest is the newest that can be read.
fn find(store: &CheckpointStore, entries: &[Found], asked: Which) -> Result<(u64, Manifest)> {
    let mut known = Vec::new();
    let mut newest = None;
    for found in entries {
        match &found.entry {
            Ok(Entry::Checkpoint(manifest)) if asked == Which::Number(found.sequence) => {
                return Ok((found.sequence, (**manifest).clone()));
            }
            Ok(Entry::Checkpoint(manifest)) => {
                known.push(found.sequence.to_string());
                newest = Some((found.sequence, manifest));
            }
            Err(_) if asked == Which::Number(found.sequence) => {
                // Once more, for the error itself.
                log::read(store, found.sequence)?;
            }
            Ok(Entry::Takeover(_)) | Err(_) => {}
        }
    }
    match (asked, newest) {
        (Which::Latest, Some((sequence, manifest))) => Ok((sequence, (**manifest).clone())),
        (Which::Latest, None) => Err(none_yet(store)),
        (Which::Number(sequence), _) => {
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let location = store.location().to_owned();
            Err(StateError::NoSuchCheckpoint { sequence, location, known }.into())
        }
    }
}

fn none_yet(store: &CheckpointStore) -> Error {
    Error::configuration(format!(
        "the job has begun in {}, and has completed no checkpoint yet; let it run on",
        store.location()
    ))
}

fn verify(store: &CheckpointStore, asked: &[Which], out: &mut impl Write) -> Result<ExitCode> {
    let entries = entries(store)?;
    let mut chosen = Vec::new();
    for which in asked {
        chosen.push(find(store, &entries, *which)?.0);
    }
    let (mut checked, mut bytes, mut problems) = (0, 0, 0);
    // Checkpoints share files: each is read once.
    let mut good: HashMap<String, StoredFile> = HashMap::new();
    for found in entries {
        if !chosen.is_empty() && !chosen.contains(&found.sequence) {
            continue;
        }
        let manifest = match found.entry {
            Ok(Entry::Checkpoint(manifest)) => manifest,
            Ok(Entry::Takeover(_)) => continue,
            Err(problem) => {
                problems += 1;
                writeln!(out, "checkpoint {}: {problem}", found.sequence)?;
                continue;
            }
        };
        checked += 1;
        for file in manifest.files() {
            if good.get(&file.path) == Some(file) {
                continue;
            }
            match store.read(file) {
                Ok(_) => {
                    bytes += file.length;
                    good.insert(file.path.clone(), file.clone());
                }
                Err(problem) => {
                    problems += 1;
                    writeln!(out, "checkpoint {}: {problem}", found.sequence)?;
                }
            }
        }
    }
    let read = format!(
        "read {} with {} ({})",
        units::plural(checked, "checkpoint"),
        units::plural(good.len() as u64, "file"),
        units::bytes(bytes)
    );
    if checked == 0 && problems == 0 {
        return Err(none_yet(store));
    }
    if problems > 0 {
        writeln!(out, "{read}: {}", units::plural(problems, "problem"))?;
        return Ok(Remedy::CorruptData.exit_code());
    }
    writeln!(out, "{read}: all is well")?;
    Ok(ExitCode::SUCCESS)
}
