use proptest::prelude::*;
use snnc_ir::{
    Graph, RealEdge, RealFiring, RealLeak, RealNetwork, RealNeurons, RealNode, RealOp, Window,
    verify,
};

use super::*;
use crate::MemoryFiles;
use crate::format::hdf5::{Hdf5Node, Hdf5Value};

/// A grouped convolution with a kernel that is not square, a soft reset, payloads, a read-out.
const NETWORK: &str = r#"snnir 1 spiking "tiny" {"timesteps":4,"schedule":"streaming"}
%image = encoder {"scale":0.5,"zero_point":0,"minimum":0,"maximum":15,"presentation":"every-timestep"} () : i64[2,3,3]
%/c/Conv.synapses = projection {"connectivity":{"convolution":{"window":{"kernel":[3,1],"strides":[1,1],"dilations":[1,1],"before":[1,0],"after":[1,0]},"groups":2}},"accumulator":{"bits":64,"overflow":"error"}} (%image) : i64[2,3,3]
  data i8[2,1,3,1] 3 -4 0 1 2 -7
%/c/Conv = population {"coding":"rate","bias":[1,-2],"neuron":{"integrate-and-fire":{"threshold":[[8]],"reset":"soft","initial":[4],"maximum":3}},"minimum":0,"maximum":3,"scale":[0.25]} (%/c/Conv.synapses) : i64[2,3,3]
%fc.synapses = projection {"connectivity":"dense","accumulator":{"bits":64,"overflow":"error"}} (%/c/Conv) : i64[1]
  data i8[1,18] 1 2 3 4 5 6 7 8 9 1 2 3 4 5 6 7 8 9
%fc = population {"coding":"rate","neuron":"accumulate","minimum":-999,"maximum":999} (%fc.synapses) : i64[1]
%scores = decoder {"readout":"last","scale":[0.25]} (%fc) : f32[1]
"#;

fn network() -> Verified {
    verify(Graph::from_text(NETWORK).unwrap()).unwrap()
}

fn emitted(network: &Verified) -> Artefact {
    let options = TargetOptions::default();
    Nir.emit(&Nir.legalise(network, &options).unwrap(), &options).unwrap()
}

fn read_back(artefact: &Artefact) -> Result<Graph, ReadError> {
    Nir.read(&MemoryFiles::from(artefact), ENTRY)
}

#[test]
fn what_is_emitted_reads_back() {
    let artefact = emitted(&network());
    assert_eq!(artefact.files, emitted(&network()).files, "emitted twice, the same bytes");
    let content = &artefact.files[0].content;
    assert!(Nir.recognises("any", content) && is_nir(content));
    let text = |g: &Graph| g.to_text(Default::default());
    assert_eq!(text(&read_back(&artefact).unwrap()), text(&network()));
}

#[test]
fn notes_say_what_nir_cannot() {
    let notes = Nir.legalise(&network(), &TargetOptions::default()).unwrap().notes;
    let all: Vec<String> = notes.iter().map(|n| format!("{}: {}", n.node, n.text)).collect();
    for part in ["resets by subtraction", "starts at a potential", "payloads of 2 bits"] {
        assert!(all.iter().any(|n| n.contains(part)), "{part}: {all:?}");
    }
    let tree = Hdf5Tree::read(emitted(&network()).files[0].content.clone()).unwrap();
    let at = "node/nodes/.c.Conv/metadata";
    assert_eq!(tree.text(&format!("{at}/reset")).unwrap(), "soft");
    assert_eq!(tree.scalar_i64(&format!("{at}/payload_bits")).unwrap(), 2);
    assert_eq!(tree.i64s(&format!("{at}/threshold")).unwrap(), [8]);
}

#[test]
fn groups_and_kernels_are_widened_by_zeros() {
    let real = lower(&network()).unwrap().network;
    let node = &real.nodes[real.find(".c.Conv.synapses").unwrap()];
    let RealOp::Convolution { window, groups, weights, bias } = &node.op else { panic!() };
    assert_eq!((window.kernel.as_slice(), *groups), (&[3, 3][..], 1));
    assert_eq!((window.before.as_slice(), window.after.as_slice()), (&[1, 1][..], &[1, 1][..]));
    let mut expected = vec![0.0; 36];
    for (at, w) in [(1, 3.0), (4, -4.0), (28, 1.0), (31, 2.0), (34, -7.0)] {
        expected[at] = w;
    }
    assert_eq!((weights, bias), (&expected, &vec![1.0, -2.0]));
}

