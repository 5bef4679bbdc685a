//! What the fuzz targets are written with: `target!` around what must bear any bytes. With the feature `libfuzzer` a
//! target is driven by libFuzzer (`cargo xtask fuzz`); without it, it is a program that is given files to try, and that
//! compiles with everything else.

#[cfg(feature = "libfuzzer")]
pub use libfuzzer_sys::fuzz_target as target;

/// Makes the program of a target: it tries the files that are named, bytes or text as the target takes them.
#[cfg(not(feature = "libfuzzer"))]
#[macro_export]
macro_rules! target {
    (|$data:ident: &[u8]| $body:expr) => {
        fn main() -> std::io::Result<()> {
            $crate::each_file(|$data: &[u8]| $body)
        }
    };
    (|$text:ident: &str| $body:expr) => {
        fn main() -> std::io::Result<()> {
            $crate::each_file(|data| {
                if let Ok($text) = std::str::from_utf8(data) {
                    $body
                }
            })
        }
    };
}

/// Gives the content of each file that the command line names to a target.
///
/// # Errors
/// When a file cannot be read.
pub fn each_file(run: impl Fn(&[u8])) -> std::io::Result<()> {
    for file in std::env::args_os().skip(1) {
        run(&std::fs::read(file)?);
    }
    Ok(())
}
