//! The certificate proves every exact coding, and fails, naming the population, whenever something is wrong.

#![allow(clippy::print_stdout, reason = "what was measured is shown with --nocapture")]

mod models;

use models::{Model, digits, shared};
use snnc::certificate::{Certificate, Verdict, certify, certify_against};
use snnc::codings::{Initial, Options};
use snnc::reference::Semantics;
use snnc_ir::{
    Accumulator, BiasPlacement, Coding, Graph, Neuron, Op, Overflow, Population, Presentation,
    Schedule, SpikingOp, Tensor,
};

const EXACT: [Coding; 6] = [
    Coding::Graded,
    Coding::FewSpikes,
    Coding::RateSync,
    Coding::SignedRate,
    Coding::SigmaDelta,
    Coding::MultiLevel,
];

fn certified(model: &Model, network: &Graph) -> Certificate {
    certify(&model.quantised, &model.conversion, network)
}

/// What is not as it should be, in words.
fn faults(certificate: &Certificate) -> Vec<String> {
    let populations = certificate.populations.iter().filter(|p| p.verdict != Verdict::Proved);
    let obligations = certificate.obligations.iter().filter(|o| !o.holds);
    populations
        .map(|p| format!("{}: {} ({})", p.population, p.verdict, p.method))
        .chain(obligations.map(|o| format!("{}: not {}", o.subject, o.claim)))
        .collect()
}

fn proved(model: &Model) {
    for coding in EXACT {
        let start = std::time::Instant::now();
        let certificate = certified(model, &model.coded(coding, &Options::default()));
        assert_eq!(faults(&certificate), Vec::<String>::new(), "{} as {coding}", model.name);
        assert_eq!(certificate.verdict, Verdict::Proved);
        println!("{} {coding}: proved in {:.2?}", model.name, start.elapsed());
    }
}

#[test]
fn digits_models_are_proved_in_every_exact_coding() {
    for name in [
        "digits_mlp_w4a4_qcdq",
        "digits_cnn_w2a2_qcdq",
        "digits_cnn_w4a4_qcdq",
        "digits_cnn_w4a4_qdq_int4",
    ] {
        proved(&digits(name));
    }
}

#[test]
#[cfg_attr(not(shared), ignore = "../shared was not there when this was built")]
fn trained_models_are_proved_in_every_exact_coding() {
    for name in [
        "fmnist_lenet_w2a2_qcdq",
        "fmnist_lenet_w3a3_qcdq",
        "fmnist_lenet_w4a4_qcdq",
        "fmnist_lenet_w4a4_qdq_int4",
        "mnist_mlp_w4a4_qcdq",
        "mnist_mlp_w4a4_qdq_int4",
    ] {
        let path = format!("trained/{name}.onnx");
        let model = shared(&path, "mnist-test-10000.npz");
        proved(&model);
    }
}

#[test]
fn eight_bits_are_proved_by_threshold_tables() {
    let model = digits("digits_cnn_w8a8_qdq");
    for coding in [Coding::Graded, Coding::RateSync] {
        let certificate = certified(&model, &model.coded(coding, &Options::default()));
        assert_eq!(faults(&certificate), Vec::<String>::new(), "{coding}");
    }
}

/// Changes the population `name` of a network.
fn population(network: &mut Graph, name: &str, change: impl FnOnce(&mut Population)) {
    let id = network.find(name).unwrap();
    match &mut network[id].op {
        Op::Spiking(SpikingOp::Population(p)) => change(p),
        other => panic!("{other:?}"),
    }
}

/// The second population that fires, and the projection onto it.
fn second(network: &Graph) -> (String, String) {
    let firing = |&id: &snnc_ir::NodeId| matches!(network[id].as_spiking(), Some(SpikingOp::Population(p)) if !matches!(p.neuron, Neuron::Accumulate));
    let id = network.ids().filter(firing).nth(1).unwrap();
    let projection = network.source(id, 0).unwrap();
    (network[id].name.clone(), network[projection].name.clone())
}

fn assert_names(model: &Model, network: &Graph, what: &str, name: &str) {
    let certificate = certified(model, network);
    let found = faults(&certificate);
    assert_ne!(certificate.verdict, Verdict::Proved, "{what}");
    assert!(found.iter().any(|f| f.starts_with(name)), "{what} of {name}: {found:?}");
}

const CODED: [Coding; 4] =
    [Coding::FewSpikes, Coding::RateSync, Coding::SignedRate, Coding::MultiLevel];

#[test]
fn another_threshold_fails() {
    let model = digits("digits_cnn_w2a2_qcdq");
    for coding in CODED {
        let mut network = model.coded(coding, &Options::default());
        let (name, projection) = second(&network);
        // One unit of the accumulator, in units of the potential.
        let one = match &network[network.find(&projection).unwrap()].op {
            Op::Spiking(SpikingOp::Projection(p)) => p.gain_at(0),
            other => panic!("{other:?}"),
        };
        population(&mut network, &name, |p| match &mut p.neuron {
            Neuron::IntegrateAndFire(n) => *n.threshold.0[0].last_mut().unwrap() += one,
            other => panic!("{other:?}"),
        });
        assert_names(&model, &network, &format!("{coding} threshold"), &name);
    }
    let mut network = model.coded(Coding::Graded, &Options::default());
    let (name, _) = second(&network);
    population(&mut network, &name, |p| match &mut p.neuron {
        Neuron::Graded(n) => n.offset[0] += n.multiplier[0],
        Neuron::Thresholds(n) => n.thresholds[0][0] += 1,
        other => panic!("{other:?}"),
    });
    assert_names(&model, &network, "graded threshold", &name);
}

