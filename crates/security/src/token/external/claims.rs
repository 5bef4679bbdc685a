//! What an issuer calls its claims, and what its words mean: where tenants and scopes stand in its tokens, in its own terms.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value};

/// The claim of the tenant, where nobody says.
const TENANT: &str = "stellaops:tenant";
/// The older name of the same claim.
const LEGACY_TENANT: &str = "tid";
/// The most characters of a subject that are kept: it stands in the audit.
const MAX_SUBJECT_CHARS: usize = 128;

/// What an issuer calls its claims. A name is that of a claim, or a path to one inside others: `realm_access.roles`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClaimNames {
    /// The tenant that the token acts for.
    pub tenant: String,
    /// All tenants that it may act for: a list, or words with spaces between them.
    pub allowed_tenants: String,
    /// Scopes: the same. With `scope`, `scp` is read too.
    pub scope: String,
    /// The tenants by the issuer's words for them; with any, other words name none.
    pub tenants: BTreeMap<String, String>,
    /// The scopes that each of the issuer's words for a role or group stands for; with any, other words stand for none.
    pub scopes: BTreeMap<String, BTreeSet<String>>,
}

impl Default for ClaimNames {
    fn default() -> Self {
        Self {
            tenant: TENANT.into(),
            allowed_tenants: "stellaops:allowed_tenants".into(),
            scope: "scope".into(),
            tenants: BTreeMap::new(),
            scopes: BTreeMap::new(),
        }
    }
}

impl ClaimNames {
    /// The tenant that the claims name.
    ///
    /// # Errors
    /// When it is no text.
    pub(crate) fn tenant<'a>(&'a self, claims: &'a Map<String, Value>) -> Result<Option<&'a str>, ()> {
        let legacy = || claims.get(LEGACY_TENANT).filter(|_| self.tenant == TENANT);
        match value(claims, &self.tenant).or_else(legacy) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(word)) => Ok(self.meant(word)),
            Some(_) => Err(()),
        }
    }

    /// All tenants that the claims allow; `None` where they are no words.
    pub(crate) fn tenants<'a>(&'a self, claims: &'a Map<String, Value>) -> Option<Vec<&'a str>> {
        let named = words(value(claims, &self.allowed_tenants))?;
        Some(named.into_iter().filter_map(|word| self.meant(word)).collect())
    }

    fn meant<'a>(&'a self, word: &'a str) -> Option<&'a str> {
        if self.tenants.is_empty() { Some(word) } else { self.tenants.get(word).map(String::as_str) }
    }

    /// The scopes that the claims allow; `None` where they are no words.
    pub(crate) fn scopes(&self, claims: &Map<String, Value>) -> Option<BTreeSet<String>> {
        let mut named = words(value(claims, &self.scope))?;
        if self.scope == "scope" {
            named.extend(words(claims.get("scp"))?);
        }
        if self.scopes.is_empty() {
            return Some(named.into_iter().map(str::to_owned).collect());
        }
        Some(named.into_iter().filter_map(|word| self.scopes.get(word)).flatten().cloned().collect())
    }
}

/// A claim by its name, which may have dots in it, or by the path to it.
fn value<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    let (first, rest) = name.split_once('.')?;
    value(claims.get(first)?.as_object()?, rest)
}

/// Words of a text with spaces between them, or of a list; none where there is no value, `None` where it is neither.
pub(crate) fn words(value: Option<&Value>) -> Option<Vec<&str>> {
    match value {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::String(text)) => Some(text.split_ascii_whitespace().collect()),
        Some(Value::Array(items)) => items.iter().map(Value::as_str).collect(),
        Some(_) => None,
    }
}

/// Whom a token of an issuer stands for, among all that are known here: a subject is the issuer's to choose, and must not pass
/// for somebody else's, nor write what it likes where it is told.
pub(super) fn actor(issuer: &str, subject: &str) -> String {
    let plain = |c: char| if c.is_control() || c.is_whitespace() { '_' } else { c };
    let subject: String = subject.chars().take(MAX_SUBJECT_CHARS).map(plain).collect();
    format!("{issuer}#{subject}")
}
