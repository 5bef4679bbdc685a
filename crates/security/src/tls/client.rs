//! A client's side of TLS: whom it trusts, and the certificate that it shows. Both are read again when their files
//! change; connections that are open stay, new ones use what is new.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};

use super::files::{self, Contents};
use super::provider;
use super::watch::{Look, Watched};
use crate::bounds::LOOK_PAUSE;
use crate::error::SecurityError;

/// The files of a client, all PEM.
#[derive(Clone, Debug)]
pub struct ClientFiles {
    /// The authorities of servers: these alone are trusted.
    pub ca: PathBuf,
    /// The client's certificate and its private key, where it shows one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

#[derive(Debug)]
struct Loaded {
    verifier: Arc<WebPkiServerVerifier>,
    identity: Option<Arc<CertifiedKey>>,
}

/// TLS of one client. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ClientTls(Arc<Watched<Loaded>>);

impl ClientTls {
    /// Reads the files of a client.
    ///
    /// # Errors
    /// When a file cannot be read or does not hold what it should, or certificate and key are no pair.
    pub fn open(files: &ClientFiles) -> Result<Self, SecurityError> {
        let mut paths = vec![files.ca.clone()];
        paths.extend(files.identity.iter().flat_map(|(cert, key)| [cert.clone(), key.clone()]));
        Ok(Self(Arc::new(Watched::open(paths, load)?)))
    }

    /// What connections are made with: always with what the files said last.
    #[must_use]
    pub fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("aws-lc-rs has ciphers for TLS 1.2 and 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(self.clone()))
            .with_client_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // A resumed session would show the certificate of the first one.
        config.resumption = Resumption::disabled();
        config
    }

    /// Looks at the files once a second, for as long as it is polled.
    pub async fn keep_fresh(&self) {
        loop {
            tokio::time::sleep(LOOK_PAUSE).await;
            self.look();
        }
    }

    pub(crate) fn look(&self) -> Look {
        self.0.look("client", |_| true)
    }
}

fn load(contents: &Contents, _in_use: Option<&Loaded>) -> Result<Loaded, SecurityError> {
    let mut files = contents.0.iter();
    let (ca_path, ca) = files.next().expect("the authorities come first");
    let roots = Arc::new(files::roots(ca_path, ca)?);
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider())
        .build()
        .map_err(|error| SecurityError::file(ca_path, error.to_string()))?;
    let identity = match (files.next(), files.next()) {
        (Some((cert_path, cert)), Some((key_path, key))) => {
            let chain = files::certificates(cert_path, cert)?;
            let key = files::private_key(key_path, key)?;
            let pair = CertifiedKey::from_der(chain, key, &provider())
                .map_err(|error| SecurityError::file(cert_path, format!("no pair with its key: {error}")))?;
            Some(Arc::new(pair))
        }
        _ => None,
    };
    Ok(Loaded { verifier, identity })
}

impl ResolvesClientCert for ClientTls {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _sigschemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        self.0.current().identity.clone()
    }

    fn has_certs(&self) -> bool {
        self.0.current().identity.is_some()
    }
}

impl ServerCertVerifier for ClientTls {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verifier = &self.0.current().verifier;
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.current().verifier.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.current().verifier.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.current().verifier.supported_verify_schemes()
    }
}
