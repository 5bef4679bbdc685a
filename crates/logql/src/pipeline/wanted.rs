//! Which labels a query can see at all, so that a parser sets no others.

use std::sync::Arc;

use crate::pipeline::row::EXTRACTED;

/// The labels that matter behind a parser; all of them, or only some.
#[derive(Clone, Debug)]
pub(crate) struct Wanted(Option<Arc<[String]>>);

impl Wanted {
    /// Every label matters.
    pub(crate) fn all() -> Self {
        Self(None)
    }

    /// Only these matter.
    pub(crate) fn only(names: &[String]) -> Self {
        Self(Some(names.into()))
    }

    /// Whether a parser must set the label: under its own name or, beside a label of the stream, its longer one.
    pub(crate) fn accepts(&self, name: &str) -> bool {
        let Some(names) = &self.0 else { return true };
        names.iter().any(|wanted| wanted == name || wanted.strip_suffix(EXTRACTED) == Some(name))
    }

    /// The keys that are accepted; none where all are.
    pub(crate) fn keys(&self) -> Option<Vec<String>> {
        let names = self.0.as_ref()?;
        let longer = names.iter().filter_map(|name| name.strip_suffix(EXTRACTED));
        let mut keys: Vec<String> =
            names.iter().map(String::as_str).chain(longer).map(str::to_owned).collect();
        keys.sort_unstable();
        keys.dedup();
        Some(keys)
    }
}
