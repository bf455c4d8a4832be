//! What a trial has written, whether it counts every line once, and whether it is what another has.

use std::collections::{BTreeMap, HashSet};

use anyhow::{Context, Result, ensure};

use super::Trial;
use crate::payments::{Alert, ingest};

/// What the job has written.
#[derive(Clone, Debug)]
pub struct Outputs {
    /// Alerts by card, in order.
    pub alerts: BTreeMap<String, Vec<String>>,
    /// Turnovers of windows, as JSON.
    pub turnover: Vec<String>,
    /// Payments that came too late for their window, as JSON.
    pub late: Vec<String>,
    /// Lines that were no payments, as JSON.
    pub rejected: Vec<String>,
}

impl Trial {
    /// What it has written.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn outputs(&self) -> Result<Outputs> {
        let mut alerts: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for alert in ingest::read::<Alert>(&self.log_directory(), &self.alerts())? {
            alerts.entry(format!("{:?}", alert.card)).or_default().push(format!("{alert:?}"));
        }
        let lines = |output: &str| -> Result<Vec<String>> {
            let mut lines = Vec::new();
            let directory = self.place("out").join(output);
            for entry in std::fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
                let path = entry?.path();
                if path.extension().is_some_and(|extension| extension == "jsonl") {
                    lines.extend(std::fs::read_to_string(path)?.lines().map(str::to_owned));
                }
            }
            Ok(lines)
        };
        Ok(Outputs {
            alerts,
            turnover: lines("turnover")?,
            late: lines("late")?,
            rejected: lines("rejected")?,
        })
    }
}

impl Outputs {
    /// Every one of `lines` lines is counted once: in a window, late for it, or rejected.
    ///
    /// # Errors
    /// One is not, or is twice.
    pub fn conserve(&self, lines: u64) -> Result<()> {
        let mut in_windows = 0;
        for line in &self.turnover {
            let turnover: serde_json::Value = serde_json::from_str(line)?;
            let payments = turnover["value"]["payments"].as_u64();
            in_windows += payments.with_context(|| format!("not a turnover: {line}"))?;
        }
        let (late, rejected) = (self.late.len() as u64, self.rejected.len() as u64);
        ensure!(
            in_windows + late + rejected == lines,
            "of {lines} lines {in_windows} are on time, {late} late, {rejected} rejected"
        );
        let once: HashSet<&String> = self.late.iter().chain(&self.rejected).collect();
        ensure!(once.len() as u64 == late + rejected, "a late or rejected line came twice");
        Ok(())
    }

    /// Has the same alerts as `expected`, those of each card in the same order, and rejects the same lines.
    /// Which payments are late depends on when they are read.
    ///
    /// # Errors
    /// It has not.
    pub fn compare(&self, expected: &Self) -> Result<()> {
        for (card, alerts) in &expected.alerts {
            let found = self.alerts.get(card).map_or(&[][..], Vec::as_slice);
            ensure!(alerts == found, "the alerts of {card} are {found:?}, and should be {alerts:?}");
        }
        let others: Vec<_> = self.alerts.keys().filter(|card| !expected.alerts.contains_key(*card)).collect();
        ensure!(others.is_empty(), "there should be no alerts of {others:?}");
        let sorted = |outputs: &Self| {
            let mut lines = outputs.rejected.clone();
            lines.sort();
            lines
        };
        ensure!(sorted(self) == sorted(expected), "other lines were rejected");
        Ok(())
    }
}
