//! Which tokens are good, of the Authority and of others, and that no bytes of a token are too much.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header};
use proptest::prelude::*;
use serde_json::json;

use super::external::{ClaimNames, IssuerSettings};
use super::*;
use crate::authority::tests::{World, client};
use crate::authority::{Algorithm as Signing, TokenRequest};
use crate::tls::{ClientAuth, ServerFiles, ServerTls, Tellings, dev};

const OTHER: &str = "https://idp.example";

/// An issuer of others, with its keys in a file.
struct Other {
    folder: tempfile::TempDir,
    key: EncodingKey,
}

impl Other {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pair = rcgen::KeyPair::generate().unwrap();
        let key = EncodingKey::from_ec_der(&pair.serialize_der());
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
        jwk.common.key_id = Some("k1".into());
        // A shared secret among the keys must not be one that tokens can be signed with.
        let secret: Jwk =
            serde_json::from_value(json!({"kty": "oct", "k": "c2VjcmV0", "kid": "k2"})).unwrap();
        let keys = JwkSet { keys: vec![jwk, secret] };
        std::fs::write(folder.path().join("jwks.json"), serde_json::to_vec(&keys).unwrap()).unwrap();
        Self { folder, key }
    }

    fn issuer(&self, claims: ClaimNames) -> Arc<ExternalIssuer> {
        self.issuer_with(IssuerSettings { claims, ..IssuerSettings::default() })
    }

    fn issuer_with(&self, settings: IssuerSettings) -> Arc<ExternalIssuer> {
        let jwks = Some(self.folder.path().join("jwks.json").to_str().unwrap().to_owned());
        let settings = IssuerSettings { issuer: OTHER.into(), jwks, ..settings };
        Arc::new(ExternalIssuer::open(settings, World::new().clock).unwrap())
    }

    fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some("k1".into());
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }
}

fn now_s(world: &World) -> i64 {
    world.clock.now().0 / NS_PER_S
}

async fn verifier(world: &World, issuers: Vec<Arc<ExternalIssuer>>) -> Verifier {
    let audience = ["observability".to_owned()];
    Verifier::new(world.node().await, issuers, audience, Arc::clone(&world.clock) as Arc<dyn Clock>)
}

#[tokio::test]
async fn tokens_of_others_are_taken_by_their_own_words() {
    let (world, other) = (World::new(), Other::new());
    let now_s = now_s(&world);
    let claims = json!({
        "iss": OTHER, "sub": "ann", "aud": ["x", "observability"], "exp": now_s + 60,
        "scp": ["obs:read"], "scope": "obs:logs", "stellaops:tenant": "acme",
        "stellaops:allowed_tenants": "acme globex",
    });
    let plain = verifier(&world, vec![other.issuer(ClaimNames::default())]).await;
    let identity = plain.verify(&other.sign(&claims), None).unwrap();
    assert_eq!(identity.scopes, ["obs:logs", "obs:read"].map(str::to_owned).into());
    assert!(identity.tenants.allow("globex") && !identity.tenants.allow("initech"));

    let names = ClaimNames {
        tenant: "org".into(),
        allowed_tenants: "orgs".into(),
        scope: "perms".into(),
        ..ClaimNames::default()
    };
    let renamed = verifier(&world, vec![other.issuer(names)]).await;
    let token = other.sign(&json!({
        "iss": OTHER, "sub": "ann", "aud": "observability", "exp": now_s + 60, "org": "o", "orgs": ["p"],
        "perms": ["obs:read"], "scope": "obs:admin", "stellaops:tenant": "acme",
    }));
    let identity = renamed.verify(&token, None).unwrap();
    assert_eq!((identity.tenant.as_deref(), identity.scopes.len()), (Some("o"), 1));
    assert!(identity.tenants.allow("p") && !identity.tenants.allow("acme"));

    let unknown = verifier(&world, Vec::new()).await;
    assert_eq!(unknown.verify(&token, None), Err(TokenError::Issuer(OTHER.into())));
}

