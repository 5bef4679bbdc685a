//! One tenant that tries every door to what another one has: headers that say two things, names in odd forms, selectors,
//! SQL, deletions, holds, the plan of everybody, and the server's own tenant. Nothing of the other is ever in an answer.

use reqwest::Method;
use serde_json::json;

use crate::authority::{Deployment, succeed};
use crate::server::eventually;
use crate::telemetry::now_ns;

/// What the other tenant has, in each signal.
const SECRET: &str = "hushhush";
const TRACE: &str = "000000000000000000000000feedface";

struct Attack {
    deployment: Deployment,
    acme: String,
    globex: String,
}

impl Attack {
    async fn new() -> Self {
        let deployment = Deployment::new().await;
        let folder = deployment.folder.path();
        let scopes = "obs:read,obs:logs,obs:traces,obs:ingest,obs:admin,obs:incident,timeline:read";
        let create = |name: &str| {
            let flags = format!("--audience observability --scopes {scopes} --tenant {name}");
            succeed(folder, &format!("stella authority client create {name} {flags}"));
            succeed(folder, &format!("stella authority token issue {name} --ttl 1h")).trim().to_owned()
        };
        let (acme, globex) = (create("acme"), create("globex"));
        let attack = Self { deployment, acme, globex };
        eventually("the server knows the clients", async || {
            let status = attack.ask("loki", "/loki/api/v1/labels", &[]).await.0;
            (status == 200).then_some(())
        })
        .await;
        attack
    }

    async fn send(&self, listener: &str, path: &str, body: serde_json::Value) {
        let request = self.deployment.http.post(self.deployment.url(listener, path)).json(&body);
        let answer = self.deployment.send(request, Some(&self.acme), None).await;
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
    }

    /// What the other tenant has.
    async fn plant(&self) {
        let ns = now_ns().to_string();
        let text = |key: &str| json!({"key": key, "value": {"stringValue": SECRET}});
        let resource = json!({"attributes": [text("service.name")]});
        let values = json!([[ns, SECRET]]);
        let body = json!({"streams": [{"stream": {"app": SECRET}, "values": values}]});
        self.send("loki", "/loki/api/v1/push", body).await;
        let span = json!({
            "traceId": TRACE, "spanId": "00000000000000a1", "name": SECRET, "startTimeUnixNano": ns,
            "endTimeUnixNano": ns, "attributes": [text("k")],
        });
        let spans = json!([{"spans": [span]}]);
        self.send(
            "tempo",
            "/v1/traces",
            json!({"resourceSpans": [{"resource": resource, "scopeSpans": spans}]}),
        )
        .await;
        let exemplar = json!({
            "timeUnixNano": ns, "asDouble": 1.0, "traceId": TRACE, "spanId": "00000000000000a1",
            "filteredAttributes": [text("e")],
        });
        let point =
            json!({"timeUnixNano": ns, "asDouble": 1.0, "attributes": [text("k")], "exemplars": [exemplar]});
        let metric = json!({"name": SECRET, "gauge": {"dataPoints": [point]}});
        let metrics = json!([{"metrics": [metric]}]);
        let body = json!({"resourceMetrics": [{"resource": resource, "scopeMetrics": metrics}]});
        self.send("prometheus", "/api/v1/otlp/v1/metrics", body).await;
    }

    /// Asks as the one who attacks; status and body.
    async fn ask(&self, listener: &str, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
        self.with(Method::GET, listener, path, headers).await
    }

