//! Whether the paths that a document names exist in the tree. Only code spans in running text count:
//! fenced blocks may draw what is yet to come.

use std::path::{Path, PathBuf};

use super::{TextFile, Violation};

/// The top folders whose paths a document may name.
const TOP_FOLDERS: [&str; 6] = ["crates/", "xtask/", "docs/", "tests/", "deploy/", ".ci/"];

/// Checks every code span of the document that looks like a file or folder of the tree.
pub(crate) fn check(document: &TextFile, files: &[PathBuf]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut is_fenced = false;
    for (index, line) in document.text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
            continue;
        }
        if is_fenced {
            continue;
        }
        for span in line.split('`').skip(1).step_by(2) {
            if looks_like_path(span) && !exists(span, files) {
                let message = format!("`{span}` does not exist in the tree");
                violations.push(Violation::new(&document.path, index + 1, message));
            }
        }
    }
    violations
}

/// A path under a top folder, or any Rust file; patterns and placeholders are not paths.
fn looks_like_path(span: &str) -> bool {
    let is_plain = span.chars().all(|c| c.is_alphanumeric() || "/._-".contains(c));
    is_plain
        && (TOP_FOLDERS.iter().any(|top| span.starts_with(top)) || (span.ends_with(".rs") && span.len() > 3))
}

fn exists(span: &str, files: &[PathBuf]) -> bool {
    if TOP_FOLDERS.iter().any(|top| span.starts_with(top)) {
        // `starts_with` compares whole components, so a folder is found by any file in it.
        return files.iter().any(|file| file.starts_with(Path::new(span)));
    }
    // A shorter form begins with the crate, as in `storage/flush.rs`, or is the end of a path.
    if files.iter().any(|file| file.ends_with(Path::new(span))) {
        return true;
    }
    let Some((room, rest)) = span.split_once('/') else { return false };
    let full: PathBuf = ["crates", room, "src", rest].iter().collect();
    files.contains(&full)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::fixture::{file, printed};

    #[test]
    fn absent_paths_are_named() {
        let files: Vec<PathBuf> =
            ["crates/storage/src/wal/writer.rs", "xtask/src/main.rs"].iter().map(PathBuf::from).collect();
        let text = "`crates/storage/src/wal/writer.rs` and `crates/storage/` and `storage/wal/writer.rs`\n\
                    `wal/writer.rs` in `crates/storage/src/wal/`, not `foo.txt`, `crates/<name>/src`\n\
                    ```\n`crates/gone/`\n```\n\
                    `crates/gone/` and `storage/gone.rs`\n\
                    `gone.rs` and `crates/storage/src/wa/`\n";
        assert_eq!(
            printed(check(&file("ARCHITECTURE.md", text), &files)),
            [
                "ARCHITECTURE.md:6: `crates/gone/` does not exist in the tree",
                "ARCHITECTURE.md:6: `storage/gone.rs` does not exist in the tree",
                "ARCHITECTURE.md:7: `crates/storage/src/wa/` does not exist in the tree",
                "ARCHITECTURE.md:7: `gone.rs` does not exist in the tree",
            ]
        );
    }
}