#[tokio::test]
async fn roles_of_others_are_read_where_they_stand_and_mean_what_is_configured() {
    let (world, other) = (World::new(), Other::new());
    let set = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<_>>();
    let base = json!({
        "iss": OTHER, "sub": "cn:root\n{}", "aud": "observability", "exp": now_s(&world) + 60,
        "realm_access": {"roles": ["sre", "visitor"]}, "https://x.example/org": "o-17", "groups": "g-1 g-2",
    });
    let claims = ClaimNames {
        tenant: "https://x.example/org".into(),
        allowed_tenants: "groups".into(),
        scope: "realm_access.roles".into(),
        tenants: [("o-17", "acme"), ("g-2", "globex")].map(|(a, b)| (a.to_owned(), b.to_owned())).into(),
        scopes: [("sre".to_owned(), set(&["obs:read", "obs:admin"]))].into(),
    };
    let settings =
        IssuerSettings { claims, scopes: Some(set(&["obs:read", "obs:admin"])), ..IssuerSettings::default() };
    let verifier = verifier(&world, vec![other.issuer_with(settings)]).await;
    let identity = verifier.verify(&other.sign(&base), None).unwrap();
    assert_eq!(identity.scopes, set(&["obs:read", "obs:admin"]));
    assert_eq!(
        (identity.tenant.as_deref(), &identity.tenants),
        (Some("acme"), &Tenants::These(set(&["acme", "globex"])))
    );
    // Whoever it is, it is nobody of another issuer, and writes no lines of its own.
    assert_eq!(identity.subject, format!("{OTHER}#cn:root_{{}}"));
    for claim in ["nonce", "at_hash"] {
        let mut claims = base.clone();
        claims[claim] = "x".into();
        assert_eq!(verifier.verify(&other.sign(&claims), None), Err(TokenError::NotAccess));
    }
    let mut header = Header::new(Algorithm::ES256);
    (header.kid, header.typ) = (Some("k1".into()), Some("logout+jwt".into()));
    let token = jsonwebtoken::encode(&header, &base, &other.key).unwrap();
    assert_eq!(verifier.verify(&token, None), Err(TokenError::NotAccess));
}

/// An issuer's address: HTTPS with a certificate of an authority of its own, which counts how often it is asked.
struct Address {
    folder: tempfile::TempDir,
    keys: Arc<parking_lot::Mutex<JwkSet>>,
    asked: Arc<AtomicUsize>,
    url: String,
}

/// The connections of that address.
struct Secured {
    socket: tokio::net::TcpListener,
    tls: ServerTls,
}

impl axum::serve::Listener for Secured {
    type Io = tokio_rustls::server::TlsStream<tokio::net::TcpStream>;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = self.socket.accept().await.unwrap();
            if let Ok(stream) = self.tls.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.socket.local_addr()
    }
}

