//! Programs with packed weights against the operators as they read.

use proptest::prelude::*;
use snnc_ir::{DType, Graph, Node, Op, Quantisation, Stage, Tensor, TensorOp, TensorType, Window};

use crate::kernels::Kernels;
use crate::tensor::{Program, Value};

/// Numbers of which a seed decides.
fn numbers(seed: u32) -> impl FnMut() -> i64 {
    let mut state = seed | 1;
    move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        i64::from(state >> 8)
    }
}

/// One layer on reals, or on codes of which the input's zero point is 3.
fn layer(op: TensorOp, x: &[usize], w: &[usize], y: &[usize], kind: Kind, seed: u32) -> Graph {
    let mut next = numbers(seed);
    let mut graph = Graph::new("layer", Stage::Tensor);
    let count = |shape: &[usize]| shape.iter().product::<usize>();
    let (element, sum) = match kind {
        Kind::Reals => (DType::F32, DType::F32),
        Kind::Codes { .. } => (DType::I16, DType::I64),
    };
    let mut input = TensorType::new(element, x);
    if let Kind::Codes { .. } = kind {
        input.quantisation = Some(Quantisation::per_tensor(0.5, 3, -30_000, 30_000));
    }
    let mut constant = |name: &str, shape: &[usize]| {
        let values: Vec<i64> = (0..count(shape)).map(|_| next() % 201 - 100).collect();
        let tensor = match kind {
            Kind::Reals => {
                let reals: Vec<f32> = values.iter().map(|&v| v as f32 / 7.0).collect();
                Tensor::from_f32(shape, &reals)
            }
            Kind::Codes { .. } => Tensor::from_i64(DType::I64, shape, &values),
        };
        Node::constant(name, tensor)
    };
    let (weights, bias) = (constant("w", w), constant("b", &y[1..2]));
    let x = graph.add(Node::tensor("x", TensorOp::Input, input), &[]);
    let (w, b) = (graph.add(weights, &[]), graph.add(bias, &[]));
    let ty = TensorType::new(sum, y);
    let layer = graph.add(Node::tensor("layer", op, ty.clone()), &[x, w, b]);
    graph.add(Node::tensor("y", TensorOp::Output, ty), &[layer]);
    graph
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Reals,
    /// Codes up to this magnitude.
    Codes {
        largest: i64,
    },
}

/// The result by each kernels must be that of the scalar twin, bit for bit.
fn same(graph: &Graph, x: &[usize], kind: Kind, seed: u32) -> Result<(), TestCaseError> {
    let mut next = numbers(seed ^ 0x5555);
    let count: usize = x.iter().product();
    let value = match kind {
        Kind::Reals => {
            Value::from_f32(x, (0..count).map(|_| (next() % 2001 - 1000) as f32 / 3.0).collect())
        }
        Kind::Codes { largest } => {
            Value::from_i64(x, (0..count).map(|_| next() % (2 * largest + 1) - largest).collect())
        }
    };
    let value = value.unwrap();
    let by = |kernels| {
        let program = Program::with_kernels(graph, kernels).unwrap();
        let outcome = program.run(std::slice::from_ref(&value)).unwrap();
        let value = outcome.first().unwrap().clone();
        let bits: Option<Vec<u32>> =
            value.as_f32().map(|reals| reals.iter().map(|r| r.to_bits()).collect());
        (bits, value.as_i64().map(<[i64]>::to_vec))
    };
    let slow = by(Kernels::Scalar);
    for kernels in Kernels::ALL {
        prop_assert_eq!(&by(kernels), &slow, "{}", kernels.name());
    }
    Ok(())
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Reals),
        Just(Kind::Codes { largest: 100 }),
        // Beyond what 32 bits are sure to hold.
        Just(Kind::Codes { largest: 30_000 }),
    ]
}

