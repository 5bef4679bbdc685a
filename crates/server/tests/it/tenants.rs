//! Whose telemetry it is: the header, the resource attribute, the default, and what is refused.

use serde_json::Value;

use crate::client::{Api, Client};
use crate::server::{Stella, http_client};
use crate::telemetry::{logs, metrics, now_ns, post_json, span, text_attribute, traces};

/// A resource of a service, with the attribute that names its tenant where there is one.
fn resource(tenant: Option<(&str, &str)>, service: &str) -> Vec<Value> {
    let mut attributes = vec![text_attribute("service.name", service)];
    attributes.extend(tenant.map(|(key, value)| text_attribute(key, value)));
    attributes
}

/// Sends one line, one sample and one span per resource; all must be taken.
async fn send(client: &Client, resources: &[(Option<(&str, &str)>, &str)]) {
    let span_of = |service: &str| span(&trace_id(service), "00000000000000a1", "work", now_ns(), &[]);
    let of = |(tenant, service): &(Option<(&str, &str)>, &'_ str)| resource(*tenant, service);
    let bodies = [
        ("/v1/logs", logs(&resources.iter().map(|r| (of(r), vec!["hello"])).collect::<Vec<_>>())),
        ("/v1/metrics", metrics(&resources.iter().map(|r| (of(r), "beats", 1.0)).collect::<Vec<_>>())),
        ("/v1/traces", traces(&resources.iter().map(|r| (of(r), vec![span_of(r.1)])).collect::<Vec<_>>())),
    ];
    for (path, body) in bodies {
        let answer = post_json(client, Api::OtlpHttp, path, &body).await.unwrap();
        let reply = answer.json();
        assert!(reply["partialSuccess"].as_object().is_none_or(serde_json::Map::is_empty), "{path}: {reply}");
    }
}

/// A trace id made of a service's name.
fn trace_id(service: &str) -> String {
    format!("{:0>32}", hex::encode(service))
}

/// The services that a tenant sees through each API; all three must tell the same.
async fn services(client: &Client) -> Vec<String> {
    let jobs = client.metric_label_values("job").await;
    let logs = client.log_label_values("service_name").await;
    let traces = client.tag_values("resource.service.name").await;
    let traces = traces.iter().map(|value| value.strip_prefix("string:").unwrap().to_owned()).collect();
    assert_eq!(jobs, logs, "metrics and logs tell different services");
    assert_eq!(logs, traces, "logs and traces tell different services");
    jobs.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_names_its_tenant_where_no_header_does() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::up_with(folder.path(), &["--no-own-telemetry"]).await;
    let anonymous = stella.anonymous();
    let resources = [
        (Some(("tenant.id", "acme")), "a1"),
        (Some(("tenant", "acme")), "a2"),
        (Some(("tenant_id", "globex")), "g1"),
        (None, "d1"),
    ];
    send(&anonymous, &resources).await;
    // A header says it for all resources; one that says another is rejected, and the rest is kept.
    let initech = stella.tenant("initech");
    send(&initech, &[(Some(("tenant.id", "initech")), "i1"), (None, "i2")]).await;
    let of = |tenant, service| (resource(tenant, service), vec!["hello"]);
    let body = logs(&[of(Some(("tenant.id", "acme")), "a3"), of(None, "i1")]);
    let answer = post_json(&initech, Api::OtlpHttp, "/v1/logs", &body).await.unwrap();
    let partial = answer.json()["partialSuccess"].clone();
    assert_eq!(partial["rejectedLogRecords"], "1", "{partial}");
    assert!(partial["errorMessage"].as_str().unwrap().contains("tenant=acme"), "{partial}");

    assert_eq!(services(&stella.tenant("acme")).await, ["a1", "a2"]);
    assert_eq!(services(&stella.tenant("globex")).await, ["g1"]);
    assert_eq!(services(&stella.tenant("initech")).await, ["i1", "i2"]);
    assert_eq!(services(&stella.tenant("default")).await, ["d1"]);
    assert_eq!(services(&anonymous).await, ["d1"], "who names nobody reads the default tenant");
    assert_eq!(services(&stella.tenant("nobody")).await, [""; 0]);

    assert!(stella.tenant("acme").trace(&trace_id("a1")).await.is_some());
    assert!(stella.tenant("globex").trace(&trace_id("a1")).await.is_none(), "a trace of another tenant");
    stella.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_of_several_tenants_say_whose_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::up_with(folder.path(), &["--no-own-telemetry"]).await;
    let shared = "00000000000000000000000000005a5a";
    for (n, tenant) in ["acme", "globex", "initech"].into_iter().enumerate() {
        let id = format!("00000000000000a{n}");
        let spans = [shared, &trace_id(tenant)].map(|trace| span(trace, &id, "work", now_ns(), &[]));
        // What the data itself says of it is not believed.
        let attributes =
            vec![text_attribute("service.name", tenant), text_attribute("__tenant_id__", "forged")];
        let body = traces(&[(attributes, spans.to_vec())]);
        assert_eq!(
            post_json(&stella.tenant(tenant), Api::Tempo, "/v1/traces", &body).await.unwrap().status,
            200
        );
    }
    let both = stella.tenant("acme|globex");
    let found = async |client: &Client, query: &str| {
        let mut ids: Vec<String> =
            client.search(query).await.iter().map(|t| t["traceID"].to_string()).collect();
        ids.sort();
        ids.iter().map(|id| format!("{:0>32}", id.trim_matches('"'))).collect::<Vec<_>>()
    };
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    assert_eq!(
        sorted(found(&both, "{}").await),
        sorted(vec![trace_id("acme"), trace_id("globex"), shared.into()])
    );
    for (query, own) in [
        ("{resource.__tenant_id__=\"globex\"}", vec![trace_id("globex"), shared.into()]),
        ("{.__tenant_id__=\"globex\" && resource.service.name=\"acme\"}", vec![]),
        (
            "{resource.__tenant_id__=~\"acme|globex\" && resource.service.name=\"acme\"}",
            vec![trace_id("acme"), shared.into()],
        ),
        ("{resource.__tenant_id__=\"initech\"}", vec![]),
        (
            "{resource.original___tenant_id__=\"forged\"}",
            vec![trace_id("acme"), trace_id("globex"), shared.into()],
        ),
    ] {
        assert_eq!(sorted(found(&both, query).await), sorted(own), "{query}");
    }
    // A trace that each has a part of: the parts of these two, each with its own name.
    let whole = both.get(Api::Tempo, &format!("/api/v2/traces/{shared}"), &[]).await.json();
    let resources = whole["trace"]["resourceSpans"].as_array().unwrap();
    let of = |resource: &Value, key: &str| {
        let attributes = resource["resource"]["attributes"].as_array().unwrap();
        let values: Vec<_> = attributes
            .iter()
            .filter(|a| a["key"] == key)
            .map(|a| a["value"]["stringValue"].as_str().unwrap())
            .collect();
        values.join(",")
    };
    let mut told: Vec<(String, String)> =
        resources.iter().map(|r| (of(r, "service.name"), of(r, "__tenant_id__"))).collect();
    told.sort();
    assert_eq!(told, [("acme".into(), "acme".into()), ("globex".into(), "globex".into())], "{whole}");
    let values = both.tag_values("resource.__tenant_id__").await;
    assert_eq!(values.into_iter().collect::<Vec<_>>(), ["string:acme", "string:globex"]);
    // Who reads one tenant sees its data as they are.
    let one = stella.tenant("acme").get(Api::Tempo, &format!("/api/v2/traces/{shared}"), &[]).await.json();
    assert_eq!(of(&one["trace"]["resourceSpans"][0], "__tenant_id__"), "forged");
    stella.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_default_who_names_nobody_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let stella = Stella::serve(folder.path(), "own_telemetry: false\n", &[]).await;
    let anonymous = stella.anonymous();
    let questions = [
        (Api::Prometheus, "/api/v1/query", ("query", "up")),
        (Api::Loki, "/loki/api/v1/labels", ("since", "1h")),
        (Api::Tempo, "/api/search", ("q", "{}")),
    ];
    for (api, path, parameter) in questions {
        let answer = anonymous.get(api, path, &[parameter]).await;
        assert_eq!(answer.status, 401, "{path}: {}", answer.text());
        let answer = stella.tenant("a/b").get(api, path, &[parameter]).await;
        assert!((400..500).contains(&answer.status), "{path}: {} {}", answer.status, answer.text());
        // Two headers that name different tenants.
        let other = http_client().get(anonymous.url(api, path)).query(&[parameter]);
        let answer = stella.tenant("acme").send(other.header("X-StellaOps-Tenant", "globex")).await.unwrap();
        assert_eq!(answer.status, 403, "{path}: {}", answer.text());
    }
    let body = logs(&[(resource(None, "a"), vec!["hello"])]);
    let answer = post_json(&anonymous, Api::OtlpHttp, "/v1/logs", &body).await.unwrap();
    assert_eq!(answer.status, 401, "{}", answer.text());
    stella.stop().await;
}
