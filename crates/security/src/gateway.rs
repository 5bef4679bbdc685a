//! From a request's headers to a tenant: the only place that grants a [`TenantContext`].
//!
//! A refusal found here is not answered here: it is given when a handler asks for its context, so that every
//! protocol answers in its own shape. No audit records, no scopes.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderMap, Request};
use model::limits::LimitsSource;
use model::tenant::{Access, Admit, Caller, Refusal, TenantContext, TenantId, TenantIdError};
use tower::{Layer, Service};

/// The canonical header, which names a request's tenant.
pub const TENANT_HEADER: &str = "x-stellaops-tenant";
/// The header by which the clients of Loki and Tempo name their tenant.
pub const ORG_ID_HEADER: &str = "x-scope-orgid";

/// Decides whom a request acts for. Cheap to clone.
///
/// The order is: the tenant of the headers, the tenant that the data names, the configured default. Headers that
/// name two tenants are refused, and so is a name that is not a tenant id; neither falls back to a later source.
#[derive(Clone, Debug)]
pub struct Gateway {
    default_tenant: Option<TenantId>,
    limits: Arc<dyn LimitsSource>,
}

impl Gateway {
    /// A gateway that gives requests which name nobody to `default_tenant`, or refuses them where there is none.
    #[must_use]
    pub fn new(default_tenant: Option<TenantId>, limits: Arc<dyn LimitsSource>) -> Self {
        Self { default_tenant, limits }
    }

    /// The layer that puts an [`Access`] into the extensions of every request, HTTP and gRPC alike.
    #[must_use]
    pub fn layer(&self) -> GatewayLayer {
        GatewayLayer { gateway: self.clone() }
    }

    /// What a request with these headers may act for.
    #[must_use]
    pub fn access(&self, headers: &HeaderMap) -> Access {
        let (caller, refusal) = match asked(headers) {
            Ok(asked) => (Caller { asked }, None),
            Err(refusal) => (Caller::default(), Some(refusal)),
        };
        let gateway = self.clone();
        let admit: Admit = Arc::new(move |caller, named| {
            let admitted = match &refusal {
                Some(refusal) => Err(refusal.clone()),
                None => gateway.admit(caller, named),
            };
            admitted.inspect_err(
                |refusal| tracing::info!(code = refusal.code(), reason = %refusal, "request refused"),
            )
        });
        Access::new(caller, admit)
    }

    fn admit(&self, caller: &Caller, named: Option<&str>) -> Result<TenantContext, Refusal> {
        let tenant = match (&caller.asked, named) {
            (Some(asked), _) => asked.clone(),
            (None, Some(named)) => TenantId::parse(named)?,
            (None, None) => self.default_tenant.clone().ok_or(Refusal::TenantRequired)?,
        };
        let limits = self.limits.limits(&tenant);
        Ok(TenantContext::new(tenant, limits))
    }
}

/// The tenant that the headers name; every value of both headers must name the same one.
fn asked(headers: &HeaderMap) -> Result<Option<TenantId>, Refusal> {
    let mut asked: Option<TenantId> = None;
    for value in [TENANT_HEADER, ORG_ID_HEADER].iter().flat_map(|name| headers.get_all(*name)) {
        let name = value
            .to_str()
            .map_err(|_| Refusal::InvalidTenant(TenantIdError::Character(char::REPLACEMENT_CHARACTER)))?;
        let tenant = TenantId::parse(name.trim())?;
        match &asked {
            Some(first) if *first != tenant => {
                return Err(Refusal::TenantMismatch(tenant.as_str().to_owned()));
            }
            _ => asked = Some(tenant),
        }
    }
    Ok(asked)
}

/// Wraps a service so that its requests carry an [`Access`]. Made by [`Gateway::layer`].
#[derive(Clone, Debug)]
pub struct GatewayLayer {
    gateway: Gateway,
}

impl<S> Layer<S> for GatewayLayer {
    type Service = GatewayService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        GatewayService { gateway: self.gateway.clone(), inner }
    }
}

/// A service behind the gateway.
#[derive(Clone, Debug)]
pub struct GatewayService<S> {
    gateway: Gateway,
    inner: S,
}

impl<S, B> Service<Request<B>> for GatewayService<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let access = self.gateway.access(request.headers());
        request.extensions_mut().insert(access);
        self.inner.call(request)
    }
}

#[cfg(test)]
mod tests;
