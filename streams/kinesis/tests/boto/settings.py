"""What is set of a stream beside its shards: it is kept, shown, and refused where it cannot be."""

import sys

from common import ACCOUNT, client, refused

kinesis = client()
ARN = f"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/s"


def summary():
    return kinesis.describe_stream_summary(StreamName="s")["StreamDescriptionSummary"]


def show():
    """What has been set, to be the same after a restart."""
    tags = kinesis.list_tags_for_resource(ResourceARN=ARN)["Tags"]
    consumers = kinesis.list_stream_consumers(StreamARN=ARN)["Consumers"]
    policy = kinesis.get_resource_policy(ResourceARN=ARN)["Policy"]
    account = kinesis.describe_account_settings()["MinimumThroughputBillingCommitment"]
    return repr((summary(), tags, consumers, policy, account))


if sys.argv[1:] == ["show"]:
    print(show())
    sys.exit()

kinesis.create_stream(StreamName="s", ShardCount=1, Tags={"team": "risk"}, MaxRecordSizeInKiB=2048)
assert summary()["MaxRecordSizeInKiB"] == 2048
kinesis.put_record(StreamName="s", PartitionKey="k", Data=bytes(2 << 20)[:-1])

# Retention.
for hours, call, message in (
    (23, kinesis.increase_stream_retention_period, "Minimum allowed retention period is 24 hours."),
    (8761, kinesis.increase_stream_retention_period, "Maximum allowed retention period is 8760 hours."),
    (25, kinesis.decrease_stream_retention_period, "can not be longer than existing retention period (24 hours)"),
):
    refused("InvalidArgumentException", message, call, StreamName="s", RetentionPeriodHours=hours)
kinesis.increase_stream_retention_period(StreamName="s", RetentionPeriodHours=48)
assert summary()["RetentionPeriodHours"] == 48
refused(
    "InvalidArgumentException",
    "can not be shorter than existing retention period (48 hours). Use DecreaseRetentionPeriod API.",
    kinesis.increase_stream_retention_period,
    StreamName="s",
    RetentionPeriodHours=47,
)
kinesis.decrease_stream_retention_period(StreamARN=ARN, RetentionPeriodHours=30)
assert summary()["RetentionPeriodHours"] == 30

# Tags, by both families of operations.
kinesis.add_tags_to_stream(StreamName="s", Tags={f"k{n:02}": str(n) for n in range(40)})
tags = kinesis.list_tags_for_stream(StreamName="s", Limit=3)
assert [tag["Key"] for tag in tags["Tags"]] == ["k00", "k01", "k02"] and tags["HasMoreTags"]
tags = kinesis.list_tags_for_stream(StreamName="s", ExclusiveStartTagKey="k38")
assert [tag["Key"] for tag in tags["Tags"]] == ["k39", "team"] and not tags["HasMoreTags"]
refused(
    "InvalidArgumentException",
    "more than 50 tags",
    kinesis.add_tags_to_stream,
    StreamName="s",
    Tags={f"x{n}": "" for n in range(10)},
)
refused("InvalidArgumentException", "invalid characters", kinesis.add_tags_to_stream, StreamName="s", Tags={"a;": ""})
kinesis.remove_tags_from_stream(StreamName="s", TagKeys=[f"k{n:02}" for n in range(40)])
kinesis.tag_resource(ResourceARN=ARN, Tags={"env": "prod", "team": "fraud"})
kinesis.untag_resource(ResourceARN=ARN, TagKeys=["env", "absent"])
assert kinesis.list_tags_for_resource(ResourceARN=ARN)["Tags"] == [{"Key": "team", "Value": "fraud"}]

# Encryption and monitoring.
kinesis.start_stream_encryption(StreamName="s", EncryptionType="KMS", KeyId="alias/aws/kinesis")
described = kinesis.describe_stream(StreamName="s")["StreamDescription"]
assert (described["EncryptionType"], described["KeyId"]) == ("KMS", "alias/aws/kinesis")
assert kinesis.put_record(StreamName="s", PartitionKey="k", Data=b"")["EncryptionType"] == "KMS"
kinesis.stop_stream_encryption(StreamName="s", EncryptionType="KMS", KeyId="alias/aws/kinesis")
assert summary()["EncryptionType"] == "NONE"
enabled = kinesis.enable_enhanced_monitoring(StreamName="s", ShardLevelMetrics=["ALL"])
assert enabled["CurrentShardLevelMetrics"] == [] and len(enabled["DesiredShardLevelMetrics"]) == 7, enabled
disabled = kinesis.disable_enhanced_monitoring(StreamARN=ARN, ShardLevelMetrics=["IncomingBytes"])
assert len(disabled["CurrentShardLevelMetrics"]) == 7 and len(disabled["DesiredShardLevelMetrics"]) == 6

