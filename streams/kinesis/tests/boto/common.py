"""What the scripts have in common: a client of the service under test, and how errors are asked for."""

import os

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

ACCOUNT = "000000000000"


def client(**settings):
    config = Config(retries={"max_attempts": 0}, read_timeout=30, **settings)
    return boto3.client("kinesis", endpoint_url=os.environ["ENDPOINT"], config=config)


def refused(code, message, call, **request):
    """Asks for what must be refused with an error of this code whose message contains `message`."""
    try:
        answer = call(**request)
    except ClientError as error:
        told = error.response["Error"]
        assert told["Code"] == code, told
        assert message in told["Message"], told
        return told["Message"]
    raise AssertionError(f"{request} was not refused: {answer}")


def iterator(kinesis, stream, shard, kind="TRIM_HORIZON", **more):
    answer = kinesis.get_shard_iterator(StreamName=stream, ShardId=shard, ShardIteratorType=kind, **more)
    return answer["ShardIterator"]


def drain(kinesis, token, **more):
    """All records up to the tip, or to the end of a closed shard; and the last answer."""
    records = []
    while True:
        answer = kinesis.get_records(ShardIterator=token, **more)
        records += answer["Records"]
        token = answer.get("NextShardIterator")
        if token is None or answer["MillisBehindLatest"] == 0:
            return records, answer
