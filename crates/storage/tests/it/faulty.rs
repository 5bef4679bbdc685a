//! An object store that fails when it is told to, before or after the real one has done its work.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use parking_lot::Mutex;

/// How a put fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing happens.
    Refused,
    /// The object is there, but the reply is lost.
    ReplyLost,
}

/// Which puts fail: of those whose path contains the text, after so many that succeed, so many.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) path_contains: &'static str,
    pub(crate) fault: Fault,
    pub(crate) after: usize,
    pub(crate) times: usize,
}

#[derive(Debug)]
pub(crate) struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    plan: Mutex<Option<Plan>>,
    failed: AtomicUsize,
    /// What the path of a read must contain so that a byte of it is changed, and how many reads come before.
    flip: Mutex<Option<(&'static str, usize)>>,
}

impl FaultyStore {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner, plan: Mutex::new(None), failed: AtomicUsize::new(0), flip: Mutex::new(None) }
    }

    pub(crate) fn fail(&self, plan: Plan) {
        self.failed.store(0, Ordering::Relaxed);
        *self.plan.lock() = Some(plan);
    }

    pub(crate) fn heal(&self) {
        *self.plan.lock() = None;
    }

    /// Whether no put has failed since the last plan was made.
    pub(crate) fn is_unharmed(&self) -> bool {
        self.failed.load(Ordering::Relaxed) == 0
    }

    /// Changes a byte of one read on its way, after so many that stay as they are.
    pub(crate) fn flip_a_read(&self, path_contains: &'static str, after: usize) {
        *self.flip.lock() = Some((path_contains, after));
    }

    fn is_flipped(&self, location: &Path) -> bool {
        let mut flip = self.flip.lock();
        match flip.as_mut() {
            Some((text, after)) if location.as_ref().contains(*text) => {
                let is_due = *after == 0;
                *after = after.saturating_sub(1);
                if is_due {
                    *flip = None;
                }
                is_due
            }
            _ => false,
        }
    }

    fn fault(&self, location: &Path) -> Option<Fault> {
        let mut slot = self.plan.lock();
        let plan = slot.as_mut()?;
        if plan.times == 0 || !location.as_ref().contains(plan.path_contains) {
            return None;
        }
        if plan.after > 0 {
            plan.after -= 1;
            return None;
        }
        plan.times -= 1;
        self.failed.fetch_add(1, Ordering::Relaxed);
        Some(plan.fault)
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultyStore({})", self.inner)
    }
}

fn failure() -> object_store::Error {
    object_store::Error::Generic { store: "faulty", source: "as the test planned".into() }
}

/// An upload whose end fails.
#[derive(Debug)]
struct FailingUpload {
    upload: Box<dyn MultipartUpload>,
    fault: Fault,
}

#[async_trait]
impl MultipartUpload for FailingUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.upload.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        if self.fault == Fault::ReplyLost {
            self.upload.complete().await?;
        }
        Err(failure())
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        match self.fault(location) {
            None => self.inner.put_opts(location, payload, opts).await,
            Some(Fault::Refused) => Err(failure()),
            Some(Fault::ReplyLost) => {
                self.inner.put_opts(location, payload, opts).await?;
                Err(failure())
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let upload = self.inner.put_multipart_opts(location, opts).await?;
        match self.fault(location) {
            None => Ok(upload),
            Some(fault) => Ok(Box::new(FailingUpload { upload, fault })),
        }
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let result = self.inner.get_opts(location, options).await?;
        if !self.is_flipped(location) {
            return Ok(result);
        }
        let (meta, range, attributes) =
            (result.meta.clone(), result.range.clone(), result.attributes.clone());
        let mut bytes = result.bytes().await?.to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x20;
        let payload = GetResultPayload::Stream(futures::stream::iter([Ok(bytes.into())]).boxed());
        Ok(GetResult { payload, meta, range, attributes })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
