//! Invariants of the project, written as absences.

use crate::files::{File, Finding};
use crate::source::{code, words};

/// Names that a part of the project must not know, in code and documentation.
struct Absence {
    /// The part's directory.
    under: &'static str,
    /// Whole words.
    names: &'static [&'static str],
    /// Why not, and the way out.
    reason: &'static str,
}

const ABSENCES: [Absence; 3] = [
    Absence {
        under: "crates/eigh/src/",
        names: &["Backend", "Cpu", "CpuBuf", "CpuIndex", "OpenCl"],
        reason: "the eigensolver names no backend: take a `Matrix` on the host instead",
    },
    Absence {
        under: "crates/autodiff/src/",
        names: &["vivit_extend", "vivit-extend", "Extension", "ExtensionSet"],
        reason: "autodiff names no extension: show what extensions need on `Site` instead",
    },
    Absence {
        under: "crates/opencl/src/",
        names: &["vivit_autodiff", "vivit-autodiff", "Tape"],
        reason: "a backend knows no tape: what it needs must come through `Backend`'s primitives",
    },
];

/// Parts that name no operation.
const WITHOUT_OPS: [&str; 2] = ["crates/extend/src/", "crates/curvature/src/"];

/// The only files with `unsafe`.
const UNSAFE_FILES: &[&str] = &[
    "benches/benches/libraries.rs",
    "crates/tensor/src/cpu/kernel/mod.rs",
    "crates/tensor/src/cpu/kernel/arena.rs",
    "crates/tensor/src/cpu/kernel/avx512.rs",
    "crates/tensor/src/cpu/kernel/blocked.rs",
    "crates/tensor/src/cpu/kernel/dot.rs",
    "crates/tensor/src/cpu/kernel/element.rs",
    "crates/tensor/src/cpu/kernel/pack.rs",
    "crates/tensor/src/cpu/kernel/pairs.rs",
    "crates/tensor/src/cpu/kernel/scatter.rs",
    "crates/tensor/src/cpu/kernel/sparse.rs",
    "crates/tensor/src/cpu/kernel/tile.rs",
    "crates/tensor/src/cpu/kernel/tests.rs",
    "crates/opencl/src/launch/functions.rs",
    "crates/opencl/src/launch/handles.rs",
    "crates/opencl/src/launch/platforms.rs",
    "crates/opencl/src/launch/queue.rs",
];

/// The manifests of the crates that have such a file: they deny `unsafe`, so that the file can
/// allow it; all others forbid it.
const UNSAFE_MANIFESTS: [&str; 3] =
    ["benches/Cargo.toml", "crates/tensor/Cargo.toml", "crates/opencl/Cargo.toml"];

/// What programs import as a whole, and the names that it may have: others' names are in reach
/// there.
const PRELUDE: (&str, usize) = ("crates/vivit/src/prelude.rs", 40);

/// Lines that a file may have.
const MAX_LINES: usize = 600;

/// Columns that a line of source may have, in characters.
///
/// `cargo fmt` keeps to it where it can; it leaves strings, comments and macro bodies as they are.
const MAX_COLUMNS: usize = 100;

/// Lines between the start of a `SAFETY:` comment and what it is about.
const SAFETY_LINES: usize = 3;

// Written in two parts, so that this file passes its own check.
const UNFINISHED: [&str; 2] = [concat!("FIX", "ME"), concat!("XX", "X")];
const IGNORED_EXAMPLE: &str = concat!("```", "ignore");
const MACHINE_PATHS: [&str; 4] =
    [concat!("/wo", "rk/"), concat!("/tm", "p/"), concat!("/ho", "me/"), concat!("/ro", "ot/")];

/// All findings in all files.
pub fn check(files: &[File]) -> Vec<Finding> {
    files.iter().flat_map(check_file).collect()
}

fn check_file(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut found = |line: usize, message: String| {
        findings.push(Finding { path: file.path.clone(), line, message })
    };
    any_text(&file.text, &mut found);
    if file.path.ends_with(".rs") {
        let code = code(&file.text);
        layout(&file.text, &mut found);
        leftovers(&code, &mut found);
        absent_names(file, &mut found);
        if WITHOUT_OPS.iter().any(|under| file.path.starts_with(under)) {
            absent_ops(&file.text, &code, &mut found);
        }
        if UNSAFE_FILES.contains(&file.path.as_str()) {
            reasoned_unsafe(&file.text, &code, &mut found);
        } else {
            absent_unsafe(&code, &mut found);
        }
    }
    if file.path == PRELUDE.0 {
        short_prelude(&code(&file.text), &mut found);
    }
    if file.path == "Cargo.toml" || file.path.ends_with("/Cargo.toml") {
        lints(file, &mut found);
    }
    findings.sort_by_key(|finding| finding.line);
    findings
}

