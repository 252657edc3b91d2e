//! Lava NetX and the interpreter, on the same files and input: every spike and every state of
//! every layer at every step must be equal.
//!
//! Needs `testsuite/peers/setup.sh lava` to have run, or `SNNC_LAVA_PYTHON` to name a Python that
//! has lava-nc 0.10.0 and lava-dl 0.6.0; else its tests are ignored. A part of the
//! networks is run by default, all with `SNNC_FULL` set.

mod netx;
mod random;

use snnc::data::{Dataset, Scaling};
use snnc::driver::{CompileOptions, Model, Trained, compile, compile_trained};
use snnc::frontend;
use snnc::import::ImportOptions;
use snnc::passes::Context;
use snnc::spiking_integers::Run;
use snnc_backends::TargetOptions;
use snnc_ir::{Coding, FloatReset, Graph, Neuron, Op, SpikingOp};
use snnc_testsuite::digits;

use netx::{Case, compare, lava_python};

/// Random current-based networks, all and by default.
const CURRENT_BASED: (u64, u64) = (44, 16);
/// Random sigma-delta networks, all and by default.
const SIGMA_DELTA: (u64, u64) = (16, 6);
/// Networks trained on digits, all and by default.
const DIGITS: [&str; 5] = [
    "digits_cnn_w4a4_qcdq",
    "digits_mlp_w4a4_qcdq",
    "digits_cnn_w8a8_qdq",
    "digits_cnn_w4a4_qdq_int4",
    "digits_cnn_w2a2_qcdq",
];
const DIGITS_BY_DEFAULT: usize = 2;

fn is_full() -> bool {
    std::env::var_os("SNNC_FULL").is_some()
}

/// As many as are run, and a line where that is a part.
fn part(what: &str, all: u64, few: u64) -> u64 {
    if is_full() {
        return all;
    }
    #[allow(clippy::print_stderr)]
    {
        eprintln!("{few} of {all} {what} are run in NetX: SNNC_FULL=1 runs all");
    }
    few
}

#[test]
#[cfg_attr(
    not(lava),
    ignore = "Lava was not installed (testsuite/peers/setup.sh lava) when this was built"
)]
fn current_based_networks_run_as_in_netx() {
    let python = lava_python();
    let count = part("current-based networks", CURRENT_BASED.0, CURRENT_BASED.1);
    let case = |s| (format!("lif-{s}"), random::current_based(s));
    compare(&python, (0..count).map(case).collect());
}

#[test]
#[cfg_attr(
    not(lava),
    ignore = "Lava was not installed (testsuite/peers/setup.sh lava) when this was built"
)]
fn sigma_delta_networks_run_as_in_netx() {
    let python = lava_python();
    let count = part("sigma-delta networks", SIGMA_DELTA.0, SIGMA_DELTA.1);
    let case = |s| (format!("sdnn-{s}"), random::sigma_delta(s));
    compare(&python, (0..count).map(case).collect());
}

/// A network as `snnc compile --target loihi` writes it, with one frame for each of some images.
fn emitted(name: &str, coding: Coding, timesteps: Option<usize>) -> Case {
    let path = digits(&format!("{name}.onnx"));
    let model = Model::load(&path, &ImportOptions::default(), &mut Context::default()).unwrap();
    let mut options = CompileOptions { coding: Some(coding), ..CompileOptions::default() };
    options.spikes.timesteps = timesteps;
    let compiled = compile(&model, snnc_backends::target("loihi").unwrap(), &options).unwrap();
    let entry = &compiled.manifest.entry;
    let content = compiled.files.iter().find(|f| f.path == *entry).unwrap().content.to_vec();
    let input = compiled.network.inputs()[0];
    let Some(SpikingOp::Encoder(e)) = compiled.network[input].as_spiking() else { panic!() };
    let data = Dataset::load(&digits("digits-test-360.npz"), Some(3)).unwrap();
    let payload = |x: &f32| {
        let code = (x / e.scale).round_ties_even() as i64 + e.zero_point;
        code.clamp(e.minimum, e.maximum) - e.zero_point
    };
    let image = |i| data.reals(i, Scaling::default()).iter().map(payload).collect();
    Case {
        content,
        kind: if coding == Coding::Rate { "bias" } else { "values" },
        shape: compiled.network[input].ty.shape.clone(),
        frames: (0..data.len()).map(image).collect(),
        steps: compiled.network.timing.timesteps,
        reset: None,
    }
}

