//! `snnc run` on `.net` files that stand alone, as lava-dl writes them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use snnc_backends::format::hdf5::{Hdf5Tree, Hdf5Value};
use snnc_backends::format::npy::NpyArray;
use snnc_backends::format::npz::Npz;

fn snnc(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_snnc")).args(arguments).output().expect("snnc starts")
}

/// Writes an array, and returns its path.
fn saved(folder: &Path, name: &str, array: &NpyArray) -> String {
    let path = folder.join(name);
    std::fs::write(&path, array.to_bytes().expect("an array")).expect("writes");
    path.display().to_string()
}

/// One dense layer of current-based neurons without input block, that keeps its voltage.
fn two_neurons(folder: &Path) -> String {
    let mut tree = Hdf5Tree::new();
    let integers = |shape: &[usize], values: &[i64]| -> Hdf5Value {
        NpyArray::from_i64(shape, values).expect("an array").into()
    };
    let mut put = |name: &str, value: Hdf5Value| {
        tree.insert(&format!("layer/0/{name}"), value).expect("a new name");
    };
    put("type", Hdf5Value::ascii("dense"));
    put("shape", integers(&[1], &[2]));
    put("weight", integers(&[2, 3], &[3, -2, 4, 1, 5, -1]));
    put("neuron/type", Hdf5Value::ascii("CUBA"));
    put("neuron/iDecay", integers(&[], &[4096]));
    put("neuron/vDecay", integers(&[], &[0]));
    put("neuron/vThMant", integers(&[], &[5]));
    let path = folder.join("network.net");
    std::fs::write(&path, tree.to_bytes().expect("a file")).expect("writes");
    path.display().to_string()
}

/// What population `name` sent, all timesteps.
fn traced(path: &Path, name: &str) -> Vec<i64> {
    let npz = Npz::open(std::fs::read(path).expect("the trace")).expect("a trace");
    npz.get(name).expect("reads").expect("is there").to_i64().expect("integers")
}

