//! Random networks in hardware simulators: event for event what the interpreter does.

use snnc_backends::spleat::rtl::{Inference, Simulation, Simulator, bench, parse, simulate};
use snnc_backends::spleat::{Kind, cycles};
use snnc_backends::{File, Target as _};
use snnc_ir::{Leak, Neuron, Op, Reset, Schedule, SpikingOp};
use snnc_runtime::spiking::Sample;

use crate::random::{self, Case, Numbers};
use crate::{Behaviour, Image, behaviour, hardware, image};

/// Potentials of an inference in (C, H, W) order.
fn potentials(inference: &Inference) -> Vec<i64> {
    inference.potentials.values().copied().collect()
}

fn steps(sample: &Sample) -> Vec<Vec<i64>> {
    match sample {
        Sample::InTime(steps) => steps.clone(),
        _ => Vec::new(),
    }
}

fn run(simulator: Simulator, image: &Image, samples: &[Sample]) -> Simulation {
    let inputs = vec![samples.iter().map(steps).collect()];
    let bench = bench(&image.manifest, &image.layers, &inputs).expect("a bench");
    let folder = tempfile::tempdir().expect("a folder");
    for File { path, content } in image.artefact.files.iter().chain(&bench) {
        std::fs::write(folder.path().join(path), content).expect("writes");
    }
    let output = simulate(simulator, folder.path()).expect("simulates");
    parse(&output, image.layers.len()).expect("a whole run")
}

/// The image of a seed and what it does with its samples, the canonical network doing the same.
fn prepared(seed: u64, fifo: usize) -> (Case, Image, Vec<Behaviour>) {
    let case = random::case(seed);
    let npu = Numbers(seed ^ 0xABCD).size(1, 5);
    let image = image(&case.network, &hardware(npu, fifo));
    let run = |graph, sample| behaviour(graph, sample).expect("no overflow");
    let expected: Vec<Behaviour> = case.samples.iter().map(|s| run(&image.network, s)).collect();
    for (sample, from_image) in case.samples.iter().zip(&expected) {
        let canonical = run(&case.network, sample);
        for layer in image.layers.iter().filter(|l| l.neuron.kind != Kind::Accumulate) {
            assert_eq!(canonical[&layer.name].0, from_image[&layer.name].0, "seed {seed}");
        }
    }
    (case, image, expected)
}

fn compare(seed: u64, simulator: Simulator, fifo: usize) {
    let (case, image, expected) = prepared(seed, fifo);
    let simulation = run(simulator, &image, &case.samples);
    for (layer, inferences) in image.layers.iter().zip(&simulation.layers) {
        let what = format!("seed {seed}, {simulator:?}, `{}`", layer.name);
        assert_eq!(inferences.len(), expected.len(), "{what}");
        for (i, (inference, behaviour)) in inferences.iter().zip(&expected).enumerate() {
            let (sent, v) = &behaviour[&layer.name];
            assert_eq!(inference.overflows, 0, "{what}");
            assert_eq!(clocks(&image, layer.index, &expected[..=i]), measured(inference), "{what}");
            if layer.neuron.kind != Kind::Accumulate {
                assert_eq!(inference.events, *sent, "{what}");
            }
            // A layer of maxima holds nothing at the end.
            if layer.neuron.kind != Kind::Maximum {
                assert_eq!(potentials(inference), *v, "{what}");
            }
        }
    }
}

fn measured(inference: &Inference) -> (u64, u64) {
    (inference.accumulate_clocks, inference.sweep_clocks)
}

/// What the model of clocks says of a layer for samples one after the other.
fn clocks(image: &Image, index: usize, samples: &[Behaviour]) -> (u64, u64) {
    let layer = &image.layers[index];
    let ports = &image.manifest.layers[index].ports;
    let steps = image.network.timing.timesteps;
    let (mut accumulate, mut spikes) = (0, 0);
    for behaviour in samples {
        for (port, entry) in ports.iter().enumerate() {
            let events = &behaviour[&entry.source].0;
            accumulate +=
                events.iter().map(|(_, e)| cycles::accumulate(layer, port, e)).sum::<u64>();
        }
        if layer.neuron.kind != Kind::Accumulate {
            spikes += behaviour[&layer.name].0.len() as u64;
        }
    }
    (accumulate, cycles::sweep(layer, steps * samples.len(), spikes))
}

fn installed(simulator: Simulator) -> bool {
    if !simulator.installed() {
        crate::skip(simulator.program());
        return false;
    }
    true
}

#[test]
fn thirty_random_networks_are_the_same_in_icarus() {
    let simulated = installed(Simulator::Icarus);
    for seed in 0..30 {
        if simulated {
            compare(seed, Simulator::Icarus, 16);
        } else {
            prepared(seed, 16);
        }
    }
}

#[test]
fn fifos_of_one_word_change_no_result() {
    if installed(Simulator::Icarus) {
        (0..30).step_by(3).for_each(|seed| compare(seed, Simulator::Icarus, 1));
    }
}

#[test]
fn random_networks_are_the_same_in_verilator() {
    // Every network is compiled anew, so all thirty run only where asked for.
    let all = std::env::var_os("SNNC_VERILATOR_ALL").is_some();
    if installed(Simulator::Verilator) {
        (0..if all { 30 } else { 2 }).for_each(|seed| compare(seed, Simulator::Verilator, 16));
    }
}

#[test]
fn the_random_networks_hold_every_kind_of_neuron() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..30 {
        let network = random::case(seed).network;
        seen.insert(match network.timing.schedule {
            Schedule::LayerSynchronous => "barrier",
            _ => "streaming",
        });
        for id in network.ids() {
            match &network[id].op {
                Op::Spiking(SpikingOp::MaxPool { .. }) => {
                    seen.insert("maxima");
                }
                Op::Spiking(SpikingOp::Population(p)) => {
                    if network.sources(id).len() > 1 {
                        seen.insert("branches");
                    }
                    let Neuron::IntegrateAndFire(n) = &p.neuron else { continue };
                    seen.insert(match n.leak {
                        Leak::None => "no leak",
                        Leak::Averaging { .. } => "averaging",
                        Leak::Subtracting { .. } => "subtracting",
                    });
                    seen.insert(match n.reset {
                        Reset::Soft => "soft",
                        Reset::SoftBy(_) => "soft by",
                        Reset::Hard(_) => "hard",
                    });
                    seen.insert(if n.maximum > 1 { "graded" } else { "binary" });
                    if n.threshold.0[0].len() > 1 {
                        seen.insert("time table");
                    }
                    if n.decode.is_some() {
                        seen.insert("decoded");
                    }
                }
                _ => {}
            }
        }
    }
    assert_eq!(seen.len(), 14, "{seen:?}");
}

#[test]
fn the_target_says_that_it_is_a_stand_in() {
    let spleat = snnc_backends::spleat::Spleat;
    assert!(spleat.description().contains("SPLEAT-style, documented stand-in"));
    assert!(spleat.summary().contains("SPLEAT-style, documented stand-in"));
    let (_, image, _) = prepared(0, 16);
    assert!(image.manifest.provenance.contains("SPLEAT-style, documented stand-in"));
}
