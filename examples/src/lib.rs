//! What the example jobs share, in reading order:
//!
//! * [`payments`]: card payments, the fraud planted in them, the rules that look for it, and how
//!   well they find it. The job is `fraud_detection.rs`;
//! * [`trial`]: that job as a process that is disturbed in every way, and the check of what it leaves.

pub mod payments;
pub mod trial;
