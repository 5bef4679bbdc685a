//! Transport security: certificates of servers and clients, read again when their files change, and what is known of
//! the peer's certificate.
//!
//! Revocation comes from files (CRLs and a deny list). Nothing here fetches a list or asks a responder over the network.

pub mod peer;

mod revocation;

pub(crate) mod files;

pub(crate) mod watch;

pub mod tellings;

mod signature;

pub mod server;

pub mod client;

pub mod dev;

pub mod inspect;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

pub use client::{ClientFiles, ClientTls};
pub use peer::PeerCertificate;
pub use server::{ClientAuth, Expiry, ServerFiles, ServerTls};
pub use tellings::Tellings;

/// Makes aws-lc-rs the process's cryptography; whoever speaks TLS in this process finds it. Called first of all.
pub fn install_provider() {
    // A second call finds the first one's provider, which is the same.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
