//! Trained networks in hardware simulators.

use snnc::codings;
use snnc::data::{Dataset, Scaling};
use snnc::driver::{CompileOptions, Model, compile};
use snnc::evaluate::takes_reals;
use snnc::import::ImportOptions;
use snnc::passes::Context;
use snnc_backends::spleat::rtl::Simulator;
use snnc_backends::spleat::{Checksums, ENTRY, read_layers};
use snnc_backends::{Artefact, MemoryFiles};
use snnc_ir::Coding;
use snnc_runtime::spiking::Sample;
use snnc_testsuite::{beside, digits};

use crate::{Behaviour, Image, behaviour, simulated};

/// Samples; more with `SNNC_FULL` set.
fn samples(few: usize, all: usize) -> usize {
    if std::env::var_os("SNNC_FULL").is_some() { all } else { few }
}

fn prepared(
    path: &std::path::Path,
    data: &std::path::Path,
    (coding, timesteps): (Coding, Option<usize>),
    count: usize,
) -> (Image, Vec<Behaviour>) {
    let model = Model::load(path, &ImportOptions::default(), &mut Context::default())
        .expect("the model converts");
    let options = CompileOptions {
        coding: Some(coding),
        spikes: codings::Options::timesteps(timesteps),
        ..CompileOptions::default()
    };
    let target = snnc_backends::target("spleat").expect("the target exists");
    let compiled = compile(&model, target, &options).unwrap_or_else(|e| panic!("{coding}: {e}"));
    let artefact = Artefact { files: compiled.files };
    let files = MemoryFiles::from(&artefact);
    let (manifest, layers) = read_layers(&files, ENTRY, Checksums::Checked).expect("reads");
    let image = Image { artefact, manifest, layers, network: compiled.network };
    let data = Dataset::load(data, Some(count)).expect("the samples");
    let sample = |index: usize| match takes_reals(&model.quantised) {
        true => Sample::Real(data.reals(index, Scaling::default())),
        false => Sample::Codes(data.integers(index, Scaling::default())),
    };
    let one = |index| behaviour(&image.network, &sample(index)).expect("runs");
    let expected = (0..data.len()).map(one).collect();
    (image, expected)
}

/// One of the digits networks with multi-level spikes, and what it does with a sample.
pub fn digits_image(name: &str) -> (Image, Vec<Behaviour>) {
    let path = digits(&format!("digits_{name}.onnx"));
    prepared(&path, &digits("digits-test-360.npz"), CODINGS[0], 1)
}

const CODINGS: [(Coding, Option<usize>); 2] =
    [(Coding::MultiLevel, Some(1)), (Coding::Rate, Some(4))];

fn check_digits(simulator: Simulator, count: usize) {
    for name in ["mlp_w4a4_qcdq", "cnn_w4a4_qcdq"] {
        for coding in CODINGS {
            let path = digits(&format!("digits_{name}.onnx"));
            let data = digits("digits-test-360.npz");
            let (image, expected) = prepared(&path, &data, coding, count);
            simulated::check(simulator, &image, &expected, &[]);
            let sent: usize = expected.iter().flat_map(|b| b.values()).map(|d| d.0.len()).sum();
            crate::say(format_args!("{name} as {}, {count} samples: {sent} events", coding.0));
        }
    }
}

#[test]
#[cfg_attr(
    not(icarus),
    ignore = "Icarus Verilog was not installed (testsuite/peers/setup.sh installs it) when this was built"
)]
fn the_digits_networks_are_the_same_in_icarus() {
    check_digits(Simulator::Icarus, 2);
}

#[test]
#[cfg_attr(
    not(verilator),
    ignore = "Verilator was not installed (testsuite/peers/setup.sh installs it) when this was built"
)]
fn the_digits_networks_are_the_same_in_verilator() {
    check_digits(Simulator::Verilator, samples(20, 360));
}

#[test]
#[cfg_attr(
    not(all(shared, verilator)),
    ignore = "../shared or Verilator was not there when this was built"
)]
fn the_fashion_networks_are_the_same_in_verilator() {
    let data = beside().join("data/fashion-mnist-test-10000.npz");
    for name in ["lenet_w4a4_qcdq", "resnet8_w4a4_qcdq"] {
        let path = beside().join(format!("models/trained/fmnist_{name}.onnx"));
        for coding in CODINGS {
            let count = samples(2, 20);
            let (image, expected) = prepared(&path, &data, coding, count);
            simulated::check(Simulator::Verilator, &image, &expected, &[]);
            let sent: usize = expected.iter().flat_map(|b| b.values()).map(|d| d.0.len()).sum();
            crate::say(format_args!("{name} as {}, {count} samples: {sent} events", coding.0));
        }
    }
}
