//! The outside of a request: which operation it asks for and how its body is encoded, or what is said to one
//! that asks for nothing. The answers, and which of two faults is told, are those on record in kinesalite's
//! tests, which ran against AWS.

use hyper::header::{self, HeaderMap, HeaderName};
use hyper::{Method, StatusCode};

use super::Encoding;
use crate::error::{Error, ErrorCode};
use crate::model::{Model, Operation};

/// The content type of services that came before this one: it is known, and leads nowhere.
const PLAIN_JSON: &str = "application/json";

/// What the outside of a request comes to.
#[derive(Debug)]
pub enum Envelope {
    /// It asks for an operation.
    Call(Encoding, &'static Operation),
    /// It does not, and this is the answer.
    Answer(Plain),
}

/// An answer to what is no request of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plain {
    /// The status.
    pub status: StatusCode,
    /// The `Content-Type`, if AWS sends one.
    pub content_type: Option<&'static str>,
    /// The body.
    pub body: Vec<u8>,
}

/// Opens a request; `is_empty` says whether it has no body.
#[must_use]
pub fn open(method: &Method, headers: &HeaderMap, is_empty: bool) -> Envelope {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if *method == Method::OPTIONS && headers.contains_key(header::ORIGIN) {
        return Envelope::Answer(Plain { status: StatusCode::OK, content_type: None, body: Vec::new() });
    }
    if *method != Method::POST {
        return Envelope::Answer(nothing_asked());
    }
    let target = text(HeaderName::from_static("x-amz-target"));
    let (service, operation) = target.split_once('.').unwrap_or((target, ""));
    let model = Model::kinesis();
    let known = model.operation(operation).filter(|_| service == model.target());
    let content_type = text(header::CONTENT_TYPE);
    let encoding = Encoding::of_content_type(content_type);
    match (encoding, known) {
        (Some(encoding), Some(operation)) if !is_empty => Envelope::Call(encoding, operation),
        (_, known) if is_empty => {
            let code = if known.is_some() { ErrorCode::Serialization } else { ErrorCode::UnknownOperation };
            let encoding = encoding.filter(|encoding| *encoding == Encoding::Json).unwrap_or(Encoding::Cbor);
            Envelope::Answer(encoded(encoding, code))
        }
        (Some(encoding), _) => Envelope::Answer(encoded(encoding, ErrorCode::UnknownOperation)),
        (None, _) if is_plain_json(content_type) => Envelope::Answer(Plain {
            status: StatusCode::NOT_FOUND,
            content_type: Some(PLAIN_JSON),
            body: br#"{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}"#
                .to_vec(),
        }),
        (None, _) if service.is_empty() || operation.is_empty() => Envelope::Answer(nothing_asked()),
        (None, _) => Envelope::Answer(Plain {
            status: StatusCode::NOT_FOUND,
            content_type: None,
            body: b"<UnknownOperationException/>\n".to_vec(),
        }),
    }
}

/// Headers for a page of another origin: what it may read of an answer, and what it may send.
pub fn across_origins(method: &Method, request: &HeaderMap, answer: &mut HeaderMap) {
    use header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
        ACCESS_CONTROL_REQUEST_METHOD, HeaderValue,
    };
    if !request.contains_key(header::ORIGIN) {
        return;
    }
    answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    if *method == Method::OPTIONS {
        for (asked, allowed) in [
            (ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_ALLOW_HEADERS),
            (ACCESS_CONTROL_REQUEST_METHOD, ACCESS_CONTROL_ALLOW_METHODS),
        ] {
            if let Some(value) = request.get(asked) {
                answer.insert(allowed, value.clone());
            }
        }
        answer.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("172800"));
    } else {
        let exposed =
            "x-amzn-RequestId,x-amzn-ErrorType,x-amz-request-id,x-amz-id-2,x-amzn-ErrorMessage,Date";
        answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(exposed));
    }
}

fn is_plain_json(content_type: &str) -> bool {
    content_type.split(';').next().unwrap_or_default().trim() == PLAIN_JSON
}

fn encoded(encoding: Encoding, code: ErrorCode) -> Plain {
    let mut body = Vec::new();
    encoding.write_error(&Error::new(code, ""), &mut body);
    Plain { status: StatusCode::BAD_REQUEST, content_type: Some(encoding.content_type()), body }
}

