//! Clients, tokens and keys, on a store in memory, by the operations and by the port.

use std::sync::Arc;

use ::http::{Request, StatusCode};
use axum::Router;
use axum::body::Body;
use model::time::{ManualClock, TimestampNs};
use object_store::memory::InMemory;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::bounds::{CLOCK_SKEW_S, KEY_LEAD_S, KEY_LIFE_S};
use crate::tls::PeerCertificate;
use crate::token::{TokenError, Verifier};

const NOW_S: i64 = 1_800_000_000;

/// A store, and the folder of a node.
pub(crate) struct World {
    pub(crate) objects: Arc<dyn ObjectStore>,
    pub(crate) keys: tempfile::TempDir,
    pub(crate) clock: Arc<ManualClock>,
}

impl World {
    pub(crate) fn new() -> Self {
        let clock = Arc::new(ManualClock::new(TimestampNs(NOW_S * NS_PER_S)));
        Self { objects: Arc::new(InMemory::new()), keys: tempfile::tempdir().unwrap(), clock }
    }

    /// A node with the folder of this world's keys.
    pub(crate) async fn node(&self) -> Authority {
        self.node_in(self.keys.path(), 1).await
    }

    async fn node_in(&self, keys: &std::path::Path, seed: u8) -> Authority {
        let parts = Parts {
            objects: Arc::clone(&self.objects),
            keys: keys.to_owned(),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            seed: [seed; 32],
            audit: Audit::default(),
        };
        let authority = Authority::open(parts).await.unwrap();
        authority.establish(&Issuer::new(None, "https", 8440)).await.unwrap();
        authority
    }

    pub(crate) fn verifier(&self, authority: &Authority) -> Verifier {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        Verifier::new(authority.clone(), Vec::new(), ["observability".to_owned()], clock)
    }

    pub(crate) fn pass_s(&self, seconds: i64) {
        self.clock.advance_ns(seconds * NS_PER_S);
    }
}

pub(crate) fn settings(scopes: &[&str]) -> Changes {
    let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
    Changes { scopes: words(scopes), audience: words(&["observability"]), ..Changes::default() }
}

pub(crate) fn client(name: &str, scopes: &[&str], tenant: Option<&str>) -> NewClient {
    let settings = Changes { tenant: tenant.map(str::to_owned), ..settings(scopes) };
    NewClient { name: name.to_owned(), settings }
}

fn day(days: i64) -> i64 {
    days * 86_400
}

#[tokio::test]
async fn tokens_say_what_their_client_may_and_no_more() {
    let world = World::new();
    let authority = world.node().await;
    authority.create_client(client("scraper", &["obs:read", "obs:logs"], Some("acme"))).await.unwrap();
    let request = TokenRequest::default();
    let token = authority.issue_service("scraper", &request, day(30)).unwrap();
    assert_eq!(token.claims.scope, "obs:logs obs:read");
    assert_eq!((token.claims.aud.as_str(), token.claims.tenant.as_deref()), ("observability", Some("acme")));
    assert_eq!((token.claims.iat, token.claims.exp), (NOW_S, NOW_S + day(30)));
    let verifier = world.verifier(&authority);
    let identity = verifier.verify(&token.token, None).unwrap();
    assert_eq!(identity.subject, "scraper");
    assert!(identity.tenants.allow("acme") && !identity.tenants.allow("globex"));

    let refused =
        |request: &TokenRequest, life_s| authority.issue_service("scraper", request, life_s).unwrap_err();
    for (request, life_s, word) in [
        (TokenRequest { scopes: vec!["obs:admin".into()], ..request.clone() }, 60, "obs:admin"),
        (TokenRequest { audience: Some("other".into()), ..request.clone() }, 60, "audience"),
        (TokenRequest { tenant: Some("globex".into()), ..request.clone() }, 60, "globex"),
        (request.clone(), day(91), "--max-token-life"),
        (request.clone(), 0, "--max-token-life"),
    ] {
        let said = refused(&request, life_s).to_string();
        assert!(said.contains(word), "{said}");
    }
    let said = authority.issue_service("nobody", &request, 60).unwrap_err().to_string();
    assert!(said.contains("client list"), "{said}");
    let said = authority.create_client(client("scraper", &["obs:read"], None)).await.unwrap_err().to_string();
    assert!(said.contains("client update"), "{said}");
    for (new, word) in [
        (client("a b", &["obs:read"], None), "name"),
        (client("a", &[], None), "--scopes"),
        (client("a", &["obs read"], None), "scope"),
        (client("a", &["obs:read"], Some("a/b")), "tenant"),
        (client("a", &["obs:read"], Some("*")), "--allowed-tenants"),
    ] {
        let said = authority.create_client(new).await.unwrap_err().to_string();
        assert!(said.contains(word), "{word}: {said}");
    }
}

