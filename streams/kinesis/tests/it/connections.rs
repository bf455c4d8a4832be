//! Connections: TLS and not, HTTP/1.1 and HTTP/2 on one port, and clients that do not behave.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use pelton_kinesis::server::TlsFiles;
use pelton_kinesis::{Service, Settings};
use serde_json::json;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::ring};

use crate::client::Client;
use crate::support::Running;

/// How a client of HTTP/2 begins: the preface, and settings of which it has none.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// Where the type of a frame of HTTP/2 stands, and that of settings.
const TYPE_AT: usize = 3;
const SETTINGS: u8 = 4;

fn file(name: &str) -> std::path::PathBuf {
    Path::new("fixtures/tls").join(name)
}

fn server(tls: bool) -> (tempfile::TempDir, Running) {
    let data = tempfile::tempdir().unwrap();
    let service = Service::open(data.path(), Settings::default()).unwrap();
    let files = TlsFiles { certificates: file("cert.pem"), key: file("key.pem") };
    let running = Running::serve_by(Arc::new(service), tls.then_some(files));
    (data, running)
}

/// What the first nine bytes are that a server of HTTP/2 says.
fn first_frame(mut stream: impl Read + Write) -> [u8; 9] {
    stream.write_all(PREFACE).unwrap();
    let mut frame = [0; 9];
    stream.read_exact(&mut frame).unwrap();
    frame
}

fn health(mut stream: impl Read + Write) -> String {
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // That the connection ends without a word is TLS's to complain of.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

fn by_tls(server: &Running, protocols: &[&str]) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file("cert.pem")).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(server.address).unwrap());
    stream.conn.complete_io(&mut stream.sock).unwrap();
    stream
}

#[test]
fn one_port_speaks_both_versions_of_http() {
    let (_data, server) = server(false);
    let connect = || TcpStream::connect(server.address).unwrap();
    assert_eq!(first_frame(connect())[TYPE_AT], SETTINGS);
    let answer = health(connect());
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("ok\n"), "{answer}");
}

#[test]
fn who_comes_when_all_places_are_taken_waits_for_one() {
    let data = tempfile::tempdir().unwrap();
    let settings = Settings { most_connections: 1, ..Settings::default() };
    let server = Running::start(data.path(), settings);
    let connect = || TcpStream::connect(server.address).unwrap();
    let ask = |mut stream: &TcpStream| stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let hear = |mut stream: &TcpStream| stream.read_exact(&mut [0; 15]).unwrap();
    let (first, second) = (connect(), connect());
    ask(&second);
    for _ in 0..50 {
        ask(&first);
        hear(&first);
    }
    second.set_nonblocking(true).unwrap();
    let early = (&second).read(&mut [0; 15]).unwrap_err();
    assert_eq!(early.kind(), std::io::ErrorKind::WouldBlock, "it was answered beside the first");
    second.set_nonblocking(false).unwrap();
    drop(first);
    hear(&second);
}

#[test]
fn tls_agrees_on_a_version_of_http() {
    let (_data, server) = server(true);
    let stream = by_tls(&server, &["h2", "http/1.1"]);
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"h2"[..]));
    assert_eq!(first_frame(stream)[TYPE_AT], SETTINGS);
    for protocols in [&["http/1.1"][..], &[]] {
        let answer = health(by_tls(&server, protocols));
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{protocols:?}: {answer}");
    }
    // Who does not speak TLS is let go of, and nobody else is held up.
    let mut plain = TcpStream::connect(server.address).unwrap();
    plain.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert!(!health(by_tls(&server, &[])).is_empty());
}

#[test]
fn clients_that_do_not_behave_hold_up_nobody() {
    let (_data, server) = server(false);
    let connect = || TcpStream::connect(server.address).unwrap();
    // Half a head, half a body, nothing at all, garbage, and one that has hung up.
    let mut held = [connect(), connect(), connect(), connect()];
    held[0].write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Le").unwrap();
    held[1].write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{\"Stream").unwrap();
    held[2].write_all(&[0xff; 4096]).unwrap();
    let gone = connect();
    gone.shutdown(std::net::Shutdown::Write).unwrap();
    drop(gone);
    let mut client = Client::to(server.address).unwrap();
    client.get("CreateStream", &json!({ "StreamName": "s", "ShardCount": 1 }));
    assert_eq!(client.put("s", "k", &["data".to_owned()]).unwrap().len(), 1);

    // One that says beforehand that it is too large is refused without being heard out.
    let mut large = connect();
    large.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n").unwrap();
    let mut status = [0; 12];
    large.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 413");
}

