//! Chunks in files of the data folder, a bounded number of bytes, the least used go first. Losing any of them loses
//! nothing: files are written without waiting, and what does not read back whole is deleted.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_128;

use super::chunk::{self, Chunk};
use crate::bounds::{DISK_BLOCK_BYTES, MAX_CACHE_WRITES, MAX_FORGOTTEN};
use crate::disk::Disk;
use crate::layout;
use crate::metrics::CacheMetrics;
use crate::runtime::{Runtime, blocking};

/// Which file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Name {
    object: u128,
    number: u32,
}

impl Name {
    fn new(path: &Path, number: u32) -> Self {
        Self { object: xxh3_128(path.as_ref().as_bytes()), number }
    }

    fn file(self, folder: &FilePath) -> PathBuf {
        layout::cache_file(folder, self.object, self.number)
    }
}

/// What is where, and when it was used last.
#[derive(Debug, Default)]
struct Index {
    files: HashMap<Name, (u64, u64)>,
    by_use: BTreeMap<u64, Name>,
    objects: HashMap<u128, BTreeSet<u32>>,
    bytes: u64,
    uses: u64,
    /// Objects that are gone for good: what is under way of them is not kept.
    gone: BTreeSet<u128>,
    gone_first: VecDeque<u128>,
    writes: usize,
}

impl Index {
    fn insert(&mut self, name: Name, bytes: u64) {
        self.remove(name);
        self.uses += 1;
        self.files.insert(name, (bytes, self.uses));
        self.by_use.insert(self.uses, name);
        self.objects.entry(name.object).or_default().insert(name.number);
        self.bytes += bytes;
    }

    fn remove(&mut self, name: Name) -> bool {
        let Some((bytes, used)) = self.files.remove(&name) else { return false };
        self.by_use.remove(&used);
        self.bytes -= bytes;
        if let Some(numbers) = self.objects.get_mut(&name.object) {
            numbers.remove(&name.number);
            if numbers.is_empty() {
                self.objects.remove(&name.object);
            }
        }
        true
    }

    fn touch(&mut self, name: Name) {
        if let Some((_, used)) = self.files.get_mut(&name) {
            self.by_use.remove(used);
            self.uses += 1;
            *used = self.uses;
            self.by_use.insert(self.uses, name);
        }
    }

    /// Takes out what is used least until so many bytes are left.
    fn shrink(&mut self, max_bytes: u64) -> Vec<Name> {
        let mut names = Vec::new();
        while self.bytes > max_bytes
            && let Some((_, name)) = self.by_use.first_key_value()
        {
            let name = *name;
            self.remove(name);
            names.push(name);
        }
        names
    }

    fn bury(&mut self, object: u128) {
        if self.gone.insert(object) {
            self.gone_first.push_back(object);
            if self.gone_first.len() > MAX_FORGOTTEN
                && let Some(oldest) = self.gone_first.pop_front()
            {
                self.gone.remove(&oldest);
            }
        }
    }
}

/// The tier of one data folder. The caller has the folder's lock.
pub(crate) struct DiskTier {
    folder: PathBuf,
    max_bytes: u64,
    disk: Arc<dyn Disk>,
    runtime: Arc<dyn Runtime>,
    metrics: CacheMetrics,
    index: Mutex<Index>,
}

impl fmt::Debug for DiskTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskTier").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// What a file takes of the volume.
const fn room(bytes: u64) -> u64 {
    bytes.div_ceil(DISK_BLOCK_BYTES) * DISK_BLOCK_BYTES
}

impl DiskTier {
    /// Opens the folder; what is in it is found in the background, and used from then on. With no bytes to use, it is
    /// emptied.
    pub(crate) fn open(
        folder: PathBuf,
        max_bytes: u64,
        disk: Arc<dyn Disk>,
        runtime: Arc<dyn Runtime>,
        metrics: CacheMetrics,
    ) -> Arc<Self> {
        let tier = Arc::new(Self { folder, max_bytes, disk, runtime, metrics, index: Mutex::default() });
        let this = Arc::clone(&tier);
        tier.runtime.spawn_blocking(Box::new(move || {
            if let Err(error) = this.load() {
                tracing::warn!(folder = %this.folder.display(), %error, "the cache on the disk is not used");
            }
        }));
        tier
    }

    /// Finds the files that are there, and deletes what is none of them or too much.
    fn load(&self) -> io::Result<()> {
        let mut found = Vec::new();
        for shard in self.list(&self.folder)? {
            for file in self.list(&shard)? {
                match layout::cache_name(&file) {
                    Some((object, number)) => {
                        let bytes = self.disk.open(&file)?.len()?;
                        found.push((Name { object, number }, room(bytes)));
                    }
                    None => self.remove_file(&file),
                }
            }
        }
        let mut index = self.index.lock();
        let mut doomed = Vec::new();
        for (name, bytes) in found {
            if index.gone.contains(&name.object) {
                doomed.push(name);
            } else {
                index.insert(name, bytes);
            }
        }
        doomed.extend(index.shrink(self.max_bytes));
        self.metrics.disk_bytes(index.bytes);
        drop(index);
        self.remove_files(&doomed);
        Ok(())
    }

