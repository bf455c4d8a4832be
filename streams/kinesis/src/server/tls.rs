//! TLS: a certificate chain and a key from PEM files.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{BindError, TlsFiles};

fn wrong(file: &Path, what: impl std::fmt::Display) -> BindError {
    BindError::Tls { file: file.to_owned(), what: what.to_string() }
}

pub(super) fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, BindError> {
    let TlsFiles { certificates: chain_file, key: key_file } = files;
    let chain = CertificateDer::pem_file_iter(chain_file).map_err(|error| wrong(chain_file, error))?;
    let chain: Vec<_> = chain.collect::<Result<_, _>>().map_err(|error| wrong(chain_file, error))?;
    if chain.is_empty() {
        return Err(wrong(chain_file, "it holds no certificate"));
    }
    let key = PrivateKeyDer::from_pem_file(key_file).map_err(|error| wrong(key_file, error))?;
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(chain_file, error))?
        .with_no_client_auth()
        .with_single_cert(chain, key);
    let mut config = config.map_err(|error| wrong(key_file, error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
