//! The project's files: those that git tracks.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A text file of the project.
#[derive(Debug)]
pub struct File {
    /// From the project's root, with `/`.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// A rule that a place in a file breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// Which rule, and the way out.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// The project's root: the next directory upwards whose `Cargo.toml` has a workspace.
///
/// # Errors
/// If there is none.
pub fn root() -> Result<PathBuf, String> {
    // Cargo sets the variable for `cargo xtask`, which then works from any directory below the
    // root.
    let start = match std::env::var_os("CARGO_MANIFEST_DIR") {
        Some(directory) => PathBuf::from(directory),
        None => std::env::current_dir()
            .map_err(|error| format!("the current directory can't be read: {error}"))?,
    };
    let is_root = |directory: &&Path| {
        std::fs::read_to_string(directory.join("Cargo.toml"))
            .is_ok_and(|text| text.lines().any(|line| line.trim() == "[workspace]"))
    };
    let found = start.ancestors().find(is_root).map(Path::to_path_buf);
    found.ok_or_else(|| {
        format!("{} is in no cargo workspace; run this inside the project", start.display())
    })
}

/// All text files that git tracks; without git, or outside a repository, all below `root` that are
/// not build products.
///
/// # Errors
/// If a directory or file can't be read.
pub fn all(root: &Path) -> Result<Vec<File>, String> {
    let mut paths = match tracked(root) {
        Some(paths) => paths,
        None => walk(root)?,
    };
    paths.sort();
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        let place = root.join(&path);
        // A tracked file may be deleted and not yet committed; a link shows up as the file that it
        // names.
        if !place.symlink_metadata().is_ok_and(|data| data.is_file()) {
            continue;
        }
        let bytes =
            std::fs::read(&place).map_err(|error| format!("{path} can't be read: {error}"))?;
        if let Ok(text) = String::from_utf8(bytes) {
            if !text.contains('\0') {
                files.push(File { path, text });
            }
        }
    }
    Ok(files)
}

fn tracked(root: &Path) -> Option<Vec<String>> {
    let output = Command::new("git").arg("-C").arg(root).args(["ls-files", "-z"]).output().ok()?;
    let listed = String::from_utf8(output.stdout).ok()?;
    let paths: Vec<String> = listed.split_terminator('\0').map(String::from).collect();
    (output.status.success() && !paths.is_empty()).then_some(paths)
}

fn walk(root: &Path) -> Result<Vec<String>, String> {
    let (mut paths, mut pending) = (Vec::new(), vec![String::new()]);
    while let Some(directory) = pending.pop() {
        let failed =
            |error: std::io::Error| format!("directory {directory:?} can't be read: {error}");
        for entry in std::fs::read_dir(root.join(&directory)).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path =
                if directory.is_empty() { name.clone() } else { format!("{directory}/{name}") };
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_file() {
                paths.push(path);
            } else if kind.is_dir() && name != "target" && name != ".git" {
                pending.push(path);
            }
        }
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_file_is_found() {
        let root = root().unwrap();
        for paths in
            [walk(&root).unwrap(), all(&root).unwrap().into_iter().map(|file| file.path).collect()]
        {
            assert!(paths.iter().any(|path| path == "xtask/Cargo.toml"), "{paths:?}");
            assert!(
                !paths.iter().any(|path| path.starts_with("target/") || path.starts_with(".git/"))
            );
        }
    }

    #[test]
    fn a_finding_names_its_place() {
        let finding = Finding { path: "a/b.rs".into(), line: 7, message: "too long".into() };
        assert_eq!(finding.to_string(), "a/b.rs:7: too long");
    }
}
