//! Rates as current-based neurons.

use snnc_ir::Neuron;

use super::*;

/// Eight timesteps; a spike of `h` stands for 3/8 of a unit of payload.
const RATE: &str = r#"snnir 1 spiking "rate" {"timesteps":8,"schedule":"streaming"}
%x = encoder {"scale":0.5,"zero_point":0,"minimum":0,"maximum":15,"presentation":"every-timestep"} () : i64[4]
%h.synapses = projection {"connectivity":"dense","gain":[2,3],"accumulator":{"bits":64,"overflow":"error"}} (%x) : i64[2] from [{"node":"fc1","op":"Gemm"}]
  data i8[2,4] 1 -3 2 0 4 4 -5 1
%h = population {"coding":"rate","bias":[6,-16],"neuron":{"integrate-and-fire":{"threshold":[[120],[240]],"reset":"soft","initial":[64],"maximum":1}},"minimum":0,"maximum":1,"scale":[0.25]} (%h.synapses) : i64[2] from [{"node":"fc1","op":"Gemm"}]
%y.synapses = projection {"connectivity":"dense","accumulator":{"bits":64,"overflow":"error"}} (%h) : i64[2]
  data i8[2,2] -4 1 0 -2
%y = population {"coding":"rate","bias":[8,-40],"bias_placement":"first-timestep","neuron":"accumulate","minimum":-900,"maximum":900,"scale":[0.25]} (%y.synapses) : i64[2]
%scores = decoder {"readout":"last","scale":[0.25]} (%y) : f32[2]
"#;

fn with(extra: &[(&str, &str)]) -> TargetOptions {
    let extra = extra.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    TargetOptions { extra, ..TargetOptions::default() }
}

fn population<'a>(network: &'a Graph, name: &str) -> &'a snnc_ir::Population {
    match network[network.find(name).unwrap()].as_spiking() {
        Some(SpikingOp::Population(p)) => p,
        _ => panic!("{name} is no population"),
    }
}

#[test]
fn rates_are_written_as_current_based_neurons() {
    insta::assert_snapshot!("rate", dump(emitted(&legalised(RATE))));
}

#[test]
fn every_spike_weighs_the_same_part_of_the_threshold() {
    let options = with(&[("peak-rate", "0.5"), ("threshold.h", "0.8"), ("threshold.x.rate", "1")]);
    let network = Loihi.legalise(&canonical(RATE), &options).unwrap().network;
    // Eight timesteps behind each of two layers of synapses.
    assert_eq!(network.timing.timesteps, 10);
    let input = &population(&network, "x.rate").neuron;
    assert!(matches!(input, Neuron::CurrentBased(n) if n.threshold + 1 == 30), "{input:?}");
    let h = population(&network, "h");
    let Neuron::CurrentBased(n) = &h.neuron else { panic!("{h:?}") };
    let fires_at = (n.threshold + 1) as f64;
    let id = network.find("h.synapses").unwrap();
    let weights = network[id].data.as_ref().unwrap().to_i64().unwrap();
    let reference = [1, -3, 2, 0, 4, 4, -5, 1].map(f64::from);
    for (i, (w, r)) in weights.iter().zip(reference).enumerate() {
        let (gain, threshold) = [(2.0, 120.0), (3.0, 240.0)][i / 4];
        let part = r * gain * 15.0 / (threshold * 0.8);
        assert!((*w as f64 / fires_at - part).abs() <= 0.5 / fires_at, "{i}");
    }
    for (b, (bias, threshold)) in n.bias.iter().zip([(6.0, 120.0), (-16.0, 240.0)]) {
        let part = 0.5 * (bias + 64.0 / 8.0) / (threshold * 0.8);
        assert!((*b as f64 / fires_at - part).abs() <= 0.5 / fires_at);
    }
    // Twice the real value for half the spikes.
    assert_eq!(h.scale, [0.5]);
}

#[test]
fn rates_read_back_as_they_were_legalised() {
    let network = legalised(RATE);
    let artefact = Loihi.emit(&network, &TargetOptions::default()).unwrap();
    let back = Loihi.read(&MemoryFiles::from(&artefact), "network.net").unwrap();
    assert_eq!(stripped(&back), stripped(&network.network));
}

#[test]
fn a_leak_is_a_decay_of_the_voltage() {
    let leaky =
        RATE.replace(r#""initial":[64]"#, r#""initial":[64],"leak":{"subtracting":{"shift":5}}"#);
    let network = legalised(&leaky).network;
    let decay = match &population(&network, "h").neuron {
        Neuron::CurrentBased(n) => n.voltage_decay,
        other => panic!("{other:?}"),
    };
    assert_eq!(decay, 128);
    let finer = leaky.replace(r#""shift":5"#, r#""shift":13"#);
    let violations = Loihi.legalise(&canonical(&finer), &TargetOptions::default()).unwrap_err();
    assert!(violations[0].reason.contains("1/4096"), "{violations:?}");
}

#[test]
fn binary_spikes_suit_the_first_chip_too() {
    let options = TargetOptions { device: Some("loihi1".into()), ..TargetOptions::default() };
    assert!(Loihi.legalise(&canonical(RATE), &options).is_ok());
}

#[test]
fn what_rates_cannot_hold_is_refused() {
    let signed = RATE.replace(r#""zero_point":0,"minimum":0"#, r#""zero_point":0,"minimum":-15"#);
    let silent = RATE.replace("1 -3 2 0 4 4 -5 1", "0 0 0 0 0 0 0 0");
    for (text, options, reason) in [
        (signed.as_str(), with(&[]), "takes numbers -15 to 15"),
        (silent.as_str(), with(&[]), "all its weights are 0"),
        (RATE, with(&[("peak-rate", "2")]), "is not a number above 0"),
        (RATE, with(&[("peak", "1")]), "no such option"),
    ] {
        let violations = Loihi.legalise(&canonical(text), &options).unwrap_err();
        assert!(violations[0].reason.contains(reason), "{violations:?}");
    }
}
