//! Words and phrases that do not belong in the tree: to-do marks, ignored tests, absolute paths of one
//! machine, a tenant context made outside the gateway, names that say nothing; and that every Rust file
//! opens by saying what it is.

use std::path::Path;

use super::source::{is_test_file, production_lines};
use super::{TextFile, Violation};

/// Marks of unfinished work; written in two halves so that this file does not hold them.
const MARKS: [&str; 4] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX"), concat!("HA", "CK")];
/// Rust that postpones work.
const POSTPONED: [&str; 3] = [concat!("#[ign", "ore"), concat!("to", "do!"), concat!("unimple", "mented!")];
/// Folders that exist on one machine alone.
const MACHINE_FOLDERS: [&str; 4] =
    [concat!("/wo", "rk/"), concat!("/tm", "p/"), concat!("/ho", "me/"), concat!("/ro", "ot/")];
/// Names of crates, files and folders that say nothing of what they hold.
pub(crate) const EMPTY_NAMES: [&str; 7] = ["common", "util", "utils", "helper", "helpers", "manager", "misc"];
/// The constructor that only the gateway calls.
const CONTEXT: &str = concat!("TenantContext", "::new");
/// Where that constructor may be called or defined.
const CONTEXT_HOMES: [&str; 2] = ["crates/security/src/gateway.rs", "crates/model"];

/// Checks every file's words.
pub(crate) fn check(files: &[TextFile]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in files {
        check_lines(file, &mut violations);
        if file.is_rust() {
            check_opening(file, &mut violations);
            check_name(file, &mut violations);
            check_context(file, &mut violations);
        }
    }
    violations
}

fn check_lines(file: &TextFile, violations: &mut Vec<Violation>) {
    let is_document = file.path.extension().is_some_and(|extension| extension == "md");
    for (index, line) in file.text.lines().enumerate() {
        let mut complain = |message: String| violations.push(Violation::new(&file.path, index + 1, message));
        // A document may quote a mark in backticks to speak of it.
        let words = if is_document { without_code(line) } else { line.to_owned() };
        for mark in MARKS.iter().filter(|mark| has_word(&words, mark)) {
            complain(format!("`{mark}`: finish the work, nothing is left marked"));
        }
        for folder in MACHINE_FOLDERS.iter().filter(|folder| has_absolute(line, folder)) {
            complain(format!("`{folder}` exists on one machine only: use a relative or temporary path"));
        }
        if file.is_rust() {
            for phrase in POSTPONED.iter().filter(|phrase| line.contains(**phrase)) {
                complain(format!("`{phrase}`: nothing is postponed or skipped here"));
            }
        }
    }
}

fn check_opening(file: &TextFile, violations: &mut Vec<Violation>) {
    let opening = file.text.lines().next().unwrap_or_default();
    if opening.strip_prefix("//!").is_none_or(|text| text.trim().is_empty()) {
        violations.push(Violation::new(&file.path, 1, "the file must open with `//!` and what it is"));
    }
}

fn check_name(file: &TextFile, violations: &mut Vec<Violation>) {
    let stem = file.path.with_extension("");
    for part in stem.components().filter_map(|part| part.as_os_str().to_str()) {
        if EMPTY_NAMES.contains(&part) {
            let message = format!("`{part}` does not say what is in it: name the thing");
            violations.push(Violation::new(&file.path, 1, message));
        }
    }
    if file.path.file_name().is_some_and(|name| name == "mod.rs") {
        let message = "a module's file has the module's name and stands beside its folder".to_owned();
        violations.push(Violation::new(&file.path, 1, message));
    }
}

fn check_context(file: &TextFile, violations: &mut Vec<Violation>) {
    if is_test_file(&file.path) || CONTEXT_HOMES.iter().any(|home| file.path.starts_with(Path::new(home))) {
        return;
    }
    for (number, line) in production_lines(&file.text) {
        if line.contains(CONTEXT) {
            let message = format!("`{CONTEXT}`: a context is made in {} alone", CONTEXT_HOMES[0]);
            violations.push(Violation::new(&file.path, number, message));
        }
    }
}

/// The line without its code spans.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join(" ")
}

fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(is_part) && !line[at + word.len()..].starts_with(is_part))
}

/// Whether the folder stands there as the root of a path, not as a part of a longer one.
fn has_absolute(line: &str, folder: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || "._-~}>)*".contains(c);
    line.match_indices(folder).any(|(at, _)| !line[..at].ends_with(is_part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::fixture::{file, printed};

    #[test]
    fn unfinished_work_is_refused() {
        let cases = [
            ("a.rs", format!("//! A.\n// {}: later\n", MARKS[0]), 1),
            ("a.py", format!("# {} later\n", MARKS[1]), 1),
            ("a.md", format!("{}: later, and `{}` in code\n", MARKS[3], MARKS[0]), 1),
            ("a.rs", format!("//! A.\n{}]\nfn f() {{ {}() }}\n", POSTPONED[0], POSTPONED[1]), 2),
            ("a.rs", format!("//! A.\nfn f() {{ {}() }}\n", POSTPONED[2]), 1),
            ("a.rs", format!("//! A.\nconst A{}B: u8 = 1;\n", MARKS[3]), 0),
        ];
        for (path, text, count) in cases {
            assert_eq!(check(&[file(path, &text)]).len(), count, "{text}");
        }
    }

    #[test]
    fn machine_paths_are_refused() {
        for folder in MACHINE_FOLDERS {
            let text =
                format!("see {folder}a\nfile://{folder}a\nhttps://example.org{folder}a ./x{folder}a\n");
            assert_eq!(
                printed(check(&[file("a.md", &text)])).len(),
                2,
                "the first two lines name a path of one machine: {text}"
            );
        }
    }

    #[test]
    fn files_open_by_saying_what_they_are() {
        for text in ["", "//!\n", "//! \nfn f() {}\n", "fn f() {}\n"] {
            let found = printed(check(&[file("a.rs", text)]));
            assert_eq!(found, ["a.rs:1: the file must open with `//!` and what it is"], "{text:?}");
        }
        assert!(check(&[file("a.rs", "//! What it is.\n")]).is_empty());
    }

    #[test]
    fn empty_names_are_refused() {
        let paths = [
            "crates/a/src/utils.rs",
            "crates/common/src/lib.rs",
            "crates/a/tests/it/helpers.rs",
            "crates/a/src/b/mod.rs",
        ];
        for path in paths {
            assert_eq!(check(&[file(path, "//! A.\n")]).len(), 1, "{path}");
        }
        assert!(check(&[file("crates/a/src/utility_bill.rs", "//! A.\n")]).is_empty());
    }

    #[test]
    fn contexts_are_made_in_one_place() {
        let text = format!("//! A.\nfn f() {{ {CONTEXT}() }}\n");
        let tested = format!("//! A.\n#[cfg(test)]\nmod tests {{\n    fn f() {{ {CONTEXT}() }}\n}}\n");
        let cases = [
            ("crates/api/src/lib.rs", &text, 1),
            ("crates/security/src/token.rs", &text, 1),
            ("crates/security/src/gateway.rs", &text, 0),
            ("crates/model/src/tenant.rs", &text, 0),
            ("crates/api/tests/it/main.rs", &text, 0),
            ("crates/api/src/lib.rs", &tested, 0),
        ];
        for (path, text, count) in cases {
            assert_eq!(check(&[file(path, text)]).len(), count, "{path}");
        }
    }
}
