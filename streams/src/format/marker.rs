//! The commit marker: the payload of the frame that ends a transaction's run of frames and makes them
//! valid. Layout in `FORMAT.md`, "Commit marker".

use super::codec::{Decoder, Encoder};

/// Which transaction was committed, and where its frames begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommitMarker {
    pub transaction: u64,
    pub generation: u64,
    pub epoch: u64,
    /// Offset of the run's first frame in this segment.
    pub run_start: u64,
    /// Frames of the run before the marker.
    pub run_frames: u64,
    pub family: String,
    pub member: String,
}

impl CommitMarker {
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Encoder::default();
        bytes.u64(self.transaction).u64(self.generation).u64(self.epoch);
        bytes.u64(self.run_start).u64(self.run_frames).text(&self.family).text(&self.member);
        bytes.0
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let mut fields = Decoder::new(bytes);
        let marker = Self {
            transaction: fields.u64()?,
            generation: fields.u64()?,
            epoch: fields.u64()?,
            run_start: fields.u64()?,
            run_frames: fields.u64()?,
            family: fields.text()?,
            member: fields.text()?,
        };
        fields.end()?;
        Ok(marker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn version_1_still_reads() {
        let marker = CommitMarker {
            transaction: 1 << 32,
            generation: 3,
            epoch: 9,
            run_start: 4096,
            run_frames: 2,
            family: "fraud/alerts".into(),
            member: "worker-1".into(),
        };
        let fixture = crate::format::check_fixture("marker.bin", &marker.encode());
        assert_eq!(CommitMarker::decode(&fixture), Ok(marker));
    }

    proptest! {
        #[test]
        fn round_trip(numbers: [u64; 5], family: String, member: String) {
            let [transaction, generation, epoch, run_start, run_frames] = numbers;
            let marker = CommitMarker { transaction, generation, epoch, run_start, run_frames, family, member };
            let bytes = marker.encode();
            prop_assert_eq!(CommitMarker::decode(&bytes), Ok(marker));
            for cut in 0..bytes.len() {
                prop_assert!(CommitMarker::decode(&bytes[..cut]).is_err());
            }
        }
    }
}
