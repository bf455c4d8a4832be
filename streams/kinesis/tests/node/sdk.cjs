// The AWS SDK for JavaScript, version 3, which speaks HTTP/2 to the service: streams, records, resharding,
// a subscription through a split and a merge, and errors by their types. `NODE_PATH` has the SDK.

const assert = require("node:assert/strict");
const sdk = require("@aws-sdk/client-kinesis");

const ACCOUNT = "000000000000";
const ARN = `arn:aws:kinesis:us-east-1:${ACCOUNT}:stream/s`;
const shardId = (n) => `shardId-${String(n).padStart(12, "0")}`;

// The keys are those of the environment.
const kinesis = new sdk.KinesisClient({ endpoint: process.env.ENDPOINT, region: "us-east-1", maxAttempts: 1 });

/** Calls an operation, by its name. */
const call = (operation, input = {}) => kinesis.send(new sdk[`${operation}Command`](input));

/** Calls what must be refused with an error of this type, whose message contains `message`. */
async function refused(type, message, operation, input) {
  await assert.rejects(call(operation, input), (error) => {
    assert.equal(error.name, type, String(error));
    assert.ok(error.message.includes(message), error.message);
    assert.ok(error instanceof (sdk[type] ?? sdk.KinesisServiceException), `${type} has a class`);
    assert.equal(error.$metadata.httpStatusCode, 400);
    assert.ok(error.$metadata.requestId, "a request id");
    return true;
  });
}

const text = (record) => Buffer.from(record.Data).toString();

/** What a closed or open shard has, to its end or tip; and the last answer. */
async function drain(shard) {
  const from = { StreamName: "s", ShardId: shard, ShardIteratorType: "TRIM_HORIZON" };
  let { ShardIterator } = await call("GetShardIterator", from);
  const records = [];
  for (;;) {
    const answer = await call("GetRecords", { ShardIterator, Limit: 3 });
    records.push(...answer.Records);
    ShardIterator = answer.NextShardIterator;
    if (!ShardIterator || answer.MillisBehindLatest === 0) return [records.map(text), answer];
  }
}

async function put(n, hash = "0") {
  const record = { StreamName: "s", PartitionKey: "k", ExplicitHashKey: hash, Data: Buffer.from(String(n)) };
  return call("PutRecord", record);
}

