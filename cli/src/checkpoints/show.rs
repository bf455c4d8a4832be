//! `checkpoints show`: what one checkpoint holds.

use std::io::Write;
use std::process::ExitCode;

use pelton_connectors::describe_position;
use pelton_dataflow::time::EventTime;
use pelton_state::checkpoint::log::Found;
use pelton_state::checkpoint::manifest::Manifest;
use pelton_state::checkpoint::store::CheckpointStore;

use super::{Which, duration, entries, find, note, visibility};
use crate::error::Result;
use crate::table::Table;
use crate::units;

/// Writes what the checkpoint `asked` holds.
pub(super) fn show(store: &CheckpointStore, asked: Which, out: &mut impl Write) -> Result<ExitCode> {
    let entries = entries(store)?;
    let (sequence, manifest) = find(store, &entries, asked)?;
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
    show_sinks(sequence, &manifest, &entries, out)?;
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

fn show_sinks(sequence: u64, manifest: &Manifest, entries: &[Found], out: &mut impl Write) -> Result {
    for sink in manifest.committables.iter().filter(|sink| !sink.committables.is_empty()) {
        let number = units::plural(sink.committables.len() as u64, "transaction");
        writeln!(out, "\nsink `{}`: {number} that this checkpoint commits", sink.sink)?;
        let mut table = Table::new(&[">  epoch", ">worker", "state"]);
        for committable in &sink.committables {
            let visibility =
                visibility::of(&sink.sink, committable, (sequence, manifest.generation), entries);
            let (epoch, worker) = (committable.epoch.0, committable.worker);
            table.row([epoch.to_string(), worker.to_string(), visibility.to_string()]);
        }
        write!(out, "{table}")?;
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

/// A position as its source would say it; of a source that is not known, text as it is and other
/// bytes in hex.
fn position(bytes: &[u8]) -> String {
    if let Some(text) = describe_position(bytes) {
        return text;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic()) => text.to_owned(),
        _ => bytes.iter().fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_readable_where_they_are_known() {
        assert_eq!(position(b"\x01\x01\x07\0\0\0\0\0\0\0"), "next is index 7");
        assert_eq!(position(b"offset-12"), "offset-12");
        assert_eq!(position(b"\x09\x01\xff"), "0x0901ff");
        assert_eq!(position(b""), "0x");
    }
}
