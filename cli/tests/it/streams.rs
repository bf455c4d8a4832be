//! `pelton streams serve` as a process: what it says, and what it does with the files that it may open.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A server that may open so many files, by `ulimit`.
struct Serving {
    _data: TempDir,
    child: Child,
    address: SocketAddr,
}

impl Serving {
    fn with(limit: &str) -> Self {
        let data = tempfile::tempdir().unwrap();
        let serve = format!("{limit}; exec \"$0\" streams serve --data data --listen 127.0.0.1:0 --no-auth");
        let mut child = Command::new("sh")
            .args(["-c", &serve, env!("CARGO_BIN_EXE_pelton")])
            .current_dir(data.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit_once("http://").map(|(_, address)| address.parse().unwrap());
        Self { _data: data, child, address: address.unwrap_or_else(|| panic!("it says {line}")) }
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).unwrap()
    }

    /// Ends it; gives what it said beside where it is.
    fn end(mut self) -> String {
        self.child.kill().unwrap();
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        self.child.wait().unwrap();
        said
    }
}

/// The status of the answer to a request, which has no body that is longer than some bytes.
fn ask(mut stream: &TcpStream, operation: &str, body: &str) -> u16 {
    let request = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-amz-json-1.1\r\nX-Amz-Target: Kinesis_20131202.{operation}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut reader = BufReader::new(stream);
    let (mut status, mut length) = (0, 0);
    for line in reader.by_ref().lines() {
        let line = line.unwrap().to_lowercase();
        if let Some(code) = line.strip_prefix("http/1.1 ") {
            status = code[..3].parse().unwrap();
        } else if let Some(text) = line.strip_prefix("content-length: ") {
            length = text.parse().unwrap();
        } else if line.is_empty() {
            break;
        }
    }
    reader.read_exact(&mut vec![0; length]).unwrap();
    status
}

#[test]
fn connections_leave_files_for_streams() {
    let server = Serving::with("ulimit -n 64");
    let first = server.connect();
    assert_eq!(ask(&first, "ListStreams", "{}"), 200);
    // More than there are files; 31 of them are let in.
    let idle: Vec<TcpStream> = (0..100).map(|_| server.connect()).collect();
    for stream in &idle[..31] {
        assert_eq!(ask(stream, "ListStreams", "{}"), 200);
    }
    for stream in ["a", "b", "c"] {
        let request = format!(r#"{{"StreamName": "{stream}", "ShardCount": 1}}"#);
        assert_eq!(ask(&first, "CreateStream", &request), 200);
        let request = format!(r#"{{"StreamName": "{stream}", "PartitionKey": "k", "Data": "aGVsbG8="}}"#);
        assert_eq!(ask(&first, "PutRecord", &request), 200);
    }
    // Who waits is let in when others go.
    let last = idle.into_iter().last().unwrap();
    assert_eq!(ask(&last, "ListStreams", "{}"), 200);
    let said = server.end();
    assert!(said.contains("at most 32 connections at a time") && said.contains("ulimit -n"), "{said}");
}

#[test]
fn the_limit_of_files_is_raised_as_far_as_may_be() {
    let server = Serving::with("ulimit -Sn 32; ulimit -Hn 4096");
    let many: Vec<TcpStream> = (0..100).map(|_| server.connect()).collect();
    for stream in &many {
        assert_eq!(ask(stream, "ListStreams", "{}"), 200);
    }
    let said = server.end();
    assert!(said.contains("at most 2048 connections at a time"), "{said}");
}
