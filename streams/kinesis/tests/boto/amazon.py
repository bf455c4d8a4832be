"""A program written for Amazon, in the manner of its public samples: a producer that retries what was refused,
a consumer that reads parents before children, one by enhanced fan-out, waiters and paginators. Nothing of it is
meant for this service but `endpoint_url`."""

import collections
import json
import os
import threading
import time

import boto3
from botocore.exceptions import ClientError

kinesis = boto3.client("kinesis", endpoint_url=os.environ["ENDPOINT"])


class Stream:
    """A stream, created and waited for."""

    def __init__(self, name, shards):
        self.name = name
        try:
            kinesis.create_stream(StreamName=name, ShardCount=shards)
        except kinesis.exceptions.ResourceInUseException:
            pass  # There it is.
        self.wait()
        self.arn = kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamARN"]

    def wait(self):
        kinesis.get_waiter("stream_exists").wait(StreamName=self.name)

    def shards(self, **more):
        """By pages: a token of the next goes without the stream's name, which the paginator does not know."""
        shards, request = [], {"StreamName": self.name, **more}
        while True:
            page = kinesis.list_shards(MaxResults=2, **request)
            shards += page["Shards"]
            if "NextToken" not in page:
                return shards
            request = {"NextToken": page["NextToken"]}

    def delete(self):
        kinesis.delete_stream(StreamName=self.name, EnforceConsumerDeletion=True)
        kinesis.get_waiter("stream_not_exists").wait(StreamName=self.name)


class Producer:
    """Puts by batches, and puts again what was refused, as the guide of PutRecords has it."""

    def __init__(self, stream):
        self.stream = stream
        self.retries = 0

    def put(self, messages):
        records = [
            {"PartitionKey": message["user"], "Data": json.dumps(message).encode()} for message in messages
        ]
        attempt = 0
        while records:
            answer = kinesis.put_records(StreamName=self.stream.name, Records=records)
            if answer["FailedRecordCount"] == 0:
                break
            records = [record for record, told in zip(records, answer["Records"]) if "ErrorCode" in told]
            self.retries += 1
            time.sleep(min(0.1 * 2**attempt, 2))
            attempt += 1


