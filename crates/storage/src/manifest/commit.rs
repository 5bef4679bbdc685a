//! Makes new manifest versions by put-if-absent, and finds the newest one. Whoever creates version n+1 has won; the
//! others take it up and apply their change to it.

use std::sync::Arc;

use futures::TryStreamExt;
use model::{Signal, TenantId};
use object_store::path::Path;
use object_store::{GetOptions, ObjectStore, PutMode, PutOptions, PutPayload};

use super::json::{self, Refusal};
use super::{FORMAT, Manifest, invariants};
use crate::bounds::{MAX_COMMIT_ATTEMPTS, MAX_MANIFEST_BYTES};
use crate::error::StorageError;
use crate::layout;
use crate::metrics::{BySignal, Metrics};
use crate::store::Fresh;

/// What a transaction did to the manifest that it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// There is something to commit.
    Changed,
    /// The manifest says already what the transaction wants.
    Nothing,
}

/// The manifests of one tenant's signal in the store.
#[derive(Clone, Debug)]
pub(crate) struct Manifests {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) tenant: TenantId,
    pub(crate) signal: Signal,
    pub(crate) metrics: Arc<Metrics>,
}

/// What there is of a version.
pub(crate) enum Found {
    /// The manifest.
    Manifest(Box<Manifest>),
    /// Bytes that are none, with what is wrong with them.
    Damaged(String),
    /// Nothing.
    Missing,
}

impl Manifests {
    /// The versions that are in the store, with their paths, in no order.
    pub(crate) async fn versions(&self) -> Result<Vec<(u64, Path)>, StorageError> {
        let prefix = layout::manifests(&self.tenant, self.signal);
        let metas: Vec<_> = self.store.list(Some(&prefix)).try_collect().await?;
        let version = |path: Path| layout::manifest_version(&path).map(|version| (version, path));
        Ok(metas.into_iter().filter_map(|meta| version(meta.location)).collect())
    }

