//! Requests for a tenant, and the answers of the three APIs in the shapes that tests compare.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use serde_json::Value;

/// Labels of a series or stream.
pub(crate) type LabelSet = BTreeMap<String, String>;

/// A listener by what it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    Prometheus,
    Loki,
    Tempo,
    OtlpGrpc,
    OtlpHttp,
}

impl Api {
    /// The name in the ready line.
    pub(crate) const fn listener(self) -> &'static str {
        match self {
            Self::Prometheus => "prometheus",
            Self::Loki => "loki",
            Self::Tempo => "tempo",
            Self::OtlpGrpc => "otlp_grpc",
            Self::OtlpHttp => "otlp_http",
        }
    }
}

/// What a request was answered with.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: bytes::Bytes,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body of a success as JSON.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn content_type(&self) -> &str {
        self.headers.get("content-type").map_or("", |value| value.to_str().unwrap())
    }
}

/// A line that a query returned.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) labels: LabelSet,
    pub(crate) timestamp_ns: i64,
    pub(crate) line: String,
}

/// Sends requests for one tenant, or for nobody.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    addresses: BTreeMap<String, SocketAddr>,
    tenant: Option<String>,
}

impl Client {
    pub(crate) fn new(
        http: reqwest::Client,
        addresses: BTreeMap<String, SocketAddr>,
        tenant: Option<&str>,
    ) -> Self {
        Self { http, addresses, tenant: tenant.map(str::to_owned) }
    }

    pub(crate) fn url(&self, api: Api, path: &str) -> String {
        format!("http://{}{path}", self.addresses[api.listener()])
    }

    fn named(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.tenant {
            Some(tenant) => request.header("X-Scope-OrgID", tenant),
            None => request,
        }
    }