class Consumer:
    """Reads every shard from its beginning to its end, or to its tip; a shard after its parents."""

    def __init__(self, stream):
        self.stream = stream
        self.messages = []

    def run(self):
        shards = {shard["ShardId"]: shard for shard in self.stream.shards()}
        done = set()

        def parents(shard):
            named = (shard.get("ParentShardId"), shard.get("AdjacentParentShardId"))
            return {parent for parent in named if parent in shards}

        while len(done) < len(shards):
            ready = [s for s, shard in shards.items() if s not in done and parents(shard) <= done]
            assert ready, "shards whose parents are never done"
            for shard in ready:
                self.read(shard)
                done.add(shard)
        return self.messages

    def read(self, shard):
        token = kinesis.get_shard_iterator(
            StreamName=self.stream.name, ShardId=shard, ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        while token is not None:
            try:
                answer = kinesis.get_records(ShardIterator=token, Limit=100)
            except kinesis.exceptions.ProvisionedThroughputExceededException:
                time.sleep(1)
                continue
            self.messages += [json.loads(record["Data"]) for record in answer["Records"]]
            if not answer["Records"] and answer["MillisBehindLatest"] == 0:
                break
            token = answer.get("NextShardIterator")


class FanOut:
    """Subscribes to every shard, and to the children of one that ends."""

    def __init__(self, stream, name):
        self.messages = []
        self.lock = threading.Condition()
        self.threads = []
        self.failures = []
        self.seen = set()
        self.stream = stream
        self.arn = kinesis.register_stream_consumer(StreamARN=stream.arn, ConsumerName=name)["Consumer"][
            "ConsumerARN"
        ]
        while self.describe()["ConsumerStatus"] != "ACTIVE":
            time.sleep(1)
        for shard in stream.shards(ShardFilter={"Type": "AT_LATEST"}):
            self.follow(shard["ShardId"], {"Type": "TRIM_HORIZON"})

    def describe(self):
        return kinesis.describe_stream_consumer(ConsumerARN=self.arn)["ConsumerDescription"]

    def follow(self, shard, position):
        with self.lock:
            if shard in self.seen:
                return  # The child of two parents: the first to end has begun it.
            self.seen.add(shard)
        thread = threading.Thread(target=self.run, args=(shard, position), daemon=True)
        self.threads.append(thread)
        thread.start()

    def run(self, shard, position):
        try:
            while position is not None:
                position = self.subscribe(shard, position)
        except ClientError as error:
            # The consumer has been deregistered, or the stream deleted.
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                self.failures.append(error)
        except Exception as error:
            if "ResourceNotFoundException" not in str(error):
                self.failures.append(error)

    def subscribe(self, shard, position):
        answer = kinesis.subscribe_to_shard(ConsumerARN=self.arn, ShardId=shard, StartingPosition=position)
        for event in answer["EventStream"]:
            event = event["SubscribeToShardEvent"]
            with self.lock:
                self.messages += [json.loads(record["Data"]) for record in event["Records"]]
                self.lock.notify_all()
            for child in event.get("ChildShards", ()):
                self.follow(child["ShardId"], {"Type": "TRIM_HORIZON"})
            if "ContinuationSequenceNumber" not in event:
                return None
            position = {"Type": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": event["ContinuationSequenceNumber"]}
        return position

    def wait(self, count):
        with self.lock:
            assert self.lock.wait_for(lambda: len(self.messages) >= count or self.failures, timeout=60), (
                f"{len(self.messages)} of {count}"
            )
        assert not self.failures, self.failures

    def stop(self):
        kinesis.deregister_stream_consumer(ConsumerARN=self.arn)
        for thread in self.threads:
            thread.join(timeout=60)
            assert not thread.is_alive(), "a subscription outlives its consumer"
        assert not self.failures, self.failures


def in_order(messages):
    """What each user sent, and that it came once and in order."""
    by_user = collections.defaultdict(list)
    for message in messages:
        by_user[message["user"]].append(message["n"])
    for user, numbers in by_user.items():
        assert numbers == sorted(set(numbers)), f"{user}: {numbers}"
    return {user: len(numbers) for user, numbers in by_user.items()}


stream = Stream("sample-stream", 2)
producer, fan_out = Producer(stream), FanOut(stream, "sample-consumer")
sent = 0


def produce(count):
    """Messages of eight users, numbered."""
    global sent
    producer.put([{"user": f"user-{n % 8}", "n": n} for n in range(sent, sent + count)])
    sent += count


produce(400)

# Reshard while there are readers: split the first open shard, merge the two halves, then double.
first = stream.shards(ShardFilter={"Type": "AT_LATEST"})[0]
low, high = (int(first["HashKeyRange"][end]) for end in ("StartingHashKey", "EndingHashKey"))
kinesis.split_shard(
    StreamName=stream.name, ShardToSplit=first["ShardId"], NewStartingHashKey=str((low + high + 1) // 2)
)
stream.wait()
produce(400)
halves = [shard["ShardId"] for shard in stream.shards() if shard.get("ParentShardId") == first["ShardId"]]
kinesis.merge_shards(StreamName=stream.name, ShardToMerge=halves[0], AdjacentShardToMerge=halves[1])
stream.wait()
produce(400)
kinesis.update_shard_count(StreamName=stream.name, TargetShardCount=4, ScalingType="UNIFORM_SCALING")
stream.wait()
produce(400)
assert len(stream.shards(ShardFilter={"Type": "AT_LATEST"})) == 4

fan_out.wait(sent)
expected = {f"user-{n}": sent // 8 for n in range(8)}
assert in_order(fan_out.messages) == expected
assert in_order(Consumer(stream).run()) == expected
print("shards:", len(stream.shards()), "messages:", sent, "retries:", producer.retries)

# Every paginator that boto3 has for the service.
others = [Stream(f"other-{n}", 1) for n in range(5)]
pages = list(kinesis.get_paginator("list_streams").paginate(PaginationConfig={"PageSize": 2}))
names = [name for page in pages for name in page["StreamNames"]]
assert len(pages) == 3 and names == sorted(names) and len(names) == 6, names
for n in range(4):
    kinesis.register_stream_consumer(StreamARN=stream.arn, ConsumerName=f"consumer-{n}")
pages = kinesis.get_paginator("list_stream_consumers").paginate(
    StreamARN=stream.arn, PaginationConfig={"PageSize": 2}
)
assert len([consumer for page in pages for consumer in page["Consumers"]]) == 5
pages = kinesis.get_paginator("describe_stream").paginate(StreamName=stream.name, PaginationConfig={"PageSize": 3})
described = [shard["ShardId"] for page in pages for shard in page["StreamDescription"]["Shards"]]
listed = kinesis.get_paginator("list_shards").paginate(StreamName=stream.name).build_full_result()["Shards"]
assert described == [shard["ShardId"] for shard in listed] == [shard["ShardId"] for shard in stream.shards()]
for operation, key in (("list_channels", "ChannelSummaries"), ("list_queues", "QueueSummaries")):
    assert kinesis.get_paginator(operation).paginate().build_full_result() == {key: []}

fan_out.stop()
for each in [stream, *others]:
    each.delete()
assert kinesis.list_streams()["StreamNames"] == []
