//! Which store, and how it is spoken to. Secrets are not in here: they come from files and from the environment.

use std::path::PathBuf;

use crate::error::StorageError;

/// Which store, and how it is spoken to. What is left out of a store of others is taken from the environment
/// variables of that store's own tools: `AWS_*`, `GOOGLE_*`, `AZURE_*`.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// `s3://bucket[/prefix]`, `gs://bucket[/prefix]`, `az://container[/prefix]`, `file:///absolute/path`, a plain
    /// path, or `memory://`.
    pub url: String,
    /// Where the store answers, as a URL; that of its provider where it is left out.
    pub endpoint: Option<String>,
    /// The region of an S3 bucket.
    pub region: Option<String>,
    /// The storage account of an Azure container.
    pub account: Option<String>,
    /// Whether the endpoint may be plain HTTP.
    pub allow_http: bool,
    /// Whether an S3 bucket is named in the path, not in the host. Left out: in the path where there is an endpoint or
    /// the bucket's name has a dot.
    pub force_path_style: Option<bool>,
    /// The credentials: for S3 a file as AWS' tools read it (`~/.aws/credentials`), for Google the JSON of a service
    /// account or of a user, for Azure a connection string. Read once.
    pub credentials_file: Option<PathBuf>,
    /// The section of the S3 credentials file.
    pub profile: String,
    /// Requests are not signed.
    pub anonymous: bool,
    /// Whether the machine's metadata service is asked for credentials where there are no others.
    pub instance_metadata: bool,
    /// Certificates, as PEM, of authorities that are trusted besides those of the system.
    pub ca_file: Option<PathBuf>,
    /// How long is waited, and how often tried.
    pub patience: Patience,
}

/// How long a store of others is waited for, and how often it is asked again.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Requests for one operation, at most.
    pub max_attempts: u32,
    /// For a connection, in milliseconds.
    pub connect_timeout_ms: u64,
    /// For one request with its bodies, in milliseconds.
    pub request_timeout_ms: u64,
    /// For an operation with all its requests and the waits between them, in milliseconds.
    pub total_timeout_ms: u64,
    /// The wait after the first failed request, in milliseconds; it doubles with each, and a random part of at most one
    /// half is taken off.
    pub backoff_ms: u64,
    /// The longest wait between two requests, in milliseconds.
    pub max_backoff_ms: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            max_attempts: 8,
            connect_timeout_ms: 5_000,
            request_timeout_ms: 60_000,
            total_timeout_ms: 180_000,
            backoff_ms: 100,
            max_backoff_ms: 10_000,
        }
    }
}

impl StoreConfig {
    /// The store with the address, and the defaults for all else.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
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
            patience: Patience::default(),
        }
    }
}

/// What an address names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Memory,
    Folder(PathBuf),
    Bucket { kind: BucketKind, bucket: String, prefix: String },
}

/// Whose protocol a bucket speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BucketKind {
    S3,
    Google,
    Azure,
}

impl BucketKind {
    /// The scheme of its addresses.
    pub(super) const fn scheme(self) -> &'static str {
        match self {
            BucketKind::S3 => "s3",
            BucketKind::Google => "gs",
            BucketKind::Azure => "az",
        }
    }
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// [`StorageError::UnsupportedStore`] for what is none.
    pub(super) fn parse(url: &str) -> Result<Self, StorageError> {
        let unsupported = || StorageError::UnsupportedStore { url: url.to_owned() };
        let bucket = |kind, rest: &str| {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.$".contains(c);
            if bucket.is_empty() || !bucket.chars().all(is_name) {
                return Err(unsupported());
            }
            let prefix = object_store::path::Path::parse(prefix).map_err(|_| unsupported())?;
            Ok(Address::Bucket { kind, bucket: bucket.to_owned(), prefix: prefix.to_string() })
        };
        match url.split_once("://") {
            Some(("memory", "" | "/")) => Ok(Address::Memory),
            Some(("file", path)) if !path.is_empty() => Ok(Address::Folder(PathBuf::from(path))),
            Some(("s3", rest)) => bucket(BucketKind::S3, rest),
            Some(("gs", rest)) => bucket(BucketKind::Google, rest),
            Some(("az", rest)) => bucket(BucketKind::Azure, rest),
            None if !url.is_empty() => Ok(Address::Folder(PathBuf::from(url))),
            _ => Err(unsupported()),
        }
    }
}
