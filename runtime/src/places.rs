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
        used.extend(locations.map(|path| (format!("source `{}` reads", node.name), place(&path))));
    }
    for (node, sink) in graph.sinks() {
        let Some(path) = sink.location().map(|path| place(&path)) else { continue };
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
    for (name, _, own) in settings.directories() {
        for (uses, _) in used.iter().filter(|(_, path)| *path == own) {
            let place = own.display();
            problems.push(format!("`{name}` is what {uses}, `{place}`: give it a directory of its own"));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(JobError::Settings { problems }) }
}

/// The place that `path` stands for: absolute, without `..`, and through symbolic links as far as it
/// is there.
pub fn place(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let there = absolute.ancestors().find_map(|part| Some((part, part.canonicalize().ok()?)));
    let Some((part, mut place)) = there else { return absolute };
    let missing = absolute.strip_prefix(part).unwrap_or(Path::new(""));
    for component in missing.components() {
        match component {
            Component::ParentDir => {
                place.pop();
            }
            other => place.push(other),
        }
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_has_one_name() {
        assert_eq!(place(Path::new("/a/./b/../c/")), Path::new("/a/c"));
        assert_eq!(place(Path::new("a")), std::env::current_dir().unwrap().canonicalize().unwrap().join("a"));
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("there")).unwrap();
        std::os::unix::fs::symlink(root.join("there"), root.join("link")).unwrap();
        assert_eq!(place(&root.join("link/a/b")), root.join("there/a/b"));
    }
}