impl Address {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let now = i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap();
        let clock = Arc::new(model::time::ManualClock::new(model::TimestampNs(now)));
        dev::make(folder.path(), "dev", false, &*clock).unwrap();
        let [cert, key] = dev::pair_files("authority", "dev").map(|name| folder.path().join(name));
        let files = ServerFiles { cert, key, ca: None, revoked: Vec::new() };
        let tls = ServerTls::open("issuer", &files, ClientAuth::None, clock, &Tellings::default()).unwrap();
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}/certs", socket.local_addr().unwrap().port());
        let keys = Arc::new(parking_lot::Mutex::new(JwkSet { keys: Vec::new() }));
        let asked = Arc::new(AtomicUsize::new(0));
        let (told, counted) = (Arc::clone(&keys), Arc::clone(&asked));
        let answer = move || {
            counted.fetch_add(1, Ordering::Relaxed);
            let keys = told.lock().clone();
            std::future::ready(axum::Json(keys))
        };
        let (issuer, certs) = (url.replace("/certs", ""), url.clone());
        let discovery = move |path: &'static str| {
            let (issuer, certs) = (issuer.clone(), certs.clone());
            let issuer = if path.is_empty() { issuer } else { format!("{issuer}/other") };
            async move { axum::Json(json!({"issuer": issuer, "jwks_uri": certs})) }
        };
        let (own, others) = (discovery.clone(), discovery);
        let router = axum::Router::new()
            .route("/certs", axum::routing::get(answer))
            .route("/.well-known/openid-configuration", axum::routing::get(move || own("")))
            .route("/forged/.well-known/openid-configuration", axum::routing::get(move || others("other")));
        tokio::spawn(async move { axum::serve(Secured { socket, tls }, router).await });
        Self { folder, keys, asked, url }
    }

    /// Makes a key public, and gives what signs with it.
    fn publish(&self, kid: &str) -> impl Fn(&Value) -> String + use<> {
        let key = EncodingKey::from_ec_der(&rcgen::KeyPair::generate().unwrap().serialize_der());
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
        jwk.common.key_id = Some(kid.to_owned());
        self.keys.lock().keys.push(jwk);
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(kid.to_owned());
        move |claims| jsonwebtoken::encode(&header, claims, &key).unwrap()
    }

    fn issuer(&self, world: &World, ca: Option<PathBuf>) -> Arc<ExternalIssuer> {
        let jwks = Some(self.url.clone());
        let settings = IssuerSettings { issuer: OTHER.into(), jwks, ca, ..IssuerSettings::default() };
        Arc::new(ExternalIssuer::open(settings, Arc::clone(&world.clock) as Arc<dyn Clock>).unwrap())
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn keys_behind_an_address_are_asked_for_when_a_token_names_an_unknown_one_and_not_too_often() {
    crate::tls::install_provider();
    let (world, address) = (World::new(), Address::new().await);
    let issuer = address.issuer(&world, Some(address.folder.path().join(dev::CA_FILE)));
    let verifier = verifier(&world, vec![Arc::clone(&issuer)]).await;
    let claims = json!({"iss": OTHER, "sub": "ann", "aud": "observability", "exp": now_s(&world) + 3_600});
    let look = async |token: &str| match verifier.look_for_key(token) {
        Some(looking) => looking.await,
        None => panic!("the key is known"),
    };
    let first = address.publish("k1");
    let token = first(&claims);
    assert_eq!(verifier.verify(&token, None), Err(TokenError::Signature));
    // Many at once are one question.
    futures::future::join_all((0..20).map(|_| look(&token))).await;
    assert_eq!(address.asked(), 1);
    assert!(verifier.verify(&token, None).is_ok());
    assert!(verifier.look_for_key(&token).is_none());

    // A key that came since, within the pause: refused until it is over.
    let second = address.publish("k2");
    let token = second(&claims);
    look(&token).await;
    assert_eq!((address.asked(), verifier.verify(&token, None)), (1, Err(TokenError::Signature)));
    world.pass_s(10);
    look(&token).await;
    assert!(verifier.verify(&token, None).is_ok());
    // Names that nobody has are no way to have others asked all the time, nor are tokens of unknown issuers.
    let forger = Other::new();
    for n in 0..50 {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(format!("x{n}"));
        let forged = jsonwebtoken::encode(&header, &claims, &forger.key).unwrap();
        look(&forged).await;
        assert_eq!(verifier.verify(&forged, None), Err(TokenError::Signature));
    }
    let stranger = forger.sign(&json!({"iss": "https://evil.example", "sub": "a", "exp": 1}));
    assert!(verifier.look_for_key(&stranger).is_none());
    assert_eq!(address.asked(), 2);

    // The name of a known key does not make another key's token good.
    let forged = forger.sign(&claims);
    assert_eq!(verifier.verify(&forged, None), Err(TokenError::Signature));
    // Keys that were taken back are believed no longer once they were asked for again.
    address.keys.lock().keys.remove(0);
    world.pass_s(10);
    let third = address.publish("k3");
    look(&third(&claims)).await;
    assert_eq!(issuer.keys().keys.len(), 2);
    assert!(!external::has_key(&issuer.keys(), "k1"));
}

#[tokio::test]
async fn an_issuer_is_trusted_by_its_own_authorities_alone_and_over_https() {
    crate::tls::install_provider();
    let (world, address) = (World::new(), Address::new().await);
    let token = address.publish("k1")(&json!({"iss": OTHER, "sub": "ann", "exp": now_s(&world) + 60}));
    let foreign = tempfile::tempdir().unwrap();
    dev::make(foreign.path(), "dev", false, &*world.clock).unwrap();
    for ca in [Some(foreign.path().join(dev::CA_FILE)), None] {
        let issuer = address.issuer(&world, ca);
        let verifier = verifier(&world, vec![Arc::clone(&issuer)]).await;
        verifier.look_for_key(&token).unwrap().await;
        assert!(issuer.keys().keys.is_empty());
        assert_eq!(address.asked(), 0);
    }
    for (jwks, ca) in [
        (address.url.replace("https", "http"), None),
        (address.url.clone(), Some(foreign.path().join("nothing.crt"))),
    ] {
        let jwks = Some(jwks);
        let settings = IssuerSettings { issuer: OTHER.into(), jwks, ca, ..IssuerSettings::default() };
        assert!(ExternalIssuer::open(settings, Arc::clone(&world.clock) as Arc<dyn Clock>).is_err());
    }
}

#[tokio::test]
async fn an_issuer_without_keys_says_itself_where_they_are() {
    crate::tls::install_provider();
    let (world, address) = (World::new(), Address::new().await);
    let own = address.url.replace("/certs", "");
    let sign = address.publish("k1");
    for (issuer, is_taken) in [(own.clone(), true), (format!("{own}/forged"), false)] {
        let ca = Some(address.folder.path().join(dev::CA_FILE));
        let settings = IssuerSettings { issuer: issuer.clone(), ca, ..IssuerSettings::default() };
        let external = ExternalIssuer::open(settings, Arc::clone(&world.clock) as Arc<dyn Clock>).unwrap();
        let verifier = verifier(&world, vec![Arc::new(external)]).await;
        let token =
            sign(&json!({"iss": issuer, "sub": "ann", "aud": "observability", "exp": now_s(&world) + 60}));
        verifier.look_for_key(&token).unwrap().await;
        assert_eq!(verifier.verify(&token, None).is_ok(), is_taken, "{issuer}");
    }
    let settings = IssuerSettings { issuer: "http://idp.example".into(), ..IssuerSettings::default() };
    assert!(ExternalIssuer::open(settings, Arc::clone(&world.clock) as Arc<dyn Clock>).is_err());
}

#[tokio::test]
async fn an_issuer_grants_what_it_may_and_no_more() {
    let (world, other) = (World::new(), Other::new());
    let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<_>>());
    let token = |more: Value| {
        let mut claims = json!({
            "iss": OTHER, "sub": "ann", "aud": "observability", "exp": now_s(&world) + 60,
            "scope": "obs:read obs:admin authority:admin",
        });
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        other.sign(&claims)
    };
    let granted = async |settings: IssuerSettings, token: &str| {
        verifier(&world, vec![other.issuer_with(settings)]).await.verify(token, None)
    };
    let plain = IssuerSettings::default;
    // `*` is no tenant, and every tenant only where the issuer may say so.
    let star = token(json!({"stellaops:tenant": "*"}));
    let all = token(json!({"stellaops:allowed_tenants": "*", "stellaops:tenant": "acme"}));
    let any = || IssuerSettings { tenants: words(&["*"]), ..plain() };
    assert_eq!(granted(plain(), &star).await, Err(TokenError::Claim("tenant")));
    assert_eq!(granted(any(), &star).await, Err(TokenError::Claim("tenant")));
    let identity = granted(plain(), &all).await.unwrap();
    assert_eq!(identity.tenants, Tenants::of(["acme"]));
    assert_eq!(identity.scopes, words(&["obs:read"]).unwrap(), "operators are named");
    assert_eq!(granted(any(), &all).await.unwrap().tenants, Tenants::Any);
    let own = token(json!({"stellaops:allowed_tenants": ["stella", "acme"], "stellaops:tenant": "stella"}));
    let identity = granted(plain(), &own).await.unwrap();
    assert_eq!((&identity.tenants, &identity.tenant), (&Tenants::of(["acme"]), &None));
    // What is named bounds what a token says.
    let bounded = || IssuerSettings { tenants: words(&["a", "b"]), scopes: words(&["obs:admin"]), ..plain() };
    for (claims, tenants, tenant) in [
        (json!({"stellaops:tenant": "a"}), vec!["a"], Some("a")),
        (json!({"stellaops:tenant": "c", "stellaops:allowed_tenants": "b c"}), vec!["b"], None),
        (json!({"stellaops:allowed_tenants": "*"}), vec!["a", "b"], None),
    ] {
        let identity = granted(bounded(), &token(claims)).await.unwrap();
        assert_eq!((&identity.tenants, identity.tenant.as_deref()), (&Tenants::of(tenants), tenant));
        assert_eq!(identity.scopes, words(&["obs:admin"]).unwrap());
    }
    // Its own audiences take the place of those of all.
    let for_us = || IssuerSettings { audience: words(&["telemetry"]), ..plain() };
    let error = TokenError::Audience("observability".into());
    assert_eq!(granted(for_us(), &token(json!({}))).await, Err(error));
    assert!(granted(for_us(), &token(json!({"aud": "telemetry"}))).await.is_ok());
}

