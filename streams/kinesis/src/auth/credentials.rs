//! The keys that requests may be signed with, from a file in the form of AWS's own credentials file, and what
//! each may do.
//!
//! ```ini
//! [operator]
//! aws_access_key_id = AKIAOPERATOR
//! aws_secret_access_key = ...
//!
//! [clicks-producer]
//! aws_access_key_id = AKIAPRODUCER
//! aws_secret_access_key = ...
//! aws_session_token = ...          ; requests have to carry it
//! expires = 2027-01-01T00:00:00Z   ; the session's end
//! write = clicks, audit-*          ; names of streams; a star stands for any characters
//! ```
//!
//! A section without `read`, `write` and `manage` may do everything. With one of them, it may do what they
//! say and no more; whoever may read, write or manage a stream may describe it. AWS's tools pass over these
//! lines, so the file can be theirs too.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use super::unrecognized;
use crate::dates::Moment;
use crate::error::{Error, ErrorCode, Result};

/// The keys of a file.
#[derive(Debug, Default)]
pub struct Credentials {
    by_key: HashMap<String, Identity>,
}

/// Who has a key.
pub struct Identity {
    name: String,
    secret: String,
    token: Option<String>,
    expires: Option<Moment>,
    /// What it may do; all if there is none.
    grants: Option<Grants>,
}

/// For each kind of access, patterns of streams' names.
#[derive(Debug, Default)]
struct Grants {
    read: Vec<String>,
    write: Vec<String>,
    manage: Vec<String>,
}

/// What an operation does to a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Looks at it, not at its records.
    Describe,
    /// Reads its records.
    Read,
    /// Puts records.
    Write,
    /// Changes it, or its consumers, tags or settings.
    Manage,
}

impl Access {
    /// What an operation of the model needs.
    #[must_use]
    pub fn of(operation: &str) -> Self {
        match operation {
            "PutRecord" | "PutRecords" => Self::Write,
            "GetRecords" | "GetShardIterator" | "SubscribeToShard" => Self::Read,
            _ if operation.starts_with("Describe") || operation.starts_with("List") => Self::Describe,
            _ => Self::Manage,
        }
    }
}

impl Identity {
    /// The name of its section.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it may do this to `stream`; to the account, where there is none.
    #[must_use]
    pub fn may(&self, access: Access, stream: Option<&str>) -> bool {
        let Some(Grants { read, write, manage }) = &self.grants else { return true };
        let Some(stream) = stream else {
            // What is in the account can be seen by all; to change it, all of it has to be one's own.
            return access == Access::Describe || manage.iter().any(|pattern| pattern == "*");
        };
        let of = |patterns: &[String]| patterns.iter().any(|pattern| fits(pattern, stream));
        match access {
            Access::Describe => of(read) || of(write) || of(manage),
            Access::Read => of(read),
            Access::Write => of(write),
            Access::Manage => of(manage),
        }
    }

    pub(super) fn secret(&self) -> &str {
        &self.secret
    }

    /// Whether a request with this token is of its session.
    pub(super) fn has_session(&self, token: Option<&str>, now: Moment) -> Result {
        let same = match (&self.token, token) {
            (None, None) => true,
            (Some(ours), Some(theirs)) => same(ours, theirs),
            _ => false,
        };
        if !same {
            return Err(unrecognized());
        }
        if self.expires.is_some_and(|expires| expires <= now) {
            let message = "The security token included in the request is expired";
            return Err(Error::new(ErrorCode::ExpiredToken, message));
        }
        Ok(())
    }
}

