//! Which source file of a crate uses which other: its paths, resolved to the files that define what
//! they name.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use crate::files::File;
use crate::source::{code, is_word, words};

/// A module's path from the crate's root.
type Module = Vec<String>;

/// Imports that lead to one another at most; a longer chain leads in a circle.
const MAX_CHAIN: usize = 16;

/// One file that names something of another file.
#[derive(Debug, PartialEq, Eq)]
pub struct Import {
    /// The file that uses, by its number.
    pub from: usize,
    /// The file that is used.
    pub to: usize,
    /// The line, from 1.
    pub line: usize,
    /// The path as it is written, braces resolved.
    pub path: String,
}

/// A source file without comments, literals and tests.
struct Source {
    code: String,
    /// The file's own module, then those that are written inside it, with their extent.
    scopes: Vec<(Range<usize>, Module)>,
}

/// A leaf of a `use` declaration.
struct Leaf {
    file: usize,
    at: usize,
    scope: Module,
    path: Vec<String>,
    /// What it is called here; `*` for everything.
    name: String,
    public: bool,
}

/// What a path leads to.
enum Target {
    Module(Module),
    /// Something that this file defines.
    Item(usize),
    /// Another crate, or nothing that can be seen in the text.
    Outside,
}

/// The modules of a crate and what they import.
struct Names<'s> {
    sources: &'s [Source],
    modules: HashMap<Module, usize>,
    imports: HashMap<(Module, String), Vec<String>>,
    globs: HashMap<Module, Vec<Vec<String>>>,
}

/// All uses between the files of the crate with this source directory (`crates/nn/src/`).
///
/// A path counts for the file that defines its item, however many re-exports lead there. Not
/// counted are tests, declarations of modules, and re-exports of what the file itself does not use.
pub fn imports(directory: &str, files: &[&File]) -> Vec<Import> {
    let mut tests = HashSet::new();
    let sources: Vec<Source> = files
        .iter()
        .map(|file| {
            let own = module(directory, &file.path);
            let code = without_tests(&code(&file.text), &own, &mut tests);
            let mut scopes = vec![(0..code.len(), own)];
            inline_modules(&code, &mut scopes);
            Source { code, scopes }
        })
        .collect();
    let in_tests = |module: &Module| (1..=module.len()).any(|len| tests.contains(&module[..len]));
    let mut modules = HashMap::new();
    for (number, source) in sources.iter().enumerate() {
        for (_, module) in source.scopes.iter().filter(|(_, module)| !in_tests(module)) {
            modules.entry(module.clone()).or_insert(number);
        }
    }
    let (mut leaves, mut declared) = (Vec::new(), Vec::new());
    for (number, source) in sources.iter().enumerate() {
        declared.push(use_declarations(source, number, &mut leaves));
    }
    let mut names =
        Names { sources: &sources, modules, imports: HashMap::new(), globs: HashMap::new() };
    for leaf in &leaves {
        if leaf.name == "*" {
            names.globs.entry(leaf.scope.clone()).or_default().push(leaf.path.clone());
        } else {
            names.imports.insert((leaf.scope.clone(), leaf.name.clone()), leaf.path.clone());
        }
    }
    let mut all = Vec::new();
    let mut add = |from: usize, to: usize, at: usize, path: &[String]| {
        if from != to {
            let line = sources[from].code[..at].matches('\n').count() + 1;
            all.push(Import { from, to, line, path: path.join("::") });
        }
    };
    for (number, source) in sources.iter().enumerate() {
        if in_tests(&source.scopes[0].1) {
            continue;
        }
        for leaf in leaves.iter().filter(|leaf| leaf.file == number) {
            if leaf.public && !source.uses(&leaf.name, &declared[number]) {
                continue;
            }
            match names.resolve(&leaf.scope, &leaf.path, 0) {
                Target::Item(to) => add(number, to, leaf.at, &leaf.path),
                Target::Module(module) if leaf.name == "*" => {
                    add(number, names.modules[&module], leaf.at, &leaf.path);
                }
                // Whoever imports a module uses nothing of it yet.
                Target::Module(_) | Target::Outside => {}
            }
        }
        for (at, path) in paths(&source.code) {
            if declared[number].iter().any(|range| range.contains(&at)) {
                continue;
            }
            if let Target::Item(to) = names.resolve(source.scope(at), &path, 0) {
                add(number, to, at, &path);
            }
        }
    }
    all
}

