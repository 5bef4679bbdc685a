//! The server's metrics: the registry that every room fills, and its text on `/metrics`.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

/// The finished registry; cheap to clone.
#[derive(Clone)]
pub(crate) struct Exposition {
    registry: Arc<Registry>,
}

impl Exposition {
    /// Takes a registry in which everything is registered.
    #[must_use]
    pub(crate) fn new(registry: Registry) -> Self {
        Self { registry: Arc::new(registry) }
    }

    /// All metrics as OpenMetrics text.
    #[must_use]
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("text is written to memory");
        text
    }

    /// The reply of `/metrics`.
    #[must_use]
    pub(crate) fn response(&self) -> Response {
        ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], self.text())
            .into_response()
    }
}
