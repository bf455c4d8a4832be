//! What a trial has written, whether it counts every line once, and whether it is what another has.

use std::collections::{BTreeMap, HashSet};

use anyhow::{Context, Result, ensure};

use super::Trial;
use crate::payments::{Alert, ingest};

/// What the job has written.
#[derive(Clone, Debug)]
pub struct Outputs {
    /// Alerts by card and rule, in order.
    pub alerts: BTreeMap<String, Vec<String>>,
    /// Turnovers of windows, as JSON.
    pub turnover: Vec<String>,
    /// Payments that came too late to be judged, as JSON.
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
            alerts.entry(format!("{:?}, {}", alert.card, alert.rule)).or_default().push(format!("{alert:?}"));
        }
        Ok(Outputs {
            alerts,
            turnover: self.lines_of("turnover")?,
            late: self.lines_of("late")?,
            rejected: self.lines_of("rejected")?,
        })
    }

    /// The lines of the files of one output.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn lines_of(&self, output: &str) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        let directory = self.place("out").join(output);
        for entry in std::fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "jsonl") {
                lines.extend(std::fs::read_to_string(path)?.lines().map(str::to_owned));
            }
        }
        Ok(lines)
    }
}

impl Outputs {
    /// Every one of `lines` lines is counted once: in a window, late, or rejected.
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

    /// Has the same alerts as `expected`, those of each card and rule in the same order, and rejects the same lines.
    ///
    /// # Errors
    /// It has not.
    pub fn compare(&self, expected: &Self) -> Result<()> {
        for (of, alerts) in &expected.alerts {
            let found = self.alerts.get(of).map_or(&[][..], Vec::as_slice);
            ensure!(alerts == found, "the alerts of {of} are {found:?}, and should be {alerts:?}");
        }
        let others: Vec<_> = self.alerts.keys().filter(|of| !expected.alerts.contains_key(*of)).collect();
        ensure!(others.is_empty(), "there should be no alerts of {others:?}");
        same("rejected lines", &self.rejected, &expected.rejected)
    }

    /// Has the same alerts as `expected`, and everything else is the same too: late payments and turnovers follow from the
    /// payments alone, where records that are late for their shard go aside.
    ///
    /// # Errors
    /// It has not, or is not.
    pub fn compare_all(&self, expected: &Self) -> Result<()> {
        self.compare(expected)?;
        same("late payments", &self.late, &expected.late)?;
        same("turnovers", &self.turnover, &expected.turnover)
    }
}

/// In any order.
fn same(what: &str, found: &[String], expected: &[String]) -> Result<()> {
    let sorted = |lines: &[String]| {
        let mut lines = lines.to_vec();
        lines.sort();
        lines
    };
    let (found, expected) = (sorted(found), sorted(expected));
    ensure!(found == expected, "the {what} are {found:?}, and should be {expected:?}");
    Ok(())
}
