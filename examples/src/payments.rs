//! Card payments and fraud: the data of the `fraud_detection` job, without any dataflow.
//!
//! In reading order:
//! * [`payment`]: payments, alerts, and the small types in them; [`country`]: where they happen;
//! * [`generator`]: payments made from a seed, with fraud planted in them and labelled;
//! * [`rules`]: what a rule remembers of a card, and when it raises an alert;
//! * [`score()`]: how many alerts are right, and how much of the fraud they find;
//! * [`ingest`]: payments into the shard log, and alerts out of it.

pub mod country;
pub mod generator;
pub mod ingest;
pub mod payment;
pub mod rules;
pub mod score;

pub use country::Country;
pub use generator::{Label, Line, Scenario};
pub use payment::{Alert, CardId, Cents, EventTime, MerchantId, Payment, Rule};
pub use rules::{Card, Rules};
pub use score::{RuleScore, score};
