//! Opening large models: 100 MB of weights, which should cost nothing, and 50,000 nodes.
//!
//! `cargo bench -p snnc --bench import` prints times, and below each what was allocated: `max alloc`
//! is the largest amount of memory held at once, in allocations and bytes. Weights are mapped, so
//! pages of the file that nothing reads do not count.

use std::path::PathBuf;

use bytes::Bytes;
use divan::{AllocProfiler, Bencher, black_box};
use onnx_protobuf::{
    Dimension, DimensionValue, GraphProto, Message, ModelProto, NodeProto, OperatorSetIdProto,
    TensorProto, TensorShapeProto, TensorType, TypeProto, TypeValue, ValueInfoProto,
};
use snnc::import::{ImportOptions, from_bytes, load};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

fn value(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = |&d: &i64| Dimension { value: Some(DimensionValue::Value(d)), ..Default::default() };
    let shape = TensorShapeProto { dim: dims.iter().map(dim).collect() };
    let tensor = TensorType { elem_type: 1, shape: Some(shape) };
    let ty = TypeProto { value: Some(TypeValue::Tensor(tensor)), ..Default::default() };
    ValueInfoProto { name: name.into(), r#type: Some(ty), ..Default::default() }
}

fn model(node: Vec<NodeProto>, initializer: Vec<TensorProto>, last: &str, width: i64) -> Vec<u8> {
    let graph = GraphProto {
        node,
        initializer,
        input: vec![value("x", &[1, width])],
        output: vec![value(last, &[1, width])],
        ..Default::default()
    };
    let opset = OperatorSetIdProto { domain: String::new(), version: 13 };
    let model = ModelProto {
        ir_version: 8,
        opset_import: vec![opset],
        graph: Some(graph),
        ..Default::default()
    };
    model.encode_to_vec()
}

fn node(op: &str, inputs: Vec<String>, output: String) -> NodeProto {
    let name = format!("node_{output}");
    NodeProto {
        op_type: op.into(),
        name,
        input: inputs,
        output: vec![output],
        ..Default::default()
    }
}

/// 25 dense layers of 1024 by 1024 reals.
fn heavy() -> Vec<u8> {
    let layers = 0..25;
    let weights = Bytes::from(vec![0x3c; 1024 * 1024 * 4]);
    let initialiser = |i| TensorProto {
        name: format!("w{i}"),
        data_type: 1,
        dims: vec![1024, 1024],
        raw_data: weights.clone(),
        ..Default::default()
    };
    let from = |i: i32| if i == 0 { "x".to_owned() } else { format!("y{}", i - 1) };
    let layer = |i| node("MatMul", vec![from(i), format!("w{i}")], format!("y{i}"));
    model(layers.clone().map(layer).collect(), layers.map(initialiser).collect(), "y24", 1024)
}

fn long() -> Vec<u8> {
    let from = |i: usize| if i == 0 { "x".to_owned() } else { format!("y{}", i - 1) };
    let nodes = (0..50_000).map(|i| node("Relu", vec![from(i)], format!("y{i}"))).collect();
    model(nodes, Vec::new(), "y49999", 16)
}

#[divan::bench]
fn weights_of_100_mb(bencher: Bencher) {
    let path: PathBuf =
        std::env::temp_dir().join(format!("snnc-bench-{}.onnx", std::process::id()));
    if std::fs::write(&path, heavy()).is_err() {
        return;
    }
    bencher.bench_local(|| load(black_box(&path), &ImportOptions::default()));
    let _ = std::fs::remove_file(path);
}

#[divan::bench(sample_count = 10)]
fn nodes_50_000(bencher: Bencher) {
    let bytes = Bytes::from(long());
    bencher.bench_local(|| {
        from_bytes(black_box(bytes.clone()), "long", None, &ImportOptions::default())
    });
}
