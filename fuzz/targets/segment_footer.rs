//! A segment's file: whatever its footer says, looking at it ends with a report or an error.
#![cfg_attr(feature = "libfuzzer", no_main)]

use model::{Signal, TenantId};
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use storage::inspect::inspect_segment;

const ID: &str = "01J9Z3W6E8R4T2Y0V7X5A1B3C8";

stella_fuzz::target!(|bytes: &[u8]| {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime starts");
    runtime.block_on(async {
        let store = InMemory::new();
        let path = format!("tenants/a/logs/segments/2026-01-31/{ID}.parquet");
        store.put(&path.as_str().into(), bytes.to_vec().into()).await.expect("memory takes objects");
        let tenant = TenantId::parse("a").expect("a tenant's name");
        let _either = inspect_segment(&store, &tenant, Signal::Logs, ID).await;
    });
});