/// Cells of the map that each weight meets for one output, by the weight.
fn met(window: &Window, weights: &[f32], side: usize) -> Vec<Vec<(f32, isize, isize)>> {
    let cell = |at: usize, k: usize, i: usize| {
        (at * window.strides[i] + k * window.dilations[i]) as isize - window.before[i] as isize
    };
    let outputs = snnc_ir::window_outputs(window, &[side, side], false).unwrap();
    let places = (0..outputs[0]).flat_map(|r| (0..outputs[1]).map(move |c| (r, c)));
    let all = |(r, c): (usize, usize)| {
        let kernel = weights.iter().enumerate().filter(|(_, w)| **w != 0.0);
        let at = kernel
            .map(|(i, &w)| (w, cell(r, i / window.kernel[1], 0), cell(c, i % window.kernel[1], 1)));
        at.collect()
    };
    places.map(all).collect()
}

proptest! {
    #[test]
    fn the_wide_kernel_meets_the_same_cells(
        kernel in proptest::collection::vec(1usize..4, 2),
        strides in proptest::collection::vec(1usize..3, 2),
        dilations in proptest::collection::vec(1usize..3, 2),
        before in proptest::collection::vec(0usize..3, 2),
        after in proptest::collection::vec(0usize..3, 2),
    ) {
        let window = Window { kernel, strides, dilations, before, after };
        let weights: Vec<f32> = (1..=window.kernel.iter().product()).map(|i| i as f32).collect();
        let (wide, spread) = portable::square(&window, 1, (&weights, &[1, 9, 9]));
        prop_assert_eq!(met(&wide, &spread, 9), met(&window, &weights, 9));
        // What "same" of other frameworks gives has such a form, whatever the kernel.
        if window.dilations == [1, 1] && window.kernel[0] == window.kernel[1] {
            prop_assert!(wide.before == wide.after && wide.kernel[0] == wide.kernel[1]
                || (window.after[0] + window.before[0] + window.after[1] + window.before[1]) % 2 == 1);
        }
    }
}

#[test]
fn metadata_that_contradicts_the_nodes_is_refused() {
    let artefact = emitted(&network());
    let tree = Hdf5Tree::read(artefact.files[0].content.clone()).unwrap();
    let mut changed = Hdf5Tree::new();
    copy(&tree, "", &mut |path, value| {
        let other = NpyArray::from_f32(vec![1, 18], &[1.0; 18]).unwrap();
        let swap = path == "node/nodes/fc.synapses/weight";
        changed.insert(path, if swap { other.into() } else { value.clone() }).unwrap();
    });
    let files = vec![File::new(ENTRY, changed.to_bytes().unwrap())];
    let error = read_back(&Artefact { files }).unwrap_err().to_string();
    assert!(error.contains("something else of `fc.synapses`"), "{error}");
}

fn copy(tree: &Hdf5Tree, at: &str, put: &mut dyn FnMut(&str, &Hdf5Value)) {
    for (name, node) in tree.iter() {
        let path = if at.is_empty() { name.to_owned() } else { format!("{at}/{name}") };
        match node {
            Hdf5Node::Group(group) => copy(group, &path, put),
            Hdf5Node::Dataset(value) => put(&path, value),
        }
    }
}

