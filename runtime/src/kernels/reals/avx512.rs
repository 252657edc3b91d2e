//! AVX-512: sixteen targets in one register.

use std::arch::x86_64::*;

use super::{Block, Line, Lists, Maps, SPARE, Tile};

#[target_feature(enable = "avx512f")]
pub(super) fn sums(weights: &[Line], width: usize, lists: Lists<'_>, sums: &mut [f32]) {
    match width {
        64 => sums_of::<64, 4>(weights, lists, sums),
        32 => sums_of::<32, 2>(weights, lists, sums),
        _ => sums_of::<16, 1>(weights, lists, sums),
    }
}

/// `W` targets in `N` registers.
#[inline]
#[target_feature(enable = "avx512f")]
fn sums_of<const W: usize, const N: usize>(weights: &[Line], lists: Lists<'_>, sums: &mut [f32]) {
    let weights = weights.as_chunks::<N>().0;
    for (i, sums) in sums.as_chunks_mut::<W>().0.iter_mut().enumerate() {
        let mut total = [_mm512_setzero_ps(); N];
        for (source, x) in lists.list(i) {
            let (row, x) = (&weights[source], _mm512_set1_ps(x));
            for (k, total) in total.iter_mut().enumerate() {
                // Two roundings: a fused product would be another sum.
                *total = _mm512_add_ps(*total, _mm512_mul_ps(load(&row[k].0), x));
            }
        }
        store(total, sums);
    }
}

#[target_feature(enable = "avx512f")]
pub(super) fn spikes(block: &Block, maps: Maps<'_>, tile: Tile, sums: &mut [f32]) {
    match block.width {
        64 => spikes_of::<64, 4>(&block.weights, maps, tile, sums),
        32 => spikes_of::<32, 2>(&block.weights, maps, tile, sums),
        _ => spikes_of::<16, 1>(&block.weights, maps, tile, sums),
    }
}

/// `W` targets in `N` registers.
#[inline]
#[target_feature(enable = "avx512f")]
fn spikes_of<const W: usize, const N: usize>(
    weights: &[Line],
    maps: Maps<'_>,
    tile: Tile,
    sums: &mut [f32],
) {
    let weights = weights.as_chunks::<N>().0;
    let mut ahead = weights.get(tile.words.end * maps.each..).unwrap_or_default().iter();
    let each_ahead = tile.ahead.div_ceil(maps.count().max(1));
    let sums = sums.as_chunks_mut::<W>().0;
    for (words, sums) in maps.words.chunks_exact(maps.stride).zip(sums) {
        for row in ahead.by_ref().take(each_ahead) {
            row.iter().for_each(|line| _mm_prefetch::<_MM_HINT_T1>(line.0.as_ptr().cast()));
        }
        let mut total = [_mm512_setzero_ps(); N];
        if tile.words.start > 0 {
            for (total, sums) in total.iter_mut().zip(sums.as_chunks::<16>().0) {
                *total = load(sums);
            }
        }
        let first = tile.words.start;
        for (w, &word) in words[tile.words.clone()].iter().enumerate() {
            let Some(rows) = weights.get((first + w) * maps.each..).and_then(<[_]>::first_chunk)
            else {
                continue;
            };
            let rows: &[[Line; N]; SPARE] = rows;
            let mut bits = word;
            while bits != 0 {
                let row = &rows[bits.trailing_zeros() as usize % SPARE];
                for (total, line) in total.iter_mut().zip(row) {
                    *total = _mm512_add_ps(*total, load(&line.0));
                }
                bits &= bits - 1;
            }
        }
        store(total, sums);
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(from: &[f32; 16]) -> __m512 {
    // SAFETY: there are 16 floats at `from`.
    unsafe { _mm512_loadu_ps(from.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store<const N: usize>(from: [__m512; N], to: &mut [f32]) {
    for (from, to) in from.into_iter().zip(to.as_chunks_mut::<16>().0) {
        // SAFETY: there are 16 floats at `to`.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), from) };
    }
}

/// As [`super::transpose`] of 16 rows, whose `width` is a multiple of 16.
#[target_feature(enable = "avx512f")]
pub(super) fn transpose(
    rows: &[f32],
    width: usize,
    columns: usize,
    stride: usize,
    out: &mut [f32],
) {
    for first in (0..columns).step_by(16) {
        let mut square = [_mm512_setzero_ps(); 16];
        for (line, row) in square.iter_mut().zip(rows.chunks_exact(width)) {
            if let Some(row) = row[first..].first_chunk() {
                *line = load(row);
            }
        }
        turn(&mut square);
        for (column, line) in (first..columns).zip(square) {
            store([line], &mut out[column * stride..][..16]);
        }
    }
}

/// Transposes a square: lines and lanes whose numbers differ in one bit swap a half, bit by bit.
#[inline]
#[target_feature(enable = "avx512f")]
fn turn(square: &mut [__m512; 16]) {
    let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    for bit in [1, 2, 4, 8] {
        let wide = _mm512_set1_epi32(bit as i32);
        let upper = _mm512_test_epi32_mask(lanes, wide);
        let other = _mm512_set1_epi32(16);
        // Lane `l` of the second line is index `16 + l`.
        let moved = _mm512_add_epi32(_mm512_sub_epi32(lanes, wide), other);
        let low = _mm512_mask_mov_epi32(lanes, upper, moved);
        let high = _mm512_mask_mov_epi32(
            _mm512_add_epi32(lanes, wide),
            upper,
            _mm512_add_epi32(lanes, other),
        );
        for i in (0..16).filter(|i| i & bit == 0) {
            let (a, b) = (square[i], square[i | bit]);
            square[i] = _mm512_permutex2var_ps(a, low, b);
            square[i | bit] = _mm512_permutex2var_ps(a, high, b);
        }
    }
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
