//! Who comes through a handshake, and what happens when files change.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use model::time::{ManualClock, TimestampNs};
use rcgen::{
    CertificateParams, CertificateRevocationListParams, Issuer, KeyIdMethod, KeyPair, RevokedCertParams,
    SerialNumber,
};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::*;
use crate::tls::{ClientFiles, ClientTls, dev, inspect};

/// Handshakes look at the machine's time, so that certificates must be good today.
fn today() -> Arc<ManualClock> {
    let now = jiff::Timestamp::now().as_nanosecond();
    Arc::new(ManualClock::new(TimestampNs(i64::try_from(now).unwrap())))
}

struct Folder {
    dir: tempfile::TempDir,
    clock: Arc<ManualClock>,
}

impl Folder {
    fn new() -> Self {
        let (dir, clock) = (tempfile::tempdir().unwrap(), today());
        dev::make(dir.path(), "dev", false, &*clock).unwrap();
        Self { dir, clock }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn files(&self, revoked: &[&str]) -> ServerFiles {
        ServerFiles {
            cert: self.path("loki-dev.crt"),
            key: self.path("loki-dev.key"),
            ca: Some(self.path(dev::CA_FILE)),
            revoked: revoked.iter().map(|name| self.path(name)).collect(),
        }
    }

    fn server(&self, auth: ClientAuth, revoked: &[&str]) -> ServerTls {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        ServerTls::open("loki", &self.files(revoked), auth, clock, &Tellings::default()).unwrap()
    }

    /// A client that trusts this folder's authority and shows a pair of another folder, or none.
    fn client(&self, identity: Option<&Path>) -> ClientTls {
        let identity = identity.map(|dir| (dir.join("client.crt"), dir.join("client.key")));
        ClientTls::open(&ClientFiles { ca: self.path(dev::CA_FILE), identity }).unwrap()
    }

    fn own_client(&self) -> ClientTls {
        self.client(Some(self.dir.path()))
    }

    fn certificate(&self) -> PeerCertificate {
        inspect::file(&self.path("client.crt")).unwrap().remove(0)
    }

    /// A list of the folder's authority with these serial numbers.
    fn revoke(&self, name: &str, serials: &[&str]) {
        let text = |name: &str| fs::read_to_string(self.path(name)).unwrap();
        let key = KeyPair::from_pem(&text("collector-ca.key")).unwrap();
        let issuer = Issuer::from_ca_cert_pem(&text(dev::CA_FILE), key).unwrap();
        let template = CertificateParams::default();
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&hex::decode(format!("{serial:0>40}")).unwrap()),
            revocation_time: template.not_before,
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: template.not_before,
            next_update: template.not_after,
            crl_number: SerialNumber::from_slice(&[1]),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        fs::write(self.path(name), list.signed_by(&issuer).unwrap().pem().unwrap()).unwrap();
    }
}

/// A handshake and a byte each way; the certificate that the server saw.
async fn meet(server: &ServerTls, client: &ClientTls) -> Result<Option<PeerCertificate>, String> {
    let (here, there) = tokio::io::duplex(1 << 16);
    let connector = TlsConnector::from(Arc::new(client.config()));
    let answers = async {
        let mut stream = server.accept(there).await.map_err(|error| error.to_string())?;
        let mut byte = [0; 1];
        stream.read_exact(&mut byte).await.map_err(|error| error.to_string())?;
        stream.write_all(&byte).await.map_err(|error| error.to_string())?;
        stream.flush().await.map_err(|error| error.to_string())?;
        Ok::<_, String>(peer(&stream))
    };
    let asks = async {
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = connector.connect(name, here).await.map_err(|error| error.to_string())?;
        stream.write_all(b"x").await.map_err(|error| error.to_string())?;
        let mut byte = [0; 1];
        stream.read_exact(&mut byte).await.map_err(|error| error.to_string())?;
        Ok::<_, String>(())
    };
    let (answered, asked) = tokio::join!(answers, asks);
    answered.and_then(|peer| asked.map(|()| peer))
}

#[tokio::test]
async fn a_listener_takes_what_it_is_told_to_take() {
    let (folder, foreign) = (Folder::new(), Folder::new());
    let (own, none) = (folder.own_client(), folder.client(None));
    let other = folder.client(Some(foreign.dir.path()));
    for (auth, expected) in [
        // no certificate, one of a foreign authority, a good one
        (ClientAuth::Required, [false, false, true]),
        (ClientAuth::Optional, [true, false, true]),
        (ClientAuth::None, [true, true, true]),
    ] {
        let server = folder.server(auth, &[]);
        for (client, expected) in [&none, &other, &own].into_iter().zip(expected) {
            let met = meet(&server, client).await;
            assert_eq!(met.is_ok(), expected, "{auth:?}: {met:?}");
        }
        let seen = meet(&server, &own).await.unwrap();
        assert_eq!(seen.is_some(), auth != ClientAuth::None);
        if let Some(seen) = seen {
            assert_eq!(seen, folder.certificate());
            assert_eq!(seen.common_name.as_deref(), Some(dev::CLIENT_NAME));
        }
    }
    // A server of another authority is not trusted.
    assert!(meet(&foreign.server(ClientAuth::None, &[]), &own).await.is_err());
}

