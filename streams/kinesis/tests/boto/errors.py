"""Every error that boto3's model documents of every operation: asked for here, or by the script that is named, or it
says why it cannot come. An error that is in neither makes `errors.py semantics` fail.

    errors.py semantics         on a server of at most 7 shards; and that all is accounted for
    errors.py in-use            while something else changes the stream `s`
    errors.py rates             on a server that enforces limits, whose clock stands still
    errors.py denied            by a key that may not even read
    errors.py before | after    tokens, and the same five minutes later
"""

import os
import sys

import boto3
from botocore import xform_name
from botocore.exceptions import ClientError
from common import ACCOUNT, client, refused

kinesis = client()
MODEL = kinesis.meta.service_model
SHARD = "shardId-000000000000"
OPEN = {"Type": "TRIM_HORIZON"}


def arn_of(stream):
    return f"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/{stream}"


def requests(stream):
    """A request of each operation that breaks no rule, but for what it is about."""
    arn, consumer = arn_of(stream), f"{arn_of(stream)}/consumer/c:1700000000"
    by_name, by_arn, of = {"StreamName": stream}, {"StreamARN": arn}, {"ResourceARN": arn}
    metrics = by_name | {"ShardLevelMetrics": ["ALL"]}
    key = by_name | {"EncryptionType": "KMS", "KeyId": "alias/aws/kinesis"}
    record = {"PartitionKey": "k", "Data": b""}
    return {
        "AddTagsToStream": by_name | {"Tags": {"a": "b"}},
        "CreateStream": by_name | {"ShardCount": 1},
        "DecreaseStreamRetentionPeriod": by_name | {"RetentionPeriodHours": 24},
        "DeleteResourcePolicy": of,
        "DeleteStream": by_name,
        "DeregisterStreamConsumer": {"ConsumerARN": consumer},
        "DescribeAccountSettings": {},
        "DescribeLimits": {},
        "DescribeStream": by_name,
        "DescribeStreamConsumer": {"ConsumerARN": consumer},
        "DescribeStreamSummary": by_name,
        "DisableEnhancedMonitoring": metrics,
        "EnableEnhancedMonitoring": metrics,
        "GetRecords": {"ShardIterator": "x"},
        "GetResourcePolicy": of,
        "GetShardIterator": by_name | {"ShardId": SHARD, "ShardIteratorType": "TRIM_HORIZON"},
        "IncreaseStreamRetentionPeriod": by_name | {"RetentionPeriodHours": 48},
        "ListChannels": {},
        "ListQueues": {},
        "ListShards": by_name,
        "ListStreamConsumers": by_arn,
        "ListStreams": {},
        "ListTagsForResource": of,
        "ListTagsForStream": by_name,
        "MergeShards": by_name | {"ShardToMerge": SHARD, "AdjacentShardToMerge": "shardId-000000000001"},
        "PutRecord": by_name | record,
        "PutRecords": by_name | {"Records": [record]},
        "PutResourcePolicy": of | {"Policy": "{}"},
        "RegisterStreamConsumer": by_arn | {"ConsumerName": "c"},
        "RemoveTagsFromStream": by_name | {"TagKeys": ["a"]},
        "SplitShard": by_name | {"ShardToSplit": SHARD, "NewStartingHashKey": "17"},
        "StartStreamEncryption": key,
        "StopStreamEncryption": key,
        "SubscribeToShard": {"ConsumerARN": consumer, "ShardId": SHARD, "StartingPosition": OPEN},
        "TagResource": of | {"Tags": {"a": "b"}},
        "UntagResource": of | {"TagKeys": ["a"]},
        "UpdateAccountSettings": {"MinimumThroughputBillingCommitment": {"Status": "DISABLED"}},
        "UpdateMaxRecordSize": by_arn | {"MaxRecordSizeInKiB": 2048},
        "UpdateShardCount": by_name | {"TargetShardCount": 2, "ScalingType": "UNIFORM_SCALING"},
        "UpdateStreamMode": by_arn | {"StreamModeDetails": {"StreamMode": "ON_DEMAND"}},
        "UpdateStreamRecordDistributionStrategy": by_arn | {"RecordDistributionStrategy": "AUTO"},
        "UpdateStreamWarmThroughput": by_name | {"WarmThroughputMiBps": 100},
    }


SUPPORTED = set(requests("s"))
DOCUMENTED = {
    (operation, error.name)
    for operation in MODEL.operation_names
    if operation in SUPPORTED
    for error in MODEL.operation_model(operation).error_shapes
}

