//! `stella retention prove`: samples of the three signals go in through the real doors, with times that are nearly as old as
//! the tenant's data may be; a little later nothing gives them out, and no object of the store and no file of the node's log
//! has them.

use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use model::Clock;
use reqwest::Method;
use serde_json::{Value, json};

use super::super::query::Server;
use super::{PORT, ask};
use crate::clock::SystemClock;
use crate::config::units;
use crate::keeping::{PLAN, PlanAnswer, PlannedSignal, RUN, RunAnswer, STORED, StoredAnswer};

const LOKI_PORT: u16 = 3100;
const TEMPO_PORT: u16 = 3200;
/// The pause between the first two looks; each is twice as long as the one before.
const PAUSE: Duration = Duration::from_millis(250);
/// The longest: every look has a pass of retention run, which is an event of the audit.
const MAX_PAUSE: Duration = Duration::from_secs(15);
/// What there is of a sample besides its time.
const NAME: &str = "stella_retention_proof";
/// What a sample is younger than the oldest that is taken: it is on its way for some time.
const OLDEST_SLACK_MS: u64 = 5_000;
/// The label that tells one proof from another.
const LABEL: &str = "proof";

/// Show that what is to go goes.
#[derive(Debug, Args)]
pub(super) struct Prove {
    /// How long before their expiry the samples are sent.
    #[arg(long, default_value = "15s")]
    ahead: units::Duration,
    /// How long to wait, after the expiry, until no object has them: nothing is deleted before the grace of the sweep.
    #[arg(long, default_value = "2h")]
    timeout: units::Duration,
    #[command(flatten)]
    server: Server,
    #[arg(skip = SystemClock::new())]
    clock: SystemClock,
}

/// One sample of a signal.
struct Sample {
    signal: &'static str,
    /// When it was, in nanoseconds.
    time_ns: i64,
    /// When it expires, in monotonic nanoseconds.
    expires_ns: u64,
}

impl Prove {
    /// Proves it, and says each step.
    ///
    /// # Errors
    /// When a sample is not taken or not found, is kept for ever or held, or is still there when it must be gone.
    pub(super) async fn run(&self) -> anyhow::Result<()> {
        let Some(tenant) = &self.server.tenant else { bail!("name the tenant: --tenant T") };
        let marker = hex::encode(rand::random::<[u8; 16]>());
        tell(&format!("tenant {tenant}, proof {marker}"));
        let samples = self.samples().await?;
        for sample in &samples {
            self.send(sample, &marker).await.with_context(|| format!("{} are not taken", sample.signal))?;
            if !self.is_found(sample, &marker).await? {
                bail!("{}: the sample was taken and is not found", sample.signal);
            }
        }
        self.flush().await?;
        for sample in &samples {
            let stored = self.stored(sample, &marker).await?;
            if stored.rows == 0 {
                bail!("{}: no object has the sample, so that nothing can be shown", sample.signal);
            }
            tell(&format!(
                "{}: sent, found, and in {} of the store",
                sample.signal,
                stored.segments.join(", ")
            ));
        }
        for sample in &samples {
            self.expire(sample, &marker).await?;
        }
        for sample in &samples {
            self.vanish(sample, &marker).await?;
        }
        tell("proven: what expires is unreadable at once, and gone from store and log");
        Ok(())
    }

    /// A moment in monotonic time.
    fn in_ms(&self, ms: u64) -> u64 {
        self.clock.monotonic_ns().saturating_add(ms.saturating_mul(1_000_000))
    }

    /// A sample of each signal, which expires soon.
    async fn samples(&self) -> anyhow::Result<Vec<Sample>> {
        let plan: PlanAnswer = ask(&self.server, Method::GET, PLAN).await?;
        let mut samples = Vec::new();
        for signal in ["metrics", "logs", "traces"] {
            let planned = plan.signals.iter().find(|planned| planned.signal == signal);
            let planned = planned.with_context(|| format!("the plan says nothing of {signal}"))?.clone();
            if let Some(hold) = planned.holds.first() {
                bail!("{signal} are held: {} {} ({})", hold.kind, hold.id, hold.reason);
            }
            let Some(period_s) = planned.period_s else {
                bail!("{signal} are kept for ever: nothing expires")
            };
            if !planned.rules.is_empty() {
                tell(&format!("{signal}: selectors have periods of their own; the proof is of the rest"));
            }
            let age_ms = self.age_ms(signal, &planned, (period_s * 1e3) as u64)?;
            // Whole milliseconds, as metrics have them.
            let time_ns = (self.clock.now().0 / 1_000_000 - age_ms as i64) * 1_000_000;
            let expires_ns = self.in_ms((period_s * 1e3) as u64 - age_ms + 2);
            tell(&format!("{signal}: kept {} (from {})", planned.period.unwrap_or_default(), planned.from));
            samples.push(Sample { signal, time_ns, expires_ns });
        }
        Ok(samples)
    }