#[test]
fn another_weight_fails() {
    let model = digits("digits_cnn_w2a2_qcdq");
    for coding in EXACT {
        let mut network = model.coded(coding, &Options::default());
        let (name, projection) = second(&network);
        let id = network.find(&projection).unwrap();
        let data = network[id].data.clone().unwrap();
        let mut weights = data.to_i64().unwrap();
        weights[3] += 1;
        network[id].data = Some(Tensor::from_integers(data.shape(), &weights));
        assert_names(&model, &network, &format!("{coding} weight"), &name);
    }
}

#[test]
fn a_dropped_barrier_fails() {
    let model = digits("digits_cnn_w2a2_qcdq");
    for coding in [Coding::FewSpikes, Coding::RateSync, Coding::SignedRate] {
        let mut network = model.coded(coding, &Options::default());
        let (name, _) = second(&network);
        network.timing.schedule = Schedule::Streaming;
        assert_names(&model, &network, &format!("{coding} barrier"), &name);
    }
}

#[test]
fn fewer_timesteps_fail_behind_a_barrier() {
    let model = digits("digits_cnn_w2a2_qcdq");
    for coding in [Coding::FewSpikes, Coding::RateSync] {
        let mut network = model.coded(coding, &Options::default());
        let (name, _) = second(&network);
        network.timing.timesteps -= 1;
        assert_names(&model, &network, &format!("{coding} timesteps"), &name);
    }
}

#[test]
fn a_small_accumulator_fails() {
    let model = digits("digits_cnn_w2a2_qcdq");
    for coding in EXACT {
        let mut network = model.coded(coding, &Options::default());
        let (_, projection) = second(&network);
        let id = network.find(&projection).unwrap();
        if let Op::Spiking(SpikingOp::Projection(p)) = &mut network[id].op {
            p.accumulator = Accumulator { bits: 4, overflow: Overflow::Wrap };
        }
        assert_names(&model, &network, &format!("{coding} accumulator"), &projection);
    }
}

#[test]
fn a_moved_bias_fails() {
    let model = digits("digits_cnn_w2a2_qcdq");
    for (coding, placement) in [
        (Coding::FewSpikes, BiasPlacement::EveryTimestep),
        (Coding::RateSync, BiasPlacement::EveryTimestep),
        (Coding::SignedRate, BiasPlacement::FirstTimestep),
    ] {
        let mut network = model.coded(coding, &Options::default());
        let (name, _) = second(&network);
        population(&mut network, &name, |p| p.bias_placement = placement);
        assert_names(&model, &network, &format!("{coding} bias"), &name);
    }
}

#[test]
fn another_presentation_fails() {
    let model = digits("digits_cnn_w2a2_qcdq");
    for (coding, presentation) in
        [(Coding::FewSpikes, Presentation::EveryTimestep), (Coding::SignedRate, Presentation::Once)]
    {
        let mut network = model.coded(coding, &Options::default());
        for id in network.inputs() {
            if let Op::Spiking(SpikingOp::Encoder(e)) = &mut network[id].op {
                e.presentation = presentation;
            }
        }
        let certificate = certified(&model, &network);
        assert_ne!(certificate.verdict, Verdict::Proved, "{coding}");
    }
}

#[test]
fn streaming_rates_are_proved_in_the_first_layer_only() {
    let model = digits("digits_cnn_w2a2_qcdq");
    let certificate = certified(&model, &model.coded(Coding::Rate, &Options::default()));
    let verdicts: Vec<Verdict> = certificate.populations.iter().map(|p| p.verdict).collect();
    // Encoder, three convolutions, read-out.
    assert_eq!(verdicts[..3], [Verdict::Proved, Verdict::Proved, Verdict::Approximate]);
    assert_eq!(certificate.verdict, Verdict::Approximate);
    let zero = Options { initial: Some(Initial::Zero), ..Options::default() };
    let certificate = certified(&model, &model.coded(Coding::Rate, &zero));
    assert_eq!(certificate.populations[1].verdict, Verdict::Differs);
}

#[test]
fn other_readings_of_the_model_list_where_they_differ() {
    let model = digits("digits_cnn_w4a4_qcdq");
    let network = model.coded(Coding::FewSpikes, &Options::default());
    for semantics in [Semantics::Real, Semantics::Fixed] {
        let certificate = certify_against(semantics, &model.quantised, &model.conversion, &network);
        assert_eq!(certificate.reference, semantics.name());
        for p in &certificate.populations {
            let listed: u64 = p.differences.iter().map(|d| d.to.abs_diff(d.from) + 1).sum();
            assert_eq!(listed, p.differing);
            assert!(p.differences.iter().all(|d| (d.emitted - d.reference).abs() == 1));
            println!("{semantics:?} {}: {} of {} differ", p.population, p.differing, p.reachable);
        }
    }
}
