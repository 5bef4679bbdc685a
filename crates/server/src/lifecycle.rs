//! `/-/reload` and `/-/quit` of the Prometheus port: closed, unless the operator opens them.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use model::audit::Audit;
use tokio_util::sync::CancellationToken;

use crate::overrides::Overrides;

/// What the two routes reach.
#[derive(Clone)]
pub(crate) struct Lifecycle {
    pub(crate) is_open: bool,
    pub(crate) overrides: Arc<Overrides>,
    pub(crate) audit: Audit,
    pub(crate) stop: CancellationToken,
}

impl Lifecycle {
    /// The routes; closed ones say so.
    pub(crate) fn routes(&self) -> Router {
        let (reloading, quitting) = (self.clone(), self.clone());
        let reload = post({
            let reloading = reloading.clone();
            move || async move { reloading.reload().await }
        });
        let quit = post({
            let quitting = quitting.clone();
            move || async move { quitting.quit() }
        });
        let reload = reload.put(move || async move { reloading.reload().await });
        let quit = quit.put(move || async move { quitting.quit() });
        Router::new().route("/-/reload", reload.get(only_changes)).route("/-/quit", quit.get(only_changes))
    }

    /// Reads the limits of tenants again, without the pause between two looks. What is broken stays as it was read before.
    async fn reload(self) -> Response {
        if !self.is_open {
            return closed();
        }
        let (overrides, audit) = (self.overrides, self.audit.clone());
        let looked = tokio::task::spawn_blocking(move || {
            overrides.look(&audit);
            overrides.broken()
        });
        let looked = looked.await;
        self.audit.settled().await;
        match looked {
            Ok(broken) if broken.is_empty() => StatusCode::OK.into_response(),
            Ok(broken) => failed(&broken.join("; ")),
            Err(error) => failed(&error.to_string()),
        }
    }

    /// Stops the process as a signal does.
    fn quit(self) -> Response {
        if !self.is_open {
            return closed();
        }
        tracing::info!("stopping: a request to /-/quit");
        self.stop.cancel();
        "Requesting termination... Goodbye!".into_response()
    }
}

async fn only_changes() -> (StatusCode, &'static str) {
    (StatusCode::METHOD_NOT_ALLOWED, "Only POST or PUT requests allowed")
}

fn closed() -> Response {
    (StatusCode::FORBIDDEN, "Lifecycle API is not enabled.").into_response()
}

fn failed(why: &str) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, format!("failed to reload config: {why}\n")).into_response()
}
