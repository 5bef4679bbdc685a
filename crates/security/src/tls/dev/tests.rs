//! What is made, kept and renewed.

use model::time::{ManualClock, TimestampNs};

use super::*;

const NOW_S: i64 = 1_800_000_000;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_is_there_stays_until_it_ends_or_is_forced_out() {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(TimestampNs(NOW_S * NS_PER_S));
    let made = make(dir.path(), "stage", false, &clock).unwrap();
    assert_eq!((made.written.len(), made.kept.len()), (14, 0));
    for name in ["collector-ca.crt", "collector-stage.crt", "collector-stage.key", "client.crt", "client.key"]
    {
        assert!(made.written.contains(&dir.path().join(name)), "{name}");
    }
    for path in &made.written {
        let expected = if path.extension().is_some_and(|end| end == "key") { 0o600 } else { 0o644 };
        assert_eq!(mode(path), expected, "{}", path.display());
    }
    let again = make(dir.path(), "stage", false, &clock).unwrap();
    assert_eq!((again.written.len(), again.kept.len()), (0, 14));

    // What is missing is made by the authority that is there.
    fs::remove_file(dir.path().join("loki-stage.key")).unwrap();
    let mended = make(dir.path(), "stage", false, &clock).unwrap();
    assert_eq!(mended.written, ["loki-stage.key", "loki-stage.crt"].map(|name| dir.path().join(name)));

    clock.set(TimestampNs((NOW_S + PAIR_LIFE_S - 86_400) * NS_PER_S));
    assert_eq!(make(dir.path(), "stage", false, &clock).unwrap().written.len(), 12, "all pairs");
    let forced = make(dir.path(), "stage", true, &clock).unwrap();
    assert_eq!((forced.written.len(), forced.kept.len()), (14, 0));
}

#[test]
fn what_is_no_pair_is_made_anew_and_keys_are_their_owners() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let clock = ManualClock::new(TimestampNs(NOW_S * NS_PER_S));
    let mended = || make(dir.path(), "dev", false, &clock).unwrap().written;
    assert_eq!(mended().len(), 14);
    let pair = |service: &str| [at(&format!("{service}-dev.key")), at(&format!("{service}-dev.crt"))];
    // The key of another, none, one that others may read, and a file beside that leads elsewhere.
    fs::copy(at("loki-dev.key"), at("tempo-dev.key")).unwrap();
    assert_eq!(mended(), pair("tempo"));
    fs::write(at("prometheus-dev.key"), "").unwrap();
    fs::write(at("victim"), "mine").unwrap();
    std::os::unix::fs::symlink(at("victim"), at("prometheus-dev.key.new")).unwrap();
    assert_eq!(mended(), pair("prometheus"));
    assert_eq!(fs::read_to_string(at("victim")).unwrap(), "mine");
    fs::set_permissions(at("collector-dev.key"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(mended().is_empty());
    assert_eq!(mode(&at("collector-dev.key")), 0o600);
    // A pair of another authority, and an authority that is no pair.
    let other = tempfile::tempdir().unwrap();
    make(other.path(), "dev", false, &clock).unwrap();
    for name in ["client.crt", "client.key"] {
        fs::copy(other.path().join(name), at(name)).unwrap();
    }
    assert_eq!(mended(), [at("client.key"), at("client.crt")]);
    fs::copy(other.path().join(CA_FILE), at(CA_FILE)).unwrap();
    assert_eq!(mended().len(), 14, "nothing that the old one signed is trusted");
}

#[test]
fn names_and_periods_are_in_the_certificates() {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(TimestampNs(NOW_S * NS_PER_S));
    make(dir.path(), "dev", false, &clock).unwrap();
    let certificate = |name: &str| super::super::inspect::file(&dir.path().join(name)).unwrap().remove(0);
    let collector = certificate("collector-dev.crt");
    for name in ["localhost", "127.0.0.1", "::1", "otel-collector", "collector.observability.svc"] {
        assert!(collector.names.iter().any(|found| found == name), "{name}: {:?}", collector.names);
    }
    assert_eq!((collector.not_before_s, collector.not_after_s), (NOW_S - SKEW_S, NOW_S + PAIR_LIFE_S));
    let authority = certificate(CA_FILE);
    assert!(authority.is_ca && !collector.is_ca);
    assert_eq!(collector.issuer, authority.subject);
    assert_eq!(certificate("client.crt").common_name.as_deref(), Some(CLIENT_NAME));
    assert_ne!(collector.serial, certificate("loki-dev.crt").serial);
}
