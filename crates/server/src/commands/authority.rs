//! `stella authority` and `stella auth`: clients, tokens and keys of the Authority, on the store of this machine's
//! configuration, or by the admin API of a running server.

mod flags;

mod place;

use anyhow::bail;
use clap::{Args, Subcommand};
use security::authority::Algorithm;
use security::scopes;
use security::tls::inspect;

use super::table::table;
use flags::{CreateFlags, IssueFlags, UpdateFlags};
use place::Place;

/// Clients, tokens and keys of the Authority.
#[derive(Debug, Args)]
pub struct Authority {
    /// What it is about.
    #[command(subcommand)]
    pub about: About,
}

/// What it is about.
#[derive(Debug, Subcommand)]
pub enum About {
    /// Those who get tokens.
    #[command(subcommand)]
    Client(ClientAction),
    /// Service tokens.
    #[command(subcommand)]
    Token(TokenAction),
    /// The keys that tokens are signed with.
    #[command(subcommand)]
    Key(KeyAction),
}

/// What to do with clients.
#[derive(Debug, Subcommand)]
pub enum ClientAction {
    /// Make a client, and show its secret: it is not shown again.
    Create(CreateFlags),
    /// Show all clients.
    List(Place),
    /// Show one client.
    Show(Named),
    /// Change a client: what is not named stays as it is.
    Update(UpdateFlags),
    /// Delete a client: none of its tokens is good any more.
    Delete(Named),
}

/// A client.
#[derive(Debug, Args)]
pub struct Named {
    /// The client's name.
    pub name: String,
    /// Where the Authority is.
    #[command(flatten)]
    pub place: Place,
}

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenAction {
    /// Sign a service token for a client: the token alone is printed.
    Issue(IssueFlags),
    /// Take a token back: within seconds every server refuses it.
    Revoke(Revoke),
    /// Show what a token says, and whether it is good.
    Inspect(Inspect),
}

/// Take a token back.
#[derive(Debug, Args)]
pub struct Revoke {
    /// The token, `@FILE` with it, or its identifier (`jti`).
    #[arg(value_name = "TOKEN")]
    pub which: String,
    /// Where the Authority is.
    #[command(flatten)]
    pub place: Place,
}

/// Show what a token says.
#[derive(Debug, Args)]
pub struct Inspect {
    /// The token, or `@FILE` with it.
    #[arg(value_name = "TOKEN")]
    pub which: String,
    /// Where the Authority is.
    #[command(flatten)]
    pub place: Place,
}

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub enum KeyAction {
    /// Make a new key for this node; tokens of the old one stay good until they end.
    Rotate(Rotate),
    /// Show the keys of all nodes.
    List(Place),
    /// Retire a key of any node: it signs no more, and its node makes another one where it runs.
    Retire(Retire),
}

/// Retire a key.
#[derive(Debug, Args)]
pub struct Retire {
    /// The key's name.
    #[arg(value_name = "KID")]
    pub kid: String,
    /// End its tokens too: somebody else may have it.
    #[arg(long)]
    pub now: bool,
    /// Where the Authority is.
    #[command(flatten)]
    pub place: Place,
}

/// Make a new key.
#[derive(Debug, Args)]
pub struct Rotate {
    /// How tokens are signed: ES256 or EdDSA.
    #[arg(long, default_value = "ES256", value_parser = algorithm)]
    pub algorithm: Algorithm,
    /// Where the Authority is.
    #[command(flatten)]
    pub place: Place,
}

/// `stella auth`: other words for the same.
#[derive(Debug, Args)]
pub struct Auth {
    /// What it is about.
    #[command(subcommand)]
    pub about: AuthAbout,
}

/// What it is about.
#[derive(Debug, Subcommand)]
pub enum AuthAbout {
    /// Service tokens.
    #[command(subcommand)]
    Token(AuthToken),
}

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum AuthToken {
    /// Sign a service token for a client: `stella authority token issue` in other words.
    Mint(flags::MintFlags),
}

fn algorithm(text: &str) -> Result<Algorithm, String> {
    match text {
        "ES256" => Ok(Algorithm::Es256),
        "EdDSA" => Ok(Algorithm::EdDsa),
        _ => Err("name ES256 or EdDSA".into()),
    }
}

impl Authority {
    /// Does it and prints the answer.
    ///
    /// # Errors
    /// When the store or the server cannot be reached, or refuses; the error says what to do.
    pub fn run(&self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            match &self.about {
                About::Client(action) => client(action).await,
                About::Token(action) => tokens(action).await,
                About::Key(action) => keys(action).await,
            }
        })
    }
}

impl Auth {
    /// Does it and prints the answer.
    ///
    /// # Errors
    /// As [`Authority::run`].
    pub fn run(&self) -> anyhow::Result<()> {
        let AuthAbout::Token(AuthToken::Mint(mint)) = &self.about;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let (request, life_s) = mint.request()?;
            let token = mint.place.reach().await?.issue(&mint.service_account, &request, life_s).await?;
            print(&token);
            Ok(())
        })
    }
}

fn print(text: &str) {
    say!("{text}");
}