/// A network that was trained as a spiking one, as the target writes it; resets become those of NetX.
fn trained(name: &str) -> Case {
    let path = snnc_testsuite::repository().join(format!("testsuite/cases/spiking/{name}.onnx"));
    let mut source =
        frontend::model(&path, &ImportOptions::default()).unwrap().into_spiking().unwrap();
    let mut graph: Graph = (*source.network).clone();
    for id in graph.ids().collect::<Vec<_>>() {
        if let Op::Spiking(SpikingOp::Population(p)) = &mut graph[id].op
            && let Neuron::Float(n) = &mut p.neuron
        {
            n.firing.as_mut().unwrap().reset = FloatReset::Hard(vec![0.0]);
        }
    }
    source.network = snnc_ir::verify(graph).unwrap();
    let run = Run { timesteps: Some(100), ..Run::default() };
    let trained = Trained::new(&source, &run).unwrap();
    let target = snnc_backends::target("loihi").unwrap();
    let written = compile_trained(&trained, target, &TargetOptions::default()).unwrap();
    let file = written.files.iter().find(|f| f.path == "network.net").unwrap();
    let shape = source.network[source.network.inputs()[0]].ty.shape.clone();
    let neurons: usize = shape.iter().product();
    let spike = |t: usize, i: usize| i64::from((t * 5 + i * i * 3 + i).is_multiple_of(4));
    Case {
        content: file.content.to_vec(),
        kind: "spikes",
        frames: (0..104).map(|t| (0..neurons).map(|i| spike(t, i)).collect()).collect(),
        shape,
        steps: 104,
        reset: None,
    }
}

#[test]
#[cfg_attr(
    not(lava),
    ignore = "Lava was not installed (testsuite/peers/setup.sh lava) when this was built"
)]
fn networks_trained_as_spiking_ones_run_as_in_netx() {
    let python = lava_python();
    let names = [
        "spikingjelly_mlp_lif_hard",
        "spikingjelly_conv_lif_hard",
        "snntorch_step_zero_ts",
        "snntorch_synaptic_step_ts",
        "snntorch_recurrent_step_ts",
    ];
    compare(&python, names.iter().map(|n| ((*n).to_owned(), trained(n))).collect());
}

#[test]
#[cfg_attr(
    not(lava),
    ignore = "Lava was not installed (testsuite/peers/setup.sh lava) when this was built"
)]
fn digits_as_sigma_delta_run_as_in_netx() {
    let python = lava_python();
    let count = part("digits networks", DIGITS.len() as u64, DIGITS_BY_DEFAULT as u64) as usize;
    let case = |name: &&str| {
        let case = emitted(name, Coding::SigmaDelta, None);
        // One image after the other, each for as long as an answer takes.
        let shown = |image| std::iter::repeat_n(image, case.steps);
        let frames: Vec<Vec<i64>> = case.frames.into_iter().flat_map(shown).collect();
        (format!("{name}-sigma-delta"), Case { steps: frames.len(), frames, ..case })
    };
    compare(&python, DIGITS[..count].iter().map(case).collect());
}

#[test]
#[cfg_attr(
    not(lava),
    ignore = "Lava was not installed (testsuite/peers/setup.sh lava) when this was built"
)]
fn digits_as_rates_run_as_in_netx() {
    let python = lava_python();
    let count = part("digits networks", DIGITS.len() as u64, DIGITS_BY_DEFAULT as u64) as usize;
    let case = |name: &&str| {
        let mut case = emitted(name, Coding::Rate, Some(16));
        case.frames.truncate(1);
        (format!("{name}-rate"), case)
    };
    compare(&python, DIGITS[..count].iter().map(case).collect());
}
