use snnc_ir::{Graph, verify};

use super::{FloatNetwork, Network, Sample};

/// Payloads of `node` timestep by timestep, for a sample given in time.
fn sent(text: &str, node: &str, sample: Vec<Vec<i64>>) -> Vec<Vec<i64>> {
    let graph = verify(Graph::from_text(text).unwrap()).unwrap().into_inner();
    let network = Network::new(&graph).unwrap();
    let wanted = graph.find(node).unwrap();
    let mut seen = Vec::new();
    let observe = &mut |id, _, value: &[i64]| {
        if id == wanted {
            seen.push(value.to_vec());
        }
    };
    network.run_with(&[Sample::InTime(sample)], observe).unwrap();
    seen
}

const POOL: &str = r#"snnir 1 spiking "pool" {"timesteps":3,"schedule":"streaming"}
%x = encoder {"scale":1.0,"zero_point":0,"minimum":-9,"maximum":9,"presentation":"in-time"} () : i64[1,2]
%max = running-max-pool {"window":{"kernel":[2],"strides":[2],"dilations":[1],"before":[0],"after":[0]}} (%x) : i64[1,1]
%o = decoder {"readout":"sum","scale":[1.0]} (%max) : f32[1,1]
"#;

#[test]
fn a_running_maximum_takes_back_what_was_too_much() {
    // Totals 2, 0, 1 and 1, 1, 1.
    let steps = sent(POOL, "max", vec![vec![2, 1], vec![-2, 0], vec![1, 0]]);
    assert_eq!(steps, [[2], [-1], [0]]);
}

#[test]
fn a_running_maximum_of_digits_has_the_digits_of_the_maximum() {
    for (a, b) in (0..8).flat_map(|a| (0..8).map(move |b| (a, b))) {
        let digit = |x: i64, t: i64| x & (4 >> t);
        let steps = (0..3).map(|t| vec![digit(a, t), digit(b, t)]).collect();
        let expected: Vec<Vec<i64>> = (0..3).map(|t| vec![digit(a.max(b), t)]).collect();
        assert_eq!(sent(POOL, "max", steps), expected, "{a} and {b}");
    }
}

#[test]
fn a_stream_is_the_same_however_it_is_cut() {
    let graph = verify(Graph::from_text(POOL).unwrap()).unwrap().into_inner();
    let network = Network::streaming(&graph).unwrap();
    let steps: Vec<Vec<i64>> = (0..11i64).map(|t| vec![t * t % 7, 3 - t % 5]).collect();
    let whole = network.run_in_pieces(&steps, steps.len());
    for size in [1, 2, 7] {
        assert_eq!(network.run_in_pieces(&steps, size), whole, "pieces of {size}");
    }
    let mut stream = network.stream();
    assert!(stream.advance(&[vec![0; 3]], &mut |_, _, _| {}).is_err(), "a row of three for two");
}

#[test]
fn what_waits_for_the_end_cannot_be_streamed() {
    let barrier = POOL.replace("streaming", "layer-synchronous");
    let graph = verify(Graph::from_text(&barrier).unwrap()).unwrap().into_inner();
    assert!(Network::streaming(&graph).is_err());
}

impl Network {
    fn run_in_pieces(&self, steps: &[Vec<i64>], size: usize) -> (Vec<Vec<i64>>, super::Outcome) {
        let (mut stream, mut seen) = (self.stream(), Vec::new());
        for piece in steps.chunks(size) {
            stream.advance(piece, &mut |_, _, value| seen.push(value.to_vec())).unwrap();
        }
        (seen, stream.finish())
    }
}

/// A convolution with padding and stride, a maximum, and a dense layer that gets its own spikes back.
fn soft_network(real: bool) -> snnc_ir::Graph {
    let weights: Vec<String> = (0..18).map(|i| ((i * 7 % 11) - 3).to_string()).collect();
    let dense: Vec<String> = (0..6).map(|i| (3 - i).to_string()).collect();
    let neuron = |threshold: i64| match real {
        false => format!(
            r#"{{"integrate-and-fire":{{"threshold":[[{threshold}]],"reset":"soft","initial":[0],"maximum":1}}}}"#
        ),
        true => format!(
            r#"{{"float":{{"decay":[1.0],"firing":{{"threshold":[{threshold}.0],"reset":{{"soft":[{threshold}.0]}}}}}}}}"#
        ),
    };
    let dtype = if real { "f32" } else { "i8" };
    let synapses = r#""accumulator":{"bits":64,"overflow":"error"}"#;
    let window = |kernel: usize, stride: usize, pad: usize| {
        format!(
            r#"{{"kernel":[{kernel},{kernel}],"strides":[{stride},{stride}],"dilations":[1,1],"before":[{pad},{pad}],"after":[{pad},{pad}]}}"#
        )
    };
    let text = format!(
        r#"snnir 1 spiking "soft" {{"timesteps":9,"schedule":"streaming"}}
%x = encoder {{"scale":1.0,"zero_point":0,"minimum":-9,"maximum":9,"presentation":"in-time"}} () : i64[1,4,4]
%c = projection {{"connectivity":{{"convolution":{{"window":{conv},"groups":1}}}},{synapses}}} (%x) : i64[2,2,2]
  data {dtype}[2,1,3,3] {weights}
%a = population {{"coding":"rate","neuron":{first},"minimum":0,"maximum":1}} (%c) : i64[2,2,2]
%m = max-pool {{"window":{pool}}} (%a) : i64[2,1,1]
%d = projection {{"connectivity":"dense",{synapses}}} (%m) : i64[3]
  data {dtype}[3,2] {dense}
%b = population {{"coding":"rate","neuron":{second},"minimum":0,"maximum":1}} (%d) : i64[3]
%o = decoder {{"readout":"sum","scale":[1.0]}} (%b) : f32[3]
"#,
        conv = window(3, 2, 1),
        pool = window(2, 2, 0),
        weights = weights.join(" "),
        dense = dense.join(" "),
        first = neuron(9),
        second = neuron(2),
    );
    verify(snnc_ir::Graph::from_text(&text).unwrap()).unwrap().into_inner()
}

#[test]
fn whole_numbers_in_single_precision_are_the_same_network() {
    let rows: Vec<Vec<i64>> =
        (0..9i64).map(|t| (0..16).map(|i| (t * 5 + i * i) % 4).collect()).collect();
    let graph = soft_network(false);
    let mut whole = Vec::new();
    let observe = &mut |id, t, value: &[i64]| whole.push((id, t, value.to_vec()));
    Network::new(&graph).unwrap().run_with(&[Sample::InTime(rows.clone())], observe).unwrap();

    let real = FloatNetwork::new(&soft_network(true)).unwrap();
    let mut seen = Vec::new();
    let rows: Vec<Vec<f32>> =
        rows.iter().map(|row| row.iter().map(|&x| x as f32).collect()).collect();
    let observe = &mut |id, t, value: &[f32]| {
        seen.push((id, t, value.iter().map(|&x| x as i64).collect::<Vec<i64>>()));
    };
    let outputs = real.run(&rows, observe).unwrap();
    assert_eq!(seen, whole);
    assert!(outputs[0].iter().sum::<f32>() > 3.0, "{outputs:?}");
    assert!(FloatNetwork::new(&graph).is_err(), "integer neurons are not real");
}
