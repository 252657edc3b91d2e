//! What a file is, every command judges alike, and opens a model once.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::{ends, snnc};
use snnc_backends::format::npy::NpyArray;
use snnc_backends::format::npz::{Compression, NpzWriter};

/// A file, the shape of samples for it, and the model that it is from.
struct Kind {
    name: &'static str,
    file: PathBuf,
    samples: &'static [usize],
    model: PathBuf,
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn spiking(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.join("testsuite/cases/spiking").join(name)
}

/// Samples `x` of that shape with labels `y`.
fn samples(folder: &Path, shape: &[usize]) -> String {
    let x: Vec<f32> =
        (0..shape.iter().product()).map(|i: usize| (i * 37 % 17) as f32 / 8.0 - 0.5).collect();
    let mut writer = NpzWriter::new(Compression::Stored);
    writer.add("x", &NpyArray::from_f32(shape.to_vec(), &x).expect("fits")).expect("adds");
    let labels: Vec<i64> = (0..shape[0]).map(|i| (i % 2) as i64).collect();
    writer.add("y", &NpyArray::from_i64([shape[0]], &labels).expect("fits")).expect("adds");
    let path = folder.join(format!("samples{shape:?}.npz"));
    std::fs::write(&path, writer.finish().expect("a file")).expect("writes");
    path.display().to_string()
}

fn kinds(folder: &Path) -> Vec<Kind> {
    let made = |model: &Path, target: &str, more: &[&str]| {
        let name = model.file_stem().expect("a name").to_string_lossy().into_owned();
        let out = folder.join(name);
        let [from, to] = [model, &out].map(|p| p.display().to_string());
        let compile = ["compile", &from, "--target", target, "-o", &to];
        ends(&[&compile[..], more].concat(), 0);
        out.join(target)
    };
    let (codes, spikes) = (data("integer-input.onnx"), spiking("spikingjelly_mlp_lif_hard.onnx"));
    let continuous = data("leaky.nir");
    let set = samples(folder, &[8, 2]);
    let reals = made(&data("leaky-float.onnx"), "reference", &["--calibration", &set]);
    let text = folder.join("text.onnx");
    std::fs::write(&text, "no model").expect("writes");
    let model = |name, file: PathBuf, samples| Kind { name, model: file.clone(), file, samples };
    let of = |name, file, samples, model: &Path| Kind { name, file, samples, model: model.into() };
    vec![
        model("quantised", codes.clone(), &[4, 9]),
        model("float", data("leaky-float.onnx"), &[8, 2]),
        model("float-chosen", data("chosen-leaky.onnx"), &[8, 2]),
        model("float-compared-behind", data("compared-scores.onnx"), &[8, 2]),
        model("compared-between", data("compared-between.onnx"), &[8, 2]),
        model("state-left-out", spiking("spikingjelly_state_dropped.onnx"), &[2, 1, 6, 6]),
        model("spiking", spikes.clone(), &[2, 24, 8]),
        model("real", continuous.clone(), &[2, 5, 2]),
        of("artefact", made(&codes, "reference", &[]), &[4, 9], &codes),
        of("artefact-bare", made(&codes, "loihi", &[]).join("network.net"), &[4, 9], &codes),
        of("artefact-of-float", reals, &[8, 2], &data("leaky-float.onnx")),
        of("artefact-spiking", made(&spikes, "reference", &[]), &[2, 24, 8], &spikes),
        of("artefact-spiking-codes", made(&spikes, "spleat", &[]), &[2, 24, 8], &spikes),
        of("artefact-real", made(&continuous, "nir", &[]), &[2, 5, 2], &continuous),
        model("text", text, &[4, 9]),
    ]
}

/// Every command that takes a network, on one file; what is written goes below `out`.
fn commands(kind: &Kind, samples: &str, out: &Path) -> Vec<(&'static str, Vec<String>)> {
    let file = kind.file.display().to_string();
    let model = kind.model.display().to_string();
    let at = |name: &str| out.join(name).display().to_string();
    let words = |all: &[&str]| all.iter().map(|w| (*w).to_owned()).collect::<Vec<String>>();
    let compile = ["compile", &file, "--target", "reference", "-o", &at("out")];
    let explore = ["explore", &file, "--target", "reference", "--data", samples];
    vec![
        ("inspect", words(&["inspect", &file])),
        ("compile", words(&[&compile[..], &["--calibration", samples]].concat())),
        ("calibrate", words(&["calibrate", &file, "--data", samples, "-o", &at("statistics")])),
        ("run", words(&["run", &file, "--input", samples])),
        ("eval", words(&["eval", &file, "--data", samples])),
        ("explore", words(&explore)),
        ("report", words(&["report", &file, "--data", samples, "-o", &at("page.html")])),
        ("compare", words(&["compare", &file, "--data", samples])),
        ("diff", words(&["diff", &file, &file, "--input", samples])),
        ("verify", words(&["verify", &file, "--against", &model, "--allow-approximate"])),
        ("certify", words(&["certify", &file, "--smt", &at("smt")])),
    ]
}

/// Exit code and errors of a command, without folders.
fn outcome(arguments: &[String], folder: &Path) -> String {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = snnc(&arguments);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!text.contains("panicked"), "{arguments:?}: {text}");
    let mut said = format!("{}", output.status.code().unwrap_or(-1));
    for line in text.lines().filter_map(|line| line.strip_prefix("error: ")) {
        said += &format!(" {line}");
    }
    let places = [folder.to_owned(), data(""), spiking("")];
    places.iter().fold(said, |said, place| {
        said.replace(&format!("{}/", place.display().to_string().trim_end_matches('/')), "")
    })
}