#[tokio::test]
async fn what_is_wrong_with_a_token_is_found() {
    let (world, other) = (World::new(), Other::new());
    let now_s = now_s(&world);
    let verifier = verifier(&world, vec![other.issuer(ClaimNames::default())]).await;
    let base =
        json!({"iss": OTHER, "sub": "a", "aud": "observability", "exp": now_s + 60, "scope": "obs:read"});
    let with = |name: &str, value: Value| {
        let mut claims = base.clone();
        claims[name] = value;
        other.sign(&claims)
    };
    let good = other.sign(&base);
    assert!(verifier.verify(&good, None).is_ok());
    for (token, expected) in [
        (with("exp", json!(now_s - 60)), TokenError::Expired),
        (with("exp", Value::Null), TokenError::Claim("exp")),
        (with("nbf", json!(now_s + 600)), TokenError::NotYet),
        (with("nbf", json!("soon")), TokenError::Claim("nbf")),
        (with("aud", json!("other")), TokenError::Audience("other".into())),
        (with("aud", json!({})), TokenError::Claim("aud")),
        (with("iss", json!("https://evil.example")), TokenError::Issuer("https://evil.example".into())),
        (with("iss", json!(7)), TokenError::Claim("iss")),
        (with("sub", Value::Null), TokenError::Claim("sub")),
        (with("scope", json!(7)), TokenError::Claim("scope")),
        (with("stellaops:tenant", json!(["a"])), TokenError::Claim("tenant")),
        (with("cnf", json!({"x5t#S256": "other"})), TokenError::Certificate),
        (with("cnf", json!({"jkt": "dpop"})), TokenError::Claim("cnf")),
    ] {
        assert_eq!(verifier.verify(&token, Some("mine")), Err(expected));
    }
    // Other algorithms than the keys': none, a shared secret, the public key as a secret.
    let payload = good.split('.').nth(1).unwrap();
    for header in
        [json!({"alg": "none", "kid": "k1"}), json!({"alg": "None"}), json!({"alg": "HS256", "kid": "k1"})]
    {
        let header = URL_SAFE_NO_PAD.encode(header.to_string());
        for signature in ["", "AAAA"] {
            assert!(verifier.verify(&format!("{header}.{payload}.{signature}"), None).is_err());
        }
    }
    let mut shared = Header::new(Algorithm::HS256);
    shared.kid = Some("k2".into());
    let forged = jsonwebtoken::encode(&shared, &base, &EncodingKey::from_secret(b"secret")).unwrap();
    assert_eq!(verifier.verify(&forged, None), Err(TokenError::Signature));
    // Somebody else's key under a known name, and a changed payload.
    assert_eq!(verifier.verify(&Other::new().sign(&base), None), Err(TokenError::Signature));
    let (head, tail) = good.split_once('.').unwrap();
    let changed = URL_SAFE_NO_PAD.encode(json!({"iss": OTHER, "sub": "root"}).to_string());
    let tail = tail.split_once('.').unwrap().1;
    assert_eq!(verifier.verify(&format!("{head}.{changed}.{tail}"), None), Err(TokenError::Signature));
    assert_eq!(verifier.verify(&"a".repeat(MAX_TOKEN_BYTES + 1), None), Err(TokenError::Malformed));
}

