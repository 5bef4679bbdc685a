//! The key `store`: an address, or an address with how the store is spoken to. Secrets are never written here; they come
//! from files and from the environment.

use std::fmt;
use std::path::PathBuf;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use storage::{Patience, StoreConfig};

use super::units::{ByteSize, Duration};

/// Which object store, and how it is spoken to.
#[derive(Clone, Debug, Default)]
pub struct Store {
    /// The keys; all but the address may be left out.
    pub keys: Keys,
}

/// `store:` as a map.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keys {
    /// `s3://bucket[/prefix]`, `gs://bucket[/prefix]`, `az://container[/prefix]`, `file://`, a path, or `memory://`.
    pub url: Option<String>,
    /// Where the store answers; its provider's address where it is left out.
    pub endpoint: Option<String>,
    /// The region of an S3 bucket.
    pub region: Option<String>,
    /// The storage account of an Azure container.
    pub account: Option<String>,
    /// Whether the endpoint may be plain HTTP.
    pub allow_http: bool,
    /// Whether an S3 bucket is named in the path instead of the host.
    pub force_path_style: Option<bool>,
    /// The file with the credentials, in the form of the store's own tools.
    pub credentials_file: Option<PathBuf>,
    /// The section of an S3 credentials file.
    pub profile: String,
    /// Whether requests go unsigned.
    pub anonymous: bool,
    /// Whether the machine's metadata service is asked for credentials.
    pub instance_metadata: bool,
    /// Certificates of authorities that are trusted besides those of the system.
    pub ca_file: Option<PathBuf>,
    /// The time for one request.
    pub request_timeout: Duration,
    /// What is kept of a bucket on this machine.
    pub cache: Cache,
}

/// `store.cache`: bytes of segments that are kept on this machine, where the store is a bucket.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cache {
    /// Memory, at most; it is half of what caches have, or this where it is less. `0` for none.
    pub memory: ByteSize,
    /// Room in the data folder. `0` for none.
    pub disk: ByteSize,
}

impl Default for Cache {
    fn default() -> Self {
        Self { memory: ByteSize(1 << 30), disk: ByteSize(2 << 30) }
    }
}

impl Default for Keys {
    fn default() -> Self {
        let patience = Patience::default();
        Self {
            url: None,
            endpoint: None,
            region: None,
            account: None,
            allow_http: false,
            force_path_style: None,
            credentials_file: None,
            profile: "default".to_owned(),
            anonymous: false,
            instance_metadata: false,
            ca_file: None,
            request_timeout: Duration::from_ms(patience.request_timeout_ms),
            cache: Cache::default(),
        }
    }
}

impl Store {
    /// The store with the address, and the defaults for all else.
    #[must_use]
    pub fn at(url: impl Into<String>) -> Self {
        Self { keys: Keys { url: Some(url.into()), ..Keys::default() } }
    }

    /// The configuration for the engine; `default_url` is the address where none is named.
    #[must_use]
    pub fn to_config(&self, default_url: String) -> StoreConfig {
        let keys = self.keys.clone();
        StoreConfig {
            url: keys.url.unwrap_or(default_url),
            endpoint: keys.endpoint,
            region: keys.region,
            account: keys.account,
            allow_http: keys.allow_http,
            force_path_style: keys.force_path_style,
            credentials_file: keys.credentials_file,
            profile: keys.profile,
            anonymous: keys.anonymous,
            instance_metadata: keys.instance_metadata,
            ca_file: keys.ca_file,
            patience: Patience { request_timeout_ms: keys.request_timeout.as_ms(), ..Patience::default() },
        }
    }
}

impl<'de> Deserialize<'de> for Store {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AddressOrKeys;

        impl<'de> Visitor<'de> for AddressOrKeys {
            type Value = Store;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the address of a store, or a map with its `url`")
            }

            fn visit_str<E>(self, url: &str) -> Result<Store, E> {
                Ok(Store::at(url))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Store, A::Error> {
                Ok(Store { keys: Keys::deserialize(MapAccessDeserializer::new(map))? })
            }
        }

        deserializer.deserialize_any(AddressOrKeys)
    }
}
