//! Where the Authority is: in a store that this process opens, or behind the admin API of a running server.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use model::Clock;
use model::time::NS_PER_S;
use reqwest::Method;
use security::authority::{Algorithm, Authority, Changes, Client, NewClient, TokenRequest};
use serde_json::{Value, json};

use crate::audit::Outbox;
use crate::clock::SystemClock;
use crate::commands::connect::Credentials;
use crate::config::Config;
use crate::who;

/// Where the Authority is.
#[derive(Clone, Debug, Args)]
pub struct Place {
    /// The server's configuration file.
    #[arg(long, env = "STELLA_CONFIG")]
    config: Option<PathBuf>,
    /// The data folder, with this node's keys, and with the store where no other is named.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// The object store by URL.
    #[arg(long)]
    store: Option<String>,
    /// The Authority of a running server, as `https://host:8440`, instead of a store; the token needs `authority:admin`.
    #[arg(long, conflicts_with_all = ["data_dir", "store"])]
    server: Option<String>,
    /// How the server is known, and what it is shown.
    #[command(flatten)]
    credentials: Credentials,
}

/// The Authority, where it was found.
pub(super) enum Reached {
    /// In a store, opened here; with the events of what is done to it.
    Here(Authority, Outbox),
    /// Behind a server.
    There(Admin),
}

/// The admin API of a server.
pub(super) struct Admin {
    http: reqwest::Client,
    base: String,
    credentials: Credentials,
}

/// Now, in Unix seconds.
pub(super) fn now_s() -> i64 {
    SystemClock::new().now().0.div_euclid(NS_PER_S)
}

impl Place {
    pub(super) async fn reach(&self) -> anyhow::Result<Reached> {
        if let Some(server) = &self.server {
            let http = self.credentials.client()?.0.build()?;
            let (base, credentials) = (server.trim_end_matches('/').to_owned(), self.credentials.clone());
            return Ok(Reached::There(Admin { http, base, credentials }));
        }
        let mut config = match &self.config {
            Some(path) => Config::read(path)?,
            None => Config::default(),
        };
        if let Some(data_dir) = &self.data_dir {
            config.data_dir.clone_from(data_dir);
        }
        if self.store.is_some() {
            config.store.keys.url.clone_from(&self.store);
        }
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let store = who::open_store(&config, &clock)?;
        let outbox = Outbox::new(store.objects(), Arc::clone(&clock));
        let authority = who::open_authority(&config, &store, clock, outbox.audit()).await?;
        authority.establish(config.authority.issuer.as_deref()).await?;
        outbox.deliver().await?;
        Ok(Reached::Here(authority, outbox))
    }
}

impl Reached {
    /// Makes a client; its secret.
    pub(super) async fn create(&self, new: NewClient) -> anyhow::Result<String> {
        match self {
            Self::Here(authority, outbox) => {
                let secret = authority.create_client(new).await?.0;
                outbox.deliver().await?;
                Ok(secret)
            }
            Self::There(admin) => {
                let answer =
                    admin.ask(Method::POST, "/admin/clients", Some(serde_json::to_value(&new)?)).await?;
                text(&answer, "client_secret")
            }
        }
    }

    pub(super) async fn clients(&self) -> anyhow::Result<BTreeMap<String, Client>> {
        match self {
            Self::Here(authority, _) => Ok(authority.clients()),
            Self::There(admin) => {
                Ok(serde_json::from_value(admin.ask(Method::GET, "/admin/clients", None).await?)?)
            }
        }
    }

    pub(super) async fn client(&self, name: &str) -> anyhow::Result<Client> {
        match self {
            Self::Here(authority, _) => Ok(authority.client(name)?),
            Self::There(admin) => {
                Ok(serde_json::from_value(admin.ask(Method::GET, &path(name, ""), None).await?)?)
            }
        }
    }

    /// Changes a client; its new secret, where one was asked for.
    pub(super) async fn update(&self, name: &str, changes: Changes) -> anyhow::Result<Option<String>> {
        match self {
            Self::Here(authority, outbox) => {
                let secret = authority.update_client(name, changes).await?;
                outbox.deliver().await?;
                Ok(secret.map(|secret| secret.0))
            }
            Self::There(admin) => {
                let body = serde_json::to_value(&changes)?;
                let answer = admin.ask(Method::PATCH, &path(name, ""), Some(body)).await?;
                Ok(answer["client_secret"].as_str().map(str::to_owned))
            }
        }
    }

    pub(super) async fn delete(&self, name: &str) -> anyhow::Result<()> {
        match self {
            Self::Here(authority, outbox) => {
                authority.delete_client(name).await?;
                outbox.deliver().await?;
            }
            Self::There(admin) => drop(admin.ask(Method::DELETE, &path(name, ""), None).await?),
        }
        Ok(())
    }

    /// Signs a service token.
    pub(super) async fn issue(
        &self,
        name: &str,
        request: &TokenRequest,
        life_s: i64,
    ) -> anyhow::Result<String> {
        match self {
            Self::Here(authority, outbox) => {
                let token = authority.issue_service(name, request, life_s)?.token;
                outbox.deliver().await?;
                Ok(token)
            }
            Self::There(admin) => {
                let body = json!({
                    "life_s": life_s,
                    "scopes": request.scopes,
                    "audience": request.audience,
                    "tenant": request.tenant,
                    "certificate": request.certificate,
                });
                text(&admin.ask(Method::POST, &path(name, "/tokens"), Some(body)).await?, "access_token")
            }
        }
    }

    /// Takes a token back, by itself or by its identifier; its identifier.
    pub(super) async fn revoke(&self, which: &str) -> anyhow::Result<String> {
        match self {
            Self::Here(authority, outbox) => {
                let jti = authority.revoke(which).await?;
                outbox.deliver().await?;
                Ok(jti)
            }
            Self::There(admin) => {
                let body = if which.contains('.') { json!({"token": which}) } else { json!({"jti": which}) };
                text(&admin.ask(Method::POST, "/admin/revocations", Some(body)).await?, "jti")
            }
        }
    }

    /// Makes a new key; its name.
    pub(super) async fn rotate(&self, algorithm: Algorithm) -> anyhow::Result<String> {
        match self {
            Self::Here(authority, outbox) => {
                let kid = authority.rotate(algorithm).await?;
                outbox.deliver().await?;
                Ok(kid)
            }
            Self::There(admin) => {
                let body = json!({"algorithm": algorithm});
                text(&admin.ask(Method::POST, "/admin/keys", Some(body)).await?, "kid")
            }
        }
    }
}

/// The address of a client.
fn path(name: &str, rest: &str) -> String {
    let name: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
    format!("/admin/clients/{name}{rest}")
}

fn text(answer: &Value, name: &str) -> anyhow::Result<String> {
    answer[name].as_str().map(str::to_owned).with_context(|| format!("the answer has no {name}"))
}

impl Admin {
    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.base);
        let mut request = self.credentials.authorize(self.http.request(method, &url))?;
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.with_context(|| format!("cannot ask {url}"))?;
        let status = response.status();
        let text = response.text().await.with_context(|| format!("no answer from {url}"))?;
        let answer: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        if !status.is_success() {
            let said = answer["error_description"].as_str().unwrap_or(text.trim());
            bail!("{url} answered {status}: {said}");
        }
        Ok(answer)
    }
}
