use proptest::prelude::*;
use snnc_ir::{DType, Pool, PoolKind, TensorOp, TensorType, Window, window_outputs};

use super::*;

/// A window over a map of two dimensions.
fn windows() -> impl Strategy<Value = (Window, Vec<usize>)> {
    let pair = |low: usize, high: usize| prop::collection::vec(low..=high, 2);
    (pair(1, 3), pair(1, 3), pair(1, 2), pair(0, 2), pair(0, 2), pair(5, 8)).prop_map(
        |(kernel, strides, dilations, before, after, map)| {
            (Window { kernel, strides, dilations, before, after }, map)
        },
    )
}

/// The element at `(n, c, y, x)` of an array, or nothing in its padding.
fn cell(x: &[i64], shape: &[usize], n: usize, c: usize, at: [isize; 2]) -> Option<i64> {
    let y = usize::try_from(at[0]).ok().filter(|&y| y < shape[2])?;
    let column = usize::try_from(at[1]).ok().filter(|&x| x < shape[3])?;
    Some(x[((n * shape[1] + c) * shape[2] + y) * shape[3] + column])
}

fn position(window: &Window, output: [usize; 2], k: [usize; 2]) -> [isize; 2] {
    [0, 1].map(|i| {
        (output[i] * window.strides[i] + k[i] * window.dilations[i]) as isize
            - window.before[i] as isize
    })
}

/// Convolution by its definition.
fn convolution(
    window: &Window,
    groups: usize,
    (x, xs): (&[i64], &[usize]),
    (w, ws): (&[i64], &[usize]),
    shape: &[usize],
) -> Vec<i64> {
    let mut y = Vec::new();
    for n in 0..shape[0] {
        for f in 0..shape[1] {
            for oy in 0..shape[2] {
                for ox in 0..shape[3] {
                    let mut sum = 0;
                    for c in 0..ws[1] {
                        let channel = f / (ws[0] / groups) * ws[1] + c;
                        for ky in 0..ws[2] {
                            for kx in 0..ws[3] {
                                let at = position(window, [oy, ox], [ky, kx]);
                                let weight = w[((f * ws[1] + c) * ws[2] + ky) * ws[3] + kx];
                                sum += weight * cell(x, xs, n, channel, at).unwrap_or(0);
                            }
                        }
                    }
                    y.push(sum);
                }
            }
        }
    }
    y
}

