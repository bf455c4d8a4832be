//! How output files are named, and the bytes of a committable.
//!
//! ```text
//! DIRECTORY/
//!   JOB.OPERATOR.e0000000012.w0003.g000002.jsonl            committed: epoch 12 of worker 3, generation 2
//!   .staging/
//!     JOB.OPERATOR/
//!       JOB.OPERATOR.e0000000013.w0003.g000002.jsonl        prepared
//!       open.n000013.w0003.g000002.jsonl                    being written
//! ```
//!
//! In JOB and OPERATOR every byte but ASCII letters, digits, `-` and `_` is written as `%XX`, so that
//! different names stay different. JOB, operator, epoch, worker and generation together are never
//! given twice.
//!
//! A committable is a JSON object: `v` the format version, 1; `file` the name above; `bytes` its
//! length; `crc32c` its checksum. It names no directory: that is the sink's, and may be moved as a whole.

use std::path::{Path, PathBuf};

use pelton_dataflow::sink::{Committable, SinkContext};
use pelton_dataflow::time::Epoch;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::names::escaped;

const VERSION: u32 = 1;
/// What Linux file systems take.
const MAX_FILE_NAME: usize = 255;
const SUFFIX: &str = "jsonl";

/// Where the files of one sink of one job lie.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    directory: PathBuf,
    family: String,
}

impl Layout {
    pub fn new(directory: &Path, cx: &SinkContext) -> Result<Self> {
        let family = format!("{}.{}", escaped(&cx.job, '%'), escaped(&cx.operator, '%'));
        let layout = Self { directory: directory.to_owned(), family };
        // The longest name there can be.
        if layout.file_name(Epoch(u64::MAX), usize::MAX, u64::MAX).len() > MAX_FILE_NAME {
            return Err(Error::NamesTooLong { job: cx.job.clone(), operator: cx.operator.clone() });
        }
        Ok(layout)
    }

    /// Where committed files are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where files are until they are committed.
    pub fn staging(&self) -> PathBuf {
        self.directory.join(".staging").join(&self.family)
    }

    pub fn file_name(&self, epoch: Epoch, worker: usize, generation: u64) -> String {
        format!("{}.e{:010}.w{worker:04}.g{generation:06}.{SUFFIX}", self.family, epoch.0)
    }

    /// Where the `count`th file that a writer opens is until it is prepared.
    pub fn open_file(&self, count: u64, worker: usize, generation: u64) -> PathBuf {
        self.staging().join(format!("open.n{count:06}.w{worker:04}.g{generation:06}.{SUFFIX}"))
    }

    /// The generation in the name of a prepared or committed file of this sink; `None` if it is of
    /// another.
    pub fn generation_of(&self, file_name: &str) -> Option<u64> {
        numbers(file_name.strip_prefix(&self.family)?.strip_prefix('.')?, 'e')
    }

    /// The generation in the name of a file that was being written.
    pub fn generation_of_open(file_name: &str) -> Option<u64> {
        numbers(file_name.strip_prefix("open.")?, 'n')
    }
}

/// The generation of a file name's last parts, which begin with a number named by `first`.
fn numbers(parts: &str, first: char) -> Option<u64> {
    let [count, worker, generation, SUFFIX] = *parts.split('.').collect::<Vec<_>>().as_slice() else {
        return None;
    };
    let number = |text: &str, letter: char| text.strip_prefix(letter)?.parse::<u64>().ok();
    number(count, first).and(number(worker, 'w')).and(number(generation, 'g'))
}

/// A prepared file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Prepared {
    v: u32,
    pub file: String,
    pub bytes: u64,
    pub crc32c: u32,
}

impl Prepared {
    pub fn new(file: String, bytes: u64, crc32c: u32) -> Self {
        Self { v: VERSION, file, bytes, crc32c }
    }

    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a struct of numbers and a string is JSON")
    }

    pub fn decode(committable: &Committable, layout: &Layout) -> Result<Self> {
        let wrong = |reason: String| Error::Committable {
            epoch: committable.epoch.0,
            worker: committable.worker,
            reason,
        };
        let prepared: Self =
            serde_json::from_slice(&committable.bytes).map_err(|error| wrong(error.to_string()))?;
        if prepared.v != VERSION {
            return Err(wrong(format!("it has format version {}, this version reads {VERSION}", prepared.v)));
        }
        if layout.generation_of(&prepared.file).is_none() {
            return Err(wrong(format!(
                "it names `{}`, which is no file of `{}`",
                prepared.file, layout.family
            )));
        }
        Ok(prepared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn layout(job: &str, operator: &str) -> Layout {
        let cx = SinkContext { job: job.to_owned(), operator: operator.to_owned() };
        Layout::new(Path::new("out"), &cx).unwrap()
    }

    fn committable(bytes: &[u8]) -> Committable {
        Committable { epoch: Epoch(12), worker: 3, bytes: bytes.to_vec() }
    }

    proptest! {
        #[test]
        fn names_and_committables_come_back(job in "\\PC{1,5}", operator in "\\PC{1,5}", epoch: u64, worker: u32, generation: u64, crc: u32) {
            let layout = layout(&job, &operator);
            let name = layout.file_name(Epoch(epoch), worker as usize, generation);
            prop_assert_eq!(layout.generation_of(&name), Some(generation));
            prop_assert!(!name.contains('/') && !name.starts_with('.'));
            let prepared = Prepared::new(name, epoch, crc);
            prop_assert_eq!(&Prepared::decode(&committable(&prepared.encode()), &layout).unwrap(), &prepared);
        }
    }

    #[test]
    fn names_do_not_run_together() {
        assert_ne!(layout("a.b", "c").family, layout("a", "b.c").family);
        let name = layout("a", "b-c").file_name(Epoch(1), 0, 1);
        assert_eq!(layout("a", "b").generation_of(&name), None);
        let name = layout("a", "b.e1").file_name(Epoch(1), 0, 1);
        assert_eq!(layout("a", "b").generation_of(&name), None);
    }

    /// A committable as version 1 wrote it, which must be read for ever.
    #[test]
    fn a_committable_of_version_1_is_read() {
        let bytes = br#"{"v":1,"file":"fraud.alerts.e0000000012.w0003.g000002.jsonl","bytes":77,"crc32c":3735928559}"#;
        let name = "fraud.alerts.e0000000012.w0003.g000002.jsonl".to_owned();
        let prepared = Prepared::decode(&committable(bytes), &layout("fraud", "alerts")).unwrap();
        assert_eq!(prepared, Prepared::new(name, 77, 0xdead_beef));
    }

    #[test]
    fn wrong_committables_are_named() {
        let of = |text: &str| committable(text.as_bytes());
        for (bytes, reason) in [
            ("", "EOF while parsing"),
            (r#"{"v":2,"file":"j.o.e1.w1.g1.jsonl","bytes":1,"crc32c":1}"#, "format version 2"),
            (r#"{"v":1,"file":"../x","bytes":1,"crc32c":1}"#, "no file of `j.o`"),
        ] {
            let message = Prepared::decode(&of(bytes), &layout("j", "o")).unwrap_err().to_string();
            assert!(message.contains(reason) && message.contains("epoch 12, worker 3"), "{message}");
        }
    }
}