proptest! {
    #[test]
    fn convolutions_keep_every_bit(
        (groups, channels, filters, batch) in (1usize..3, 1usize..4, 1usize..20, 1usize..3),
        (height, width, kernel, stride) in (1usize..8, 1usize..8, 1usize..4, 1usize..3),
        (before, after, dilation) in (0usize..3, 0usize..3, 1usize..3),
        kind in kinds(), seed in any::<u32>(),
    ) {
        let reach = (kernel - 1) * dilation + 1;
        let extent = |n: usize| Some((n + before + after).checked_sub(reach)? / stride + 1);
        let (Some(h), Some(v)) = (extent(height), extent(width)) else { return Ok(()) };
        let window = Window {
            strides: vec![stride; 2],
            dilations: vec![dilation; 2],
            before: vec![before; 2],
            after: vec![after; 2],
            ..Window::plain(&[kernel, kernel])
        };
        let x = [batch, groups * channels, height, width];
        let (w, y) = ([groups * filters, channels, kernel, kernel], [batch, groups * filters, h, v]);
        let graph = layer(TensorOp::Convolution { window, groups }, &x, &w, &y, kind, seed);
        same(&graph, &x, kind, seed)?;
    }

    #[test]
    fn dense_layers_keep_every_bit(
        (batch, inputs, outputs) in (1usize..4, 1usize..60, 1usize..40),
        kind in kinds(), seed in any::<u32>(),
    ) {
        let x = [batch, inputs];
        let graph = layer(TensorOp::Dense, &x, &[outputs, inputs], &[batch, outputs], kind, seed);
        same(&graph, &x, kind, seed)?;
    }

    #[test]
    fn codes_are_rescaled_as_the_definition_reads(
        seed in any::<u32>(), (zero_in, zero_out) in (-9i64..9, 0i64..15), channels in 1usize..5,
    ) {
        let mut next = numbers(seed);
        let scale: Vec<f32> = (0..channels).map(|_| (next() % 97 + 1) as f32 * 1e-3).collect();
        let mut from = Quantisation::per_axis(scale, 1, -100_000, 100_000);
        from.zero_point = vec![zero_in; channels];
        let to = Quantisation::per_tensor((next() % 50 + 1) as f32 * 0.01, zero_out, 0, 15);
        let mut input = TensorType::new(DType::I32, [1, channels, 9]);
        input.quantisation = Some(from.clone());
        let mut ty = TensorType::new(DType::U8, [1, channels, 9]);
        ty.quantisation = Some(to.clone());
        let mut graph = Graph::new("rescaled", Stage::Quantised);
        let x = graph.add(Node::tensor("x", TensorOp::Input, input), &[]);
        let z = graph.add(Node::tensor("z", TensorOp::Requantise, ty.clone()), &[x]);
        graph.add(Node::tensor("y", TensorOp::Output, ty), &[z]);
        prop_assert!(matches!(graph[z].op, Op::Tensor(TensorOp::Requantise)));
        let codes: Vec<i64> = (0..channels * 9).map(|_| next() % 4001 - 2000).collect();
        let value = Value::from_i64(&[1, channels, 9], codes.clone()).unwrap();
        let outcome = Program::new(&graph).unwrap().run(&[value]).unwrap();
        let wanted: Vec<i64> = codes.iter().enumerate().map(|(i, code)| {
            let real = (code - zero_in) as f32 * (from.scale_at(i / 9) / to.scale_at(0));
            (real.round_ties_even() as i64 + zero_out).clamp(0, 15)
        }).collect();
        prop_assert_eq!(outcome.first().unwrap().as_i64().unwrap(), wanted);
    }
}

#[test]
fn weights_that_are_not_finite_are_left_to_the_operators() {
    // A padding that is left out is not a zero times infinity.
    let mut graph = Graph::new("infinite", Stage::Tensor);
    let window = Window { before: vec![1], after: vec![1], ..Window::plain(&[3]) };
    let ty = TensorType::new(DType::F32, [1, 1, 1]);
    let x = graph.add(Node::tensor("x", TensorOp::Input, ty.clone()), &[]);
    let w = Tensor::from_f32(&[1, 1, 3], &[f32::INFINITY, 2.0, f32::NAN]);
    let w = graph.add(Node::constant("w", w), &[]);
    let op = TensorOp::Convolution { window, groups: 1 };
    let y = graph.add(Node::tensor("c", op, ty.clone()), &[x, w]);
    graph.add(Node::tensor("y", TensorOp::Output, ty), &[y]);
    for kernels in Kernels::ALL {
        let value = Value::from_f32(&[1, 1, 1], vec![3.0]).unwrap();
        let outcome = Program::with_kernels(&graph, kernels).unwrap().run(&[value]).unwrap();
        assert_eq!(outcome.first().unwrap().as_f32().unwrap(), [6.0]);
    }
}