proptest! {
    #[test]
    fn convolution_is_its_definition(
        (window, map) in windows(),
        (groups, inner, outer) in (1usize..=2, 1usize..=2, 1usize..=2),
        seed in prop::collection::vec(-100i64..=100, 600),
    ) {
        let xs = [2, groups * inner, map[0], map[1]];
        let ws = [groups * outer, inner, window.kernel[0], window.kernel[1]];
        let spatial = window_outputs(&window, &map, false).unwrap();
        let shape = [2, ws[0], spatial[0], spatial[1]];
        let take = |n: &[usize], skip| {
            seed.iter().copied().cycle().skip(skip).take(n.iter().product()).collect::<Vec<_>>()
        };
        let (x, w) = (take(&xs, 0), take(&ws, 300));
        let expected = convolution(&window, groups, (&x, &xs), (&w, &ws), &shape);
        let op = TensorOp::Convolution { window, groups };
        let codes = [integers(DType::I8, &xs, &x), integers(DType::I8, &ws, &w)];
        let found = to_integers(op.clone(), &[&codes[0], &codes[1]], DType::I32, &shape);
        prop_assert_eq!(&found, &expected);
        // Reals of this size are exact, so that their order does not matter.
        let real = |v: &[i64], s: &[usize]| reals(s, &v.iter().map(|&x| x as f32).collect::<Vec<_>>());
        let found = to_reals(op, &[&real(&x, &xs), &real(&w, &ws)], &shape);
        prop_assert_eq!(found, expected.iter().map(|&x| x as f32).collect::<Vec<_>>());
    }

    /// <conv(x), y> = <x, transposed(y)>: the transposed convolution is the adjoint.
    #[test]
    fn transposed_convolution_is_the_adjoint(
        (window, map) in windows(),
        (groups, inner, outer) in (1usize..=2, 1usize..=2, 1usize..=2),
        seed in prop::collection::vec(-100i64..=100, 600),
    ) {
        let xs = [1, groups * inner, map[0], map[1]];
        let ws = [groups * outer, inner, window.kernel[0], window.kernel[1]];
        let spatial = window_outputs(&window, &map, false).unwrap();
        let ys = [1, ws[0], spatial[0], spatial[1]];
        let take = |n: &[usize], skip| {
            seed.iter().copied().cycle().skip(skip).take(n.iter().product()).collect::<Vec<_>>()
        };
        let (x, w, y) = (take(&xs, 0), take(&ws, 300), take(&ys, 150));
        let forward = convolution(&window, groups, (&x, &xs), (&w, &ws), &ys);
        let codes = [integers(DType::I8, &ys, &y), integers(DType::I8, &ws, &w)];
        let op = TensorOp::TransposedConvolution { window, groups };
        let back = to_integers(op, &[&codes[0], &codes[1]], DType::I32, &xs);
        let product = |a: &[i64], b: &[i64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<i64>();
        prop_assert_eq!(product(&forward, &y), product(&x, &back));
    }

    #[test]
    fn pooling_is_its_definition(
        (window, map) in windows(),
        ceil in any::<bool>(),
        seed in prop::collection::vec(-100i64..=100, 128),
    ) {
        let xs = [1, 2, map[0], map[1]];
        let x: Vec<i64> = seed.into_iter().take(xs.iter().product()).collect();
        let spatial = window_outputs(&window, &map, ceil).unwrap();
        let shape = [1, 2, spatial[0], spatial[1]];
        let codes = integers(DType::I8, &xs, &x);
        let real = reals(&xs, &x.iter().map(|&x| x as f32).collect::<Vec<_>>());
        let op = |kind| TensorOp::Pool(Pool::new(kind, window.clone()));
        let largest = to_integers(op(PoolKind::Max), &[&codes], DType::I8, &shape);
        let sums = to_integers(op(PoolKind::Sum), &[&codes], DType::I32, &shape);
        let means = to_reals(op(PoolKind::Average), &[&real], &shape);
        let padded = to_reals(op(PoolKind::AverageWithPadding), &[&real], &shape);
        for i in 0..shape.iter().product() {
            let output = [i / shape[3] % shape[2], i % shape[3]];
            let (mut cells, mut covered) = (Vec::new(), 0);
            for ky in 0..window.kernel[0] {
                for kx in 0..window.kernel[1] {
                    let at = position(&window, output, [ky, kx]);
                    let inside = |d: usize| at[d] < (map[d] + window.after[d]) as isize;
                    covered += usize::from(inside(0) && inside(1));
                    cells.extend(cell(&x, &xs, 0, i / (shape[2] * shape[3]), at));
                }
            }
            let sum: i64 = cells.iter().sum();
            prop_assert_eq!(sums[i], sum);
            prop_assert_eq!(largest[i], cells.iter().copied().max().unwrap_or(-128));
            let mean = |n: usize| if n == 0 { 0.0 } else { sum as f32 / n as f32 };
            prop_assert_eq!(means[i], mean(cells.len()));
            prop_assert_eq!(padded[i], mean(covered));
        }
    }
}

#[test]
fn one_and_three_dimensions() {
    let x = reals(&[1, 1, 4], &[1.0, 2.0, 3.0, 4.0]);
    let w = reals(&[1, 1, 2], &[1.0, 10.0]);
    let window = Window { strides: vec![2], ..Window::plain(&[2]) };
    let op = TensorOp::Convolution { window, groups: 1 };
    assert_eq!(to_reals(op, &[&x, &w], &[1, 1, 2]), [21.0, 43.0]);
    let x = reals(&[1, 1, 2, 1, 2], &[1.0, 2.0, 3.0, 4.0]);
    let w = reals(&[1, 1, 2, 1, 1], &[1.0, 10.0]);
    let op = TensorOp::Convolution { window: Window::plain(&[2, 1, 1]), groups: 1 };
    assert_eq!(to_reals(op, &[&x, &w], &[1, 1, 1, 1, 2]), [31.0, 42.0]);
    let w = reals(&[1, 1, 1, 1, 1, 1], &[1.0]);
    let x = reals(&[1, 1, 1, 1, 1, 1], &[1.0]);
    let op = TensorOp::Convolution { window: Window::plain(&[1; 4]), groups: 1 };
    let four = apply(op, &[&x, &w], x.1.clone());
    assert!(matches!(four, Err(RunError::Unsupported(_))));
}

#[test]
fn transposed_convolution_by_hand() {
    let x = reals(&[1, 1, 2], &[1.0, 2.0]);
    let w = reals(&[1, 1, 3], &[1.0, 10.0, 100.0]);
    let window = Window { strides: vec![2], before: vec![1], ..Window::plain(&[3]) };
    let op = TensorOp::TransposedConvolution { window, groups: 1 };
    let bias = reals(&[1], &[0.5]);
    let y = to_reals(op, &[&x, &w, &bias], &[1, 1, 4]);
    assert_eq!(y, [10.5, 102.5, 20.5, 200.5]);
}

#[test]
fn sums_of_codes_leave_out_their_zero_point() {
    let q = snnc_ir::Quantisation::per_tensor(0.5, 10, 0, 255);
    let (value, ty) = integers(DType::U8, &[1, 1, 3], &[10, 12, 9]);
    let window = Window { before: vec![1], after: vec![1], ..Window::plain(&[3]) };
    let op = TensorOp::Pool(Pool::new(PoolKind::Sum, window.clone()));
    let codes = (value, ty.quantised(q));
    assert_eq!(to_integers(op, &[&codes], DType::I32, &[1, 1, 3]), [2, 1, 1]);
    let op = TensorOp::Pool(Pool::new(PoolKind::Average, window));
    assert!(apply(op, &[&codes], TensorType::new(DType::U8, [1, 1, 3])).is_err());
}
