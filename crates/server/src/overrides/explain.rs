//! The effective limits of a tenant with where each comes from, and everything in the files that a person should know.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{Limits, Signal, TenantId};
use serde::Serialize;

use super::file::File;
use super::keys::FILES;
use super::{Found, OverridesError, ReadFile, Seen, read};

/// Where a limit comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "from")]
pub enum Origin {
    /// Nothing says otherwise.
    Default,
    /// A line of a file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from one.
        line: u64,
    },
}

/// One limit of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// Whose limit it is.
    pub signal: &'static str,
    /// Its key in the override file of the signal.
    pub key: &'static str,
    /// The value in force, as the file spells it.
    pub value: String,
    /// What it means, in a few words, with its unit.
    pub about: &'static str,
    /// Where it comes from.
    pub origin: Origin,
}

/// Something that a check of the files found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Whether the file must be mended; else it is to be known.
    pub is_error: bool,
    /// The file.
    pub path: PathBuf,
    /// The line, from one; zero where it is not known.
    pub line: u64,
    /// What it is.
    pub message: String,
}

/// Every limit of a tenant. `base_origin` says where a limit comes from that no override sets, by signal and key.
///
/// # Errors
/// When a file is broken.
pub fn explain(
    folder: &Path,
    base: &Limits,
    tenant: &TenantId,
    base_origin: impl Fn(Signal, &str) -> Origin,
) -> Result<Vec<Explained>, OverridesError> {
    let mut files = Vec::with_capacity(FILES.len());
    for keys in FILES {
        let path = folder.join(keys.file);
        let file = Arc::new(open(keys, &path)?);
        files.push(ReadFile { keys, path, file });
    }
    Ok(explain_read(&files, base, tenant, base_origin))
}

/// The same of files that were read.
pub(super) fn explain_read(
    files: &[ReadFile],
    base: &Limits,
    tenant: &TenantId,
    base_origin: impl Fn(Signal, &str) -> Origin,
) -> Vec<Explained> {
    let mut explained = Vec::new();
    for ReadFile { keys, path, file } in files {
        let mut limits = base.clone();
        let mut set = Vec::new();
        for setting in file.settings(Some(tenant)) {
            setting.apply(&mut limits);
            set.push(setting);
        }
        // A burst that nobody set follows from the rate.
        let intake = limits.intake_mut(keys.signal);
        intake.burst = intake.rate().map_or(intake.burst, |rate| Some(rate.burst));
        for key in keys.set {
            // An entry of `*` and one of the tenant may both set it: the later one holds.
            let setter = set.iter().rev().find(|setting| std::ptr::eq(setting.key, key));
            let origin = match setter {
                Some(setting) => Origin::File { path: path.clone(), line: setting.line },
                None => base_origin(keys.signal, key.name),
            };
            let (signal, value) = (keys.signal.as_str(), key.slot.spell(&limits));
            explained.push(Explained { signal, key: key.name, value, about: key.about, origin });
        }
    }
    explained
}

/// What is wrong with the files of a folder, and what in them has no effect.
#[must_use]
pub fn check(folder: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    for keys in FILES {
        let path = folder.join(keys.file);
        let finding = |is_error, line, message| Finding { is_error, path: path.clone(), line, message };
        let text = match read(&path, None) {
            Ok(Found::Text(Seen { text, .. })) => text,
            Ok(Found::Missing | Found::Same) => continue,
            Err(error) => {
                findings.push(finding(true, 0, error.to_string()));
                continue;
            }
        };
        let (file, problems) = File::read(keys, &text);
        let warnings = file.warnings.into_iter().map(|warning| (!warning.is_known, warning.problem));
        let mut all: Vec<_> = problems.into_iter().map(|problem| (true, problem)).chain(warnings).collect();
        all.sort_by_key(|(_, problem)| problem.line);
        findings.extend(
            all.into_iter().map(|(is_error, problem)| finding(is_error, problem.line, problem.message)),
        );
    }
    findings
}

fn open(keys: &'static super::Keys, path: &Path) -> Result<File, OverridesError> {
    match read(path, None)? {
        Found::Text(Seen { text, .. }) => File::parse(keys, &text)
            .map_err(|problems| OverridesError::Broken { path: path.to_owned(), problems }),
        Found::Missing | Found::Same => Ok(File::default()),
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if self.is_error { "error" } else { "warning" };
        let path = self.path.display();
        match self.line {
            0 => write!(f, "{path}: {kind}: {}", self.message),
            line => write!(f, "{path}:{line}: {kind}: {}", self.message),
        }
    }
}
