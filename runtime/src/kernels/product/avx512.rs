//! AVX-512 VNNI: four products a lane and instruction, sixteen lanes.

use std::arch::x86_64::*;

use super::{BLOCK, Product};

/// Weights are asked for so many bytes before they are used.
const AHEAD: usize = 1024;

/// # Safety
/// The processor has AVX-512F and VNNI, every row lies in `x`, and `sums` has room for all rows.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) unsafe fn run(p: &Product, x: &[u8], rows: &[usize], sums: &mut [i32], add: bool) {
    let blocks = p.width() / BLOCK;
    if rows.len() < 4 {
        // SAFETY: the caller's promises; few rows need many blocks to keep the units busy.
        unsafe { few_rows(p, x, rows, sums, add) };
        return;
    }
    let mut block = 0;
    while block < blocks {
        let pair = blocks - block >= 2;
        let mut row = 0;
        while row < rows.len() {
            let left = rows.len() - row;
            // SAFETY: the caller's promises, for `block` and `row` in range.
            unsafe {
                row += match (pair, left) {
                    (true, 12..) => tile::<12, 2>(p, x, rows, sums, add, row, block),
                    (true, 8..) => tile::<8, 2>(p, x, rows, sums, add, row, block),
                    (true, 4..) => tile::<4, 2>(p, x, rows, sums, add, row, block),
                    (true, 2..) => tile::<2, 2>(p, x, rows, sums, add, row, block),
                    (true, _) => tile::<1, 2>(p, x, rows, sums, add, row, block),
                    (false, 16..) => tile::<16, 1>(p, x, rows, sums, add, row, block),
                    (false, 8..) => tile::<8, 1>(p, x, rows, sums, add, row, block),
                    (false, 4..) => tile::<4, 1>(p, x, rows, sums, add, row, block),
                    (false, 2..) => tile::<2, 1>(p, x, rows, sums, add, row, block),
                    (false, _) => tile::<1, 1>(p, x, rows, sums, add, row, block),
                };
            }
        }
        block += if pair { 2 } else { 1 };
    }
}

/// # Safety
/// As [`run`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn few_rows(p: &Product, x: &[u8], rows: &[usize], sums: &mut [i32], add: bool) {
    let blocks = p.width() / BLOCK;
    for row in 0..rows.len() {
        let mut block = 0;
        while block < blocks {
            let left = blocks - block;
            // SAFETY: the caller's promises, for `block` and `row` in range.
            unsafe {
                match left {
                    8.. => {
                        tile::<1, 8>(p, x, rows, sums, add, row, block);
                        block += 8;
                    }
                    4.. => {
                        tile::<1, 4>(p, x, rows, sums, add, row, block);
                        block += 4;
                    }
                    2.. => {
                        tile::<1, 2>(p, x, rows, sums, add, row, block);
                        block += 2;
                    }
                    _ => {
                        tile::<1, 1>(p, x, rows, sums, add, row, block);
                        block += 1;
                    }
                }
            }
        }
    }
}

/// `R` rows times `B` blocks, all sums in registers; returns `R`.
///
/// # Safety
/// As [`run`]; `row + R` rows and `block + B` blocks exist.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[allow(clippy::too_many_arguments)]
unsafe fn tile<const R: usize, const B: usize>(
    p: &Product,
    x: &[u8],
    rows: &[usize],
    sums: &mut [i32],
    add: bool,
    row: usize,
    block: usize,
) -> usize {
    let length = p.taps.len() * p.groups * 4 * BLOCK;
    let mut total = [[_mm512_setzero_si512(); B]; R];
    // SAFETY: rows, taps and groups were checked against `x` by the caller, the packed weights have
    // `length` bytes for each block, and `sums` has `width` entries for each row.
    unsafe {
        let mut starts = [x.as_ptr(); R];
        for (start, &offset) in starts.iter_mut().zip(rows.get_unchecked(row..row + R)) {
            *start = start.add(offset);
        }
        let mut weights = p.packed.as_ptr().add(block * length);
        for &tap in &p.taps {
            for group in 0..p.groups {
                let mut w = [_mm512_setzero_si512(); B];
                for (b, w) in w.iter_mut().enumerate() {
                    // Weights come from far when the layer is large; beyond the end it does nothing.
                    _mm_prefetch::<_MM_HINT_T0>(weights.wrapping_add(b * length + AHEAD));
                    *w = _mm512_loadu_si512(weights.add(b * length).cast());
                }
                for r in 0..R {
                    let four = starts[r].add(tap + 4 * group).cast::<i32>().read_unaligned();
                    let four = _mm512_set1_epi32(four);
                    for b in 0..B {
                        total[r][b] = _mm512_dpbusd_epi32(total[r][b], four, w[b]);
                    }
                }
                weights = weights.add(4 * BLOCK);
            }
        }
        for (r, total) in total.iter().enumerate() {
            for (b, &total) in total.iter().enumerate() {
                let column = (block + b) * BLOCK;
                let to = sums.as_mut_ptr().add((row + r) * p.width() + column).cast();
                let initial = _mm512_loadu_si512(p.initial.as_ptr().add(column).cast());
                let mut sum = _mm512_add_epi32(total, initial);
                if add {
                    sum = _mm512_add_epi32(sum, _mm512_loadu_si512(to));
                }
                _mm512_storeu_si512(to, sum);
            }
        }
    }
    R
}
