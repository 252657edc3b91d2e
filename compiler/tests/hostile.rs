//! Damaged models: whatever a file holds, import and passes give a graph or an error.
//!
//! Runs a short while by default; `SNNC_FUZZ_SECONDS=1800` runs for half an hour.

// A damaged model that brings the importer down must be seen, captured output or not.
#![allow(clippy::print_stderr)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use onnx_protobuf::{
    AttributeProto, Bytes, Dimension, DimensionValue, FunctionProto, GraphProto, Message,
    ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto,
    TensorShapeProto, TensorType, TypeProto, TypeValue, ValueInfoProto,
};
use snnc::import::{ImportOptions, from_bytes};
use snnc::passes::{Context, canonicalise, graded, quantised};
use snnc::{Error, inspect};

fn exercise(bytes: Bytes) -> Result<(), Error> {
    let imported = from_bytes(bytes, "model", None, &ImportOptions::default())?;
    let mut context = Context::default();
    let canonical = canonicalise(imported.graph, &mut context)?;
    inspect::rows(&canonical)?;
    // That a network cannot be converted is an answer; that it panics is not.
    if let Ok(codes) = quantised(canonical, &mut context) {
        let _ = graded::convert(&codes);
    }
    Ok(())
}

fn seeds() -> Vec<Vec<u8>> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/digits")];
    if std::env::var_os("SNNC_FUZZ_SECONDS").is_some() {
        let shared = std::env::var_os("SNNC_SHARED").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
            PathBuf::from,
        );
        for folder in ["cifar", "mlperf-tiny", "qonnx", "trained", "zoo"] {
            folders.push(shared.join("models").join(folder));
        }
    }
    let mut seeds = Vec::new();
    for folder in folders {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        let mut paths: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
        paths.sort();
        let models = paths.iter().filter(|p| p.extension().is_some_and(|e| e == "onnx"));
        seeds.extend(models.filter_map(|p| std::fs::read(p).ok()).filter(|b| b.len() < 300_000));
    }
    seeds
}

/// The same numbers everywhere (Knuth's MMIX constants).
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize
}

/// Damages bytes outside the weights most of the time: the nodes stand at the beginning.
fn damage(model: &mut Vec<u8>, state: &mut u64) {
    const TELLING: [u8; 8] = [0, 1, 2, 0x7f, 0x80, 0xff, 0x0a, 0x12];
    for _ in 0..1 + next(state) % 4 {
        let reach = if next(state).is_multiple_of(4) { model.len() } else { model.len().min(6000) };
        let at = next(state) % reach.max(1);
        match next(state) % 5 {
            0 => model.truncate(at),
            1 => model[at] = TELLING[next(state) % TELLING.len()],
            2 => model[at] ^= 1 << (next(state) % 8),
            3 => {
                let end = (at + next(state) % 64).min(model.len());
                model.drain(at..end);
            }
            _ => {
                let from = next(state) % model.len();
                let end = (from + next(state) % 64).min(model.len());
                let copy = model[from..end].to_vec();
                model.splice(at..at, copy);
            }
        }
        if model.is_empty() {
            return;
        }
    }
}

#[test]
fn damaged_models_never_panic() {
    let seeds = seeds();
    if seeds.is_empty() {
        return;
    }
    let seconds = std::env::var("SNNC_FUZZ_SECONDS").ok().and_then(|s| s.parse().ok());
    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(8));
    let (mut state, mut imported, mut refused) = (1u64, 0u64, 0u64);
    while Instant::now() < end {
        let mut model = seeds[next(&mut state) % seeds.len()].clone();
        damage(&mut model, &mut state);
        let copy = model.clone();
        let result = std::panic::catch_unwind(|| exercise(model.into()));
        match result {
            Ok(Ok(())) => imported += 1,
            Ok(Err(_)) => refused += 1,
            Err(panic) => {
                let path = std::env::temp_dir().join("snnc-panics.onnx");
                let _ = std::fs::write(&path, copy);
                eprintln!("the model that panics is {}", path.display());
                std::panic::resume_unwind(panic);
            }
        }
    }
    eprintln!("{imported} damaged models imported, {refused} refused");
    assert!(refused > 0);
}

fn value(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = |&d: &i64| Dimension { value: Some(DimensionValue::Value(d)), ..Default::default() };
    let shape = TensorShapeProto { dim: dims.iter().map(dim).collect() };
    let tensor = TensorType { elem_type: 1, shape: Some(shape) };
    let ty = TypeProto { value: Some(TypeValue::Tensor(tensor)), ..Default::default() };
    ValueInfoProto { name: name.into(), r#type: Some(ty), ..Default::default() }
}

fn node(op: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    NodeProto {
        op_type: op.into(),
        name: format!("{op}_{}", outputs.first().unwrap_or(&"")),
        input: inputs.iter().map(|s| s.to_string()).collect(),
        output: outputs.iter().map(|s| s.to_string()).collect(),
        ..Default::default()
    }
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: 7, ints: values.to_vec(), ..Default::default() }
}