#[tokio::test]
async fn what_is_revoked_is_refused_and_open_connections_with_it() {
    let folder = Folder::new();
    let certificate = folder.certificate();
    let entries = [
        ("deny", format!("# stolen\nserial:{}\n", certificate.serial)),
        ("deny", format!("spki: {} # its key\n", certificate.spki_sha256.to_uppercase())),
        ("deny", format!("serial:0{}\nserial:00\n", certificate.serial)),
    ];
    fs::write(folder.path("deny"), "").unwrap();
    folder.revoke("list.crl", &[]);
    let server = folder.server(ClientAuth::Required, &["deny", "list.crl"]);
    for (file, text) in entries {
        assert!(meet(&server, &folder.own_client()).await.is_ok());
        assert!(server.still_takes(&certificate));
        fs::write(folder.path(file), &text).unwrap();
        assert_eq!(server.look(), Look::Renewed);
        let refused = meet(&server, &folder.own_client()).await.unwrap_err();
        assert!(refused.contains("Revoked") || refused.contains("revoked"), "{text}: {refused}");
        assert!(!server.still_takes(&certificate), "{text}");
        fs::write(folder.path(file), "").unwrap();
        assert_eq!(server.look(), Look::Renewed);
    }
    folder.revoke("list.crl", &[&certificate.serial]);
    assert_eq!(server.look(), Look::Renewed);
    assert!(meet(&server, &folder.own_client()).await.is_err());
    assert!(!server.still_takes(&certificate));
}

#[tokio::test]
async fn pairs_are_exchanged_without_a_restart_and_broken_ones_are_not_taken() {
    let folder = Folder::new();
    let server = folder.server(ClientAuth::Required, &[]);
    let client = folder.own_client();
    let subject = server.expiries();
    assert_eq!(subject.len(), 2, "its own, and that of the authority: {subject:?}");
    assert!(meet(&server, &client).await.is_ok());
    assert_eq!(server.look(), Look::Same);

    let good = fs::read(folder.path("loki-dev.key")).unwrap();
    for broken in [&b""[..], b"no key", &fs::read(folder.path("tempo-dev.key")).unwrap()] {
        fs::write(folder.path("loki-dev.key"), broken).unwrap();
        assert_eq!((server.look(), server.look(), server.look()), (Look::Same, Look::Same, Look::Same));
        assert!(meet(&server, &client).await.is_ok(), "the old pair stays");
    }
    fs::remove_file(folder.path("loki-dev.key")).unwrap();
    assert_eq!(server.look(), Look::Same);
    fs::write(folder.path("loki-dev.key"), good).unwrap();
    assert_eq!(server.look(), Look::Same, "it is what is in use");

    // Everything new: server, clients and their authority.
    let before = folder.certificate();
    dev::make(folder.dir.path(), "dev", true, &*folder.clock).unwrap();
    assert_ne!(folder.certificate().serial, before.serial);
    assert_eq!(server.look(), Look::Renewed);
    assert!(meet(&server, &client).await.is_err(), "it still shows the old certificate");
    assert_eq!(client.look(), Look::Renewed);
    let seen = meet(&server, &client).await.unwrap().unwrap();
    assert_eq!(seen, folder.certificate());
    assert!(server.still_takes(&seen));
    folder.clock.set(TimestampNs((seen.not_after_s + 1) * NS_PER_S));
    assert!(!server.still_takes(&seen), "it has ended");
}

#[test]
fn files_that_do_not_fit_are_named() {
    let folder = Folder::new();
    let clock = || Arc::clone(&folder.clock) as Arc<dyn Clock>;
    let refused = |files: &ServerFiles| {
        let opened = ServerTls::open("loki", files, ClientAuth::Required, clock(), &Tellings::default());
        opened.unwrap_err().to_string()
    };
    let good = folder.files(&[]);
    let other_key = ServerFiles { key: folder.path("tempo-dev.key"), ..good.clone() };
    assert!(refused(&other_key).contains("no pair"), "{}", refused(&other_key));
    let no_ca = ServerFiles { ca: None, ..good.clone() };
    assert!(refused(&no_ca).contains("tls.ca"));
    let swapped = ServerFiles { cert: good.key.clone(), key: good.cert.clone(), ..good.clone() };
    assert!(refused(&swapped).contains("loki-dev.key"));
    let missing = ServerFiles { cert: folder.path("nothing.crt"), ..good };
    assert!(refused(&missing).contains("nothing.crt"));
    for (text, word) in
        [("serial=1", "line=1"), ("\nspki:00\n", "line=2"), ("-----BEGIN CERTIFICATE-----", "CRL")]
    {
        fs::write(folder.path("deny"), text).unwrap();
        let said = refused(&folder.files(&["deny"]));
        assert!(said.contains(word) && said.contains("deny"), "{text:?}: {said}");
    }
}