/// Markers of unfinished work, examples that nothing compiles, and paths of one machine, in any
/// text.
fn any_text(text: &str, found: &mut impl FnMut(usize, String)) {
    for (at, line) in text.lines().enumerate() {
        if line.contains(IGNORED_EXAMPLE) {
            found(
                at + 1,
                "an ignored example is never compiled; use `no_run`, or `text` if it is no code"
                    .into(),
            );
        }
        for marker in UNFINISHED {
            if words(line, marker).next().is_some() {
                found(at + 1, format!("`{marker}`: finish it, or say plainly what is missing"));
            }
        }
        for path in MACHINE_PATHS {
            // After a name it is the middle of a relative path or of an address.
            let inside = |before: &str| {
                before.ends_with(|c: char| c.is_alphanumeric() || "_.-~})".contains(c))
            };
            if line.match_indices(path).any(|(at, _)| !inside(&line[..at])) {
                found(
                    at + 1,
                    format!("`{path}` is a path of one machine; write it from the project's root"),
                );
            }
        }
    }
}

/// The names that the prelude exports are few.
fn short_prelude(code: &str, found: &mut impl FnMut(usize, String)) {
    let in_list = |list: &str| {
        let is_name = |name: &&str| name.chars().any(char::is_alphanumeric);
        list.split(',').filter(is_name).count()
    };
    let exports = code.split(';').filter_map(|statement| statement.split_once("pub use "));
    let names: usize =
        exports.map(|(_, path)| path.split_once('{').map_or(1, |(_, list)| in_list(list))).sum();
    if names > PRELUDE.1 {
        found(
            1,
            format!(
                "the prelude has {names} names, at most {} are allowed: a glob import should be \
                 polite; export modules instead",
                PRELUDE.1
            ),
        );
    }
}

/// First line, lines and columns of a source file.
fn layout(text: &str, found: &mut impl FnMut(usize, String)) {
    if !text.starts_with("//!") && !text.starts_with("#!") {
        found(1, "the file does not open with a `//!` line that says what it is".into());
    }
    let lines = text.lines().count();
    if lines > MAX_LINES {
        found(
            MAX_LINES + 1,
            format!(
                "the file has {lines} lines, at most {MAX_LINES} are allowed; split it by what it \
                 is about"
            ),
        );
    }
    for (at, line) in text.lines().enumerate() {
        let columns = line.chars().count();
        if columns > MAX_COLUMNS {
            found(
                at + 1,
                format!(
                    "the line has {columns} columns, at most {MAX_COLUMNS} are allowed; wrap it, a \
                     string with `\\` at the end of the line"
                ),
            );
        }
    }
}

/// Code that is not there, and tests that do not run.
fn leftovers(code: &str, found: &mut impl FnMut(usize, String)) {
    for (at, line) in code.lines().enumerate() {
        for name in ["todo", "unimplemented"] {
            if words(line, name).any(|start| line[start + name.len()..].starts_with('!')) {
                found(
                    at + 1,
                    format!(
                        "`{name}!` panics on users; write the code or return an error that names \
                         what is not supported"
                    ),
                );
            }
        }
        let ignored = line.contains("#[ignore")
            || (line.contains("cfg_attr") && words(line, "ignore").next().is_some());
        if ignored {
            found(
                at + 1,
                "an ignored test guards nothing; make it run, or make it quick enough to run"
                    .into(),
            );
        }
    }
}

fn absent_names(file: &File, found: &mut impl FnMut(usize, String)) {
    for absence in ABSENCES.iter().filter(|absence| file.path.starts_with(absence.under)) {
        for (at, line) in file.text.lines().enumerate() {
            for name in absence.names.iter().filter(|name| words(line, name).next().is_some()) {
                found(at + 1, format!("`{name}`: {}", absence.reason));
            }
        }
    }
}