#[tokio::test]
async fn a_token_that_was_verified_still_ends() {
    let world = World::new();
    let authority = world.node().await;
    authority.create_client(client("a", &["obs:read"], Some("acme"))).await.unwrap();
    authority.rotate(Signing::EdDsa).await.unwrap();
    let verifier = world.verifier(&authority);
    let token = authority.issue_short("a", &TokenRequest::default()).unwrap().token;
    assert!(verifier.verify(&token, None).is_ok());
    world.pass_s(300 + CLOCK_SKEW_S - 1);
    assert!(verifier.verify(&token, None).is_ok(), "clocks may differ a little");
    world.pass_s(1);
    assert_eq!(verifier.verify(&token, None), Err(TokenError::Expired));
}

/// A verifier and a good token, made once.
fn known() -> &'static (Verifier, String) {
    static KNOWN: std::sync::OnceLock<(Verifier, String)> = std::sync::OnceLock::new();
    KNOWN.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (world, other) = (World::new(), Other::new());
        let verifier = runtime.block_on(verifier(&world, vec![other.issuer(ClaimNames::default())]));
        let exp = now_s(&world) + 60;
        let token = other.sign(&json!({"iss": OTHER, "sub": "a", "aud": "observability", "exp": exp}));
        (verifier, token)
    })
}

proptest! {
    #[test]
    fn no_text_is_too_much(text in ".{0,300}") {
        prop_assert!(known().0.verify(&text, None).is_err());
    }

    #[test]
    fn a_token_with_another_character_is_another_token(at in 0_usize..1_000, with in "[A-Za-z0-9_.-]") {
        let (verifier, token) = known();
        let mut changed = token.clone();
        let at = at % changed.len();
        // The last character of a part has bits that say nothing; the parser refuses them.
        changed.replace_range(at..=at, &with);
        prop_assert!(changed == *token || verifier.verify(&changed, None).is_err(), "{changed}");
    }

    #[test]
    fn any_claims_are_read_or_refused(claims in proptest::collection::hash_map("[a-z:_]{1,20}", any::<Option<i64>>(), 0..8)) {
        let claims: Map<String, Value> =
            claims.into_iter().map(|(name, value)| (name, json!(value))).collect();
        let _ = super::known(&claims, &ClaimNames::default());
    }
}
