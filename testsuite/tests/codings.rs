//! Every coding of every low-precision model against the integer reference, activation by activation.

#![allow(clippy::print_stdout, reason = "what was measured is shown with --nocapture")]

mod models;

use models::{Model, digits, images, shared};
use snnc::certificate::{Verdict, certify, unevenness};
use snnc::codings::{Initial, Options, apply};
use snnc::passes::graded::Conversion;
use snnc_ir::{Coding, Graph, Neuron, Reset, SpikingOp, verify};
use snnc_runtime::spiking::{Network, Sample};

const EXACT: [Coding; 6] = [
    Coding::Graded,
    Coding::FewSpikes,
    Coding::RateSync,
    Coding::SignedRate,
    Coding::SigmaDelta,
    Coding::MultiLevel,
];

/// No activation of any population differs from the reference in any exact coding, and the
/// certificate proves that none can.
fn exact(model: &Model, count: usize) {
    for coding in EXACT {
        let network = model.coded(coding, &Options::default());
        let certificate = certify(&model.quantised, &model.conversion, &network);
        for p in &certificate.populations {
            assert_eq!(p.verdict, Verdict::Proved, "{} as {coding}: {p:?}", model.name);
        }
        assert!(certificate.obligations.iter().all(|o| o.holds), "{} as {coding}", model.name);
        let evaluation = model.evaluate(&network, count);
        assert!(evaluation.activations_compared > Some(0));
        let wrong: Vec<_> = evaluation.measured.iter().filter(|(_, m)| m.differing > 0).collect();
        assert!(wrong.is_empty(), "{} as {coding}: {wrong:?}", model.name);
        println!(
            "{} {coding}: 0 of {} differ on {} images, top-1 {:.2}, {} timesteps, {:.2} spikes a neuron",
            model.name,
            evaluation.activations_compared.unwrap_or_default(),
            evaluation.samples,
            evaluation.top1.unwrap_or_default(),
            evaluation.timesteps,
            evaluation.spikes_per_neuron
        );
    }
}

#[test]
fn digits_models_are_exact() {
    for name in [
        "digits_mlp_w4a4_qcdq",
        "digits_cnn_w2a2_qcdq",
        "digits_cnn_w4a4_qcdq",
        "digits_cnn_w4a4_qdq_int4",
    ] {
        exact(&digits(name), images(20));
    }
}

#[test]
#[cfg_attr(not(shared), ignore = "../shared was not there when this was built")]
fn fashion_models_are_exact() {
    for name in ["w2a2_qcdq", "w3a3_qcdq", "w4a4_qcdq", "w4a4_qdq_int4"] {
        let path = format!("trained/fmnist_lenet_{name}.onnx");
        let model = shared(&path, "fashion-mnist-test-10000.npz");
        exact(&model, images(3));
    }
}

#[test]
#[cfg_attr(not(shared), ignore = "../shared was not there when this was built")]
fn mnist_models_are_exact() {
    for name in ["w4a4_qcdq", "w4a4_qdq_int4"] {
        let path = format!("trained/mnist_mlp_{name}.onnx");
        let model = shared(&path, "mnist-test-10000.npz");
        exact(&model, images(5));
    }
}

#[test]
#[cfg_attr(not(shared), ignore = "../shared was not there when this was built")]
fn qonnx_models_are_exact() {
    for name in ["TFC_1W1A", "TFC_2W2A", "TFC_2W2A_lowered"] {
        let path = format!("qonnx/{name}.onnx");
        let model = shared(&path, "mnist-test-10000.npz");
        exact(&model, images(5));
    }
}

#[test]
fn any_number_of_timesteps_settles_to_the_reference() {
    let model = digits("digits_cnn_w4a4_qcdq");
    for timesteps in [1, 4, 20] {
        let network = model.coded(Coding::SignedRate, &Options::timesteps(timesteps));
        assert_eq!(model.evaluate(&network, 5).mismatches_vs_reference, Some(0), "{timesteps}");
    }
}

#[test]
fn streaming_rates_err_more_in_deeper_layers_and_without_an_initial_potential() {
    let model = digits("digits_cnn_w4a4_qcdq");
    let share = |initial| {
        let options = Options { initial: Some(initial), ..Options::default() };
        let evaluation = model.evaluate(&model.coded(Coding::Rate, &options), images(30));
        let of = |(_, m): &(String, snnc::certificate::Measured)| {
            m.differing as f64 / m.activations as f64
        };
        evaluation.measured.iter().map(of).collect::<Vec<f64>>()
    };
    let (half, zero) = (share(Initial::HalfThreshold), share(Initial::Zero));
    println!(
        "share of activations that differ, layer by layer: V0 = theta/2 {half:?}, V0 = 0 {zero:?}"
    );
    assert_eq!(half[0], 0.0, "the first layer sees a constant current");
    assert!(half[1] > 0.0 && half.windows(2).all(|pair| pair[0] <= pair[1]), "{half:?}");
    assert!(half.iter().zip(&zero).all(|(h, z)| h < z), "{half:?} {zero:?}");
}

#[test]
fn too_few_timesteps_are_refused_with_the_number_needed() {
    let model = digits("digits_cnn_w8a8_qdq");
    let error = apply(Coding::RateSync, &Options::timesteps(3), &model.conversion).unwrap_err();
    assert!(error.to_string().contains("at least 255"), "{error}");
}

