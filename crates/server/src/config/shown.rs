//! The configuration in force as text, and settings by the names of Prometheus' flags: what the status routes show.
//! Who may do what is left out: every tenant may ask. Secrets are in no key.

use serde_json::{Value, json};

use super::units::Duration;
use super::{Config, Fsync};

/// `15000` as `15s`.
fn duration(duration: Duration) -> String {
    let ms = i64::try_from(duration.as_ms()).unwrap_or(i64::MAX);
    syntax::duration::format_prometheus_ms(ms)
}

fn bytes(size: super::units::ByteSize) -> String {
    format!("{}B", size.0)
}

/// An address without what stands before its `@`.
fn without_userinfo(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let authority_len = rest.find('/').unwrap_or(rest.len());
            let host = rest[..authority_len].rfind('@').map_or(rest, |at| &rest[at + 1..]);
            format!("{scheme}://{host}")
        }
        None => url.to_owned(),
    }
}

impl Config {
    /// The keys that say how the server runs, with their values, as YAML.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        let ports: serde_json::Map<String, Value> = self
            .listen
            .ports
            .named()
            .into_iter()
            .map(|(name, port)| (name.to_owned(), json!(port)))
            .collect();
        let mut all = json!({
            "data_dir": self.data_dir,
            "store": without_userinfo(&self.store().url),
            "roles": self.roles.iter().map(|role| format!("{role:?}").to_lowercase()).collect::<Vec<_>>(),
            "own_telemetry": self.own_telemetry,
            "listen": {
                "address": self.listen.address,
                "port_offset": self.listen.port_offset,
                "ports": ports,
                "cors_origins": self.listen.cors_origins,
                "hosts": self.listen.hosts,
                "lifecycle": self.listen.lifecycle,
            },
            "wal": {
                "fsync": if self.wal.fsync == Fsync::Always { "always" } else { "interval" },
                "fsync_interval": duration(self.wal.fsync_interval),
                "segment_size": bytes(self.wal.segment_size),
            },
            "flush": {
                "max_head_size": bytes(self.flush.max_head_size),
                "max_head_age": duration(self.flush.max_head_age),
            },
            "compaction": {
                "interval": duration(self.compaction.interval),
                "max_concurrent": self.compaction.max_concurrent,
            },
            "retention": {
                "metrics": duration(self.retention.metrics),
                "logs": duration(self.retention.logs),
                "traces": duration(self.retention.traces),
            },
            "tenants": self.tenants(),
            "query": {
                "max_concurrent": self.query.max_concurrent,
                "timeout": duration(self.query.timeout),
                "lookback": duration(self.query.lookback),
                "enable_feature": self.query.enable_feature,
            },
        });
        if let Some(tenant) = &self.default_tenant {
            all["default_tenant"] = json!(tenant);
        }
        if let Some(tls) = &self.tls {
            all["tls"] = json!({ "cert": tls.cert, "key": tls.key, "ca": tls.ca });
        }
        let mut text = String::new();
        write(&all, 0, &mut text);
        text
    }

    /// Settings by the names of Prometheus' flags.
    #[must_use]
    pub fn to_flags(&self) -> Vec<(String, String)> {
        let port = u32::from(self.listen.ports.prometheus) + u32::from(self.listen.port_offset);
        let flags = [
            ("config.file", String::new()),
            ("enable-feature", self.query.enable_feature.join(",")),
            ("query.lookback-delta", duration(self.query.lookback)),
            ("query.max-concurrency", self.query.max_concurrent.to_string()),
            ("query.max-samples", self.limits().metrics.max_query_samples.to_string()),
            ("query.timeout", duration(self.query.timeout)),
            ("storage.tsdb.path", self.data_dir.display().to_string()),
            ("storage.tsdb.retention.time", duration(self.retention.metrics)),
            ("web.cors.origin", self.origins().unwrap_or_default().to_expression()),
            ("web.enable-admin-api", true.to_string()),
            ("web.enable-lifecycle", self.listen.lifecycle.to_string()),
            ("web.enable-otlp-receiver", true.to_string()),
            ("web.enable-remote-write-receiver", true.to_string()),
            ("web.listen-address", format!("{}:{port}", self.listen.address)),
        ];
        flags.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// Maps as indented lines, everything else as JSON, which is YAML too.
fn write(value: &Value, indent: usize, text: &mut String) {
    let Value::Object(map) = value else { return };
    for (key, value) in map {
        text.push_str(&" ".repeat(indent));
        text.push_str(key);
        if matches!(value, Value::Object(inner) if !inner.is_empty()) {
            text.push_str(":\n");
            write(value, indent + 2, text);
        } else {
            text.push_str(&format!(": {value}\n"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_reads_back_as_it_is() {
        let mut config = Config::default();
        config.store.keys.url = Some("s3://key:secret@bucket/prefix".into());
        config.default_tenant = Some("acme".into());
        config.query.enable_feature = vec!["search-api".into()];
        let text = config.to_yaml();
        assert!(!text.contains("secret") && text.contains("s3://bucket/prefix"), "{text}");
        let again = Config::parse(&text).unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
        again.check().unwrap();
        assert_eq!(again.to_yaml(), text);
        assert_eq!(again.query.lookback.as_ms(), 300_000);
    }

    #[test]
    fn flags_have_prometheus_names() {
        let flags = Config::default().to_flags();
        let mut open = Config::default();
        open.listen.cors_origins = vec!["https://a.example".into(), "https://b[.]c".into()];
        let origin = ("web.cors.origin".to_owned(), r"https://a\.example|https://b[.]c".to_owned());
        assert!(
            open.to_flags().contains(&origin) && flags.contains(&("web.cors.origin".into(), String::new()))
        );
        let value =
            |name: &str| flags.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        assert_eq!(value("query.lookback-delta"), Some("5m"));
        assert_eq!(value("web.listen-address"), Some("127.0.0.1:9090"));
        assert_eq!(value("web.enable-lifecycle"), Some("false"));
    }
}
