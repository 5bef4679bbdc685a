//! `stella segment`: looks at what is kept on disk, compares every checksum, and puts back what was set aside. It works
//! beside a server as well as without one.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use model::{Clock, Signal, TenantId};
use rand::Rng;
use storage::Store;
use storage::inspect::{FileReport, inspect_file, inspect_segment};
use storage::restore::Restoration;
use storage::verify::{Verification, VerifyReport};

use super::table::{moment, table};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::who;

/// Look at what is kept on disk.
#[derive(Debug, Args)]
pub struct Segment {
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Show what is in a segment: columns, sizes, encodings, time, checksums.
    Inspect(Inspect),
    /// Compare every checksum of manifests, segments and log; fails when something is damaged.
    Verify(Verify),
    /// Put a segment that was set aside back, from good copies of its files.
    Restore(Restore),
}

/// Where things are kept.
#[derive(Clone, Debug, Args)]
pub struct Place {
    /// The server's configuration file.
    #[arg(long, env = "STELLA_CONFIG")]
    pub config: Option<PathBuf>,
    /// The data folder, with the log, and with the store where no other is named.
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
    /// The object store by URL.
    #[arg(long)]
    pub store: Option<String>,
}

/// Show what is in a segment.
#[derive(Debug, Args)]
pub struct Inspect {
    /// A Parquet file on this machine, or `tenant/signal/id` of a segment in the store.
    pub segment: String,
    /// Where the store is.
    #[command(flatten)]
    pub place: Place,
    /// Print JSON instead of tables.
    #[arg(long)]
    pub json: bool,
}

/// Compare every checksum.
#[derive(Debug, Args)]
pub struct Verify {
    /// Where the store and the log are.
    #[command(flatten)]
    pub place: Place,
    /// This tenant alone, without the log.
    #[arg(long)]
    pub tenant: Option<String>,
    /// This signal alone, without the log.
    #[arg(long, value_parser = signal)]
    pub signal: Option<Signal>,
    /// Print JSON instead of tables.
    #[arg(long)]
    pub json: bool,
}

/// Put a segment back.
#[derive(Debug, Args)]
pub struct Restore {
    /// `tenant/signal/id` of a segment that was set aside.
    pub segment: String,
    /// The folder with good copies of its files, under their names; the copies in the quarantine where none is named.
    #[arg(long)]
    pub from: Option<PathBuf>,
    /// Where the store is.
    #[command(flatten)]
    pub place: Place,
}

fn signal(text: &str) -> Result<Signal, String> {
    let found = Signal::ALL.into_iter().find(|signal| signal.as_str() == text);
    found.ok_or_else(|| "name metrics, logs or traces".to_owned())
}

/// The parts of `tenant/signal/id`.
fn named(text: &str) -> anyhow::Result<(TenantId, Signal, &str)> {
    let mut parts = text.split('/');
    let (Some(tenant), Some(kind), Some(id), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        bail!("`{text}` is no file and not of the form tenant/signal/id");
    };
    let tenant = TenantId::parse(tenant).context("no tenant has this name")?;
    Ok((tenant, signal(kind).map_err(anyhow::Error::msg)?, id))
}

impl Place {
    fn config(&self) -> anyhow::Result<Config> {
        let mut config = match &self.config {
            Some(path) => Config::read(path)?,
            None => Config::default(),
        };
        if let Some(data_dir) = &self.data_dir {
            config.data_dir.clone_from(data_dir);
        }
        if self.store.is_some() {
            config.store.keys.url.clone_from(&self.store);
        }
        Ok(config)
    }

    fn open(config: &Config, clock: &Arc<dyn Clock>) -> anyhow::Result<Store> {
        let store = config.store();
        // Opening would make the folder of a store that is not there.
        let is_missing = config.store.keys.url.is_none() && !config.data_dir.join("store").is_dir();
        ensure!(!is_missing, "there is no store: path={}, name it with --data-dir or --store", store.url);
        who::open_store(config, clock)
    }
}

impl Segment {
    /// Does it and prints what was found.
    ///
    /// # Errors
    /// When the store cannot be read, something is damaged, or a segment cannot be put back.
    pub fn run(&self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        runtime.block_on(async {
            match &self.action {
                Action::Inspect(inspect) => inspect.run(clock).await,
                Action::Verify(verify) => verify.run(clock).await,
                Action::Restore(restore) => restore.run(clock).await,
            }
        })
    }
}

impl Inspect {
    async fn run(&self, clock: Arc<dyn Clock>) -> anyhow::Result<()> {
        let file = PathBuf::from(&self.segment);
        let reports = if file.is_file() {
            vec![inspect_file(&file).await?]
        } else {
            let (tenant, signal, id) = named(&self.segment)?;
            let store = Place::open(&self.place.config()?, &clock)?;
            inspect_segment(&*store.objects(), &tenant, signal, id).await?
        };
        if self.json {
            say!("{}", serde_json::to_string_pretty(&reports)?);
        } else {
            reports.iter().for_each(|report| say!("{}\n", shown(report)));
        }
        let damaged: usize = reports.iter().map(|report| report.damaged_blocks.len()).sum();
        ensure!(damaged == 0, "blocks are damaged: blocks={damaged}");
        Ok(())
    }
}

