//! Segments that do not read back: a read that meets one goes on without it and says so here; a task of the engine looks
//! at every byte of it, and takes what is damaged out of the manifest.
//!
//! Of a metrics segment only the damaged files are set aside where the others can be read without them. The files are
//! copied to the quarantine before the manifest changes; `stella segment restore` puts them back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::{Signal, TenantId};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::bounds::MAX_SUSPECTS;
use crate::error::StorageError;
use crate::layout;
use crate::manifest::commit::Change;
use crate::manifest::{Manifest, Quarantined, SegmentMeta};
use crate::metrics::BySignal;
use crate::partition::{Partition, PartitionId};
use crate::segment::schema::SERIES_PART;
use crate::storage::Engine;

/// A file that a read found damaged or missing.
#[derive(Clone, Debug)]
pub(crate) struct Suspect {
    /// Whose it is.
    pub(crate) tenant: TenantId,
    /// Which signal.
    pub(crate) signal: Signal,
    /// The segment's id.
    pub(crate) segment: String,
}

/// The files that reads leave out: those that wait to be looked at, and those that are set aside, which older snapshots
/// still name.
#[derive(Debug, Default)]
pub(crate) struct Suspects {
    /// With whether the file is set aside.
    files: Mutex<BTreeMap<Path, (Suspect, bool)>>,
    /// Woken when there is one more.
    pub(crate) found: Notify,
}

impl Suspects {
    /// Whether a file is one.
    pub(crate) fn contains(&self, path: &Path) -> bool {
        self.files.lock().contains_key(path)
    }

    /// Leaves a file out of reads; false where it is known already or too many wait, which are found again later.
    pub(crate) fn add(&self, path: &Path, suspect: Suspect) -> bool {
        let mut files = self.files.lock();
        if files.len() >= MAX_SUSPECTS {
            files.retain(|_, (_, is_aside)| !*is_aside);
        }
        let is_new = files.len() < MAX_SUSPECTS && !files.contains_key(path);
        if is_new {
            files.insert(path.clone(), (suspect, false));
            self.found.notify_one();
        }
        is_new
    }

    fn waiting(&self) -> Vec<Suspect> {
        let files = self.files.lock();
        files.values().filter(|(_, is_aside)| !is_aside).map(|(suspect, _)| suspect.clone()).collect()
    }

    /// The segment's files are set aside, or gone.
    fn done(&self, segment: &str) {
        let mut files = self.files.lock();
        let of_segment = files.values_mut().filter(|(suspect, _)| suspect.segment == segment);
        of_segment.for_each(|(_, is_aside)| *is_aside = true);
    }

    /// The segment's files are whole.
    fn acquit(&self, segment: &str) {
        self.files.lock().retain(|_, (suspect, _)| suspect.segment != segment);
    }
}

impl Engine {
    /// Looks at every suspect. What cannot be looked at now stays one.
    pub(crate) async fn examine_suspects(&self) {
        let mut last = String::new();
        for suspect in self.suspects.waiting() {
            if suspect.segment == last {
                continue;
            }
            last.clone_from(&suspect.segment);
            if let Err(error) = self.examine(&suspect).await {
                tracing::warn!(
                    tenant = %suspect.tenant, signal = %suspect.signal, segment = suspect.segment, %error,
                    "a damaged segment cannot be set aside now: reads leave it out, and it is tried again"
                );
            }
        }
    }

    async fn examine(&self, suspect: &Suspect) -> Result<(), StorageError> {
        let id = PartitionId { tenant: suspect.tenant.clone(), signal: suspect.signal };
        let Some(partition) = self.tenants.get(&id.tenant, id.signal) else { return Ok(()) };
        let _turn = partition.turn().await?;
        let manifest = self.catch_up(&partition).await?;
        // Where it is not named any more it went with its data, or became part of another while it was read.
        if let Some(meta) = manifest.segments.iter().find(|segment| segment.id == suspect.segment) {
            let mut damage = Vec::new();
            for part in &meta.parts {
                if let Some(reason) = self.segment_file(&id, meta, part).damage().await? {
                    damage.push((part.name.clone(), reason));
                }
            }
            if damage.is_empty() {
                self.suspects.acquit(&suspect.segment);
                tracing::warn!(
                    tenant = %id.tenant, signal = %id.signal, segment = meta.id,
                    "a segment that did not read back does now: reads use it again"
                );
            } else {
                self.quarantine(&partition, meta, &damage).await?;
            }
        }
        self.suspects.done(&suspect.segment);
        Ok(())
    }

