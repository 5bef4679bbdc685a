//! Divides the rows of this node at a moment: what is there goes into segments, which a deletion concerns; what comes
//! afterwards it does not concern.
//!
//! A deletion has a number, and a segment says up to which number deletions do not concern it. Rows of the log that are
//! in no segment have the number that the manifest keeps for their node, so that a replay puts them where they were. It
//! moves on when everything older is in segments and the log's position says so, in one transaction.

use std::sync::Arc;

use crate::error::StorageError;
use crate::manifest::Manifest;
use crate::manifest::commit::Change;
use crate::partition::Partition;
use crate::retry::retried;
use crate::storage::Engine;

impl Engine {
    /// Before a write: what is written now comes after every deletion that this node knows of. There is something to do
    /// only where another node made one.
    ///
    /// # Errors
    /// When what is older cannot be put into segments: the writer has to come again.
    pub(crate) async fn cut_rows(&self, partition: &Arc<Partition>) -> Result<(), StorageError> {
        let manifest = partition.manifest();
        // Of a tenant that is new to this node, or that others write to, there may be deletions that it does not know.
        if !manifest.is_of_one(&self.node) {
            self.refresh(partition).await;
        }
        let is_cut = || {
            let manifest = partition.manifest();
            manifest.deletions_made <= manifest.cut_at(&self.node)
        };
        if is_cut() {
            return Ok(());
        }
        let _turn = partition.turn().await?;
        if is_cut() {
            return Ok(());
        }
        let made = self.drain(partition).await?;
        self.commit_in_turn(partition, &|manifest| {
            if manifest.cut_at(&self.node) >= made {
                return Change::Nothing;
            }
            manifest.cut.insert(self.node.clone(), made);
            Change::Changed
        })
        .await?;
        Ok(())
    }

    /// Puts every row that is there into segments. Gives the number of the last deletion that the node knew of at the
    /// moment after which rows are in none. The caller has the turn.
    pub(crate) async fn drain(&self, partition: &Arc<Partition>) -> Result<u64, StorageError> {
        if self.replay.position().is_some() {
            let message =
                "the log is being replayed: what is in it comes before this request, try again later";
            return Err(StorageError::Limited(message.to_owned()));
        }
        self.flush_all_frozen(partition).await?;
        let alone = partition.intake.write().await;
        let made = partition.manifest().deletions_made;
        let is_frozen = partition.freeze(&self.node, || self.wal.tail(), || None);
        drop(alone);
        if !is_frozen {
            return Err(StorageError::Limited(
                "too many heads wait for the store, try again later".to_owned(),
            ));
        }
        self.flush_all_frozen(partition).await?;
        Ok(made)
    }

    /// Commits a change that is no flush and no merge. The caller has the turn.
    pub(crate) async fn commit_in_turn(
        &self,
        partition: &Partition,
        apply: &(dyn Fn(&mut Manifest) -> Change + Send + Sync),
    ) -> Result<Arc<Manifest>, StorageError> {
        let transaction = self.ids.next(self.clock());
        let commit = || async { partition.manifests.commit(partition.manifest(), &transaction, apply).await };
        let manifest = retried(self.runtime(), self.settings.store.retry_backoff_ms, commit).await?;
        partition.committed(Arc::clone(&manifest), None);
        Ok(manifest)
    }
}
