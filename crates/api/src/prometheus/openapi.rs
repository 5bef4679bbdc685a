//! `openapi.yaml`: the routes of the Prometheus port as a description that programs read. It names what is served: the tests
//! compare it with the routes, and the server asks each of them.
//!
//! Source: OpenAPI 3.1.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::CONTENT_TYPE;

use super::Prometheus;

/// What is asked at one path.
struct Route {
    path: &'static str,
    /// In the words of OpenAPI.
    methods: &'static [&'static str],
    summary: &'static str,
    /// Names of [`PARAMETERS`]; `!` stands behind those that must be there.
    parameters: &'static str,
    /// The content type of the answer; none where it has no body.
    answer: &'static str,
}

const QUESTION: &[&str] = &["get", "post"];

const GET: &[&str] = &["get"];

const POST: &[&str] = &["post"];

const CHANGE: &[&str] = &["post", "put"];

const JSON: &str = "application/json";

const LINES: &str = "application/x-ndjson";

const TEXT: &str = "text/plain";

const PROTOBUF: &str = "application/x-protobuf";

const fn route(
    methods: &'static [&'static str],
    path: &'static str,
    parameters: &'static str,
    answer: &'static str,
    summary: &'static str,
) -> Route {
    Route { path, methods, summary, parameters, answer }
}

const SEARCH: &str = "match[] search[] fuzz_threshold fuzz_alg case_sensitive sort_by sort_dir include_score start end limit \
                      batch_size";

const SEARCH_METRICS: &str = "match[] search[] fuzz_threshold fuzz_alg case_sensitive sort_by sort_dir include_score \
                              include_metadata start end limit batch_size";

const SEARCH_VALUES: &str = "label! match[] search[] fuzz_threshold fuzz_alg case_sensitive sort_by sort_dir include_score \
                             start end limit batch_size";