#[tokio::test]
async fn what_is_taken_back_is_refused_by_every_node() {
    let world = World::new();
    let (here, folder) = (world.node().await, tempfile::tempdir().unwrap());
    here.create_client(client("a", &["obs:read"], Some("acme"))).await.unwrap();
    let there = world.node_in(folder.path(), 2).await;
    let verifier = world.verifier(&there);
    let issue = |name: &str| here.issue_service(name, &TokenRequest::default(), day(1)).unwrap();
    let (first, second) = (issue("a"), issue("a"));
    there.refresh().await.unwrap();
    assert!(verifier.verify(&first.token, None).is_ok(), "each node knows the keys of the other");

    here.revoke(&first.token).await.unwrap();
    there.refresh().await.unwrap();
    assert_eq!(verifier.verify(&first.token, None), Err(TokenError::Revoked));
    assert!(verifier.verify(&second.token, None).is_ok());

    // It stays so for as long as clocks let the token pass, whatever is changed meanwhile.
    let short = here.issue_short("a", &TokenRequest::default()).unwrap();
    here.revoke(&short.token).await.unwrap();
    for _ in 0..11 {
        world.pass_s(30);
        here.rotate(Algorithm::default()).await.unwrap();
        there.refresh().await.unwrap();
        let refused = verifier.verify(&short.token, None).unwrap_err();
        assert!([TokenError::Revoked, TokenError::Expired].contains(&refused), "{refused}");
    }
    assert_eq!(verifier.verify(&short.token, None), Err(TokenError::Expired));

    let second = issue("a");
    there.refresh().await.unwrap();
    // A client of the same name is another one.
    there.delete_client("a").await.unwrap();
    assert_eq!(verifier.verify(&second.token, None), Err(TokenError::Revoked));
    there.create_client(client("a", &["obs:read"], Some("acme"))).await.unwrap();
    assert_eq!(verifier.verify(&second.token, None), Err(TokenError::Revoked));
    here.refresh().await.unwrap();
    assert!(verifier.verify(&issue("a").token, None).is_ok());

    world.pass_s(day(1) + 2 * CLOCK_SKEW_S + 1);
    assert_eq!(verifier.verify(&second.token, None), Err(TokenError::Expired));
    here.update_client("a", settings(&["obs:logs"])).await.unwrap();
    assert!(
        here.inner.register.current().state.revoked.is_empty(),
        "tokens that have ended need no revocation"
    );
}

#[tokio::test]
async fn a_revocation_outlives_its_token() {
    let world = World::new();
    let authority = world.node().await;
    let secret = authority.create_client(client("a", &["obs:read"], Some("acme"))).await.unwrap().0;
    let (verifier, port) = (world.verifier(&authority), http::router(&authority));
    let issue = || authority.issue_service("a", &TokenRequest::default(), 25).unwrap();
    let [by_token, by_name, other, foreign] = [issue(), issue(), issue(), issue()];
    let ask = async |path: &str, token: &str| {
        post(&port, path, &format!("client_id=a&client_secret={secret}&token={token}"), None).await
    };
    authority.revoke(&by_token.token).await.unwrap();
    authority.revoke(&by_name.claims.jti).await.unwrap();
    // Until the last moment at which a token is taken anywhere, also by a node whose clock is behind.
    for pass_s in [24, 2, CLOCK_SKEW_S - 2, CLOCK_SKEW_S - 1] {
        world.pass_s(pass_s);
        let changes = Changes { description: Some(pass_s.to_string()), ..Changes::default() };
        authority.update_client("a", changes).await.unwrap();
        assert!(authority.is_revoked(&by_token.claims) && authority.is_revoked(&by_name.claims), "{pass_s}");
        let is_taken = verifier.verify(&other.token, None).is_ok();
        let (_, told) = ask("/introspect", &other.token).await;
        assert_eq!(told["active"], is_taken, "what every port takes is active: {pass_s}");
    }
    // In the seconds after its end in which a token is taken, it is taken back all the same.
    let late = issue();
    world.pass_s(25 + CLOCK_SKEW_S / 2);
    assert!(verifier.verify(&late.token, None).is_ok());
    assert_eq!(ask("/revoke", &late.token).await.0, StatusCode::OK);
    assert_eq!(verifier.verify(&late.token, None), Err(TokenError::Revoked));
    // What was not signed here is no token, whatever it says of its end.
    let (head, signature) = foreign.token.rsplit_once('.').unwrap();
    let turned: String = signature.chars().rev().collect();
    let said = authority.revoke(&format!("{head}.{turned}")).await.unwrap_err().to_string();
    assert!(said.contains("no token of this Authority"), "{said}");
    // Nor is what no client can have been given.
    for nothing in ["nosuchjti", "", &format!("{}-{}", "0".repeat(32), "0".repeat(32))] {
        assert!(authority.revoke(nothing).await.is_err(), "{nothing}");
    }
}

