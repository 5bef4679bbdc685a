//! The time in which an item may lie: by what the tenant takes, and by how long its series or stream is kept. What would be
//! gone at once is not taken.

use arrow::array::{Array as _, BinaryArray, RecordBatch};
use hashbrown::HashMap;
use model::ingest::Reason;
use model::limits::KeepRule;
use model::trace::SpansView;
use model::{Labels, Limits, Signal, TimestampNs};

use super::Check;
use crate::hidden::spans::are_met;

/// The first and the last moment, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    oldest_ns: i64,
    newest_ns: i64,
}

impl Window {
    /// That of what is kept longest.
    pub(super) fn widest(signal: Signal, limits: &Limits, now: TimestampNs) -> Self {
        Self::kept(signal, limits, now, limits.longest_kept(signal))
    }

    /// That of what is kept for a period.
    fn kept(signal: Signal, limits: &Limits, TimestampNs(now_ns): TimestampNs, kept_ns: Option<i64>) -> Self {
        let intake = limits.intake(signal);
        let ages = [intake.reject_older_than_ns, kept_ns];
        let oldest = ages.into_iter().flatten().map(|age_ns| now_ns.saturating_sub(age_ns)).max();
        Self {
            oldest_ns: oldest.unwrap_or(i64::MIN),
            newest_ns: now_ns.saturating_add(intake.reject_ahead_ns),
        }
    }

    pub(super) fn verdict(self, timestamp_ns: i64) -> Option<Reason> {
        if timestamp_ns < self.oldest_ns {
            Some(Reason::TooOld)
        } else if timestamp_ns > self.newest_ns {
            Some(Reason::TooFarAhead)
        } else {
            None
        }
    }

    pub(super) fn explain(self, reason: Reason, timestamp_ns: i64) -> String {
        match reason {
            Reason::TooOld => {
                format!("timestamp_ns={timestamp_ns} is before the oldest accepted {}", self.oldest_ns)
            }
            _ => format!("timestamp_ns={timestamp_ns} is after the newest accepted {}", self.newest_ns),
        }
    }
}

/// The windows of the series or streams of a batch.
pub(super) struct Windows {
    widest: Window,
    /// Of those that are kept for less than the longest period, by their rows.
    narrower: HashMap<u32, Window>,
}

impl Windows {
    /// Those of label sets: of the rules that fit one, the first holds.
    pub(super) fn new(signal: Signal, labels: &BinaryArray, check: &Check<'_>) -> Self {
        let rules = rules(signal, check.limits);
        let longest_ns = check.limits.longest_kept(signal);
        let window = |row: u32| {
            // What is no label set is refused for that.
            let labels = Labels::from_bytes(labels.value(row as usize)).unwrap_or_default();
            let fits = |rule: &&&KeepRule| {
                let mut matchers = rule.matchers.iter();
                matchers.all(|matcher| matcher.matches(labels.get(&matcher.name).unwrap_or_default()))
            };
            let rule = rules.iter().find(fits);
            let kept_ns = rule.map_or(check.limits.retention.of(signal), |rule| rule.period_ns);
            let is_narrower = kept_ns != longest_ns;
            is_narrower.then(|| (row, Window::kept(signal, check.limits, check.now, kept_ns)))
        };
        let rows = if rules.is_empty() { 0 } else { u32::try_from(labels.len()).unwrap_or(u32::MAX) };
        Self { widest: check.window, narrower: (0..rows).filter_map(window).collect() }
    }

    /// That of a row.
    pub(super) fn of(&self, row: u32) -> Window {
        self.narrower.get(&row).copied().unwrap_or(self.widest)
    }
}

/// The rules of a signal, the one that holds before others that fit.
fn rules(signal: Signal, limits: &Limits) -> Vec<&KeepRule> {
    let mut rules: Vec<&KeepRule> = limits.keep_rules.of(signal).iter().collect();
    rules.sort_by_key(|rule| (rule.of_everyone, std::cmp::Reverse(rule.priority)));
    rules
}

/// The windows of the spans of a batch.
pub(super) struct SpanWindows<'a> {
    widest: Window,
    spans: Option<SpansView<'a>>,
    /// Each rule with its window.
    rules: Vec<(&'a KeepRule, Window)>,
    /// That of what no rule fits.
    otherwise: Window,
    /// Spans from this moment on are in each of them.
    young_ns: i64,
}

impl<'a> SpanWindows<'a> {
    /// Those of spans, by their attributes.
    pub(super) fn new(spans: &'a RecordBatch, limits: &'a Limits, check: &Check<'_>) -> Self {
        let window = |kept_ns| Window::kept(Signal::Traces, limits, check.now, kept_ns);
        let rules = rules(Signal::Traces, limits).into_iter().map(|rule| (rule, window(rule.period_ns)));
        let (rules, otherwise) = (rules.collect::<Vec<_>>(), window(limits.retention.of(Signal::Traces)));
        let oldest = rules.iter().map(|(_, window)| window.oldest_ns);
        let young_ns = oldest.fold(otherwise.oldest_ns, i64::max);
        let spans = if rules.is_empty() { None } else { SpansView::new(spans) };
        Self { widest: check.window, spans, rules, otherwise, young_ns }
    }

    /// That of a row, which began at a moment.
    pub(super) fn of(&self, row: usize, start_ns: i64) -> Window {
        let Some(spans) = self.spans.as_ref().filter(|_| start_ns < self.young_ns) else {
            return self.widest;
        };
        let fits = self.rules.iter().find(|(rule, _)| are_met(&rule.matchers, spans, row));
        fits.map_or(self.otherwise, |(_, window)| *window)
    }
}
