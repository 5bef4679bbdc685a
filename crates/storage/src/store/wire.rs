//! The requests that really go out: each is counted with its tenant, and a reply that says nothing about the request
//! (the server is busy or broken) becomes an error that is tried again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use http::{Method, StatusCode, header};
use memchr::memmem;
use model::{Clock, TenantId};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
    ReqwestConnector,
};

use crate::bounds::MAX_STORE_REPLY_BYTES;
use crate::layout;
use crate::metrics::{Operation, Request, StoreMetrics};

/// What is shown of an error's body.
const SHOWN_BYTES: usize = 300;

/// How requests are told apart and counted.
#[derive(Clone)]
pub(super) struct Meter {
    /// Host and port of the store; requests to others fetch credentials.
    pub(super) authority: String,
    /// What a path has before `tenants/`: the prefix with its slash, or nothing.
    pub(super) prefix: String,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<StoreMetrics>,
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").field("authority", &self.authority).finish_non_exhaustive()
    }
}

impl HttpConnector for Meter {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let inner = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Wire { inner, meter: self.clone() }))
    }
}

#[derive(Debug)]
struct Wire {
    inner: HttpClient,
    meter: Meter,
}

/// A reply that is no answer to the request.
#[derive(Debug, thiserror::Error)]
#[error("the server cannot answer now: status={status}: {text}")]
struct Busy {
    status: StatusCode,
    text: String,
}

#[async_trait]
impl HttpService for Wire {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let meter = &self.meter;
        let operation = meter.operation(&request);
        let tenant = meter.tenant(&request);
        let sent_bytes = request.body().content_length() as u64;
        let is_head = request.method() == Method::HEAD;
        let start_ns = meter.clock.monotonic_ns();
        let result = self.inner.execute(request).await;
        let elapsed = Duration::from_nanos(meter.clock.monotonic_ns().saturating_sub(start_ns));
        let received_bytes = match &result {
            Ok(response) if !is_head => content_length(response),
            _ => 0,
        };
        meter.metrics.count_request(Request { operation, tenant, sent_bytes, received_bytes, elapsed });
        let result = match result {
            Ok(response) => answer(operation, response).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &result {
            meter.metrics.count_failure(operation, reason(error));
        }
        result
    }
}

fn content_length(response: &HttpResponse) -> u64 {
    let length = response.headers().get(header::CONTENT_LENGTH);
    length.and_then(|length| length.to_str().ok()?.parse().ok()).unwrap_or(0)
}

fn reason(error: &HttpError) -> &'static str {
    use std::error::Error as _;
    if error.source().is_some_and(|source| source.is::<Busy>()) {
        return "busy";
    }
    match error.kind() {
        HttpErrorKind::Connect => "connect",
        HttpErrorKind::Timeout => "timeout",
        _ => "transport",
    }
}

