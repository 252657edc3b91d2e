//! The digits networks from ONNX file to every target and back: what a user's first command does.

#![allow(clippy::print_stdout, reason = "what was measured is shown with --nocapture")]

use std::path::PathBuf;

use snnc::certificate::Verdict;
use snnc::driver::{CompileOptions, Compiled, Model, compile};
use snnc::import::ImportOptions;
use snnc::passes::Context;
use snnc::{Error, artefact};
use snnc_testsuite::digits;

fn model(name: &str) -> Model {
    Model::load(&digits(name), &ImportOptions::default(), &mut Context::default())
        .expect("the model converts")
}

fn options() -> CompileOptions {
    CompileOptions { data: Some(digits("digits-test-360.npz")), ..CompileOptions::default() }
}

fn compiled(model: &Model, target: &str) -> Result<Compiled, Error> {
    compile(model, snnc_backends::target(target).expect("the target exists"), &options())
}

/// Predictions of onnxruntime 1.31.1 without optimisations, hits of 360: 99.44 %, and 98.61 % of the MLP.
fn onnxruntime_hits(name: &str) -> f64 {
    match name {
        "digits_mlp_w4a4_qcdq.onnx" => 355.0,
        "digits_cnn_w2a2_qcdq.onnx" => 356.0,
        _ => 358.0,
    }
}

fn check_exact(name: &str, target: &str) {
    let compiled =
        compiled(&model(name), target).unwrap_or_else(|e| panic!("{name} on {target}: {e}"));
    let evaluation = compiled.evaluation.expect("data was given");
    assert_eq!(evaluation.samples, 360);
    assert_eq!(evaluation.mismatches_vs_reference, Some(0), "{name} on {target}");
    let hits = evaluation.top1.expect("labels") * 3.6;
    assert_eq!(hits.round(), onnxruntime_hits(name), "{name} on {target}");
    for p in &compiled.certificate.populations {
        assert_eq!(p.verdict, Verdict::Proved, "{name} on {target}: {p:?}");
    }
    assert_eq!(compiled.certificate.verdict, Verdict::Proved);
}

#[test]
fn reference_is_exact() {
    for name in [
        "digits_cnn_w4a4_qcdq.onnx",
        "digits_cnn_w4a4_qdq_int4.onnx",
        "digits_cnn_w2a2_qcdq.onnx",
        "digits_cnn_w8a8_qdq.onnx",
        "digits_mlp_w4a4_qcdq.onnx",
    ] {
        check_exact(name, "reference");
    }
}

#[test]
fn spleat_is_exact() {
    for name in [
        "digits_cnn_w4a4_qcdq.onnx",
        "digits_cnn_w4a4_qdq_int4.onnx",
        "digits_cnn_w8a8_qdq.onnx",
        "digits_mlp_w4a4_qcdq.onnx",
    ] {
        check_exact(name, "spleat");
    }
}

/// Accuracy in points below onnxruntime's, and the verdict.
fn loss(name: &str, target: &str) -> (f64, Compiled) {
    let compiled =
        compiled(&model(name), target).unwrap_or_else(|e| panic!("{name} on {target}: {e}"));
    let top1 = compiled.evaluation.as_ref().and_then(|e| e.top1).expect("labels were given");
    (onnxruntime_hits(name) / 3.6 - top1, compiled)
}

#[test]
fn akida_lists_every_differing_accumulator() {
    for target in ["akida1", "akida2"] {
        for name in ["digits_cnn_w4a4_qcdq.onnx", "digits_cnn_w4a4_qdq_int4.onnx"] {
            let (loss, compiled) = loss(name, target);
            assert!(loss <= 0.3, "{name} on {target} loses {loss} points");
            let evaluation = compiled.evaluation.as_ref().expect("data was given");
            let (differing, all) =
                (evaluation.mismatches_vs_reference, evaluation.activations_compared);
            let share = differing.expect("compared") as f64 / all.expect("compared") as f64;
            println!("{name} on {target}: {:.3} % of activations differ", 100.0 * share);
            assert!(share <= if target == "akida1" { 0.005 } else { 0.04 }, "{name} on {target}");
            for p in &compiled.certificate.populations {
                assert!(p.verdict <= Verdict::Differs, "{name} on {target}: {p:?}");
                let listed: i64 = p.differences.iter().map(|d| d.to - d.from + 1).sum();
                assert_eq!(listed as u64, p.differing, "every differing value is listed");
            }
        }
    }
}

#[test]
fn loihi_is_approximate_and_says_so() {
    for name in [
        "digits_cnn_w4a4_qcdq.onnx",
        "digits_cnn_w4a4_qdq_int4.onnx",
        "digits_cnn_w8a8_qdq.onnx",
        "digits_mlp_w4a4_qcdq.onnx",
    ] {
        let (loss, compiled) = loss(name, "loihi");
        assert!(loss <= 1.0, "{name} loses {loss} points");
        assert_eq!(compiled.certificate.verdict, Verdict::Approximate, "{name}");
        let measured = compiled.certificate.populations.iter().filter(|p| p.measured.is_some());
        assert!(measured.count() > 0, "{name}: the error is stated");
    }
}

#[test]
fn what_a_target_cannot_hold_is_refused_with_node_and_limit() {
    for (name, target, node, limit) in [
        ("digits_cnn_w8a8_qdq.onnx", "akida1", "Conv `conv1`", "payloads 0 to 255"),
        (
            "digits_mlp_w4a4_qcdq.onnx",
            "akida1",
            "QuantizeLinear `input_QuantizeLinear`",
            "codes 0 to 255",
        ),
        (
            "digits_mlp_w4a4_qcdq.onnx",
            "akida2",
            "QuantizeLinear `input_QuantizeLinear`",
            "codes 0 to 255",
        ),
    ] {
        let error = compiled(&model(name), target).map(|_| ()).expect_err("it does not fit");
        assert_eq!(error.exit_code(), 3);
        let found =
            error.problems().iter().any(|p| p.place.contains(node) && p.reason.contains(limit));
        assert!(found && error.problems().iter().all(|p| !p.remedy.is_empty()), "{error}");
    }
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    for target in snnc_backends::TARGETS {
        let once = compiled(&model("digits_cnn_w4a4_qcdq.onnx"), target.name());
        let again = compiled(&model("digits_cnn_w4a4_qcdq.onnx"), target.name());
        let (once, again) = (once.expect("compiles"), again.expect("compiles"));
        assert!(once.files == again.files, "{} differs from run to run", target.name());
    }
}

#[test]
fn what_is_written_opens_as_what_was_compiled() {
    let model = model("digits_cnn_w4a4_qcdq.onnx");
    let directory = tempfile::tempdir().expect("a folder");
    for target in snnc_backends::TARGETS {
        let compiled = compiled(&model, target.name()).expect("compiles");
        let folder = vec![(target.name().to_owned(), compiled.files)];
        artefact::write_all(directory.path(), &folder).expect("writes");
        let path: PathBuf = directory.path().join(target.name());
        let opened = artefact::open(&path).expect("opens").expect("is an artefact");
        assert_eq!(artefact::same_network(&opened.network, &compiled.network), Ok(()));
        assert_eq!(opened.certificate.as_ref(), Some(&compiled.certificate));
        // One changed byte anywhere is noticed.
        let entry = path.join(&compiled.manifest.entry);
        let mut bytes = std::fs::read(&entry).expect("reads");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&entry, bytes).expect("writes");
        assert_eq!(artefact::open(&path).map(|_| ()).expect_err("is refused").exit_code(), 4);
    }
}
