//! How soon the allocator gives memory back to the system.
//!
//! Left to itself it keeps what was freed for a second, in every thread: under load that is as much again as is in use.
//! It reads its options from the environment before `main`, so a process that does not find them there becomes one that
//! does, with the same number and the same arguments.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// The time after which freed pages go back, in milliseconds.
const OPTION: &str = "MIMALLOC_PURGE_DELAY";

/// Short enough that little is kept, long enough that a page that is freed and taken again stays: at 10 ms a write costs
/// a fifth more.
const PURGE_DELAY_MS: &str = "100";

/// Sets the options, unless somebody has. Comes back in a process that has them, or where it could not be replaced.
pub(crate) fn configure() {
    if std::env::var_os(OPTION).is_some() {
        return;
    }
    let Ok(binary) = std::env::current_exe() else { return };
    let mut arguments = std::env::args_os();
    let mut command = Command::new(binary);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    // Only a failure comes back, and then it goes on with more memory than it needs.
    let _error = command.args(arguments).env(OPTION, PURGE_DELAY_MS).exec();
}
