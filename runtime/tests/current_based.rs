//! Current-based neurons, step by step.

use snnc_ir::{Graph, NeuronState, verify};
use snnc_runtime::spiking::{Network, Sample};

/// Runs one neuron on a constant input and returns (u, v, spike) of each timestep.
fn trace(neuron: &str, input: i64, timesteps: usize) -> Vec<(i64, i64, i64)> {
    let text = format!(
        r#"snnir 1 spiking "one" {{"timesteps":{timesteps},"schedule":"streaming"}}
%x = encoder {{"scale":1.0,"zero_point":0,"minimum":-9000000,"maximum":9000000,"presentation":"every-timestep"}} () : i64[1]
%n = population {{"coding":"rate","neuron":{{"current-based":{neuron}}},"minimum":0,"maximum":1}} (%x) : i64[1]
%o = decoder {{"readout":"sum","scale":[1.0]}} (%n) : f32[1]
"#
    );
    let graph = verify(Graph::from_text(&text).unwrap()).unwrap();
    let network = Network::new(&graph).unwrap();
    let n = graph.find("n").unwrap();
    let (mut spikes, mut states) = (Vec::new(), Vec::new());
    network
        .run_with_states(
            &[Sample::Codes(vec![input])],
            &mut |id, _, value| {
                if id == n {
                    spikes.push(value[0]);
                }
            },
            &mut |id, _, state| {
                assert_eq!(id, n);
                let NeuronState::CurrentBased(own) = state else { panic!("{state:?}") };
                let own = own.states()[0];
                states.push((own.current, own.voltage));
            },
        )
        .unwrap();
    states.into_iter().zip(spikes).map(|((u, v), s)| (u, v, s)).collect()
}

#[test]
fn current_and_voltage_decay_toward_zero() {
    // u: 3 * 64 = 192, then floor(192 / 2) + 192 ..; v leaks a quarter.
    let neuron = r#"{"current_decay":2048,"voltage_decay":1024,"threshold":9,"bias_exponent":6,"fires":true}"#;
    assert_eq!(trace(neuron, 3, 4), [(192, 192, 0), (288, 432, 0), (336, 0, 1), (360, 360, 0)]);
    assert_eq!(trace(neuron, -3, 3), [(-192, -192, 0), (-288, -432, 0), (-336, -660, 0)]);
}

#[test]
fn firing_is_strictly_above_the_threshold() {
    let neuron = |threshold: i64| {
        format!(
            r#"{{"current_decay":4096,"voltage_decay":0,"threshold":{threshold},"bias":[1],"bias_exponent":6,"fires":true}}"#
        )
    };
    assert_eq!(trace(&neuron(3), 2, 2), [(128, 192, 0), (128, 0, 1)]);
    assert_eq!(trace(&neuron(2), 2, 1), [(128, 0, 1)]);
}

#[test]
fn the_current_wraps_once_and_the_voltage_clips() {
    let neuron = r#"{"current_decay":0,"voltage_decay":0,"threshold":131071,"bias_exponent":6,"fires":false}"#;
    let limit = (1 << 23) - 1;
    assert_eq!(trace(neuron, 100_000, 2), [(6_400_000, 6_400_000, 0), (-3_977_216, 2_422_784, 0)]);
    assert_eq!(trace(neuron, 131_071, 2)[1], (-128, limit - 191, 0));
}

#[test]
fn a_periodic_reset_comes_before_the_update() {
    let neuron = r#"{"current_decay":0,"voltage_decay":0,"threshold":1000,"bias_exponent":6,"fires":true,"reset":{"interval":3,"first":1}}"#;
    let u: Vec<i64> = trace(neuron, 1, 6).iter().map(|(u, ..)| u / 64).collect();
    assert_eq!(u, [1, 1, 2, 3, 1, 2]);
}

#[test]
fn a_reset_beyond_its_interval_is_refused() {
    let text = r#"snnir 1 spiking "one" {"timesteps":2,"schedule":"streaming"}
%x = encoder {"scale":1.0,"zero_point":0,"minimum":0,"maximum":9,"presentation":"once"} () : i64[1]
%n = population {"coding":"rate","neuron":{"current-based":{"current_decay":0,"voltage_decay":0,"threshold":1,"bias_exponent":6,"fires":true,"reset":{"interval":3,"first":3}}},"minimum":0,"maximum":1} (%x) : i64[1]
%o = decoder {"readout":"sum","scale":[1.0]} (%n) : f32[1]
"#;
    let errors = verify(Graph::from_text(text).unwrap()).unwrap_err();
    assert!(errors[0].to_string().contains("periodic reset"), "{errors:?}");
}
