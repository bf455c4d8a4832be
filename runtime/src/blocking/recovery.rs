//! Recovery: opens sources and sinks, takes the job over from its newest checkpoint, and has the
//! sinks settle what earlier generations left, before anything new is written.
//!
//! Everything that can be refused is refused before the takeover, which ends the generation that
//! may be running: a start that cannot succeed leaves that one alone, and makes nothing.

use std::collections::HashMap;

use pelton_dataflow::key::HASH_VERSION;
use pelton_dataflow::operator::RestoredPart;
use pelton_dataflow::time::Epoch;
use pelton_state::checkpoint::log::{Begun, ManifestLog, Own, StartFrom};
use pelton_state::checkpoint::manifest::{Manifest, SourcePart};
use pelton_state::checkpoint::names::{Declared, NameTable};
use pelton_state::files::KeyedAck;
use pelton_state::schema;
use tracing::{debug, info, warn};

use super::JobRef;
use super::commits::Committers;
use super::enumerators::Enumerators;
use crate::coordinator::Plan;
use crate::error::JobError;
use crate::settings::JobSettings;

/// What a generation begins with.
pub struct Start {
    /// The log, which is this generation's to append to.
    pub log: ManifestLog,
    /// The generation.
    pub generation: u64,
    /// The first epoch.
    pub first_epoch: Epoch,
    /// The numbers of operators and states.
    pub names: NameTable,
    /// Keyed state, of all old workers.
    pub keyed: Vec<KeyedAck>,
    /// What operators left besides, by operator name.
    pub restored: HashMap<String, Vec<RestoredPart>>,
    /// Where the sources were.
    pub sources: Vec<SourcePart>,
    /// The committers, with everything of earlier generations settled.
    pub committers: Committers,
    /// The enumerators of the sources.
    pub enumerators: Enumerators,
    /// Whether the checkpoint holds the end of all input.
    pub is_over: bool,
}

impl Start {
    /// What the coordinator of the generation has to know.
    #[must_use]
    pub fn plan(&self, job: JobRef<'_>) -> Plan {
        let JobSettings { workers, tolerated_checkpoint_failures: tolerated_failures, .. } = *job.settings;
        let ms = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        Plan {
            job: job.id.to_owned(),
            generation: self.generation,
            first_epoch: self.first_epoch,
            workers,
            groups: job.settings.groups(),
            operators: Plan::operators_of(job.graph),
            keyed: job.graph.has_keyed_state(),
            names: self.names.clone(),
            interval_ms: job.settings.checkpoint_interval.ms().map(ms),
            timeout_ms: ms(job.settings.checkpoint_timeout_ms),
            tolerated_failures,
            discovery_interval_ms: ms(job.settings.discovery_interval_ms),
            sources: self.sources.clone(),
            // The recovery has committed what was listed.
            committables: Vec::new(),
        }
    }
}

/// Takes `job` over at `now_ms` and reads where it was. `own` are the generations of this process.
///
/// # Errors
/// A source or sink cannot be opened, the checkpoint does not fit the job or cannot be read, or another
/// process has taken the job over since: the job is left to whoever runs it. A sink that cannot settle
/// what was left fails after the takeover.
pub fn recover(job: JobRef<'_>, from: &StartFrom, own: &mut Own, now_ms: i64) -> Result<Start, JobError> {
    let enumerators = Enumerators::open(job.graph)?;
    let mut committers = Committers::open(job.graph, job.id)?;
    let accept = |generation, base: Option<(u64, &Manifest)>| {
        if let Some((sequence, manifest)) = base {
            check(job, sequence, manifest)?;
            check_states(job, sequence, manifest)?;
            check_end(&enumerators, sequence, manifest)?;
            enumerators.check(sequence, &manifest.sources)?;
        }
        committers.check(generation, base)
    };
    let begun = ManifestLog::take_over(job.store, job.id, from, now_ms, own, accept)?;
    let Begun { log, base, .. } = begun;
    let generation = log.generation();
    let mut names = NameTable::default();
    let mut start = Start {
        generation,
        first_epoch: Epoch(1),
        names: NameTable::default(),
        keyed: Vec::new(),
        restored: HashMap::new(),
        sources: Vec::new(),
        committers: Committers::default(),
        enumerators,
        is_over: false,
        log,
    };
    let mut listed = Vec::new();
    if let Some((sequence, manifest)) = base {
        info!(job = job.id, generation, sequence, epoch = manifest.epoch.0, "restoring a checkpoint");
        start.first_epoch = manifest.epoch.next();
        start.restored = restored(&manifest);
        start.is_over = manifest.is_final;
        names = manifest.names;
        listed = manifest.committables;
        start.keyed = manifest.keyed;
        start.sources = manifest.sources;
    } else {
        info!(job = job.id, generation, "starting without a checkpoint");
    }
    names.declare(Declared::all_of(job.graph))?;
    start.names = names;
    committers.recover(generation, &listed)?;
    start.committers = committers;
    Ok(start)
}

