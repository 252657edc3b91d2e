//! Opening large models: 100 MB of weights, which should cost nothing, and 50,000 nodes.
//!
//! `cargo bench -p snnc --bench import` prints times, and below each what was allocated: `max alloc`
//! is the largest amount of memory held at once, in allocations and bytes. Weights are mapped, so
//! pages of the file that nothing reads do not count.

use std::path::PathBuf;

use bytes::Bytes;
use divan::{AllocProfiler, Bencher, black_box};
use onnx_protobuf::{
    AttributeProto, AttributeType, Dimension, DimensionValue, GraphProto, Message, ModelProto,
    NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TensorType, TypeProto, TypeValue,
    ValueInfoProto,
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

fn model(
    node: Vec<NodeProto>,
    initializer: Vec<TensorProto>,
    input: ValueInfoProto,
    output: ValueInfoProto,
) -> Vec<u8> {
    let graph = GraphProto {
        node,
        initializer,
        input: vec![input],
        output: vec![output],
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
    let (input, output) = (value("x", &[1, 1024]), value("y24", &[1, 1024]));
    model(layers.clone().map(layer).collect(), layers.map(initialiser).collect(), input, output)
}

/// A network node by node.
#[derive(Default)]
struct Builder {
    nodes: Vec<NodeProto>,
    weights: Vec<TensorProto>,
}

impl Builder {
    fn weight(&mut self, name: String, dims: Vec<i64>) {
        let bytes = dims.iter().product::<i64>() as usize * 4;
        let raw_data = Bytes::from(vec![0x3c; bytes]);
        let tensor = TensorProto { name, data_type: 1, dims, raw_data, ..Default::default() };
        self.weights.push(tensor);
    }

    fn add(&mut self, op: &str, inputs: &[&str], attributes: &[(&str, Vec<i64>)]) -> String {
        let inputs = inputs.iter().map(|i| (*i).to_owned()).collect();
        let mut node = node(op, inputs, format!("t{}", self.nodes.len()));
        for (name, ints) in attributes {
            let ints = ints.clone();
            let name = (*name).to_owned();
            let r#type = AttributeType::Ints as i32;
            node.attribute.push(AttributeProto { name, ints, r#type, ..Default::default() });
        }
        let output = node.output[0].clone();
        self.nodes.push(node);
        output
    }

    fn convolution(&mut self, x: &str, [from, to, kernel, stride]: [i64; 4]) -> String {
        let (w, b) = (format!("w{}", self.nodes.len()), format!("b{}", self.nodes.len()));
        self.weight(w.clone(), vec![to, from, kernel, kernel]);
        self.weight(b.clone(), vec![to]);
        let around = [("strides", vec![stride; 2]), ("pads", vec![kernel / 2; 4])];
        self.add("Conv", &[x, &w, &b], &around)
    }

    /// 1x1, 3x3, 1x1, and what goes past them.
    fn bottleneck(&mut self, x: &str, [from, inner, to, stride]: [i64; 4]) -> String {
        let mut y = self.convolution(x, [from, inner, 1, 1]);
        y = self.add("Relu", &[&y], &[]);
        y = self.convolution(&y, [inner, inner, 3, stride]);
        y = self.add("Relu", &[&y], &[]);
        y = self.convolution(&y, [inner, to, 1, 1]);
        let past =
            if from == to { x.to_owned() } else { self.convolution(x, [from, to, 1, stride]) };
        let sum = self.add("Add", &[&y, &past], &[]);
        self.add("Relu", &[&sum], &[])
    }
}

/// ResNet-50 with its batch norms folded: 122 nodes, 102 MB, no shapes but that of the input.
fn resnet_50() -> Vec<u8> {
    let mut net = Builder::default();
    let mut x = net.convolution("x", [3, 64, 7, 2]);
    x = net.add("Relu", &[&x], &[]);
    let window = [("kernel_shape", vec![3, 3]), ("strides", vec![2, 2]), ("pads", vec![1; 4])];
    x = net.add("MaxPool", &[&x], &window);
    let mut from = 64;
    for (stage, (inner, blocks)) in [(64, 3), (128, 4), (256, 6), (512, 3)].into_iter().enumerate()
    {
        for block in 0..blocks {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            x = net.bottleneck(&x, [from, inner, 4 * inner, stride]);
            from = 4 * inner;
        }
    }
    x = net.add("GlobalAveragePool", &[&x], &[]);
    x = net.add("Flatten", &[&x], &[]);
    net.weight("w".into(), vec![2048, 1000]);
    net.weight("b".into(), vec![1000]);
    let scores = net.add("Gemm", &[&x, "w", "b"], &[]);
    let (input, output) = (value("x", &[1, 3, 224, 224]), value(&scores, &[1, 1000]));
    model(net.nodes, net.weights, input, output)
}

fn long() -> Vec<u8> {
    let from = |i: usize| if i == 0 { "x".to_owned() } else { format!("y{}", i - 1) };
    let nodes = (0..50_000).map(|i| node("Relu", vec![from(i)], format!("y{i}"))).collect();
    model(nodes, Vec::new(), value("x", &[1, 16]), value("y49999", &[1, 16]))
}

/// Load, parse and shape inference of a file.
fn file(bencher: Bencher, name: &str, bytes: &[u8]) {
    let name = format!("snnc-bench-{name}-{}.onnx", std::process::id());
    let path: PathBuf = std::env::temp_dir().join(name);
    if std::fs::write(&path, bytes).is_err() {
        return;
    }
    bencher.bench_local(|| {
        load(black_box(&path), &ImportOptions::default()).unwrap_or_else(|e| panic!("{e}"))
    });
    let _ = std::fs::remove_file(path);
}

#[divan::bench]
fn weights_of_100_mb(bencher: Bencher) {
    file(bencher, "heavy", &heavy());
}

#[divan::bench]
fn resnet_50_of_102_mb(bencher: Bencher) {
    file(bencher, "resnet-50", &resnet_50());
}

#[divan::bench(sample_count = 10)]
fn nodes_50_000(bencher: Bencher) {
    let bytes = Bytes::from(long());
    bencher.bench_local(|| {
        from_bytes(black_box(bytes.clone()), "long", None, &ImportOptions::default())
    });
}
