//! Who a request comes from: a bearer token, a client certificate that the configuration knows, or nobody.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use model::TenantId;
use model::tenant::Refusal;
use serde::Deserialize;

use crate::authority::ANY_TENANT;
use crate::tls::PeerCertificate;
use crate::token::guarded::Guarded;
use crate::token::{Identity, Tenants, Verifier};

/// What a client certificate allows.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateRule {
    /// Which certificates: `cn:<common name>`, `san:<DNS name, address, URI or mail address>`, `sha256:<of the certificate>`
    /// or `spki:<SHA-256 of the public key>`, both in hexadecimal.
    pub certificate: String,
    /// The subject of the authority that signed it, as `stella tls inspect` shows it. Where it is left out, any of those whose
    /// certificates are taken, each of which can give any name.
    #[serde(default)]
    pub issuer: Option<String>,
    /// The tenants that it may act for; `*` is every one.
    pub tenants: Vec<String>,
    /// The tenant of requests that name none; the only one of `tenants` where it is left out.
    #[serde(default)]
    pub tenant: Option<String>,
    /// What it may do.
    pub scopes: BTreeSet<String>,
}

/// A rule that was checked.
#[derive(Clone, Debug)]
struct Mapping {
    selector: Selector,
    issuer: Option<String>,
    identity: Identity,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Selector {
    CommonName(String),
    Name(String),
    Certificate(String),
    PublicKey(String),
}

impl Mapping {
    fn selects(&self, certificate: &PeerCertificate) -> bool {
        self.selector.selects(certificate)
            && self.issuer.as_ref().is_none_or(|issuer| *issuer == certificate.issuer)
    }
}

impl CertificateRule {
    /// Whether every authority whose certificates are taken can make somebody what the rule says: it goes by a name alone.
    #[must_use]
    pub fn is_by_name(&self) -> bool {
        self.issuer.is_none() && ["cn:", "san:"].iter().any(|kind| self.certificate.starts_with(kind))
    }
}

impl Selector {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("certificate={text:?}: write cn:, san:, sha256: or spki: and the value");
        let (kind, value) = text.split_once(':').ok_or_else(wrong)?;
        if value.is_empty() {
            return Err(wrong());
        }
        let hash = || {
            let digits: String = value.chars().filter(|c| *c != ':').collect();
            let bytes = hex::decode(digits).ok().filter(|bytes| bytes.len() == 32);
            bytes
                .map(hex::encode)
                .ok_or_else(|| format!("certificate={text:?}: a SHA-256 has 64 hexadecimal digits"))
        };
        match kind {
            "cn" => Ok(Self::CommonName(value.to_owned())),
            "san" => Ok(Self::Name(value.to_owned())),
            "sha256" => Ok(Self::Certificate(hash()?)),
            "spki" => Ok(Self::PublicKey(hash()?)),
            _ => Err(wrong()),
        }
    }

    fn selects(&self, certificate: &PeerCertificate) -> bool {
        match self {
            Self::CommonName(name) => certificate.common_name.as_ref() == Some(name),
            Self::Name(name) => certificate.names.contains(name),
            Self::Certificate(hash) => *hash == certificate.sha256(),
            Self::PublicKey(hash) => *hash == certificate.spki_sha256,
        }
    }
}

impl CertificateRule {
    /// Checks what its type does not say: what it selects, and for whom.
    ///
    /// # Errors
    /// When the rule cannot be, or would never let anybody in.
    pub fn check(&self) -> Result<(), String> {
        for tenant in self.tenants.iter().filter(|tenant| *tenant != ANY_TENANT) {
            TenantId::parse(tenant)
                .map_err(|error| format!("certificate={:?}: {error}", self.certificate))?;
        }
        mapping(self.clone()).map(drop)
    }
}

/// How callers are known.
#[derive(Clone, Debug)]
pub struct Identities {
    tokens: Guarded,
    mappings: Vec<Mapping>,
    /// Whether a request that shows nothing is believed what it says of itself.
    believes: bool,
}

/// A caller, as far as it is known.
#[derive(Clone, Debug)]
pub(crate) enum Who {
    /// It has proven who it is.
    Known(Arc<Identity>),
    /// It shows nothing, and is believed: a plain connection on this machine.
    Believed,
}

/// The headers that say what a request may do.
const SCOPE_HEADERS: [&str; 2] = ["x-stellaops-scopes", "x-stella-scopes"];

impl Who {
    /// The same, where a header may say the scopes of a request: those of them that the caller has.
    ///
    /// # Errors
    /// When there is such a header, and none may be.
    pub(crate) fn within(self, headers: &HeaderMap, may_say: bool) -> Result<Self, Refusal> {
        let Some(header) = SCOPE_HEADERS.into_iter().find(|name| headers.contains_key(*name)) else {
            return Ok(self);
        };
        if !may_say {
            return Err(Refusal::ScopeHeader(header.to_owned()));
        }
        let Self::Known(identity) = self else { return Ok(self) };
        let said = |scope: &String| {
            SCOPE_HEADERS.iter().filter(|name| headers.contains_key(**name)).all(|name| {
                let mut words = headers.get_all(*name).iter().filter_map(|value| value.to_str().ok());
                words.any(|words| words.split([' ', ',']).any(|word| word == scope))
            })
        };
        let scopes = identity.scopes.iter().filter(|scope| said(scope)).cloned().collect();
        Ok(Self::Known(Arc::new(Identity { scopes, ..(*identity).clone() })))
    }
}