# Why an error cannot come, for every operation that documents it.
NEVER = {
    "InternalFailureException": "disks that fail are tests in Rust: full.rs, crash.rs",
    "ValidationException": "wire.rs breaks every constraint of the model; what is not in the model is in CASES",
    "KMSAccessDeniedException": "no key is looked at",
    "KMSDisabledException": "no key is looked at",
    "KMSInvalidStateException": "no key is looked at",
    "KMSNotFoundException": "no key is looked at",
    "KMSOptInRequired": "no key is looked at",
    "KMSThrottlingException": "no key is looked at",
}
# The same for some of them.
NOT_HERE = {
    "nothing of it can be wrong that the model does not have": [
        ("UpdateAccountSettings", "InvalidArgumentException"),
        ("ListChannels", "InvalidArgumentException"),
        ("ListQueues", "InvalidArgumentException"),
    ],
    "there are none, so no page ends": [
        ("ListChannels", "ExpiredNextTokenException"),
        ("ListQueues", "ExpiredNextTokenException"),
    ],
    "it is answered while the stream changes": [
        ("GetResourcePolicy", "ResourceInUseException"),
        ("ListShards", "ResourceInUseException"),
        ("ListStreamConsumers", "ResourceInUseException"),
        ("ListTagsForResource", "ResourceInUseException"),
    ],
    "it waits for the change": [
        (operation, "ResourceInUseException")
        for operation in ("AddTagsToStream", "RemoveTagsFromStream", "TagResource", "UntagResource")
    ],
    "Amazon documents no rate of it": [
        (operation, "LimitExceededException")
        for operation in (
            "DeleteResourcePolicy",
            "GetResourcePolicy",
            "ListQueues",
            "ListTagsForResource",
            "PutResourcePolicy",
            "TagResource",
            "UntagResource",
            "UpdateMaxRecordSize",
            "UpdateStreamRecordDistributionStrategy",
        )
    ],
    "1,000 calls a second are a test of limits.rs": [("ListShards", "LimitExceededException")],
    "it is told of each record: limits.py": [("PutRecords", "ProvisionedThroughputExceededException")],
    "it is of the account, which has no rule of its own": [
        ("ListChannels", "AccessDeniedException"),
        ("ListQueues", "AccessDeniedException"),
    ],
}

# What other scripts ask for.
ELSEWHERE = {
    "basics.py": [("CreateStream", "ResourceInUseException")],
    "limits.py": [(name, "ProvisionedThroughputExceededException") for name in ("GetRecords", "PutRecord")],
    "settings.py": [("DeleteStream", "ResourceInUseException")],
    "fanout.py": [("SubscribeToShard", "ResourceInUseException")],
}

# Operations that are called so often a second.
RATES = {
    1: ["DescribeLimits", "SubscribeToShard"],
    5: [
        "AddTagsToStream",
        "CreateStream",
        "DecreaseStreamRetentionPeriod",
        "DeleteStream",
        "DeregisterStreamConsumer",
        "DescribeAccountSettings",
        "DisableEnhancedMonitoring",
        "EnableEnhancedMonitoring",
        "GetShardIterator",
        "IncreaseStreamRetentionPeriod",
        "ListChannels",
        "ListStreamConsumers",
        "ListStreams",
        "ListTagsForStream",
        "MergeShards",
        "RegisterStreamConsumer",
        "RemoveTagsFromStream",
        "SplitShard",
        "StartStreamEncryption",
        "StopStreamEncryption",
        "UpdateAccountSettings",
        "UpdateStreamMode",
        "UpdateStreamWarmThroughput",
    ],
    10: ["DescribeStream", "UpdateShardCount"],
    20: ["DescribeStreamConsumer", "DescribeStreamSummary"],
}
RATE_OF = {operation: rate for rate, operations in RATES.items() for operation in operations}
CHANGING = (
    "DecreaseStreamRetentionPeriod DeleteResourcePolicy DisableEnhancedMonitoring EnableEnhancedMonitoring"
    " IncreaseStreamRetentionPeriod MergeShards PutResourcePolicy RegisterStreamConsumer SplitShard"
    " StartStreamEncryption StopStreamEncryption UpdateMaxRecordSize UpdateShardCount UpdateStreamMode"
    " UpdateStreamRecordDistributionStrategy UpdateStreamWarmThroughput"
).split()
TOKENS = {
    "GetRecords": "ExpiredIteratorException",
    "ListShards": "ExpiredNextTokenException",
    "ListStreamConsumers": "ExpiredNextTokenException",
    "ListStreams": "ExpiredNextTokenException",
}


