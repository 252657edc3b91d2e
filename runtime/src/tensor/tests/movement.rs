use proptest::prelude::*;
use snnc_ir::{DType, TensorOp, TensorType};

use super::*;

fn counting(shape: &[usize]) -> (Value, TensorType) {
    let elements: Vec<f32> = (0..shape.iter().product()).map(|i: usize| i as f32).collect();
    reals(shape, &elements)
}

#[test]
fn reshape_and_transpose() {
    let x = counting(&[2, 3]);
    assert_eq!(to_reals(TensorOp::Reshape, &[&x], &[3, 2]), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert!(apply(TensorOp::Reshape, &[&x], TensorType::new(DType::F32, [5])).is_err());
    let op = TensorOp::Transpose { permutation: vec![1, 0] };
    assert_eq!(to_reals(op, &[&x], &[3, 2]), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
}

#[test]
fn concatenation() {
    let (a, b) = (counting(&[2, 1]), reals(&[2, 2], &[7.0, 8.0, 9.0, 10.0]));
    let op = TensorOp::Concatenate { axis: 1 };
    assert_eq!(to_reals(op.clone(), &[&a, &b], &[2, 3]), [0.0, 7.0, 8.0, 1.0, 9.0, 10.0]);
    let codes = integers(DType::I8, &[2, 2], &[0; 4]);
    let mixed = apply(op, &[&a, &codes], TensorType::new(DType::F32, [2, 3]));
    assert_eq!(mixed, Err(RunError::Mixed));
}

#[test]
fn padding_adds_and_cuts() {
    let x = counting(&[2, 3]);
    let op = TensorOp::Pad { before: vec![1, -1], after: vec![0, 2], value: 9.0 };
    let y = to_reals(op, &[&x], &[3, 4]);
    assert_eq!(y, [9.0, 9.0, 9.0, 9.0, 1.0, 2.0, 9.0, 9.0, 4.0, 5.0, 9.0, 9.0]);
    let op = TensorOp::Pad { before: vec![3], after: vec![-5], value: -1.0 };
    let codes = integers(DType::I8, &[4], &[1, 2, 3, 4]);
    assert_eq!(to_integers(op, &[&codes], DType::I8, &[2]), [-1, -1]);
}

#[test]
fn slices_walk_both_ways() {
    let x = counting(&[2, 4]);
    let of = |start: [usize; 2], step: [isize; 2], shape: &[usize]| {
        let op = TensorOp::Slice { start: start.to_vec(), step: step.to_vec() };
        to_reals(op, &[&x], shape)
    };
    assert_eq!(of([0, 1], [1, 2], &[2, 2]), [1.0, 3.0, 5.0, 7.0]);
    assert_eq!(of([1, 3], [-1, -3], &[2, 2]), [7.0, 4.0, 3.0, 0.0]);
    assert_eq!(of([0, 3], [isize::MAX, isize::MIN], &[1, 1]), [3.0]);
    assert!(of([0, 4], [1, 1], &[2, 0]).is_empty());
}

#[test]
fn gathering_counts_back_from_the_end() {
    let x = counting(&[2, 3]);
    let indices = integers(DType::I64, &[2, 1], &[-1, 0]);
    let y = to_reals(TensorOp::Gather { axis: 1 }, &[&x, &indices], &[2, 2, 1]);
    assert_eq!(y, [2.0, 0.0, 5.0, 3.0]);
    let row = to_reals(TensorOp::Gather { axis: 0 }, &[&x, &integers(DType::I64, &[], &[1])], &[3]);
    assert_eq!(row, [3.0, 4.0, 5.0]);
    for index in [3, -4, i64::MIN] {
        let beyond = integers(DType::I64, &[], &[index]);
        let y =
            apply(TensorOp::Gather { axis: 1 }, &[&x, &beyond], TensorType::new(DType::F32, [2]));
        assert_eq!(y, Err(RunError::Index { index, low: -3, high: 2 }));
    }
}

#[test]
fn expansion_and_upsampling() {
    let x = reals(&[2, 1], &[1.0, 2.0]);
    assert_eq!(to_reals(TensorOp::Expand, &[&x], &[1, 2, 2]), [1.0, 1.0, 2.0, 2.0]);
    let x = counting(&[1, 2, 2]);
    let y = to_reals(TensorOp::Upsample { factors: vec![1, 1, 2] }, &[&x], &[1, 2, 4]);
    assert_eq!(y, [0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0]);
    let y = to_reals(TensorOp::Upsample { factors: vec![1, 2, 1] }, &[&x], &[1, 4, 2]);
    assert_eq!(y, [0.0, 1.0, 0.0, 1.0, 2.0, 3.0, 2.0, 3.0]);
}

proptest! {
    #[test]
    fn a_transposition_moves_each_element_to_its_index(
        shape in prop::collection::vec(1usize..4, 3),
        permutation in Just(vec![0usize, 1, 2]).prop_shuffle(),
    ) {
        let x = counting(&shape);
        let to: Vec<usize> = permutation.iter().map(|&p| shape[p]).collect();
        let y = to_reals(TensorOp::Transpose { permutation: permutation.clone() }, &[&x], &to);
        for (i, found) in y.iter().enumerate() {
            let index = [i / (to[1] * to[2]), i / to[2] % to[1], i % to[2]];
            let mut source = [0; 3];
            permutation.iter().zip(index).for_each(|(&p, i)| source[p] = i);
            let expected = (source[0] * shape[1] + source[1]) * shape[2] + source[2];
            prop_assert_eq!(*found, expected as f32);
        }
    }
}
