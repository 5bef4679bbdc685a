//! A manifest: bytes that are none are damage, and so is JSON with a checksum that fits but with other content; the
//! engine opens all the same.
#![cfg_attr(feature = "libfuzzer", no_main)]

use std::sync::Arc;

use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};
use storage::Checksum;
use storage::verify::Verification;

stella_fuzz::target!(|json: &[u8]| {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts");
    runtime.block_on(async {
        let store = Arc::new(InMemory::new());
        let mut whole = [json, b",\n  \"xxh3\": \""].concat();
        let checksum = Checksum::of(&whole).to_string();
        whole.extend_from_slice(checksum.as_bytes());
        whole.extend_from_slice(b"\"\n}\n");
        for (version, bytes) in [(1, json.to_vec()), (2, whole)] {
            let path = format!("tenants/a/logs/manifest/{version:020}.json");
            store.put(&path.as_str().into(), bytes.into()).await.expect("memory takes objects");
        }
        let store: Arc<dyn ObjectStore> = store;
        let verification = Verification { store, data_dir: None, tenant: None, signal: None };
        // A version from the future stops nobody here: it is reported.
        let report = verification.run().await.expect("memory answers");
        assert!(report.damaged > 0);
    });
});
