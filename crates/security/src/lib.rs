//! Who is asking: the one room in which a request's identity is established.
//!
//! The gateway reads what a request says of its tenant and grants the right to act for it; [`tls`] proves who holds a
//! certificate.

pub mod tls;

pub mod gateway;

pub mod error;

mod bounds;

pub use error::SecurityError;
pub use gateway::{Gateway, GatewayLayer, GatewayService};