def call(operation, request, of=kinesis):
    return getattr(of, xform_name(operation))(**request)


def members(operation):
    return MODEL.operation_model(operation).input_shape.members


def refuse(error, message, operation, request, of=kinesis):
    refused(error, message, getattr(of, xform_name(operation)), **request)


def not_found():
    """What each operation says of a stream that is not there."""
    for operation, error in sorted(DOCUMENTED):
        if error == "ResourceNotFoundException" and operation != "GetRecords":
            refuse(error, "absent", operation, requests("absent")[operation])
            yield operation, error


def invalid_arguments():
    """The rules that are not in the model; of each operation one at least."""
    cases = {
        "CreateStream": requests(".s")["CreateStream"],
        "GetRecords": requests("s")["GetRecords"],
        "ListStreams": {"NextToken": "x"},
        "ListShards": {"NextToken": "x"},
        "GetShardIterator": requests("s")["GetShardIterator"] | {"StartingSequenceNumber": "5"},
        "SplitShard": requests("s")["SplitShard"] | {"NewStartingHashKey": "1"},
        "PutRecord": requests("s")["PutRecord"] | {"ExplicitHashKey": str(2**128)},
        "PutResourcePolicy": requests("s")["PutResourcePolicy"] | {"Policy": "x"},
        "AddTagsToStream": requests("s")["AddTagsToStream"] | {"Tags": {"a;": "b"}},
        "RemoveTagsFromStream": requests("s")["RemoveTagsFromStream"] | {"TagKeys": ["a;"]},
        "TagResource": requests("s")["TagResource"] | {"Tags": {"a;": "b"}},
        "UntagResource": requests("s")["UntagResource"] | {"TagKeys": ["a;"]},
        "StartStreamEncryption": requests("s")["StartStreamEncryption"] | {"EncryptionType": "NONE"},
        "IncreaseStreamRetentionPeriod": {"StreamName": "s", "RetentionPeriodHours": 23},
    }
    for operation, error in sorted(DOCUMENTED):
        if error != "InvalidArgumentException" or (operation, error) in reasons():
            continue
        if operation in cases:
            refuse(error, "", operation, cases[operation])
        # Whatever names a stream twice names one, and an ARN names one at all.
        if {"StreamName", "StreamARN"} <= set(members(operation)):
            request = requests("s")[operation] | {"StreamName": "s", "StreamARN": arn_of("other")}
            refuse(error, "StreamName s does not match the stream other", operation, request)
        else:
            named = {"StreamARN", "ConsumerARN", "ResourceARN"} & set(requests("s")[operation])
            for name in named:
                # What their patterns let through.
                resource = "downstream/s/consumer/c:1" if name == "ConsumerARN" else "stream//consumer/c:1"
                wrong = {name: f"arn:aws:kinesis:us-east-1:{ACCOUNT}:{resource}"}
                refuse(error, "is not a valid ARN", operation, requests("s")[operation] | wrong)
            assert named or operation in cases, f"{operation}: no {error}"
        yield operation, error
    token = kinesis.list_shards(StreamName="s", MaxResults=1)["NextToken"]
    for name, value in (
        ("StreamName", "s"),
        ("StreamARN", arn_of("s")),
        ("ExclusiveStartShardId", SHARD),
        ("StreamCreationTimestamp", 1_700_000_000),
    ):
        message = f"NextToken and {name} cannot be provided together."
        refuse("InvalidArgumentException", message, "ListShards", {"NextToken": token, name: value})


def limits_reached():
    """Quotas, on a server that has at most 7 shards of which 4 are there."""
    error = "LimitExceededException"
    more = "would exceed the shard limit for the account"
    refuse(error, more, "CreateStream", {"StreamName": "t", "ShardCount": 4})
    refuse(error, more, "UpdateShardCount", requests("s")["UpdateShardCount"] | {"TargetShardCount": 8})
    kinesis.create_stream(StreamName="t", ShardCount=3)
    refuse(error, more, "SplitShard", requests("s")["SplitShard"])
    yield from ((operation, error) for operation in ("CreateStream", "UpdateShardCount", "SplitShard"))
    kinesis.delete_stream(StreamName="t")
    # What only streams that are provisioned, or are not, can have.
    error = "ValidationException"
    refuse(error, "On-Demand", "UpdateStreamWarmThroughput", requests("s")["UpdateStreamWarmThroughput"])
    kinesis.update_stream_mode(StreamARN=arn_of("s"), StreamModeDetails={"StreamMode": "ON_DEMAND"})
    for operation in ("MergeShards", "SplitShard", "UpdateShardCount"):
        message = f"Stream s is in On-Demand mode: {operation} is for streams in Provisioned mode."
        refuse(error, message, operation, requests("s")[operation])
        yield operation, error
    refuse(error, "ON_DEMAND", "CreateStream", requests("t")["CreateStream"] | {"StreamModeDetails": {"StreamMode": "ON_DEMAND"}})
    refuse(error, "PROVISIONED", "CreateStream", {"StreamName": "t"})
    kinesis.update_stream_mode(StreamARN=arn_of("s"), StreamModeDetails={"StreamMode": "PROVISIONED"})