/// A file's report as tables.
fn shown(report: &FileReport) -> String {
    let time = match (report.start_ns, report.end_ns) {
        (Some(start), Some(end)) => format!("{} to {}", moment(start.into()), moment(end.into())),
        _ => "none".to_owned(),
    };
    let mut summary = table(&["file", &report.object]);
    summary.add_row(["bytes", &report.bytes.to_string()]);
    summary.add_row(["rows", &report.rows.to_string()]);
    summary.add_row(["bytes a row", &per_row(report.bytes, report.rows)]);
    summary.add_row(["time", &time]);
    summary.add_row(["written by", report.created_by.as_deref().unwrap_or_default()]);
    let groups: Vec<String> =
        report.row_groups.iter().map(|group| format!("{} rows, {} bytes", group.rows, group.bytes)).collect();
    summary.add_row(["row groups", &groups.join("\n")]);
    let blocks = format!("{} of data, {} damaged", report.blocks, report.damaged_blocks.len());
    summary.add_row(["blocks", &blocks]);
    summary.add_row(["tail", &format!("{} bytes, xxh3 {}", report.tail_bytes, report.tail_xxh3)]);
    for pair in &report.metadata {
        let mut value: String = pair.value.chars().take(200).collect();
        if value.len() < pair.value.len() {
            value.push('…');
        }
        summary.add_row([&pair.key, &value]);
    }
    let mut columns = table(&["column", "type", "encodings", "bytes", "uncompressed", "bytes a row"]);
    for column in &report.columns {
        columns.add_row([
            column.name.clone(),
            column.physical_type.clone(),
            column.encodings.clone(),
            column.bytes.to_string(),
            column.uncompressed_bytes.to_string(),
            per_row(column.bytes, report.rows),
        ]);
    }
    format!("{summary}\n{columns}")
}

fn per_row(bytes: u64, rows: u64) -> String {
    if rows == 0 { String::new() } else { format!("{:.3}", bytes as f64 / rows as f64) }
}

impl Verify {
    async fn run(&self, clock: Arc<dyn Clock>) -> anyhow::Result<()> {
        let config = self.place.config()?;
        let store = Place::open(&config, &clock)?;
        let tenant = self.tenant.as_deref().map(TenantId::parse).transpose().context("no tenant's name")?;
        let data_dir = config.data_dir.is_dir().then(|| config.data_dir.clone());
        let verification = Verification { store: store.objects(), data_dir, tenant, signal: self.signal };
        let report = verification.run().await?;
        if self.json {
            say!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            say!("{}", verified(&report));
        }
        ensure!(report.damaged == 0, "something is damaged: places={}", report.damaged);
        Ok(())
    }
}

/// A verification's report as tables.
fn verified(report: &VerifyReport) -> String {
    let mut summary = table(&["what", "verified"]);
    for (what, count) in [
        ("manifest versions", report.manifests),
        ("segments", report.segments),
        ("their files", report.files),
        ("their bytes", report.bytes),
        ("log files", report.log_files),
        ("log records", report.log_records),
        ("damaged places", report.damaged),
        ("segments set aside", report.quarantined.len() as u64),
    ] {
        summary.add_row([what, &count.to_string()]);
    }
    let mut text = summary.to_string();
    if !report.damage.is_empty() {
        let mut damage = table(&["damaged", "why"]);
        damage.add_rows(report.damage.iter().map(|place| [&place.object, &place.reason]));
        text.push_str(&format!("\n{damage}"));
    }
    if !report.quarantined.is_empty() {
        let mut aside = table(&["set aside", "rows", "why"]);
        for segment in &report.quarantined {
            let name = format!("{}/{}/{}", segment.tenant, segment.signal, segment.entry.segment.id);
            aside.add_row([name, segment.entry.segment.rows.to_string(), segment.entry.reason.clone()]);
        }
        text.push_str(&format!("\n{aside}"));
    }
    text
}

impl Restore {
    async fn run(&self, clock: Arc<dyn Clock>) -> anyhow::Result<()> {
        let (tenant, signal, id) = named(&self.segment)?;
        let store = Place::open(&self.place.config()?, &clock)?;
        let restoration = Restoration {
            store: store.objects(),
            tenant: tenant.clone(),
            signal,
            id: id.to_owned(),
            from: self.from.clone(),
            clock,
            seed: rand::rng().random(),
        };
        let segment = restoration.run().await?;
        say!("restored: {tenant}/{signal}/{} has its {} rows", segment.id, segment.rows);
        Ok(())
    }
}
