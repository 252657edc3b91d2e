//! AVX-512: 64 bytes are counted at once.

use std::arch::x86_64::*;

use super::{LONG_CHUNK, Windows};

/// 64 bytes from `at` on, `zero` beyond the end; bytes other than `zero` have their bit in the mask, and
/// their distance from it in the register.
///
/// # Safety
/// The processor has AVX-512.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
unsafe fn distances(bytes: &[u8], at: usize, zero: __m512i) -> (__mmask64, __m512i) {
    let left = bytes.len() - at;
    let inside = if left < 64 { (1 << left) - 1 } else { u64::MAX };
    // SAFETY: bytes beyond the end are masked.
    let own = unsafe { _mm512_mask_loadu_epi8(zero, inside, bytes.as_ptr().add(at).cast()) };
    let fired = _mm512_cmpneq_epi8_mask(own, zero);
    (fired, _mm512_or_si512(_mm512_subs_epu8(own, zero), _mm512_subs_epu8(zero, own)))
}

/// # Safety
/// The processor has AVX-512.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
pub(super) unsafe fn activity(bytes: &[u8], zero: u8) -> (u64, u64) {
    let zero = _mm512_set1_epi8(zero as i8);
    let (mut spikes, mut magnitude) = (0, _mm512_setzero_si512());
    for at in (0..bytes.len()).step_by(64) {
        // SAFETY: the caller's promise.
        let (fired, distance) = unsafe { distances(bytes, at, zero) };
        spikes += u64::from(fired.count_ones());
        let own = _mm512_sad_epu8(distance, _mm512_setzero_si512());
        magnitude = _mm512_add_epi64(magnitude, own);
    }
    (spikes, _mm512_reduce_add_epi64(magnitude) as u64)
}

/// # Safety
/// The processor has AVX-512.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
pub(super) unsafe fn squares(bytes: &[u8], zero: u8) -> u64 {
    let (zero, none) = (_mm512_set1_epi8(zero as i8), _mm512_setzero_si512());
    let mut total = 0;
    for chunk in bytes.chunks(LONG_CHUNK) {
        let mut sums = none;
        for at in (0..chunk.len()).step_by(64) {
            // SAFETY: the caller's promise.
            let (_, distance) = unsafe { distances(chunk, at, zero) };
            for half in [_mm512_unpacklo_epi8(distance, none), _mm512_unpackhi_epi8(distance, none)]
            {
                sums = _mm512_add_epi32(sums, _mm512_madd_epi16(half, half));
            }
        }
        total += sum(sums);
    }
    total
}

/// # Safety
/// The processor has AVX-512, and there are as many entries in `each` as bytes.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
pub(super) unsafe fn synapses(bytes: &[u8], zero: u8, each: &[u32]) -> u64 {
    let zero = _mm512_set1_epi8(zero as i8);
    let mut total = 0;
    for (bytes, each) in bytes.chunks(LONG_CHUNK).zip(each.chunks(LONG_CHUNK)) {
        let mut sums = _mm512_setzero_si512();
        for at in (0..bytes.len()).step_by(64) {
            // SAFETY: the caller's promise; bytes beyond the end have not fired, so that no entry is read
            // for them.
            unsafe {
                let (fired, _) = distances(bytes, at, zero);
                for i in 0..4 {
                    let from = each.as_ptr().wrapping_add(at + 16 * i).cast();
                    let own = _mm512_maskz_loadu_epi32((fired >> (16 * i)) as __mmask16, from);
                    sums = _mm512_add_epi32(sums, own);
                }
            }
        }
        total += sum(sums);
    }
    total
}

/// Joins the bytes of the cells of each window: their sum, or the largest.
///
/// # Safety
/// The processor has AVX-512, and cells and places were checked.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
pub(super) unsafe fn join<const SUM: bool>(
    from: &[u8],
    windows: &Windows,
    len: usize,
    empty: u8,
    to: &mut [u8],
) {
    let empty = _mm512_set1_epi8(empty as i8);
    let join = |a, b| if SUM { _mm512_add_epi8(a, b) } else { _mm512_max_epu8(a, b) };
    for at in (0..len).step_by(64) {
        let inside = if len - at < 64 { (1 << (len - at)) - 1 } else { u64::MAX };
        let (from, to) = (from.as_ptr().wrapping_add(at), to.as_mut_ptr().wrapping_add(at));
        let mut first = 0;
        for &(place, end) in &windows.places {
            // SAFETY: the cells of a window end after those of the one before, and `len` bytes of each
            // lie in `from`; so does the place in `to`.
            unsafe {
                let cells = windows.cells.get_unchecked(first..end);
                let load = |cell| _mm512_maskz_loadu_epi8(inside, from.wrapping_add(cell).cast());
                let joined = match *cells {
                    // So many most windows have.
                    [a, b, c, d] => join(join(load(a), load(b)), join(load(c), load(d))),
                    [] => empty,
                    [cell, ref rest @ ..] => {
                        rest.iter().fold(load(cell), |joined, &cell| join(joined, load(cell)))
                    }
                };
                _mm512_mask_storeu_epi8(to.wrapping_add(place).cast(), inside, joined);
                first = end;
            }
        }
    }
}

/// The sum of unsigned 32-bit numbers.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
fn sum(sums: __m512i) -> u64 {
    let lower = _mm512_and_si512(sums, _mm512_set1_epi64(u32::MAX.into()));
    let upper = _mm512_srli_epi64::<32>(sums);
    _mm512_reduce_add_epi64(_mm512_add_epi64(lower, upper)) as u64
}
