//! Makes the client of a bucket from settings and environment, without asking anybody: what is missing is said at once,
//! and no machine's metadata service is asked unless that is wanted.

use std::sync::Arc;
use std::time::Duration;

use model::Clock;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::{
    BackoffConfig, Certificate, ClientConfigKey, ClientOptions, RetryConfig, StaticCredentialProvider,
};
use url::Url;

use super::config::{BucketKind, StoreConfig};
use super::credentials::{self, Connection};
use super::remote::Client;
use super::wire::Meter;
use crate::bounds::MAX_IDLE_CONNECTIONS;
use crate::error::StorageError;
use crate::metrics::StoreMetrics;

/// A bucket that is to be connected.
pub(super) struct Endpoint<'a> {
    pub(super) kind: BucketKind,
    pub(super) bucket: String,
    pub(super) prefix: String,
    pub(super) config: &'a StoreConfig,
    pub(super) environment: &'a [(String, String)],
}

/// The client asks once; what is asked again is decided above it.
fn ask_once() -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: 0, retry_timeout: Duration::ZERO }
}

impl Endpoint<'_> {
    /// The client, and the prefix below which everything lies.
    pub(super) fn connect(
        &self,
        clock: &Arc<dyn Clock>,
        metrics: &Arc<StoreMetrics>,
    ) -> Result<(Arc<dyn Client>, Path), StorageError> {
        let prefix = Path::from(self.prefix.as_str());
        let meter = |endpoint: &Url| Meter {
            authority: authority(endpoint),
            prefix: if self.prefix.is_empty() { String::new() } else { format!("{prefix}/") },
            clock: Arc::clone(clock),
            metrics: Arc::clone(metrics),
        };
        let client: Arc<dyn Client> = match self.kind {
            BucketKind::S3 => self.s3(meter)?,
            BucketKind::Google => self.google(meter)?,
            BucketKind::Azure => self.azure(meter)?,
        };
        Ok((client, prefix))
    }

    /// The variables of the store's own tools that its client knows, by the client's names.
    fn variables<'e, K: std::str::FromStr>(&'e self, start: &'e str) -> impl Iterator<Item = (K, &'e str)> {
        let named = self.environment.iter().filter(move |(name, _)| name.starts_with(start));
        named.filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse().ok()?, value.as_str())))
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.environment.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    fn s3(&self, meter: impl Fn(&Url) -> Meter) -> Result<Arc<dyn Client>, StorageError> {
        use AmazonS3ConfigKey as Key;
        let config = self.config;
        let mut builder = AmazonS3Builder::new();
        let mut options = Vec::new();
        let (mut named_endpoint, mut is_path_style) = (None, config.force_path_style);
        for (key, value) in self.variables::<Key>("AWS_") {
            match key {
                Key::Client(key) => options.push((key, value)),
                Key::S3Endpoint => named_endpoint = Some(value.to_owned()),
                Key::Endpoint => named_endpoint = named_endpoint.or_else(|| Some(value.to_owned())),
                Key::VirtualHostedStyleRequest => is_path_style = is_path_style.or(Some(value != "true")),
                // Commits rest on it, and the bucket is in the address.
                Key::ConditionalPut | Key::Bucket => {}
                key => builder = builder.with_config(key, value),
            }
        }
        let region = config.region.clone().or_else(|| builder.get_config_value(&Key::Region));
        let named_endpoint = config.endpoint.clone().or(named_endpoint);
        let region =
            region.or_else(|| named_endpoint.is_some().then(|| "us-east-1".to_owned())).ok_or_else(|| {
                self.missing(
                    "its region: set store.region or AWS_REGION, or store.endpoint for a store of your own",
                )
            })?;
        let is_path_style = is_path_style.unwrap_or(named_endpoint.is_some() || self.bucket.contains('.'));
        let endpoint = named_endpoint.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
        let mut endpoint = self.endpoint(&endpoint, &options)?;
        if !is_path_style {
            let host = format!("{}.{}", self.bucket, endpoint.host_str().unwrap_or(""));
            endpoint.set_host(Some(&host)).map_err(|error| self.invalid("endpoint", error))?;
        }
        builder = builder
            .with_bucket_name(&self.bucket)
            .with_region(region)
            .with_endpoint(endpoint.as_str().trim_end_matches('/'))
            .with_virtual_hosted_style_request(!is_path_style)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_disable_tagging(true)
            .with_client_options(self.options(&endpoint, options)?)
            .with_retry(ask_once())
            .with_http_connector(meter(&endpoint));
        if let Some(path) = &config.credentials_file {
            let credential = credentials::aws(&credentials::read(path)?, &config.profile, path)?;
            builder = builder.with_credentials(Arc::new(StaticCredentialProvider::new(credential)));
        } else if config.anonymous {
            builder = builder.with_skip_signature(true);
        } else {
            let has = |keys: &[Key]| keys.iter().all(|key| builder.get_config_value(key).is_some());
            let is_known = has(&[Key::AccessKeyId, Key::SecretAccessKey])
                || has(&[Key::WebIdentityTokenFile, Key::RoleArn])
                || has(&[Key::ContainerCredentialsRelativeUri])
                || has(&[Key::ContainerCredentialsFullUri, Key::ContainerAuthorizationTokenFile])
                || builder.get_config_value(&Key::SkipSignature).as_deref() == Some("true");
            self.check_credentials(is_known, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")?;
        }
        Ok(Arc::new(builder.build().map_err(|error| self.refused(&error))?))
    }

    fn google(&self, meter: impl Fn(&Url) -> Meter) -> Result<Arc<dyn Client>, StorageError> {
        use GoogleConfigKey as Key;
        let config = self.config;
        let mut builder = GoogleCloudStorageBuilder::new();
        let (mut options, mut named_endpoint) = (Vec::new(), None);
        for (key, value) in self.variables::<Key>("GOOGLE_") {
            match key {
                Key::Client(key) => options.push((key, value)),
                Key::BaseUrl => named_endpoint = Some(value.to_owned()),
                // To ask without a signature is a setting of ours.
                Key::Bucket | Key::SkipSignature => {}
                key => builder = builder.with_config(key, value),
            }
        }
        let named_endpoint = config.endpoint.clone().or(named_endpoint);
        let endpoint = named_endpoint.as_deref().unwrap_or("https://storage.googleapis.com");
        let endpoint = self.endpoint(endpoint, &options)?;
        builder = builder
            .with_bucket_name(&self.bucket)
            .with_config(Key::BaseUrl, endpoint.as_str().trim_end_matches('/'))
            .with_client_options(self.options(&endpoint, options)?)
            .with_retry(ask_once())
            .with_http_connector(meter(&endpoint));
        if let Some(path) = &config.credentials_file {
            builder = builder.with_application_credentials(path.to_string_lossy());
        } else if config.anonymous {
            // Without a credential of its own the client would ask for one even so.
            let nobody = GcpCredential { bearer: String::new() };
            let nobody = Arc::new(StaticCredentialProvider::new(nobody));
            builder = builder.with_skip_signature(true).with_credentials(nobody);
        }
        let is_set = |key: &Key| builder.get_config_value(key).is_some();
        let is_known = config.anonymous
            || [Key::ServiceAccount, Key::ServiceAccountKey, Key::ApplicationCredentials].iter().any(is_set);
        self.check_credentials(is_known, "GOOGLE_APPLICATION_CREDENTIALS")?;
        Ok(Arc::new(builder.build().map_err(|error| self.refused(&error))?))
    }

    fn azure(&self, meter: impl Fn(&Url) -> Meter) -> Result<Arc<dyn Client>, StorageError> {
        use AzureConfigKey as Key;
        let config = self.config;
        let mut builder = MicrosoftAzureBuilder::new();
        let (mut options, mut named_endpoint) = (Vec::new(), None);
        for (key, value) in self.variables::<Key>("AZURE_") {
            match key {
                Key::Client(key) => options.push((key, value)),
                Key::Endpoint => named_endpoint = Some(value.to_owned()),
                Key::ContainerName | Key::UseEmulator => {}
                key => builder = builder.with_config(key, value),
            }
        }
        let connection = match &config.credentials_file {
            Some(path) => Some(credentials::read(path)?),
            None => self.variable("AZURE_STORAGE_CONNECTION_STRING").map(str::to_owned),
        };
        let connection = connection.as_deref().map(Connection::parse).unwrap_or_default();
        for (key, value) in [(Key::AccessKey, connection.key), (Key::SasKey, connection.signature)] {
            builder = value.map_or(builder.clone(), |value| builder.with_config(key, value));
        }
        let account = config.account.clone().or(connection.account);
        let account = account.or_else(|| builder.get_config_value(&Key::AccountName)).ok_or_else(|| {
            self.missing(
                "its account: set store.account or AZURE_STORAGE_ACCOUNT_NAME, or use a connection string",
            )
        })?;
        let endpoint = config.endpoint.clone().or(connection.endpoint).or(named_endpoint);
        let endpoint = endpoint.unwrap_or_else(|| format!("https://{account}.blob.core.windows.net"));
        let endpoint = self.endpoint(&endpoint, &options)?;
        builder = builder
            .with_account(account)
            .with_container_name(&self.bucket)
            .with_endpoint(endpoint.as_str().trim_end_matches('/').to_owned())
            .with_disable_tagging(true)
            .with_client_options(self.options(&endpoint, options)?)
            .with_retry(ask_once())
            .with_http_connector(meter(&endpoint));
        if config.anonymous {
            builder = builder.with_skip_signature(true);
        }
        let has = |keys: &[Key]| keys.iter().all(|key| builder.get_config_value(key).is_some());
        let is_known = config.anonymous
            || [Key::AccessKey, Key::SasKey, Key::Token].iter().any(|key| has(std::slice::from_ref(key)))
            || has(&[Key::ClientId, Key::ClientSecret, Key::AuthorityId])
            || has(&[Key::ClientId, Key::AuthorityId, Key::FederatedTokenFile])
            || [Key::SkipSignature, Key::UseAzureCli]
                .iter()
                .any(|key| builder.get_config_value(key).as_deref() == Some("true"));
        self.check_credentials(is_known, "AZURE_STORAGE_ACCOUNT_KEY")?;
        Ok(Arc::new(builder.build().map_err(|error| self.refused(&error))?))
    }

    /// Where the store answers; plain HTTP only where that is allowed.
    fn endpoint(&self, endpoint: &str, options: &[(ClientConfigKey, &str)]) -> Result<Url, StorageError> {
        let url = Url::parse(endpoint).map_err(|error| self.invalid("endpoint", error))?;
        let is_allowed = self.config.allow_http || options.contains(&(ClientConfigKey::AllowHttp, "true"));
        match url.scheme() {
            "https" => Ok(url),
            "http" if is_allowed => Ok(url),
            "http" => {
                Err(self.invalid("endpoint", "it is plain HTTP: set store.allow_http where that is meant"))
            }
            _ => Err(self.invalid("endpoint", "it is neither https:// nor http://")),
        }
    }

    fn options(
        &self,
        endpoint: &Url,
        named: Vec<(ClientConfigKey, &str)>,
    ) -> Result<ClientOptions, StorageError> {
        let patience = &self.config.patience;
        let mut options = ClientOptions::new();
        for (key, value) in named {
            options = options.with_config(key, value);
        }
        options = options
            .with_allow_http(endpoint.scheme() == "http")
            .with_connect_timeout(Duration::from_millis(patience.connect_timeout_ms))
            .with_timeout(Duration::from_millis(patience.request_timeout_ms))
            .with_pool_max_idle_per_host(MAX_IDLE_CONNECTIONS);
        if is_loopback(endpoint) {
            // What the machine's environment says of proxies is not meant for itself.
            options =
                options.with_proxy_url(endpoint.as_str()).with_proxy_excludes("127.0.0.0/8,::1,localhost");
        }
        if let Some(path) = &self.config.ca_file {
            let pem = std::fs::read(path).map_err(|e| StorageError::io("read ca_file", path, e))?;
            let certificates =
                Certificate::from_pem_bundle(&pem).map_err(|error| self.invalid("ca_file", error))?;
            if certificates.is_empty() {
                return Err(self.invalid("ca_file", "it holds no certificate"));
            }
            for certificate in certificates {
                options = options.with_root_certificate(certificate);
            }
        }
        Ok(options)
    }

    fn check_credentials(&self, is_known: bool, variables: &str) -> Result<(), StorageError> {
        if is_known || self.config.instance_metadata {
            return Ok(());
        }
        Err(self.missing(&format!(
            "credentials: set store.credentials_file or {variables}; or store.instance_metadata, to ask the \
             machine's metadata service for them, or store.anonymous"
        )))
    }

    fn missing(&self, what: &str) -> StorageError {
        StorageError::Settings(format!("store=`{}` lacks {what}", self.config.url))
    }

    fn invalid(&self, setting: &str, reason: impl std::fmt::Display) -> StorageError {
        StorageError::Settings(format!(
            "store.{setting} of store=`{}` is not valid: {reason}",
            self.config.url
        ))
    }

    fn refused(&self, error: &object_store::Error) -> StorageError {
        StorageError::Settings(format!("store=`{}` cannot be used: {error}", self.config.url))
    }
}

/// Host and port as they stand in a request.
fn authority(endpoint: &Url) -> String {
    let host = endpoint.host_str().unwrap_or("");
    endpoint.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn is_loopback(endpoint: &Url) -> bool {
    match endpoint.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}
