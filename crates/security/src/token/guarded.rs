//! Tokens that are looked at with care: whoever shows wrong ones again and again may not make this server verify without end,
//! and nobody whose token is good is refused because somebody else's is not.

use std::net::IpAddr;
use std::sync::Arc;

use model::tenant::Refusal;

use super::{Identity, TokenError, Verifier};
use crate::bounds::{BAD_TOKENS_PER_S, MAX_BAD_TOKENS};
use crate::throttle::{Guesses, guesser};

/// A verifier, and who has guessed lately. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Guarded {
    verifier: Verifier,
    guesses: Arc<Guesses>,
}

/// Why a token is not taken, or not looked at.
#[derive(Clone, Debug)]
pub(crate) enum Unproven {
    /// It is not good.
    Refused(TokenError),
    /// Too many that came from there and claimed the same were guesses, and there are more of them than are looked at: the
    /// seconds to wait.
    TooMany(u64),
}

impl Unproven {
    /// What is said of too many.
    pub(crate) const TOO_MANY: &str = "too many tokens with this issuer and client had no good signature";
}

impl From<Unproven> for Refusal {
    fn from(unproven: Unproven) -> Self {
        match unproven {
            Unproven::Refused(error) => Self::Unauthenticated(error.to_string()),
            Unproven::TooMany(seconds) => {
                Self::TooManyFailures(format!("{}: try again in {seconds} s", Unproven::TOO_MANY))
            }
        }
    }
}

impl Guarded {
    pub(crate) fn new(verifier: Verifier) -> Self {
        let guesses = Guesses::new(MAX_BAD_TOKENS, BAD_TOKENS_PER_S, verifier.clock());
        Self { verifier, guesses: Arc::new(guesses) }
    }

    /// The verifier itself.
    pub(crate) const fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// What a token says that came from an address, on a connection with the certificate.
    pub(crate) fn verify(
        &self,
        token: &str,
        certificate: Option<&str>,
        source: Option<IpAddr>,
    ) -> Result<Arc<Identity>, Unproven> {
        // What claims to be nobody's that is known costs no look at its signature.
        let who = self.verifier.claimant(token).map(|claimed| guesser(source, certificate, &claimed));
        if let Some(who) = &who {
            self.guesses.look(who).map_err(Unproven::TooMany)?;
        }
        self.verifier.verify(token, certificate).map_err(|error| {
            // A token that was signed and is not good any more, or not here, is no guess.
            if let (TokenError::Signature, Some(who)) = (&error, &who) {
                self.guesses.count(who);
            }
            Unproven::Refused(error)
        })
    }
}
