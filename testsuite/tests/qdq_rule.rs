//! Random quantised convolutions, imported from QDQ form and brought to integer codes, against the
//! rule of ONNX Runtime's integer kernels, computed here by loops that share nothing with the
//! interpreter:
//!
//! `y = clamp(RNE(f32(acc) * f32(f32(s_x * s_w) / s_y)) + z_y)`, `acc` over cells of which those in
//! the padding are the zero point.

use onnx_protobuf::{
    AttributeProto, AttributeType, Bytes, DataType, Dimension, DimensionValue, GraphProto, Message,
    ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TensorType,
    TypeProto, TypeValue, ValueInfoProto,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use snnc::passes::{self, Context};
use snnc_runtime::tensor::{Program, Value};

const MAP: usize = 11;

/// One random convolution with 3x3 kernels.
#[derive(Clone, Debug)]
struct Case {
    channels: usize,
    filters: usize,
    groups: usize,
    stride: usize,
    /// Cells of padding before and after, rows and columns.
    pads: [usize; 4],
    relu: bool,
    zero: [u8; 2],
    scale: [f32; 2],
    weight_scale: Vec<f32>,
    weights: Vec<i8>,
    bias: Vec<i32>,
    x: Vec<f32>,
}

fn case() -> impl Strategy<Value = Case> {
    let grouping =
        prop_oneof![Just((3usize, 8usize, 1usize)), Just((16, 16, 16)), Just((8, 12, 4))];
    (grouping, 1usize..=2, prop::array::uniform4(0usize..=2), any::<bool>()).prop_flat_map(
        |((channels, filters, groups), stride, pads, relu)| {
            (
                (prop::sample::select(vec![0u8, 13, 128]), prop::sample::select(vec![0u8, 7, 128])),
                (0.001f32..0.1, 0.01f32..0.5),
                prop::collection::vec(0.0005f32..0.02, filters),
                prop::collection::vec(any::<i8>(), filters * channels / groups * 9),
                prop::collection::vec(-2000i32..2000, filters),
                prop::collection::vec(-4f32..4.0, channels * MAP * MAP),
            )
                .prop_map(
                    move |((zx, zy), (sx, sy), weight_scale, weights, bias, x)| Case {
                        channels,
                        filters,
                        groups,
                        stride,
                        pads,
                        relu,
                        zero: [zx, zy],
                        scale: [sx, sy],
                        weight_scale,
                        weights,
                        bias,
                        x,
                    },
                )
        },
    )
}

impl Case {
    fn outputs(&self) -> [usize; 2] {
        let [top, left, bottom, right] = self.pads;
        [top + bottom, left + right].map(|pad| (MAP + pad - 3) / self.stride + 1)
    }

    /// What the rule gives, dequantised.
    fn expected(&self) -> Vec<f32> {
        let [sx, sy] = self.scale;
        let [zx, zy] = self.zero.map(i64::from);
        let code = |x: f32| ((x / sx).round_ties_even() as i64 + zx).clamp(0, 255);
        let inner = self.channels / self.groups;
        let [rows, columns] = self.outputs();
        let mut y = Vec::new();
        for f in 0..self.filters {
            let group = f / (self.filters / self.groups);
            for (row, column) in (0..rows).flat_map(|r| (0..columns).map(move |c| (r, c))) {
                let mut acc = i64::from(self.bias[f]);
                for (c, i, j) in (0..inner).flat_map(|c| (0..9).map(move |k| (c, k / 3, k % 3))) {
                    let at = |window: usize, k: usize, pad: usize| {
                        (window * self.stride + k).checked_sub(pad).filter(|&p| p < MAP)
                    };
                    let cells = (at(row, i, self.pads[0]), at(column, j, self.pads[1]));
                    let (Some(y), Some(x)) = cells else { continue };
                    let value = self.x[((group * inner + c) * MAP + y) * MAP + x];
                    let weight = self.weights[(f * inner + c) * 9 + i * 3 + j];
                    acc += i64::from(weight) * (code(value) - zx);
                }
                let multiplier = (sx * self.weight_scale[f]) / sy;
                let level = (acc as f32 * multiplier).round_ties_even() as i64 + zy;
                let lowest = if self.relu { zy } else { 0 };
                y.push((level.clamp(lowest, 255) - zy) as f32 * sy);
            }
        }
        y
    }

    /// The same as an ONNX model in QDQ form.
    fn model(&self) -> ModelProto {
        let [sx, sy] = self.scale;
        let bias_scale: Vec<f32> = self.weight_scale.iter().map(|w| sx * w).collect();
        let inner = self.channels / self.groups;
        let weights = self.weights.iter().map(|&w| w as u8).collect();
        let bias = self.bias.iter().flat_map(|b| b.to_le_bytes()).collect();
        let initializer = vec![
            reals("sx", &[], &[sx]),
            tensor("zx", DataType::Uint8, &[], vec![self.zero[0]]),
            reals("sy", &[], &[sy]),
            tensor("zy", DataType::Uint8, &[], vec![self.zero[1]]),
            reals("sw", &[self.filters], &self.weight_scale),
            tensor("w", DataType::Int8, &[self.filters, inner, 3, 3], weights),
            reals("sb", &[self.filters], &bias_scale),
            tensor("b", DataType::Int32, &[self.filters], bias),
        ];
        let pads = self.pads.map(|p| p as i64);
        let convolution = [
            ints("kernel_shape", &[3, 3]),
            ints("strides", &[self.stride as i64; 2]),
            ints("pads", &pads),
            int("group", self.groups as i64),
        ];
        let last = if self.relu { "relu" } else { "conv" };
        let mut node = vec![
            operator("QuantizeLinear", &["x", "sx", "zx"], "xq", &[]),
            operator("DequantizeLinear", &["xq", "sx", "zx"], "xr", &[]),
            operator("DequantizeLinear", &["w", "sw"], "wr", &[int("axis", 0)]),
            operator("DequantizeLinear", &["b", "sb"], "br", &[int("axis", 0)]),
            operator("Conv", &["xr", "wr", "br"], "conv", &convolution),
            operator("QuantizeLinear", &[last, "sy", "zy"], "yq", &[]),
            operator("DequantizeLinear", &["yq", "sy", "zy"], "y", &[]),
        ];
        if self.relu {
            node.insert(5, operator("Relu", &["conv"], "relu", &[]));
        }
        let [rows, columns] = self.outputs();
        let graph = GraphProto {
            name: "case".into(),
            node,
            initializer,
            input: vec![value("x", &[1, self.channels, MAP, MAP])],
            output: vec![value("y", &[1, self.filters, rows, columns])],
            ..Default::default()
        };
        let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 13 }];
        ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..Default::default() }
    }

    /// What the quantised network computes, with the number of its requantisers.
    fn computed(&self) -> (Vec<f32>, usize) {
        let bytes = Bytes::from(self.model().encode_to_vec());
        let imported = snnc::import::from_bytes(bytes, "case", None, &Default::default()).unwrap();
        let mut context = Context::default();
        let graph = passes::canonicalise(imported.graph, &mut context).unwrap();
        let graph = passes::quantised(graph, &mut context).unwrap();
        let requantise = snnc_ir::Op::Tensor(snnc_ir::TensorOp::Requantise);
        let requantisers = graph.ids().filter(|&id| graph[id].op == requantise).count();
        let x = Value::from_f32(&[1, self.channels, MAP, MAP], self.x.clone()).unwrap();
        let outcome = Program::new(&graph).unwrap().run(&[x]).unwrap();
        (outcome.first().unwrap().to_f32(), requantisers)
    }
}

