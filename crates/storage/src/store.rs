//! Opens the object store that an address names, and makes a folder as durable as a bucket is.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

use parking_lot::Mutex;

use crate::bounds::MAX_KNOWN_FOLDERS;
use crate::error::StorageError;

/// Among the extensions of a read's options: bytes that were cached did not have their checksum. Every cache on the way
/// drops what it has of the object and asks the store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fresh;

/// Opens a store: `memory://`, `file:///absolute/path`, `file://./relative/path`, or a plain path. A folder is made
/// where it is missing.
///
/// # Errors
/// [`StorageError::UnsupportedStore`] for other addresses; otherwise when the folder cannot be made.
pub fn open_store(url: &str) -> std::result::Result<Arc<dyn ObjectStore>, StorageError> {
    let unsupported = || StorageError::UnsupportedStore { url: url.to_owned() };
    let path = match url.split_once("://") {
        Some(("memory", "" | "/")) => return Ok(Arc::new(InMemory::new())),
        Some(("file", path)) => path,
        Some(_) => return Err(unsupported()),
        None => url,
    };
    if path.is_empty() {
        return Err(unsupported());
    }
    let root = PathBuf::from(path);
    std::fs::create_dir_all(&root).map_err(|e| StorageError::io("create store folder", &root, e))?;
    let root = root.canonicalize().map_err(|e| StorageError::io("open store folder", path, e))?;
    Ok(Arc::new(Folder {
        inner: LocalFileSystem::new_with_prefix(&root)?,
        root,
        staged: AtomicU64::new(0),
        durable: Arc::default(),
    }))
}

/// A folder as an object store. An object that was put survives a loss of power: its bytes are forced to the disk before
/// its name appears, and its name before the reply.
#[derive(Debug)]
struct Folder {
    inner: LocalFileSystem,
    root: PathBuf,
    staged: AtomicU64,
    durable: Arc<Mutex<HashSet<PathBuf>>>,
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Folder({})", self.root.display())
    }
}

impl Folder {
    /// Where the bytes are written before the object has its name. Listings leave such names out.
    fn staged_path(&self, target: &FilePath) -> PathBuf {
        let number = self.staged.fetch_add(1, Ordering::Relaxed);
        let mut name = target.as_os_str().to_owned();
        name.push(format!("#{}{number:06}", std::process::id()));
        PathBuf::from(name)
    }
}

/// Writes an object; with `is_create` it fails where the name is taken.
fn put_file(target: &FilePath, staged: &FilePath, payload: &PutPayload, is_create: bool) -> io::Result<()> {
    let mut file = File::options().write(true).create(true).truncate(true).open(staged)?;
    payload.iter().try_for_each(|bytes| file.write_all(bytes))?;
    file.sync_all()?;
    drop(file);
    if is_create {
        // A link fails where the name is taken; a rename would replace it.
        let linked = std::fs::hard_link(staged, target);
        std::fs::remove_file(staged)?;
        linked?;
    } else {
        std::fs::rename(staged, target)?;
    }
    Ok(())
}

/// Makes the names in an object's folder durable, and once those of the folders above it.
fn sync_folders(root: &FilePath, parent: &FilePath, durable: &Mutex<HashSet<PathBuf>>) -> io::Result<()> {
    let is_durable = durable.lock().contains(parent);
    let folders = parent.ancestors().take_while(|folder| folder.starts_with(root));
    for folder in folders.take(if is_durable { 1 } else { usize::MAX }) {
        File::open(folder)?.sync_all()?;
    }
    if !is_durable {
        let mut durable = durable.lock();
        if durable.len() >= MAX_KNOWN_FOLDERS {
            durable.clear();
        }
        durable.insert(parent.to_path_buf());
    }
    Ok(())
}

#[async_trait]
impl ObjectStore for Folder {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let is_create = match opts.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            // Refused with the reason that a folder gives.
            PutMode::Update(_) => return self.inner.put_opts(location, payload, opts).await,
        };
        let target = self.inner.path_to_filesystem(location)?;
        let staged = self.staged_path(&target);
        let root = self.root.clone();
        let durable = Arc::clone(&self.durable);
        let name = location.to_string();
        let write = tokio::task::spawn_blocking(move || {
            let parent = target.parent().ok_or_else(|| io::Error::other("an object has a folder"))?;
            std::fs::create_dir_all(parent)?;
            let written = put_file(&target, &staged, &payload, is_create);
            if written.is_err() {
                // What is left of it is hidden from listings; removing it is a courtesy.
                let _left = std::fs::remove_file(&staged);
            }
            written.and_then(|()| sync_folders(&root, parent, &durable))
        });
        match write.await? {
            Ok(()) => Ok(PutResult { e_tag: None, version: None }),
            Err(source) if is_create && source.kind() == io::ErrorKind::AlreadyExists => {
                Err(object_store::Error::AlreadyExists { path: name, source: Box::new(source) })
            }
            Err(source) => Err(object_store::Error::Generic { store: "folder", source: Box::new(source) }),
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests;
