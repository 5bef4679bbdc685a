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
        let (parts, body) = request.into_parts();
        let context = context(&parts)?;
        let form = form(&parts, body).await?;
        let parameters = Parameters::parse(parts.uri.query().unwrap_or_default(), &form);
        Ok(Self { context, parameters, headers: parts.headers })
    }
}

/// A request that did not come through the gateway names nobody.
fn context(parts: &Parts) -> Result<TenantContext, Refusal> {
    parts.extensions.get::<Access>().ok_or(Refusal::TenantRequired)?.context(None)
}

async fn form(parts: &Parts, body: Body) -> Result<Vec<u8>, ApiError> {
    let is_form_method = matches!(parts.method, Method::POST | Method::PUT | Method::PATCH);
    let header = |name| parts.headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
    let essence = header(CONTENT_TYPE).and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    if !is_form_method || !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Ok(Vec::new());
    }
    let too_large = ApiError::Body { max_bytes: MAX_FORM_BYTES };
    let length: Option<usize> = header(CONTENT_LENGTH).and_then(|length| length.parse().ok());
    if length.is_some_and(|length| length > MAX_FORM_BYTES) {
        return Err(too_large);
    }
    to_bytes(body, MAX_FORM_BYTES).await.map(Into::into).map_err(|_| too_large)
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
