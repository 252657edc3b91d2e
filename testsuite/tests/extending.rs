//! What an extension takes, against the lists of ARCHITECTURE.md ("Where the next change goes").
//!
//! `extending/*.patch` each add a dummy. Files that are new, and lines that are added to others, are counted but
//! for cases; the patched tree is built and tested by the test that is ignored.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A patch, the most it may take, and the tests that must pass with it (`cargo test` each).
struct Extension {
    patch: &'static str,
    most: usize,
    tests: &'static [&'static [&'static str]],
}

const EXTENSIONS: &[Extension] = &[Extension {
    patch: "neuron.patch",
    most: 3,
    tests: &[
        &["-p", "snnc-ir", "--lib", "neuron::"],
        &["-p", "snnc-testsuite", "--test", "neurons"],
    ],
}];

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

/// New files, and lines added to or taken from others, but for cases.
fn effort(patch: &str) -> Vec<String> {
    let (mut found, mut is_new, mut file) = (Vec::new(), false, None);
    for line in patch.lines() {
        if let Some(from) = line.strip_prefix("--- ") {
            is_new = from == "/dev/null";
            file = None;
        } else if let Some(to) = line.strip_prefix("+++ ") {
            let to = to.strip_prefix("b/").unwrap_or(to);
            file = (!is_case(to)).then_some(to);
            if let (Some(to), true) = (file, is_new) {
                found.push(to.to_owned());
            }
        } else if let (Some(file), false, '+' | '-') =
            (file, is_new, line.chars().next().unwrap_or(' '))
        {
            found.push(format!("{file}: {line}"));
        }
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
fn new_files_and_changed_lines_count_and_cases_do_not() {
    let text = "--- /dev/null\n+++ b/a.rs\n@@ -0,0 +1,2 @@\n+one\n+two\n--- a/b.rs\n+++ b/b.rs\n@@\n \
                same\n-gone\n+come\n--- a/testsuite/c\n+++ b/testsuite/c\n@@\n+case\n";
    assert_eq!(effort(text), ["a.rs", "b.rs: -gone", "b.rs: +come"]);
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

#[test]
#[ignore = "builds a copy of the tree, which takes minutes"]
fn extended_trees_build_and_pass() {
    for extension in EXTENSIONS {
        let folder = tempfile::tempdir().expect("a folder");
        copy_tree(folder.path());
        apply(extension, folder.path(), false);
        for &test in extension.tests {
            let target = std::env::var_os("SNNC_EXTENDING_TARGET")
                .map_or_else(|| folder.path().join("target"), PathBuf::from);
            let output = Command::new(env!("CARGO"))
                .args(["test", "--locked", "--offline"])
                .args(test)
                .env("CARGO_TARGET_DIR", target)
                .current_dir(folder.path())
                .output()
                .expect("cargo runs");
            let (out, err) =
                (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(output.status.success(), "{} {test:?}\n{out}\n{err}", extension.patch);
        }
    }
}
