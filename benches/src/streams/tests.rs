//! The measurements, run against the service in this process: with signatures that it verifies, in both
//! encodings, and with its limits.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use clap::Parser;
use pelton_kinesis::auth::{Authenticator, Credentials};
use pelton_kinesis::server::Server;
use pelton_kinesis::{Service, Settings};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{StreamsArgs, measure};
use crate::args::{Cli, Command};

const KEYS: &str = "[bench]\naws_access_key_id = AKIDBENCH\naws_secret_access_key = secret\n";

/// What the command line says.
pub fn args(line: &[&str]) -> StreamsArgs {
    let line = ["pelton-bench", "streams"].iter().chain(line);
    let Some(Command::Streams(args)) = Cli::parse_from(line).command else { panic!("it is of `streams`") };
    args
}

/// A server; dropping it stops it.
struct Running {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _data: tempfile::TempDir,
}

impl Running {
    fn start(settings: Settings) -> Self {
        let data = tempfile::tempdir().unwrap();
        let keys = Credentials::parse(Path::new("keys"), KEYS).unwrap();
        let service = Service::open(data.path(), settings).unwrap();
        let service =
            Arc::new(service.with_authenticator(Authenticator::new(keys, Some("eu-west-1".to_owned()))));
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let server = Server::bind(service, "127.0.0.1:0".parse().unwrap(), None).await.unwrap();
                tell.send(server.address().unwrap()).unwrap();
                server.run(async { stopped.await.unwrap_or_default() }).await;
            });
        });
        Self { address: told.recv().unwrap(), stop: Some(stop), thread: Some(thread), _data: data }
    }

    fn measure(&self, line: &str) -> anyhow::Result<Value> {
        let endpoint = format!("http://{}", self.address);
        let mut words: Vec<&str> = line.split(' ').collect();
        words.extend(["--endpoint", &endpoint, "--region", "eu-west-1", "--access-key", "AKIDBENCH"]);
        if !line.contains("--secret") {
            words.extend(["--secret", "secret"]);
        }
        let args = args(&words);
        let (report, _) = measure(&args)?;
        assert!(report.for_people().contains("records/s"), "{}", report.for_people());
        Ok(serde_json::from_str(&report.as_json()).unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

#[test]
fn what_is_put_is_read_back_in_both_encodings() {
    let server = Running::start(Settings::default());
    for encoding in ["", " --cbor"] {
        let put = server.measure(&format!("put --total 2001 --bytes 100 --shards 3{encoding}")).unwrap();
        assert_eq!(
            (&put["records"], &put["verified"], &put["calls"]),
            (&json!(2_500), &json!(2_500), &json!(5))
        );
        assert_eq!((&put["shards"], &put["errors"], &put["retries"]), (&json!(3), &json!(0), &json!(0)));
        assert!(put["p50_ms"].as_f64().unwrap() > 0.0, "{put}");
        // A larger answer than one call of the connection's buffer, and single records.
        let get = server.measure(&format!("get --total 1k --bytes 2000 --connections 2{encoding}")).unwrap();
        assert_eq!((&get["records"], &get["verified"]), (&json!(1_000), &json!(1_000)));
        let single =
            server.measure(&format!("put --records 1 --total 20 --connections 2{encoding}")).unwrap();
        assert_eq!(
            (&single["records"], &single["verified"], &single["calls"]),
            (&json!(20), &json!(20), &json!(20))
        );
    }
}

#[test]
fn subscribers_have_what_is_put() {
    let server = Running::start(Settings::default());
    for encoding in ["", " --cbor"] {
        let line = format!("fanout --seconds 1 --rate 40 --records 2 --bytes 8 --shards 2{encoding}");
        let fanout = server.measure(&line).unwrap();
        assert_eq!((&fanout["records"], &fanout["verified"]), (&json!(80), &json!(80)));
        assert!(fanout["p50_ms"].as_f64().unwrap() > 0.0, "{fanout}");
    }
}

#[test]
fn what_is_throttled_is_put_again() {
    let server = Running::start(Settings { enforce_limits: true, ..Settings::default() });
    let put = server.measure("put --total 1500 --bytes 8 --shards 1 --connections 1").unwrap();
    assert_eq!(
        (&put["records"], &put["verified"], &put["errors"]),
        (&json!(1_500), &json!(1_500), &json!(0))
    );
    assert!(put["throttled_records"].as_u64().unwrap() > 0, "{put}");
    assert!(put["retries"].as_u64().unwrap() > 0, "{put}");
}

#[test]
fn who_may_not_is_told_so() {
    let server = Running::start(Settings::default());
    let refused = server.measure("put --secret another").unwrap_err();
    assert!(format!("{refused:#}").contains("InvalidSignatureException"), "{refused:#}");
}