def dry_runs():
    consumer = kinesis.register_stream_consumer(StreamARN=arn_of("s"), ConsumerName="dry")["Consumer"]
    token = kinesis.get_shard_iterator(**requests("s")["GetShardIterator"])["ShardIterator"]
    of_its_own = {
        "GetRecords": {"ShardIterator": token},
        "SubscribeToShard": requests("s")["SubscribeToShard"] | {"ConsumerARN": consumer["ConsumerARN"]},
    }
    for operation, error in sorted(DOCUMENTED):
        if error == "DryRunOperationException":
            request = of_its_own.get(operation) or requests("s")[operation]
            refuse(error, "would have succeeded", operation, request | {"DryRun": True})
            yield operation, error
    assert kinesis.get_records(ShardIterator=token)["Records"] == []
    kinesis.deregister_stream_consumer(ConsumerARN=consumer["ConsumerARN"])


def gone():
    """An iterator outlives its stream, and is then refused."""
    kinesis.create_stream(StreamName="gone", ShardCount=1)
    token = kinesis.get_shard_iterator(**requests("gone")["GetShardIterator"])["ShardIterator"]
    kinesis.delete_stream(StreamName="gone")
    refuse("ResourceNotFoundException", "gone", "GetRecords", {"ShardIterator": token})
    yield "GetRecords", "ResourceNotFoundException"


def unsupported():
    """What the service has no answer to yet, in Amazon's type."""
    texts = {"StreamARN": arn_of("s"), "EncryptionType": "KMS"}

    def good(shape):
        if shape.type_name == "structure":
            return {name: good(shape.members[name]) for name in shape.required_members}
        if shape.type_name == "list":
            return [good(shape.member)]
        if shape.type_name in ("integer", "long"):
            return shape.metadata.get("min", 1)
        if shape.type_name == "boolean":
            return True
        if shape.type_name == "blob":
            return b""
        if shape.name in texts:
            return texts[shape.name]
        pattern = shape.metadata.get("pattern", "")
        kinds = {"channel": "channel/c", "queue": "queue/q", "stream": "stream/s"}
        for kind, resource in kinds.items():
            if f":{kind}/" in pattern:
                return f"arn:aws:kinesis:us-east-1:{ACCOUNT}:{resource}"
        if "s3tables" in pattern:
            return f"arn:aws:s3tables:us-east-1:{ACCOUNT}:bucket/one"
        if "s3" in pattern:
            return "arn:aws:s3:::bucket"
        if "iam" in pattern:
            return f"arn:aws:iam::{ACCOUNT}:role/one"
        return shape.enum[0] if getattr(shape, "enum", None) else "a" * shape.metadata.get("min", 1)

    count = 0
    for operation in MODEL.operation_names:
        if operation not in SUPPORTED:
            message = f"{operation} is not supported by this service yet."
            refuse("InvalidArgumentException", message, operation, good(MODEL.operation_model(operation).input_shape))
            count += 1
    assert count + len(SUPPORTED) == len(MODEL.operation_names)


def semantics():
    kinesis.create_stream(StreamName="s", ShardCount=4)
    tried = set()
    for cases in (not_found, invalid_arguments, limits_reached, dry_runs, gone):
        tried |= set(cases())
    unsupported()
    return tried


def in_use():
    """While something else changes the stream, it is refused to all who want to change it too."""
    message = f"Stream s under account {ACCOUNT} not ACTIVE, instead in state UPDATING"
    for operation in CHANGING:
        request = requests("s")[operation]
        if operation == "DecreaseStreamRetentionPeriod":
            request = request | {"RetentionPeriodHours": 24}
        refuse("ResourceInUseException", message, operation, request)
    # These do not wait for it.
    for operation in ("DescribeStreamSummary", "GetResourcePolicy", "ListShards", "ListStreamConsumers", "ListTagsForResource", "PutRecord"):
        call(operation, requests("s")[operation])


