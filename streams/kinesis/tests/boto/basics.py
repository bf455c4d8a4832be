"""Creating, describing, writing, reading and deleting streams."""

import datetime
import hashlib

from common import ACCOUNT, client, drain, iterator, refused

kinesis = client()
nothing = kinesis.list_streams()
assert nothing["StreamNames"] == [] and nothing["HasMoreStreams"] is False, nothing

kinesis.create_stream(StreamName="payments", ShardCount=3)
kinesis.get_waiter("stream_exists").wait(StreamName="payments")
refused(
    "ResourceInUseException",
    f"Stream payments under account {ACCOUNT} already exists.",
    kinesis.create_stream,
    StreamName="payments",
    ShardCount=1,
)
for call in (kinesis.describe_stream, kinesis.describe_stream_summary, kinesis.delete_stream, kinesis.list_shards):
    refused(
        "ResourceNotFoundException",
        f"Stream absent under account {ACCOUNT} not found.",
        call,
        StreamName="absent",
    )

described = kinesis.describe_stream(StreamName="payments")["StreamDescription"]
ARN = f"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/payments"
assert described["StreamARN"] == ARN, described
assert described["StreamStatus"] == "ACTIVE"
assert described["StreamModeDetails"] == {"StreamMode": "PROVISIONED"}
assert described["RetentionPeriodHours"] == 24
assert described["EncryptionType"] == "NONE"
assert described["EnhancedMonitoring"] == [{"ShardLevelMetrics": []}]
assert described["HasMoreShards"] is False
age = datetime.datetime.now(datetime.timezone.utc) - described["StreamCreationTimestamp"]
assert abs(age) < datetime.timedelta(minutes=1), described
shards = described["Shards"]
assert [shard["ShardId"] for shard in shards] == [f"shardId-{n:012}" for n in range(3)]
third = 2**128 // 3
assert shards[1]["HashKeyRange"] == {"StartingHashKey": str(third), "EndingHashKey": str(2 * third - 1)}
assert shards[2]["HashKeyRange"]["EndingHashKey"] == str(2**128 - 1)
assert all("EndingSequenceNumber" not in shard["SequenceNumberRange"] for shard in shards)
assert all("ParentShardId" not in shard for shard in shards)

summary = kinesis.describe_stream_summary(StreamARN=ARN)["StreamDescriptionSummary"]
assert summary["OpenShardCount"] == 3 and summary["ConsumerCount"] == 0, summary
assert len(summary["StreamId"]) == 24, summary
# boto3 sends what has a StreamId to Amazon, whatever endpoint it was given.
refused("InvalidArgumentException", "StreamName and StreamARN", kinesis.describe_stream)

# Records find their shards by the MD5 of their keys, or by the hash key that they are given.
one = kinesis.put_record(StreamName="payments", PartitionKey="card-1", Data=b"first")
assert len(one["SequenceNumber"]) == 56, one
ranges = [(int(s["HashKeyRange"]["StartingHashKey"]), int(s["HashKeyRange"]["EndingHashKey"])) for s in shards]


def shard_of(key):
    point = int.from_bytes(hashlib.md5(key.encode()).digest(), "big")
    return next(n for n, (first, last) in enumerate(ranges) if first <= point <= last)


assert one["ShardId"] == shards[shard_of("card-1")]["ShardId"]
entries = [{"PartitionKey": f"card-{n}", "Data": f"payment {n}".encode()} for n in range(100)]
entries[7]["ExplicitHashKey"] = "0"
entries[8]["ExplicitHashKey"] = str(2**128 - 1)
many = kinesis.put_records(StreamARN=ARN, Records=entries)
assert many["FailedRecordCount"] == 0
assert many["Records"][7]["ShardId"] == shards[0]["ShardId"]
assert many["Records"][8]["ShardId"] == shards[2]["ShardId"]
for n, placed in enumerate(many["Records"]):
    if n not in (7, 8):
        assert placed["ShardId"] == shards[shard_of(f"card-{n}")]["ShardId"], n
refused(
    "InvalidArgumentException",
    "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was " + str(2**128),
    kinesis.put_record,
    StreamName="payments",
    PartitionKey="k",
    Data=b"",
    ExplicitHashKey=str(2**128),
)
refused(
    "InvalidArgumentException",
    "ExclusiveMinimumSequenceNumber 7 used in PutRecord on stream payments",
    kinesis.put_record,
    StreamName="payments",
    PartitionKey="k",
    Data=b"",
    SequenceNumberForOrdering="7",
)
refused(
    "ValidationException",
    "Value at 'data' failed to satisfy constraint: Member must have length less than or equal to 1048576",
    kinesis.put_record,
    StreamName="payments",
    PartitionKey="k",
    Data=bytes(1 << 20),
)

# They are read in the order in which they were put, as they were put.
read = {}
for shard in shards:
    records, last = drain(kinesis, iterator(kinesis, "payments", shard["ShardId"]))
    assert last["MillisBehindLatest"] == 0 and "ChildShards" not in last
    numbers = [record["SequenceNumber"] for record in records]
    assert numbers == sorted(numbers)
    for record in records:
        read[record["SequenceNumber"]] = (shard["ShardId"], record["PartitionKey"], record["Data"])
