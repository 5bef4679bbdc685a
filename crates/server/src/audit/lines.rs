//! Events as lines: JSON, in a stream for each action, with what one looks for as structured metadata.

use std::collections::BTreeMap;

use model::audit::{Action, Event};
use model::log::{Entry, LogBatch, LogBatchBuilder};
use model::{AttributeRef, Labels};
use serde_json::{Map, Value};

use super::{SERVICE, Told};

/// Bytes of one text of an event.
const MAX_TEXT_BYTES: usize = 1_024;
/// Fields of an event.
const MAX_FIELDS: usize = 32;

/// The event with texts of bounded length.
pub(super) fn bounded(mut event: Event) -> Event {
    let Event { action: _, actor, source, tenant, subject, code, fields } = &mut event;
    for text in [actor, source, tenant, subject, code] {
        cut(text);
    }
    fields.truncate(MAX_FIELDS);
    fields.iter_mut().for_each(|(_, text)| cut(text));
    event
}

fn cut(text: &mut String) {
    if text.len() > MAX_TEXT_BYTES {
        let end = (0..=MAX_TEXT_BYTES).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
    }
}

/// What an event says besides its action, by name; nothing that is empty.
fn texts(event: &Event) -> impl Iterator<Item = (&str, &str)> {
    let named = [
        ("actor", event.actor.as_str()),
        ("source", &event.source),
        ("tenant", &event.tenant),
        ("subject", &event.subject),
        ("code", &event.code),
    ];
    let fields = event.fields.iter().map(|(name, text)| (name.as_ref(), text.as_str()));
    named.into_iter().chain(fields).filter(|(_, text)| !text.is_empty())
}

/// OpenTelemetry's severity number, and Loki's word for it.
const fn severity(action: Action) -> (u8, &'static str) {
    if action.is_refusal() { (13, "warn") } else { (9, "info") }
}

/// The lines of some events. Nothing in them tells which node wrote them, so that a line which two nodes write is one.
pub(super) fn batch(told: &[Told]) -> LogBatch {
    let mut builder = LogBatchBuilder::default();
    let mut streams = BTreeMap::new();
    for Told { timestamp_ns, event, repeated } in told {
        let stream = *streams.entry(event.action).or_insert_with(|| {
            let labels = Labels::from_pairs([("service_name", SERVICE), ("action", event.action.as_str())]);
            builder.stream(&labels)
        });
        let (number, word) = severity(event.action);
        let mut line = Map::new();
        line.insert("action".into(), event.action.as_str().into());
        builder.metadata("detected_level", AttributeRef::String(word));
        for (name, text) in texts(event) {
            line.insert(name.into(), Value::from(text));
            builder.metadata(name, AttributeRef::String(text));
        }
        if *repeated > 0 {
            line.insert("repeated".into(), (*repeated).into());
            builder.metadata("repeated", AttributeRef::Int(i64::try_from(*repeated).unwrap_or(i64::MAX)));
        }
        let line = Value::Object(line).to_string();
        builder.entry(
            stream,
            Entry { timestamp_ns: *timestamp_ns, line: &line, severity: number, ..Entry::default() },
        );
    }
    builder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_json_of_what_is_known_and_long_texts_are_cut() {
        let event =
            Event::new(Action::ClientCreated).by("ann").on("é".repeat(2_000)).with("scopes", "obs:read");
        let event = bounded(event);
        assert_eq!(event.subject.len(), MAX_TEXT_BYTES);
        let told = [
            Told { timestamp_ns: 1, event, repeated: 0 },
            Told { timestamp_ns: 2, event: Event::new(Action::RequestRefused).code("X"), repeated: 7 },
            Told { timestamp_ns: 3, event: Event::new(Action::ClientCreated).on("b"), repeated: 0 },
        ];
        let batch = batch(&told);
        assert_eq!((batch.streams.num_rows(), batch.entries.num_rows()), (2, 3));
        let lines = batch.entries.column(2).as_any().downcast_ref::<arrow::array::StringArray>().unwrap();
        assert_eq!(lines.value(1), r#"{"action":"request.refused","code":"X","repeated":7}"#);
        assert_eq!(lines.value(2), r#"{"action":"client.created","subject":"b"}"#);
        let first: Value = serde_json::from_str(lines.value(0)).unwrap();
        assert_eq!((&first["actor"], &first["scopes"]), (&"ann".into(), &"obs:read".into()));
    }
}