    /// Sends a request that the caller has prepared, for this tenant.
    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer, reqwest::Error> {
        let response = self.named(request).send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, body: response.bytes().await? })
    }

    pub(crate) async fn get(&self, api: Api, path: &str, parameters: &[(&str, &str)]) -> Answer {
        let request = self.http.get(self.url(api, path)).query(parameters);
        self.send(request).await.unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    /// Asks with any method.
    pub(crate) async fn ask(
        &self,
        method: &str,
        api: Api,
        path: &str,
        parameters: &[(&str, &str)],
    ) -> Answer {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        self.send(self.http.request(method, self.url(api, path)).query(parameters)).await.unwrap()
    }

    pub(crate) async fn get_accepting(&self, api: Api, path: &str, accept: &str) -> Answer {
        self.send(self.http.get(self.url(api, path)).header("Accept", accept)).await.unwrap()
    }

    /// Sends a form, as Grafana does.
    pub(crate) async fn post_form(&self, api: Api, path: &str, form: &[(&str, &str)]) -> Answer {
        self.send(self.http.post(self.url(api, path)).form(form)).await.unwrap()
    }

    /// Sends a body; an error where the connection broke.
    pub(crate) async fn post(
        &self,
        api: Api,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Answer, reqwest::Error> {
        let mut request = self.http.post(self.url(api, path)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request).await
    }

    /// `data` of a Prometheus or Loki answer.
    async fn data(&self, api: Api, path: &str, parameters: &[(&str, &str)]) -> Value {
        let answer = self.get(api, path, parameters).await.json();
        assert_eq!(answer["status"], "success", "{answer}");
        answer["data"].clone()
    }

    /// The result of an instant PromQL query at this moment.
    pub(crate) async fn promql(&self, query: &str) -> Value {
        self.data(Api::Prometheus, "/api/v1/query", &[("query", query)]).await["result"].clone()
    }

    /// The instant vector of a PromQL query, sorted by labels.
    pub(crate) async fn vector(&self, query: &str) -> Vec<(LabelSet, f64)> {
        vector(&self.promql(query).await)
    }

    /// The only value of a PromQL query.
    pub(crate) async fn value(&self, query: &str) -> f64 {
        match self.vector(query).await.as_slice() {
            [(_, value)] => *value,
            other => panic!("{query} has {} values: {other:?}", other.len()),
        }
    }

    /// Label values by Prometheus' API.
    pub(crate) async fn metric_label_values(&self, label: &str) -> BTreeSet<String> {
        texts(&self.data(Api::Prometheus, &format!("/api/v1/label/{label}/values"), &[]).await)
    }

    /// Label values by Loki's API, of the last hour.
    pub(crate) async fn log_label_values(&self, label: &str) -> BTreeSet<String> {
        // Loki leaves `data` out where there are none.
        texts(&self.data(Api::Loki, &format!("/loki/api/v1/label/{label}/values"), &[]).await)
    }

    /// The lines of a LogQL query of the last hour, oldest first.
    pub(crate) async fn lines(&self, query: &str) -> Vec<Line> {
        self.lines_between(query, &[]).await
    }

    /// The lines of a LogQL query with more parameters, oldest first.
    pub(crate) async fn lines_between(&self, query: &str, more: &[(&str, &str)]) -> Vec<Line> {
        let parameters = [&[("query", query), ("limit", "5000"), ("direction", "forward")], more].concat();
        let data = self.data(Api::Loki, "/loki/api/v1/query_range", &parameters).await;
        assert_eq!(data["resultType"], "streams", "{query}");
        let mut lines = Vec::new();
        for stream in array(&data["result"]) {
            for value in array(&stream["values"]) {
                lines.push(Line {
                    labels: labels(&stream["stream"]),
                    timestamp_ns: value[0].as_str().unwrap().parse().unwrap(),
                    line: value[1].as_str().unwrap().to_owned(),
                });
            }
        }
        lines.sort_by(|a, b| (a.timestamp_ns, &a.line).cmp(&(b.timestamp_ns, &b.line)));
        lines
    }

    /// The vector of an instant LogQL metric query, sorted by labels.
    pub(crate) async fn log_vector(&self, query: &str) -> Vec<(LabelSet, f64)> {
        let data = self.data(Api::Loki, "/loki/api/v1/query", &[("query", query)]).await;
        assert_eq!(data["resultType"], "vector", "{query}");
        vector(&data["result"])
    }

    /// The traces of a TraceQL search.
    pub(crate) async fn search(&self, query: &str) -> Vec<Value> {
        let parameters = [("q", query), ("limit", "1000"), ("spss", "100")];
        let answer = self.get(Api::Tempo, "/api/search", &parameters).await.json();
        array(&answer["traces"]).to_vec()
    }

    /// Values of a tag by Tempo's second API, as `type:value`.
    pub(crate) async fn tag_values(&self, tag: &str) -> BTreeSet<String> {
        let answer = self.get(Api::Tempo, &format!("/api/v2/search/tag/{tag}/values"), &[]).await.json();
        let values = array(&answer["tagValues"]).iter();
        values.map(|v| format!("{}:{}", v["type"].as_str().unwrap(), v["value"].as_str().unwrap())).collect()
    }

    /// A trace by its id, in protobuf; `None` where there is none.
    pub(crate) async fn trace(&self, id: &str) -> Option<wire::tempo::Trace> {
        let path = format!("/api/v2/traces/{id}");
        let answer = self.get_accepting(Api::Tempo, &path, "application/protobuf").await;
        if answer.status == 404 {
            return None;
        }
        assert_eq!(answer.status, 200, "{}", answer.text());
        let response: wire::tempo::TraceByIdResponse = prost::Message::decode(answer.body).unwrap();
        response.trace
    }
}

/// The elements of an array; none where there is no value.
pub(crate) fn array(value: &Value) -> &[Value] {
    match value {
        Value::Null => &[],
        value => value.as_array().unwrap_or_else(|| panic!("not an array: {value}")),
    }
}

/// The strings of an array.
pub(crate) fn texts(value: &Value) -> BTreeSet<String> {
    let texts = array(value);
    let set: BTreeSet<String> = texts.iter().map(|text| text.as_str().unwrap().to_owned()).collect();
    assert_eq!(set.len(), texts.len(), "a text is there twice: {value}");
    set
}

/// Labels of a JSON object.
pub(crate) fn labels(value: &Value) -> LabelSet {
    let pairs = value.as_object().unwrap().iter();
    pairs.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
}

/// An instant vector of floats, sorted by labels.
pub(crate) fn vector(result: &Value) -> Vec<(LabelSet, f64)> {
    let samples = array(result).iter();
    let mut samples: Vec<(LabelSet, f64)> =
        samples.map(|sample| (labels(&sample["metric"]), number(&sample["value"][1]))).collect();
    samples.sort_by(|a, b| a.0.cmp(&b.0));
    samples
}

/// A number as Prometheus writes it.
pub(crate) fn number(value: &Value) -> f64 {
    match value.as_str().unwrap_or_else(|| panic!("not a number in a string: {value}")) {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        text => text.parse().unwrap(),
    }
}
