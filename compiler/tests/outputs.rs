//! What `run` answers for models with several outputs, inputs and tails, held against ONNX Runtime.
//!
//! Each folder of `tests/outputs` holds `model.onnx`, `data.npz`, and `expected.npz`: `o0`, `o1`.. are the
//! outputs in the model's order as onnxruntime 1.31 with optimisations off gives them. Scales are chosen
//! so that no accumulator lies halfway between two codes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use onnx_protobuf::{Message, ModelProto};
use snnc_backends::format::npy::{NpyArray, NpyType};
use snnc_backends::format::npz::{Compression, Npz, NpzWriter};

fn snnc(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_snnc")).args(arguments).output().expect("snnc starts")
}

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/outputs");
    let entries = std::fs::read_dir(root).expect("the cases");
    let mut found: Vec<PathBuf> = entries.map(|e| e.expect("an entry").path()).collect();
    found.sort();
    found
}

fn read(path: &Path) -> Npz {
    Npz::open(std::fs::read(path).expect("the file")).expect("arrays")
}

fn array(npz: &Npz, name: &str) -> Option<NpyArray> {
    npz.get(name).expect("reads")
}

/// Numbers of any type, exactly.
fn numbers(array: &NpyArray) -> Vec<f64> {
    match array.dtype {
        NpyType::F32 => array.to_f32().expect("reals").into_iter().map(f64::from).collect(),
        NpyType::Bool => array.data.iter().map(|&b| f64::from(b)).collect(),
        _ => array.to_i64().expect("integers").into_iter().map(|x| x as f64).collect(),
    }
}

/// What is wrong with an answer, if anything.
fn difference(found: Option<NpyArray>, expected: &NpyArray) -> Option<String> {
    let Some(found) = found else { return Some("is missing".into()) };
    if (found.dtype, &found.shape) != (expected.dtype, &expected.shape) {
        let (a, b) = (&found.shape, &expected.shape);
        return Some(format!("is {}{a:?}, not {}{b:?}", found.dtype, expected.dtype));
    }
    let (found, expected) = (numbers(&found), numbers(expected));
    // Integers are equal; reals are sums in another order.
    let largest = expected.iter().fold(0f64, |most, x| most.max(x.abs()));
    let off = |(a, b): &(&f64, &f64)| (*a - *b).abs() > 1e-5 * largest;
    let wrong = found.iter().zip(&expected).filter(off).count();
    (wrong > 0).then(|| format!("{wrong} of {} differ", expected.len()))
}

/// Every output of the case as `run` of `network` answers it.
fn answered(case: &Path, network: &Path, folder: &Path) -> Vec<String> {
    let model = std::fs::read(case.join("model.onnx")).expect("the model");
    let model = ModelProto::decode(model.as_slice()).expect("a model");
    let outputs = model.graph.expect("a graph").output;
    let (data, out) = (case.join("data.npz"), folder.join("answer.npz"));
    let text = |path: &Path| path.display().to_string();
    let run = snnc(&["run", &text(network), "--input", &text(&data), "-o", &text(&out)]);
    if !run.status.success() {
        return vec![String::from_utf8_lossy(&run.stderr).into_owned()];
    }
    let (answer, expected) = (read(&out), read(&case.join("expected.npz")));
    let mut wrong = Vec::new();
    for (i, output) in outputs.iter().enumerate() {
        let expected = array(&expected, &format!("o{i}")).expect("an answer");
        for name in ["output", &output.name].into_iter().skip(usize::from(i > 0)) {
            let difference = difference(array(&answer, name), &expected);
            wrong.extend(difference.map(|text| format!("`{name}` {text}")));
        }
    }
    wrong
}

#[test]
fn every_output_is_answered_under_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut wrong, mut count) = (Vec::new(), 0);
    for case in cases() {
        let name = case.file_name().expect("a name").to_string_lossy().into_owned();
        let text = |path: &Path| path.display().to_string();
        let (model, out) = (case.join("model.onnx"), folder.path().join(&name));
        let of_model = answered(&case, &model, folder.path());
        wrong.extend(of_model.into_iter().map(|text| format!("{name}, the model: {text}")));
        let arguments = ["compile", &text(&model), "--target", "reference", "-o", &text(&out)];
        let compiled = snnc(&arguments);
        if !compiled.status.success() {
            wrong.push(format!("{name}: {}", String::from_utf8_lossy(&compiled.stderr)));
            continue;
        }
        let of_artefact = answered(&case, &out.join("reference"), folder.path());
        wrong.extend(of_artefact.into_iter().map(|text| format!("{name}, compiled: {text}")));
        count += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 30, "{count} cases");
}

