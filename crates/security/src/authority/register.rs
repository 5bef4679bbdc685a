//! The versions of the document in the object store: version n+1 is created or lost, so that replicas and commands agree.

use std::sync::Arc;

use arc_swap::ArcSwap;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use super::AuthorityError;
use super::state::{FORMAT, State};
use crate::bounds::{KEPT_VERSIONS, MAX_CHANGE_TRIES, MAX_STATE_BYTES};

/// The folder of the versions.
const PREFIX: &str = "authority";

/// One version of the document.
#[derive(Debug, Default)]
pub(super) struct Version {
    pub(super) number: u64,
    pub(super) state: State,
}

/// The versions in a store, and the newest that was read.
#[derive(Debug)]
pub(super) struct Register {
    objects: Arc<dyn ObjectStore>,
    current: ArcSwap<Version>,
}

fn path(number: u64) -> Path {
    Path::from(format!("{PREFIX}/{number:020}.json"))
}

fn number(path: &Path) -> Option<u64> {
    path.filename()?.strip_suffix(".json")?.parse().ok()
}

impl Register {
    /// Reads the newest version, where there is one.
    pub(super) async fn open(objects: Arc<dyn ObjectStore>) -> Result<Self, AuthorityError> {
        let register = Self { objects, current: ArcSwap::default() };
        register.refresh().await?;
        Ok(register)
    }

    /// The newest version that was read.
    pub(super) fn current(&self) -> Arc<Version> {
        self.current.load_full()
    }

    /// Looks for a newer version. Whether there was one.
    pub(super) async fn refresh(&self) -> Result<bool, AuthorityError> {
        loop {
            let numbers = self.numbers().await?;
            let Some(newest) = numbers.into_iter().max() else { return Ok(false) };
            if newest <= self.current().number {
                return Ok(false);
            }
            let object = match self.objects.get(&path(newest)).await {
                Ok(object) => object,
                // It was removed since: there is a newer one.
                Err(object_store::Error::NotFound { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            if object.meta.size > MAX_STATE_BYTES {
                return Err(AuthorityError::Damaged { version: newest, reason: "it is too large".into() });
            }
            let bytes = object.bytes().await?;
            let state: State = serde_json::from_slice(&bytes)
                .map_err(|error| AuthorityError::Damaged { version: newest, reason: error.to_string() })?;
            if state.format != FORMAT {
                let reason = format!("its format is {}, and {FORMAT} is known", state.format);
                return Err(AuthorityError::Damaged { version: newest, reason });
            }
            self.take(newest, state);
            return Ok(true);
        }
    }

    /// Changes the document: on the newest version, again when somebody else was quicker.
    pub(super) async fn change<T>(
        &self,
        now_s: i64,
        mut apply: impl FnMut(&mut State) -> Result<T, AuthorityError>,
    ) -> Result<T, AuthorityError> {
        for _ in 0..MAX_CHANGE_TRIES {
            self.refresh().await?;
            let current = self.current();
            let mut state = current.state.clone();
            state.format = FORMAT;
            let result = apply(&mut state)?;
            state.prune(now_s);
            if state == current.state {
                return Ok(result);
            }
            state.check()?;
            let bytes = serde_json::to_vec_pretty(&state).map_err(AuthorityError::Encode)?;
            let number = current.number + 1;
            let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
            match self.objects.put_opts(&path(number), PutPayload::from(bytes), options).await {
                Ok(_) => {
                    self.take(number, state);
                    self.remove_before(number.saturating_sub(KEPT_VERSIONS)).await;
                    return Ok(result);
                }
                Err(object_store::Error::AlreadyExists { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(AuthorityError::Busy)
    }

    fn take(&self, number: u64, state: State) {
        // Whoever read an older version does not put it over a newer one.
        let next = Arc::new(Version { number, state });
        self.current
            .rcu(|current| if current.number < number { Arc::clone(&next) } else { Arc::clone(current) });
    }

    async fn numbers(&self) -> Result<Vec<u64>, AuthorityError> {
        let listed = self.objects.list(Some(&Path::from(PREFIX)));
        let numbers = listed.try_filter_map(|meta| std::future::ready(Ok(number(&meta.location))));
        Ok(numbers.try_collect().await?)
    }

    /// Old versions say nothing that the newest does not; what cannot be removed now goes with the next change.
    async fn remove_before(&self, number: u64) {
        let Ok(numbers) = self.numbers().await else { return };
        for old in numbers.into_iter().filter(|old| *old < number) {
            if let Err(error) = self.objects.delete(&path(old)).await {
                tracing::debug!(version = old, %error, "an old version of the Authority's document stays");
            }
        }
    }
}
