//! `stella query`: asks a running server through its public API, and prints tables or the answer's JSON.

mod sql;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::Value;

use super::connect::Credentials;
use super::table::{labels, moment_of_digits, moment_of_seconds, table, text};

/// The most bytes of an answer that are read.
const MAX_ANSWER_BYTES: usize = 256 << 20;

/// Ask a running server.
#[derive(Debug, Args)]
pub struct Query {
    /// The language, and the question.
    #[command(subcommand)]
    pub language: Language,
}

/// The language, and the question.
#[derive(Debug, Subcommand)]
pub enum Language {
    /// A PromQL query, by the Prometheus API.
    Promql(Question),
    /// A LogQL query, by the Loki API.
    Logql(Question),
    /// A TraceQL query, by the Tempo API.
    Traceql(Question),
    /// A SQL query over the tables metrics, logs and traces.
    Sql(sql::SqlQuestion),
}

/// Whom to ask, and for whom.
#[derive(Debug, Args)]
pub struct Server {
    /// The server, as `https://host:port`; this machine and the usual port where none is named.
    #[arg(long, env = "STELLA_SERVER")]
    pub server: Option<String>,
    /// The number that was added to the server's ports.
    #[arg(long, default_value_t = 0, conflicts_with = "server")]
    pub port_offset: u16,
    /// The tenant to ask for.
    #[arg(long, env = "STELLA_TENANT")]
    pub tenant: Option<String>,
    /// How the server is known, and what it is shown.
    #[command(flatten)]
    pub credentials: Credentials,
}

/// What to ask, whom, and how to show it.
#[derive(Debug, Args)]
pub struct Question {
    /// The query.
    pub query: String,
    /// Whom to ask, and for whom.
    #[command(flatten)]
    pub server: Server,
    /// The beginning: RFC 3339 or Unix seconds. With it the query is evaluated over a range.
    #[arg(long)]
    pub start: Option<String>,
    /// The end: RFC 3339 or Unix seconds; now where none is named.
    #[arg(long)]
    pub end: Option<String>,
    /// The distance of steps, as `15s`.
    #[arg(long)]
    pub step: Option<String>,
    /// The most lines or traces.
    #[arg(long)]
    pub limit: Option<usize>,
    /// Print the answer's JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

impl Query {
    /// Asks and prints.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses; the error has its words.
    pub fn run(&self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (question, port, path) = match &self.language {
            Language::Sql(question) => return runtime.block_on(question.run()),
            Language::Promql(q) if q.start.is_some() => (q, 9090, "/api/v1/query_range"),
            Language::Promql(q) => (q, 9090, "/api/v1/query"),
            Language::Logql(q) if q.is_instant_logql() => (q, 3100, "/loki/api/v1/query"),
            Language::Logql(q) => (q, 3100, "/loki/api/v1/query_range"),
            Language::Traceql(q) => (q, 3200, "/api/search"),
        };
        let request = question.server.request(reqwest::Method::GET, port, path)?.query(&self.parameters());
        let answer = runtime.block_on(question.server.text(request));
        let answer = answer.map_err(|error| match &self.language {
            Language::Promql(q) => query::explain_promql(&q.query).map_or(error, anyhow::Error::msg),
            _ => error,
        })?;
        if question.json {
            say!("{answer}");
            return Ok(());
        }
        let answer: Value = serde_json::from_str(&answer).context("the answer is not JSON")?;
        match &self.language {
            Language::Traceql(_) => say!("{}", traces(&answer)),
            Language::Promql(_) | Language::Logql(_) | Language::Sql(_) => {
                say!("{}", result(&answer["data"]));
            }
        }
        for kind in ["warnings", "infos"] {
            for note in answer[kind].as_array().into_iter().flatten() {
                say!("{kind}: {}", text(note));
            }
        }
        Ok(())
    }

    fn parameters(&self) -> Vec<(&'static str, String)> {
        let (question, is_traceql, is_promql) = match &self.language {
            Language::Promql(q) => (q, false, true),
            Language::Logql(q) => (q, false, false),
            Language::Traceql(q) => (q, true, false),
            Language::Sql(_) => return Vec::new(),
        };
        let mut parameters = vec![(if is_traceql { "q" } else { "query" }, question.query.clone())];
        let range = question.start.is_some();
        let is_instant = if is_promql { !range } else { !is_traceql && question.is_instant_logql() };
        let end = if is_instant { "time" } else { "end" };
        let pairs = [("start", &question.start), (end, &question.end), ("step", &question.step)];
        for (name, value) in pairs {
            // Tempo's API takes Unix seconds alone; the others take either form.
            let value = value.as_ref().map(|v| if is_traceql { in_seconds(v) } else { v.clone() });
            parameters.extend(value.map(|value| (name, value)));
        }
        if is_promql && range && question.step.is_none() {
            parameters.push(("step", "60s".into()));
        }
        if is_promql && range && question.end.is_none() {
            parameters.push(("end", jiff::Timestamp::now().to_string()));
        }
        parameters.extend(question.limit.map(|limit| ("limit", limit.to_string())));
        parameters
    }
}

impl Question {
    /// Whether it is a LogQL query for numbers at one moment: lines always come from a range.
    fn is_instant_logql(&self) -> bool {
        self.start.is_none() && !query::is_log_query(&self.query)
    }
}

impl Server {
    /// A request to the server; `port` is where the API is by default.
    pub(super) fn request(
        &self,
        method: reqwest::Method,
        port: u16,
        path: &str,
    ) -> anyhow::Result<reqwest::RequestBuilder> {
        let server = match &self.server {
            Some(server) => server.trim_end_matches('/').to_owned(),
            None => {
                let port = port.checked_add(self.port_offset).context("the port is beyond 65535")?;
                format!("{}:{port}", self.credentials.this_machine())
            }
        };
        let client = self.credentials.client()?.0.build()?;
        let request = self.credentials.authorize(client.request(method, format!("{server}{path}")))?;
        Ok(match &self.tenant {
            Some(tenant) => request.header("X-Scope-OrgID", tenant),
            None => request,
        })
    }