/// Tells answers from what is none.
async fn answer(operation: Operation, response: HttpResponse) -> Result<HttpResponse, HttpError> {
    let status = response.status();
    let is_busy = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
        || (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED);
    // A conflict may be one with another request that is under way and may yet fail; and what S3 cannot finish after it
    // has begun to reply it says in the body of a success.
    let may_be_busy = status == StatusCode::CONFLICT
        || (status == StatusCode::OK && matches!(operation, Operation::CompleteMultipart | Operation::Copy));
    if !is_busy && !may_be_busy {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let body = limited(body.bytes_stream()).await?;
    let says = |word: &str| memmem::find(&body, word.as_bytes()).is_some();
    if is_busy
        || (status == StatusCode::CONFLICT
            && (says("ConditionalRequestConflict") || says("OperationAborted")))
        || (status == StatusCode::OK && says("<Error>"))
    {
        let text = String::from_utf8_lossy(&body[..body.len().min(SHOWN_BYTES)]).into_owned();
        return Err(HttpError::new(HttpErrorKind::Interrupted, Busy { status, text }));
    }
    Ok(HttpResponse::from_parts(parts, body.into()))
}

/// A body of at most [`MAX_STORE_REPLY_BYTES`]; the rest is left.
async fn limited(
    mut body: futures::stream::BoxStream<'static, Result<Bytes, HttpError>>,
) -> Result<Bytes, HttpError> {
    let mut read = Vec::new();
    while let Some(bytes) = body.next().await {
        let bytes = bytes?;
        read.extend_from_slice(&bytes[..bytes.len().min(MAX_STORE_REPLY_BYTES - read.len())]);
        if read.len() == MAX_STORE_REPLY_BYTES {
            break;
        }
    }
    Ok(read.into())
}

impl Meter {
    fn operation(&self, request: &HttpRequest) -> Operation {
        let uri = request.uri();
        if uri.authority().is_none_or(|authority| authority.as_str() != self.authority) {
            return Operation::Credentials;
        }
        let query = uri.query().unwrap_or("");
        let has = |name: &str| url::form_urlencoded::parse(query.as_bytes()).any(|(key, _)| key == name);
        let component = url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "comp");
        let component = component.as_ref().map_or("", |(_, value)| &**value);
        let copies = ["x-amz-copy-source", "x-goog-copy-source", "x-ms-copy-source"];
        match *request.method() {
            Method::HEAD => Operation::Head,
            Method::GET if has("list-type") || component == "list" => Operation::List,
            Method::GET => Operation::Get,
            Method::PUT if has("partNumber") || component == "block" => Operation::PutPart,
            Method::PUT if component == "blocklist" => Operation::CompleteMultipart,
            Method::PUT if copies.iter().any(|name| request.headers().contains_key(*name)) => Operation::Copy,
            Method::PUT => Operation::Put,
            Method::POST if has("uploads") => Operation::CreateMultipart,
            Method::POST if has("uploadId") => Operation::CompleteMultipart,
            Method::DELETE if has("uploadId") => Operation::AbortMultipart,
            _ => Operation::Delete,
        }
    }

    /// The tenant whose object the request names: in its path, in a listing's prefix, or first of many in its body.
    fn tenant(&self, request: &HttpRequest) -> Option<TenantId> {
        let uri = request.uri();
        let query = uri.query().unwrap_or("");
        let listed = url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "prefix");
        let listed = listed.and_then(|(_, prefix)| self.tenant_in(prefix.as_bytes()));
        let named = || self.tenant_in(&percent_decoded(uri.path()));
        let in_body =
            || (*request.method() == Method::POST).then(|| self.tenant_in(request.body().as_bytes()?))?;
        listed.or_else(named).or_else(in_body)
    }

    fn tenant_in(&self, text: &[u8]) -> Option<TenantId> {
        let marker = format!("{}{}/", self.prefix, layout::tenants());
        let starts = memmem::find_iter(text, marker.as_bytes());
        let mut whole =
            starts.filter(|at| at.checked_sub(1).is_none_or(|before| b"/>".contains(&text[before])));
        let rest = &text[whole.next()? + self.prefix.len()..];
        let is_end = |byte: &u8| b"<? \r".contains(byte);
        let path = &rest[..rest.iter().position(is_end).unwrap_or(rest.len())];
        let path =
            object_store::path::Path::parse(std::str::from_utf8(path).ok()?.trim_end_matches('/')).ok()?;
        layout::tenant_of(&path)
    }
}

