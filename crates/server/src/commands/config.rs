//! `stella config`: whether configuration and overrides can be used, without starting anything.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::bail;
use clap::{Args, Subcommand};
use model::Clock;
use security::scopes::ALL;
use security::tls::{ServerTls, Tellings};
use security::token::external::ExternalIssuer;

use crate::clock::SystemClock;
use crate::config::tls::Tls;
use crate::config::{Config, ConfigError};
use crate::overrides::{self, Finding};

/// Look at configuration without starting anything.
#[derive(Clone, Debug, Args)]
pub struct ConfigCommand {
    /// What to do.
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    /// Check the configuration file and the override files of tenants. Every key that is unknown or has no effect is named
    /// with its line. It fails where something is unknown or cannot be.
    Check(Check),
}

/// Where the files are.
#[derive(Clone, Debug, Args)]
pub struct Place {
    /// The configuration file; the defaults hold where none is named.
    #[arg(long, env = "STELLA_CONFIG")]
    config: Option<PathBuf>,
    /// The data folder, as of `stella up`; that of the configuration where none is named.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// The folder with the override files; that of the configuration where none is named.
    #[arg(long)]
    tenants: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
struct Check {
    #[command(flatten)]
    place: Place,
    /// Print the findings as JSON.
    #[arg(long)]
    json: bool,
}

impl Place {
    /// The configuration file.
    pub(super) fn file(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// The configuration.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub(super) fn read(&self) -> Result<Config, ConfigError> {
        let mut config = self.file().map_or_else(|| Ok(Config::default()), Config::read)?;
        if let Some(folder) = &self.data_dir {
            config.data_dir.clone_from(folder);
        }
        Ok(config)
    }

    /// The folder with the override files.
    pub(super) fn tenants(&self, config: &Config) -> PathBuf {
        self.tenants.clone().unwrap_or_else(|| config.tenants())
    }

    /// The folder with the override files, where one is named and is not there.
    fn missing(&self, config: &Config) -> Option<PathBuf> {
        self.tenants.clone().or_else(|| config.tenants.clone()).filter(|folder| !folder.is_dir())
    }
}

impl ConfigCommand {
    /// Looks at the files and prints what was found.
    ///
    /// # Errors
    /// When something is unknown or cannot be used.
    pub fn run(&self) -> anyhow::Result<()> {
        let What::Check(check) = &self.what;
        let findings = findings(&check.place);
        tell(&findings, check.json)?;
        let errors = findings.iter().filter(|finding| finding.is_error).count();
        if errors > 0 {
            bail!("the configuration has to be mended: errors={errors}");
        }
        Ok(())
    }
}

/// Everything that is to be said of the files. Where the configuration is broken its overrides are those of the folder
/// that is named, or of the default one.
fn findings(place: &Place) -> Vec<Finding> {
    let (config, mut findings) = match place.read() {
        Ok(config) => {
            let mut findings = doubts(place.file(), &config);
            findings.extend(of_files(place.file(), &config));
            (config, findings)
        }
        Err(error) => (Config::default(), of_config(place.file(), &error)),
    };
    let missing = |path: PathBuf| {
        let message = "the folder of override files is not there: no tenant has limits of its own".to_owned();
        Finding { is_error: false, path, line: 0, message }
    };
    findings.extend(place.missing(&config).map(missing));
    findings.extend(overrides::check(&place.tenants(&config)));
    findings
}

fn doubts(path: Option<&Path>, config: &Config) -> Vec<Finding> {
    let path = path.unwrap_or(Path::new("stella.yaml"));
    let finding = |message| Finding { is_error: false, path: path.to_owned(), line: 0, message };
    config.doubts().into_iter().map(finding).collect()
}

/// What is wrong with what the configuration names: files of certificates and keys, rules and scopes.
fn of_files(path: Option<&Path>, config: &Config) -> Vec<Finding> {
    let path = path.unwrap_or(Path::new("stella.yaml"));
    let finding = |is_error, message| Finding { is_error, path: path.to_owned(), line: 0, message };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut findings = BTreeSet::new();
    if let Some(tls) = &config.tls {
        security::tls::install_provider();
        let tellings = Tellings::default();
        for name in Tls::listeners() {
            let (files, auth) = (tls.files(name), tls.client_auth(name));
            let opened = ServerTls::open(name, &files, auth, Arc::clone(&clock), &tellings);
            // Many listeners may have the same files.
            findings.extend(opened.err().map(|error| (true, format!("tls: {error}"))));
        }
    }
    for issuer in &config.identity.issuers {
        let opened = ExternalIssuer::open(issuer.clone(), Arc::clone(&clock));
        findings.extend(opened.err().map(|error| (true, format!("identity.issuers: {error}"))));
    }
    let mut scopes: Vec<&String> =
        config.identity.issuers.iter().flat_map(|i| i.scopes.iter().flatten()).collect();
    for rule in &config.identity.certificates {
        findings.extend(rule.check().err().map(|reason| (true, format!("identity.certificates: {reason}"))));
        scopes.extend(&rule.scopes);
    }
    for scope in scopes.into_iter().filter(|scope| !ALL.contains(&scope.as_str())) {
        let message = format!(
            "identity: no request asks for the scope {scope:?}: those that there are: {}",
            ALL.join(" ")
        );
        findings.insert((false, message));
    }
    findings.into_iter().map(|(is_error, message)| finding(is_error, message)).collect()
}

fn of_config(path: Option<&Path>, error: &ConfigError) -> Vec<Finding> {
    let path = path.unwrap_or(Path::new("stella.yaml"));
    let finding = |line, message| Finding { is_error: true, path: path.to_owned(), line, message };
    match error {
        ConfigError::Parse { problems, .. } => {
            problems.iter().map(|problem| finding(problem.line, problem.message.clone())).collect()
        }
        error => vec![finding(0, error.to_string())],
    }
}

fn tell(findings: &[Finding], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        say!("{}", serde_json::to_string_pretty(findings)?);
        return Ok(());
    }
    for finding in findings {
        say!("{finding}");
    }
    if findings.is_empty() {
        say!("the configuration is good");
    }
    Ok(())
}
