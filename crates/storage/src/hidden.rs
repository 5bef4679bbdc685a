//! Which rows may not be seen at one moment: what was to be deleted, and what has outlived its period. Reads leave these
//! rows out, and rewriting leaves them behind.
//!
//! Not here: whole segments that have expired, and when segments are rewritten; [`crate::retention`] and
//! [`crate::erase`] ask.

pub(crate) mod rows;

pub(crate) mod spans;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use model::{Matcher, Signal, TimeRange};
use parking_lot::Mutex;
use roaring::RoaringBitmap;

use crate::error::StorageError;
use crate::head::index::LabelIndex;
use crate::manifest::keeping::{Deletion, Hold, Policy, matchers};
use crate::manifest::{Cleared, Looked, Manifest, SegmentMeta};
use crate::segment::blocks::Checksum;
use crate::signal::Table;
use rows::{Cut, LabelTest, Test, Veil};
use spans::SpanVeil;

/// What may not be seen of one head or segment.
#[derive(Clone, Debug, Default)]
pub(crate) enum Unseen {
    /// All may.
    #[default]
    Nothing,
    /// Of series or streams.
    Rows(Arc<Veil>),
    /// Of spans.
    Spans(Arc<SpanVeil>),
}

impl Unseen {
    /// The rows of a batch of the table's schema that may be seen.
    ///
    /// # Errors
    /// When Arrow cannot copy the rows.
    pub(crate) fn visible(&self, table: Table, batch: RecordBatch) -> Result<RecordBatch, StorageError> {
        match self {
            Unseen::Nothing => Ok(batch),
            Unseen::Rows(veil) => veil.visible(table, batch),
            Unseen::Spans(veil) => veil.visible(batch),
        }
    }
}

/// What a manifest says of deletions and holds, and the policy in force, ready to be used.
#[derive(Debug)]
pub(crate) struct Keeping {
    deletions: Vec<Erased>,
    holds: Vec<Held>,
    /// By falling priority.
    rules: Vec<Rule>,
    made: u64,
    policy: Policy,
}

#[derive(Debug)]
struct Erased {
    of: Deletion,
    matchers: Vec<Matcher>,
    lines: Arc<[Test]>,
    labels: Arc<[LabelTest]>,
}

#[derive(Debug)]
struct Held {
    of: Hold,
    matchers: Vec<Matcher>,
}

#[derive(Debug)]
struct Rule {
    matchers: Vec<Matcher>,
    kept_ns: Option<i64>,
}

/// The last one that was made, for as long as nothing changes.
#[derive(Debug, Default)]
pub(crate) struct KeepingCache(Mutex<Option<Arc<Keeping>>>);

impl KeepingCache {
    /// What is in force by a manifest and a policy.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] where a stored selector makes no sense: then nobody knows what may be seen.
    pub(crate) fn get(&self, manifest: &Manifest, policy: Policy) -> Result<Arc<Keeping>, StorageError> {
        let mut last = self.0.lock();
        if let Some(keeping) = last.as_ref().filter(|keeping| keeping.is_of(manifest, &policy)) {
            return Ok(Arc::clone(keeping));
        }
        let keeping = Arc::new(Keeping::new(manifest, policy)?);
        *last = Some(Arc::clone(&keeping));
        Ok(keeping)
    }
}

impl Keeping {
    fn new(manifest: &Manifest, policy: Policy) -> Result<Self, StorageError> {
        let deletion = |of: &Deletion| {
            let lines: Result<Vec<Test>, StorageError> = of.lines.iter().map(Test::new).collect();
            Ok(Erased {
                of: of.clone(),
                matchers: matchers(&of.conditions)?,
                lines: lines?.into(),
                labels: matchers(&of.labels)?.into_iter().map(LabelTest::new).collect(),
            })
        };
        let hold = |of: &Hold| Ok(Held { of: of.clone(), matchers: matchers(&of.conditions)? });
        let rules = policy.rules.iter();
        let rules =
            rules.map(|rule| Ok(Rule { matchers: matchers(&rule.conditions)?, kept_ns: rule.kept_ns }));
        Ok(Self {
            deletions: manifest.deletions.iter().map(deletion).collect::<Result<_, StorageError>>()?,
            holds: manifest.holds.iter().map(hold).collect::<Result<_, StorageError>>()?,
            rules: rules.collect::<Result<_, StorageError>>()?,
            made: manifest.deletions_made,
            policy,
        })
    }

    fn is_of(&self, manifest: &Manifest, policy: &Policy) -> bool {
        self.policy == *policy
            && self.made == manifest.deletions_made
            && self.deletions.iter().map(|erased| &erased.of).eq(&manifest.deletions)
            && self.holds.iter().map(|held| &held.of).eq(&manifest.holds)
    }
}

