//! Where numbers lie: padding modes, kernel flips, and the orders of weights.
//!
//! The IR counts maps as (C, H, W) and kernels as (F, C/groups, kh, kw), cross-correlation. Akida
//! counts maps as (X, Y, C) with X the rows (H) and Y the columns (W), kernels as (kx, ky, C, F),
//! and its inner convolutions are true ones: the stored kernel is flipped along both axes.
//! Source: BrainChip, Akida Python API reference 2.19, and `cnn2snn` (Apache-2.0).

use snnc_ir::Window;

/// How the cells around a map are chosen, with its number in the JSON form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// None.
    Valid = 0,
    /// `ceil(n / stride)` outputs, the smaller half of the padding before.
    Same = 1,
    /// `ceil(n / stride)` outputs, the larger half of the padding before.
    SameUpper = 2,
}

impl Padding {
    /// The mode with that number.
    pub fn from_code(code: i64) -> Option<Padding> {
        [Padding::Valid, Padding::Same, Padding::SameUpper].into_iter().find(|&p| p as i64 == code)
    }

    /// Cells before and after `n` cells, or `None` if no window fits.
    pub fn cells(self, n: usize, kernel: usize, stride: usize) -> Option<(usize, usize)> {
        if n == 0 || kernel == 0 || stride == 0 {
            return None;
        }
        if self == Padding::Valid {
            return (kernel <= n).then_some((0, 0));
        }
        let total = ((n.div_ceil(stride) - 1) * stride + kernel).saturating_sub(n);
        let less = total / 2;
        Some(if self == Padding::Same { (less, total - less) } else { (total - less, less) })
    }

    /// Number of outputs along `n` cells.
    pub fn outputs(self, n: usize, kernel: usize, stride: usize) -> Option<usize> {
        self.cells(n, kernel, stride)?;
        Some(match self {
            Padding::Valid => (n - kernel) / stride + 1,
            _ => n.div_ceil(stride),
        })
    }

    /// The window over a map of the given rows and columns.
    pub fn window(
        self,
        map: [usize; 2],
        kernel: [usize; 2],
        strides: [usize; 2],
    ) -> Option<Window> {
        let (x0, x1) = self.cells(map[0], kernel[0], strides[0])?;
        let (y0, y1) = self.cells(map[1], kernel[1], strides[1])?;
        Some(Window {
            kernel: kernel.to_vec(),
            strides: strides.to_vec(),
            dilations: vec![1, 1],
            before: vec![x0, y0],
            after: vec![x1, y1],
        })
    }

    /// The mode that pads a map as `window` does, as far as windows reach; `Same` first where
    /// several do.
    pub fn of(window: &Window, map: [usize; 2], outputs: [usize; 2]) -> Option<Padding> {
        let (&[kx, ky], &[sx, sy]) = (window.kernel.as_slice(), window.strides.as_slice()) else {
            return None;
        };
        [Padding::Same, Padding::SameUpper, Padding::Valid].into_iter().find(|p| {
            p.outputs(map[0], kx, sx) == Some(outputs[0])
                && p.outputs(map[1], ky, sy) == Some(outputs[1])
                && p.cells(map[0], kx, sx).is_some_and(|(before, _)| before == window.before[0])
                && p.cells(map[1], ky, sy).is_some_and(|(before, _)| before == window.before[1])
        })
    }
}

/// Reorders `values` of `shape`: dimension `i` of the result is dimension `order[i]`.
pub fn permuted(values: &[i64], shape: &[usize], order: &[usize]) -> Vec<i64> {
    let mut strides = vec![1; shape.len()];
    for i in (0..shape.len().saturating_sub(1)).rev() {
        strides[i] = strides[i + 1] * shape[i + 1];
    }
    let mut index = vec![0; order.len()];
    let mut out = Vec::with_capacity(values.len());
    for _ in 0..values.len() {
        let at: usize = index.iter().zip(order).map(|(i, &d)| i * strides[d]).sum();
        out.push(values[at]);
        for d in (0..order.len()).rev() {
            index[d] += 1;
            if index[d] < shape[order[d]] {
                break;
            }
            index[d] = 0;
        }
    }
    out
}

/// Turns each kernel of (kx, ky, a, b) around both axes.
fn flipped(values: &[i64], cells: usize) -> Vec<i64> {
    let each = values.len() / cells.max(1);
    values.chunks_exact(each.max(1)).rev().flatten().copied().collect()
}

/// (F, C, kh, kw) to (kx, ky, C, F), flipped if asked.
pub fn kernel_to_akida(values: &[i64], shape: &[usize; 4], flip: bool) -> Vec<i64> {
    let out = permuted(values, shape, &[2, 3, 1, 0]);
    if flip { flipped(&out, shape[2] * shape[3]) } else { out }
}

/// (kx, ky, C, F) to (F, C, kh, kw); `shape` is that of the result.
pub fn kernel_from_akida(values: &[i64], shape: &[usize; 4], flip: bool) -> Vec<i64> {
    let [f, c, kx, ky] = *shape;
    let straight = if flip { flipped(values, kx * ky) } else { values.to_vec() };
    permuted(&straight, &[kx, ky, c, f], &[3, 2, 0, 1])
}

/// (C, kh, kw) to the (kx, ky, C, 1) of depthwise kernels, always flipped.
pub fn depthwise_to_akida(values: &[i64], [c, kx, ky]: [usize; 3]) -> Vec<i64> {
    flipped(&permuted(values, &[c, kx, ky], &[1, 2, 0]), kx * ky)
}

