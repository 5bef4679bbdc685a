//! `stella bench ingest`: what a load is made of, and how it is sent, settled, looked for and reported.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use model::Signal;
use model::time::Clock;

use super::check::Check;
use super::client::Client;
use super::generate::logs::{self, LogsSource};
use super::generate::metrics::{self, MetricsSource};
use super::generate::metrics_encoding;
use super::generate::traces::{self, TracesSource};
use super::generate::{Source, Stretch};
use super::load::{Load, Sum};
use super::observe::{Figures, Observer, folder_bytes};
use super::report::IngestReport;
use crate::clock::SystemClock;
use crate::commands::connect::Credentials;
use crate::config::units::Duration;
use crate::process::cpu_seconds;

const MIB: f64 = 1024.0 * 1024.0;

/// Send telemetry of a cluster that does not exist.
#[derive(Debug, Args)]
pub struct Ingest {
    /// The kind of telemetry.
    #[command(subcommand)]
    pub signal: What,
}

/// The kind of telemetry.
#[derive(Debug, Subcommand)]
pub enum What {
    /// Samples of pods that come and go.
    Metrics(MetricsLoad),
    /// Mixed lines with ids in them.
    Logs(LogsLoad),
    /// Traces of a graph of services.
    Traces(TracesLoad),
}

/// Samples.
#[derive(Debug, Args)]
pub struct MetricsLoad {
    /// Series at any moment.
    #[arg(long, default_value_t = 10_000)]
    series: usize,
    /// The distance of scrapes.
    #[arg(long, default_value = "15s")]
    interval: Duration,
    /// The share of pods that is replaced at a time.
    #[arg(long, default_value_t = 0.01)]
    churn: f64,
    /// The time between two replacements.
    #[arg(long, default_value = "5m")]
    churn_interval: Duration,
    /// Samples in a request, at least.
    #[arg(long, default_value_t = 2_000)]
    batch: usize,
    /// Scrapes of a pod that remote write sends together, as a sender that catches up; Prometheus takes those of an hour.
    #[arg(long, default_value_t = 1)]
    scrapes: usize,
    /// How they are sent.
    #[arg(long, value_enum, default_value = "remote-write1")]
    format: metrics_encoding::Format,
    /// How the load is sent and measured.
    #[command(flatten)]
    options: Options,
}

/// Lines.
#[derive(Debug, Args)]
pub struct LogsLoad {
    /// Lines in all.
    #[arg(long, default_value_t = 1_500_000)]
    lines: u64,
    /// Lines in a request.
    #[arg(long, default_value_t = 2_000)]
    batch: usize,
    /// How they are sent.
    #[arg(long, value_enum, default_value = "loki")]
    format: logs::Format,
    /// How the load is sent and measured.
    #[command(flatten)]
    options: Options,
}

/// Spans.
#[derive(Debug, Args)]
pub struct TracesLoad {
    /// Spans in all.
    #[arg(long, default_value_t = 565_000)]
    spans: u64,
    /// Spans in a request.
    #[arg(long, default_value_t = 1_000)]
    batch: usize,
    /// How the load is sent and measured.
    #[command(flatten)]
    options: Options,
}

/// How a load is sent and measured.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The server, as `https://host:port`; this machine and the usual port where none is named.
    #[arg(long, env = "STELLA_SERVER")]
    server: Option<String>,
    /// How the server is known, and what it is shown.
    #[command(flatten)]
    credentials: Credentials,
    /// The number that was added to the server's ports.
    #[arg(long, default_value_t = 0, conflicts_with = "server")]
    port_offset: u16,
    /// The tenant to write for.
    #[arg(long, env = "STELLA_TENANT", default_value = "bench")]
    tenant: String,
    /// The seed of everything random: the same seed and end are the same load.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How much time the telemetry tells of.
    #[arg(long, default_value = "2h")]
    stretch: Duration,
    /// The end of that time in RFC 3339; now where none is named.
    #[arg(long)]
    end: Option<String>,
    /// Requests that are under way at once.
    #[arg(long, default_value_t = 2)]
    concurrency: usize,
    /// Items a second, at most.
    #[arg(long)]
    rate: Option<f64>,
    /// Stop sending after this time.
    #[arg(long)]
    duration: Option<Duration>,
    /// Memory for requests that are made before sending begins; a longer load is sent in waves of this many MiB.
    #[arg(long, default_value_t = 512)]
    ahead_mib: usize,
    /// Do not ask the server to write everything as segments, and do not wait until it is calm.
    #[arg(long)]
    no_settle: bool,
    /// The longest wait for a calm server.
    #[arg(long, default_value = "10m")]
    settle_timeout: Duration,
    /// Do not look for what was acknowledged.
    #[arg(long)]
    no_check: bool,
    /// The server's data folder, to measure what it grows by.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// A load that is ready to be generated: the same for all signals from here on.
