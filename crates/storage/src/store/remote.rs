//! A bucket as an object store: every operation is tried again where there was no answer, an object that was created
//! though the reply was lost counts as created, and all paths lie below the prefix.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, Result,
};
use parking_lot::Mutex;
use xxhash_rust::xxh3::Xxh3;

use super::retry::{Attempts, is_unanswered};
use super::upload::Upload;
use crate::bounds::{DELETE_BATCH, DELETE_CONCURRENCY};
use crate::metrics::Operation;

/// What a client of a bucket can do; it asks once.
pub(super) trait Client: ObjectStore + MultipartStore + PaginatedListStore {}

impl<T: ObjectStore + MultipartStore + PaginatedListStore> Client for T {}

/// A bucket, or what is below a prefix in it.
#[derive(Debug)]
pub(super) struct Remote {
    bucket: Arc<Bucket>,
}

/// What the tasks share.
#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) client: Arc<dyn Client>,
    pub(super) attempts: Attempts,
    url: String,
    prefix: Path,
}

impl Remote {
    pub(super) fn new(client: Arc<dyn Client>, url: String, prefix: Path, attempts: Attempts) -> Self {
        Self { bucket: Arc::new(Bucket { client, attempts, url, prefix }) }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.bucket.url)
    }
}

impl Bucket {
    /// The path in the bucket.
    fn full(&self, path: &Path) -> Path {
        self.prefix.parts().chain(path.parts()).collect()
    }

    /// The path below the prefix; none for what is not below it.
    fn below(&self, full: &Path) -> Option<Path> {
        Some(full.prefix_match(&self.prefix)?.collect())
    }

    /// Asks once for an object; for the whole, or the part that is left of it.
    async fn get_once(&self, full: &Path, options: GetOptions) -> Result<GetResult> {
        self.client.get_opts(full, options).await
    }

    async fn get(&self, full: &Path, options: &GetOptions) -> Result<GetResult> {
        let operation = if options.head { Operation::Head } else { Operation::Get };
        self.attempts.run(operation, full.as_ref(), |_| self.get_once(full, options.clone())).await
    }

    /// Whether the object holds exactly these bytes: then it is the one that we created, though the reply was lost. Whoever
    /// creates an object that others may create too puts something into it that is its own.
    async fn made_by_us(&self, full: &Path, payload: &PutPayload) -> Result<Option<PutResult>> {
        let found = self.get_once(full, GetOptions::default()).await?;
        if found.meta.size != payload.content_length() as u64 {
            return Ok(None);
        }
        let made = PutResult { e_tag: found.meta.e_tag.clone(), version: found.meta.version.clone() };
        let (mut ours, mut theirs) = (Xxh3::new(), Xxh3::new());
        payload.iter().for_each(|bytes| ours.update(bytes));
        let mut body = found.into_stream();
        while let Some(bytes) = body.try_next().await? {
            theirs.update(&bytes);
        }
        Ok((ours.digest128() == theirs.digest128()).then_some(made))
    }

    async fn put_once(
        &self,
        full: &Path,
        payload: &PutPayload,
        options: &PutOptions,
        is_repeated: bool,
    ) -> Result<PutResult> {
        match self.client.put_opts(full, payload.clone(), options.clone()).await {
            Err(taken @ Error::AlreadyExists { .. }) if is_repeated && options.mode == PutMode::Create => {
                self.made_by_us(full, payload).await?.ok_or(taken)
            }
            result => result,
        }
    }

    async fn copy_once(&self, from: &Path, to: &Path, options: &CopyOptions) -> Result<()> {
        match self.client.copy_opts(from, to, options.clone()).await {
            // The client of Google's storage never overwrites, whatever it is told.
            Err(Error::AlreadyExists { .. }) if options.mode == CopyMode::Overwrite => {
                self.client.head(from).await?;
                self.client.delete(to).await?;
                self.client.copy_opts(from, to, options.clone()).await
            }
            result => result,
        }
    }