/// No operation by name: not the module `ops` in code, nor a path into it in an example.
fn absent_ops(text: &str, code: &str, found: &mut impl FnMut(usize, String)) {
    for (at, (line, code)) in text.lines().zip(code.lines()).enumerate() {
        let std = |before: &str| before.ends_with("std::") || before.ends_with("core::");
        let in_code = words(code, "ops").any(|start| !std(&code[..start]));
        let in_text = words(line, "ops")
            .any(|start| line[start..].starts_with("ops::") && !std(&line[..start]));
        if in_code || in_text {
            let reason = "this layer names no operation: use what `Site` shows (the standard \
                          library's module is written `std::ops`)";
            found(at + 1, format!("`ops`: {reason}"));
        }
    }
}

fn absent_unsafe(code: &str, found: &mut impl FnMut(usize, String)) {
    for (at, line) in code.lines().enumerate() {
        if words(line, "unsafe").next().is_some() {
            found(at + 1, format!("`unsafe` is allowed in {} only", UNSAFE_FILES.join(", ")));
        }
    }
}

/// Every `unsafe` block and implementation has a `SAFETY:` reason just above, every declaration its
/// `# Safety` section.
fn reasoned_unsafe(text: &str, code: &str, found: &mut impl FnMut(usize, String)) {
    let lines: Vec<&str> = text.lines().collect();
    let comment_has = |at: usize, what: &str| {
        lines[at].find("//").is_some_and(|start| lines[at][start..].contains(what))
    };
    let mut before = 0; // a reason counts for the next use only
    let (mut start_of_line, mut uses) = (0, Vec::new());
    for (at, line) in code.split('\n').enumerate() {
        uses.extend(words(line, "unsafe").map(|start| (at, start_of_line + start)));
        start_of_line += line.len() + 1;
    }
    for (at, start) in uses {
        let rest = code[start + "unsafe".len()..].trim_start();
        if rest.starts_with('{') || rest.starts_with("impl") {
            let first = at.saturating_sub(SAFETY_LINES).max(before);
            if !(first..=at).any(|at| comment_has(at, "SAFETY:")) {
                let reason = format!(
                    "a `// SAFETY:` comment at most {SAFETY_LINES} lines above it and its own"
                );
                found(
                    at + 1,
                    format!("this `unsafe` lacks its reason: {reason}, saying why it is sound"),
                );
            }
        } else if !in_trait_impl(&code[..start]) {
            let above = lines[..at].iter().rev().take_while(|line| {
                let line = line.trim_start();
                line.starts_with("//") || line.starts_with("#[")
            });
            let stated = (at - above.count()..at)
                .any(|at| comment_has(at, "# Safety") || comment_has(at, "SAFETY:"));
            if !stated {
                found(
                    at + 1,
                    "this `unsafe` declaration lacks a `# Safety` section that says what callers \
                     must promise"
                        .into(),
                );
            }
        }
        before = at + 1;
    }
}

/// Whether code that follows `before` is directly inside `impl … for …`: the trait's methods state
/// their conditions themselves.
fn in_trait_impl(before: &str) -> bool {
    let mut depth = 0;
    let open = before.char_indices().rev().find(|&(_, c)| {
        depth += match c {
            '}' => 1,
            '{' => -1,
            _ => 0,
        };
        depth < 0
    });
    let Some((open, _)) = open else { return false };
    let start = before[..open].rfind(['{', '}', ';']).map_or(0, |at| at + 1);
    let head = before[start..open].replace('\n', " ");
    let is_for = words(&head, "for").any(|at| !head[at + "for".len()..].starts_with('<'));
    words(&head, "impl").next().is_some() && is_for
}

/// Every member takes the workspace's lints, and these forbid `unsafe`.
fn lints(file: &File, found: &mut impl FnMut(usize, String)) {
    let mut section = "";
    let has = |wanted: &str, key: &str| {
        file.text.lines().any(|line| {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.starts_with('[') {
                section = line;
            }
            section == wanted && line.split_whitespace().collect::<String>() == key
        })
    };
    check_lints(file.path.as_str(), has, found);
}

