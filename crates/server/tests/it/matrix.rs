//! Every certificate with every token at every port, on real sockets: exactly the right ones pass. And two tenants under one
//! certificate, of which one tries every door to read what the other has.

use std::path::Path;
use std::sync::Arc;

use model::audit::Audit;
use model::time::{ManualClock, NS_PER_S};
use model::{Clock, TimestampNs};
use reqwest::Method;
use security::authority::{Authority, Changes, NewClient, Parts, TokenRequest};
use security::tls::dev;
use storage::{Store, StoreConfig, StoreParts};

use crate::server::{Stella, eventually};
use crate::telemetry::{now_ns, span, text_attribute};
use crate::tls::client;

const DAY_NS: i64 = 86_400 * NS_PER_S;

/// What a connection shows.
const CERTIFICATES: [&str; 5] = ["none", "foreign", "revoked", "expired", "good"];
/// What a request shows.
const TOKENS: [&str; 9] =
    ["none", "expired", "audience", "scope", "tenant", "bound", "revoked", "alg:none", "good"];

/// A port, what is asked there, whether it requires a certificate, and what its tokens are for.
const PORTS: [(&str, Method, &str, bool, &str); 9] = [
    ("prometheus", Method::GET, "/api/v1/query?query=1", false, "observability"),
    ("loki", Method::GET, "/loki/api/v1/labels", true, "observability"),
    ("tempo", Method::GET, "/api/search?q=%7B%7D", true, "observability"),
    ("otlp_http", Method::POST, "/v1/logs", true, "observability"),
    (
        "otlp_grpc",
        Method::POST,
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        true,
        "observability",
    ),
    ("scrape", Method::GET, "/metrics", true, "observability"),
    ("health", Method::GET, "/", true, "observability"),
    ("debug", Method::GET, "/debug/memory", true, "observability"),
    ("authority", Method::GET, "/admin/clients", false, "authority"),
];

/// What must come of it: no answer at all, or a status.
fn expected(port: &str, needs_certificate: bool, certificate: &str, token: &str) -> Option<u16> {
    let connects = match certificate {
        "good" => true,
        "none" => !needs_certificate,
        _ => false,
    };
    if !connects {
        return None;
    }
    let concerns_a_tenant = !["scrape", "debug", "authority"].contains(&port);
    Some(match token {
        _ if port == "health" => 200,
        "good" => 200,
        "tenant" if !concerns_a_tenant => 200,
        "scope" | "tenant" => 403,
        _ => 401,
    })
}

/// A folder with an authority of a server and another pair of it.
fn pair_of(server: &Path, folder: &Path, clock: &dyn Clock) {
    std::fs::create_dir_all(folder).unwrap();
    for name in ["collector-ca.crt", "collector-ca.key"] {
        std::fs::copy(server.join(name), folder.join(name)).unwrap();
    }
    dev::make(folder, "dev", false, clock).unwrap();
}

/// The Authority of a data folder, as another process sees it at some time.
async fn authority(data: &Path, now_ns: i64) -> Authority {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(TimestampNs(now_ns)));
    let parts = StoreParts { clock: Arc::clone(&clock), seed: 1, environment: Vec::new() };
    let store = Store::open(&StoreConfig::new(data.join("store").to_str().unwrap()), &parts).unwrap();
    let seed = [u8::try_from(now_ns % 251).unwrap(); 32];
    let (objects, keys) = (store.objects(), data.join("authority"));
    Authority::open(Parts { objects, keys, clock, seed, audit: Audit::default() }).await.unwrap()
}

fn new_client(name: &str, scopes: &[&str], audience: &str, tenant: &str) -> NewClient {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let settings = Changes {
        scopes: Some(words(scopes)),
        audience: Some(words(&[audience])),
        tenant: Some(tenant.to_owned()),
        ..Changes::default()
    };
    NewClient { name: format!("{name}-{audience}"), settings }
}

const SCOPES: [&str; 6] =
    ["obs:read", "obs:logs", "obs:traces", "obs:ingest", "obs:admin", "authority:admin"];

/// `{"alg":"none","typ":"at+jwt"}` in Base64.
const UNSIGNED: &str = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0";

