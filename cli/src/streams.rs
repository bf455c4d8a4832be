//! `pelton streams serve`: the shard log behind the Amazon Kinesis API.
//!
//! Owns the command line, and the process around the server; what that does is for `pelton-kinesis`.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use pelton_kinesis::auth::{Authenticator, Credentials};
use pelton_kinesis::server::{Server, TlsFiles};
use pelton_kinesis::{Service, Settings};
use tokio::signal::unix::{SignalKind, signal};

use crate::console;
use crate::error::{Error, Result};

const EXAMPLES: &str = "\
Example:
    pelton streams serve --data data --no-auth &
    aws --endpoint-url http://127.0.0.1:4567 kinesis create-stream --stream-name payments --shard-count 4

SIGINT and SIGTERM end it when open requests are answered.";

/// What is done with the service.
#[derive(Debug, Subcommand)]
pub(crate) enum StreamsCommand {
    /// Serve the streams of a data directory
    #[command(after_help = EXAMPLES)]
    Serve(Serve),
}

#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// The data directory, made if it is missing
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Where to listen
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4567", value_parser = address)]
    listen: SocketAddr,
    /// Answer those whose requests are signed with a key of this file, in the form of AWS's credentials file
    #[arg(long, value_name = "FILE", conflicts_with = "no_auth")]
    credentials: Option<PathBuf>,
    /// Answer everybody, whoever signed a request
    #[arg(long)]
    no_auth: bool,
    /// Hold clients to the throughput of shards and the rates that Amazon has
    #[arg(long)]
    enforce_limits: bool,
    /// Connections at a time; who comes after them waits. They get half of the file descriptors at most, see
    /// `ulimit -n`
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    max_connections: u32,
    /// The account that streams belong to, in their ARNs
    #[arg(long, value_name = "DIGITS", default_value = "000000000000", value_parser = account)]
    account: String,
    /// The region that streams are in, in their ARNs
    #[arg(long, value_name = "REGION", default_value = "us-east-1")]
    region: String,
    /// Listen with TLS, with this certificate chain (PEM, leaf first)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

impl StreamsCommand {
    /// Does it.
    pub fn execute(&self) -> Result<ExitCode> {
        match self {
            Self::Serve(serve) => serve.execute().map(|()| ExitCode::SUCCESS),
        }
    }
}

impl Serve {
    fn execute(&self) -> Result {
        if !self.no_auth && self.credentials.is_none() {
            return Err(Error::configuration(
                "nothing says who may use the streams: --credentials FILE lets in those who have its keys, --no-auth \
                 everybody who can reach the address",
            ));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(self.serve())
    }

    async fn serve(&self) -> Result {
        let most_connections = within_files(self.max_connections as usize, raise_file_limit());
        if most_connections < self.max_connections as usize {
            console::say(&format!(
                "at most {most_connections} connections at a time, for they get half of the file descriptors: raise \
                 `ulimit -n`, or say --max-connections"
            ));
        }
        let settings = Settings {
            account: self.account.clone(),
            region: self.region.clone(),
            enforce_limits: self.enforce_limits,
            most_connections,
            ..Settings::default()
        };
        let service = Service::open(&self.data, settings)?;
        let service = Arc::new(match &self.credentials {
            Some(file) => service.with_authenticator(authenticator(file)?),
            None => service,
        });
        let tls = self.tls_cert.clone().zip(self.tls_key.clone());
        let tls = tls.map(|(certificates, key)| TlsFiles { certificates, key });
        let server = Server::bind(service, self.listen, tls.as_ref()).await?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        if self.no_auth {
            console::say("NO AUTHENTICATION: whoever can reach the address can read, write and delete");
        }
        // Whoever starts it, on port 0 perhaps, reads here where it is and that it is ready.
        let mut out = std::io::stdout();
        writeln!(out, "serving {} at {scheme}://{}", self.data.display(), server.address()?)?;
        out.flush()?;
        let (mut terminated, mut interrupted) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        server
            .run(async move {
                tokio::select! {
                    _ = terminated.recv() => {}
                    _ = interrupted.recv() => {}
                }
            })
            .await;
        Ok(())
    }
}

/// Lets this process open as many files as it may at all, and tells how many those are; none if there is no limit.
fn raise_file_limit() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Where that is refused, the limit stays as it was.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    getrlimit(Resource::Nofile).current
}

/// As many connections as are asked for, but so few that each stream has its files, too.
fn within_files(connections: usize, files: Option<u64>) -> usize {
    let half = files.map_or(usize::MAX, |files| usize::try_from(files / 2).unwrap_or(usize::MAX));
    connections.min(half.max(1))
}

/// Knows the keys of a file. They are taken for every region: programs that were written for another than
/// the service's need not be changed.
fn authenticator(file: &Path) -> Result<Authenticator> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Error::configuration(format!("cannot read {}: {error}", file.display())))?;
    let keys = Credentials::parse(file, &text).map_err(|error| Error::configuration(error.to_string()))?;
    Ok(Authenticator::new(keys, None))
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write it as ADDRESS:PORT, such as 127.0.0.1:4567".to_owned())
}

fn account(text: &str) -> Result<String, String> {
    let is_account = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_account.then(|| text.to_owned()).ok_or_else(|| "write 12 digits".to_owned())
}
