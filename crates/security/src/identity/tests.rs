//! Which certificates a rule selects, and what is refused of headers.

use aws_lc_rs::digest;
use http::HeaderValue;

use super::*;

fn certificate() -> PeerCertificate {
    PeerCertificate {
        der: b"a certificate".to_vec(),
        thumbprint: "t".into(),
        spki_sha256: "ab".repeat(32),
        common_name: Some("collector".into()),
        subject: "CN=collector".into(),
        issuer: "CN=ca".into(),
        issuer_der: Vec::new(),
        names: vec!["collector.observability.svc".into(), "10.0.0.7".into()],
        serial: "1".into(),
        not_before_s: 0,
        not_after_s: i64::MAX,
        is_ca: false,
    }
}

#[test]
fn rules_select_by_name_and_by_hash() {
    let hash = hex::encode(digest::digest(&digest::SHA256, b"a certificate"));
    for (text, expected) in [
        ("cn:collector".to_owned(), Some(true)),
        ("cn:Collector".into(), Some(false)),
        ("cn:collector.observability.svc".into(), Some(false)),
        ("san:collector.observability.svc".into(), Some(true)),
        ("san:10.0.0.7".into(), Some(true)),
        ("san:collector".into(), Some(false)),
        (format!("sha256:{hash}"), Some(true)),
        (format!("sha256:{}", "00".repeat(32)), Some(false)),
        (format!("spki:{}", ["AB"; 32].join(":")), Some(true)),
        ("spki:ab".into(), None),
        ("sha256:".into(), None),
        ("subject:x".into(), None),
        ("collector".into(), None),
    ] {
        let selected = Selector::parse(&text).ok().map(|selector| selector.selects(&certificate()));
        assert_eq!(selected, expected, "{text}");
    }
}

#[test]
fn a_rule_acts_for_its_only_tenant_or_for_the_one_that_it_names() {
    let rule = |tenants: &[&str], tenant: Option<&str>| CertificateRule {
        issuer: None,
        certificate: "cn:a".into(),
        tenants: tenants.iter().map(|tenant| (*tenant).to_owned()).collect(),
        tenant: tenant.map(str::to_owned),
        scopes: BTreeSet::new(),
    };
    let acts_for = |rule| mapping(rule).map(|mapping| mapping.identity.tenant);
    assert_eq!(acts_for(rule(&["a"], None)), Ok(Some("a".into())));
    assert_eq!(acts_for(rule(&["a", "b"], None)), Ok(None));
    assert_eq!(acts_for(rule(&["*"], None)), Ok(None));
    assert_eq!(acts_for(rule(&["a", "b"], Some("b"))), Ok(Some("b".into())));
    assert_eq!(acts_for(rule(&["*"], Some("b"))), Ok(Some("b".into())));
    assert!(acts_for(rule(&["a"], Some("b"))).is_err());
}

#[test]
fn a_rule_with_an_issuer_takes_no_name_of_another_authority() {
    let rule = |issuer: Option<&str>| CertificateRule {
        certificate: "cn:collector".into(),
        issuer: issuer.map(str::to_owned),
        tenants: vec!["a".into()],
        tenant: None,
        scopes: BTreeSet::new(),
    };
    for (issuer, expected) in [(None, true), (Some("CN=ca"), true), (Some("CN=other"), false)] {
        assert_eq!(mapping(rule(issuer)).unwrap().selects(&certificate()), expected, "{issuer:?}");
        assert_eq!(rule(issuer).is_by_name(), issuer.is_none());
    }
}

#[test]
fn a_header_is_a_token_or_refused() {
    let read = |values: &[&[u8]]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        bearer(&headers).map(|token| token.map(str::to_owned)).ok()
    };
    assert_eq!(read(&[]), Some(None));
    assert_eq!(read(&[b"Bearer a.b.c"]), Some(Some("a.b.c".into())));
    assert_eq!(read(&[b"bearer  a.b.c "]), Some(Some("a.b.c".into())));
    for wrong in
        [&[&b"Basic YTpi"[..]][..], &[b"Bearer"], &[b""], &[b"\xff\xfe a"], &[b"Bearer a", b"Bearer b"]]
    {
        assert_eq!(read(wrong), None, "{wrong:?}");
    }
}

proptest::proptest! {
    #[test]
    fn no_header_panics(bytes in proptest::collection::vec(0x20_u8..0x7f, 0..200)) {
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_bytes(&bytes) {
            headers.append(AUTHORIZATION, value);
            let _ = bearer(&headers);
        }
        let _ = Selector::parse(&String::from_utf8_lossy(&bytes));
    }
}
