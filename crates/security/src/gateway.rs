//! From a request to a tenant: the only place that grants a [`TenantContext`].
//!
//! Who is asking is proven by a token or a client certificate ([`crate::identity`]); headers only choose within what that
//! allows. A refusal found here is not answered here: it is given when a handler asks for its context, so that every
//! protocol answers in its own shape.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::{BoxFuture, Either};
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request};
use model::Origins;
use model::audit::{Action, Audit, Event};
use model::limits::{Limits, LimitsSource};
use model::tenant::{
    Access, Admit, Caller, MAX_TENANTS_READ, OWN_TENANT, Refusal, TenantContext, TenantId, TenantIdError,
};
use tower::{Layer, Service};

use crate::authority::ANY_TENANT;
use crate::host::Hosts;
use crate::identity::{Identities, Who};
use crate::origin;
use crate::scopes::{self, Deed, Door, Need};
use crate::tls::PeerCertificate;
use crate::token::{Identity, Tenants};

/// The canonical header, which names a request's tenant.
pub const TENANT_HEADER: &str = "x-stellaops-tenant";
/// The header by which the clients of Loki and Tempo name their tenant.
pub const ORG_ID_HEADER: &str = "x-scope-orgid";

/// What stands between the names of several tenants.
const SEPARATOR: char = '|';

/// Headers that speak of an identity: only what was verified may do that, so that none of them reaches a handler.
const IDENTITY_HEADERS: [&str; 5] = ["sub", "tid", "scope", "scp", "cnf"];
/// The same, by their beginnings.
const IDENTITY_PREFIXES: [&str; 3] = ["x-stellaops-", "x-stella-", "stella-"];

/// Where a connection comes from, as an extension of its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// Whether the client certificate of a connection is still taken, as an extension of its requests: for what lasts longer than
/// an answer.
#[derive(Clone)]
pub struct StillTaken(pub Arc<dyn Fn() -> bool + Send + Sync>);

/// A request, as far as the gateway looks at it.
#[derive(Clone, Copy)]
pub struct Asking<'a> {
    /// What it came through.
    pub door: Door,
    /// Its method.
    pub method: &'a Method,
    /// The path of its address; of gRPC, the service and method.
    pub path: &'a str,
    /// The host that its address names; with HTTP/1.1 mostly a header does.
    pub authority: Option<&'a str>,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// The client certificate of its connection.
    pub peer: Option<&'a PeerCertificate>,
    /// The address that its connection comes from.
    pub source: Option<IpAddr>,
    /// Whether that certificate is taken at any later moment.
    pub still_taken: Option<&'a StillTaken>,
}

/// Decides whom a request acts for. Cheap to clone.
///
/// A caller that has proven who it is acts for the tenant that the headers choose, or else that the data names, or else that
/// its token or certificate names; each must be one that it is allowed, and data that names another tenant than the headers is
/// refused. A caller that is believed acts for the tenant of the headers,
/// or that the data names, or the configured default; data that names another tenant than the headers is refused here too. Headers that disagree are refused, and so is a name that
/// is not a tenant id; neither falls back to a later source. Several tenants, `a|b`, can be read at once where the caller may
/// read each of them.
#[derive(Clone, Debug)]
pub struct Gateway {
    identities: Arc<Identities>,
    default_tenant: Option<TenantId>,
    limits: Arc<dyn LimitsSource>,
    audit: Audit,
    believed: Arc<Believed>,
}

/// What a gateway believes of what requests say of themselves; nothing where nothing else is said.
#[derive(Clone, Debug, Default)]
pub struct Believed {
    /// The origins whose pages may change something, besides those of the server's own host.
    pub origins: Origins,
    /// The names by which those who show nothing must ask; any, where it is left out.
    pub hosts: Option<Hosts>,
    /// Whether a header may say which of the caller's scopes a request has.
    pub allow_scope_header: bool,
}

