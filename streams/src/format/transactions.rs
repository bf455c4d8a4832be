//! The TRANSACTIONS file: each writer family's newest generation, and which transactions were aborted.
//! Replaced as a whole. Layout in `FORMAT.md`, "TRANSACTIONS".

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::codec::{Decoder, Encoder, seal, unseal};
use crate::error::{Error, Result};

pub(crate) const MAGIC: [u8; 8] = *b"PELTTXNS";

/// What is durably known of a stream's transactions, beside the staged files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct TransactionLedger {
    pub stream_id: u64,
    /// Generations below a family's number are fenced.
    pub families: BTreeMap<String, u64>,
    /// Transactions that will never be committed although somebody may hold a committable.
    pub aborted: BTreeSet<u64>,
}

impl TransactionLedger {
    pub fn encode(&self) -> Vec<u8> {
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let mut body = Encoder::default();
        body.u64(self.stream_id).u32(count(self.families.len()));
        for (family, &generation) in &self.families {
            body.text(family).u64(generation);
        }
        body.u32(count(self.aborted.len()));
        for &transaction in &self.aborted {
            body.u64(transaction);
        }
        seal(&MAGIC, &body.0)
    }

    pub fn decode(file: &Path, bytes: &[u8]) -> Result<Self> {
        let body = unseal(file, &MAGIC, bytes)?;
        Self::decode_body(body).map_err(|what| Error::corrupt(file, 0, what))
    }

    fn decode_body(body: &[u8]) -> Result<Self, &'static str> {
        let mut fields = Decoder::new(body);
        let mut ledger = Self { stream_id: fields.u64()?, ..Self::default() };
        for _ in 0..fields.u32()? {
            ledger.families.insert(fields.text()?, fields.u64()?);
        }
        for _ in 0..fields.u32()? {
            ledger.aborted.insert(fields.u64()?);
        }
        fields.end()?;
        Ok(ledger)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn version_1_still_reads() {
        let families = BTreeMap::from([("fraud/alerts".to_owned(), 3), ("fraud/late".to_owned(), 1)]);
        let ledger = TransactionLedger { stream_id: 1, families, aborted: BTreeSet::from([7, 8]) };
        let fixture = crate::format::check_fixture("transactions.bin", &ledger.encode());
        assert_eq!(TransactionLedger::decode(Path::new("f"), &fixture).unwrap(), ledger);
    }

    proptest! {
        #[test]
        fn round_trip(
            stream_id: u64,
            families: BTreeMap<String, u64>,
            aborted: BTreeSet<u64>,
        ) {
            let ledger = TransactionLedger { stream_id, families, aborted };
            prop_assert_eq!(TransactionLedger::decode(Path::new("f"), &ledger.encode()).unwrap(), ledger);
        }
    }
}
