use std::f32::consts::LN_2;

use snnc_ir::{Binary, DType, TensorOp, TensorType, Unary};

use super::*;

#[test]
fn functions_of_one_real() {
    let x = [-2.0f32, -0.5, 0.0, 0.5, 3.0];
    let cases: [(Unary, [f32; 5]); 19] = [
        (Unary::Relu, [0.0, 0.0, 0.0, 0.5, 3.0]),
        (Unary::LeakyRelu { alpha: 0.25 }, [-0.5, -0.125, 0.0, 0.5, 3.0]),
        (Unary::HardSigmoid { alpha: 0.25, beta: 0.5 }, [0.0, 0.375, 0.5, 0.625, 1.0]),
        (Unary::HardSwish, [-0.333_333_34, -0.208_333_33, 0.0, 0.291_666_66, 3.0]),
        (Unary::Swish, [-0.238_405_84, -0.188_770_33, 0.0, 0.311_229_67, 2.857_722_4]),
        (Unary::Sigmoid, [0.119_202_92, 0.377_540_67, 0.5, 0.622_459_35, 0.952_574_13]),
        (Unary::Tanh, [-0.964_027_6, -0.462_117_16, 0.0, 0.462_117_16, 0.995_054_7]),
        (Unary::Softplus, [0.126_928, 0.474_077, LN_2, 0.974_077, 3.048_587_3]),
        (Unary::Erf, [-0.995_322_3, -0.520_499_9, 0.0, 0.520_499_9, 0.999_977_9]),
        (Unary::Exp, [0.135_335_28, 0.606_530_66, 1.0, 1.648_721_3, 20.085_537]),
        (Unary::Reciprocal, [-0.5, -2.0, f32::INFINITY, 2.0, 0.333_333_34]),
        (Unary::Neg, [2.0, 0.5, 0.0, -0.5, -3.0]),
        (Unary::Abs, [2.0, 0.5, 0.0, 0.5, 3.0]),
        (Unary::Sign, [-1.0, -1.0, 0.0, 1.0, 1.0]),
        (Unary::Floor, [-2.0, -1.0, 0.0, 0.0, 3.0]),
        (Unary::Ceil, [-2.0, 0.0, 0.0, 1.0, 3.0]),
        (Unary::Round, [-2.0, 0.0, 0.0, 0.0, 3.0]),
        (Unary::Sqrt, [f32::NAN, f32::NAN, 0.0, 0.707_106_77, 1.732_050_8]),
        (Unary::Log, [f32::NAN, f32::NAN, f32::NEG_INFINITY, -LN_2, 1.098_612_3]),
    ];
    for (function, expected) in cases {
        let found = to_reals(TensorOp::Unary(function), &[&reals(&[5], &x)], &[5]);
        for (found, expected) in found.iter().zip(expected) {
            let same = found.is_nan() && expected.is_nan() || *found == expected;
            assert!(same || (found - expected).abs() <= 2e-7 * expected.abs(), "{function:?}");
        }
    }
}

#[test]
fn functions_of_one_integer() {
    let x = integers(DType::I8, &[3], &[-128, 0, 5]);
    let of = |f| to_integers(TensorOp::Unary(f), &[&x], DType::I8, &[3]);
    assert_eq!(of(Unary::Relu), [0, 0, 5]);
    assert_eq!(of(Unary::Neg), [-128, 0, -5], "the lower bits of 128");
    assert_eq!(of(Unary::Sign), [-1, 0, 1]);
    let none = apply(TensorOp::Unary(Unary::Exp), &[&x], TensorType::new(DType::I8, [3]));
    assert_eq!(none, Err(RunError::Elements(DType::I8)));
}

#[test]
fn functions_of_two_reals_broadcast() {
    let a = reals(&[2, 2], &[1.0, -2.0, 3.0, f32::NAN]);
    let b = reals(&[2], &[2.0, 4.0]);
    let of = |f| to_reals(TensorOp::Binary(f), &[&a, &b], &[2, 2]);
    assert_eq!(of(Binary::Add)[..3], [3.0, 2.0, 5.0]);
    assert_eq!(of(Binary::Div)[..3], [0.5, -0.5, 1.5]);
    assert_eq!(of(Binary::Pow)[..3], [1.0, 16.0, 9.0]);
    assert_eq!(of(Binary::Slope)[..3], [1.0, -8.0, 3.0]);
    assert!(of(Binary::Max)[3].is_nan() && of(Binary::Min)[3].is_nan(), "as NumPy's");
    let reversed = to_reals(TensorOp::Binary(Binary::Sub), &[&b, &a], &[2, 2]);
    assert_eq!(reversed[..3], [1.0, 6.0, -1.0]);
    let less = to_integers(TensorOp::Binary(Binary::Less), &[&a, &b], DType::Bool, &[2, 2]);
    assert_eq!(less, [1, 1, 0, 0]);
}