/// The bytes that a path of a URL stands for.
fn percent_decoded(path: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digit = |at: usize| char::from(*after.get(at)?).to_digit(16);
        match (byte, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                rest = &after[2..];
            }
            _ => {
                decoded.push(byte);
                rest = after;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use model::time::{ManualClock, TimestampNs};
    use object_store::client::HttpRequestBody;

    use super::*;

    fn meter(prefix: &str) -> Meter {
        Meter {
            authority: "store:9000".to_owned(),
            prefix: prefix.to_owned(),
            clock: Arc::new(ManualClock::new(TimestampNs(0))),
            metrics: Arc::default(),
        }
    }

    fn request(line: &str, header: &'static str, body: &str) -> HttpRequest {
        let (method, uri) = line.split_once(' ').unwrap();
        let mut builder = ::http::Request::builder().method(method).uri(uri);
        if !header.is_empty() {
            builder = builder.header(header, "x");
        }
        builder.body(HttpRequestBody::from(body.to_owned())).unwrap()
    }

    #[test]
    fn requests_of_three_protocols_are_told_apart() {
        let meter = meter("");
        for (line, header, wanted) in [
            ("GET http://store:9000/b/tenants/a/x", "", "get"),
            ("HEAD http://store:9000/b/tenants/a/x", "", "head"),
            ("GET http://store:9000/b?list-type=2&prefix=tenants%2Fa%2F", "", "list"),
            ("GET http://store:9000/c?restype=container&comp=list", "", "list"),
            ("PUT http://store:9000/b/tenants/a/x", "", "put"),
            ("PUT http://store:9000/b/x", "x-amz-copy-source", "copy"),
            ("PUT http://store:9000/b/x", "x-goog-copy-source", "copy"),
            ("PUT http://store:9000/b/x", "x-ms-copy-source", "copy"),
            ("PUT http://store:9000/b/x?partNumber=1&uploadId=u", "", "put_part"),
            ("PUT http://store:9000/c/x?comp=block&blockid=1", "", "put_part"),
            ("PUT http://store:9000/c/x?comp=blocklist", "", "complete_multipart"),
            ("POST http://store:9000/b/x?uploads=", "", "create_multipart"),
            ("POST http://store:9000/b/x?uploadId=u", "", "complete_multipart"),
            ("DELETE http://store:9000/b/x?uploadId=u", "", "abort_multipart"),
            ("DELETE http://store:9000/b/x", "", "delete"),
            ("POST http://store:9000/b?delete", "", "delete"),
            ("POST http://store:9000/c?restype=container&comp=batch", "", "delete"),
            ("POST http://sts/", "", "credentials"),
        ] {
            assert_eq!(meter.operation(&request(line, header, "")).to_string(), wanted, "{line}");
        }
    }

    #[test]
    fn requests_belong_to_the_tenant_whose_objects_they_name() {
        let xml = "<Delete><Object><Key>p/q/tenants/ac%2Ame/logs/x</Key></Object></Delete>";
        let batch = "--b\r\nDELETE /c/p/q/tenants/acme/logs/x? HTTP/1.1\r\n";
        for (prefix, line, body, wanted) in [
            ("", "GET http://store:9000/b/tenants/acme/logs/x", "", Some("acme")),
            ("", "GET http://store:9000/b/tenants%2Fac%252Ame%2Flogs", "", Some("ac*me")),
            ("", "GET http://store:9000/b?prefix=tenants%2Facme%2Flogs%2F&list-type=2", "", Some("acme")),
            ("", "GET http://store:9000/b?prefix=tenants%2F&list-type=2", "", None),
            ("", "GET http://store:9000/b/other/x", "", None),
            ("", "GET http://store:9000/b/mytenants/acme/x", "", None),
            ("p/q/", "GET http://store:9000/b/p/q/tenants/acme/logs/x", "", Some("acme")),
            ("p/q/", "GET http://store:9000/b/tenants/acme/logs/x", "", None),
            ("p/q/", "POST http://store:9000/b?delete", xml, Some("ac*me")),
            ("p/q/", "POST http://store:9000/c?comp=batch", batch, Some("acme")),
            ("", "PUT http://store:9000/b/x", "tenants/acme/logs", None),
        ] {
            let tenant = meter(prefix).tenant(&request(line, "", body));
            assert_eq!(tenant.as_ref().map(TenantId::as_str), wanted, "{line}");
        }
    }
}
