//! Certificates that are no longer taken: CRL files, and a deny list of serial numbers and public keys.

use std::collections::HashSet;
use std::path::Path;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use super::peer::{PeerCertificate, serial_hex};
use super::signature;
use crate::error::SecurityError;

/// What the files of revocation say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Revocation {
    /// The lists, for the verifier, which checks the signatures of those that it asks.
    pub(crate) lists: Vec<CertificateRevocationListDer<'static>>,
    /// Encoded issuer and serial number of each entry of the lists.
    revoked: HashSet<(Vec<u8>, String)>,
    serials: HashSet<String>,
    public_keys: HashSet<String>,
    /// Until when each list says what is revoked: its issuer, and Unix seconds.
    pub(crate) ends: Vec<(String, i64)>,
}

impl Revocation {
    /// Adds a file: CRLs as PEM or DER, signed by one of the authorities where their issuer is one of them, or else a deny list with a line for each `serial:<hex>` or `spki:<SHA-256 in hex>`
    /// and comments after `#`.
    pub(crate) fn add(
        &mut self,
        path: &Path,
        bytes: &[u8],
        authorities: &[CertificateDer<'_>],
    ) -> Result<(), SecurityError> {
        if bytes.first() == Some(&0x30) {
            return self.add_list(path, CertificateRevocationListDer::from(bytes.to_vec()), authorities);
        }
        let text =
            std::str::from_utf8(bytes).map_err(|_| SecurityError::file(path, "neither text nor a CRL"))?;
        if !text.contains("-----BEGIN") {
            return self.add_lines(path, text);
        }
        let mut found = false;
        for list in CertificateRevocationListDer::pem_slice_iter(bytes) {
            let list = list.map_err(|error| SecurityError::file(path, format!("not a CRL: {error}")))?;
            self.add_list(path, list, authorities)?;
            found = true;
        }
        if found {
            Ok(())
        } else {
            Err(SecurityError::file(path, "no CRL is in it: it begins `BEGIN X509 CRL`"))
        }
    }

    fn add_list(
        &mut self,
        path: &Path,
        list: CertificateRevocationListDer<'static>,
        authorities: &[CertificateDer<'_>],
    ) -> Result<(), SecurityError> {
        let (_, parsed) = CertificateRevocationList::from_der(&list)
            .map_err(|error| SecurityError::file(path, format!("not a CRL: {error}")))?;
        // With it, every certificate of that authority would be refused in the handshake.
        if signature::is_list_of(&parsed, authorities) == Some(false) {
            let reason = format!(
                "the CRL is not signed by the authority that it names: issuer={:?}",
                parsed.issuer().to_string()
            );
            return Err(SecurityError::file(path, reason));
        }
        if let Some(next) = parsed.next_update() {
            self.ends.push((parsed.issuer().to_string(), next.timestamp()));
        }
        let issuer = parsed.issuer().as_raw();
        for revoked in parsed.iter_revoked_certificates() {
            self.revoked.insert((issuer.to_vec(), serial_hex(revoked.raw_serial())));
        }
        self.lists.push(list);
        Ok(())
    }

    fn add_lines(&mut self, path: &Path, text: &str) -> Result<(), SecurityError> {
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let entry = entry(line).ok_or_else(|| {
                let advice = "write serial:<hex> or spki:<SHA-256 of the public key in hex>";
                SecurityError::file(path, format!("line={}: {advice}", number + 1))
            })?;
            match entry {
                Entry::Serial(serial) => self.serials.insert(serial),
                Entry::PublicKey(hash) => self.public_keys.insert(hash),
            };
        }
        Ok(())
    }

    /// Whether a certificate is no longer taken.
    pub(crate) fn is_revoked(&self, certificate: &PeerCertificate) -> bool {
        self.serials.contains(&certificate.serial)
            || self.public_keys.contains(&certificate.spki_sha256)
            || (!self.revoked.is_empty()
                && self.revoked.contains(&(certificate.issuer_der.clone(), certificate.serial.clone())))
    }

    /// Whether a deny list names anything that the verifier of certificates does not know.
    pub(crate) fn denies(&self) -> bool {
        !self.serials.is_empty() || !self.public_keys.is_empty()
    }
}

enum Entry {
    Serial(String),
    PublicKey(String),
}

/// `serial:` and `spki:`, hexadecimal with or without colons.
fn entry(line: &str) -> Option<Entry> {
    let (kind, value) = line.split_once(':')?;
    let mut digits: String = value.trim().chars().filter(|c| *c != ':').collect();
    if digits.len() % 2 == 1 {
        digits.insert(0, '0');
    }
    let bytes = hex::decode(&digits).ok().filter(|bytes| !bytes.is_empty())?;
    match kind.trim().to_ascii_lowercase().as_str() {
        "serial" => Some(Entry::Serial(serial_hex(&bytes))),
        "spki" if bytes.len() == 32 => Some(Entry::PublicKey(hex::encode(bytes))),
        _ => None,
    }
}
