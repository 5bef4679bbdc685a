//! A collector with a store that keeps batches, and may be told to reject or to fail.

use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::{Extension, Router};
use bytes::Bytes;
use collector::settings::Settings;
use collector::{Collector, Components, Metrics};
use futures::future::BoxFuture;
use http::{HeaderMap, Request, StatusCode};
use model::ingest::{Batch, Ingest, IngestError, Reason, Receipt};
use model::tenant::{Access, Caller, Refusal, TenantContext, TenantId};
use model::time::{ManualClock, TimestampNs};
use model::{Limits, Signal};
use prometheus_client::registry::Registry;
use tower::ServiceExt as _;

/// What the store does with a batch.
#[derive(Clone, Debug, Default)]
pub(crate) enum Mood {
    #[default]
    Takes,
    /// Rejects so many items of each batch, and says that it took the others.
    Rejects(usize, Reason),
    Fails(IngestError),
    /// Takes nothing of these tenants, which are over their rate.
    Limits(&'static [&'static str]),
}

/// Keeps what it is given, with the tenant's name.
#[derive(Debug, Default)]
pub(crate) struct Store {
    batches: Mutex<Vec<(String, Batch)>>,
    mood: Mutex<Mood>,
}

impl Ingest for Store {
    fn ingest<'a>(
        &'a self,
        context: &'a TenantContext,
        batch: Batch,
    ) -> BoxFuture<'a, Result<Receipt, IngestError>> {
        let mood = self.mood.lock().unwrap().clone();
        let mut receipt = Receipt { accepted: batch.items(), rejections: Vec::new() };
        let result = match mood {
            Mood::Fails(error) => Err(error),
            Mood::Limits(tenants) if tenants.contains(&context.tenant().as_str()) => {
                let message = format!("rate_limited: tenant={}", context.tenant());
                Err(IngestError::Limited { message, retry_after_s: 7 })
            }
            Mood::Takes | Mood::Limits(_) => Ok(receipt),
            Mood::Rejects(items, reason) => {
                receipt.accepted -= items;
                receipt.reject(reason, items, || "the first of them".to_owned());
                Ok(receipt)
            }
        };
        if result.is_ok() {
            self.batches.lock().unwrap().push((context.tenant().to_string(), batch));
        }
        Box::pin(async move { result })
    }
}

/// A collector whose gateway takes the header `X-Scope-OrgID` or the tenant that the data names.
pub(crate) struct Door {
    pub(crate) collector: Collector,
    store: Arc<Store>,
    registry: Registry,
}

/// The clock of every door: the time of records that bring none.
pub(crate) const NOW_NS: i64 = 1_700_000_000_000_000_000;

pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Door {
    pub(crate) fn new() -> Self {
        Self::with(Settings::default())
    }

    pub(crate) fn with(settings: Settings) -> Self {
        let store = Arc::new(Store::default());
        let mut registry = Registry::default();
        let components = Components {
            ingest: Arc::clone(&store) as Arc<dyn Ingest>,
            clock: Arc::new(ManualClock::new(TimestampNs(NOW_NS))),
            metrics: Metrics::register(&mut registry),
        };
        Self { collector: Collector::new(settings, components), store, registry }
    }

    pub(crate) fn mood(&self, mood: Mood) {
        *self.store.mood.lock().unwrap() = mood;
    }

    /// What the store was given since the last call.
    pub(crate) fn batches(&self) -> Vec<(String, Batch)> {
        std::mem::take(&mut *self.store.batches.lock().unwrap())
    }

    /// The only batch since the last call.
    pub(crate) fn batch(&self) -> Batch {
        let mut batches = self.batches();
        assert_eq!(batches.len(), 1, "one batch was expected");
        batches.remove(0).1
    }

    /// A line of the exposition; empty where there is none.
    pub(crate) fn counter(&self, series: &str) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(series));
        line.unwrap_or_default().trim().to_owned()
    }

    /// Sends a request to the router of a port, as the tenant of its header.
    pub(crate) async fn send(&self, router: Router, request: Request<Body>) -> Reply {
        let asked = request.headers().get("x-scope-orgid").map(|v| v.to_str().unwrap().to_owned());
        let router = router.layer(Extension(access(asked.as_deref())));
        let response = router.oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        Reply { status: parts.status, headers: parts.headers, body }
    }
}

/// A gateway: the header's tenant, else the data's; `forbidden` may not be used by anyone.
pub(crate) fn access(asked: Option<&str>) -> Access {
    let caller = Caller { asked: asked.map(|name| TenantId::parse(name).unwrap()), name: None };
    Access::new(
        caller,
        Arc::new(|caller, named| {
            let tenant = match (&caller.asked, named) {
                (_, Some("forbidden")) => return Err(Refusal::TenantMismatch("forbidden".to_owned())),
                (Some(asked), _) => asked.clone(),
                (None, Some(named)) => TenantId::parse(named)?,
                (None, None) => return Err(Refusal::TenantRequired),
            };
            Ok(TenantContext::new(tenant, Arc::new(Limits::default())))
        }),
    )
}

/// A request of tenant `acme`.
pub(crate) fn post(path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Request<Body> {
    let request = Request::post(path).header("x-scope-orgid", "acme");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(body.into()).unwrap()
}

/// A request that names no tenant by header.
pub(crate) fn anonymous(path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Request<Body> {
    let mut request = post(path, headers, body);
    request.headers_mut().remove("x-scope-orgid");
    request
}

pub(crate) fn limited() -> Mood {
    Mood::Fails(IngestError::Limited { message: "rate limit".to_owned(), retry_after_s: 7 })
}

/// The store's disk has no room.
pub(crate) fn full() -> IngestError {
    IngestError::Full { message: "the disk is full".to_owned(), retry_after_s: 30 }
}

/// The store can never take an item.
pub(crate) fn too_large() -> IngestError {
    IngestError::TooLarge { message: "an item is too large".to_owned() }
}

/// The number that the counter of a signal's items shows.
pub(crate) fn items(door: &Door, state: &str, signal: Signal, receiver: &str, transport: &str) -> String {
    let noun = match signal {
        Signal::Metrics => "metric_points",
        Signal::Logs => "log_records",
        Signal::Traces => "spans",
    };
    let labels = format!("{{receiver=\"{receiver}\",transport=\"{transport}\"}}");
    door.counter(&format!("otelcol_receiver_{state}_{noun}_total{labels}"))
}
