//! Every hard limit of this room, with its reason.

use std::time::Duration;

/// The largest file of certificates, keys or revocations that is read: a list with some hundred thousand entries.
pub(crate) const MAX_FILE_BYTES: u64 = 16 << 20;
/// The pause between two looks at the files of a listener or client.
pub(crate) const LOOK_PAUSE: Duration = Duration::from_secs(1);
/// A certificate that ends within this time is warned of.
pub(crate) const EXPIRY_WARNING_S: i64 = 30 * 86_400;
/// The pause between two warnings of one certificate.
pub(crate) const WARNING_PAUSE_S: i64 = 86_400;
/// How long nobody else tells of broken files that one listener has told of: all of them look at them within some seconds.
pub(crate) const BROKEN_PAUSE_S: i64 = 10;
/// The time that a client has for the first message of the handshake.
pub(crate) const HELLO_TIMEOUT: Duration = Duration::from_secs(5);
/// The time that it has for the rest.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client is heard out whose handshake has failed.
pub(crate) const LINGER_TIMEOUT: Duration = Duration::from_secs(1);
/// How much is read of it then.
pub(crate) const MAX_LINGER_BYTES: u64 = 64 << 10;
/// Handshakes of one listener at once: each costs some milliseconds of a core and some tens of kilobytes. The listener
/// bounds those of one address far below.
pub(crate) const MAX_HANDSHAKES: usize = 1_024;
/// TLS sessions that a listener can resume.
pub(crate) const MAX_SESSIONS: usize = 4_096;

/// Clients of the Authority.
pub(crate) const MAX_CLIENTS: usize = 4_096;
/// Tokens that are revoked and have not ended: each is about 40 bytes of the document.
pub(crate) const MAX_REVOKED: usize = 65_536;
/// Public keys of all nodes, those that are retired too: one rotation a day for longer than a token lives.
pub(crate) const MAX_KEYS: usize = 512;
/// Scopes, audiences, tenants and keys of one client.
pub(crate) const MAX_WORDS: usize = 256;
/// The name of a client, scope or audience.
pub(crate) const MAX_NAME_BYTES: usize = 128;
/// What a client is for.
pub(crate) const MAX_DESCRIPTION_BYTES: usize = 1_024;
/// No token lives longer, so that keys can go and revocations end.
pub(crate) const MAX_TOKEN_LIFE_S: i64 = 366 * 86_400;
/// What a token of the endpoint lives.
pub(crate) const SHORT_TOKEN_LIFE_S: i64 = 300;
/// The Authority's document: the bounds above leave it far below.
pub(crate) const MAX_STATE_BYTES: u64 = 64 << 20;
/// Versions of the document that stay besides the newest, for a person to look at.
pub(crate) const KEPT_VERSIONS: u64 = 20;
/// A change is given up when others were quicker so often.
pub(crate) const MAX_CHANGE_TRIES: usize = 20;
/// The pause between two looks for a newer document: revocations reach every node in that time.
pub(crate) const REGISTER_PAUSE: Duration = Duration::from_secs(3);
/// How far clocks of machines may differ, in seconds.
pub(crate) const CLOCK_SKEW_S: i64 = 30;
/// The longest token that is looked at.
pub(crate) const MAX_TOKEN_BYTES: usize = 16 << 10;
/// The pause between two fetches of an issuer's keys.
pub(crate) const JWKS_PAUSE: Duration = Duration::from_secs(300);
/// The pause after a fetch that failed.
pub(crate) const JWKS_RETRY_PAUSE: Duration = Duration::from_secs(15);
/// The pause between two fetches of an issuer's keys for tokens that name a key which is not known, in nanoseconds.
pub(crate) const UNKNOWN_KEY_PAUSE_NS: u64 = 10 * 1_000_000_000;
/// The same for our own Authority, which is asked in the store.
pub(crate) const OWN_UNKNOWN_KEY_PAUSE_NS: u64 = 1_000_000_000;
/// How long a request waits for keys that are looked for.
pub(crate) const KEYS_WAIT: Duration = Duration::from_secs(5);
/// How long a node signs with one key, in seconds: then it makes another by itself.
pub(crate) const KEY_LIFE_S: i64 = 180 * 86_400;
/// How much older a key is, in seconds, that no node signs with any more: its own has had another one for so long, if it is
/// still there.
pub(crate) const KEY_GONE_S: i64 = KEY_LIFE_S + 30 * 86_400;
/// How long a new key is public before tokens are signed with it, in seconds: every node and whoever reads `/jwks` of any of
/// them knows it by then.
pub(crate) const KEY_LEAD_S: i64 = 8;
/// The keys of an issuer.
pub(crate) const MAX_JWKS_BYTES: usize = 1 << 20;
/// How long a verified signature counts: so soon a key that an issuer takes back is believed no longer.
pub(crate) const KNOWN_TOKEN_LIFE: Duration = Duration::from_secs(5);
/// Tokens whose signature was verified and is not verified again for a while.
pub(crate) const MAX_KNOWN_TOKENS: u64 = 16_384;
/// How long after its last use a token that was good is known to be no guess.
pub(crate) const PROVEN_TOKEN_LIFE: Duration = Duration::from_secs(3_600);
/// Keys that a token is tried with which names none, or a name that several have.
pub(crate) const MAX_KEYS_TRIED: usize = 16;
/// The longest body of a request to the Authority.
pub(crate) const MAX_FORM_BYTES: usize = 64 << 10;
/// How long before its end an assertion of a client may have been made, in seconds.
pub(crate) const MAX_ASSERTION_LIFE_S: i64 = 600;
/// Assertions of one client that are remembered, so that none is used twice: more of them than of tokens.
pub(crate) const MAX_CLIENT_ASSERTIONS: usize = 2_048;
/// Assertions of one client that are remembered however many others have: [`MAX_CLIENTS`] times so many are the bound of all.
pub(crate) const OWN_ASSERTIONS: usize = 16;
/// Assertions that are remembered of all clients, beyond those: some megabytes.
pub(crate) const MAX_ASSERTIONS: usize = 65_536;
/// When a client that has shown too many assertions is asked to come again, in seconds: some of them have ended by then.
pub(crate) const ASSERTIONS_PAUSE_S: u64 = 30;
/// Addresses or clients whose requests are counted.
pub(crate) const MAX_THROTTLED: usize = 4_096;
/// Authentications of one client from one address that may fail at once before it is told to wait.
pub(crate) const MAX_FAILURES: u32 = 20;
/// How many more may fail each second.
pub(crate) const FAILURES_PER_S: f64 = 0.5;
/// Tokens that one client is given at once.
pub(crate) const MAX_ISSUED: u32 = 60;
/// How many more it is given each second.
pub(crate) const ISSUED_PER_S: f64 = 2.0;
/// Tokens without a good signature that one caller may show at once, at all ports together, before it is looked at with care.
pub(crate) const MAX_BAD_TOKENS: u32 = 200;
/// How many more it may show each second.
pub(crate) const BAD_TOKENS_PER_S: f64 = 20.0;
/// Proofs that are looked at, at once, of all those together that have shown many wrong ones: each costs some tenths of a
/// millisecond of a core.
pub(crate) const MAX_LOOKS: u32 = 500;
/// How many more are looked at each second.
pub(crate) const LOOKS_PER_S: f64 = 500.0;
