//! A listener's side of TLS: its certificate, whose certificates it takes, and the handshake.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use model::Clock;
use model::time::NS_PER_S;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{Acceptor, ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::files::{self, Contents};
use super::peer::PeerCertificate;
use super::provider;
use super::revocation::Revocation;
use super::tellings::Tellings;
use super::watch::{Look, Watched};
use crate::bounds::{
    BROKEN_PAUSE_S, EXPIRY_WARNING_S, HANDSHAKE_TIMEOUT, HELLO_TIMEOUT, LINGER_TIMEOUT, LOOK_PAUSE,
    MAX_HANDSHAKES, MAX_LINGER_BYTES, MAX_SESSIONS, WARNING_PAUSE_S,
};
use crate::error::SecurityError;

/// Whether clients have to bring a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientAuth {
    /// Without one there is no connection.
    #[serde(rename = "require", alias = "required")]
    Required,
    /// One that is brought must be good.
    Optional,
    /// None is asked for.
    None,
}

/// The files of a listener, all PEM.
#[derive(Clone, Debug)]
pub struct ServerFiles {
    /// The listener's certificate, with those between it and its authority.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities of clients; without them no client certificate can be asked for.
    pub ca: Option<PathBuf>,
    /// CRLs and deny lists.
    pub revoked: Vec<PathBuf>,
}

/// When a certificate ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// Whose it is.
    pub subject: String,
    /// Its last second, in Unix time.
    pub not_after_s: i64,
}

/// When a certificate is good, in Unix seconds.
#[derive(Clone, Copy)]
struct Period {
    from_s: i64,
    to_s: i64,
}

impl Period {
    const fn is_good(self, now_s: i64) -> bool {
        self.from_s <= now_s && now_s <= self.to_s
    }
}

/// What is made of the files.
struct Loaded {
    config: Arc<ServerConfig>,
    own: Period,
    revocation: Arc<Revocation>,
    /// The listener's own certificates, and those of the authorities.
    certificates: Vec<Expiry>,
}

/// TLS of one listener.
#[derive(Debug)]
pub struct ServerTls {
    name: &'static str,
    loaded: Watched<Loaded>,
    handshakes: Semaphore,
    clock: Arc<dyn Clock>,
    tellings: Tellings,
}

impl ServerTls {
    /// Reads the files of a listener. What is to be said of them is said once by all listeners with the same `tellings`.
    ///
    /// # Errors
    /// When a file cannot be read or does not hold what it should, or certificate and key are no pair.
    pub fn open(
        name: &'static str,
        files: &ServerFiles,
        auth: ClientAuth,
        clock: Arc<dyn Clock>,
        tellings: &Tellings,
    ) -> Result<Self, SecurityError> {
        let has_ca = files.ca.is_some();
        if auth != ClientAuth::None && !has_ca {
            return Err(SecurityError::Tls(format!(
                "listener={name} asks clients for certificates, but tls.ca names no file with their authorities"
            )));
        }
        let mut paths = vec![files.cert.clone(), files.key.clone()];
        paths.extend(files.ca.clone());
        paths.extend(files.revoked.iter().cloned());
        let ticks = Arc::clone(&clock);
        let loaded = Watched::open(paths, move |contents, in_use: Option<&Loaded>| {
            let loaded = load(contents, has_ca, auth)?;
            let now_s = ticks.now().0.div_euclid(NS_PER_S);
            if in_use.is_some_and(|in_use| in_use.own.is_good(now_s)) && !loaded.own.is_good(now_s) {
                let reason = "the certificate has ended, or has not begun, and the one in use is good";
                return Err(SecurityError::file(&contents.0[0].0, reason));
            }
            Ok(loaded)
        })?;
        let (handshakes, tellings) = (Semaphore::new(MAX_HANDSHAKES), tellings.clone());
        let tls = Self { name, loaded, handshakes, clock, tellings };
        tls.warn_of_expiry();
        Ok(tls)
    }

    /// Looks at the files once a second, for as long as it is polled.
    pub async fn keep_fresh(&self) {
        let mut warned_s = self.now_s();
        loop {
            tokio::time::sleep(LOOK_PAUSE).await;
            let looked = self.look();
            if looked == Look::Renewed || self.now_s() - warned_s >= WARNING_PAUSE_S {
                warned_s = self.now_s();
                self.warn_of_expiry();
            }
        }
    }

