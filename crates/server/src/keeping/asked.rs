//! What a request asks of these doors, and how it is told what is wrong: as Prometheus does, or in plain text.

use api::failure;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{Method, StatusCode};
use model::audit::{Action, Event};
use model::error::Classified;
use model::tenant::{Access, Refusal};
use model::{Kind, TenantContext};
use security::PeerAddress;
use security::gateway::Sight;
use serde::de::DeserializeOwned;
use storage::StorageError;
use url::form_urlencoded;

/// The largest body: selectors and reasons are texts that people write.
const MAX_BODY_BYTES: usize = 1 << 20;

/// A request that may be made.
pub(super) struct Asked {
    pub(super) context: TenantContext,
    /// Who asks: a proven name, or this machine.
    pub(super) actor: String,
    /// Whether the caller has the rights of an operator.
    pub(super) operates: bool,
    /// The address that it asks from.
    source: String,
    parameters: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Asked {
    /// Reads a request, the tenant first.
    ///
    /// # Errors
    /// The gateway's refusal, or a body over its bound.
    pub(super) async fn read(request: Request) -> Result<Self, Failure> {
        let (parts, body) = request.into_parts();
        let access = parts.extensions.get::<Access>().ok_or(Refusal::TenantRequired)?;
        let context = access.context(None)?;
        if context.is_several() {
            return Err(Refusal::SeveralTenants(context.tenant().as_str().to_owned()).into());
        }
        let actor = access.name().unwrap_or("local").to_owned();
        let operates = parts.extensions.get::<Sight>().is_some_and(|sight| sight.operates);
        let address = parts.extensions.get::<PeerAddress>();
        let source = address.map(|address| address.0.ip().to_string()).unwrap_or_default();
        let body = to_bytes(body, MAX_BODY_BYTES).await;
        let body =
            body.map_err(|_| Failure::Invalid(format!("the body has more than {MAX_BODY_BYTES} bytes")))?;
        let is_form = matches!(parts.method, Method::POST | Method::PUT)
            && parts.headers.get(CONTENT_TYPE).is_some_and(|value| {
                value.to_str().is_ok_and(|value| value.starts_with("application/x-www-form-urlencoded"))
            });
        let form = if is_form { &body[..] } else { &[] };
        let query = parts.uri.query().unwrap_or_default();
        let pairs = form_urlencoded::parse(form).chain(form_urlencoded::parse(query.as_bytes()));
        let parameters = pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        Ok(Self { context, actor, operates, source, parameters, body: body.into() })
    }

    /// The first value of a name that is not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).find(|value| !value.is_empty())
    }

    /// All values of a name.
    pub(super) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.parameters.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// When it is none, or another than is wanted.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|error| Failure::Invalid(format!("the body: {error}")))
    }

    /// An event of the audit about what this request does.
    pub(super) fn event(&self, action: Action, subject: &str) -> Event {
        let event = Event::new(action).by(&self.actor).from(&self.source);
        event.of_tenant(self.context.tenant().as_str()).on(subject)
    }
}

/// Why a request is not done.
pub(super) enum Failure {
    Refused(Refusal),
    Invalid(String),
    Forbidden(String),
    NotFound(String),
    Storage(StorageError),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl Failure {
    fn kind(&self) -> Kind {
        match self {
            Self::Refused(refusal) => refusal.kind(),
            Self::Invalid(_) => Kind::Invalid,
            Self::Forbidden(_) => Kind::Forbidden,
            Self::NotFound(_) => Kind::NotFound,
            Self::Storage(error) => error.kind(),
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Refused(refusal) => format!("{}: {refusal}", refusal.code()),
            Self::Invalid(message) | Self::Forbidden(message) | Self::NotFound(message) => message.clone(),
            Self::Storage(error) => error.to_string(),
        }
    }

    /// The answer, as a protocol tells errors of the kind.
    fn told(&self, tell: impl FnOnce(Kind, String) -> Response) -> Response {
        let kind = self.kind();
        if matches!(kind, Kind::Corrupt | Kind::Internal) {
            tracing::error!(error = self.message(), "a request to keep or delete telemetry failed");
        }
        let mut answer = tell(kind, self.message());
        if kind == Kind::Limited && matches!(self, Self::Storage(_)) {
            // There are too many of them: asking again changes nothing.
            *answer.status_mut() = StatusCode::CONFLICT;
            answer.headers_mut().remove(RETRY_AFTER);
        }
        answer
    }
}

/// A failure in plain text, as Loki and Tempo tell it.
impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        self.told(|kind, message| failure::plain(kind, format!("{message}\n")))
    }
}

/// A failure as Prometheus tells it.
pub(super) struct PromFailure(Failure);

impl<E: Into<Failure>> From<E> for PromFailure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for PromFailure {
    fn into_response(self) -> Response {
        self.0.told(|kind, message| failure::prometheus(kind, &message))
    }
}