    /// How old a sample is sent, in milliseconds: almost as old as it may be, unless so old ones are not taken.
    fn age_ms(&self, signal: &str, planned: &PlannedSignal, period_ms: u64) -> anyhow::Result<u64> {
        let wanted_ms = period_ms.saturating_sub(self.ahead.as_ms());
        let oldest_ms =
            planned.oldest_taken_s.map(|oldest_s| ((oldest_s * 1e3) as u64).saturating_sub(OLDEST_SLACK_MS));
        let Some(oldest_ms) = oldest_ms.filter(|oldest_ms| *oldest_ms < wanted_ms) else {
            return Ok(wanted_ms);
        };
        let left_s = (period_ms - oldest_ms) / 1_000;
        if left_s * 1_000 > self.timeout.as_ms() {
            bail!(
                "{signal}: what is older than {} s is not taken (reject_old_samples), so that the proof would wait for \
                 {left_s} s: allow it with --timeout, or have the limit raised for the proof",
                planned.oldest_taken_s.unwrap_or_default()
            );
        }
        tell(&format!("{signal}: older ones are not taken; the sample expires in {left_s} s"));
        Ok(oldest_ms)
    }

    async fn send(&self, sample: &Sample, marker: &str) -> anyhow::Result<()> {
        let time = sample.time_ns.to_string();
        let resource = json!({"attributes": [
            {"key": "service.name", "value": {"stringValue": NAME}},
        ]});
        let attribute = json!([{"key": LABEL, "value": {"stringValue": marker}}]);
        let (port, path, body) = match sample.signal {
            "metrics" => {
                let point = json!({"timeUnixNano": time, "asDouble": 1.0, "attributes": attribute});
                let metric = json!({"name": NAME, "gauge": {"dataPoints": [point]}});
                let scope = json!([{"metrics": [metric]}]);
                let body = json!({"resourceMetrics": [{"resource": resource, "scopeMetrics": scope}]});
                (PORT, "/api/v1/otlp/v1/metrics", body)
            }
            "logs" => {
                let stream = json!({LABEL: marker, "service_name": NAME});
                let values = json!([[time, "a line that expires"]]);
                (LOKI_PORT, "/loki/api/v1/push", json!({"streams": [{"stream": stream, "values": values}]}))
            }
            _ => {
                let span = json!({
                    "traceId": marker, "spanId": &marker[..16], "name": NAME,
                    "startTimeUnixNano": time, "endTimeUnixNano": time, "attributes": attribute,
                });
                let scope = json!([{"spans": [span]}]);
                let body = json!({"resourceSpans": [{"resource": resource, "scopeSpans": scope}]});
                (TEMPO_PORT, "/v1/traces", body)
            }
        };
        let reply = self.server.text(self.server.request(Method::POST, port, path)?.json(&body)).await?;
        let reply: Value = serde_json::from_str(&reply).unwrap_or_default();
        let rejected = reply["partialSuccess"].as_object().filter(|partial| !partial.is_empty());
        rejected.map_or(Ok(()), |partial| bail!("{}", Value::Object(partial.clone())))
    }

