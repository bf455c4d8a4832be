//! The power fails under the service, again and again, on a disk that forgets what was not synced and tears what was
//! being written: what clients were told is there afterwards.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pelton_kinesis::{Service, Settings, StartError};
use pelton_streams::clock::ManualClock;
use pelton_streams::storage::{CrashPlan, MemoryStorage, Storage, StorageFile, StorageLock, WatchGuard};
use pelton_streams::{Options, ShardLog};
use serde_json::json;

use crate::checker::stored;
use crate::client::Client;
use crate::load::{Failed, Load, split_one};
use crate::support::{Running, seed};

/// Operations of the disk that a round has at least and at most.
const FEWEST: u64 = 40;
const MORE: u64 = 400;
/// Tags of the stream.
const TAGS: u64 = 40;

/// A service on a disk of the test's; segments are small, so that they follow each other fast.
fn service(storage: &Arc<dyn Storage>) -> Result<Service, StartError> {
    let options = Options { segment_bytes: 30_000, frame_bytes: 2_000, ..Options::create() };
    let clock = Arc::new(ManualClock::at(1_800_000_000_000));
    let log = ShardLog::open_with("/data", &options, storage.clone(), clock.clone())?;
    Service::over(log, Settings::default(), storage.clone(), clock)
}

pub fn serve(storage: &Arc<dyn Storage>) -> Result<Running, StartError> {
    Ok(Running::serve(Arc::new(service(storage)?)))
}

/// What somebody was told of the control plane: tags of `s`, which are never taken away, and the stream that is
/// created and deleted.
#[derive(Debug, Default)]
struct Control {
    tags: u64,
    other: Option<bool>,
}

impl Control {
    /// Changes things until a change fails. What was told is written down.
    fn change(&mut self, client: &mut Client) {
        loop {
            let tags = json!({ "StreamName": "s", "Tags": { format!("tag-{}", self.tags % TAGS): self.tags.to_string() } });
            if client.try_get("AddTagsToStream", &tags).is_err() || split_one(client).is_err() {
                return;
            }
            self.tags += 1;
            // Whether it is there is not known until the answer comes.
            let other = self.other.take();
            let (operation, request) = match other {
                Some(true) => ("DeleteStream", json!({ "StreamName": "other" })),
                _ => ("CreateStream", json!({ "StreamName": "other", "ShardCount": 3 })),
            };
            if client.try_get(operation, &request).is_err() {
                return;
            }
            self.other = Some(!other.unwrap_or(false));
        }
    }

    /// What was told must be there; what was not known is found out.
    fn judge(&mut self, client: &mut Client) -> Result<(), String> {
        let streams = client.try_get("ListStreams", &json!({}))?;
        let is_there = streams["StreamNames"].as_array().unwrap().contains(&json!("other"));
        if self.other.is_some_and(|told| told != is_there) {
            return Err(format!("the stream that comes and goes: {self:?}, {streams}"));
        }
        self.other = Some(is_there);
        if is_there {
            let shards = client.open_shards("other")?;
            assert_eq!(shards.len(), 3, "it is there as a whole");
        }
        let answer = client.try_get("ListTagsForStream", &json!({ "StreamName": "s" }))?;
        let tags = answer["Tags"].as_array().unwrap();
        // The one after the last of them may have been written without an answer.
        for value in self.tags.saturating_sub(TAGS - 1)..self.tags {
            let tag = json!({ "Key": format!("tag-{}", value % TAGS), "Value": value.to_string() });
            if !tags.contains(&tag) {
                return Err(format!("there is no {tag} in {answer}"));
            }
        }
        Ok(())
    }
}

#[test]
fn what_was_acknowledged_survives_power_failures() {
    let rounds = std::env::var("PELTON_ROUNDS").map_or(12, |rounds| rounds.parse().unwrap());
    let mut load = Load::new(seed());
    let disk = MemoryStorage::new();
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    let mut control = Control { other: Some(false), ..Control::default() };
    let server = serve(&storage).unwrap();
    let mut client = Client::to(server.address).unwrap();
    client.get("CreateStream", &json!({ "StreamName": "s", "ShardCount": 2 }));
    drop(server);
    for round in 0..rounds {
        let mut running = Some(serve(&storage).unwrap());
        let address = running.as_ref().map(|server| server.address).unwrap();
        disk.plan(CrashPlan { at_operation: FEWEST + load.below(MORE) });
        let writing = load.begin(address, Failed::Ends);
        control.change(&mut Client::to(address).unwrap());
        writing.wait_for_end();
        assert!(disk.has_crashed());
        load.end(writing);
        drop(running.take());
        disk.restart(load.below(u64::MAX));
        // It fails once more while the service is starting, or not long after.
        disk.plan(CrashPlan { at_operation: load.below(60) });
        if let Ok(server) = serve(&storage) {
            let _ = Client::to(server.address).unwrap().read_all("s");
        }
        disk.restart(load.below(u64::MAX));
        let server = serve(&storage).unwrap();
        let mut client = Client::to(server.address).unwrap();
        let read = client.read_all("s").unwrap();
        stored(&load.sent, &read).unwrap_or_else(|what| panic!("round {round}: {what}"));
        control.judge(&mut client).unwrap_or_else(|what| panic!("round {round}: {what}"));
    }
    let told = load.sent.iter().filter(|sent| sent.told.is_some()).count();
    assert!(told > 100 && told < load.sent.len(), "{told} of {} were acknowledged", load.sent.len());
}

