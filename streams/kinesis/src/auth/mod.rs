//! Who sends a request: AWS Signature Version 4, in the header and the query form, verified against keys of a
//! file. The service has no part in it: nothing is read but what is given, and the time is given too.
//!
//! * [`Credentials`]: the keys, their sessions, and what each may do
//! * `parameters`: what a request says of its signature
//! * `canonical`: what is signed, and how
//! * [`Signer`]: the client's side
//!
//! The body's hash is always taken from the body, as AWS does for this service: a request that was signed
//! over `UNSIGNED-PAYLOAD` does not match. Sources: "Signature Version 4 signing process" and "Troubleshooting
//! Signature Version 4" of the AWS reference; messages are those that AWS has given on record.

mod canonical;
mod credentials;
mod parameters;
mod sign;
#[cfg(test)]
mod tests;

pub use hyper::HeaderMap;
use ring::digest;

use crate::dates::Moment;
pub use credentials::{Access, Credentials, Identity, InvalidCredentials};
use parameters::{Form, Parameters};
pub use sign::Signer;

use crate::error::{Error, ErrorCode, Result};

/// How far the clocks of client and service may be apart, in seconds. AWS documents five minutes for most of
/// its services and has allowed fifteen in this one; a client that AWS takes is taken here.
const MOST_SKEW_S: i64 = 15 * 60;

/// The service of the credential scope.
const SERVICE: &str = "kinesis";

/// What of a request is signed.
#[derive(Debug, Clone, Copy)]
pub struct SignedRequest<'a> {
    /// The method.
    pub method: &'a str,
    /// The path, as sent.
    pub path: &'a str,
    /// The query behind the question mark, as sent; empty if there is none.
    pub query: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// What stands in for the header `Host` where there is none: `:authority` of HTTP/2.
    pub authority: Option<&'a str>,
    /// The hash of the whole body.
    pub body: BodyHash,
}

/// The SHA-256 of a body. It takes half a millisecond for each megabyte, so it is for the caller to say
/// where it is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyHash([u8; 32]);

impl BodyHash {
    /// That of `body`.
    #[must_use]
    pub fn of(body: &[u8]) -> Self {
        let hash = digest::digest(&digest::SHA256, body);
        Self(hash.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

/// Verifies signatures.
#[derive(Debug)]
pub struct Authenticator {
    credentials: Credentials,
    region: Option<String>,
}

impl Authenticator {
    /// Takes requests that are signed with one of `credentials`. With a `region`, only those that are signed
    /// for it.
    #[must_use]
    pub fn new(credentials: Credentials, region: Option<String>) -> Self {
        Self { credentials, region }
    }

    /// Finds out who sent a request. `now_ms` is the time, in ms since the Unix epoch.
    ///
    /// # Errors
    /// AWS's, in AWS's order: `MissingAuthenticationTokenException`, `IncompleteSignatureException`,
    /// `InvalidSignatureException` for what is not signed, clocks, and scope; `UnrecognizedClientException`
    /// and `ExpiredTokenException`; `InvalidSignatureException` with what should have been signed.
    pub fn authenticate(&self, request: &SignedRequest<'_>, now_ms: u64) -> Result<&Identity> {
        let parameters = Parameters::of(request)?;
        signs_enough(request, &parameters)?;
        let now = Moment::from_ms(now_ms);
        in_time(&parameters, now)?;
        self.in_scope(&parameters)?;
        let identity = self.credentials.find(&parameters.key_id).ok_or_else(unrecognized)?;
        identity.has_session(parameters.token.as_deref(), now)?;

        let canonical = canonical::request(request, &parameters);
        let scope = &parameters.scope;
        let to_sign = canonical::string_to_sign(&parameters.date, scope, &canonical);
        let key = canonical::signing_key(identity.secret(), scope);
        if canonical::signature_is(&key, &to_sign, &parameters.signature) {
            return Ok(identity);
        }
        Err(invalid(format!(
            "The request signature we calculated does not match the signature you provided. Check your AWS \
             Secret Access Key and signing method. Consult the service documentation for details.\n\n\
             The Canonical String for this request should have been\n'{canonical}'\n\n\
             The String-to-Sign should have been\n'{to_sign}'\n"
        )))
    }

    fn in_scope(&self, parameters: &Parameters) -> Result {
        let mut wrong = Vec::new();
        let scope = &parameters.scope;
        if self.region.as_deref().is_some_and(|region| region != scope.region) || scope.region.is_empty() {
            wrong.push(format!("Credential should be scoped to a valid region, not '{}'. ", scope.region));
        }
        if scope.service != SERVICE {
            wrong.push(format!("Credential should be scoped to correct service: '{SERVICE}'. "));
        }
        if scope.term != canonical::TERM {
            wrong.push(format!(
                "Credential should be scoped with a valid terminator: '{}', not '{}'. ",
                canonical::TERM,
                scope.term
            ));
        }
        if !parameters.date.starts_with(&scope.day) || scope.day.len() != 8 {
            wrong.push(format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: \
                 '{}' != '{}', from '{}'. ",
                scope.day,
                &parameters.date[..8],
                parameters.date
            ));
        }
        if wrong.is_empty() { Ok(()) } else { Err(invalid(wrong.concat())) }
    }
}

/// The host, and which operation is asked for, have to be signed.
fn signs_enough(request: &SignedRequest<'_>, parameters: &Parameters) -> Result {
    let signs = |name: &str| parameters.signed_headers.iter().any(|signed| signed == name);
    if !signs("host") && !signs(":authority") {
        let message = "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.";
        return Err(invalid(message.to_owned()));
    }
    let target = "x-amz-target";
    if request.headers.contains_key(target) && !signs(target) {
        return Err(invalid(format!("'{target}' must be a 'SignedHeader' in the AWS Authorization.")));
    }
    Ok(())
}

fn in_time(parameters: &Parameters, now: Moment) -> Result {
    let signed = parameters.moment;
    let (date, now_text) = (&parameters.date, now.basic());
    let latest = now.plus_seconds(MOST_SKEW_S);
    if signed > latest {
        return Err(invalid(format!(
            "Signature not yet current: {date} is still later than {} ({now_text} + {} min.)",
            latest.basic(),
            MOST_SKEW_S / 60
        )));
    }
    let lives_s = match parameters.form {
        Form::Header => MOST_SKEW_S,
        Form::Query { expires_s } => expires_s.unwrap_or(MOST_SKEW_S),
    };
    let earliest = now.plus_seconds(-lives_s);
    if signed < earliest {
        return Err(invalid(format!(
            "Signature expired: {date} is now earlier than {} ({now_text} - {} min.)",
            earliest.basic(),
            lives_s / 60
        )));
    }
    Ok(())
}

fn invalid(message: String) -> Error {
    Error::new(ErrorCode::InvalidSignature, message)
}

fn incomplete(message: impl Into<String>) -> Error {
    Error::new(ErrorCode::IncompleteSignature, message)
}

fn unrecognized() -> Error {
    Error::new(ErrorCode::UnrecognizedClient, "The security token included in the request is invalid.")
}
