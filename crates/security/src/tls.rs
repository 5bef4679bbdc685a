//! What secures connections.

/// Makes aws-lc-rs the provider of the process's cryptography. Called first thing in `main`; once is enough, more does
/// no harm.
pub fn install_provider() {
    // An error says that a provider is there already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
