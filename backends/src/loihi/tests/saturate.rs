//! Neurons that stop at the largest code.

use super::*;

fn saturating(text: &str) -> Legalised {
    let extra = [("saturate".to_owned(), "on".to_owned())].into();
    let options = TargetOptions { extra, ..TargetOptions::default() };
    Loihi.legalise(&canonical(text), &options).unwrap()
}

#[test]
fn second_neurons_take_back_what_lies_beyond_the_largest_code() {
    let network = saturating(CONV).network;
    let node = |name: &str| &network[network.find(name).unwrap()];
    assert_eq!(node("c1").ty.shape, [4, 2, 2]);
    let Some(SpikingOp::Population(p)) = node("c1").as_spiking() else { panic!() };
    let snnc_ir::Neuron::SigmaDelta(n) = &p.neuron else { panic!() };
    // `c1` counts in units of scale / 0.5 codes; the second neuron begins at code 15.
    for c in 0..2 {
        let code = |channel: usize| f64::from(p.scale[channel]) / 0.5;
        let starts = |channel: usize| n.bias[channel] as f64 * 64.0 * code(channel);
        let apart = starts(c) - starts(c + 2);
        assert!((apart - 15.0).abs() < 0.2, "{c}: {apart}");
    }
    // Each weight once for the first neurons, and once against it for the second ones.
    let id = network.find("fc.synapses").unwrap();
    let data = network[id].data.as_ref().unwrap();
    assert_eq!(data.shape(), [3, 16]);
    let weights = data.to_i64().unwrap();
    for row in weights.chunks(16) {
        for (i, w) in row[..8].iter().enumerate() {
            let (first, second) = (p.scale[i / 4], p.scale[2 + i / 4]);
            let taken = row[8 + i] as f64 * f64::from(first / second);
            assert!(
                (*w as f64 + taken).abs() <= 1.5 * f64::from((first / second).max(1.0)),
                "{row:?}"
            );
        }
    }
}

#[test]
fn doubled_networks_read_back_as_they_were_legalised() {
    for text in [CONV, DENSE] {
        let network = saturating(text);
        let artefact = Loihi.emit(&network, &TargetOptions::default()).unwrap();
        let back = Loihi.read(&MemoryFiles::from(&artefact), "network.net").unwrap();
        assert_eq!(stripped(&back), stripped(&network.network));
    }
}