impl fmt::Debug for Identity {
    /// Without its secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("name", &self.name)
            .field("grants", &self.grants)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// Reads the text of a credentials file; `file` is for messages.
    ///
    /// # Errors
    /// What is wrong, with its line.
    pub fn parse(file: &Path, text: &str) -> Result<Self, InvalidCredentials> {
        let wrong = |line: usize, why: String| InvalidCredentials {
            place: format!("{}:{line}", file.display()),
            why,
        };
        let mut sections: Vec<Section> = Vec::new();
        for (line, number) in text.lines().zip(1..) {
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(name) = line.strip_prefix('[') {
                let name =
                    name.strip_suffix(']').ok_or_else(|| wrong(number, "a section ends with `]`".into()))?;
                sections.push(Section { line: number, name: name.trim().to_owned(), entries: Vec::new() });
                continue;
            }
            let (key, value) = line
                .split_once('=')
                .ok_or_else(|| wrong(number, "neither a section nor `key = value`".into()))?;
            // A comment stands behind a space, as AWS's tools have it.
            let value = value.split(" ;").next().unwrap_or(value).split(" #").next().unwrap_or(value);
            let section = sections
                .last_mut()
                .ok_or_else(|| wrong(number, "it stands before the first section".into()))?;
            section.entries.push((key.trim().to_lowercase(), value.trim().to_owned()));
        }
        let mut by_key = HashMap::new();
        for Section { line, name, entries } in sections {
            let Some((key, identity)) = identity(name, &entries).map_err(|why| wrong(line, why))? else {
                continue;
            };
            if let Some(other) = by_key.insert(key, identity) {
                return Err(wrong(line, format!("its access key is also that of [{}]", other.name)));
            }
        }
        if by_key.is_empty() {
            return Err(wrong(1, "no section has an access key".into()));
        }
        Ok(Self { by_key })
    }

    /// Whose key this is.
    pub(super) fn find(&self, key_id: &str) -> Option<&Identity> {
        self.by_key.get(key_id)
    }
}

/// A section of the file, with the line that it begins in.
struct Section {
    line: usize,
    name: String,
    entries: Vec<(String, String)>,
}

/// Reads a section; one without a key, of which AWS's files have some, is none.
fn identity(name: String, entries: &[(String, String)]) -> Result<Option<(String, Identity)>, String> {
    let get = |key: &str| {
        let value = entries.iter().rev().find(|(other, _)| other == key).map(|(_, value)| value.as_str());
        value.filter(|value| !value.is_empty())
    };
    let (key, secret) = match (get("aws_access_key_id"), get("aws_secret_access_key")) {
        (Some(key), Some(secret)) => (key.to_owned(), secret.to_owned()),
        (None, None) => return Ok(None),
        (Some(_), None) => return Err(format!("[{name}] has no `aws_secret_access_key`")),
        (None, Some(_)) => return Err(format!("[{name}] has no `aws_access_key_id`")),
    };
    let expires = match get("expires") {
        None => None,
        Some(text) => Some(Moment::from_extended(text).ok_or_else(|| {
            format!("[{name}] has `expires = {text}`, which is not of the form 2027-01-01T00:00:00Z")
        })?),
    };
    let says = |key: &str| entries.iter().any(|(other, _)| other == key);
    let list = |key| {
        let patterns = get(key).unwrap_or_default().split(',').map(str::trim);
        patterns.filter(|pattern| !pattern.is_empty()).map(str::to_owned).collect()
    };
    let granted = says("read") || says("write") || says("manage");
    let grants = granted.then(|| Grants { read: list("read"), write: list("write"), manage: list("manage") });
    let token = get("aws_session_token").map(str::to_owned);
    Ok(Some((key, Identity { name, secret, token, expires, grants })))
}

/// A credentials file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {why}")]
pub struct InvalidCredentials {
    place: String,
    why: String,
}

/// Whether a pattern, in which a star stands for any characters, fits a name.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = name.find(part) else { return false };
        name = &name[at + part.len()..];
    }
    name.ends_with(last)
}

