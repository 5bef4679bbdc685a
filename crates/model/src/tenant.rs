//! Who a piece of telemetry belongs to, and the seam through which a request gets its tenant.
//!
//! Identity is established in one place, the gateway of `security`; every other room receives an [`Access`] or a
//! [`TenantContext`] and cannot make one.

use std::fmt;
use std::sync::Arc;

use crate::error::{Classified, Kind};
use crate::limits::Limits;

/// The longest tenant id, in bytes (the limit of Loki and Tempo).
pub const MAX_TENANT_ID_BYTES: usize = 150;

/// The tenant of the server itself: its own telemetry, and the events of its audit. Nobody else writes to it.
pub const OWN_TENANT: &str = "stella";

/// A tenant's name: 1 to 150 bytes of `0-9 a-z A-Z ! - _ . * ' ( )`, not `.` or `..`, case-sensitive.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(Arc<str>);

/// Why a string is not a tenant id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TenantIdError {
    /// The empty string names nobody.
    #[error("tenant id is empty")]
    Empty,
    /// Over [`MAX_TENANT_ID_BYTES`].
    #[error("tenant id is too long: bytes={0}, at most {MAX_TENANT_ID_BYTES} are allowed")]
    TooLong(usize),
    /// A character outside the alphabet.
    #[error("tenant id has a character that is not allowed: character={0:?}")]
    Character(char),
    /// `.` and `..` would be folders.
    #[error("tenant id must not be \".\" or \"..\"")]
    Dots,
}

impl TenantId {
    /// The tenant of what the server says of itself.
    #[must_use]
    pub fn own() -> Self {
        Self(OWN_TENANT.into())
    }

    /// Checks and takes a name.
    ///
    /// # Errors
    /// When the name is empty, too long, has another character, or is `.` or `..`.
    pub fn parse(name: &str) -> Result<Self, TenantIdError> {
        if name.is_empty() {
            return Err(TenantIdError::Empty);
        }
        if name.len() > MAX_TENANT_ID_BYTES {
            return Err(TenantIdError::TooLong(name.len()));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || "!-_.*'()".contains(c);
        if let Some(c) = name.chars().find(|c| !allowed(*c)) {
            return Err(TenantIdError::Character(c));
        }
        if name == "." || name == ".." {
            return Err(TenantIdError::Dots);
        }
        Ok(Self(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TenantId({:?})", &*self.0)
    }
}

/// Tenants that one request may read at once.
pub const MAX_TENANTS_READ: usize = 64;

/// The right to act for one tenant, with the tenant's limits. Every read and write takes one.
///
/// One that may read several tenants at once has them as its members. Its own name is then that of no tenant, so that
/// whatever does not ask for the members finds nothing.
#[derive(Clone, Debug)]
pub struct TenantContext {
    tenant: TenantId,
    limits: Arc<Limits>,
    members: Option<Arc<[TenantContext]>>,
}

impl TenantContext {
    /// Grants the right. Only the gateway and tests call this; `cargo xtask tidy` checks it.
    #[must_use]
    pub const fn new(tenant: TenantId, limits: Arc<Limits>) -> Self {
        Self { tenant, limits, members: None }
    }

    /// The right to read all of these at once, within the strictest of their limits; one alone stays as it is.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn several(mut members: Vec<Self>) -> Self {
        members.sort_by(|a, b| a.tenant.cmp(&b.tenant));
        members.dedup_by(|a, b| a.tenant == b.tenant);
        let (first, others) =
            members.split_first().expect("whoever reads several tenants names one at least");
        if others.is_empty() {
            return first.clone();
        }
        let limits = others.iter().fold((*first.limits).clone(), |limits, one| limits.strictest(&one.limits));
        let names: Vec<&str> = members.iter().map(|member| member.tenant.as_str()).collect();
        let tenant = TenantId(names.join("|").into());
        Self { tenant, limits: Arc::new(limits), members: Some(members.into()) }
    }

    /// The tenants that it reads, by name: itself, or all of those that it may read at once.
    #[must_use]
    pub fn members(&self) -> &[Self] {
        self.members.as_deref().unwrap_or(std::slice::from_ref(self))
    }

    /// Whether it reads several tenants at once.
    #[must_use]
    pub const fn is_several(&self) -> bool {
        self.members.is_some()
    }

    /// Whose data it is.
    #[must_use]
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// What the tenant may use.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

/// What a request says of itself, as far as the gateway has verified it.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// The tenant asked for by header, where there was one.
    pub asked: Option<TenantId>,
    /// Who it is, where that is proven: for records of what was done.
    pub name: Option<String>,
}

/// Why a caller does not get a tenant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing in the request names a tenant, and there is no default.
    #[error("no org id")]
    TenantRequired,
    /// The name is not a tenant id.
    #[error("invalid tenant: {0}")]
    InvalidTenant(#[from] TenantIdError),
    /// The caller may not act for this tenant.
    #[error("tenant mismatch: tenant={0} is not one that the caller may act for")]
    TenantMismatch(String),
    /// The tenant is the server's own, and the caller would change what is there.
    #[error("the tenant is the server's own, and is read only: tenant={0}")]
    OwnTenant(String),
    /// The request names several tenants, and is none that several can be asked for, or names too many.
    #[error(
        "several tenants can be read at once, at most {MAX_TENANTS_READ}, and nothing else can be done with them: tenants={0}"
    )]
    SeveralTenants(String),
    /// Nothing in the request proves who is asking, or what it shows is not good; with what to do.
    #[error("{0}")]
    Unauthenticated(String),
    /// Too much of what came from the caller's address proved nothing; with what to do.
    #[error("{0}")]
    TooManyFailures(String),
    /// The caller is known and may not do this; with what it would need.
    #[error("the caller may not do this: it needs {0}")]
    ScopeMismatch(String),
    /// A page of another host asks for more than an answer, in the name of whoever looks at it.
    #[error("pages of this origin may not do this: origin={0}; listen.cors_origins names those that may")]
    ForeignOrigin(String),
    /// A server without certificates is asked by a name that is not one of its own, as a page would that had its name lead here.
    #[error(
        "a server without certificates is asked by its own names alone: host={0}; listen.hosts (or --hosts) names more"
    )]
    ForeignHost(String),
    /// A header says what the caller may do, where nobody is to be believed that.
    #[error(
        "scopes are proven by a token or certificate, and no header may say them: leave out {0}; behind a gateway that writes \
         it, identity.allow_scope_header lets it say which of them a request has"
    )]
    ScopeHeader(String),
}