#[tokio::test]
async fn what_a_client_may_no_longer_its_tokens_may_no_longer() {
    let world = World::new();
    let authority = world.node().await;
    let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
    let settings =
        Changes { allowed_tenants: words(&["acme", "globex"]), ..settings(&["obs:read", "obs:logs"]) };
    let settings = Changes { tenant: Some("acme".into()), ..settings };
    let secret = authority.create_client(NewClient { name: "a".into(), settings }).await.unwrap().0;
    let token = authority.issue_service("a", &TokenRequest::default(), day(1)).unwrap().token;
    let verifier = world.verifier(&authority);
    let before = verifier.verify(&token, None).unwrap();
    let change = async |changes: Changes| drop(authority.update_client("a", changes).await.unwrap());
    change(Changes { scopes: words(&["obs:logs", "obs:admin"]), ..Changes::default() }).await;
    let now = verifier.verify(&token, None).unwrap();
    assert_eq!(now.scopes, ["obs:logs".to_owned()].into(), "less, and never more");
    let changes =
        Changes { tenant: Some("globex".into()), allowed_tenants: words(&["globex"]), ..Changes::default() };
    change(changes).await;
    let now = verifier.verify(&token, None).unwrap();
    assert_eq!(now.tenant, None);
    assert!(now.tenants.allow("globex") && !now.tenants.allow("acme"));
    let form = format!("client_id=a&client_secret={secret}&token={token}");
    let (_, told) = post(&http::router(&authority), "/introspect", &form, None).await;
    assert_eq!((&told["scope"], &told["stellaops:allowed_tenants"]), (&"obs:logs".into(), &"globex".into()));
    change(Changes { certificate: Some("x".repeat(43)), ..Changes::default() }).await;
    assert_eq!(verifier.verify(&token, None), Err(TokenError::Certificate));
    let changes =
        Changes { certificate: Some(String::new()), audience: words(&["other"]), ..Changes::default() };
    change(changes).await;
    assert_eq!(verifier.verify(&token, None), Err(TokenError::Audience("observability".into())));
    let changes = Changes {
        scopes: words(&["obs:read", "obs:logs"]),
        audience: words(&["observability"]),
        tenant: Some("acme".into()),
        allowed_tenants: words(&["*"]),
        ..Changes::default()
    };
    change(changes).await;
    assert_eq!(verifier.verify(&token, None).unwrap(), before, "what it was given, and no more");
}

#[tokio::test]
async fn only_servers_make_keys_and_those_of_any_can_be_retired() {
    let world = World::new();
    let server = world.node().await;
    server.create_client(client("a", &["obs:read"], Some("acme"))).await.unwrap();
    let token = server.issue_short("a", &TokenRequest::default()).unwrap().token;
    // A command in another folder finds the clients, and no key to sign with.
    let elsewhere = tempfile::tempdir().unwrap();
    let parts = Parts {
        objects: Arc::clone(&world.objects),
        keys: elsewhere.path().to_owned(),
        clock: Arc::clone(&world.clock) as Arc<dyn Clock>,
        seed: [3; 32],
        audit: Audit::default(),
    };
    let command = Authority::open(parts).await.unwrap();
    assert!(!command.is_new() && command.clients().len() == 1);
    let issuer = Issuer::new(Some("https://other"), "https", 1);
    let said = command.sign_here(&issuer).await.unwrap_err().to_string();
    assert!(said.contains("--data-dir") && said.contains("--server"), "{said}");
    assert_eq!((server.keys().len(), std::fs::read_dir(elsewhere.path()).unwrap().count()), (1, 0));
    // Another node's key, retired by whoever operates: its tokens stay, and it makes another key by itself.
    let [first] = server.keys().try_into().unwrap();
    command.retire(&first.kid, false).await.unwrap();
    server.renew().await.unwrap();
    let [retired, second] = <[KnownKey; 2]>::try_from(server.keys()).unwrap();
    assert!(retired.retired_s.is_some() && second.is_here);
    let verifier = world.verifier(&server);
    assert!(verifier.verify(&token, None).is_ok());
    command.retire(&first.kid, true).await.unwrap();
    server.refresh().await.unwrap();
    world.pass_s(10);
    assert_eq!(server.keys().len(), 1);
    assert!(world.verifier(&server).verify(&token, None).is_err(), "its tokens have ended");
    assert!(command.retire("nothing", true).await.unwrap_err().to_string().contains("key list"));
    // A key that cannot be read is told, and another one signs.
    let file = world.keys.path().join(format!("{}.key", second.kid));
    std::fs::write(&file, "no key").unwrap();
    let again = world.node().await;
    assert!(again.issue_short("a", &TokenRequest::default()).is_ok());
}

