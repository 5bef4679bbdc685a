//! The three kinds of telemetry.

use std::fmt;

/// Metrics, logs or traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Signal {
    /// Samples of series.
    Metrics,
    /// Lines of streams.
    Logs,
    /// Spans of traces.
    Traces,
}

impl Signal {
    /// All of them, in the order in which they are listed everywhere.
    pub const ALL: [Signal; 3] = [Signal::Metrics, Signal::Logs, Signal::Traces];

    /// The lower-case name, as in object paths, settings and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Signal::Metrics => "metrics",
            Signal::Logs => "logs",
            Signal::Traces => "traces",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
