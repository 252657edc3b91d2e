//! Sets a configuration for each thing outside the repository that some tests need. Where it is missing,
//! `#[cfg_attr(not(..), ignore = "..")]` has them reported as ignored.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    // Not the things themselves: what does not exist would make every build begin anew.
    println!("cargo::rerun-if-changed=build.rs");
    let shared = named("SNNC_SHARED").map_or_else(|| "../../shared".into(), PathBuf::from);
    set("shared", shared.join("models").is_dir());
    let lava = named("SNNC_LAVA_PYTHON")
        .map_or_else(|| "../target/peers/lava/bin/python".into(), PathBuf::from);
    set("lava", lava.is_file());
    let nir = named("SNNC_NIR_PYTHON").unwrap_or_else(|| "python3".into());
    set("nir_python", answers(Path::new(&nir), &["-c", "import nir, h5py"]));
    set("qonnx_python", named("SNNC_QONNX_PYTHON").is_some());
    let installed =
        |names: &[&str]| names.iter().any(|name| answers(Path::new(name), &["--version"]));
    set("chromium", installed(&["chromium", "chromium-browser", "google-chrome"]));
    set("validator", installed(&["html-validate", "vnu"]));
    set("icarus", answers(Path::new("iverilog"), &["-V"]));
    set("srec_cat", installed(&["srec_cat"]));
    set("verilator", installed(&["verilator"]));
    set("yosys", answers(Path::new("yosys"), &["-V"]));
    set("z3", installed(&["z3"]));
}

/// What a variable of the environment names.
fn named(variable: &str) -> Option<OsString> {
    println!("cargo::rerun-if-env-changed={variable}");
    std::env::var_os(variable)
}

fn set(name: &str, there: bool) {
    println!("cargo::rustc-check-cfg=cfg({name})");
    if there {
        println!("cargo::rustc-cfg={name}");
    }
}

/// Whether a program runs and succeeds.
fn answers(program: &Path, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|o| o.status.success())
}