    /// The answer, once it is known to be one.
    async fn send(&self, request: reqwest::RequestBuilder) -> anyhow::Result<reqwest::Response> {
        let (client, request) = request.build_split();
        let request = request.context("the server's address is not one")?;
        let mut url = request.url().clone();
        url.set_query(None);
        let response = client.execute(request).await.with_context(|| format!("cannot ask {url}"))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = text_of(response).await?;
        let said = serde_json::from_str::<Value>(&body).ok();
        let said = said.and_then(|v| v["error"].as_str().map(str::to_owned)).unwrap_or(body);
        bail!("{url} answered {status}: {}", said.trim())
    }

    /// The text of an answer.
    pub(super) async fn text(&self, request: reqwest::RequestBuilder) -> anyhow::Result<String> {
        text_of(self.send(request).await?).await
    }
}

async fn text_of(mut response: reqwest::Response) -> anyhow::Result<String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            bail!("the answer is larger than {MAX_ANSWER_BYTES} bytes; ask for less");
        }
        body.extend_from_slice(&chunk);
    }
    String::from_utf8(body).context("the answer is not text")
}

/// A moment in RFC 3339 as Unix seconds; other texts as they are.
fn in_seconds(text: &str) -> String {
    text.parse::<jiff::Timestamp>().map_or_else(|_| text.to_owned(), |t| t.as_second().to_string())
}

/// The result of a PromQL or LogQL query.
fn result(data: &Value) -> comfy_table::Table {
    let items = data["result"].as_array().map(Vec::as_slice).unwrap_or_default();
    match data["resultType"].as_str().unwrap_or_default() {
        "streams" => {
            let mut rows: Vec<[String; 3]> = Vec::new();
            for stream in items {
                for value in stream["values"].as_array().into_iter().flatten() {
                    rows.push([moment_of_digits(&value[0]), labels(&stream["stream"]), text(&value[1])]);
                }
            }
            rows.sort();
            filled(&["time", "stream", "line"], rows)
        }
        "matrix" => {
            let mut rows = Vec::new();
            for series in items {
                for key in ["values", "histograms"] {
                    for value in series[key].as_array().into_iter().flatten() {
                        let point =
                            [labels(&series["metric"]), moment_of_seconds(&value[0]), shown(&value[1])];
                        rows.push(point);
                    }
                }
            }
            filled(&["series", "time", "value"], rows)
        }
        "vector" => {
            let rows = items.iter().map(|sample| {
                let value = if sample["value"].is_null() { &sample["histogram"] } else { &sample["value"] };
                [labels(&sample["metric"]), shown(&value[1])]
            });
            filled(&["series", "value"], rows)
        }
        _ => filled(&["value"], [[shown(&data["result"][1])]]),
    }
}

/// A sample's value: a number as it stands, of a histogram its count and sum.
fn shown(value: &Value) -> String {
    match value.as_object() {
        Some(histogram) => format!(
            "count={} sum={}",
            text(histogram.get("count").unwrap_or(&Value::Null)),
            text(histogram.get("sum").unwrap_or(&Value::Null))
        ),
        None => text(value),
    }
}

/// The result of a TraceQL search.
fn traces(answer: &Value) -> comfy_table::Table {
    let rows = answer["traces"].as_array().into_iter().flatten().map(|trace| {
        [
            text(&trace["traceID"]),
            moment_of_digits(&trace["startTimeUnixNano"]),
            text(&trace["rootServiceName"]),
            text(&trace["rootTraceName"]),
            format!("{} ms", trace["durationMs"].as_u64().unwrap_or(0)),
            trace["spanSets"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|set| text(&set["matched"]))
                .collect::<Vec<_>>()
                .join(" "),
        ]
    });
    filled(&["trace", "start", "service", "name", "duration", "spans"], rows)
}

fn filled<const N: usize>(
    columns: &[&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> comfy_table::Table {
    let mut table = table(columns);
    table.add_rows(rows);
    table
}