    /// Whether the query API of the signal gives the sample out.
    async fn is_found(&self, sample: &Sample, marker: &str) -> anyhow::Result<bool> {
        let server = &self.server;
        let seconds = sample.time_ns as f64 / 1e9;
        let (start, end) = (sample.time_ns - 1_000_000_000, sample.time_ns + 1_000_000_000);
        let request = match sample.signal {
            "metrics" => {
                let query = format!("{NAME}{{{LABEL}=\"{marker}\"}}");
                let time = format!("{seconds:.3}");
                server.request(Method::GET, PORT, "/api/v1/query")?.query(&[("query", query), ("time", time)])
            }
            "logs" => {
                let query = format!("{{{LABEL}=\"{marker}\"}}");
                let range = [("query", query), ("start", start.to_string()), ("end", end.to_string())];
                server.request(Method::GET, LOKI_PORT, "/loki/api/v1/query_range")?.query(&range)
            }
            _ => {
                let query = format!("{{ span.{LABEL} = \"{marker}\" }}");
                let (start, end) = (seconds.floor() - 1.0, seconds.ceil() + 1.0);
                let range = [("q", query), ("start", start.to_string()), ("end", end.to_string())];
                server.request(Method::GET, TEMPO_PORT, "/api/search")?.query(&range)
            }
        };
        let answer: Value = serde_json::from_str(&server.text(request).await?)?;
        let found = if sample.signal == "traces" { &answer["traces"] } else { &answer["data"]["result"] };
        Ok(found.as_array().is_some_and(|found| !found.is_empty()))
    }

    async fn flush(&self) -> anyhow::Result<()> {
        self.server.text(self.server.request(Method::POST, PORT, "/flush")?).await?;
        Ok(())
    }

    /// Looks into the objects of the store for the sample.
    async fn stored(&self, sample: &Sample, marker: &str) -> anyhow::Result<StoredAnswer> {
        let mut asked = vec![("signal", sample.signal.to_owned()), ("time_ns", sample.time_ns.to_string())];
        match sample.signal {
            "traces" => asked.push(("trace_id", marker.to_owned())),
            _ => asked.extend([("label", LABEL.to_owned()), ("value", marker.to_owned())]),
        }
        let request = self.server.request(Method::GET, PORT, STORED)?.query(&asked);
        Ok(serde_json::from_str(&self.server.text(request).await?)?)
    }

    /// Waits until the sample expires, and shows that nothing gives it out from then on.
    async fn expire(&self, sample: &Sample, marker: &str) -> anyhow::Result<()> {
        let left_ns = sample.expires_ns.saturating_sub(self.clock.monotonic_ns());
        tokio::time::sleep(Duration::from_nanos(left_ns)).await;
        if self.is_found(sample, marker).await? {
            let plan: PlanAnswer = ask(&self.server, Method::GET, PLAN).await?;
            let holds = plan.signals.iter().filter(|planned| planned.signal == sample.signal);
            let held: Vec<String> = holds
                .flat_map(|planned| &planned.holds)
                .map(|hold| format!("{} {} ({})", hold.kind, hold.id, hold.reason))
                .collect();
            if held.is_empty() {
                bail!("{}: the sample has expired and can be read", sample.signal);
            }
            bail!("{}: the sample would have expired and is held: {}", sample.signal, held.join(", "));
        }
        tell(&format!("{}: expired, and nothing gives it out", sample.signal));
        Ok(())
    }

    /// Waits until no object and no log file has the sample.
    async fn vanish(&self, sample: &Sample, marker: &str) -> anyhow::Result<()> {
        let until_ns = self.in_ms(self.timeout.as_ms());
        let (mut is_told, mut pause) = (false, PAUSE);
        loop {
            let done: RunAnswer = ask(&self.server, Method::POST, RUN).await?;
            let stored = self.stored(sample, marker).await?;
            if stored.rows == 0 && stored.log_rows == 0 {
                tell(&format!("{}: no object of the store and no file of the log has it", sample.signal));
                return Ok(());
            }
            if !is_told {
                is_told = true;
                tell(&format!(
                    "{}: unreadable, and not gone yet: objects go when the grace of the sweep is over \
                     (retention.sweep_grace, 1h unless configured)",
                    sample.signal
                ));
            }
            if self.clock.monotonic_ns() >= until_ns && stored.rows == 0 {
                bail!("{}: files of the log still have the sample: {:?}", sample.signal, stored.log_files);
            }
            if self.clock.monotonic_ns() >= until_ns {
                bail!(
                    "{}: objects still have the sample: {} (bytes that wait for the grace of the sweep: {})",
                    sample.signal,
                    stored.segments.join(", "),
                    done.expired_bytes_present
                );
            }
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(MAX_PAUSE);
        }
    }
}

fn tell(step: &str) {
    say!("{step}");
}
