//! What the trials of the fraud example read: payments of two evenings with a long night between them, rules that change in
//! the middle, and a directory of merchants that answers some questions only.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};

use pelton::streams::{Options, ShardLog};
use pelton_examples::payments::generator::START;
use pelton_examples::payments::{
    EventTime, Line, Merchant, MerchantId, Payment, RuleChange, Scenario, ingest,
};
use pelton_examples::trial::{PAYMENTS, Trial};

pub const LINES: u64 = 120_000;
/// Lines of the first evening.
const EVENING: u64 = LINES / 2;
/// So long that payments of the first evening fall out of the last 24 hours one by one during the second.
const NIGHT_MS: i64 = 24 * 3_600_000 - EVENING as i64 * 20 - 300_000;
const SHARDS: u32 = 4;

/// Changes in each evening, the first one as a line of a file that someone has written.
pub fn changes() -> Vec<RuleChange> {
    let minute = |minute: i64| START.0 + minute * 60_000;
    let second = |at: i64| minute(at) + NIGHT_MS;
    [
        (minute(5), r#"{"overspend":{"factor":3,"after_payments":3,"floor":2000}}"#),
        (minute(10), r#"{"impossible-travel":null}"#),
        (minute(15), r#"{"velocity-burst":{"payments":5,"within_ms":60000}}"#),
        (second(25), r#"{"impossible-travel":{"near_km":0}}"#),
        (second(27), r#"{"velocity-burst":null}"#),
        (second(33), r#"{"overspend":{"factor":4}}"#),
    ]
    .map(|(from, set)| RuleChange { from: EventTime(from), set: serde_json::from_str(set).unwrap() })
    .into()
}

/// Writes payments and changes below `root`.
pub fn generate(root: &Path) {
    let scenario = Scenario::new(7, LINES);
    let log = ShardLog::open(root.join("log"), &Options::create()).unwrap();
    log.create_stream(PAYMENTS, SHARDS).unwrap();
    let writer = log.writer(PAYMENTS).unwrap();
    let mut batch = writer.batch();
    for index in 0..LINES {
        let (card, line) = match scenario.line(index) {
            Line::Payment(mut payment) => {
                payment.time.0 += if index < EVENING { 0 } else { NIGHT_MS };
                (payment.card, serde_json::to_vec(&payment).unwrap())
            }
            Line::Malformed(card, line) => (card, line),
        };
        batch.push(&card.0.to_be_bytes(), &line).unwrap();
        if (index + 1) % 10_000 == 0 {
            writer.append(std::mem::replace(&mut batch, writer.batch())).unwrap();
        }
    }
    let lines: Vec<_> = changes().iter().map(|change| serde_json::to_string(change).unwrap()).collect();
    std::fs::write(rules(root), lines.join("\n") + "\n").unwrap();
}

fn rules(root: &Path) -> PathBuf {
    root.join("rules.jsonl")
}

/// A trial with the payments and rules below `root`, and the directory at `merchants`.
pub fn trial(root: &Path, name: &str, merchants: SocketAddr) -> Trial {
    let flags = vec![
        "--rules".to_owned(),
        rules(root).display().to_string(),
        "--merchants".to_owned(),
        merchants.to_string(),
    ];
    Trial { root: root.to_owned(), name: name.to_owned(), lines: LINES, flags }
}

/// Begins a directory that hangs up when it is asked about one merchant in three, however often.
pub fn directory() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            // A job that is killed breaks off.
            let _ = client.and_then(answer);
        }
    });
    address
}

fn answer(mut client: TcpStream) -> std::io::Result<()> {
    let mut line = String::new();
    BufReader::new(client.try_clone()?).read_line(&mut line)?;
    let merchant = MerchantId(line.trim().parse().map_err(std::io::Error::other)?);
    if hangs_up(merchant) {
        return Ok(());
    }
    writeln!(client, "{}", serde_json::to_string(&Merchant::listed(merchant))?)
}

fn hangs_up(merchant: MerchantId) -> bool {
    merchant.0.is_multiple_of(3)
}

/// What is known of a merchant in the end.
pub fn listed(merchant: MerchantId) -> Option<Merchant> {
    if hangs_up(merchant) { None } else { Merchant::listed(merchant) }
}

/// The payments of each shard, in its order.
pub fn payments(root: &Path) -> Vec<Vec<Payment>> {
    let log = root.join("log");
    let payments =
        |lines: Vec<Vec<u8>>| lines.iter().filter_map(|line| serde_json::from_slice(line).ok()).collect();
    ingest::lines(&log, PAYMENTS).unwrap().into_iter().map(payments).collect()
}
