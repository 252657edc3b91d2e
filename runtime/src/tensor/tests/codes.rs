use snnc_ir::{DType, Quantisation, TensorOp, TensorType, ThresholdRows, Thresholds, Window};

use super::*;

fn quantised((value, ty): (Value, TensorType), quantisation: &Quantisation) -> (Value, TensorType) {
    (value, ty.quantised(quantisation.clone()))
}

#[test]
fn quantise_divides_rounds_to_even_and_saturates() {
    let q = Quantisation::per_tensor(0.5, 3, 0, 15);
    let x = reals(&[6], &[0.25, 0.75, -0.25, 100.0, -100.0, f32::NAN]);
    let codes = to_integers(TensorOp::Quantise(q.clone()), &[&x], DType::U8, &[6]);
    assert_eq!(codes, [3, 5, 3, 15, 0, 3]);
    let back = integers(DType::U8, &[3], &[0, 3, 15]);
    assert_eq!(to_reals(TensorOp::Dequantise(q), &[&back], &[3]), [-1.5, 0.0, 6.0]);
}

#[test]
fn scales_follow_their_axis() {
    let mut q = Quantisation::per_axis(vec![1.0, 0.5], 1, -8, 7);
    q.zero_point = vec![0, 1];
    let x = reals(&[2, 2], &[1.0, 1.0, -20.0, 3.0]);
    let codes = to_integers(TensorOp::Quantise(q.clone()), &[&x], DType::I8, &[2, 2]);
    assert_eq!(codes, [1, 3, -8, 7]);
    let codes = integers(DType::I8, &[2, 2], &[1, 3, -8, 7]);
    let op = TensorOp::Dequantise(q.clone());
    assert_eq!(to_reals(op, &[&codes], &[2, 2]), [1.0, 1.0, -8.0, 3.0]);
    q.scale.push(1.0);
    let wrong = apply(TensorOp::Quantise(q), &[&x], TensorType::new(DType::I8, [2, 2]));
    assert!(matches!(wrong, Err(RunError::Quantisation { .. })));
}

#[test]
fn one_accumulator_is_multiplied_by_the_ratio_of_scales() {
    let acc = integers(DType::I32, &[1, 2], &[5, 16_777_217]);
    let input = Quantisation::per_axis(vec![0.3, 0.1], 1, i32::MIN.into(), i32::MAX.into());
    let output = Quantisation::per_tensor(0.7, 2, 0, 255);
    let ty = TensorType::new(DType::U8, [1, 2]).quantised(output);
    let y = apply(TensorOp::Requantise, &[&quantised(acc, &input)], ty).unwrap();
    // 5 * f32(0.3 / 0.7) = 2.14; the other saturates.
    assert_eq!(y.as_i64().unwrap(), [4, 255]);
}

#[test]
fn ties_are_rounded_before_the_zero_point_is_added() {
    let acc = integers(DType::I32, &[2], &[1, 3]);
    let input = Quantisation::per_tensor(0.5, 0, i32::MIN.into(), i32::MAX.into());
    let ty = TensorType::new(DType::I8, [2]).quantised(Quantisation::per_tensor(1.0, 1, -128, 127));
    let y = apply(TensorOp::Requantise, &[&quantised(acc, &input)], ty).unwrap();
    assert_eq!(y.as_i64().unwrap(), [1, 3], "0.5 rounds to 0 and 1.5 to 2");
}

#[test]
fn several_operands_are_summed_as_reals() {
    let a =
        quantised(integers(DType::U8, &[2], &[10, 4]), &Quantisation::per_tensor(0.5, 2, 0, 255));
    let b =
        quantised(integers(DType::I8, &[1], &[-3]), &Quantisation::per_tensor(0.25, 1, -128, 127));
    let ty = TensorType::new(DType::U8, [2]).quantised(Quantisation::per_tensor(1.0, 10, 0, 255));
    let y = apply(TensorOp::Requantise, &[&a, &b], ty.clone()).unwrap();
    // 8 * 0.5 - 4 * 0.25 = 3; 2 * 0.5 - 1 = 0.
    assert_eq!(y.as_i64().unwrap(), [13, 10]);
    let bare = integers(DType::I8, &[1], &[-3]);
    assert_eq!(apply(TensorOp::Requantise, &[&a, &bare], ty), Err(RunError::NotQuantised(1)));
}

