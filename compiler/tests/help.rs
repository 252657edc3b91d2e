//! Errors that help: early, with the nearest name, and without advice that was followed already.

mod common;

use std::fs;
use std::path::Path;

use common::{digits, ends, snnc};
use snnc_backends::format::npy::NpyArray;
use snnc_backends::format::npz::{Compression, NpzWriter};

const MODEL: &str = "digits_mlp_w4a4_qcdq.onnx";

fn data(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name).display().to_string()
}

/// Writes `x` of that shape.
fn samples(folder: &Path, shape: &[usize], value: impl Fn(usize) -> f32) -> String {
    let x: Vec<f32> = (0..shape.iter().product()).map(value).collect();
    let mut writer = NpzWriter::new(Compression::Stored);
    writer.add("x", &NpyArray::from_f32(shape.to_vec(), &x).expect("fits")).expect("adds");
    let path = folder.join("x.npz");
    fs::write(&path, writer.finish().expect("ends")).expect("writes");
    path.display().to_string()
}

#[test]
fn names_that_do_not_exist_are_wrong_usage_with_the_nearest_that_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (model, out) = (digits(MODEL), at("out"));
    let compile = |targets: &str, more: &[&str], code: i32| {
        ends(&[&["compile", &model, "--target", targets, "-o", &out], more].concat(), code)
    };
    let cases: [(&str, &[&str], &str); 8] = [
        ("loihi", &["--set", "peek-rate=0.5"], "did you mean `peak-rate`?"),
        ("loihi", &["--set", "threshold.=0.5"], "did you mean `threshold.NAME`?"),
        ("reference,nir", &["--set", "formats=mif"], "there are none"),
        ("spleat", &["--set", "format=mif"], "did you mean `formats`?"),
        ("reference", &["--print-after", "fold-bais"], "did you mean `fold-bias`?"),
        ("reference", &["--dim", "NN=1"], "--dim"),
        ("reference", &["--input-shape", "inptu:1x1x8x8"], "did you mean `input`?"),
        ("reference", &["--hw", &at("any.yaml")], "takes a hardware description"),
    ];
    for (targets, more, words) in cases {
        let text = compile(targets, more, 2);
        assert!(text.contains(words), "{more:?}: {text}");
    }
    // A key of one target is no key of the others, which are not asked.
    compile("spleat,reference", &["--set", "formats=mif"], 0);
    for value in ["peak-rate=nan", "peak-rate=inf", "peak-rate=2", "threshold.a=nan"] {
        let text = compile("loihi", &["--set", value], 2);
        assert!(text.contains("--set"), "{text}");
    }
    compile("spleat", &["--set", "formats=elf"], 2);
    let (config, hardware) = (at("snnc.yaml"), at("hw.yaml"));
    for (text, words) in [
        ("targets: {spleaat: {}}", "did you mean `spleat`?"),
        ("targets: {spleat: {format: mif}}", "did you mean `formats`?"),
    ] {
        fs::write(&config, text).expect("writes");
        let said = compile("reference", &["--config", &config], 4);
        assert!(said.contains("snnc.yaml") && said.contains(words), "{said}");
    }
    for text in ["format: other", "numbers: {weight_bits: .nan}", "[", "numbers: 1"] {
        fs::write(&hardware, text).expect("writes");
        let said = compile("spleat", &["--hw", &hardware], 4);
        assert!(said.contains("hw.yaml"), "{said}");
    }
}

#[test]
fn samples_say_what_dimensions_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = data("open-dimensions.onnx");
    let text = ends(&["inspect", &model], 3);
    assert!(text.contains("--dim"), "{text}");
    let fits = samples(folder.path(), &[2, 1, 4, 6], |i| i as f32);
    let out = folder.path().join("out.npz").display().to_string();
    ends(&["run", &model, "--input", &fits, "-o", &out], 0);
    // Samples of another number of channels say nothing.
    let other = samples(folder.path(), &[2, 3, 4, 6], |i| i as f32);
    let text = ends(&["run", &model, "--input", &other, "-o", &out], 3);
    assert!(text.contains("--dim"), "{text}");
}

#[test]
fn samples_far_outside_the_range_are_warned_of_with_their_share() {
    let folder = tempfile::tempdir().expect("a folder");
    let model = digits("digits_cnn_w4a4_qcdq.onnx");
    let out = folder.path().join("out").display().to_string();
    let shape = [4, 1, 8, 8];
    let warned = |data: &str| {
        let compile = ["compile", &model, "--target", "reference", "--data", data, "-o", &out];
        let artefact = format!("{out}/reference");
        let commands: [&[&str]; 4] = [
            &compile,
            &["eval", &model, "--data", data],
            &["eval", &artefact, "--data", data],
            &["run", &artefact, "--input", data],
        ];
        commands.map(|command| ends(command, 0).contains("% of the samples' numbers lie outside"))
    };
    // Bytes that were saved as reals, and not divided by 255.
    let bytes = samples(folder.path(), &shape, |i| (i * 37 % 256) as f32);
    assert_eq!(warned(&bytes), [true; 4]);
    // Normalised data: half of it is negative.
    let normalised = samples(folder.path(), &shape, |i| if i % 2 == 0 { 0.5 } else { -0.5 });
    assert_eq!(warned(&normalised), [true; 4]);
    let good = samples(folder.path(), &shape, |i| (i * 37 % 256) as f32 / 255.0);
    assert_eq!(warned(&good), [false; 4]);
}