    /// Takes up the newest version, which others may have made after `current`.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn catch_up(&self, current: Arc<Manifest>) -> Result<Arc<Manifest>, StorageError> {
        let followed = self.next(current).await?;
        // Versions between may have been swept while this node stood still: then the way by one version is cut.
        Ok(self.newest_after(&followed).await?.unwrap_or(followed))
    }

    /// Takes up the versions that follow `current` one by one, without a listing. Enough where it was the newest less than
    /// the sweep's grace ago: none of those that follow it is gone.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(crate) async fn next(&self, current: Arc<Manifest>) -> Result<Arc<Manifest>, StorageError> {
        Ok(self.follow(current, "").await?.0)
    }

    /// The newest version after this one, by listing; none when there is none.
    async fn newest_after(&self, current: &Manifest) -> Result<Option<Arc<Manifest>>, StorageError> {
        let version = current.version;
        let prefix = layout::manifests(&self.tenant, self.signal);
        let later = self.store.list_with_offset(Some(&prefix), &self.path(version));
        let later: Vec<_> = later.try_collect().await?;
        let newest = later.iter().filter_map(|meta| layout::manifest_version(&meta.location)).max();
        let Some(newest) = newest.filter(|newest| *newest > version) else { return Ok(None) };
        match self.get(newest).await? {
            Found::Manifest(manifest) => Ok(Some(Arc::from(manifest))),
            Found::Damaged(reason) => Ok(Some(self.past(current, newest, &reason).await?)),
            Found::Missing => {
                Err(StorageError::Conflict { object: self.path(newest).to_string(), attempts: 1 })
            }
        }
    }

    /// The newest version after `current`, and whether the transaction is among those on the way.
    async fn follow(
        &self,
        current: Arc<Manifest>,
        transaction: &str,
    ) -> Result<(Arc<Manifest>, bool), StorageError> {
        let mut newest = current;
        let mut is_ours = false;
        // Each turn takes one version that exists, and there are finitely many.
        loop {
            let next = newest.version + 1;
            match self.get(next).await? {
                Found::Manifest(manifest) => {
                    is_ours |= manifest.transaction == transaction;
                    newest = Arc::from(manifest);
                }
                Found::Missing => return Ok((newest, is_ours)),
                Found::Damaged(reason) => newest = self.past(&newest, next, &reason).await?,
            }
        }
    }

    /// Commits a change as the next version; `apply` is called again for each newer version that another made first,
    /// and must be able to tell that its change is there already. `transaction` names it, so that a create whose reply
    /// was lost is known again; whoever tries a change again gives the same name.
    ///
    /// # Errors
    /// When the store does not answer, the result breaks an invariant, or others win the race too often.
    pub(crate) async fn commit(
        &self,
        current: Arc<Manifest>,
        transaction: &str,
        apply: &(dyn Fn(&mut Manifest) -> Change + Send + Sync),
    ) -> Result<Arc<Manifest>, StorageError> {
        let mut current = current;
        for _ in 0..MAX_COMMIT_ATTEMPTS {
            let mut next = Manifest::clone(&current);
            if current.transaction == transaction || apply(&mut next) == Change::Nothing {
                return Ok(current);
            }
            next.version += 1;
            transaction.clone_into(&mut next.transaction);
            invariants::check_step(&current, &next)?;
            match self.create(&self.path(next.version), json::encode(&next)?).await {
                Ok(()) => current = Arc::new(next),
                Err(object_store::Error::AlreadyExists { .. }) => {
                    let (newest, is_ours) = self.follow(current, transaction).await?;
                    current = newest;
                    if !is_ours {
                        self.metrics.manifest_conflicts.get_or_create(&BySignal::new(self.signal)).inc();
                        continue;
                    }
                }
                // The reply may have been lost after the version was made.
                Err(error) => match self.get(next.version).await {
                    Ok(Found::Manifest(made)) if made.transaction == transaction => current = Arc::from(made),
                    _ => return Err(error.into()),
                },
            }
            let Some(newest) = self.newest_after(&current).await? else {
                self.metrics.manifest_commits.get_or_create(&BySignal::new(self.signal)).inc();
                return Ok(current);
            };
            // Either others went on from our version, or we stood still for so long that the versions after ours had
            // been swept: then ours fills a gap that nobody looks at. The change itself tells.
            current = newest;
        }
        let object = self.path(current.version + 1).to_string();
        Err(StorageError::Conflict { object, attempts: MAX_COMMIT_ATTEMPTS })
    }

    async fn create(&self, path: &Path, json: Vec<u8>) -> object_store::Result<()> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        self.store.put_opts(path, PutPayload::from(json), options).await?;
        Ok(())
    }

    /// Reads a version. What does not read back is asked for once more, past every cache.
    pub(crate) async fn get(&self, version: u64) -> Result<Found, StorageError> {
        match self.read(version, GetOptions::new()).await? {
            Found::Damaged(_) => {
                let mut options = GetOptions::new();
                options.extensions.insert(Fresh);
                self.read(version, options).await
            }
            found => Ok(found),
        }
    }

    async fn read(&self, version: u64, options: GetOptions) -> Result<Found, StorageError> {
        let path = self.path(version);
        let result = match self.store.get_opts(&path, options).await {
            Ok(result) => result,
            Err(object_store::Error::NotFound { .. }) => return Ok(Found::Missing),
            Err(error) => return Err(error.into()),
        };
        if result.meta.size > MAX_MANIFEST_BYTES {
            return Ok(Found::Damaged(format!("bytes={}, at most {MAX_MANIFEST_BYTES}", result.meta.size)));
        }
        match json::decode(&result.bytes().await?) {
            Ok(manifest) => Ok(match self.check(version, &manifest) {
                Ok(()) => Found::Manifest(Box::new(manifest)),
                Err(reason) => Found::Damaged(reason),
            }),
            Err(Refusal::Damaged(reason)) => Ok(Found::Damaged(reason)),
            Err(Refusal::Newer(format)) => {
                let reason =
                    format!("format={format} was written by a newer version, this one reads {FORMAT}");
                Err(StorageError::corrupt(path, reason))
            }
        }
    }

    fn check(&self, version: u64, manifest: &Manifest) -> Result<(), String> {
        let is_ours = manifest.tenant == self.tenant.as_str() && manifest.signal == self.signal.as_str();
        if manifest.version != version || !is_ours {
            return Err("version, tenant or signal is not what the path says".to_owned());
        }
        invariants::check(manifest).map_err(|error| error.to_string())
    }

    pub(super) fn path(&self, version: u64) -> Path {
        layout::manifest(&self.tenant, self.signal, version)
    }
}

#[cfg(test)]
mod tests;