/// Everything that the port answers, in the order in which it is shown.
const ROUTES: &[Route] = &[
    route(
        QUESTION,
        "/api/v1/query",
        "query! time timeout limit lookback_delta stats",
        JSON,
        "Evaluate PromQL at one moment",
    ),
    route(
        QUESTION,
        "/api/v1/query_range",
        "query! start! end! step! timeout limit lookback_delta stats",
        JSON,
        "Evaluate PromQL at each step of a range",
    ),
    route(QUESTION, "/api/v1/query_exemplars", "query! start end", JSON, "Exemplars of the selected series"),
    route(QUESTION, "/api/v1/format_query", "query!", JSON, "Lay out a PromQL query"),
    route(QUESTION, "/api/v1/parse_query", "query!", JSON, "A PromQL query as a tree"),
    route(
        QUESTION,
        "/api/v1/sql",
        "query! timeout format",
        JSON,
        "Ask the metrics, logs and traces of a tenant with SQL",
    ),
    route(QUESTION, "/api/v1/labels", "start end match[] limit", JSON, "Names of labels"),
    route(GET, "/api/v1/label/{name}/values", "start end match[] limit", JSON, "Values of a label"),
    route(QUESTION, "/api/v1/series", "match[]! start end limit", JSON, "Series by their labels"),
    route(
        QUESTION,
        "/api/v1/search/metric_names",
        SEARCH_METRICS,
        LINES,
        "Names of metrics that are like some terms",
    ),
    route(QUESTION, "/api/v1/search/label_names", SEARCH, LINES, "Names of labels that are like some terms"),
    route(
        QUESTION,
        "/api/v1/search/label_values",
        SEARCH_VALUES,
        LINES,
        "Values of a label that are like some terms",
    ),
    route(GET, "/api/v1/metadata", "limit limit_per_metric metric", JSON, "Types, units and help of metrics"),
    route(GET, "/api/v1/targets", "state scrapePool", JSON, "Targets that are scraped: none"),
    route(
        GET,
        "/api/v1/targets/metadata",
        "match_target metric limit",
        JSON,
        "Metadata of scraped targets: none",
    ),
    route(
        GET,
        "/api/v1/targets/relabel_steps",
        "scrapePool! labels!",
        JSON,
        "Steps of relabelling of a pool",
    ),
    route(GET, "/api/v1/scrape_pools", "", JSON, "Pools of targets: none"),
    route(GET, "/api/v1/scrape_pools/config", "scrapePool!", JSON, "Configuration of a pool"),
    route(GET, "/api/v1/alertmanagers", "", JSON, "Alertmanagers: none"),
    route(GET, "/api/v1/alerts", "", JSON, "Active alerts: none"),
    route(
        GET,
        "/api/v1/rules",
        "type rule_name[] rule_group[] file[] exclude_alerts match[] group_limit group_next_token",
        JSON,
        "Rules: none",
    ),
    route(GET, "/api/v1/notifications", "", JSON, "Notifications: none"),
    route(GET, "/api/v1/notifications/live", "", "", "Notifications as they come: none"),
    route(GET, "/api/v1/features", "", JSON, "What is experimental and what is enabled"),
    route(GET, "/api/v1/openapi.yaml", "", "application/yaml", "This description"),
    route(GET, "/api/v1/status/buildinfo", "", JSON, "Which version runs"),
    route(GET, "/api/v1/status/runtimeinfo", "", JSON, "The process and the retention"),
    route(GET, "/api/v1/status/config", "", JSON, "The configuration in force"),
    route(GET, "/api/v1/status/flags", "", JSON, "Settings by the names of Prometheus' flags"),
    route(GET, "/api/v1/status/tsdb", "limit", JSON, "Series and labels counted"),
    route(GET, "/api/v1/status/tsdb/blocks", "", JSON, "Segments of the tenant's metrics"),
    route(GET, "/api/v1/status/walreplay", "", JSON, "Progress of reading the log after a start"),
    route(
        GET,
        "/api/v1/status/self_metrics",
        "metric_name_pattern",
        JSON,
        "The server's own metrics: at another port",
    ),
    route(POST, "/api/v1/read", "", PROTOBUF, "Remote read"),
    route(POST, "/api/v1/write", "", "", "Remote write 1.0 and 2.0"),
    route(POST, "/api/v1/otlp/v1/metrics", "", PROTOBUF, "Metrics of OTLP over HTTP"),
    route(CHANGE, "/api/v1/admin/tsdb/delete_series", "match[]! start end", "", "Delete series"),
    route(CHANGE, "/api/v1/admin/tsdb/clean_tombstones", "", "", "Remove what was deleted from the store"),
    route(
        CHANGE,
        "/api/v1/admin/tsdb/snapshot",
        "skip_head",
        JSON,
        "Says how to copy the store, which needs no snapshot",
    ),
    route(GET, "/federate", "match[]!", TEXT, "The newest samples in the format of exposition"),
    route(GET, "/version", "", JSON, "Which version runs"),
    route(GET, "/-/healthy", "", TEXT, "Whether the process lives"),
    route(GET, "/-/ready", "", TEXT, "Whether it answers questions"),
    route(CHANGE, "/-/reload", "", TEXT, "Read the limits of tenants again"),
    route(CHANGE, "/-/quit", "", TEXT, "Stop the process"),
    route(GET, "/metrics", "", TEXT, "Metrics of the process"),
];

