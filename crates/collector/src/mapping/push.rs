//! Loki pushes to lines of streams: the protobuf and the JSON form meet here.

use model::ingest::{Batch, Reason, Receipt};
use model::log::Entry;
use model::{AttributeRef, Labels};
use wire::loki::{JsonPush, PushRequest};

use super::levels;
use super::names::label_name;
use super::streams::{SERVICE_NAME, StreamBatch, discovered_service_name};
use crate::bounds::shortened;
use crate::settings::LogsSettings;

/// What a push became.
#[derive(Debug)]
pub(crate) struct Pushed {
    /// What to write.
    pub(crate) batch: Batch,
    /// Lines that were rejected before the store saw them.
    pub(crate) receipt: Receipt,
    /// Lines of the request.
    pub(crate) items: usize,
}

/// Maps the protobuf form.
pub(crate) fn from_protobuf(request: &PushRequest, settings: &LogsSettings) -> Pushed {
    let mut lines = Lines::new(settings);
    for stream in &request.streams {
        let items = stream.entries.len();
        lines.items += items;
        let labels = stream.label_pairs().map_err(|error| error.to_string());
        let Some(of) = lines.stream(labels, &stream.labels, items) else { continue };
        for entry in &stream.entries {
            let pairs = || {
                let pairs = entry.structured_metadata.iter().chain(&entry.parsed);
                pairs.map(|pair| (pair.name.as_str(), pair.value.as_str()))
            };
            let line = entry.text();
            match entry.timestamp_ns() {
                Some(timestamp_ns) => lines.entry(&of, timestamp_ns, &line, pairs),
                None => lines.receipt.reject(Reason::InvalidPoint, 1, || {
                    format!("stream=`{}`: an entry has no timestamp", shortened(&stream.labels))
                }),
            }
        }
    }
    lines.finish()
}

/// Maps the JSON form.
pub(crate) fn from_json(request: &JsonPush, settings: &LogsSettings) -> Pushed {
    let mut lines = Lines::new(settings);
    for stream in &request.streams {
        let items = stream.values.len();
        lines.items += items;
        let shown = format!("{}", Labels::from_pairs(stream.stream.iter().map(|(n, v)| (n, v))));
        let Some(of) = lines.stream(Ok(stream.stream.clone()), &shown, items) else { continue };
        for entry in &stream.values {
            let pairs =
                || entry.structured_metadata.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            lines.entry(&of, entry.timestamp_ns, &entry.line, pairs);
        }
    }
    lines.finish()
}

/// A stream of the request.
struct Stream {
    number: u32,
    level: Option<&'static str>,
}

struct Lines<'a> {
    settings: &'a LogsSettings,
    batch: StreamBatch,
    receipt: Receipt,
    items: usize,
}

impl<'a> Lines<'a> {
    fn new(settings: &'a LogsSettings) -> Self {
        Self { settings, batch: StreamBatch::default(), receipt: Receipt::default(), items: 0 }
    }

    /// Takes a stream's labels; none when they are rejected, with all the stream's lines.
    fn stream(
        &mut self,
        labels: Result<Vec<(String, String)>, String>,
        shown: &str,
        items: usize,
    ) -> Option<Stream> {
        let checked = labels.and_then(|labels| match twice(&labels) {
            Some(name) => Err(format!("label=`{}` stands twice", shortened(name))),
            None if let Some((name, _)) = labels.iter().find(|(name, _)| !is_name(name)) => Err(format!(
                "label=`{}` is no name: letters, digits and `_`, no digit first",
                shortened(name)
            )),
            None if labels.is_empty() => {
                Err("error at least one label pair is required per stream".to_owned())
            }
            None => Ok(labels),
        });
        let mut labels = match checked {
            Ok(labels) => labels,
            Err(why) => {
                let example = || format!("error parsing labels `{}`: {why}", shortened(shown));
                self.receipt.reject(Reason::InvalidLabels, items, example);
                return None;
            }
        };
        if !labels.iter().any(|(name, value)| name == SERVICE_NAME && !value.is_empty()) {
            let find = |wanted: &str| {
                let found = labels.iter().find(|(name, value)| name == wanted && !value.is_empty());
                found.map(|(_, value)| value.clone())
            };
            if let Some(service) = discovered_service_name(self.settings, find) {
                labels.push((SERVICE_NAME.to_owned(), service));
            }
        }
        let fields = &self.settings.log_level_fields;
        let named = labels.iter().filter(|(name, _)| levels::is_level_field(name, fields));
        let level = named.into_iter().find_map(|(_, value)| levels::from_text(value));
        Some(Stream { number: self.batch.stream(Labels::from_pairs(labels)), level })
    }

    fn entry<'p, I: Iterator<Item = (&'p str, &'p str)>>(
        &mut self,
        of: &Stream,
        timestamp_ns: i64,
        line: &str,
        pairs: impl Fn() -> I,
    ) {
        for (name, value) in pairs() {
            self.batch.columns.metadata(&label_name(name), AttributeRef::String(value));
        }
        let is_told = || pairs().any(|(name, _)| name == levels::DETECTED_LEVEL);
        if self.settings.discover_log_levels && !is_told() {
            let fields = &self.settings.log_level_fields;
            let named = || pairs().filter(|(name, _)| levels::is_level_field(name, fields));
            let level = named().find_map(|(_, value)| levels::from_text(value));
            let level = level.or(of.level).or_else(|| levels::from_line(line, fields));
            self.batch.detected_level(level);
        }
        self.batch.columns.entry(of.number, Entry { timestamp_ns, line, ..Entry::default() });
    }

    fn finish(self) -> Pushed {
        Pushed { batch: self.batch.finish(), receipt: self.receipt, items: self.items }
    }
}

/// What LogQL can name; the text form of labels allows nothing else.
fn is_name(name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(is_part)
}

fn twice(labels: &[(String, String)]) -> Option<&str> {
    let mut names: Vec<&str> = labels.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}
