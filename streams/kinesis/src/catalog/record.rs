//! What the catalog holds. Members have defaults, so that files of before they were there can be read.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// A stream as Kinesis knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamRecord {
    /// Its name, which is its log's too.
    pub name: String,
    /// Which log of that name it is; 0 until that is created.
    #[serde(default)]
    pub log_id: u64,
    /// In ms since the Unix epoch.
    pub created_ms: u64,
    /// What is being done with it.
    #[serde(default)]
    pub status: Status,
    /// How many shards it is created with.
    #[serde(default)]
    pub initial_shards: u32,
    /// Who sees to its number of shards.
    #[serde(default)]
    pub mode: Mode,
    /// Its tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Its consumers, by name.
    #[serde(default)]
    pub consumers: BTreeMap<String, ConsumerRecord>,
    /// The key that it is said to be encrypted with.
    #[serde(default)]
    pub key_id: Option<String>,
    /// Its shard-level metrics that are on.
    #[serde(default)]
    pub metrics: BTreeSet<String>,
    /// Its resource policy.
    #[serde(default)]
    pub policy: Option<String>,
    /// The throughput that it is kept ready for, in MiB/s.
    #[serde(default)]
    pub warm_mibps: Option<u32>,
    /// The largest record that it takes, in KiB.
    #[serde(default = "default_record_kib")]
    pub max_record_kib: u32,
    /// How records find their shards.
    #[serde(default)]
    pub distribution: Distribution,
}

fn default_record_kib() -> u32 {
    1024
}

/// What is being done with a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Status {
    /// Its log is being created.
    Creating,
    /// Nothing.
    #[default]
    Active,
    /// Its shards or settings are being changed. Never on disk.
    Updating,
    /// It is being deleted.
    Deleting,
}

impl Status {
    /// As AWS writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Creating => "CREATING",
            Self::Active => "ACTIVE",
            Self::Updating => "UPDATING",
            Self::Deleting => "DELETING",
        }
    }
}

/// Who sees to a stream's number of shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Mode {
    /// Its owner.
    #[default]
    Provisioned,
    /// The service.
    OnDemand,
}

impl Mode {
    /// As AWS writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Provisioned => "PROVISIONED",
            Self::OnDemand => "ON_DEMAND",
        }
    }
}

/// How records find their shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Distribution {
    /// By the partition keys that producers give.
    #[default]
    UserPartitionKey,
    /// As the service likes.
    Auto,
}

impl Distribution {
    /// As AWS writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::UserPartitionKey => "USER_PARTITION_KEY",
            Self::Auto => "AUTO",
        }
    }
}

/// A consumer with a throughput of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerRecord {
    /// In ms since the Unix epoch.
    pub created_ms: u64,
    /// Its tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Its resource policy.
    #[serde(default)]
    pub policy: Option<String>,
}

/// The settings of the account.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AccountRecord {
    /// Since when a least throughput is paid for, in ms since the Unix epoch.
    #[serde(default)]
    pub commitment_since_ms: Option<u64>,
    /// When it was given up, in ms since the Unix epoch.
    #[serde(default)]
    pub commitment_ended_ms: Option<u64>,
}

impl StreamRecord {
    /// A stream with everything at its default.
    #[must_use]
    pub fn new(name: &str, created_ms: u64) -> Self {
        Self {
            name: name.to_owned(),
            log_id: 0,
            created_ms,
            status: Status::Active,
            initial_shards: 0,
            mode: Mode::Provisioned,
            tags: BTreeMap::new(),
            consumers: BTreeMap::new(),
            key_id: None,
            metrics: BTreeSet::new(),
            policy: None,
            warm_mibps: None,
            max_record_kib: default_record_kib(),
            distribution: Distribution::UserPartitionKey,
        }
    }
}
