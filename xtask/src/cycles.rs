//! No file of a crate uses itself by way of others: what is below does not know what is above.

use crate::files::{File, Finding};
use crate::imports::{Import, imports};

/// Crates, by their source directories, that still have such files, and how many.
///
/// The list must only shrink: a number falls with every cycle that is broken, and a crate without
/// cycles has no row. No row is added and no number is raised.
const KNOWN: [(&str, usize); 0] = [];

/// All findings in the crates of the project.
pub fn check(files: &[File]) -> Vec<Finding> {
    check_with(files, &KNOWN)
}

fn check_with(files: &[File], known: &[(&str, usize)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for root in files {
        let Some(directory) = root.path.strip_suffix("lib.rs").or_else(|| {
            let directory = root.path.strip_suffix("main.rs")?;
            let beside = |file: &File| file.path == format!("{directory}lib.rs");
            (!files.iter().any(beside)).then_some(directory)
        }) else {
            continue;
        };
        if !directory.ends_with("src/") {
            continue;
        }
        // Programs are crates of their own.
        let sources: Vec<&File> = files
            .iter()
            .filter(|file| {
                let inside = file.path.strip_prefix(directory);
                inside.is_some_and(|path| path.ends_with(".rs") && !path.starts_with("bin/"))
            })
            .collect();
        let imports = imports(directory, &sources);
        let cycles = cycles(sources.len(), &imports);
        let count: usize = cycles.iter().map(Vec::len).sum();
        let allowed = known.iter().find(|(crate_, _)| *crate_ == directory).map(|row| row.1);
        match allowed {
            Some(allowed) if count == allowed && count > 0 => {}
            Some(allowed) if count < allowed => findings.push(Finding {
                path: root.path.clone(),
                line: 1,
                message: format!(
                    "{count} files of {directory} use each other in cycles, {allowed} are listed; \
                     lower the number in xtask/src/cycles.rs, or delete the row at 0"
                ),
            }),
            _ => findings.extend(cycles.iter().map(|cycle| finding(&sources, directory, cycle))),
        }
    }
    findings
}

fn finding(sources: &[&File], directory: &str, cycle: &[&Import]) -> Finding {
    let name = |file: usize| &sources[file].path[directory.len()..];
    let list: Vec<String> = cycle
        .iter()
        .map(|import| {
            let Import { from, to, line, path } = import;
            format!("{}:{line} uses `{path}` of {}", name(*from), name(*to))
        })
        .collect();
    Finding {
        path: sources[cycle[0].from].path.clone(),
        line: cycle[0].line,
        message: format!(
            "{} files use each other in a cycle: {}; move what several of them need to a file \
             below them all, or hand it over as an argument",
            cycle.len(),
            list.join("; ")
        ),
    }
}

/// The strongly connected components of more than one file: of each file one import that leads to
/// another file of its component.
fn cycles(count: usize, imports: &[Import]) -> Vec<Vec<&Import>> {
    let reached: Vec<Vec<bool>> = (0..count)
        .map(|start| {
            let (mut reached, mut pending) = (vec![false; count], vec![start]);
            while let Some(next) = pending.pop() {
                for import in imports.iter().filter(|import| import.from == next) {
                    if !std::mem::replace(&mut reached[import.to], true) {
                        pending.push(import.to);
                    }
                }
            }
            reached
        })
        .collect();
    let together = |a: usize, b: usize| reached[a][b] && reached[b][a];
    let first = |file: usize| (0..=file).find(|&other| together(file, other));
    (0..count)
        .filter(|&file| first(file) == Some(file))
        .map(|file| {
            let of_cycle = (file..count).filter(|&other| together(file, other));
            of_cycle
                .filter_map(|from| {
                    imports.iter().find(|import| import.from == from && together(from, import.to))
                })
                .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(texts: &[(&str, &str)]) -> Vec<File> {
        texts
            .iter()
            .map(|(path, text)| File { path: path.to_string(), text: text.to_string() })
            .collect()
    }

    const CYCLE: [(&str, &str); 4] = [
        ("crates/x/src/a.rs", "//! a\nuse crate::b::B;\npub struct A;"),
        ("crates/x/src/b.rs", "//! b\nuse crate::{C};\npub struct B;"),
        ("crates/x/src/c.rs", "//! c\n\nuse super::a::A;\npub struct C;"),
        ("crates/x/src/lib.rs", "//! x\nmod a;\nmod b;\nmod c;\npub use c::C;\nuse a::A;"),
    ];

    #[test]
    fn a_cycle_is_named_with_one_import_of_each_file() {
        let found = check_with(&files(&CYCLE), &[]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].path.as_str(), found[0].line), ("crates/x/src/a.rs", 2));
        for part in [
            "3 files",
            "a.rs:2 uses `crate::b::B` of b.rs",
            "b.rs:2 uses `crate::C` of c.rs",
            "c.rs:3 uses `super::a::A` of a.rs",
        ] {
            assert!(found[0].message.contains(part), "{part}: {found:?}");
        }
    }

    #[test]
    fn edges_that_go_down_are_no_cycle() {
        let down = [
            ("crates/x/src/lib.rs", "//! x\nmod a;\nmod b;\nuse b::B;"),
            ("crates/x/src/a.rs", "//! a\npub struct A;"),
            ("crates/x/src/b.rs", "//! b\nuse crate::a::A;\npub struct B;"),
        ];
        assert_eq!(check_with(&files(&down), &[]), []);
        // Two crates, and a program of one of them.
        let two = [
            ("crates/x/src/lib.rs", "//! x\nmod a;\nuse a::A;"),
            ("crates/x/src/a.rs", "//! a\npub struct A;"),
            ("crates/x/src/bin/p.rs", "//! p\nuse crate::a::A;"),
            ("crates/y/src/main.rs", "//! y\nmod a;\npub struct B;"),
            ("crates/y/src/a.rs", "//! a\nuse crate::B;"),
        ];
        assert_eq!(check_with(&files(&two), &[]), []);
    }

    #[test]
    fn known_cycles_may_only_shrink() {
        let all = files(&CYCLE);
        assert_eq!(check_with(&all, &[("crates/x/src/", 3)]), []);
        assert_eq!(check_with(&all, &[("crates/x/src/", 2)]).len(), 1);
        let fewer = check_with(&all, &[("crates/x/src/", 4)]);
        assert!(fewer[0].message.contains("3 files"), "{fewer:?}");
        let none = files(&CYCLE[..2]);
        assert_eq!(check_with(&none, &[]), []);
        let lib = files(&[("crates/x/src/lib.rs", "//! x")]);
        assert_eq!(check_with(&lib, &[("crates/x/src/", 1)]).len(), 1);
    }

    #[test]
    fn rows_have_numbers() {
        assert!(KNOWN.iter().all(|(directory, count)| directory.ends_with("src/") && *count > 1));
    }
}
