//! Puts the files of a segment into the store while they are written: a small file with one request, a large one part by
//! part. A file appears whole or not at all.

use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use super::writer::Piece;
use crate::bounds::UPLOAD_PART_BYTES;
use crate::error::StorageError;
use crate::manifest::PartMeta;

/// The files of one segment on their way into the store.
pub(crate) struct Upload<F> {
    store: Arc<dyn ObjectStore>,
    path: F,
    open: Option<Box<dyn MultipartUpload>>,
    parts: Vec<PartMeta>,
}

impl<F: Fn(&str) -> Path> Upload<F> {
    /// Nothing yet; `path` gives the path of the file with a part's name.
    pub(crate) fn new(store: Arc<dyn ObjectStore>, path: F) -> Self {
        Self { store, path, open: None, parts: Vec::new() }
    }

    /// Sends the next bytes of the segment.
    ///
    /// # Errors
    /// The store's; [`Upload::abort`] is to be called then.
    pub(crate) async fn put(&mut self, piece: Piece) -> Result<(), StorageError> {
        match piece {
            Piece::More(name, bytes) => self.put_part(name, bytes).await,
            Piece::Last(name, bytes, meta) => {
                if self.open.is_none() && bytes.len() <= UPLOAD_PART_BYTES {
                    let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
                    self.store.put_opts(&(self.path)(name), PutPayload::from(bytes), options).await?;
                } else {
                    for at in (0..bytes.len()).step_by(UPLOAD_PART_BYTES) {
                        let end = bytes.len().min(at + UPLOAD_PART_BYTES);
                        self.put_part(name, bytes.slice(at..end)).await?;
                    }
                    if let Some(upload) = &mut self.open {
                        upload.complete().await?;
                        self.open = None;
                    }
                }
                self.parts.push(meta);
                Ok(())
            }
        }
    }

    async fn put_part(&mut self, name: &str, bytes: Bytes) -> Result<(), StorageError> {
        let upload = match &mut self.open {
            Some(upload) => upload,
            none => none.insert(self.store.put_multipart(&(self.path)(name)).await?),
        };
        Ok(upload.put_part(PutPayload::from(bytes)).await?)
    }

    /// The files that are in the store.
    pub(crate) fn finish(self) -> Vec<PartMeta> {
        self.parts
    }

    /// Tells the store that nothing more comes. Files that are whole are left to the sweep.
    pub(crate) async fn abort(mut self) {
        if let Some(mut upload) = self.open.take()
            && let Err(error) = upload.abort().await
        {
            tracing::debug!(%error, "an upload that was given up stays until the store drops it");
        }
    }
}
