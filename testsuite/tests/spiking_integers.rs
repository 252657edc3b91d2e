//! Networks that were trained as spiking ones, on the integer neurons of targets.

#![allow(clippy::print_stdout, reason = "what was measured is shown with --nocapture")]

use std::collections::BTreeMap;

use snnc::data::Dataset;
use snnc::driver::{Compiled, Trained, compile_trained};
use snnc::frontend::{self, SpikingModel};
use snnc::import::ImportOptions;
use snnc::spiking_integers::Run;
use snnc::{Error, artefact};
use snnc_backends::TargetOptions;
use snnc_backends::format::npy::{NpyArray, NpyType};
use snnc_backends::format::npz::Npz;
use snnc_ir::{Connectivity, FloatReset, Graph, Neuron, Op, SpikingOp, Tensor, verify};
use snnc_testsuite::{recorded_spiking_cases, spiking_cases};

fn source(name: &str) -> SpikingModel {
    let path = spiking_cases().join(format!("{name}.onnx"));
    frontend::model(&path, &ImportOptions::default()).unwrap().into_spiking().unwrap()
}

fn dataset(shape: &[usize], values: &[f32]) -> Dataset {
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    let array = NpyArray::new(NpyType::F32, shape.to_vec(), bytes).unwrap();
    Dataset::new(&array, None, None).unwrap()
}

/// The input that was recorded with the network.
fn recording(name: &str) -> Run {
    let npz =
        Npz::open(std::fs::read(spiking_cases().join(format!("{name}.npz"))).unwrap()).unwrap();
    let x = npz.get("x").unwrap().unwrap();
    let data = dataset(&[&[1], x.shape.as_slice()].concat(), &x.to_f32().unwrap());
    Run { data: Some((data, "x".into())), ..Run::default() }
}

/// Eight samples of spikes, of which about a third are there.
fn spikes(network: &Graph, timesteps: usize) -> Run {
    let shape = &network[network.inputs()[0]].ty.shape;
    let all = [&[8, timesteps], shape.as_slice()].concat();
    let mut state = 7u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f32::from(u8::from(state >> 24 < 85))
    };
    let values: Vec<f32> = (0..all.iter().product()).map(|_| next()).collect();
    Run { data: Some((dataset(&all, &values), "spikes".into())), ..Run::default() }
}

fn compile(source: &SpikingModel, target: &str, run: &Run) -> Result<Compiled, Error> {
    let target = snnc_backends::target(target).unwrap();
    compile_trained(&Trained::new(source, run)?, target, &TargetOptions::default())
}

/// Share of the compared spikes that are others, and how many the model sent.
fn others(written: &Compiled) -> (f64, f64) {
    let all = written.measured.values();
    let (differing, activations, signal) =
        all.fold((0, 0, 0.0), |(d, a, s), m| (d + m.differing, a + m.activations, s + m.signal));
    assert!(activations > 0);
    (differing as f64 / activations as f64, signal)
}

#[test]
fn images_hold_every_recorded_network_but_those_with_a_current() {
    let (mut rows, mut refused) = (BTreeMap::new(), 0);
    for name in recorded_spiking_cases() {
        match compile(&source(&name), "spleat", &recording(&name)) {
            Ok(written) => {
                let (share, signal) = others(&written);
                assert!(signal > 10.0, "{name} sends {signal} spikes");
                rows.insert(name, share);
            }
            Err(error) => {
                let text = error.to_string();
                let current = name.contains("synaptic") && text.contains("a synaptic current");
                let recurrent = name.contains("recurrent");
                assert!(current || recurrent, "{name}: {text}");
                assert_eq!(error.exit_code(), 3);
                refused += 1;
            }
        }
    }
    println!("share of other spikes: {rows:#?}");
    assert!(rows.len() >= 30 && refused <= 4, "{} of {}", rows.len(), rows.len() + refused);
    let worst = rows.values().copied().fold(0.0, f64::max);
    assert!(worst <= 0.05, "{worst}");
    let mean = rows.values().sum::<f64>() / rows.len() as f64;
    assert!(mean <= 0.01, "{mean}");
}

fn resets_to_zero(network: &Graph) -> bool {
    network.ids().all(|id| match network[id].as_spiking() {
        Some(SpikingOp::Population(p)) => match &p.neuron {
            Neuron::Float(n) => {
                let reset = n.firing.as_ref().map(|f| &f.reset);
                matches!(reset, Some(FloatReset::Hard(v)) if v.iter().all(|&v| v == 0.0))
            }
            _ => false,
        },
        _ => true,
    })
}

#[test]
fn loihi_holds_what_is_reset_to_zero_and_refuses_the_rest() {
    let (mut rows, mut refused) = (BTreeMap::new(), 0);
    for name in recorded_spiking_cases() {
        let source = source(&name);
        let run = spikes(&source.network, 24);
        match compile(&source, "loihi", &run) {
            Ok(written) => {
                assert!(resets_to_zero(&source.network), "{name} was compiled");
                rows.insert(name, others(&written).0);
            }
            Err(error) => {
                let text = error.to_string();
                let soft =
                    text.contains("has a soft reset") && text.contains("reset_mechanism='zero'");
                let value = name.contains("value") && text.contains("another value than 0");
                assert!(soft || value, "{name}: {text}");
                assert_eq!(error.exit_code(), 3);
                refused += 1;
            }
        }
    }
    println!("share of other spikes, {refused} refused: {rows:#?}");
    assert!(rows.len() >= 8 && refused >= 8);
    assert!(rows.values().all(|share| *share <= 0.12), "{rows:?}");
}

