"""The AWS CLI: every command of `aws kinesis` that it has, with what it writes and how it ends. It runs in this
process, for each start of it takes a second; the last one is a process."""

import base64
import contextlib
import io
import json
import os
import subprocess
import sys

os.environ["AWS_ENDPOINT_URL_KINESIS"] = os.environ["ENDPOINT"]
os.environ["AWS_MAX_ATTEMPTS"] = "1"

from awscli.clidriver import create_clidriver

ACCOUNT = "000000000000"
ARN = f"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/s"
driver = create_clidriver()
called = set()


def run(line, *more):
    """Exit code, output and complaint of a command."""
    arguments = ["kinesis", *line.split(), *more]
    called.add(arguments[1])
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = driver.main(arguments)
    return code, out.getvalue(), err.getvalue()


def aws(line, *more):
    """What a command that ends well writes, if anything."""
    code, out, err = run(line, *more)
    assert (code, err) == (0, ""), (line, code, err)
    return json.loads(out) if out else None


def refused(error, message, line, *more):
    """A command that ends with 255, and says which error it got of which operation."""
    code, out, err = run(line, *more)
    operation = "".join(word.capitalize() for word in line.split()[0].split("-"))
    told = f"\nAn error occurred ({error}) when calling the {operation} operation"
    assert (code, out) == (255, "") and err.startswith(told) and message in err, (line, code, out, err)


# Streams.
assert aws("create-stream --stream-name s --shard-count 2 --tags team=risk") is None
assert aws("wait stream-exists --stream-name s") is None
refused(
    "ResourceInUseException",
    f"Stream s under account {ACCOUNT} already exists.",
    "create-stream --stream-name s --shard-count 2",
)
for command in ("describe-stream", "describe-stream-summary", "list-shards", "delete-stream"):
    refused(
        "ResourceNotFoundException", f"Stream absent under account {ACCOUNT} not found.", f"{command} --stream-name absent"
    )
refused(
    "ValidationException",
    "1 validation error detected: Value 'a b' at 'streamName' failed to satisfy constraint",
    "create-stream --shard-count 1 --stream-name",
    "a b",
)
code, _, err = run("describe-stream --stream-name", "")
assert code == 255 and "Parameter validation failed" in err, err
described = aws("describe-stream --stream-name s")["StreamDescription"]
assert (described["StreamARN"], described["StreamStatus"], len(described["Shards"])) == (ARN, "ACTIVE", 2)
summary = aws(f"describe-stream-summary --stream-arn {ARN}")["StreamDescriptionSummary"]
assert (summary["OpenShardCount"], summary["RetentionPeriodHours"]) == (2, 24)
for name in ("a", "b", "c"):
    aws("create-stream --stream-mode-details StreamMode=ON_DEMAND --stream-name", name)
# The CLI puts pages together by itself, and takes them apart where it is asked to.
assert aws("list-streams --page-size 2")["StreamNames"] == ["a", "b", "c", "s"]
page = aws("list-streams --max-items 3")
assert len(page["StreamNames"]) == 3
assert aws("list-streams --starting-token", page["NextToken"])["StreamNames"] == ["s"]
shards = aws("list-shards --stream-name s")["Shards"]
assert [shard["ShardId"] for shard in shards] == ["shardId-000000000000", "shardId-000000000001"]
assert aws("describe-limits")["OpenShardCount"] == 14

# Records. The CLI of version 1 takes data as text.
put = aws("put-record --stream-name s --partition-key k --explicit-hash-key 0 --data hello")
assert put["ShardId"] == "shardId-000000000000" and len(put["SequenceNumber"]) == 56, put
many = aws("put-records --stream-name s --records", "Data=one,PartitionKey=a,ExplicitHashKey=0", "Data=two,PartitionKey=b,ExplicitHashKey=0")
assert many["FailedRecordCount"] == 0 and len(many["Records"]) == 2, many
GET = "get-shard-iterator --stream-name s --shard-id shardId-000000000000 --shard-iterator-type"
iterator = aws(f"{GET} TRIM_HORIZON")["ShardIterator"]
answer = aws("get-records --shard-iterator", iterator)
texts = [base64.b64decode(record["Data"]).decode() for record in answer["Records"]]
assert texts == ["hello", "one", "two"] and answer["MillisBehindLatest"] == 0, answer
assert aws("get-records --limit 1 --shard-iterator", iterator)["Records"] == answer["Records"][:1]
after = aws(f"{GET} AFTER_SEQUENCE_NUMBER --starting-sequence-number {put['SequenceNumber']}")["ShardIterator"]
assert aws("get-records --shard-iterator", after)["Records"] == answer["Records"][1:]
refused("InvalidArgumentException", "Invalid ShardIterator.", "get-records --shard-iterator x")
refused("ValidationException", "Member must satisfy enum value set", f"{GET} SOMEWHERE")
refused("InvalidArgumentException", "LATEST and also a StartingSequenceNumber", f"{GET} LATEST --starting-sequence-number 1")

# Resharding.
aws(f"split-shard --stream-name s --shard-to-split shardId-000000000000 --new-starting-hash-key {2**126}")
aws("wait stream-exists --stream-name s")
last = aws("get-records --shard-iterator", iterator)
assert len(last["Records"]) == 3 and len(last["ChildShards"]) == 2, last
refused(
    "InvalidArgumentException",
    "has already been merged or split",
    f"split-shard --stream-name s --shard-to-split shardId-000000000000 --new-starting-hash-key {2**126}",
)
aws("merge-shards --stream-name s --shard-to-merge shardId-000000000002 --adjacent-shard-to-merge shardId-000000000003")
at_latest = ("--shard-filter", "Type=AT_LATEST")
shards = [shard["ShardId"] for shard in aws("list-shards --stream-name s", *at_latest)["Shards"]]
assert shards == ["shardId-000000000001", "shardId-000000000004"], shards
updated = aws("update-shard-count --stream-name s --target-shard-count 4 --scaling-type UNIFORM_SCALING")
assert (updated["CurrentShardCount"], updated["TargetShardCount"]) == (2, 4), updated
refused(
    "LimitExceededException",
    "UpdateShardCount cannot scale up over double",
    "update-shard-count --stream-name s --target-shard-count 9 --scaling-type UNIFORM_SCALING",
)

