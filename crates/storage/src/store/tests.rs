//! Addresses are understood, and a folder keeps the promises that manifests rely on.

use futures::TryStreamExt;
use object_store::ObjectStoreExt;

use super::*;

#[test]
fn addresses_name_stores_or_are_refused_with_the_alternatives() {
    let dir = tempfile::tempdir().unwrap();
    let inside = |name: &str| dir.path().join(name).display().to_string();
    for url in
        ["memory://".to_owned(), "memory:///".to_owned(), format!("file://{}", inside("a")), inside("b/c")]
    {
        assert!(open_store(&url).is_ok(), "{url}");
    }
    for url in ["s3://bucket/prefix", "gs://x", "file://", "", "http://x"] {
        let error = open_store(url).unwrap_err().to_string();
        assert!(error.contains("memory://") && error.contains(&format!("`{url}`")), "{error}");
    }
}

#[tokio::test]
async fn every_store_creates_once_and_lists_what_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    for store in [open_store("memory://").unwrap(), open_store(dir.path().to_str().unwrap()).unwrap()] {
        let path = Path::from("tenants/a/logs/manifest/1.json");
        let create = || PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        store.put_opts(&path, "one".into(), create()).await.unwrap();
        let again = store.put_opts(&path, "two".into(), create()).await;
        assert!(matches!(again, Err(object_store::Error::AlreadyExists { .. })), "{again:?}");
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "one");
        store.put(&path, "three".into()).await.unwrap();
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "three");
        let listed: Vec<_> = store.list(None).try_collect().await.unwrap();
        assert!(listed.len() == 1 && listed[0].location == path, "{listed:?}");
        store.delete(&path).await.unwrap();
        assert!(matches!(store.get(&path).await, Err(object_store::Error::NotFound { .. })));
    }
}
