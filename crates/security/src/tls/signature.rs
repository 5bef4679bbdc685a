//! Whether an authority's key signed a certificate or a list of revoked ones: what is not verified by a handshake.

use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};

use super::provider;

/// The tag of an object identifier, with which the encoding of an algorithm begins.
const OBJECT_IDENTIFIER: u8 = 0x06;

/// Whether a key signed a message, by the algorithm that the signature names.
fn has_signed(
    key: &SubjectPublicKeyInfo<'_>,
    algorithm: &AlgorithmIdentifier<'_>,
    message: &[u8],
    signature: &[u8],
) -> bool {
    let name = algorithm.algorithm.as_bytes();
    let is_named = |encoded: &[u8]| {
        encoded.first() == Some(&OBJECT_IDENTIFIER)
            && encoded.get(1).is_some_and(|length| usize::from(*length) == name.len())
            && encoded.get(2..2 + name.len()) == Some(name)
    };
    // Several algorithms have one name: with the curve of another key they find no signature.
    let provider = provider();
    let mut known = provider.signature_verification_algorithms.all.iter();
    known.any(|known| {
        is_named(known.signature_alg_id().as_ref())
            && known.verify_signature(&key.subject_public_key.data, message, signature).is_ok()
    })
}

/// Whether one of the authorities with the list's issuer's name signed it; `None` where none has the name.
pub(super) fn is_list_of(
    list: &CertificateRevocationList<'_>,
    authorities: &[CertificateDer<'_>],
) -> Option<bool> {
    let parsed = authorities.iter().filter_map(|der| X509Certificate::from_der(der).ok());
    let named: Vec<_> =
        parsed.filter(|(_, found)| found.subject().as_raw() == list.issuer().as_raw()).collect();
    let signed = |key: &SubjectPublicKeyInfo<'_>| {
        let signature = &list.signature_value.data;
        has_signed(key, &list.signature_algorithm, list.tbs_cert_list.as_ref(), signature)
    };
    (!named.is_empty()).then(|| named.iter().any(|(_, found)| signed(found.public_key())))
}

/// Whether an authority signed a certificate.
pub(super) fn is_issued_by(certificate: &CertificateDer<'_>, authority: &CertificateDer<'_>) -> bool {
    let parsed = X509Certificate::from_der(certificate).ok().zip(X509Certificate::from_der(authority).ok());
    parsed.is_some_and(|((_, certificate), (_, authority))| {
        let message = certificate.tbs_certificate.as_ref();
        let signature = &certificate.signature_value.data;
        has_signed(authority.public_key(), &certificate.signature_algorithm, message, signature)
    })
}