impl Refusal {
    /// The stable code that logs, audit records and JSON bodies carry.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Refusal::TenantRequired => "TENANT_REQUIRED",
            Refusal::InvalidTenant(_) | Refusal::SeveralTenants(_) => "ERR_TENANT_INVALID",
            Refusal::TenantMismatch(_) | Refusal::OwnTenant(_) => "ERR_TENANT_MISMATCH",
            Refusal::Unauthenticated(_) => "ERR_UNAUTHENTICATED",
            Refusal::TooManyFailures(_) => "ERR_TOO_MANY_FAILURES",
            Refusal::ScopeMismatch(_) => "ERR_SCOPE_MISMATCH",
            Refusal::ForeignOrigin(_) => "ERR_ORIGIN_MISMATCH",
            Refusal::ForeignHost(_) => "ERR_HOST_MISMATCH",
            Refusal::ScopeHeader(_) => "ERR_SCOPE_HEADER_FORBIDDEN",
        }
    }
}

impl Classified for Refusal {
    fn kind(&self) -> Kind {
        match self {
            Refusal::TenantRequired | Refusal::Unauthenticated(_) => Kind::Unauthorized,
            Refusal::InvalidTenant(_) | Refusal::SeveralTenants(_) => Kind::Invalid,
            Refusal::TooManyFailures(_) => Kind::Limited,
            Refusal::TenantMismatch(_)
            | Refusal::OwnTenant(_)
            | Refusal::ScopeMismatch(_)
            | Refusal::ForeignOrigin(_)
            | Refusal::ForeignHost(_)
            | Refusal::ScopeHeader(_) => Kind::Forbidden,
        }
    }
}

/// The gateway's decision: the caller, and the tenant that the data itself names, to a context.
pub type Admit = Arc<dyn Fn(&Caller, Option<&str>) -> Result<TenantContext, Refusal> + Send + Sync>;

/// A verified request's way to its tenants; the gateway puts one into the extensions of every request.
#[derive(Clone)]
pub struct Access {
    caller: Caller,
    admit: Admit,
    refusal: Option<Refusal>,
}

impl Access {
    /// Joins a verified caller and the gateway's decision.
    #[must_use]
    pub fn new(caller: Caller, admit: Admit) -> Self {
        Self { caller, admit, refusal: None }
    }

    /// The same, for a caller that may not do what it asks for, whichever tenant it is about.
    #[must_use]
    pub fn refusing(mut self, refusal: Option<Refusal>) -> Self {
        self.refusal = refusal;
        self
    }

    /// Who is asking, where that is proven.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.caller.name.as_deref()
    }

    /// Why the caller may not do what it asks for, whichever tenant it is about. Requests that concern no tenant are
    /// answered with this; all others ask for a context, which is refused with the same.
    #[must_use]
    pub const fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_ref()
    }

    /// The context to act in. `named` is the tenant that the data names (a resource attribute), where it names one.
    ///
    /// # Errors
    /// The gateway's refusal, which each protocol answers in its own shape.
    pub fn context(&self, named: Option<&str>) -> Result<TenantContext, Refusal> {
        match &self.refusal {
            Some(refusal) => Err(refusal.clone()),
            None => (self.admit)(&self.caller, named),
        }
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("caller", &self.caller).finish_non_exhaustive()
    }
}
