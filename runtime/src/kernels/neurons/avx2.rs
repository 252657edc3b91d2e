//! AVX2: eight channels in one register.

use std::arch::x86_64::*;

use super::{BLOCK, Input, Line, Sent};

/// Lines that thresholds put right: each lane looks up the threshold of the level above its own.
///
/// # Safety
/// The processor has AVX2, the arguments were checked, and every channel has a row of as many thresholds as there are
/// bytes up to the largest.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn answer_uneven(n: &Line, input: &Input<'_>, sent: &mut Sent<'_>) {
    let (low, high) = (_mm256_set1_ps(n.low), _mm256_set1_ps(n.high));
    let (least, most) = (_mm256_setzero_ps(), _mm256_set1_ps(255.0));
    for first in (0..sent.stride).step_by(BLOCK) {
        let uneven = n.uneven[first / BLOCK];
        // SAFETY: there are as many channels, padded to whole blocks, as was checked.
        let (slopes, offsets, rows) = unsafe {
            let reals = |table: &[f32]| {
                [0, 8].map(|half| _mm256_loadu_ps(table.as_ptr().add(first + half)))
            };
            let rows =
                [0, 8].map(|half| _mm256_loadu_si256(n.rows.as_ptr().add(first + half).cast()));
            (reals(&n.slope), reals(&n.offset), rows)
        };
        for place in 0..sent.places.len() {
            for t in 0..input.steps {
                if n.behind_barrier && t + 1 < input.steps {
                    sent.put(place, t, first, &[n.silence; BLOCK]);
                    continue;
                }
                let v = match n.behind_barrier {
                    true => input.total(place, first),
                    false => input.at(place, t, first),
                };
                let mut levels = [_mm256_setzero_si256(); 2];
                for half in 0..2 {
                    // SAFETY: a block has two halves of eight; a byte is at most the largest, and so has a
                    // threshold in its channel's row.
                    unsafe {
                        let v = _mm256_loadu_si256(v.as_ptr().add(8 * half).cast());
                        // Two roundings, as the definition has them: no fused operation.
                        let level = _mm256_mul_ps(_mm256_cvtepi32_ps(v), slopes[half]);
                        let level = _mm256_add_ps(level, offsets[half]);
                        let level = _mm256_min_ps(_mm256_max_ps(level, low), high);
                        let level = _mm256_min_ps(_mm256_max_ps(level, least), most);
                        levels[half] = _mm256_cvttps_epi32(level);
                        if uneven {
                            let index = _mm256_add_epi32(rows[half], levels[half]);
                            let next = _mm256_i32gather_epi32::<4>(n.thresholds.as_ptr(), index);
                            let below = _mm256_cmpgt_epi32(next, v);
                            let more = _mm256_add_epi32(below, _mm256_set1_epi32(1));
                            levels[half] = _mm256_add_epi32(levels[half], more);
                        }
                    }
                }
                let mut wide = [0i32; BLOCK];
                // SAFETY: a block has two halves of eight.
                unsafe {
                    _mm256_storeu_si256(wide.as_mut_ptr().cast(), levels[0]);
                    _mm256_storeu_si256(wide.as_mut_ptr().add(8).cast(), levels[1]);
                }
                sent.put(place, t, first, &wide.map(|level| level as u8));
            }
        }
    }
}