/// Names of parameters with their types (a `[` begins a list) and what they mean.
const PARAMETERS: &[(&str, &str, &str)] = &[
    ("query", "string", "The text of the query."),
    ("time", "string", "The moment: RFC 3339 or Unix seconds; now, where it is left out."),
    ("start", "string", "The first moment: RFC 3339 or Unix seconds."),
    ("end", "string", "The last moment: RFC 3339 or Unix seconds."),
    ("step", "string", "The time between two steps: a duration or seconds."),
    ("timeout", "string", "How long the evaluation may take: a duration or seconds."),
    ("limit", "integer", "The most that is answered with; 0 stands for no limit."),
    ("lookback_delta", "string", "How far back a sample counts: a duration or seconds."),
    ("stats", "string", "Anything asks for statistics of the query, `all` also for those of each step."),
    ("format", "string", "The form of the rows: `json`, `csv` or `arrow`."),
    ("match[]", "[string", "Selectors, of which series match at least one."),
    ("metric", "string", "The name of one metric."),
    ("limit_per_metric", "integer", "The most entries of each metric."),
    ("search[]", "[string", "Terms, of which names match at least one."),
    ("fuzz_threshold", "integer", "How alike names must be, from 0 to 100."),
    ("fuzz_alg", "string", "What decides how alike names are: `subsequence` or `jarowinkler`."),
    ("case_sensitive", "boolean", "Whether capital letters differ from small ones."),
    ("sort_by", "string", "The order: `alpha` or `score`."),
    ("sort_dir", "string", "Its direction: `asc` or `dsc`."),
    ("include_score", "boolean", "Whether results tell how alike they are."),
    ("include_metadata", "boolean", "Whether results tell types, units and help."),
    ("batch_size", "integer", "The most results of one line."),
    ("label", "string", "The label whose values are searched."),
    ("state", "string", "Which targets: `active`, `dropped` or `any`."),
    ("scrapePool", "string", "The name of a pool of targets."),
    ("labels", "string", "Labels as a JSON object."),
    ("match_target", "string", "A selector of targets."),
    ("type", "string", "Which rules: `alert` or `record`."),
    ("rule_name[]", "[string", "Names of rules."),
    ("rule_group[]", "[string", "Names of groups of rules."),
    ("file[]", "[string", "Files of rules."),
    ("exclude_alerts", "boolean", "Whether active alerts are left out."),
    ("group_limit", "integer", "The most groups of one page."),
    ("group_next_token", "string", "Where the next page begins."),
    ("metric_name_pattern", "string", "An expression that names match."),
    ("skip_head", "boolean", "Whether what is in memory is left out."),
];

/// `GET /api/v1/openapi.yaml`; asks for no tenant.
pub(crate) async fn description(State(door): State<Prometheus>) -> Response {
    let yaml = HeaderValue::from_static("application/yaml; charset=utf-8");
    ([(CONTENT_TYPE, yaml)], written(&door.build.version)).into_response()
}

/// The whole description.
fn written(version: &str) -> String {
    let mut yaml = String::from("openapi: 3.1.0\n");
    let mut line = |indent: usize, text: &str| {
        yaml.push_str(&" ".repeat(indent));
        yaml.push_str(text);
        yaml.push('\n');
    };
    line(0, "info:");
    line(2, "title: Stella Telemetry, Prometheus API");
    line(
        2,
        "description: \"Each request is about one tenant, which its token or the header X-Scope-OrgID names.\"",
    );
    line(2, &format!("version: {}", quoted(version)));
    line(0, "paths:");
    for route in ROUTES {
        line(2, &format!("{}:", quoted(route.path)));
        for method in route.methods {
            write_operation(route, method, &mut line);
        }
    }
    write_schemas(&mut line);
    yaml
}

