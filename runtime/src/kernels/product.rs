//! Products of bytes with packed weights: dense layers and convolutions, timesteps folded in as rows.
//!
//! A row is a place in a buffer of payloads; the weights of one output are met by `taps` runs of
//! bytes, each at a fixed distance from the row. A dense layer has one tap, a convolution one for each
//! place of its kernel, so that no patch is ever copied.

#[cfg(target_arch = "x86_64")]
use super::Kernels;
use super::aligned::Aligned;
use super::{Isa, furthest};

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

/// Outputs are computed in blocks of so many.
pub const BLOCK: usize = 16;

/// Bytes of weights that 4 inputs have in one block.
const LINE: usize = 4 * BLOCK;

/// Weights laid out as `[part][tap][group of 4 inputs][block of the part][16][4]`, zeros where there is
/// nothing. A part has 4 blocks of 16 outputs, the last parts 2 or 1.
#[derive(Clone, Debug)]
pub struct Product {
    packed: Aligned<i8>,
    taps: Vec<usize>,
    /// Groups of 4 bytes in one tap.
    groups: usize,
    /// Distance of every group of every tap from a row.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code))]
    offsets: Vec<usize>,
    outputs: usize,
    /// What every sum begins with, padded to whole blocks.
    initial: Aligned<i32>,
    parts: Vec<Part>,
}

/// Blocks of outputs whose weights lie together.
#[derive(Clone, Copy, Debug)]
struct Part {
    /// The first of its blocks.
    block: usize,
    /// How many there are.
    blocks: usize,
}

impl Part {
    /// So many blocks in parts of 4, 2 and 1.
    fn divide(blocks: usize) -> Vec<Part> {
        let mut parts = Vec::with_capacity(blocks / 4 + 2);
        let mut block = 0;
        while block < blocks {
            let own = match blocks - block {
                4.. => 4,
                2.. => 2,
                _ => 1,
            };
            parts.push(Part { block, blocks: own });
            block += own;
        }
        parts
    }
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
        let parts = Part::divide(blocks);
        let mut packed = Aligned::zeros(blocks * taps.len() * groups * LINE);
        let mut lines = packed.chunks_exact_mut(LINE);
        for part in &parts {
            for (tap, group) in (0..taps.len()).flat_map(|t| (0..groups).map(move |g| (t, g))) {
                for (block, line) in (part.block..part.block + part.blocks).zip(&mut lines) {
                    for (lane, to) in line.iter_mut().enumerate() {
                        let (output, input) = (block * BLOCK + lane / 4, group * 4 + lane % 4);
                        if output < outputs && input < inputs {
                            *to = weight(output, tap, input);
                        }
                    }
                }
            }
        }
        let mut padded = Aligned::zeros(blocks * BLOCK);
        padded[..outputs].copy_from_slice(initial);
        let of_tap = |&tap: &usize| (0..groups).map(move |group| tap + 4 * group);
        let offsets = taps.iter().flat_map(of_tap).collect();
        Product { packed, taps, groups, offsets, outputs, initial: padded, parts }
    }

    /// Where the weights of a part begin.
    fn start(&self, part: Part) -> usize {
        part.block * self.taps.len() * self.groups * LINE
    }

    /// Distances of the taps from a row, in bytes.
    pub fn taps(&self) -> &[usize] {
        &self.taps
    }

    /// Bytes of one tap, padded to groups of 4.
    pub fn inputs(&self) -> usize {
        4 * self.groups
    }

    /// What every sum begins with, padded to whole blocks.
    pub fn initial(&self) -> &[i32] {
        &self.initial
    }

    /// The weight of an input of a tap for an output; 0 beyond what there is.
    pub fn weight(&self, output: usize, tap: usize, input: usize) -> i8 {
        let block = output / BLOCK;
        let Some(&part) = self.parts.iter().rfind(|part| part.block <= block) else { return 0 };
        let line = (tap * self.groups + input / 4) * part.blocks + block - part.block;
        let lane = output % BLOCK * 4 + input % 4;
        self.packed.get(self.start(part) + line * LINE + lane).copied().unwrap_or(0)
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
        let furthest = furthest(isa, rows);
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
        for (&row, sums) in rows.iter().zip(sums.chunks_exact_mut(width.max(1))) {
            for &part in &self.parts {
                let first = part.block * BLOCK;
                let mut total = [0i32; 4 * BLOCK];
                let mut weights = self.packed[self.start(part)..].chunks_exact(LINE * part.blocks);
                for &tap in &self.taps {
                    let bytes = &x[row + tap..][..4 * self.groups];
                    for (bytes, weights) in bytes.as_chunks::<4>().0.iter().zip(&mut weights) {
                        if *bytes != [0; 4] {
                            for (sum, w) in total.iter_mut().zip(weights.as_chunks::<4>().0) {
                                let four = (0..4).map(|i| i32::from(bytes[i]) * i32::from(w[i]));
                                *sum = sum.wrapping_add(four.sum::<i32>());
                            }
                        }
                    }
                }
                let own = first..first + part.blocks * BLOCK;
                let initial = &self.initial[own.clone()];
                for ((sum, total), initial) in sums[own].iter_mut().zip(total).zip(initial) {
                    let before = if add { *sum } else { 0 };
                    *sum = before.wrapping_add(total).wrapping_add(*initial);
                }
            }
        }
    }
}
