//! The layers of the library: which crate may depend on which.

use crate::files::{File, Finding};

/// A crate of the library and those right below it; what these may depend on, it may depend on too.
struct Layer {
    package: &'static str,
    below: &'static [&'static str],
}

const LAYERS: [Layer; 9] = [
    Layer { package: "vivit-tensor", below: &[] },
    Layer { package: "vivit-eigh", below: &["vivit-tensor"] },
    Layer { package: "vivit-autodiff", below: &["vivit-tensor"] },
    Layer { package: "vivit-extend", below: &["vivit-autodiff", "vivit-eigh"] },
    Layer { package: "vivit-curvature", below: &["vivit-extend", "vivit-eigh"] },
    Layer { package: "vivit-nn", below: &["vivit-autodiff"] },
    Layer { package: "vivit-onnx", below: &["vivit-nn"] },
    Layer { package: "vivit-opencl", below: &["vivit-tensor"] },
    Layer { package: "vivit", below: &["vivit-curvature", "vivit-onnx", "vivit-opencl"] },
];

/// What tests and benchmarks use; a program that uses the library should not have to build it.
const UNWANTED: [&str; 6] =
    ["proptest", "criterion", "safetensors", "serde", "serde_derive", "serde_json"];

/// Those of them that a crate needs all the same, because it reads and writes files: state
/// dictionaries and descriptions of models.
const WANTED: [(&str, &[&str]); 2] =
    [("vivit-nn", &["safetensors", "serde_json"]), ("vivit-onnx", &["serde_json"])];

/// A dependency that users of the package build, too.
#[derive(Debug, PartialEq, Eq)]
struct Dependency {
    package: String,
    line: usize,
}

/// All findings in the manifests of `crates/`.
pub fn check(files: &[File]) -> Vec<Finding> {
    let is_manifest =
        |file: &&File| file.path.starts_with("crates/") && file.path.ends_with("/Cargo.toml");
    files.iter().filter(is_manifest).flat_map(check_manifest).collect()
}

fn check_manifest(file: &File) -> Vec<Finding> {
    let finding = |line: usize, message: String| Finding { path: file.path.clone(), line, message };
    let Some(package) = package_name(&file.text) else {
        return vec![finding(1, "the manifest has no `name` in `[package]`".into())];
    };
    if layer(&package).is_none() {
        let message = format!(
            "crate `{package}` has no place among the layers; give it a row in xtask/src/layers.rs"
        );
        return vec![finding(1, message)];
    }
    let allowed = closure(&package);
    let mut findings = Vec::new();
    for Dependency { package: dependency, line } in dependencies(&file.text) {
        if UNWANTED.contains(&dependency.as_str()) && !wanted(&package, &dependency) {
            let way_out = "use it in `tests` or `benches`, or as a dev-dependency";
            findings.push(finding(
                line,
                format!(
                    "`{package}` depends on `{dependency}`, which users would have to build; \
                         {way_out}"
                ),
            ));
        }
        let ours = dependency == "vivit" || dependency.starts_with("vivit-");
        if ours && !allowed.contains(&dependency.as_str()) {
            let those = if allowed.is_empty() {
                "none of the project's crates".into()
            } else {
                allowed.join(", ")
            };
            findings.push(finding(
                line,
                format!("`{package}` depends on `{dependency}`; it may depend on {those}"),
            ));
        }
    }
    findings
}

fn wanted(package: &str, dependency: &str) -> bool {
    WANTED.iter().any(|(by, those)| *by == package && those.contains(&dependency))
}

fn layer(package: &str) -> Option<&'static Layer> {
    LAYERS.iter().find(|layer| layer.package == package)
}

/// All crates below a crate.
fn closure(package: &str) -> Vec<&'static str> {
    let mut all: Vec<&str> = Vec::new();
    let mut pending: Vec<&str> = layer(package).map_or(Vec::new(), |layer| layer.below.to_vec());
    while let Some(next) = pending.pop() {
        if !all.contains(&next) {
            all.push(next);
            pending.extend(layer(next).map_or(&[][..], |layer| layer.below));
        }
    }
    all.sort_unstable();
    all
}

/// The lines of a manifest with their section and number, without comments and blank lines.
fn entries(manifest: &str) -> impl Iterator<Item = (&str, &str, usize)> {
    let mut section = "";
    manifest.lines().enumerate().filter_map(move |(at, line)| {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']).trim();
        }
        (!line.is_empty()).then_some((section, line, at + 1))
    })
}

fn package_name(manifest: &str) -> Option<String> {
    let values = entries(manifest).filter(|&(section, ..)| section == "package");
    let mut names = values
        .filter_map(|(_, line, _)| line.split_once('=').filter(|(key, _)| key.trim() == "name"));
    names.next().map(|(_, value)| value.trim().trim_matches('"').into())
}

/// The manifest's ordinary and build dependencies, of all targets, under the names of their
/// packages.
fn dependencies(manifest: &str) -> Vec<Dependency> {
    let mut all: Vec<Dependency> = Vec::new();
    for (section, line, at) in entries(manifest) {
        let Some(table) = dependency_table(section) else { continue };
        let key = |text: &str| text.trim().trim_matches('"').to_string();
        if line.starts_with('[') {
            if let Some(package) = table {
                all.push(Dependency { package: key(package), line: at });
            }
            continue;
        }
        let Some((name, value)) = line.split_once('=') else { continue };
        let renamed = |value: &str| value.split('"').nth(1).map(String::from);
        if table.is_some() || name.trim().ends_with(".package") {
            // `package = "…"` in a dependency's own table, or `alias.package = "…"`.
            let Some(package) = (name.trim().rsplit('.').next() == Some("package"))
                .then(|| renamed(value))
                .flatten()
            else {
                continue;
            };
            all.push(Dependency { package, line: at });
        } else {
            let package = value.split_once("package").and_then(|(_, rest)| renamed(rest));
            let package =
                package.unwrap_or_else(|| key(name.split('.').next().unwrap_or_default()));
            all.push(Dependency { package, line: at });
        }
    }
    all
}