    /// One page of a listing after the other.
    fn pages(
        self: &Arc<Self>,
        prefix: Option<&Path>,
        offset: Option<&Path>,
        is_by_folder: bool,
    ) -> BoxStream<'static, Result<ListResult>> {
        let bucket = Arc::clone(self);
        let folder = prefix.map_or_else(|| self.prefix.clone(), |prefix| self.full(prefix));
        let folder = if folder.as_ref().is_empty() { String::new() } else { format!("{folder}/") };
        let offset = offset.map(|offset| self.full(offset).to_string());
        let first = Some(None);
        stream::try_unfold(first, move |page| {
            let (bucket, folder, offset) = (Arc::clone(&bucket), folder.clone(), offset.clone());
            async move {
                let Some(page_token) = page else { return Ok(None) };
                let options = PaginatedListOptions {
                    offset,
                    delimiter: is_by_folder.then_some("/".into()),
                    page_token,
                    ..PaginatedListOptions::default()
                };
                let prefix = Some(folder.as_str()).filter(|folder| !folder.is_empty());
                let list = |_| bucket.client.list_paginated(prefix, options.clone());
                let page = bucket.attempts.run(Operation::List, &folder, list).await?;
                Ok(Some((bucket.relative(page.result), page.page_token.map(Some))))
            }
        })
        .boxed()
    }

    fn relative(&self, page: ListResult) -> ListResult {
        let object = |meta: ObjectMeta| Some(ObjectMeta { location: self.below(&meta.location)?, ..meta });
        ListResult {
            common_prefixes: page.common_prefixes.iter().filter_map(|prefix| self.below(prefix)).collect(),
            objects: page.objects.into_iter().filter_map(object).collect(),
        }
    }

    fn objects(
        self: &Arc<Self>,
        prefix: Option<&Path>,
        offset: Option<&Path>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let pages = self.pages(prefix, offset, false);
        let offset = offset.cloned();
        pages
            .map_ok(|page| stream::iter(page.objects.into_iter().map(Ok)))
            .try_flatten()
            // Not every server knows how to begin elsewhere than at the first object.
            .try_filter(move |meta| {
                futures::future::ready(offset.as_ref().is_none_or(|offset| meta.location > *offset))
            })
            .boxed()
    }

    /// Deletes; what is not there is deleted already. Gives the paths that are gone, and then what hindered the others.
    async fn delete(&self, paths: Vec<Path>) -> Vec<Result<Path>> {
        let first = paths.first().map(|path| self.full(path).to_string()).unwrap_or_default();
        let left = Mutex::new(paths.iter().map(|path| self.full(path)).collect::<BTreeSet<Path>>());
        let left = &left;
        let attempt = |_| async move {
            let wanted: Vec<Path> = left.lock().iter().cloned().collect();
            let deleted = self.client.delete_stream(stream::iter(wanted.clone().into_iter().map(Ok)).boxed());
            let results: Vec<Result<Path>> = deleted.collect().await;
            // A request for many that failed as one has one result.
            let is_whole = results.len() == wanted.len();
            let mut hindered = Ok(());
            for (path, result) in wanted.iter().zip(results) {
                match result {
                    Ok(_) | Err(Error::NotFound { .. }) => {
                        left.lock().remove(path);
                    }
                    Err(error) => hindered = Err(error),
                }
            }
            if is_whole || hindered.is_err() { hindered } else { Err(self.attempts.timed_out(0)) }
        };
        let result = self.attempts.run(Operation::Delete, &first, attempt).await;
        let left = left.lock();
        let gone = paths.into_iter().filter(|path| !left.contains(&self.full(path))).map(Ok);
        gone.chain(result.err().map(Err)).collect()
    }

    /// A body that goes on after a connection was lost, from where it was, as long as the object is the same.
    fn resumed(self: &Arc<Self>, full: Path, options: GetOptions, result: GetResult) -> GetResult {
        let GetResult { payload, meta, range, attributes } = result;
        let location = self.below(&meta.location).unwrap_or_else(|| meta.location.clone());
        let meta = ObjectMeta { location, ..meta };
        let GetResultPayload::Stream(stream) = payload else {
            return GetResult { payload, meta, range, attributes };
        };
        let body = Body {
            bucket: Arc::clone(self),
            options: GetOptions { if_match: meta.e_tag.clone(), ..options },
            full,
            left: range.clone(),
            stream,
            losses: 0,
        };
        let stream = stream::try_unfold(body, Body::next).boxed();
        GetResult { payload: GetResultPayload::Stream(stream), meta, range, attributes }
    }
}

/// The rest of an object that is being read.
struct Body {
    bucket: Arc<Bucket>,
    full: Path,
    options: GetOptions,
    left: std::ops::Range<u64>,
    stream: BoxStream<'static, Result<Bytes>>,
    losses: u32,
}

impl Body {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>> {
        loop {
            match self.stream.next().await {
                None => return Ok(None),
                Some(Ok(bytes)) => {
                    self.left.start += bytes.len() as u64;
                    return Ok(Some((bytes, self)));
                }
                Some(Err(error)) => {
                    self.losses += 1;
                    let attempts = &self.bucket.attempts;
                    let is_last = self.losses >= attempts.max_attempts();
                    if is_last || self.options.if_match.is_none() || !is_unanswered(&error) {
                        return Err(attempts.tried(Operation::Get, self.full.as_ref(), self.losses, error));
                    }
                    if self.left.is_empty() {
                        return Ok(None);
                    }
                    let range = Some(GetRange::Bounded(self.left.clone()));
                    let options = GetOptions { range, ..self.options.clone() };
                    self.stream = self.bucket.get(&self.full, &options).await?.into_stream();
                }
            }
        }
    }
}

#[async_trait]
impl ObjectStore for Remote {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let bucket = &*self.bucket;
        let full = bucket.full(location);
        let put = |is_repeated| bucket.put_once(&full, &payload, &opts, is_repeated);
        bucket.attempts.run(Operation::Put, full.as_ref(), put).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let upload = Upload::begin(Arc::clone(&self.bucket), self.bucket.full(location)).await?;
        Ok(Box::new(upload))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let full = self.bucket.full(location);
        let result = self.bucket.get(&full, &options).await?;
        Ok(self.bucket.resumed(full, options, result))
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let bucket = Arc::clone(&self.bucket);
        locations
            .try_chunks(DELETE_BATCH)
            .map(move |paths| {
                let bucket = Arc::clone(&bucket);
                async move {
                    match paths {
                        Ok(paths) => stream::iter(bucket.delete(paths).await),
                        Err(error) => stream::iter(vec![Err(error.1)]),
                    }
                }
            })
            .buffered(DELETE_CONCURRENCY)
            .flatten()
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.bucket.objects(prefix, None)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.bucket.objects(prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let mut all = ListResult { common_prefixes: Vec::new(), objects: Vec::new() };
        let mut pages = self.bucket.pages(prefix, None, true);
        while let Some(page) = pages.try_next().await? {
            all.common_prefixes.extend(page.common_prefixes);
            all.objects.extend(page.objects);
        }
        // A folder may stand at the end of a page and at the start of the next.
        all.common_prefixes.sort();
        all.common_prefixes.dedup();
        Ok(all)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let bucket = &*self.bucket;
        let (from, to) = (bucket.full(from), bucket.full(to));
        let copy = |_| bucket.copy_once(&from, &to, &options);
        bucket.attempts.run(Operation::Copy, from.as_ref(), copy).await
    }
}
