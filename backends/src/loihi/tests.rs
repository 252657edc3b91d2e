mod pools;
mod rate;
mod residual;
mod saturate;
mod traps;

use bytes::Bytes;
use snnc_ir::{Graph, Op, SpikingOp, Verified, verify};

use super::Loihi;
use crate::format::hdf5::{Hdf5Node, Hdf5Tree, Hdf5Value};
use crate::{Legalised, MemoryFiles, Target, TargetOptions};

const CONV: &str = r#"snnir 1 spiking "conv" {"timesteps":1,"schedule":"streaming"}
%image = encoder {"scale":0.0625,"zero_point":0,"minimum":0,"maximum":15,"presentation":"once"} () : i64[1,3,3]
%c1.synapses = projection {"connectivity":{"convolution":{"window":{"kernel":[2,2],"strides":[1,1],"dilations":[1,1],"before":[0,0],"after":[0,0]},"groups":1}},"accumulator":{"bits":64,"overflow":"error"}} (%image) : i64[2,2,2] from [{"node":"c1","op":"Conv"}]
  data i8[2,1,2,2] 1 -2 3 0 -1 1 2 7
%c1 = population {"coding":"graded","bias":[5,-9],"neuron":{"graded":{"multiplier":[11],"offset":[64],"divisor":[128],"minimum":0,"maximum":15}},"minimum":0,"maximum":15,"scale":[0.5]} (%c1.synapses) : i64[2,2,2] from [{"node":"c1","op":"Conv"}]
%fc.synapses = projection {"connectivity":"dense","accumulator":{"bits":64,"overflow":"error"}} (%c1) : i64[3] from [{"node":"fc","op":"Gemm"}]
  data i8[3,8] 1 0 -1 2 3 -4 5 6 7 -7 0 1 2 2 0 -3 1 1 1 -1 -1 -1 4 0
%fc = population {"coding":"graded","bias":[7,-3,0],"neuron":"accumulate","minimum":-900,"maximum":900,"scale":[0.25]} (%fc.synapses) : i64[3] from [{"node":"fc","op":"Gemm"}]
%logits = decoder {"readout":"last","scale":[0.25]} (%fc) : f32[3]
"#;

const DENSE: &str = r#"snnir 1 spiking "dense" {"timesteps":1,"schedule":"streaming"}
%x = encoder {"scale":0.5,"zero_point":4,"minimum":0,"maximum":15,"presentation":"once"} () : i64[4]
%h.synapses = projection {"connectivity":"dense","accumulator":{"bits":64,"overflow":"error"}} (%x) : i64[2]
  data i8[2,4] 1 -3 2 0 4 4 -5 1
%h = population {"coding":"graded","neuron":{"thresholds":{"thresholds":[[5,15,25],[10,30,50]],"minimum":0}},"minimum":0,"maximum":3,"scale":[0.125]} (%h.synapses) : i64[2]
%y.synapses = projection {"connectivity":"dense","accumulator":{"bits":64,"overflow":"error"}} (%h) : i64[2]
  data i8[2,2] -4 -1 0 -2
%y = population {"coding":"graded","neuron":"accumulate","minimum":-900,"maximum":900,"scale":[0.25]} (%y.synapses) : i64[2]
%scores = decoder {"readout":"last","scale":[0.25]} (%y) : f32[2]
"#;

fn canonical(text: &str) -> Verified {
    verify(Graph::from_text(text).unwrap()).unwrap()
}

fn legalised(text: &str) -> Legalised {
    Loihi.legalise(&canonical(text), &TargetOptions::default()).unwrap()
}

fn emitted(network: &Legalised) -> Vec<u8> {
    Loihi.emit(network, &TargetOptions::default()).unwrap().files.remove(0).content.to_vec()
}