struct Planned {
    signal: Signal,
    items: &'static str,
    format: String,
    port: u16,
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
    source: Box<dyn Source>,
    stretch: Stretch,
}

const PROTOBUF: (&str, &str) = ("Content-Type", "application/x-protobuf");

impl Options {
    fn server(&self, port: u16) -> anyhow::Result<String> {
        match &self.server {
            Some(server) => Ok(server.trim_end_matches('/').to_owned()),
            None => {
                let port = port.checked_add(self.port_offset).context("the port is beyond 65535")?;
                Ok(format!("http://127.0.0.1:{port}"))
            }
        }
    }

    fn stretch(&self) -> anyhow::Result<Stretch> {
        if self.concurrency == 0 {
            bail!("--concurrency must be at least 1");
        }
        let end_ms = match &self.end {
            Some(end) => end.parse::<jiff::Timestamp>().context("--end is no RFC 3339")?.as_millisecond(),
            None => SystemClock::new().now().0 / 1_000_000,
        };
        let length_ms = i64::try_from(self.stretch.as_ms()).context("--stretch is too long")?;
        Ok(Stretch { start_ms: end_ms - length_ms, end_ms })
    }
}

fn name(format: &impl clap::ValueEnum) -> String {
    format.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

impl MetricsLoad {
    fn plan(&self) -> anyhow::Result<Planned> {
        let stretch = self.options.stretch()?;
        let (interval_ms, churn_interval_ms) = (self.interval.as_ms(), self.churn_interval.as_ms());
        if self.series == 0 || interval_ms < 100 || churn_interval_ms < interval_ms {
            bail!("--series must be at least 1, --interval 100ms, --churn-interval as long as --interval");
        }
        let is_otlp = self.format == metrics_encoding::Format::Otlp;
        if self.scrapes == 0 || is_otlp && self.scrapes > 1 {
            bail!("--scrapes must be at least 1, and 1 for --format otlp");
        }
        let (path, headers): (_, &[_]) = match self.format {
            metrics_encoding::Format::RemoteWrite1 => (
                "/api/v1/write",
                &[PROTOBUF, ("Content-Encoding", "snappy"), ("X-Prometheus-Remote-Write-Version", "0.1.0")],
            ),
            metrics_encoding::Format::RemoteWrite2 => (
                "/api/v1/write",
                &[
                    ("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"),
                    ("Content-Encoding", "snappy"),
                    ("X-Prometheus-Remote-Write-Version", "2.0.0"),
                ],
            ),
            metrics_encoding::Format::Otlp => ("/api/v1/otlp/v1/metrics", &[PROTOBUF]),
        };
        let plan = metrics::Plan {
            seed: self.options.seed,
            stretch,
            series: self.series,
            interval_ms: i64::try_from(interval_ms)?,
            churn: self.churn.clamp(0.0, 1.0),
            churn_interval_ms: i64::try_from(churn_interval_ms)?,
            batch: self.batch,
            lanes: self.options.concurrency,
            format: self.format,
            scrapes: self.scrapes,
        };
        let source = Box::new(MetricsSource::new(plan));
        let (signal, items, format) = (Signal::Metrics, "samples", name(&self.format));
        Ok(Planned { signal, items, format, port: 9090, path, headers, source, stretch })
    }
}

impl LogsLoad {
    fn plan(&self) -> anyhow::Result<Planned> {
        let stretch = self.options.stretch()?;
        let (path, headers): (_, &[_]) = match self.format {
            logs::Format::Loki => ("/loki/api/v1/push", &[PROTOBUF]),
            logs::Format::LokiJson => ("/loki/api/v1/push", &[("Content-Type", "application/json")]),
            logs::Format::Otlp => ("/otlp/v1/logs", &[PROTOBUF]),
        };
        let plan = logs::Plan {
            seed: self.options.seed,
            stretch,
            lines: self.lines,
            batch: self.batch,
            lanes: self.options.concurrency,
            format: self.format,
        };
        let source = Box::new(LogsSource::new(plan));
        let (signal, items, format) = (Signal::Logs, "lines", name(&self.format));
        Ok(Planned { signal, items, format, port: 3100, path, headers, source, stretch })
    }
}

impl TracesLoad {
    fn plan(&self) -> anyhow::Result<Planned> {
        let stretch = self.options.stretch()?;
        let plan = traces::Plan {
            seed: self.options.seed,
            stretch,
            spans: self.spans,
            batch: self.batch,
            lanes: self.options.concurrency,
        };
        Ok(Planned {
            signal: Signal::Traces,
            items: "spans",
            format: "otlp".to_owned(),
            port: 3200,
            path: "/v1/traces",
            headers: &[PROTOBUF],
            source: Box::new(TracesSource::new(plan)),
            stretch,
        })
    }
}

impl Ingest {
    /// Sends, settles, looks and reports.
    pub(super) async fn run(&self) -> anyhow::Result<()> {
        let (planned, options) = match &self.signal {
            What::Metrics(load) => (load.plan()?, &load.options),
            What::Logs(load) => (load.plan()?, &load.options),
            What::Traces(load) => (load.plan()?, &load.options),
        };
        let report = measure(planned, options).await?;
        print(&report, options.json)?;
        if let Some(found) = report.found
            && found.items != found.of
        {
            bail!("queries find {} of {} acknowledged {}", found.items, found.of, report.items);
        }
        Ok(())
    }
}

fn print(report: &IngestReport, is_json: bool) -> anyhow::Result<()> {
    if is_json {
        say!("{}", serde_json::to_string_pretty(report)?);
    } else {
        say!("{}", report.table());
    }
    Ok(())
}

async fn measure(planned: Planned, options: &Options) -> anyhow::Result<IngestReport> {
    let base = options.server(planned.port)?;
    let client = Client::new(&options.tenant, &options.credentials)?;
    let observer = Observer::new(client.clone(), &base, &options.tenant, planned.signal);
    let check = Check::new(client.clone(), &base, planned.signal, planned.stretch);
    let already = if options.no_check { 0 } else { check.count().await? };
    let folder = || options.data_dir.as_deref().map(folder_bytes).transpose();
    let (folder_before, own_before_s) = (folder()?, cpu_seconds());
    let before = observer.look().await?;

    let mut load = Load {
        client: client.clone(),
        url: format!("{base}{}", planned.path),
        headers: planned.headers,
        lanes: options.concurrency,
        rate: options.rate,
        duration_ns: options.duration.map(|duration| duration.as_ms() * 1_000_000),
        ahead_bytes: options.ahead_mib << 20,
        source: planned.source,
    };
    let mut sum = load.run(&observer).await?;
    let own_s = cpu_seconds().zip(own_before_s).map_or(0.0, |(after, before)| after - before);
    let sent = observer.look().await?;
    let settled = match options.no_settle {
        true => None,
        false => Some(observer.settle(options.settle_timeout.as_ms()).await?),
    };
    let folder_after = folder()?;
    let found = match options.no_check {
        true => None,
        false => Some(check.found(already, &sum, load.source.witnesses()).await?),
    };
    let mut report = report(&mut sum, &before, &sent, settled.as_ref());
    report.items = planned.items.to_owned();
    report.format = planned.format;
    report.concurrency = options.concurrency;
    report.sender_cpu_us_per_item = own_s * 1e6 / sum.items.max(1) as f64;
    report.found = found;
    let grown = folder_after.zip(folder_before).map(|(after, before)| after as f64 - before as f64);
    report.folder_bytes_per_item =
        grown.filter(|_| settled.is_some()).map(|bytes| bytes / sum.items.max(1) as f64);
    Ok(report)
}

fn report(sum: &mut Sum, before: &Figures, sent: &Figures, settled: Option<&Figures>) -> IngestReport {
    let items = sum.items.max(1) as f64;
    let last = settled.unwrap_or(sent);
    let grown = |after: Option<f64>, before: Option<f64>| Some((after? - before.unwrap_or(0.0)) / items);
    IngestReport {
        acknowledged: sum.items,
        requests: sum.took_ns.len() as u64,
        seconds: sum.sending_ns as f64 / 1e9,
        per_second: items * 1e9 / (sum.sending_ns.max(1)) as f64,
        cpu_us_per_item: sum.server_cpu_s * 1e6 / items,
        settled_cpu_us_per_item: settled.map(|settled| (settled.cpu_s - before.cpu_s) * 1e6 / items),
        wire_bytes_per_item: sum.bytes as f64 / items,
        wal_bytes_per_item: grown(last.wal_bytes, before.wal_bytes),
        segment_bytes_per_item: settled.and_then(|last| grown(last.segment_bytes, before.segment_bytes)),
        segments: settled.and_then(|settled| settled.segments),
        memory_mib: last.memory_bytes.map(|bytes| bytes / MIB),
        peak_memory_mib: last.peak_memory_bytes.map(|bytes| bytes / MIB),
        latency: super::report::Durations::of(&mut sum.took_ns),
        refusals: sum.refusals,
        ..IngestReport::default()
    }
}