#[test]
fn integers_wrap_and_division_by_zero_is_defined() {
    let a = integers(DType::U8, &[3], &[250, 7, 9]);
    let b = integers(DType::U8, &[3], &[10, 0, 2]);
    let of = |f| to_integers(TensorOp::Binary(f), &[&a, &b], DType::U8, &[3]);
    assert_eq!(of(Binary::Add), [4, 7, 11]);
    assert_eq!(of(Binary::Sub), [240, 7, 7]);
    assert_eq!(of(Binary::Div), [25, 0, 4]);
    assert_eq!(of(Binary::Pow), [0, 1, 81]);
    let (a, b) =
        (integers(DType::I64, &[2], &[-7, i64::MIN]), integers(DType::I64, &[2], &[2, -1]));
    let quotient = to_integers(TensorOp::Binary(Binary::Div), &[&a, &b], DType::I64, &[2]);
    assert_eq!(quotient, [-3, i64::MIN], "toward zero, and the one that overflows wraps");
    let powers = to_integers(TensorOp::Binary(Binary::Pow), &[&b, &a], DType::I64, &[2]);
    assert_eq!(powers, [0, 1]);
    let mixed = apply(TensorOp::Binary(Binary::Add), &[&a, &reals(&[2], &[0.0, 1.0])], a.1.clone());
    assert_eq!(mixed, Err(RunError::Mixed));
    let power = to_integers(
        TensorOp::Binary(Binary::Pow),
        &[&integers(DType::I32, &[2], &[2, 9]), &reals(&[2], &[3.0, 0.5])],
        DType::I32,
        &[2],
    );
    assert_eq!(power, [8, 3]);
}

#[test]
fn the_upper_bound_of_a_clip_wins() {
    let x = reals(&[4], &[-3.0, 0.5, 3.0, f32::NAN]);
    let clip = |minimum, maximum| to_reals(TensorOp::Clip { minimum, maximum }, &[&x], &[4]);
    assert_eq!(clip(Some(-1.0), Some(1.0))[..3], [-1.0, 0.5, 1.0]);
    assert_eq!(clip(Some(2.0), Some(1.0))[..3], [1.0, 1.0, 1.0]);
    assert!(clip(Some(2.0), Some(1.0))[3].is_nan());
    assert_eq!(clip(None, Some(1.0))[..3], [-3.0, 0.5, 1.0]);
    let codes = integers(DType::I8, &[3], &[-128, 5, 100]);
    let op = TensorOp::Clip { minimum: Some(-8.5), maximum: Some(7.5) };
    assert_eq!(to_integers(op, &[&codes], DType::I8, &[3]), [-8, 5, 7]);
}

#[test]
fn casts_cut() {
    let x = reals(&[4], &[-1.75, 300.5, 0.5, 0.0]);
    let to = |dtype| to_integers(TensorOp::Cast, &[&x], dtype, &[4]);
    assert_eq!(to(DType::I32), [-1, 300, 0, 0]);
    assert_eq!(to(DType::U8), [255, 44, 0, 0]);
    assert_eq!(to(DType::Bool), [1, 1, 1, 0]);
    let half = apply(TensorOp::Cast, &[&reals(&[1], &[0.1])], TensorType::new(DType::F16, [1]));
    assert_eq!(half.unwrap().as_f32().unwrap(), [0.099_975_586]);
    let back = to_reals(TensorOp::Cast, &[&integers(DType::I8, &[2], &[-3, 4])], &[2]);
    assert_eq!(back, [-3.0, 4.0]);
}

#[test]
fn selection_broadcasts_three_ways() {
    let condition = integers(DType::Bool, &[2, 1], &[1, 0]);
    let (yes, no) = (reals(&[3], &[1.0, 2.0, 3.0]), reals(&[1], &[9.0]));
    let chosen = to_reals(TensorOp::Select, &[&condition, &yes, &no], &[2, 3]);
    assert_eq!(chosen, [1.0, 2.0, 3.0, 9.0, 9.0, 9.0]);
}