impl Identities {
    /// Knows callers by tokens and certificates; `believes` those that show neither.
    ///
    /// # Errors
    /// When a rule cannot be.
    pub fn new(verifier: Verifier, rules: Vec<CertificateRule>, believes: bool) -> Result<Self, String> {
        let mappings = rules.into_iter().map(mapping).collect::<Result<_, _>>()?;
        Ok(Self { tokens: Guarded::new(verifier), mappings, believes })
    }

    /// Looks for the key of a request's token, where nobody knows it yet: an issuer may have a new one. None where there is
    /// nothing to look for.
    pub(crate) fn look_for_key(
        &self,
        headers: &HeaderMap,
    ) -> Option<impl Future<Output = ()> + Send + 'static> {
        self.tokens.verifier().look_for_key(bearer(headers).ok()??)
    }

    /// Who sends a request with these headers, on a connection with this certificate that comes from this address.
    pub(crate) fn who(
        &self,
        headers: &HeaderMap,
        peer: Option<&PeerCertificate>,
        source: Option<IpAddr>,
    ) -> Result<Who, Refusal> {
        let mapped = peer.and_then(|peer| {
            let mut mappings = self.mappings.iter();
            mappings.find(|mapping| mapping.selects(peer)).map(|mapping| &mapping.identity)
        });
        if let Some(token) = bearer(headers)? {
            let thumbprint = peer.map(|peer| peer.thumbprint.as_str());
            let identity = self.tokens.verify(token, thumbprint, source)?;
            return Ok(Who::Known(match mapped {
                Some(mapped) => Arc::new(within(&identity, mapped)?),
                None => identity,
            }));
        }
        match mapped {
            Some(identity) => Ok(Who::Known(Arc::new(identity.clone()))),
            None if self.believes => Ok(Who::Believed),
            None => Err(Refusal::Unauthenticated(nothing_shown(peer))),
        }
    }
}

/// What a token allows on a connection whose certificate is mapped: what both allow.
fn within(identity: &Identity, mapped: &Identity) -> Result<Identity, Refusal> {
    let named = match &identity.tenants {
        Tenants::These(tenants) => tenants.iter().next(),
        Tenants::Any => None,
    };
    let tenants = identity.tenants.common(&mapped.tenants);
    // Two answers that differ.
    let refused = match (&identity.tenant, named) {
        (Some(tenant), _) if !tenants.allow(tenant) => Some(tenant),
        (_, Some(named)) if tenants.is_empty() => Some(named),
        _ => None,
    };
    match refused {
        Some(tenant) => Err(Refusal::TenantMismatch(tenant.clone())),
        None => Ok(Identity { tenants, ..identity.clone() }),
    }
}
fn nothing_shown(peer: Option<&PeerCertificate>) -> String {
    match peer {
        Some(peer) => format!(
            "the request has no token, and its client certificate is mapped to no tenant: subject={:?}; show a token, or \
             name the certificate in the configuration",
            peer.subject
        ),
        None => "the request has neither a token nor a client certificate: show one of them".into(),
    }
}

fn mapping(rule: CertificateRule) -> Result<Mapping, String> {
    let tenants = Tenants::of(rule.tenants.iter().map(String::as_str));
    let tenant = match (rule.tenant, rule.tenants.as_slice()) {
        (None, [only]) if tenants != Tenants::Any => Some(only.clone()),
        (named, _) => named,
    };
    if tenant.as_deref().is_some_and(|tenant| !tenants.allow(tenant)) {
        return Err(format!("certificate={:?}: its tenant is none of its tenants", rule.certificate));
    }
    let selector = Selector::parse(&rule.certificate)?;
    let identity = Identity { subject: rule.certificate, scopes: rule.scopes, tenant, tenants };
    Ok(Mapping { selector, issuer: rule.issuer, identity })
}

/// The token of `Authorization: Bearer`. Another scheme is refused: what it shows is not looked at, and must not count as
/// nothing.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let refused = |reason: &str| Err(Refusal::Unauthenticated(reason.to_owned()));
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return refused("there is more than one Authorization header");
    }
    let Some((scheme, token)) = value.to_str().ok().and_then(|text| text.trim().split_once(' ')) else {
        return refused("the Authorization header is not `Bearer <token>`");
    };
    if !scheme.eq_ignore_ascii_case("bearer") {
        return refused("the Authorization header must be `Bearer <token>`: other schemes are not taken");
    }
    Ok(Some(token.trim()))
}

#[cfg(test)]
mod tests;
