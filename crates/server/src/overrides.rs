//! The limits of tenants, as the files of one folder have them: read when the server starts, looked at every few seconds,
//! and in force without a restart. A file that is broken leaves what was read of it before.
//!
//! What a tenant's own entry does not say is as the entry `*` has it, else as `stella.yaml` has it, else the default. The
//! server's own tenant has no part in `*`: what tenants may send and how long it is kept says nothing of the audit.

mod spellings;

mod retention_stream;

mod keys;

mod file;

mod explain;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use model::audit::{Action, Audit, Event};
use model::limits::LimitsSource;
use model::{Limits, TenantId};
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::config::yaml::Problem;
pub use explain::{Explained, Finding, Origin, check, explain};
use file::File;
use keys::{FILES, Keys};
pub(crate) use spellings::spell_duration;

/// The pause between two looks at the files.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Tenants that are named when their limits have changed; of more the number is told.
const MAX_TOLD_TENANTS: usize = 50;

/// A file of overrides; 100,000 tenants with some keys each are far below it.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// The limits of all tenants.
pub struct Overrides {
    base: Limits,
    current: ArcSwap<Snapshot>,
    sources: Mutex<Vec<Source>>,
    metrics: OverridesMetrics,
}

/// What is in force at one moment.
struct Snapshot {
    everyone: Arc<Limits>,
    tenants: HashMap<TenantId, Arc<Limits>>,
    /// What of the files it was made of.
    files: Vec<ReadFile>,
}

/// A file as it was read.
struct ReadFile {
    keys: &'static Keys,
    path: PathBuf,
    file: Arc<File>,
}

/// A file, and what was read of it.
struct Source {
    keys: &'static Keys,
    path: PathBuf,
    seen: Option<Seen>,
    file: Arc<File>,
    /// What is wrong with what is there now.
    broken: Option<String>,
}

/// What a look found.
#[derive(Clone, PartialEq)]
struct Seen {
    modified: Option<SystemTime>,
    bytes: u64,
    text: String,
}

/// Labels of what is told of a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByFile {
    file: &'static str,
}

#[derive(Debug, Default)]
struct OverridesMetrics {
    good: Family<ByFile, Gauge>,
    reloads: Family<ByFile, Counter>,
    failures: Family<ByFile, Counter>,
}

/// Why the files cannot be used when the server starts.
#[derive(Debug, thiserror::Error)]
pub enum OverridesError {
    /// A file cannot be read.
    #[error("cannot read a file of overrides: path={path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's words.
        error: std::io::Error,
    },
    /// A file is too large to be one of overrides.
    #[error("a file of overrides is too large: path={path} bytes={bytes}, at most {MAX_FILE_BYTES}")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// A file is broken.
    #[error("overrides are not valid: {}", lines(.path, .problems))]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problems: Vec<Problem>,
    },
}

/// Problems with the file that they are in.
fn lines(path: &Path, problems: &[Problem]) -> String {
    let all: Vec<_> = problems.iter().map(|problem| format!("{}: {problem}", path.display())).collect();
    all.join("; ")
}

impl Overrides {
    /// Reads the files of a folder for the first time. Files and the folder may be missing. `base` holds where they say
    /// nothing.
    ///
    /// # Errors
    /// When a file is broken: nobody knows then what may be deleted.
    pub fn open(folder: &Path, base: Limits) -> Result<Self, OverridesError> {
        let mut sources = Vec::with_capacity(FILES.len());
        for keys in FILES {
            let path = folder.join(keys.file);
            let (seen, file) = match read(&path, None)? {
                Found::Text(seen) => {
                    let file = Arc::new(parse(keys, &path, &seen)?);
                    (Some(seen), file)
                }
                Found::Missing | Found::Same => (None, Arc::default()),
            };
            warn(&path, &file);
            sources.push(Source { keys, path, seen, file, broken: None });
        }
        let current = ArcSwap::from_pointee(snapshot(&base, &sources));
        let overrides =
            Self { base, current, sources: Mutex::new(sources), metrics: OverridesMetrics::default() };
        for keys in FILES {
            overrides.metrics.good.get_or_create(&ByFile { file: keys.file }).set(1);
        }
        Ok(overrides)
    }

