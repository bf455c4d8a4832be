"""Splits and merges: who follows whom, where a closed shard ends, and what filters mean."""

import datetime

from common import ACCOUNT, client, drain, iterator, refused

kinesis = client()
kinesis.create_stream(StreamName="s", ShardCount=1)
ROOT, LOW, HIGH, WHOLE = (f"shardId-{n:012}" for n in range(4))
HALF = str(2**127)


def put(hash_key, data):
    placed = kinesis.put_record(StreamName="s", PartitionKey="k", ExplicitHashKey=hash_key, Data=data)
    return placed["ShardId"], placed["SequenceNumber"]


def ids(**filter):
    more = {"ShardFilter": filter} if filter else {}
    return [shard["ShardId"] for shard in kinesis.list_shards(StreamName="s", **more)["Shards"]]


at_root = [put("0", b"r0"), put(str(2**128 - 1), b"r1")]
for at in ("0", "1", str(2**128 - 1)):
    refused(
        "InvalidArgumentException",
        f"NewStartingHashKey {at} used in SplitShard() on shard {ROOT} in stream s under account {ACCOUNT}"
        " is not both greater than one plus the shard's StartingHashKey 0 and less than the shard's"
        f" EndingHashKey {2**128 - 1}.",
        kinesis.split_shard,
        StreamName="s",
        ShardToSplit=ROOT,
        NewStartingHashKey=at,
    )
# A consumer that stands in the middle, and one that has seen everything.
behind = kinesis.get_records(ShardIterator=iterator(kinesis, "s", ROOT), Limit=1)
caught_up = kinesis.get_records(ShardIterator=iterator(kinesis, "s", ROOT))
assert behind["NextShardIterator"] and caught_up["NextShardIterator"]
assert behind["MillisBehindLatest"] >= 0 and caught_up["MillisBehindLatest"] == 0

kinesis.split_shard(StreamName="s", ShardToSplit=ROOT, NewStartingHashKey=HALF)
kinesis.get_waiter("stream_exists").wait(StreamName="s")
at_low, at_high = put("7", b"l0"), put(HALF, b"h0")
assert (at_low[0], at_high[0]) == (LOW, HIGH)
assert all(int(sequence) < int(at_low[1]) for _, sequence in at_root), "numbers grow from parent to child"
refused(
    "InvalidArgumentException",
    f"Shard {ROOT} in stream s under account {ACCOUNT} has already been merged or split, and thus is not"
    " eligible for merging or splitting.",
    kinesis.split_shard,
    StreamName="s",
    ShardToSplit=ROOT,
    NewStartingHashKey="9",
)
refused(
    "ResourceNotFoundException",
    f"Could not find shard shardId-000000000009 in stream s under account {ACCOUNT}.",
    kinesis.split_shard,
    StreamName="s",
    ShardToSplit="shardId-000000000009",
    NewStartingHashKey="9",
)

root, low, high = kinesis.describe_stream(StreamName="s")["StreamDescription"]["Shards"]
ending = root["SequenceNumberRange"]["EndingSequenceNumber"]
assert int(at_root[1][1]) < int(ending) < int(low["SequenceNumberRange"]["StartingSequenceNumber"])
assert low["ParentShardId"] == high["ParentShardId"] == ROOT and "AdjacentParentShardId" not in low
assert low["HashKeyRange"] == {"StartingHashKey": "0", "EndingHashKey": str(2**127 - 1)}

# A closed shard ends without an iterator exactly when it names its children.
children = [
    {"ShardId": LOW, "ParentShards": [ROOT], "HashKeyRange": low["HashKeyRange"]},
    {"ShardId": HIGH, "ParentShards": [ROOT], "HashKeyRange": high["HashKeyRange"]},
]
for token, expected in (
    (behind["NextShardIterator"], [b"r1"]),
    (caught_up["NextShardIterator"], []),
    (iterator(kinesis, "s", ROOT), [b"r0", b"r1"]),
    (iterator(kinesis, "s", ROOT, "LATEST"), []),
    (iterator(kinesis, "s", ROOT, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=at_root[1][1]), []),
    (iterator(kinesis, "s", ROOT, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=ending), []),
):
    records, last = drain(kinesis, token, Limit=1)
    while "NextShardIterator" in last:
        last = kinesis.get_records(ShardIterator=last["NextShardIterator"])
        records += last["Records"]
    assert [record["Data"] for record in records] == expected, (records, expected)
    assert last["ChildShards"] == children, last
    assert last["MillisBehindLatest"] == 0

