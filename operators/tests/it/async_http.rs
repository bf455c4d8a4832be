//! Asking a real server over HTTP that refuses, stalls and hangs up in the middle of an answer.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use pelton_dataflow::error::OpResult;
use pelton_operators::testing::Harness;
use pelton_operators::{AsyncClient, Backoff, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Answers `GET /n` with `n * 10`, but the first time it is asked about a number it may not: it refuses, hangs up
/// early, or says nothing at all, by what the number is. Its threads end with the test's process.
struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<HashMap<u64, u32>>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self { address: listener.local_addr().unwrap(), asked: Arc::default() };
        let asked = server.asked.clone();
        thread::spawn(move || {
            for connection in listener.incoming() {
                let asked = asked.clone();
                thread::spawn(move || answer(connection.unwrap(), &asked));
            }
        });
        server
    }

    /// How often it was asked about all numbers together.
    fn asked(&self) -> u32 {
        self.asked.lock().unwrap().values().sum()
    }
}

fn answer(mut connection: TcpStream, asked: &Mutex<HashMap<u64, u32>>) {
    let mut request = String::new();
    let mut lines = BufReader::new(connection.try_clone().unwrap());
    // One that has given up waiting has hung up.
    if lines.read_line(&mut request).is_err() || request.is_empty() {
        return;
    }
    let n: u64 = request.trim_start_matches("GET /").split(' ').next().unwrap().parse().unwrap();
    let times = {
        let mut asked = asked.lock().unwrap();
        *asked.entry(n).and_modify(|times| *times += 1).or_insert(1)
    };
    let body = (n * 10).to_string();
    let length = body.len();
    let answer = match (times, n % 4) {
        (1, 1) => "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n".to_owned(),
        (1, 2) => format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", length + 1),
        (1, 3) => {
            // Until the other side hangs up.
            while lines.read_line(&mut request).is_ok_and(|read| read > 0) {}
            return;
        }
        _ => format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}"),
    };
    let _ = connection.write_all(answer.as_bytes());
}

/// As much of HTTP as the test needs.
async fn get(server: SocketAddr, n: u64) -> OpResult<u64> {
    let mut connection = tokio::net::TcpStream::connect(server).await?;
    connection.write_all(format!("GET /{n} HTTP/1.1\r\nhost: numbers\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("the server hung up")?;
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(head.lines().next().unwrap_or_default().into());
    }
    let (_, length) = head.rsplit_once("content-length: ").ok_or("an answer without a length")?;
    if body.len() != length.parse::<usize>()? {
        return Err(format!("{} of {length} bytes", body.len()).into());
    }
    Ok(body.parse()?)
}

fn asking(server: &Server) -> Harness<u64> {
    let address = server.address;
    Harness::new(move |numbers: Stream<u64>, taps| {
        let asking = AsyncClient::open(move || Ok(address))
            .ordered(|server, n| get(*server, n))
            .capacity(30)
            .attempt_timeout(Duration::from_millis(200))
            .retry(Backoff::fixed(Duration::from_millis(1)).attempts(100));
        taps.tap("got", &numbers.async_io("ask", asking).out);
    })
}

#[test]
fn whatever_goes_wrong_on_the_way_each_record_has_its_answer_in_order() {
    let (server, mut found) = (Server::start(), Vec::new());
    let mut script = asking(&server);
    for round in 0..3 {
        for n in round * 8..(round + 1) * 8 {
            script.record(n, n.unsigned_abs());
        }
        // Some are on their way, some are not.
        script.barrier_and_crash();
    }
    found.extend(script.end().output());
    let expected: Vec<String> = (0..24).map(|n| format!("got@{n} {}", n * 10)).collect();
    assert_eq!(found, expected);
    assert!(server.asked() >= 24 + 3 * 6, "three of four were asked twice at least");
}
