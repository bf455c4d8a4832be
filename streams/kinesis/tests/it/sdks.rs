//! The SDKs for JavaScript and Rust, each by a program of its own: over HTTP/2 in plain, HTTP/1.1, and TLS.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use pelton_kinesis::server::TlsFiles;
use pelton_kinesis::{Service, Settings};
use pelton_streams::storage::FileStorage;

use crate::client::Client;
use crate::support::{Running, aws_sdk_rust, passed_over, run, run_node, standing_clock};

#[test]
fn javascript_reads_through_a_split_and_a_merge() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path(), Settings::default());
    run_node("sdk.cjs", &server.endpoint());
}

/// A command of the program of aws-sdk-rust; none if it has not been built.
fn rust(arguments: &[&str]) -> Option<Command> {
    let Some(program) = aws_sdk_rust() else {
        passed_over("aws-sdk-rust", "its program; build it with: make aws-sdk-rust");
        return None;
    };
    let mut command = Command::new(program);
    command.args(arguments);
    Some(command)
}

#[test]
fn rust_reads_through_a_split_and_a_merge() {
    let data = tempfile::tempdir().unwrap();
    let server = Running::start(data.path(), Settings::default());
    if let Some(mut client) = rust(&["streams", &server.endpoint()]) {
        run(&mut client);
    }
}

#[test]
fn rust_does_so_over_tls_and_http_2() {
    let data = tempfile::tempdir().unwrap();
    let file = |name: &str| Path::new("fixtures/tls").join(name);
    let tls = TlsFiles { certificates: file("cert.pem"), key: file("key.pem") };
    let service = Service::open(data.path(), Settings::default()).unwrap();
    let server = Running::serve_by(Arc::new(service), Some(tls));
    let endpoint = format!("https://{}", server.address);
    if let Some(mut client) = rust(&["streams", &endpoint, "fixtures/tls/cert.pem"]) {
        run(&mut client);
    }
}

#[test]
fn rust_puts_again_what_a_limit_has_refused() {
    let data = tempfile::tempdir().unwrap();
    let settings = Settings { enforce_limits: true, ..Settings::default() };
    let clock = standing_clock();
    let server = Running::by_clock(data.path(), settings, Arc::new(FileStorage), &clock);
    let Some(mut client) = rust(&["limits", &server.endpoint()]) else { return };
    let client = std::thread::spawn(move || run(&mut client));

    // A second passes each time something has been refused, and only then.
    let mut watcher = Client::to(server.address).unwrap();
    let mut count = |what: &str| {
        let (_, _, metrics) = watcher.send("GET /metrics HTTP/1.1\r\nHost: x\r\n", b"").unwrap();
        let metrics = String::from_utf8(metrics).unwrap();
        let name = format!("kinesis_shard_{what}_total{{");
        let count =
            metrics.lines().find_map(|line| line.strip_prefix(&name)?.split(' ').nth(1)?.parse().ok());
        count.unwrap_or(0)
    };
    let mut refused: u64 = 0;
    while !client.is_finished() {
        let now_refused = count("throttled_puts");
        if now_refused > refused {
            refused = now_refused;
            clock.advance(1_000);
        }
    }
    client.join().unwrap();
    // A mebibyte a second takes ten of the thirty records: each is there once in the end.
    assert!(refused >= 3, "{refused} were refused");
    assert_eq!(count("incoming_records"), 30);
}
