//! The variables of this process, by which stores of others may be configured.

use std::ffi::OsString;

/// All variables that are text.
pub(crate) fn variables() -> Vec<(String, String)> {
    let text =
        |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    std::env::vars_os().filter_map(text).collect()
}
