//! Reading files of certificates, keys and revocations, with a bound on their size.

use std::io::Read;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::bounds::MAX_FILE_BYTES;
use crate::error::SecurityError;

/// The bytes of a file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, SecurityError> {
    let file = std::fs::File::open(path).map_err(|error| SecurityError::read(path, error))?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| SecurityError::read(path, error))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(SecurityError::file(path, format!("larger than {MAX_FILE_BYTES} bytes")));
    }
    Ok(bytes)
}

/// Files in an order that their owner knows, as they were at one look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contents(pub(crate) Vec<(PathBuf, Vec<u8>)>);

impl Contents {
    /// Reads all of them.
    pub(crate) fn read(paths: &[PathBuf]) -> Result<Self, SecurityError> {
        let files = paths.iter().map(|path| Ok((path.clone(), read(path)?)));
        files.collect::<Result<_, SecurityError>>().map(Self)
    }
}

/// The certificates of a PEM file, at least one.
pub(crate) fn certificates(path: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, SecurityError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let found = found.map_err(|error| SecurityError::file(path, format!("not PEM: {error}")))?;
    if found.is_empty() {
        return Err(SecurityError::file(path, "no certificate is in it: it begins `BEGIN CERTIFICATE`"));
    }
    Ok(found)
}

/// The private key of a PEM file: the first one.
pub(crate) fn private_key(path: &Path, bytes: &[u8]) -> Result<PrivateKeyDer<'static>, SecurityError> {
    PrivateKeyDer::from_pem_slice(bytes)
        .map_err(|_| SecurityError::file(path, "no private key is in it: it begins `BEGIN PRIVATE KEY`"))
}

/// Authorities whose certificates are trusted.
pub(crate) fn roots(path: &Path, bytes: &[u8]) -> Result<RootCertStore, SecurityError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, bytes)? {
        roots.add(certificate).map_err(|error| SecurityError::file(path, error.to_string()))?;
    }
    Ok(roots)
}
