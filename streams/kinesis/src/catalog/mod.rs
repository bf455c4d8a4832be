//! What Kinesis knows of a stream beyond its log: mode, tags, consumers, encryption, monitoring, policies,
//! settings. One small file per stream, replaced whole and synced; what has no file has defaults.
//!
//! A stream is entered before it is created, and marked before it is deleted, so that either is brought to
//! its end after a crash.

mod file;
mod record;

use std::path::PathBuf;
use std::sync::Arc;

use pelton_streams::storage::{Storage, create_dirs, read_all, replace};

pub use record::{AccountRecord, ConsumerRecord, Distribution, Mode, Status, StreamRecord};

use crate::token::{KEY_BYTES, random_key};

/// The files of the catalog.
#[derive(Debug)]
pub struct Catalog {
    dir: PathBuf,
    storage: Arc<dyn Storage>,
}

/// Why the catalog cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// A file cannot be read or written.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// "read", "write", ...
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// A file is not what was written.
    #[error("{} is corrupt: {what}; restore it from a copy, or remove it to go on with defaults", .path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What does not hold.
        what: String,
    },
}

type Result<T = (), E = CatalogError> = std::result::Result<T, E>;

fn io(action: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> CatalogError {
    let path = path.to_owned();
    move |source| CatalogError::Io { action, path, source }
}

impl Catalog {
    /// Opens the catalog in the data directory `data`, making it if it is not there.
    ///
    /// # Errors
    /// If its directories cannot be made.
    pub fn open(data: &std::path::Path, storage: Arc<dyn Storage>) -> Result<Self> {
        let dir = data.join("kinesis");
        let streams = dir.join("streams");
        create_dirs(&*storage, &streams).map_err(io("create", &streams))?;
        Ok(Self { dir, storage })
    }

    fn stream_path(&self, name: &str) -> PathBuf {
        // A name may end like a file that is being replaced.
        self.dir.join("streams").join(format!("{name}.stream"))
    }

    /// Every stream that has a file.
    ///
    /// # Errors
    /// If one cannot be read, or is damaged.
    pub fn streams(&self) -> Result<Vec<StreamRecord>> {
        let dir = self.dir.join("streams");
        let names = self.storage.list(&dir).map_err(io("list", &dir))?;
        let names = names.iter().filter_map(|name| name.strip_suffix(".stream"));
        names.map(|name| self.read(&self.stream_path(name))).collect()
    }

    /// Makes what is known of a stream durable.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn put(&self, record: &StreamRecord) -> Result {
        self.write(&self.stream_path(&record.name), record)
    }

    /// Forgets a stream, durably.
    ///
    /// # Errors
    /// If its file cannot be removed.
    pub fn remove(&self, name: &str) -> Result {
        let path = self.stream_path(name);
        match self.storage.remove(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io("remove", &path)(error)),
            _ => {
                let dir = self.dir.join("streams");
                self.storage.sync_dir(&dir).map_err(io("sync", &dir))
            }
        }
    }

    /// The settings of the account.
    ///
    /// # Errors
    /// If they cannot be read, or are damaged.
    pub fn account(&self) -> Result<AccountRecord> {
        Ok(self.read_if_there(&self.dir.join("account"))?.unwrap_or_default())
    }

    /// Makes the settings of the account durable.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn put_account(&self, account: &AccountRecord) -> Result {
        self.write(&self.dir.join("account"), account)
    }

    /// The key of tokens, so that those which were given out before a restart are good after it.
    ///
    /// # Errors
    /// If it cannot be read or written, or is damaged.
    pub fn token_key(&self) -> Result<[u8; KEY_BYTES]> {
        let path = self.dir.join("token-key");
        if let Some(key) = self.read_if_there(&path)? {
            return Ok(key);
        }
        let key = random_key().map_err(io("make", &path))?;
        self.write(&path, &key)?;
        Ok(key)
    }

    fn read_if_there<T: serde::de::DeserializeOwned>(&self, path: &std::path::Path) -> Result<Option<T>> {
        match self.read(path) {
            Err(CatalogError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
            answer => answer.map(Some),
        }
    }

    fn read<T: serde::de::DeserializeOwned>(&self, path: &std::path::Path) -> Result<T> {
        let bytes = read_all(&*self.storage, path).map_err(io("read", path))?;
        file::decode(&bytes).map_err(|what| CatalogError::Corrupt { path: path.to_owned(), what })
    }

    fn write<T: serde::Serialize>(&self, path: &std::path::Path, content: &T) -> Result {
        replace(&*self.storage, path, &file::encode(content)).map_err(io("write", path))
    }
}

#[cfg(test)]
mod tests {
    use pelton_streams::storage::MemoryStorage;

    use super::*;

    #[test]
    fn what_was_put_is_there_after_the_disk_forgets_what_was_not_synced() {
        let disk = MemoryStorage::new();
        let data = std::path::Path::new("/data");
        let catalog = Catalog::open(data, Arc::new(disk.clone())).unwrap();
        let mut record = StreamRecord::new("payments", 1_000);
        record.tags.insert("team".to_owned(), "risk".to_owned());
        catalog.put(&record).unwrap();
        catalog.put(&StreamRecord::new("gone", 1)).unwrap();
        catalog.remove("gone").unwrap();
        catalog.remove("gone").unwrap();
        let key = catalog.token_key().unwrap();

        disk.restart(7);
        let catalog = Catalog::open(data, Arc::new(disk)).unwrap();
        assert_eq!(catalog.streams().unwrap(), [record]);
        assert_eq!(catalog.token_key().unwrap(), key);
        assert_eq!(catalog.account().unwrap(), AccountRecord::default());
    }

    #[test]
    fn damage_is_told_with_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(dir.path(), Arc::new(pelton_streams::storage::FileStorage)).unwrap();
        catalog.put(&StreamRecord::new("payments", 1_000)).unwrap();
        let path = dir.path().join("kinesis/streams/payments.stream");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[30] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let error = catalog.streams().unwrap_err().to_string();
        assert!(error.contains("payments.stream is corrupt"), "{error}");
    }
}