#[test]
fn what_nir_has_no_word_for_is_refused_all_at_once() {
    let text = NETWORK
        .replace(r#""threshold":[[8]]"#, r#""threshold":[[8,4]]"#)
        .replace(r#""neuron":"accumulate""#, r#""neuron":{"lookup":{"minimum":0,"table":[0,1]}}"#);
    let network = verify(Graph::from_text(&text).unwrap()).unwrap();
    let violations = Nir.legalise(&network, &TargetOptions::default()).unwrap_err();
    let reasons: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert!(violations.iter().all(|v| !v.remedy.is_empty()));
}

/// Every primitive, a loop included.
fn every_primitive() -> RealNetwork {
    let window = |k: usize| Window {
        kernel: vec![k; 2],
        strides: vec![k; 2],
        dilations: vec![1; 2],
        before: vec![0; 2],
        after: vec![0; 2],
    };
    let neurons = |n: usize, leak: bool, firing: bool| {
        RealOp::Neurons(RealNeurons {
            synapses: None,
            leak: leak.then(|| RealLeak { tau: vec![0.01; n], potential: vec![0.0; n] }),
            resistance: vec![2.0; n],
            firing: firing.then(|| RealFiring { threshold: vec![1.0; n], reset: vec![0.1; n] }),
        })
    };
    let mut cuba = neurons(4, true, true);
    if let RealOp::Neurons(n) = &mut cuba {
        n.synapses =
            Some(snnc_ir::RealSynapses { tau: vec![0.002; 4], weight: vec![1.0, 2.0, 3.0, 4.0] });
    }
    let mut quiet = cuba.clone();
    if let RealOp::Neurons(n) = &mut quiet {
        n.firing = None;
    }
    let conv = RealOp::Convolution {
        window: window(2),
        groups: 1,
        weights: (0..8).map(|i| i as f32).collect(),
        bias: vec![0.5],
    };
    let mut short = window(1);
    for v in [&mut short.kernel, &mut short.strides, &mut short.dilations] {
        *v = vec![1];
    }
    (short.before, short.after) = (vec![0], vec![0]);
    let conv1 =
        RealOp::Convolution { window: short, groups: 1, weights: vec![1.0; 4], bias: vec![0.0; 4] };
    let dense = |biased: bool| RealOp::Dense {
        weights: (0..16).map(|i| i as f32 / 8.0).collect(),
        bias: biased.then(|| vec![1.0; 4]),
    };
    let ops: Vec<(&str, RealOp, Vec<usize>)> = vec![
        ("00", RealOp::Input, vec![2, 8, 8]),
        ("01", RealOp::Pool { window: window(2), mean: true }, vec![2, 4, 4]),
        ("02", conv, vec![1, 2, 2]),
        ("03", RealOp::Flatten, vec![4]),
        ("04", dense(true), vec![4]),
        ("05", neurons(4, true, true), vec![4]),
        ("06", dense(false), vec![4]),
        ("07", neurons(4, false, true), vec![4]),
        ("08", RealOp::Scale { factor: vec![0.5; 4] }, vec![4]),
        ("09", cuba, vec![4]),
        ("10", RealOp::Delay { seconds: vec![0.001; 4] }, vec![4]),
        ("11", neurons(4, true, false), vec![4]),
        ("12", RealOp::Threshold { threshold: vec![0.25; 4] }, vec![4]),
        ("13", neurons(4, false, false), vec![4]),
        ("14", quiet, vec![4]),
        ("15", RealOp::Output, vec![4]),
        ("16", RealOp::Input, vec![1, 5]),
        ("17", conv1, vec![4, 5]),
        ("18", RealOp::Output, vec![4, 5]),
    ];
    let names: Vec<&str> = ops.iter().map(|(n, ..)| *n).collect();
    let mut edges: Vec<RealEdge> = (1..names.len())
        .filter(|&i| i != 16)
        .map(|i| RealEdge { source: i - 1, target: i, recurrent: false })
        .collect();
    edges.push(RealEdge { source: 7, target: 6, recurrent: true });
    edges.sort_by_key(|e| (e.source, e.target));
    let nodes = ops.into_iter().map(|(n, op, shape)| RealNode { name: n.into(), op, shape });
    RealNetwork { nodes: nodes.collect(), edges }
}

#[test]
fn every_primitive_is_written_and_read() {
    let network = every_primitive();
    let content = write::file(&network, &[], Metadata::new()).unwrap();
    assert!(is_nir(&content) && !Nir.recognises("x", &content), "no integers, no artefact of ours");
    assert_eq!(real_network(content.into(), "x").unwrap(), network);
}

#[test]
fn resistances_move_into_the_weights() {
    let (portable, stayed) = portable::portable(&every_primitive());
    // The read-out behind a delay has no weights to scale.
    assert_eq!(stayed, ["11"]);
    let RealOp::Dense { weights, bias } = &portable.nodes[4].op else { panic!() };
    assert_eq!((weights[1], bias.as_ref().unwrap()[0]), (0.25, 2.0));
}

#[test]
fn faults_name_their_place() {
    let content = write::file(&every_primitive(), &[], Metadata::new()).unwrap();
    let tree = Hdf5Tree::read(content).unwrap();
    let number = |v: &[f32]| Hdf5Value::from(NpyArray::from_f32(vec![v.len()], v).unwrap());
    for (place, value, part) in [
        ("node/nodes/05/tau", number(&[0.01, 0.0, 0.01, 0.01]), "must be positive"),
        ("node/nodes/05/v_leak", number(&[0.0]), "`v_leak` has shape [1]"),
        ("node/nodes/07/r", number(&[f32::NAN; 4]), "NaN"),
        ("node/nodes/08/type", Hdf5Value::utf8("NIRGraph"), "a graph within a graph"),
        ("node/nodes/08/type", Hdf5Value::utf8("Softmax"), "primitive `Softmax`"),
        ("node/nodes/08/scale", number(&[1.0; 3]), "takes 3 elements"),
        ("node/edges", Hdf5Value::utf8_array([1, 2], vec!["00".into(), "99".into()]), "`99`"),
    ] {
        let mut changed = Hdf5Tree::new();
        copy(&tree, "", &mut |path, old| {
            changed.insert(path, if path == place { value.clone() } else { old.clone() }).unwrap();
        });
        let error = real_network(changed.to_bytes().unwrap().into(), "f").unwrap_err().to_string();
        assert!(error.contains(part), "{place}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn damaged_files_are_errors(at in any::<prop::sample::Index>(), flip in 1u8..) {
        let mut content = emitted(&network()).files.remove(0).content.to_vec();
        let at = at.index(content.len());
        content[at] ^= flip;
        let _ = real_network(content.clone().into(), "x");
        let _ = read_back(&Artefact { files: vec![File::new(ENTRY, content)] });
    }
}