/// The module that a file is.
fn module(directory: &str, path: &str) -> Module {
    let inside = path.strip_prefix(directory).unwrap_or(path);
    let inside = inside.strip_suffix(".rs").unwrap_or(inside);
    let mut module: Module = inside.split('/').map(String::from).collect();
    let last = module.last().map(String::as_str);
    if last == Some("mod") || module.len() == 1 && matches!(last, Some("lib" | "main")) {
        module.pop();
    }
    module
}

impl Source {
    /// The innermost module at a place.
    fn scope(&self, at: usize) -> &[String] {
        let around = self.scopes.iter().filter(|(range, _)| range.contains(&at));
        around.max_by_key(|(_, module)| module.len()).map_or(&[], |(_, module)| module)
    }

    /// Whether the code names an item, besides where it is imported. Names of functions count where
    /// they are called: variables may be called alike.
    fn uses(&self, name: &str, declared: &[Range<usize>]) -> bool {
        let is_type = name.starts_with(char::is_uppercase);
        words(&self.code, name).any(|at| {
            let (before, after) = (self.code[..at].trim_end(), &self.code[at + name.len()..]);
            let called = ["(", "!", "::"].iter().any(|call| after.starts_with(call));
            let other = before.ends_with('.') || before.ends_with("fn") || before.ends_with("mod");
            !declared.iter().any(|range| range.contains(&at)) && !other && (is_type || called)
        })
    }

    /// Whether the text has an item of this name.
    fn defines(&self, name: &str) -> bool {
        words(&self.code, name).any(|at| {
            let before = self.code[..at].trim_end();
            ["fn", "struct", "enum", "trait", "type", "const", "static", "union", "macro_rules!"]
                .iter()
                .any(|keyword| before.ends_with(keyword))
        })
    }
}

impl Names<'_> {
    /// Where a path that is written in `scope` leads.
    fn resolve(&self, scope: &[String], path: &[String], chain: usize) -> Target {
        let mut module = scope.to_vec();
        let mut rest = path;
        match path.first().map(String::as_str) {
            None => return Target::Outside,
            Some("crate") => (module, rest) = (Module::new(), &path[1..]),
            Some("self") => rest = &path[1..],
            Some("super") => {
                while rest.first().is_some_and(|first| first == "super") {
                    module.pop();
                    rest = &rest[1..];
                }
            }
            // A module below this one, or what was imported under this name.
            Some(_) => {
                let is_child = self.modules.contains_key(&[scope, &path[..1]].concat());
                let import = self.imports.get(&(module.clone(), path[0].clone()));
                return match import.filter(|import| import[0] != path[0]) {
                    Some(import) if chain < MAX_CHAIN && (path.len() == 1 || !is_child) => {
                        self.import(scope, import, &path[1..], chain)
                    }
                    _ if is_child => self.walk(module, path, chain),
                    _ => Target::Outside,
                };
            }
        }
        self.walk(module, rest, chain)
    }

    /// Where an import in `module` leads, and from there the rest of a path.
    fn import(
        &self,
        module: &[String],
        import: &[String],
        rest: &[String],
        chain: usize,
    ) -> Target {
        match self.resolve(module, import, chain + 1) {
            Target::Module(module) => self.walk(module, rest, chain + 1),
            other => other,
        }
    }

    /// Where the rest of a path leads from a module.
    fn walk(&self, module: Module, rest: &[String], chain: usize) -> Target {
        let Some(&file) = self.modules.get(&module) else { return Target::Outside };
        let Some(name) = rest.first() else { return Target::Module(module) };
        if chain >= MAX_CHAIN {
            return Target::Outside;
        }
        let child = [&module[..], &rest[..1]].concat();
        let is_module = self.modules.contains_key(&child);
        // A module may share its name with an item: the last name of a path means the item.
        if let Some(import) = self.imports.get(&(module.clone(), name.clone())) {
            let same = import[..] == rest[..1];
            if !same && (rest.len() == 1 || !is_module) {
                return match self.import(&module, import, &rest[1..], chain) {
                    // What another crate defines is taken from this file's import.
                    Target::Outside => Target::Item(file),
                    target => target,
                };
            }
        }
        if is_module {
            return self.walk(child, &rest[1..], chain);
        }
        for glob in self.globs.get(&module).into_iter().flatten() {
            if let Target::Module(other) = self.resolve(&module, glob, chain + 1) {
                let known = self.imports.contains_key(&(other.clone(), name.clone()));
                if known || self.sources[self.modules[&other]].defines(name) {
                    return self.walk(other, rest, chain + 1);
                }
            }
        }
        Target::Item(file)
    }
}