async fn client(action: &ClientAction) -> anyhow::Result<()> {
    match action {
        ClientAction::Create(create) => {
            let new = create.client()?;
            doubt_scopes(new.settings.scopes.as_deref());
            let acts_for_nobody = new.settings.tenant.is_none() && new.settings.allowed_tenants.is_none();
            let secret = create.place.reach().await?.create(new).await?;
            print(&format!("client_id={}\nclient_secret={secret}", create.name));
            note("keep the secret: it is not shown again, and nobody has it but you");
            if acts_for_nobody {
                note(&format!(
                    "its tokens act for no tenant yet, and scrape alone: `stella authority client update {} --tenant <id>` \
                     allows one",
                    create.name
                ));
            }
        }
        ClientAction::List(place) => {
            let mut table =
                table(&["name", "scopes", "audience", "tenant", "allowed tenants", "description"]);
            for client in place.find().await?.clients().await? {
                let words = |words: &mut dyn Iterator<Item = &String>| {
                    words.map(String::as_str).collect::<Vec<_>>().join(" ")
                };
                table.add_row([
                    client.name,
                    words(&mut client.scopes.iter()),
                    words(&mut client.audience.iter()),
                    client.tenant.clone().unwrap_or_default(),
                    words(&mut client.tenants.iter()),
                    client.description,
                ]);
            }
            print(&table.to_string());
        }
        ClientAction::Show(named) => {
            let client = named.place.find().await?.client(&named.name).await?;
            print(&serde_json::to_string_pretty(&client)?);
        }
        ClientAction::Update(update) => {
            let changes = update.changes()?;
            doubt_scopes(changes.scopes.as_deref());
            let secret = update.place.find().await?.update(&update.name, changes).await?;
            if let Some(secret) = secret {
                print(&format!("client_id={}\nclient_secret={secret}", update.name));
                note("keep the secret: it is not shown again, and the old one is no longer good");
            }
        }
        ClientAction::Delete(named) => named.place.find().await?.delete(&named.name).await?,
    }
    Ok(())
}

#[expect(clippy::print_stderr, reason = "what is for people stays out of what is for files")]
fn note(text: &str) {
    eprintln!("{text}");
}

/// Says where a scope is named that no request needs: it may be misspelt, or be for something else than this server.
fn doubt_scopes(named: Option<&[String]>) {
    let unknown = scopes::unknown(named.unwrap_or_default());
    if !unknown.is_empty() {
        note(&format!("no request here needs {}: there are {}", unknown.join(" "), scopes::ALL.join(" ")));
    }
}

async fn keys(action: &KeyAction) -> anyhow::Result<()> {
    match action {
        KeyAction::Rotate(rotate) => {
            let kid = rotate.place.reach().await?.rotate(rotate.algorithm).await?;
            print(&format!("kid={kid}"));
        }
        KeyAction::List(place) => {
            let mut table = table(&["kid", "made", "retired", "private half"]);
            for key in place.find().await?.keys().await? {
                let here = if key.is_here { "here" } else { "elsewhere" };
                let retired = key.retired_s.map(day).unwrap_or_default();
                table.add_row([key.kid, day(key.created_s), retired, here.to_owned()]);
            }
            print(&table.to_string());
        }
        KeyAction::Retire(retire) => {
            retire.place.find().await?.retire(&retire.kid, retire.now).await?;
            let tokens =
                if retire.now { "its tokens are refused" } else { "its tokens stay good until they end" };
            note(&format!("retired: kid={}; {tokens}, on every server within 10 seconds", retire.kid));
        }
    }
    Ok(())
}

/// A moment as people write it, from Unix seconds.
fn day(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |moment| moment.to_string())
}

async fn tokens(action: &TokenAction) -> anyhow::Result<()> {
    match action {
        TokenAction::Issue(issue) => {
            let (request, life_s) = issue.request()?;
            let token = issue.place.reach().await?.issue(&issue.name, &request, life_s).await?;
            print(&token);
        }
        TokenAction::Revoke(revoke) => {
            let jti = revoke.place.find().await?.revoke(&text_of(&revoke.which)?).await?;
            note(&format!("revoked: jti={jti}; servers refuse it within 10 seconds"));
        }
        TokenAction::Inspect(inspect) => {
            let found = inspect.place.find().await?.inspect(&text_of(&inspect.which)?).await?;
            print(&serde_json::to_string_pretty(&found.claims)?);
            if found.is_revoked {
                bail!("the token was revoked, or its client deleted");
            }
            if found.has_ended {
                bail!("the token has ended");
            }
        }
    }
    Ok(())
}

/// A token as it is written, or in a file.
fn text_of(text: &str) -> anyhow::Result<String> {
    let Some(path) = text.strip_prefix('@') else { return Ok(text.trim().to_owned()) };
    use anyhow::Context;
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read the token: path={path}"))?;
    Ok(text.trim().to_owned())
}

/// The `x5t#S256` of a certificate: of a PEM file, or as it is written.
fn thumbprint(text: &str) -> anyhow::Result<String> {
    let path = std::path::Path::new(text);
    if path.is_file() {
        return Ok(inspect::file(path)?.remove(0).thumbprint);
    }
    if text.is_empty() || text.len() == 43 {
        return Ok(text.to_owned());
    }
    bail!("{text:?} is neither a certificate's file nor an x5t#S256 (`stella tls inspect` shows it)")
}
