//! What a request shows of its identity: headers and tokens of every kind are read or refused, and nobody who proves
//! nothing acts for a tenant.
#![cfg_attr(feature = "libfuzzer", no_main)]

use std::sync::{Arc, OnceLock};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use model::Origins;
use model::audit::Audit;
use model::limits::{Limits, SameLimits};
use model::time::{ManualClock, TimestampNs};
use security::authority::{Authority, Parts};
use security::gateway::{Asking, Gateway};
use security::host::Hosts;
use security::identity::Identities;
use security::origin;
use security::scopes::Door;
use security::token::{self, Verifier};

fn parts() -> &'static (Authority, Gateway) {
    static PARTS: OnceLock<(Authority, Gateway)> = OnceLock::new();
    PARTS.get_or_init(|| {
        let clock = Arc::new(ManualClock::new(TimestampNs(1_800_000_000_000_000_000)));
        let parts = Parts {
            objects: Arc::new(object_store::memory::InMemory::new()),
            keys: "no-keys".into(),
            clock: clock.clone(),
            seed: [7; 32],
            audit: Audit::default(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without I/O");
        let authority = runtime.block_on(Authority::open(parts)).expect("an empty store is one");
        let verifier = Verifier::new(authority.clone(), Vec::new(), ["observability".to_owned()], clock);
        let identities = Identities::new(verifier, Vec::new(), false).expect("no rule is wrong");
        let limits = Arc::new(SameLimits(Arc::new(Limits::default())));
        (authority, Gateway::new(identities, None, limits, Audit::default()))
    })
}

stella_fuzz::target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = token::own(&parts().0, text);
    }
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(64) {
        let mut halves = line.splitn(2, |byte| *byte == b':');
        let name = halves.next().and_then(|name| HeaderName::from_bytes(name).ok());
        let value = halves.next().and_then(|value| HeaderValue::from_bytes(value).ok());
        if let (Some(name), Some(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let asking = Asking {
        door: Door::Loki,
        method: &Method::GET,
        path: "/loki/api/v1/labels",
        authority: None,
        headers: &headers,
        peer: None,
        source: None,
        still_taken: None,
    };
    assert!(parts().1.access(&asking).context(None).is_err());
    let _foreign =
        (Hosts::new([]).foreign(&headers, None), origin::foreign(&headers, None, &Origins::default()));
});
