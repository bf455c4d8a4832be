//! Where a job reads and writes: parts of it that would meet in one place are refused.

use std::path::{Component, Path, PathBuf};

use pelton_dataflow::graph::Graph;

use crate::error::JobError;
use crate::settings::JobSettings;

/// Refuses a sink that writes where a source of the same job reads, for the job would take its own
/// output for input, and connectors that use the directories of the job itself.
pub fn check(graph: &Graph, settings: &JobSettings) -> Result<(), JobError> {
    let mut used: Vec<(String, PathBuf)> = Vec::new();
    let mut problems = Vec::new();
    for (node, source) in graph.sources() {
        let locations = source.locations().into_iter();
        used.extend(locations.map(|path| (format!("source `{}` reads", node.name), absolute(&path))));
    }
    for (node, sink) in graph.sinks() {
        let Some(path) = sink.location().map(|path| absolute(&path)) else { continue };
        let writes = format!("sink `{}` writes to", node.name);
        for (reads, read) in used.iter().filter(|(uses, _)| uses.starts_with("source")) {
            if path.starts_with(read) {
                let place = path.display();
                problems
                    .push(format!("{reads} what {writes}, `{place}`: give the output a place of its own"));
            }
        }
        used.push((writes, path));
    }
    for (name, own) in [
        ("state_dir", absolute(&settings.state_dir)),
        ("checkpoint_dir", absolute(Path::new(&settings.checkpoint_dir))),
    ] {
        for (uses, _) in used.iter().filter(|(_, path)| *path == own) {
            let place = own.display();
            problems.push(format!("`{name}` is what {uses}, `{place}`: give it a directory of its own"));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(JobError::Settings { problems }) }
}

/// `path` from the root, without `.` and `..`: by its name alone, for it may not exist yet.
fn absolute(path: &Path) -> PathBuf {
    let from_root = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut plain = PathBuf::new();
    for part in from_root.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_has_one_name() {
        assert_eq!(absolute(Path::new("/a/./b/../c/")), Path::new("/a/c"));
        assert_eq!(absolute(Path::new("a")), std::env::current_dir().unwrap().join("a"));
    }
}
