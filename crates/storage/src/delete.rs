//! Deletes rows on request: those that are there at the moment of the request are hidden from every read when the request
//! is answered, and leave the store when their segments are rewritten ([`crate::erase`]). What is written afterwards
//! stays, whatever its time.

use model::{Matcher, Signal, TenantContext, TimeRange};

use crate::bounds::{DELETION_SHOWN_NS, MAX_DELETION_ATTEMPTS, MAX_DELETIONS, MAX_REQUEST_BYTES};
use crate::error::StorageError;
use crate::hidden::rows::Test;
use crate::manifest::Manifest;
use crate::manifest::commit::Change;
use crate::manifest::keeping::{Condition, Deletion, LineTest};
use crate::partition::PartitionId;
use crate::storage::Storage;

/// What is to be deleted of a tenant's signal.
#[derive(Clone, Debug)]
pub struct DeletionRequest {
    /// What was asked for, as it was written, for lists.
    pub query: String,
    /// Rows whose labels or attributes meet all matchers of any of these.
    pub selectors: Vec<Vec<Matcher>>,
    /// Lines that meet all of these; for logs alone.
    pub lines: Vec<LineTest>,
    /// Lines whose labels meet all of these, as label filters look at them: structured metadata is among them, and trace
    /// and span ids; for logs alone.
    pub labels: Vec<Matcher>,
    /// The time of the rows, both ends included.
    pub range: TimeRange,
    /// Who asks.
    pub actor: String,
    /// How long it can be taken back, in nanoseconds; segments are rewritten after that.
    pub cancel_period_ns: i64,
}

/// What became of taking a deletion back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// Its rows can be read again, but for those that segments were rewritten without.
    Done,
    /// There is none with this id.
    Unknown,
    /// It is worked off, or it would be so without being forced.
    TooLate,
}

impl Storage {
    /// Deletes what is there: when it returns, no read gives it out. Gives one entry for each selector.
    ///
    /// # Errors
    /// [`StorageError::Request`] for one that makes no sense, [`StorageError::Limited`] while too many wait or the log is
    /// replayed, and the store's: then nothing was deleted.
    pub async fn delete(
        &self,
        ctx: &TenantContext,
        signal: Signal,
        request: &DeletionRequest,
    ) -> Result<Vec<Deletion>, StorageError> {
        check(signal, request)?;
        let engine = &self.engine;
        let id = PartitionId { tenant: ctx.tenant().clone(), signal };
        let partition = engine.tenants.get_or_create(&id)?;
        let now_ns = engine.clock().now().0;
        let mut made: Vec<Deletion> =
            request.selectors.iter().map(|selector| entry(request, selector)).collect();
        for deletion in &mut made {
            deletion.id = engine.ids.next(engine.clock());
            deletion.requested_ns = now_ns;
            deletion.due_ns = now_ns.saturating_add(request.cancel_period_ns);
        }
        for _ in 0..MAX_DELETION_ATTEMPTS {
            let _turn = partition.turn().await?;
            engine.catch_up(&partition).await?;
            let known = engine.drain(&partition).await?;
            if room_for(&partition.manifest(), made.len(), now_ns) < made.len() {
                let message = format!("too many deletions wait: at most {MAX_DELETIONS}, try again later");
                return Err(StorageError::Limited(message));
            }
            (1..).zip(&mut made).for_each(|(place, deletion)| deletion.number = known + place);
            let manifest = engine
                .commit_in_turn(&partition, &|manifest| add(manifest, &engine.node, known, &made, now_ns))
                .await?;
            // Where another node made one in the meantime, what was drained is not all that it concerns.
            if manifest.deletions.iter().any(|deletion| made.iter().any(|own| own.id == deletion.id)) {
                return Ok(made);
            }
        }
        let object = format!("the deletions of tenant `{}`", id.tenant);
        Err(StorageError::Conflict { object, attempts: MAX_DELETION_ATTEMPTS })
    }

