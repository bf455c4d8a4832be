//! What the example jobs share, in reading order:
//!
//! * [`payments`]: card payments, the fraud planted in them, the rules that look for it, and how
//!   well they find it. The job is `fraud_detection.rs`.

pub mod payments;