/// A disk that says of segments that they are synced when they are not: what is told of such a service is told before
/// it is durable.
#[derive(Debug, Clone, Default)]
struct Hasty {
    disk: MemoryStorage,
    is_hasty: Arc<AtomicBool>,
}

#[derive(Debug)]
struct HastyFile {
    file: Arc<dyn StorageFile>,
    is_hasty: Option<Arc<AtomicBool>>,
}

impl Hasty {
    fn file(&self, path: &Path, file: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        let is_hasty = path.extension().is_some_and(|end| end == "segment").then(|| self.is_hasty.clone());
        Arc::new(HastyFile { file, is_hasty })
    }
}

impl Storage for Hasty {
    fn create_dir(&self, dir: &Path) -> std::io::Result<()> {
        self.disk.create_dir(dir)
    }
    fn is_dir(&self, dir: &Path) -> std::io::Result<bool> {
        self.disk.is_dir(dir)
    }
    fn create(&self, file: &Path) -> std::io::Result<Arc<dyn StorageFile>> {
        Ok(self.file(file, self.disk.create(file)?))
    }
    fn open(&self, file: &Path, write: bool) -> std::io::Result<Arc<dyn StorageFile>> {
        Ok(self.file(file, self.disk.open(file, write)?))
    }
    fn rename(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, file: &Path) -> std::io::Result<()> {
        self.disk.remove(file)
    }
    fn list(&self, dir: &Path) -> std::io::Result<Vec<String>> {
        self.disk.list(dir)
    }
    fn sync_dir(&self, dir: &Path) -> std::io::Result<()> {
        self.disk.sync_dir(dir)
    }
    fn lock(&self, file: &Path) -> std::io::Result<Option<Box<dyn StorageLock>>> {
        self.disk.lock(file)
    }
    fn watch(
        &self,
        file: &Path,
        on_change: Box<dyn Fn() + Send>,
    ) -> std::io::Result<Option<Box<dyn WatchGuard>>> {
        self.disk.watch(file, on_change)
    }
    fn is_private(&self) -> bool {
        self.disk.is_private()
    }
}

impl StorageFile for HastyFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_at(offset, bytes)
    }
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> std::io::Result<()> {
        self.file.read_at(offset, bytes)
    }
    fn sync(&self) -> std::io::Result<()> {
        match &self.is_hasty {
            Some(is_hasty) if is_hasty.load(Ordering::SeqCst) => Ok(()),
            _ => self.file.sync(),
        }
    }
    fn len(&self) -> std::io::Result<u64> {
        self.file.len()
    }
    fn truncate(&self, len: u64) -> std::io::Result<()> {
        self.file.truncate(len)
    }
}

/// The judge of the test above, and the disk, are good for something.
#[test]
fn who_acknowledges_before_it_syncs_is_found_out() {
    let seed = seed();
    let caught = (0..20).any(|round| {
        let hasty = Hasty::default();
        let storage: Arc<dyn Storage> = Arc::new(hasty.clone());
        let server = serve(&storage).unwrap();
        let mut client = Client::to(server.address).unwrap();
        client.get("CreateStream", &json!({ "StreamName": "s", "ShardCount": 2 }));
        hasty.is_hasty.store(true, Ordering::SeqCst);
        let mut load = Load::new(seed.wrapping_add(round));
        let writing = load.begin(server.address, Failed::Ends);
        writing.wait_for(10);
        load.end(writing);
        drop(server);
        hasty.is_hasty.store(false, Ordering::SeqCst);
        hasty.disk.restart(load.below(u64::MAX));
        // The log may say by itself that what it had published is not there.
        let told = serve(&storage).map_err(|error| error.to_string()).and_then(|server| {
            let read = Client::to(server.address).unwrap().read_all("s")?;
            stored(&load.sent, &read)
        });
        told.is_err()
    });
    assert!(caught);
}