async function main() {
  // Streams.
  await call("CreateStream", { StreamName: "s", ShardCount: 1 });
  await sdk.waitUntilStreamExists({ client: kinesis, maxWaitTime: 30 }, { StreamName: "s" });
  await refused("ResourceInUseException", "already exists", "CreateStream", { StreamName: "s", ShardCount: 1 });
  const absent = `Stream absent under account ${ACCOUNT} not found.`;
  await refused("ResourceNotFoundException", absent, "DescribeStream", { StreamName: "absent" });
  const wrong = "Value 'a b' at 'streamName' failed to satisfy constraint: Member must satisfy regular expression pattern";
  await refused("ValidationException", wrong, "DescribeStream", { StreamName: "a b" });
  await refused("InvalidArgumentException", "Invalid ShardIterator.", "GetRecords", { ShardIterator: "x" });
  const described = (await call("DescribeStream", { StreamName: "s" })).StreamDescription;
  assert.equal(described.StreamARN, ARN);
  assert.equal(described.StreamStatus, "ACTIVE");
  assert.ok(Math.abs(Date.now() - described.StreamCreationTimestamp.getTime()) < 60_000);
  for (const name of ["a", "b"]) await call("CreateStream", { StreamName: name, ShardCount: 1 });
  const names = [];
  for await (const page of sdk.paginateListStreams({ client: kinesis, pageSize: 1 }, {})) names.push(...page.StreamNames);
  assert.deepEqual(names, ["a", "b", "s"]);

  // Records.
  const entries = ["ä", "b", "c"].map((key) => ({ PartitionKey: key, Data: Buffer.from(key) }));
  const many = await call("PutRecords", { StreamARN: ARN, Records: entries });
  assert.equal(many.FailedRecordCount, 0);
  assert.ok(many.Records.every((placed) => placed.ShardId === shardId(0) && placed.SequenceNumber.length === 56));
  assert.deepEqual((await drain(shardId(0)))[0], ["ä", "b", "c"]);

  // A subscription brings what is there and what comes, across a split, to the shard's end.
  const registered = await call("RegisterStreamConsumer", { StreamARN: ARN, ConsumerName: "risk" });
  const ConsumerARN = registered.Consumer.ConsumerARN;
  const received = [];
  const subscribe = async (ShardId) => {
    const StartingPosition = { Type: "TRIM_HORIZON" };
    const answer = await call("SubscribeToShard", { ConsumerARN, ShardId, StartingPosition });
    return answer.EventStream[Symbol.asyncIterator]();
  };
  const next = async (events) => {
    const { done, value } = await events.next();
    assert.ok(!done, "the subscription is over");
    const event = value.SubscribeToShardEvent;
    assert.ok(event, JSON.stringify(value));
    received.push(...event.Records.map(text));
    return event;
  };
  const until = async (events, last) => {
    while (received.at(-1) !== last) await next(events);
  };
  const toItsEnd = async (events) => {
    let event;
    do event = await next(events);
    while (event.ContinuationSequenceNumber !== undefined);
    assert.equal((await events.next()).done, true);
    return event.ChildShards;
  };
  const root = await subscribe(shardId(0));
  await until(root, "c");
  const StartingPosition = { Type: "LATEST" };
  await refused("ResourceInUseException", "Another active subscription exists", "SubscribeToShard", {
    ConsumerARN, ShardId: shardId(0), StartingPosition,
  });
  for (let n = 0; n < 10; n++) await put(n);
  await until(root, "9");
  await call("SplitShard", { StreamName: "s", ShardToSplit: shardId(0), NewStartingHashKey: String(2n ** 127n) });
  await put("low");
  await put("high", String(2n ** 127n));
  const children = await toItsEnd(root);
  assert.deepEqual(children.map((child) => child.ShardId), [shardId(1), shardId(2)]);
  assert.deepEqual(children.map((child) => child.ParentShards), [[shardId(0)], [shardId(0)]]);
  const halves = [await subscribe(shardId(1)), await subscribe(shardId(2))];
  await until(halves[0], "low");
  await until(halves[1], "high");
  await call("MergeShards", { StreamName: "s", ShardToMerge: shardId(1), AdjacentShardToMerge: shardId(2) });
  await put("whole");
  for (const half of halves) {
    const [child] = await toItsEnd(half);
    assert.deepEqual([child.ShardId, child.ParentShards], [shardId(3), [shardId(1), shardId(2)]]);
  }
  const whole = await subscribe(shardId(3));
  await until(whole, "whole");
  const numbers = Array.from({ length: 10 }, (_, n) => String(n));
  assert.deepEqual(received, ["ä", "b", "c", ...numbers, "low", "high", "whole"]);
  await refused("InvalidArgumentException", "has already been merged or split", "SplitShard", {
    StreamName: "s", ShardToSplit: shardId(0), NewStartingHashKey: "9",
  });

  // The same by iterators: a closed shard ends without one, and names its children.
  const [texts, last] = await drain(shardId(0));
  assert.deepEqual(texts, ["ä", "b", "c", ...numbers]);
  assert.equal(last.NextShardIterator, undefined);
  assert.deepEqual(last.ChildShards.map((child) => child.ShardId), [shardId(1), shardId(2)]);

  // A consumer that goes ends its subscription with an error of its type.
  await call("DeregisterStreamConsumer", { ConsumerARN });
  await assert.rejects(
    async () => { for (;;) if ((await whole.next()).done) return; },
    (error) => error instanceof sdk.ResourceNotFoundException && error.message.includes("risk"),
  );
  await call("DeleteStream", { StreamName: "s" });
  await sdk.waitUntilStreamNotExists({ client: kinesis, maxWaitTime: 30 }, { StreamName: "s" });
  kinesis.destroy();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
