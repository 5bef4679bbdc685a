//! `stella bench query`: asks every kind of question again and again, one at a time, and reports how long answers take
//! and what they cost the server. An answer that is empty where it must not be is an error.

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use http::StatusCode;
use model::time::Clock;
use serde_json::Value;

use super::client::Client;
use super::observe::Observer;
use super::questions::{self, Expected, Ground, Question, size};
use super::report::{Answered, Durations, QueryReport};
use crate::clock::SystemClock;
use crate::commands::connect::Credentials;
use crate::config::units::Duration;

/// How far back the end of the telemetry is looked for.
const SOUGHT_MS: i64 = 24 * 3_600_000;

/// Ask every kind of question of what `stella bench ingest` sent.
#[derive(Debug, Args)]
pub struct QueryBench {
    /// What to ask about; everything where nothing is named.
    #[arg(value_enum)]
    signals: Vec<Signal>,
    /// The server, as `https://host`; the usual ports are added. This machine where none is named.
    #[arg(long)]
    host: Option<String>,
    /// How the server is known, and what it is shown.
    #[command(flatten)]
    credentials: Credentials,
    /// The number that was added to the server's ports.
    #[arg(long, default_value_t = 0)]
    port_offset: u16,
    /// The tenant to ask for.
    #[arg(long, env = "STELLA_TENANT", default_value = "bench")]
    tenant: String,
    /// How much time the telemetry tells of.
    #[arg(long, default_value = "2h")]
    stretch: Duration,
    /// The end of that time in RFC 3339; the newest that is there where none is named.
    #[arg(long)]
    end: Option<String>,
    /// How often each question is asked.
    #[arg(long, default_value_t = 20)]
    runs: usize,
    /// How often before that, without counting; the very first time is reported apart.
    #[arg(long, default_value_t = 2)]
    warm_up: usize,
    /// Only kinds of questions with this text in their name.
    #[arg(long)]
    only: Option<String>,
    /// A Prometheus with the same samples, as `http://host:port`: it is asked the same, for comparison.
    #[arg(long)]
    compare: Option<String>,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// What questions are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Signal {
    /// Metrics, in PromQL.
    Metrics,
    /// Logs, in LogQL.
    Logs,
    /// Traces, in TraceQL.
    Traces,
}

impl Signal {
    const fn port(self) -> u16 {
        match self {
            Self::Metrics => 9090,
            Self::Logs => 3100,
            Self::Traces => 3200,
        }
    }

    const fn model(self) -> model::Signal {
        match self {
            Self::Metrics => model::Signal::Metrics,
            Self::Logs => model::Signal::Logs,
            Self::Traces => model::Signal::Traces,
        }
    }
}

impl QueryBench {
    /// Asks and reports.
    pub(super) async fn run(&self) -> anyhow::Result<()> {
        let all = [Signal::Metrics, Signal::Logs, Signal::Traces];
        let signals = if self.signals.is_empty() { &all[..] } else { &self.signals };
        let mut reports = Vec::new();
        for signal in signals {
            reports.push(self.measure(*signal).await?);
        }
        print(&reports, self.json)
    }

    async fn measure(&self, signal: Signal) -> anyhow::Result<QueryReport> {
        if self.runs == 0 {
            bail!("--runs must be at least 1");
        }
        let port = signal.port().checked_add(self.port_offset).context("the port is beyond 65535")?;
        let host = self.host.as_deref().unwrap_or(self.credentials.this_machine());
        let base = format!("{}:{port}", host.trim_end_matches('/'));
        let client = Client::new(&self.tenant, &self.credentials)?;
        let ground = self.ground(&client, &base, signal).await?;
        let questions = match signal {
            Signal::Metrics => questions::metrics::questions(&ground),
            Signal::Logs => questions::logs::questions(&ground),
            Signal::Traces => questions::traces::questions(&ground),
        };
        let observer = Observer::new(client.clone(), &base, &self.tenant, signal.model());
        let compared = self.compare.as_deref().filter(|_| signal == Signal::Metrics);
        let compared = compared.map(|base| base.trim_end_matches('/'));
        let mut report = QueryReport { signal: signal.model().to_string(), answers: Vec::new() };
        let is_asked =
            |question: &Question| self.only.as_ref().is_none_or(|only| question.kind.contains(only));
        for question in questions.iter().filter(|question| is_asked(question)) {
            let mut answered = self.ask(&client, &base, question, Some(&observer)).await?;
            if let Some(base) = compared {
                let other = self.ask(&client, base, question, None).await?;
                answered.compared_size = Some(other.size);
                answered.compared = Some(other.durations);
            }
            report.answers.push(answered);
        }
        Ok(report)
    }

    async fn ask(
        &self,
        client: &Client,
        base: &str,
        question: &Question,
        observer: Option<&Observer>,
    ) -> anyhow::Result<Answered> {
        let url = format!("{base}{}", question.path);
        let (first_ns, size) = ask_once(client, &url, question).await?;
        for _ in 1..self.warm_up {
            ask_once(client, &url, question).await?;
        }
        let cpu_s = async || match observer {
            Some(observer) => anyhow::Ok(Some(observer.look().await?.cpu_s)),
            None => Ok(None),
        };
        let before_s = cpu_s().await?;
        let mut took_ns = Vec::with_capacity(self.runs);
        for _ in 0..self.runs {
            took_ns.push(ask_once(client, &url, question).await?.0);
        }
        let spent_s = cpu_s().await?.zip(before_s).map(|(after, before)| after - before);
        Ok(Answered {
            kind: question.kind.to_owned(),
            durations: Durations::of(&mut took_ns),
            first_ms: first_ns as f64 / 1e6,
            cpu_ms: spent_s.map(|s| s * 1e3 / self.runs as f64),
            size,
            compared: None,
            compared_size: None,
        })
    }