/// The whole tree of a file as text, with types, shapes and values.
fn dump(bytes: Vec<u8>) -> String {
    fn walk(tree: &Hdf5Tree, path: &str, out: &mut String) {
        let mut members: Vec<_> = tree.iter().collect();
        members.sort_by_key(|(name, _)| (name.parse::<u64>().unwrap_or(0), name.to_string()));
        for (name, node) in members {
            let path = format!("{path}/{name}");
            match node {
                Hdf5Node::Group(group) => walk(group, &path, out),
                Hdf5Node::Dataset(Hdf5Value::Array(a)) => {
                    let values = match a.to_i64() {
                        Ok(v) => format!("{v:?}"),
                        Err(_) => format!("{:?}", a.to_f32().unwrap()),
                    };
                    *out += &format!("{path}: {} {:?} {values}\n", a.dtype, a.shape);
                }
                Hdf5Node::Dataset(value) => match value {
                    Hdf5Value::Strings(s) => {
                        *out += &format!("{path}: {:?} {:?} {:?}\n", s.encoding, s.shape, s.values)
                    }
                    other => *out += &format!("{path}: {other:?}\n"),
                },
            }
        }
    }
    let mut out = String::new();
    walk(&Hdf5Tree::read(bytes).unwrap(), "", &mut out);
    out
}

/// The graph without what a `.net` file cannot hold: names, origins, scales, the encoder's range.
fn stripped(graph: &Graph) -> Vec<String> {
    let mut graph = graph.clone();
    graph.name.clear();
    let ids: Vec<_> = graph.order().unwrap();
    for (i, id) in ids.into_iter().enumerate() {
        let node = &mut graph[id];
        node.name = format!("n{i}");
        node.origins.clear();
        match &mut node.op {
            Op::Spiking(SpikingOp::Encoder(e)) => {
                (e.scale, e.zero_point, e.minimum, e.maximum) = (1.0, 0, 0, 0);
            }
            Op::Spiking(SpikingOp::Population(p)) => p.scale.clear(),
            Op::Spiking(SpikingOp::Decoder(d)) => (d.scale, d.zero) = (vec![1.0], Vec::new()),
            _ => {}
        }
    }
    graph.to_text(Default::default()).lines().map(str::to_owned).collect()
}

#[test]
fn a_convolution_and_a_dense_layer() {
    let network = legalised(CONV);
    insta::assert_snapshot!("conv", dump(emitted(&network)));
    insta::assert_snapshot!("conv-network", network.network.to_text(Default::default()));
    let notes: Vec<String> =
        network.notes.iter().map(|n| format!("{}: {}", n.node, n.text)).collect();
    insta::assert_snapshot!("conv-notes", notes.join("\n"));
    let artefact = Loihi.emit(&network, &TargetOptions::default()).unwrap();
    let mapping = String::from_utf8(artefact.files[1].content.to_vec()).unwrap();
    insta::assert_snapshot!("conv-mapping", mapping);
}

#[test]
fn spikes_between_cores_are_those_of_a_trace() {
    let network = legalised(CONV);
    let spikes = [("image.delta".to_owned(), 4.5), ("c1".to_owned(), 2.0)].into();
    let options = TargetOptions::default();
    let file = Loihi.with_activity(&network.network, &options, &spikes).unwrap().unwrap();
    let mapping: serde_yaml::Value = serde_yaml::from_slice(&file.content).unwrap();
    let row = |i: usize| &mapping["layers"][i];
    // Half of nine neurons, each heard by the one core of the next layer.
    assert_eq!(row(0)["messages_per_timestep"].as_f64(), Some(4.5));
    assert_eq!(row(1)["spikes_per_timestep"].as_f64(), Some(2.0));
    assert_eq!(row(1)["messages_per_timestep"].as_f64(), Some(2.0));
    assert!(row(2)["spikes_per_timestep"].is_null());
}

#[test]
fn two_dense_layers_with_thresholds() {
    let network = legalised(DENSE);
    insta::assert_snapshot!("dense", dump(emitted(&network)));
}

#[test]
fn what_is_read_back_is_what_was_legalised() {
    for text in [CONV, DENSE] {
        let network = legalised(text);
        let artefact = Loihi.emit(&network, &TargetOptions::default()).unwrap();
        assert!(Loihi.recognises("anything", &artefact.files[0].content));
        let back = Loihi.read(&MemoryFiles::from(&artefact), "network.net").unwrap();
        assert_eq!(stripped(&back), stripped(&network.network));
        verify(back).unwrap();
    }
}

#[test]
fn equal_networks_give_equal_bytes() {
    for text in [CONV, DENSE] {
        assert_eq!(emitted(&legalised(text)), emitted(&legalised(text)));
    }
}

#[test]
fn an_unknown_or_unsuited_device_is_refused() {
    for (name, reason) in [("loihi3", "there is no `loihi3`"), ("loihi1", "has none")] {
        let options = TargetOptions { device: Some(name.into()), ..TargetOptions::default() };
        let violations = Loihi.legalise(&canonical(CONV), &options).unwrap_err();
        assert!(violations[0].reason.contains(reason), "{violations:?}");
    }
}

