//! Who is asking: the one room in which a request's identity is established.
//!
//! The gateway reads what a request says of its tenant and grants the right to act for it. Headers are taken at
//! their word: this room does not verify client certificates or tokens, and issues none; where the network is not
//! trusted, a proxy that sets the tenant header must stand in front.

pub mod gateway;

pub mod tls;

pub use gateway::{Gateway, GatewayLayer, GatewayService};
