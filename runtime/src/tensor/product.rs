//! Dense layers and matrix products.

use super::convolution::{Kernel, Number};
use super::layout::{broadcast_strides, offsets};

/// (N, K) times the transpose of (F, K), summed over K in order, then the bias.
pub(super) struct Dense {
    pub rows: usize,
    pub inputs: usize,
    pub outputs: usize,
}

/// Sums that are made side by side: each keeps its order, and none waits for another.
const LANES: usize = 8;

impl Kernel for Dense {
    fn run<T: Number>(&self, x: &[T], w: &[T], bias: Option<&[T]>) -> Vec<T> {
        let Dense { rows, inputs, outputs } = *self;
        let mut y = Vec::with_capacity(rows * outputs);
        for row in 0..rows {
            let row = &x[row * inputs..][..inputs];
            for first in (0..outputs).step_by(LANES) {
                let lanes = LANES.min(outputs - first);
                let mut sums = [T::default(); LANES];
                let mut rows = [&w[..0]; LANES];
                for (lane, r) in rows.iter_mut().enumerate() {
                    // Lanes beyond the last output repeat it, and are dropped.
                    *r = &w[(first + lane.min(lanes - 1)) * inputs..][..inputs];
                }
                for (k, &x) in row.iter().enumerate() {
                    for (sum, w) in sums.iter_mut().zip(rows) {
                        *sum = sum.add_product(x, w[k]);
                    }
                }
                y.extend_from_slice(&sums[..lanes]);
            }
            if let Some(bias) = bias {
                let start = y.len() - outputs;
                y[start..].iter_mut().zip(bias).for_each(|(y, &b)| *y = y.plus(b));
            }
        }
        y
    }

    fn products(&self) -> usize {
        self.inputs
    }
}

/// NumPy's `matmul`: a row before, a column after where a vector stands, batches broadcast.
pub(super) struct MatrixProduct {
    rows: usize,
    inner: usize,
    columns: usize,
    /// For each matrix of the result the matrices of which it is the product.
    pairs: Vec<(usize, usize)>,
}

impl MatrixProduct {
    pub fn new(a: &[usize], b: &[usize], shape: &[usize]) -> Self {
        let matrix = |s: &[usize]| match s {
            [.., rows, columns] => (*rows, *columns),
            _ => (1, 1),
        };
        let (rows, inner) = if a.len() == 1 { (1, a[0]) } else { matrix(a) };
        let columns = if b.len() == 1 { 1 } else { matrix(b).1 };
        let batch = |s: &[usize]| s[..s.len().saturating_sub(2)].to_vec();
        let (left, right) = (batch(a), batch(b));
        let tail = usize::from(a.len() > 1) + usize::from(b.len() > 1);
        let outer = &shape[..shape.len() - tail];
        let matrices = |s: &[usize]| offsets(outer, &broadcast_strides(s, outer), 0);
        let pairs = matrices(&left).zip(matrices(&right)).collect();
        MatrixProduct { rows, inner, columns, pairs }
    }
}

impl Kernel for MatrixProduct {
    fn run<T: Number>(&self, a: &[T], b: &[T], _bias: Option<&[T]>) -> Vec<T> {
        let MatrixProduct { rows, inner, columns, pairs } = self;
        let mut y = vec![T::default(); pairs.len() * rows * columns];
        if y.is_empty() || *inner == 0 {
            return y;
        }
        for (product, (i, j)) in y.chunks_exact_mut(rows * columns).zip(pairs) {
            let a = &a[i * rows * inner..][..rows * inner];
            let b = &b[j * inner * columns..][..inner * columns];
            for (row, a) in product.chunks_exact_mut(*columns).zip(a.chunks_exact(*inner)) {
                for (&a, b) in a.iter().zip(b.chunks_exact(*columns)) {
                    row.iter_mut().zip(b).for_each(|(y, &b)| *y = y.add_product(a, b));
                }
            }
        }
        y
    }

    fn products(&self) -> usize {
        self.inner
    }
}
