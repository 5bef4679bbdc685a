//! A store in memory with a clock that stands still, an engine over it, and the three doors.

use std::sync::Arc;

use api::{BuildInfo, ServerStatus, Settings};
use axum::Router;
use axum::body::{Body, to_bytes};
use http::{HeaderMap, Request, StatusCode};
use model::limits::{Limits, SameLimits};
use model::tenant::{Access, Admit, Caller, Refusal};
use model::time::{ManualClock, NS_PER_S};
use model::{Batch, Clock, Ingest, TenantContext, TenantId, TimestampNs};
use query::{QueryEngine, QuerySettings};
use storage::{Components, Storage, Store, StoreConfig, StoreParts};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// The moment at which the clock stands, in seconds.
pub(crate) const NOW_S: i64 = 1_700_000_000;

/// The same in nanoseconds.
pub(crate) const NOW_NS: i64 = NOW_S * NS_PER_S;

pub(crate) struct Fixture {
    storage: Storage,
    limits: Arc<Limits>,
    pub(crate) prometheus: Router,
    pub(crate) loki: Router,
    pub(crate) tempo: Router,
    _folder: tempfile::TempDir,
}

/// An answer, read whole.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(TimestampNs(NOW_NS)));
        let limits = Arc::new(Limits::default());
        let settings =
            storage::Settings { data_dir: folder.path().to_owned(), ..storage::Settings::default() };
        let parts = StoreParts { clock: Arc::clone(&clock), seed: 7, environment: Vec::new() };
        let store = Store::open(&StoreConfig::new("memory://"), &parts).unwrap().objects();
        let same = Arc::new(SameLimits(Arc::clone(&limits)));
        let components = Components::new(Arc::clone(&clock), store, same, 7);
        let storage = Storage::open(settings, components).await.unwrap();
        let pool = tokio::runtime::Handle::current();
        let engine = QueryEngine::new(storage.clone(), Arc::clone(&clock), QuerySettings::default(), pool);
        let settings = Settings {
            build: BuildInfo { version: "1.2.3".into(), revision: "abc".into(), ..BuildInfo::default() },
            allowed_origins: model::Origins::parse(&["https://grafana.example", "https://[a-c][.]example"])
                .unwrap(),
            status: ServerStatus {
                config_yaml: "data_dir: x\n".into(),
                flags: vec![("query.lookback-delta".into(), "5m".into())],
                ..ServerStatus::default()
            },
            search: true,
        };
        Self {
            storage,
            limits,
            prometheus: api::prometheus(engine.clone(), Arc::clone(&clock), &settings),
            loki: api::loki(engine.clone(), Arc::clone(&clock), &settings, CancellationToken::new()),
            tempo: api::tempo(engine, clock, &settings),
            _folder: folder,
        }
    }

    /// Writes a batch of which everything must be taken.
    pub(crate) async fn write(&self, tenant: &str, batch: Batch) {
        let context = TenantContext::new(TenantId::parse(tenant).unwrap(), Arc::clone(&self.limits));
        let items = batch.items();
        let receipt = self.storage.ingest(&context, batch).await.unwrap();
        assert_eq!((receipt.accepted, receipt.rejections), (items, vec![]));
    }

    /// Sends a request as the tenant; without one the gateway refuses.
    pub(crate) async fn send(
        &self,
        door: &Router,
        tenant: Option<&str>,
        mut request: Request<Body>,
    ) -> Answer {
        let limits = Arc::clone(&self.limits);
        let admit: Admit = Arc::new(move |caller, _named| match &caller.asked {
            Some(tenant) => Ok(TenantContext::new(tenant.clone(), Arc::clone(&limits))),
            None => Err(Refusal::TenantRequired),
        });
        let asked = tenant.map(|tenant| TenantId::parse(tenant).unwrap());
        request.extensions_mut().insert(Access::new(Caller { asked, name: None }, admit));
        answer(door, request).await
    }

    /// Asks for an address as the tenant.
    pub(crate) async fn get(&self, door: &Router, tenant: &str, address: &str) -> Answer {
        self.send(door, Some(tenant), Request::get(address).body(Body::empty()).unwrap()).await
    }

    /// Sends a form as the tenant.
    pub(crate) async fn post(&self, door: &Router, tenant: &str, path: &str, form: &str) -> Answer {
        let request = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
        self.send(door, Some(tenant), request.body(Body::from(form.to_owned())).unwrap()).await
    }
}

/// Sends a request as it is.
pub(crate) async fn answer(door: &Router, request: Request<Body>) -> Answer {
    let response = door.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, 16 << 20).await.unwrap().to_vec();
    Answer { status: parts.status, headers: parts.headers, body }
}
