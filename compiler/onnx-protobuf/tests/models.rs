//! Real models of many exporters decode.

use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
};

use onnx_protobuf::*;

fn onnx_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            onnx_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "onnx") {
            found.push(path);
        }
    }
}

#[test]
fn shared_models_decode() {
    let shared = env::var_os("SNNC_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let models = shared.join("models");
    if !models.is_dir() {
        // Not `eprintln!`, which the test harness hides when the test passes.
        writeln!(std::io::stderr(), "skipped: ../shared not found").unwrap();
        return;
    }
    let mut files = Vec::new();
    onnx_files(&models, &mut files);
    assert!(!files.is_empty(), "no .onnx file in {}", models.display());
    for file in files {
        let bytes = Bytes::from(fs::read(&file).unwrap());
        let model =
            ModelProto::decode(bytes).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let graph = model.graph.as_ref().expect("a model has a graph");
        assert!(!graph.node.is_empty(), "{} has no nodes", file.display());
        assert!(!graph.output.is_empty(), "{} has no outputs", file.display());
        assert!(model.opset_version("").is_some(), "{} imports no opset", file.display());
    }
}