/// What may not be seen of a tenant's signal at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Hidden {
    signal: Signal,
    keeping: Arc<Keeping>,
    now_ns: i64,
    /// Deletions that are not to be worked off yet, ascending; none where rows are only hidden.
    blocked: Option<Arc<[u64]>>,
}

impl Hidden {
    /// For reads.
    pub(crate) const fn of_reads(signal: Signal, keeping: Arc<Keeping>, now_ns: i64) -> Self {
        Self { signal, keeping, now_ns, blocked: None }
    }

    /// For rewriting, which leaves behind only what nobody can take back and no hold needs.
    pub(crate) fn of_rewriting(signal: Signal, keeping: Arc<Keeping>, now_ns: i64) -> Self {
        let is_held = |erased: &Erased| {
            let mut holds = keeping.holds.iter().filter(|held| held.of.is_active(now_ns));
            holds.any(|held| held.of.range().overlaps(erased.of.range()))
        };
        let is_blocked = |erased: &&Erased| {
            erased.of.processed_ns.is_none() && (now_ns < erased.of.due_ns || is_held(erased))
        };
        let blocked = keeping.deletions.iter().filter(is_blocked).map(|erased| erased.of.number).collect();
        Self { signal, keeping, now_ns, blocked: Some(blocked) }
    }

    /// The deletions that concern rows and are not to be worked off yet, ascending.
    pub(crate) fn waiting(&self, cleared: Cleared<'_>) -> Vec<u64> {
        let blocked = self.blocked.iter().flat_map(|blocked| blocked.iter());
        blocked.copied().filter(|number| !cleared.has(*number)).collect()
    }

    /// What rows are cleared of by rewriting them.
    pub(crate) fn clearable(&self, cleared: Cleared<'_>) -> (u64, Vec<(u64, u64)>) {
        let made = self.keeping.made.max(cleared.to);
        let waiting = self.waiting(cleared);
        let Some((first, others)) = waiting.split_first() else { return (made, Vec::new()) };
        let ends = others.iter().map(|next| next - 1).chain([made]);
        let stretches = waiting.iter().map(|number| number + 1).zip(ends);
        (first - 1, stretches.filter(|(from, to)| from <= to).collect())
    }

    /// Whether rewriting leaves the rows of a deletion where they are.
    pub(crate) fn is_blocked(&self, number: u64) -> bool {
        self.blocked.as_ref().is_some_and(|blocked| blocked.binary_search(&number).is_ok())
    }

    /// The moment before which nothing may be seen.
    pub(crate) fn floor_ns(&self) -> i64 {
        if self.holds().next().is_some() {
            return i64::MIN;
        }
        self.longest_before_ns()
    }

    /// Whether nothing of a segment may be seen, and nothing holds it.
    pub(crate) fn is_expired(&self, segment: &SegmentMeta) -> bool {
        segment.end_ns < self.longest_before_ns()
            && !self.holds().any(|held| held.of.range().overlaps(segment.range()))
    }

    /// The longest period of the policy; none for ever.
    pub(crate) fn longest_ns(&self) -> Option<i64> {
        self.keeping.policy.longest_ns()
    }

    /// The periods of the rules, and that of the rest, which are shorter than the longest.
    fn shorter_periods_ns(&self) -> impl Iterator<Item = i64> {
        let longest_ns = self.longest_ns();
        let all = self.keeping.rules.iter().map(|rule| rule.kept_ns).chain([self.keeping.policy.kept_ns]);
        all.flatten().filter(move |kept_ns| longest_ns.is_none_or(|longest_ns| *kept_ns < longest_ns))
    }

    fn longest_before_ns(&self) -> i64 {
        self.before_ns(self.longest_ns())
    }

    fn before_ns(&self, kept_ns: Option<i64>) -> i64 {
        kept_ns.map_or(i64::MIN, |kept_ns| self.now_ns.saturating_sub(kept_ns))
    }

    fn holds(&self) -> impl Iterator<Item = &Held> {
        self.keeping.holds.iter().filter(|held| held.of.is_active(self.now_ns))
    }

    /// The deletions that concern rows of a time, and are to be worked off where that is asked.
    fn deletions<'a>(&'a self, cleared: Cleared<'a>, span: TimeRange) -> impl Iterator<Item = &'a Erased> {
        let concerns = move |erased: &&Erased| {
            let number = erased.of.number;
            !cleared.has(number) && erased.of.range().overlaps(span) && !self.is_blocked(number)
        };
        self.keeping.deletions.iter().filter(concerns)
    }

    /// The periods after which some rows of a segment may be hidden while others are not.
    pub(crate) fn dividing_periods_ns(&self) -> impl Iterator<Item = i64> {
        let longest = self.longest_ns().filter(|_| self.holds().next().is_some());
        self.shorter_periods_ns().chain(longest)
    }

