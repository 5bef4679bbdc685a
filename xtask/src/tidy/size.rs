//! The size ratchet: a Rust file has at most 500 production lines, `main.rs` of the server 150. Exceptions
//! stand in a list that may only shrink.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::source::{is_test_file, production_lines};
use super::{TextFile, Violation};

/// The most production lines of a file.
const MAX_LINES: usize = 500;
/// The file that only starts, serves and stops, and its own bound.
const MAIN: (&str, usize) = ("crates/server/src/main.rs", 150);

/// Checks every Rust file against its bound, and every exception against its file.
pub(crate) fn check(files: &[TextFile], ratchet_path: &Path, ratchet: &str) -> Vec<Violation> {
    let (exceptions, mut violations) = parse_ratchet(ratchet_path, ratchet);
    let sizes: BTreeMap<&Path, usize> = files
        .iter()
        .filter(|file| file.is_rust() && !is_test_file(&file.path))
        .map(|file| (file.path.as_path(), production_lines(&file.text).len()))
        .collect();
    for (&path, &lines) in &sizes {
        let bound = if path == Path::new(MAIN.0) { MAIN.1 } else { MAX_LINES };
        let allowed = exceptions.get(path).map_or(bound, |exception| exception.lines.max(bound));
        if lines > allowed {
            let message = format!("{lines} production lines, at most {allowed} are allowed: split the file");
            violations.push(Violation::new(path, allowed + 1, message));
        }
    }
    for (path, exception) in &exceptions {
        let complaint = match sizes.get(path.as_path()) {
            None => "no such Rust file: remove the entry".to_owned(),
            Some(&lines) if lines <= MAX_LINES => {
                format!("{} has {lines} lines and needs no exception: remove the entry", path.display())
            }
            Some(&lines) if lines < exception.lines => {
                format!("{} has shrunk: write {lines} instead of {}", path.display(), exception.lines)
            }
            Some(_) => continue,
        };
        violations.push(Violation::new(ratchet_path, exception.line, complaint));
    }
    violations
}

struct Exception {
    /// Production lines that the file may have.
    lines: usize,
    /// Where the entry stands, from 1.
    line: usize,
}

/// One entry a line: path, space, number. Empty lines and lines with `#` are skipped.
fn parse_ratchet(path: &Path, text: &str) -> (BTreeMap<PathBuf, Exception>, Vec<Violation>) {
    let mut exceptions = BTreeMap::new();
    let mut violations = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match line.split_once(' ').map(|(file, number)| (file, number.trim().parse())) {
            Some((file, Ok(lines))) => {
                exceptions.insert(PathBuf::from(file), Exception { lines, line: index + 1 });
            }
            _ => violations.push(Violation::new(path, index + 1, "an entry is a path, a space and a number")),
        }
    }
    (exceptions, violations)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::fixture::{file, printed};

    fn violations(files: &[TextFile], ratchet: &str) -> Vec<String> {
        printed(check(files, Path::new("ratchet.txt"), ratchet))
    }

    #[test]
    fn long_files_are_refused() {
        let long = "fn f() {}\n".repeat(501);
        let files = [
            file("crates/a/src/a.rs", &long),
            file("crates/a/src/a/tests.rs", &long),
            file("crates/a/src/b.rs", &format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{\n{long}}}\n")),
            file("crates/server/src/main.rs", &"fn f() {}\n".repeat(151)),
        ];
        assert_eq!(
            violations(&files, ""),
            [
                "crates/a/src/a.rs:501: 501 production lines, at most 500 are allowed: split the file",
                "crates/server/src/main.rs:151: 151 production lines, at most 150 are allowed: split the file",
            ]
        );
    }

    #[test]
    fn exceptions_only_shrink() {
        let files = [file("a.rs", &"x\n".repeat(510)), file("b.rs", "x\n"), file("c.rs", &"x\n".repeat(520))];
        assert_eq!(
            violations(&files, "# why\na.rs 512\nb.rs 600\nc.rs 515\nd.rs 700\nnonsense\n"),
            [
                "c.rs:516: 520 production lines, at most 515 are allowed: split the file",
                "ratchet.txt:2: a.rs has shrunk: write 510 instead of 512",
                "ratchet.txt:3: b.rs has 1 lines and needs no exception: remove the entry",
                "ratchet.txt:5: no such Rust file: remove the entry",
                "ratchet.txt:6: an entry is a path, a space and a number",
            ]
        );
        assert!(violations(&files[..1], "a.rs 510\n").is_empty());
    }
}
