//! Lists of what there is: series or streams, the names of their labels, and a label's values.

use std::collections::BTreeSet;

use model::{Labels, Matcher, Signal, TenantContext, TimeRange};

use crate::answer::Limited;
use crate::engine::QueryEngine;
use crate::error::QueryError;
use crate::limits::within_lookback;

/// What carries labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Labelled {
    /// Series of metrics.
    Series,
    /// Streams of logs.
    Streams,
}

impl Labelled {
    /// The signal that has them.
    const fn signal(self) -> Signal {
        match self {
            Self::Series => Signal::Metrics,
            Self::Streams => Signal::Logs,
        }
    }
}

impl QueryEngine {
    /// The label sets that match any of the matcher sets (all, where there is none) and have data in the range, sorted.
    ///
    /// # Errors
    /// When it takes too long or the store fails.
    pub async fn label_sets(
        &self,
        context: &TenantContext,
        of: Labelled,
        sets: &[Vec<Matcher>],
        range: TimeRange,
        limit: Option<usize>,
    ) -> Result<Limited<Vec<Labels>>, QueryError> {
        let sets = any(sets);
        let range = within_lookback(context.limits().query(of.signal()), self.now(), range);
        self.run((context, of.signal()), None, move |_engine, context, running| async move {
            let mut found: BTreeSet<Labels> = BTreeSet::new();
            match of {
                Labelled::Series => {
                    let snapshot = running.storage.metrics(&context, range).await?;
                    for matchers in &sets {
                        found.extend(snapshot.select(matchers).await?.labels().iter().cloned());
                    }
                }
                Labelled::Streams => {
                    let snapshot = running.storage.logs(&context, range).await?;
                    for matchers in &sets {
                        found.extend(snapshot.select(matchers).await?.labels().iter().cloned());
                    }
                }
            }
            let found = Limited::cut(found.into_iter().collect::<Vec<_>>(), limit);
            // As they are, and as the text that they become.
            running.hold(found.value.iter().map(|labels| 2 * labels.as_bytes().len()).sum())?;
            Ok(found)
        })
        .await
    }

    /// The names of the labels of the sets that [`QueryEngine::label_sets`] gives, sorted.
    ///
    /// # Errors
    /// When it takes too long or the store fails.
    pub async fn label_names(
        &self,
        context: &TenantContext,
        of: Labelled,
        sets: &[Vec<Matcher>],
        range: TimeRange,
        limit: Option<usize>,
    ) -> Result<Limited<Vec<String>>, QueryError> {
        let sets = any(sets);
        let range = within_lookback(context.limits().query(of.signal()), self.now(), range);
        self.run((context, of.signal()), None, move |_engine, context, running| async move {
            let names = match of {
                Labelled::Series => {
                    running.storage.metrics(&context, range).await?.label_names(&sets).await?
                }
                Labelled::Streams => running.storage.logs(&context, range).await?.label_names(&sets).await?,
            };
            Ok(Limited::cut(names.iter().map(|name| name.as_ref().to_owned()).collect(), limit))
        })
        .await
    }

    /// The values of one label in the sets that [`QueryEngine::label_sets`] gives, sorted.
    ///
    /// # Errors
    /// When it takes too long or the store fails.
    pub async fn label_values(
        &self,
        context: &TenantContext,
        of: Labelled,
        name: &str,
        sets: &[Vec<Matcher>],
        range: TimeRange,
        limit: Option<usize>,
    ) -> Result<Limited<Vec<String>>, QueryError> {
        let (name, sets) = (name.to_owned(), any(sets));
        let range = within_lookback(context.limits().query(of.signal()), self.now(), range);
        self.run((context, of.signal()), None, move |_engine, context, running| async move {
            let values = match of {
                Labelled::Series => {
                    running.storage.metrics(&context, range).await?.label_values(&name, &sets).await?
                }
                Labelled::Streams => {
                    running.storage.logs(&context, range).await?.label_values(&name, &sets).await?
                }
            };
            Ok(Limited::cut(values.iter().map(|value| value.as_ref().to_owned()).collect(), limit))
        })
        .await
    }
}

/// The sets of matchers; one that everything meets where there is none.
fn any(sets: &[Vec<Matcher>]) -> Vec<Vec<Matcher>> {
    if sets.is_empty() { vec![Vec::new()] } else { sets.to_vec() }
}
