//! What the tests of whole networks share.

pub mod conformance;
pub mod onnx_case;

use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A file of the digits example, which every clone has.
pub fn digits(name: &str) -> PathBuf {
    repository().join("examples/digits").join(name)
}

/// Models and data beside the repository, at `SNNC_SHARED` or `../shared`. Where there are none,
/// says so in one line that tests' output capturing does not hide.
pub fn shared() -> Option<PathBuf> {
    let named = std::env::var_os("SNNC_SHARED").map(PathBuf::from);
    let found = named.unwrap_or_else(|| repository().join("../shared"));
    if found.join("models").is_dir() {
        return Some(found);
    }
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "skipped: ../shared not found");
    None
}