#[test]
fn a_manifest_names_what_is_left_to_the_host() {
    let folder = tempfile::tempdir().expect("a folder");
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/outputs/argmax-and-softmax");
    let (model, out) = (case.join("model.onnx"), folder.path().display().to_string());
    let compiled =
        snnc(&["compile", &model.display().to_string(), "--target", "reference", "-o", &out]);
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let manifest = std::fs::read_to_string(folder.path().join("reference/manifest.yaml"));
    let manifest = manifest.expect("a manifest");
    let outputs = &manifest[manifest.find("\noutputs:").expect("outputs")..];
    let outputs = &outputs[..outputs.find("\npopulations:").expect("populations")];
    for part in ["arg-max `", "softmax `", "name: label", "dtype: i64", "name: prob", "host.snn"] {
        assert!(outputs.contains(part), "{part} in {outputs}");
    }
    // Without it the artefact says so, and does not answer bare scores.
    std::fs::remove_file(folder.path().join("reference/host.snn")).expect("removes");
    let (network, data) = (folder.path().join("reference"), case.join("data.npz"));
    let run =
        snnc(&["run", &network.display().to_string(), "--input", &data.display().to_string()]);
    assert_eq!(run.status.code(), Some(4), "{}", String::from_utf8_lossy(&run.stderr));
}

/// Writes arrays of reals, each with its name, shape and value.
fn saved(path: &Path, arrays: &[(&str, &[usize], f32)]) -> String {
    let mut npz = NpzWriter::new(Compression::Stored);
    for (name, shape, value) in arrays {
        let values = vec![*value; shape.iter().product()];
        npz.add(name, &NpyArray::from_f32(*shape, &values).expect("an array")).expect("adds");
    }
    std::fs::write(path, npz.finish().expect("a file")).expect("writes");
    path.display().to_string()
}

#[test]
fn inputs_are_told_apart_by_their_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/outputs/two-inputs-add");
    let (model, out) = (case.join("model.onnx").display().to_string(), folder.path().join("out"));
    let compiled =
        snnc(&["compile", &model, "--target", "reference", "-o", &out.display().to_string()]);
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let artefact = out.join("reference").display().to_string();
    let (left, right): (&[usize], &[usize]) = (&[2, 2, 4, 4], &[2, 3]);
    let answer = folder.path().join("answer.npz");
    let run = |network: &str, arrays: &[(&str, &[usize], f32)]| {
        let input = saved(&folder.path().join("data.npz"), arrays);
        let run = snnc(&["run", network, "--input", &input, "-o", &answer.display().to_string()]);
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        (run.status.code(), said)
    };
    for network in [&model, &artefact] {
        // The first is `x` as well; the order in the file is none of the inputs'.
        let mut answers = Vec::new();
        for first in ["left", "x"] {
            let (code, said) = run(network, &[("right", right, 0.5), (first, left, 0.25)]);
            assert_eq!(code, Some(0), "{said}");
            answers.push(numbers(&array(&read(&answer), "y").expect("an answer")));
        }
        assert_eq!(answers[0], answers[1]);
        let (code, said) = run(network, &[("x", left, 0.25)]);
        assert!(code == Some(4) && said.contains("no array `right` (it has x)"), "{said}");
        let (code, said) = run(network, &[("x", left, 0.25), ("right", &[3, 3], 0.5)]);
        assert!(code == Some(4) && said.contains("2 samples of `left`, 3 of `right`"), "{said}");
        let (code, said) = run(network, &[("x", left, 0.25), ("right", &[2, 4], 0.5)]);
        assert!(code == Some(4) && said.contains("`right`, which takes 3 values"), "{said}");
    }
    for target in ["loihi", "akida1", "akida2"] {
        let arguments = ["compile", &model, "--target", target, "-o", &artefact];
        let refused = snnc(&arguments);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(3) && said.contains("input"), "{target}: {said}");
    }
}