/// What the service counts under this name and these labels.
fn counted(client: &mut Client, name: &str) -> usize {
    let (_, _, text) = client.send("GET /metrics HTTP/1.1\r\nHost: x\r\n", b"").unwrap();
    let text = String::from_utf8(text).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or(0)
}

/// Asks until it is said that there are so many.
fn await_count(client: &mut Client, name: &str, wanted: usize) {
    while counted(client, name) != wanted {
        std::thread::yield_now();
    }
}

#[test]
fn large_requests_that_come_slowly_leave_room_for_small_ones_and_no_more() {
    const MOST: usize = 300_000;
    let data = tempfile::tempdir().unwrap();
    let settings = Settings { most_body_bytes: MOST, ..Settings::default() };
    let server = Running::start(data.path(), settings);
    let mut client = Client::to(server.address).unwrap();
    client.get("CreateStream", &json!({ "StreamName": "s", "ShardCount": 1 }));
    let large = json!({ "StreamName": "s", "Data": "A".repeat(200_000), "PartitionKey": "k" });
    let mut slow = TcpStream::connect(server.address).unwrap();
    slow.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 250000\r\n\r\n").unwrap();
    slow.write_all(&[b' '; 200_000]).unwrap();
    // Of each body 8 KiB do not count.
    await_count(&mut client, "kinesis_body_bytes", 200_000 - (8 << 10));
    let (status, answer) = Client::to(server.address).unwrap().ask("PutRecord", &large).unwrap();
    assert_eq!((status, &answer["__type"]), (503, &json!("ServiceUnavailable")), "{answer}");
    assert_eq!(client.put("s", "k", &["small".to_owned()]).unwrap().len(), 1);
    drop(slow);
    await_count(&mut client, "kinesis_body_bytes", 0);
    client.get("PutRecord", &large);
}

#[test]
fn answers_that_nobody_reads_leave_room_for_others() {
    const MOST: usize = 4 << 20;
    const SLOW: usize = 8;
    let data = tempfile::tempdir().unwrap();
    let settings = Settings { most_answer_bytes: MOST, ..Settings::default() };
    let server = Running::start(data.path(), settings);
    let mut client = Client::to(server.address).unwrap();
    client.get("CreateStream", &json!({ "StreamName": "s", "ShardCount": 1 }));
    let batch: Vec<String> = (0..20).map(|n| format!("{n:0>2}").repeat(50_000)).collect();
    for _ in 0..5 {
        assert_eq!(client.put("s", "k", &batch).unwrap().len(), 20);
    }
    let asked = json!({
        "StreamName": "s", "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON",
    });
    let iterator = client.get("GetShardIterator", &asked)["ShardIterator"].clone();
    let mut slow = Vec::new();
    for answered in 1..=SLOW {
        let mut stream = TcpStream::connect(server.address).unwrap();
        let body = json!({ "ShardIterator": iterator }).to_string();
        let head = format!(
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-amz-json-1.1\r\nX-Amz-Target: Kinesis_20131202.GetRecords\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).unwrap();
        slow.push(stream);
        let name = "kinesis_requests_total{operation=\"GetRecords\",code=\"OK\"}";
        await_count(&mut client, name, answered);
        let held = counted(&mut client, "kinesis_answer_bytes");
        assert!(held <= MOST, "{held} bytes of {answered} answers");
    }
    // Who does read gets everything all the same, by smaller pages perhaps.
    let (mut next, mut records) = (iterator, 0);
    while records < 100 {
        let page = client.get("GetRecords", &json!({ "ShardIterator": next }));
        let given = page["Records"].as_array().unwrap().len();
        assert!(given > 0);
        records += given;
        next = page["NextShardIterator"].clone();
    }
    drop(slow);
    await_count(&mut client, "kinesis_answer_bytes", 0);
}