/// Blanks everything that `#[cfg(test)]` stands before, and notes the modules declared there.
fn without_tests(code: &str, module: &[String], tests: &mut HashSet<Module>) -> String {
    let mut out = code.to_string();
    let mut from = 0;
    while let Some(start) = out[from..].find("#[cfg(").map(|at| from + at) {
        let attribute = start..closing(&out, start + 1);
        from = attribute.end;
        let condition = &out[attribute.clone()];
        let has = |word: &str| words(condition, word).next().is_some();
        if !has("test") || has("not") {
            continue;
        }
        let end = item_end(&out, attribute.end);
        let item = out[attribute.end..end].trim_end_matches(';').trim();
        if let Some(at) = words(item, "mod").next() {
            let name = item[at + "mod".len()..].trim();
            if name.chars().all(is_word) {
                tests.insert([module, &[name.to_string()]].concat());
            }
        }
        let blank = out[start..end].chars().map(|c| if c == '\n' { c } else { ' ' }).collect();
        let len = String::len(&blank);
        out.replace_range(start..end, &blank);
        from = start + len;
    }
    out
}

/// The position behind the bracket that closes the one at `open`.
fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (at, c) in code[open..].char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth <= 0 {
            return open + at + c.len_utf8();
        }
    }
    code.len()
}

/// The end of the item that begins at `start`: behind its `;` or its body.
fn item_end(code: &str, start: usize) -> usize {
    let mut at = start;
    while let Some(c) = code[at..].chars().next() {
        match c {
            ';' => return at + 1,
            '{' => return closing(code, at),
            '(' | '[' => at = closing(code, at),
            ')' | ']' | '}' => return at,
            _ => at += c.len_utf8(),
        }
    }
    code.len()
}

/// Adds the modules that are written inside the file.
fn inline_modules(code: &str, scopes: &mut Vec<(Range<usize>, Module)>) {
    let starts: Vec<usize> = words(code, "mod").collect();
    for start in starts {
        let rest = &code[start + "mod".len()..];
        let name: String = rest.trim_start().chars().take_while(|&c| is_word(c)).collect();
        let open = start + "mod".len() + rest.find(['{', ';']).unwrap_or(rest.len());
        if name.is_empty() || !code[open..].starts_with('{') {
            continue;
        }
        let around = scopes.iter().filter(|(range, _)| range.contains(&start));
        let parent = around.max_by_key(|(_, module)| module.len()).map_or(&[][..], |s| &s.1);
        let module = [parent, &[name]].concat();
        scopes.push((open..closing(code, open), module));
    }
}

