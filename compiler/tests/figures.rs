//! One model and one set of samples have one set of figures, whichever command says them: `eval` and
//! `run` of the model, `compile --data`, and `eval`, `run`, `report` and `explore` of what was compiled.
//! For the committed networks, and for those beside the repository where they are.

use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::{Arguments, Failed, Trial};
use snnc::data::Dataset;
use snnc_backends::format::npy::NpyArray;
use snnc_backends::format::npz::{Compression, Npz, NpzWriter};

/// Samples of each network.
const SAMPLES: usize = 6;

/// Networks that the committed examples hold, with their data.
const COMMITTED: [(&str, &str); 3] = [
    ("digits_mlp_w4a4_qcdq.onnx", "digits-test-360.npz"),
    ("digits_cnn_w2a2_qcdq.onnx", "digits-test-360.npz"),
    ("digits_cnn_w8a8_qdq.onnx", "digits-test-360.npz"),
];

/// Networks beside the repository, with their data.
const SHARED: [(&str, &str); 21] = [
    ("mlperf-tiny/kws_ref_model", "speech-commands-mfcc-1000-i8"),
    ("cifar/cifar10_resnet8_w4a4_qat_qcdq", "cifar10-test-800"),
    ("cifar/cifar10_resnet8_w8a8_ptq_qcdq", "cifar10-test-800"),
    ("digits/digits_cnn_w2a2_qcdq", "digits-test-360"),
    ("digits/digits_cnn_w4a4_qcdq", "digits-test-360"),
    ("digits/digits_cnn_w4a4_qdq_int4", "digits-test-360"),
    ("digits/digits_cnn_w8a8_qdq", "digits-test-360"),
    ("digits/digits_mlp_w4a4_qcdq", "digits-test-360"),
    ("qonnx/TFC_1W1A", "mnist-test-10000"),
    ("qonnx/TFC_2W2A", "mnist-test-10000"),
    ("trained/fmnist_lenet_int8_qdq_ort", "fashion-mnist-test-10000"),
    ("trained/fmnist_lenet_int8_qoperator_ort", "fashion-mnist-test-10000"),
    ("trained/fmnist_lenet_u8s8_qdq_ort", "fashion-mnist-test-10000"),
    ("trained/fmnist_lenet_w2a2_qcdq", "fashion-mnist-test-10000"),
    ("trained/fmnist_lenet_w3a3_qcdq", "fashion-mnist-test-10000"),
    ("trained/fmnist_lenet_w4a4_qcdq", "fashion-mnist-test-10000"),
    ("trained/fmnist_lenet_w4a4_qdq_int4", "fashion-mnist-test-10000"),
    ("trained/fmnist_resnet8_int8_qdq_ort", "fashion-mnist-test-10000"),
    ("trained/fmnist_resnet8_w4a4_qcdq", "fashion-mnist-test-10000"),
    ("trained/mnist_mlp_w4a4_qcdq", "mnist-test-10000"),
    ("trained/mnist_mlp_w4a4_qdq_int4", "mnist-test-10000"),
];

fn main() {
    let arguments = Arguments::from_args();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let examples = repository.join("examples/digits");
    let shared =
        std::env::var_os("SNNC_SHARED").map_or_else(|| repository.join("../shared"), PathBuf::from);
    let trial = |name: &str, model: PathBuf, data: PathBuf| {
        let missing = !model.is_file() || !data.is_file();
        Trial::test(name.to_owned(), move || agree(&model, &data, None)).with_ignored_flag(missing)
    };
    let mut trials: Vec<Trial> = COMMITTED
        .iter()
        .map(|(model, data)| trial(model, examples.join(model), examples.join(data)))
        .collect();
    trials.extend(SHARED.iter().map(|(model, data)| {
        let model_file = shared.join("models").join(format!("{model}.onnx"));
        trial(model, model_file, shared.join("data").join(format!("{data}.npz")))
    }));
    // Bytes for an input of signed bytes, which are to be shifted.
    let model = shared.join("models/mlperf-tiny/pretrainedResnet_quant.onnx");
    let data = shared.join("data/cifar10-test-800.npz");
    let missing = !model.is_file() || !data.is_file();
    let shifted = move || agree(&model, &data, Some("input: {offset: -128}"));
    trials.push(Trial::test("pretrainedResnet_quant", shifted).with_ignored_flag(missing));
    trials.push(Trial::test("integers for an input of integers stay as they are", as_they_are));
    libtest_mimic::run(&arguments, trials).exit();
}

fn snnc(arguments: &[&str]) -> Result<Vec<u8>, Failed> {
    let output = Command::new(env!("CARGO_BIN_EXE_snnc")).args(arguments).output()?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(format!("{arguments:?}: {}: {text}", output.status).into())
}

fn json(arguments: &[&str]) -> Result<serde_json::Value, Failed> {
    Ok(serde_json::from_slice(&snnc(&[arguments, &["--format", "json"]].concat())?)?)
}

/// The first samples of a file, as a file.
fn first_samples(data: &Path, to: &Path) -> Result<Vec<i64>, Failed> {
    let npz = Npz::open(std::fs::read(data)?)?;
    let mut writer = NpzWriter::new(Compression::Stored);
    let mut labels = Vec::new();
    for name in ["x", "y"] {
        let array = npz.get(name)?.ok_or(format!("no {name}"))?;
        let rows = SAMPLES.min(array.shape[0]);
        let row = array.data.len() / array.shape[0];
        let mut shape = array.shape.clone();
        shape[0] = rows;
        let part = NpyArray { dtype: array.dtype, shape, data: array.data.slice(..rows * row) };
        if name == "y" {
            labels = part.to_i64()?;
        }
        writer.add(name, &part)?;
    }
    std::fs::write(to, writer.finish()?)?;
    Ok(labels)
}

