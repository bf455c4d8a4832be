//! A program of the real aws-sdk-rust, run against a server under test: `aws-sdk-rust streams|limits ENDPOINT [CA]`.
//! Its assertions are the test; it ends badly if one fails.

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::client::Waiters;
use aws_sdk_kinesis::config::retry::{RetryConfig, RetryPartition, TokenBucket};
use aws_sdk_kinesis::config::{BehaviorVersion, Config, Credentials, Region};
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::RequestId;
use aws_sdk_kinesis::operation::subscribe_to_shard::SubscribeToShardOutput;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{
    PutRecordsRequestEntry, ShardIteratorType, StartingPosition, SubscribeToShardEvent,
    SubscribeToShardEventStream as Event,
};
use aws_smithy_http_client::{Builder, tls};
use std::time::Duration;

const ACCOUNT: &str = "000000000000";
const HALF: &str = "170141183460469231731687303715884105728";

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["streams", endpoint] => streams(client(endpoint, None, RetryConfig::disabled())).await,
        ["streams", endpoint, ca] => streams(client(endpoint, Some(ca), RetryConfig::disabled())).await,
        ["limits", endpoint] => {
            let retries = RetryConfig::standard()
                .with_max_attempts(10_000)
                .with_initial_backoff(Duration::from_millis(1))
                .with_max_backoff(Duration::from_millis(20));
            limits(client(endpoint, None, retries)).await;
        }
        _ => panic!("aws-sdk-rust streams|limits ENDPOINT [CA], not {arguments:?}"),
    }
}

/// A client as any program builds it. With a `ca` it speaks TLS, and so HTTP/2.
fn client(endpoint: &str, ca: Option<&str>, retries: RetryConfig) -> Client {
    let http = match ca {
        None => Builder::new().build_http(),
        Some(ca) => {
            let trusted =
                tls::TrustStore::empty().with_pem_certificate(std::fs::read(ca).expect("the certificate"));
            let context = tls::TlsContext::builder().with_trust_store(trusted).build().expect("a context");
            let provider = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
            Builder::new().tls_provider(provider).tls_context(context).build_https()
        }
    };
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("AKIDEXAMPLE", "secret", None, None, "test"))
        .endpoint_url(endpoint)
        .retry_config(retries)
        // As often as it takes: no test may fail because the machine is slow.
        .retry_partition(RetryPartition::custom("test").token_bucket(TokenBucket::unlimited()).build())
        .http_client(http);
    Client::from_conf(config.build())
}

/// What must be refused, with an error of this code whose message contains `message`.
fn refused<T, E>(answer: Result<T, SdkError<E>>, code: &str, message: &str) -> E
where
    T: std::fmt::Debug,
    E: ProvideErrorMetadata + RequestId + std::fmt::Debug,
{
    let error = match answer {
        Err(SdkError::ServiceError(context)) => context.into_err(),
        other => panic!("not refused by {code}: {other:?}"),
    };
    assert_eq!(error.code(), Some(code), "{error:?}");
    assert!(error.message().is_some_and(|told| told.contains(message)), "{error:?}");
    assert!(error.request_id().is_some(), "{error:?}");
    error
}

fn shard_id(n: u32) -> String {
    format!("shardId-{n:012}")
}

async fn put(kinesis: &Client, data: &str, hash: &str) -> String {
    let put = kinesis.put_record().stream_name("s").partition_key("k").explicit_hash_key(hash);
    let put = put.data(Blob::new(data)).send().await.expect("a put");
    put.sequence_number
}

/// A subscription, and the data of what it has brought.
struct Subscription {
    events: SubscribeToShardOutput,
    data: Vec<String>,
}

impl Subscription {
    async fn to(kinesis: &Client, consumer: &str, shard: &str) -> Self {
        let position = StartingPosition::builder().r#type(ShardIteratorType::TrimHorizon).build();
        let subscribe = kinesis.subscribe_to_shard().consumer_arn(consumer).shard_id(shard);
        let events = subscribe.starting_position(position.expect("a position")).send().await;
        Self { events: events.expect("a subscription"), data: Vec::new() }
    }

