//! Making prepared files visible, and removing those that will never be.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::Path;

use pelton_dataflow::error::OpError;
use pelton_dataflow::failpoint;
use pelton_dataflow::sink::{Committable, Committer};

use super::layout::{Layout, Prepared};
use super::sink::{make_directories, sync_directory};
use crate::error::{Error, Result};

/// Commits the files of one sink.
pub(super) struct FileCommitter {
    layout: Layout,
}

/// Whether the bytes of a prepared file are read again before it is committed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Check {
    /// Its length alone: it was written by this run.
    Length,
    /// Its checksum: it has gone through a crash.
    Bytes,
}

impl FileCommitter {
    pub fn new(layout: Layout) -> Self {
        Self { layout }
    }

    fn decode(&self, committables: &[Committable]) -> Result<Vec<Prepared>> {
        committables.iter().map(|committable| Prepared::decode(committable, &self.layout)).collect()
    }

    /// Output of this or a later generation was written by a job that has the same name and is not
    /// this one: it would be mixed with ours, and names would meet.
    fn refuse_foreign_output(&self, generation: u64) -> Result<()> {
        for name in names_in(self.layout.directory())? {
            if self.layout.generation_of(&name).is_some_and(|found| found >= generation) {
                return Err(Error::OutputExists { path: self.layout.directory().join(name) });
            }
        }
        Ok(())
    }

    fn abort_all_but(&self, generation: u64, listed: &[Prepared]) -> Result<()> {
        let listed: HashSet<&str> = listed.iter().map(|prepared| prepared.file.as_str()).collect();
        let staging = self.layout.staging();
        for name in names_in(&staging)? {
            let found = self.layout.generation_of(&name).or_else(|| Layout::generation_of_open(&name));
            if found.is_some_and(|found| found < generation) && !listed.contains(name.as_str()) {
                let path = staging.join(name);
                fs::remove_file(&path).map_err(Error::io("remove", &path))?;
            }
        }
        Ok(())
    }

    fn commit_all(&self, prepared: &[Prepared], check: Check) -> Result<()> {
        for file in prepared {
            self.commit_file(file, check)?;
        }
        if prepared.is_empty() { Ok(()) } else { sync_directory(self.layout.directory()) }
    }

    /// Refuses what [`FileCommitter::commit_file`] would, as far as names and lengths show.
    fn check_file(&self, prepared: &Prepared) -> Result<()> {
        let staging = self.layout.staging();
        let staged = staging.join(&prepared.file);
        if let Ok(metadata) = fs::metadata(&staged) {
            return verify(&staged, metadata.len(), prepared, Check::Length);
        }
        if staging.exists() || self.layout.directory().join(&prepared.file).exists() {
            return Ok(());
        }
        Err(Error::PreparedMissing { path: staged })
    }

    fn commit_file(&self, prepared: &Prepared, check: Check) -> Result<()> {
        let staging = self.layout.staging();
        let staged = staging.join(&prepared.file);
        let target = self.layout.directory().join(&prepared.file);
        match (fs::metadata(&staged), target.exists()) {
            (Ok(metadata), false) => {
                verify(&staged, metadata.len(), prepared, check)?;
                fs::rename(&staged, &target).map_err(Error::io("rename", &staged))
            }
            // A rename that a power failure has left half done shows the same file twice.
            (Ok(metadata), true) => {
                verify(&staged, metadata.len(), prepared, Check::Bytes)?;
                let length = fs::metadata(&target).map_err(Error::io("look at", &target))?.len();
                verify(&target, length, prepared, Check::Bytes)
                    .map_err(|_| Error::OutputExists { path: target })?;
                fs::remove_file(&staged).map_err(Error::io("remove", &staged))
            }
            // Committed before; whoever reads the output may have taken it since.
            (Err(error), is_there) if error.kind() == ErrorKind::NotFound => {
                if is_there || staging.exists() {
                    Ok(())
                } else {
                    Err(Error::PreparedMissing { path: staged })
                }
            }
            (Err(source), _) => Err(Error::Io { action: "look at", path: staged, source }),
        }
    }
}

impl Committer for FileCommitter {
    fn check(&self, generation: u64, listed: &[Committable]) -> Result<(), OpError> {
        for prepared in self.decode(listed)? {
            self.check_file(&prepared)?;
        }
        if self.layout.directory().exists() { Ok(self.refuse_foreign_output(generation)?) } else { Ok(()) }
    }

    fn recover(&mut self, generation: u64, listed: &[Committable]) -> Result<(), OpError> {
        let listed = self.decode(listed)?;
        if !self.layout.staging().exists() {
            // Commits before directories are made: it tells by a missing one that files were removed.
            self.commit_all(&listed, Check::Bytes)?;
        }
        make_directories(&self.layout)?;
        self.refuse_foreign_output(generation)?;
        failpoint::at("sink::abort")?;
        self.abort_all_but(generation, &listed)?;
        failpoint::at("sink::recommit")?;
        self.commit_all(&listed, Check::Bytes)?;
        Ok(())
    }

    fn commit(&mut self, committables: &[Committable]) -> Result<(), OpError> {
        failpoint::at("sink::commit")?;
        self.commit_all(&self.decode(committables)?, Check::Length)?;
        Ok(failpoint::at("sink::committed")?)
    }
}

fn names_in(directory: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(Error::io("list", directory))? {
        // No file of ours has a name that is not UTF-8.
        names.extend(entry.map_err(Error::io("list", directory))?.file_name().into_string());
    }
    Ok(names)
}

fn verify(path: &Path, length: u64, prepared: &Prepared, check: Check) -> Result<()> {
    let changed = |reason: String| Error::PreparedChanged { path: path.to_owned(), reason };
    if length != prepared.bytes {
        return Err(changed(format!("it has {length} bytes instead of {}", prepared.bytes)));
    }
    if check == Check::Bytes {
        let checksum = checksum(path).map_err(Error::io("read", path))?;
        if checksum != prepared.crc32c {
            return Err(changed(format!(
                "its checksum is {checksum:08x} instead of {:08x}",
                prepared.crc32c
            )));
        }
    }
    Ok(())
}

fn checksum(path: &Path) -> std::io::Result<u32> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 256 * 1024];
    let mut checksum = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(checksum);
        }
        checksum = crc32c::crc32c_append(checksum, &buffer[..read]);
    }
}
