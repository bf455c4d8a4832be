//! Which files the paths of a source stand for.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Most files of one source: each is a split, and a split is a line in every checkpoint.
pub(crate) const MAX_FILES: usize = 100_000;

/// All files at or below `paths`, sorted within each path, each once.
pub(super) fn list(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        let metadata = fs::metadata(path).map_err(|source| explain("read", path, source))?;
        if metadata.is_dir() {
            list_directory(path, &mut files)?;
        } else {
            files.push(path.clone());
        }
    }
    for file in &files {
        if file.to_str().is_none() {
            return Err(Error::PathNotUtf8 { path: file.clone() });
        }
    }
    let mut seen = std::collections::HashSet::new();
    files.retain(|file| seen.insert(file.clone()));
    Ok(files)
}

/// The error of an operation on `path`, which may simply be missing.
pub(super) fn explain(action: &'static str, path: &Path, source: std::io::Error) -> Error {
    if source.kind() == ErrorKind::NotFound {
        Error::Missing { path: path.to_owned() }
    } else {
        Error::Io { action, path: path.to_owned(), source }
    }
}

/// Links to directories are not followed: they can lead back.
fn list_directory(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(directory).map_err(Error::io("list", directory))? {
        entries.push(entry.map_err(Error::io("list", directory))?);
    }
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(b".") || name.as_encoded_bytes().starts_with(b"_") {
            continue;
        }
        let path = entry.path();
        let kind = entry.file_type().map_err(Error::io("look at", &path))?;
        if kind.is_dir() {
            list_directory(&path, files)?;
        } else if kind.is_file() || fs::metadata(&path).map_err(Error::io("look at", &path))?.is_file() {
            files.push(path);
        }
        if files.len() > MAX_FILES {
            return Err(Error::TooManyFiles { path: directory.to_owned(), limit: MAX_FILES });
        }
    }
    Ok(())
}
