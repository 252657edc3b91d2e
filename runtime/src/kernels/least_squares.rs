//! Least squares for the rounding of weights: Gram matrices of integer codes, ordered factorisations and
//! column-by-column rounding.
//!
//! Sums of products of codes are integers and exact. Every other sum has a fixed order: lanes are part
//! of the definition (element `i` goes to lane `i mod` [`LANES`]), so every instruction set gives the same bits.

use super::{Isa, multiversion};

/// Partial sums of a sum of reals.
const LANES: usize = 16;

/// Rows of a chunk: products of codes of magnitude up to 255 sum up to less than 2^31 over it.
pub const CHUNK: usize = 8192;

multiversion! {
    /// Adds to `sums[j]`, for `j` up to `row`, the product of the columns `row` and `j`; `columns` holds
    /// columns of `n` codes one after the other, of magnitude up to 511, `n` being up to [`CHUNK`].
    pub fn gram_row(columns: &[i16], n: usize, row: usize, sums: &mut [i64]) {
        let own = &columns[row * n..(row + 1) * n];
        for (sum, other) in sums.iter_mut().zip(columns.chunks_exact(n)).take(row + 1) {
            let products = own.iter().zip(other).map(|(&a, &b)| i32::from(a) * i32::from(b));
            *sum += i64::from(products.sum::<i32>());
        }
    }
}

multiversion! {
    /// Adds to each of `sums` the product of a column of codes and one of `targets`, which holds columns
    /// one after the other as long as it.
    pub fn cross_row(column: &[f32], targets: &[f32], sums: &mut [f64]) {
        for (sum, target) in sums.iter_mut().zip(targets.chunks_exact(column.len())) {
            let mut lanes = [0f32; LANES];
            let (a, b) = (column.as_chunks::<LANES>(), target.as_chunks::<LANES>());
            for (x, y) in a.0.iter().zip(b.0) {
                for l in 0..LANES {
                    lanes[l] += x[l] * y[l];
                }
            }
            for (l, (x, y)) in a.1.iter().zip(b.1).enumerate() {
                lanes[l] += x * y;
            }
            *sum += lanes.iter().map(|&x| f64::from(x)).sum::<f64>();
        }
    }
}

/// The sum of products, in lanes.
#[inline(always)]
fn product(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0f64; LANES];
    let (a, b) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (x, y) in a.0.iter().zip(b.0) {
        for l in 0..LANES {
            lanes[l] += x[l] * y[l];
        }
    }
    for (l, (x, y)) in a.1.iter().zip(b.1).enumerate() {
        lanes[l] += x * y;
    }
    lanes.iter().sum()
}

multiversion! {
    /// Replaces the lower triangle of a symmetric matrix of `k` rows by its Cholesky factor `L`, `L L^T`
    /// being the matrix; the upper triangle stays. Whether the matrix is positive definite.
    pub fn cholesky(matrix: &mut [f64], k: usize) -> bool {
        for i in 0..k {
            let (done, rest) = matrix.split_at_mut(i * k);
            let row = &mut rest[..k];
            for (j, other) in done.chunks_exact(k).enumerate() {
                row[j] = (row[j] - product(&row[..j], &other[..j])) / other[j];
            }
            let left = row[i] - product(&row[..i], &row[..i]);
            if !(left > 0.0 && left.is_finite()) {
                return false;
            }
            row[i] = left.sqrt();
        }
        true
    }
}

multiversion! {
    /// Column `j` of the inverse of the lower triangle of `factor`, from its element `j` on.
    pub fn inverse_column(factor: &[f64], k: usize, j: usize, column: &mut [f64]) {
        column[j] = 1.0 / factor[j * k + j];
        for i in j + 1..k {
            let row = &factor[i * k..(i + 1) * k];
            column[i] = -product(&row[j..i], &column[j..i]) / row[i];
        }
    }
}

multiversion! {
    /// Solves `L L^T x = b` in place.
    pub fn solve(factor: &[f64], k: usize, b: &mut [f64]) {
        for i in 0..k {
            let row = &factor[i * k..(i + 1) * k];
            b[i] = (b[i] - product(&row[..i], &b[..i])) / row[i];
        }
        for i in (0..k).rev() {
            let row = &factor[i * k..(i + 1) * k];
            b[i] /= row[i];
            let x = b[i];
            for (b, l) in b[..i].iter_mut().zip(row) {
                *b -= l * x;
            }
        }
    }
}

