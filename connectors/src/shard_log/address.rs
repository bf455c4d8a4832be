//! The address of a stream: its log's directory and its name.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// A stream of a shard log: `DIRECTORY/STREAM`.
///
/// ```
/// use pelton_connectors::LogAddress;
///
/// let address: LogAddress = "./data/payments".parse()?;
/// assert_eq!(address, LogAddress::new("./data", "payments"));
/// # Ok::<_, pelton_connectors::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LogAddress {
    directory: PathBuf,
    stream: String,
}

impl LogAddress {
    /// The stream `stream` of the log in `directory`.
    pub fn new(directory: impl Into<PathBuf>, stream: impl Into<String>) -> Self {
        Self { directory: directory.into(), stream: stream.into() }
    }

    /// The log's data directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A path that only this stream has.
    pub(super) fn location(&self) -> PathBuf {
        self.directory.join(&self.stream)
    }

    /// The stream's name.
    #[must_use]
    pub fn stream(&self) -> &str {
        &self.stream
    }
}

impl FromStr for LogAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |reason| Error::Address { text: text.to_owned(), reason };
        let (directory, stream) = text.rsplit_once('/').ok_or_else(|| wrong("it names no directory"))?;
        if stream.is_empty() {
            return Err(wrong("it ends with a slash and names no stream"));
        }
        Ok(Self::new(if directory.is_empty() { "/" } else { directory }, stream))
    }
}

impl TryFrom<String> for LogAddress {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<LogAddress> for String {
    fn from(address: LogAddress) -> Self {
        address.to_string()
    }
}

impl fmt::Display for LogAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.directory.display().to_string().trim_end_matches('/'), self.stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        for text in ["./data/payments", "data/a.b", "/payments", "/var/lib/log/x"] {
            assert_eq!(text.parse::<LogAddress>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_told_why() {
        for (text, reason) in
            [("payments", "names no directory"), ("./data/", "names no stream"), ("", "no directory")]
        {
            let message = text.parse::<LogAddress>().unwrap_err().to_string();
            assert!(message.contains(reason) && message.contains("./data/payments"), "{message}");
        }
    }
}
