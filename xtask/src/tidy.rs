//! `cargo xtask tidy`: the house rules that a machine can check. Each check reads the tree, never changes
//! it, and names every violation with file and line. It is not a linter of Rust: clippy is.

mod docs;
mod edges;
mod size;
mod source;
mod words;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

use crate::workspace::Workspace;

/// The file of the size exceptions, relative to the root.
const RATCHET: &str = "xtask/ratchet.txt";
/// The document whose edge table and paths must match the tree, relative to the root.
const ARCHITECTURE: &str = "ARCHITECTURE.md";

/// One broken rule at one place; `line` counts from 1.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    /// Relative to the root.
    file: PathBuf,
    line: usize,
    message: String,
}

impl Violation {
    fn new(file: impl Into<PathBuf>, line: usize, message: impl Into<String>) -> Self {
        Self { file: file.into(), line, message: message.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file.display(), self.line, self.message)
    }
}

/// A text file of the tree: its path relative to the root, and its content.
#[derive(Debug)]
pub(crate) struct TextFile {
    path: PathBuf,
    text: String,
}

impl TextFile {
    fn is_rust(&self) -> bool {
        self.path.extension().is_some_and(|extension| extension == "rs")
    }
}

/// Runs every check, prints the violations, and fails when there is one.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<ExitCode> {
    let paths = workspace.files()?;
    let files = read_text_files(workspace, &paths)?;
    let graph = edges::Graph::from_metadata(&workspace.resolve()?)?;
    let ratchet = std::fs::read_to_string(workspace.path(RATCHET)).unwrap_or_default();

    let mut violations = graph.check();
    violations.extend(size::check(&files, Path::new(RATCHET), &ratchet));
    violations.extend(words::check(&files));
    match files.iter().find(|file| file.path == Path::new(ARCHITECTURE)) {
        Some(architecture) => {
            violations.extend(edges::check_table(architecture));
            violations.extend(docs::check(architecture, &paths));
        }
        None => violations.push(Violation::new(ARCHITECTURE, 1, "the document is missing")),
    }

    violations.sort();
    for violation in &violations {
        println!("{violation}");
    }
    if violations.is_empty() {
        println!("tidy: {} files, {} crates, no violation", files.len(), graph.crate_count());
        return Ok(ExitCode::SUCCESS);
    }
    println!("tidy: {} violations", violations.len());
    Ok(ExitCode::FAILURE)
}

/// Reads the files whose text the rules speak of; data of tests and lock files are not among them.
fn read_text_files(workspace: &Workspace, paths: &[PathBuf]) -> anyhow::Result<Vec<TextFile>> {
    let is_text = |path: &&PathBuf| {
        let known = ["rs", "toml", "md", "py", "sh", "yaml", "yml"];
        path.extension().and_then(|extension| extension.to_str()).is_some_and(|e| known.contains(&e))
            || path.starts_with(".ci")
    };
    paths
        .iter()
        .filter(is_text)
        .map(|path| {
            let text = std::fs::read_to_string(workspace.path(path))
                .with_context(|| format!("{} cannot be read as text", path.display()))?;
            Ok(TextFile { path: path.clone(), text })
        })
        .collect()
}

#[cfg(test)]
mod fixture {
    use super::{TextFile, Violation};

    /// A file of an imagined tree.
    pub(crate) fn file(path: &str, text: &str) -> TextFile {
        TextFile { path: path.into(), text: text.to_owned() }
    }

    /// The violations as they would be printed.
    pub(crate) fn printed(mut violations: Vec<Violation>) -> Vec<String> {
        violations.sort();
        violations.iter().map(ToString::to_string).collect()
    }
}
