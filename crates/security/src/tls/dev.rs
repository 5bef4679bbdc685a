//! Certificates for development: an authority of one's own, a pair for each service, and a pair for clients.
//!
//! Not a public key infrastructure: the authority's key lies beside the certificates, so that pairs can be renewed.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest;
use model::Clock;
use model::time::NS_PER_S;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
};
use rustls_pki_types::CertificateDer;

use super::peer::PeerCertificate;
use super::{files, signature};
use crate::bounds::EXPIRY_WARNING_S;
use crate::error::SecurityError;

/// The services that have a pair each.
pub const SERVICES: [&str; 5] = ["collector", "prometheus", "loki", "tempo", "authority"];
/// The certificate of the authority, which servers and clients trust.
pub const CA_FILE: &str = "collector-ca.crt";
/// The authority's key.
const CA_KEY_FILE: &str = "collector-ca.key";
/// The common name of the client pair.
pub const CLIENT_NAME: &str = "stella-dev-client";
/// How long the authority lasts.
const CA_LIFE_S: i64 = 10 * 365 * 86_400;
/// How long a pair lasts: what clients accept at most is a little more.
const PAIR_LIFE_S: i64 = 397 * 86_400;
/// Clocks of machines differ: certificates begin a little in the past.
const SKEW_S: i64 = 3_600;

/// What was found and made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// Files that are new.
    pub written: Vec<PathBuf>,
    /// Files that were there and stay.
    pub kept: Vec<PathBuf>,
}

/// The names of a service's certificate and key: `collector-dev.crt` and `collector-dev.key`.
#[must_use]
pub fn pair_files(service: &str, environment: &str) -> [String; 2] {
    [format!("{service}-{environment}.crt"), format!("{service}-{environment}.key")]
}

/// Makes what is missing, or ends within a month, in a folder; everything where `force` says so. A new authority
/// renews all pairs, as the old ones would not be trusted.
///
/// # Errors
/// When the folder cannot be read or written.
pub fn make(dir: &Path, environment: &str, force: bool, clock: &dyn Clock) -> Result<Made, SecurityError> {
    fs::create_dir_all(dir).map_err(|error| SecurityError::write(dir, error))?;
    let now_s = clock.now().0.div_euclid(NS_PER_S);
    let mut folder = Folder { dir, now_s, force, made: Made::default() };
    let authority = folder.authority()?;
    for service in SERVICES {
        let [cert, key] = pair_files(service, environment);
        let parameters = folder.server(service)?;
        folder.pair(&cert, &key, &parameters, &authority)?;
    }
    let parameters = folder.parameters(CLIENT_NAME, PAIR_LIFE_S, &[ExtendedKeyUsagePurpose::ClientAuth]);
    folder.pair("client.crt", "client.key", &parameters, &authority)?;
    Ok(folder.made)
}

struct Folder<'a> {
    dir: &'a Path,
    now_s: i64,
    force: bool,
    made: Made,
}

