//! Files that change while the server runs.

use model::Signal;

use super::*;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.0.path().join(file), text).unwrap();
    }

    fn open(&self) -> Result<Overrides, OverridesError> {
        Overrides::open(self.0.path(), Limits::default())
    }
}

fn period_s(overrides: &Overrides, tenant: &str) -> Option<i64> {
    let limits = overrides.limits(&TenantId::parse(tenant).unwrap());
    limits.retention.of(Signal::Logs).map(|ns| ns / 1_000_000_000)
}

fn logs_for(period: &str) -> String {
    format!("overrides:\n  acme:\n    retention_period: {period}\n")
}

#[test]
fn a_changed_file_comes_into_force_and_a_broken_one_does_not() {
    let folder = Folder::new();
    let overrides = folder.open().unwrap();
    let default = period_s(&overrides, "acme");
    folder.write("loki-overrides.yaml", &logs_for("10m"));
    overrides.look(&Audit::default());
    assert_eq!(period_s(&overrides, "acme"), Some(600));
    assert_eq!(period_s(&overrides, "globex"), default);
    // Of the same length, and perhaps of the same moment: the text decides after what was broken.
    for broken in [logs_for("1x!"), "overrides: [\n".to_owned()] {
        folder.write("loki-overrides.yaml", &broken);
        overrides.look(&Audit::default());
        overrides.look(&Audit::default());
        assert_eq!(period_s(&overrides, "acme"), Some(600), "what was good stays");
    }
    let label = ByFile { file: "loki-overrides.yaml" };
    assert_eq!(overrides.metrics.good.get_or_create(&label).get(), 0);
    assert_eq!(overrides.metrics.failures.get_or_create(&label).get(), 2);
    folder.write("loki-overrides.yaml", &logs_for("1h30m"));
    folder.write("tempo-overrides.yaml", "overrides:\n  \"*\":\n    block_retention: 3m\n");
    overrides.look(&Audit::default());
    assert_eq!(period_s(&overrides, "acme"), Some(5_400));
    assert_eq!(overrides.metrics.good.get_or_create(&label).get(), 1);
    for tenant in ["acme", "globex"] {
        let limits = overrides.limits(&TenantId::parse(tenant).unwrap());
        assert_eq!(limits.retention.of(Signal::Traces), Some(180_000_000_000), "{tenant}");
    }
}

#[test]
fn a_file_that_has_gone_stays_in_force_and_is_told() {
    let folder = Folder::new();
    folder.write("loki-overrides.yaml", &logs_for("10m"));
    let overrides = folder.open().unwrap();
    std::fs::remove_file(folder.0.path().join("loki-overrides.yaml")).unwrap();
    overrides.look(&Audit::default());
    assert_eq!(period_s(&overrides, "acme"), Some(600));
    let label = ByFile { file: "loki-overrides.yaml" };
    assert_eq!(overrides.metrics.good.get_or_create(&label).get(), 0);
    folder.write("loki-overrides.yaml", &logs_for("10m"));
    overrides.look(&Audit::default());
    assert_eq!(overrides.metrics.good.get_or_create(&label).get(), 1);
}

#[test]
fn a_broken_file_keeps_a_server_from_starting() {
    let folder = Folder::new();
    folder.write("tempo-overrides.yaml", "overrides:\n  acme:\n    block_retention: soon\n");
    let error = folder.open().unwrap_err().to_string();
    assert!(
        error.contains("tempo-overrides.yaml: line 3: block_retention: \"soon\" is no duration"),
        "{error}"
    );
}

#[test]
fn limits_are_explained_with_file_and_line() {
    let folder = Folder::new();
    folder.write("loki-overrides.yaml", &format!("# ours\n{}    ingestion_rate_mb: 2\n", logs_for("10m")));
    let tenant = TenantId::parse("acme").unwrap();
    let base = |_, _: &str| Origin::Default;
    let all = explain(folder.0.path(), &Limits::default(), &tenant, base).unwrap();
    assert_eq!(folder.open().unwrap().explain(&tenant), all, "what is in force is what is in the files");
    let of = |signal: &str, key: &str| all.iter().find(|e| e.signal == signal && e.key == key).unwrap();
    let retention = of("logs", "retention_period");
    assert_eq!(retention.value, "10m");
    let path = folder.0.path().join("loki-overrides.yaml");
    assert_eq!(retention.origin, Origin::File { path, line: 4 });
    assert_eq!((of("metrics", "retention_period").value.as_str()), "30d");
    assert_eq!(of("traces", "ingestion.rate_limit_bytes").value, "none");
    assert_eq!(of("logs", "max_line_size").value, "256KB");
    let burst = of("logs", "ingestion_burst_size_mb");
    assert_eq!((burst.value.as_str(), &burst.origin), ("3", &Origin::Default), "it follows from the rate");
}

