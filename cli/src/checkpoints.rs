//! `checkpoints list|show|verify`: what lies in a checkpoint store.
//!
//! Reads only. What entries say is for `pelton_state::checkpoint`.

use std::collections::HashMap;
use std::io::Write;
use std::process::ExitCode;

use clap::Subcommand;
use pelton_dataflow::time::EventTime;
use pelton_state::checkpoint::log::{self, Found};
use pelton_state::checkpoint::manifest::{Entry, Manifest};
use pelton_state::checkpoint::store::CheckpointStore;
use pelton_state::error::StateError;
use pelton_state::files::StoredFile;

use crate::error::{Error, Remedy, Result};
use crate::table::Table;
use crate::units;

/// What is asked of the checkpoints.
#[derive(Debug, Subcommand)]
pub(crate) enum CheckpointsCommand {
    /// List all checkpoints, and where the job was taken over
    List,
    /// Show what a checkpoint holds: sources, operators, state, what sinks have yet to commit
    Show {
        /// Its number [default: the newest]
        checkpoint: Option<u64>,
    },
    /// Read every file of the checkpoints and compare it with its checksum
    Verify {
        /// Their numbers [default: all]
        checkpoints: Vec<u64>,
    },
}

impl CheckpointsCommand {
    /// Does it, with the checkpoints in `directory`.
    pub fn execute(&self, directory: &str) -> Result<ExitCode> {
        let store = open(directory)?;
        let mut out = std::io::stdout().lock();
        match self {
            Self::List => list(&store, &mut out),
            Self::Show { checkpoint } => show(&store, *checkpoint, &mut out),
            Self::Verify { checkpoints } => verify(&store, checkpoints, &mut out),
        }
    }
}

/// Opening a store makes its directory, which looking at it must not.
fn open(directory: &str) -> Result<CheckpointStore> {
    let path = directory.strip_prefix("file://").unwrap_or(directory);
    if !path.contains("://") && !std::path::Path::new(path).is_dir() {
        return Err(Error::configuration(format!(
            "there is no checkpoint directory {path}: check the path, or run the job first (it is given by --checkpoint-dir)"
        )));
    }
    Ok(CheckpointStore::open(directory)?)
}