impl Gateway {
    /// A gateway that gives requests of believed callers which name nobody to `default_tenant`, or refuses them where there
    /// is none. Refusals are told to `audit`.
    #[must_use]
    pub fn new(
        identities: Identities,
        default_tenant: Option<TenantId>,
        limits: Arc<dyn LimitsSource>,
        audit: Audit,
    ) -> Self {
        Self { identities: Arc::new(identities), default_tenant, limits, audit, believed: Arc::default() }
    }

    /// The same, which believes this of what requests say of themselves.
    #[must_use]
    pub fn believing(mut self, believed: Believed) -> Self {
        self.believed = Arc::new(believed);
        self
    }

    /// The layer that puts an [`Access`] into the extensions of every request through a door, HTTP and gRPC alike.
    #[must_use]
    pub fn layer(&self, door: Door) -> GatewayLayer {
        GatewayLayer { gateway: self.clone(), door }
    }

    /// The right of the server itself to act for a tenant: for its own telemetry.
    #[must_use]
    pub fn own(&self, tenant: TenantId) -> TenantContext {
        let limits = self.limits.limits(&tenant);
        TenantContext::new(tenant, limits)
    }

    /// The right of the server to write what it records of others' deeds: kept as long as is said at this moment, while no limit
    /// of what may be sent is meant for it.
    #[must_use]
    pub fn recording(&self) -> TenantContext {
        let tenant = TenantId::own();
        let Limits { retention, keep_rules, .. } = (*self.limits.limits(&tenant)).clone();
        TenantContext::new(tenant, Arc::new(Limits { retention, keep_rules, ..Limits::default() }))
    }

    /// What a request may act for.
    #[must_use]
    pub fn access(&self, request: &Asking<'_>) -> Access {
        self.decide(request).0
    }

    /// What a request may act for, the tenant that it acts for where the data names none, and what the caller may see.
    fn decide(&self, request: &Asking<'_>) -> (Access, Option<TenantId>, Sight) {
        let needed = scopes::needed(request.door, request.method, request.path);
        let identified = self.identities.who(request.headers, request.peer, request.source);
        let who = identified.clone().and_then(|who| self.may_ask(request, needed, who));
        // What asks for no scope is answered to everybody, and acts for nobody.
        let refusal = who.as_ref().err().filter(|_| needed != Need::Nothing).cloned();
        let told = Told::of(request, &identified);
        if let Some(refusal) = &refusal {
            self.tell(&told, refusal);
        }
        let (who, asked) = match who.and_then(|who| Ok((who, asked(request.headers)?))) {
            Ok((who, asked)) => (Ok(who), asked),
            Err(refusal) => (Err(refusal), Vec::new()),
        };
        let name = match &who {
            Ok(Who::Known(identity)) => Some(identity.subject.clone()),
            _ => None,
        };
        let (tenants, operates) = match &who {
            Ok(Who::Known(identity)) => (identity.tenants.clone(), identity.scopes.contains(scopes::ADMIN)),
            Ok(Who::Believed) => (Tenants::Any, true),
            Err(_) => (Tenants::of([]), false),
        };
        let sight = Sight { names_tenants: !asked.is_empty(), tenants, operates };
        let caller = Caller { asked: asked.first().filter(|_| asked.len() == 1).cloned(), name };
        let deed = scopes::deed(request.door, request.method, request.path);
        let lasting = scopes::lasts(request.path).then(|| Lasting::of(request, needed));
        let context = {
            let gateway = self.clone();
            let again = move || lasting.as_ref().map_or(Ok(()), |lasting| lasting.check(&gateway.identities));
            let gateway = self.clone();
            move |caller: &Caller, named: Option<&str>| match again().and(who.clone())? {
                who if asked.len() > 1 => gateway.several(&who, deed, &asked),
                who => Ok(gateway.own(gateway.tenant(&who, deed, caller, named)?)),
            }
        };
        let tenant = context(&caller, None).ok().map(|context| context.tenant().clone());
        let gateway = self.clone();
        let admit: Admit = Arc::new(move |caller, named| {
            context(caller, named).inspect_err(|refusal| gateway.tell(&told, refusal))
        });
        (Access::new(caller, admit).refusing(refusal), tenant, sight)
    }