    async fn with(
        &self,
        method: Method,
        listener: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> (u16, String) {
        let mut request = self.deployment.http.request(method, self.deployment.url(listener, path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.deployment.send(request, Some(&self.globex), None).await;
        (answer.status().as_u16(), answer.text().await.unwrap())
    }
}

/// Questions whose answers would have what the other tenant has.
const QUESTIONS: [(&str, &str); 24] = [
    ("loki", "/loki/api/v1/query_range?query=%7Bapp%3D~%22.%2B%22%7D"),
    (
        "loki",
        "/loki/api/v1/query_range?query=%7B__tenant_id__%3D%22acme%22%7D&X-Scope-OrgID=acme&tenant=acme",
    ),
    ("loki", "/loki/api/v1/query?query=sum%20by%20(app)(count_over_time(%7Bapp%3D~%22.%2B%22%7D%5B1h%5D))"),
    ("loki", "/loki/api/v1/labels"),
    ("loki", "/loki/api/v1/label/app/values"),
    ("loki", "/loki/api/v1/series"),
    ("loki", "/loki/api/v1/delete"),
    ("prometheus", "/api/v1/query?query=%7B__name__%3D~%22.%2B%22%7D"),
    ("prometheus", "/api/v1/query?query=%7B__name__%3D~%22.%2B%22,__tenant_id__%3D%22acme%22%7D&tenant=acme"),
    ("prometheus", "/api/v1/query_exemplars?query=%7B__name__%3D~%22.%2B%22%7D&start=0&end=9999999999"),
    ("prometheus", "/api/v1/series?match[]=%7B__name__%3D~%22.%2B%22%7D"),
    ("prometheus", "/api/v1/labels"),
    ("prometheus", "/api/v1/label/__name__/values"),
    ("prometheus", "/api/v1/metadata"),
    ("prometheus", "/api/v1/status/tsdb"),
    ("prometheus", "/federate?match[]=%7B__name__%3D~%22.%2B%22%7D"),
    ("prometheus", "/api/v1/sql?query=SELECT%20*%20FROM%20logs"),
    ("prometheus", "/api/v1/sql?query=SELECT%20*%20FROM%20traces"),
    ("tempo", "/api/traces/000000000000000000000000feedface"),
    ("tempo", "/api/v2/traces/000000000000000000000000feedface"),
    ("tempo", "/api/search?q=%7B%7D&start=0&end=9999999999"),
    ("tempo", "/api/v2/search/tags"),
    ("tempo", "/api/v2/search/tag/resource.service.name/values"),
    ("tempo", "/api/search/tag/name/values"),
];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_another_tenant_is_ever_answered() {
    let attack = Attack::new().await;
    attack.plant().await;
    // The questions are ones that have answers.
    let mut found = 0;
    for (listener, path) in QUESTIONS {
        let request = attack.deployment.http.get(attack.deployment.url(listener, path));
        let answer = attack.deployment.send(request, Some(&attack.acme), None).await;
        found += usize::from(answer.text().await.unwrap().contains(SECRET));
    }
    assert!(found > 14, "{found} of the questions find what the tenant has itself");

    let smuggled: [&[(&str, &str)]; 12] = [
        &[("X-Scope-OrgID", "acme")],
        &[("X-StellaOps-Tenant", "acme")],
        &[("X-Scope-OrgID", "globex"), ("X-Scope-OrgID", "acme")],
        &[("X-Scope-OrgID", "acme"), ("X-StellaOps-Tenant", "globex")],
        &[("X-Scope-OrgID", "globex|acme")],
        &[("X-Scope-OrgID", "globex|")],
        &[("X-Scope-OrgID", "|")],
        &[("X-Scope-OrgID", "")],
        &[("X-Scope-OrgID", "globex,acme")],
        &[("X-Scope-OrgID", "%61cme")],
        &[("X-Scope-OrgID", "../acme")],
        &[
            ("X-Scope-OrgID", "acme"),
            ("X-StellaOps-Scopes", "obs:admin"),
            ("sub", "acme"),
            ("scope", "obs:admin"),
        ],
    ];
    for (listener, path) in QUESTIONS {
        let (_, body) = attack.ask(listener, path, &[]).await;
        assert!(!body.contains(SECRET), "{listener} {path}: {body}");
    }
    for headers in smuggled {
        for (listener, path) in [QUESTIONS[0], QUESTIONS[7], QUESTIONS[16], QUESTIONS[18], QUESTIONS[20]] {
            let (status, body) = attack.ask(listener, path, headers).await;
            assert!((400..500).contains(&status), "{headers:?} {path}: {status} {body}");
            assert!(!body.contains(SECRET), "{headers:?} {path}: {body}");
        }
    }
    for sql in [
        "SELECT * FROM acme.logs",
        "SELECT * FROM \"acme\".public.logs",
        "SELECT * FROM information_schema.tables",
    ] {
        let query: String = url::form_urlencoded::byte_serialize(sql.as_bytes()).collect();
        let (_, body) = attack.ask("prometheus", &format!("/api/v1/sql?query={query}"), &[]).await;
        assert!(!body.contains(SECRET) && !body.contains("acme\",\""), "{sql}: {body}");
    }
    attack.deployment.stella.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_of_one_tenant_reaches_into_no_other() {
    let attack = Attack::new().await;
    attack.plant().await;
    // Deletions, holds and incidents concern the own tenant alone.
    for (method, listener, path) in [
        (Method::POST, "loki", "/loki/api/v1/delete?query=%7Bapp%3D~%22.%2B%22%7D&start=1"),
        (Method::POST, "prometheus", "/api/v1/admin/tsdb/delete_series?match[]=%7B__name__%3D~%22.%2B%22%7D"),
        (Method::POST, "prometheus", "/telemetry/retention/run"),
    ] {
        let (status, body) = attack.with(method, listener, path, &[]).await;
        assert!(status < 300, "{path}: {status} {body}");
    }
    for (listener, path) in QUESTIONS.iter().take(1).chain(&QUESTIONS[7..8]) {
        let request = attack.deployment.http.get(attack.deployment.url(listener, path));
        let answer = attack.deployment.send(request, Some(&attack.acme), None).await;
        assert!(answer.text().await.unwrap().contains(SECRET), "{path}: what the other has is there");
    }
    // What is about everybody is about those that the caller may act for, or not for it.
    let (status, body) = attack.ask("prometheus", "/telemetry/retention/plan/all", &[]).await;
    assert!(status == 200 && !body.contains("acme"), "{status} {body}");
    let (status, body) = attack.with(Method::POST, "prometheus", "/telemetry/retention/run/all", &[]).await;
    assert!(status == 403 && body.contains("ERR_TENANT_MISMATCH"), "{status} {body}");
    let (_, body) = attack.ask("prometheus", "/metrics", &[]).await;
    assert!(!body.contains("tenant=\"acme\""), "{body}");
    let (_, body) = attack.ask("loki", "/api/status", &[]).await;
    assert!(!body.contains("acme"), "{body}");
    let stored = format!("/telemetry/retention/stored?signal=traces&time_ns={}&trace_id={TRACE}", now_ns());
    let (status, body) = attack.ask("prometheus", &stored, &[]).await;
    assert!(status == 200 && body.contains("\"rows\":0"), "{status} {body}");
    for tenant in ["acme", "stella"] {
        let (status, body) = attack.ask("loki", QUESTIONS[0].1, &[("X-Scope-OrgID", tenant)]).await;
        assert_eq!(status, 403, "{tenant}: {body}");
    }
    attack.deployment.stella.stop().await;
}