/// Adds the leaves of a file's `use` declarations; returns where these are.
fn use_declarations(source: &Source, file: usize, leaves: &mut Vec<Leaf>) -> Vec<Range<usize>> {
    let mut all = Vec::new();
    for start in words(&source.code, "use") {
        let from = start + "use".len();
        let tree = &source.code[from..];
        // In a type, `use<…>` says what is captured.
        if tree.trim_start().starts_with('<') {
            continue;
        }
        let end = tree.find(';').unwrap_or(tree.len());
        let before = source.code[..start].trim_end();
        let public = before.ends_with("pub")
            || before.ends_with(')')
                && before
                    .rfind("pub(")
                    .is_some_and(|at| closing(before, at + "pub".len()) == before.len());
        let scope = source.scope(start);
        use_tree(&tree[..end], &[], &mut |path, name| {
            let (path, name, scope) = (path.to_vec(), name.to_string(), scope.to_vec());
            leaves.push(Leaf { file, at: start, scope, path, name, public });
        });
        all.push(start..from + end);
    }
    all
}

/// Visits the leaves of a tree of imports: their paths and names.
fn use_tree(tree: &str, prefix: &[String], leaf: &mut impl FnMut(&[String], &str)) {
    let tree = tree.trim();
    if let Some(open) = tree.find('{') {
        let prefix = [prefix, &segments(&tree[..open])].concat();
        let inside = &tree[open + 1..closing(tree, open).max(open + 2) - 1];
        let (mut depth, mut from) = (0, 0);
        for (at, c) in inside.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    use_tree(&inside[from..at], &prefix, leaf);
                    from = at + 1;
                }
                _ => {}
            }
        }
        return use_tree(&inside[from..], &prefix, leaf);
    }
    if tree.is_empty() {
        return;
    }
    let (path, alias) = match words(tree, "as").next() {
        Some(at) => (&tree[..at], Some(tree[at + "as".len()..].trim())),
        None => (tree, None),
    };
    let mut path = [prefix, &segments(path)].concat();
    if path.last().is_some_and(|last| last == "*") {
        path.pop();
        return leaf(&path, "*");
    }
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    let name = alias.map(String::from).or_else(|| path.last().cloned()).unwrap_or_default();
    leaf(&path, &name);
}

fn segments(path: &str) -> Vec<String> {
    path.split("::").map(str::trim).filter(|part| !part.is_empty()).map(String::from).collect()
}

