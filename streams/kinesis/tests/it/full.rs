//! What the service lives through: a disk that is full, a disk that refuses now and then, and no more file
//! descriptors. Nothing that was acknowledged is lost, clients are told that it is not their fault, and when there is
//! room again all goes on, without a start.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use pelton_streams::storage::{MemoryStorage, Storage};
use serde_json::json;

use crate::checker::stored;
use crate::client::Client;
use crate::crash::Process;
use crate::load::{Failed, Load, WRITERS, split_one};
use crate::power::serve;
use crate::support::{Running, seed};

fn on_a_disk() -> (MemoryStorage, Running, Client) {
    let disk = MemoryStorage::new();
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    let server = serve(&storage).unwrap();
    let mut client = Client::to(server.address).unwrap();
    client.get("CreateStream", &json!({ "StreamName": "s", "ShardCount": 2 }));
    (disk, server, client)
}

/// What the control plane is asked for, none of which fits on a full disk.
fn changes() -> [(&'static str, serde_json::Value); 4] {
    [
        ("CreateStream", json!({ "StreamName": "other", "ShardCount": 1 })),
        ("AddTagsToStream", json!({ "StreamName": "s", "Tags": { "a": "b" } })),
        ("IncreaseStreamRetentionPeriod", json!({ "StreamName": "s", "RetentionPeriodHours": 48 })),
        ("UpdateAccountSettings", json!({ "MinimumThroughputBillingCommitment": { "Status": "ENABLED" } })),
    ]
}

#[test]
fn a_full_disk_is_told_of_and_lived_through() {
    let (disk, server, mut client) = on_a_disk();
    let mut load = Load::new(seed());
    let writing = load.begin(server.address, Failed::IsPassedOver);
    for round in 0..8_u32 {
        writing.wait_for(10);
        // Full at some place in a segment; or so full that nothing can be replaced, either.
        let room = if round % 4 == 3 { 0 } else { disk.used_bytes() + load.below(3_000) };
        disk.set_capacity(Some(room));
        writing.wait_for_failures(2 * WRITERS as u64);
        if room > 0 {
            // A small file may still fit; a large one does not.
            disk.set_capacity(Some(disk.used_bytes()));
        }
        for (operation, request) in changes() {
            let (status, answer) = client.ask(operation, &request).unwrap();
            let told = (status, answer["__type"].as_str());
            assert_eq!(told, (500, Some("InternalFailure")), "{operation}: {answer}");
        }
        if room > 0 {
            // Who reads is not held up by who cannot write.
            client.read_all("s").unwrap();
        }
        disk.set_capacity(None);
    }
    writing.wait_for(10);
    split_one(&mut client).unwrap();
    for (operation, request) in changes() {
        client.try_get(operation, &request).unwrap();
    }
    load.end(writing);
    stored(&load.sent, &client.read_all("s").unwrap()).unwrap();
    // What is in the log is not there by favour of memory.
    drop(server);
    disk.restart(load.below(u64::MAX));
    let storage: Arc<dyn Storage> = Arc::new(disk);
    let server = serve(&storage).unwrap();
    let mut client = Client::to(server.address).unwrap();
    stored(&load.sent, &client.read_all("s").unwrap()).unwrap();
    let streams = client.get("ListStreams", &json!({}));
    assert_eq!(streams["StreamNames"], json!(["other", "s"]));
}

#[test]
fn a_disk_that_refuses_once_is_tried_again_under_load() {
    let (disk, server, mut client) = on_a_disk();
    let mut load = Load::new(seed());
    let writing = load.begin(server.address, Failed::IsPassedOver);
    for _ in 0..40 {
        disk.refuse(load.below(12));
        let _ = split_one(&mut client);
        // The writer may have failed for good, with requests on their way that hold it.
        writing.wait_for(8);
    }
    load.end(writing);
    stored(&load.sent, &client.read_all("s").unwrap()).unwrap();
}

/// Files that the server may have open: some for itself, the stream, and the writers.
const FILES: usize = 48;

#[test]
fn the_server_lives_through_the_want_of_file_descriptors() {
    let data = tempfile::tempdir().unwrap();
    let process = Process::start_with(data.path(), Some(FILES));
    let mut client = Client::to(process.address).unwrap();
    client.get("CreateStream", &json!({ "StreamName": "s", "ShardCount": 2 }));
    let mut load = Load::new(seed());
    let writing = load.begin(process.address, Failed::IsPassedOver);
    writing.wait_for(10);
    let mut names = 0;
    for _ in 0..2 {
        // Connections that nobody needs, until there is not one file left.
        let mut idle = Vec::new();
        let told = loop {
            let mut connection = TcpStream::connect(process.address).unwrap();
            connection.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            idle.push(connection);
            names += 1;
            let other = json!({ "StreamName": format!("other-{names}"), "ShardCount": 1 });
            match client.ask("CreateStream", &other).unwrap() {
                (200, _) => assert!(idle.len() < 2 * FILES, "there are enough files"),
                told => break told,
            }
        };
        assert_eq!((told.0, told.1["__type"].as_str()), (500, Some("InternalFailure")), "{told:?}");
        // Those who are connected are served, and what needs no file is done.
        writing.wait_for(10);
        // Everybody who waits is served in the end.
        let last = idle.len() - 1;
        let mut last = idle.swap_remove(last);
        drop(idle);
        last.read_exact(&mut [0; 15]).unwrap();
        let mut another = Client::to(process.address).unwrap();
        another.get("CreateStream", &json!({ "StreamName": format!("other-{names}"), "ShardCount": 1 }));
        another.get("DeleteStream", &json!({ "StreamName": format!("other-{names}") }));
        split_one(&mut another).unwrap();
        writing.wait_for(10);
    }
    load.end(writing);
    stored(&load.sent, &client.read_all("s").unwrap()).unwrap();
    process.kill();
}
