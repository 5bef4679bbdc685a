//! Standard output of all commands. Whoever reads it may stop when they have seen enough (`stella ... | head`): that is no
//! failure, and what comes after is not written.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};

/// Writes a line to standard output, as `println!` does.
macro_rules! say {
    () => {
        $crate::commands::output::line(format_args!(""))
    };
    ($($text:tt)*) => {
        $crate::commands::output::line(format_args!($($text)*))
    };
}

/// Writes a line.
pub(crate) fn line(text: Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    match out.write_fmt(text).and_then(|()| out.write_all(b"\n")) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => fail(&error),
        _ => {}
    }
}

/// An answer that cannot be written was not given: the command has failed.
#[expect(clippy::print_stderr, reason = "the command failed, and this is where it says why")]
fn fail(error: &std::io::Error) {
    eprintln!("stella: cannot write to standard output: {error}");
    std::process::exit(1);
}