# Retention.
aws("increase-stream-retention-period --stream-name s --retention-period-hours 48")
aws(f"decrease-stream-retention-period --stream-arn {ARN} --retention-period-hours 36")
assert aws("describe-stream-summary --stream-name s")["StreamDescriptionSummary"]["RetentionPeriodHours"] == 36
for command, hours in (("increase", 9000), ("decrease", 48)):
    refused(
        "InvalidArgumentException",
        "etention period",
        f"{command}-stream-retention-period --stream-name s --retention-period-hours {hours}",
    )

# Tags.
aws("add-tags-to-stream --stream-name s --tags env=prod,owner=me")
tags = aws("list-tags-for-stream --stream-name s")
assert [tag["Key"] for tag in tags["Tags"]] == ["env", "owner", "team"] and not tags["HasMoreTags"], tags
aws("remove-tags-from-stream --stream-name s --tag-keys owner")
aws(f"tag-resource --resource-arn {ARN} --tags env=test")
aws(f"untag-resource --resource-arn {ARN} --tag-keys team")
assert aws(f"list-tags-for-resource --resource-arn {ARN}")["Tags"] == [{"Key": "env", "Value": "test"}]
refused("ResourceNotFoundException", "absent", f"list-tags-for-resource --resource-arn {ARN[:-1]}absent")

# Consumers. A subscription is nothing that the CLI has a command for.
consumer = aws(f"register-stream-consumer --stream-arn {ARN} --consumer-name risk")["Consumer"]
assert consumer["ConsumerStatus"] in ("CREATING", "ACTIVE")
refused(
    "ResourceInUseException", "already exists", f"register-stream-consumer --stream-arn {ARN} --consumer-name risk"
)
described = aws(f"describe-stream-consumer --consumer-arn {consumer['ConsumerARN']}")["ConsumerDescription"]
assert described["ConsumerStatus"] == "ACTIVE" and described["StreamARN"] == ARN
aws(f"register-stream-consumer --stream-arn {ARN} --consumer-name other")
listed = aws(f"list-stream-consumers --stream-arn {ARN} --page-size 1")["Consumers"]
assert [each["ConsumerName"] for each in listed] == ["other", "risk"], listed
aws(f"deregister-stream-consumer --stream-arn {ARN} --consumer-name other")
refused(
    "ResourceNotFoundException",
    f"Consumer other, account {ACCOUNT} not found.",
    f"describe-stream-consumer --stream-arn {ARN} --consumer-name other",
)

# Settings.
aws("start-stream-encryption --stream-name s --encryption-type KMS --key-id alias/aws/kinesis")
assert aws("describe-stream --stream-name s")["StreamDescription"]["EncryptionType"] == "KMS"
aws("stop-stream-encryption --stream-name s --encryption-type KMS --key-id alias/aws/kinesis")
enabled = aws("enable-enhanced-monitoring --stream-name s --shard-level-metrics IncomingBytes OutgoingBytes")
assert enabled["DesiredShardLevelMetrics"] == ["IncomingBytes", "OutgoingBytes"], enabled
disabled = aws("disable-enhanced-monitoring --stream-name s --shard-level-metrics ALL")
assert disabled["DesiredShardLevelMetrics"] == [], disabled
aws(f"put-resource-policy --resource-arn {ARN} --policy", '{"Version": "2012-10-17", "Statement": []}')
assert "2012-10-17" in aws(f"get-resource-policy --resource-arn {ARN}")["Policy"]
aws(f"delete-resource-policy --resource-arn {ARN}")
refused("ResourceNotFoundException", "No resource policy", f"delete-resource-policy --resource-arn {ARN}")
aws(f"update-max-record-size --stream-arn {ARN} --max-record-size-in-ki-b 2048")
aws(f"update-stream-mode --stream-arn {ARN} --stream-mode-details StreamMode=ON_DEMAND")
refused(
    "ValidationException",
    "On-Demand mode",
    "update-shard-count --stream-name s --target-shard-count 2 --scaling-type UNIFORM_SCALING",
)
warm = aws("update-stream-warm-throughput --stream-name s --warm-throughput-mi-bps 100")
assert warm["WarmThroughput"]["TargetMiBps"] == 100, warm
aws("update-account-settings --minimum-throughput-billing-commitment Status=ENABLED")
assert aws("describe-account-settings")["MinimumThroughputBillingCommitment"]["Status"] == "ENABLED"

# The end.
refused("ResourceInUseException", "consumers", "delete-stream --stream-name s")
aws("delete-stream --enforce-consumer-deletion --stream-name s")
aws("wait stream-not-exists --stream-name s")
missing = set(driver._get_command_table()["kinesis"]._get_command_table()) - called - {"help"}
assert not missing, f"commands that were not tried: {missing}"

ended = subprocess.run(
    [sys.executable, "-m", "awscli", "kinesis", "describe-stream", "--stream-name", "s"], capture_output=True, text=True
)
assert ended.returncode == 255 and "(ResourceNotFoundException)" in ended.stderr, ended
