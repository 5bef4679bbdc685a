//! Reads every byte that the engine keeps and compares every checksum: manifests, segments, and the log. It changes
//! nothing, and runs beside a server as well as without one.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use model::{Signal, TenantId};
use object_store::ObjectStore;
use object_store::path::Path;
use prometheus_client::metrics::counter::Counter;
use serde::Serialize;

use crate::bounds::{MAX_REPORTED_DAMAGE, READ_BATCH_BYTES};
use crate::disk::{Disk, SystemDisk};
use crate::error::StorageError;
use crate::layout;
use crate::manifest::commit::{Found, Manifests};
use crate::manifest::{Manifest, PartMeta, Quarantined, SegmentMeta};
use crate::metrics::Metrics;
use crate::read::memory::Bounded;
use crate::runtime::{Runtime, Tokio, blocking};
use crate::segment::blocks::Tail;
use crate::segment::cache::SegmentCache;
use crate::segment::reader::SegmentFile;
use crate::wal::reader::{LogFile, Step};
use crate::wal::record;

/// What is to be verified.
#[derive(Clone, Debug)]
pub struct Verification {
    /// The store with manifests and segments.
    pub store: Arc<dyn ObjectStore>,
    /// The data folder with the log; the log is left out where none is named.
    pub data_dir: Option<PathBuf>,
    /// The tenant; all where none is named. The log is of all tenants and is left out where one is named.
    pub tenant: Option<TenantId>,
    /// The signal; all where none is named, as with the tenant.
    pub signal: Option<Signal>,
}

/// What was found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct VerifyReport {
    /// Manifest versions that were read.
    pub manifests: u64,
    /// Segments of the newest manifests.
    pub segments: u64,
    /// Their files.
    pub files: u64,
    /// The bytes of those.
    pub bytes: u64,
    /// Log files that were read.
    pub log_files: u64,
    /// Whole records in them.
    pub log_records: u64,
    /// Segments that were set aside before.
    pub quarantined: Vec<Aside>,
    /// How many damaged places there are.
    pub damaged: u64,
    /// The first of them.
    pub damage: Vec<Damage>,
}

/// A place that is damaged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The object or file.
    pub object: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A segment that is set aside.
#[derive(Clone, Debug, Serialize)]
pub struct Aside {
    /// Whose it is.
    pub tenant: String,
    /// Which signal.
    pub signal: String,
    /// The entry in the manifest.
    #[serde(flatten)]
    pub entry: Quarantined,
}

impl VerifyReport {
    fn damage(&mut self, object: impl Into<String>, reason: impl Into<String>) {
        self.damaged += 1;
        if self.damage.len() < MAX_REPORTED_DAMAGE {
            self.damage.push(Damage { object: object.into(), reason: reason.into() });
        }
    }
}

impl Verification {
    /// Verifies all of it.
    ///
    /// # Errors
    /// When the store or the folder cannot be read at all; what is damaged is in the report.
    pub async fn run(&self) -> Result<VerifyReport, StorageError> {
        let mut report = VerifyReport::default();
        let tenants = match &self.tenant {
            Some(tenant) => vec![tenant.clone()],
            None => {
                let listing = self.store.list_with_delimiter(Some(&layout::tenants())).await?;
                listing.common_prefixes.iter().filter_map(layout::tenant_of).collect()
            }
        };
        let metrics = Arc::new(Metrics::default());
        for tenant in tenants {
            for signal in Signal::ALL.into_iter().filter(|signal| self.signal.is_none_or(|s| s == *signal)) {
                let (store, tenant) = (Arc::clone(&self.store), tenant.clone());
                let manifests = Manifests { store, tenant, signal, metrics: Arc::clone(&metrics) };
                self.partition(&manifests, &mut report).await?;
            }
        }
        if let (Some(data_dir), None, None) = (&self.data_dir, &self.tenant, &self.signal) {
            let folder = layout::wal_dir(data_dir);
            let log = blocking(&Tokio, move || verify_log(&SystemDisk, &folder)).await??;
            report.log_files = log.log_files;
            report.log_records = log.log_records;
            log.damage.into_iter().for_each(|damage| report.damage(damage.object, damage.reason));
        }
        Ok(report)
    }

