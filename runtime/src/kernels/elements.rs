//! What is done byte by byte and sum by sum: encoding, counting, pooling, products without a sum over
//! channels.

use super::multiversion;
use super::neurons::whole;
use super::product::BLOCK;

/// Chunks of so many times 64 bytes are counted byte by byte: no count leaves 8 bits, no sum 16.
const CHUNK: usize = 255 * 64;

multiversion! {
    /// Bytes other than `zero`.
    pub fn spikes(bytes: &[u8], zero: u8) -> u64 {
        let mut spikes = 0;
        for chunk in bytes.chunks(CHUNK) {
            let mut counts = [0u8; 64];
            let (whole, rest) = chunk.as_chunks::<64>();
            for bytes in whole {
                for (count, &byte) in counts.iter_mut().zip(bytes) {
                    *count += u8::from(byte != zero);
                }
            }
            spikes += rest.iter().map(|&byte| u64::from(byte != zero)).sum::<u64>();
            spikes += counts.iter().map(|&c| u64::from(c)).sum::<u64>();
        }
        spikes
    }
}

multiversion! {
    /// Payloads other than 0 and the sum of their magnitudes; a byte stands for itself less `zero`.
    pub fn activity(bytes: &[u8], zero: u8) -> (u64, u64) {
        let (mut spikes, mut magnitude) = (0u64, 0u64);
        for chunk in bytes.chunks(CHUNK) {
            let mut counts = [0u8; 64];
            let mut sums = [0u16; 64];
            let (whole, rest) = chunk.as_chunks::<64>();
            for bytes in whole {
                for i in 0..64 {
                    counts[i] += u8::from(bytes[i] != zero);
                    sums[i] += u16::from(bytes[i].abs_diff(zero));
                }
            }
            for &byte in rest {
                spikes += u64::from(byte != zero);
                magnitude += u64::from(byte.abs_diff(zero));
            }
            spikes += counts.iter().map(|&c| u64::from(c)).sum::<u64>();
            magnitude += sums.iter().map(|&s| u64::from(s)).sum::<u64>();
        }
        (spikes, magnitude)
    }
}

multiversion! {
    /// The largest of the bytes `from[cell + i]` of all cells, for each `i`; without cells nothing is
    /// done.
    pub fn maximum(from: &[u8], cells: &[usize], to: &mut [u8]) {
        let len = to.len();
        let Some((&first, rest)) = cells.split_first() else { return };
        to.copy_from_slice(&from[first..][..len]);
        for &cell in rest {
            for (to, &byte) in to.iter_mut().zip(&from[cell..][..len]) {
                *to = (*to).max(byte);
            }
        }
    }
}

multiversion! {
    /// The sum of the bytes `from[cell + i]` of all cells, for each `i`, which wraps.
    pub fn sum(from: &[u8], cells: &[usize], to: &mut [u8]) {
        let len = to.len();
        to.fill(0);
        for &cell in cells {
            for (to, &byte) in to.iter_mut().zip(&from[cell..][..len]) {
                *to = to.wrapping_add(byte);
            }
        }
    }
}

multiversion! {
    /// `code[i] = clamp(round_half_even(x[i] / scale), low, high) - low`, not a number counting as 0;
    /// `low` and `high` are whole, at most 255 apart and of less than 24 bits.
    pub fn quantise(x: &[f32], scale: f32, low: f32, high: f32, codes: &mut [u8]) {
        for (code, &x) in codes.iter_mut().zip(x) {
            let level = (x / scale).round_ties_even();
            let level = if level.is_nan() { 0.0 } else { level };
            let level = if level > low { level } else { low };
            let level = if level < high { level } else { high };
            *code = whole(level - low);
        }
    }
}

multiversion! {
    /// Products of each channel with itself alone: `sums[r * width + c] = initial[c] + sum over taps of
    /// x[rows[r] + taps[k] + c] * weights[k * width + c]` for `stride` channels, or added to `sums`.
    pub fn diagonal(
        x: &[u8],
        rows: &[usize],
        taps: &[usize],
        stride: usize,
        weights: &[i32],
        initial: &[i32],
        sums: &mut [i32],
        add: bool,
    ) {
        let width = initial.len();
        for (&row, sums) in rows.iter().zip(sums.chunks_exact_mut(width.max(1))) {
            for (block, sums) in sums.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
                let first = block * BLOCK;
                let lanes = stride.saturating_sub(first).min(BLOCK);
                let mut total = [0i32; BLOCK];
                for (i, &tap) in taps.iter().enumerate() {
                    let weights = &weights[i * width + first..][..BLOCK];
                    let mut bytes = [0u8; BLOCK];
                    if lanes == BLOCK {
                        bytes.copy_from_slice(&x[row + tap + first..][..BLOCK]);
                    } else {
                        bytes[..lanes].copy_from_slice(&x[row + tap + first..][..lanes]);
                    }
                    for lane in 0..BLOCK {
                        let product = i32::from(bytes[lane]).wrapping_mul(weights[lane]);
                        total[lane] = total[lane].wrapping_add(product);
                    }
                }
                let initial = &initial[first..first + BLOCK];
                for lane in 0..BLOCK {
                    let before = if add { sums[lane] } else { 0 };
                    sums[lane] = before.wrapping_add(total[lane]).wrapping_add(initial[lane]);
                }
            }
        }
    }
}

multiversion! {
    /// `sums[i] += gain[i % width] * terms[i]`.
    pub fn add_scaled(terms: &[i32], gain: &[i32], sums: &mut [i32]) {
        let width = gain.len().max(1);
        for (sums, terms) in sums.chunks_exact_mut(width).zip(terms.chunks_exact(width)) {
            for ((sum, &term), &gain) in sums.iter_mut().zip(terms).zip(gain) {
                *sum = sum.wrapping_add(gain.wrapping_mul(term));
            }
        }
    }
}
