//! One batch of lines under construction, in which each stream stands once, and what is found out about a line.

use hashbrown::HashMap;
use model::ingest::Batch;
pub(crate) use model::log::SERVICE_NAME;
use model::log::{DETECTED_LEVEL, LogBatchBuilder};
use model::{AttributeRef, Labels};

use super::levels;
use crate::settings::LogsSettings;

const UNKNOWN_SERVICE: &str = "unknown_service";

/// A [`LogBatchBuilder`] that finds a stream again by its labels.
#[derive(Debug, Default)]
pub(crate) struct StreamBatch {
    /// The columns; add lines through it.
    pub(crate) columns: LogBatchBuilder,
    numbers: HashMap<Labels, u32>,
}

impl StreamBatch {
    /// The number of the stream.
    pub(crate) fn stream(&mut self, labels: Labels) -> u32 {
        if let Some(number) = self.numbers.get(&labels) {
            return *number;
        }
        let number = self.columns.stream(&labels);
        self.numbers.insert(labels, number);
        number
    }

    /// Adds the level of the line that comes next to its structured metadata.
    pub(crate) fn detected_level(&mut self, level: Option<&'static str>) {
        let level = level.unwrap_or(levels::UNKNOWN);
        self.columns.metadata(DETECTED_LEVEL, AttributeRef::String(level));
    }

    /// The batch.
    pub(crate) fn finish(mut self) -> Batch {
        Batch::Logs(self.columns.finish())
    }
}

/// The value for `service_name` where labels have none: that of the first candidate which `find` knows, else
/// `unknown_service`; none where the settings name no candidate.
pub(crate) fn discovered_service_name(
    settings: &LogsSettings,
    find: impl Fn(&str) -> Option<String>,
) -> Option<String> {
    if settings.discover_service_name.is_empty() {
        return None;
    }
    let found = settings.discover_service_name.iter().find_map(|name| find(name));
    Some(found.unwrap_or_else(|| UNKNOWN_SERVICE.to_owned()))
}
