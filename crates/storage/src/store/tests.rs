//! Addresses are understood, and what is missing for a store of others is said at once, without asking anybody.

use model::time::{ManualClock, TimestampNs};

use super::config::{Address, BucketKind, StoreConfig};
use super::*;

fn open(config: &StoreConfig, environment: &[(&str, &str)]) -> Result<Store, StorageError> {
    let environment =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let clock = Arc::new(ManualClock::new(TimestampNs(0)));
    Store::open(config, &StoreParts { clock, seed: 1, environment })
}

#[test]
fn addresses_name_stores_or_are_refused_with_the_alternatives() {
    let bucket =
        |kind, prefix: &str| Address::Bucket { kind, bucket: "b.c-d".to_owned(), prefix: prefix.to_owned() };
    for (url, wanted) in [
        ("memory://", Address::Memory),
        ("memory:///", Address::Memory),
        ("file:///a/b", Address::Folder("/a/b".into())),
        ("file://./a", Address::Folder("./a".into())),
        ("a/b", Address::Folder("a/b".into())),
        ("s3://b.c-d", bucket(BucketKind::S3, "")),
        ("s3://b.c-d/", bucket(BucketKind::S3, "")),
        ("gs://b.c-d/p/q", bucket(BucketKind::Google, "p/q")),
        ("az://b.c-d/p/", bucket(BucketKind::Azure, "p")),
    ] {
        assert_eq!(Address::parse(url).unwrap(), wanted, "{url}");
    }
    for url in ["", "file://", "http://x", "s3://", "s3:///p", "s3://key:secret@b", "gs://b?x", "az://b/c//d"]
    {
        let error = Address::parse(url).unwrap_err().to_string();
        assert!(error.contains("s3://bucket") && error.contains(&format!("`{url}`")), "{error}");
    }
}

#[test]
fn what_is_missing_is_said_without_asking_anybody() {
    let keys =
        [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "s3cr3t"), ("AWS_REGION", "eu-north-1")];
    let azure = [("AZURE_STORAGE_ACCOUNT_NAME", "acme"), ("AZURE_STORAGE_ACCOUNT_KEY", "czNjcjN0")];
    let plain = [keys[0], keys[1], ("AWS_ENDPOINT_URL", "http://minio:9000")];
    let connection = [("AZURE_STORAGE_CONNECTION_STRING", "AccountName=acme;AccountKey=czNjcjN0")];
    for (url, environment, wanted) in [
        ("s3://b", &keys[..], Ok(())),
        ("s3://b", &keys[..2], Err("AWS_REGION")),
        ("s3://b", &keys[1..], Err("store.credentials_file")),
        ("s3://b", &[("AWS_REGION", "x")], Err("store.instance_metadata")),
        ("s3://b", &plain, Err("store.allow_http")),
        ("s3://b", &[plain[0], plain[1], plain[2], ("AWS_ALLOW_HTTP", "true")], Ok(())),
        ("s3://b", &[keys[0], keys[1], ("AWS_ENDPOINT_URL", "ftp://x")], Err("neither")),
        ("gs://b", &[], Err("GOOGLE_APPLICATION_CREDENTIALS")),
        ("gs://b", &[("GOOGLE_APPLICATION_CREDENTIALS", "absent.json")], Err("cannot be used")),
        ("az://b", &azure, Ok(())),
        ("az://b", &connection, Ok(())),
        ("az://b", &azure[..1], Err("AZURE_STORAGE_ACCOUNT_KEY")),
        ("az://b", &azure[1..], Err("store.account")),
    ] {
        let opened = open(&StoreConfig::new(url), environment).map(|_| ());
        match (opened, wanted) {
            (Ok(()), Ok(())) => {}
            (Err(error), Err(word)) => {
                let text = error.to_string();
                assert!(text.contains(word) && text.contains(url) && !text.contains("s3cr3t"), "{text}");
            }
            (opened, wanted) => panic!("{url} {environment:?}: {opened:?}, not {wanted:?}"),
        }
    }
    let asks =
        StoreConfig { instance_metadata: true, region: Some("x".to_owned()), ..StoreConfig::new("s3://b") };
    assert!(open(&asks, &[]).is_ok(), "the operator wants the metadata service to be asked");
}

#[test]
fn certificates_are_read_or_the_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, "no certificate").unwrap();
    let config = StoreConfig { ca_file: Some(path), anonymous: true, ..StoreConfig::new("gs://b") };
    let error = open(&config, &[]).unwrap_err().to_string();
    assert!(error.contains("ca_file"), "{error}");
    let config = StoreConfig { ca_file: Some(folder.path().join("absent.pem")), ..config };
    let error = open(&config, &[]).unwrap_err().to_string();
    assert!(error.contains("absent.pem"), "{error}");
}
