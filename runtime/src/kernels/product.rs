//! Products of bytes with packed weights: dense layers and convolutions, timesteps folded in as rows.
//!
//! A row is a place in a buffer of payloads; the weights of one output are met by `taps` runs of
//! bytes, each at a fixed distance from the row. A dense layer has one tap, a convolution one for each
//! place of its kernel, so that no patch is ever copied.

use super::{Isa, Kernels};

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

/// Outputs are computed in blocks of so many.
pub const BLOCK: usize = 16;

/// Weights laid out as `[block of 16 outputs][tap][group of 4 inputs][16][4]`, zeros where there is
/// nothing.
#[derive(Clone, Debug)]
pub struct Product {
    packed: Vec<i8>,
    taps: Vec<usize>,
    /// Groups of 4 bytes in one tap.
    groups: usize,
    outputs: usize,
    /// What every sum begins with, padded to whole blocks.
    initial: Vec<i32>,
}

impl Product {
    /// Packs weights: `weight(output, tap, input)` for `inputs` bytes of each tap, the taps lying at
    /// `taps` bytes from a row. `initial` has one entry for each output.
    pub fn new(
        taps: Vec<usize>,
        inputs: usize,
        initial: &[i32],
        weight: impl Fn(usize, usize, usize) -> i8,
    ) -> Product {
        let (outputs, groups) = (initial.len(), inputs.div_ceil(4));
        let blocks = outputs.div_ceil(BLOCK);
        let mut packed = vec![0; blocks * taps.len() * groups * 4 * BLOCK];
        let mut at = 0;
        for block in 0..blocks {
            for tap in 0..taps.len() {
                for group in 0..groups {
                    for lane in 0..4 * BLOCK {
                        let (output, input) = (block * BLOCK + lane / 4, group * 4 + lane % 4);
                        if output < outputs && input < inputs {
                            packed[at + lane] = weight(output, tap, input);
                        }
                    }
                    at += 4 * BLOCK;
                }
            }
        }
        let mut initial = initial.to_vec();
        initial.resize(blocks * BLOCK, 0);
        Product { packed, taps, groups, outputs, initial }
    }

    /// Outputs, padded to whole blocks: the least distance between rows of sums.
    pub fn width(&self) -> usize {
        self.initial.len()
    }

    /// Outputs.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Products for one row.
    pub fn products(&self) -> usize {
        self.outputs * self.taps.len() * self.groups * 4
    }

    /// `sums[r * width + o] = initial[o] + sum(x[rows[r] + tap + i] * weight(o, tap, i))`, or added to
    /// what is in `sums` where `add` is set. Sums wrap.
    ///
    /// # Panics
    /// When a row does not lie in `x`, or `sums` is too short.
    pub fn run(&self, isa: Isa, x: &[u8], rows: &[usize], sums: &mut [i32], add: bool) {
        let reach = self.taps.iter().copied().max().unwrap_or(0) + 4 * self.groups;
        let furthest = rows.iter().copied().max().unwrap_or(0);
        assert!(furthest + reach <= x.len(), "a row of {reach} bytes lies outside of the payloads");
        assert!(rows.len() * self.width() <= sums.len(), "there is no room for all sums");
        match isa.kernels() {
            // SAFETY: the processor has the features, as an `Isa` says; rows and sums were checked.
            #[cfg(target_arch = "x86_64")]
            Kernels::Avx512 => unsafe { avx512::run(self, x, rows, sums, add) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Kernels::Avx2 => unsafe { avx2::run(self, x, rows, sums, add) },
            _ => self.portable(x, rows, sums, add),
        }
    }

    fn portable(&self, x: &[u8], rows: &[usize], sums: &mut [i32], add: bool) {
        let width = self.width();
        let length = self.taps.len() * self.groups * 4 * BLOCK;
        for (&row, sums) in rows.iter().zip(sums.chunks_exact_mut(width.max(1))) {
            for (block, sums) in sums.chunks_exact_mut(BLOCK).enumerate() {
                let mut total = [0i32; BLOCK];
                let mut groups = self.packed[block * length..][..length].chunks_exact(4 * BLOCK);
                for &tap in &self.taps {
                    let bytes = &x[row + tap..][..4 * self.groups];
                    for (bytes, weights) in bytes.chunks_exact(4).zip(&mut groups) {
                        if bytes == [0; 4] {
                            continue;
                        }
                        for (sum, w) in total.iter_mut().zip(weights.chunks_exact(4)) {
                            let four = (0..4).map(|i| i32::from(bytes[i]) * i32::from(w[i]));
                            *sum = sum.wrapping_add(four.sum::<i32>());
                        }
                    }
                }
                let initial = &self.initial[block * BLOCK..][..BLOCK];
                for ((sum, total), initial) in sums.iter_mut().zip(total).zip(initial) {
                    let before = if add { *sum } else { 0 };
                    *sum = before.wrapping_add(total).wrapping_add(*initial);
                }
            }
        }
    }
}
