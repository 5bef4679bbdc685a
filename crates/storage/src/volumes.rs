//! The room on the volumes that the engine writes to: below a mark writers are refused while there is still room for what
//! must go on (flushes, which free the log, and the manifests of retention, which free the store).
//!
//! A small file of zeros is kept as well. Where others fill the volume to its end, it is given up, so that retention
//! and commits find some room even then.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::bounds::{DEFAULT_MARK_SHARE, MAX_DEFAULT_MARK_BYTES, RESYNC_WINDOW_BYTES};
use crate::disk::{Disk, Space};
use crate::error::StorageError;
use crate::layout;
use crate::metrics::{ByVolume, Metrics};
use crate::settings::{DiskSettings, Settings};

/// A volume by what lies on it.
#[derive(Debug)]
struct Volume {
    /// What lies on it, for metrics and messages.
    name: &'static str,
    folder: PathBuf,
}

/// The volumes of the data folder and of a store that is a folder.
#[derive(Debug)]
pub(crate) struct Volumes {
    disk: Arc<dyn Disk>,
    settings: DiskSettings,
    reserve: PathBuf,
    data: Volume,
    store: Option<Volume>,
    metrics: Arc<Metrics>,
    is_full: AtomicBool,
}

impl Volumes {
    /// The volumes as the settings name them; the folders exist.
    pub(crate) fn new(settings: &Settings, disk: Arc<dyn Disk>, metrics: Arc<Metrics>) -> Self {
        let store = settings.disk.store_folder.clone();
        Self {
            disk,
            settings: settings.disk.clone(),
            reserve: layout::reserve_file(&settings.data_dir),
            data: Volume { name: "data", folder: settings.data_dir.clone() },
            store: store.map(|folder| Volume { name: "store", folder }),
            metrics,
            is_full: AtomicBool::new(false),
        }
    }

    /// Refuses a writer while a volume is below its mark, as the last look found it.
    ///
    /// # Errors
    /// [`StorageError::Full`].
    pub(crate) fn admit(&self) -> Result<(), StorageError> {
        if self.is_full.load(Ordering::Relaxed) { Err(self.full()) } else { Ok(()) }
    }

    /// Whether so many bytes more leave the log's volume above its mark. Asks the disk.
    pub(crate) fn takes(&self, bytes: u64) -> bool {
        let Some(space) = self.space(&self.data) else { return true };
        let fits = space.free_bytes >= self.mark_bytes(space).saturating_add(bytes);
        if !fits {
            self.set_full(true);
        }
        fits
    }

    /// What a writer is told who finds no room.
    pub(crate) fn full(&self) -> StorageError {
        let worst = self.volumes().filter_map(|volume| Some((volume, self.space(volume)?)));
        let worst = worst.min_by_key(|(_, space)| space.free_bytes.saturating_sub(self.mark_bytes(*space)));
        let Some((volume, space)) = worst else { return StorageError::Full("the disk is full".to_owned()) };
        StorageError::Full(format!(
            "the disk is nearly full: folder=`{}` free_bytes={} disk.min_free={}, writes are refused until there is \
             room, reads go on",
            volume.folder.display(),
            space.free_bytes,
            self.mark_bytes(space)
        ))
    }

    fn set_full(&self, is_full: bool) {
        let was_full = self.is_full.swap(is_full, Ordering::Relaxed);
        self.metrics.disk_full.set(i64::from(is_full));
        match (was_full, is_full) {
            (false, true) => {
                let error = self.full();
                tracing::error!(%error, "writes are refused: free some room, shorten the retention, or enlarge the volume");
            }
            (true, false) => tracing::info!("the disk has room again: writes are taken"),
            _ => {}
        }
    }

    /// Looks at all volumes. Blocks.
    pub(crate) fn look(&self) {
        let was_full = self.is_full.load(Ordering::Relaxed);
        let (mut is_full, mut is_brim) = (false, false);
        for volume in self.volumes() {
            let Some(space) = self.space(volume) else { continue };
            let mark = self.mark_bytes(space);
            let labels = ByVolume { volume: volume.name };
            let shown = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
            self.metrics.disk_free.get_or_create(&labels).set(shown(space.free_bytes));
            self.metrics.disk_min_free.get_or_create(&labels).set(shown(mark));
            // An eighth more on the way back, so that the state does not change with every flush.
            let needed = if was_full { mark.saturating_add(mark / 8) } else { mark };
            is_full |= space.free_bytes < needed;
            is_brim |= space.free_bytes < self.settings.reserve_bytes;
        }
        self.set_full(is_full);
        // Without it there is nothing to give up, and nothing to say either: the mark was reported.
        let _kept = match (is_brim, is_full) {
            (true, _) => self.give_up_reserve(),
            (false, false) => self.keep_reserve(),
            (false, true) => Ok(()),
        };
    }

    fn volumes(&self) -> impl Iterator<Item = &Volume> {
        std::iter::once(&self.data).chain(&self.store)
    }

    /// The room on a volume; none where the disk does not say.
    fn space(&self, volume: &Volume) -> Option<Space> {
        self.disk.space(&volume.folder).ok().filter(|space| space.total_bytes > 0)
    }

    /// What stays free on a volume, in bytes.
    fn mark_bytes(&self, space: Space) -> u64 {
        let share = (space.total_bytes / DEFAULT_MARK_SHARE).min(MAX_DEFAULT_MARK_BYTES);
        self.settings.min_free_bytes.unwrap_or(share)
    }

    fn give_up_reserve(&self) -> io::Result<()> {
        self.disk.remove(&self.reserve)
    }

    fn keep_reserve(&self) -> io::Result<()> {
        let bytes = usize::try_from(self.settings.reserve_bytes).unwrap_or(0);
        if bytes == 0 || is_whole(&*self.disk, &self.reserve, self.settings.reserve_bytes) {
            return Ok(());
        }
        let mut file = crate::disk::replace(&*self.disk, &self.reserve)?;
        let zeros = vec![0; bytes.min(RESYNC_WINDOW_BYTES)];
        let mut left = bytes;
        while left > 0 {
            let step = left.min(zeros.len());
            if let Err(error) = file.append(&zeros[..step]) {
                let _part = self.disk.remove(&self.reserve);
                return Err(error);
            }
            left -= step;
        }
        file.sync()
    }
}

fn is_whole(disk: &dyn Disk, file: &Path, bytes: u64) -> bool {
    disk.open(file).and_then(|file| file.len()).is_ok_and(|len| len == bytes)
}

/// Whether a failure says that there is no room on a volume, at any depth.
pub(crate) fn is_full(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>()
            && matches!(io.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        {
            return true;
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests;