/// For a section that lists dependencies `None` inside; for one dependency's own table, its name.
fn dependency_table(section: &str) -> Option<Option<&str>> {
    ["dependencies", "build-dependencies"].into_iter().find_map(|kind| {
        let at = section.find(kind)?;
        let (before, after) = (&section[..at], &section[at + kind.len()..]);
        if !(before.is_empty() || (before.starts_with("target.") && before.ends_with('.'))) {
            return None;
        }
        if after.is_empty() { Some(None) } else { after.strip_prefix('.').map(Some) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(package: &str, rest: &str) -> File {
        let short = package.strip_prefix("vivit-").unwrap_or(package);
        File {
            path: format!("crates/{short}/Cargo.toml"),
            text: format!("[package]\nname = \"{package}\"\n\n{rest}"),
        }
    }

    #[track_caller]
    fn clean(package: &str, rest: &str) {
        assert_eq!(check(&[manifest(package, rest)]), []);
    }

    #[track_caller]
    fn caught(package: &str, rest: &str, line: usize, named: &str) {
        let findings = check(&[manifest(package, rest)]);
        assert_eq!(
            findings.iter().map(|finding| finding.line).collect::<Vec<_>>(),
            [line],
            "{findings:?}"
        );
        assert!(findings[0].message.contains(&format!("depends on `{named}`")), "{findings:?}");
    }

    #[test]
    fn layers_are_those_of_the_table_and_below() {
        assert_eq!(closure("vivit-tensor"), [""; 0]);
        assert_eq!(
            closure("vivit-curvature"),
            ["vivit-autodiff", "vivit-eigh", "vivit-extend", "vivit-tensor"]
        );
        assert_eq!(closure("vivit").len(), LAYERS.len() - 1);
        for layer in &LAYERS {
            assert!(
                !closure(layer.package).contains(&layer.package),
                "{} is below itself",
                layer.package
            );
        }
    }

    #[test]
    fn edges_go_down() {
        clean(
            "vivit-curvature",
            "[dependencies]\nvivit-extend.workspace = true\nvivit-tensor = \
             { path = \"../tensor\" }\n",
        );
        clean(
            "vivit",
            "[dependencies]\nvivit-nn.workspace = true\nvivit-opencl = \
             { workspace = true, optional = true }\n",
        );
        caught("vivit-tensor", "[dependencies]\nvivit-eigh.workspace = true\n", 5, "vivit-eigh");
        caught(
            "vivit-extend",
            "[dependencies]\nrayon.workspace = true\nvivit-curvature.workspace = true # up\n",
            6,
            "vivit-curvature",
        );
        caught("vivit-nn", "[dependencies]\nvivit = { path = \"../vivit\" }\n", 5, "vivit");
        caught(
            "vivit-eigh",
            "[dependencies]\nvivit-autodiff.workspace = true\n",
            5,
            "vivit-autodiff",
        );
    }

    #[test]
    fn every_form_of_a_dependency_is_seen() {
        caught("vivit-eigh", "[dependencies.vivit-nn]\nworkspace = true\n", 4, "vivit-nn");
        caught("vivit-eigh", "[dependencies.models]\npackage = \"vivit-nn\"\n", 5, "vivit-nn");
        caught(
            "vivit-eigh",
            "[dependencies]\nmodels = { version = \"1\", package = \"vivit-nn\" }\n",
            5,
            "vivit-nn",
        );
        caught("vivit-eigh", "[build-dependencies]\nvivit-nn = \"0.1\"\n", 5, "vivit-nn");
        caught(
            "vivit-eigh",
            "[target.'cfg(unix)'.dependencies]\nvivit-nn = \"0.1\"\n",
            5,
            "vivit-nn",
        );
        clean(
            "vivit-eigh",
            "[dev-dependencies]\nvivit-nn = \"0.1\"\n[dev-dependencies.criterion]\nworkspace = \
             true\n",
        );
        clean("vivit-eigh", "[features]\nvivit-nn = []\n");
    }

    #[test]
    fn users_do_not_build_test_tools() {
        for name in UNWANTED {
            caught("vivit-extend", &format!("[dependencies]\n{name}.workspace = true\n"), 5, name);
            clean("vivit-extend", &format!("[dev-dependencies]\n{name}.workspace = true\n"));
        }
    }

    #[test]
    fn models_read_and_write_files() {
        clean(
            "vivit-nn",
            "[dependencies]\nsafetensors.workspace = true\nserde_json.workspace = true\n",
        );
        for name in
            UNWANTED.into_iter().filter(|name| !["safetensors", "serde_json"].contains(name))
        {
            caught("vivit-nn", &format!("[dependencies]\n{name}.workspace = true\n"), 5, name);
        }
    }

    #[test]
    fn a_new_crate_needs_a_place() {
        let findings = check(&[manifest("vivit-new", "")]);
        assert!(findings[0].message.contains("`vivit-new`"), "{findings:?}");
        let nameless = File { path: "crates/a/Cargo.toml".into(), text: "[package]\n".into() };
        assert_eq!(check(&[nameless]).len(), 1);
        let outside =
            File { path: "benches/Cargo.toml".into(), text: "[package]\nname = \"a\"\n".into() };
        assert_eq!(check(&[outside]), []);
    }
}