impl Folder<'_> {
    fn authority(&mut self) -> Result<Issuer<'static, KeyPair>, SecurityError> {
        let (cert_path, key_path) = (self.dir.join(CA_FILE), self.dir.join(CA_KEY_FILE));
        if !self.force && self.is_good(&cert_path, &key_path, None) {
            self.keep(&cert_path, &key_path)?;
            let (cert, key) = (files::read(&cert_path)?, files::read(&key_path)?);
            let key = KeyPair::from_pem(&String::from_utf8_lossy(&key))
                .map_err(|error| SecurityError::file(&key_path, error.to_string()))?;
            return Issuer::from_ca_cert_pem(&String::from_utf8_lossy(&cert), key)
                .map_err(|error| SecurityError::file(&cert_path, error.to_string()));
        }
        // Pairs of another authority are of no use.
        self.force = true;
        let mut parameters = self.parameters("stella development authority", CA_LIFE_S, &[]);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = parameters.self_signed(&key)?;
        self.write(&key_path, &key.serialize_pem(), 0o600)?;
        self.write(&cert_path, &certificate.pem(), 0o644)?;
        Ok(Issuer::new(parameters, key))
    }

    fn pair(
        &mut self,
        cert: &str,
        key: &str,
        parameters: &CertificateParams,
        authority: &Issuer<'_, KeyPair>,
    ) -> Result<(), SecurityError> {
        let (cert_path, key_path) = (self.dir.join(cert), self.dir.join(key));
        if !self.force && self.is_good(&cert_path, &key_path, Some(&self.dir.join(CA_FILE))) {
            return self.keep(&cert_path, &key_path);
        }
        let key = KeyPair::generate()?;
        let certificate = parameters.signed_by(&key, authority)?;
        self.write(&key_path, &key.serialize_pem(), 0o600)?;
        self.write(&cert_path, &certificate.pem(), 0o644)
    }

    fn server(&self, service: &str) -> Result<CertificateParams, SecurityError> {
        let usages = [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let mut parameters = self.parameters(&format!("stella-{service}"), PAIR_LIFE_S, &usages);
        for name in names(service) {
            parameters.subject_alt_names.push(SanType::DnsName(name.try_into()?));
        }
        let addresses = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        parameters.subject_alt_names.extend(addresses.map(SanType::IpAddress));
        Ok(parameters)
    }

    fn parameters(&self, name: &str, life_s: i64, usages: &[ExtendedKeyUsagePurpose]) -> CertificateParams {
        let mut parameters = CertificateParams::default();
        let mut subject = DistinguishedName::new();
        subject.push(DnType::OrganizationName, "Stella Telemetry development");
        subject.push(DnType::CommonName, name);
        parameters.distinguished_name = subject;
        parameters.not_before = moment(self.now_s - SKEW_S).into();
        parameters.not_after = moment(self.now_s + life_s).into();
        parameters.use_authority_key_identifier_extension = true;
        if !usages.is_empty() {
            parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            parameters.extended_key_usages = usages.to_vec();
        }
        parameters
    }

    /// Whether both files are there and a pair, the authority has signed the certificate, and it lasts for a while.
    fn is_good(&self, cert: &Path, key: &Path, authority: Option<&Path>) -> bool {
        let (Some(der), Some(key)) = (first_certificate(cert), key_pair(key)) else { return false };
        let Ok(certificate) = PeerCertificate::parse(&der) else { return false };
        let spki = digest::digest(&digest::SHA256, &key.subject_public_key_info());
        let is_signed = authority.is_none_or(|authority| {
            first_certificate(authority).is_some_and(|authority| signature::is_issued_by(&der, &authority))
        });
        let lasts = certificate.not_after_s - self.now_s > EXPIRY_WARNING_S;
        is_signed && lasts && certificate.spki_sha256 == hex::encode(spki)
    }

    /// Keeps a pair, whose key is its owner's alone.
    fn keep(&mut self, cert: &Path, key: &Path) -> Result<(), SecurityError> {
        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions(key, private).map_err(|error| SecurityError::write(key, error))?;
        self.made.kept.extend([cert.to_owned(), key.to_owned()]);
        Ok(())
    }

    /// Writes beside the file and renames, so that nobody reads half of it.
    fn write(&mut self, path: &Path, text: &str, mode: u32) -> Result<(), SecurityError> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        let written = write_file(&beside, text, mode).and_then(|()| fs::rename(&beside, path));
        written.map_err(|error| SecurityError::write(path, error))?;
        self.made.written.push(path.to_owned());
        Ok(())
    }
}

fn write_file(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    // What was left behind goes, and nothing that somebody puts there meanwhile is written to.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn first_certificate(path: &Path) -> Option<CertificateDer<'static>> {
    let bytes = files::read(path).ok()?;
    files::certificates(path, &bytes).ok()?.into_iter().next()
}

fn key_pair(path: &Path) -> Option<KeyPair> {
    KeyPair::from_pem(std::str::from_utf8(&files::read(path).ok()?).ok()?).ok()
}

fn moment(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// The names under which a service is reached: on this machine, in compose and in Kubernetes.
fn names(service: &str) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "stella".to_owned()];
    let mut hosts = vec![service.to_owned(), format!("stella-{service}"), format!("stellaops-{service}")];
    if service == "collector" {
        hosts.extend(["otel-collector".to_owned(), "stellaops-otel-collector".to_owned()]);
    }
    for host in hosts {
        names.extend(
            ["", ".observability", ".observability.svc", ".observability.svc.cluster.local"]
                .map(|domain| format!("{host}{domain}")),
        );
    }
    names
}

#[cfg(test)]
mod tests;