    /// Puts the metrics into a registry.
    pub fn register_metrics(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("stella_overrides");
        let good =
            "1 while what is in the file is in force, 0 while it is broken and what was read before is";
        registry.register("file_good", good, self.metrics.good.clone());
        let reloads = self.metrics.reloads.clone();
        registry.register("reloads", "Times that a file was read again and came into force", reloads);
        let failures = self.metrics.failures.clone();
        registry.register("reload_failures", "Times that a file was found broken or gone", failures);
    }

    /// Looks at the files every few seconds, until this is dropped.
    pub async fn keep_fresh(self: Arc<Self>, audit: Audit) {
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            let (overrides, audit) = (Arc::clone(&self), audit.clone());
            // Files are read on a thread that may wait; a look that panics leaves everything as it is.
            let _looked = tokio::task::spawn_blocking(move || overrides.look(&audit)).await;
        }
    }

    /// What is wrong with the files that are there now.
    #[must_use]
    pub fn broken(&self) -> Vec<String> {
        self.sources.lock().iter().filter_map(|source| source.broken.clone()).collect()
    }

    /// Every limit of a tenant that is in force, with the line that sets it.
    #[must_use]
    pub fn explain(&self, tenant: &TenantId) -> Vec<Explained> {
        explain::explain_read(&self.current.load().files, &self.base, tenant, |_, _| Origin::Default)
    }

    /// Looks at the files once. What is new comes into force, which is told; what is broken does not.
    pub fn look(&self, audit: &Audit) {
        let mut sources = self.sources.lock();
        let mut changed = Vec::new();
        for source in &mut *sources {
            let labels = ByFile { file: source.keys.file };
            match source.look() {
                Ok(false) => continue,
                Ok(true) => {
                    changed.push(source.keys.file);
                    self.metrics.reloads.get_or_create(&labels).inc();
                    self.metrics.good.get_or_create(&labels).set(1);
                    tracing::info!(path = %source.path.display(), "overrides were read again");
                    warn(&source.path, &source.file);
                }
                Err(error) => {
                    self.metrics.good.get_or_create(&labels).set(0);
                    let message = error.to_string();
                    // Told once, not with every look.
                    if source.broken.as_ref() != Some(&message) {
                        self.metrics.failures.get_or_create(&labels).inc();
                        tracing::error!(
                            path = %source.path.display(), %error,
                            "overrides are broken and those that were read before stay in force: mend the file"
                        );
                        source.broken = Some(message);
                    }
                }
            }
        }
        if !changed.is_empty() {
            let next = Arc::new(snapshot(&self.base, &sources));
            let before = self.current.swap(Arc::clone(&next));
            audit.record(next.change(&before, &changed));
        }
    }
}

impl Snapshot {
    fn limits(&self, tenant: &TenantId) -> &Arc<Limits> {
        self.tenants.get(tenant).unwrap_or(&self.everyone)
    }

    /// What is told of the step from one snapshot to this one: the files that were read, and whose limits are others now.
    fn change(&self, before: &Self, files: &[&str]) -> Event {
        let named: BTreeSet<&TenantId> = self.tenants.keys().chain(before.tenants.keys()).collect();
        let differs = |tenant: &&&TenantId| self.limits(tenant) != before.limits(tenant);
        let tenants: Vec<&TenantId> = named.iter().filter(differs).copied().collect();
        let everyone = (self.everyone != before.everyone).then_some("*");
        let told = everyone.into_iter().chain(tenants.iter().map(|tenant| tenant.as_str()));
        let told: Vec<&str> = told.take(MAX_TOLD_TENANTS).collect();
        let event = Event::new(Action::OverridesChanged).on(files.join(" ")).with("tenants", told.join(" "));
        match tenants.as_slice() {
            [only] if everyone.is_none() => event.of_tenant(only.as_str()),
            all => event.with("tenant_count", all.len().to_string()),
        }
    }
}