#[test]
fn thresholds_are_counted_along_their_axis_without_the_zero_point() {
    let integers_of = |rows: Vec<Vec<i64>>| Thresholds {
        axis: 1,
        minimum: -2,
        rows: ThresholdRows::Integers(rows),
    };
    let codes = quantised(
        integers(DType::U8, &[1, 2, 2], &[10, 12, 10, 12]),
        &Quantisation::per_tensor(0.5, 10, 0, 255),
    );
    let t = TensorOp::Threshold(integers_of(vec![vec![0, 1], vec![3]]));
    assert_eq!(to_integers(t.clone(), &[&codes], DType::I8, &[1, 2, 2]), [-1, 0, -2, -2]);
    let x = reals(&[1, 2, 2], &[0.0, 1.0, 2.0, 3.0]);
    let wrong = apply(t, &[&x], TensorType::new(DType::I8, [1, 2, 2]));
    assert_eq!(wrong, Err(RunError::Mixed));
    let rows = ThresholdRows::Reals(vec![vec![1.0, 2.5]]);
    let t = TensorOp::Threshold(Thresholds { axis: 1, minimum: 0, rows });
    assert_eq!(to_integers(t, &[&x], DType::I8, &[1, 2, 2]), [0, 1, 1, 2]);
    let three = TensorOp::Threshold(integers_of(vec![vec![]; 3]));
    let wrong = apply(three, &[&codes], TensorType::new(DType::I8, [1, 2, 2]));
    assert!(matches!(wrong, Err(RunError::Quantisation { .. })));
}

#[test]
fn tables_refuse_codes_that_they_do_not_have() {
    let table = TensorOp::Lookup { minimum: -1, table: vec![7, 8, 9] };
    let codes = integers(DType::I8, &[3], &[1, -1, 0]);
    assert_eq!(to_integers(table.clone(), &[&codes], DType::I8, &[3]), [9, 7, 8]);
    for code in [-2, 2, i64::MIN, i64::MAX] {
        let beyond = integers(DType::I8, &[1], &[code]);
        let found = apply(table.clone(), &[&beyond], beyond.1.clone());
        assert_eq!(found, Err(RunError::Index { index: code, low: -1, high: 1 }));
    }
}

#[test]
fn convolution_of_codes_leaves_out_zero_points_and_pads_with_nothing() {
    let x = integers(DType::U8, &[1, 1, 3], &[10, 12, 9]);
    let x = quantised(x, &Quantisation::per_tensor(0.1, 10, 0, 255));
    let mut q = Quantisation::per_axis(vec![1.0, 1.0], 0, -8, 7);
    q.zero_point = vec![0, 1];
    let w = quantised(integers(DType::I8, &[2, 1, 3], &[1, 2, 3, 1, 2, 3]), &q);
    let b = integers(DType::I32, &[2], &[100, -100]);
    let window = Window { before: vec![1], after: vec![1], ..Window::plain(&[3]) };
    let op = TensorOp::Convolution { window, groups: 1 };
    let y = to_integers(op, &[&x, &w, &b], DType::I32, &[1, 2, 3]);
    // x - z = [0, 2, -1], w - z = [1, 2, 3] and [0, 1, 2].
    assert_eq!(y, [106, 101, 100, -96, -100, -101]);
}

#[test]
fn an_accumulator_that_overflows_is_an_error() {
    let x = integers(DType::I32, &[1, 2], &[1 << 30, 1 << 30]);
    let w = |a, b| integers(DType::I8, &[1, 2], &[a, b]);
    let dense = |w: &(Value, TensorType), dtype| {
        apply(TensorOp::Dense, &[&x, w], TensorType::new(dtype, [1, 1]))
    };
    let overflow = RunError::Accumulator { dtype: DType::I32, value: 1 << 31 };
    assert_eq!(dense(&w(1, 1), DType::I32), Err(overflow));
    assert_eq!(dense(&w(1, -1), DType::I32).unwrap().as_i64().unwrap(), [0]);
    assert_eq!(dense(&w(1, 1), DType::I64).unwrap().as_i64().unwrap(), [1 << 31]);
    let huge = integers(DType::I64, &[1, 2], &[i64::MIN, i64::MAX]);
    let beyond =
        apply(TensorOp::Dense, &[&huge, &w(127, 127)], TensorType::new(DType::I64, [1, 1]));
    assert!(matches!(beyond, Err(RunError::Accumulator { .. })));
}

#[test]
fn scores_of_several_scales_are_compared_as_reals() {
    let q = Quantisation::per_axis(vec![1.0, 0.1], 1, -128, 127);
    let x = quantised(integers(DType::I8, &[1, 2], &[3, 20]), &q);
    let y = to_integers(TensorOp::ArgMax { axis: 1 }, &[&x], DType::I64, &[1]);
    assert_eq!(y, [0], "3 is more than 2");
}