#[test]
fn every_command_gives_a_file_the_same_judgement() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut table: BTreeMap<&str, BTreeMap<&str, String>> = BTreeMap::new();
    let mut text = String::new();
    for kind in kinds(folder.path()) {
        let set = samples(folder.path(), kind.samples);
        let out = folder.path().join(kind.name);
        std::fs::create_dir(&out).expect("makes a folder");
        for (command, arguments) in commands(&kind, &set, &out) {
            let found = outcome(&arguments, folder.path());
            text += &format!("{:24}{command:10}{found}\n", kind.name);
            table.entry(kind.name).or_default().insert(command, found);
        }
    }
    // However an activation is written, it is the same network; so is one whose scores the host compares.
    let codes = |kind: &str| -> Vec<(&str, u8)> {
        table[kind].iter().map(|(command, said)| (*command, said.as_bytes()[0])).collect()
    };
    for kind in ["float-chosen", "float-compared-behind"] {
        assert_eq!(codes(kind), codes("float"), "{kind}");
    }
    // What has no form on codes has none for every command that needs one, in the same words.
    for kind in ["compared-between", "state-left-out"] {
        let own = &table[kind];
        assert!(own["compile"].contains("the exporter has left the state out"), "{own:?}");
        for command in ["calibrate", "explore", "diff"] {
            assert_eq!(own[command], own["compile"], "{kind}: {command}");
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn a_model_is_imported_once_for_a_command() {
    let folder = tempfile::tempdir().expect("a folder");
    for kind in kinds(folder.path()) {
        let set = samples(folder.path(), kind.samples);
        let out = folder.path().join(kind.name);
        std::fs::create_dir(&out).expect("makes a folder");
        for (command, mut arguments) in commands(&kind, &set, &out) {
            if command == "compile" {
                arguments[3] = "all".into();
            }
            arguments.push("-vv".into());
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let output = snnc(&arguments);
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            let imports = text.lines().filter(|line| line.contains("imports file=")).count();
            let is_model =
                kind.file == kind.model && kind.file.extension().is_some_and(|e| e == "onnx");
            let expected = match command {
                // Both sides are files of their own.
                "diff" if is_model && output.status.success() => 2,
                "diff" => usize::from(is_model),
                "certify" => 0,
                "verify" if is_model => 0,
                "verify" if !kind.name.starts_with("artefact") || kind.name.ends_with("real") => 0,
                "verify" if kind.name == "artefact-spiking" => 0,
                "verify" => 1,
                _ => usize::from(is_model),
            };
            assert_eq!(imports, expected, "{} {command}: {text}", kind.name);
        }
    }
}
