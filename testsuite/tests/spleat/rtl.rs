//! Random networks in hardware simulators: event for event what the interpreter does.

use snnc_backends::spleat::rtl::{
    Build, Capacities, Inference, Simulation, Simulator, bench, parse,
};
use snnc_backends::spleat::{Kind, cycles};
use snnc_backends::{File, Target as _};
use snnc_ir::{BiasPlacement, Leak, Neuron, Op, Reset, Schedule, SpikingOp};
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

/// Runs samples of an image in a build that holds it.
fn run(build: &Build, capacities: &Capacities, image: &Image, samples: &[Sample]) -> Simulation {
    let inputs = vec![samples.iter().map(steps).collect()];
    let bench = bench(&image.manifest, &image.layers, &inputs, capacities).expect("a bench");
    let folder = tempfile::tempdir().expect("a folder");
    for File { path, content } in image.artefact.files.iter().chain(&bench) {
        std::fs::write(folder.path().join(path), content).expect("writes");
    }
    let output = build.run(folder.path()).expect("simulates");
    parse(&output, image.layers.len()).unwrap_or_else(|e| panic!("{}: {e}", image.network.name))
}

/// Compares the networks of all seeds in one build of the model that holds every image.
fn compare_all(seeds: impl Iterator<Item = u64>, simulator: Simulator, fifo: usize) {
    let all: Vec<_> = seeds.map(|seed| (seed, prepared(seed, fifo))).collect();
    let capacities = all.iter().fold(Capacities::default(), |all, (_, (_, image, _))| {
        all.and(Capacities::of(&image.manifest, &image.layers))
    });
    let folder = tempfile::tempdir().expect("a folder");
    let build = simulator.build(&capacities, folder.path()).expect("builds");
    for (seed, (case, image, expected)) in &all {
        let simulation = run(&build, &capacities, image, &case.samples);
        compare(*seed, simulator, image, expected, &simulation);
    }
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

fn compare(
    seed: u64,
    simulator: Simulator,
    image: &Image,
    expected: &[Behaviour],
    simulation: &Simulation,
) {
    for (layer, inferences) in image.layers.iter().zip(&simulation.layers) {
        let what = format!("seed {seed}, {simulator:?}, `{}`", layer.name);
        assert_eq!(inferences.len(), expected.len(), "{what}");
        for (i, (inference, behaviour)) in inferences.iter().zip(expected).enumerate() {
            let (sent, v) = &behaviour[&layer.name];
            assert_eq!(inference.overflows, 0, "{what}");
            assert_eq!(clocks(image, layer.index, &expected[..=i]), measured(inference), "{what}");
            if layer.neuron.kind != Kind::Accumulate {
                assert_eq!(inference.events, *sent, "{what}");
            }
            // A layer of maxima holds nothing at the end.
            if !layer.neuron.kind.is_maximum() {
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

#[test]
#[cfg_attr(
    not(icarus),
    ignore = "Icarus Verilog was not installed (testsuite/peers/setup.sh installs it) when this was built"
)]
fn thirty_random_networks_are_the_same_in_icarus() {
    compare_all(0..30, Simulator::Icarus, 16);
}

/// What can be had without a simulator.
#[cfg(not(icarus))]
#[test]
fn thirty_random_networks_are_written_and_run() {
    (0..30).for_each(|seed| drop(prepared(seed, 16)));
}

#[test]
#[cfg_attr(
    not(icarus),
    ignore = "Icarus Verilog was not installed (testsuite/peers/setup.sh installs it) when this was built"
)]
fn fifos_of_one_word_change_no_result() {
    // The branches of residual networks, too: one FIFO of them is full while the other is awaited.
    compare_all(0..30, Simulator::Icarus, 1);
}

#[test]
#[cfg_attr(
    not(verilator),
    ignore = "Verilator was not installed (testsuite/peers/setup.sh installs it) when this was built"
)]
fn thirty_random_networks_are_the_same_in_verilator() {
    compare_all(0..30, Simulator::Verilator, 16);
}

#[test]
#[cfg_attr(
    not(icarus),
    ignore = "Icarus Verilog was not installed (testsuite/peers/setup.sh installs it) when this was built"
)]
fn a_changed_weight_shows_in_the_simulation() {
    let (case, mut image, expected) = prepared(1, 16);
    let is_weight = |f: &&mut File| f.path.starts_with("l0_w") && f.path.ends_with(".mem");
    for file in image.artefact.files.iter_mut().filter(is_weight) {
        // The lowest bit of every weight, behind the comment of the first line.
        let text = String::from_utf8(file.content.to_vec()).expect("text");
        let flip = |line: &str| match line.strip_prefix("//") {
            Some(_) => format!("{line}\n"),
            None => {
                let word = u64::from_str_radix(line, 16).expect("a word") ^ 1;
                format!("{word:0width$X}\n", width = line.len())
            }
        };
        file.content = text.lines().map(flip).collect::<String>().into();
    }
    let capacities = Capacities::of(&image.manifest, &image.layers);
    let folder = tempfile::tempdir().expect("a folder");
    let build = Simulator::Icarus.build(&capacities, folder.path()).expect("builds");
    let simulation = run(&build, &capacities, &image, &case.samples);
    let first = &expected[0][&image.layers[0].name];
    let found = &simulation.layers[0][0];
    assert!(found.events != first.0 || potentials(found) != first.1);
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
                Op::Spiking(SpikingOp::RunningMaxPool { .. }) => {
                    seen.insert("running maxima");
                }
                Op::Spiking(SpikingOp::Population(p)) => {
                    if network.sources(id).len() > 1 {
                        seen.insert("branches");
                        let before = |s| network.source(s, 0);
                        let sources: Vec<_> = network.sources(id).into_iter().map(before).collect();
                        if sources.windows(2).any(|pair| pair[0] != pair[1]) {
                            seen.insert(match network.timing.schedule {
                                Schedule::LayerSynchronous => "residual behind barriers",
                                _ => "residual",
                            });
                        }
                    }
                    if p.bias_placement == BiasPlacement::FirstTimestep {
                        seen.insert("bias once");
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
    assert_eq!(seen.len(), 18, "{seen:?}");
}

#[test]
fn the_target_says_that_it_is_a_stand_in() {
    let spleat = snnc_backends::spleat::Spleat;
    assert!(spleat.description().contains("SPLEAT-style, documented stand-in"));
    assert!(spleat.summary().contains("SPLEAT-style, documented stand-in"));
    let (_, image, _) = prepared(0, 16);
    assert!(image.manifest.provenance.contains("SPLEAT-style, documented stand-in"));
}