    /// Takes damaged files of a segment out of the manifest. The caller has the turn.
    async fn quarantine(
        &self,
        partition: &Partition,
        meta: &SegmentMeta,
        damage: &[(String, String)],
    ) -> Result<(), StorageError> {
        let id = &partition.id;
        let names: Vec<&str> = damage.iter().map(|(name, _)| name.as_str()).collect();
        let reason = damage.iter().map(|(name, reason)| match name.as_str() {
            "" => reason.clone(),
            name => format!("{name}: {reason}"),
        });
        let reason = reason.collect::<Vec<_>>().join("; ");
        let (_, aside) = split(meta, &names);
        copy_to_quarantine(&*self.components.store, id, &aside, &reason).await?;
        let apply = |manifest: &mut Manifest| {
            let Some(place) = manifest.segments.iter().position(|segment| segment.id == meta.id) else {
                return Change::Nothing;
            };
            let (rest, aside) = split(&manifest.segments[place], &names);
            match rest {
                Some(rest) => manifest.segments[place] = rest,
                None => drop(manifest.segments.remove(place)),
            }
            // What was restored and is damaged again, or another file of it.
            match manifest.quarantined.iter_mut().find(|known| known.segment.id == meta.id) {
                Some(known) => unite(&mut known.segment, aside),
                None => manifest.quarantined.push(Quarantined { segment: aside, reason: reason.clone() }),
            }
            Change::Changed
        };
        let transaction = self.ids.next(self.clock());
        let current = Arc::clone(&partition.state().manifest);
        let manifest = partition.manifests.commit(current, &transaction, &apply).await?;
        partition.is_sweep_due.store(true, Ordering::Relaxed);
        partition.committed(manifest, None);
        self.metrics.segments_quarantined.get_or_create(&BySignal::new(id.signal)).inc();
        tracing::error!(
            tenant = %id.tenant, signal = %id.signal, segment = meta.id, parts = ?names, reason,
            copies = %layout::quarantined_segments(&id.tenant, id.signal),
            "a segment is damaged and was set aside: its rows are missing from answers; restore it from a copy with \
             `stella segment restore`, or leave it, and it goes when it expires"
        );
        Ok(())
    }
}

/// What remains of a segment without the damaged files, and what is set aside; none remains where the others cannot be
/// read by themselves.
pub(crate) fn split(meta: &SegmentMeta, damaged: &[&str]) -> (Option<SegmentMeta>, SegmentMeta) {
    let is_damaged = |name: &str| damaged.contains(&name);
    let of = |is_kept: &dyn Fn(&str) -> bool| {
        let mut kept = SegmentMeta { parts: Vec::new(), ..meta.clone() };
        kept.parts.extend(meta.parts.iter().filter(|part| is_kept(&part.name)).cloned());
        kept.rows = kept.parts.iter().filter(|part| part.name != SERIES_PART).map(|part| part.rows).sum();
        kept
    };
    let rest = of(&|name| !is_damaged(name));
    if rest.rows == 0 || is_damaged(SERIES_PART) {
        return (None, meta.clone());
    }
    (Some(rest), of(&|name| is_damaged(name) || name == SERIES_PART))
}

/// Puts the files of one entry of a segment to those of another.
pub(crate) fn unite(meta: &mut SegmentMeta, other: SegmentMeta) {
    for part in other.parts {
        if meta.part(&part.name).is_none() {
            if part.name != SERIES_PART {
                meta.rows += part.rows;
            }
            meta.parts.push(part);
        }
    }
}

/// Copies what there is of the files, and writes beside them why.
async fn copy_to_quarantine(
    store: &dyn ObjectStore,
    id: &PartitionId,
    meta: &SegmentMeta,
    reason: &str,
) -> Result<(), StorageError> {
    for part in &meta.parts {
        let path = layout::segment(&id.tenant, id.signal, meta, &part.name);
        match store.copy(&path, &layout::quarantined(&path)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let said = serde_json::json!({
        "tenant": id.tenant.as_str(), "signal": id.signal.as_str(), "reason": reason, "segment": meta,
    });
    let path = layout::quarantine_reason(&id.tenant, id.signal, meta);
    store.put(&path, PutPayload::from(format!("{said:#}\n"))).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::manifest::PartMeta;

    use super::*;

    fn meta(parts: &[(&str, u64)]) -> SegmentMeta {
        let part = |(name, rows): &(&str, u64)| PartMeta {
            name: (*name).to_owned(),
            bytes: 10,
            rows: *rows,
            tail_bytes: 5,
            tail_xxh3: crate::Checksum(1),
        };
        SegmentMeta {
            id: "01J9Z3W6E8R4T2Y0V7X5A1B3C9".to_owned(),
            day: "2026-01-31".to_owned(),
            start_ns: 0,
            end_ns: 1,
            rows: parts.iter().filter(|(name, _)| *name != SERIES_PART).map(|(_, rows)| rows).sum(),
            level: 0,
            parts: parts.iter().map(part).collect(),
            after: None,
            cleared: 0,
            looked: None,
            cleared_also: Vec::new(),
        }
    }

    #[test]
    fn what_reads_by_itself_stays_and_comes_together_again() {
        let all = [("series", 3), ("samples", 20), ("exemplars", 2)];
        let whole = meta(&all);
        assert_eq!(split(&whole, &["series"]), (None, whole.clone()));
        assert_eq!(split(&whole, &["samples", "exemplars"]), (None, whole.clone()));
        let (rest, aside) = split(&whole, &["exemplars"]);
        let mut rest = rest.unwrap();
        assert_eq!((&rest, &aside), (&meta(&all[..2]), &meta(&[all[0], all[2]])));
        unite(&mut rest, aside);
        assert_eq!(rest, whole);
        let only = meta(&[("", 4)]);
        assert_eq!(split(&only, &[""]), (None, only.clone()));
    }
}
