//! Puts a segment that was set aside back among those that are read, from good copies of its files.
//!
//! It becomes a segment with a new id: objects are never changed, and what a server is about to sweep is never needed
//! again. A server that runs takes it up with its next commit, or its next pass of retention.

use std::path::PathBuf;
use std::sync::Arc;

use model::{Clock, Signal, TenantId};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions};

use crate::error::StorageError;
use crate::ids::Ids;
use crate::layout;
use crate::manifest::commit::{Change, Manifests};
use crate::manifest::{Manifest, SegmentMeta};
use crate::metrics::Metrics;
use crate::segment::survey;
use crate::verify::unshared;

/// What is to be restored.
#[derive(Clone, Debug)]
pub struct Restoration {
    /// The store with the manifest.
    pub store: Arc<dyn ObjectStore>,
    /// Whose segment it is.
    pub tenant: TenantId,
    /// Which signal.
    pub signal: Signal,
    /// The segment's id.
    pub id: String,
    /// A folder with good copies of the files, under their names; the copies in the quarantine where none is named.
    pub from: Option<PathBuf>,
    /// The time, for new ids.
    pub clock: Arc<dyn Clock>,
    /// The start of new ids.
    pub seed: u64,
}

impl Restoration {
    /// Compares every checksum of the copies, stores them, and commits. Gives the segment as it is named now.
    ///
    /// # Errors
    /// When no such segment is set aside, a copy is missing or damaged too, or the store does not answer.
    pub async fn run(&self) -> Result<SegmentMeta, StorageError> {
        let manifests = Manifests {
            store: Arc::clone(&self.store),
            tenant: self.tenant.clone(),
            signal: self.signal,
            metrics: Arc::new(Metrics::default()),
        };
        let current = Arc::new(manifests.load().await?);
        let entry = current.quarantined.iter().find(|aside| aside.segment.id == self.id);
        let Some(entry) = entry else {
            let path = layout::segments(&self.tenant, self.signal).join(self.id.as_str()).to_string();
            let source = "no segment with this id is set aside".into();
            return Err(object_store::Error::NotFound { path, source }.into());
        };
        let (source, files) = self.copies(&entry.segment).await?;
        let known = self.verified(&source, &entry.segment, &files).await?;
        let ids = Ids::new(self.seed, "restore", current.version);
        let segment = SegmentMeta { id: ids.next(&*self.clock), ..known };
        for (part, file) in segment.parts.iter().zip(&files) {
            let path = layout::segment(&self.tenant, self.signal, &segment, &part.name);
            let bytes = source.get(&file.location).await?.bytes().await?;
            let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
            self.store.put_opts(&path, bytes.into(), options).await?;
        }
        let apply = |manifest: &mut Manifest| {
            let before = manifest.quarantined.len();
            manifest.quarantined.retain(|aside| aside.segment.id != self.id);
            if manifest.quarantined.len() == before {
                return Change::Nothing;
            }
            // Where the rows stood before: those of younger segments hold against them.
            let place = manifest.segments.iter().position(|other| other.id > self.id);
            manifest.segments.insert(place.unwrap_or(manifest.segments.len()), segment.clone());
            Change::Changed
        };
        manifests.commit(current, &ids.next(&*self.clock), &apply).await?;
        Ok(segment)
    }

    /// Where the copies are, in the order of the parts.
    async fn copies(
        &self,
        meta: &SegmentMeta,
    ) -> Result<(Arc<dyn ObjectStore>, Vec<ObjectMeta>), StorageError> {
        let paths =
            meta.parts.iter().map(|part| layout::segment(&self.tenant, self.signal, meta, &part.name));
        let (store, paths): (Arc<dyn ObjectStore>, Vec<Path>) = match &self.from {
            None => (Arc::clone(&self.store), paths.map(|path| layout::quarantined(&path)).collect()),
            Some(folder) => {
                let folder = folder.canonicalize().map_err(|e| StorageError::io("open", folder, e))?;
                let folder = Path::from_absolute_path(folder).map_err(object_store::Error::from)?;
                let store = Arc::new(LocalFileSystem::new());
                let name = |path: Path| folder.clone().join(path.filename().unwrap_or_default());
                let paths = paths.map(name).collect();
                (store, paths)
            }
        };
        let mut files = Vec::with_capacity(paths.len());
        for path in &paths {
            files.push(store.head(path).await?);
        }
        Ok((store, files))
    }

    /// What the manifest is to say of the copies, once every checksum was compared.
    async fn verified(
        &self,
        source: &Arc<dyn ObjectStore>,
        meta: &SegmentMeta,
        files: &[ObjectMeta],
    ) -> Result<SegmentMeta, StorageError> {
        // Of a segment that was found without a manifest nothing is known but what the files say.
        let is_known = meta.parts.iter().all(|part| part.tail_bytes > 0);
        let known = if is_known {
            meta.clone()
        } else {
            let found = survey::segment(&**source, self.signal, &self.id, files).await?;
            let mut found = found.ok_or_else(|| StorageError::corrupt(&self.id, "files are missing"))?;
            let place = |name: &str| meta.parts.iter().position(|part| part.name == name);
            found.parts.sort_by_key(|part| place(&part.name));
            found
        };
        for (part, file) in known.parts.iter().zip(files) {
            if let Some(reason) = unshared(source, file.location.clone(), part).damage().await? {
                return Err(StorageError::corrupt(&file.location, reason));
            }
        }
        Ok(known)
    }
}