/// The tokens of the matrix for an audience, in the order of [`TOKENS`].
async fn tokens(data: &Path, audience: &str) -> Vec<Option<String>> {
    let now = authority(data, now_ns()).await;
    for (name, scopes, tenant) in [
        ("all", &SCOPES[..], "acme"),
        ("little", &["other:thing"][..], "acme"),
        ("other", &SCOPES[..], "globex"),
    ] {
        now.create_client(new_client(name, scopes, audience, tenant)).await.unwrap();
    }
    now.create_client(new_client("all", &SCOPES, &format!("not-{audience}"), "acme")).await.unwrap();
    let before = authority(data, now_ns() - DAY_NS).await;
    let of = |authority: &Authority, name: &str, certificate: Option<&str>| {
        let request = TokenRequest { certificate: certificate.map(str::to_owned), ..TokenRequest::default() };
        authority.issue_service(name, &request, 3_600).unwrap()
    };
    let all = format!("all-{audience}");
    let revoked = of(&now, &all, None);
    now.revoke(&revoked.token).await.unwrap();
    let good = of(&now, &all, None).token;
    let claims = good.split('.').nth(1).unwrap();
    vec![
        None,
        Some(of(&before, &all, None).token),
        Some(of(&now, &format!("all-not-{audience}"), None).token),
        Some(of(&now, &format!("little-{audience}"), None).token),
        Some(of(&now, &format!("other-{audience}"), None).token),
        Some(of(&now, &all, Some(&"x".repeat(43))).token),
        Some(revoked.token),
        Some(format!("{UNSIGNED}.{claims}.")),
        Some(good),
    ]
}

/// A request of OTLP with one line in it, as protobuf.
fn one_line() -> Vec<u8> {
    let record = [&[0x09][..], &now_ns().to_le_bytes(), &[0x2a, 3, 0x0a, 1, b'x']].concat();
    let nested = |tag: u8, inner: Vec<u8>| [&[tag, u8::try_from(inner.len()).unwrap()][..], &inner].concat();
    nested(0x0a, nested(0x12, nested(0x12, record)))
}