#[test]
fn reductions() {
    let x = reals(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 9.0]);
    let of = |axes: &[usize], mean, shape: &[usize]| {
        to_reals(TensorOp::Reduce { axes: axes.to_vec(), mean }, &[&x], shape)
    };
    assert_eq!(of(&[1], true, &[2]), [2.0, 6.0]);
    assert_eq!(of(&[0], false, &[1, 3]), [5.0, 7.0, 12.0]);
    assert_eq!(of(&[0, 1], true, &[]), [4.0]);
    let op = TensorOp::Reduce { axes: vec![0], mean: true };
    assert_eq!(to_integers(op, &[&integers(DType::I32, &[2], &[-3, -4])], DType::I32, &[]), [-3]);
}

#[test]
fn softmax_survives_large_numbers() {
    let x = reals(&[2, 2], &[1000.0, 1000.0, 0.0, 3f32.ln()]);
    let rows = to_reals(TensorOp::Softmax { axis: 1 }, &[&x], &[2, 2]);
    assert_eq!(rows[..2], [0.5, 0.5]);
    assert!((rows[2] - 0.25).abs() < 1e-6 && (rows[3] - 0.75).abs() < 1e-6);
    let columns = to_reals(TensorOp::Softmax { axis: 0 }, &[&x], &[2, 2]);
    assert_eq!(columns, [1.0, 1.0, 0.0, 0.0]);
}

#[test]
fn the_first_of_equals_is_the_largest() {
    let x = reals(&[2, 3], &[1.0, 5.0, 5.0, -1.0, -2.0, -1.0]);
    let of =
        |axis, shape: &[usize]| to_integers(TensorOp::ArgMax { axis }, &[&x], DType::I64, shape);
    assert_eq!(of(1, &[2, 1]), [1, 0]);
    assert_eq!(of(0, &[3]), [0, 0, 0]);
    let none =
        apply(TensorOp::ArgMax { axis: 0 }, &[&reals(&[0], &[])], TensorType::new(DType::I64, []));
    assert!(none.is_err());
}

#[test]
fn batch_normalisation_is_by_channel() {
    let x = reals(&[1, 2, 2], &[1.0, 3.0, 5.0, 7.0]);
    let p = |a, b| reals(&[2], &[a, b]);
    let op = TensorOp::BatchNormalisation { epsilon: 1.0 };
    let y = to_reals(
        op.clone(),
        &[&x, &p(2.0, 1.0), &p(0.5, 0.0), &p(1.0, 5.0), &p(3.0, 0.0)],
        &[1, 2, 2],
    );
    assert_eq!(y, [0.5, 2.5, 0.0, 2.0]);
    let short = reals(&[1], &[1.0]);
    let wrong = apply(op, &[&x, &short, &p(0.5, 0.0), &p(1.0, 5.0), &p(3.0, 0.0)], x.1.clone());
    assert!(wrong.is_err());
}

#[test]
fn dense_layers_add_their_bias_last() {
    let x = reals(&[2, 3], &[1.0, 2.0, 3.0, 0.0, -1.0, 1.0]);
    let w = reals(&[2, 3], &[1.0, 0.0, -1.0, 2.0, 2.0, 2.0]);
    let b = reals(&[2], &[10.0, 20.0]);
    assert_eq!(to_reals(TensorOp::Dense, &[&x, &w, &b], &[2, 2]), [8.0, 32.0, 9.0, 20.0]);
    assert_eq!(to_reals(TensorOp::Dense, &[&x, &w], &[2, 2]), [-2.0, 12.0, -1.0, 0.0]);
    let (none, w) = (reals(&[2, 0], &[]), reals(&[2, 0], &[]));
    assert_eq!(to_reals(TensorOp::Dense, &[&none, &w, &b], &[2, 2]), [10.0, 20.0, 10.0, 20.0]);
}

#[test]
fn matrix_products_broadcast() {
    let a = reals(&[2, 1, 2], &[1.0, 2.0, 3.0, 4.0]);
    let b = reals(&[2, 3], &[1.0, 0.0, 1.0, 0.0, 1.0, 1.0]);
    let y = to_reals(TensorOp::MatrixProduct, &[&a, &b], &[2, 1, 3]);
    assert_eq!(y, [1.0, 2.0, 3.0, 3.0, 4.0, 7.0]);
    let v = reals(&[2], &[1.0, 10.0]);
    assert_eq!(to_reals(TensorOp::MatrixProduct, &[&v, &b], &[3]), [1.0, 10.0, 11.0]);
    assert_eq!(to_reals(TensorOp::MatrixProduct, &[&a, &v], &[2, 1]), [21.0, 43.0]);
    assert_eq!(to_reals(TensorOp::MatrixProduct, &[&v, &v], &[]), [101.0]);
}