    /// Whether a caller may do what it asks for, whichever tenant it is about.
    fn may_ask(&self, request: &Asking<'_>, needed: Need, who: Who) -> Result<Who, Refusal> {
        let Believed { origins, hosts, allow_scope_header } = &*self.believed;
        if let (Who::Believed, Some(hosts)) = (&who, hosts)
            && let Some(host) = hosts.foreign(request.headers, request.authority)
        {
            return Err(Refusal::ForeignHost(host));
        }
        if scopes::is_no_question(request.method, request.path, needed)
            && let Some(origin) = origin::foreign(request.headers, request.authority, origins)
        {
            return Err(Refusal::ForeignOrigin(origin));
        }
        let who = who.within(request.headers, *allow_scope_header)?;
        match &who {
            Who::Known(identity) if !needed.is_met(|scope| identity.scopes.contains(scope)) => {
                Err(Refusal::ScopeMismatch(needed.describe()))
            }
            Who::Known(identity)
                if scopes::concerns_all_tenants(request.path) && identity.tenants.are_some() =>
            {
                Err(Refusal::TenantMismatch(ANY_TENANT.to_owned()))
            }
            _ => Ok(who),
        }
    }

    /// Tells that a request is refused.
    fn tell(&self, told: &Told, refusal: &Refusal) {
        // The audit keeps it for operators, and counts those that are alike.
        tracing::debug!(code = refusal.code(), reason = %refusal, path = told.path, "request refused");
        let tenant = match refusal {
            Refusal::TenantMismatch(tenant) => tenant.as_str(),
            _ => "",
        };
        let event = Event::new(Action::RequestRefused).by(&told.actor).from(&told.source).of_tenant(tenant);
        let event = event.on(&told.path).code(refusal.code()).with("reason", refusal.to_string());
        self.audit.record(event.with("listener", told.door.as_str()).with("method", told.method.as_str()));
    }

    /// The right to read several tenants, where each is one that the caller may read.
    fn several(&self, who: &Who, deed: Deed, asked: &[TenantId]) -> Result<TenantContext, Refusal> {
        for tenant in asked {
            match who {
                Who::Known(identity) if !identity.tenants.allow(tenant.as_str()) => {
                    return Err(Refusal::TenantMismatch(tenant.as_str().to_owned()));
                }
                _ => may(who, deed, tenant)?,
            }
        }
        if asked.len() > MAX_TENANTS_READ || !matches!(deed, Deed::Reads | Deed::ReadsLogs) {
            let names: Vec<&str> = asked.iter().map(TenantId::as_str).collect();
            return Err(Refusal::SeveralTenants(names.join("|")));
        }
        Ok(TenantContext::several(asked.iter().cloned().map(|tenant| self.own(tenant)).collect()))
    }

    fn tenant(
        &self,
        who: &Who,
        deed: Deed,
        caller: &Caller,
        named: Option<&str>,
    ) -> Result<TenantId, Refusal> {
        let tenant = match who {
            Who::Known(identity) => known(identity, caller.asked.as_ref(), named)?,
            Who::Believed => match (&caller.asked, named) {
                (Some(asked), Some(named)) if named != asked.as_str() => {
                    return Err(Refusal::TenantMismatch(TenantId::parse(named)?.as_str().to_owned()));
                }
                (Some(asked), _) => asked.clone(),
                (None, Some(named)) => TenantId::parse(named)?,
                (None, None) => self.default_tenant.clone().ok_or(Refusal::TenantRequired)?,
            },
        };
        may(who, deed, &tenant).map(|()| tenant)
    }
}

/// A request that lasts, with what it showed: it is looked at again whenever its handler asks for a context, so that it ends
/// when the token or the certificate does.
struct Lasting {
    headers: HeaderMap,
    peer: Option<PeerCertificate>,
    source: Option<IpAddr>,
    still_taken: Option<StillTaken>,
    needed: Need,
}

