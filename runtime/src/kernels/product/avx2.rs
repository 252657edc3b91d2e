//! AVX2: bytes widened to 16 bits before they are multiplied, so that no pair of products saturates.

use std::arch::x86_64::*;

use super::{BLOCK, LINE, Part, Product};

/// # Safety
/// The processor has AVX2, every row lies in `x`, and `sums` has room for all rows.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn run(p: &Product, x: &[u8], rows: &[usize], sums: &mut [i32], add: bool) {
    for &part in &p.parts {
        for within in 0..part.blocks {
            let mut row = 0;
            while row < rows.len() {
                let at = (row, part, within);
                // SAFETY: the caller's promises, for block and row in range.
                unsafe {
                    row += match rows.len() - row {
                        4.. => tile::<4>(p, x, rows, sums, add, at),
                        2.. => tile::<2>(p, x, rows, sums, add, at),
                        _ => tile::<1>(p, x, rows, sums, add, at),
                    };
                }
            }
        }
    }
}

/// `R` rows times one block of 16 outputs in two registers each; returns `R`.
///
/// # Safety
/// As [`run`]; `row + R` rows exist.
#[target_feature(enable = "avx2")]
unsafe fn tile<const R: usize>(
    p: &Product,
    x: &[u8],
    rows: &[usize],
    sums: &mut [i32],
    add: bool,
    (row, part, within): (usize, Part, usize),
) -> usize {
    let low_bytes = _mm256_set1_epi16(0xff);
    let mut total = [[_mm256_setzero_si256(); 2]; R];
    // SAFETY: rows, taps and groups were checked against `x` by the caller, the packed weights have a
    // line for each block and group, and `sums` has `width` entries for each row.
    unsafe {
        let mut weights = p.packed.as_ptr().add(p.start(part) + within * LINE);
        for &tap in &p.taps {
            for group in 0..p.groups {
                let (mut even, mut odd) =
                    ([_mm256_setzero_si256(); 2], [_mm256_setzero_si256(); 2]);
                for half in 0..2 {
                    let w = _mm256_loadu_si256(weights.add(32 * half).cast());
                    even[half] = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(w));
                    odd[half] = _mm256_srai_epi16::<8>(w);
                }
                for (r, total) in total.iter_mut().enumerate() {
                    let from = x.as_ptr().add(rows[row + r] + tap + 4 * group);
                    let four = _mm256_set1_epi32(from.cast::<i32>().read_unaligned());
                    let first = _mm256_and_si256(four, low_bytes);
                    let second = _mm256_srli_epi16::<8>(four);
                    for half in 0..2 {
                        let sum = _mm256_add_epi32(
                            _mm256_madd_epi16(first, even[half]),
                            _mm256_madd_epi16(second, odd[half]),
                        );
                        total[half] = _mm256_add_epi32(total[half], sum);
                    }
                }
                weights = weights.wrapping_add(part.blocks * LINE);
            }
        }
        for (r, total) in total.iter().enumerate() {
            for (half, &total) in total.iter().enumerate() {
                let column = (part.block + within) * BLOCK + 8 * half;
                let to = sums.as_mut_ptr().add((row + r) * p.width() + column).cast();
                let initial = _mm256_loadu_si256(p.initial.as_ptr().add(column).cast());
                let mut sum = _mm256_add_epi32(total, initial);
                if add {
                    sum = _mm256_add_epi32(sum, _mm256_loadu_si256(to));
                }
                _mm256_storeu_si256(to, sum);
            }
        }
    }
    R
}
