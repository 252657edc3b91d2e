//! Larger quantised networks, on models and images beside the repository.

use snnc::certificate::Verdict;
use snnc::data::Dataset;
use snnc::driver::{CompileOptions, Model, compile};
use snnc::evaluate::Runner;
use snnc::import::ImportOptions;
use snnc::passes::Context;
use snnc_testsuite::beside;

/// Images for the slower network; all 10,000 with `SNNC_FULL` set.
fn images(few: usize) -> usize {
    if std::env::var_os("SNNC_FULL").is_some() { 10_000 } else { few }
}

/// Accuracy, activations with another code, and the worst verdict of the canonical network.
fn measured(model: &str, images: usize) -> (f64, u64, Verdict) {
    let shared = beside();
    let (path, data) = (shared.join(model), shared.join("data/fashion-mnist-test-10000.npz"));
    let options = ImportOptions::default();
    let model = Model::load(&path, &options, &mut Context::default()).expect("the model converts");
    let target = snnc_backends::target("reference").expect("the target exists");
    let compiled = compile(&model, target, &CompileOptions::default()).expect("compiles");
    let dataset = Dataset::load(&data, Some(images)).expect("the images are there");
    let runner =
        Runner::spiking(&compiled.network, Some(&model.quantised), true, Default::default());
    let evaluation = runner.expect("runs").evaluate(&dataset, &data).expect("runs");
    let mismatches = evaluation.mismatches_vs_reference.expect("a reference");
    (evaluation.top1.expect("labels"), mismatches, compiled.certificate.verdict)
}

#[test]
#[cfg_attr(not(shared), ignore = "../shared was not there when this was built")]
fn lenet_keeps_its_accuracy_to_the_image() {
    // onnxruntime 1.31.1 without optimisations: 91.25 % of all images.
    let images = images(1000);
    let (top1, mismatches, verdict) =
        measured("models/trained/fmnist_lenet_w4a4_qcdq.onnx", images);
    assert_eq!((mismatches, verdict), (0, Verdict::Proved));
    if images == 10_000 {
        assert!((top1 - 91.25).abs() < 0.005, "{top1}");
    }
}

#[test]
#[cfg_attr(not(shared), ignore = "../shared was not there when this was built")]
fn residual_additions_are_proved_pair_by_pair() {
    let images = images(200);
    let (top1, mismatches, verdict) =
        measured("models/trained/fmnist_resnet8_w4a4_qcdq.onnx", images);
    assert_eq!((verdict, mismatches), (Verdict::Proved, 0));
    if images == 10_000 {
        assert!((top1 - 88.95).abs() < 0.015, "{top1}");
    }
}