# Consumers.
consumer = kinesis.register_stream_consumer(StreamARN=ARN, ConsumerName="risk", Tags={"a": "b"})["Consumer"]
assert consumer["ConsumerARN"].startswith(f"{ARN}/consumer/risk:"), consumer
refused("ResourceInUseException", "already exists", kinesis.register_stream_consumer, StreamARN=ARN, ConsumerName="risk")
by_arn = kinesis.describe_stream_consumer(ConsumerARN=consumer["ConsumerARN"])["ConsumerDescription"]
by_name = kinesis.describe_stream_consumer(StreamARN=ARN, ConsumerName="risk")["ConsumerDescription"]
assert by_arn == by_name and by_arn["ConsumerStatus"] == "ACTIVE" and by_arn["StreamARN"] == ARN
assert kinesis.list_tags_for_resource(ResourceARN=consumer["ConsumerARN"])["Tags"] == [{"Key": "a", "Value": "b"}]
for n in range(19):
    kinesis.register_stream_consumer(StreamARN=ARN, ConsumerName=f"c{n:02}")
refused("LimitExceededException", "20 registered consumers", kinesis.register_stream_consumer, StreamARN=ARN, ConsumerName="x")
page = kinesis.list_stream_consumers(StreamARN=ARN, MaxResults=15)
rest = kinesis.list_stream_consumers(StreamARN=ARN, NextToken=page["NextToken"])
assert len(page["Consumers"]) + len(rest["Consumers"]) == 20 and "NextToken" not in rest
assert summary()["ConsumerCount"] == 20
kinesis.deregister_stream_consumer(StreamARN=ARN, ConsumerName="c00")
refused(
    "ResourceNotFoundException",
    f"Consumer c00, account {ACCOUNT} not found.",
    kinesis.describe_stream_consumer,
    StreamARN=ARN,
    ConsumerName="c00",
)
refused("ResourceInUseException", "consumers", kinesis.delete_stream, StreamName="s")

# Mode, size, distribution, policies, account.
refused("ValidationException", "On-Demand", kinesis.update_stream_warm_throughput, StreamName="s", WarmThroughputMiBps=100)
kinesis.update_stream_mode(StreamARN=ARN, StreamModeDetails={"StreamMode": "ON_DEMAND"})
kinesis.update_stream_warm_throughput(StreamName="s", WarmThroughputMiBps=1)
kinesis.update_max_record_size(StreamARN=ARN, MaxRecordSizeInKiB=1024)
kinesis.update_stream_record_distribution_strategy(StreamARN=ARN, RecordDistributionStrategy="AUTO")
now = summary()
assert now["WarmThroughput"] == {"TargetMiBps": 1, "CurrentMiBps": 1}, now
assert (now["MaxRecordSizeInKiB"], now["RecordDistributionStrategy"]) == (1024, "AUTO")
assert now["StreamModeDetails"] == {"StreamMode": "ON_DEMAND"}
assert kinesis.get_resource_policy(ResourceARN=ARN)["Policy"] == "{}"
refused("ResourceNotFoundException", "No resource policy", kinesis.delete_resource_policy, ResourceARN=ARN)
refused("InvalidArgumentException", "policy", kinesis.put_resource_policy, ResourceARN=ARN, Policy="{")
kinesis.put_resource_policy(ResourceARN=ARN, Policy='{"Version": "2012-10-17", "Statement": []}')
kinesis.update_account_settings(MinimumThroughputBillingCommitment={"Status": "ENABLED"})
assert kinesis.describe_account_settings()["MinimumThroughputBillingCommitment"]["Status"] == "ENABLED"

# Channels and queues.
assert kinesis.list_channels()["ChannelSummaries"] == [] and kinesis.list_queues()["QueueSummaries"] == []
refused(
    "InvalidArgumentException",
    "CreateQueue is not supported by this service yet.",
    kinesis.create_queue,
    QueueName="q",
    StreamConfigurationList=[{"StreamARN": ARN}],
)

# A trial says that it would have gone well, and does nothing.
refused("DryRunOperationException", "would have succeeded", kinesis.put_record, StreamName="s", PartitionKey="k", Data=b"", DryRun=True)
print(show())
