//! Operators on operands that do not fit them: an error or a value, and never a panic.

use proptest::prelude::*;
use proptest::sample::select;
use snnc_ir::{
    Binary, DType, Pool, PoolKind, Quantisation, TensorOp, TensorType, ThresholdRows, Thresholds,
    Unary, Window,
};

use super::*;

fn dimension() -> impl Strategy<Value = usize> {
    prop_oneof![8 => 0usize..5, 1 => select(vec![1 << 20, 1 << 40, usize::MAX])]
}

fn numbers<T: std::fmt::Debug + Clone + 'static>(
    common: impl Strategy<Value = T> + 'static,
    rare: Vec<T>,
) -> impl Strategy<Value = Vec<T>> {
    prop::collection::vec(prop_oneof![9 => common, 1 => select(rare)], 0..5)
}

fn counts() -> impl Strategy<Value = Vec<usize>> {
    numbers(0usize..4, vec![usize::MAX, 1 << 40])
}

fn signed() -> impl Strategy<Value = Vec<isize>> {
    numbers(-3isize..4, vec![isize::MIN, isize::MAX])
}

fn window() -> impl Strategy<Value = Window> {
    let part = || prop_oneof![4 => prop::collection::vec(1usize..3, 1..3), 1 => counts()];
    (part(), part(), part(), part(), part()).prop_map(
        |(kernel, strides, dilations, before, after)| Window {
            kernel,
            strides,
            dilations,
            before,
            after,
        },
    )
}

fn quantisation() -> impl Strategy<Value = Quantisation> {
    let scale = select(vec![1.0f32, 0.3, 0.0, f32::NAN, f32::INFINITY]);
    let code = || prop_oneof![8 => -9i64..9, 1 => select(vec![i64::MIN, i64::MAX])];
    (
        prop::collection::vec(scale, 0..4),
        prop::collection::vec(code(), 0..4),
        prop::option::of(0usize..4),
        (code(), code()),
    )
        .prop_map(|(scale, zero_point, axis, (minimum, maximum))| Quantisation {
            scale,
            zero_point,
            axis,
            minimum,
            maximum,
            offset: Vec::new(),
            folded: None,
            rounding: Default::default(),
        })
}

fn operator() -> impl Strategy<Value = TensorOp> {
    use TensorOp::*;
    let kinds = [PoolKind::Max, PoolKind::Average, PoolKind::AverageWithPadding, PoolKind::Sum];
    let code = || select(vec![0i64, -1, 3, i64::MIN, i64::MAX]);
    prop_oneof![
        Just(Requantise),
        Just(RequantiseSum),
        Just(Dense),
        Just(MatrixProduct),
        Just(Reshape),
        Just(Expand),
        Just(Cast),
        Just(Select),
        Just(BatchNormalisation { epsilon: 0.0 }),
        Just(Unary(self::Unary::Neg)),
        quantisation().prop_map(Quantise),
        quantisation().prop_map(Dequantise),
        (code(), prop::collection::vec(code(), 0..3))
            .prop_map(|(minimum, table)| Lookup { minimum, table }),
        (0usize..4, code(), prop::collection::vec(prop::collection::vec(code(), 0..3), 0..3))
            .prop_map(|(axis, minimum, rows)| {
                let rows = ThresholdRows::Integers(rows);
                Threshold(Thresholds { axis, minimum, rows })
            }),
        (window(), 0usize..3).prop_map(|(window, groups)| Convolution { window, groups }),
        (window(), 0usize..3).prop_map(|(window, groups)| TransposedConvolution { window, groups }),
        (window(), select(kinds.to_vec()))
            .prop_map(|(window, kind)| Pool(self::Pool::new(kind, window))),
        select(vec![self::Binary::Div, self::Binary::Pow, self::Binary::Add]).prop_map(Binary),
        Just(Clip { minimum: Some(f64::NAN), maximum: Some(f64::INFINITY) }),
        counts().prop_map(|permutation| Transpose { permutation }),
        (0usize..4).prop_map(|axis| Concatenate { axis }),
        (signed(), signed()).prop_map(|(before, after)| Pad { before, after, value: 1e300 }),
        (counts(), signed()).prop_map(|(start, step)| Slice { start, step }),
        (0usize..4).prop_map(|axis| Gather { axis }),
        counts().prop_map(|factors| Upsample { factors }),
        (counts(), any::<bool>()).prop_map(|(axes, mean)| Reduce { axes, mean }),
        (0usize..4).prop_map(|axis| Softmax { axis }),
        (0usize..4).prop_map(|axis| ArgMax { axis }),
    ]
}

fn ty() -> impl Strategy<Value = TensorType> {
    let dtype =
        select(vec![DType::F32, DType::F16, DType::I8, DType::I64, DType::U64, DType::Bool]);
    (dtype, prop::collection::vec(dimension(), 0..5), prop::option::of(quantisation()))
        .prop_map(|(dtype, shape, quantisation)| TensorType { dtype, shape, quantisation })
}

/// A small value of that type, or of another shape where the type is too large.
fn value(ty: &TensorType, seed: i64) -> Value {
    let shape: Vec<usize> = ty.shape.iter().map(|&d| d.min(5)).collect();
    let n: usize = shape.iter().product();
    let integers: Vec<i64> = (0..n as i64)
        .map(|i| if seed == 7 { [i64::MIN, i64::MAX][i as usize % 2] } else { i * seed % 9 - 3 })
        .collect();
    if ty.dtype.is_float() {
        Value::from_f32(&shape, integers.into_iter().map(|i| i as f32).collect()).unwrap()
    } else {
        Value::from_i64(&shape, integers).unwrap()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]
    #[test]
    fn nothing_panics(
        op in operator(),
        types in prop::collection::vec(ty(), 1..4),
        // Operands alike are the ones that get past the checks.
        alike in any::<bool>(),
        own in prop::option::of(ty()),
        seed in 1i64..9,
    ) {
        let types: Vec<TensorType> =
            if alike { vec![types[0].clone(); types.len()] } else { types };
        let values: Vec<Value> = types.iter().map(|ty| value(ty, seed)).collect();
        let operands: Vec<_> = values.iter().zip(&types).collect();
        let references: Vec<&TensorType> = types.iter().collect();
        let own = own.unwrap_or_else(|| types[0].clone());
        // Of the types that go with the operands, the one that inference finds, or any other.
        let own = snnc_ir::infer_tensor_output(&op, &references, &own).unwrap_or(own);
        if let Ok(found) = evaluate(&op, &operands, &own) {
            prop_assert!(found.fits(&own));
        }
    }
}
