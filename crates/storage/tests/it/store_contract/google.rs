//! A Google Cloud Storage server for tests: the part of its XML API that stores speak, in memory. Objects have
//! generations, `x-goog-if-generation-match` is honoured atomically, listings have pages, uploads have parts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;

use crate::emulators::BUCKET;

/// Objects in a page of a listing, as the original has it.
const PAGE: usize = 1_000;
/// The date of every object.
const DATE: &str = "2026-01-31T12:00:00.000Z";
const HTTP_DATE: &str = "Sat, 31 Jan 2026 12:00:00 GMT";

#[derive(Clone)]
struct Object {
    bytes: Bytes,
    generation: u64,
}

#[derive(Default)]
struct Server {
    objects: BTreeMap<String, Object>,
    uploads: BTreeMap<String, BTreeMap<usize, Bytes>>,
    generations: u64,
}

type Shared = Arc<Mutex<Server>>;

/// The port of the server, which runs on a thread of its own until the tests are over.
pub(crate) fn google() -> u16 {
    static PORT: OnceLock<u16> = OnceLock::new();
    *PORT.get_or_init(|| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let router = Router::new().fallback(answer).layer(DefaultBodyLimit::disable());
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, router.with_state(Shared::default())).await.unwrap();
            });
        });
        port
    })
}

fn decoded(text: &str) -> String {
    // A plus stands for itself in a path.
    let pair = format!("k={}", text.replace('+', "%2B"));
    url::form_urlencoded::parse(pair.as_bytes()).next().unwrap().1.into_owned()
}

