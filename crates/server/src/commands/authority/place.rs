//! Where the Authority is: in a store that this process opens, or behind the admin API of a running server.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use model::Clock;
use reqwest::Method;
use security::authority::{
    Algorithm, Authority, Changes, Inspection, Issuer, KnownKey, NewClient, ShownClient, TokenRequest,
};
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

/// The Authority in a store that was opened here.
pub(super) struct Here {
    authority: Authority,
    /// The events of what is done to it.
    outbox: Outbox,
    /// What tokens name as their issuer, where it is a new one.
    issuer: Issuer,
    /// Where it is, for people.
    place: String,
}

/// The Authority, where it was found.
pub(super) enum Reached {
    /// In a store.
    Here(Box<Here>),
    /// Behind a server.
    There(Admin),
}

/// The admin API of a server.
pub(super) struct Admin {
    http: reqwest::Client,
    base: String,
    credentials: Credentials,
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
        let place = format!("store={}", config.store().url);
        Ok(Reached::Here(Box::new(Here { authority, outbox, issuer: config.issuer(), place })))
    }

    /// The same, where there is an Authority already: what only looks at one makes none.
    pub(super) async fn find(&self) -> anyhow::Result<Reached> {
        let reached = self.reach().await?;
        if let Reached::Here(here) = &reached
            && here.authority.is_new()
        {
            bail!(
                "no Authority is here yet: {}; name the server's configuration with --config, its data folder with --data-dir, \
                 or the server itself with --server",
                here.place
            );
        }
        Ok(reached)
    }
}

impl Here {
    /// Says where a new Authority was made: it may be another folder than the server's.
    async fn made(&self, was_new: bool) -> anyhow::Result<()> {
        if was_new {
            super::note(&format!(
                "a new Authority was made: {}; servers on this store alone know it",
                self.place
            ));
        }
        self.outbox.deliver().await
    }
}

impl Reached {
    /// Makes a client; its secret.
    pub(super) async fn create(&self, new: NewClient) -> anyhow::Result<String> {
        match self {
            Self::Here(here) => {
                let was_new = here.authority.is_new();
                let secret = here.authority.create_client(new).await?.0;
                here.made(was_new).await?;
                Ok(secret)
            }
            Self::There(admin) => {
                let answer =
                    admin.ask(Method::POST, "/admin/clients", Some(serde_json::to_value(&new)?)).await?;
                text(&answer, "client_secret")
            }
        }
    }

    pub(super) async fn clients(&self) -> anyhow::Result<Vec<ShownClient>> {
        match self {
            Self::Here(here) => Ok(here.authority.clients()),
            Self::There(admin) => {
                Ok(serde_json::from_value(admin.ask(Method::GET, "/admin/clients", None).await?)?)
            }
        }
    }

    pub(super) async fn client(&self, name: &str) -> anyhow::Result<ShownClient> {
        match self {
            Self::Here(here) => Ok(here.authority.client(name)?.shown(name)),
            Self::There(admin) => {
                Ok(serde_json::from_value(admin.ask(Method::GET, &path(name, ""), None).await?)?)
            }
        }
    }

    /// Changes a client; its new secret, where one was asked for.
    pub(super) async fn update(&self, name: &str, changes: Changes) -> anyhow::Result<Option<String>> {
        match self {
            Self::Here(here) => {
                let secret = here.authority.update_client(name, changes).await?;
                here.outbox.deliver().await?;
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
            Self::Here(here) => {
                here.authority.delete_client(name).await?;
                here.outbox.deliver().await?;
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
            Self::Here(here) => {
                let was_new = here.authority.is_new();
                here.authority.sign_here(&here.issuer).await?;
                let token = here.authority.issue_service(name, request, life_s)?.token;
                here.made(was_new).await?;
                Ok(token)
            }
            Self::There(admin) => {
                let body = json!({
                    "life_s": life_s,
                    "scopes": request.scopes,
                    "audience": request.audience,
                    "tenant": request.tenant,
                    "certificate": request.certificate,
                    "reason": request.reason,
                });
                text(&admin.ask(Method::POST, &path(name, "/tokens"), Some(body)).await?, "access_token")
            }
        }
    }

    /// Takes a token back, by itself or by its identifier; its identifier.
    pub(super) async fn revoke(&self, which: &str) -> anyhow::Result<String> {
        match self {
            Self::Here(here) => {
                let jti = here.authority.revoke(which).await?;
                here.outbox.deliver().await?;
                Ok(jti)
            }
            Self::There(admin) => {
                let body = if which.contains('.') { json!({"token": which}) } else { json!({"jti": which}) };
                text(&admin.ask(Method::POST, "/admin/revocations", Some(body)).await?, "jti")
            }
        }
    }

    /// What a token says, and whether it is good.
    pub(super) async fn inspect(&self, token: &str) -> anyhow::Result<Inspection> {
        match self {
            Self::Here(here) => Ok(here.authority.inspect(token)?),
            Self::There(admin) => {
                let answer = admin.ask(Method::POST, "/admin/tokens", Some(json!({"token": token}))).await?;
                Ok(serde_json::from_value(answer)?)
            }
        }
    }

    pub(super) async fn keys(&self) -> anyhow::Result<Vec<KnownKey>> {
        match self {
            Self::Here(here) => Ok(here.authority.keys()),
            Self::There(admin) => {
                Ok(serde_json::from_value(admin.ask(Method::GET, "/admin/keys", None).await?)?)
            }
        }
    }

    /// Retires a key.
    pub(super) async fn retire(&self, kid: &str, at_once: bool) -> anyhow::Result<()> {
        match self {
            Self::Here(here) => {
                here.authority.retire(kid, at_once).await?;
                here.outbox.deliver().await?;
            }
            Self::There(admin) => {
                let path = format!("/admin/keys/{kid}?now={at_once}");
                drop(admin.ask(Method::DELETE, &path, None).await?);
            }
        }
        Ok(())
    }

    /// Makes a new key; its name.
    pub(super) async fn rotate(&self, algorithm: Algorithm) -> anyhow::Result<String> {
        match self {
            Self::Here(here) => {
                let was_new = here.authority.is_new();
                here.authority.sign_here(&here.issuer).await?;
                let kid = here.authority.rotate(algorithm).await?;
                here.made(was_new).await?;
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
