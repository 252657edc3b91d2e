//! Who may depend on whom.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// For each crate the crates of this workspace that it may use.
const ALLOWED: &[(&str, &[&str])] = &[
    ("snnc-ir", &[]),
    ("onnx-protobuf", &[]),
    ("snnc-runtime", &["snnc-ir"]),
    ("snnc-backends", &["snnc-ir"]),
    ("snnc", &["snnc-ir", "snnc-runtime", "snnc-backends", "onnx-protobuf"]),
    ("snnc-testsuite", &["snnc", "snnc-ir", "snnc-runtime", "snnc-backends", "onnx-protobuf"]),
];

/// Violations of `allowed` by the packages of a `cargo metadata` answer.
fn violations(metadata: &serde_json::Value, allowed: &[(&str, &[&str])]) -> Vec<String> {
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        allowed.iter().map(|(name, deps)| (*name, deps.iter().copied().collect())).collect();
    let mut found = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(own) = allowed.get(name) else {
            found.push(format!("{name} is not in the table"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let to = dependency["name"].as_str().unwrap_or_default();
            if allowed.contains_key(to) && !own.contains(to) {
                found.push(format!("{name} uses {to}"));
            }
        }
    }
    found
}

fn metadata() -> serde_json::Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    serde_json::from_slice(&output.stdout).expect("cargo answers in JSON")
}

#[test]
fn crates_depend_only_downwards() {
    let metadata = metadata();
    assert_eq!(metadata["packages"].as_array().map(Vec::len), Some(ALLOWED.len()));
    assert_eq!(violations(&metadata, ALLOWED), Vec::<String>::new());
}

#[test]
fn a_forbidden_dependency_is_found() {
    let mut stricter = ALLOWED.to_vec();
    stricter.retain(|(name, _)| *name != "snnc-runtime");
    stricter.push(("snnc-runtime", &[]));
    assert_eq!(violations(&metadata(), &stricter), ["snnc-runtime uses snnc-ir"]);
}