/// Share of samples that `run` takes for their label, in percent.
fn run_top1(
    network: &str,
    (data, with): (&str, &[&str]),
    labels: &[i64],
    folder: &Path,
) -> Result<f64, Failed> {
    let out = folder.join("answers.npz").display().to_string();
    snnc(&[&["run", network, "--input", data, "-o", &out], with].concat())?;
    let predictions = Npz::open(std::fs::read(&out)?)?.get("prediction")?;
    let predictions = predictions.ok_or("no predictions")?.to_i64()?;
    let right = predictions.iter().zip(labels).filter(|(a, b)| a == b).count();
    Ok(100.0 * right as f64 / labels.len() as f64)
}

fn equal(what: &str, found: &serde_json::Value, wanted: &serde_json::Value) -> Result<(), Failed> {
    if found == wanted && !wanted.is_null() {
        return Ok(());
    }
    Err(format!("{what}: {found} instead of {wanted}").into())
}

fn agree(model: &Path, data: &Path, config: Option<&str>) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let few = folder.path().join("few.npz");
    let labels = first_samples(data, &few)?;
    let text = |path: &Path| path.display().to_string();
    let (model, few, out) = (text(model), text(&few), text(&folder.path().join("out")));
    let file = text(&folder.path().join("snnc.yaml"));
    std::fs::write(&file, config.unwrap_or("{}"))?;
    let with = ["--config", &file];
    let answer = |arguments: &[&str]| json(&[arguments, &with[..]].concat());
    let of_model = answer(&["eval", &model, "--data", &few])?;
    let compiled =
        answer(&["compile", &model, "--target", "reference", "--data", &few, "-o", &out])?;
    let compiled = &compiled[0]["evaluation"];
    let artefact = format!("{out}/reference");
    // The artefact knows its scaling.
    let evaluated = json(&["eval", &artefact, "--data", &few])?;
    equal("top-1 of the artefact", &evaluated["top1"], &of_model["top1"])?;
    for key in ["top1", "top5", "spikes_per_neuron", "synaptic_operations", "per_layer"] {
        equal(&format!("{key} of compile"), &compiled[key], &evaluated[key])?;
    }
    let page = text(&folder.path().join("page.html"));
    let reported = json(&["report", &artefact, "--data", &few, "-o", &page])?;
    let reported = &reported[0]["evaluation"];
    for key in ["top1", "spikes_per_neuron", "per_layer"] {
        equal(&format!("{key} of report"), &reported[key], &evaluated[key])?;
    }
    let explored = answer(&["explore", &model, "--data", &few, "--target", "reference"])?;
    let points = explored["points"].as_array().ok_or("no points")?;
    let exact: Vec<_> = points.iter().filter(|p| p["certificate"] == "proved").collect();
    for point in &exact {
        equal(&format!("top-1 of {}", point["name"]), &point["top1"], &of_model["top1"])?;
    }
    for (network, with) in [(&model, &with[..]), (&artefact, &[])] {
        let top1 = run_top1(network, (&few, with), &labels, folder.path())?;
        equal("top-1 of run", &top1.into(), &of_model["top1"])?;
    }
    Ok(())
}

/// The manifest of a network with an input of integers says that integers stay as they are, and a
/// scaling that is asked for is the artefact's from then on.
fn as_they_are() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/integer-input.onnx");
    let x: Vec<i64> = (0..40 * 9).map(|i| i * 7919 % 256 - 128).collect();
    let bytes: Vec<u8> = x.iter().map(|&v| v as i8 as u8).collect();
    let dtype = snnc_backends::format::npy::NpyType::I8;
    let x = NpyArray { dtype, shape: vec![40, 9], data: bytes.into() };
    let mut writer = NpzWriter::new(Compression::Stored);
    writer.add("x", &x)?;
    let text = |path: &Path| path.display().to_string();
    let (data, out) = (text(&folder.path().join("x.npz")), text(&folder.path().join("out")));
    std::fs::write(&data, writer.finish()?)?;
    let model = text(&model);
    let compile = ["compile", &model, "--target", "reference", "--data", &data, "-o", &out];
    let compiled = json(&compile)?;
    let input = &compiled[0]["manifest"]["inputs"][0];
    equal("scale", &input["data_scale"], &1.0.into())?;
    equal("offset", &input["data_offset"], &0.0.into())?;
    let config = text(&folder.path().join("snnc.yaml"));
    std::fs::write(&config, "input: {scale: 0.5, offset: 3}\n")?;
    let scaled = json(&[&compile[..], &["--config", &config]].concat())?;
    let input = &scaled[0]["manifest"]["inputs"][0];
    equal("scale", &input["data_scale"], &0.5.into())?;
    let evaluated = json(&["eval", &format!("{out}/reference"), "--data", &data])?;
    equal("activity", &scaled[0]["evaluation"]["per_layer"], &evaluated["per_layer"])?;
    if compiled[0]["evaluation"]["per_layer"] == scaled[0]["evaluation"]["per_layer"] {
        return Err("the scaling changes nothing".into());
    }
    let loaded = Dataset::load(Path::new(&data), None).map_err(|e| e.to_string())?;
    assert_eq!(loaded.len(), 40);
    Ok(())
}