    async fn partition(&self, manifests: &Manifests, report: &mut VerifyReport) -> Result<(), StorageError> {
        let mut versions = manifests.versions().await?;
        versions.sort_unstable_by_key(|(version, _)| std::cmp::Reverse(*version));
        let mut newest: Option<Manifest> = None;
        for (version, path) in &versions {
            match manifests.get(*version).await {
                Ok(Found::Manifest(manifest)) => {
                    report.manifests += 1;
                    newest.get_or_insert(*manifest);
                }
                Ok(Found::Damaged(reason)) => report.damage(path.to_string(), reason),
                // Swept since the listing.
                Ok(Found::Missing) => {}
                Err(StorageError::Corrupt { object, reason }) => report.damage(object, reason),
                Err(error) => return Err(error),
            }
        }
        let Some(newest) = newest else { return Ok(()) };
        for entry in &newest.quarantined {
            let (tenant, signal) = (newest.tenant.clone(), newest.signal.clone());
            report.quarantined.push(Aside { tenant, signal, entry: entry.clone() });
        }
        for segment in &newest.segments {
            report.segments += 1;
            for part in &segment.parts {
                let path = layout::segment(&manifests.tenant, manifests.signal, segment, &part.name);
                let file = unshared(&self.store, path, part);
                report.files += 1;
                report.bytes += part.bytes;
                if let Some(reason) = file.damage().await?
                    && is_still_named(manifests, &newest, segment).await?
                {
                    report.damage(file.path.to_string(), reason);
                }
            }
        }
        Ok(())
    }
}

/// A file of a segment that shares no cache with an engine.
pub(crate) fn unshared(store: &Arc<dyn ObjectStore>, path: Path, part: &PartMeta) -> SegmentFile {
    let runtime: Arc<dyn Runtime> = Arc::new(Tokio);
    SegmentFile {
        store: Arc::clone(store),
        runtime,
        path,
        bytes: part.bytes,
        tail: Tail { bytes: part.tail_bytes, checksum: part.tail_xxh3 },
        cache: Arc::new(SegmentCache::new(0)),
        read_bytes: Counter::default(),
        memory: Bounded::default(),
        batch_bytes: READ_BATCH_BYTES,
    }
}

/// Whether the newest manifest still names the segment: a server that runs may have removed it.
async fn is_still_named(
    manifests: &Manifests,
    read: &Manifest,
    segment: &SegmentMeta,
) -> Result<bool, StorageError> {
    let newest = manifests.versions().await?.into_iter().map(|(version, _)| version).max();
    if newest.is_none_or(|newest| newest <= read.version) {
        return Ok(true);
    }
    match manifests.get(newest.unwrap_or(0)).await? {
        Found::Manifest(manifest) => Ok(manifest.segments.iter().any(|other| other.id == segment.id)),
        Found::Damaged(_) | Found::Missing => Ok(true),
    }
}

/// Reads every record of a log folder.
fn verify_log(disk: &dyn Disk, folder: &FilePath) -> Result<VerifyReport, StorageError> {
    let mut report = VerifyReport::default();
    let files = match disk.list(folder) {
        Ok(files) => files,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(report),
        Err(error) => return Err(StorageError::io("list log folder", folder, error)),
    };
    let mut sequences: Vec<_> =
        files.iter().filter_map(|file| Some((layout::wal_sequence(file)?, file))).collect();
    sequences.sort_unstable();
    let last = sequences.last().map(|(sequence, _)| *sequence);
    for (sequence, path) in sequences {
        match verify_log_file(disk, path, sequence, last == Some(sequence), &mut report) {
            Ok(()) => report.log_files += 1,
            // Trimmed since the listing.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => report.damage(path.display().to_string(), error.to_string()),
        }
    }
    Ok(report)
}

fn verify_log_file(
    disk: &dyn Disk,
    path: &FilePath,
    sequence: u64,
    is_last: bool,
    report: &mut VerifyReport,
) -> std::io::Result<()> {
    let mut log = LogFile::open(disk, path, sequence)?;
    loop {
        let (start, end) = match log.step()? {
            Step::Record { offset, bytes } => {
                report.log_records += 1;
                if let Err(reason) = record::decode(&bytes) {
                    report.damage(path.display().to_string(), format!("offset={offset}: {reason}"));
                }
                continue;
            }
            Step::Damaged { start, end } => (start, end),
            // What is being written, or was when the process ended.
            Step::Tail { is_torn: true, .. } if is_last => return Ok(()),
            Step::Tail { start, .. } => (start, log.offset()),
            Step::End => return Ok(()),
        };
        report.damage(
            path.display().to_string(),
            format!("no whole record: offset={start}, bytes={}", end - start),
        );
    }
}
