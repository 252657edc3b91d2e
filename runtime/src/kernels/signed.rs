//! Neurons that fire at most one spike a timestep and take back what was too much.

use super::neurons::{Input, Sent};
use super::product::BLOCK;
use super::{Isa, multiversion};

/// Integrate-and-fire neurons with a soft reset whose spikes are 1, or -1 for what is taken back: fires at the
/// threshold, and below 0 takes back, as far as the total of all that was sent stays in a range.
#[derive(Clone, Debug, Default)]
pub struct Signed {
    /// One entry for each channel, positive.
    pub threshold: Vec<i32>,
    /// Potential at the start, one entry for each channel.
    pub initial: Vec<i32>,
    /// 1 where neurons fire above the threshold, 0 where they fire at it.
    pub above: i32,
    /// Least total.
    pub minimum: i32,
    /// Largest total.
    pub maximum: i32,
    /// Byte of silence, at least 1.
    pub silence: u8,
}

/// Runs such neurons over all timesteps.
///
/// # Panics
/// When buffers or tables are too short.
pub fn fire_signed(isa: Isa, n: &Signed, input: &Input<'_>, sent: &mut Sent<'_>) {
    assert!(n.threshold.len() >= input.width && n.initial.len() >= input.width);
    fire_signed_blocks(isa, n, input, sent);
}

multiversion! {
    /// As [`fire_signed`], for the compiler to vectorise.
    pub fn fire_signed_blocks(n: &Signed, input: &Input<'_>, sent: &mut Sent<'_>) {
        for place in 0..sent.places.len() {
            for first in (0..sent.stride).step_by(BLOCK) {
                let (mut v, mut threshold) = ([0i32; BLOCK], [0i32; BLOCK]);
                v.copy_from_slice(&n.initial[first..][..BLOCK]);
                threshold.copy_from_slice(&n.threshold[first..][..BLOCK]);
                let mut total = [0i32; BLOCK];
                for t in 0..input.steps {
                    let more = input.at(place, t, first);
                    let mut bytes = [0u8; BLOCK];
                    for i in 0..BLOCK {
                        let u = v[i].wrapping_add(more[i]);
                        let compared = u.wrapping_sub(n.above);
                        let level = i32::from(compared >= threshold[i]) - i32::from(compared < 0);
                        let level = level.min(n.maximum - total[i]).max(n.minimum - total[i]);
                        v[i] = u.wrapping_sub(level.wrapping_mul(threshold[i]));
                        total[i] += level;
                        bytes[i] = (level + i32::from(n.silence)) as u8;
                    }
                    sent.put(place, t, first, &bytes);
                }
            }
        }
    }
}

multiversion! {
    /// Of rows of `width` sums the largest of each `cells` that follow each other, in place: row `(p, t)` of
    /// `steps` becomes that of rows `(p * cells + k, t)`.
    pub fn largest_of_rows(sums: &mut [i32], cells: usize, steps: usize, width: usize) {
        let row = steps * width;
        for place in 0..sums.len() / (cells * row).max(1) {
            for k in 0..cells {
                let (to, from) = (place * row, (place * cells + k) * row);
                if k == 0 {
                    sums.copy_within(from..from + row, to);
                    continue;
                }
                let (before, after) = sums.split_at_mut(from);
                for (to, &from) in before[to..][..row].iter_mut().zip(&after[..row]) {
                    *to = if from > *to { from } else { *to };
                }
            }
        }
    }
}

multiversion! {
    /// How many of some sums are not 0, and the sum of their magnitudes.
    pub fn activity_of_sums(sums: &[i32]) -> (u64, u64) {
        let (mut count, mut magnitude) = (0u64, 0u64);
        for &sum in sums {
            count += u64::from(sum != 0);
            magnitude += u64::from(sum.unsigned_abs());
        }
        (count, magnitude)
    }
}
