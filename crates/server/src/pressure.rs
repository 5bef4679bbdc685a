//! Measures what the process holds, often enough that a part which grows quickly is seen before the limit is reached.
//!
//! On a thread of its own: where the runtimes are busy a task of theirs would come too late.

use std::thread;
use std::time::Duration;

use model::Pressure;
use tokio_util::sync::CancellationToken;

use crate::process::resident_bytes;

/// Time between two looks. New memory comes at about a gigabyte a second, as its pages have to be cleared.
const TICK: Duration = Duration::from_millis(20);

/// Looks until `stop`.
///
/// # Errors
/// When the system has no thread left.
pub(crate) fn watch(pressure: Pressure, stop: CancellationToken) -> std::io::Result<()> {
    let looking = move || {
        while !stop.is_cancelled() {
            if let Some(bytes) = resident_bytes() {
                pressure.note(usize::try_from(bytes).unwrap_or(usize::MAX));
            }
            thread::sleep(TICK);
        }
    };
    thread::Builder::new().name("stella-memory".to_owned()).spawn(looking).map(drop)
}
