"""Subscriptions: events as they come, to the end of the shard and on with its children."""

import threading
import time

from common import ACCOUNT, client, refused

kinesis = client()
ARN = f"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/s"
ROOT, LOW, HIGH = (f"shardId-{n:012}" for n in range(3))
kinesis.create_stream(StreamName="s", ShardCount=1)
consumer = kinesis.register_stream_consumer(StreamARN=ARN, ConsumerName="risk")["Consumer"]["ConsumerARN"]


def subscribe(shard, consumer=consumer, **position):
    answer = kinesis.subscribe_to_shard(ConsumerARN=consumer, ShardId=shard, StartingPosition=position)
    return (event["SubscribeToShardEvent"] for event in answer["EventStream"])


refused(
    "ResourceNotFoundException",
    f"Consumer other, account {ACCOUNT} not found.",
    kinesis.subscribe_to_shard,
    ConsumerARN=f"{ARN}/consumer/other:17",
    ShardId=ROOT,
    StartingPosition={"Type": "LATEST"},
)
events = subscribe(ROOT, Type="LATEST")
first = next(events)
assert first["Records"] == [] and first["MillisBehindLatest"] == 0, first
refused(
    "ResourceInUseException",
    f"Another active subscription exists for this consumer: {ACCOUNT}:s:{ROOT}:risk",
    kinesis.subscribe_to_shard,
    ConsumerARN=consumer,
    ShardId=ROOT,
    StartingPosition={"Type": "LATEST"},
)

# Each record comes once, in order, without being asked for.
sent, delays = [], []
for n in range(50):
    began = time.perf_counter()
    sent.append(kinesis.put_record(StreamName="s", PartitionKey="k", Data=str(n).encode())["SequenceNumber"])
    event = next(events)
    delays.append(time.perf_counter() - began)
    assert [record["SequenceNumber"] for record in event["Records"]] == [sent[-1]]
    assert event["Records"][0]["Data"] == str(n).encode()
    assert event["ContinuationSequenceNumber"] == sent[-1] and event["MillisBehindLatest"] == 0
print("median of put and push:", sorted(delays)[25])

# A second consumer is not held up by the first, and goes on where it says.
other = kinesis.register_stream_consumer(StreamARN=ARN, ConsumerName="other")["Consumer"]["ConsumerARN"]
rest = subscribe(ROOT, other, Type="AFTER_SEQUENCE_NUMBER", SequenceNumber=sent[9])
records = []
while len(records) < 40:
    records += next(rest)["Records"]
assert [record["SequenceNumber"] for record in records] == sent[10:]

# A closed shard ends the subscription, with its children and nothing to go on from.
kinesis.split_shard(StreamName="s", ShardToSplit=ROOT, NewStartingHashKey=str(2**127))
for subscription in (events, rest):
    last = list(subscription)[-1]
    assert [child["ShardId"] for child in last["ChildShards"]] == [LOW, HIGH], last
    assert "ContinuationSequenceNumber" not in last
child = subscribe(LOW, Type="TRIM_HORIZON")
next(child)
put = kinesis.put_record(StreamName="s", PartitionKey="k", ExplicitHashKey="0", Data=b"low")
assert next(child)["Records"][0]["SequenceNumber"] == put["SequenceNumber"]

# A consumer, and a stream, that goes ends its subscriptions.
kinesis.deregister_stream_consumer(ConsumerARN=consumer)
try:
    list(child)
    raise AssertionError("the subscription ended well")
except kinesis.exceptions.ResourceNotFoundException as error:
    assert "risk" in str(error), error
except Exception as error:
    assert "ResourceNotFoundException" in str(error), error
child = subscribe(LOW, other, Type="LATEST")
next(child)
kinesis.delete_stream(StreamName="s", EnforceConsumerDeletion=True)
try:
    list(child)
    raise AssertionError("the subscription ended well")
except Exception as error:
    assert "ResourceNotFoundException" in str(error), error
