//! What a token says.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::state::{ANY_TENANT, Client};
use super::{AuthorityError, TokenRequest};

/// What a token is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenUse {
    /// A short one, asked for again and again.
    #[default]
    Access,
    /// A long one, kept in a file.
    Service,
}

impl TokenUse {
    /// Its word in claims.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Service => "service",
        }
    }
}

/// What a token is bound to (RFC 8705).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// SHA-256 of the client certificate that must be shown with it.
    #[serde(rename = "x5t#S256")]
    pub certificate: String,
}

/// The claims of a token of the Authority.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The issuer.
    pub iss: String,
    /// Whom it stands for: the client's name.
    pub sub: String,
    /// The client's name.
    pub client_id: String,
    /// Whom it is for.
    pub aud: String,
    /// Scopes, with spaces between them.
    pub scope: String,
    /// When it was signed, in Unix seconds.
    pub iat: i64,
    /// From when it is good.
    pub nbf: i64,
    /// Until when it is good.
    pub exp: i64,
    /// Its identifier, by which it is revoked.
    pub jti: String,
    /// What it is for.
    pub token_use: TokenUse,
    /// The tenant that it acts for.
    #[serde(rename = "stellaops:tenant", default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// All tenants that it may act for, sorted, with spaces between them.
    #[serde(rename = "stellaops:allowed_tenants", default, skip_serializing_if = "Option::is_none")]
    pub allowed_tenants: Option<String>,
    /// The certificate that it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
}

/// The claims that a client may have, without times and names of the token itself.
pub(super) fn of(name: &str, client: &Client, request: &TokenRequest) -> Result<Claims, AuthorityError> {
    let scopes: BTreeSet<&str> = match request.scopes.as_slice() {
        [] => client.scopes.iter().map(String::as_str).collect(),
        named => named.iter().map(String::as_str).collect(),
    };
    if let Some(scope) = scopes.iter().find(|scope| !client.scopes.contains(**scope)) {
        return Err(AuthorityError::Refused(format!(
            "{name} does not have the scope {scope}: add it with `client update {name} --scopes`"
        )));
    }
    let audience = request.audience.as_ref().or(client.audience.first());
    let audience = audience.filter(|audience| client.audience.contains(*audience)).ok_or_else(|| {
        AuthorityError::Target(format!(
            "{name} has no tokens for another audience than {:?}",
            client.audience
        ))
    })?;
    let certificate = match (&client.certificate, &request.certificate) {
        (Some(own), Some(shown)) if own != shown => {
            return Err(AuthorityError::Refused(format!("{name} is bound to another certificate")));
        }
        (own, shown) => own.clone().or_else(|| shown.clone()),
    };
    let tenant = tenant(name, client, request.tenant.as_deref())?;
    let allowed: Vec<&str> = client.tenants.iter().map(String::as_str).collect();
    Ok(Claims {
        sub: name.to_owned(),
        client_id: name.to_owned(),
        aud: audience.clone(),
        scope: scopes.into_iter().collect::<Vec<_>>().join(" "),
        tenant,
        allowed_tenants: (!allowed.is_empty()).then(|| allowed.join(" ")),
        cnf: certificate.map(|certificate| Confirmation { certificate }),
        ..Claims::default()
    })
}

/// What is left of a token's claims where its client may do less than it could when the token was issued; none where nothing
/// is taken away.
pub(super) fn narrowed(claims: &Claims, client: &Client) -> Option<Claims> {
    let kept = |words: &str, keeps: &dyn Fn(&str) -> bool| {
        words.split_ascii_whitespace().filter(|word| keeps(word)).collect::<Vec<_>>().join(" ")
    };
    let scope = kept(&claims.scope, &|scope| client.scopes.contains(scope));
    let all = || client.tenants.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
    let allowed = claims.allowed_tenants.as_deref().map(|words| {
        let is_any = words.split_ascii_whitespace().any(|word| word == ANY_TENANT);
        if is_any { all() } else { kept(words, &|tenant| client.allows(tenant)) }
    });
    let tenant = claims.tenant.clone().filter(|tenant| client.allows(tenant));
    let is_same = scope == claims.scope && allowed == claims.allowed_tenants && tenant == claims.tenant;
    (!is_same).then(|| Claims { scope, allowed_tenants: allowed, tenant, ..claims.clone() })
}

/// The one tenant that a token acts for: the one that is asked for, the client's own, or its only one. A client without
/// any gets a token without: it reads what belongs to no tenant.
fn tenant(name: &str, client: &Client, asked: Option<&str>) -> Result<Option<String>, AuthorityError> {
    match (asked, &client.tenant) {
        (Some(asked), _) if client.allows(asked) && asked != ANY_TENANT => Ok(Some(asked.to_owned())),
        (Some(asked), _) => Err(AuthorityError::Target(format!(
            "{name} may not act for the tenant {asked}: allow it with `client update {name} --allowed-tenants`"
        ))),
        (None, Some(own)) => Ok(Some(own.clone())),
        (None, None) if client.tenants.len() == 1 && !client.tenants.contains(ANY_TENANT) => {
            Ok(client.tenants.first().cloned())
        }
        (None, None) => Ok(None),
    }
}
