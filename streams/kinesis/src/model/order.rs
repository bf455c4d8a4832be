//! In which order the service looks at members. Its answers, as they are on record, list members in the
//! order of a hash map of Java 7 with 16 buckets over their names, so that order is computed here; the
//! records that it agrees with are in the test.

use std::cmp::Reverse;

const BUCKETS: u32 = 16;

/// `String.hashCode` of Java.
pub(super) fn hash_code(text: &str) -> u32 {
    text.encode_utf16().fold(0, |hash: u32, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)))
}

/// Where Java 7 puts a hash (`HashMap.hash`, `indexFor`).
fn bucket(mut hash: u32) -> u32 {
    hash ^= (hash >> 20) ^ (hash >> 12);
    (hash ^ (hash >> 7) ^ (hash >> 4)) & (BUCKETS - 1)
}

/// The indices of `labels` in the order of the service. Within a bucket the last by name comes first.
pub(super) fn of_members<'a>(labels: impl Iterator<Item = &'a str>) -> Vec<usize> {
    let mut keyed: Vec<_> =
        labels.zip(0..).map(|(label, index)| (bucket(hash_code(label)), Reverse(label), index)).collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, _, index)| index).collect()
}

/// Puts the values of an enum in the order in which the service lists them, where that is on record and
/// another than the model's.
pub(super) fn of_enum(shape: &str, values: &mut [&'static str]) {
    if shape == "ShardIteratorType" {
        let recorded =
            ["AFTER_SEQUENCE_NUMBER", "LATEST", "AT_TIMESTAMP", "AT_SEQUENCE_NUMBER", "TRIM_HORIZON"];
        values.sort_by_key(|value| recorded.iter().position(|other| other == value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Kind, Model};

    #[test]
    fn members_come_as_in_recorded_answers() {
        // Answers of the service that kinesalite's tests have on record.
        for (shape, recorded) in [
            ("PutRecordsInput", &["records", "streamName"][..]),
            ("PutRecordsRequestEntry", &["partitionKey", "explicitHashKey", "data"]),
            (
                "PutRecordInput",
                &["sequenceNumberForOrdering", "partitionKey", "explicitHashKey", "data", "streamName"],
            ),
            ("GetShardIteratorInput", &["shardId", "shardIteratorType", "streamName"]),
            ("GetRecordsInput", &["limit", "shardIterator"]),
            ("CreateStreamInput", &["shardCount", "streamName"]),
            ("AddTagsToStreamInput", &["tags", "streamName"]),
            ("RemoveTagsFromStreamInput", &["tagKeys", "streamName"]),
            ("SplitShardInput", &["newStartingHashKey", "streamName", "shardToSplit"]),
            ("MergeShardsInput", &["shardToMerge", "adjacentShardToMerge", "streamName"]),
            ("ListTagsForStreamInput", &["limit", "exclusiveStartTagKey", "streamName"]),
            ("DescribeStreamInput", &["limit", "exclusiveStartShardId", "streamName"]),
            ("IncreaseStreamRetentionPeriodInput", &["retentionPeriodHours", "streamName"]),
        ] {
            let model = Model::kinesis();
            let Kind::Structure(of) = &model.shape(model.find(shape).unwrap()).kind else {
                panic!("{shape}")
            };
            let labels = of.order.iter().map(|&index| of.members[index].label.as_str());
            let ordered: Vec<_> = labels.filter(|label| recorded.contains(label)).collect();
            assert_eq!(ordered, recorded, "{shape}");
        }
    }

    #[test]
    fn hashes_are_java_s() {
        assert_eq!(hash_code(""), 0);
        assert_eq!(hash_code("hello"), 99_162_322);
    }
}
