//! Experimental features by the names of Prometheus' feature flags: what of PromQL, and which doors.

use query::Features;

/// The name of the search for names and values.
const SEARCH: &str = "search-api";

/// What is enabled; nothing by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Enabled {
    /// Of the language.
    pub promql: Features,
    /// The routes `/api/v1/search/...`.
    pub search: bool,
}

impl Enabled {
    /// Enables features by their names.
    ///
    /// # Errors
    /// What to write instead of a name that none has.
    pub(super) fn read(names: &[String]) -> Result<Self, String> {
        let mut enabled = Self::default();
        for name in names {
            if name == SEARCH {
                enabled.search = true;
            } else if !enabled.promql.enable(name) {
                let all = Features::NAMES.join(", ");
                return Err(format!(
                    "query.enable_feature has no feature of the name {name:?}; there are {all}, {SEARCH}"
                ));
            }
        }
        Ok(enabled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_flags() {
        let read =
            |names: &[&str]| Enabled::read(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(read(&[]), Ok(Enabled::default()));
        let all: Vec<&str> = Features::NAMES.into_iter().chain([SEARCH]).collect();
        assert_eq!(read(&all), Ok(Enabled { promql: Features::ALL, search: true }));
        let error = read(&["promql-everything"]).unwrap_err();
        assert!(error.contains("promql-everything") && error.contains("search-api"), "{error}");
    }
}
