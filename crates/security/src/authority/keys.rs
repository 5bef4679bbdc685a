//! Keys that tokens are signed with. The private half lies in a file of this node and never leaves it; the public half
//! is in the document that all nodes read.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{EncodingKey, Header};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde::Serialize;

use super::AuthorityError;
use crate::error::SecurityError;
use crate::tls::files;

/// How tokens are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, Serialize)]
pub enum Algorithm {
    /// ECDSA on the curve P-256 with SHA-256.
    #[default]
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl Algorithm {
    const fn jwt(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }

    fn encoding_key(self, pkcs8: &[u8]) -> EncodingKey {
        match self {
            Self::Es256 => EncodingKey::from_ec_der(pkcs8),
            Self::EdDsa => EncodingKey::from_ed_der(pkcs8),
        }
    }
}

/// A private key, with the public one that belongs to it.
pub(super) struct SigningKey {
    pub(super) jwk: Jwk,
    algorithm: Algorithm,
    key: EncodingKey,
}

/// The file of a key.
fn path(folder: &Path, kid: &str) -> PathBuf {
    folder.join(format!("{kid}.key"))
}

impl SigningKey {
    /// Makes a key and keeps its private half in the folder, readable by its owner alone.
    pub(super) fn create(folder: &Path, algorithm: Algorithm) -> Result<Self, AuthorityError> {
        let failed = |_| AuthorityError::Sign("the system gives no randomness".into());
        let pkcs8 = match algorithm {
            Algorithm::Es256 => {
                let random = SystemRandom::new();
                let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
                made.map_err(failed)?.as_ref().to_vec()
            }
            Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::generate().map_err(failed)?;
                pair.to_pkcs8v1().map_err(failed)?.as_ref().to_vec()
            }
        };
        let signing = Self::from_pkcs8(algorithm, &pkcs8)?;
        let mut text = String::from("-----BEGIN PRIVATE KEY-----\n");
        let encoded = STANDARD.encode(&pkcs8);
        for line in encoded.as_bytes().chunks(64) {
            text.push_str(std::str::from_utf8(line).expect("Base64 is ASCII"));
            text.push('\n');
        }
        text.push_str("-----END PRIVATE KEY-----\n");
        let path = path(folder, signing.kid());
        let write = || {
            fs::create_dir_all(folder)?;
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        write().map_err(|error| SecurityError::write(&path, error))?;
        Ok(signing)
    }

    /// Whether this node has the private half of a key.
    pub(super) fn is_kept(folder: &Path, kid: &str) -> bool {
        is_kid(kid) && path(folder, kid).is_file()
    }

    /// Reads the private half of a public key, where this node has it.
    pub(super) fn load(folder: &Path, public: &Jwk) -> Result<Option<Self>, AuthorityError> {
        let Some(kid) = public.common.key_id.as_deref().filter(|kid| Self::is_kept(folder, kid)) else {
            return Ok(None);
        };
        let path = path(folder, kid);
        let bytes = files::read(&path)?;
        let pkcs8 = PrivatePkcs8KeyDer::from_pem_slice(&bytes)
            .map_err(|_| SecurityError::file(&path, "no private key is in it"))?;
        let algorithm = match public.common.key_algorithm {
            Some(jsonwebtoken::jwk::KeyAlgorithm::ES256) => Algorithm::Es256,
            _ => Algorithm::EdDsa,
        };
        let key = Self::from_pkcs8(algorithm, pkcs8.secret_pkcs8_der())?;
        if key.kid() != kid {
            return Err(SecurityError::file(&path, "the key is another one than its name says").into());
        }
        Ok(Some(key))
    }

    fn from_pkcs8(algorithm: Algorithm, pkcs8: &[u8]) -> Result<Self, AuthorityError> {
        let key = algorithm.encoding_key(pkcs8);
        let failed = |error: jsonwebtoken::errors::Error| AuthorityError::Sign(error.to_string());
        let mut jwk = Jwk::from_encoding_key(&key, algorithm.jwt()).map_err(failed)?;
        jwk.common.key_id = Some(jwk.thumbprint(ThumbprintHash::SHA256).map_err(failed)?);
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        Ok(Self { jwk, algorithm, key })
    }

    pub(super) const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(super) fn kid(&self) -> &str {
        self.jwk.common.key_id.as_deref().expect("a signing key is made with its name")
    }

    /// Signs claims as an access token (RFC 9068).
    pub(super) fn sign(&self, claims: &impl Serialize) -> Result<String, AuthorityError> {
        let mut header = Header::new(self.algorithm.jwt());
        header.typ = Some("at+jwt".into());
        header.kid = Some(self.kid().to_owned());
        jsonwebtoken::encode(&header, claims, &self.key)
            .map_err(|error| AuthorityError::Sign(error.to_string()))
    }
}

/// Names of keys become names of files.
fn is_kid(kid: &str) -> bool {
    kid.len() == 43 && kid.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}