multiversion! {
    /// Rounds a row of weights to `step` times codes of magnitude up to `levels`, column by column, each
    /// error being made up for by the columns that follow (Frantar et al. 2022, GPTQ, equation 2 and
    /// algorithm 1). `upper` is the transposed Cholesky factor of the inverse Hessian, row by row.
    /// Destroys `weights`; returns the error `(w - q)^T H (w - q)`.
    pub fn round_row(
        weights: &mut [f64],
        upper: &[f64],
        step: f64,
        levels: f64,
        codes: &mut [f64],
    ) -> f64 {
        let k = weights.len();
        let mut error = 0.0;
        for i in 0..k {
            let row = &upper[i * k..(i + 1) * k];
            let code = super::rounding::nearest_f64(weights[i] / step, -levels, levels);
            codes[i] = code;
            let own = (weights[i] - code * step) / row[i];
            error += own * own;
            for (w, u) in weights[i + 1..].iter_mut().zip(&row[i + 1..]) {
                *w -= own * u;
            }
        }
        error
    }
}

multiversion! {
    /// Moves single codes by one as long as that makes the error `(w - q)^T H (w - q)` smaller, at most so
    /// many times through the row. `hessian` holds the symmetric `H` row by row; returns how much smaller
    /// the error is.
    pub fn descend(
        weights: &[f64],
        hessian: &[f64],
        step: f64,
        levels: f64,
        sweeps: usize,
        codes: &mut [f64],
    ) -> f64 {
        let k = weights.len();
        let mut gradient = vec![0.0; k];
        for ((row, w), code) in hessian.chunks_exact(k).zip(weights).zip(codes.iter()) {
            let off = code * step - w;
            for (g, h) in gradient.iter_mut().zip(row) {
                *g += h * off;
            }
        }
        let mut gained = 0.0;
        for _ in 0..sweeps {
            let mut moved = false;
            for i in 0..k {
                let row = &hessian[i * k..(i + 1) * k];
                let by = if gradient[i] > 0.0 { -1.0 } else { 1.0 };
                let change = 2.0 * by * step * gradient[i] + step * step * row[i];
                let code = codes[i] + by;
                if change < 0.0 && code >= -levels && code <= levels {
                    codes[i] = code;
                    gained -= change;
                    moved = true;
                    for (g, h) in gradient.iter_mut().zip(row) {
                        *g += by * step * h;
                    }
                }
            }
            if !moved {
                break;
            }
        }
        gained
    }
}

multiversion! {
    /// Adds to each of `errors` the sum over `points` of `(wanted - step * code(x))^2`, `code` being `x / step`
    /// rounded half to even to the range `ends`; a point is `(x, wanted)`.
    pub fn pair_errors(
        points: &[(f32, f32)],
        steps: &[f64; super::rounding::LANES],
        ends: (f64, f64),
        errors: &mut [f64; super::rounding::LANES],
    ) {
        let mut sums = *errors;
        for &(x, wanted) in points {
            let (x, wanted) = (f64::from(x), f64::from(wanted));
            for (sum, &step) in sums.iter_mut().zip(steps) {
                let error = wanted - step * super::rounding::nearest_f64(x / step, ends.0, ends.1);
                *sum += error * error;
            }
        }
        *errors = sums;
    }
}

/// The transposed Cholesky factor of the inverse of a symmetric positive definite matrix of `k` rows, row
/// by row, and a function that solves with the matrix; `None` where it is not positive definite.
///
/// With the order of rows and columns reversed, the factor of the inverse is the inverse of the factor.
pub fn factor_of_inverse(isa: Isa, matrix: &[f64], k: usize) -> Option<Factored> {
    let mut reversed: Vec<f64> = matrix.iter().rev().copied().collect();
    if !cholesky(isa, &mut reversed, k) {
        return None;
    }
    let mut upper = vec![0.0; k * k];
    let mut column = vec![0.0; k];
    for j in 0..k {
        inverse_column(isa, &reversed, k, j, &mut column);
        for i in j..k {
            upper[(k - 1 - i) * k + (k - 1 - j)] = column[i];
        }
    }
    Some(Factored { isa, k, reversed, upper })
}

/// A factorised matrix.
pub struct Factored {
    isa: Isa,
    k: usize,
    reversed: Vec<f64>,
    /// The transposed Cholesky factor of the inverse, row by row.
    pub upper: Vec<f64>,
}

