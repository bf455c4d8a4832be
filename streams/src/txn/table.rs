//! What is known of a stream's transactions: which are open, which generation of a family may act, what
//! was aborted. Only the writer's thread changes it. Why a commit is never lost and never done twice is
//! argued in `FORMAT.md`, "Transactions".

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Committable, OpenTransaction};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::format::staged::{StagedHead, StagedTrailer, TRAILER_BYTES, file_name, parse_name};
use crate::format::transactions::TransactionLedger;
use crate::shared::StreamShared;
use crate::storage::{Storage, read_all, replace};
use crate::writer::Fences;

/// A head is not longer: three names and some numbers.
const HEAD_BYTES: u64 = 4096;

/// The directory of a stream's staged transactions.
pub(crate) fn staged_dir(stream_dir: &Path) -> PathBuf {
    stream_dir.join("staged")
}

/// The side file of a transaction.
pub(crate) fn staged_path(stream_dir: &Path, transaction: u64) -> PathBuf {
    staged_dir(stream_dir).join(file_name(transaction))
}

fn ledger_path(stream_dir: &Path) -> PathBuf {
    stream_dir.join("TRANSACTIONS")
}

/// Where a committable stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Prepared,
    /// Written with the present group, not yet durable.
    Committing,
    Committed,
}

#[derive(Debug)]
struct Entry {
    info: OpenTransaction,
    committing: bool,
}

#[derive(Debug)]
pub(crate) struct TransactionTable {
    ledger: TransactionLedger,
    open: BTreeMap<u64, Entry>,
    next: u64,
    /// Staged files that were to be removed and could not be.
    undeleted: BTreeSet<u64>,
    /// Removals that are not durable yet.
    unsynced: bool,
    /// A change of the ledger has failed and may be on disk all the same.
    uncertain: bool,
    fences: Arc<Fences>,
    /// Unprepared transactions thrown away at opening.
    pub discarded: usize,
}

/// A staged file as it is found.
pub(crate) enum Found {
    Prepared(OpenTransaction),
    Unprepared(Option<OpenTransaction>),
}

/// Looks at a staged file's head and trailer. Only a file with both is prepared: of one that was never
/// synced, a power failure may leave any part.
pub(crate) fn inspect(storage: &dyn Storage, path: &Path) -> Result<Found> {
    let file = storage.open(path, false).map_err(Error::io("open", path))?;
    let len = file.len().map_err(Error::io("read", path))?;
    let mut start = vec![0; len.min(HEAD_BYTES) as usize];
    file.read_at(0, &mut start).map_err(Error::io("read", path))?;
    let mut tail = vec![0; len.min(TRAILER_BYTES as u64) as usize];
    file.read_at(len - tail.len() as u64, &mut tail).map_err(Error::io("read", path))?;
    let trailer = StagedTrailer::decode(path, &tail, len);
    let head = StagedHead::decode(path, &start).map(|(head, _)| head);
    let prepared = trailer.is_ok();
    let info = |head: StagedHead| OpenTransaction {
        family: head.family,
        member: head.member,
        generation: head.generation,
        epoch: head.epoch,
        transaction: head.transaction,
        created_ms: head.created_ms,
        prepared,
    };
    match (head, trailer) {
        (Ok(head), Ok(trailer)) if head.transaction == trailer.transaction => Ok(Found::Prepared(info(head))),
        (Ok(_), Ok(_)) => {
            Err(Error::corrupt(path, 0, "its head and its trailer are of different transactions"))
        }
        // Another version's is not for us to throw away.
        (_, Err(newer @ Error::UnsupportedVersion { .. })) => Err(newer),
        (head, _) => Ok(Found::Unprepared(head.ok().map(info))),
    }
}

