//! Who did what, kept: events of all rooms become log lines of the server's own tenant, through the real engine.
//!
//! Nothing here fails a request. Events stand in a bounded queue; where it is full they are dropped and counted. Who has changed
//! something is answered when its event is written, or after a moment where that cannot be; nobody else waits.
//! Refusals that are alike become one line and a count, so that whoever is refused a million times fills no disk.

mod repeats;

mod lines;

mod writer;

mod outbox;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use futures::future::BoxFuture;
use http::Method;
use model::Clock;
use model::audit::{Audit, Event};
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use tokio::sync::{mpsc, oneshot};

pub(crate) use outbox::Outbox;
use repeats::Repeats;
pub(crate) use writer::AuditWriter;

/// The service name of audit lines.
pub(crate) const SERVICE: &str = "stella-audit";

/// Events that wait to be written; more are dropped.
const QUEUE_EVENTS: usize = 4_096;

/// How long an answer waits for its event to be written.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(1);

/// What stands in the queue.
enum Queued {
    Event(Told),
    /// Somebody who waits until what stands before is written: until this is dropped.
    Waits(oneshot::Sender<()>),
}

/// An event, with when it happened and how often since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// When.
    pub(crate) timestamp_ns: i64,
    /// What.
    pub(crate) event: Event,
    /// Of a summary, how many such events there were that have no line of their own.
    pub(crate) repeated: u64,
}

/// Labels of what is counted by action.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByAction {
    action: &'static str,
}

/// What is counted; cheap to clone.
#[derive(Clone, Debug, Default)]
struct Metrics {
    events: Family<ByAction, Counter>,
    dropped: Counter,
}

/// The end of the queue from which events are written.
pub(crate) struct Events {
    queue: mpsc::Receiver<Queued>,
    repeats: Arc<Mutex<Repeats>>,
    metrics: Metrics,
}

/// Opens the queue: where rooms tell events, and the end from which they are written.
pub(crate) fn open(clock: Arc<dyn Clock>, registry: &mut Registry) -> (Audit, Events) {
    let metrics = Metrics::default();
    let sub = registry.sub_registry_with_prefix("stella_audit");
    sub.register("events", "Events that were told, by action", metrics.events.clone());
    let help = "Events that have no line, because their queue was full or the engine refused them";
    sub.register("events_dropped", help, metrics.dropped.clone());
    let (sender, queue) = mpsc::channel(QUEUE_EVENTS);
    let repeats = Arc::new(Mutex::new(Repeats::default()));
    let events = Events { queue, repeats: Arc::clone(&repeats), metrics: metrics.clone() };
    let waiting = sender.clone();
    let settle = move || {
        let sender = waiting.clone();
        let settling = async move {
            let (waits, written) = oneshot::channel();
            if sender.send(Queued::Waits(waits)).await.is_ok() {
                // It is dropped and never answers.
                let _written = written.await;
            }
        };
        Box::pin(async move {
            if tokio::time::timeout(SETTLE_TIMEOUT, settling).await.is_err() {
                tracing::warn!("an audit event is answered before it is written");
            }
        }) as BoxFuture<'static, ()>
    };
    let record = move |event: Event| {
        metrics.events.get_or_create(&ByAction { action: event.action.as_str() }).inc();
        let timestamp_ns = clock.now().0;
        let event = lines::bounded(event);
        if event.action.is_refusal() && !repeats.lock().is_first(&event, timestamp_ns) {
            return;
        }
        if sender.try_send(Queued::Event(Told { timestamp_ns, event, repeated: 0 })).is_err() {
            metrics.dropped.inc();
        }
    };
    (Audit::new(Arc::new(record)).settling(Arc::new(settle)), events)
}

/// Answers who has changed something when the audit has it. Questions are answered at once.
pub(crate) async fn settled(State(audit): State<Audit>, request: Request, next: Next) -> Response {
    let asks = matches!(*request.method(), Method::GET | Method::HEAD);
    let answer = next.run(request).await;
    if !asks && answer.status().is_success() {
        audit.settled().await;
    }
    answer
}