expected = {one["SequenceNumber"]: (one["ShardId"], "card-1", b"first")}
for entry, placed in zip(entries, many["Records"]):
    expected[placed["SequenceNumber"]] = (placed["ShardId"], entry["PartitionKey"], entry["Data"])
assert read == expected

# Positions.
shard = shards[0]["ShardId"]
records, _ = drain(kinesis, iterator(kinesis, "payments", shard))
middle = records[3]
at = kinesis.get_records(
    ShardIterator=iterator(kinesis, "payments", shard, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=middle["SequenceNumber"])
)
assert at["Records"] == records[3:]
after = kinesis.get_records(
    ShardIterator=iterator(kinesis, "payments", shard, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=middle["SequenceNumber"]),
    Limit=2,
)
assert after["Records"] == records[4:6] and after["MillisBehindLatest"] >= 0
rest = kinesis.get_records(ShardIterator=after["NextShardIterator"])
assert rest["Records"] == records[6:]
since = kinesis.get_records(
    ShardIterator=iterator(kinesis, "payments", shard, "AT_TIMESTAMP", Timestamp=records[0]["ApproximateArrivalTimestamp"])
)
assert since["Records"] == records
latest = iterator(kinesis, "payments", shard, "LATEST")
assert kinesis.get_records(ShardIterator=latest)["Records"] == []
new = kinesis.put_record(StreamName="payments", PartitionKey="k", Data=b"new", ExplicitHashKey="0")
assert [r["SequenceNumber"] for r in kinesis.get_records(ShardIterator=latest)["Records"]] == [new["SequenceNumber"]]
start = shards[0]["SequenceNumberRange"]["StartingSequenceNumber"]
whole = kinesis.get_records(
    ShardIterator=iterator(kinesis, "payments", shard, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=start)
)
assert len(whole["Records"]) == len(records) + 1

for kind, more, message in (
    ("LATEST", {"StartingSequenceNumber": start}, "Request specified LATEST and also a StartingSequenceNumber."),
    ("AT_SEQUENCE_NUMBER", {}, "Request specified AT_SEQUENCE_NUMBER and no StartingSequenceNumber."),
    ("AT_SEQUENCE_NUMBER", {"StartingSequenceNumber": "5"}, f"StartingSequenceNumber 5 used in GetShardIterator on shard {shard}"),
    ("AT_TIMESTAMP", {}, "Must specify timestampInMillis parameter"),
    ("AT_TIMESTAMP", {"Timestamp": 4_000_000_000}, "cannot be greater than the currentTimestampInMillis"),
    (
        "AFTER_SEQUENCE_NUMBER",
        {"StartingSequenceNumber": shards[1]["SequenceNumberRange"]["StartingSequenceNumber"]},
        f"It encodes shardId-000000000001, while it was used in a call to a shard with {shard}",
    ),
):
    refused(
        "InvalidArgumentException",
        message,
        kinesis.get_shard_iterator,
        StreamName="payments",
        ShardId=shard,
        ShardIteratorType=kind,
        **more,
    )
refused(
    "ResourceNotFoundException",
    f"Shard shardId-000000000009 in stream payments under account {ACCOUNT} does not exist",
    kinesis.get_shard_iterator,
    StreamName="payments",
    ShardId="shardId-000000000009",
    ShardIteratorType="LATEST",
)
for token in ("x", latest[:-4] + "AAAA", latest[8:]):
    refused("InvalidArgumentException", "Invalid ShardIterator.", kinesis.get_records, ShardIterator=token)

# Pages.
for name in ("a", "b", "c"):
    kinesis.create_stream(StreamName=name, StreamModeDetails={"StreamMode": "ON_DEMAND"})
page = kinesis.list_streams(Limit=2)
assert page["StreamNames"] == ["a", "b"] and page["HasMoreStreams"]
assert kinesis.list_streams(NextToken=page["NextToken"])["StreamNames"] == ["c", "payments"]
assert kinesis.list_streams(ExclusiveStartStreamName="b")["StreamNames"] == ["c", "payments"]
assert [s["StreamModeDetails"]["StreamMode"] for s in page["StreamSummaries"]] == ["ON_DEMAND"] * 2
limits = kinesis.describe_limits()
assert (limits["OpenShardCount"], limits["OnDemandStreamCount"]) == (15, 3), limits
page = kinesis.list_shards(StreamName="a", MaxResults=3)
assert len(page["Shards"]) == 3
assert len(kinesis.list_shards(NextToken=page["NextToken"])["Shards"]) == 1
refused(
    "InvalidArgumentException",
    "NextToken and StreamName cannot be provided together.",
    kinesis.list_shards,
    StreamName="a",
    NextToken=page["NextToken"],
)
refused("InvalidArgumentException", "Either NextToken or StreamName should be provided.", kinesis.list_shards)
refused("InvalidArgumentException", "NextToken", kinesis.list_shards, NextToken="x")

# Gone is gone, and its iterators with it, even if it is created again.
kinesis.delete_stream(StreamName="payments")
kinesis.get_waiter("stream_not_exists").wait(StreamName="payments")
kinesis.create_stream(StreamName="payments", ShardCount=1)
refused(
    "ResourceNotFoundException",
    f"Shard {shard} in stream payments under account {ACCOUNT} does not exist",
    kinesis.get_records,
    ShardIterator=latest,
)
assert drain(kinesis, iterator(kinesis, "payments", shard))[0] == []