#[tokio::test]
async fn keys_are_renewed_in_time_and_those_of_nodes_that_are_gone_end() {
    let world = World::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let (here, gone) = (world.node().await, world.node_in(elsewhere.path(), 2).await);
    here.create_client(client("a", &["obs:read"], Some("acme"))).await.unwrap();
    here.rotate(Algorithm::EdDsa).await.unwrap();
    let living = || here.keys().into_iter().filter(|key| key.retired_s.is_none()).collect::<Vec<_>>();
    world.pass_s(KEY_LIFE_S - 1);
    here.renew().await.unwrap();
    let [of_gone, own] = <[KnownKey; 2]>::try_from(living()).unwrap();
    assert!(!of_gone.is_here && own.is_here);
    // A token of the other node, from the last moment before it went.
    gone.refresh().await.unwrap();
    let token = gone.issue_service("a", &TokenRequest::default(), day(90)).unwrap().token;
    world.pass_s(KEY_LEAD_S + 1);
    here.renew().await.unwrap();
    let [still, renewed] = <[KnownKey; 2]>::try_from(living()).unwrap();
    assert_eq!(still, of_gone, "it may be slow");
    let is_own = here.jwks().keys.into_iter().find(|key| key.common.key_id.as_ref() == Some(&renewed.kid));
    let algorithm = is_own.and_then(|key| key.common.key_algorithm);
    assert!(renewed.is_here && renewed.kid != own.kid);
    assert_eq!(algorithm, Some(jsonwebtoken::jwk::KeyAlgorithm::EdDSA));
    world.pass_s(day(30));
    here.renew().await.unwrap();
    assert_eq!(living(), [renewed]);
    assert!(world.verifier(&here).verify(&token, None).is_ok(), "its tokens stay");
    // When it comes back it makes itself another one.
    gone.renew().await.unwrap();
    here.refresh().await.unwrap();
    assert_eq!(living().len(), 2);
    world.pass_s(day(367));
    here.renew().await.unwrap();
    assert!(here.keys().iter().all(|key| key.kid != of_gone.kid), "when no token of it can live");
}

#[tokio::test]
async fn another_name_of_the_issuer_ends_no_token() {
    let world = World::new();
    let authority = world.node().await;
    authority.create_client(client("a", &["obs:read"], Some("acme"))).await.unwrap();
    let issue = || authority.issue_service("a", &TokenRequest::default(), day(1)).unwrap().token;
    let token = issue();
    assert_eq!(authority.issuer(), "https://localhost:8440");
    for (issuer, expected) in [
        (Issuer::new(None, "https", 35_440), "https://localhost:35440"),
        (Issuer::new(Some("https://authority.example/"), "https", 1), "https://authority.example"),
        // A node that has no name for it does not take that away.
        (Issuer::new(None, "https", 8_440), "https://authority.example"),
    ] {
        authority.establish(&issuer).await.unwrap();
        assert_eq!(authority.issuer(), expected);
        let verifier = world.verifier(&authority);
        assert!(
            verifier.verify(&token, None).is_ok() && verifier.verify(&issue(), None).is_ok(),
            "{expected}"
        );
    }
}

#[tokio::test]
async fn keys_are_exchanged_and_old_tokens_stay_good() {
    let world = World::new();
    let authority = world.node().await;
    authority.create_client(client("a", &["obs:read"], Some("acme"))).await.unwrap();
    let issue = || authority.issue_service("a", &TokenRequest::default(), day(90)).unwrap().token;
    let verifier = world.verifier(&authority);
    let old = issue();
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
        let kid = authority.rotate(algorithm).await.unwrap();
        let kid_of = |token: &str| jsonwebtoken::decode_header(token).unwrap().kid;
        assert_ne!(kid_of(&issue()).as_ref(), Some(&kid), "others do not know it yet");
        world.pass_s(KEY_LEAD_S - 1);
        assert_ne!(kid_of(&issue()).as_ref(), Some(&kid));
        world.pass_s(1);
        let new = issue();
        assert_eq!(kid_of(&new).as_ref(), Some(&kid));
        assert!(verifier.verify(&new, None).is_ok(), "{algorithm:?}");
        assert!(verifier.verify(&old, None).is_ok());
    }
    assert_eq!(authority.jwks().keys.len(), 3);
    let text = serde_json::to_string(&authority.jwks()).unwrap();
    assert!(!text.contains("\"d\""), "no private key is told: {text}");
    // Another process of the node signs with the same key; another node has its own.
    let again = world.node().await;
    assert_eq!(again.jwks().keys.len(), 3);
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(world.node_in(folder.path(), 9).await.jwks().keys.len(), 4);

    world.pass_s(MAX_TOKEN_LIFE_S + 60);
    authority.rotate(Algorithm::Es256).await.unwrap();
    assert_eq!(
        authority.jwks().keys.len(),
        3,
        "what was retired long ago is gone: one per node, and the last"
    );
}

