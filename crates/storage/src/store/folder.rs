//! A folder as an object store, made as durable as a bucket is.

mod upload;

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
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use parking_lot::Mutex;

use crate::bounds::{MAX_KNOWN_FOLDERS, MAX_STAGED_FILES};
use crate::error::StorageError;
use upload::FolderUpload;

/// A folder as an object store. An object that was put survives a loss of power: its bytes are forced to the disk before
/// its name appears, and its name before the reply.
#[derive(Debug)]
pub(super) struct Folder {
    inner: LocalFileSystem,
    root: PathBuf,
    staged: Arc<AtomicU64>,
    durable: Arc<Mutex<HashSet<PathBuf>>>,
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Folder({})", self.root.display())
    }
}

impl Folder {
    /// Opens a folder, which is made where it is missing.
    pub(super) fn open(path: &FilePath) -> std::result::Result<Self, StorageError> {
        std::fs::create_dir_all(path).map_err(|e| StorageError::io("create store folder", path, e))?;
        let root = path.canonicalize().map_err(|e| StorageError::io("open store folder", path, e))?;
        let inner = LocalFileSystem::new_with_prefix(&root)?;
        Ok(Self { inner, root, staged: Arc::default(), durable: Arc::default() })
    }
}

/// The file that the bytes are written to before the object has its name. Listings leave such names out. Processes on
/// other machines may have the same number, and what another one writes must not be touched.
fn stage(target: &FilePath, numbers: &AtomicU64) -> io::Result<(PathBuf, File)> {
    for _ in 0..MAX_STAGED_FILES {
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        let mut name = target.as_os_str().to_owned();
        name.push(format!("#{}{number:06}", std::process::id()));
        match File::create_new(&name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            file => return Ok((PathBuf::from(name), file?)),
        }
    }
    Err(io::Error::other(
        "too many interrupted writes lie beside the object: remove the files that end in # and digits",
    ))
}

/// Writes an object; with `is_create` it fails where the name is taken, and the staged file stays in any case.
fn put_file(
    target: &FilePath,
    staged: &FilePath,
    mut file: File,
    payload: &PutPayload,
    is_create: bool,
) -> io::Result<()> {
    payload.iter().try_for_each(|bytes| file.write_all(bytes))?;
    file.sync_all()?;
    drop(file);
    if is_create {
        // A link fails where the name is taken; a rename would replace it.
        std::fs::hard_link(staged, target)
    } else {
        std::fs::rename(staged, target)
    }
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
        let numbers = Arc::clone(&self.staged);
        let root = self.root.clone();
        let durable = Arc::clone(&self.durable);
        let name = location.to_string();
        let write = tokio::task::spawn_blocking(move || {
            let parent = target.parent().ok_or_else(|| io::Error::other("an object has a folder"))?;
            std::fs::create_dir_all(parent)?;
            let (staged, file) = stage(&target, &numbers)?;
            let written = put_file(&target, &staged, file, &payload, is_create);
            if is_create || written.is_err() {
                // Once and no more: the name may be another writer's right after. Listings leave out what stays.
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
        _opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let target = self.inner.path_to_filesystem(location)?;
        let (root, durable) = (self.root.clone(), Arc::clone(&self.durable));
        Ok(Box::new(FolderUpload::new(target, root, Arc::clone(&self.staged), durable)))
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