    pub(crate) fn look(&self) -> Look {
        self.loaded.look(self.name, |error| self.tellings.is_first(error, self.now_s(), BROKEN_PAUSE_S))
    }

    /// Makes a connection secure. Connections that were made before the files changed keep what they have.
    ///
    /// # Errors
    /// When the client does not speak TLS, brings no certificate that is taken, or takes too long.
    pub async fn accept<S>(&self, stream: S) -> std::io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let late = |_| std::io::Error::from(std::io::ErrorKind::TimedOut);
        // Whoever says nothing takes nobody's turn.
        let hello = LazyConfigAcceptor::new(Acceptor::default(), stream);
        let hello = tokio::time::timeout(HELLO_TIMEOUT, hello).await.map_err(late)??;
        let handshake = async {
            let _permit = self.handshakes.acquire().await.ok()?;
            Some(hello.into_stream(Arc::clone(&self.loaded.current().config)).into_fallible().await)
        };
        let shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await.map_err(late)?;
        match shaken.ok_or_else(|| std::io::Error::other("the listener takes no handshakes any more"))? {
            Ok(stream) => Ok(stream),
            Err((error, stream)) => {
                let _heard = tokio::time::timeout(LINGER_TIMEOUT, hear_out(stream)).await;
                Err(error)
            }
        }
    }

    /// Whether the certificate of an open connection is still taken: it may have been revoked, or have ended, since.
    #[must_use]
    pub fn still_takes(&self, peer: &PeerCertificate) -> bool {
        self.now_s() <= peer.not_after_s && !self.loaded.current().revocation.is_revoked(peer)
    }

    /// When the certificates in use end: the listener's own, and those of the clients' authorities; of several with one
    /// subject, that which ends first.
    #[must_use]
    pub fn expiries(&self) -> Vec<Expiry> {
        earliest(self.loaded.current().certificates.iter().cloned())
    }

    /// When the lists of revoked certificates end, by their issuers: their authorities have others by then.
    #[must_use]
    pub fn lists(&self) -> Vec<Expiry> {
        let loaded = self.loaded.current();
        let ends = loaded.revocation.ends.iter();
        earliest(ends.map(|(issuer, end_s)| Expiry { subject: issuer.clone(), not_after_s: *end_s }))
    }

    /// The listener's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    fn now_s(&self) -> i64 {
        self.clock.now().0.div_euclid(NS_PER_S)
    }

    fn warn_of_expiry(&self) {
        let now_s = self.now_s();
        // Within the pause between two warnings of one listener, all of them are about the same.
        let tells = |what: &str, subject: &str, end_s: i64| {
            self.tellings.is_first(&format!("{what} {end_s} {subject}"), now_s, WARNING_PAUSE_S / 2)
        };
        for Expiry { subject, not_after_s } in self.expiries() {
            let days = (not_after_s - now_s).div_euclid(86_400);
            if not_after_s < now_s {
                if tells("ended", &subject, not_after_s) {
                    tracing::error!(listener = self.name, subject, "a certificate has ended: renew it");
                }
            } else if not_after_s - now_s < EXPIRY_WARNING_S && tells("ends", &subject, not_after_s) {
                tracing::warn!(listener = self.name, subject, days, "a certificate ends soon: renew it");
            }
        }
        for Expiry { subject: issuer, not_after_s } in self.lists() {
            if not_after_s < now_s && tells("crl", &issuer, not_after_s) {
                tracing::warn!(
                    listener = self.name,
                    issuer,
                    "a CRL is older than its authority says: fetch the next one"
                );
            }
        }
    }
}

