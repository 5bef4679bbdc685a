//! Whom the gateway lets act for whom: every way to show who one is, at every door.

use std::collections::BTreeSet;

use http::HeaderValue;
use model::limits::{Limits, SameLimits};

use super::*;
use crate::authority::tests::{World, client, settings};
use crate::authority::{Authority, Changes, NewClient, TokenRequest};
use crate::identity::CertificateRule;
use crate::token::Verifier;

fn certificate(name: &str) -> PeerCertificate {
    PeerCertificate {
        der: name.as_bytes().to_vec(),
        thumbprint: format!("thumbprint of {name}"),
        spki_sha256: String::new(),
        common_name: Some(name.to_owned()),
        subject: format!("CN={name}"),
        issuer: String::new(),
        issuer_der: Vec::new(),
        names: Vec::new(),
        serial: "1".into(),
        not_before_s: 0,
        not_after_s: i64::MAX,
        is_ca: false,
    }
}

fn rule(name: &str, tenants: &[&str], scopes: &[&str]) -> CertificateRule {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let scopes = BTreeSet::from_iter(words(scopes));
    CertificateRule {
        issuer: None,
        certificate: format!("cn:{name}"),
        tenants: words(tenants),
        tenant: None,
        scopes,
    }
}

fn gateway(
    verifier: Verifier,
    rules: Vec<CertificateRule>,
    default_tenant: Option<&str>,
    believes: bool,
) -> Gateway {
    let default_tenant = default_tenant.map(|name| TenantId::parse(name).unwrap());
    let limits = Arc::new(SameLimits(Arc::new(Limits::default())));
    Gateway::new(
        Identities::new(verifier, rules, believes).unwrap(),
        default_tenant,
        limits,
        Audit::default(),
    )
}

