//! What the tests of whole networks share.

pub mod command;
pub mod conformance;
pub mod fuzz;
pub mod onnx_case;
pub mod onnx_model;
pub mod table;

use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All files below a folder whose names have that ending, in the order of their paths.
///
/// # Panics
/// When a folder cannot be read.
pub fn files_below(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let (mut found, mut pending) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = pending.pop() {
        for entry in std::fs::read_dir(&folder).expect("the folder is there") {
            let path = entry.expect("the folder is readable").path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|e| e == ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// A file of the digits example, which every clone has.
pub fn digits(name: &str) -> PathBuf {
    repository().join("examples/digits").join(name)
}

/// Models and data beside the repository, at `SNNC_SHARED` or `../shared`; none where there are none.
pub fn shared() -> Option<PathBuf> {
    let named = std::env::var_os("SNNC_SHARED").map(PathBuf::from);
    let found = named.unwrap_or_else(|| repository().join("../shared"));
    found.join("models").is_dir().then_some(found)
}

/// The same for tests that are ignored where there are none: they carry
/// `#[cfg_attr(not(shared), ignore = "..")]`, which `build.rs` decides.
///
/// # Panics
/// Where there are none.
pub fn beside() -> PathBuf {
    shared().expect("../shared is there")
}

/// Networks that frameworks exported as spiking ones, with the spikes that they recorded.
pub fn spiking_cases() -> PathBuf {
    repository().join("testsuite/cases/spiking")
}

/// Names of all [`spiking_cases`] that have recorded spikes, in alphabetical order.
///
/// # Panics
/// When the folder cannot be read.
pub fn recorded_spiking_cases() -> Vec<String> {
    let files = std::fs::read_dir(spiking_cases()).expect("the cases are in the repository");
    let mut names: Vec<String> = files
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "npz"))
        .filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    names
}
