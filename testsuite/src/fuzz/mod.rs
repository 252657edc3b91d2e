//! What fuzzers put bytes to: every reader of files from elsewhere, and two differential tests. `fuzz/` builds
//! each as a program that searches, `tests/corpora.rs` replays what they have found.
//!
//! A target panics where something does not hold; that bytes are refused is an answer.

mod archive;
mod kernels;
mod models;
mod readers;
mod seeds;

pub use archive::{pack, unpack};
pub use models::{Generated, Source, generate};
pub use seeds::{noise, seeds};

/// One target of fuzzers.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, that of its folder in `fuzz/corpus`.
    pub name: &'static str,
    /// Puts bytes to the test.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "onnx", run: readers::onnx },
    Target { name: "external_data", run: readers::external_data },
    Target { name: "npz", run: readers::npz },
    Target { name: "npy", run: readers::npy },
    Target { name: "net", run: readers::net },
    Target { name: "nir", run: readers::nir },
    Target { name: "spec", run: readers::spec },
    Target { name: "image", run: readers::image },
    Target { name: "snn", run: readers::snn },
    Target { name: "snnir", run: readers::snnir },
    Target { name: "yaml", run: readers::yaml },
    Target { name: "hw", run: readers::hw },
    Target { name: "stats", run: readers::stats },
    Target { name: "events_bin", run: readers::events_bin },
    Target { name: "events_gz", run: readers::events_gz },
    Target { name: "events_npz", run: readers::events_npz },
    Target { name: "models", run: models::differential },
    Target { name: "kernels", run: kernels::differential },
];

/// Runs the target of that name.
///
/// # Panics
/// When there is none, or when what it tests does not hold.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|t| t.name == name);
    (target.expect("there is such a target").run)(data);
}