#[tokio::test]
async fn a_new_key_is_known_to_every_node_before_it_signs() {
    let world = World::new();
    let folder = tempfile::tempdir().unwrap();
    let (here, there) = (world.node().await, world.node_in(folder.path(), 2).await);
    here.create_client(client("a", &["obs:read"], Some("acme"))).await.unwrap();
    there.refresh().await.unwrap();
    let verifier = world.verifier(&there);
    let issue = || here.issue_short("a", &TokenRequest::default()).unwrap().token;
    let kid_of = |token: &str| jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
    world.pass_s(KEY_LEAD_S);
    let first = kid_of(&issue());
    // Twice, before the first of them signs: the node before goes on until then.
    let second = here.rotate(Algorithm::Es256).await.unwrap();
    world.pass_s(KEY_LEAD_S / 2);
    let third = here.rotate(Algorithm::EdDsa).await.unwrap();
    let is_published = |node: &Authority, kid: &str| token::external::has_key(&node.jwks(), kid);
    assert!(!is_published(&there, &third));
    let mut signed = vec![kid_of(&issue())];
    // What the register's pause is on every node.
    there.refresh().await.unwrap();
    assert!(is_published(&there, &second) && is_published(&there, &third));
    for _ in 0..3 {
        world.pass_s(KEY_LEAD_S / 2);
        let token = issue();
        assert!(verifier.verify(&token, None).is_ok());
        signed.push(kid_of(&token));
    }
    assert_eq!(signed, [first, second, third.clone(), third]);
    assert!(KEY_LEAD_S > 2 * i64::try_from(REGISTER_PAUSE.as_secs()).unwrap());

    // The first key of a node signs at once, and who meets a token of it looks for it.
    let folder = tempfile::tempdir().unwrap();
    let new = world.node_in(folder.path(), 3).await;
    let token = new.issue_short("a", &TokenRequest::default()).unwrap().token;
    assert_eq!(verifier.verify(&token, None), Err(TokenError::Signature));
    verifier.look_for_key(&token).expect("its key is not known").await;
    assert!(verifier.look_for_key(&token).is_none());
    assert!(verifier.verify(&token, None).is_ok());
}

#[tokio::test]
async fn a_client_that_another_node_made_is_known_when_its_first_token_comes() {
    let world = World::new();
    let folder = tempfile::tempdir().unwrap();
    let (here, there) = (world.node().await, world.node_in(folder.path(), 2).await);
    here.create_client(client("a", &["obs:read"], Some("acme"))).await.unwrap();
    there.refresh().await.unwrap();
    here.create_client(client("b", &["obs:read"], Some("acme"))).await.unwrap();
    let token = here.issue_short("b", &TokenRequest::default()).unwrap().token;
    let verifier = world.verifier(&there);
    verifier.look_for_key(&token).expect("its client is not known").await;
    assert!(verifier.verify(&token, None).is_ok());
    // One that is removed stays removed.
    here.delete_client("b").await.unwrap();
    there.refresh().await.unwrap();
    assert!(verifier.look_for_key(&token).is_none());
    assert_eq!(verifier.verify(&token, None).map(drop), Err(TokenError::Revoked));
}

#[tokio::test]
async fn changes_of_several_nodes_at_once_are_all_kept() {
    let world = World::new();
    let folder = tempfile::tempdir().unwrap();
    let nodes = [world.node().await, world.node_in(folder.path(), 2).await];
    let changes = (0..20).map(|n| {
        let node = nodes[n % 2].clone();
        tokio::spawn(async move { node.create_client(client(&format!("c{n}"), &["obs:read"], None)).await })
    });
    for change in changes.collect::<Vec<_>>() {
        change.await.unwrap().unwrap();
    }
    nodes[0].refresh().await.unwrap();
    assert_eq!(nodes[0].clients().len(), 20);
}

/// A form to a path of the port; status and JSON.
async fn post(port: &Router, path: &str, form: &str, peer: Option<&PeerCertificate>) -> (StatusCode, Value) {
    let request = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
    send(port, request.body(Body::from(form.to_owned())).unwrap(), peer).await
}