/// A layer with these thresholds behind two inputs.
fn table(thresholds: &str) -> Conversion {
    let text = format!(
        r#"snnir 1 spiking "table" {{"timesteps":1,"schedule":"streaming"}}
%x = encoder {{"scale":1.0,"zero_point":0,"minimum":0,"maximum":15,"presentation":"once"}} () : i64[2]
%p = projection {{"connectivity":"dense","accumulator":{{"bits":64,"overflow":"error"}}}} (%x) : i64[1]
  data i8[1,2] 3 -1
%n = population {{"coding":"graded","neuron":{{"thresholds":{{"thresholds":[{thresholds}],"minimum":0}}}},"minimum":0,"maximum":3,"scale":[1.0]}} (%p) : i64[1] from [{{"node":"act","op":"Relu"}}]
%o = decoder {{"readout":"last","scale":[1.0]}} (%n) : f32[1]
"#
    );
    let network = verify(Graph::from_text(&text).unwrap()).unwrap().into_inner();
    let host = Graph::new("none", snnc_ir::Stage::Quantised);
    Conversion { network, correspondence: Vec::new(), host }
}

/// What output `o` shows for every pair of inputs.
fn answers(network: &Graph) -> Vec<Vec<i64>> {
    let network = Network::new(network).unwrap();
    let pairs = (0..16).flat_map(|a| (0..16).map(move |b| vec![a, b]));
    pairs.map(|x| network.run(&[Sample::Codes(x)]).unwrap().outputs[0].raw.clone()).collect()
}

#[test]
fn a_staircase_on_no_line_is_refused_by_name_or_said_exactly() {
    let conversion = table("[2, 3, 30]");
    for coding in [Coding::FewSpikes, Coding::SignedRate, Coding::SigmaDelta, Coding::MultiLevel] {
        let error = apply(coding, &Options::default(), &conversion).unwrap_err();
        assert_eq!(error.exit_code(), 3);
        let text = error.to_string();
        assert!(text.contains("Relu `act`") && text.contains("`rate-sync`"), "{text}");
    }
    let coded = apply(Coding::RateSync, &Options::default(), &conversion).unwrap();
    assert_eq!(answers(&coded), answers(&conversion.network));
}

#[test]
fn ties_to_even_raise_the_last_threshold() {
    // Round-half-even of v / 8: 5, 12, 21.
    let conversion = table("[5, 12, 21]");
    let coded = apply(Coding::FewSpikes, &Options::default(), &conversion).unwrap();
    assert_eq!(answers(&coded), answers(&conversion.network));
    let Some(SpikingOp::Population(p)) = coded[coded.find("n").unwrap()].as_spiking() else {
        panic!("no population")
    };
    let Neuron::IntegrateAndFire(n) = &p.neuron else { panic!("{:?}", p.neuron) };
    let Reset::SoftBy(amount) = &n.reset else { panic!("{:?}", n.reset) };
    assert!(n.threshold.at(0, 1) > amount.at(0, 1), "T(K) is above h(K)");
}

#[test]
fn eight_bits_are_exact_behind_a_barrier() {
    let model = digits("digits_cnn_w8a8_qdq");
    for coding in [Coding::Graded, Coding::FewSpikes, Coding::RateSync] {
        let network = model.coded(coding, &Options::default());
        let evaluation = model.evaluate(&network, 2);
        assert_eq!(evaluation.mismatches_vs_reference, Some(0), "{coding}");
    }
}

#[test]
fn the_first_layer_sees_an_even_current_and_deeper_ones_do_not() {
    let model = digits("digits_cnn_w2a2_qcdq");
    let network = model.coded(Coding::Rate, &Options::default());
    let uneven = unevenness(&network, &model.samples(10)).unwrap();
    println!("unevenness, spikes a neuron: {uneven:?}");
    assert_eq!(uneven[0].1, 0.0);
    assert!(uneven[1].1 > 0.0 && uneven[2].1 > 0.0);
    let layers = model.evaluate(&network, 10).per_layer;
    let of = |name: &str| layers.iter().find(|l| l.name == name).unwrap();
    assert_eq!(of(&uneven[0].0).sqnr_db, None, "no noise");
    let (second, third) = (of(&uneven[1].0).sqnr_db.unwrap(), of(&uneven[2].0).sqnr_db.unwrap());
    println!("signal to quantisation noise: {second:.1} dB, then {third:.1} dB");
    assert!(second > third);
}

#[test]
#[cfg_attr(not(shared), ignore = "../shared was not there when this was built")]
fn residual_additions_differ_at_most_once_in_a_hundred_thousand() {
    let model = shared("trained/fmnist_resnet8_w4a4_qcdq.onnx", "fashion-mnist-test-10000.npz");
    for coding in [Coding::Graded, Coding::FewSpikes, Coding::RateSync, Coding::SignedRate] {
        let network = model.coded(coding, &Options::default());
        let start = std::time::Instant::now();
        let certificate = certify(&model.quantised, &model.conversion, &network);
        let seconds = start.elapsed();
        for p in &certificate.populations {
            let bounded = p.bound.is_some_and(|b| b < 1e-3);
            assert!(p.verdict == Verdict::Proved || bounded, "{coding}: {p:?}");
        }
        assert!(certificate.obligations.iter().all(|o| o.holds), "{coding}");
        let evaluation = model.evaluate(&network, images(1));
        let (wrong, all) =
            (evaluation.mismatches_vs_reference.unwrap(), evaluation.activations_compared.unwrap());
        println!("{} {coding}: {wrong} of {all} differ, certified in {seconds:.2?}", model.name);
        assert!(wrong as f64 <= 1e-5 * all as f64, "{coding}: {wrong} of {all}");
    }
}
