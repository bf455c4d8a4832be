//! Signatures that botocore made, AWS's own test suite, and what of a signed request may not change.

use std::path::Path;

use base64::Engine as _;
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use proptest::prelude::*;
use serde_json::Value as Json;

use super::parameters::Scope;
use super::*;

static FIXTURES: std::sync::LazyLock<Json> = std::sync::LazyLock::new(|| {
    serde_json::from_str(include_str!("../../fixtures/signatures.json")).unwrap()
});

fn text(json: &Json) -> &str {
    json.as_str().unwrap()
}

/// A request that can be changed.
#[derive(Debug, Clone, PartialEq)]
struct Sent {
    method: String,
    path: String,
    query: String,
    headers: HeaderMap,
    authority: Option<String>,
    body: Vec<u8>,
}

impl Sent {
    fn of_fixture(json: &Json) -> Self {
        let mut headers = HeaderMap::new();
        for pair in json["headers"].as_array().unwrap() {
            let name: HeaderName = text(&pair[0]).parse().unwrap();
            headers.append(name, HeaderValue::from_str(text(&pair[1])).unwrap());
        }
        Self {
            method: text(&json["method"]).to_owned(),
            path: text(&json["path"]).to_owned(),
            query: text(&json["query"]).to_owned(),
            headers,
            authority: None,
            body: base64::engine::general_purpose::STANDARD.decode(text(&json["body"])).unwrap(),
        }
    }

    fn request(&self) -> SignedRequest<'_> {
        SignedRequest {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: &self.headers,
            authority: self.authority.as_deref(),
            body: BodyHash::of(&self.body),
        }
    }

    fn set(&mut self, name: &'static str, value: &str) {
        self.headers.insert(name, HeaderValue::from_str(value).unwrap());
    }

    fn authorization(&self) -> String {
        self.headers["authorization"].to_str().unwrap().to_owned()
    }
}

fn sent(name: &str) -> Sent {
    let requests = FIXTURES["requests"].as_array().unwrap();
    Sent::of_fixture(requests.iter().find(|request| text(&request["name"]) == name).unwrap())
}

fn signed_at_ms() -> u64 {
    Moment::from_basic(text(&FIXTURES["signed_at"])).unwrap().ms()
}

/// Knows the key of the fixtures, with its session or without, and another.
fn authenticator(token: bool) -> Authenticator {
    let token =
        if token { format!("aws_session_token = {}\n", text(&FIXTURES["token"])) } else { String::new() };
    let file = format!(
        "[one]\naws_access_key_id = {}\naws_secret_access_key = {}\n{token}\
         [two]\naws_access_key_id = AKIDTWO\naws_secret_access_key = other\n",
        text(&FIXTURES["key"]),
        text(&FIXTURES["secret"]),
    );
    let keys = Credentials::parse(Path::new("keys"), &file).unwrap();
    Authenticator::new(keys, Some(text(&FIXTURES["region"]).to_owned()))
}

fn answer(sent: &Sent, now_ms: u64) -> Result<String> {
    authenticator(false).authenticate(&sent.request(), now_ms).map(|identity| identity.name().to_owned())
}

fn refusal(sent: &Sent) -> (ErrorCode, String) {
    let error = answer(sent, signed_at_ms()).unwrap_err();
    (error.code(), error.message().to_owned())
}

#[test]
fn what_botocore_signs_is_taken() {
    for json in FIXTURES["requests"].as_array().unwrap() {
        let name = text(&json["name"]);
        let sent = Sent::of_fixture(json);
        let ours = authenticator(name.contains("session"));
        let found = ours.authenticate(&sent.request(), signed_at_ms()).map(Identity::name);
        assert_eq!(found, Ok("one"), "{name}");
        let other = authenticator(!name.contains("session"));
        assert_eq!(
            other.authenticate(&sent.request(), signed_at_ms()).unwrap_err(),
            unrecognized(),
            "{name}"
        );
    }
}