fn restored(manifest: &Manifest) -> HashMap<String, Vec<RestoredPart>> {
    let mut restored: HashMap<String, Vec<RestoredPart>> = HashMap::new();
    for part in &manifest.operators {
        restored.entry(part.operator.clone()).or_default().push(RestoredPart {
            groups: part.groups.clone(),
            watermark: part.watermark,
            bytes: part.bytes.clone(),
        });
    }
    restored
}

/// Refuses a checkpoint that this job cannot go on from.
fn check(job: JobRef<'_>, sequence: u64, manifest: &Manifest) -> Result<(), JobError> {
    let groups = job.settings.groups();
    if manifest.groups != groups {
        let (was, is) = (manifest.groups.count(), groups.count());
        return incompatible(
            sequence,
            format!(
                "it has {was} key groups, the settings say {is}: the number is fixed when a job first runs; set `key_groups` to {was}"
            ),
        );
    }
    if manifest.hash_version != HASH_VERSION {
        return incompatible(
            sequence,
            format!(
                "its keys are spread by version {} of the hash, this program knows version {HASH_VERSION}: run it with the version of the program that wrote it",
                manifest.hash_version
            ),
        );
    }
    check_connectors(job, sequence, manifest)
}

/// Compares the states of the checkpoint with those of the graph.
fn check_states(job: JobRef<'_>, sequence: u64, manifest: &Manifest) -> Result<(), JobError> {
    let nodes = job.graph.nodes().iter();
    let declared = nodes.flat_map(|node| node.states.iter().map(move |state| (node.name.as_str(), state)));
    let report = schema::compare(&manifest.names, declared);
    if report.has_changed() {
        return incompatible(
            sequence,
            format!(
                "what a state holds is not what it was. Build the operator as it was built then (its types, windows, buckets, precision), give the state a higher version with an upgrade, or give the operator another name, under which it begins anew (--allow-dropped-state):\n{}",
                report.changed()
            ),
        );
    }
    if report.has_missing() && !job.settings.allow_dropped_state {
        return incompatible(
            sequence,
            format!(
                "it holds state that no operator of this graph claims; give the operator its old name, or allow the drop (--allow-dropped-state):\n{}",
                report.missing()
            ),
        );
    }
    debug!(job = job.id, sequence, %report, "states compared");
    Ok(())
}

/// What a source or sink left must find its owner: positions and output would be lost else.
fn check_connectors(job: JobRef<'_>, sequence: u64, manifest: &Manifest) -> Result<(), JobError> {
    let is_source = |name: &str| job.graph.sources().any(|(node, _)| node.name == name);
    let is_sink = |name: &str| job.graph.sinks().any(|(node, _)| node.name == name);
    let mut orphans = Vec::new();
    for part in manifest.sources.iter().filter(|part| !is_source(&part.source)) {
        orphans.push(format!("the positions of source `{}`", part.source));
    }
    for part in manifest.committables.iter().filter(|part| !is_sink(&part.sink)) {
        orphans.push(format!("output of sink `{}` that is not visible yet", part.sink));
    }
    if orphans.is_empty() {
        return Ok(());
    }
    let orphans = orphans.join(", ");
    if job.settings.allow_dropped_state {
        warn!(job = job.id, sequence, "dropping {orphans}");
        return Ok(());
    }
    incompatible(
        sequence,
        format!(
            "it holds {orphans}, which this graph does not have: give the operator its old name, or allow the drop (--allow-dropped-state)"
        ),
    )
}

/// Refuses to go on after the end of all input, when every window has fired and time stands still.
fn check_end(enumerators: &Enumerators, sequence: u64, manifest: &Manifest) -> Result<(), JobError> {
    let Some(source) = enumerators.endless().next().filter(|_| manifest.is_final) else { return Ok(()) };
    incompatible(
        sequence,
        format!(
            "it holds the end of all input, when the last windows fired, and source `{source}` has no end now: start from a checkpoint before it (--from), or anew with another checkpoint directory"
        ),
    )
}

fn incompatible(sequence: u64, problem: String) -> Result<(), JobError> {
    Err(JobError::Incompatible { sequence, problem })
}