#[test]
fn numbers_are_no_spikes_for_loihi() {
    let source = source("spikingjelly_mlp_lif_hard");
    let currents: Vec<f32> = (0..24 * 8).map(|i| (i % 7) as f32 / 5.0).collect();
    let run = Run { data: Some((dataset(&[1, 24, 8], &currents), "x".into())), ..Run::default() };
    let text = compile(&source, "loihi", &run).err().unwrap().to_string();
    assert!(text.contains("synapses of NetX take spikes, 0 or 1"), "{text}");
    // An image takes them in 255 levels.
    let (share, signal) = others(&compile(&source, "spleat", &run).unwrap());
    assert!(share < 0.05 && signal > 10.0, "{share} of {signal}");
}

/// The network with whole weights, thresholds and biases, neither leak nor current.
fn whole(name: &str, reset: FloatReset) -> SpikingModel {
    let mut source = source(name);
    let mut graph: Graph = (*source.network).clone();
    let ids: Vec<_> = graph.ids().collect();
    for id in ids {
        let node = &mut graph[id];
        match &mut node.op {
            Op::Spiking(SpikingOp::Population(p)) => {
                let Neuron::Float(n) = &mut p.neuron else { continue };
                (n.decay, n.gain, n.drive) = (vec![1.0], Vec::new(), Vec::new());
                n.input_bias = vec![2.0];
                let firing = n.firing.as_mut().unwrap();
                (firing.threshold, firing.reset) = (vec![29.0], reset.clone());
            }
            Op::Spiking(SpikingOp::Projection(p)) => {
                let shape = node.data.as_ref().unwrap().shape().to_vec();
                let count: usize = shape.iter().product();
                let rows = shape[0];
                assert!(matches!(p.connectivity, Connectivity::Dense));
                // Each row has the largest weight, so that its scale is a whole number.
                let weight = |i: usize| match i % (count / rows) {
                    0 => 31.0,
                    _ => ((i * i * 7 + 3 * i) % 63) as f32 - 31.0,
                };
                let values: Vec<f32> = (0..count).map(weight).collect();
                node.data = Some(Tensor::from_f32(&shape, &values));
            }
            _ => {}
        }
    }
    source.network = verify(graph).unwrap();
    source
}

#[test]
fn whole_numbers_without_leak_lose_no_spike() {
    for reset in [FloatReset::Soft(vec![29.0]), FloatReset::Hard(vec![0.0])] {
        let source = whole("spikingjelly_mlp_if_soft", reset.clone());
        let written = compile(&source, "spleat", &spikes(&source.network, 24)).unwrap();
        let (share, signal) = others(&written);
        assert!(share == 0.0 && signal > 100.0, "{reset:?}: {share} of {signal}");
    }
    // One weight more shows that the comparison sees a difference.
    let source = whole("spikingjelly_mlp_if_soft", FloatReset::Soft(vec![29.0]));
    let other = whole("spikingjelly_mlp_if_soft", FloatReset::Soft(vec![28.0]));
    let written = compile(&other, "spleat", &spikes(&source.network, 24)).unwrap();
    let place = tempfile::tempdir().unwrap();
    for file in &written.files {
        let path = place.path().join(&file.path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &file.content).unwrap();
    }
    let opened = artefact::open(place.path()).unwrap().unwrap();
    let run = spikes(&source.network, 24);
    let found = snnc::spiking_integers::compared(&source.network, &opened.network, &run).unwrap();
    assert!(found.values().any(|m| m.differing > 0), "{found:?}");
}

/// The formulas of `spiking-formulas` on integers, with the input that each was recorded with.
#[test]
fn formulas_around_layers_keep_most_spikes_on_integers() {
    let folder = snnc_testsuite::repository().join("testsuite/cases/spiking-formulas");
    let (mut rows, mut refused) = (BTreeMap::new(), BTreeMap::new());
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "onnx") {
            continue;
        }
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let source =
            frontend::model(&path, &ImportOptions::default()).unwrap().into_spiking().unwrap();
        let npz = Npz::open(std::fs::read(path.with_extension("npz")).unwrap()).unwrap();
        let x = npz.get("x").unwrap().unwrap();
        let still = x.shape[0] == 1;
        let shape = if still { x.shape.clone() } else { [&[1], x.shape.as_slice()].concat() };
        let data = dataset(&shape, &x.to_f32().unwrap());
        let run = Run { data: Some((data, "x".into())), ..Run::default() };
        match compile(&source, "spleat", &run) {
            Ok(written) => {
                rows.insert(name, others(&written).0);
            }
            Err(error) => {
                assert_eq!(error.exit_code(), 3, "{name}: {error}");
                refused.insert(name, error.to_string());
            }
        }
    }
    println!("share of other spikes: {rows:#?}\nrefused: {refused:#?}");
    assert!(rows.len() >= 36, "{refused:#?}");
    let mean = rows.values().sum::<f64>() / rows.len() as f64;
    assert!(mean <= 0.02, "{mean}");
}
