//! The command line of `streams`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand, value_parser};
use pelton_kinesis::wire::Encoding;

use crate::args::parse_count;

const KEYS: &str = "Who signs";
const STREAM: &str = "The stream";

/// Measures a Kinesis endpoint, whoever's it is, by signed requests over HTTP/1.1
///
/// Every record that was acknowledged is read back: a run that does not find one fails.
#[derive(ClapArgs, Debug, Clone)]
pub struct StreamsArgs {
    /// What is measured.
    #[command(subcommand)]
    pub measurement: Measurement,
}

/// What is measured.
#[derive(Subcommand, Debug, Clone)]
pub enum Measurement {
    /// Puts records as fast as it goes, each connection one call after the other
    Put(PutArgs),
    /// Puts records and then measures reading them, each connection its shards in turn
    Get(GetArgs),
    /// Puts records at a rate; measured is from when a call is sent to when a subscriber has its records
    Fanout(FanoutArgs),
}

/// The settings of `put`.
#[derive(ClapArgs, Debug, Clone)]
pub struct PutArgs {
    #[command(flatten)]
    pub common: Common,
    /// Records of a call; a single one is put by `PutRecord`
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = value_parser!(u16).range(1..=500))]
    pub records: u16,
    /// How long records are put
    #[arg(long, value_name = "N", default_value_t = 10, conflicts_with = "total")]
    pub seconds: u64,
    /// Records in all, instead of a time
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub total: Option<u64>,
    /// Leave out reading back what was acknowledged
    #[arg(long)]
    pub no_verify: bool,
}

/// The settings of `get`.
#[derive(ClapArgs, Debug, Clone)]
pub struct GetArgs {
    #[command(flatten)]
    pub common: Common,
    /// Records of a call that puts them
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = value_parser!(u16).range(1..=500))]
    pub records: u16,
    /// Records in all
    #[arg(long, value_name = "N", default_value = "1m", value_parser = parse_count)]
    pub total: u64,
}

/// The settings of `fanout`.
#[derive(ClapArgs, Debug, Clone)]
pub struct FanoutArgs {
    #[command(flatten)]
    pub common: Common,
    /// Records of a call; a single one is put by `PutRecord`
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u16).range(1..=500))]
    pub records: u16,
    /// How long records are put
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub seconds: u64,
    /// Calls a second, over all connections
    #[arg(long, value_name = "N", default_value = "100", value_parser = parse_count)]
    pub rate: u64,
}

/// What all of them need.
#[derive(ClapArgs, Debug, Clone)]
pub struct Common {
    /// The endpoint, as in `http://127.0.0.1:4567` or `https://kinesis.us-east-1.amazonaws.com`
    #[arg(long, value_name = "URL")]
    pub endpoint: String,
    /// Connections that put, and that read; a subscription has one of its own
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = value_parser!(u16).range(1..))]
    pub connections: u16,
    /// Bytes of the data of a record
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = value_parser!(u32).range(8..=1_048_000))]
    pub bytes: u32,
    /// Speak CBOR instead of JSON
    #[arg(long)]
    pub cbor: bool,
    /// Print one JSON object instead of a text for people
    #[arg(long)]
    pub json: bool,
    /// Its name; it is created if it is not there
    #[arg(long, value_name = "NAME", default_value = "pelton-bench", help_heading = STREAM)]
    pub stream: String,
    /// Shards that it is created with
    #[arg(long, value_name = "N", default_value_t = 4, help_heading = STREAM, value_parser = value_parser!(u32).range(1..))]
    pub shards: u32,
    /// The region that is signed for
    #[arg(long, value_name = "REGION", env = "AWS_REGION", default_value = "us-east-1", help_heading = KEYS)]
    pub region: String,
    /// The key's id
    #[arg(long, value_name = "ID", env = "AWS_ACCESS_KEY_ID", default_value = "bench", help_heading = KEYS)]
    pub access_key: String,
    /// The key's secret
    #[arg(
        long,
        value_name = "SECRET",
        env = "AWS_SECRET_ACCESS_KEY",
        default_value = "bench",
        hide_env_values = true,
        help_heading = KEYS
    )]
    pub secret: String,
    /// The token of a session
    #[arg(long, value_name = "TOKEN", env = "AWS_SESSION_TOKEN", hide_env_values = true, help_heading = KEYS)]
    pub session_token: Option<String>,
    /// Certificates that are trusted where the endpoint has TLS (PEM)
    #[arg(long, value_name = "FILE", default_value = "/etc/ssl/certs/ca-certificates.crt", help_heading = KEYS)]
    pub ca: PathBuf,
}

impl Common {
    /// How bodies are written.
    pub fn encoding(&self) -> Encoding {
        if self.cbor { Encoding::Cbor } else { Encoding::Json }
    }
}