async fn send(
    port: &Router,
    mut request: Request<Body>,
    peer: Option<&PeerCertificate>,
) -> (StatusCode, Value) {
    if let Some(peer) = peer {
        request.extensions_mut().insert(Arc::new(peer.clone()));
    }
    let response = port.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

#[tokio::test]
async fn the_endpoint_gives_short_tokens_to_those_who_prove_themselves() {
    let world = World::new();
    let authority = world.node().await;
    let secret =
        authority.create_client(client("a", &["obs:read", "obs:logs"], Some("acme"))).await.unwrap().0;
    authority.create_client(client("b", &["obs:logs"], None)).await.unwrap();
    let many = Changes { allowed_tenants: Some(vec!["x".into(), "y".into()]), ..settings(&["obs:logs"]) };
    let several = authority.create_client(NewClient { name: "m".into(), settings: many }).await.unwrap().0;
    let port = http::router(&authority);
    let grant = "grant_type=client_credentials";
    let own = format!("client_id=a&client_secret={secret}");

    for path in ["/token", "/connect/token"] {
        let (status, answer) = post(&port, path, &format!("{grant}&{own}&scope=obs:read"), None).await;
        assert_eq!((status, answer["expires_in"].as_i64()), (StatusCode::OK, Some(300)), "{answer}");
        assert_eq!(answer["scope"], "obs:read");
        let identity =
            world.verifier(&authority).verify(answer["access_token"].as_str().unwrap(), None).unwrap();
        assert_eq!(identity.tenant.as_deref(), Some("acme"));
    }
    let basic = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("a:{secret}"));
    let request = Request::post("/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("authorization", format!("Basic {basic}"));
    let (status, _) = send(&port, request.body(Body::from(grant)).unwrap(), None).await;
    assert_eq!(status, StatusCode::OK);

    let refusals = [
        (format!("{grant}&client_id=a&client_secret=wrong"), 401, "invalid_client"),
        (format!("{grant}&client_id=a"), 401, "invalid_client"),
        (format!("{grant}&client_id=nobody&client_secret={secret}"), 401, "invalid_client"),
        (format!("{grant}&client_id=b&client_secret={secret}"), 401, "invalid_client"),
        (own.clone(), 400, "invalid_request"),
        (format!("grant_type=password&{own}"), 400, "unsupported_grant_type"),
        (format!("{grant}&{own}&scope=obs:admin"), 400, "invalid_scope"),
        (format!("{grant}&{own}&tenant=globex"), 400, "invalid_target"),
        (format!("{grant}&{own}&audience=other"), 400, "invalid_target"),
        (format!("{grant}&{own}&{own}"), 400, "invalid_request"),
        (format!("{grant}&{own}&client_assertion=x"), 400, "invalid_request"),
        (format!("{grant}&client_id=m&client_secret={several}"), 400, "invalid_request"),
    ];
    for (form, status, code) in refusals {
        let answer = post(&port, "/token", &form, None).await;
        assert_eq!(
            (answer.0.as_u16(), answer.1["error"].as_str()),
            (status, Some(code)),
            "{form}: {answer:?}"
        );
        assert!(!answer.1["error_description"].as_str().unwrap().is_empty());
    }
    let chosen = format!("{grant}&client_id=m&client_secret={several}&tenant=y");
    assert_eq!(post(&port, "/token", &chosen, None).await.0, StatusCode::OK);

    // What a token is good for is told to those whom it concerns, and taken back by its client alone.
    let (_, issued) = post(&port, "/token", &format!("{grant}&{own}"), None).await;
    let token = format!("{own}&token={}", issued["access_token"].as_str().unwrap());
    assert_eq!(post(&port, "/introspect", &token, None).await.1["active"], true);
    assert_eq!(
        post(&port, "/introspect", &format!("{own}&token=x.y.z"), None).await.1,
        json!({"active": false})
    );
    let foreign = token.replace(&own, &format!("client_id=m&client_secret={several}"));
    assert_eq!(post(&port, "/revoke", &foreign, None).await.1["error"], "unauthorized_client");
    assert_eq!(post(&port, "/revoke", &token, None).await.0, StatusCode::OK);
    assert_eq!(post(&port, "/introspect", &token, None).await.1, json!({"active": false}));
}

/// A pair of a development authority: the certificate and its private key.
fn pair() -> PeerCertificate {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(TimestampNs(NOW_S * NS_PER_S));
    crate::tls::dev::make(dir.path(), "dev", false, &clock).unwrap();
    crate::tls::inspect::file(&dir.path().join("client.crt")).unwrap().remove(0)
}

#[tokio::test]
async fn a_client_with_a_certificate_must_show_it_and_its_tokens_are_bound_to_it() {
    let world = World::new();
    let authority = world.node().await;
    let (own, other) = (pair(), pair());
    let settings = Changes { certificate: Some(own.thumbprint.clone()), ..settings(&["obs:read"]) };
    let secret = authority.create_client(NewClient { name: "a".into(), settings }).await.unwrap().0;
    let port = http::router(&authority);
    let by_certificate = "grant_type=client_credentials&client_id=a".to_owned();
    let by_secret = format!("{by_certificate}&client_secret={secret}");
    for form in [&by_certificate, &by_secret] {
        for (peer, expected) in [(None, 401), (Some(&other), 401), (Some(&own), 200)] {
            let (status, answer) = post(&port, "/token", form, peer).await;
            assert_eq!(status.as_u16(), expected, "{form}: {answer}");
            let Some(token) = answer["access_token"].as_str() else { continue };
            let verifier = world.verifier(&authority);
            assert!(verifier.verify(token, Some(&own.thumbprint)).is_ok());
            assert_eq!(verifier.verify(token, Some(&other.thumbprint)), Err(TokenError::Certificate));
            assert_eq!(verifier.verify(token, None), Err(TokenError::Certificate));
        }
    }
}

#[tokio::test]
async fn an_assertion_proves_a_client_once() {
    let world = World::new();
    let authority = world.node().await;
    let folder = tempfile::tempdir().unwrap();
    let key = keys::SigningKey::create(folder.path(), Algorithm::Es256).unwrap();
    let settings = Changes { keys: Some(vec![key.jwk.clone()]), ..settings(&["obs:read"]) };
    authority.create_client(NewClient { name: "a".into(), settings }).await.unwrap();
    let port = http::router(&authority);
    let claims =
        |aud: &str, exp: i64, jti: &str| json!({"iss": "a", "sub": "a", "aud": aud, "exp": exp, "jti": jti});
    let issuer = authority.issuer();
    let ask = async |key: &keys::SigningKey, claims: Value| {
        let assertion = key.sign(&claims).unwrap();
        let kind = "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
        let form = format!(
            "grant_type=client_credentials&client_assertion_type={kind}&client_assertion={assertion}"
        );
        post(&port, "/token", &form, None).await.0.as_u16()
    };
    let foreign = keys::SigningKey::create(folder.path(), Algorithm::Es256).unwrap();
    assert_eq!(ask(&foreign, claims(&issuer, NOW_S + 60, "0")).await, 401);
    assert_eq!(ask(&key, claims(&issuer, NOW_S + 60, "1")).await, 200);
    assert_eq!(ask(&key, claims(&issuer, NOW_S + 60, "1")).await, 401, "once");
    assert_eq!(ask(&key, claims("https://other", NOW_S + 60, "2")).await, 401);
    assert_eq!(ask(&key, claims(&issuer, NOW_S - 60, "3")).await, 401);
    assert_eq!(ask(&key, claims(&issuer, NOW_S + day(1), "4")).await, 401);
    assert_eq!(ask(&key, claims(&format!("{issuer}/token"), NOW_S + 60, "5")).await, 200);
    assert_eq!(ask(&key, claims(&issuer, i64::MAX, "6")).await, 401);
}

#[tokio::test]
async fn no_token_lives_longer_than_its_client_allows() {
    let world = World::new();
    let authority = world.node().await;
    let settings = Changes { max_token_life_s: Some(60), ..settings(&["obs:read"]) };
    authority.create_client(NewClient { name: "a".into(), settings }).await.unwrap();
    authority.rotate(Algorithm::default()).await.unwrap();
    let short = authority.issue_short("a", &TokenRequest::default()).unwrap();
    assert_eq!(short.claims.exp - short.claims.iat, 60);
}

#[tokio::test]
async fn operators_need_a_token_for_that() {
    let world = World::new();
    let authority = world.node().await;
    let admin =
        Changes { audience: Some(vec![http::AUDIENCE.into()]), ..settings(&[http::ADMIN_SCOPE, "obs:read"]) };
    authority.create_client(NewClient { name: "operator".into(), settings: admin }).await.unwrap();
    let token = |scopes: &[&str]| {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let request = TokenRequest { scopes, ..TokenRequest::default() };
        authority.issue_short("operator", &request).unwrap().token
    };
    let port = http::router(&authority);
    let ask = async |token: Option<&str>, method: &str, path: &str, body: Value| {
        let mut request =
            Request::builder().method(method).uri(path).header("content-type", "application/json");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        send(&port, request.body(Body::from(body.to_string())).unwrap(), None).await
    };
    let (good, weak) = (token(&[http::ADMIN_SCOPE]), token(&["obs:read"]));
    let new = json!({"name": "x", "scopes": ["obs:read"], "audience": ["observability"]});
    for (path, method) in [
        ("/admin/clients", "GET"),
        ("/admin/clients", "POST"),
        ("/admin/clients/operator", "GET"),
        ("/admin/clients/operator", "PATCH"),
        ("/admin/clients/operator", "DELETE"),
        ("/admin/clients/operator/tokens", "POST"),
        ("/admin/revocations", "POST"),
        ("/admin/keys", "POST"),
    ] {
        assert_eq!(ask(None, method, path, new.clone()).await.0, StatusCode::UNAUTHORIZED, "{method} {path}");
        assert_eq!(
            ask(Some(&weak), method, path, new.clone()).await.0,
            StatusCode::FORBIDDEN,
            "{method} {path}"
        );
    }
    let (status, made) = ask(Some(&good), "POST", "/admin/clients", new.clone()).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    assert_eq!(made["client_secret"].as_str().unwrap().len(), 64);
    assert_eq!(ask(Some(&good), "POST", "/admin/clients", new).await.0, StatusCode::CONFLICT);
    let (_, shown) = ask(Some(&good), "GET", "/admin/clients/x", Value::Null).await;
    assert_eq!(shown["scopes"], json!(["obs:read"]));
    let (_, issued) = ask(Some(&good), "POST", "/admin/clients/x/tokens", json!({"life_s": 3600})).await;
    let service = issued["access_token"].as_str().unwrap();
    assert!(world.verifier(&authority).verify(service, None).is_ok());
    let revoked = ask(Some(&good), "POST", "/admin/revocations", json!({"jti": issued["jti"]})).await;
    assert_eq!(revoked, (StatusCode::OK, json!({"jti": issued["jti"]})));
    // Nobody says of an identifier when its token ends: the revocation would be forgotten.
    let said = json!({"jti": issued["jti"], "exp": 1});
    assert_eq!(ask(Some(&good), "POST", "/admin/revocations", said).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(world.verifier(&authority).verify(service, None), Err(TokenError::Revoked));
    let changed = ask(Some(&good), "PATCH", "/admin/clients/x", json!({"description": "d"})).await;
    assert_eq!(changed.0, StatusCode::OK);
    assert_eq!(authority.client("x").unwrap().description, "d");
    assert_eq!(ask(Some(&good), "DELETE", "/admin/clients/x", Value::Null).await.0, StatusCode::NO_CONTENT);
    assert_eq!(ask(Some(&good), "GET", "/admin/clients/x", Value::Null).await.0, StatusCode::NOT_FOUND);
    assert_eq!(
        ask(Some(&good), "POST", "/admin/keys", json!({"algorithm": "EdDSA"})).await.0,
        StatusCode::CREATED
    );
    assert!(
        ask(Some(&good), "GET", "/admin/clients", Value::Null).await.0.is_success(),
        "old tokens stay good"
    );
}

#[tokio::test]
async fn guessing_and_asking_again_and_again_are_slowed_down() {
    let world = World::new();
    let authority = world.node().await;
    let secret = authority.create_client(client("a", &["obs:read"], Some("acme"))).await.unwrap().0;
    let port = http::router(&authority);
    let form = |secret: &str| format!("grant_type=client_credentials&client_id=a&client_secret={secret}");
    let mut issued = 0;
    while post(&port, "/token", &form(&secret), None).await.0 == StatusCode::OK {
        issued += 1;
    }
    assert_eq!(issued, 60, "a burst");
    world.clock.advance_ns(500_000_000);
    assert_eq!(post(&port, "/token", &form(&secret), None).await.0, StatusCode::OK, "two a second");
    world.clock.advance_ns(3_600_000_000_000);
    let mut guesses = 0;
    while post(&port, "/token", &form("guess"), None).await.0 == StatusCode::UNAUTHORIZED {
        guesses += 1;
    }
    assert_eq!(guesses, 20);
    let (status, answer) = post(&port, "/token", &form("guess"), None).await;
    assert_eq!(
        (status, &answer["error"]),
        (StatusCode::TOO_MANY_REQUESTS, &"temporarily_unavailable".into())
    );
    let said = answer["error_description"].as_str().unwrap();
    assert!(said.contains("this name and this secret"), "{said}");
    // Whoever is right passes, and keys are given out to everybody.
    assert_eq!(post(&port, "/token", &form(&secret), None).await.0, StatusCode::OK);
    for path in ["/jwks", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"] {
        let request = Request::get(path).body(Body::empty()).unwrap();
        assert_eq!(send(&port, request, None).await.0, StatusCode::OK, "{path}");
    }
    let other = form("guess").replace("client_id=a", "client_id=b");
    assert_eq!(post(&port, "/token", &other, None).await.0, StatusCode::UNAUTHORIZED, "another client");
    world.clock.advance_ns(2_000_000_000);
    assert_eq!(post(&port, "/token", &form("guess"), None).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_client_of_many_assertions_keeps_no_other_from_being_taken() {
    let world = World::new();
    let authority = world.node().await;
    let folder = tempfile::tempdir().unwrap();
    let key = keys::SigningKey::create(folder.path(), Algorithm::EdDsa).unwrap();
    for name in ["a", "b"] {
        let settings = Changes { keys: Some(vec![key.jwk.clone()]), ..settings(&["obs:read"]) };
        authority.create_client(NewClient { name: name.into(), settings }).await.unwrap();
    }
    let port = http::router(&authority);
    let issuer = authority.issuer();
    let kind = "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
    let ask = async |client: &str, jti: &str| {
        let claims = json!({"iss": client, "sub": client, "aud": issuer, "exp": NOW_S + 500, "jti": jti});
        let assertion = key.sign(&claims).unwrap();
        let form = format!("client_assertion_type={kind}&client_assertion={assertion}&token=x.y.z");
        let (status, answer) = post(&port, "/introspect", &form, None).await;
        (status.as_u16(), answer["error_description"].as_str().unwrap_or_default().to_owned())
    };
    for n in 0..crate::bounds::MAX_CLIENT_ASSERTIONS {
        assert_eq!(ask("a", &n.to_string()).await.0, 200, "{n}");
    }
    let (status, said) = ask("a", "another").await;
    assert!(status == 429 && said.contains("too many assertions"), "{status} {said}");
    let (status, said) = ask("a", "0").await;
    assert!(status == 401 && said.contains("used before"), "{status} {said}");
    assert_eq!(ask("b", &"x".repeat(8_000)).await.0, 200, "the first of another client");
}