fn check_lints(
    path: &str,
    mut has: impl FnMut(&str, &str) -> bool,
    found: &mut impl FnMut(usize, String),
) {
    let (section, key) = match path {
        "Cargo.toml" => ("[workspace.lints.rust]", r#"unsafe_code="forbid""#),
        path if UNSAFE_MANIFESTS.contains(&path) => ("[lints.rust]", r#"unsafe_code="deny""#),
        _ => ("[lints]", "workspace=true"),
    };
    if !has(section, key) {
        found(
            1,
            format!(
                "`{key}` is missing in `{section}`; with it, `unsafe` is kept to {}",
                UNSAFE_FILES.join(", ")
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of the findings in a file of this text.
    fn lines(path: &str, text: &str) -> Vec<usize> {
        check_file(&File { path: path.into(), text: text.into() })
            .into_iter()
            .map(|finding| finding.line)
            .collect()
    }

    #[track_caller]
    fn clean(path: &str, text: &str) {
        assert_eq!(lines(path, text), [0; 0], "{path}: {text}");
    }

    #[track_caller]
    fn caught(path: &str, text: &str, line: usize) {
        assert_eq!(lines(path, text), [line], "{path}: {text}");
    }

    #[test]
    fn names_are_absent_in_code_and_documentation() {
        caught("crates/eigh/src/lib.rs", "//! a\nuse vivit_tensor::{Backend, Matrix};", 2);
        caught("crates/eigh/src/lib.rs", "//! On [`Cpu`]", 1);
        caught("crates/eigh/src/lib.rs", "//! a\nfn f(x: CpuBuf) {}", 2);
        clean("crates/eigh/src/lib.rs", "//! No backend.\nuse vivit_tensor::Matrix;");
        clean("crates/tensor/src/lib.rs", "//! a\nuse crate::{Backend, Cpu};");
        caught("crates/autodiff/src/site.rs", "//! Shown to an `Extension`", 1);
        caught("crates/autodiff/src/site.rs", "//! a\nuse vivit_extend::run;", 2);
        clean("crates/autodiff/src/site.rs", "//! Extensions are shown it");
        caught("crates/opencl/src/lib.rs", "//! a\nuse vivit_autodiff::Var;", 2);
    }

    #[test]
    fn ops_are_absent_in_extend_and_curvature() {
        caught("crates/extend/src/run.rs", "//! a\nuse vivit_autodiff::ops::Linear;", 2);
        caught("crates/extend/src/run.rs", "//! a\nuse vivit_autodiff::{Site, ops};", 2);
        caught("crates/curvature/src/ggn.rs", "//! use vivit_autodiff::ops::Linear;", 1);
        clean(
            "crates/curvature/src/ggn.rs",
            "//! Over all ops\nuse std::ops::Range;\nfn f(r: core::ops::Range<u8>, loops: u8) {}",
        );
        clean("crates/nn/src/lib.rs", "//! a\nuse vivit_autodiff::ops::Linear;");
    }

    #[test]
    fn unsafe_is_in_its_files_only() {
        caught("crates/nn/src/lib.rs", "//! a\nfn f() { unsafe { g() } }", 2);
        caught("xtask/src/main.rs", "//! a\nunsafe impl Send for X {}", 2);
        clean(
            "crates/nn/src/lib.rs",
            "//! Nothing is unsafe\n#![forbid(unsafe_code)]\nconst X: &str = \"unsafe\";",
        );
    }

    const KERNEL: &str = UNSAFE_FILES[0];

    #[test]
    fn unsafe_blocks_have_a_reason() {
        clean(KERNEL, "//! a\n// SAFETY: in bounds\nlet x = unsafe { g() };");
        clean(KERNEL, "//! a\n// SAFETY: in bounds,\n// really\nlet x =\n    unsafe { g() };");
        caught(KERNEL, "//! a\nlet x = unsafe { g() };", 2);
        caught(KERNEL, "//! a\n// SAFETY: far\n\n\n\nlet x = unsafe { g() };", 6);
        caught(KERNEL, "//! a\nlet s = \"SAFETY:\"; unsafe { g() }", 2);
        caught(
            KERNEL,
            "//! a\n// SAFETY: of the first\nunsafe impl Send for X {}\nunsafe impl Sync for X {}",
            4,
        );
        caught(KERNEL, "//! a\nunsafe\n{ g() }", 2);
    }

    #[test]
    fn unsafe_declarations_have_a_contract() {
        clean(
            KERNEL,
            "//! a\n/// Adds.\n///\n/// # Safety\n/// In bounds.\n#[inline]\nunsafe fn f() {}",
        );
        clean(KERNEL, "//! a\n// SAFETY: callers check\nunsafe fn f() {}");
        caught(KERNEL, "//! a\n/// Adds.\nunsafe fn f() {}", 3);
        caught(KERNEL, "//! a\n/// # Safety\n/// Of g.\nunsafe fn g() {}\n\nunsafe fn f() {}", 6);
        clean(
            KERNEL,
            "//! a\nimpl<E: Copy> Add for X<E> \
             {\n    fn g() {}\n    #[inline]\n    unsafe fn f() {}\n}",
        );
        caught(KERNEL, "//! a\nimpl<F: for<'a> Fn(&'a u8)> X<F> {\n    unsafe fn f() {}\n}", 3);
    }

    #[test]
    fn files_open_with_what_they_are_and_stay_short() {
        caught("tests/a.rs", "use std::fs;", 1);
        caught("tests/a.rs", "", 1);
        clean("tests/a.rs", "#![no_std]");
        let long = |lines: usize| format!("//! a\n{}", "fn f() {}\n".repeat(lines - 1));
        clean("tests/a.rs", &long(MAX_LINES));
        caught("tests/a.rs", &long(MAX_LINES + 1), MAX_LINES + 1);
        clean("notes.md", &"a\n".repeat(MAX_LINES + 1));
    }

    #[test]
    fn lines_of_source_stay_narrow() {
        let comment =
            |columns: usize| format!("//! a\n// {}\nfn f() {{}}", "é".repeat(columns - 3));
        clean("tests/a.rs", &comment(MAX_COLUMNS));
        caught("tests/a.rs", &comment(MAX_COLUMNS + 1), 2);
        let string =
            |columns: usize| format!("//! a\nconst A: &str = \"\n{}\";", "b".repeat(columns - 2));
        clean("tests/a.rs", &string(MAX_COLUMNS));
        caught("tests/a.rs", &string(MAX_COLUMNS + 1), 3);
        caught("tests/a.rs", &format!("//! a\nm! {{ {} }}", "x ".repeat(MAX_COLUMNS)), 2);
        clean("notes.md", &"a".repeat(MAX_COLUMNS + 1));
    }

    #[test]
    fn the_prelude_is_short() {
        let of = |names: usize| {
            let list: Vec<String> = (1..names).map(|name| format!("N{name}")).collect();
            format!("//! a\npub use a::{{{}}};\n#[cfg(b)]\npub use c::D;\n", list.join(",\n"))
        };
        clean(PRELUDE.0, &of(PRELUDE.1));
        caught(PRELUDE.0, &of(PRELUDE.1 + 1), 1);
        clean("crates/nn/src/lib.rs", &of(PRELUDE.1 + 1));
    }

    #[test]
    fn nothing_is_left_unfinished() {
        caught("tests/a.rs", "//! a\nfn f() { todo!() }", 2);
        caught("tests/a.rs", "//! a\nfn f() { unimplemented!(\"b\") }", 2);
        caught("tests/a.rs", "//! a\n#[test]\n#[ignore = \"slow\"]\nfn f() {}", 3);
        caught("tests/a.rs", "//! a\n#[cfg_attr(miri, ignore)]\nfn f() {}", 2);
        caught("tests/a.rs", &format!("//! a\n/// {IGNORED_EXAMPLE}\nfn f() {{}}"), 2);
        caught("docs/a.md", &format!("# a\n\n{IGNORED_EXAMPLE}\nlet a = 1;"), 3);
        clean("tests/a.rs", "//! The list todo!\n#[doc = \"#[ignore]\"]\nfn f() {}");
        for marker in UNFINISHED {
            caught("tests/a.rs", &format!("//! a\n// {marker}: b"), 2);
            caught("notes.md", &format!("a {marker}"), 1);
            clean("notes.md", &format!("a{marker}b"));
        }
    }

    #[test]
    fn paths_are_relative() {
        for path in MACHINE_PATHS {
            caught("notes.md", &format!("see `{path}a`"), 1);
            caught("a/run", &format!("b\ncd {path}"), 2);
            clean("notes.md", &format!("https://example.org{path}a"));
        }
    }

    #[test]
    fn members_take_the_workspace_lints() {
        clean("crates/nn/Cargo.toml", "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n");
        caught("crates/nn/Cargo.toml", "[package]\nname = \"a\"\n", 1);
        caught("crates/nn/Cargo.toml", "[package]\nworkspace = true\n[lints]\n", 1);
        caught("crates/nn/Cargo.toml", "[lints]\n# workspace = true\n", 1);
        clean("crates/tensor/Cargo.toml", "[lints.rust]\nunsafe_code = \"deny\"\n");
        caught("crates/tensor/Cargo.toml", "[lints.rust]\nunsafe_code = \"allow\"\n", 1);
        clean("Cargo.toml", "[workspace.lints.rust]\nunsafe_code = \"forbid\"\n");
        caught("Cargo.toml", "[workspace.lints.rust]\nunsafe_code = \"warn\"\n", 1);
    }
}
