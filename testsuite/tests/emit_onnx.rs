//! `compile --emit onnx`: the file that stands in an artefact is the network that was compiled.

use snnc_testsuite::command::snnc;
use snnc_testsuite::{digits, files_below};

/// Compiles a model with the file beside, and holds the artefact against that file instead of the model.
fn holds(model: &str, options: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out").display().to_string();
    let model = digits(model).display().to_string();
    let line = ["compile", &model, "--target", "reference", "--emit", "onnx", "-o", &out];
    let compiled = snnc(&[&line[..], options].concat());
    assert_eq!(compiled.code, 0, "{model}: {}", compiled.reason());
    let artefact = format!("{out}/reference");
    let copy = folder.path().join("quantised.onnx");
    std::fs::copy(format!("{artefact}/quantised.onnx"), &copy).expect("the file is there");
    let copy = copy.display().to_string();
    let verified = snnc(&["verify", &artefact, "--against", &copy, "--format", "json"]);
    assert_eq!(verified.code, 0, "{model}: {}", verified.reason());
}

#[test]
fn what_is_written_is_the_network_that_was_compiled() {
    let models = files_below(&digits(""), "onnx");
    assert!(models.len() >= 6);
    for model in models {
        let name = model.file_name().expect("a name").to_string_lossy().into_owned();
        let training = digits("digits-train-1437.npz").display().to_string();
        let calibrated = ["--calibration", training.as_str()];
        holds(&name, if name.contains("float") { &calibrated } else { &[] });
    }
}

#[test]
fn networks_that_spike_have_no_quantised_form() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out").display().to_string();
    let spiking = snnc_testsuite::repository().join("testsuite/cases/spiking");
    let model = files_below(&spiking, "onnx")[0].display().to_string();
    let line = ["compile", &model, "--target", "reference", "--emit", "onnx", "-o", &out];
    let refused = snnc(&line);
    assert_eq!(refused.code, 2, "{}", refused.reason());
    assert!(refused.reason().starts_with("--emit"), "{}", refused.reason());
}