impl Factored {
    /// Solves with the matrix for one right side, in place.
    pub fn solve(&self, b: &mut [f64]) {
        b.reverse();
        solve(self.isa, &self.reversed, self.k, b);
        b.reverse();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Kernels;
    use super::*;

    fn all() -> impl Iterator<Item = Isa> {
        Kernels::ALL.into_iter().filter_map(Isa::of)
    }

    /// A positive definite matrix of `k` rows, from any numbers.
    fn matrix(numbers: &[f64], k: usize) -> Vec<f64> {
        let at =
            |i: usize, j: usize| numbers[(i * k + j) % numbers.len()] + (i + 2 * j) as f64 / 7.0;
        let mut found = vec![0.0; k * k];
        for i in 0..k {
            for j in 0..k {
                found[i * k + j] = (0..k + 3).map(|r| at(r, i) * at(r, j)).sum::<f64>();
            }
            found[i * k + i] += 1.0;
        }
        found
    }

    #[test]
    fn a_matrix_that_is_not_positive_is_refused() {
        let isa = all().last().unwrap();
        assert!(factor_of_inverse(isa, &[1.0, 2.0, 2.0, 1.0], 2).is_none());
        assert!(factor_of_inverse(isa, &[f64::NAN], 1).is_none());
    }

    proptest! {
        #[test]
        fn the_factor_is_that_of_the_inverse(
            numbers in proptest::collection::vec(-1f64..1.0, 5..40), k in 1usize..24,
        ) {
            let h = matrix(&numbers, k);
            for isa in all() {
                let found = factor_of_inverse(isa, &h, k).unwrap();
                // U^T U H = 1.
                for i in 0..k {
                    for j in 0..k {
                        let inverse = |a: usize, b: usize| (0..k).map(|r| found.upper[r * k + a] * found.upper[r * k + b]).sum::<f64>();
                        let one: f64 = (0..k).map(|m| inverse(i, m) * h[m * k + j]).sum();
                        prop_assert!((one - f64::from(u8::from(i == j))).abs() < 1e-6, "{one}");
                    }
                }
                let x: Vec<f64> = (0..k).map(|i| i as f64 - 1.5).collect();
                let mut b: Vec<f64> = (0..k).map(|i| (0..k).map(|j| h[i * k + j] * x[j]).sum()).collect();
                found.solve(&mut b);
                prop_assert!(b.iter().zip(&x).all(|(b, x)| (b - x).abs() < 1e-6));
            }
        }

        #[test]
        fn rounding_tells_its_error_and_every_set_gives_the_same_bits(
            numbers in proptest::collection::vec(-1f64..1.0, 30), k in 1usize..24, step in 0.05f64..0.5,
        ) {
            let h = matrix(&numbers, k);
            let weights: Vec<f64> = (0..k).map(|i| numbers[i] * 2.0).collect();
            let mut seen: Option<(Vec<f64>, u64)> = None;
            for isa in all() {
                let found = factor_of_inverse(isa, &h, k).unwrap();
                let (mut w, mut codes) = (weights.clone(), vec![0.0; k]);
                let error = round_row(isa, &mut w, &found.upper, step, 3.0, &mut codes);
                let d: Vec<f64> = weights.iter().zip(&codes).map(|(w, q)| w - q * step).collect();
                let exact: f64 = (0..k).map(|i| (0..k).map(|j| d[i] * h[i * k + j] * d[j]).sum::<f64>()).sum();
                prop_assert!((error - exact).abs() <= 1e-6 * (1.0 + exact), "{error} {exact}");
                let gained = descend(isa, &weights, &h, step, 3.0, 9, &mut codes);
                let d: Vec<f64> = weights.iter().zip(&codes).map(|(w, q)| w - q * step).collect();
                let after: f64 = (0..k).map(|i| (0..k).map(|j| d[i] * h[i * k + j] * d[j]).sum::<f64>()).sum();
                prop_assert!(gained >= 0.0 && (exact - gained - after).abs() <= 1e-6 * (1.0 + exact));
                prop_assert!(codes.iter().all(|c| c.abs() <= 3.0));
                let own = (codes, error.to_bits());
                prop_assert_eq!(seen.get_or_insert(own.clone()), &own);
            }
        }

        #[test]
        fn sums_are_those_of_the_definition(
            columns in proptest::collection::vec(-255i16..=255, 3 * 40), shift in -1f32..1.0,
        ) {
            let n = 40;
            let targets: Vec<f32> = columns.iter().map(|&c| f32::from(c) * 0.01 + shift).collect();
            let mut seen: Option<Vec<u64>> = None;
            for isa in all() {
                let mut sums = [0i64; 3];
                gram_row(isa, &columns, n, 2, &mut sums);
                let exact = |j: usize| (0..n).map(|i| i64::from(columns[2 * n + i]) * i64::from(columns[j * n + i])).sum::<i64>();
                prop_assert_eq!(sums, [exact(0), exact(1), exact(2)]);
                let column: Vec<f32> = columns[..n].iter().map(|&c| f32::from(c)).collect();
                let mut sums = [0f64; 3];
                cross_row(isa, &column, &targets, &mut sums);
                for (j, sum) in sums.iter().enumerate() {
                    let exact: f64 = (0..n).map(|i| f64::from(column[i]) * f64::from(targets[j * n + i])).sum();
                    prop_assert!((sum - exact).abs() < 0.1, "{sum} {exact}");
                }
                let bits = sums.map(f64::to_bits).to_vec();
                prop_assert_eq!(seen.get_or_insert(bits.clone()), &bits);
            }
        }
    }
}