#[test]
fn what_is_said_of_all_tenants_is_not_said_of_the_servers_own() {
    let folder = Folder::new();
    let all = "overrides:\n  \"*\":\n    retention_period: 10m\n    max_line_size: 60\n";
    folder.write("loki-overrides.yaml", all);
    let overrides = folder.open().unwrap();
    let own = TenantId::own();
    assert_eq!(*overrides.limits(&own), Limits::default());
    assert!(overrides.explain(&own).iter().all(|limit| limit.origin == Origin::Default));
    folder.write("loki-overrides.yaml", &format!("{all}  stella:\n    retention_period: 20m\n"));
    overrides.look(&Audit::default());
    assert_eq!([period_s(&overrides, "stella"), period_s(&overrides, "acme")], [Some(1_200), Some(600)]);
}

#[test]
fn what_is_in_force_is_explained_whatever_the_files_say_now() {
    let folder = Folder::new();
    folder.write("loki-overrides.yaml", &logs_for("10m"));
    let overrides = folder.open().unwrap();
    let period = |overrides: &Overrides| {
        let tenant = TenantId::parse("acme").unwrap();
        let all = overrides.explain(&tenant);
        let retention = all.into_iter().find(|e| e.signal == "logs" && e.key == "retention_period").unwrap();
        (retention.value, retention.origin)
    };
    let path = folder.0.path().join("loki-overrides.yaml");
    let before = ("10m".to_owned(), Origin::File { path: path.clone(), line: 3 });
    assert_eq!(period(&overrides), before);
    folder.write("loki-overrides.yaml", "overrides: [\n");
    overrides.look(&Audit::default());
    assert_eq!(period(&overrides), before, "a broken file is not in force");
    folder.write("loki-overrides.yaml", &format!("# ours\n{}", logs_for("1h")));
    assert_eq!(period(&overrides), before, "nor one that nobody has looked at");
    overrides.look(&Audit::default());
    assert_eq!(period(&overrides), ("1h".to_owned(), Origin::File { path, line: 4 }));
}

#[test]
fn rules_of_everyone_stand_behind_a_tenants_own() {
    let folder = Folder::new();
    let rule = |app: &str, period: &str| {
        format!(
            "    retention_stream: [{{ selector: '{{app=\"{app}\"}}', priority: 1, period: {period} }}]\n"
        )
    };
    let text = format!("overrides:\n  acme:\n{}  \"*\":\n{}  p: {{}}\n", rule("a", "2h"), rule("b", "1h"));
    folder.write("loki-overrides.yaml", &text);
    let overrides = folder.open().unwrap();
    let rules = |tenant: &str| {
        let limits = overrides.limits(&TenantId::parse(tenant).unwrap());
        let rules = limits.keep_rules.of(Signal::Logs).iter();
        rules.map(|rule| (rule.matchers[0].value.clone(), rule.of_everyone)).collect::<Vec<_>>()
    };
    assert_eq!(rules("acme"), [("a".to_owned(), false), ("b".to_owned(), true)]);
    assert_eq!(rules("p"), [("b".to_owned(), true)]);
    assert_eq!(rules("nobody"), [("b".to_owned(), true)]);
}

#[test]
fn what_has_changed_is_told_with_the_tenants_that_it_concerns() {
    let folder = Folder::new();
    folder.write("loki-overrides.yaml", &logs_for("10m"));
    let overrides = folder.open().unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&told);
    let audit = Audit::new(Arc::new(move |event| kept.lock().push(event)));
    let look = |file: &str, text: &str| {
        folder.write(file, text);
        overrides.look(&audit);
        told.lock()
            .drain(..)
            .map(|event| (event.action, event.subject, event.tenant, event.fields))
            .collect::<Vec<_>>()
    };
    assert_eq!(look("loki-overrides.yaml", &logs_for("10m")), []);
    assert_eq!(look("loki-overrides.yaml", "overrides: [\n"), []);
    let changed = look("loki-overrides.yaml", &logs_for("1h30m"));
    let file = "loki-overrides.yaml".to_owned();
    let tenants = |names: &str| ("tenants".into(), names.to_owned());
    let expected = (Action::OverridesChanged, file, "acme".to_owned(), vec![tenants("acme")]);
    assert_eq!(changed, [expected]);
    let text = "overrides:\n  \"*\":\n    block_retention: 3m\n  globex:\n    block_retention: 5m\n";
    let changed = look("tempo-overrides.yaml", text);
    let file = "tempo-overrides.yaml".to_owned();
    let count = ("tenant_count".into(), "2".to_owned());
    let fields = vec![tenants("* acme globex"), count];
    assert_eq!(changed, [(Action::OverridesChanged, file, String::new(), fields)]);
}
