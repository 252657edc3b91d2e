//! AVX2: eight targets in one register.

use std::arch::x86_64::*;

use super::{Block, Line, Lists, Maps, SPARE, Tile};

#[target_feature(enable = "avx2")]
pub(super) fn sums(weights: &[Line], width: usize, lists: Lists<'_>, sums: &mut [f32]) {
    match width {
        64 => sums_of::<64, 8, 4>(weights, lists, sums),
        32 => sums_of::<32, 4, 2>(weights, lists, sums),
        _ => sums_of::<16, 2, 1>(weights, lists, sums),
    }
}

/// `W` targets in `N` registers, of `L` lines.
#[inline]
#[target_feature(enable = "avx2")]
fn sums_of<const W: usize, const N: usize, const L: usize>(
    weights: &[Line],
    lists: Lists<'_>,
    sums: &mut [f32],
) {
    let weights = weights.as_chunks::<L>().0;
    for (i, sums) in sums.as_chunks_mut::<W>().0.iter_mut().enumerate() {
        let mut total = [_mm256_setzero_ps(); N];
        for (source, x) in lists.list(i) {
            let (row, x) = (&weights[source], _mm256_set1_ps(x));
            for (total, weights) in total.iter_mut().zip(halves(row)) {
                // Two roundings: a fused product would be another sum.
                *total = _mm256_add_ps(*total, _mm256_mul_ps(load(weights), x));
            }
        }
        store(total, sums);
    }
}

#[target_feature(enable = "avx2")]
pub(super) fn spikes(block: &Block, maps: Maps<'_>, tile: Tile, sums: &mut [f32]) {
    match block.width {
        64 => spikes_of::<64, 8, 4>(&block.weights, maps, tile, sums),
        32 => spikes_of::<32, 4, 2>(&block.weights, maps, tile, sums),
        _ => spikes_of::<16, 2, 1>(&block.weights, maps, tile, sums),
    }
}

/// `W` targets in `N` registers, of `L` lines.
#[inline]
#[target_feature(enable = "avx2")]
fn spikes_of<const W: usize, const N: usize, const L: usize>(
    weights: &[Line],
    maps: Maps<'_>,
    tile: Tile,
    sums: &mut [f32],
) {
    let weights = weights.as_chunks::<L>().0;
    let sums = sums.as_chunks_mut::<W>().0;
    for (words, sums) in maps.words.chunks_exact(maps.stride).zip(sums) {
        let mut total = [_mm256_setzero_ps(); N];
        if tile.words.start > 0 {
            for (total, sums) in total.iter_mut().zip(sums.as_chunks::<8>().0) {
                *total = load(sums);
            }
        }
        let first = tile.words.start;
        for (w, &word) in words[tile.words.clone()].iter().enumerate() {
            let Some(rows) = weights.get((first + w) * maps.each..).and_then(<[_]>::first_chunk)
            else {
                continue;
            };
            let rows: &[[Line; L]; SPARE] = rows;
            let mut bits = word;
            while bits != 0 {
                let row = &rows[bits.trailing_zeros() as usize % SPARE];
                for (total, weights) in total.iter_mut().zip(halves(row)) {
                    *total = _mm256_add_ps(*total, load(weights));
                }
                bits &= bits - 1;
            }
        }
        store(total, sums);
    }
}

fn halves<const L: usize>(row: &[Line; L]) -> impl Iterator<Item = &[f32; 8]> {
    row.iter().flat_map(|line| line.0.as_chunks::<8>().0)
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(from: &[f32; 8]) -> __m256 {
    // SAFETY: there are 8 floats at `from`.
    unsafe { _mm256_loadu_ps(from.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store<const N: usize>(from: [__m256; N], to: &mut [f32]) {
    for (from, to) in from.into_iter().zip(to.as_chunks_mut::<8>().0) {
        // SAFETY: there are 8 floats at `to`.
        unsafe { _mm256_storeu_ps(to.as_mut_ptr(), from) };
    }
}
