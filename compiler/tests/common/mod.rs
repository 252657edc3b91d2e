//! What tests of the command line share.

#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub fn digits(name: &str) -> String {
    repository().join("examples/digits").join(name).display().to_string()
}

pub fn snnc(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_snnc")).args(arguments).output().expect("snnc starts")
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs a command that must fail with `code`, in one or more `error:` lines, one of which holds all
/// of `words`; nothing may be written into `folder`.
pub fn fails(arguments: &[&str], code: i32, words: &[&str], folder: &Path) {
    let output = snnc(arguments);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    assert!(!text.contains("panicked"), "{text}");
    let line = text.lines().find(|l| l.starts_with("error") && words.iter().all(|w| l.contains(w)));
    assert!(line.is_some(), "{arguments:?} says no error with {words:?}: {text}");
    let left: Vec<_> = std::fs::read_dir(folder).expect("the folder is there").collect();
    assert!(left.is_empty(), "{arguments:?} left {left:?}");
}

/// Standard error of a run that must end with `code`.
pub fn ends(arguments: &[&str], code: i32) -> String {
    let output = snnc(arguments);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    assert!(!text.contains("panicked"), "{text}");
    text
}

/// Names in a folder, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|e| e.expect("reads").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Path and content of every file below a folder.
pub fn content(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for name in names(folder) {
        let path = folder.join(name);
        if path.is_dir() {
            all.extend(content(&path));
        } else {
            all.push((path.clone(), std::fs::read(&path).expect("reads")));
        }
    }
    all
}
