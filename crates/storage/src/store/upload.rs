//! An object that is uploaded in parts: each part is tried again by itself, and nothing is there until all of it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt;
use object_store::multipart::PartId;
use object_store::path::Path;
use object_store::{
    Error, MultipartId, MultipartUpload, ObjectStoreExt, PutPayload, PutResult, Result, UploadPart,
};
use parking_lot::Mutex;

use super::remote::Bucket;
use crate::metrics::Operation;

/// One upload.
#[derive(Debug)]
pub(super) struct Upload {
    bucket: Arc<Bucket>,
    full: Path,
    id: MultipartId,
    begun: usize,
    bytes: u64,
    done: Arc<Mutex<BTreeMap<usize, PartId>>>,
}

impl Upload {
    /// Begins an upload to the path in the bucket.
    pub(super) async fn begin(bucket: Arc<Bucket>, full: Path) -> Result<Self> {
        let create = |_| bucket.client.create_multipart(&full);
        let id = bucket.attempts.run(Operation::CreateMultipart, full.as_ref(), create).await?;
        Ok(Self { bucket, full, id, begun: 0, bytes: 0, done: Arc::default() })
    }

    /// Whether the object is there whole: then the reply to an earlier request was lost.
    async fn is_complete(&self) -> Result<Option<PutResult>> {
        let meta = self.bucket.client.head(&self.full).await?;
        Ok((meta.size == self.bytes).then_some(PutResult { e_tag: meta.e_tag, version: meta.version }))
    }
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let number = self.begun;
        self.begun += 1;
        self.bytes += data.content_length() as u64;
        let (bucket, full, id) = (Arc::clone(&self.bucket), self.full.clone(), self.id.clone());
        let done = Arc::clone(&self.done);
        async move {
            let put = |_| bucket.client.put_part(&full, &id, number, data.clone());
            let part = bucket.attempts.run(Operation::PutPart, full.as_ref(), put).await?;
            done.lock().insert(number, part);
            Ok(())
        }
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let parts: Vec<PartId> = self.done.lock().values().cloned().collect();
        if parts.len() != self.begun {
            let reason = format!("a part is missing: parts={}, of={}", parts.len(), self.begun);
            return Err(Error::Generic { store: "upload", source: reason.into() });
        }
        let this = &*self;
        let complete = |is_repeated| {
            let parts = parts.clone();
            async move {
                match this.bucket.client.complete_multipart(&this.full, &this.id, parts).await {
                    // An upload that is over is not known any more.
                    Err(error) if is_repeated && !super::retry::is_unanswered(&error) => {
                        this.is_complete().await?.ok_or(error)
                    }
                    result => result,
                }
            }
        };
        this.bucket.attempts.run(Operation::CompleteMultipart, this.full.as_ref(), complete).await
    }

    async fn abort(&mut self) -> Result<()> {
        let this = &*self;
        let abort = |is_repeated| async move {
            match this.bucket.client.abort_multipart(&this.full, &this.id).await {
                Err(Error::NotFound { .. }) if is_repeated => Ok(()),
                result => result,
            }
        };
        this.bucket.attempts.run(Operation::AbortMultipart, this.full.as_ref(), abort).await
    }
}
