//! What a request says of its signature, in its header `Authorization` or in its query. What is missing is
//! told all at once, as AWS does.

use std::collections::HashMap;
use std::fmt::Write as _;

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, DATE};

use super::canonical::{ALGORITHM, percent_decode};
use super::{SignedRequest, incomplete, invalid};
use crate::dates::Moment;
use crate::error::{Error, ErrorCode, Result};

const AMZ_DATE: &str = "x-amz-date";

/// The parameters of a signature.
#[derive(Debug)]
pub(super) struct Parameters {
    pub form: Form,
    pub key_id: String,
    pub scope: Scope,
    /// When it was signed, in the basic format.
    pub date: String,
    pub moment: Moment,
    /// The names of headers, small, as they are listed.
    pub signed_headers: Vec<String>,
    pub signature: String,
    pub token: Option<String>,
}

/// Where the signature stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Header,
    /// How long it is good for, if it says so.
    Query {
        expires_s: Option<i64>,
    },
}

/// What a signature is for.
#[derive(Debug)]
pub(super) struct Scope {
    pub day: String,
    pub region: String,
    pub service: String,
    pub term: String,
}

impl Parameters {
    pub fn of(request: &SignedRequest<'_>) -> Result<Self> {
        let header = header(request.headers, AUTHORIZATION.as_str());
        let query = query(request.query);
        match (header, query.contains_key("X-Amz-Algorithm")) {
            (Some(_), true) => Err(invalid(
                "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."
                    .to_owned(),
            )),
            (Some(header), false) => Self::of_header(request.headers, header),
            (None, true) => Self::of_query(query),
            (None, false) => {
                let message = "Missing Authentication Token";
                Err(Error::new(ErrorCode::MissingAuthenticationToken, message))
            }
        }
    }

    fn of_header(headers: &HeaderMap, authorization: &str) -> Result<Self> {
        let mut words = authorization.split([',', ' ']).filter(|word| !word.is_empty());
        let algorithm = words.next().unwrap_or_default();
        let given: HashMap<&str, &str> = words.filter_map(|word| word.trim().split_once('=')).collect();
        let mut missing = String::new();
        let mut take = |name: &str| {
            let value = given.get(name).copied().filter(|value| !value.is_empty());
            if value.is_none() {
                // Writing to a string cannot fail.
                let _ = write!(missing, "Authorization header requires '{name}' parameter. ");
            }
            value.unwrap_or_default().to_owned()
        };
        let (credential, signature, signed) = (take("Credential"), take("Signature"), take("SignedHeaders"));
        let date = header(headers, AMZ_DATE).or_else(|| header(headers, DATE.as_str()));
        if date.is_none() {
            missing.push_str(
                "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ",
            );
        }
        let Some(date) = date.filter(|_| missing.is_empty()) else {
            return Err(incomplete(format!("{missing}Authorization={authorization}")));
        };
        let token = header(headers, "x-amz-security-token").map(str::to_owned);
        Self::new(Form::Header, algorithm, &credential, date, &signed, signature, token)
    }

    fn of_query(mut query: HashMap<String, String>) -> Result<Self> {
        let mut missing = String::new();
        let mut take = |name: &str| {
            let value = query.remove(name).filter(|value| !value.is_empty());
            if value.is_none() {
                let _ = write!(missing, "AWS query-string parameters must include '{name}'. ");
            }
            value.unwrap_or_default()
        };
        let (algorithm, credential) = (take("X-Amz-Algorithm"), take("X-Amz-Credential"));
        let (signature, signed) = (take("X-Amz-Signature"), take("X-Amz-SignedHeaders"));
        let date = take("X-Amz-Date");
        if !missing.is_empty() {
            return Err(incomplete(missing + "Re-examine the query-string parameters."));
        }
        let expires_s = query.get("X-Amz-Expires").map(|text| expires(text)).transpose()?;
        let token = query.remove("X-Amz-Security-Token");
        Self::new(Form::Query { expires_s }, &algorithm, &credential, &date, &signed, signature, token)
    }

    fn new(
        form: Form,
        algorithm: &str,
        credential: &str,
        date: &str,
        signed: &str,
        signature: String,
        token: Option<String>,
    ) -> Result<Self> {
        if algorithm != ALGORITHM {
            return Err(incomplete(format!("Unsupported AWS 'algorithm': '{algorithm}'.")));
        }
        let parts: Vec<&str> = credential.split('/').collect();
        let [key_id, day, region, service, term] = parts[..] else {
            return Err(incomplete(format!(
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, \
                 got '{credential}'"
            )));
        };
        let Some(moment) = Moment::from_basic(date).or_else(|| Moment::from_http(date)) else {
            return Err(incomplete(format!(
                "Date must be in ISO-8601 'basic format'. Got '{date}'. See http://en.wikipedia.org/wiki/ISO_8601"
            )));
        };
        let scope =
            Scope { day: day.into(), region: region.into(), service: service.into(), term: term.into() };
        let signed_headers = signed.split(';').map(str::to_lowercase).collect();
        Ok(Self {
            form,
            key_id: key_id.into(),
            scope,
            date: moment.basic(),
            moment,
            signed_headers,
            signature,
            token,
        })
    }
}

/// The text of a header, if it is there and is text.
fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The parameters of a query, decoded; of those of one name, the first.
fn query(text: &str) -> HashMap<String, String> {
    let mut out = HashMap::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded = |text| String::from_utf8_lossy(&percent_decode(text)).into_owned();
        out.entry(decoded(name)).or_insert_with(|| decoded(value));
    }
    out
}

/// Seconds that a signed URL is good for: at most a week, as AWS has it.
fn expires(text: &str) -> Result<i64> {
    const MOST_S: i64 = 7 * 24 * 60 * 60;
    match text.parse() {
        Ok(seconds @ 0..=MOST_S) => Ok(seconds),
        Ok(..0) => Err(incomplete("X-Amz-Expires must be non-negative")),
        Ok(_) => Err(incomplete(format!(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less \
             than {MOST_S} seconds"
        ))),
        Err(_) => Err(incomplete("X-Amz-Expires should be a number")),
    }
}
