//! Looking at certificates: those of a file, or those that a server shows.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::client::ClientTls;
use super::files;
use super::peer::PeerCertificate;
use super::provider;
use crate::bounds::HANDSHAKE_TIMEOUT;
use crate::error::SecurityError;

/// How long a server has to refuse the client's certificate after the handshake.
const REFUSAL_WAIT: Duration = Duration::from_millis(500);

/// What a server shows in a handshake.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its certificates, its own first.
    pub certificates: Vec<PeerCertificate>,
    /// The version of TLS that was agreed on, where the handshake came so far.
    pub version: Option<String>,
    /// The protocol that was agreed on.
    pub protocol: Option<String>,
    /// Why the handshake failed: no client certificate was shown, or the server is not trusted.
    pub failure: Option<String>,
}

/// The certificates of a PEM file.
///
/// # Errors
/// When the file cannot be read, or holds no certificate.
pub fn file(path: &Path) -> Result<Vec<PeerCertificate>, SecurityError> {
    let bytes = files::read(path)?;
    let found = files::certificates(path, &bytes)?;
    let parsed = found.iter().map(PeerCertificate::parse);
    parsed.map(|result| result.map_err(|reason| SecurityError::file(path, reason))).collect()
}

/// The certificates that the server at `host:port` shows. It is not trusted for that: with `client`, what the client
/// would say to them is told as the failure.
///
/// # Errors
/// When nobody answers there, or not with TLS.
pub async fn server(address: &str, client: Option<&ClientTls>) -> Result<Shown, SecurityError> {
    let failed = |reason: String| SecurityError::Peer { address: address.to_owned(), reason };
    let (host, _) = address.rsplit_once(':').ok_or_else(|| failed("name it as host:port".into()))?;
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
        .map_err(|_| failed(format!("host={host} is no name and no address")))?;
    let seeing = Arc::new(Seeing { client: client.cloned(), seen: Mutex::default() });
    let mut config = match client {
        Some(client) => client.config(),
        None => ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(error.to_string()))?
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth(),
    };
    config.dangerous().set_certificate_verifier(Arc::clone(&seeing) as Arc<dyn ServerCertVerifier>);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let handshake = async {
        let stream = TcpStream::connect(address).await?;
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        // With TLS 1.3 the server's word on the client's certificate comes after the client has finished.
        let mut byte = [0; 1];
        let refused = tokio::time::timeout(REFUSAL_WAIT, stream.read(&mut byte)).await;
        let failure = match refused {
            Ok(Err(error)) => Some(error.to_string()),
            _ => None,
        };
        let session = stream.get_ref().1;
        let version = session.protocol_version().map(|version| format!("{version:?}"));
        let protocol = session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
        std::io::Result::Ok((version, protocol, failure))
    };
    let result = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake)
        .await
        .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
    let Seen { certificates, distrust } = seeing.seen.lock().clone();
    match result {
        Ok((version, protocol, failure)) => {
            Ok(Shown { certificates, version, protocol, failure: distrust.or(failure) })
        }
        Err(error) if certificates.is_empty() => Err(failed(error.to_string())),
        Err(error) => {
            let failure = Some(distrust.unwrap_or_else(|| error.to_string()));
            Ok(Shown { certificates, version: None, protocol: None, failure })
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Seen {
    certificates: Vec<PeerCertificate>,
    distrust: Option<String>,
}

/// Notes what a server shows, and goes on whoever it is: nothing is sent to it.
#[derive(Debug)]
struct Seeing {
    client: Option<ClientTls>,
    seen: Mutex<Seen>,
}

impl ServerCertVerifier for Seeing {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown = std::iter::once(end_entity).chain(intermediates);
        let certificates = shown.filter_map(|der| PeerCertificate::parse(der).ok()).collect();
        let distrust = self.client.as_ref().and_then(|client| {
            let verified =
                client.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
            verified.err().map(|error| error.to_string())
        });
        *self.seen.lock() = Seen { certificates, distrust };
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signed, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