/// Reads what a client still says after its handshake has failed. With TLS 1.3 its first request is under way by then, and a
/// connection that is closed with bytes unread is reset: the client would never see the alert that says what is wrong.
async fn hear_out(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<()> {
    stream.shutdown().await?;
    let mut rest = stream.take(MAX_LINGER_BYTES);
    tokio::io::copy(&mut rest, &mut tokio::io::sink()).await.map(drop)
}

/// The certificate that the client has proven to hold, where it brought one.
#[must_use]
pub fn peer<S>(stream: &TlsStream<S>) -> Option<PeerCertificate> {
    let (_, session) = stream.get_ref();
    let leaf = session.peer_certificates()?.first()?;
    PeerCertificate::parse(leaf).ok()
}

fn load(contents: &Contents, has_ca: bool, auth: ClientAuth) -> Result<Loaded, SecurityError> {
    let mut files = contents.0.iter();
    let mut next = || files.next().expect("the paths were given with certificate and key first");
    let (cert_path, cert) = next();
    let (key_path, key) = next();
    let authorities = has_ca.then(&mut next);
    let chain = files::certificates(cert_path, cert)?;
    let key = files::private_key(key_path, key)?;

    let roots = match authorities {
        Some((path, bytes)) => files::certificates(path, bytes)?,
        None => Vec::new(),
    };
    let mut revocation = Revocation::default();
    for (path, bytes) in files {
        revocation.add(path, bytes, &roots)?;
    }
    let revocation = Arc::new(revocation);
    let leaf = PeerCertificate::parse(&chain[0]).map_err(|reason| SecurityError::file(cert_path, reason))?;
    let own = Period { from_s: leaf.not_before_s, to_s: leaf.not_after_s };
    let mut certificates = vec![expiry(&chain[0]).map_err(|reason| SecurityError::file(cert_path, reason))?];
    let verifier = match authorities {
        Some((path, bytes)) if auth != ClientAuth::None => {
            for certificate in &roots {
                certificates.push(expiry(certificate).map_err(|reason| SecurityError::file(path, reason))?);
            }
            let roots = Arc::new(files::roots(path, bytes)?);
            let builder = WebPkiClientVerifier::builder_with_provider(roots, provider())
                .with_crls(revocation.lists.iter().cloned())
                // A list for one authority says nothing of the certificates of another.
                .allow_unknown_revocation_status();
            let builder =
                if auth == ClientAuth::Optional { builder.allow_unauthenticated() } else { builder };
            let inner = builder.build().map_err(|error| SecurityError::Tls(error.to_string()))?;
            Arc::new(Denying { inner, revocation: Arc::clone(&revocation) }) as Arc<dyn ClientCertVerifier>
        }
        _ => WebPkiClientVerifier::no_client_auth(),
    };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_client_cert_verifier(verifier).with_single_cert(chain, key))
        .map_err(|error| SecurityError::file(cert_path, format!("no pair with its key: {error}")))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Sessions belong to this reading of the files: what is revoked by the next one cannot be resumed.
    config.session_storage = ServerSessionMemoryCache::new(MAX_SESSIONS);
    Ok(Loaded { config: Arc::new(config), own, revocation, certificates })
}

/// Of several with one subject, that which ends first.
fn earliest(all: impl Iterator<Item = Expiry>) -> Vec<Expiry> {
    let mut by_subject = BTreeMap::new();
    for Expiry { subject, not_after_s } in all {
        let end_s = by_subject.entry(subject).or_insert(not_after_s);
        *end_s = (*end_s).min(not_after_s);
    }
    by_subject.into_iter().map(|(subject, not_after_s)| Expiry { subject, not_after_s }).collect()
}

fn expiry(der: &CertificateDer<'_>) -> Result<Expiry, String> {
    let certificate = PeerCertificate::parse(der)?;
    Ok(Expiry { subject: certificate.subject, not_after_s: certificate.not_after_s })
}

/// Refuses what a deny list names, after everything else has been verified.
#[derive(Debug)]
struct Denying {
    inner: Arc<dyn ClientCertVerifier>,
    revocation: Arc<Revocation>,
}

impl ClientCertVerifier for Denying {
    fn offer_client_auth(&self) -> bool {
        self.inner.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.inner.verify_client_cert(end_entity, intermediates, now)?;
        let is_denied = |der: &CertificateDer<'_>| {
            PeerCertificate::parse(der).map_or(true, |certificate| self.revocation.is_revoked(&certificate))
        };
        if self.revocation.denies() && std::iter::once(end_entity).chain(intermediates).any(is_denied) {
            return Err(CertificateError::Revoked.into());
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests;
