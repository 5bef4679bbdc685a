//! The keys `authority` and `identity`: who issues tokens, whose tokens and certificates are taken, and what they allow; and
//! the origins whose pages are believed.

use model::Origins;
use security::authority::Issuer;
use security::identity::CertificateRule;
use security::tls::inspect;
use security::token::external::IssuerSettings;
use serde::Deserialize;

use super::{Config, ConfigError, Role};

/// The Authority of this deployment.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Authority {
    /// What its tokens name as their issuer: the address under which clients reach it.
    pub issuer: Option<String>,
}

/// How callers are known, besides by tokens of the Authority.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Identity {
    /// The audiences of tokens that are taken.
    pub audience: Vec<String>,
    /// Client certificates, and what they allow.
    pub certificates: Vec<CertificateRule>,
    /// Issuers of others whose tokens are taken.
    pub issuers: Vec<IssuerSettings>,
    /// Whether the header `X-StellaOps-Scopes` may say which of its caller's scopes a request has, as a gateway's does.
    pub allow_scope_header: bool,
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            audience: vec!["observability".into()],
            certificates: Vec::new(),
            issuers: Vec::new(),
            allow_scope_header: false,
        }
    }
}

impl Config {
    /// The origins whose pages may read answers.
    ///
    /// # Errors
    /// When an expression is none.
    pub fn origins(&self) -> Result<Origins, ConfigError> {
        let invalid = |error| ConfigError::Value(format!("listen.cors_origins: {error}"));
        Origins::parse(&self.listen.cors_origins).map_err(invalid)
    }

    /// What tokens name as their issuer: the configured address, or the Authority's port on this machine.
    #[must_use]
    pub fn issuer(&self) -> Issuer {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let port = self.listen.ports.authority.saturating_add(self.listen.port_offset);
        Issuer::new(self.authority.issuer.as_deref(), scheme, port)
    }

    /// What is right but hardly meant.
    #[must_use]
    pub fn doubts(&self) -> Vec<String> {
        let is_reached = !self.listen.address.is_loopback() && self.roles.contains(&Role::Authority);
        let mut doubts = Vec::new();
        if is_reached && self.authority.issuer.is_none() {
            doubts.push(format!(
                "authority.issuer is left out, though listen.address={} is reached from other machines: tokens and metadata name \
                 {}, where only this machine finds the Authority; name the address that clients use",
                self.listen.address,
                self.issuer().as_str()
            ));
        }
        if self.tls.is_some() && !self.listen.hosts.is_empty() {
            let said = "listen.hosts has no effect: with tls, callers are known by certificates and tokens, whatever name they ask by";
            doubts.push(said.to_owned());
        }
        let authorities = self.tls.as_ref().and_then(|tls| inspect::file(tls.ca.as_ref()?).ok());
        if authorities.is_some_and(|authorities| authorities.len() > 1) {
            let by_name = self.identity.certificates.iter().filter(|rule| rule.is_by_name());
            doubts.extend(by_name.map(|rule| {
                format!(
                    "identity.certificates: {}: each of the authorities in tls.ca can give this name; say with issuer which one \
                     is meant",
                    rule.certificate
                )
            }));
        }
        doubts
    }
}
