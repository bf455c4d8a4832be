//! The client's side of signatures: for programs that speak to a Kinesis endpoint without an SDK, as those
//! that measure it.

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderValue, InvalidHeaderValue};

use super::canonical::{self, ALGORITHM, TERM};
use super::parameters::{Form, Parameters, Scope};
use super::{BodyHash, SERVICE, SignedRequest};
use crate::dates::Moment;

/// Signs requests with a key.
#[derive(Clone)]
pub struct Signer {
    key_id: String,
    secret: String,
    token: Option<String>,
    region: String,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

impl Signer {
    /// Signs with this key, for a region.
    #[must_use]
    pub fn new(
        key_id: impl Into<String>,
        secret: impl Into<String>,
        token: Option<String>,
        region: impl Into<String>,
    ) -> Self {
        Self { key_id: key_id.into(), secret: secret.into(), token, region: region.into() }
    }

    /// Adds the date, the session's token and the signature to the headers of a `POST` to `path`. All headers
    /// that are there are signed: that of the host has to be among them.
    ///
    /// # Errors
    /// If key or token cannot stand in a header.
    pub fn sign(
        &self,
        path: &str,
        headers: &mut HeaderMap,
        body: BodyHash,
        now_ms: u64,
    ) -> Result<(), InvalidHeaderValue> {
        let moment = Moment::from_ms(now_ms);
        let date = moment.basic();
        headers.insert("x-amz-date", HeaderValue::from_str(&date)?);
        if let Some(token) = &self.token {
            headers.insert("x-amz-security-token", HeaderValue::from_str(token)?);
        }
        let mut signed_headers: Vec<String> = headers.keys().map(|name| name.as_str().to_owned()).collect();
        signed_headers.sort_unstable();
        let scope = Scope {
            day: date[..8].to_owned(),
            region: self.region.clone(),
            service: SERVICE.to_owned(),
            term: TERM.to_owned(),
        };
        let parameters = Parameters {
            form: Form::Header,
            key_id: self.key_id.clone(),
            scope,
            date,
            moment,
            signed_headers,
            signature: String::new(),
            token: self.token.clone(),
        };
        let request = SignedRequest { method: "POST", path, query: "", headers, authority: None, body };
        let authorization = self.authorization(&request, &parameters);
        headers.insert(AUTHORIZATION, HeaderValue::from_str(&authorization)?);
        Ok(())
    }

    fn authorization(&self, request: &SignedRequest<'_>, parameters: &Parameters) -> String {
        let scope = &parameters.scope;
        let canonical = canonical::request(request, parameters);
        let to_sign = canonical::string_to_sign(&parameters.date, scope, &canonical);
        let signature = canonical::signature(&canonical::signing_key(&self.secret, scope), &to_sign);
        format!(
            "{ALGORITHM} Credential={}/{}/{}/{}/{}, SignedHeaders={}, Signature={signature}",
            self.key_id,
            scope.day,
            scope.region,
            scope.service,
            scope.term,
            parameters.signed_headers.join(";")
        )
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use hyper::header::HOST;

    use super::*;
    use crate::auth::{Authenticator, Credentials};

    fn signed(signer: &Signer, body: &[u8]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("kinesis.example"));
        headers.insert("x-amz-target", HeaderValue::from_static("Kinesis_20131202.ListStreams"));
        signer.sign("/", &mut headers, BodyHash::of(body), 1_700_000_000_000).unwrap();
        headers
    }

    /// The authenticator takes what botocore signs (see `tests`), so a signature that it takes is one.
    #[test]
    fn what_is_signed_is_taken() {
        let keys =
            "[one]\naws_access_key_id = AKIDONE\naws_secret_access_key = secret\naws_session_token = token\n";
        let keys = Credentials::parse(Path::new("keys"), keys).unwrap();
        let authenticator = Authenticator::new(keys, Some("eu-west-1".to_owned()));
        let signer = Signer::new("AKIDONE", "secret", Some("token".to_owned()), "eu-west-1");
        let headers = signed(&signer, b"{}");
        let who = |headers: &HeaderMap, body: &[u8]| {
            let body = BodyHash::of(body);
            let request =
                SignedRequest { method: "POST", path: "/", query: "", headers, authority: None, body };
            authenticator.authenticate(&request, 1_700_000_000_500).is_ok()
        };
        assert!(who(&headers, b"{}"));
        assert!(!who(&headers, b"[]"));
        let other = Signer::new("AKIDONE", "another", Some("token".to_owned()), "eu-west-1");
        assert!(!who(&signed(&other, b"{}"), b"{}"));
        assert!(!format!("{signer:?}").contains("secret"));
    }
}
