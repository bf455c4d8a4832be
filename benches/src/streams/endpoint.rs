//! Where requests go and who signs them; connections to it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail, ensure};
use pelton_kinesis::auth::Signer;
use pelton_kinesis::wire::Encoding;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::args::Common;

/// A Kinesis endpoint.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Host and port, as the header `Host` has them.
    pub authority: String,
    pub path: String,
    pub signer: Signer,
    pub encoding: Encoding,
    host: String,
    port: u16,
    tls: Option<Arc<ClientConfig>>,
}

/// A connection's socket.
pub trait Socket: Read + Write + Send {}
impl Socket for TcpStream {}
impl Socket for StreamOwned<ClientConnection, TcpStream> {}

impl Endpoint {
    pub fn of(common: &Common) -> Result<Self> {
        let (is_tls, rest) = match common.endpoint.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            _ => bail!("`{}` is no endpoint: write it as http://HOST:PORT or https://HOST", common.endpoint),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let port_at = authority.rfind(':').filter(|at| !authority[*at..].contains(']'));
        let (host, port) = match port_at {
            Some(at) => {
                (&authority[..at], authority[at + 1..].parse().context("the endpoint's port is no number")?)
            }
            None => (authority, if is_tls { 443 } else { 80 }),
        };
        ensure!(!host.is_empty(), "`{}` names no host", common.endpoint);
        let Common { access_key, secret, session_token, region, .. } = common;
        Ok(Self {
            authority: authority.to_owned(),
            path: if path.is_empty() { "/".to_owned() } else { path.to_owned() },
            signer: Signer::new(access_key, secret, session_token.clone(), region),
            encoding: common.encoding(),
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            tls: is_tls.then(|| trusting(common)).transpose()?,
        })
    }

    /// Connects; with a second handle on the connection, by which it can be shut down.
    pub fn connect(&self) -> Result<(Box<dyn Socket>, TcpStream)> {
        let socket = TcpStream::connect((self.host.as_str(), self.port));
        let socket = socket.with_context(|| format!("cannot connect to {}", self.authority))?;
        socket.set_nodelay(true)?;
        let handle = socket.try_clone()?;
        let Some(tls) = &self.tls else { return Ok((Box::new(socket), handle)) };
        let name =
            ServerName::try_from(self.host.clone()).map_err(|_| anyhow!("`{}` is no name", self.host))?;
        let connection = ClientConnection::new(tls.clone(), name)?;
        Ok((Box::new(StreamOwned::new(connection, socket)), handle))
    }
}

/// TLS, with the certificates of a file.
fn trusting(common: &Common) -> Result<Arc<ClientConfig>> {
    let file = &common.ca;
    let certificates = CertificateDer::pem_file_iter(file).map_err(|error| anyhow!("{error}"));
    let certificates =
        certificates.with_context(|| format!("cannot read {}; give another by --ca", file.display()))?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates.filter_map(std::result::Result::ok));
    ensure!(!roots.is_empty(), "{} has no certificate", file.display());
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions()?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::args::{Measurement, StreamsArgs};

    fn endpoint(url: &str) -> Result<(String, u16, String, String)> {
        let args = crate::streams::tests::args(&["put", "--endpoint", url]);
        let StreamsArgs { measurement: Measurement::Put(put) } = args else { unreachable!() };
        let Endpoint { host, port, authority, path, .. } = Endpoint::of(&put.common)?;
        Ok((host, port, authority, path))
    }

    #[test]
    fn endpoints_are_taken_apart() {
        let of = |host: &str, port, authority: &str, path: &str| {
            (host.to_owned(), port, authority.to_owned(), path.to_owned())
        };
        assert_eq!(endpoint("http://127.0.0.1:4567").unwrap(), of("127.0.0.1", 4567, "127.0.0.1:4567", "/"));
        assert_eq!(endpoint("http://[::1]:4567/").unwrap(), of("::1", 4567, "[::1]:4567", "/"));
        assert_eq!(endpoint("http://[::1]").unwrap(), of("::1", 80, "[::1]", "/"));
        assert_eq!(endpoint("http://kinesis/a/b").unwrap(), of("kinesis", 80, "kinesis", "/a/b"));
        for url in ["127.0.0.1:4567", "ftp://x", "http://", "http://x:port"] {
            assert!(endpoint(url).is_err(), "{url}");
        }
    }
}