/// (kx, ky, C, 1) of depthwise kernels to (C, kh, kw).
pub fn depthwise_from_akida(values: &[i64], [c, kx, ky]: [usize; 3]) -> Vec<i64> {
    permuted(&flipped(values, kx * ky), &[kx, ky, c], &[2, 0, 1])
}

/// Dense weights (units, C*H*W) to Akida 1.0's (1, 1, C*Y*X, units): X runs fastest.
pub fn dense_to_v1(values: &[i64], units: usize, [c, x, y]: [usize; 3]) -> Vec<i64> {
    permuted(values, &[units, c, x, y], &[1, 3, 2, 0])
}

/// Inverse of [`dense_to_v1`].
pub fn dense_from_v1(values: &[i64], units: usize, [c, x, y]: [usize; 3]) -> Vec<i64> {
    permuted(values, &[c, y, x, units], &[3, 0, 2, 1])
}

/// Dense weights (units, C*H*W) to Akida 2.0's (X*Y*C, units): channels run fastest.
pub fn dense_to_v2(values: &[i64], units: usize, [c, x, y]: [usize; 3]) -> Vec<i64> {
    permuted(values, &[units, c, x, y], &[2, 3, 1, 0])
}

/// Inverse of [`dense_to_v2`].
pub fn dense_from_v2(values: &[i64], units: usize, [c, x, y]: [usize; 3]) -> Vec<i64> {
    permuted(values, &[x, y, c, units], &[3, 2, 0, 1])
}

/// One entry for each source in (C, H, W) order to Akida 2.0's (X, Y, C).
pub fn sources_to_v2(values: &[i64], [c, x, y]: [usize; 3]) -> Vec<i64> {
    permuted(values, &[c, x, y], &[1, 2, 0])
}

/// Inverse of [`sources_to_v2`].
pub fn sources_from_v2(values: &[i64], [c, x, y]: [usize; 3]) -> Vec<i64> {
    permuted(values, &[x, y, c], &[2, 0, 1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn padding_is_that_of_the_documentation() {
        // n, kernel, stride: before and after of Same, SameUpper.
        assert_eq!(Padding::Same.cells(8, 3, 1), Some((1, 1)));
        assert_eq!(Padding::Same.cells(8, 3, 2), Some((0, 1)));
        assert_eq!(Padding::SameUpper.cells(8, 3, 2), Some((1, 0)));
        assert_eq!(Padding::Same.cells(7, 3, 2), Some((1, 1)));
        assert_eq!(Padding::Same.cells(8, 1, 2), Some((0, 0)));
        assert_eq!(Padding::Valid.outputs(8, 3, 2), Some(3));
        assert_eq!(Padding::Valid.cells(2, 3, 1), None);
    }

    #[test]
    fn symmetric_padding_at_stride_two_is_same_upper() {
        let window = Window {
            kernel: vec![3, 3],
            strides: vec![2, 2],
            dilations: vec![1, 1],
            before: vec![1, 1],
            after: vec![1, 1],
        };
        assert_eq!(Padding::of(&window, [8, 8], [4, 4]), Some(Padding::SameUpper));
        assert_eq!(Padding::of(&window, [7, 7], [4, 4]), Some(Padding::Same));
    }

    #[test]
    fn an_inner_kernel_is_flipped() {
        // One filter, one channel, rows 1 2 / 3 4 / 5 6.
        let stored = kernel_to_akida(&[1, 2, 3, 4, 5, 6], &[1, 1, 3, 2], true);
        assert_eq!(stored, [6, 5, 4, 3, 2, 1]);
    }

    #[test]
    fn flatten_orders_are_those_of_the_documentation() {
        let map = [2, 3, 4]; // C, X, Y
        let sources: Vec<i64> = (0..24).collect(); // c * 12 + x * 4 + y
        let v1 = dense_to_v1(&sources, 1, map);
        let v2 = dense_to_v2(&sources, 1, map);
        for (c, x, y) in [(0, 0, 1), (1, 2, 3), (1, 1, 0)] {
            let source = (c * 12 + x * 4 + y) as i64;
            assert_eq!(v1[c * 12 + y * 3 + x], source);
            assert_eq!(v2[(x * 4 + y) * 2 + c], source);
        }
    }

    proptest! {
        #[test]
        fn every_order_has_its_inverse(f in 1usize..4, c in 1usize..4, x in 1usize..4, y in 1usize..4, flip: bool) {
            let n = (f * c * x * y) as i64;
            let values: Vec<i64> = (0..n).collect();
            let shape = [f, c, x, y];
            prop_assert_eq!(&kernel_from_akida(&kernel_to_akida(&values, &shape, flip), &shape, flip), &values);
            prop_assert_eq!(&dense_from_v1(&dense_to_v1(&values, f, [c, x, y]), f, [c, x, y]), &values);
            prop_assert_eq!(&dense_from_v2(&dense_to_v2(&values, f, [c, x, y]), f, [c, x, y]), &values);
            let map: Vec<i64> = (0..(c * x * y) as i64).collect();
            prop_assert_eq!(&depthwise_from_akida(&depthwise_to_akida(&map, [c, x, y]), [c, x, y]), &map);
            prop_assert_eq!(&sources_from_v2(&sources_to_v2(&map, [c, x, y]), [c, x, y]), &map);
        }
    }
}