async fn believing(default_tenant: Option<&str>) -> Gateway {
    let world = World::new();
    let verifier = world.verifier(&world.node().await);
    gateway(verifier, Vec::new(), default_tenant, true)
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

fn outcome(access: &Access, named: Option<&str>) -> String {
    match access.context(named) {
        Ok(context) => context.tenant().to_string(),
        Err(refusal) => refusal.code().to_owned(),
    }
}

fn ask(
    gateway: &Gateway,
    (door, method, path): (Door, Method, &str),
    headers: &HeaderMap,
    peer: Option<&PeerCertificate>,
    named: Option<&str>,
) -> String {
    outcome(
        &gateway.access(&Asking {
            door,
            method: &method,
            path,
            authority: None,
            headers,
            peer,
            source: None,
            still_taken: None,
        }),
        named,
    )
}

const QUERY: (Door, Method, &str) = (Door::Prometheus, Method::GET, "/api/v1/query");

type Case =
    (&'static [(&'static str, &'static str)], Option<&'static str>, Option<&'static str>, &'static str);

#[tokio::test]
async fn whoever_is_believed_is_believed_the_header_the_data_and_the_default_in_this_order() {
    let cases: &[Case] = &[
        // headers, tenant named by the data, default, outcome
        (&[], None, None, "TENANT_REQUIRED"),
        (&[], None, Some("home"), "home"),
        (&[], Some("data"), Some("home"), "data"),
        (&[], Some("a/b"), Some("home"), "ERR_TENANT_INVALID"),
        (&[], Some(""), Some("home"), "ERR_TENANT_INVALID"),
        (&[(TENANT_HEADER, "a")], Some("a"), Some("home"), "a"),
        (&[(TENANT_HEADER, "a")], Some("data"), Some("home"), "ERR_TENANT_MISMATCH"),
        (&[(ORG_ID_HEADER, "a")], Some("data"), Some("home"), "ERR_TENANT_MISMATCH"),
        (&[(ORG_ID_HEADER, "a")], Some("a/b"), Some("home"), "ERR_TENANT_INVALID"),
        (&[(TENANT_HEADER, "a"), (ORG_ID_HEADER, "a")], None, None, "a"),
        (&[(TENANT_HEADER, "a"), (ORG_ID_HEADER, "b")], None, Some("home"), "ERR_TENANT_MISMATCH"),
        (&[(TENANT_HEADER, "a"), (ORG_ID_HEADER, "A")], None, None, "ERR_TENANT_MISMATCH"),
        (&[(ORG_ID_HEADER, "a"), (ORG_ID_HEADER, "b")], None, None, "ERR_TENANT_MISMATCH"),
        (&[(ORG_ID_HEADER, "")], Some("data"), Some("home"), "ERR_TENANT_INVALID"),
        (&[(ORG_ID_HEADER, "a|b")], None, None, "a|b"),
        (&[(ORG_ID_HEADER, "b | a|b"), (TENANT_HEADER, "a|b")], None, None, "a|b"),
        (&[(ORG_ID_HEADER, "a|b"), (TENANT_HEADER, "a")], None, None, "ERR_TENANT_MISMATCH"),
        (&[(ORG_ID_HEADER, "a|a")], None, None, "a"),
        (&[(ORG_ID_HEADER, "a|b/c")], None, None, "ERR_TENANT_INVALID"),
        (&[(ORG_ID_HEADER, "..")], None, Some("home"), "ERR_TENANT_INVALID"),
        (&[(TENANT_HEADER, "a"), (ORG_ID_HEADER, "é")], None, None, "ERR_TENANT_INVALID"),
        // Who shows a token is not believed, but verified.
        (&[("authorization", "Bearer x.y.z"), (ORG_ID_HEADER, "a")], None, None, "ERR_UNAUTHENTICATED"),
    ];
    for (pairs, named, default_tenant, expected) in cases {
        let gateway = believing(*default_tenant).await;
        let found = ask(&gateway, QUERY, &headers(pairs), None, *named);
        assert_eq!(found, *expected, "{pairs:?} {named:?} {default_tenant:?}");
    }
}

#[tokio::test]
async fn whoever_is_known_chooses_within_what_is_allowed() {
    let world = World::new();
    let verifier = world.verifier(&world.node().await);
    let rules = vec![
        rule("one", &["a"], &["obs:read"]),
        rule("two", &["a", "b"], &["obs:read"]),
        rule("any", &["*"], &["obs:read"]),
    ];
    let gateway = gateway(verifier, rules, Some("home"), false);
    let cases = [
        // certificate, header, tenant named by the data, outcome
        ("one", None, None, "a"),
        ("one", Some("a"), None, "a"),
        ("one", Some("b"), None, "ERR_TENANT_MISMATCH"),
        ("one", Some("b"), Some("a"), "ERR_TENANT_MISMATCH"),
        ("one", None, Some("a"), "a"),
        ("one", None, Some("b"), "ERR_TENANT_MISMATCH"),
        ("one", Some("a"), Some("b"), "ERR_TENANT_MISMATCH"),
        ("one", Some("home"), None, "ERR_TENANT_MISMATCH"),
        ("two", None, None, "TENANT_REQUIRED"),
        ("two", Some("b"), None, "b"),
        ("two", Some("b"), Some("a"), "ERR_TENANT_MISMATCH"),
        ("two", Some("b"), Some("b"), "b"),
        ("two", None, Some("b"), "b"),
        ("two", None, Some("c"), "ERR_TENANT_MISMATCH"),
        ("any", None, None, "TENANT_REQUIRED"),
        ("any", Some("z"), Some("y"), "ERR_TENANT_MISMATCH"),
        ("any", None, Some("y"), "y"),
        ("any", Some("b|a|stella"), None, "a|b|stella"),
        ("two", Some("b|a"), None, "a|b"),
        ("two", Some("a|c"), None, "ERR_TENANT_MISMATCH"),
        ("one", Some("a|"), None, "ERR_TENANT_INVALID"),
        ("unknown", Some("a"), None, "ERR_UNAUTHENTICATED"),
    ];
    for (name, header, named, expected) in cases {
        let pairs: Vec<_> = header.map(|tenant| (ORG_ID_HEADER, tenant)).into_iter().collect();
        let found = ask(&gateway, QUERY, &headers(&pairs), Some(&certificate(name)), named);
        assert_eq!(found, expected, "{name} {header:?} {named:?}");
    }
    assert_eq!(ask(&gateway, QUERY, &headers(&[(ORG_ID_HEADER, "a")]), None, None), "ERR_UNAUTHENTICATED");
}

/// Every door, with what each scope may do there.
const REQUESTS: [(Door, Method, &str, &[&str]); 25] = [
    (Door::Scrape, Method::GET, "/metrics", &["obs:read"]),
    (Door::Debug, Method::GET, "/debug/threads", &["obs:admin"]),
    (
        Door::Tempo,
        Method::GET,
        "/api/status",
        &["obs:read", "obs:logs", "obs:traces", "obs:ingest", "obs:admin"],
    ),
    (Door::Prometheus, Method::GET, "/api/v1/query", &["obs:read"]),
    (Door::Prometheus, Method::POST, "/api/v1/query_range", &["obs:read"]),
    (Door::Prometheus, Method::GET, "/metrics", &["obs:read"]),
    (Door::Prometheus, Method::POST, "/api/v1/write", &["obs:ingest"]),
    (Door::Prometheus, Method::POST, "/api/v1/otlp/v1/metrics", &["obs:ingest"]),
    (Door::Prometheus, Method::POST, "/flush", &["obs:admin"]),
    (Door::Prometheus, Method::POST, "/api/v1/admin/tsdb/delete_series", &["obs:admin"]),
    (Door::Prometheus, Method::POST, "/api/v1/sql", &[]),
    (Door::Loki, Method::GET, "/loki/api/v1/query_range", &["obs:logs"]),
    (Door::Loki, Method::POST, "/loki/api/v1/push", &["obs:logs", "obs:ingest"]),
    (Door::Loki, Method::POST, "/otlp/v1/logs", &["obs:logs", "obs:ingest"]),
    (Door::Loki, Method::DELETE, "/loki/api/v1/delete", &["obs:admin"]),
    (Door::Tempo, Method::GET, "/api/search", &["obs:traces"]),
    (Door::Tempo, Method::GET, "/api/traces/1", &["obs:traces"]),
    (Door::Tempo, Method::POST, "/v1/traces", &["obs:traces", "obs:ingest"]),
    (Door::OtlpHttp, Method::POST, "/v1/metrics", &["obs:ingest"]),
    (Door::OtlpHttp, Method::POST, "/v1/logs", &["obs:logs", "obs:ingest"]),
    (Door::OtlpHttp, Method::POST, "/v1/traces", &["obs:traces", "obs:ingest"]),
    (
        Door::OtlpGrpc,
        Method::POST,
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        &["obs:ingest"],
    ),
    (
        Door::OtlpGrpc,
        Method::POST,
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        &["obs:logs", "obs:ingest"],
    ),
    (
        Door::OtlpGrpc,
        Method::POST,
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        &["obs:traces", "obs:ingest"],
    ),
    (Door::Tempo, Method::GET, "/something/new", &["obs:traces"]),
];

#[tokio::test]
async fn each_scope_opens_its_own_requests_alone() {
    let world = World::new();
    let verifier = world.verifier(&world.node().await);
    let scopes =
        ["obs:read", "obs:logs", "obs:traces", "obs:ingest", "obs:admin", "timeline:read", "authority:admin"];
    let rules = scopes.iter().map(|scope| rule(scope, &["a"], &[scope])).collect();
    let gateway = gateway(verifier, rules, None, false);
    for (door, method, path, opened_by) in REQUESTS {
        for scope in scopes {
            let found = ask(
                &gateway,
                (door, method.clone(), path),
                &HeaderMap::new(),
                Some(&certificate(scope)),
                None,
            );
            let expected = if opened_by.contains(&scope) { "a" } else { "ERR_SCOPE_MISMATCH" };
            assert_eq!(found, expected, "{method} {path} with {scope}");
        }
    }
}

#[tokio::test]
async fn what_is_done_to_all_tenants_is_not_for_those_of_some() {
    let world = World::new();
    let verifier = world.verifier(&world.node().await);
    let rules = vec![rule("one", &["a"], &["obs:admin"]), rule("all", &["*"], &["obs:admin"])];
    let gateway = gateway(verifier, rules, None, false);
    for path in ["/-/reload", "/-/quit", "/telemetry/retention/run/all"] {
        let asked = |name| {
            let headers = headers(&[(ORG_ID_HEADER, "a")]);
            let peer = certificate(name);
            ask(&gateway, (Door::Prometheus, Method::POST, path), &headers, Some(&peer), None)
        };
        assert_eq!([asked("one"), asked("all")], ["ERR_TENANT_MISMATCH", "a"], "{path}");
    }
}

#[tokio::test]
async fn pages_of_other_hosts_change_nothing() {
    let world = World::new();
    let verifier = world.verifier(&world.node().await);
    let rules = vec![rule("one", &["a"], &["obs:admin", "obs:read", "obs:logs", "obs:incident"])];
    let gateway = gateway(verifier, rules, None, false).believing(Believed {
        origins: Origins::parse(&["https://grafana.example"]).unwrap(),
        ..Believed::default()
    });
    let asked = |door, method: Method, path, origin: &str| {
        let headers = headers(&[("host", "logs:3100"), ("origin", origin)]);
        ask(&gateway, (door, method, path), &headers, Some(&certificate("one")), None)
    };
    for (door, method, path) in [
        (Door::Prometheus, Method::POST, "/api/v1/admin/tsdb/delete_series"),
        (Door::Loki, Method::DELETE, "/loki/api/v1/delete"),
        (Door::Loki, Method::GET, "/loki/api/v1/tail"),
        (Door::Tempo, Method::POST, "/telemetry/incidents/mode"),
        (Door::Tempo, Method::POST, "/flush"),
    ] {
        assert_eq!(
            asked(door, method.clone(), path, "https://evil.example"),
            "ERR_ORIGIN_MISMATCH",
            "{path}"
        );
        assert_eq!(asked(door, method.clone(), path, "https://logs:3100"), "a", "{path}");
        assert_eq!(asked(door, method, path, "https://grafana.example"), "a", "{path}");
    }
    let question = asked(Door::Prometheus, Method::POST, "/api/v1/query_range", "https://evil.example");
    assert_eq!(question, "a", "an answer is not given to the page, which its browser sees to");
}

/// A client with these scopes for a tenant, and a token of it.
async fn token(authority: &Authority, name: &str, settings: Changes, certificate: Option<&str>) -> String {
    authority.create_client(NewClient { name: name.to_owned(), settings }).await.unwrap();
    let request = TokenRequest { certificate: certificate.map(str::to_owned), ..TokenRequest::default() };
    authority.issue_service(name, &request, 3_600).unwrap().token
}

fn of_tenant(scopes: &[&str], tenant: &str) -> Changes {
    Changes { tenant: Some(tenant.to_owned()), ..settings(scopes) }
}

const ALL_SCOPES: [&str; 4] = ["obs:read", "obs:logs", "obs:traces", "obs:ingest"];

/// Tokens by what is wrong with them, and the outcome of each with no certificate and with one that is known.
async fn tokens(
    world: &World,
    authority: &Authority,
) -> Vec<(&'static str, Option<String>, &'static str, &'static str)> {
    let bound = certificate("known").thumbprint;
    let other = Changes { audience: Some(vec!["other".into()]), ..of_tenant(&ALL_SCOPES, "a") };
    let expired = token(authority, "expired", of_tenant(&ALL_SCOPES, "a"), None).await;
    world.pass_s(4_000);
    let revoked = token(authority, "revoked", of_tenant(&ALL_SCOPES, "a"), None).await;
    authority.revoke(&revoked).await.unwrap();
    let good = token(authority, "good", of_tenant(&ALL_SCOPES, "a"), None).await;
    let unsigned = {
        use base64::Engine;
        let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
        format!("{header}.{}.", good.split('.').nth(1).unwrap())
    };
    let refused = "ERR_UNAUTHENTICATED";
    vec![
        ("none", None, refused, "a"),
        ("expired", Some(expired), refused, refused),
        ("wrong audience", Some(token(authority, "audience", other, None).await), refused, refused),
        (
            "wrong scope",
            Some(token(authority, "scope", of_tenant(&["timeline:read"], "a"), None).await),
            "ERR_SCOPE_MISMATCH",
            "ERR_SCOPE_MISMATCH",
        ),
        // The certificate allows the tenant a alone: two answers that differ.
        (
            "wrong tenant",
            Some(token(authority, "tenant", of_tenant(&ALL_SCOPES, "b"), None).await),
            "ERR_TENANT_MISMATCH",
            "ERR_TENANT_MISMATCH",
        ),
        (
            "bound to the known certificate",
            Some(token(authority, "bound", of_tenant(&ALL_SCOPES, "a"), Some(&bound)).await),
            refused,
            "a",
        ),
        (
            "bound to another certificate",
            Some(token(authority, "foreign", of_tenant(&ALL_SCOPES, "a"), Some("another")).await),
            refused,
            refused,
        ),
        ("revoked", Some(revoked), refused, refused),
        ("alg none", Some(unsigned), refused, refused),
        ("good", Some(good), "a", "a"),
    ]
}

#[tokio::test]
async fn exactly_the_right_ones_pass_at_every_door() {
    let world = World::new();
    let authority = world.node().await;
    let tokens = tokens(&world, &authority).await;
    let gateway = gateway(world.verifier(&authority), vec![rule("known", &["a"], &ALL_SCOPES)], None, false);
    let known = certificate("known");
    for (door, method, path, opened_by) in
        REQUESTS.iter().filter(|(.., scopes)| scopes.iter().any(|s| ALL_SCOPES.contains(s)))
    {
        for (what, token, without, with) in &tokens {
            for (peer, expected) in [(None, without), (Some(&known), with)] {
                let mut headers = headers(&[(ORG_ID_HEADER, "a")]);
                if let Some(token) = token {
                    headers
                        .insert("authorization", HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
                }
                let found = ask(&gateway, (*door, method.clone(), path), &headers, peer, None);
                assert_eq!(
                    found,
                    **expected,
                    "{path} ({opened_by:?}): {what}, certificate: {}",
                    peer.is_some()
                );
            }
        }
    }
}

#[tokio::test]
async fn several_tenants_are_read_where_each_may_be_and_nothing_else_is_done_with_them() {
    let world = World::new();
    let verifier = world.verifier(&world.node().await);
    let all = ["obs:read", "obs:logs", "obs:traces", "obs:ingest", "obs:admin"];
    let rules = vec![
        rule("all", &["*"], &all),
        rule("auditor", &["a", "stella"], &["obs:logs", "timeline:read"]),
        rule("events", &["a", "stella"], &["timeline:read"]),
    ];
    let gateway = gateway(verifier, rules, None, false);
    let logs = (Door::Loki, Method::GET, "/loki/api/v1/query_range");
    let many: String = (0..65).map(|n| format!("t{n}")).collect::<Vec<_>>().join("|");
    let cases = [
        (QUERY, "all", "a|b", "a|b"),
        ((Door::Tempo, Method::GET, "/api/search"), "all", "a|b", "a|b"),
        (logs.clone(), "all", "a|b", "a|b"),
        (logs.clone(), "all", "a|stella", "ERR_SCOPE_MISMATCH"),
        (logs.clone(), "auditor", "a|stella", "a|stella"),
        (logs.clone(), "auditor", "stella", "stella"),
        (logs.clone(), "auditor", "a", "a"),
        (logs.clone(), "events", "stella", "stella"),
        (logs.clone(), "events", "a", "ERR_SCOPE_MISMATCH"),
        (logs, "events", "a|stella", "ERR_SCOPE_MISMATCH"),
        (QUERY, "all", &many, "ERR_TENANT_INVALID"),
        ((Door::Prometheus, Method::POST, "/api/v1/sql"), "all", "a|b", "ERR_TENANT_INVALID"),
        ((Door::Prometheus, Method::POST, "/api/v1/sql"), "all", "stella", "ERR_SCOPE_MISMATCH"),
        ((Door::Prometheus, Method::POST, "/api/v1/write"), "all", "a|b", "ERR_TENANT_INVALID"),
        ((Door::Prometheus, Method::POST, "/api/v1/write"), "all", "stella", "ERR_TENANT_MISMATCH"),
        ((Door::Loki, Method::DELETE, "/loki/api/v1/delete"), "all", "a|b", "ERR_TENANT_INVALID"),
        ((Door::Loki, Method::DELETE, "/loki/api/v1/delete"), "all", "stella", "ERR_TENANT_MISMATCH"),
        ((Door::OtlpHttp, Method::POST, "/v1/logs"), "all", "stella", "ERR_TENANT_MISMATCH"),
        ((Door::OtlpHttp, Method::POST, "/v1/logs"), "all", "a|b", "ERR_TENANT_INVALID"),
    ];
    for (request, name, header, expected) in cases {
        let headers = headers(&[(ORG_ID_HEADER, header)]);
        let found = ask(&gateway, request.clone(), &headers, Some(&certificate(name)), None);
        assert_eq!(found, expected, "{request:?} {name} {header}");
    }
}

#[tokio::test]
async fn a_header_grants_no_scope_and_only_a_gateways_may_take_some_away() {
    let world = World::new();
    let verifier = world.verifier(&world.node().await);
    let strict = gateway(verifier, vec![rule("gw", &["a"], &["obs:read", "obs:traces"])], None, false);
    let believed = Believed { allow_scope_header: true, ..Believed::default() };
    let behind = strict.clone().believing(believed);
    let peer = certificate("gw");
    let delete = (Door::Prometheus, Method::POST, "/api/v1/admin/tsdb/delete_series");
    for (said, request, expected) in [
        (&["obs:read"][..], QUERY, "a"),
        (&["obs:traces,obs:read"], QUERY, "a"),
        (&["obs:traces", "obs:read"], QUERY, "a"),
        (&["obs:traces"], QUERY, "ERR_SCOPE_MISMATCH"),
        (&[""], QUERY, "ERR_SCOPE_MISMATCH"),
        (&["obs:admin obs:read"], delete, "ERR_SCOPE_MISMATCH"),
    ] {
        for name in ["x-stellaops-scopes", "x-stella-scopes"] {
            let pairs: Vec<(&'static str, &str)> = said.iter().map(|said| (name, *said)).collect();
            let found = ask(&behind, request.clone(), &headers(&pairs), Some(&peer), None);
            assert_eq!(found, expected, "{said:?}");
            let found = ask(&strict, request.clone(), &headers(&pairs), Some(&peer), None);
            assert_eq!(found, "ERR_SCOPE_HEADER_FORBIDDEN", "{said:?}");
        }
    }
}

#[tokio::test]
async fn without_certificates_no_page_asks_by_a_name_of_its_own() {
    let hosts = Hosts::new(["metrics.example".to_owned()]);
    let gateway = believing(Some("a")).await;
    let gateway = gateway.believing(Believed { hosts: Some(hosts), ..Believed::default() });
    let export = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
    for (host, expected) in [
        ("localhost:9090", "a"),
        ("127.0.0.1:9090", "a"),
        ("metrics.example", "a"),
        ("evil.example:9090", "ERR_HOST_MISMATCH"),
    ] {
        for request in [QUERY, (Door::OtlpGrpc, Method::POST, export)] {
            let headers = headers(&[("host", host), ("origin", &format!("http://{host}"))]);
            assert_eq!(ask(&gateway, request, &headers, None, None), expected, "{host}");
        }
    }
}

#[tokio::test]
async fn a_token_of_several_tenants_writes_to_each_and_to_no_other() {
    let world = World::new();
    let authority = world.node().await;
    let several =
        Changes { allowed_tenants: Some(vec!["a".into(), "b".into()]), ..settings(&["obs:ingest"]) };
    let token = token(&authority, "collector", several, None).await;
    let gateway = gateway(world.verifier(&authority), Vec::new(), None, false);
    let bearer = format!("Bearer {token}");
    let push = (Door::OtlpHttp, Method::POST, "/v1/metrics");
    let found = |named| ask(&gateway, push.clone(), &headers(&[("authorization", &bearer)]), None, named);
    assert_eq!([found(Some("a")), found(Some("b"))], ["a", "b"]);
    assert_eq!([found(Some("c")), found(None)], ["ERR_TENANT_MISMATCH", "TENANT_REQUIRED"]);
    authority.create_client(client("x", &["obs:ingest"], None)).await.unwrap();
}

#[tokio::test]
async fn what_a_request_says_of_its_identity_does_not_pass() {
    let inner = tower::service_fn(|request: Request<()>| {
        let access = request.extensions().get::<Access>().cloned();
        std::future::ready(Ok::<_, std::convert::Infallible>((access, request.headers().clone())))
    });
    let mut service = believing(None).await.layer(Door::Prometheus).layer(inner);
    let request = Request::builder()
        .header("X-Scope-OrgID", "shop")
        .header("X-StellaOps-Project", "obs:admin")
        .header("X-Stella-Actor", "root")
        .header("stella-imposed-rule", "x")
        .header("sub", "root")
        .header("cnf", "x")
        .header("Accept", "text/plain")
        .body(())
        .unwrap();
    let answered = futures::FutureExt::now_or_never(service.call(request));
    let (access, headers) = answered.expect("nothing is waited for").unwrap();
    let access = access.unwrap();
    assert_eq!(outcome(&access, None), "shop");
    assert_eq!(access.context(None).unwrap().limits(), &Limits::default());
    let names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    assert_eq!(
        (names.len(), &headers["accept"], &headers[TENANT_HEADER]),
        (2, &HeaderValue::from_static("text/plain"), &HeaderValue::from_static("shop")),
        "{names:?}"
    );
    let _: axum::Router = axum::Router::new().layer(believing(None).await.layer(Door::Tempo));
}

#[tokio::test]
async fn whoever_guesses_is_slowed_down_and_no_good_token_is_refused() {
    let world = World::new();
    let authority = world.node().await;
    let reader = of_tenant(&["obs:read"], "a");
    let good = token(&authority, "reader", reader.clone(), None).await;
    let unseen = token(&authority, "unseen", reader.clone(), None).await;
    let ended = token(&authority, "ended", reader, None).await;
    authority.revoke(&ended).await.unwrap();
    // What the clients might have been given, with a signature that is another token's.
    let signature = ended.rsplit_once('.').unwrap().1;
    let forged = |token: &str| format!("{}.{signature}", token.rsplit_once('.').unwrap().0);
    let (forged_good, forged_unseen) = (forged(&good), forged(&unseen));
    let gateway = gateway(world.verifier(&authority), Vec::new(), None, false);
    let from = |token: &str, address: &str, peer: Option<&PeerCertificate>| {
        let headers = headers(&[("authorization", &format!("Bearer {token}"))]);
        let (door, method, path) = QUERY;
        let source = Some(address.parse().unwrap());
        let (method, headers, authority) = (&method, &headers, None);
        let asking = Asking { door, method, path, authority, headers, peer, source, still_taken: None };
        outcome(&gateway.access(&asking), None)
    };
    let ask = |token: &str| from(token, "10.0.0.1", None);
    assert_eq!(ask(&good), "a");
    world.clock.advance_ns(60_000_000_000);
    // What is no guess is none: no signature, nobody's, one that was good.
    for n in 0..2_000 {
        for token in [&format!("guess.{n}.x"), &ended] {
            assert_eq!(ask(token), "ERR_UNAUTHENTICATED", "{n}");
        }
    }
    assert_eq!(ask(&unseen), "a");
    // Guesses: a burst, and then as many as are looked at.
    let looked = (0..10_000).take_while(|_| ask(&forged_good) == "ERR_UNAUTHENTICATED").count();
    assert_eq!(looked, 200 + 500);
    assert_eq!(ask(&forged_good), "ERR_TOO_MANY_FAILURES");
    assert_eq!(ask(&good), "a", "a token that was good is no guess, whatever others claim to be");
    for (token, address, peer) in [
        (&forged_unseen, "10.0.0.1", None),
        (&forged_good, "10.0.0.2", None),
        (&forged_good, "10.0.0.1", Some(&certificate("another"))),
    ] {
        assert_eq!(from(token, address, peer), "ERR_UNAUTHENTICATED", "that is somebody else");
    }
    world.clock.advance_ns(1_000_000_000);
    assert_eq!(ask(&forged_good), "ERR_UNAUTHENTICATED");
}

#[tokio::test]
async fn a_token_on_a_mapped_connection_allows_what_both_allow() {
    let world = World::new();
    let authority = world.node().await;
    let gateway =
        gateway(world.verifier(&authority), vec![rule("acme", &["acme"], &["obs:read"])], None, false);
    let of = |tenants: &[&str]| Changes {
        allowed_tenants: Some(tenants.iter().map(|tenant| (*tenant).to_owned()).collect()),
        ..settings(&["obs:read"])
    };
    let peer = certificate("acme");
    let cases = [
        ("globex", of(&["globex"]), None),
        ("both", of(&["acme", "globex"]), Some("acme")),
        ("any", of(&["*"]), Some("acme")),
    ];
    for (name, settings, reads) in cases {
        let token = token(&authority, name, settings, None).await;
        for (asked, is_own) in [("acme", reads == Some("acme")), ("globex", false), ("acme|globex", false)] {
            let headers = headers(&[("authorization", &format!("Bearer {token}")), (ORG_ID_HEADER, asked)]);
            let expected = if is_own { asked } else { "ERR_TENANT_MISMATCH" };
            assert_eq!(ask(&gateway, QUERY, &headers, Some(&peer), None), expected, "{name} {asked}");
        }
    }
}

#[tokio::test]
async fn names_are_not_smuggled_in_beside_the_headers_that_are_looked_at() {
    let world = World::new();
    let gateway = gateway(
        world.verifier(&world.node().await),
        vec![rule("acme", &["acme"], &["obs:read", "obs:ingest"])],
        None,
        false,
    );
    let peer = certificate("acme");
    let export = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
    for (pairs, expected) in [
        (&[][..], "acme"),
        (&[("x-scope-orgid", "globex")][..], "ERR_TENANT_MISMATCH"),
        (&[("x-scope-orgid", "acme"), ("x-scope-orgid", "globex")], "ERR_TENANT_MISMATCH"),
        (&[("x-scope-orgid", "acme,globex")], "ERR_TENANT_INVALID"),
        (&[("x-scope-orgid", "acme, acme")], "ERR_TENANT_INVALID"),
        (&[("x-scope-orgid", "acme;globex")], "ERR_TENANT_INVALID"),
        (&[("x-scope-orgid", "acme\tglobex")], "ERR_TENANT_INVALID"),
        (&[("x-stellaops-tenant", "acme"), ("x-scope-orgid", "globex")], "ERR_TENANT_MISMATCH"),
        // Other spellings are other headers: nobody looks at them.
        (&[("x-scope-orgid-bin", "Z2xvYmV4")], "acme"),
        (&[("x-stellaops-tenant-bin", "Z2xvYmV4")], "acme"),
        (&[("x_scope_orgid", "globex")], "acme"),
        (&[("x-stella-tenant", "globex")], "acme"),
        (&[("tid", "globex"), ("stellaops:tenant", "globex")][..1], "acme"),
        // More than one proof is none.
        (&[("authorization", "Bearer a.b.c"), ("authorization", "Bearer a.b.c")], "ERR_UNAUTHENTICATED"),
        (&[("authorization", "Bearer a.b.c, Bearer a.b.c")], "ERR_UNAUTHENTICATED"),
        (&[("authorization", "")], "ERR_UNAUTHENTICATED"),
    ] {
        for target in [QUERY, (Door::OtlpGrpc, Method::POST, export)] {
            let found = ask(&gateway, target.clone(), &headers(pairs), Some(&peer), None);
            assert_eq!(found, expected, "{pairs:?}");
        }
    }
}
