//! Every error that Amazon documents of every operation, by `errors.py`, which has the table of them. What it takes
//! to get some of them stands here: a change that does not come to its end, a clock, keys.

use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

use pelton_kinesis::Settings;
use pelton_streams::storage::{FileStorage, Storage, StorageFile, StorageLock, WatchGuard};
use serde_json::json;

use crate::client::Client;
use crate::support::{Running, run_script, standing_clock};
use crate::wire::guarded;

const SCRIPT: &str = "errors.py";

#[test]
fn every_documented_error_is_tried_or_explained() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path(), Settings { shard_limit: 7, ..Settings::default() });
    run_script(&[SCRIPT, "semantics"], &server.endpoint());
}

#[test]
fn operations_have_the_rates_that_are_documented() {
    let data = tempfile::tempdir().unwrap();
    let settings = Settings { enforce_limits: true, ..Settings::default() };
    let server = Running::by_clock(data.path(), settings, Arc::new(FileStorage), &standing_clock());
    run_script(&[SCRIPT, "rates"], &server.endpoint());
}

#[test]
fn who_may_not_is_told_so_by_every_operation() {
    let data = tempfile::tempdir().unwrap();
    run_script(&[SCRIPT, "denied"], &guarded(data.path()).endpoint());
}

#[test]
fn iterators_and_tokens_are_good_for_five_minutes() {
    let data = tempfile::tempdir().unwrap();
    let clock = standing_clock();
    let server = Running::by_clock(data.path(), Settings::default(), Arc::new(FileStorage), &clock);
    let tokens = run_script(&[SCRIPT, "before"], &server.endpoint());
    clock.advance(300_001);
    if !tokens.is_empty() {
        let arguments: Vec<&str> = [SCRIPT, "after"].into_iter().chain(tokens.lines()).collect();
        run_script(&arguments, &server.endpoint());
    }
}

#[test]
fn a_stream_that_is_being_changed_is_refused_to_others() {
    let data = tempfile::tempdir().unwrap();
    let gate = Arc::new(Gate::default());
    let server = Running::by_clock(data.path(), Settings::default(), gate.clone(), &standing_clock());
    let mut client = Client::to(server.address).unwrap();
    client.get("CreateStream", &json!({ "StreamName": "s", "ShardCount": 2 }));

    // A change that does not come to its end before the gate is open.
    gate.set_open(false);
    let mut other = Client::to(server.address).unwrap();
    let key = json!({ "StreamName": "s", "EncryptionType": "KMS", "KeyId": "alias/aws/kinesis" });
    let changing = std::thread::spawn(move || other.get("StartStreamEncryption", &key));
    let status = |client: &mut Client| {
        let summary = client.get("DescribeStreamSummary", &json!({ "StreamName": "s" }));
        summary["StreamDescriptionSummary"]["StreamStatus"].as_str().unwrap().to_owned()
    };
    while status(&mut client) != "UPDATING" {}
    run_script(&[SCRIPT, "in-use"], &server.endpoint());
    gate.set_open(true);
    changing.join().unwrap();
    assert_eq!(status(&mut client), "ACTIVE");
}

/// Files that are replaced only while the gate is open.
#[derive(Debug)]
struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl Default for Gate {
    fn default() -> Self {
        Self { is_open: Mutex::new(true), opened: Condvar::new() }
    }
}

impl Gate {
    fn set_open(&self, is_open: bool) {
        *self.is_open.lock().unwrap() = is_open;
        self.opened.notify_all();
    }
}

impl Storage for Gate {
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        drop(self.opened.wait_while(self.is_open.lock().unwrap(), |is_open| !*is_open).unwrap());
        FileStorage.rename(from, to)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        FileStorage.create_dir(dir)
    }

    fn is_dir(&self, dir: &Path) -> io::Result<bool> {
        FileStorage.is_dir(dir)
    }

    fn create(&self, file: &Path) -> io::Result<Arc<dyn StorageFile>> {
        FileStorage.create(file)
    }

    fn open(&self, file: &Path, write: bool) -> io::Result<Arc<dyn StorageFile>> {
        FileStorage.open(file, write)
    }

    fn remove(&self, file: &Path) -> io::Result<()> {
        FileStorage.remove(file)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        FileStorage.list(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        FileStorage.sync_dir(dir)
    }

    fn lock(&self, file: &Path) -> io::Result<Option<Box<dyn StorageLock>>> {
        FileStorage.lock(file)
    }

    fn watch(&self, file: &Path, on_change: Box<dyn Fn() + Send>) -> io::Result<Option<Box<dyn WatchGuard>>> {
        FileStorage.watch(file, on_change)
    }
}
