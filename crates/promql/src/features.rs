//! What of the language is experimental and must be asked for, under the names of Prometheus' feature flags.

/// Which experimental parts of the language are enabled; none by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// `promql-experimental-functions`: functions and aggregations whose form may still change.
    pub experimental_functions: bool,
    /// `promql-extended-range-selectors`: the modifiers `anchored` and `smoothed`.
    pub extended_ranges: bool,
    /// `promql-binop-fill-modifiers`: `fill`, `fill_left` and `fill_right`.
    pub fill_modifiers: bool,
    /// `promql-delayed-name-removal`: the metric's name goes at the end of the query, not with each function.
    pub delayed_names: bool,
    /// `use-start-timestamps`: rates and resets know since when samples count, where these say so.
    pub start_timestamps: bool,
}

impl Features {
    /// All of them.
    pub const ALL: Self = Self {
        experimental_functions: true,
        extended_ranges: true,
        fill_modifiers: true,
        delayed_names: true,
        start_timestamps: true,
    };

    /// The names of all features, sorted.
    pub const NAMES: [&str; 5] = [
        "promql-binop-fill-modifiers",
        "promql-delayed-name-removal",
        "promql-experimental-functions",
        "promql-extended-range-selectors",
        "use-start-timestamps",
    ];

    /// Enables one by its name; false where there is none of that name.
    pub fn enable(&mut self, name: &str) -> bool {
        match self.place(name) {
            Some(feature) => *feature = true,
            None => return false,
        }
        true
    }

    /// The names of those that are enabled, sorted.
    pub fn enabled(mut self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |name| self.place(name).is_some_and(|feature| *feature))
    }

    fn place(&mut self, name: &str) -> Option<&mut bool> {
        Some(match name {
            "promql-binop-fill-modifiers" => &mut self.fill_modifiers,
            "promql-delayed-name-removal" => &mut self.delayed_names,
            "promql-experimental-functions" => &mut self.experimental_functions,
            "promql-extended-range-selectors" => &mut self.extended_ranges,
            "use-start-timestamps" => &mut self.start_timestamps,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_enabled_by_their_names() {
        let mut features = Features::default();
        assert!(!features.enable("promql-something"));
        assert_eq!(features, Features::default());
        for name in Features::NAMES {
            assert!(features.enable(name), "{name}");
        }
        assert_eq!(features, Features::ALL);
        assert_eq!(features.enabled().collect::<Vec<_>>(), Features::NAMES);
    }
}