/// Every staged transaction in the directory, as any process may look at it.
pub(crate) fn list_staged(shared: &StreamShared) -> Result<Vec<OpenTransaction>> {
    let dir = staged_dir(&shared.dir);
    let mut open = Vec::new();
    for name in shared.storage.list(&dir).map_err(Error::io("list", &dir))? {
        if parse_name(&name).is_none() {
            continue;
        }
        match inspect(&*shared.storage, &dir.join(name)) {
            Ok(Found::Prepared(info) | Found::Unprepared(Some(info))) => open.push(info),
            // Its head is not written yet.
            Ok(Found::Unprepared(None)) => {}
            // Committed or aborted just now.
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(open)
}

/// The ledger of a stream; an empty one if nothing was ever entered.
pub(crate) fn read_ledger(
    storage: &dyn Storage,
    stream_dir: &Path,
    stream_id: u64,
) -> Result<TransactionLedger> {
    let path = ledger_path(stream_dir);
    match read_all(storage, &path) {
        Ok(bytes) => TransactionLedger::decode(&path, &bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Ok(TransactionLedger { stream_id, ..TransactionLedger::default() })
        }
        Err(source) => Err(Error::io("read", &path)(source)),
    }
}

impl TransactionTable {
    /// Reads what is there. `committed` are the transactions whose markers are in the last segment.
    pub fn open(shared: &StreamShared, term: u32, committed: &[u64], fences: Arc<Fences>) -> Result<Self> {
        let ledger = read_ledger(&*shared.storage, &shared.dir, shared.meta().stream_id)?;
        for (family, &generation) in &ledger.families {
            fences.raise(family, generation);
        }
        let mut table = Self {
            ledger,
            open: BTreeMap::new(),
            next: (u64::from(term) << 32) + 1,
            undeleted: BTreeSet::new(),
            // The last writer may have ended between a removal and its sync; a file that comes back after
            // its marker's segment has been followed by another would be committed twice.
            unsynced: true,
            uncertain: false,
            fences,
            discarded: 0,
        };
        let dir = staged_dir(&shared.dir);
        let mut finished = Vec::new();
        let mut discarded = Vec::new();
        for name in shared.storage.list(&dir).map_err(Error::io("list", &dir))? {
            let Some(transaction) = parse_name(&name) else { continue };
            if committed.contains(&transaction) || table.ledger.aborted.contains(&transaction) {
                finished.push(transaction);
                continue;
            }
            match inspect(&*shared.storage, &dir.join(&name))? {
                Found::Prepared(info) => {
                    table.open.insert(transaction, Entry { info, committing: false });
                }
                Found::Unprepared(_) => {
                    let file = dir.join(name);
                    tracing::warn!(file = %file.display(), "it was not prepared, or is damaged, and is thrown away");
                    discarded.push(transaction);
                }
            }
        }
        table.discarded = discarded.len();
        // They are entered as aborted, so that a damaged trailer ends in a refused commit, not in one
        // that is taken for done.
        if !discarded.is_empty() {
            table.save(shared, |ledger| ledger.aborted.extend(&discarded))?;
        }
        for transaction in finished.into_iter().chain(discarded) {
            table.remove_staged(shared, transaction)?;
        }
        table.sync_removals(shared)?;
        Ok(table)
    }

    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    pub fn list(&self, family: &str) -> Vec<OpenTransaction> {
        self.open.values().map(|entry| &entry.info).filter(|info| info.family == family).cloned().collect()
    }

    /// Enters a change in the ledger. On return it is durable; or it has failed, and counts only if it is
    /// found when the stream is opened again, before anything else is decided.
    fn save(&mut self, shared: &StreamShared, change: impl FnOnce(&mut TransactionLedger)) -> Result<()> {
        let mut ledger = self.ledger.clone();
        change(&mut ledger);
        let path = ledger_path(&shared.dir);
        self.uncertain = true;
        replace(&*shared.storage, &path, &ledger.encode()).map_err(Error::io("replace", &path))?;
        self.uncertain = false;
        self.ledger = ledger;
        Ok(())
    }

    /// Takes back a change that has failed: what is decided next must not meet it on disk later.
    fn settle(&mut self, shared: &StreamShared) -> Result<()> {
        if self.uncertain { self.save(shared, |_| {}) } else { Ok(()) }
    }

    /// Takes transactions that are decided out of the table; their files are to be removed.
    fn close(&mut self, transactions: &[u64]) {
        for &transaction in transactions {
            self.open.remove(&transaction);
            self.undeleted.insert(transaction);
        }
    }

    /// Removes the files of transactions that are decided. One that cannot be removed changes nothing about
    /// the decision: it goes later, at the latest before the next segment.
    fn remove_closed(&mut self, shared: &StreamShared, transactions: &[u64]) {
        for &transaction in transactions {
            if let Err(error) = self.remove_staged(shared, transaction) {
                tracing::warn!(stream = %shared.name, %error, "a finished transaction's file stays until the next segment");
            }
        }
    }

    fn remove_staged(&mut self, shared: &StreamShared, transaction: u64) -> Result<()> {
        let path = staged_path(&shared.dir, transaction);
        self.undeleted.insert(transaction);
        failpoint::at("txn::remove").map_err(Error::io("remove", &path))?;
        match shared.storage.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("remove", &path)(error));
            }
            _ => {}
        }
        self.undeleted.remove(&transaction);
        self.unsynced = true;
        Ok(())
    }

    /// Makes removals durable, those that failed before included.
    pub fn sync_removals(&mut self, shared: &StreamShared) -> Result<()> {
        for transaction in self.undeleted.clone() {
            self.remove_staged(shared, transaction)?;
        }
        if self.unsynced {
            let dir = staged_dir(&shared.dir);
            shared.storage.sync_dir(&dir).map_err(Error::io("sync", &dir))?;
            self.unsynced = false;
        }
        Ok(())
    }

    /// Refuses a generation that is not the newest of its family.
    pub fn check_fence(&self, shared: &StreamShared, family: &str, generation: u64) -> Result<()> {
        let current = self.ledger.families.get(family).copied().unwrap_or(0);
        if generation >= current {
            return Ok(());
        }
        let stream = shared.name.to_string();
        Err(Error::Fenced { stream, family: family.to_owned(), generation, current })
    }

    /// Shuts out every generation of the family before this one, durably, and what they had not prepared.
    pub fn fence(&mut self, shared: &StreamShared, family: &str, generation: u64) -> Result<()> {
        self.check_fence(shared, family, generation)?;
        if self.ledger.families.get(family) == Some(&generation) {
            return Ok(());
        }
        failpoint::at("txn::fence").map_err(Error::io("replace", &ledger_path(&shared.dir)))?;
        self.save(shared, |ledger| {
            ledger.families.insert(family.to_owned(), generation);
        })?;
        self.fences.raise(family, generation);
        let stale =
            |info: &OpenTransaction| info.family == family && info.generation < generation && !info.prepared;
        let stale: Vec<u64> = self
            .open
            .values()
            .map(|entry| &entry.info)
            .filter(|info| stale(info))
            .map(|info| info.transaction)
            .collect();
        self.close(&stale);
        self.remove_closed(shared, &stale);
        Ok(())
    }

    /// Begins a transaction; gives the head of its side file.
    pub fn begin(&mut self, shared: &StreamShared, mut info: OpenTransaction) -> Result<StagedHead> {
        self.check_fence(shared, &info.family, info.generation)?;
        info.transaction = self.next;
        self.next += 1;
        let head = StagedHead {
            stream_id: self.ledger.stream_id,
            transaction: info.transaction,
            generation: info.generation,
            epoch: info.epoch,
            created_ms: info.created_ms,
            family: info.family.clone(),
            member: info.member.clone(),
        };
        self.open.insert(info.transaction, Entry { info, committing: false });
        Ok(head)
    }

    /// Takes over a staged file that is durable.
    pub fn prepared(&mut self, shared: &StreamShared, transaction: u64, records: u64) -> Result<()> {
        let Some(entry) = self.open.get(&transaction) else {
            // A fence has thrown it away; if not, somebody else has.
            let what = "it was thrown away".to_owned();
            return Err(Error::ForeignCommittable { transaction, what });
        };
        let (family, generation) = (entry.info.family.clone(), entry.info.generation);
        if let Err(fenced) = self.check_fence(shared, &family, generation) {
            self.discard(shared, transaction)?;
            return Err(fenced);
        }
        if records == 0 {
            self.open.remove(&transaction);
        } else if let Some(entry) = self.open.get_mut(&transaction) {
            entry.info.prepared = true;
        }
        Ok(())
    }

    /// Throws away a transaction that was not prepared: nobody can have a committable of it.
    pub fn discard(&mut self, shared: &StreamShared, transaction: u64) -> Result<()> {
        match self.open.remove(&transaction) {
            Some(_) => self.remove_staged(shared, transaction),
            None => Ok(()),
        }
    }

    /// Whether a committable is still to be committed.
    pub fn standing(&mut self, shared: &StreamShared, committable: &Committable) -> Result<Standing> {
        self.settle(shared)?;
        let transaction = committable.transaction;
        let foreign = |what: &str| Error::ForeignCommittable { transaction, what: what.to_owned() };
        if committable.stream_id != self.ledger.stream_id {
            return Err(foreign("it is of another stream, or of an earlier one of the same name"));
        }
        if transaction == 0 || transaction >= self.next {
            return Err(foreign("this stream has not made it; was the stream restored from an older copy?"));
        }
        if let Some(Entry { info, committing }) = self.open.get(&transaction) {
            let same = (&info.family, info.generation, info.epoch)
                == (&committable.family, committable.generation, committable.epoch);
            if !same || !info.prepared {
                return Err(foreign("a transaction of this id is open, but it is another one"));
            }
            return Ok(if *committing { Standing::Committing } else { Standing::Prepared });
        }
        if self.ledger.aborted.contains(&transaction) {
            let Committable { family, generation, epoch, .. } = committable.clone();
            return Err(Error::Aborted {
                stream: shared.name.to_string(),
                family,
                generation,
                epoch,
                transaction,
            });
        }
        // A committable was made, its staged file is gone, and it was not aborted.
        Ok(Standing::Committed)
    }

    /// The commit is written and waits for its sync.
    pub fn committing(&mut self, transaction: u64) {
        if let Some(entry) = self.open.get_mut(&transaction) {
            entry.committing = true;
        }
    }

    /// The commit was undone; it can be tried again.
    pub fn not_committed(&mut self, transaction: u64) {
        if let Some(entry) = self.open.get_mut(&transaction) {
            entry.committing = false;
        }
    }

    /// The commit is durable: the staged file is not needed any more.
    pub fn committed(&mut self, shared: &StreamShared, transaction: u64) {
        if self.open.contains_key(&transaction) {
            self.close(&[transaction]);
            self.remove_closed(shared, &[transaction]);
        }
    }

    /// Throws away a prepared transaction for ever.
    pub fn abort(&mut self, shared: &StreamShared, committable: &Committable) -> Result<()> {
        match self.standing(shared, committable) {
            Err(Error::Aborted { .. }) => Ok(()),
            Err(error) => Err(error),
            Ok(Standing::Prepared) => self.abort_all(shared, &[committable.transaction]),
            Ok(_) if committable.records == 0 => Ok(()),
            Ok(_) => {
                let (stream, transaction) = (shared.name.to_string(), committable.transaction);
                Err(Error::AlreadyCommitted { stream, transaction })
            }
        }
    }

    /// Throws away the family's prepared transactions of lower generations that are not listed.
    pub fn abort_unlisted(
        &mut self,
        shared: &StreamShared,
        family: &str,
        generation: u64,
        listed: &BTreeSet<u64>,
    ) -> Result<Vec<OpenTransaction>> {
        let unlisted = |info: &&OpenTransaction| {
            info.family == family
                && info.generation < generation
                && info.prepared
                && !listed.contains(&info.transaction)
        };
        let infos: Vec<_> = self.open.values().map(|entry| &entry.info).filter(unlisted).cloned().collect();
        let transactions: Vec<u64> = infos.iter().map(|info| info.transaction).collect();
        self.abort_all(shared, &transactions)?;
        Ok(infos)
    }

    fn abort_all(&mut self, shared: &StreamShared, transactions: &[u64]) -> Result<()> {
        if transactions.is_empty() {
            return Ok(());
        }
        failpoint::at("txn::abort").map_err(Error::io("replace", &ledger_path(&shared.dir)))?;
        // First the decision, then the removal: else a crash between them would look like a commit.
        self.save(shared, |ledger| ledger.aborted.extend(transactions))?;
        self.close(transactions);
        failpoint::at("txn::aborted").map_err(Error::io("replace", &ledger_path(&shared.dir)))?;
        self.remove_closed(shared, transactions);
        Ok(())
    }
}