async fn answer(
    State(server): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path().trim_start_matches('/');
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    if decoded(bucket) != BUCKET {
        return error(StatusCode::NOT_FOUND, "NoSuchBucket");
    }
    let key = decoded(key);
    let query: BTreeMap<String, String> =
        url::form_urlencoded::parse(uri.query().unwrap_or("").as_bytes()).into_owned().collect();
    let mut server = server.lock();
    match (method.as_str(), query.get("uploadId")) {
        ("GET", _) if key.is_empty() => list(&server, &query),
        ("GET" | "HEAD", _) => get(&server, &key, &headers),
        ("PUT", Some(upload)) => put_part(&mut server, upload, &query, body),
        ("PUT", None) => put(&mut server, &key, &headers, body),
        ("POST", None) => create_upload(&mut server),
        ("POST", Some(upload)) => complete(&mut server, &key, upload, &body),
        ("DELETE", Some(upload)) => match server.uploads.remove(upload) {
            Some(_) => StatusCode::NO_CONTENT.into_response(),
            None => error(StatusCode::NOT_FOUND, "NoSuchUpload"),
        },
        ("DELETE", None) => match server.objects.remove(&key) {
            Some(_) => StatusCode::NO_CONTENT.into_response(),
            None => error(StatusCode::NOT_FOUND, "NoSuchKey"),
        },
        _ => error(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
    }
}

fn error(status: StatusCode, code: &str) -> Response {
    (status, format!("<?xml version='1.0'?><Error><Code>{code}</Code></Error>")).into_response()
}

fn etag(object: &Object) -> String {
    format!("\"{:016x}\"", object.generation)
}

fn describe(response: &mut Response, object: &Object) {
    let headers = response.headers_mut();
    headers.insert(header::ETAG, HeaderValue::from_str(&etag(object)).unwrap());
    headers.insert(header::LAST_MODIFIED, HeaderValue::from_static(HTTP_DATE));
    headers.insert("x-goog-generation", HeaderValue::from(object.generation));
}

fn store(server: &mut Server, key: &str, bytes: Bytes) -> Object {
    server.generations += 1;
    let object = Object { bytes, generation: server.generations };
    server.objects.insert(key.to_owned(), object.clone());
    object
}

fn put(server: &mut Server, key: &str, headers: &HeaderMap, body: Bytes) -> Response {
    if let Some(wanted) = headers.get("x-goog-if-generation-match") {
        let wanted: u64 = wanted.to_str().unwrap().parse().unwrap();
        if server.objects.get(key).map_or(0, |object| object.generation) != wanted {
            return error(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
        }
    }
    let bytes = match headers.get("x-goog-copy-source") {
        None => body,
        Some(source) => {
            let source = decoded(source.to_str().unwrap());
            let source = source.split_once('/').map(|(_, key)| key.to_owned()).unwrap_or_default();
            match server.objects.get(&source) {
                Some(object) => object.bytes.clone(),
                None => return error(StatusCode::NOT_FOUND, "NoSuchKey"),
            }
        }
    };
    let object = store(server, key, bytes);
    let mut response = StatusCode::OK.into_response();
    describe(&mut response, &object);
    response
}

/// The range of a `Range` header, within the size; none where it cannot be satisfied.
fn range(header: &str, size: u64) -> Option<Range<u64>> {
    let (first, last) = header.strip_prefix("bytes=")?.split_once('-')?;
    let range = match (first, last) {
        ("", suffix) => size.saturating_sub(suffix.parse().ok()?)..size,
        (first, "") => first.parse().ok()?..size,
        (first, last) => first.parse().ok()?..size.min(last.parse::<u64>().ok()? + 1),
    };
    (range.start < range.end).then_some(range)
}

fn get(server: &Server, key: &str, headers: &HeaderMap) -> Response {
    let Some(object) = server.objects.get(key) else { return error(StatusCode::NOT_FOUND, "NoSuchKey") };
    if headers.get(header::IF_MATCH).is_some_and(|wanted| wanted.as_bytes() != etag(object).as_bytes()) {
        return error(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
    }
    let size = object.bytes.len() as u64;
    let mut response = match headers.get(header::RANGE) {
        None => object.bytes.clone().into_response(),
        Some(wanted) => {
            let Some(range) = range(wanted.to_str().unwrap(), size) else {
                return error(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange");
            };
            let bytes = object.bytes.slice(range.start as usize..range.end as usize);
            let mut response = (StatusCode::PARTIAL_CONTENT, bytes).into_response();
            let value = format!("bytes {}-{}/{size}", range.start, range.end - 1);
            response.headers_mut().insert(header::CONTENT_RANGE, value.parse().unwrap());
            response
        }
    };
    describe(&mut response, object);
    response
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn list(server: &Server, query: &BTreeMap<String, String>) -> Response {
    let word = |name: &str| query.get(name).map_or("", String::as_str);
    let (prefix, delimiter) = (word("prefix"), word("delimiter"));
    let after = word("start-after").max(word("continuation-token"));
    let page = query.get("max-keys").map_or(PAGE, |keys| keys.parse().unwrap());
    let (mut contents, mut folders) = (String::new(), BTreeMap::new());
    let (mut taken, mut last, mut is_truncated) = (0, "", false);
    for (key, object) in &server.objects {
        let Some(rest) = key.strip_prefix(prefix) else { continue };
        if key.as_str() <= after || folders.keys().any(|folder: &String| key.starts_with(folder)) {
            continue;
        }
        if taken == page {
            is_truncated = true;
            break;
        }
        taken += 1;
        last = key;
        match (!delimiter.is_empty()).then(|| rest.find(delimiter)).flatten() {
            Some(at) => {
                folders.insert(format!("{prefix}{}", &rest[..at + delimiter.len()]), ());
            }
            None => {
                write!(
                    contents,
                    "<Contents><Key>{}</Key><Size>{}</Size><LastModified>{DATE}</LastModified><ETag>{}</ETag></Contents>",
                    escaped(key),
                    object.bytes.len(),
                    etag(object)
                )
                .unwrap();
            }
        }
    }
    // After a folder its contents must not come again.
    let token = folders
        .keys()
        .rfind(|folder| last.starts_with(*folder))
        .map_or(last.to_owned(), |f| format!("{f}\u{10ffff}"));
    let mut xml =
        format!("<?xml version='1.0'?><ListBucketResult><IsTruncated>{is_truncated}</IsTruncated>{contents}");
    for folder in folders.keys() {
        write!(xml, "<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", escaped(folder)).unwrap();
    }
    if is_truncated {
        write!(xml, "<NextContinuationToken>{}</NextContinuationToken>", escaped(&token)).unwrap();
    }
    xml.push_str("</ListBucketResult>");
    xml.into_response()
}

fn create_upload(server: &mut Server) -> Response {
    server.generations += 1;
    let upload = format!("upload-{}", server.generations);
    server.uploads.insert(upload.clone(), BTreeMap::new());
    format!("<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>")
        .into_response()
}

fn put_part(server: &mut Server, upload: &str, query: &BTreeMap<String, String>, body: Bytes) -> Response {
    let Some(parts) = server.uploads.get_mut(upload) else {
        return error(StatusCode::NOT_FOUND, "NoSuchUpload");
    };
    let number: usize = query["partNumber"].parse().unwrap();
    parts.insert(number, body);
    let mut response = StatusCode::OK.into_response();
    response.headers_mut().insert(header::ETAG, format!("\"part-{number}\"").parse().unwrap());
    response
}

fn complete(server: &mut Server, key: &str, upload: &str, body: &Bytes) -> Response {
    let Some(parts) = server.uploads.remove(upload) else {
        return error(StatusCode::NOT_FOUND, "NoSuchUpload");
    };
    let named = String::from_utf8_lossy(body).matches("<PartNumber>").count();
    if named != parts.len() {
        return error(StatusCode::BAD_REQUEST, "InvalidPart");
    }
    let bytes: Vec<u8> = parts.into_values().flatten().collect();
    let object = store(server, key, bytes.into());
    let xml = format!(
        "<CompleteMultipartUploadResult><ETag>{}</ETag></CompleteMultipartUploadResult>",
        etag(&object).replace('"', "&quot;")
    );
    let mut response = xml.into_response();
    describe(&mut response, &object);
    response
}