fn list(store: &CheckpointStore, out: &mut impl Write) -> Result<ExitCode> {
    let entries = log::entries(store)?;
    if entries.is_empty() {
        writeln!(out, "there are no checkpoints in {}", store.location())?;
        return Ok(ExitCode::SUCCESS);
    }
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
            let from = takeover.base.map_or("nothing".to_owned(), |base| format!("checkpoint {base}"));
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
                format!("(no checkpoint: the job began here, from {from})"),
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

fn show(store: &CheckpointStore, asked: Option<u64>, out: &mut impl Write) -> Result<ExitCode> {
    let (sequence, manifest) = find(store, asked)?;
    writeln!(out, "checkpoint {sequence} of job `{}`", manifest.job)?;
    writeln!(out, "  completed    {}, took {}", units::time(manifest.completed_ms), duration(&manifest))?;
    writeln!(out, "  generation   {}, epoch {}", manifest.generation, manifest.epoch.0)?;
    writeln!(
        out,
        "  taken by     {}, {} key groups",
        units::plural(manifest.workers as u64, "worker"),
        manifest.groups.count()
    )?;
    writeln!(
        out,
        "  files        {}, {} ({} new)",
        units::count(manifest.files().count() as u64),
        units::bytes(manifest.total_bytes()),
        units::bytes(manifest.new_bytes())
    )?;
    if !note(&manifest).is_empty() {
        writeln!(out, "  note         {}", note(&manifest))?;
    }
    show_sources(&manifest, out)?;
    show_operators(&manifest, out)?;
    show_sinks(&manifest, out)?;
    Ok(ExitCode::SUCCESS)
}

fn show_sources(manifest: &Manifest, out: &mut impl Write) -> Result {
    for source in &manifest.sources {
        let complete = if source.complete { ", no more will be found" } else { "" };
        let splits = units::plural(source.splits.len() as u64, "split");
        writeln!(out, "\nsource `{}`: {splits}{complete}", source.source)?;
        let mut table = Table::new(&["  split", "status", "latest event", "position"]);
        for split in &source.splits {
            let state = &split.state;
            let status = match (split.assigned, split.finished_in) {
                (_, Some(epoch)) => format!("finished in epoch {}", epoch.0),
                (true, None) => format!("{:?}", state.status).to_lowercase(),
                (false, None) => "waits for its parents".to_owned(),
            };
            let position = state.position.as_deref().map_or_else(|| "at its start".to_owned(), position);
            table.row([format!("  {}", state.info.id), status, watermark(state.max_time), position]);
        }
        write!(out, "{table}")?;
    }
    Ok(())
}

fn show_operators(manifest: &Manifest, out: &mut impl Write) -> Result {
    let mut operators: Vec<&str> = Vec::new();
    for part in &manifest.operators {
        if !operators.contains(&part.operator.as_str()) {
            operators.push(&part.operator);
        }
    }
    if !operators.is_empty() {
        let mut table = Table::new(&["operator", ">watermark", ">bytes besides keyed state"]);
        for operator in operators {
            let parts = || manifest.operators.iter().filter(|part| part.operator == operator);
            let least = parts().map(|part| part.watermark).min();
            let bytes = parts().map(|part| part.bytes.len() as u64).sum();
            table.row([operator.to_owned(), least.map_or_else(String::new, watermark), units::bytes(bytes)]);
        }
        write!(out, "\n{table}")?;
    }
    let mut table = Table::new(&["keyed state of", "state", "kind", ">version", "type", "note"]);
    let mut is_empty = true;
    for (operator, entry) in manifest.names.operators() {
        for (name, state) in &entry.states {
            is_empty = false;
            let note = if state.live { "" } else { "no longer in the job" };
            table.row([
                operator.to_owned(),
                name.clone(),
                state.kind.clone(),
                state.version.to_string(),
                state.type_name.clone(),
                note.to_owned(),
            ]);
        }
    }
    if !is_empty {
        write!(out, "\n{table}")?;
    }
    Ok(())
}

fn show_sinks(manifest: &Manifest, out: &mut impl Write) -> Result {
    for sink in manifest.committables.iter().filter(|sink| !sink.committables.is_empty()) {
        let number = units::plural(sink.committables.len() as u64, "transaction");
        writeln!(
            out,
            "\nsink `{}`: {number} to commit when the job starts from here, unless they have been",
            sink.sink
        )?;
    }
    Ok(())
}

fn watermark(watermark: EventTime) -> String {
    match watermark {
        EventTime::MIN => "none yet".to_owned(),
        EventTime::END => "end".to_owned(),
        EventTime(ms) => units::time(ms),
    }
}

/// Positions are in their sources' own formats: text is shown as it is, other bytes as they are.
fn position(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic()) => text.to_owned(),
        _ => bytes.iter().fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}")),
    }
}

/// The checkpoint `asked`, or the newest that can be read.
fn find(store: &CheckpointStore, asked: Option<u64>) -> Result<(u64, Manifest)> {
    let entries = log::entries(store)?;
    let mut known = Vec::new();
    let mut newest = None;
    for found in entries {
        match found.entry {
            Ok(Entry::Checkpoint(manifest)) => {
                known.push(found.sequence.to_string());
                newest = Some((found.sequence, *manifest));
            }
            Err(problem) if asked == Some(found.sequence) => return Err(problem.into()),
            _ => {}
        }
        if asked.is_some() && newest.as_ref().map(|(sequence, _)| *sequence) == asked {
            break;
        }
    }
    match (asked, newest) {
        (Some(asked), Some((sequence, manifest))) if asked == sequence => Ok((sequence, manifest)),
        (None, Some(newest)) => Ok(newest),
        (Some(sequence), _) => {
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let location = store.location().to_owned();
            Err(StateError::NoSuchCheckpoint { sequence, location, known }.into())
        }
        (None, None) => {
            Err(Error::configuration(format!("there are no checkpoints in {}", store.location())))
        }
    }
}

fn verify(store: &CheckpointStore, asked: &[u64], out: &mut impl Write) -> Result<ExitCode> {
    for sequence in asked {
        find(store, Some(*sequence))?;
    }
    let (mut checked, mut bytes, mut problems) = (0, 0, 0);
    // Checkpoints share files: each is read once.
    let mut good: HashMap<String, StoredFile> = HashMap::new();
    for found in log::entries(store)? {
        if !asked.is_empty() && !asked.contains(&found.sequence) {
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
    if problems > 0 {
        writeln!(out, "{read}: {}", units::plural(problems, "problem"))?;
        return Ok(Remedy::CorruptData.exit_code());
    }
    writeln!(out, "{read}: all is well")?;
    Ok(ExitCode::SUCCESS)
}