    /// What is in a folder that may not be there.
    fn list(&self, folder: &FilePath) -> io::Result<Vec<PathBuf>> {
        match self.disk.list(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            listed => listed,
        }
    }

    /// Whether there is a file for the chunk.
    pub(super) fn has(&self, path: &Path, number: u32) -> bool {
        self.index.lock().files.contains_key(&Name::new(path, number))
    }

    /// The chunk; none where its file does not read back.
    pub(super) async fn read(self: &Arc<Self>, path: &Path, number: u32) -> Option<Chunk> {
        let (this, path) = (Arc::clone(self), path.clone());
        let read = blocking(&*self.runtime, move || {
            let name = Name::new(&path, number);
            let chunk = this.read_file(&name.file(&this.folder)).ok();
            let chunk = chunk.and_then(|file| chunk::decode(&path, number, &file));
            let mut index = this.index.lock();
            if chunk.is_some() {
                index.touch(name);
            } else if index.remove(name) {
                this.metrics.disk_bytes(index.bytes);
                drop(index);
                this.metrics.discarded();
                this.remove_file(&name.file(&this.folder));
            }
            chunk
        });
        read.await.ok().flatten()
    }

    fn read_file(&self, file: &FilePath) -> io::Result<Bytes> {
        let mut reader = self.disk.open(file)?;
        let length = reader.len()?;
        if length > chunk::MAX_FILE_BYTES {
            return Err(io::Error::other("the file is too long for a chunk"));
        }
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        reader.read_exact_at(0, &mut bytes)?;
        Ok(bytes.into())
    }

    /// Writes a chunk in the background; where too many wait already, it is left.
    pub(super) fn write(self: &Arc<Self>, path: &Path, number: u32, chunk: &Chunk) {
        let name = Name::new(path, number);
        {
            let mut index = self.index.lock();
            let is_wanted = self.max_bytes > 0
                && index.writes < MAX_CACHE_WRITES
                && !index.files.contains_key(&name)
                && !index.gone.contains(&name.object);
            if !is_wanted {
                return;
            }
            index.writes += 1;
        }
        let (this, path, chunk) = (Arc::clone(self), path.clone(), chunk.clone());
        self.runtime.spawn_blocking(Box::new(move || {
            let written = chunk::encode(&path, number, &chunk).map(|file| this.write_file(name, &file));
            this.index.lock().writes -= 1;
            if let Some(Err(error)) = written {
                this.metrics.failed();
                tracing::warn!(folder = %this.folder.display(), %error, "the cache cannot write to the disk: it gives some room back");
                let doomed = this.index.lock().shrink(this.max_bytes / 2);
                this.remove_files(&doomed);
            }
        }));
    }

    fn write_file(&self, name: Name, bytes: &[u8]) -> io::Result<()> {
        let bytes_on_disk = room(bytes.len() as u64);
        if bytes_on_disk > self.max_bytes {
            return Ok(());
        }
        // Room first, so that there are never more than the bound.
        let doomed = self.index.lock().shrink(self.max_bytes - bytes_on_disk);
        self.remove_files(&doomed);
        let target = name.file(&self.folder);
        let staged = target.with_extension("new");
        let write = || {
            self.disk.create(&staged)?.append(bytes)?;
            self.disk.rename(&staged, &target)
        };
        let written = match write() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                target.parent().map_or(Ok(()), |shard| self.disk.create_folder(shard)).and_then(|()| write())
            }
            written => written,
        };
        if let Err(error) = written {
            self.remove_file(&staged);
            return if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) };
        }
        let mut index = self.index.lock();
        let is_gone = index.gone.contains(&name.object);
        if !is_gone {
            index.insert(name, bytes_on_disk);
        }
        let doomed = index.shrink(self.max_bytes);
        self.metrics.disk_bytes(index.bytes);
        drop(index);
        if is_gone {
            self.remove_file(&target);
        }
        self.remove_files(&doomed);
        Ok(())
    }

    /// Deletes the files of an object; the number after the highest of them. One that is gone for good is not written
    /// again.
    pub(super) fn forget(self: &Arc<Self>, path: &Path, is_gone: bool) -> Option<u32> {
        let object = Name::new(path, 0).object;
        let mut index = self.index.lock();
        if is_gone {
            index.bury(object);
        }
        let numbers = index.objects.get(&object).cloned()?;
        let doomed: Vec<Name> = numbers.iter().map(|number| Name { object, number: *number }).collect();
        for name in &doomed {
            index.remove(*name);
        }
        self.metrics.disk_bytes(index.bytes);
        drop(index);
        let this = Arc::clone(self);
        self.runtime.spawn_blocking(Box::new(move || this.remove_files(&doomed)));
        numbers.last().map(|last| last + 1)
    }

    fn remove_files(&self, names: &[Name]) {
        for name in names {
            self.remove_file(&name.file(&self.folder));
        }
    }

    fn remove_file(&self, file: &FilePath) {
        if let Err(error) = self.disk.remove(file)
            && error.kind() != io::ErrorKind::NotFound
        {
            self.metrics.failed();
            tracing::warn!(file = %file.display(), %error, "a file of the cache cannot be deleted");
        }
    }
}
