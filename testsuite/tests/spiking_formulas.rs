//! Networks with one formula each around their layers and neurons, held against what ONNX Runtime made of
//! them, and against the tensor interpreter on the same graph.

use std::path::{Path, PathBuf};

use onnx_protobuf::{AttributeProto, Message, ModelProto, NodeProto};
use snnc::import::{ImportOptions, from_bytes, load, spiking};
use snnc::spiking_check;
use snnc::spiking_integers::in_time;
use snnc_backends::format::npz::Npz;
use snnc_backends::trained::composed;
use snnc_ir::{Graph, Neuron, NodeId, Op, SpikingOp};
use snnc_runtime::kernels::Kernels;
use snnc_runtime::spiking::FloatNetwork;
use snnc_testsuite::repository;

fn cases() -> Vec<PathBuf> {
    let files = std::fs::read_dir(repository().join("testsuite/cases/spiking-formulas")).unwrap();
    let mut paths: Vec<PathBuf> = files.map(|f| f.unwrap().path()).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "onnx"));
    paths.sort();
    paths
}

struct Case {
    name: String,
    model: Graph,
    recognised: spiking::Recognised,
    /// Rows of the input.
    x: Vec<Vec<f32>>,
    /// What the model shows, one timestep after the other where it has them.
    y: Vec<f32>,
}

fn case(path: &Path) -> Result<Case, String> {
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    let fault = |e: snnc::Error| format!("{name}: {e}");
    let imported = load(path, &ImportOptions::default()).map_err(fault)?;
    assert!(spiking::seems_spiking(&imported.graph), "{name}");
    let recognised = spiking::recognise(&imported.graph).map_err(fault)?;
    let npz = Npz::open(std::fs::read(path.with_extension("npz")).unwrap()).unwrap();
    let array = |name: &str| npz.get(name).unwrap().unwrap();
    let (x, y) = (array("x"), array("y"));
    let values = x.to_f32().unwrap();
    let x = values.chunks(values.len() / x.shape[0]).map(<[f32]>::to_vec).collect();
    Ok(Case { name, model: imported.graph, recognised, x, y: y.to_f32().unwrap() })
}

/// What the first output shows, as the model does.
fn shown(case: &Case, kernels: Kernels) -> Vec<f32> {
    let graph = &case.recognised.network;
    let decoder = graph.outputs()[0];
    let source = graph.source(decoder, 0);
    let mut each = Vec::new();
    let network = FloatNetwork::with_kernels(graph, kernels).unwrap();
    let mut observe = |id: NodeId, _: usize, value: &[f32]| {
        if Some(id) == source {
            each.extend_from_slice(value);
        }
    };
    let decoded = match in_time(graph) {
        true => network.run(&case.x, &mut observe),
        false => network.run_sample(&case.x[0], &mut observe),
    };
    let decoded = decoded.unwrap();
    if case.recognised.shown[0].every { each } else { decoded[0].clone() }
}

/// How a case differs from what ONNX Runtime made of it; spikes are to be equal, reals near.
fn difference(case: &Case) -> Option<String> {
    let largest = case.y.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    let whole = case.y.iter().all(|v| v.fract() == 0.0);
    for kernels in Kernels::ALL {
        let found = shown(case, kernels);
        if found.len() != case.y.len() {
            return Some(format!("{}: {} values for {}", case.name, found.len(), case.y.len()));
        }
        let far = |(a, b): &(&f32, &f32)| {
            if whole { a != b } else { (*a - *b).abs() > 1e-5 * largest }
        };
        let odd = found.iter().zip(&case.y).filter(far).count();
        if odd > 0 {
            return Some(format!("{} ({kernels:?}): {odd} of {} differ", case.name, found.len()));
        }
    }
    None
}

#[test]
fn every_formula_computes_what_onnx_runtime_computes() {
    let paths = cases();
    assert!(paths.len() >= 55, "{} cases", paths.len());
    let mut wrong = Vec::new();
    for path in &paths {
        match case(path) {
            Ok(case) => wrong.extend(difference(&case)),
            Err(refused) => wrong.push(refused),
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), paths.len(), wrong.join("\n"));
}