#[test]
fn spikes_in_time_run_through_a_bare_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let network = two_neurons(folder.path());
    // Four timesteps of three sources; v of the neurons one timestep later: (3, 1), (7, 0), (0+1, 5),
    // (5, 5), and threshold 5 is met strictly above.
    let spikes = [1, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 1];
    let array = NpyArray::from_i64([4, 3], &spikes).expect("an array");
    let input = saved(folder.path(), "spikes.npy", &array);
    let trace = folder.path().join("trace.npz");
    let path = trace.display().to_string();
    let run = |more: &[&str]| {
        let arguments = ["run", &network, "--input", &input, "--trace", &path];
        let output = snnc(&[&arguments[..], more].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        traced(&trace, "layer.0")
    };
    // One timestep of latency, so five in all: v is (3, 1); (7, 0): fires; (1, 6): fires; (5, -1).
    assert_eq!(run(&[]), [0, 0, 0, 0, 1, 0, 0, 1, 0, 0]);
    assert_eq!(run(&["--timesteps", "3"]), [0, 0, 0, 0, 1, 0]);
    // Without what came in the second timestep the first neuron has 4 in the third.
    let reset = run(&["--reset-interval", "2"]);
    assert_eq!(reset, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

/// A sigma-delta input block of two neurons, and a dense layer of two.
fn with_input_block(folder: &Path) -> String {
    let mut tree = Hdf5Tree::new();
    let integers = |shape: &[usize], values: &[i64]| -> Hdf5Value {
        NpyArray::from_i64(shape, values).expect("an array").into()
    };
    let mut put = |name: &str, value: Hdf5Value| {
        tree.insert(&format!("layer/{name}"), value).expect("a new name");
    };
    put("0/type", Hdf5Value::ascii("input"));
    put("0/shape", integers(&[1], &[2]));
    put("0/neuron/type", Hdf5Value::ascii("SDNN"));
    put("0/neuron/vThMant", integers(&[], &[0]));
    put("1/type", Hdf5Value::ascii("dense"));
    put("1/shape", integers(&[1], &[2]));
    put("1/weight", integers(&[2, 2], &[3, -2, 1, 5]));
    put("1/neuron/type", Hdf5Value::ascii("SDNN"));
    put("1/neuron/vThMant", integers(&[], &[0]));
    let path = folder.join("block.net");
    std::fs::write(&path, tree.to_bytes().expect("a file")).expect("writes");
    path.display().to_string()
}

/// The array of that name.
fn answered(path: &Path, name: &str) -> NpyArray {
    let npz = Npz::open(std::fs::read(path).expect("the answer")).expect("arrays");
    npz.get(name).expect("reads").expect("is there")
}

#[test]
fn rows_of_whole_numbers_are_the_timesteps_of_one_sequence() {
    let folder = tempfile::tempdir().expect("a folder");
    let network = with_input_block(folder.path());
    let rows = [4, 1, 4, 1, 0, 1, 0, 6];
    let array = NpyArray::from_i64([4, 2], &rows).expect("an array");
    let input = saved(folder.path(), "rows.npy", &array);
    let (answer, trace) = (folder.path().join("answer.npz"), folder.path().join("trace.npz"));
    let [answer_path, trace_path] = [&answer, &trace].map(|path| path.display().to_string());
    let arguments = ["run", &network, "--input", &input, "-o", &answer_path, "--trace"];
    let output = snnc(&[&arguments[..], &[&trace_path]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // The block sends by how much its input has changed, at once: once for one sample, not four times.
    let sent = answered(&trace, "layer.0");
    assert_eq!(sent.shape[..2], [1, 5], "one sample of four timesteps and one of latency");
    let sent = sent.to_i64().expect("integers");
    let unit = sent[0] / 4;
    let expected: Vec<i64> = [4, 1, 0, 0, -4, 0, 0, 5].iter().map(|x| x * unit).collect();
    assert!(unit > 0 && sent[..8] == expected, "{sent:?}");
    // What the output port shows at each of these steps.
    let (shown, port) = (answered(&answer, "output"), traced(&trace, "layer.1"));
    assert_eq!(shown.shape, [4, 2]);
    let shown = shown.to_f32().expect("reals");
    assert!(shown.iter().zip(&port).all(|(&a, &b)| a == b as f32) && port.iter().any(|&p| p != 0));
}

#[test]
fn a_bare_file_does_not_guess_what_bytes_mean() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/digits");
    let name = |file: &str| root.join(file).display().to_string();
    let out = folder.path().join("out").display().to_string();
    let model = name("digits_mlp_w4a4_qcdq.onnx");
    let compiled = snnc(&["compile", &model, "--target", "loihi", "-o", &out]);
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let alone: PathBuf = folder.path().join("alone.net");
    std::fs::copy(folder.path().join("out/loihi/network.net"), &alone).expect("copies");
    let (alone, data) = (alone.display().to_string(), name("digits-test-360.npz"));
    let eval = |arguments: &[&str]| snnc(&[&["eval"], arguments].concat());
    let guess = eval(&[&alone, "--data", &data, "--limit", "50"]);
    let said = String::from_utf8_lossy(&guess.stderr).into_owned();
    assert_eq!(guess.status.code(), Some(2), "{said}");
    assert!(said.contains("--input-scale"), "{said}");
    // Told so, it answers as the artefact does: its bias apart, which is in the manifest alone.
    let scale = (1.0 / 255.0).to_string();
    let told = eval(&[&alone, "--data", &data, "--limit", "50", "--input-scale", &scale]);
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.status.success() && text.contains("50 samples"), "{text}");
    let late = snnc(&["run", &format!("{out}/loihi"), "--input", &data, "--timesteps", "9"]);
    assert_eq!(late.status.code(), Some(2));
}