fn write_operation(route: &Route, method: &str, line: &mut impl FnMut(usize, &str)) {
    line(4, &format!("{method}:"));
    line(6, &format!("operationId: {}", quoted(&operation(route.path, method))));
    line(6, &format!("summary: {}", quoted(route.summary)));
    let has_form = method != "get" && route.methods.contains(&"get");
    let in_path = route.path.contains("{name}");
    if in_path || (!has_form && !route.parameters.is_empty()) {
        line(6, "parameters:");
    }
    if in_path {
        line(
            8,
            "- { name: name, in: path, required: true, description: \"The name of a label.\", schema: { type: string } }",
        );
    }
    if has_form {
        line(6, "requestBody:");
        line(8, "content:");
        line(10, "application/x-www-form-urlencoded:");
        line(12, "schema:");
        line(14, "type: object");
        let required = route.parameters.split(' ').filter_map(|name| name.strip_suffix('!')).map(quoted);
        line(14, &format!("required: [{}]", required.collect::<Vec<_>>().join(", ")));
        line(14, "properties:");
    }
    for written in route.parameters.split_whitespace() {
        let name = written.trim_end_matches('!');
        let (schema, about) = PARAMETERS
            .iter()
            .find(|(known, ..)| *known == name)
            .map_or((String::from("{}"), String::new()), |(_, kind, about)| (schema(kind), quoted(about)));
        if has_form {
            line(16, &format!("{}: {{ description: {about}, allOf: [{schema}] }}", quoted(name)));
        } else {
            let required = written.ends_with('!');
            let name = quoted(name);
            line(
                8,
                &format!(
                    "- {{ name: {name}, in: query, required: {required}, description: {about}, schema: {schema} }}"
                ),
            );
        }
    }
    line(6, "responses:");
    match route.answer {
        "" => line(8, "\"204\": { description: Done. }"),
        kind => {
            let schema =
                if kind == JSON { "{ $ref: \"#/components/schemas/Success\" }" } else { "{ type: string }" };
            line(
                8,
                &format!(
                    "\"200\": {{ description: The answer., content: {{ {}: {{ schema: {schema} }} }} }}",
                    quoted(kind)
                ),
            );
        }
    }
    line(8, "default: { $ref: \"#/components/responses/Error\" }");
}

fn write_schemas(line: &mut impl FnMut(usize, &str)) {
    line(0, "components:");
    line(2, "responses:");
    line(4, "Error:");
    line(6, "description: What is wrong.");
    line(6, "content: { application/json: { schema: { $ref: \"#/components/schemas/Error\" } } }");
    line(2, "schemas:");
    line(4, "Success:");
    line(6, "type: object");
    line(6, "required: [status]");
    line(6, "properties:");
    line(8, "status: { type: string, const: success }");
    line(8, "data: {}");
    line(8, "warnings: { type: array, items: { type: string } }");
    line(8, "infos: { type: array, items: { type: string } }");
    line(4, "Error:");
    line(6, "type: object");
    line(6, "required: [status, errorType, error]");
    line(6, "properties:");
    line(8, "status: { type: string, const: error }");
    line(8, "errorType: { type: string }");
    line(8, "error: { type: string }");
}

fn schema(kind: &str) -> String {
    match kind.strip_prefix('[') {
        Some(inner) => format!("{{ type: array, items: {{ type: {inner} }} }}"),
        None => format!("{{ type: {kind} }}"),
    }
}

/// A name of what is done, which no other has.
fn operation(path: &str, method: &str) -> String {
    let words = path.trim_start_matches("/api/v1/").split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    format!("{}-{method}", words.join("-"))
}

/// A text that YAML reads as it is: JSON is YAML.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_of_this_door_is_described_as_it_is() {
        let described = |path: &str| ROUTES.iter().find(|route| route.path == path);
        let served = super::super::routes(true).known;
        assert!(served.len() > 30);
        for (path, methods) in served {
            let methods: Vec<_> = methods.iter().map(|method| method.as_str().to_lowercase()).collect();
            assert_eq!(
                described(path).map(|route| route.methods.to_vec()),
                Some(methods.iter().map(String::as_str).collect()),
                "{path}"
            );
        }
    }

    #[test]
    fn parameters_are_known_and_names_are_of_one_thing() {
        let known: BTreeSet<_> = PARAMETERS.iter().map(|(name, ..)| *name).collect();
        let used: BTreeSet<_> = ROUTES
            .iter()
            .flat_map(|route| route.parameters.split_whitespace())
            .map(|name| name.trim_end_matches('!'))
            .collect();
        assert_eq!(known, used);
        let names: Vec<_> = ROUTES
            .iter()
            .flat_map(|route| route.methods.iter().map(|method| operation(route.path, method)))
            .collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
    }
}