#[test]
fn the_test_suite_of_aws_is_kept() {
    let suite = FIXTURES["suite"].as_array().unwrap();
    assert!(suite.len() > 50);
    for case in suite {
        let name = text(&case["name"]);
        let sent = of_suite(text(&case["request"]));
        let parameters = Parameters::of(&sent.request()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let canonical = canonical::request(&sent.request(), &parameters);
        assert_eq!(canonical, text(&case["canonical"]), "{name}");
        let to_sign = canonical::string_to_sign(&parameters.date, &parameters.scope, &canonical);
        assert_eq!(to_sign, text(&case["to_sign"]), "{name}");
        let key = canonical::signing_key("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", &parameters.scope);
        assert!(canonical::signature_is(&key, &to_sign, text(&case["signature"])), "{name}");
        assert_eq!(parameters.signature, text(&case["signature"]), "{name}");
    }
}

/// Reads a request of the suite: lines that begin with a space go on with the one before.
fn of_suite(request: &str) -> Sent {
    let (head, body) = request.split_once("\n\n").unwrap_or((request.trim_end(), ""));
    let head = head.replace("\n ", " ");
    let mut lines = head.lines();
    let (method, rest) = lines.next().unwrap().split_once(' ').unwrap();
    let target = rest.strip_suffix(" HTTP/1.1").unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = HeaderMap::new();
    for (name, value) in lines.map(|line| line.split_once(':').unwrap()) {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        headers.append(name.parse::<HeaderName>().unwrap(), value);
    }
    let (method, path, query) = (method.to_owned(), path.to_owned(), query.to_owned());
    Sent { method, path, query, headers, authority: None, body: body.as_bytes().to_vec() }
}

#[test]
fn http_2_names_its_host_elsewhere() {
    let mut sent = sent("header");
    let host = sent.headers.remove("host").unwrap();
    assert_eq!(refusal(&sent).0, ErrorCode::InvalidSignature);
    sent.authority = Some(host.to_str().unwrap().to_owned());
    assert_eq!(answer(&sent, signed_at_ms()), Ok("one".to_owned()));
}

#[test]
fn clocks_may_be_a_quarter_of_an_hour_apart() {
    let (sent, at) = (sent("header"), signed_at_ms());
    let minutes = |minutes: u64| minutes * 60_000;
    assert_eq!(answer(&sent, at + minutes(15)), Ok("one".to_owned()));
    assert_eq!(answer(&sent, at - minutes(15)), Ok("one".to_owned()));
    assert_eq!(
        answer(&sent, at + minutes(15) + 1000).unwrap_err(),
        invalid(
            "Signature expired: 20261127T173015Z is now earlier than 20261127T173016Z (20261127T174516Z - 15 min.)"
                .to_owned()
        )
    );
    assert_eq!(
        answer(&sent, at - minutes(15) - 1000).unwrap_err(),
        invalid(
            "Signature not yet current: 20261127T173015Z is still later than 20261127T173014Z \
             (20261127T171514Z + 15 min.)"
                .to_owned()
        )
    );
}

#[test]
fn a_signed_url_is_good_for_as_long_as_it_says() {
    let (sent, at) = (sent("query"), signed_at_ms());
    assert_eq!(answer(&sent, at + 3_600_000), Ok("one".to_owned()));
    let error = answer(&sent, at + 3_601_000).unwrap_err();
    assert!(
        error.message().starts_with("Signature expired: 20261127T173015Z is now earlier than"),
        "{error}"
    );
    for (expires, message) in [
        ("604801", "X-Amz-Expires must be less than a week"),
        ("-1", "X-Amz-Expires must be non-negative"),
        ("x", "X-Amz-Expires should be a number"),
    ] {
        let mut sent = sent.clone();
        sent.query = sent.query.replace("X-Amz-Expires=3600", &format!("X-Amz-Expires={expires}"));
        let (code, said) = refusal(&sent);
        assert_eq!(code, ErrorCode::IncompleteSignature);
        assert!(said.starts_with(message), "{said}");
    }
}

/// Answers that kinesalite's tests have on record from AWS.
#[test]
fn what_lacks_a_part_is_told_which() {
    let mut bare = sent("header");
    bare.headers.remove("authorization");
    bare.headers.remove("x-amz-date");
    let header = |authorization: &str| {
        let mut sent = bare.clone();
        sent.set("authorization", authorization);
        sent
    };
    let query = |query: &str| Sent { query: query.to_owned(), ..bare.clone() };
    assert_eq!(
        refusal(&bare),
        (ErrorCode::MissingAuthenticationToken, "Missing Authentication Token".to_owned())
    );
    let without = query("X-Amz-Credential=a&X-Amz-Signature=b&X-Amz-SignedHeaders=c&X-Amz-Date=d");
    assert_eq!(refusal(&without).0, ErrorCode::MissingAuthenticationToken);
    let incomplete = |sent: &Sent| {
        let (code, message) = refusal(sent);
        assert_eq!(code, ErrorCode::IncompleteSignature, "{message}");
        message
    };
    assert_eq!(
        incomplete(&header("X")),
        "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' \
         parameter. Authorization header requires 'SignedHeaders' parameter. Authorization header requires \
         existence of either a 'X-Amz-Date' or a 'Date' header. Authorization=X"
    );
    for form in [
        "AWS4- Signature=b Credential=a",
        "AWS4- Signature=b,Credential=a",
        "AWS4- Signature=b, Credential=a",
    ] {
        let mut sent = header(form);
        sent.set("date", "a");
        assert_eq!(
            incomplete(&sent),
            format!("Authorization header requires 'SignedHeaders' parameter. Authorization={form}")
        );
    }
    assert_eq!(
        incomplete(&query("X-Amz-Algorithm")),
        "AWS query-string parameters must include 'X-Amz-Algorithm'. AWS query-string parameters must include \
         'X-Amz-Credential'. AWS query-string parameters must include 'X-Amz-Signature'. AWS query-string \
         parameters must include 'X-Amz-SignedHeaders'. AWS query-string parameters must include 'X-Amz-Date'. \
         Re-examine the query-string parameters."
    );
    assert_eq!(
        incomplete(&query("X-Amz-Algorithm=a&X-Amz-Credential=b&X-Amz-Signature=c&X-Amz-Date=d")),
        "AWS query-string parameters must include 'X-Amz-SignedHeaders'. Re-examine the query-string parameters."
    );
    let both = Sent { query: "X-Amz-Algorithm".to_owned(), ..header("X") };
    assert_eq!(
        refusal(&both),
        (
            ErrorCode::InvalidSignature,
            "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."
                .to_owned()
        )
    );
}

#[test]
fn what_is_malformed_is_told_how() {
    let changed = |from: &str, to: &str| {
        let mut sent = sent("header");
        let authorization = sent.authorization().replace(from, to);
        sent.set("authorization", &authorization);
        refusal(&sent)
    };
    for (from, to, code, message) in [
        (
            "HMAC-SHA256",
            "HMAC-SHA1",
            ErrorCode::IncompleteSignature,
            "Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA1'.",
        ),
        (
            "/kinesis/aws4_request",
            "",
            ErrorCode::IncompleteSignature,
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got \
             'AKIDPELTON/20261127/eu-central-1'",
        ),
        (
            "eu-central-1",
            "us-east-1",
            ErrorCode::InvalidSignature,
            "Credential should be scoped to a valid region, not 'us-east-1'. ",
        ),
        (
            "kinesis/aws4_request",
            "s3/aws5",
            ErrorCode::InvalidSignature,
            "Credential should be scoped to correct service: 'kinesis'. Credential should be scoped with a valid \
             terminator: 'aws4_request', not 'aws5'. ",
        ),
        (
            "20261127",
            "20261126",
            ErrorCode::InvalidSignature,
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20261126' \
             != '20261127', from '20261127T173015Z'. ",
        ),
        (
            "host;",
            "",
            ErrorCode::InvalidSignature,
            "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
        ),
        (
            ";x-amz-target",
            "",
            ErrorCode::InvalidSignature,
            "'x-amz-target' must be a 'SignedHeader' in the AWS Authorization.",
        ),
        (
            "AKIDPELTON",
            "AKIDNONE",
            ErrorCode::UnrecognizedClient,
            "The security token included in the request is invalid.",
        ),
    ] {
        assert_eq!(changed(from, to), (code, message.to_owned()), "{from}");
    }
    let mut sent = sent("header");
    sent.set("x-amz-date", "yesterday");
    assert_eq!(
        refusal(&sent),
        (
            ErrorCode::IncompleteSignature,
            "Date must be in ISO-8601 'basic format'. Got 'yesterday'. See http://en.wikipedia.org/wiki/ISO_8601"
                .to_owned()
        )
    );
}

#[test]
fn who_signs_wrong_is_shown_what_should_have_been_signed() {
    let mut sent = sent("header");
    sent.body.push(b' ');
    let (code, message) = refusal(&sent);
    assert_eq!(code, ErrorCode::InvalidSignature);
    let mut hash = String::new();
    canonical::hex(&BodyHash::of(&sent.body).0, &mut hash);
    let canonical = format!(
        "POST\n/\n\ncontent-type:application/x-amz-json-1.1\nhost:kinesis.example:4567\n\
         x-amz-date:20261127T173015Z\nx-amz-target:Kinesis_20131202.PutRecord\n\n\
         content-type;host;x-amz-date;x-amz-target\n{hash}"
    );
    assert!(
        message.starts_with(&format!(
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
             Access Key and signing method. Consult the service documentation for details.\n\n\
             The Canonical String for this request should have been\n'{canonical}'\n\n\
             The String-to-Sign should have been\n'AWS4-HMAC-SHA256\n20261127T173015Z\n\
             20261127/eu-central-1/kinesis/aws4_request\n"
        )),
        "{message}"
    );
    assert!(message.ends_with("'\n"));
}

#[test]
fn an_unsigned_payload_is_not_taken() {
    let mut sent = sent("header");
    sent.set("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
    sign(&mut sent, "content-type;host;x-amz-content-sha256;x-amz-date;x-amz-target", |canonical| {
        let at = canonical.rfind('\n').unwrap();
        format!("{}\nUNSIGNED-PAYLOAD", &canonical[..at])
    });
    assert_eq!(refusal(&sent).0, ErrorCode::InvalidSignature);
    sign(&mut sent, "content-type;host;x-amz-content-sha256;x-amz-date;x-amz-target", str::to_owned);
    assert_eq!(answer(&sent, signed_at_ms()), Ok("one".to_owned()), "only the payload was wrong");
}

/// Signs a request by its header, with `change` applied to what is signed.
fn sign(sent: &mut Sent, headers: &str, change: impl Fn(&str) -> String) {
    let region = text(&FIXTURES["region"]);
    let scope = format!("20261127/{region}/kinesis/aws4_request");
    let with = |signature: &str| {
        format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={headers}, Signature={signature}",
            text(&FIXTURES["key"])
        )
    };
    sent.set("authorization", &with("00"));
    let parameters = Parameters::of(&sent.request()).unwrap();
    let canonical = change(&canonical::request(&sent.request(), &parameters));
    let to_sign = canonical::string_to_sign(&parameters.date, &parameters.scope, &canonical);
    let key = canonical::signing_key(text(&FIXTURES["secret"]), &parameters.scope);
    let mut signature = String::new();
    canonical::hex(ring::hmac::sign(&key, to_sign.as_bytes()).as_ref(), &mut signature);
    sent.set("authorization", &with(&signature));
}

#[test]
fn a_date_header_stands_in_for_that_of_aws() {
    let mut sent = sent("header");
    sent.headers.remove("x-amz-date");
    sent.set("date", "Fri, 27 Nov 2026 17:30:15 GMT");
    sign(&mut sent, "content-type;date;host;x-amz-target", str::to_owned);
    assert_eq!(answer(&sent, signed_at_ms()), Ok("one".to_owned()));
}

#[test]
fn a_region_is_only_asked_for_if_there_is_one() {
    let file = "[one]\naws_access_key_id = AKIDPELTON\naws_secret_access_key = s3cr3t/with+signs=\n";
    let any = Authenticator::new(Credentials::parse(Path::new("keys"), file).unwrap(), None);
    assert!(any.authenticate(&sent("header").request(), signed_at_ms()).is_ok());
}

/// One byte that is another, in one place of a request.
fn changed(mut sent: Sent, place: usize, at: usize, to: u8) -> Sent {
    let other = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        if !bytes.is_empty() {
            let at = at % bytes.len();
            bytes[at] = to;
        }
        bytes
    };
    let other_text = |text: &str| String::from_utf8(other(text.as_bytes())).unwrap();
    let signed = ["content-type", "host", "x-amz-date", "x-amz-target", "authorization"];
    match place {
        0 => sent.method = other_text(&sent.method),
        1 => sent.path = other_text(&sent.path),
        2 => sent.query = other_text(&sent.query),
        3 => sent.body = other(&sent.body),
        place => {
            let name = signed[place % signed.len()];
            let value = sent.headers.get(name).map(|value| other(value.as_bytes()));
            if let Some(value) = value.and_then(|value| HeaderValue::from_bytes(&value).ok()) {
                sent.headers.insert(name, value);
            }
        }
    }
    sent
}

