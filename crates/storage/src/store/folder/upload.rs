//! A large object on its way into a folder, part by part. As an object that is put at once, it has its name only when
//! all of it is on the disk.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use async_trait::async_trait;
use object_store::{MultipartUpload, PutPayload, PutResult, Result, UploadPart};
use parking_lot::Mutex;

use super::{stage, sync_folders};

/// The file under the name that listings leave out.
#[derive(Debug)]
struct Staged {
    target: PathBuf,
    numbers: Arc<AtomicU64>,
    /// None before the first part, and when the upload is over.
    file: Mutex<Option<(PathBuf, File)>>,
}

/// An upload that is not complete; dropped, it leaves nothing behind.
#[derive(Debug)]
pub(super) struct FolderUpload {
    root: PathBuf,
    durable: Arc<Mutex<HashSet<PathBuf>>>,
    staged: Arc<Staged>,
    /// Where the next part begins.
    offset: u64,
}

impl FolderUpload {
    /// An upload to `target` below `root`; `numbers` and `durable` are the folder's.
    pub(super) fn new(
        target: PathBuf,
        root: PathBuf,
        numbers: Arc<AtomicU64>,
        durable: Arc<Mutex<HashSet<PathBuf>>>,
    ) -> Self {
        let staged = Arc::new(Staged { target, numbers, file: Mutex::new(None) });
        Self { root, durable, staged, offset: 0 }
    }
}

impl Staged {
    fn write(&self, offset: u64, payload: &PutPayload) -> io::Result<()> {
        let mut slot = self.file.lock();
        let (_, file) = match &mut *slot {
            Some(staged) => staged,
            empty => {
                if let Some(folder) = self.target.parent() {
                    std::fs::create_dir_all(folder)?;
                }
                empty.insert(stage(&self.target, &self.numbers)?)
            }
        };
        file.seek(SeekFrom::Start(offset))?;
        payload.iter().try_for_each(|bytes| file.write_all(bytes))
    }

    fn complete(&self) -> io::Result<()> {
        let mut slot = self.file.lock();
        let (path, file) = slot.as_ref().ok_or_else(|| io::Error::other("an upload without parts"))?;
        file.sync_all()?;
        std::fs::rename(path, &self.target)?;
        *slot = None;
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Some((path, _)) = self.file.get_mut() {
            // What is left of it is hidden from listings; removing it is a courtesy.
            let _left = std::fs::remove_file(path);
        }
    }
}

fn failed(source: io::Error) -> object_store::Error {
    object_store::Error::Generic { store: "folder", source: Box::new(source) }
}

#[async_trait]
impl MultipartUpload for FolderUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let offset = self.offset;
        self.offset += data.content_length() as u64;
        let staged = Arc::clone(&self.staged);
        Box::pin(async move {
            let write = tokio::task::spawn_blocking(move || staged.write(offset, &data));
            write.await?.map_err(failed)
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let staged = Arc::clone(&self.staged);
        let (root, durable) = (self.root.clone(), Arc::clone(&self.durable));
        let complete = tokio::task::spawn_blocking(move || {
            staged.complete()?;
            let folder = staged.target.parent().ok_or_else(|| io::Error::other("an object has a folder"))?;
            sync_folders(&root, folder, &durable)
        });
        complete.await?.map_err(failed)?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn abort(&mut self) -> Result<()> {
        let staged = Arc::clone(&self.staged);
        let abort = tokio::task::spawn_blocking(move || match staged.file.lock().take() {
            Some((path, _)) => std::fs::remove_file(path),
            None => Ok(()),
        });
        abort.await?.map_err(failed)
    }
}
