//! The server is killed under load, again and again: what it has acknowledged is there, where it said, once,
//! and in order. This test binary starts itself as the server.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use pelton_kinesis::server::Server;
use pelton_kinesis::{Service, Settings};
use serde_json::json;

use crate::checker::stored;
use crate::client::Client;
use crate::load::{Failed, Load, split_one};
use crate::support::seed;

const DIR: &str = "PELTON_TEST_DATA";

/// The other process.
#[test]
fn child() {
    let Some(data) = std::env::var_os(DIR) else { return };
    let service = Arc::new(Service::open(data, Settings::default()).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let server = Server::bind(service, "127.0.0.1:0".parse().unwrap(), None).await.unwrap();
        println!("\nserving {}", server.address().unwrap());
        server.run(std::future::pending()).await;
    });
}

/// A server in a process of its own.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
}

impl Process {
    fn start(data: &Path) -> Self {
        Self::start_with(data, None)
    }

    /// With so many files at most.
    pub fn start_with(data: &Path, files: Option<usize>) -> Self {
        let limit = files.map(|files| format!("ulimit -n {files}; ")).unwrap_or_default();
        let mut child = Command::new("sh")
            .args(["-c", &format!("{limit}exec \"$0\" --exact crash::child --nocapture")])
            .arg(std::env::current_exe().unwrap())
            .env(DIR, data)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines.find_map(|line| line.unwrap().strip_prefix("serving ")?.parse().ok());
        Self { child, address: address.expect("the server says where it is") }
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let rounds = std::env::var("PELTON_ROUNDS").map_or(4, |rounds| rounds.parse().unwrap());
    let mut load = Load::new(seed());
    let data = tempfile::tempdir().unwrap();
    let mut process = Process::start(data.path());
    Client::to(process.address).unwrap().get("CreateStream", &json!({ "StreamName": "s", "ShardCount": 2 }));
    for round in 0..rounds {
        let writing = load.begin(process.address, Failed::Ends);
        // A split falls into the load, and the kill some time after.
        split_one(&mut Client::to(process.address).unwrap()).unwrap();
        writing.wait_for(20 + load.below(60));
        process.kill();
        load.end(writing);
        process = Process::start(data.path());
        let read = Client::to(process.address).unwrap().read_all("s").unwrap();
        stored(&load.sent, &read).unwrap_or_else(|what| panic!("round {round}: {what}"));
    }
    process.kill();
}
