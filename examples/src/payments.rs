//! Card payments and fraud: the data of the `fraud_detection` job, without any dataflow.
//!
//! In reading order:
//! * [`payment`]: payments, alerts, and the small types in them; [`country`]: where they happen;
//! * [`generator`]: payments made from a seed, with fraud planted in them and labelled;
//! * [`rules`]: what a rule remembers of a card, and when it raises an alert;
//! * [`merchants`]: a directory of merchants, which is asked over a socket;
//! * [`score()`]: how many alerts are right, and how much of the fraud they find;
//! * [`ingest`]: payments into the shard log, and alerts out of it.

pub mod country;
pub mod generator;
pub mod ingest;
pub mod merchants;
pub mod payment;
pub mod rules;
pub mod score;

pub use country::Country;
pub use generator::{Label, Line, Scenario};
pub use merchants::{Merchant, Merchants, Risk};
pub use payment::{Alert, CardId, Cents, Day, EventTime, MerchantId, Payment, Rule, Scored, Turnover};
pub use rules::{Card, ProbeThenHit, RuleChange, Rules};
pub use score::{RuleScore, score};
