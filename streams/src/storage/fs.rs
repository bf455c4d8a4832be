//! The real file system behind [`Storage`]: positioned reads and writes, `fdatasync`, `flock`, inotify.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::{Storage, StorageFile, StorageLock, WatchGuard};

/// Files of the operating system.
#[derive(Debug, Default, Clone, Copy)]
pub struct FileStorage;

impl Storage for FileStorage {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        match fs::create_dir(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !dir.is_dir() => Err(error),
            _ => Ok(()),
        }
    }

    fn is_dir(&self, dir: &Path) -> io::Result<bool> {
        match fs::metadata(dir) {
            Ok(metadata) => Ok(metadata.is_dir()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn create(&self, file: &Path) -> io::Result<Arc<dyn StorageFile>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(file)?;
        Ok(Arc::new(RealFile(file)))
    }

    fn open(&self, file: &Path, write: bool) -> io::Result<Arc<dyn StorageFile>> {
        Ok(Arc::new(RealFile(OpenOptions::new().read(true).write(write).open(file)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, file: &Path) -> io::Result<()> {
        fs::remove_file(file)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            // A name that is not UTF-8 is not ours.
            names.extend(entry?.file_name().into_string());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn lock(&self, file: &Path) -> io::Result<Option<Box<dyn StorageLock>>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(file)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(HeldLock(file)))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    #[cfg(target_os = "linux")]
    fn watch(&self, file: &Path, on_change: Box<dyn Fn() + Send>) -> io::Result<Option<Box<dyn WatchGuard>>> {
        linux::watch(file, on_change)
    }

    #[cfg(not(target_os = "linux"))]
    fn watch(
        &self,
        _file: &Path,
        _on_change: Box<dyn Fn() + Send>,
    ) -> io::Result<Option<Box<dyn WatchGuard>>> {
        Ok(None)
    }
}

#[derive(Debug)]
struct RealFile(File);

impl StorageFile for RealFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
}

/// The lock lives as long as the open file.
#[derive(Debug)]
struct HeldLock(#[expect(dead_code, reason = "held, not used")] File);

impl StorageLock for HeldLock {}

#[cfg(target_os = "linux")]
mod linux {
    //! A thread per watch that sleeps in `read` until the kernel reports a change.

    use std::io;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask, Watches};

    use super::super::WatchGuard;

    /// Room for some hundred events; more are read in the next round.
    const EVENT_BYTES: usize = 4096;

    pub(super) fn watch(
        file: &Path,
        on_change: Box<dyn Fn() + Send>,
    ) -> io::Result<Option<Box<dyn WatchGuard>>> {
        let mut inotify = Inotify::init()?;
        let mut watches = inotify.watches();
        let watch = watches.add(file, WatchMask::MODIFY | WatchMask::ATTRIB | WatchMask::DELETE_SELF)?;
        let stopped = Arc::new(AtomicBool::new(false));
        let guard =
            Watching { watches: watches.clone(), watch, stopped: stopped.clone(), file: file.to_owned() };
        std::thread::Builder::new().name("log-watch".to_owned()).spawn(move || {
            let mut buffer = [0; EVENT_BYTES];
            while let Ok(events) = inotify.read_events_blocking(&mut buffer) {
                // Removing the watch delivers IGNORED: that is how dropping the guard wakes this thread.
                let ended = events.into_iter().any(|event| event.mask.contains(EventMask::IGNORED));
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                on_change();
                if ended {
                    return;
                }
            }
        })?;
        Ok(Some(Box::new(guard)))
    }

    #[derive(Debug)]
    struct Watching {
        watches: Watches,
        watch: WatchDescriptor,
        stopped: Arc<AtomicBool>,
        file: PathBuf,
    }

    impl WatchGuard for Watching {}

    impl Drop for Watching {
        fn drop(&mut self) {
            self.stopped.store(true, Ordering::SeqCst);
            if let Err(error) = self.watches.remove(self.watch.clone()) {
                tracing::debug!(file = %self.file.display(), %error, "the watch had ended already");
            }
        }
    }
}
