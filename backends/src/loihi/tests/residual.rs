//! Residual additions carried through the layer that they skip.

use snnc_ir::analysis::intervals;

use super::*;
use crate::loihi::residual::carried;

/// `b = relu(W2 * relu(W1 * x) + S x)`, the first kernel with stride 2, the skip connection of one tap.
const BLOCK: &str = r#"snnir 1 spiking "block" {"timesteps":1,"schedule":"streaming"}
%in = encoder {"scale":0.5,"zero_point":0,"minimum":0,"maximum":7,"presentation":"once"} () : i64[1,4,4]
%x.synapses = projection {"connectivity":{"convolution":{"window":{"kernel":[1,1],"strides":[1,1],"dilations":[1,1],"before":[0,0],"after":[0,0]},"groups":1}},"accumulator":{"bits":64,"overflow":"error"}} (%in) : i64[2,4,4]
  data i8[2,1,1,1] 1 2
%x = population {"coding":"graded","bias":[1,-3],"neuron":{"graded":{"multiplier":[1],"offset":[0],"divisor":[1],"minimum":0,"maximum":7}},"minimum":0,"maximum":7,"scale":[0.5]} (%x.synapses) : i64[2,4,4]
%a.synapses = projection {"connectivity":{"convolution":{"window":{"kernel":[3,3],"strides":[2,2],"dilations":[1,1],"before":[1,1],"after":[1,1]},"groups":1}},"accumulator":{"bits":64,"overflow":"error"}} (%x) : i64[1,2,2]
  data i8[1,2,3,3] 1 -1 0 2 1 -2 0 1 1 3 0 -1 1 1 0 0 -2 1
%a = population {"coding":"graded","neuron":{"graded":{"multiplier":[1],"offset":[1],"divisor":[2],"minimum":0,"maximum":15}},"minimum":0,"maximum":15,"scale":[1.0]} (%a.synapses) : i64[1,2,2]
%b.synapses = projection {"connectivity":{"convolution":{"window":{"kernel":[3,3],"strides":[1,1],"dilations":[1,1],"before":[1,1],"after":[1,1]},"groups":1}},"gain":[3],"accumulator":{"bits":64,"overflow":"error"}} (%a) : i64[1,2,2]
  data i8[1,1,3,3] 1 0 -1 2 1 0 -1 1 1
%b.synapses.1 = projection {"connectivity":{"convolution":{"window":{"kernel":[1,1],"strides":[2,2],"dilations":[1,1],"before":[0,0],"after":[0,0]},"groups":1}},"gain":[5],"accumulator":{"bits":64,"overflow":"error"}} (%x) : i64[1,2,2]
  data i8[1,2,1,1] 4 -7
%b = population {"coding":"graded","neuron":{"graded":{"multiplier":[1],"offset":[8],"divisor":[16],"minimum":0,"maximum":15}},"minimum":0,"maximum":15,"scale":[0.5]} (%b.synapses, %b.synapses.1) : i64[1,2,2] from [{"node":"add","op":"Add"}]
%y.synapses = projection {"connectivity":"dense","accumulator":{"bits":64,"overflow":"error"}} (%b) : i64[1]
  data i8[1,4] 1 2 -3 4
%y = population {"coding":"graded","neuron":"accumulate","minimum":-900,"maximum":900,"scale":[0.25]} (%y.synapses) : i64[1]
%out = decoder {"readout":"last","scale":[0.25]} (%y) : f32[1]
"#;

#[test]
fn a_skip_connection_becomes_channels_and_taps() {
    let network = canonical(BLOCK);
    let (carried, notes) = carried(&network);
    assert_eq!(notes.len(), 1);
    insta::assert_snapshot!("carried", carried.to_text(Default::default()));
    // What the sum can be has not changed.
    let reach = |g: &Graph| intervals(g).unwrap().potentials(g.find("b").unwrap()).to_vec();
    assert_eq!(reach(&carried), reach(&network));
}

#[test]
fn a_network_with_residual_additions_is_written() {
    let network = legalised(BLOCK);
    assert!(network.notes.iter().any(|n| n.text.contains("carried through `a` by 8 more neurons")));
    let artefact = Loihi.emit(&network, &TargetOptions::default()).unwrap();
    let back = Loihi.read(&MemoryFiles::from(&artefact), "network.net").unwrap();
    assert_eq!(stripped(&back), stripped(&network.network));
}

#[test]
fn what_cannot_be_carried_is_refused() {
    // Negative numbers do not pass a rectifier.
    let signed = BLOCK.replace(
        r#""minimum":0,"maximum":7}},"minimum":0,"maximum":7"#,
        r#""minimum":-7,"maximum":7}},"minimum":-7,"maximum":7"#,
    );
    assert_ne!(signed, BLOCK);
    let violations = Loihi.legalise(&canonical(&signed), &TargetOptions::default()).unwrap_err();
    let said: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert!(said.iter().any(|v| v.contains("Add `add`") && v.contains("sequential")), "{said:?}");
}