    /// Finds out what time the telemetry tells of, and names that are in it.
    async fn ground(&self, client: &Client, base: &str, signal: Signal) -> anyhow::Result<Ground> {
        let end_ms = match &self.end {
            Some(end) => end.parse::<jiff::Timestamp>().context("--end is no RFC 3339")?.as_millisecond(),
            None => newest_ms(client, base, signal).await?,
        };
        let length_ms = i64::try_from(self.stretch.as_ms()).context("--stretch is too long")?;
        let start_ms = end_ms - length_ms;
        let (mut pod, mut trace_id) = (String::new(), String::new());
        // A tenth from the beginning: that is in segments by then, not in memory.
        let early_ms = start_ms + length_ms / 10;
        match signal {
            Signal::Metrics => {
                let parameters = [("query", "up".to_owned()), ("time", (end_ms / 1_000).to_string())];
                let answer = json(client, &format!("{base}/api/v1/query"), &parameters).await?;
                pod = text(&answer, "/data/result/0/metric/pod")?;
            }
            Signal::Logs => {
                let query = "{app=\"catalog\"}".to_owned();
                let answer = last_lines(client, base, query, (start_ms, early_ms)).await?;
                pod = text(&answer, "/data/result/0/stream/pod")?;
                let line = text(&answer, "/data/result/0/values/0/1")?;
                let line: Value = serde_json::from_str(&line).context("a line of catalog is no JSON")?;
                trace_id = text(&line, "/trace_id")?;
            }
            Signal::Traces => {
                trace_id = text(&traces(client, base, (start_ms, early_ms)).await?, "/traces/0/traceID")?;
            }
        }
        Ok(Ground { start_ms, end_ms, pod, trace_id })
    }
}

/// The moment of the newest item, looked for within a day.
async fn newest_ms(client: &Client, base: &str, signal: Signal) -> anyhow::Result<i64> {
    let now_ms = SystemClock::new().now().0 / 1_000_000;
    let day = (now_ms - SOUGHT_MS, now_ms);
    match signal {
        Signal::Metrics => {
            let query = "max(max_over_time(timestamp(up)[24h:1m]))".to_owned();
            let parameters = [("query", query), ("time", (now_ms / 1_000).to_string())];
            let answer = json(client, &format!("{base}/api/v1/query"), &parameters).await?;
            let seconds: f64 = text(&answer, "/data/result/0/value/1")?.parse()?;
            Ok((seconds * 1e3) as i64)
        }
        Signal::Logs => {
            let answer = last_lines(client, base, "{cluster=\"bench\"}".to_owned(), day).await?;
            let ns: i64 = text(&answer, "/data/result/0/values/0/0")?.parse()?;
            Ok(ns / 1_000_000)
        }
        Signal::Traces => {
            let ns: i64 = text(&traces(client, base, day).await?, "/traces/0/startTimeUnixNano")?.parse()?;
            Ok(ns / 1_000_000)
        }
    }
}

async fn last_lines(
    client: &Client,
    base: &str,
    query: String,
    (start_ms, end_ms): (i64, i64),
) -> anyhow::Result<Value> {
    let parameters = [
        ("query", query),
        ("start", (start_ms * 1_000_000).to_string()),
        ("end", (end_ms * 1_000_000).to_string()),
        ("limit", "1".to_owned()),
    ];
    json(client, &format!("{base}/loki/api/v1/query_range"), &parameters).await
}

async fn traces(client: &Client, base: &str, (start_ms, end_ms): (i64, i64)) -> anyhow::Result<Value> {
    let parameters = [
        ("q", "{ }".to_owned()),
        ("limit", "1".to_owned()),
        ("start", (start_ms / 1_000).to_string()),
        ("end", (end_ms / 1_000 + 1).to_string()),
    ];
    json(client, &format!("{base}/api/search"), &parameters).await
}

async fn json(client: &Client, url: &str, parameters: &[(&str, String)]) -> anyhow::Result<Value> {
    let answer = client.get(url, parameters).await?.into_text().with_context(|| format!("{url} refuses"))?;
    Ok(serde_json::from_str(&answer)?)
}

fn text(answer: &Value, pointer: &str) -> anyhow::Result<String> {
    let found = answer.pointer(pointer).and_then(Value::as_str);
    let found =
        found.with_context(|| format!("nothing is there at {pointer}: load it by stella bench ingest"))?;
    Ok(found.to_owned())
}

/// Asks, and checks that the answer is one. Its time in nanoseconds, and its size.
async fn ask_once(client: &Client, url: &str, question: &Question) -> anyhow::Result<(u64, usize)> {
    let answer = client.get(url, &question.parameters).await?;
    let took_ns = answer.took_ns;
    let size = if answer.status == StatusCode::NOT_FOUND && question.expected == Expected::Nothing {
        0
    } else {
        let body = answer.into_text().with_context(|| format!("{:?} is refused by {url}", question.kind))?;
        size(&serde_json::from_str(&body).with_context(|| format!("{url} answers no JSON"))?)
    };
    if (size == 0) != (question.expected == Expected::Nothing) {
        bail!("{:?} has an answer of size {size} from {url}: {:?}", question.kind, question.parameters);
    }
    Ok((took_ns, size))
}

fn print(reports: &[QueryReport], is_json: bool) -> anyhow::Result<()> {
    if is_json {
        say!("{}", serde_json::to_string_pretty(reports)?);
        return Ok(());
    }
    for report in reports {
        say!("{}", report.table());
    }
    Ok(())
}