    /// The deletions of a tenant's signal, the oldest first: those that wait, and those that were worked off lately.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn deletions(
        &self,
        ctx: &TenantContext,
        signal: Signal,
    ) -> Result<Vec<Deletion>, StorageError> {
        let Some(partition) = self.engine.tenants.get(ctx.tenant(), signal) else { return Ok(Vec::new()) };
        Ok(self.engine.catch_up(&partition).await?.deletions.clone())
    }

    /// Takes a deletion back while its period for that lasts; `is_forced` does so also later, where it is not worked off.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn cancel_deletion(
        &self,
        ctx: &TenantContext,
        signal: Signal,
        id: &str,
        is_forced: bool,
    ) -> Result<Cancelled, StorageError> {
        let engine = &self.engine;
        let Some(partition) = engine.tenants.get(ctx.tenant(), signal) else { return Ok(Cancelled::Unknown) };
        let _turn = partition.turn().await?;
        let now_ns = engine.clock().now().0;
        let before = engine.catch_up(&partition).await?;
        let can_go =
            |deletion: &Deletion| deletion.processed_ns.is_none() && (is_forced || now_ns < deletion.due_ns);
        match before.deletions.iter().find(|deletion| deletion.id == id) {
            None => return Ok(Cancelled::Unknown),
            Some(deletion) if !can_go(deletion) => return Ok(Cancelled::TooLate),
            Some(_) => {}
        }
        let after = engine
            .commit_in_turn(&partition, &|manifest| {
                let before = manifest.deletions.len();
                manifest.deletions.retain(|deletion| deletion.id != id || !can_go(deletion));
                if manifest.deletions.len() == before { Change::Nothing } else { Change::Changed }
            })
            .await?;
        let is_there = after.deletions.iter().any(|deletion| deletion.id == id);
        Ok(if is_there { Cancelled::TooLate } else { Cancelled::Done })
    }
}

fn check(signal: Signal, request: &DeletionRequest) -> Result<(), StorageError> {
    let refused = |reason: &str| Err(StorageError::Request(reason.to_owned()));
    if request.selectors.is_empty() {
        return refused("a deletion needs a selector");
    }
    if request.range.end_ns < request.range.start_ns {
        return refused("the end of a deletion is before its start");
    }
    if signal != Signal::Logs && !(request.lines.is_empty() && request.labels.is_empty()) {
        return refused("only logs have lines to filter");
    }
    let matchers =
        request.selectors.iter().flatten().chain(&request.labels).map(|m| m.name.len() + m.value.len());
    let texts = request.lines.iter().flat_map(|test| &test.texts).map(String::len);
    let bytes = matchers.chain(texts).sum::<usize>() + request.query.len() + request.actor.len();
    if bytes > MAX_REQUEST_BYTES || request.selectors.len() > MAX_DELETIONS {
        return refused("the deletion is too long, make several");
    }
    for test in &request.lines {
        if let Err(error) = Test::new(test) {
            return refused(&error.to_string());
        }
    }
    Ok(())
}

fn entry(request: &DeletionRequest, selector: &[Matcher]) -> Deletion {
    Deletion {
        number: 0,
        id: String::new(),
        query: request.query.clone(),
        conditions: selector.iter().map(Condition::of).collect(),
        lines: request.lines.clone(),
        labels: request.labels.iter().map(Condition::of).collect(),
        start_ns: request.range.start_ns,
        end_ns: request.range.end_ns,
        actor: request.actor.clone(),
        requested_ns: 0,
        due_ns: 0,
        processed_ns: None,
    }
}

/// How many of so many deletions a manifest has room for, when those go that were worked off.
fn room_for(manifest: &Manifest, wanted: usize, now_ns: i64) -> usize {
    let mut manifest = manifest.clone();
    make_room(&mut manifest, wanted, now_ns);
    MAX_DELETIONS.saturating_sub(manifest.deletions.len())
}

/// Takes out what was worked off long ago, and more of it where there is no room otherwise.
fn make_room(manifest: &mut Manifest, wanted: usize, now_ns: i64) {
    let shown_from_ns = now_ns.saturating_sub(DELETION_SHOWN_NS);
    manifest.deletions.retain(|deletion| deletion.processed_ns.is_none_or(|ns| ns >= shown_from_ns));
    let mut excess = (manifest.deletions.len() + wanted).saturating_sub(MAX_DELETIONS);
    manifest.deletions.retain(|deletion| {
        let goes = excess > 0 && deletion.processed_ns.is_some();
        excess -= usize::from(goes);
        !goes
    });
}

/// Adds deletions where the node has drained its rows for them: their numbers follow the last one that it knew.
fn add(manifest: &mut Manifest, node: &str, known: u64, made: &[Deletion], now_ns: i64) -> Change {
    if manifest.deletions_made != known {
        return Change::Nothing;
    }
    make_room(manifest, made.len(), now_ns);
    manifest.deletions.extend(made.iter().cloned());
    manifest.deletions_made = made.last().map_or(known, |deletion| deletion.number);
    manifest.cut.insert(node.to_owned(), manifest.deletions_made);
    Change::Changed
}