#[test]
fn the_models_own_operators_give_every_spike() {
    let mut wrong = Vec::new();
    for path in cases() {
        let Ok(case) = case(&path) else { continue };
        match spiking_check::check(&case.model, &case.recognised, std::slice::from_ref(&case.x)) {
            Ok(Some(checked)) if checked.ties.is_empty() && checked.compared > 0 => {}
            other => wrong.push(format!("{}: {other:?}", case.name)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A network that was misread fails: each bias of a recognised network is changed, one case at a time.
#[test]
fn a_misread_bias_is_a_failed_check() {
    let mut told = 0;
    for path in cases() {
        let Ok(mut case) = case(&path) else { continue };
        let graph = &mut case.recognised.network;
        let biased = graph.ids().find(|&id| match graph[id].as_spiking() {
            Some(SpikingOp::Population(p)) => match &p.neuron {
                Neuron::Float(n) => n.firing.is_some() && n.input_bias.iter().any(|&b| b > 0.05),
                _ => false,
            },
            _ => false,
        });
        let Some(id) = biased else { continue };
        if let Op::Spiking(SpikingOp::Population(p)) = &mut graph[id].op
            && let Neuron::Float(n) = &mut p.neuron
        {
            n.input_bias.iter_mut().for_each(|b| *b *= 0.37);
        }
        let found = spiking_check::check(&case.model, &case.recognised, &[case.x.clone()]);
        if let Err(error) = found {
            assert_eq!(error.exit_code(), 1, "{error}");
            assert!(error.to_string().contains("model's own operators send"), "{error}");
            told += 1;
        }
    }
    assert!(told >= 20, "{told} were told");
}

/// Layers without neurons between them as one layer give the same spikes.
#[test]
fn joined_layers_send_the_same_spikes() {
    let (mut wrong, mut joined, mut left) = (Vec::new(), 0, Vec::new());
    for path in cases() {
        let Ok(mut case) = case(&path) else { continue };
        let before = passing(&case.recognised.network);
        case.recognised.network = composed(&case.recognised.network);
        snnc_ir::verify(case.recognised.network.clone()).unwrap();
        let after = passing(&case.recognised.network);
        joined += before - after;
        if after > 0 {
            left.push(case.name.clone());
        }
        wrong.extend(difference(&case));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(joined >= 8, "{joined} joined");
    // In front of a maximum, and where only some of what is joined has a factor.
    assert!(left.len() <= 6, "{left:?}");
}

/// How many populations only pass sums on to further ones.
fn passing(graph: &Graph) -> usize {
    let passes = |id: NodeId| match graph[id].as_spiking() {
        Some(SpikingOp::Population(p)) => {
            let decoded = graph.users(id).iter().all(|&u| graph.outputs().contains(&u));
            matches!(&p.neuron, Neuron::Float(n) if n.firing.is_none()) && !decoded
        }
        _ => false,
    };
    graph.ids().filter(|&id| passes(id)).count()
}

fn changed(
    name: &str,
    change: impl Fn(&mut ModelProto),
) -> Result<spiking::Recognised, snnc::Error> {
    let path = repository().join(format!("testsuite/cases/spiking-formulas/{name}.onnx"));
    let mut model = ModelProto::decode(std::fs::read(path).unwrap().as_slice()).unwrap();
    change(&mut model);
    let bytes = model.encode_to_vec();
    let imported = from_bytes(bytes.into(), name, None, &ImportOptions::default())?;
    spiking::recognise(&imported.graph)
}

/// Writes `value` over entry `index` of the initializer at `place`.
fn overwrite(model: &mut ModelProto, place: usize, index: usize, value: f32) {
    let tensor = &mut model.graph.as_mut().unwrap().initializer[place];
    let mut raw = tensor.raw_data.to_vec();
    raw[4 * index..4 * index + 4].copy_from_slice(&value.to_le_bytes());
    tensor.raw_data = raw.into();
}

#[test]
fn numbers_that_are_none_are_bad_input() {
    let constants = ModelProto::decode(
        std::fs::read(
            repository().join("testsuite/cases/spiking-formulas/leaky_with_a_reset_value.onnx"),
        )
        .unwrap()
        .as_slice(),
    )
    .unwrap()
    .graph
    .unwrap()
    .initializer
    .len();
    assert!(constants >= 8, "weights, bias, factors, decay, threshold, reset");
    for place in 0..constants {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let error = changed("leaky_with_a_reset_value", |m| overwrite(m, place, 0, value));
            let error = error.unwrap_err();
            let text = error.to_string();
            assert_eq!(error.exit_code(), 4, "constant {place}, {value}: {text}");
            assert!(text.contains("at index 0") || text.contains("at index ["), "{text}");
        }
    }
}

#[test]
fn a_factor_that_leaves_single_precision_is_bad_input() {
    let error = changed("scaled_before_several_times", |m| {
        let initializer = &m.graph.as_ref().unwrap().initializer;
        let scalars: Vec<usize> =
            (0..initializer.len()).filter(|&i| initializer[i].dims.is_empty()).collect();
        overwrite(m, scalars[0], 0, 3e38);
        overwrite(m, scalars[1], 0, 1e-3);
    });
    let error = error.unwrap_err();
    assert_eq!(error.exit_code(), 4, "{error}");
    assert!(error.to_string().contains("not finite"), "{error}");
}

/// Puts a node behind the input of the network, or in front of its first output.
fn insert(model: &mut ModelProto, op: &str, attributes: Vec<AttributeProto>, at: &str) {
    let graph = model.graph.as_mut().unwrap();
    for node in &mut graph.node {
        node.input.iter_mut().filter(|i| *i == at).for_each(|i| *i = "inserted".into());
    }
    let node = NodeProto {
        op_type: op.into(),
        input: vec![at.into()],
        output: vec!["inserted".into()],
        attribute: attributes,
        ..Default::default()
    };
    graph.node.insert(0, node);
}

#[test]
fn what_has_no_form_between_neurons_is_named() {
    for op in ["Sigmoid", "Abs", "Relu"] {
        let error = changed("scale_before_gemm", |m| insert(m, op, Vec::new(), "x")).unwrap_err();
        assert_eq!(error.exit_code(), 3, "{op}: {error}");
        assert!(error.to_string().contains(op), "{error}");
    }
}

#[test]
fn a_second_input_is_refused_and_not_left_silent() {
    let error = changed("offset_before_gemm", |m| {
        let graph = m.graph.as_mut().unwrap();
        let mut second = graph.input[0].clone();
        second.name = "second".into();
        graph.input.push(second);
        let node = graph.node.iter_mut().find(|n| n.op_type == "Sub").unwrap();
        node.input[1] = "second".into();
    });
    let error = error.unwrap_err();
    assert_eq!(error.exit_code(), 3, "{error}");
    assert!(error.to_string().contains("second input"), "{error}");
}