impl Lasting {
    fn of(request: &Asking<'_>, needed: Need) -> Self {
        let shown = request.headers.get_all(http::header::AUTHORIZATION).iter();
        Self {
            headers: shown.map(|value| (http::header::AUTHORIZATION, value.clone())).collect(),
            peer: request.peer.cloned(),
            source: request.source,
            still_taken: request.still_taken.cloned(),
            needed,
        }
    }

    fn check(&self, identities: &Identities) -> Result<(), Refusal> {
        if self.still_taken.as_ref().is_some_and(|still_taken| !still_taken.0()) {
            let reason = "the client certificate of the connection was revoked or has ended";
            return Err(Refusal::Unauthenticated(reason.to_owned()));
        }
        match identities.who(&self.headers, self.peer.as_ref(), self.source)? {
            Who::Known(identity) if !self.needed.is_met(|scope| identity.scopes.contains(scope)) => {
                Err(Refusal::ScopeMismatch(self.needed.describe()))
            }
            _ => Ok(()),
        }
    }
}

/// What is told of a request that is refused.
struct Told {
    door: Door,
    method: Method,
    path: String,
    actor: String,
    source: String,
}

impl Told {
    fn of(request: &Asking<'_>, who: &Result<Who, Refusal>) -> Self {
        Self {
            door: request.door,
            method: request.method.clone(),
            path: request.path.to_owned(),
            actor: match who {
                Ok(Who::Known(identity)) => identity.subject.clone(),
                Ok(Who::Believed) | Err(_) => String::new(),
            },
            source: request.source.map(|source| source.to_string()).unwrap_or_default(),
        }
    }
}

/// The tenant that a known caller acts for. Data that names another tenant than the token or certificate goes there where the
/// caller is allowed to; where a header has chosen, as a gateway's does for those behind it, no data leads out of that choice.
fn known(identity: &Identity, asked: Option<&TenantId>, named: Option<&str>) -> Result<TenantId, Refusal> {
    let allowed = |tenant: TenantId| {
        if identity.tenants.allow(tenant.as_str()) {
            Ok(tenant)
        } else {
            Err(Refusal::TenantMismatch(tenant.as_str().to_owned()))
        }
    };
    // A header that asks for too much is refused, whatever the data says.
    let asked = asked.cloned().map(allowed).transpose()?;
    match (named, asked, &identity.tenant) {
        (Some(named), Some(asked), _) if named != asked.as_str() => {
            Err(Refusal::TenantMismatch(TenantId::parse(named)?.as_str().to_owned()))
        }
        (Some(named), None, _) => allowed(TenantId::parse(named)?),
        (_, Some(asked), _) => Ok(asked),
        (None, None, Some(own)) => Ok(TenantId::parse(own)?),
        (None, None, None) => Err(Refusal::TenantRequired),
    }
}

/// Whether a caller that may act for a tenant may do this to what it has.
fn may(who: &Who, deed: Deed, tenant: &TenantId) -> Result<(), Refusal> {
    let is_own = tenant.as_str() == OWN_TENANT;
    if is_own && deed == Deed::Changes {
        return Err(Refusal::OwnTenant(tenant.as_str().to_owned()));
    }
    let needed = scopes::needed_of_tenant(deed, is_own);
    match who {
        Who::Known(identity) if !needed.is_met(|scope| identity.scopes.contains(scope)) => {
            Err(Refusal::ScopeMismatch(needed.describe()))
        }
        _ => Ok(()),
    }
}

