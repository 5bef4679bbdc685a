//! Which lines of a Rust file are production code. It reads rustfmt's layout, not Rust's grammar: an inline
//! test module ends at the first `}` that stands as deep as its `mod`.

use std::path::Path;

/// Whether the whole file serves tests or measurements: a `tests` or `benches` folder, or a file `tests.rs`.
pub(crate) fn is_test_file(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "benches")
        || path.file_name().is_some_and(|n| n == "tests.rs")
}

/// The lines outside inline `#[cfg(test)] mod … { … }` blocks, numbered from 1.
pub(crate) fn production_lines(text: &str) -> Vec<(usize, &str)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut production = Vec::with_capacity(lines.len());
    let mut at = 0;
    while at < lines.len() {
        if let Some(end) = test_module_end(&lines, at) {
            at = end + 1;
            continue;
        }
        production.push((at + 1, lines[at]));
        at += 1;
    }
    production
}

/// When a test module opens at this line, the index of its last line.
fn test_module_end(lines: &[&str], at: usize) -> Option<usize> {
    let opening = lines[at];
    if opening.trim() != "#[cfg(test)]" {
        return None;
    }
    let depth = indentation(opening);
    // Attributes and comments may stand between the `cfg` and the `mod`.
    let module = (at + 1..lines.len()).find(|&i| {
        let line = lines[i].trim_start();
        !line.starts_with('#') && !line.starts_with("//")
    })?;
    let line = lines[module].trim();
    let words = line.strip_prefix("pub(crate) ").unwrap_or(line);
    if !words.starts_with("mod ") || !line.ends_with('{') {
        return None;
    }
    let closing =
        (module + 1..lines.len()).find(|&i| indentation(lines[i]) == depth && lines[i].trim() == "}");
    Some(closing.unwrap_or(lines.len() - 1))
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inline_test_modules_are_not_production() {
        let text = "//! A.\nmod a;\n#[cfg(test)]\nmod tests;\nfn f() {}\n#[cfg(test)]\n#[expect(dead_code)]\nmod t {\n    fn g() {\n    }\n}\nfn h() {}\n";
        let numbers: Vec<usize> = production_lines(text).into_iter().map(|(number, _)| number).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 12]);
    }

    #[test]
    fn test_files_are_known_by_their_path() {
        for path in [
            "crates/a/tests/it/main.rs",
            "crates/a/src/b/tests.rs",
            "crates/a/src/tests/data.rs",
            "crates/a/benches/b.rs",
        ] {
            assert!(is_test_file(Path::new(path)), "{path}");
        }
        assert!(!is_test_file(Path::new("crates/a/src/contests.rs")));
    }
}