/// Whether two secrets are the same, found in a time that does not tell where they differ.
fn same(ours: &str, theirs: &str) -> bool {
    let hash = |text: &str| ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    hash(ours).as_ref().iter().zip(hash(theirs).as_ref()).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Credentials, String> {
        Credentials::parse(Path::new("keys"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_of_aws_s_tools_is_read() {
        let keys = parse(
            "# mine\n[default]\naws_access_key_id=AK1\nAWS_SECRET_ACCESS_KEY = a=b/c+d\nregion = us-east-1\n\n\
             [sso]\nsso_start_url = https://x\n[other] \naws_access_key_id = AK2 # old\n\
             aws_secret_access_key = s2\naws_session_token = t\nexpires = 2027-01-01T00:00:00Z ; soon\n",
        )
        .unwrap();
        assert_eq!(keys.by_key.len(), 2);
        let first = keys.find("AK1").unwrap();
        assert_eq!((first.name(), first.secret()), ("default", "a=b/c+d"));
        assert!(first.may(Access::Manage, Some("s")) && first.may(Access::Manage, None));
        let now = |text| Moment::from_extended(text).unwrap();
        assert_eq!(first.has_session(None, now("2026-01-01T00:00:00Z")), Ok(()));
        assert_eq!(first.has_session(Some("t"), now("2026-01-01T00:00:00Z")), Err(unrecognized()));
        let other = keys.find("AK2").unwrap();
        assert_eq!(other.has_session(Some("t"), now("2026-12-31T23:59:59Z")), Ok(()));
        assert_eq!(other.has_session(Some("u"), now("2026-12-31T23:59:59Z")), Err(unrecognized()));
        assert_eq!(other.has_session(None, now("2026-12-31T23:59:59Z")), Err(unrecognized()));
        let expired = other.has_session(Some("t"), now("2027-01-01T00:00:00Z")).unwrap_err();
        assert_eq!(expired.code(), ErrorCode::ExpiredToken);
        assert!(!format!("{keys:?}").contains("s2"), "secrets are not shown");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, why) in [
            ("", "keys:1: no section has an access key"),
            ("[a]\naws_access_key_id = x", "keys:1: [a] has no `aws_secret_access_key`"),
            ("\n[a]\naws_secret_access_key = x", "keys:2: [a] has no `aws_access_key_id`"),
            ("[a", "keys:1: a section ends with `]`"),
            ("x = 1", "keys:1: it stands before the first section"),
            ("[a]\nhello", "keys:2: neither a section nor `key = value`"),
            (
                "[a]\naws_access_key_id = x\naws_secret_access_key = y\nexpires = soon",
                "keys:1: [a] has `expires = soon`, which is not of the form 2027-01-01T00:00:00Z",
            ),
            (
                "[a]\naws_access_key_id = x\naws_secret_access_key = y\n\
                 [b]\naws_access_key_id = x\naws_secret_access_key = z",
                "keys:4: its access key is also that of [a]",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err(), why);
        }
    }

    #[test]
    fn a_key_may_do_what_its_lines_say() {
        let keys = parse(
            "[p]\naws_access_key_id = k\naws_secret_access_key = s\nwrite = clicks, audit-*\nread=\n\
             [m]\naws_access_key_id = m\naws_secret_access_key = s\nmanage = *\n",
        )
        .unwrap();
        let producer = keys.find("k").unwrap();
        for (operation, stream, may) in [
            ("PutRecords", Some("clicks"), true),
            ("PutRecord", Some("audit-7"), true),
            ("PutRecord", Some("clicks2"), false),
            ("GetRecords", Some("clicks"), false),
            ("DescribeStreamSummary", Some("clicks"), true),
            ("ListShards", Some("audit-"), true),
            ("ListShards", Some("other"), false),
            ("ListStreams", None, true),
            ("DeleteStream", Some("clicks"), false),
            ("UpdateAccountSettings", None, false),
        ] {
            assert_eq!(producer.may(Access::of(operation), stream), may, "{operation} {stream:?}");
        }
        let manager = keys.find("m").unwrap();
        assert!(manager.may(Access::of("UpdateAccountSettings"), None));
        assert!(manager.may(Access::of("SplitShard"), Some("any")));
        assert!(!manager.may(Access::of("GetRecords"), Some("any")));
    }

    #[test]
    fn stars_stand_for_any_characters() {
        for (pattern, name, is) in [
            ("*", "", true),
            ("a*", "a", true),
            ("a*", "ba", false),
            ("*a", "ba", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c", false),
            ("a*a", "a", false),
            ("a", "a", true),
            ("", "a", false),
        ] {
            assert_eq!(fits(pattern, name), is, "{pattern} {name}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "([\\[\\]=;# a-z\n]|aws_access_key_id|aws_secret_access_key){0,60}") {
            let _ = parse(&text);
        }
    }
}
