//! What the process says of itself on the three `buildinfo` routes.
//!
//! Clients read `version` there to choose what they ask for, so it names the level of the original's API that is
//! spoken; our own name and version stand in `application`.

use crate::json::Json;

/// The level of Prometheus' API: Grafana asks from 3.0 on for UTF-8 names and left-open ranges.
pub(crate) const PROMETHEUS_API_VERSION: &str = "3.5.0";

/// The level of Loki's API: structured metadata and `categorize-labels` are of 3.0.
pub(crate) const LOKI_API_VERSION: &str = "3.5.0";

/// The level of Tempo's API: the second version of `traces` is of 2.7, typed tag values are older.
pub(crate) const TEMPO_API_VERSION: &str = "2.8.0";

/// Which build is running.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildInfo {
    /// The version of this program.
    pub version: String,
    /// The commit that it was built from; empty where unknown.
    pub revision: String,
    /// The branch of that commit; empty where unknown.
    pub branch: String,
    /// When it was built; empty where unknown.
    pub build_date: String,
}

impl BuildInfo {
    /// Writes the object that all three originals have, for the level of API that is spoken.
    pub(crate) fn write(&self, json: &mut Json, api_version: &str) {
        let application = format!("Stella Telemetry {}", self.version);
        let fields = [
            ("version", api_version),
            ("revision", &self.revision),
            ("branch", &self.branch),
            ("buildUser", ""),
            ("buildDate", &self.build_date),
            ("goVersion", ""),
            ("application", application.trim_end()),
        ];
        json.text_object(fields);
    }
}
