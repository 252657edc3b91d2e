//! Trained networks in three codings: the image answers every sample as the network of the reference
//! target does.

use std::path::PathBuf;

use snnc::codings;
use snnc::data::{Dataset, Scaling};
use snnc::driver::{CompileOptions, Model, compile};
use snnc::evaluate::{Runner, prediction, takes_reals};
use snnc::import::ImportOptions;
use snnc::passes::Context;
use snnc_ir::{Coding, Graph};
use snnc_testsuite::{beside, digits};

/// Codings with their timesteps; few-spikes takes the fewest that hold the payloads.
const CODINGS: [(Coding, Option<usize>); 3] =
    [(Coding::MultiLevel, Some(1)), (Coding::FewSpikes, None), (Coding::Rate, Some(4))];

/// Images for each network and coding; all with `SNNC_FULL` set.
fn images(few: usize) -> Option<usize> {
    std::env::var_os("SNNC_FULL").is_none().then_some(few)
}

fn network(model: &Model, target: &str, (coding, timesteps): (Coding, Option<usize>)) -> Graph {
    let options = CompileOptions {
        coding: Some(coding),
        spikes: codings::Options::timesteps(timesteps),
        ..CompileOptions::default()
    };
    let target = snnc_backends::target(target).expect("the target exists");
    let compiled = compile(model, target, &options)
        .unwrap_or_else(|e| panic!("{} as {coding}: {e}", target.name()));
    compiled.network
}

/// Scores of every sample and hits of the labels.
fn answers(model: &Model, network: &Graph, data: &Dataset) -> (Vec<Vec<f32>>, usize) {
    let reals = takes_reals(&model.quantised);
    let runner = Runner::spiking(network, None, reals, Scaling::default()).expect("runs");
    let answers = runner.answers(data, "data".as_ref()).expect("runs");
    let labels = data.labels.clone().expect("labels");
    let hit = |(a, label): (&snnc::evaluate::Answer, &i64)| prediction(&a.scores) == *label;
    let hits = answers.iter().zip(&labels).filter(|&pair| hit(pair)).count();
    (answers.into_iter().map(|a| a.scores).collect(), hits)
}

fn check(path: PathBuf, data: &Dataset) {
    let model = Model::load(&path, &ImportOptions::default(), &mut Context::default())
        .expect("the model converts");
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    for coding in CODINGS {
        let (scores, hits) = answers(&model, &network(&model, "spleat", coding), data);
        let (expected, reference) = answers(&model, &network(&model, "reference", coding), data);
        assert_eq!(hits, reference, "{name} as {}", coding.0);
        assert_eq!(scores, expected, "{name} as {}", coding.0);
        crate::say(format_args!("{name} as {}: {hits} of {} images", coding.0, data.len()));
    }
}

#[test]
fn images_of_the_digits_networks_answer_as_the_reference() {
    let data = Dataset::load(&digits("digits-test-360.npz"), images(60)).expect("the images");
    for name in ["cnn_w4a4_qcdq", "cnn_w4a4_qdq_int4", "cnn_w2a2_qcdq", "mlp_w4a4_qcdq"] {
        check(digits(&format!("digits_{name}.onnx")), &data);
    }
}

#[test]
#[cfg_attr(not(shared), ignore = "../shared was not there when this was built")]
fn images_of_the_fashion_networks_answer_as_the_reference() {
    let shared = beside();
    let data = shared.join("data/fashion-mnist-test-10000.npz");
    let data = Dataset::load(&data, images(10)).expect("the images");
    for name in ["lenet_w4a4_qcdq", "lenet_w3a3_qcdq", "lenet_w2a2_qcdq", "lenet_w4a4_qdq_int4"] {
        check(shared.join(format!("models/trained/fmnist_{name}.onnx")), &data);
    }
}