/// Sends a byte on an open connection and waits for it to come back.
async fn echo<S, C>(server: &mut S, client: &mut C)
where
    S: AsyncRead + AsyncWrite + Unpin,
    C: AsyncRead + AsyncWrite + Unpin,
{
    let mut byte = [0; 1];
    client.write_all(b"x").await.unwrap();
    client.flush().await.unwrap();
    server.read_exact(&mut byte).await.unwrap();
    server.write_all(&byte).await.unwrap();
    server.flush().await.unwrap();
    client.read_exact(&mut byte).await.unwrap();
    assert_eq!(&byte, b"x");
}

#[tokio::test]
async fn an_open_connection_outlives_every_exchange() {
    let folder = Folder::new();
    let (server, client) = (folder.server(ClientAuth::Required, &[]), folder.own_client());
    let (here, there) = tokio::io::duplex(1 << 16);
    let connector = TlsConnector::from(Arc::new(client.config()));
    let name = ServerName::try_from("localhost").unwrap();
    let (accepted, connected) = tokio::join!(server.accept(there), connector.connect(name, here));
    let (mut answering, mut asking) = (accepted.unwrap(), connected.unwrap());
    let mut serial = folder.certificate().serial;
    for _ in 0..50 {
        for pair in ["loki-dev.key", "client.key"] {
            fs::remove_file(folder.path(pair)).unwrap();
        }
        dev::make(folder.dir.path(), "dev", false, &*folder.clock).unwrap();
        assert_eq!((server.look(), client.look()), (Look::Renewed, Look::Renewed));
        let seen = meet(&server, &client).await.unwrap().unwrap();
        assert_ne!(seen.serial, serial, "a new connection shows the new certificate");
        serial = seen.serial;
        echo(&mut answering, &mut asking).await;
    }
}

#[tokio::test]
async fn a_client_certificate_that_has_ended_is_refused() {
    let folder = Folder::new();
    let old = tempfile::tempdir().unwrap();
    // The same authority gave out the pair, long ago.
    for name in [dev::CA_FILE, "collector-ca.key"] {
        fs::remove_file(folder.path(name)).unwrap();
    }
    let then = ManualClock::new(TimestampNs(folder.clock.now().0 - 400 * 86_400 * NS_PER_S));
    dev::make(folder.dir.path(), "dev", true, &then).unwrap();
    for name in ["client.crt", "client.key"] {
        fs::copy(folder.path(name), old.path().join(name)).unwrap();
    }
    dev::make(folder.dir.path(), "dev", false, &*folder.clock).unwrap();
    for auth in [ClientAuth::Required, ClientAuth::Optional] {
        let server = folder.server(auth, &[]);
        assert!(meet(&server, &folder.own_client()).await.is_ok());
        let refused = meet(&server, &folder.client(Some(old.path()))).await.unwrap_err();
        assert!(refused.to_lowercase().contains("expired"), "{refused}");
    }
}

/// How many times pairs are exchanged under load; a longer run names its number in `STELLA_TEST_ROTATIONS`.
const ROTATIONS: usize = 100;

