"""Keys: who is known, who may what, and what is said to the others."""

import os

import boto3
from common import ACCOUNT, client, refused

operator = client()
for name in ("clicks", "orders"):
    operator.create_stream(StreamName=name, ShardCount=2)
    operator.get_waiter("stream_exists").wait(StreamName=name)


def with_key(key, secret, token=None, region="eu-west-1"):
    session = boto3.Session(
        aws_access_key_id=key, aws_secret_access_key=secret, aws_session_token=token, region_name=region
    )
    return session.client("kinesis", endpoint_url=os.environ["ENDPOINT"])


producer = with_key("AKIDPRODUCER", "producer")
records = [{"PartitionKey": str(n), "Data": b"x" * n * 20} for n in range(500)]
assert producer.put_records(StreamName="clicks", Records=records)["FailedRecordCount"] == 0
producer.put_record(StreamName="clicks", PartitionKey="k", Data=b"")
assert producer.describe_stream_summary(StreamName="clicks")["StreamDescriptionSummary"]["OpenShardCount"] == 2
assert producer.list_streams()["StreamNames"] == ["clicks", "orders"]


def denied(operation, stream, call, **arguments):
    message = (
        f"User: arn:aws:iam::{ACCOUNT}:user/producer is not authorized to perform: kinesis:{operation} on resource: "
        f"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/{stream} because no identity-based policy allows the "
        f"kinesis:{operation} action"
    )
    refused("AccessDeniedException", message, call, **arguments)


denied("PutRecords", "orders", producer.put_records, StreamName="orders", Records=records[:1])
denied("PutRecord", "orders", producer.put_record, StreamName="orders", PartitionKey="k", Data=b"")
denied("DescribeStream", "orders", producer.describe_stream, StreamName="orders")
denied("DeleteStream", "clicks", producer.delete_stream, StreamName="clicks")
where = {"ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"}
denied("GetShardIterator", "clicks", producer.get_shard_iterator, StreamName="clicks", **where)
# What is named in one way may not cover what is named in another.
arn = f"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream"
denied(
    "DescribeStreamConsumer",
    "orders",
    producer.describe_stream_consumer,
    StreamARN=f"{arn}/clicks",
    ConsumerARN=f"{arn}/orders/consumer/reader:1700000000",
)
iterator = operator.get_shard_iterator(StreamName="clicks", **where)["ShardIterator"]
denied("GetRecords", "clicks", producer.get_records, ShardIterator=iterator)
assert operator.get_records(ShardIterator=iterator)["Records"]

invalid = "The security token included in the request is invalid."
refused("UnrecognizedClientException", invalid, with_key("AKIDNOBODY", "x").list_streams)
refused("UnrecognizedClientException", invalid, with_key("AKIDPRODUCER", "producer", "token").list_streams)
refused(
    "InvalidSignatureException",
    "The request signature we calculated does not match the signature you provided.",
    with_key("AKIDPRODUCER", "wrong").list_streams,
)
