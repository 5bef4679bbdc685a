//! What a caller must be allowed to do for a request: by the door that it came through, its path and its method.
//!
//! A path that is not named here needs the scope to read through its door, and `obs:ingest` never reads: what is added to a
//! protocol is closed until it is opened here.

use http::Method;

/// Read metrics, and scrape.
pub const READ: &str = "obs:read";
/// Push and read logs.
pub const LOGS: &str = "obs:logs";
/// Push and read traces.
pub const TRACES: &str = "obs:traces";
/// Push any signal, read nothing.
pub const INGEST: &str = "obs:ingest";
/// Limits, deletes, every tenant's status, and what concerns the whole server.
pub const ADMIN: &str = "obs:admin";

/// Begin and end incident mode.
pub const INCIDENT: &str = "obs:incident";
/// Read the events of the audit.
pub const TIMELINE: &str = "timeline:read";

/// Every scope that something here asks for.
pub const ALL: [&str; 8] =
    [READ, LOGS, TRACES, INGEST, ADMIN, INCIDENT, TIMELINE, crate::authority::http::ADMIN_SCOPE];

/// Those of some scopes that nothing here asks for.
pub fn unknown<'a>(named: impl IntoIterator<Item = &'a String>) -> Vec<&'a str> {
    named.into_iter().map(String::as_str).filter(|scope| !ALL.contains(scope)).collect()
}

/// What a request came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// The Prometheus API and remote write.
    Prometheus,
    /// The Loki API and push.
    Loki,
    /// The Tempo API and push.
    Tempo,
    /// OTLP over gRPC.
    OtlpGrpc,
    /// OTLP over HTTP.
    OtlpHttp,
    /// The collector's own metrics.
    Scrape,
    /// The health of the process.
    Health,
    /// What the process does at this moment.
    Debug,
}

impl Door {
    /// The name of its listener.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prometheus => "prometheus",
            Self::Loki => "loki",
            Self::Tempo => "tempo",
            Self::OtlpGrpc => "otlp_grpc",
            Self::OtlpHttp => "otlp_http",
            Self::Scrape => "scrape",
            Self::Health => "health",
            Self::Debug => "debug",
        }
    }
}

/// The scopes that a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// None: whether a server is ready may be known by all that may connect.
    Nothing,
    /// One of these.
    One(&'static [&'static str]),
    /// Each of these.
    All(&'static [&'static str]),
}

impl Need {
    /// Whether a caller with such scopes may go on.
    pub fn is_met(self, has: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Nothing => true,
            Self::One(scopes) => scopes.iter().any(|scope| has(scope)),
            Self::All(scopes) => scopes.iter().all(|scope| has(scope)),
        }
    }

    /// The scopes as a sentence's part.
    #[must_use]
    pub fn describe(self) -> String {
        match self {
            Self::Nothing => "none".into(),
            Self::One([scope]) | Self::All([scope]) => format!("the scope {scope}"),
            Self::One(scopes) => format!("one of the scopes {}", scopes.join(" ")),
            Self::All(scopes) => format!("all of the scopes {}", scopes.join(" ")),
        }
    }
}

/// The lines of a tenant, or the events in those of the server's own: which of them is said once the tenant is known.
const READ_LOGS: Need = Need::One(&[LOGS, TIMELINE]);
const INCIDENTS: Need = Need::One(&[INCIDENT, ADMIN]);
const PUSH_LOGS: Need = Need::One(&[LOGS, INGEST]);
const PUSH_TRACES: Need = Need::One(&[TRACES, INGEST]);
const PUSH_METRICS: Need = Need::One(&[INGEST]);

/// A tenant's figures are for all that do something with it.
const STATUS: Need = Need::One(&[READ, LOGS, TRACES, INGEST, ADMIN]);