def rates():
    """As often as it may be, and once more."""
    for operation, rate in RATE_OF.items():
        request = requests("absent")[operation]
        if operation == "CreateStream":
            request = requests(".s")[operation]
        for _ in range(rate):
            try:
                call(operation, request)
            except ClientError as error:
                told = error.response["Error"]
                assert not told["Message"].startswith("Rate exceeded"), (operation, told)
        of_shards = operation == "GetShardIterator"
        error = "ProvisionedThroughputExceededException" if of_shards else "LimitExceededException"
        refuse(error, "Rate exceeded for ", operation, request)
    # Each stream, shard and subscription has its own.
    for operation in ("DeregisterStreamConsumer", "DescribeStreamConsumer", "ListStreamConsumers", "SubscribeToShard"):
        refuse("ResourceNotFoundException", "another", operation, requests("another")[operation])
    request = requests("absent")["GetShardIterator"] | {"ShardId": "shardId-000000000001"}
    refuse("ResourceNotFoundException", "shardId-000000000001", "GetShardIterator", request)


def denied():
    """The key may write to `clicks`, and nothing of `s`."""
    kinesis.create_stream(StreamName="s", ShardCount=1)
    token = kinesis.get_shard_iterator(**requests("s")["GetShardIterator"])["ShardIterator"]
    session = boto3.Session(aws_access_key_id="AKIDPRODUCER", aws_secret_access_key="producer")
    producer = session.client("kinesis", endpoint_url=os.environ["ENDPOINT"])
    for operation, request in requests("s").items():
        if operation == "GetRecords":
            request = {"ShardIterator": token}
        if request and operation != "UpdateAccountSettings":
            message = f"is not authorized to perform: kinesis:{operation} on resource: {arn_of('s')} because"
            refuse("AccessDeniedException", message, operation, request, of=producer)


def before():
    """Tokens that are good for five minutes, one a line."""
    for name in ("s", "t"):
        kinesis.create_stream(StreamName=name, ShardCount=2)
    for name in ("a", "b"):
        kinesis.register_stream_consumer(StreamARN=arn_of("s"), ConsumerName=name)
    print(kinesis.get_shard_iterator(**requests("s")["GetShardIterator"])["ShardIterator"])
    print(kinesis.list_shards(StreamName="s", MaxResults=1)["NextToken"])
    print(kinesis.list_stream_consumers(StreamARN=arn_of("s"), MaxResults=1)["NextToken"])
    print(kinesis.list_streams(Limit=1)["NextToken"])


def after(tokens):
    """They are no longer."""
    iterator, shards, consumers, streams = tokens
    requests = {
        "GetRecords": {"ShardIterator": iterator},
        "ListShards": {"NextToken": shards},
        "ListStreamConsumers": {"StreamARN": arn_of("s"), "NextToken": consumers},
        "ListStreams": {"NextToken": streams},
    }
    for operation, error in TOKENS.items():
        refuse(error, "300000 milliseconds", operation, requests[operation])


def reasons():
    """Operations and errors that are accounted for without a case here."""
    return {case for cases in [*NOT_HERE.values(), *ELSEWHERE.values()] for case in cases}


def matrix(tried):
    """All that is documented is tried, or has its reason; and no reason is for what is not documented."""
    tried |= {(operation, "ResourceInUseException") for operation in CHANGING}
    tried |= {(operation, "LimitExceededException") for operation in RATE_OF} | {
        ("GetShardIterator", "ProvisionedThroughputExceededException")
    }
    tried |= set(TOKENS.items())
    tried |= {
        (operation, "AccessDeniedException")
        for operation, request in requests("s").items()
        if request and operation != "UpdateAccountSettings"
    }
    missing = {case for case in DOCUMENTED - tried - reasons() if case[1] not in NEVER}
    assert not missing, f"neither tried nor explained: {sorted(missing)}"
    idle = reasons() - DOCUMENTED
    assert not idle, f"explained, but not documented: {sorted(idle)}"
    both = reasons() & tried
    assert not both, f"explained, and tried: {sorted(both)}"


match sys.argv[1:]:
    case ["semantics"]:
        matrix(semantics())
    case ["in-use"]:
        in_use()
    case ["rates"]:
        rates()
    case ["denied"]:
        denied()
    case ["before"]:
        before()
    case ["after", *tokens]:
        after(tokens)
    case other:
        sys.exit(f"no such part: {other}")
