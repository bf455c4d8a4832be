//! The canonical request, what of it is signed, and the signature ("Create a signed AWS API request" of the
//! AWS reference, steps 1 to 4).

use std::fmt::Write as _;

use ring::{digest, hmac};

use super::SignedRequest;
use super::parameters::{Form, Parameters, Scope};

pub(super) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// What a credential scope ends with.
pub(super) const TERM: &str = "aws4_request";

/// The canonical form of a request.
pub(super) fn request(request: &SignedRequest<'_>, parameters: &Parameters) -> String {
    let mut out = String::with_capacity(1024);
    let presigned = matches!(parameters.form, Form::Query { .. });
    // Writing to a string cannot fail.
    let _ = write!(out, "{}\n{}\n{}\n", request.method, path(request.path), query(request.query, presigned));
    for name in &parameters.signed_headers {
        let _ = writeln!(out, "{name}:{}", header(request, name));
    }
    let _ = write!(out, "\n{}\n", parameters.signed_headers.join(";"));
    hex(&request.body.0, &mut out);
    out
}

/// What is signed.
pub(super) fn string_to_sign(date: &str, scope: &Scope, canonical: &str) -> String {
    let Scope { day, region, service, term } = scope;
    let mut out = format!("{ALGORITHM}\n{date}\n{day}/{region}/{service}/{term}\n");
    hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref(), &mut out);
    out
}

/// The key that a secret gives for a scope.
pub(super) fn signing_key(secret: &str, scope: &Scope) -> hmac::Key {
    let Scope { day, region, service, term } = scope;
    let first = hmac::Key::new(hmac::HMAC_SHA256, format!("AWS4{secret}").as_bytes());
    [day, region, service, term].into_iter().fold(first, |key, part| {
        hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref())
    })
}

/// The signature of what is to be signed.
pub(super) fn signature(key: &hmac::Key, to_sign: &str) -> String {
    let mut out = String::with_capacity(64);
    hex(hmac::sign(key, to_sign.as_bytes()).as_ref(), &mut out);
    out
}

/// Whether `signature` is that of `to_sign`, found in a time that does not tell how much of it is right.
pub(super) fn signature_is(key: &hmac::Key, to_sign: &str, signature: &str) -> bool {
    unhex(signature).is_some_and(|tag| hmac::verify(key, to_sign.as_bytes(), &tag).is_ok())
}

/// The values of a header: trimmed, with one space for several, with commas between.
fn header(request: &SignedRequest<'_>, name: &str) -> String {
    let mut out = String::new();
    for (index, value) in request.headers.get_all(name).iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        let text = String::from_utf8_lossy(value.as_bytes());
        for (index, word) in text.split_ascii_whitespace().enumerate() {
            if index > 0 {
                out.push(' ');
            }
            out.push_str(word);
        }
    }
    if name == "host" && !request.headers.contains_key(name) || name == ":authority" {
        return request.authority.unwrap_or_default().to_owned();
    }
    out
}

/// The path without empty and dotted parts, encoded once more than it is.
fn path(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let mut out = String::with_capacity(path.len());
    for part in &parts {
        out.push('/');
        percent_encode(part.as_bytes(), &mut out);
    }
    let ends_open = ["/", "/.", "/.."].iter().any(|end| path.ends_with(end));
    if parts.is_empty() || ends_open {
        out.push('/');
    }
    out
}

/// The parameters, encoded strictly and sorted; without the signature, which cannot sign itself.
fn query(query: &str, presigned: bool) -> String {
    let encoded = |text| {
        let mut out = String::new();
        percent_encode(&percent_decode(text), &mut out);
        out
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<(String, String)> = pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (encoded(name), encoded(value)))
        .filter(|(name, _)| !(presigned && name == "X-Amz-Signature"))
        .collect();
    pairs.sort_unstable();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// Encodes all but letters, digits and `-._~` (RFC 3986, section 2.3).
fn percent_encode(bytes: &[u8], out: &mut String) {
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte.into());
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// Decodes what is encoded by percent; what only looks like it stays.
pub(super) fn percent_decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let decoded = (bytes[at] == b'%').then(|| bytes.get(at + 1..at + 3)).flatten();
        let decoded = decoded.and_then(|digits| Some(digit(digits[0])? << 4 | digit(digits[1])?));
        out.push(decoded.unwrap_or(bytes[at]));
        at += if decoded.is_some() { 3 } else { 1 };
    }
    out
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

pub(super) fn hex(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
}

/// Bytes from small hexadecimal digits.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || digits.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    digits.chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}
