//! The check at the start: the store answers, and put-if-absent is what it says. A server that overlooks the condition
//! would lose commits without a word.

use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions};

use crate::error::StorageError;
use crate::layout;
use crate::volumes::is_full;

/// What the object holds. It stays: the next start finds it, and is done with one request.
const TEXT: &str = "Stella creates this object at its first start and tries to create it again at each one: \
                    the store must refuse.\n";

pub(super) async fn run(store: &dyn ObjectStore) -> Result<(), StorageError> {
    let path = layout::probe();
    let create = |text: &'static str| {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        store.put_opts(&path, text.into(), options)
    };
    match create(TEXT).await {
        Ok(_) => {}
        // Whoever made it, the condition holds.
        Err(Error::AlreadyExists { .. }) => return Ok(()),
        // A folder on a full disk can be read, and what retention frees can be written to. A bucket is never full so.
        Err(error) if is_full(&error) => {
            tracing::warn!(store = %store, %error, "the store was not probed: there is no room on its disk");
            return Ok(());
        }
        Err(error) => return Err(unusable(store, &error)),
    }
    match create("").await {
        Err(Error::AlreadyExists { .. }) => {}
        Err(error) => return Err(unusable(store, &error)),
        Ok(_) => {
            return Err(StorageError::UnusableStore {
                store: store.to_string(),
                reason: "it overwrote an object that was to be created only (put-if-absent), so that commits of \
                         several writers would be lost; upgrade the server, or use one that has conditional writes"
                    .to_owned(),
            });
        }
    }
    let read = async { store.get(&path).await?.bytes().await };
    match read.await {
        Ok(bytes) if bytes == TEXT => Ok(()),
        Ok(_) => Err(StorageError::UnusableStore {
            store: store.to_string(),
            reason: format!("an object does not read back as it was written: path=`{path}`"),
        }),
        Err(error) => Err(unusable(store, &error)),
    }
}

fn unusable(store: &dyn ObjectStore, error: &Error) -> StorageError {
    let hint = match error {
        Error::Unauthenticated { .. } => "check the credentials",
        Error::PermissionDenied { .. } => {
            "the credentials must allow to list, read, write and delete objects"
        }
        Error::NotFound { .. } => "check that the bucket exists, its name and the endpoint",
        Error::NotSupported { .. } | Error::NotImplemented { .. } => "put-if-absent is needed",
        _ => "check that the store can be reached from here, and the endpoint and region",
    };
    StorageError::UnusableStore { store: store.to_string(), reason: format!("{hint}: {error}") }
}