assert ids() == [ROOT, LOW, HIGH]
assert ids(Type="AT_LATEST") == [LOW, HIGH]
assert ids(Type="AT_TRIM_HORIZON") == [ROOT]
assert ids(Type="FROM_TRIM_HORIZON") == [ROOT, LOW, HIGH]
assert ids(Type="AFTER_SHARD_ID", ShardId=ROOT) == [LOW, HIGH]
now = datetime.datetime.now(datetime.timezone.utc)
assert ids(Type="AT_TIMESTAMP", Timestamp=now) == [LOW, HIGH]
assert ids(Type="FROM_TIMESTAMP", Timestamp=now) == [LOW, HIGH]
created = kinesis.describe_stream_summary(StreamName="s")["StreamDescriptionSummary"]["StreamCreationTimestamp"]
assert ids(Type="AT_TIMESTAMP", Timestamp=created) == [ROOT]
page = kinesis.list_shards(StreamName="s", MaxResults=1, ShardFilter={"Type": "AT_LATEST"})
assert [shard["ShardId"] for shard in page["Shards"]] == [LOW]
rest = kinesis.list_shards(NextToken=page["NextToken"])
assert [shard["ShardId"] for shard in rest["Shards"]] == [HIGH] and "NextToken" not in rest
for filter in (
    {"Type": "AFTER_SHARD_ID"},
    {"Type": "AT_LATEST", "ShardId": ROOT},
    {"Type": "AT_TIMESTAMP"},
    {"Type": "FROM_TIMESTAMP", "Timestamp": now + datetime.timedelta(days=1)},
):
    refused("InvalidArgumentException", "", kinesis.list_shards, StreamName="s", ShardFilter=filter)

# A merge: both parents name the one child.
refused(
    "InvalidArgumentException",
    "has already been merged or split",
    kinesis.merge_shards,
    StreamName="s",
    ShardToMerge=ROOT,
    AdjacentShardToMerge=LOW,
)
kinesis.merge_shards(StreamName="s", ShardToMerge=LOW, AdjacentShardToMerge=HIGH)
for shard, data in ((LOW, b"l0"), (HIGH, b"h0")):
    records, last = drain(kinesis, iterator(kinesis, "s", shard))
    assert [record["Data"] for record in records] == [data]
    assert last["ChildShards"][0]["ShardId"] == WHOLE
    assert last["ChildShards"][0]["ParentShards"] == [LOW, HIGH]
    assert "NextShardIterator" not in last
assert put("7", b"w0")[0] == WHOLE

# UpdateShardCount: splits and merges until the hash keys are divided evenly.
refused(
    "LimitExceededException",
    "UpdateShardCount cannot scale up over double your current open shard count."
    " Current open shard count: 1 Target shard count: 3",
    kinesis.update_shard_count,
    StreamName="s",
    TargetShardCount=3,
    ScalingType="UNIFORM_SCALING",
)
for target in (2, 3, 2, 1, 2):
    before = kinesis.describe_stream_summary(StreamName="s")["StreamDescriptionSummary"]["OpenShardCount"]
    updated = kinesis.update_shard_count(StreamName="s", TargetShardCount=target, ScalingType="UNIFORM_SCALING")
    assert (updated["CurrentShardCount"], updated["TargetShardCount"]) == (before, target)
    shards = kinesis.list_shards(StreamName="s", ShardFilter={"Type": "AT_LATEST"})["Shards"]
    starts = sorted(int(shard["HashKeyRange"]["StartingHashKey"]) for shard in shards)
    assert starts == [n * (2**128 // target) for n in range(target)], starts
kinesis.update_stream_mode(
    StreamARN=f"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/s", StreamModeDetails={"StreamMode": "ON_DEMAND"}
)
refused(
    "ValidationException",
    "On-Demand mode",
    kinesis.update_shard_count,
    StreamName="s",
    TargetShardCount=2,
    ScalingType="UNIFORM_SCALING",
)
refused(
    "ValidationException",
    "On-Demand mode",
    kinesis.split_shard,
    StreamName="s",
    ShardToSplit=shards[0]["ShardId"],
    NewStartingHashKey="17",
)
refused(
    "ValidationException",
    "On-Demand mode",
    kinesis.merge_shards,
    StreamName="s",
    ShardToMerge=shards[0]["ShardId"],
    AdjacentShardToMerge=shards[1]["ShardId"],
)