/// What a request needs.
#[must_use]
pub fn needed(door: Door, method: &Method, path: &str) -> Need {
    match path {
        "/ready" | "/-/ready" | "/-/healthy" | "/api/echo" => return Need::Nothing,
        "/metrics" => return Need::One(&[READ]),
        "/flush" | "/-/reload" | "/-/quit" => return Need::One(&[ADMIN]),
        "/api/status" => return STATUS,
        "/v1/metrics" | "/api/v1/otlp/v1/metrics" | "/api/v1/write" => return PUSH_METRICS,
        "/v1/logs" | "/otlp/v1/logs" | "/loki/api/v1/push" | "/api/prom/push" => return PUSH_LOGS,
        "/v1/traces" => return PUSH_TRACES,
        // Its tables are those of the three signals.
        "/api/v1/sql" => return Need::All(&[READ, LOGS, TRACES]),
        _ => {}
    }
    if path.starts_with("/telemetry/incidents/") {
        return INCIDENTS;
    }
    if path.starts_with("/telemetry/") || path == "/loki/api/v1/delete" {
        return Need::One(&[ADMIN]);
    }
    match door {
        // Whoever may push something learns which methods there are.
        Door::OtlpGrpc => grpc(path),
        Door::OtlpHttp => Need::One(&[INGEST, LOGS, TRACES]),
        _ if matches!(*method, Method::DELETE | Method::PUT | Method::PATCH) || path.contains("/admin/") => {
            Need::One(&[ADMIN])
        }
        // That it answers may be known by all that may connect.
        Door::Health => Need::Nothing,
        Door::Scrape if path == "/" => Need::Nothing,
        Door::Debug => Need::One(&[ADMIN]),
        Door::Prometheus | Door::Scrape => Need::One(&[READ]),
        Door::Loki => READ_LOGS,
        Door::Tempo => Need::One(&[TRACES]),
    }
}

/// What a request does to the data of the tenant that it acts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// It reads logs.
    ReadsLogs,
    /// It reads something else.
    Reads,
    /// It reads all three signals.
    ReadsAll,
    /// It adds, removes or settles something.
    Changes,
}

/// What a request does.
#[must_use]
pub fn deed(door: Door, method: &Method, path: &str) -> Deed {
    let only_looks = matches!(*method, Method::GET | Method::HEAD);
    match needed(door, method, path) {
        PUSH_LOGS | PUSH_TRACES | PUSH_METRICS => Deed::Changes,
        INCIDENTS | Need::One(&[ADMIN]) if !only_looks => Deed::Changes,
        _ if matches!(door, Door::OtlpGrpc | Door::OtlpHttp) => Deed::Changes,
        READ_LOGS => Deed::ReadsLogs,
        Need::All(_) => Deed::ReadsAll,
        _ => Deed::Reads,
    }
}

/// Whether a request does more than ask: it changes what is kept or how the server runs, or lasts. Telemetry that is pushed
/// is of types that no page sends without the server's leave.
#[must_use]
pub fn is_no_question(method: &Method, path: &str, needed: Need) -> bool {
    let changes = matches!(needed, INCIDENTS | Need::One(&[ADMIN]));
    changes && !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) || lasts(path)
}

/// Whether what is done at a path is done to all tenants at once, so that who operates some of them may not do it.
#[must_use]
pub fn concerns_all_tenants(path: &str) -> bool {
    ["/-/reload", "/-/quit", "/telemetry/retention/run/all"].contains(&path)
}

/// Whether what is answered at a path lasts for longer than an answer.
#[must_use]
pub fn lasts(path: &str) -> bool {
    path == "/loki/api/v1/tail"
}

/// What a known caller needs to do this to the data of one tenant, besides what its request needs of any.
#[must_use]
pub fn needed_of_tenant(deed: Deed, is_own_tenant: bool) -> Need {
    match (deed, is_own_tenant) {
        (Deed::ReadsLogs | Deed::ReadsAll, true) => Need::One(&[TIMELINE]),
        (Deed::ReadsLogs, false) => Need::One(&[LOGS]),
        _ => Need::Nothing,
    }
}

/// Whether a path is answered without a tenant, so that nobody asks for the caller's right but the gateway.
#[must_use]
pub fn concerns_no_tenant(path: &str) -> bool {
    let is_operations = ["/", "/metrics", "/flush", "/-/reload", "/-/quit", "/api/v1/features"]
        .contains(&path)
        || path.starts_with("/debug/");
    let is_of_all = path.starts_with("/telemetry/") && path.ends_with("/all");
    is_operations || is_of_all || path.ends_with("/format_query") || path.contains("/status/")
}

fn grpc(path: &str) -> Need {
    match path {
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => PUSH_METRICS,
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => PUSH_LOGS,
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => PUSH_TRACES,
        _ => Need::One(&[INGEST, LOGS, TRACES]),
    }
}
