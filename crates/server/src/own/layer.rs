//! Listens to `tracing`: events become log records, spans become span records.
//!
//! Fields that begin with `otel.` say how a span is to be seen from outside: `otel.name`, `otel.kind`,
//! `otel.status_code` (`ERROR`), and `otel.trace_id` with `otel.parent_id` (hex) for a trace that began elsewhere.

use std::sync::Arc;

use model::{AttributeValue, Clock};
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::mpsc;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::record::{Fields, LogRecord, Record, SpanIds, SpanRecord};

/// Records that wait to be written; more are dropped.
const QUEUE_RECORDS: usize = 4_096;
/// Bytes of text that one field may have.
const MAX_FIELD_BYTES: usize = 4_096;

/// The layer; add it to the subscriber.
pub(crate) struct OwnLayer {
    clock: Arc<dyn Clock>,
    ids: Mutex<StdRng>,
    queue: mpsc::Sender<Record>,
    dropped: Counter,
}

/// The other end of the layer's queue.
pub(crate) struct OwnRecords {
    pub(crate) queue: mpsc::Receiver<Record>,
    /// Records that found the queue full.
    pub(crate) dropped: Counter,
}

/// Makes a layer and the end from which its records are taken.
#[must_use]
pub(crate) fn layer(clock: Arc<dyn Clock>, seed: u64) -> (OwnLayer, OwnRecords) {
    let (sender, receiver) = mpsc::channel(QUEUE_RECORDS);
    let dropped = Counter::default();
    let ids = Mutex::new(StdRng::seed_from_u64(seed));
    (
        OwnLayer { clock, ids, queue: sender, dropped: dropped.clone() },
        OwnRecords { queue: receiver, dropped },
    )
}

impl OwnLayer {
    fn send(&self, record: Record) {
        if self.queue.try_send(record).is_err() {
            self.dropped.inc();
        }
    }

    fn new_ids<const N: usize>(&self) -> [u8; N] {
        loop {
            let id: [u8; N] = self.ids.lock().random();
            if id != [0; N] {
                return id;
            }
        }
    }
}

/// What is known of a span while it is open.
struct OpenSpan {
    ids: SpanIds,
    parent_span_id: Option<[u8; 8]>,
    start_ns: i64,
    started_ns: u64,
    fields: Collected,
}

#[derive(Default)]
struct Collected {
    message: String,
    name: Option<String>,
    kind: u8,
    is_error: bool,
    trace_id: Option<[u8; 16]>,
    parent_id: Option<[u8; 8]>,
    fields: Fields,
}

impl Collected {
    fn add(&mut self, field: &Field, value: AttributeValue) {
        let text = |value: &AttributeValue| value.as_ref().to_string();
        match field.name() {
            "message" => self.message = text(&value),
            "otel.name" => self.name = Some(text(&value)),
            "otel.kind" => self.kind = kind(&text(&value)),
            "otel.status_code" => self.is_error = text(&value) == "ERROR",
            "otel.trace_id" => self.trace_id = from_hex(&text(&value)),
            "otel.parent_id" => self.parent_id = from_hex(&text(&value)),
            name => match self.fields.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => *known = value,
                None => self.fields.push((name, value)),
            },
        }
    }
}

fn kind(text: &str) -> u8 {
    match text {
        "internal" => 1,
        "server" => 2,
        "client" => 3,
        "producer" => 4,
        "consumer" => 5,
        _ => 0,
    }
}

fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut id = [0; N];
    hex::decode_to_slice(text, &mut id).ok()?;
    (id != [0; N]).then_some(id)
}

