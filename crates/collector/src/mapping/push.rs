//! Loki pushes to lines of streams: the protobuf and the JSON form meet here.

use model::ingest::{Batch, Reason, Receipt};
use model::log::Entry;
use model::{AttributeRef, Labels};
use wire::loki::{JsonPush, PushView};

use super::levels;
use super::names::label_name;
use super::size::{ATTRIBUTE_BYTES, COPIES_OF_LABELS, ENTRY_BYTES, SERIES_BYTES};
use super::streams::{SERVICE_NAME, StreamBatch, discovered_service_name};
use crate::bounds::shortened;
use crate::error::CollectorError;
use crate::receivers::Room;
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

/// What the text of labels becomes at most: the shortest of them, of five bytes, is two texts.
const LABELS_EXPANSION: usize = 24;

/// Maps the protobuf form, from its bytes. `room` is asked for everything before it is written.
///
/// # Errors
/// When the body is no push, or there is no room for what it becomes.
pub(crate) fn from_protobuf(
    push: PushView<'_>,
    settings: &LogsSettings,
    room: &mut Room<'_>,
) -> Result<Pushed, CollectorError> {
    let mut lines = Lines::new(settings);
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for stream in push.streams() {
        let stream = stream?;
        lines.items += stream.entries;
        room.take(SERIES_BYTES)?;
        room.lend(LABELS_EXPANSION * stream.labels.len())?;
        room.take(COPIES_OF_LABELS * stream.labels.len())?;
        let labels = stream.label_pairs().map_err(|error| error.to_string());
        let of = lines.stream(labels, stream.labels, stream.entries);
        for entry in stream.entries() {
            pairs.clear();
            room.take(ENTRY_BYTES)?;
            let line = entry.read(|name, value| {
                room.take(2 * ATTRIBUTE_BYTES + name.len() + value.len())?;
                pairs.push((name, value));
                Ok::<(), CollectorError>(())
            })?;
            let Some(of) = &of else { continue };
            let text = line.text();
            room.take(text.len())?;
            match line.timestamp_ns() {
                Some(timestamp_ns) => lines.entry(of, timestamp_ns, &text, || pairs.iter().copied()),
                None => lines.receipt.reject(Reason::InvalidPoint, 1, || {
                    format!("stream=`{}`: an entry has no timestamp", shortened(stream.labels))
                }),
            }
        }
    }
    Ok(lines.finish())
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
