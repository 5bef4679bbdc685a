//! What a verified certificate says of whom it was given to.

use std::fmt;
use std::net::IpAddr;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A certificate, read once. The listener puts the client's into the extensions of every request.
#[derive(Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// The certificate as it was sent.
    pub der: Vec<u8>,
    /// SHA-256 of the certificate: what `cnf.x5t#S256` of a token names, base64url without padding (RFC 8705).
    pub thumbprint: String,
    /// SHA-256 of its public key (`SubjectPublicKeyInfo`), lower-case hexadecimal.
    pub spki_sha256: String,
    /// The common name of its subject, where it has one.
    pub common_name: Option<String>,
    /// The whole subject, as text.
    pub subject: String,
    /// The whole issuer, as text.
    pub issuer: String,
    /// The issuer's name as it is encoded; with the serial number it names the certificate.
    pub issuer_der: Vec<u8>,
    /// Subject alternative names: DNS names, addresses, URIs and mail addresses.
    pub names: Vec<String>,
    /// The serial number without leading zeros, lower-case hexadecimal.
    pub serial: String,
    /// From when it is valid, in Unix seconds.
    pub not_before_s: i64,
    /// Until when it is valid, in Unix seconds.
    pub not_after_s: i64,
    /// Whether it may issue others.
    pub is_ca: bool,
}

impl PeerCertificate {
    /// Reads a certificate.
    ///
    /// # Errors
    /// When the bytes are not one.
    pub fn parse(der: &CertificateDer<'_>) -> Result<Self, String> {
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|error| format!("not a certificate: {error}"))?;
        if !rest.is_empty() {
            return Err("not a certificate: bytes follow it".into());
        }
        let common_name = certificate.subject().iter_common_name().next();
        let alternative = certificate.subject_alternative_name().ok().flatten();
        let names =
            alternative.map(|extension| extension.value.general_names.iter().filter_map(name).collect());
        Ok(Self {
            der: der.to_vec(),
            thumbprint: URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, der)),
            spki_sha256: hex::encode(digest::digest(&digest::SHA256, certificate.public_key().raw)),
            common_name: common_name.and_then(|name| name.as_str().ok()).map(str::to_owned),
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            issuer_der: certificate.issuer().as_raw().to_vec(),
            names: names.unwrap_or_default(),
            serial: serial_hex(certificate.raw_serial()),
            not_before_s: certificate.validity().not_before.timestamp(),
            not_after_s: certificate.validity().not_after.timestamp(),
            is_ca: certificate.is_ca(),
        })
    }

    /// SHA-256 of the certificate, lower-case hexadecimal.
    #[must_use]
    pub fn sha256(&self) -> String {
        hex::encode(digest::digest(&digest::SHA256, &self.der))
    }
}

impl fmt::Debug for PeerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerCertificate")
            .field("subject", &self.subject)
            .field("serial", &self.serial)
            .finish_non_exhaustive()
    }
}

/// A serial number as it is compared: hexadecimal, lower-case, without leading zeros.
pub(crate) fn serial_hex(bytes: &[u8]) -> String {
    let text = hex::encode(bytes);
    let trimmed = text.trim_start_matches('0');
    if trimmed.is_empty() { "0".to_owned() } else { trimmed.to_owned() }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) | GeneralName::RFC822Name(name) => {
            Some((*name).to_owned())
        }
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        _ => None,
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(four));
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}