    /// A look at a segment by the periods and holds of this moment.
    pub(crate) fn look(&self) -> Looked {
        let holds: Vec<&Hold> = self.holds().map(|held| &held.of).collect();
        let by = serde_json::to_vec(&(&self.keeping.policy, holds)).expect("plain data has a form in JSON");
        Looked { at_ns: self.now_ns, by: Checksum::of(&by) }
    }

    /// Whether periods differ among the rows of a time, or some are held.
    fn differs(&self, span: TimeRange) -> bool {
        self.dividing_periods_ns().any(|kept_ns| self.before_ns(Some(kept_ns)) > span.start_ns)
    }

    /// Whether any rows of a time may have to be left out.
    pub(crate) fn concerns(&self, cleared: Cleared<'_>, span: TimeRange) -> bool {
        self.deletions(cleared, span).next().is_some() || self.differs(span)
    }

    /// What may not be seen of rows that lie within a time: by the number of their series or
    /// stream, for some of an index. None where all may be.
    pub(crate) fn veil(
        &self,
        index: &LabelIndex,
        among: &RoaringBitmap,
        cleared: Cleared<'_>,
        span: TimeRange,
    ) -> Option<Veil> {
        let count = u32::try_from(index.labels().len()).unwrap_or(u32::MAX);
        let select = |matchers: &[Matcher]| index.select(matchers, count) & among;
        let mut cuts: HashMap<u32, Vec<Cut>> = HashMap::new();
        for erased in self.deletions(cleared, span) {
            let bounds = self.bounds(erased.of.range());
            for number in select(&erased.matchers) {
                let Some(labels) = rows::left(&erased.labels, &index.labels()[number as usize]) else {
                    continue;
                };
                let cut = Cut { bounds, lines: Arc::clone(&erased.lines), labels };
                cuts.entry(number).or_default().push(cut);
            }
        }
        if self.differs(span) {
            let holds: Vec<(RoaringBitmap, TimeRange)> =
                self.holds().map(|held| (select(&held.matchers), held.of.range())).collect();
            let mut rest = among.clone();
            for rule in &self.keeping.rules {
                let of_rule = select(&rule.matchers) & &rest;
                rest -= &of_rule;
                self.outlived(rule.kept_ns, &of_rule, &holds, span, &mut cuts);
            }
            self.outlived(self.keeping.policy.kept_ns, &rest, &holds, span, &mut cuts);
        }
        (!cuts.is_empty()).then(|| Veil::new(cuts, self.bounds(span)))
    }

    /// Adds what is older than a period of some series or streams, less what is held.
    fn outlived(
        &self,
        kept_ns: Option<i64>,
        numbers: &RoaringBitmap,
        holds: &[(RoaringBitmap, TimeRange)],
        span: TimeRange,
        cuts: &mut HashMap<u32, Vec<Cut>>,
    ) {
        let before_ns = self.before_ns(kept_ns);
        if before_ns <= span.start_ns {
            return;
        }
        for number in numbers {
            let held = holds.iter().filter(|(numbers, _)| numbers.contains(number)).map(|(_, range)| *range);
            for range in rows::without(TimeRange::new(i64::MIN, before_ns.saturating_sub(1)), held) {
                let cut = Cut { bounds: self.bounds(range), lines: Arc::default(), labels: Arc::default() };
                cuts.entry(number).or_default().push(cut);
            }
        }
    }

    /// What may not be seen of spans that began within a time; none where all may be.
    pub(crate) fn span_veil(&self, cleared: Cleared<'_>, span: TimeRange) -> Option<SpanVeil> {
        let deletions: Vec<spans::Deleted> = self
            .deletions(cleared, span)
            .map(|erased| spans::Deleted { matchers: erased.matchers.clone(), range: erased.of.range() })
            .collect();
        let is_different = self.differs(span);
        if deletions.is_empty() && !is_different {
            return None;
        }
        let mut periods: Vec<spans::Period> = Vec::new();
        let mut holds = Vec::new();
        if is_different {
            let rest = [(&[][..], self.keeping.policy.kept_ns)];
            let rules = self.keeping.rules.iter().map(|rule| (&rule.matchers[..], rule.kept_ns));
            periods.extend(rules.chain(rest).map(|(matchers, kept_ns)| spans::Period {
                matchers: matchers.to_vec(),
                before_ns: self.before_ns(kept_ns),
            }));
            let held = self.holds();
            holds.extend(
                held.map(|held| spans::Deleted { matchers: held.matchers.clone(), range: held.of.range() }),
            );
        }
        Some(SpanVeil { deletions, periods, holds })
    }

    /// A range in the unit of the signal's time columns.
    fn bounds(&self, range: TimeRange) -> (i64, i64) {
        Table::of(self.signal)[0].bounds(range)
    }
}
