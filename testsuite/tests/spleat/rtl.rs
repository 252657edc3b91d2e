//! Random networks in hardware simulators: event for event, potential for potential and clock for clock
//! what the interpreter and the model of clocks say.

use snnc_backends::spleat::Kind;
use snnc_backends::spleat::rtl::Simulator;
use snnc_backends::{File, Target as _};
use snnc_ir::{BiasPlacement, Leak, Neuron, Op, Reset, Schedule, SpikingOp};

use crate::random::{self, Case, Numbers};
use crate::simulated::{Change, check, difference, run};
use crate::{Behaviour, Image, behaviour, hardware, image};

fn check_all(
    seeds: impl Iterator<Item = u64>,
    simulator: Simulator,
    fifo: usize,
    options: &[&str],
) {
    for seed in seeds {
        let (_, image, expected) = prepared(seed, fifo);
        check(simulator, &image, &expected, options);
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

#[test]
#[cfg_attr(
    not(icarus),
    ignore = "Icarus Verilog was not installed (testsuite/peers/setup.sh installs it) when this was built"
)]
fn thirty_random_networks_are_the_same_in_icarus() {
    check_all(0..30, Simulator::Icarus, 16, &[]);
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
    check_all(0..30, Simulator::Icarus, 1, &[]);
}

#[test]
#[cfg_attr(
    not(verilator),
    ignore = "Verilator was not installed (testsuite/peers/setup.sh installs it) when this was built"
)]
fn ten_random_networks_are_the_same_in_verilator() {
    check_all(0..10, Simulator::Verilator, 16, &[]);
}

#[test]
#[cfg_attr(
    not(icarus),
    ignore = "Icarus Verilog was not installed (testsuite/peers/setup.sh installs it) when this was built"
)]
fn pauses_of_senders_and_takers_change_no_result() {
    check_all(0..8, Simulator::Icarus, 4, &["+gap=5", "+stall=9", "+seed=7"]);
}

#[test]
#[cfg_attr(
    not(icarus),
    ignore = "Icarus Verilog was not installed (testsuite/peers/setup.sh installs it) when this was built"
)]
fn a_reset_at_any_time_begins_anew() {
    for clock in [1, 40, 150, 333] {
        check_all(0..4, Simulator::Icarus, 8, &[&format!("+reset={clock}")]);
    }
}

#[test]
#[cfg_attr(
    not(icarus),
    ignore = "Icarus Verilog was not installed (testsuite/peers/setup.sh installs it) when this was built"
)]
fn a_changed_weight_shows_in_the_simulation() {
    let (_, mut image, expected) = prepared(1, 16);
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
    let simulation = run(Simulator::Icarus, &image, &expected, &[], None).expect("runs");
    let found = difference(&image, &expected, &simulation).expect("the weights are others");
    assert!(found.starts_with(&format!("`{}`", image.layers[0].name)), "{found}");
}

/// Changes of the core that some network must show.
const MUTANTS: [Change<'_>; 14] = [
    ("spleat_lane.v", "x_last ? result :", ""),
    ("spleat_lane.v", "x_before ? earlier :", ""),
    ("spleat_lane.v", "candidate > held ? candidate : held", "candidate"),
    ("spleat_lane.v", "largest - told", "largest"),
    ("spleat_window.v", "place + BEFORE - k * DILATION;", "place - k * DILATION;"),
    ("spleat_window.v", "d / STRIDE < OUTPUTS", "d / STRIDE <= OUTPUTS"),
    ("spleat_port.v", "from + TARGETS - 1;", "from + TARGETS;"),
    ("spleat_fifo.v", "filled != FULL[CB-1:0]", "1'b1"),
    ("spleat_layer.v", "if (ends) waits[pick] <= 1;", ""),
    ("spleat_layer.v", "(writes && last_sweep)", "1'b0"),
    ("spleat_layer.v", "a_place_tap - place_column", "a_place_tap - place_row"),
    ("spleat_layer.v", "BARRIER == 0 || step == 0", "1'b1"),
    ("spleat_layer.v", "row + l_group", "l_group"),
    ("spleat_layer.v", "(rest == 0 && out_ready)", "rest == 0"),
];

#[test]
#[cfg_attr(
    not(icarus),
    ignore = "Icarus Verilog was not installed (testsuite/peers/setup.sh installs it) when this was built"
)]
fn a_changed_core_shows_in_the_simulation() {
    let cases: Vec<_> = (0..30).map(|seed| prepared(seed, 2)).collect();
    for change in MUTANTS {
        let shows = |(_, image, expected): &(Case, Image, Vec<Behaviour>)| {
            let options = ["+stall=9"];
            let simulation = run(Simulator::Icarus, image, expected, &options, Some(change));
            simulation.map_or(true, |found| difference(image, expected, &found).is_some())
        };
        assert!(cases.iter().any(shows), "{change:?}");
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