#[test]
fn a_shard_counts_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (model, set) = (digits("digits_cnn_bn_float.onnx"), digits("digits-train-1437.npz"));
    let gather = |shard: &str, name: &str| {
        let out = at(name);
        let command = ["calibrate", &model, "--data", &set, "--limit", "40", "--shard", shard];
        ends(&[&command[..], &["-o", &out]].concat(), 0);
        out
    };
    let (first, second) = (gather("1/2", "1.stats"), gather("2/2", "2.stats"));
    let all = at("all.stats");
    ends(&["calibrate", "--merge", &first, &second, "-o", &all], 0);
    for twice in [[&first, &first], [&all, &second]] {
        let text = ends(&["calibrate", "--merge", twice[0], twice[1], "-o", &at("x.stats")], 4);
        assert!(text.contains("other statistics to be merged count too"), "{text}");
    }
    // A damaged file is told by its sum.
    let mut bytes = fs::read(&first).expect("reads");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&first, bytes).expect("writes");
    let text = ends(&["calibrate", "--merge", &first, "-o", &at("x.stats")], 4);
    assert!(text.contains("SHA-256"), "{text}");
}

#[test]
fn a_model_on_reals_is_rated_as_calibration_would_quantise_it() {
    let output = snnc(&["inspect", &digits("digits_cnn_bn_float.onnx"), "--format", "json"]);
    assert!(output.status.success());
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["calibrated"], true);
    let rating = |name: &str| {
        let all = report["targets"].as_array().expect("targets");
        all.iter().find(|t| t["target"] == name).expect("is listed")["rating"].clone()
    };
    assert_eq!(rating("reference"), "exact");
    assert_eq!([rating("spleat"), rating("loihi")], ["approximate"; 2]);
    // A product of maps is an obstacle, and no advice to calibrate hides it.
    let folder = tempfile::tempdir().expect("a folder");
    let (model, out) =
        (data("product-float.onnx"), folder.path().join("out").display().to_string());
    let set = samples(folder.path(), &[400, 1, 8, 8], |i| (i % 17) as f32 / 17.0);
    for command in [
        vec!["compile", &model, "--target", "all", "--calibration", &set, "-o", &out],
        vec!["compile", &model, "--target", "reference", "--data", &set, "-o", &out],
    ] {
        let text = ends(&command, 3);
        assert!(!text.contains("calibration data") && !text.contains("--data"), "{text}");
    }
    assert!(!Path::new(&out).exists());
}

#[test]
fn an_artefact_of_a_model_on_reals_is_verified_against_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (model, set) = (digits("digits_cnn_bn_float.onnx"), digits("digits-test-360.npz"));
    let out = at("out");
    let targets = ["--target", "reference,spleat", "--payload-bits", "3"];
    ends(&[&["compile", &model, "--calibration", &set, "-o", &out], &targets[..]].concat(), 0);
    for target in ["reference", "spleat"] {
        let artefact = format!("{out}/{target}");
        let verify = ["verify", &artefact, "--against", &model];
        let text = ends(&verify, 0);
        assert!(text.contains("quantised network that it recorded"), "{text}");
        let limited = ["--data", &set, "--limit", "20"];
        let output = snnc(&[&verify[..], &limited].concat());
        assert_eq!(output.status.code(), Some(0));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("of 20 predictions are not those of the float model"), "{text}");
        ends(&[&verify[..], &["--calibration", &set]].concat(), 0);
        // Another calibration set makes another network.
        let other = digits("digits-train-1437.npz");
        let text = ends(&[&verify[..], &["--calibration", &other]].concat(), 1);
        assert!(text.contains("gives another quantised network"), "{text}");
        // Another model is another model.
        let changed = at("changed.onnx");
        let mut bytes = fs::read(&model).expect("reads");
        bytes.extend([0x4a, 0x00]);
        fs::write(&changed, bytes).expect("writes");
        let text = ends(&["verify", &artefact, "--against", &changed], 1);
        assert!(text.contains("compiled from another file"), "{text}");
    }
}

#[test]
fn a_network_on_reals_is_inspected_and_written_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().display().to_string();
    let network = data("leaky.nir");
    let text = String::from_utf8_lossy(&snnc(&["inspect", &network]).stdout).into_owned();
    assert!(text.contains("nir: exact") && text.contains("loihi: cannot"), "{text}");
    let compile = ["compile", &network, "--target", "nir,loihi", "-o", &out];
    for _ in 0..2 {
        let text = ends(&compile, 3);
        assert!(text.contains("takes integers"), "{text}");
    }
    let artefact = format!("{out}/nir");
    let inspected = snnc(&["inspect", &artefact]);
    assert_eq!(String::from_utf8_lossy(&inspected.stdout), text);
}
