//! How a command knows the server that it asks, and what it shows of itself: authorities, a certificate, a token.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use security::tls::{ClientFiles, ClientTls};

/// The flags of every command that asks a server.
#[derive(Clone, Debug, Default, Args)]
pub struct Credentials {
    /// The authorities of the server's certificate, PEM. With it, the server is asked by HTTPS.
    #[arg(long, env = "STELLA_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// The certificate to show, PEM.
    #[arg(long, env = "STELLA_CERT", value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, env = "STELLA_KEY", value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// The token to show, or `@FILE` with it in a file.
    #[arg(long, env = "STELLA_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
}

impl Credentials {
    /// What the files say, where authorities are named.
    ///
    /// # Errors
    /// When a file cannot be read, or a certificate is named without the authorities of servers.
    pub(crate) fn tls(&self) -> anyhow::Result<Option<ClientTls>> {
        let Some(ca) = &self.ca else {
            if self.cert.is_some() {
                bail!("--cert is shown only to a server that is known: name its authorities with --ca");
            }
            return Ok(None);
        };
        let identity = self.cert.clone().zip(self.key.clone());
        Ok(Some(ClientTls::open(&ClientFiles { ca: ca.clone(), identity })?))
    }

    /// A client with these certificates, and the certificates, which may be kept fresh.
    ///
    /// # Errors
    /// As [`Self::tls`].
    pub(crate) fn client(&self) -> anyhow::Result<(reqwest::ClientBuilder, Option<ClientTls>)> {
        let builder = reqwest::Client::builder();
        Ok(match self.tls()? {
            Some(tls) => (builder.tls_backend_preconfigured(tls.config()), Some(tls)),
            None => (builder, None),
        })
    }

    /// This machine, as the scheme and host of an address.
    pub(crate) fn this_machine(&self) -> &'static str {
        if self.ca.is_some() { "https://localhost" } else { "http://127.0.0.1" }
    }

    /// Adds the token, where there is one.
    ///
    /// # Errors
    /// When the token's file cannot be read.
    pub(crate) fn authorize(
        &self,
        request: reqwest::RequestBuilder,
    ) -> anyhow::Result<reqwest::RequestBuilder> {
        let Some(token) = &self.token else { return Ok(request) };
        Ok(match token.strip_prefix('@') {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read the token: path={path}"))?;
                request.bearer_auth(text.trim())
            }
            None => request.bearer_auth(token),
        })
    }
}