proptest! {
    /// Whatever byte of what is signed is another: the request is refused.
    #[test]
    fn no_signed_byte_may_change(
        form in 0_usize..2,
        place in 0_usize..9,
        at in any::<usize>(),
        to in 33_u8..127,
    ) {
        let before = sent(["header", "query"][form]);
        let after = changed(before.clone(), place, at, to);
        prop_assume!(canonically(&before) != canonically(&after));
        prop_assert!(answer(&after, signed_at_ms()).is_err(), "{after:?}");
    }

    /// Whatever the header is, it is judged.
    #[test]
    fn any_header_is_judged(authorization in "[ -~]{0,80}", query in "\\PC{0,40}", date in "[ -~]{0,20}") {
        let mut sent = sent("header");
        sent.set("authorization", &authorization);
        sent.query = query;
        sent.set("x-amz-date", &date);
        prop_assert!(answer(&sent, signed_at_ms()).is_err());
    }
}

/// What a request comes to: names and spaces that differ in nothing that is signed are the same.
fn canonically(sent: &Sent) -> Option<(String, String, String, String)> {
    let parameters = Parameters::of(&sent.request()).ok()?;
    let Scope { day, region, service, term } = &parameters.scope;
    let scope = format!("{}/{day}/{region}/{service}/{term}", parameters.key_id);
    Some((canonical::request(&sent.request(), &parameters), parameters.date, scope, parameters.signature))
}
