"""A server that holds its clients to Amazon's limits, with the errors that SDKs retry on. Its clock stands
still, so nothing is won by being slow."""

import os
import urllib.request

from common import ACCOUNT, client, iterator, refused

kinesis = client()
kinesis.create_stream(StreamName="s", ShardCount=1)
SHARD = "shardId-000000000000"
EXCEEDED = f"Rate exceeded for shard {SHARD} in stream s under account {ACCOUNT}."

# A mebibyte a second: of fifteen records of 100 kB ten are taken, and the others refused, each with an error.
answer = kinesis.put_records(
    StreamName="s", Records=[{"PartitionKey": "k", "Data": bytes(100_000)} for _ in range(15)]
)
written = [record for record in answer["Records"] if "SequenceNumber" in record]
failed = [record for record in answer["Records"] if "ErrorCode" in record]
assert answer["FailedRecordCount"] == len(failed) == 5 and len(written) == 10, answer
assert all(record["ErrorMessage"] == EXCEEDED for record in failed)
assert all(record["ErrorCode"] == "ProvisionedThroughputExceededException" for record in failed)
numbers = [record["SequenceNumber"] for record in written]
assert numbers == sorted(numbers)

# Five reads a second; what is read beyond two mebibytes is owed.
token = iterator(kinesis, "s", SHARD)
assert len(kinesis.get_records(ShardIterator=token)["Records"]) == len(written)
for _ in range(2):
    kinesis.get_records(ShardIterator=token)
refused("ProvisionedThroughputExceededException", EXCEEDED, kinesis.get_records, ShardIterator=token)
refused(
    "ProvisionedThroughputExceededException", EXCEEDED, kinesis.put_record, StreamName="s", PartitionKey="k", Data=bytes(100_000)
)

# The control plane.
kinesis.describe_limits()
refused("LimitExceededException", f"Rate exceeded for account {ACCOUNT}.", kinesis.describe_limits)
for _ in range(10):
    kinesis.describe_stream(StreamName="s")
refused(
    "LimitExceededException",
    f"Rate exceeded for stream s under account {ACCOUNT}.",
    kinesis.describe_stream,
    StreamName="s",
)

# What was counted.
metrics = urllib.request.urlopen(os.environ["ENDPOINT"] + "/metrics").read().decode()
for line in (
    f'kinesis_shard_incoming_records_total{{stream="s",shard="{SHARD}"}} {len(written)}',
    f'kinesis_shard_throttled_puts_total{{stream="s",shard="{SHARD}"}} 6',
    f'kinesis_shard_throttled_reads_total{{stream="s",shard="{SHARD}"}} 1',
    'kinesis_requests_total{operation="PutRecords",code="OK"} 1',
    'kinesis_requests_total{operation="GetRecords",code="ProvisionedThroughputExceededException"} 1',
    "kinesis_open_shards 1",
):
    assert line in metrics.splitlines(), f"{line} is not in\n{metrics}"
assert urllib.request.urlopen(os.environ["ENDPOINT"] + "/health").read() == b"ok\n"
