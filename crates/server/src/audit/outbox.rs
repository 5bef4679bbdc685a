//! Events of commands: a command that changes the store beside a running server leaves what it did there, as objects, and
//! a server writes them into the engine (`docs/format/audit.md`).

use std::borrow::Cow;
use std::sync::Arc;

use anyhow::Context;
use futures::TryStreamExt;
use model::Clock;
use model::audit::{Action, Audit, Event};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use parking_lot::Mutex;
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::{Told, lines};
use crate::environment;

/// The folder of events that no server has written yet.
const PREFIX: &str = "audit";
/// The number of the format that is written.
const FORMAT: u32 = 1;
/// The largest object that is read: far above what the bounds of an event allow.
const MAX_OBJECT_BYTES: u64 = 256 << 10;
/// Objects that are taken at once.
const MAX_OBJECTS: usize = 256;

/// An event as an object.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    format: u32,
    timestamp_ns: i64,
    action: String,
    actor: String,
    tenant: String,
    subject: String,
    fields: Vec<(String, String)>,
}

/// What a command did, until it is left in the store.
pub(crate) struct Outbox {
    objects: Arc<dyn ObjectStore>,
    clock: Arc<dyn Clock>,
    told: Arc<Mutex<Vec<Told>>>,
}

impl Outbox {
    /// An outbox of a command on this store.
    pub(crate) fn new(objects: Arc<dyn ObjectStore>, clock: Arc<dyn Clock>) -> Self {
        Self { objects, clock, told: Arc::default() }
    }

    /// Where the command tells what it did. The actor is the user that the environment names: whoever may write to the
    /// store could say what they like.
    pub(crate) fn audit(&self) -> Audit {
        let (told, clock) = (Arc::clone(&self.told), Arc::clone(&self.clock));
        let user = environment::variables().into_iter().find(|(name, _)| name == "USER");
        let actor = format!("command:{}", user.map(|(_, user)| user).unwrap_or_default());
        Audit::new(Arc::new(move |event| {
            let event = lines::bounded(event.by(actor.clone()));
            told.lock().push(Told { timestamp_ns: clock.now().0, event, repeated: 0 });
        }))
    }

    /// Leaves in the store what was done since the last time.
    ///
    /// # Errors
    /// When the store does not answer: it was done, and nobody is told.
    pub(crate) async fn deliver(&self) -> anyhow::Result<()> {
        let told = std::mem::take(&mut *self.told.lock());
        for Told { timestamp_ns, event, repeated: _ } in told {
            let Event { action, actor, tenant, subject, fields, .. } = event;
            let fields = fields.into_iter().map(|(name, text)| (name.into_owned(), text)).collect();
            let action = action.as_str().to_owned();
            let kept = Kept { format: FORMAT, timestamp_ns, action, actor, tenant, subject, fields };
            let name = format!("{timestamp_ns:020}-{:016x}.json", rand::rng().random::<u64>());
            let path = Path::from_iter([PREFIX, &name]);
            let put = self.objects.put(&path, PutPayload::from(serde_json::to_vec(&kept)?)).await;
            put.context("it was done, but the audit event of it cannot be left in the store")?;
        }
        Ok(())
    }
}

/// Events that commands have left, with their objects.
pub(super) async fn waiting(objects: &dyn ObjectStore) -> object_store::Result<Vec<(Path, Told)>> {
    let mut found = Vec::new();
    let mut listed = objects.list(Some(&Path::from(PREFIX)));
    while found.len() < MAX_OBJECTS
        && let Some(meta) = listed.try_next().await?
    {
        let told = if meta.size > MAX_OBJECT_BYTES {
            None
        } else {
            match objects.get(&meta.location).await {
                Ok(object) => read(&object.bytes().await?),
                // Another node was quicker.
                Err(object_store::Error::NotFound { .. }) => continue,
                Err(error) => return Err(error),
            }
        };
        match told {
            Some(told) => found.push((meta.location, told)),
            None => set_aside(objects, &meta.location).await?,
        }
    }
    Ok(found)
}

fn read(bytes: &[u8]) -> Option<Told> {
    let kept: Kept = serde_json::from_slice(bytes).ok()?;
    let action = Action::parse(&kept.action).filter(|_| kept.format == FORMAT)?;
    let fields = kept.fields.into_iter().map(|(name, text)| (Cow::Owned(name), text)).collect();
    let event = Event::new(action).by(kept.actor).of_tenant(kept.tenant).on(kept.subject);
    let event = lines::bounded(Event { fields, ..event });
    Some(Told { timestamp_ns: kept.timestamp_ns, event, repeated: 0 })
}

/// What cannot be read is put where a person finds it, and is not looked at again.
async fn set_aside(objects: &dyn ObjectStore, path: &Path) -> object_store::Result<()> {
    let aside = Path::from_iter(["quarantine", PREFIX, path.filename().unwrap_or_default()]);
    tracing::error!(%path, %aside, "an audit event that a command left cannot be read, and is set aside");
    objects.rename(path, &aside).await
}

#[cfg(test)]
mod tests {
    use model::time::{ManualClock, TimestampNs};
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn what_a_command_left_is_found_and_what_cannot_be_read_is_set_aside() {
        let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let clock = Arc::new(ManualClock::new(TimestampNs(5)));
        let outbox = Outbox::new(Arc::clone(&objects), clock);
        let audit = outbox.audit();
        audit.record(Event::new(Action::ClientCreated).on("a").of_tenant("acme").with("scopes", "obs:read"));
        audit.record(Event::new(Action::TokenIssued).on("jti"));
        outbox.deliver().await.unwrap();
        outbox.deliver().await.unwrap();
        for damaged in ["{", "{\"format\": 2}", "[]"] {
            objects.put(&Path::from(format!("audit/{}", damaged.len())), damaged.into()).await.unwrap();
        }
        let mut found = waiting(&*objects).await.unwrap();
        found.sort_by_key(|(_, told)| told.event.action);
        let [(_, issued), (_, created)] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(issued.event.subject, "jti");
        assert_eq!((created.timestamp_ns, created.event.tenant.as_str()), (5, "acme"));
        assert!(created.event.actor.starts_with("command:"));
        assert_eq!(created.event.fields, [("scopes".into(), "obs:read".to_owned())]);
        let aside: Vec<_> = objects.list(Some(&Path::from("quarantine/audit"))).try_collect().await.unwrap();
        assert_eq!(aside.len(), 3);
    }
}