async fn ask(
    http: &reqwest::Client,
    url: &str,
    method: &Method,
    token: Option<&str>,
    is_grpc: bool,
) -> Option<u16> {
    let mut request = http.request(method.clone(), url).header("X-StellaOps-Tenant", "acme");
    let line = one_line();
    if is_grpc {
        let framed = [&[0, 0, 0, 0, u8::try_from(line.len()).unwrap()][..], &line].concat();
        request = request.header("content-type", "application/grpc").header("te", "trailers").body(framed);
    } else if *method == Method::POST {
        request = request.header("content-type", "application/x-protobuf").body(line);
    }
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let answer = request.send().await.ok()?;
    let status = answer.headers().get("grpc-status").map(|status| status.to_str().unwrap().to_owned());
    Some(match status.as_deref() {
        Some("16") => 401,
        Some("7") => 403,
        Some("0") | None => answer.status().as_u16(),
        Some(other) => panic!("grpc-status {other}"),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_the_right_ones_pass_at_every_port() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let now = ManualClock::new(TimestampNs(now_ns()));
    let certificates = at("good");
    dev::make(&certificates, "dev", false, &now).unwrap();
    dev::make(&at("foreign"), "dev", false, &now).unwrap();
    pair_of(&certificates, &at("revoked"), &now);
    pair_of(&certificates, &at("expired"), &ManualClock::new(TimestampNs(now_ns() - 500 * DAY_NS)));
    let revoked = security::tls::inspect::file(&at("revoked").join("client.crt")).unwrap().remove(0);
    std::fs::write(at("deny"), format!("serial:{}\n", revoked.serial)).unwrap();
    let keys = format!(
        "own_telemetry: false\ntls:\n  cert: {0}/{{service}}-dev.crt\n  key: {0}/{{service}}-dev.key\n  \
         ca: {0}/collector-ca.crt\n  revoked: [{1}]\n",
        certificates.display(),
        at("deny").display()
    );
    let stella = Stella::serve_secured(folder.path(), &keys).await;
    let data = at("data");
    let families = [tokens(&data, "observability").await, tokens(&data, "authority").await];
    let clients = CERTIFICATES.map(|name| {
        let shows = at(name);
        client(&certificates, (name != "none").then_some(&*shows))
    });
    let url =
        |name: &str, path: &str| format!("https://localhost:{}{path}", stella.address(name).unwrap().port());
    let (good, last) = (&clients[4], TOKENS.len() - 1);
    for (family, port) in [(0, &PORTS[1]), (1, &PORTS[8])] {
        let (name, method, path, ..) = port;
        eventually("the server knows the clients and the revocation", async || {
            let status = async |token: usize| {
                ask(good, &url(name, path), method, families[family][token].as_deref(), false).await
            };
            (status(last).await == Some(200) && status(6).await == Some(401)).then_some(())
        })
        .await;
    }
    let mut wrong = Vec::new();
    for (name, method, path, needs_certificate, audience) in &PORTS {
        let family = &families[usize::from(*audience == "authority")];
        for (certificate, http) in CERTIFICATES.iter().zip(&clients) {
            for (token, text) in TOKENS.iter().zip(family) {
                let found = ask(http, &url(name, path), method, text.as_deref(), *name == "otlp_grpc").await;
                let expected = expected(name, *needs_certificate, certificate, token);
                if found != expected {
                    wrong.push(format!(
                        "{name}: certificate={certificate} token={token}: {found:?}, not {expected:?}"
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    stella.stop().await;
}

/// Every way to ask for something, by port.
const QUESTIONS: [(&str, &str); 34] = [
    ("prometheus", "/api/v1/query?query=%7B__name__%3D~%22.%2B%22%7D"),
    ("prometheus", "/api/v1/query?query=%7B__tenant_id__%3D%22acme%22%2C__name__%3D~%22.%2B%22%7D"),
    ("prometheus", "/api/v1/query_range?query=%7B__name__%3D~%22.%2B%22%7D&start=START&end=END&step=15"),
    ("prometheus", "/api/v1/series?match%5B%5D=%7B__name__%3D~%22.%2B%22%7D"),
    ("prometheus", "/api/v1/labels"),
    ("prometheus", "/api/v1/label/__name__/values"),
    ("prometheus", "/api/v1/label/marker/values"),
    ("prometheus", "/api/v1/label/__tenant_id__/values"),
    ("prometheus", "/api/v1/metadata"),
    ("prometheus", "/api/v1/query_exemplars?query=acme_marker&start=START&end=END"),
    ("prometheus", "/api/v1/status/tsdb"),
    ("prometheus", "/api/v1/status/tsdb/blocks"),
    ("prometheus", "/federate?match%5B%5D=%7B__name__%3D~%22.%2B%22%7D"),
    ("prometheus", "/api/v1/sql?query=select%20*%20from%20metrics"),
    ("prometheus", "/api/v1/sql?query=select%20*%20from%20logs"),
    ("prometheus", "/api/v1/sql?query=select%20*%20from%20traces"),
    ("prometheus", "/metrics"),
    ("prometheus", "/api/status"),
    ("loki", "/loki/api/v1/query_range?query=%7Bapp%3D~%22.%2B%22%7D"),
    ("loki", "/loki/api/v1/query_range?query=%7B__tenant_id__%3D%22acme%22%7D"),
    ("loki", "/loki/api/v1/query?query=count_over_time(%7Bapp%3D~%22.%2B%22%7D%5B1h%5D)"),
    ("loki", "/loki/api/v1/labels"),
    ("loki", "/loki/api/v1/label/app/values"),
    ("loki", "/loki/api/v1/series?match%5B%5D=%7Bapp%3D~%22.%2B%22%7D"),
    ("loki", "/api/status"),
    ("loki", "/metrics"),
    ("tempo", "/api/traces/TRACE"),
    ("tempo", "/api/v2/traces/TRACE"),
    ("tempo", "/api/search?q=%7B%7D"),
    ("tempo", "/api/search/tags"),
    ("tempo", "/api/search/tag/service.name/values"),
    ("tempo", "/api/v2/search/tag/resource.service.name/values"),
    ("tempo", "/api/status"),
    ("scrape", "/metrics"),
];

/// The trace of the first tenant.
const TRACE: &str = "5bd66ef5095369c7b0d1f8f4bd33716a";

/// Tokens of two tenants that one certificate may show.
async fn tokens_of_two(data_dir: &Path, own: &Path) -> Vec<String> {
    let thumbprint = security::tls::inspect::file(&own.join("client.crt")).unwrap().remove(0).thumbprint;
    let authority = authority(data_dir, now_ns()).await;
    let scopes = ["obs:read", "obs:logs", "obs:traces", "obs:ingest"];
    let mut tokens = Vec::new();
    for tenant in ["acme", "globex"] {
        authority.create_client(new_client(tenant, &scopes, "observability", tenant)).await.unwrap();
        let request = TokenRequest { certificate: Some(thumbprint.clone()), ..TokenRequest::default() };
        tokens.push(
            authority.issue_service(&format!("{tenant}-observability"), &request, 3_600).unwrap().token,
        );
    }
    tokens
}

/// Writes the same to every signal, marked with the tenant's name, and data that names the other tenant, which does not get
/// there.
async fn write_marked(http: &reqwest::Client, url: &dyn Fn(&str, &str) -> String, tenant: &str, token: &str) {
    let marker = format!("{tenant}_marker");
    let resource = || vec![text_attribute("service.name", &marker)];
    let trace = if tenant == "acme" { TRACE.to_owned() } else { TRACE.replace('5', "6") };
    let spans = vec![span(&trace, "c532cb4098ac3dd2", &marker, now_ns(), &[])];
    let bodies = [
        ("/v1/logs", crate::telemetry::logs(&[(resource(), vec![&*marker])])),
        ("/v1/metrics", crate::telemetry::metrics(&[(resource(), &*marker, 1.0)])),
        ("/v1/traces", crate::telemetry::traces(&[(resource(), spans)])),
    ];
    for (path, body) in bodies {
        eventually("the server takes it", async || {
            let request = http.post(url("otlp_http", path)).json(&body).bearer_auth(token);
            (request.send().await.unwrap().status() == 200).then_some(())
        })
        .await;
    }
    let other = if tenant == "acme" { "globex" } else { "acme" };
    let forged = vec![text_attribute("service.name", "forged"), text_attribute("tenant.id", other)];
    let body = crate::telemetry::logs(&[(forged, vec!["forged"])]);
    let answer = http.post(url("otlp_http", "/v1/logs")).json(&body).bearer_auth(token).send().await.unwrap();
    let (status, said) = (answer.status().as_u16(), answer.text().await.unwrap());
    assert!(status == 403 || said.contains("rejected"), "{tenant} writes to {other}: {status} {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_tries_every_door_finds_nothing_of_another_under_the_same_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::up_secured(folder.path()).await;
    let own = crate::tls::certificates(folder.path());
    let tokens = tokens_of_two(folder.path(), &own).await;
    let http = client(&own, Some(&own));
    let url =
        |name: &str, path: &str| format!("https://localhost:{}{path}", stella.address(name).unwrap().port());
    // The certificate is the same.
    for (tenant, token) in ["acme", "globex"].into_iter().zip(&tokens) {
        write_marked(&http, &url, tenant, token).await;
    }

    let asked = async |token: &str, header: Option<(&str, &str)>, name: &str, path: &str| {
        let (start, end) = (now_ns() / NS_PER_S - 600, now_ns() / NS_PER_S + 60);
        let path = path
            .replace("START", &start.to_string())
            .replace("END", &end.to_string())
            .replace("TRACE", TRACE);
        let mut request = http.get(url(name, &path)).bearer_auth(token);
        if let Some((header, tenants)) = header {
            request = request.header(header, tenants);
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let headers = [
        None,
        Some(("X-Scope-OrgID", "acme")),
        Some(("X-StellaOps-Tenant", "acme")),
        Some(("X-Scope-OrgID", "acme|globex")),
        Some(("X-StellaOps-Scopes", "obs:admin")),
        Some(("X-Stella-Tenant", "acme")),
    ];
    let mut seen = 0;
    for (name, path) in QUESTIONS {
        for header in headers {
            let (status, body) = asked(&tokens[1], header, name, path).await;
            let is_seen =
                body.contains("acme_marker") || body.contains("forged") || body.contains("tenant=\"acme\"");
            // A refusal may repeat what was asked for.
            assert!(status >= 400 || !is_seen, "{name} {path} {header:?}: {status} {body}");
            let names_acme =
                header.is_some_and(|(name, tenants)| tenants.contains("acme") && name != "X-Stella-Tenant");
            let concerns_nobody = path == "/metrics" || path.contains("/status/");
            assert!(
                !names_acme || status >= 400 || concerns_nobody,
                "{name} {path} {header:?}: {status} {body}"
            );
        }
        let (_, body) = asked(&tokens[0], None, name, path).await;
        assert!(!body.contains("globex") && !body.contains("forged"), "{name} {path}: {body}");
        seen += usize::from(body.contains("acme_marker"));
    }
    assert!(seen >= 15, "whose it is sees it: {seen}");
    stella.stop().await;
}