/// The tenants that the headers name, each once and sorted; every value of both headers must name the same ones.
fn asked(headers: &HeaderMap) -> Result<Vec<TenantId>, Refusal> {
    let mut asked: Option<Vec<TenantId>> = None;
    for value in [TENANT_HEADER, ORG_ID_HEADER].iter().flat_map(|name| headers.get_all(*name)) {
        let names = value
            .to_str()
            .map_err(|_| Refusal::InvalidTenant(TenantIdError::Character(char::REPLACEMENT_CHARACTER)))?;
        let parsed = names.split(SEPARATOR).map(|name| TenantId::parse(name.trim()));
        let mut tenants = parsed.collect::<Result<Vec<_>, _>>()?;
        tenants.sort();
        tenants.dedup();
        match &asked {
            Some(first) if *first != tenants => return Err(Refusal::TenantMismatch(names.to_owned())),
            _ => asked = Some(tenants),
        }
    }
    Ok(asked.unwrap_or_default())
}

/// Takes out what speaks of an identity or tenant: it was either proven otherwise, or it is not true.
fn strip(headers: &mut HeaderMap) {
    let speaks = |name: &HeaderName| {
        let name = name.as_str();
        name == ORG_ID_HEADER
            || IDENTITY_HEADERS.contains(&name)
            || IDENTITY_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    };
    let names: Vec<HeaderName> = headers.keys().filter(|name| speaks(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
    // A token is for this place alone.
    headers.remove(http::header::AUTHORIZATION);
}

/// What a caller may see of tenants besides their data, as an extension of its requests.
#[derive(Clone, Debug)]
pub struct Sight {
    /// Whether the request names tenants, which it is about then.
    pub names_tenants: bool,
    /// The tenants that the caller may act for.
    pub tenants: Tenants,
    /// Whether it operates them.
    pub operates: bool,
}

/// Wraps a service so that its requests carry an [`Access`]. Made by [`Gateway::layer`].
#[derive(Clone, Debug)]
pub struct GatewayLayer {
    gateway: Gateway,
    door: Door,
}

impl<S> Layer<S> for GatewayLayer {
    type Service = GatewayService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        GatewayService { gateway: self.gateway.clone(), door: self.door, inner }
    }
}

/// A service behind the gateway.
#[derive(Clone, Debug)]
pub struct GatewayService<S> {
    gateway: Gateway,
    door: Door,
    inner: S,
}

impl<S> GatewayService<S> {
    /// Puts into a request what it may act for, and takes out what it says of itself.
    fn admit<B>(&self, request: &mut Request<B>) {
        let peer = request.extensions().get::<Arc<PeerCertificate>>().cloned();
        let (access, tenant, sight) = self.gateway.decide(&Asking {
            door: self.door,
            method: request.method(),
            path: request.uri().path(),
            authority: request.uri().authority().map(http::uri::Authority::as_str),
            headers: request.headers(),
            peer: peer.as_deref(),
            source: source(request),
            still_taken: request.extensions().get::<StillTaken>(),
        });
        strip(request.headers_mut());
        if let Some(value) = tenant.and_then(|tenant| HeaderValue::from_str(tenant.as_str()).ok()) {
            request.headers_mut().insert(TENANT_HEADER, value);
        }
        request.extensions_mut().insert(access);
        request.extensions_mut().insert(sight);
    }
}

/// The address that a request's connection comes from.
fn source<B>(request: &Request<B>) -> Option<IpAddr> {
    request.extensions().get::<PeerAddress>().map(|address| address.0.ip())
}

impl<S, B> Service<Request<B>> for GatewayService<S>
where
    S: Service<Request<B>, Future: Send> + Clone + Send + 'static,
    B: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<S::Future, BoxFuture<'static, Result<S::Response, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let looking = self.gateway.identities.look_for_key(request.headers());
        let Some(looking) = looking else {
            self.admit(&mut request);
            return Either::Left(self.inner.call(request));
        };
        // The service that is ready goes with the request, and a copy of it stays.
        let copy = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, copy);
        let mut ready = Self { gateway: self.gateway.clone(), door: self.door, inner };
        Either::Right(Box::pin(async move {
            looking.await;
            ready.admit(&mut request);
            ready.inner.call(request).await
        }))
    }
}

#[cfg(test)]
mod tests;
