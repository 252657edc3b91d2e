//! What an extension takes, against the lists of ARCHITECTURE.md ("Where the next change goes").
//!
//! `extending/*.patch` each add a dummy. Files that are new, and places in others that change, are counted but for
//! cases. A copy of the tree with all of them is checked by the compiler, and tested by the test that is ignored.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A patch, the most files and places that it may take, and the tests that must pass with it (`cargo test` each).
struct Extension {
    patch: &'static str,
    most: usize,
    tests: &'static [&'static [&'static str]],
}

const EXTENSIONS: &[Extension] = &[
    Extension {
        patch: "neuron.patch",
        most: 3,
        tests: &[
            &["-p", "snnc-ir", "--lib", "neuron::"],
            &["-p", "snnc-testsuite", "--test", "neurons"],
        ],
    },
    // A function, and a row of the table.
    Extension { patch: "operator.patch", most: 2, tests: &[] },
    // A file, its `mod`, and a row of the pipeline.
    Extension {
        patch: "pass.patch",
        most: 3,
        tests: &[&["-p", "snnc-testsuite", "--test", "each_pass"]],
    },
    // A folder, its `mod`, and a row of the registry.
    Extension {
        patch: "target.patch",
        most: 3,
        tests: &[&["-p", "snnc-testsuite", "--test", "targets"]],
    },
    // A file, its `mod`, a row of the codings and one of the IR's; targets that take it name it.
    Extension { patch: "coding.patch", most: 4, tests: &[] },
    // A file, its `mod`, a variant, a line of `dispatch` and a row of `docs/commands.md`.
    Extension {
        patch: "command.patch",
        most: 5,
        tests: &[&["-p", "snnc-testsuite", "--test", "commands"]],
    },
];

fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().expect("it lies in the workspace").to_owned()
}

fn patch(extension: &Extension) -> PathBuf {
    root().join("testsuite/extending").join(extension.patch)
}

/// Whether a file holds cases: examples, tests and their data.
fn is_case(file: &str) -> bool {
    file.starts_with("testsuite/") || file.contains("/tests") || file.ends_with("examples.jsonl")
}

/// New files, and places in others where lines come or go, each by its first line, but for cases.
fn effort(patch: &str) -> Vec<String> {
    let (mut found, mut is_new, mut file, mut within) = (Vec::new(), false, None, false);
    for line in patch.lines() {
        let changes = line.starts_with(['+', '-']);
        if let Some(from) = line.strip_prefix("--- ") {
            is_new = from == "/dev/null";
            file = None;
        } else if let Some(to) = line.strip_prefix("+++ ") {
            let to = to.strip_prefix("b/").unwrap_or(to);
            file = (!is_case(to)).then_some(to);
            if let (Some(to), true) = (file, is_new) {
                found.push(to.to_owned());
            }
            within = false;
            continue;
        } else if let (Some(file), false, true, false) = (file, is_new, changes, within) {
            found.push(format!("{file}: {line}"));
        }
        within = changes;
    }
    found
}

#[test]
fn extensions_take_no_more_than_is_promised() {
    for extension in EXTENSIONS {
        let text = std::fs::read_to_string(patch(extension)).expect("there is the patch");
        let effort = effort(&text);
        assert!(!effort.is_empty() && effort.len() <= extension.most, "{effort:#?}");
    }
}

#[test]
fn every_patch_is_listed() {
    let listed: BTreeSet<&str> = EXTENSIONS.iter().map(|e| e.patch).collect();
    let folder = root().join("testsuite/extending");
    for entry in std::fs::read_dir(folder).expect("there is the folder").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(listed.contains(name.as_str()), "{name} is not listed");
    }
}

#[test]
fn new_files_and_changed_places_count_and_cases_do_not() {
    let text = "--- /dev/null\n+++ b/a.rs\n@@ -0,0 +1,2 @@\n+one\n+two\n--- a/b.rs\n+++ b/b.rs\n@@\n \
                same\n-gone\n+come\n same\n+more\n@@\n+last\n--- a/testsuite/c\n+++ b/testsuite/c\n@@\n+case\n";
    assert_eq!(effort(text), ["a.rs", "b.rs: -gone", "b.rs: +more", "b.rs: +last"]);
}

/// Copies what the repository holds, or would hold, to a folder.
fn copy_tree(to: &Path) {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(root())
        .output()
        .expect("git runs");
    for name in String::from_utf8(listed.stdout).expect("names are UTF-8").split_terminator('\0') {
        let (from, to) = (root().join(name), to.join(name));
        if from.is_file() {
            std::fs::create_dir_all(to.parent().expect("it is below")).expect("a folder");
            std::fs::copy(from, to).expect("a copy");
        }
    }
}

fn apply(extension: &Extension, to: &Path, check: bool) {
    let mut command = Command::new("git");
    command.arg("apply").args(check.then_some("--check")).arg(patch(extension));
    // A folder above that is a repository must not decide what paths mean.
    let output = command.current_dir(to).env("GIT_CEILING_DIRECTORIES", to).output();
    let output = output.expect("git runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {told}", extension.patch);
}

#[test]
fn extensions_apply_to_the_tree_as_it_is() {
    for extension in EXTENSIONS {
        apply(extension, &root(), true);
    }
}

/// Makes `to` what `from` is; what is the same already keeps its time, so that it is not built anew.
fn synchronise(from: &Path, to: &Path) {
    let names = |folder: &Path| -> BTreeSet<std::ffi::OsString> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name()).collect()
    };
    std::fs::create_dir_all(to).expect("a folder");
    let wanted = names(from);
    for name in names(to).difference(&wanted) {
        let path = to.join(name);
        let removed =
            if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        removed.expect("what was left of another copy goes");
    }
    for name in wanted {
        let (from, to) = (from.join(&name), to.join(&name));
        if from.is_dir() {
            synchronise(&from, &to);
        } else if std::fs::read(&to).ok() != std::fs::read(&from).ok() {
            std::fs::copy(from, to).expect("a copy");
        }
    }
}

/// A copy of the tree with every extension, below the folder of builds.
fn extended() -> PathBuf {
    let folder = tempfile::tempdir().expect("a folder");
    copy_tree(folder.path());
    EXTENSIONS.iter().for_each(|extension| apply(extension, folder.path(), false));
    let tree = root().join("target/extending");
    synchronise(folder.path(), &tree);
    tree
}

fn cargo(arguments: &[&str], tree: &Path) {
    let output = Command::new(env!("CARGO"))
        .args([&arguments[..1], &["--locked", "--offline"], &arguments[1..]].concat())
        // What the tree itself was built with is not built again.
        .env("CARGO_TARGET_DIR", root().join("target"))
        .current_dir(tree)
        .output()
        .expect("cargo runs");
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}\n{out}\n{err}");
}

#[test]
fn a_tree_with_all_extensions_is_sound() {
    cargo(&["check", "-p", "snnc"], &extended());
}

#[test]
#[ignore = "builds and tests a copy of the tree, which takes minutes"]
fn extended_trees_build_and_pass() {
    let tree = extended();
    for test in EXTENSIONS.iter().flat_map(|extension| extension.tests) {
        cargo(&[&["test"], *test].concat(), &tree);
    }
}
