//! The parameters of a request: those of the address and those of a form, under one roof.
//!
//! As in Go's `net/http`, which the originals use: a form's parameters stand before the address', and only POST,
//! PUT and PATCH have a form.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, Method};
use model::TenantContext;
use model::tenant::{Access, Refusal};
use url::form_urlencoded;

use crate::bounds::MAX_FORM_BYTES;
use crate::error::ApiError;

/// Pairs of names and values, in the order in which they count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parameters {
    pairs: Vec<(String, String)>,
}

impl Parameters {
    /// Reads an address' query and a form.
    pub(crate) fn parse(query: &str, form: &[u8]) -> Self {
        let form = form_urlencoded::parse(form);
        let pairs = form.chain(form_urlencoded::parse(query.as_bytes()));
        Self { pairs: pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect() }
    }

    /// The first value of a name; an empty value counts as none.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let first = self.pairs.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        first.filter(|value| !value.is_empty())
    }

    /// Every name with its value.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// All values of a name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// What a handler needs of a request.
pub(crate) struct Asked {
    /// Whose data it is about.
    pub(crate) context: TenantContext,
    /// What is asked for.
    pub(crate) parameters: Parameters,
    /// The headers, for what a client accepts.
    pub(crate) headers: HeaderMap,
}

impl Asked {
    /// Reads a request, the tenant first.
    ///
    /// # Errors
    /// The gateway's refusal, or a form over its bound.
    pub(crate) async fn read(request: Request) -> Result<Self, ApiError> {
        Self::read_of(request, &[FORM]).await
    }

    /// As [`Asked::read`]; the body may also be the text of the `query`, or a JSON object of parameters.
    ///
    /// # Errors
    /// The gateway's refusal, or a body over its bound or of another form than it says.
    pub(crate) async fn read_or_text(request: Request) -> Result<Self, ApiError> {
        Self::read_of(request, &[FORM, "application/sql", "text/plain", "application/json"]).await
    }

    async fn read_of(request: Request, types: &[&str]) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let context = context(&parts)?;
        let (essence, body) = read_body(&parts, body, types).await?;
        let query = parts.uri.query().unwrap_or_default();
        let mut parameters = match essence.eq_ignore_ascii_case(FORM) {
            true => Parameters::parse(query, &body),
            false => Parameters::parse(query, &[]),
        };
        let said = text_parameters(&essence, &body)?;
        parameters.pairs.splice(0..0, said);
        Ok(Self { context, parameters, headers: parts.headers })
    }
}

/// The content type of forms.
const FORM: &str = "application/x-www-form-urlencoded";

/// What a body that is no form says.
fn text_parameters(essence: &str, body: &[u8]) -> Result<Vec<(String, String)>, ApiError> {
    let text = || {
        let text = std::str::from_utf8(body);
        text.map_err(|error| ApiError::Request(format!("request body is not text: {error}")))
    };
    if essence.eq_ignore_ascii_case("application/json") {
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text()?)
            .map_err(|error| ApiError::Request(format!("request body is not a JSON object: {error}")))?;
        let pairs = object.into_iter().filter(|(_, value)| !value.is_null());
        return Ok(pairs
            .map(|(name, value)| match value {
                serde_json::Value::String(text) => (name, text),
                other => (name, other.to_string()),
            })
            .collect());
    }
    if essence.eq_ignore_ascii_case("application/sql") || essence.eq_ignore_ascii_case("text/plain") {
        return Ok(vec![("query".to_owned(), text()?.to_owned())]);
    }
    Ok(Vec::new())
}

/// A request that did not come through the gateway names nobody.
pub(crate) fn context(parts: &Parts) -> Result<TenantContext, Refusal> {
    parts.extensions.get::<Access>().ok_or(Refusal::TenantRequired)?.context(None)
}

/// The body and its content type, where it is one of these.
async fn read_body(parts: &Parts, body: Body, types: &[&str]) -> Result<(String, Vec<u8>), ApiError> {
    let has_body = matches!(parts.method, Method::POST | Method::PUT | Method::PATCH);
    let header = |name| parts.headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
    let essence = header(CONTENT_TYPE).and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    if !has_body || !types.iter().any(|one| essence.eq_ignore_ascii_case(one)) {
        return Ok((String::new(), Vec::new()));
    }
    let too_large = ApiError::Body { max_bytes: MAX_FORM_BYTES };
    let length: Option<usize> = header(CONTENT_LENGTH).and_then(|length| length.parse().ok());
    if length.is_some_and(|length| length > MAX_FORM_BYTES) {
        return Err(too_large);
    }
    let body = to_bytes(body, MAX_FORM_BYTES).await.map_err(|_| too_large)?;
    Ok((essence.to_owned(), body.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_stands_before_the_address() {
        let parameters = Parameters::parse("a=1&b=2&m[]=x&empty=", b"a=form%20text&m%5B%5D=y+z");
        assert_eq!(parameters.get("a"), Some("form text"));
        assert_eq!(parameters.get("b"), Some("2"));
        assert_eq!(parameters.get("empty"), None);
        assert_eq!(parameters.get("absent"), None);
        assert_eq!(parameters.all("m[]").collect::<Vec<_>>(), ["y z", "x"]);
    }
}
