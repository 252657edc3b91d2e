//! AVX-512 VNNI: four products a lane and instruction, sixteen lanes.

use std::arch::x86_64::*;

use super::{BLOCK, LINE, Part, Product};

/// Weights are asked for so many bytes before they are used.
const AHEAD: usize = 2048;

/// # Safety
/// The processor has AVX-512F and VNNI, every row lies in `x`, and `sums` has room for all rows.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) unsafe fn run(p: &Product, x: &[u8], rows: &[usize], sums: &mut [i32], add: bool) {
    for &part in &p.parts {
        let mut row = 0;
        while row < rows.len() {
            let left = rows.len() - row;
            // SAFETY: the caller's promises, for part and row in range.
            unsafe {
                row += match (part.blocks, left) {
                    (4, 6..) => tile::<6, 4, 1>(p, x, rows, sums, add, (row, part)),
                    (4, 4..) => tile::<4, 4, 1>(p, x, rows, sums, add, (row, part)),
                    (4, 2..) => tile::<2, 4, 1>(p, x, rows, sums, add, (row, part)),
                    (4, _) => tile::<1, 4, 4>(p, x, rows, sums, add, (row, part)),
                    (2, 8..) => tile::<8, 2, 1>(p, x, rows, sums, add, (row, part)),
                    (2, 4..) => tile::<4, 2, 1>(p, x, rows, sums, add, (row, part)),
                    (2, 2..) => tile::<2, 2, 2>(p, x, rows, sums, add, (row, part)),
                    (2, _) => tile::<1, 2, 4>(p, x, rows, sums, add, (row, part)),
                    (_, 8..) => tile::<8, 1, 1>(p, x, rows, sums, add, (row, part)),
                    (_, 4..) => tile::<4, 1, 2>(p, x, rows, sums, add, (row, part)),
                    (_, 2..) => tile::<2, 1, 4>(p, x, rows, sums, add, (row, part)),
                    (_, _) => tile::<1, 1, 4>(p, x, rows, sums, add, (row, part)),
                };
            }
        }
    }
}

/// `R` rows times the `B` blocks of a part, all sums in registers, each in `S` shares so that one
/// addition need not wait for the last; returns `R`.
///
/// # Safety
/// As [`run`]; `row + R` rows exist, and the part has `B` blocks.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn tile<const R: usize, const B: usize, const S: usize>(
    p: &Product,
    x: &[u8],
    rows: &[usize],
    sums: &mut [i32],
    add: bool,
    (row, part): (usize, Part),
) -> usize {
    let mut total = [[[_mm512_setzero_si512(); B]; R]; S];
    // SAFETY: rows, taps and groups were checked against `x` by the caller, the packed weights have a
    // line for each group and block, and `sums` has `width` entries for each row.
    unsafe {
        let mut starts = [x.as_ptr(); R];
        for (start, &offset) in starts.iter_mut().zip(rows.get_unchecked(row..row + R)) {
            *start = start.add(offset);
        }
        let mut weights = p.packed.as_ptr().add(p.start(part));
        let mut step = |offset: usize, total: &mut [[__m512i; B]; R]| {
            let mut w = [_mm512_setzero_si512(); B];
            for (b, w) in w.iter_mut().enumerate() {
                if B == 4 || R == 1 {
                    // Weights come from far when the layer is large; beyond the end it does nothing.
                    _mm_prefetch::<_MM_HINT_T0>(weights.wrapping_add(b * LINE + AHEAD));
                }
                *w = _mm512_loadu_si512(weights.add(b * LINE).cast());
            }
            for r in 0..R {
                let four = starts[r].add(offset).cast::<i32>().read_unaligned();
                let four = _mm512_set1_epi32(four);
                for b in 0..B {
                    total[r][b] = _mm512_dpbusd_epi32(total[r][b], four, w[b]);
                }
            }
            weights = weights.add(B * LINE);
        };
        if S == 1 {
            for &offset in &p.offsets {
                step(offset, &mut total[0]);
            }
        } else {
            // Few rows are read sooner than the list of offsets.
            for &tap in &p.taps {
                let mut group = 0;
                while group < p.groups {
                    for total in total.iter_mut().take(p.groups - group) {
                        step(tap + 4 * group, total);
                        group += 1;
                    }
                }
            }
        }
        for r in 0..R {
            for b in 0..B {
                let column = (part.block + b) * BLOCK;
                let to = sums.as_mut_ptr().add((row + r) * p.width() + column).cast();
                let mut sum = _mm512_loadu_si512(p.initial.as_ptr().add(column).cast());
                for total in &total {
                    sum = _mm512_add_epi32(sum, total[r][b]);
                }
                if add {
                    sum = _mm512_add_epi32(sum, _mm512_loadu_si512(to));
                }
                _mm512_storeu_si512(to, sum);
            }
        }
    }
    R
}
