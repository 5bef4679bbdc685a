//! Makes new manifest versions by put-if-absent, and finds the newest one. Whoever creates version n+1 has won; the
//! others take it up and apply their change to it.

use std::sync::Arc;

use futures::TryStreamExt;
use model::{Signal, TenantId};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use serde::Deserialize;

use super::{FORMAT, Manifest, invariants};
use crate::bounds::{MAX_COMMIT_ATTEMPTS, MAX_MANIFEST_BYTES};
use crate::error::StorageError;
use crate::layout;
use crate::metrics::{BySignal, Metrics};

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

/// The one field that every format has.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

enum Found {
    Manifest(Box<Manifest>),
    Damaged(String),
    Missing,
}

impl Manifests {
    /// Finds the newest version by listing, once, when the engine opens. A version that does not read back is set
    /// aside, and the one before it holds.
    ///
    /// # Errors
    /// When the store does not answer, or there are versions of which none reads back.
    pub(crate) async fn load(&self) -> Result<Manifest, StorageError> {
        let mut versions = self.versions().await?;
        versions.sort_unstable_by_key(|(version, _)| std::cmp::Reverse(*version));
        let Some((newest, _)) = versions.first().cloned() else {
            return Ok(Manifest::empty(&self.tenant, self.signal));
        };
        let mut damaged = Vec::new();
        for (version, path) in &versions {
            match self.get(*version).await? {
                Found::Manifest(mut manifest) => {
                    manifest.damaged.extend(damaged);
                    // The next commit must not collide with the damaged version.
                    manifest.version = newest;
                    return Ok(*manifest);
                }
                Found::Damaged(reason) => {
                    self.set_aside(path, &reason).await;
                    damaged.push(*version);
                }
                Found::Missing => {}
            }
        }
        Err(StorageError::corrupt(
            layout::manifests(&self.tenant, self.signal),
            "no manifest version reads back, restore one before writing",
        ))
    }

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
    /// When the store does not answer or a version does not read back.
    pub(crate) async fn catch_up(&self, current: Arc<Manifest>) -> Result<Arc<Manifest>, StorageError> {
        let followed = self.follow(current, "").await?.0;
        // Versions between may have been swept while this node stood still: then the way by one version is cut.
        Ok(self.newest_after(followed.version).await?.unwrap_or(followed))
    }

    /// The newest version after this one, by listing; none when there is none.
    async fn newest_after(&self, version: u64) -> Result<Option<Arc<Manifest>>, StorageError> {
        let prefix = layout::manifests(&self.tenant, self.signal);
        let later = self.store.list_with_offset(Some(&prefix), &self.path(version));
        let later: Vec<_> = later.try_collect().await?;
        let newest = later.iter().filter_map(|meta| layout::manifest_version(&meta.location)).max();
        let Some(newest) = newest.filter(|newest| *newest > version) else { return Ok(None) };
        match self.get(newest).await? {
            Found::Manifest(manifest) => Ok(Some(Arc::from(manifest))),
            Found::Damaged(reason) => Err(StorageError::corrupt(self.path(newest), reason)),
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
                Found::Damaged(reason) => return Err(StorageError::corrupt(self.path(next), reason)),
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
            match self.create(&next).await {
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
            let Some(newest) = self.newest_after(current.version).await? else {
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

    async fn create(&self, manifest: &Manifest) -> object_store::Result<()> {
        let json = serde_json::to_vec_pretty(manifest)
            .map_err(|source| object_store::Error::Generic { store: "manifest", source: Box::new(source) })?;
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let path = self.path(manifest.version);
        self.store.put_opts(&path, PutPayload::from(json), options).await?;
        Ok(())
    }

    async fn get(&self, version: u64) -> Result<Found, StorageError> {
        let path = self.path(version);
        let result = match self.store.get(&path).await {
            Ok(result) => result,
            Err(object_store::Error::NotFound { .. }) => return Ok(Found::Missing),
            Err(error) => return Err(error.into()),
        };
        if result.meta.size > MAX_MANIFEST_BYTES {
            return Ok(Found::Damaged(format!("bytes={}, at most {MAX_MANIFEST_BYTES}", result.meta.size)));
        }
        let bytes = result.bytes().await?;
        if let Ok(Format { format }) = serde_json::from_slice(&bytes)
            && format > FORMAT
        {
            let reason = format!("format={format} was written by a newer version, this one reads {FORMAT}");
            return Err(StorageError::corrupt(path, reason));
        }
        Ok(match self.parse(version, &bytes) {
            Ok(manifest) => Found::Manifest(Box::new(manifest)),
            Err(reason) => Found::Damaged(reason),
        })
    }

    fn parse(&self, version: u64, bytes: &[u8]) -> Result<Manifest, String> {
        let manifest: Manifest = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        let is_ours = manifest.tenant == self.tenant.as_str() && manifest.signal == self.signal.as_str();
        if manifest.format != FORMAT || manifest.version != version || !is_ours {
            return Err("format, version, tenant or signal is not what the path says".to_owned());
        }
        invariants::check(&manifest).map_err(|e| e.to_string())?;
        Ok(manifest)
    }

    async fn set_aside(&self, path: &Path, reason: &str) {
        self.metrics.manifests_quarantined.inc();
        let copy = layout::quarantined(path);
        let is_copied = self.store.copy(path, &copy).await;
        tracing::error!(
            object = %path, copy = %copy, copied = is_copied.is_ok(), reason,
            "a manifest version does not read back: the one before it is used, nothing is swept until it is restored"
        );
    }

    fn path(&self, version: u64) -> Path {
        layout::manifest(&self.tenant, self.signal, version)
    }
}

#[cfg(test)]
mod tests;