fn nothing_asked() -> Plain {
    let body = "<AccessDeniedException>\n  <Message>Unable to determine service/operation name to be \
                authorized</Message>\n</AccessDeniedException>\n";
    Plain { status: StatusCode::FORBIDDEN, content_type: None, body: body.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = "application/x-amz-json-1.1";
    const CBOR: &str = "application/x-amz-cbor-1.1";
    const LIST: &str = "Kinesis_20131202.ListStreams";

    fn told(
        method: &Method,
        headers: &[(&'static str, &str)],
        is_empty: bool,
    ) -> (u16, Option<&'static str>, String) {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        match open(method, &headers, is_empty) {
            Envelope::Call(encoding, operation) => {
                (200, Some(encoding.content_type()), operation.name.to_owned())
            }
            Envelope::Answer(Plain { status, content_type, body }) => {
                (status.as_u16(), content_type, String::from_utf8_lossy(&body).into_owned())
            }
        }
    }

    /// Answers of AWS on record.
    #[test]
    fn what_asks_for_nothing_is_answered_as_on_record() {
        let denied = (
            403,
            None,
            "<AccessDeniedException>\n  <Message>Unable to determine service/operation name to be authorized\
             </Message>\n</AccessDeniedException>\n"
                .to_owned(),
        );
        let cbor = |code: &str| (400, Some(CBOR), format!("\u{fffd}f__type{}{code}", head_of(code)));
        let json = |code: &str| (400, Some(JSON), format!(r#"{{"__type":"{code}"}}"#));
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            assert_eq!(told(&method, &[("content-type", JSON), ("x-amz-target", LIST)], true), denied);
        }
        let post = |headers: &[(&'static str, &str)], is_empty| told(&Method::POST, headers, is_empty);
        let (content, target) = ("content-type", "x-amz-target");
        assert_eq!(post(&[], true), cbor("UnknownOperationException"));
        assert_eq!(post(&[(content, "application/x-amz-json-1.0")], true), cbor("UnknownOperationException"));
        assert_eq!(post(&[(target, "Kinesis_20131202.")], true), cbor("UnknownOperationException"));
        assert_eq!(post(&[(target, "Whatever.ListStreams")], true), cbor("UnknownOperationException"));
        assert_eq!(post(&[(target, LIST)], true), cbor("SerializationException"));
        assert_eq!(
            post(&[(target, LIST), (content, "application/json")], true),
            cbor("SerializationException")
        );
        assert_eq!(post(&[(content, JSON)], true), json("UnknownOperationException"));
        assert_eq!(post(&[(content, JSON), (target, LIST)], true), json("SerializationException"));
        assert_eq!(post(&[], false), denied);
        let unknown = (404, None, "<UnknownOperationException/>\n".to_owned());
        assert_eq!(post(&[(target, LIST)], false), unknown);
        assert_eq!(
            post(&[(content, JSON), (target, "Kinesis_20131202.List")], false),
            json("UnknownOperationException")
        );
        let (status, content_type, body) = post(&[(content, "  application/json  ;"), (target, LIST)], false);
        assert_eq!((status, content_type), (404, Some("application/json")));
        assert!(body.contains("com.amazon.coral.service#UnknownOperationException"));
        let call = (200, Some(JSON), "ListStreams".to_owned());
        assert_eq!(
            post(&[(content, "  application/x-amz-json-1.1  ;whatever"), (target, LIST)], false),
            call
        );
        assert_eq!(told(&Method::OPTIONS, &[("origin", "x")], true), (200, None, String::new()));
    }

    /// The head of a text of CBOR, as characters.
    fn head_of(text: &str) -> String {
        // 24 bytes and more are counted in a byte of their own.
        let len = char::from(u8::try_from(text.len()).unwrap());
        if text.len() < 24 { format!("{}", char::from(0x60 + len as u8)) } else { format!("x{len}") }
    }

    #[test]
    fn pages_of_another_origin_may_ask() {
        let mut request = HeaderMap::new();
        let mut answer = HeaderMap::new();
        across_origins(&Method::POST, &request, &mut answer);
        assert!(answer.is_empty());
        request.insert("origin", "whatever".parse().unwrap());
        request.insert("access-control-request-headers", "a, b, c".parse().unwrap());
        across_origins(&Method::OPTIONS, &request, &mut answer);
        assert_eq!(answer["access-control-allow-origin"], "*");
        assert_eq!(answer["access-control-allow-headers"], "a, b, c");
        assert_eq!(answer["access-control-max-age"], "172800");
        assert!(!answer.contains_key("access-control-expose-headers"));
    }
}
