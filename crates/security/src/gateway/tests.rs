//! Whom the gateway lets act for whom.

use http::HeaderValue;
use model::limits::{Limits, SameLimits};

use super::*;

fn gateway(default_tenant: Option<&str>) -> Gateway {
    let default_tenant = default_tenant.map(|name| TenantId::parse(name).unwrap());
    Gateway::new(default_tenant, Arc::new(SameLimits(Arc::new(Limits::default()))))
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

type Case =
    (&'static [(&'static str, &'static str)], Option<&'static str>, Option<&'static str>, &'static str);

#[test]
fn headers_come_before_the_data_and_the_data_before_the_default() {
    let cases: &[Case] = &[
        // headers, tenant named by the data, default, outcome
        (&[], None, None, "TENANT_REQUIRED"),
        (&[], None, Some("home"), "home"),
        (&[], Some("data"), Some("home"), "data"),
        (&[], Some("a/b"), Some("home"), "ERR_TENANT_INVALID"),
        (&[], Some(""), Some("home"), "ERR_TENANT_INVALID"),
        (&[(TENANT_HEADER, "a")], Some("data"), Some("home"), "a"),
        (&[(ORG_ID_HEADER, "a")], Some("data"), Some("home"), "a"),
        (&[(TENANT_HEADER, "a"), (ORG_ID_HEADER, "a")], None, None, "a"),
        (&[(TENANT_HEADER, "a"), (ORG_ID_HEADER, "b")], None, Some("home"), "ERR_TENANT_MISMATCH"),
        (&[(TENANT_HEADER, "a"), (ORG_ID_HEADER, "A")], None, None, "ERR_TENANT_MISMATCH"),
        (&[(ORG_ID_HEADER, "a"), (ORG_ID_HEADER, "b")], None, None, "ERR_TENANT_MISMATCH"),
        (&[(ORG_ID_HEADER, "")], Some("data"), Some("home"), "ERR_TENANT_INVALID"),
        (&[(ORG_ID_HEADER, "a|b")], None, None, "ERR_TENANT_INVALID"),
        (&[(ORG_ID_HEADER, "..")], None, Some("home"), "ERR_TENANT_INVALID"),
        (&[(TENANT_HEADER, "a"), (ORG_ID_HEADER, "é")], None, None, "ERR_TENANT_INVALID"),
    ];
    for (pairs, named, default_tenant, expected) in cases {
        let access = gateway(*default_tenant).access(&headers(pairs));
        assert_eq!(outcome(&access, *named), *expected, "{pairs:?} {named:?} {default_tenant:?}");
    }
}

#[test]
fn the_layer_gives_every_request_its_access() {
    let inner = tower::service_fn(|request: Request<()>| {
        let access = request.extensions().get::<Access>().cloned();
        std::future::ready(Ok::<_, std::convert::Infallible>(access))
    });
    let mut service = gateway(None).layer().layer(inner);
    let request = Request::builder().header("X-Scope-OrgID", "shop").body(()).unwrap();
    let access = service.call(request).into_inner().unwrap().unwrap();
    assert_eq!(outcome(&access, None), "shop");
    assert_eq!(access.context(None).unwrap().limits(), &Limits::default());
}

#[test]
fn a_router_takes_the_layer() {
    let _: axum::Router = axum::Router::new().layer(gateway(None).layer());
}
