//! `stella tls`: certificates for development, and a look at certificates.

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::{Args, Subcommand};
use model::Clock;
use model::time::NS_PER_S;
use security::tls::inspect::{self, Shown};
use security::tls::{PeerCertificate, dev};

use super::connect::Credentials;
use super::table::table;
use crate::clock::SystemClock;

/// Make certificates for development, and look at certificates.
#[derive(Debug, Args)]
pub struct Tls {
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Make an authority, a pair for each service and one for clients; what is there and lasts stays.
    Dev(Dev),
    /// Show the certificates of a file, or of the server at `host:port`.
    Inspect(Inspect),
}

/// Make certificates for development.
#[derive(Debug, Args)]
pub struct Dev {
    /// The folder to write them into.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// The environment that the files of services are named after: `collector-<env>.crt`.
    #[arg(long, default_value = "dev")]
    pub env: String,
    /// Renew all of them, the authority too.
    #[arg(long)]
    pub force: bool,
}

/// Show certificates.
#[derive(Debug, Args)]
pub struct Inspect {
    /// A PEM file, or `host:port` of a server.
    #[arg(value_name = "FILE|HOST:PORT")]
    pub what: String,
    /// Whom to trust, and what to show the server.
    #[command(flatten)]
    pub credentials: Credentials,
}

impl Tls {
    /// Does it and prints what was made or found.
    ///
    /// # Errors
    /// When files cannot be read or written, or nobody answers; after a look at a server that is not trusted, or does
    /// not take the certificate.
    pub fn run(&self) -> anyhow::Result<()> {
        match &self.action {
            Action::Dev(dev) => {
                if !dev.env.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
                    bail!("--env {:?} becomes a part of file names: letters, digits and `-` alone", dev.env);
                }
                let made = dev::make(&dev.out, &dev.env, dev.force, &SystemClock::new())?;
                for (paths, what) in [(&made.written, "made"), (&made.kept, "kept")] {
                    for path in paths {
                        say!("{what} {}", path.display());
                    }
                }
                Ok(())
            }
            Action::Inspect(inspect) => {
                if Path::new(&inspect.what).is_file() || !inspect.what.contains(':') {
                    say!("{}", certificates(&inspect::file(Path::new(&inspect.what))?));
                    return Ok(());
                }
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                let client = inspect.credentials.tls()?;
                let shown = runtime.block_on(inspect::server(&inspect.what, client.as_ref()))?;
                say!("{}", certificates(&shown.certificates));
                let Shown { version, protocol, failure, .. } = shown;
                say!("version={} protocol={}", word(version), word(protocol));
                match failure {
                    Some(failure) => bail!("the handshake with {} failed: {failure}", inspect.what),
                    None => Ok(()),
                }
            }
        }
    }
}

fn word(word: Option<String>) -> String {
    word.unwrap_or_else(|| "none".into())
}

fn certificates(certificates: &[PeerCertificate]) -> comfy_table::Table {
    let now_s = SystemClock::new().now().0.div_euclid(NS_PER_S);
    let moment = |seconds: i64| {
        jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
    };
    let mut table = table(&["", ""]);
    for certificate in certificates {
        let days = (certificate.not_after_s - now_s).div_euclid(86_400);
        let left = if days < 0 { format!("ended {} days ago", -days) } else { format!("{days} days left") };
        let kind = if certificate.is_ca { "an authority" } else { "a server or client" };
        let rows = [
            ("subject", certificate.subject.clone()),
            ("issuer", certificate.issuer.clone()),
            ("is", kind.to_owned()),
            ("names", certificate.names.join("\n")),
            ("valid from", moment(certificate.not_before_s)),
            ("valid until", format!("{} ({left})", moment(certificate.not_after_s))),
            ("serial", certificate.serial.clone()),
            ("public key", format!("spki:{}", certificate.spki_sha256)),
            ("certificate", format!("sha256:{}", certificate.sha256())),
            ("x5t#S256", certificate.thumbprint.clone()),
        ];
        table.add_rows(rows.map(|(name, value)| [name.to_owned(), value]));
    }
    table
}
