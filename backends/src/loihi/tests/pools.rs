//! Average pools, which come as depthwise convolutions with weights 1.

use super::*;

const POOLS: &str = r#"snnir 1 spiking "pools" {"timesteps":1,"schedule":"streaming"}
%x = encoder {"scale":0.5,"zero_point":0,"minimum":0,"maximum":15,"presentation":"once"} () : i64[2,4,4]
%average.synapses = projection {"connectivity":{"convolution":{"window":{"kernel":[2,2],"strides":[2,2],"dilations":[1,1],"before":[0,0],"after":[0,0]},"groups":2}},"accumulator":{"bits":64,"overflow":"error"}} (%x) : i64[2,2,2] from [{"node":"pool","op":"AveragePool"}]
  data i8[2,1,2,2] 1 1 1 1 1 1 1 1
%average = population {"coding":"graded","neuron":{"graded":{"multiplier":[1],"offset":[2],"divisor":[4],"minimum":0,"maximum":15}},"minimum":0,"maximum":15,"scale":[0.5]} (%average.synapses) : i64[2,2,2] from [{"node":"pool","op":"AveragePool"}]
%global.synapses = projection {"connectivity":{"convolution":{"window":{"kernel":[2,2],"strides":[1,1],"dilations":[1,1],"before":[0,0],"after":[0,0]},"groups":2}},"accumulator":{"bits":64,"overflow":"error"}} (%average) : i64[2,1,1] from [{"node":"gap","op":"GlobalAveragePool"}]
  data i8[2,1,2,2] 1 1 1 1 1 1 1 1
%global = population {"coding":"graded","neuron":{"graded":{"multiplier":[1],"offset":[2],"divisor":[4],"minimum":0,"maximum":15}},"minimum":0,"maximum":15,"scale":[0.5]} (%global.synapses) : i64[2,1,1] from [{"node":"gap","op":"GlobalAveragePool"}]
%y.synapses = projection {"connectivity":"dense","accumulator":{"bits":64,"overflow":"error"}} (%global) : i64[2]
  data i8[2,2] -4 1 3 -2
%y = population {"coding":"graded","neuron":"accumulate","minimum":-900,"maximum":900,"scale":[0.25]} (%y.synapses) : i64[2]
%out = decoder {"readout":"last","scale":[0.25]} (%y) : f32[2]
"#;

#[test]
fn pools_are_depthwise_convolutions_with_equal_weights() {
    let network = legalised(POOLS);
    insta::assert_snapshot!("pools", dump(emitted(&network)));
    let weights = |name: &str| {
        let id = network.network.find(name).unwrap();
        network.network[id].data.as_ref().unwrap().to_i64().unwrap()
    };
    for name in ["average.synapses", "global.synapses"] {
        let all = weights(name);
        assert!(all.iter().all(|&w| w == all[0] && w > 0), "{name}: {all:?}");
    }
    let back = {
        let artefact = Loihi.emit(&network, &TargetOptions::default()).unwrap();
        Loihi.read(&MemoryFiles::from(&artefact), "network.net").unwrap()
    };
    assert_eq!(stripped(&back), stripped(&network.network));
}
