//! AVX-512: sixteen targets in one register.

use std::arch::x86_64::*;

use super::{Line, Lists};

/// Rows between one that is asked for and one that is added.
const AHEAD: usize = 12;

#[target_feature(enable = "avx512f")]
pub(super) fn sums(weights: &[Line], width: usize, lists: Lists<'_>, sums: &mut [f32]) {
    match width {
        64 => of::<64, 4, 2>(weights, lists, sums),
        32 => of::<32, 2, 4>(weights, lists, sums),
        _ => of::<16, 1, 4>(weights, lists, sums),
    }
}

/// `W` targets in `N` registers, of `L` lists at once: a sum waits for its last addition, and meanwhile
/// the other lists go on.
#[inline]
#[target_feature(enable = "avx512f")]
fn of<const W: usize, const N: usize, const L: usize>(
    weights: &[Line],
    lists: Lists<'_>,
    sums: &mut [f32],
) {
    let (weights, sums) = (weights.as_chunks::<N>().0, sums.as_chunks_mut::<W>().0);
    for (first, sums) in (0..).step_by(L).zip(sums.chunks_mut(L)) {
        let mut totals = [[_mm512_setzero_ps(); N]; L];
        let mut done = 0;
        if sums.len() == L && lists.values.is_empty() {
            let indices: [&[u32]; L] = std::array::from_fn(|l| lists.list(first + l).0);
            done = indices.iter().map(|i| i.len()).min().unwrap_or(0);
            let indices = indices.map(|i| &i[..done]);
            for e in 0..done {
                for (indices, total) in indices.iter().zip(&mut totals) {
                    if let Some(&later) = indices.get(e + AHEAD / L) {
                        fetch::<N>(weights, later as usize);
                    }
                    let row = &weights[indices[e] as usize];
                    for (k, total) in total.iter_mut().enumerate() {
                        *total = _mm512_add_ps(*total, load(row, k));
                    }
                }
            }
        }
        for (l, (sums, total)) in sums.iter_mut().zip(totals).enumerate() {
            let (indices, values) = lists.list(first + l);
            let total = rest::<N>(weights, &indices[done..], values, total);
            for (k, total) in total.into_iter().enumerate() {
                let to = &mut sums[k * 16..][..16];
                // SAFETY: there are 16 floats at `to`.
                unsafe { _mm512_storeu_ps(to.as_mut_ptr(), total) };
            }
        }
    }
}

/// Adds one list to its totals.
#[inline]
#[target_feature(enable = "avx512f")]
fn rest<const N: usize>(
    weights: &[[Line; N]],
    indices: &[u32],
    values: &[f32],
    mut total: [__m512; N],
) -> [__m512; N] {
    if values.is_empty() {
        for (e, &index) in indices.iter().enumerate() {
            if let Some(&later) = indices.get(e + AHEAD) {
                fetch::<N>(weights, later as usize);
            }
            let row = &weights[index as usize];
            for (k, total) in total.iter_mut().enumerate() {
                *total = _mm512_add_ps(*total, load(row, k));
            }
        }
        return total;
    }
    for (&index, &x) in indices.iter().zip(values) {
        let (row, x) = (&weights[index as usize], _mm512_set1_ps(x));
        for (k, total) in total.iter_mut().enumerate() {
            // Two roundings: a fused product would be another sum.
            *total = _mm512_add_ps(*total, _mm512_mul_ps(load(row, k), x));
        }
    }
    total
}

/// Asks for a row that is needed soon: rows lie too far apart for the processor to guess.
#[inline]
#[target_feature(enable = "avx512f")]
fn fetch<const N: usize>(weights: &[[Line; N]], row: usize) {
    let row = weights.as_ptr().wrapping_add(row).cast::<Line>();
    for k in 0..N {
        _mm_prefetch::<_MM_HINT_T0>(row.wrapping_add(k).cast());
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load<const N: usize>(row: &[Line; N], k: usize) -> __m512 {
    let from = &row[k].0;
    // SAFETY: there are 16 floats at `from`.
    unsafe { _mm512_loadu_ps(from.as_ptr()) }
}

/// As [`super::nonzero`]; `indices` is as long as `values` rounded up to a whole 16.
#[target_feature(enable = "avx512f,popcnt")]
pub(super) fn nonzero(values: &[f32], indices: &mut [u32]) -> usize {
    let zero = _mm512_setzero_ps();
    let (mut place, mut count) =
        (_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), 0);
    let (whole, rest) = values.as_chunks::<16>();
    // SAFETY: there are 16 floats.
    let whole = whole.iter().map(|x| unsafe { _mm512_loadu_ps(x.as_ptr()) });
    let inside = (1u16 << rest.len()) - 1;
    // SAFETY: of the 16 floats only those inside are read.
    let rest = (!rest.is_empty()).then(|| unsafe { _mm512_maskz_loadu_ps(inside, rest.as_ptr()) });
    for x in whole.chain(rest) {
        let sends = _mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(x, zero);
        let packed = _mm512_maskz_compress_epi32(sends, place);
        let to = &mut indices[count..count + 16];
        // SAFETY: there are 16 indices at `to`.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), packed) };
        count += sends.count_ones() as usize;
        place = _mm512_add_epi32(place, _mm512_set1_epi32(16));
    }
    count
}