/// The paths of more than one name in code, and where they begin.
fn paths(code: &str) -> Vec<(usize, Vec<String>)> {
    let mut all = Vec::new();
    let mut at = 0;
    while let Some(start) = code[at..].find(is_word).map(|found| at + found) {
        let (mut path, mut end) = (Vec::new(), start);
        loop {
            let name: String = code[end..].chars().take_while(|&c| is_word(c)).collect();
            end += name.len();
            if !name.is_empty() {
                path.push(name);
            }
            let more = code[end..].strip_prefix("::").is_some_and(|rest| rest.starts_with(is_word));
            if !more {
                break;
            }
            end += "::".len();
        }
        let before = code[..start].trim_end();
        // Behind `::` or a dot it is the rest of something else, behind `in` a visibility.
        let begins = !before.ends_with("::") && !before.ends_with('.') && !before.ends_with("(in");
        if path.len() > 1 && begins {
            all.push((start, path));
        }
        at = end;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who uses whom in a crate of these files.
    #[track_caller]
    fn uses(files: &[(&str, &str)], expected: &[(&str, &str, usize)]) {
        let all: Vec<File> = files
            .iter()
            .map(|(path, text)| File { path: format!("a/src/{path}"), text: text.to_string() })
            .collect();
        let found = imports("a/src/", &all.iter().collect::<Vec<_>>());
        let found: Vec<(&str, &str, usize)> = found
            .iter()
            .map(|import| (files[import.from].0, files[import.to].0, import.line))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn every_form_of_an_import_is_seen() {
        let lib = ("lib.rs", "mod a;\nmod b;");
        for text in [
            "use crate::a::A;",
            "pub(crate) use crate::a::A;\nfn f(x: A) {}",
            "use crate::a::{A as B, C};",
            "use super::{a::{A}};",
            "use super::a::*;",
            "use crate::a;\nfn f() { a::f() }",
            "use crate::{a::{self}};\nfn f() { a::f() }",
            "fn f(x: crate::a::A) {}",
            "fn f() -> super::a::A { todo() }",
            "macro_rules! m { () => { $crate::a::f() }; }",
        ] {
            let line = text.matches('\n').count() + 1;
            let line = if text.starts_with("pub") { 1 } else { line };
            let count = if text.contains("C}") { 2 } else { 1 };
            let expected = vec![("b.rs", "a.rs", line); count];
            uses(&[lib, ("a.rs", "pub struct A;"), ("b.rs", text)], &expected);
        }
    }

    #[test]
    fn what_uses_nothing_is_not_counted() {
        let lib = ("lib.rs", "mod a;\nmod b;\npub use a::A;\npub use b::*;");
        for text in [
            "",
            "use crate::a;",
            "//! See [`crate::a::A`].\n/// `crate::a::A`\n// crate::a::A",
            "const B: &str = \"crate::a::A\";",
            "#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}",
            "#[cfg(test)]\nuse crate::a::A;",
            "#[cfg(test)]\n#[rustfmt::skip]\nfn f() { crate::a::f() }",
            "pub use crate::a::A;",
            "use std::a::A;\nfn f() { x.a::<u8>(); std::a::f() }",
            "pub(in crate::a) struct B;",
            "fn f() -> impl Iterator<Item = ()> + use<> { g() }",
            "use self::B;\nstruct B;",
        ] {
            uses(&[lib, ("a.rs", "pub struct A;"), ("b.rs", text)], &[]);
        }
        let tests = ("b/tests.rs", "use super::*;\nuse crate::a::A;");
        uses(&[lib, ("a.rs", ""), ("b/mod.rs", "#[cfg(test)]\nmod tests;"), tests], &[]);
    }

    #[test]
    fn parents_and_children_use_each_other_in_code_only() {
        let child = ("a/b.rs", "use super::A;\npub fn f() {}");
        uses(
            &[("lib.rs", "mod a;"), ("a.rs", "mod b;\npub struct A;"), child],
            &[("a/b.rs", "a.rs", 1)],
        );
        uses(
            &[("lib.rs", "mod a;"), ("a/mod.rs", "mod b;\nfn g() { b::f() }"), child],
            &[("a/mod.rs", "a/b.rs", 2), ("a/b.rs", "a/mod.rs", 1)],
        );
        let inside = "mod x {\n    use super::A;\n    use super::super::C;\n}\nstruct A;";
        uses(&[("lib.rs", "mod a;\npub struct C;"), ("a.rs", inside)], &[("a.rs", "lib.rs", 3)]);
    }

    #[test]
    fn re_exports_lead_to_what_they_name() {
        let lib = ("lib.rs", "mod a;\nmod b;\npub use a::{A, C};\nuse std::fmt::Debug;");
        let a = ("a/mod.rs", "mod c;\npub use c::C;\npub struct A;");
        let text = "use crate::{A, C, Debug, Gone};";
        uses(
            &[lib, a, ("a/c.rs", "pub struct C;"), ("b.rs", text)],
            &[
                ("b.rs", "a/mod.rs", 1),
                ("b.rs", "a/c.rs", 1),
                ("b.rs", "lib.rs", 1),
                ("b.rs", "lib.rs", 1),
            ],
        );
        // Everything at once, and a function that is called like its crate's module.
        let lib = ("lib.rs", "mod a;\nmod b;\nmod f;\npub use a::*;\npub use a::f;");
        let a = ("a.rs", "pub struct A;\npub fn f() {}");
        uses(
            &[lib, a, ("f.rs", ""), ("b.rs", "use crate::A;\nuse crate::f;")],
            &[("b.rs", "a.rs", 1), ("b.rs", "a.rs", 2)],
        );
        // Macros are exported under their own names.
        let a = ("a.rs", "macro_rules! m { () => {}; }\npub(crate) use {m};");
        uses(
            &[("lib.rs", "mod a;\nmod b;"), a, ("b.rs", "use crate::a::m;")],
            &[("b.rs", "a.rs", 1)],
        );
    }
}
