//! Lists of what there is: series or streams, the names of their labels, and a label's values.

use std::collections::BTreeSet;

use model::{Labels, Matcher, Signal, TenantContext, TimeRange};

use crate::answer::Limited;
use crate::engine::QueryEngine;
use crate::error::QueryError;
use crate::federation::{self, TENANT_LABEL};
use crate::limits::listed;

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
        let range = listed(context, of.signal(), self.now(), range)?;
        self.run((context, of.signal()), None, move |_engine, context, running| async move {
            let mut found: BTreeSet<Labels> = BTreeSet::new();
            for member in context.members() {
                let sets = federation::sets(&context, member, &sets);
                let labels = match of {
                    Labelled::Series => running.storage.metrics(member, range).await?.present(&sets).await?,
                    Labelled::Streams => running.storage.logs(member, range).await?.label_sets(&sets).await?,
                };
                if context.is_several() {
                    let labels: Vec<Labels> = labels.into_iter().collect();
                    let answered = federation::labels(&context, member, &labels);
                    found.extend(answered.as_deref().unwrap_or(&labels).iter().cloned());
                } else {
                    found.extend(labels);
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
        let range = listed(context, of.signal(), self.now(), range)?;
        self.run((context, of.signal()), None, move |_engine, context, running| async move {
            let mut found: BTreeSet<String> = BTreeSet::new();
            for member in context.members() {
                let sets = federation::sets(&context, member, &sets);
                if sets.is_empty() {
                    continue;
                }
                let names = match of {
                    Labelled::Series => {
                        running.storage.metrics(member, range).await?.label_names(&sets).await?
                    }
                    Labelled::Streams => {
                        running.storage.logs(member, range).await?.label_names(&sets).await?
                    }
                };
                found.extend((context.is_several() && !names.is_empty()).then(|| TENANT_LABEL.to_owned()));
                found
                    .extend(names.iter().map(|name| federation::name_as_answered(&context, name).to_owned()));
            }
            Ok(Limited::cut(found.into_iter().collect(), limit))
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
        let range = listed(context, of.signal(), self.now(), range)?;
        self.run((context, of.signal()), None, move |_engine, context, running| async move {
            let mut found: BTreeSet<String> = BTreeSet::new();
            for member in context.members() {
                let sets = federation::sets(&context, member, &sets);
                if sets.is_empty() {
                    continue;
                }
                let Some(name) = federation::name_in_data(&context, &name) else {
                    found.insert(member.tenant().as_str().to_owned());
                    continue;
                };
                let values = match of {
                    Labelled::Series => {
                        running.storage.metrics(member, range).await?.label_values(name, &sets).await?
                    }
                    Labelled::Streams => {
                        running.storage.logs(member, range).await?.label_values(name, &sets).await?
                    }
                };
                let values = values.iter().map(|value| value.as_ref().to_owned());
                if !context.is_several() {
                    return Ok(Limited::cut(values.collect(), limit));
                }
                found.extend(values);
            }
            Ok(Limited::cut(found.into_iter().collect(), limit))
        })
        .await
    }
}

/// The sets of matchers; one that everything meets where there is none.
fn any(sets: &[Vec<Matcher>]) -> Vec<Vec<Matcher>> {
    if sets.is_empty() { vec![Vec::new()] } else { sets.to_vec() }
}