impl Visit for Collected {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, AttributeValue::Double(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, AttributeValue::Int(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match i64::try_from(value) {
            Ok(value) => self.add(field, AttributeValue::Int(value)),
            Err(_) => self.add(field, AttributeValue::String(value.to_string())),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, AttributeValue::Bool(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let end = (0..=value.len().min(MAX_FIELD_BYTES)).rev().find(|i| value.is_char_boundary(*i));
        self.add(field, AttributeValue::String(value[..end.unwrap_or(0)].to_owned()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for OwnLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Collected { kind: 1, ..Collected::default() };
        attributes.record(&mut fields);
        let parent = span.parent().and_then(|p| p.extensions().get::<OpenSpan>().map(|open| open.ids));
        let ids = SpanIds {
            trace_id: parent.map(|p| p.trace_id).or(fields.trace_id).unwrap_or_else(|| self.new_ids()),
            span_id: self.new_ids(),
        };
        let open = OpenSpan {
            ids,
            parent_span_id: parent.map(|p| p.span_id).or(fields.parent_id),
            start_ns: self.clock.now().0,
            started_ns: self.clock.monotonic_ns(),
            fields,
        };
        span.extensions_mut().replace(open);
    }

    fn on_record(&self, id: &Id, values: &tracing::span::Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(open) = span.extensions_mut().get_mut::<OpenSpan>() {
            values.record(&mut open.fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Collected::default();
        event.record(&mut fields);
        let span = context.event_span(event);
        let span = span.and_then(|span| span.extensions().get::<OpenSpan>().map(|open| open.ids));
        self.send(Record::Log(LogRecord {
            timestamp_ns: self.clock.now().0,
            level: *event.metadata().level(),
            target: event.metadata().target(),
            message: fields.message,
            fields: fields.fields,
            span,
        }));
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(open) = span.extensions_mut().remove::<OpenSpan>() else { return };
        let duration_ns = self.clock.monotonic_ns().saturating_sub(open.started_ns);
        self.send(Record::Span(SpanRecord {
            ids: open.ids,
            parent_span_id: open.parent_span_id,
            name: open.fields.name.unwrap_or_else(|| span.name().to_owned()),
            kind: open.fields.kind,
            start_ns: open.start_ns,
            duration_ns: i64::try_from(duration_ns).unwrap_or(i64::MAX),
            is_error: open.fields.is_error,
            target: span.metadata().target(),
            fields: open.fields.fields,
        }));
    }
}

#[cfg(test)]
mod tests {
    use model::TimestampNs;
    use model::time::ManualClock;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn events_and_spans_become_records_that_belong_together() {
        let clock = Arc::new(ManualClock::new(TimestampNs(100)));
        let (layer, mut records) = layer(Arc::clone(&clock) as _, 1);
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!(
                "request",
                otel.name = "GET /x",
                otel.kind = "server",
                otel.trace_id = "0102030405060708090a0b0c0d0e0f10",
                otel.parent_id = "0102030405060708",
                otel.status_code = tracing::field::Empty,
                size = 7_u64,
            );
            span.in_scope(|| tracing::warn!(reason = "slow", "took long"));
            span.record("otel.status_code", "ERROR");
            clock.advance_ns(50);
        });
        let Ok(Record::Log(log)) = records.queue.try_recv() else { panic!("an event was said first") };
        let Ok(Record::Span(span)) = records.queue.try_recv() else { panic!("then the span ended") };
        assert_eq!((log.message.as_str(), log.span), ("took long", Some(span.ids)));
        assert_eq!(log.fields, [("reason", AttributeValue::String("slow".into()))]);
        assert_eq!(span.ids.trace_id[..3], [1, 2, 3]);
        assert_eq!(span.parent_span_id, Some([1, 2, 3, 4, 5, 6, 7, 8]));
        assert_eq!((span.name.as_str(), span.kind, span.is_error), ("GET /x", 2, true));
        assert_eq!((span.start_ns, span.duration_ns), (100, 50));
        assert_eq!(span.fields, [("size", AttributeValue::Int(7))]);
    }

    #[test]
    fn a_full_queue_drops_and_counts() {
        let (layer, records) = layer(Arc::new(ManualClock::new(TimestampNs(0))), 1);
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            (0..QUEUE_RECORDS + 3).for_each(|_| tracing::info!("again"));
        });
        assert_eq!(records.dropped.get(), 3);
    }
}