/// Sends numbers until it is told to stop, each after the one before was answered; how many. `stays` on one connection, or
/// makes one for each.
async fn writes(
    client: Arc<ClientTls>,
    address: std::net::SocketAddr,
    first: u64,
    stays: bool,
    stop: Arc<std::sync::atomic::AtomicBool>,
) -> u64 {
    let connect = async || {
        let connector = TlsConnector::from(Arc::new(client.config()));
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap()
    };
    let mut stream = connect().await;
    let mut sent = 0;
    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
        if !stays {
            stream = connect().await;
        }
        let number = (first + sent).to_be_bytes();
        stream.write_all(&number).await.unwrap();
        stream.flush().await.unwrap();
        let mut answer = [0; 8];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, number);
        sent += 1;
    }
    sent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_pairs_are_exchanged_again_and_again() {
    let rotations = std::env::var("STELLA_TEST_ROTATIONS").map_or(ROTATIONS, |text| text.parse().unwrap());
    let folder = Folder::new();
    let server = Arc::new(folder.server(ClientAuth::Required, &[]));
    let client = Arc::new(folder.own_client());
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let seen: Arc<parking_lot::Mutex<std::collections::BTreeSet<u64>>> = Arc::default();
    let (accepting, kept) = (Arc::clone(&server), Arc::clone(&seen));
    let accepts = tokio::spawn(async move {
        loop {
            let (stream, _) = socket.accept().await.unwrap();
            let (tls, kept) = (Arc::clone(&accepting), Arc::clone(&kept));
            tokio::spawn(async move {
                let mut stream = tls.accept(stream).await.unwrap();
                let mut number = [0; 8];
                while stream.read_exact(&mut number).await.is_ok() {
                    kept.lock().insert(u64::from_be_bytes(number));
                    stream.write_all(&number).await.unwrap();
                    stream.flush().await.unwrap();
                }
            });
        }
    });
    let stop: Arc<std::sync::atomic::AtomicBool> = Arc::default();
    let writers: Vec<_> = (0..4_u64)
        .map(|n| tokio::spawn(writes(Arc::clone(&client), address, n << 32, n % 2 == 0, Arc::clone(&stop))))
        .collect();
    for rotation in 0..rotations {
        for key in ["loki-dev.key", "client.key"] {
            fs::remove_file(folder.path(key)).unwrap();
        }
        dev::make(folder.dir.path(), "dev", false, &*folder.clock).unwrap();
        assert_eq!((server.look(), client.look()), (Look::Renewed, Look::Renewed), "{rotation}");
        tokio::task::yield_now().await;
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let mut sent = 0;
    for writer in writers {
        sent += writer.await.unwrap();
    }
    accepts.abort();
    assert_eq!(seen.lock().len() as u64, sent, "every number that was answered was seen");
    assert!(sent > rotations as u64 / 4, "data flowed: {sent}");
}

#[tokio::test]
async fn what_would_end_the_service_does_not_replace_what_works() {
    let (folder, foreign) = (Folder::new(), Folder::new());
    let files = folder.files(&["list.crl"]);
    folder.revoke("list.crl", &["01"]);
    let now_s = jiff::Timestamp::now().as_second();
    let clock = Arc::new(ManualClock::new(TimestampNs(now_s * NS_PER_S)));
    let (auth, ticks) = (ClientAuth::Required, Arc::clone(&clock) as _);
    let server = ServerTls::open("loki", &files, auth, ticks, &Tellings::default()).unwrap();
    let client = folder.own_client();
    assert!(meet(&server, &client).await.is_ok());
    // A list with the authority's name that another one signed: the handshakes of all would fail.
    foreign.revoke("list.crl", &["02"]);
    fs::copy(foreign.path("list.crl"), folder.path("list.crl")).unwrap();
    assert_eq!([server.look(), server.look()], [Look::Same, Look::Same]);
    assert!(meet(&server, &client).await.is_ok());
    folder.revoke("list.crl", &["01"]);
    assert_eq!(server.lists().len(), 1);
    // A pair that has not begun: it is taken when it has.
    let later = ManualClock::new(TimestampNs((now_s + 86_400) * NS_PER_S));
    dev::make(folder.dir.path(), "dev", true, &later).unwrap();
    folder.revoke("list.crl", &["01"]);
    assert_eq!([server.look(), server.look()], [Look::Same, Look::Same]);
    clock.set(TimestampNs((now_s + 86_400) * NS_PER_S));
    assert!((0..200).any(|_| server.look() == Look::Renewed));
    // Two authorities of one name, as in their rotation, are told as one.
    let both = [folder.path(dev::CA_FILE), foreign.path(dev::CA_FILE)].map(|path| fs::read(path).unwrap());
    fs::write(folder.path(dev::CA_FILE), both.concat()).unwrap();
    assert_eq!(server.look(), Look::Renewed);
    let subjects: Vec<_> = server.expiries().into_iter().map(|expiry| expiry.subject).collect();
    assert_eq!(
        subjects.iter().collect::<std::collections::BTreeSet<_>>().len(),
        subjects.len(),
        "{subjects:?}"
    );
}

#[tokio::test]
async fn whoever_shows_no_certificate_is_told_so_though_its_request_was_under_way() {
    let folder = Folder::new();
    let server = Arc::new(folder.server(ClientAuth::Required, &[]));
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let accepts = tokio::spawn(async move {
        loop {
            let stream = socket.accept().await.unwrap().0;
            assert!(server.accept(stream).await.is_err());
        }
    });
    let connector = TlsConnector::from(Arc::new(folder.client(None).config()));
    for _ in 0..20 {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = connector.connect(name, stream).await.unwrap();
        // The client is through with the handshake by itself, and asks.
        let asked = stream.write_all(&[b'x'; 30_000]).await;
        let answered = stream.read_to_end(&mut Vec::new()).await;
        let told = asked.and(answered.map(drop)).unwrap_err().to_string();
        assert!(told.contains("CertificateRequired"), "{told}");
    }
    accepts.abort();
}
