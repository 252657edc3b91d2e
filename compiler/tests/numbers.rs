//! Numbers that are none, and labels that are none of the classes: refused where they come in, or counted.

mod common;

use std::path::Path;

use common::{digits, fails, repository, snnc, stderr};

/// Samples of the digits networks with `change` applied to the first 8 as f32, labels `y`.
fn digits_samples(folder: &Path, name: &str, change: impl Fn(&mut [f32], &mut [i64])) -> String {
    use snnc_backends::format::npy::NpyArray;
    use snnc_backends::format::npz::{Compression, Npz, NpzWriter};
    let npz = Npz::open(std::fs::read(digits("digits-test-360.npz")).expect("reads")).expect("npz");
    let take = |name: &str| npz.get(name).expect("reads").expect("is there");
    let mut x = take("x").to_f32().expect("numbers")[..8 * 64].to_vec();
    let mut y = take("y").to_i64().expect("labels")[..8].to_vec();
    x.iter_mut().for_each(|v| *v /= 255.0);
    change(&mut x, &mut y);
    let mut writer = NpzWriter::new(Compression::Stored);
    writer.add("x", &NpyArray::from_f32([8, 1, 8, 8], &x).expect("fits")).expect("adds");
    writer.add("y", &NpyArray::from_i64([8], &y).expect("fits")).expect("adds");
    let path = folder.join(name);
    std::fs::write(&path, writer.finish().expect("ends")).expect("writes");
    path.display().to_string()
}

#[test]
fn what_is_no_number_is_refused_where_it_comes_in() {
    let input = tempfile::tempdir().expect("a folder");
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out").display().to_string();
    let (model, float) = (digits("digits_cnn_w4a4_qcdq.onnx"), digits("digits_cnn_bn_float.onnx"));
    let good = digits_samples(input.path(), "good.npz", |_, _| ());
    assert!(snnc(&["eval", &model, "--data", &good]).status.success());
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let data = digits_samples(input.path(), "bad.npz", |x, _| x[5 * 64 + 9] = bad);
        let commands: [&[&str]; 6] = [
            &["eval", &model, "--data", &data],
            &["run", &model, "--input", &data, "-o", &out],
            &["compile", &model, "--target", "reference", "--data", &data, "-o", &out],
            &["compile", &float, "--target", "reference", "--calibration", &data, "-o", &out],
            &["calibrate", &float, "--data", &data, "-o", &out],
            &["explore", &model, "--data", &data, "-o", &out],
        ];
        for command in commands {
            fails(command, 4, &["bad.npz", "sample 5", "element 9"], folder.path());
        }
    }
    for (label, y) in [("-1", -1), ("10", 10)] {
        let data = digits_samples(input.path(), "labels.npz", |_, labels| labels[3] = y);
        let said = format!("sample 3 has label {label}");
        fails(&["eval", &model, "--data", &data], 4, &["labels.npz", &said], folder.path());
        let explore = ["report", &model, "--data", &data, "-o", &out];
        fails(&explore, 4, &["labels.npz", &said], folder.path());
    }
    for option in ["--input-scale", "--input-offset"] {
        for value in ["nan", "inf", "-inf", "1e300", "one"] {
            let option = format!("{option}={value}");
            fails(&["eval", &model, "--data", &good, &option], 2, &[value], folder.path());
        }
    }
    for (text, key) in [
        ("input: {scale: .nan}", "input.scale"),
        ("input: {offset: -.inf}", "input.offset"),
        ("input: {scale: 1e40}", "input.scale"),
        ("thresholds: {a: [1, .inf]}", "thresholds.a"),
        ("targets: {loihi: {peak-rate: .nan}}", "targets.loihi.peak-rate"),
    ] {
        let config = input.path().join("snnc.yaml").display().to_string();
        std::fs::write(&config, text).expect("writes");
        let compile = ["compile", &model, "--target", "loihi", "-o", &out, "--config", &config];
        fails(&compile, 4, &["snnc.yaml", key], folder.path());
    }
    for option in [["--budget", "avg-bits=nan"], ["--threshold", "percentile:nan"]] {
        let compile = ["compile", &float, "--target", "reference", "-o", &out, "--data", &good];
        let more = [&option[..], &["--payload-bits", "auto"]].concat();
        fails(&[&compile[..], &more].concat(), 2, &[option[0]], folder.path());
    }
}

#[test]
fn a_score_that_is_nan_is_never_right_and_is_counted() {
    use snnc_backends::format::npy::NpyArray;
    use snnc_backends::format::npz::{Compression, Npz, NpzWriter};
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("x.npz").display().to_string();
    let mut writer = NpzWriter::new(Compression::Stored);
    // All scores are 1 in the first sample; one, and all of them, are NaN in the others.
    let x = [1.0, 2.0, 3.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0];
    writer.add("x", &NpyArray::from_f32([3, 3], &x).expect("fits")).expect("adds");
    writer.add("y", &NpyArray::from_i64([3], &[0, 0, 0]).expect("fits")).expect("adds");
    std::fs::write(&data, writer.finish().expect("ends")).expect("writes");
    let model = repository().join("compiler/tests/data/nan-of-zero.onnx").display().to_string();
    let output = snnc(&["eval", &model, "--data", &data, "--format", "json"]);
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(answer["nan_scores"], 2);
    for (key, percent) in [("top1", 100.0 / 3.0), ("top5", 100.0 / 3.0)] {
        let found = answer[key].as_f64().expect("a number");
        assert!((found - percent).abs() < 1e-9, "{key}: {found}");
    }
    let text = stderr(&snnc(&["eval", &model, "--data", &data]));
    assert!(text.contains("warning: samples: 2 of 3 samples have NaN"), "{text}");
    let out = folder.path().join("out.npz").display().to_string();
    assert!(snnc(&["run", &model, "--input", &data, "-o", &out]).status.success());
    let answers = Npz::open(std::fs::read(&out).expect("reads")).expect("npz");
    let predictions = answers.get("prediction").expect("reads").expect("is there");
    assert_eq!(predictions.to_i64().expect("integers"), [0, -1, -1]);
}