    async fn next(&mut self) -> Option<SubscribeToShardEvent> {
        let event = self.events.event_stream.recv().await.expect("an event")?;
        let Event::SubscribeToShardEvent(event) = event else { panic!("{event:?}") };
        let text = |record: &aws_sdk_kinesis::types::Record| {
            String::from_utf8(record.data.clone().into_inner()).expect("text")
        };
        self.data.extend(event.records.iter().map(text));
        Some(event)
    }

    async fn until(&mut self, data: &str) {
        while self.data.last().is_none_or(|last| last != data) {
            self.next().await.expect("more of it");
        }
    }

    /// The children of the shard, with their parents, when it has ended.
    async fn to_its_end(&mut self) -> Vec<(String, Vec<String>)> {
        loop {
            let event = self.next().await.expect("an end that is told");
            if event.continuation_sequence_number.is_empty() {
                assert!(self.next().await.is_none(), "nothing comes after the end");
                let children = event.child_shards.unwrap_or_default();
                return children.into_iter().map(|child| (child.shard_id, child.parent_shards)).collect();
            }
        }
    }
}

async fn streams(kinesis: Client) {
    let arn = format!("arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/s");
    kinesis.create_stream().stream_name("s").shard_count(1).send().await.expect("a stream");
    let wait = kinesis.wait_until_stream_exists().stream_name("s");
    wait.wait(Duration::from_secs(60)).await.expect("it exists");
    errors(&kinesis).await;
    for name in ["a", "b"] {
        kinesis.create_stream().stream_name(name).shard_count(1).send().await.expect("a stream");
    }
    let mut names = Vec::new();
    let mut pages = kinesis.list_streams().limit(2).into_paginator().send();
    while let Some(page) = pages.next().await {
        names.extend(page.expect("a page").stream_names);
    }
    assert_eq!(names, ["a", "b", "s"]);

    let entry = |n: u32| {
        let entry = PutRecordsRequestEntry::builder().partition_key("k").explicit_hash_key("0");
        entry.data(Blob::new(format!("{n}"))).build().expect("an entry")
    };
    let put_records = kinesis.put_records().stream_arn(&arn).set_records(Some((0..10).map(entry).collect()));
    let many = put_records.send().await.expect("records put");
    assert_eq!((many.failed_record_count, many.records.len()), (Some(0), 10));

    let consumer = kinesis.register_stream_consumer().stream_arn(&arn).consumer_name("risk").send().await;
    let consumer = consumer.expect("a consumer").consumer.expect("a consumer").consumer_arn;
    let mut root = Subscription::to(&kinesis, &consumer, &shard_id(0)).await;
    root.until("9").await;
    let position = StartingPosition::builder().r#type(ShardIteratorType::Latest).build();
    let again = kinesis.subscribe_to_shard().consumer_arn(&consumer).shard_id(shard_id(0));
    let again = again.starting_position(position.expect("a position")).send().await;
    let error = refused(again, "ResourceInUseException", "Another active subscription exists");
    assert!(error.is_resource_in_use_exception());

    // Splits and merges while subscriptions are open.
    let split = kinesis.split_shard().stream_name("s").shard_to_split(shard_id(0));
    split.new_starting_hash_key(HALF).send().await.expect("a split");
    put(&kinesis, "low", "0").await;
    put(&kinesis, "high", HALF).await;
    let children = root.to_its_end().await;
    assert_eq!(children, [(shard_id(1), vec![shard_id(0)]), (shard_id(2), vec![shard_id(0)])]);
    let mut low = Subscription::to(&kinesis, &consumer, &shard_id(1)).await;
    let mut high = Subscription::to(&kinesis, &consumer, &shard_id(2)).await;
    low.until("low").await;
    high.until("high").await;
    let merge = kinesis.merge_shards().stream_name("s").shard_to_merge(shard_id(1));
    merge.adjacent_shard_to_merge(shard_id(2)).send().await.expect("a merge");
    let last = put(&kinesis, "whole", "0").await;
    for half in [&mut low, &mut high] {
        assert_eq!(half.to_its_end().await, [(shard_id(3), vec![shard_id(1), shard_id(2)])]);
    }
    let mut whole = Subscription::to(&kinesis, &consumer, &shard_id(3)).await;
    whole.until("whole").await;
    polling(&kinesis, &last).await;

    // A consumer that goes ends its subscription with an error of its type.
    kinesis.deregister_stream_consumer().consumer_arn(&consumer).send().await.expect("deregistered");
    let error = loop {
        match whole.events.event_stream.recv().await {
            Ok(event) => assert!(event.is_some(), "it ended well"),
            Err(error) => break error.into_service_error(),
        }
    };
    assert!(error.is_resource_not_found_exception(), "{error:?}");
    kinesis.delete_stream().stream_name("s").send().await.expect("deleted");
    let wait = kinesis.wait_until_stream_not_exists().stream_name("s");
    wait.wait(Duration::from_secs(60)).await.expect("it is gone");
}

