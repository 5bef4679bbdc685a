//! The keys `authority` and `identity`: who issues tokens, whose tokens and certificates are taken, and what they allow.

use security::identity::CertificateRule;
use security::token::external::IssuerSettings;
use serde::Deserialize;

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
}

impl Default for Identity {
    fn default() -> Self {
        Self { audience: vec!["observability".into()], certificates: Vec::new(), issuers: Vec::new() }
    }
}
