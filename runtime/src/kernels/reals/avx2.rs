//! AVX2: eight targets in one register.

use std::arch::x86_64::*;

use super::{Line, Lists};

#[target_feature(enable = "avx2")]
pub(super) fn sums(weights: &[Line], width: usize, lists: Lists<'_>, sums: &mut [f32]) {
    match width {
        64 => of::<64, 8, 4>(weights, lists, sums),
        32 => of::<32, 4, 2>(weights, lists, sums),
        _ => of::<16, 2, 1>(weights, lists, sums),
    }
}

/// `W` targets in `N` registers, of `L` lines.
#[inline]
#[target_feature(enable = "avx2")]
fn of<const W: usize, const N: usize, const L: usize>(
    weights: &[Line],
    lists: Lists<'_>,
    sums: &mut [f32],
) {
    let weights = weights.as_chunks::<L>().0;
    for (i, sums) in sums.as_chunks_mut::<W>().0.iter_mut().enumerate() {
        let (indices, values) = lists.list(i);
        let mut total = [_mm256_setzero_ps(); N];
        if values.is_empty() {
            for &index in indices {
                let row = &weights[index as usize];
                for (k, total) in total.iter_mut().enumerate() {
                    *total = _mm256_add_ps(*total, load(row, k));
                }
            }
        } else {
            for (&index, &x) in indices.iter().zip(values) {
                let (row, x) = (&weights[index as usize], _mm256_set1_ps(x));
                for (k, total) in total.iter_mut().enumerate() {
                    // Two roundings: a fused product would be another sum.
                    *total = _mm256_add_ps(*total, _mm256_mul_ps(load(row, k), x));
                }
            }
        }
        for (k, total) in total.into_iter().enumerate() {
            let to = &mut sums[k * 8..][..8];
            // SAFETY: there are 8 floats at `to`.
            unsafe { _mm256_storeu_ps(to.as_mut_ptr(), total) };
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load<const L: usize>(row: &[Line; L], k: usize) -> __m256 {
    let from = &row[k / 2].0[k % 2 * 8..][..8];
    // SAFETY: there are 8 floats at `from`.
    unsafe { _mm256_loadu_ps(from.as_ptr()) }
}
