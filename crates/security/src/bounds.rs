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
/// The time that a client has for the handshake.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Handshakes of one listener at once: each costs some milliseconds of a core.
pub(crate) const MAX_HANDSHAKES: usize = 256;
/// TLS sessions that a listener can resume.
pub(crate) const MAX_SESSIONS: usize = 4_096;
