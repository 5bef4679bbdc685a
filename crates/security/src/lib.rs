//! Who is asking: the one room in which a request's identity is established.
//!
//! [`tls`] proves who holds a certificate, the [`authority`] gives out tokens, [`token`] verifies them, [`identity`] says who is
//! asking, and the [`gateway`] grants the right to act for a tenant.

pub mod tls;

pub mod authority;

pub mod token;

pub mod identity;

pub mod origin;

pub mod host;

pub mod scopes;

pub mod gateway;

pub mod error;

mod throttle;

mod bounds;

pub use error::SecurityError;
pub use gateway::{Gateway, GatewayLayer, GatewayService, PeerAddress};
