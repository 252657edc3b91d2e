//! How long the operators of the interpreter take: the convolutions and dense layers of the small
//! networks that it is used on, on reals and on codes.
//!
//! `cargo bench -p snnc-runtime` prints time and products a second.

use divan::Bencher;
use divan::counter::ItemsCount;
use snnc_ir::{DType, Pool, PoolKind, TensorOp, TensorType, Window};
use snnc_runtime::tensor::{Value, evaluate};

fn main() {
    divan::main();
}

fn operand(dtype: DType, shape: &[usize]) -> (Value, TensorType) {
    let n: usize = shape.iter().product();
    let codes = (0..n as i64).map(|i| i * 37 % 15 - 7);
    let value = if dtype.is_float() {
        Value::from_f32(shape, codes.map(|c| c as f32).collect())
    } else {
        Value::from_i64(shape, codes.collect())
    };
    (value.unwrap_or_else(|e| panic!("{e}")), TensorType::new(dtype, shape))
}

fn run(
    bencher: Bencher,
    op: TensorOp,
    operands: &[(Value, TensorType)],
    ty: TensorType,
    work: usize,
) {
    let operands: Vec<_> = operands.iter().map(|(value, ty)| (value, ty)).collect();
    bencher.counter(ItemsCount::new(work)).bench(|| evaluate(&op, &operands, &ty));
}

/// (channels, filters, map, stride) of 3x3 convolutions.
const CONVOLUTIONS: [(usize, usize, usize, usize); 4] =
    [(16, 16, 32, 1), (32, 32, 16, 1), (64, 64, 8, 1), (16, 32, 32, 2)];

fn convolution(
    bencher: Bencher,
    (channels, filters, map, stride): (usize, usize, usize, usize),
    [element, sum]: [DType; 2],
) {
    let window = Window {
        strides: vec![stride; 2],
        before: vec![1; 2],
        after: vec![1; 2],
        ..Window::plain(&[3, 3])
    };
    let out = (map - 1) / stride + 1;
    let operands =
        [operand(element, &[1, channels, map, map]), operand(element, &[filters, channels, 3, 3])];
    let op = TensorOp::Convolution { window, groups: 1 };
    let ty = TensorType::new(sum, [1, filters, out, out]);
    run(bencher, op, &operands, ty, out * out * filters * channels * 9);
}

#[divan::bench(args = CONVOLUTIONS)]
fn convolution_of_reals(bencher: Bencher, shape: (usize, usize, usize, usize)) {
    convolution(bencher, shape, [DType::F32, DType::F32]);
}

#[divan::bench(args = CONVOLUTIONS)]
fn convolution_of_codes(bencher: Bencher, shape: (usize, usize, usize, usize)) {
    convolution(bencher, shape, [DType::I8, DType::I32]);
}

fn dense(bencher: Bencher, [element, sum]: [DType; 2]) {
    let operands = [operand(element, &[1, 784]), operand(element, &[256, 784])];
    run(bencher, TensorOp::Dense, &operands, TensorType::new(sum, [1, 256]), 784 * 256);
}

#[divan::bench]
fn dense_layer_of_reals(bencher: Bencher) {
    dense(bencher, [DType::F32, DType::F32]);
}

#[divan::bench]
fn dense_layer_of_codes(bencher: Bencher) {
    dense(bencher, [DType::I8, DType::I32]);
}

#[divan::bench]
fn max_pool(bencher: Bencher) {
    let window = Window { strides: vec![2; 2], ..Window::plain(&[2, 2]) };
    let op = TensorOp::Pool(Pool::new(PoolKind::Max, window));
    let operands = [operand(DType::I8, &[1, 32, 28, 28])];
    let ty = TensorType::new(DType::I8, [1, 32, 14, 14]);
    run(bencher, op, &operands, ty, 32 * 28 * 28);
}