#[test]
fn everything_that_does_not_fit_is_said_at_once() {
    let text = r#"snnir 1 spiking "refused" {"timesteps":1,"schedule":"streaming"}
%x = encoder {"scale":0.5,"zero_point":0,"minimum":0,"maximum":15,"presentation":"once"} () : i64[2,4,4]
%pool = max-pool {"window":{"kernel":[2,2],"strides":[2,2],"dilations":[1,1],"before":[0,0],"after":[0,0]}} (%x) : i64[2,2,2] from [{"node":"pool1","op":"MaxPool"}]
%c.synapses = projection {"connectivity":{"convolution":{"window":{"kernel":[2,2],"strides":[1,1],"dilations":[3,3],"before":[1,1],"after":[2,2]},"groups":2}},"accumulator":{"bits":64,"overflow":"error"}} (%pool) : i64[2,2,2] from [{"node":"conv1","op":"Conv"}]
  data i8[2,1,2,2] 1 2 3 4 5 6 7 8
%s.synapses = projection {"connectivity":"one-to-one","accumulator":{"bits":64,"overflow":"error"}} (%pool) : i64[2,2,2]
  data i8[2] 1 1
%c = population {"coding":"graded","neuron":{"graded":{"multiplier":[1],"offset":[4],"divisor":[8],"minimum":0,"maximum":15}},"minimum":0,"maximum":15} (%c.synapses, %s.synapses) : i64[2,2,2] from [{"node":"add1","op":"Add"}]
%cat = concatenate {"axis":0} (%c, %pool) : i64[4,2,2] from [{"node":"cat1","op":"Concat"}]
%y.synapses = projection {"connectivity":"dense","accumulator":{"bits":64,"overflow":"error"}} (%cat) : i64[1]
  data i8[1,16] 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1
%y = population {"coding":"graded","neuron":"accumulate","minimum":-900,"maximum":900} (%y.synapses) : i64[1]
%out = decoder {"readout":"last","scale":[0.25]} (%y) : f32[1]
"#;
    let violations = Loihi.legalise(&canonical(text), &TargetOptions::default()).unwrap_err();
    let said: Vec<String> =
        violations.iter().map(|v| format!("{v} (help: {})", v.remedy)).collect();
    insta::assert_snapshot!("refused", said.join("\n"));
}

#[test]
fn what_a_sigma_delta_neuron_cannot_compute_is_refused() {
    let signed = CONV.replace(r#""minimum":0,"maximum":15}},"#, r#""minimum":-8,"maximum":15}},"#);
    let signed = signed.replace(
        r#""minimum":0,"maximum":15,"scale":[0.5]"#,
        r#""minimum":-8,"maximum":15,"scale":[0.5]"#,
    );
    let silent = CONV.replace("1 -2 3 0 -1 1 2 7", "0 0 0 0 0 0 0 0");
    let lookup = CONV.replace(
        r#"{"graded":{"multiplier":[11],"offset":[64],"divisor":[128],"minimum":0,"maximum":15}}"#,
        r#"{"lookup":{"minimum":0,"table":[0,5,3]}}"#,
    );
    let said: Vec<String> = [signed, silent, lookup]
        .iter()
        .flat_map(|t| Loihi.legalise(&canonical(t), &TargetOptions::default()).unwrap_err())
        .map(|v| format!("{v} (help: {})", v.remedy))
        .collect();
    insta::assert_snapshot!("refused-neurons", said.join("\n"));
}

#[test]
fn damaged_files_are_refused() {
    let content = emitted(&legalised(CONV));
    let read = |bytes: Vec<u8>| {
        let files = MemoryFiles([("a.net".to_owned(), Bytes::from(bytes))].into());
        Loihi.read(&files, "a.net")
    };
    assert!(read(Vec::new()).is_err() && read(b"\x89HDF\r\n\x1a\n".to_vec()).is_err());
    for end in (0..content.len()).step_by(97) {
        // Whether a cut file can still be read depends on what was cut; it must not panic.
        let _ = read(content[..end].to_vec());
    }
    for at in (0..content.len()).step_by(11) {
        let mut bytes = content.clone();
        bytes[at] ^= 0x5a;
        let _ = read(bytes).map(verify);
    }
}