fn model(nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> ModelProto {
    ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 13 }],
        graph: Some(GraphProto {
            node: nodes,
            initializer,
            input: vec![value("x", &[1, 3, 8, 8])],
            output: vec![value("y", &[])]
                .into_iter()
                .map(|mut v| {
                    v.r#type = None;
                    v
                })
                .collect(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn refusal(model: &ModelProto) -> Error {
    exercise(model.encode_to_vec().into()).unwrap_err()
}

fn floats(name: &str, dims: &[i64], values: usize) -> TensorProto {
    TensorProto {
        name: name.into(),
        data_type: 1,
        dims: dims.to_vec(),
        float_data: vec![0.5; values],
        ..Default::default()
    }
}

#[test]
fn contradictions_are_named() {
    let relu = || node("Relu", &["x"], &["y"]);
    let long = |dims: &[i64]| TensorProto {
        name: "s".into(),
        data_type: 7,
        dims: vec![dims.len() as i64],
        int64_data: dims.to_vec(),
        ..Default::default()
    };
    let mut lying = model(vec![relu()], vec![]);
    if let Some(graph) = &mut lying.graph {
        graph.output = vec![value("y", &[1, 3, 8, 9])];
    }
    let mut two_inputs = model(vec![relu()], vec![]);
    if let Some(graph) = &mut two_inputs.graph {
        graph.input.push(value("x", &[1]));
    }
    let mut huge_input = model(vec![relu()], vec![]);
    if let Some(graph) = &mut huge_input.graph {
        graph.input = vec![value("x", &[i64::MAX, i64::MAX])];
    }
    let outside = TensorProto {
        name: "w".into(),
        data_type: 1,
        dims: vec![1],
        data_location: 1,
        external_data: vec![StringStringEntryProto {
            key: "location".into(),
            value: "../../etc/passwd".into(),
        }],
        ..Default::default()
    };
    let wide = || NodeProto {
        attribute: vec![ints("pads", &[i64::MAX; 4])],
        ..node("Conv", &["x", "w"], &["y"])
    };
    for (model, part) in [
        (lying, "states the shape"),
        (two_inputs, "two inputs"),
        (huge_input, "not possible"),
        (model(vec![relu(), relu()], vec![]), "made twice"),
        (model(vec![node("Relu", &["z"], &["y"])], vec![]), "nothing before makes it"),
        (
            model(vec![node("Relu", &["b"], &["a"]), node("Relu", &["a"], &["b"])], vec![]),
            "nothing before makes it",
        ),
        (model(vec![node("Relu", &[], &["y"])], vec![]), "operand 0 is missing"),
        (model(vec![node("Add", &["x", "w"], &["y"])], vec![floats("w", &[7], 7)]), "broadcast"),
        (model(vec![node("Add", &["x", "w"], &["y"])], vec![floats("w", &[7], 3)]), "bytes"),
        (
            model(vec![node("Add", &["x", "w"], &["y"])], vec![floats("w", &[-1], 3)]),
            "not possible",
        ),
        (
            model(vec![node("Reshape", &["x", "s"], &["y"])], vec![long(&[i64::MAX, i64::MAX])]),
            "cannot be reshaped",
        ),
        (
            model(vec![node("Expand", &["x", "s"], &["y"])], vec![long(&[1 << 40, 3, 8, 8])]),
            "not possible",
        ),
        (
            model(vec![node("Add", &["x", "w"], &["y"])], vec![outside]),
            "the model's folder is not known",
        ),
        (model(vec![wide()], vec![floats("w", &[1, 3, 1, 1], 3)]), "`pads` holds"),
    ] {
        let error = refusal(&model);
        assert_eq!(error.exit_code(), 4, "{error}");
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
}

#[test]
fn a_constant_that_would_fill_memory_is_refused() {
    let shape = TensorProto {
        name: "s".into(),
        data_type: 7,
        dims: vec![2],
        int64_data: vec![1 << 16, 1 << 16],
        ..Default::default()
    };
    let error = refusal(&model(vec![node("ConstantOfShape", &["s"], &["y"])], vec![shape]));
    assert_eq!(error.exit_code(), 3);
    assert!(error.to_string().contains("too much memory"), "{error}");
}

/// Each function calls the next one twice: 2^40 nodes from a file of a few kilobytes.
#[test]
fn functions_do_not_expand_without_end() {
    let call = |name: &str, from: &str, to: &str| NodeProto {
        domain: "local".into(),
        ..node(name, &[from], &[to])
    };
    let function = |i: usize, last: bool| {
        let next = format!("f{}", i + 1);
        let body = if last {
            vec![node("Relu", &["a"], &["b"])]
        } else {
            vec![call(&next, "a", "m"), call(&next, "m", "b")]
        };
        FunctionProto {
            name: format!("f{i}"),
            domain: "local".into(),
            input: vec!["a".into()],
            output: vec!["b".into()],
            node: body,
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 13 }],
            ..Default::default()
        }
    };
    let mut bomb = model(vec![call("f0", "x", "y")], vec![]);
    bomb.functions = (0..=3).map(|i| function(i, i == 3)).collect();
    exercise(bomb.encode_to_vec().into()).expect("8 ReLUs");
    bomb.functions = vec![FunctionProto { node: vec![call("f0", "a", "b")], ..function(0, false) }];
    let error = refusal(&bomb);
    assert!(error.to_string().contains("without end"), "{error}");
    bomb.functions = (0..=28).map(|i| function(i, i == 28)).collect();
    let error = refusal(&bomb);
    assert!(error.to_string().contains("too many nodes"), "{error}");
}

#[test]
fn all_that_cannot_be_imported_is_named_at_once() {
    let nodes = vec![
        node("LSTM", &["x"], &["a"]),
        node("Relu", &["a"], &["b"]),
        node("If", &["b"], &["c"]),
        NodeProto { domain: "private".into(), ..node("Neuron", &["c"], &["y"]) },
    ];
    let error = refusal(&model(nodes, vec![]));
    assert_eq!(error.exit_code(), 3);
    let places: Vec<&str> = error.problems().iter().map(|p| p.place.as_str()).collect();
    assert_eq!(places, ["LSTM `LSTM_a`", "If `If_c`", "Neuron `Neuron_y`"]);
    assert!(error.problems().iter().all(|p| !p.remedy.is_empty()));
}