async fn errors(kinesis: &Client) {
    let twice = kinesis.create_stream().stream_name("s").shard_count(1).send().await;
    let error = refused(twice, "ResourceInUseException", "already exists");
    assert!(error.is_resource_in_use_exception());
    let absent = kinesis.describe_stream().stream_name("absent").send().await;
    let message = format!("Stream absent under account {ACCOUNT} not found.");
    assert!(refused(absent, "ResourceNotFoundException", &message).is_resource_not_found_exception());
    let invalid = kinesis.describe_stream().stream_name("a b").send().await;
    refused(invalid, "ValidationException", "Value 'a b' at 'streamName' failed to satisfy constraint");
    let iterator = kinesis.get_records().shard_iterator("x").send().await;
    let error = refused(iterator, "InvalidArgumentException", "Invalid ShardIterator.");
    assert!(error.is_invalid_argument_exception());
}

/// The root, by iterators, to its end; and the last record by its number.
async fn polling(kinesis: &Client, last: &str) {
    let iterator = kinesis.get_shard_iterator().stream_name("s").shard_id(shard_id(0));
    let iterator =
        iterator.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.expect("an iterator");
    let mut token = iterator.shard_iterator;
    let mut count = 0;
    let children = loop {
        let answer = kinesis.get_records().set_shard_iterator(token).limit(3).send().await.expect("records");
        count += answer.records.len();
        token = answer.next_shard_iterator;
        if token.is_none() {
            break answer.child_shards.unwrap_or_default();
        }
    };
    assert_eq!((count, children.len()), (10, 2));
    let at = kinesis.get_shard_iterator().stream_name("s").shard_id(shard_id(3));
    let at = at.shard_iterator_type(ShardIteratorType::AtSequenceNumber).starting_sequence_number(last);
    let token = at.send().await.expect("an iterator").shard_iterator;
    let answer = kinesis.get_records().set_shard_iterator(token).send().await.expect("records");
    assert_eq!(answer.records[0].sequence_number, last);
    assert_eq!(answer.millis_behind_latest, Some(0));
}

/// More than a shard takes at a time: the SDK retries what is refused, and in the end all is there.
async fn limits(kinesis: Client) {
    kinesis.create_stream().stream_name("s").shard_count(1).send().await.expect("a stream");
    let puts = (0..30).map(|n: u8| {
        let put = kinesis.put_record().stream_name("s").partition_key("k").data(Blob::new(vec![n; 100_000]));
        tokio::spawn(put.send())
    });
    // All of them begin before the first is waited for.
    for put in puts.collect::<Vec<_>>() {
        put.await.expect("no panic").expect("put, at last");
    }
}