impl LimitsSource for Overrides {
    fn limits(&self, tenant: &TenantId) -> Arc<Limits> {
        Arc::clone(self.current.load().limits(tenant))
    }
}

impl fmt::Debug for Overrides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overrides").field("tenants", &self.current.load().tenants).finish_non_exhaustive()
    }
}

impl Source {
    /// Whether there is something new to be put into force.
    fn look(&mut self) -> Result<bool, OverridesError> {
        let seen = match read(&self.path, self.seen.as_ref().filter(|_| self.broken.is_none()))? {
            Found::Text(seen) => seen,
            Found::Same => return Ok(false),
            Found::Missing if self.seen.is_none() => return Ok(false),
            Found::Missing => {
                let error = std::io::Error::from(std::io::ErrorKind::NotFound);
                return Err(OverridesError::Read { path: self.path.clone(), error });
            }
        };
        let is_new = self.seen.as_ref().is_none_or(|before| before.text != seen.text);
        if is_new {
            self.file = Arc::new(parse(self.keys, &self.path, &seen)?);
        }
        let was_broken = self.broken.take().is_some();
        self.seen = Some(seen);
        Ok(is_new || was_broken)
    }
}

/// What a look at a file finds.
enum Found {
    Missing,
    Same,
    Text(Seen),
}

/// Reads a file, unless its time and size are those that were seen before.
fn read(path: &Path, before: Option<&Seen>) -> Result<Found, OverridesError> {
    let failed = |error| OverridesError::Read { path: path.to_owned(), error };
    let metadata = match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Found::Missing),
        metadata => metadata.map_err(failed)?,
    };
    let (modified, bytes) = (metadata.modified().ok(), metadata.len());
    if bytes > MAX_FILE_BYTES {
        return Err(OverridesError::TooLarge { path: path.to_owned(), bytes });
    }
    // Where the volume keeps no times the text says whether it is the same.
    if modified.is_some() && before.is_some_and(|seen| (seen.modified, seen.bytes) == (modified, bytes)) {
        return Ok(Found::Same);
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    Ok(Found::Text(Seen { modified, bytes, text }))
}

fn parse(keys: &'static Keys, path: &Path, seen: &Seen) -> Result<File, OverridesError> {
    File::parse(keys, &seen.text)
        .map_err(|problems| OverridesError::Broken { path: path.to_owned(), problems })
}

fn warn(path: &Path, file: &File) {
    for warning in &file.warnings {
        let problem = &warning.problem;
        tracing::warn!(path = %path.display(), line = problem.line, "{}", problem.message);
    }
}

fn snapshot(base: &Limits, sources: &[Source]) -> Snapshot {
    let of = |tenant: Option<&TenantId>| {
        let mut limits = base.clone();
        for source in sources {
            source.file.settings(tenant).for_each(|setting| setting.apply(&mut limits));
        }
        Arc::new(limits)
    };
    // The server's own tenant has no part in what is said of all.
    let own = TenantId::own();
    let named = sources.iter().flat_map(|source| source.file.tenants());
    let tenants: BTreeSet<&TenantId> = named.chain([&own]).collect();
    let tenants = tenants.into_iter().map(|tenant| (tenant.clone(), of(Some(tenant)))).collect();
    let read = |source: &Source| ReadFile {
        keys: source.keys,
        path: source.path.clone(),
        file: Arc::clone(&source.file),
    };
    Snapshot { everyone: of(None), tenants, files: sources.iter().map(read).collect() }
}

#[cfg(test)]
mod tests;