fn tensor(name: &str, kind: DataType, shape: &[usize], bytes: Vec<u8>) -> TensorProto {
    TensorProto {
        name: name.into(),
        data_type: kind as i32,
        dims: shape.iter().map(|&d| d as i64).collect(),
        raw_data: bytes.into(),
        ..Default::default()
    }
}

fn reals(name: &str, shape: &[usize], values: &[f32]) -> TensorProto {
    let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    tensor(name, DataType::Float, shape, bytes)
}

fn int(name: &str, i: i64) -> AttributeProto {
    let r#type = AttributeType::Int as i32;
    AttributeProto { name: name.into(), i, r#type, ..Default::default() }
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    let (ints, r#type) = (values.to_vec(), AttributeType::Ints as i32);
    AttributeProto { name: name.into(), ints, r#type, ..Default::default() }
}

fn operator(op: &str, inputs: &[&str], output: &str, attributes: &[AttributeProto]) -> NodeProto {
    NodeProto {
        op_type: op.into(),
        input: inputs.iter().map(|&i| i.to_owned()).collect(),
        output: vec![output.into()],
        attribute: attributes.to_vec(),
        ..Default::default()
    }
}

fn value(name: &str, shape: &[usize]) -> ValueInfoProto {
    let dim = |&d: &usize| Dimension {
        value: Some(DimensionValue::Value(d as i64)),
        ..Default::default()
    };
    let shape = Some(TensorShapeProto { dim: shape.iter().map(dim).collect() });
    let tensor = TensorType { elem_type: DataType::Float as i32, shape };
    let ty = TypeProto { value: Some(TypeValue::Tensor(tensor)), ..Default::default() };
    ValueInfoProto { name: name.into(), r#type: Some(ty), ..Default::default() }
}

/// 24 cases, always the same ones.
#[test]
fn convolutions_follow_the_rule_bit_for_bit() {
    let config = Config { cases: 24, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let seen = std::cell::RefCell::new((0, [false; 4], 0, 0));
    let mut runner = TestRunner::new_with_rng(config, rng);
    let result = runner.run(&case(), |case| {
        let (found, requantisers) = case.computed();
        prop_assert_eq!(requantisers, 1, "the convolution runs on codes");
        let expected = case.expected();
        prop_assert_eq!(&found, &expected);
        let mut seen = seen.borrow_mut();
        seen.0 += 1;
        let kinds = [case.groups > 1, case.stride > 1, case.relu, case.zero[0] > 0];
        kinds.iter().zip(&mut seen.1).for_each(|(now, ever)| *ever |= now);
        seen.2 += expected.len();
        let inside = |y: &&f32| {
            let code = **y / case.scale[1] + f32::from(case.zero[1]);
            code > 0.5 && code < 254.5 && **y != 0.0
        };
        seen.3 += expected.iter().filter(inside).count();
        Ok(())
    });
    result.unwrap();
    let (cases, kinds, activations, inside) = seen.into_inner();
    assert_eq!((cases, kinds), (24, [true; 4]), "every kind occurs");
    assert!(inside * 5 > activations, "{inside} of {activations} are not saturated");
}
