//! Arithmetic on single precision that keeps the order of every sum.
//!
//! A sum of floats depends on the order of its terms, and a spike hangs on the last bit of a sum. So
//! nothing here sums along a register: each lane is one target neuron, and a target adds its terms one
//! after the other in the order of the sources, product and sum rounded each by itself, as the scalar
//! interpreter does. Sources that send 0 are left out, which changes no sum of finite terms but, where
//! all terms are 0, its sign. So results are *equal* (`==`) to those of the scalar interpreter on every
//! instruction set, and no spike differs.

pub mod bits;
pub mod neurons;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

#[cfg(target_arch = "x86_64")]
use super::Kernels;
use super::{Isa, multiversion};

/// Most targets that are summed at once.
pub const WIDEST: usize = 64;

/// Sources whose weights are read from a second-level cache of 1 MiB all at once.
pub const NEAR: usize = 1280;

/// Sources of a tile: where they are more, each tile is added to all sums before the next. What a tile
/// takes is small enough that the next one can be on its way meanwhile.
const TILE: usize = 256;

/// Sums from which on nearly every weight of a tile is needed, so that all of the next are asked for.
const MANY: usize = 32;

/// The weights of a projection, packed by source: what one spike adds to many targets lies together.
#[derive(Clone, Debug)]
pub struct Rows {
    blocks: Vec<Block>,
}

/// The weights onto neighbouring targets.
#[derive(Clone, Debug)]
pub struct Block {
    first: usize,
    targets: usize,
    width: usize,
    /// A row for each source, and [`SPARE`] of zeros.
    weights: Vec<Line>,
}

/// Rows behind the last, so that a word of bits has a row for each bit.
const SPARE: usize = u64::BITS as usize;

/// Weights of one source onto 16 targets, one line of a cache: what lies across two lines is loaded twice.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
struct Line([f32; 16]);

impl Rows {
    /// Packs `weight(target, source)`.
    pub fn new(sources: usize, targets: usize, weight: impl Fn(usize, usize) -> f32) -> Rows {
        let (mut blocks, mut first) = (Vec::new(), 0);
        while first < targets {
            let left = targets - first;
            let width = [WIDEST, 32].into_iter().find(|w| *w <= left).unwrap_or(16);
            let mut weights = vec![Line::default(); (sources + SPARE) * width / 16];
            for (source, row) in weights.chunks_exact_mut(width / 16).take(sources).enumerate() {
                let row = row.iter_mut().flat_map(|line| &mut line.0);
                for (i, w) in row.enumerate().take(left) {
                    *w = weight(first + i, source);
                }
            }
            blocks.push(Block { first, targets: left.min(width), width, weights });
            first += width;
        }
        Rows { blocks }
    }

    /// Number of targets.
    pub fn targets(&self) -> usize {
        self.blocks.iter().map(|block| block.targets).sum()
    }

    /// Size in memory.
    pub fn bytes(&self) -> usize {
        self.blocks.iter().map(|block| std::mem::size_of_val(block.weights.as_slice())).sum()
    }

    /// Blocks of targets.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }
}

impl Block {
    /// The first target.
    pub fn first(&self) -> usize {
        self.first
    }

    /// Number of targets, at most [`Block::width`].
    pub fn targets(&self) -> usize {
        self.targets
    }

    /// Sums that [`Block::sums`] writes for one list: 16, 32 or 64.
    pub fn width(&self) -> usize {
        self.width
    }

    /// `sums[i * width + k] = sum over entries e of list i, in their order, of value(e) * weight(first + k, index(e))`.
    ///
    /// # Panics
    /// When an index is not below the number of sources, or a list or `sums` is too short.
    pub fn sums(&self, isa: Isa, lists: Lists<'_>, sums: &mut [f32]) {
        let needed = lists.counts.len() * self.width;
        let sums = &mut sums[..needed];
        match isa.kernels() {
            // SAFETY: an `Isa` of AVX-512 exists only where the processor has it.
            #[cfg(target_arch = "x86_64")]
            Kernels::Avx512 => unsafe { avx512::sums(&self.weights, self.width, lists, sums) },
            // SAFETY: an `Isa` of AVX2 exists only where the processor has it.
            #[cfg(target_arch = "x86_64")]
            Kernels::Avx2 => unsafe { avx2::sums(&self.weights, self.width, lists, sums) },
            _ => portable_sums(&self.weights, self.width, lists, sums),
        }
    }

    /// `sums[i * width + k] = sum over the sources s whose bit is set in map i, in their order, of weight(first + k, s)`.
    ///
    /// Bits of no source add nothing.
    ///
    /// # Panics
    /// When `sums` is too short.
    pub fn spikes(&self, isa: Isa, maps: Maps<'_>, sums: &mut [f32]) {
        let needed = maps.count() * self.width;
        let sums = &mut sums[..needed];
        let near = maps.stride * maps.each <= NEAR;
        let tile = if near { maps.stride } else { (TILE / maps.each).max(1) };
        for from in (0..maps.stride).step_by(tile) {
            let tile = Tile {
                words: from..(from + tile).min(maps.stride),
                ahead: if !near && maps.count() >= MANY { tile * maps.each } else { 0 },
            };
            match isa.kernels() {
                // SAFETY: an `Isa` of AVX-512 exists only where the processor has it.
                #[cfg(target_arch = "x86_64")]
                Kernels::Avx512 => unsafe { avx512::spikes(self, maps, tile, sums) },
                // SAFETY: an `Isa` of AVX2 exists only where the processor has it.
                #[cfg(target_arch = "x86_64")]
                Kernels::Avx2 => unsafe { avx2::spikes(self, maps, tile, sums) },
                _ => portable_spikes(self, maps, tile, sums),
            }
        }
    }
}

/// Lists of sources that send something, list `i` in the first `counts[i]` entries from `i * stride` on.
#[derive(Clone, Copy, Debug)]
pub struct Lists<'a> {
    /// Index of each source, in the order of summation.
    pub indices: &'a [u32],
    /// What each sends.
    pub values: &'a [f32],
    /// Lengths.
    pub counts: &'a [u32],
    /// Distance of the lists.
    pub stride: usize,
}

impl<'a> Lists<'a> {
    #[inline(always)]
    fn list(&self, i: usize) -> impl Iterator<Item = (usize, f32)> + use<'a> {
        let entries = i * self.stride..i * self.stride + self.counts[i] as usize;
        let values = &self.values[entries.clone()];
        self.indices[entries].iter().zip(values).map(|(&i, &x)| (i as usize, x))
    }
}

/// Which sources spike: bit `b` of word `w` of map `i`, in `words[i * stride + w]`, is source `w * each + b`.
#[derive(Clone, Copy, Debug)]
pub struct Maps<'a> {
    /// `stride` words for each map.
    pub words: &'a [u64],
    /// Words of a map.
    pub stride: usize,
    /// Sources of a word, at most 64.
    pub each: usize,
}

impl Maps<'_> {
    /// Number of maps.
    pub fn count(&self) -> usize {
        self.words.len() / self.stride
    }
}

/// Part of the sources.
#[derive(Clone, Debug)]
struct Tile {
    words: std::ops::Range<usize>,
    /// Rows behind this tile that are asked for meanwhile, where there is an instruction for that.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code))]
    ahead: usize,
}

fn portable_sums(weights: &[Line], width: usize, lists: Lists<'_>, sums: &mut [f32]) {
    for (i, sums) in sums.chunks_exact_mut(width).enumerate() {
        sums.fill(0.0);
        for (source, x) in lists.list(i) {
            let row = weights[source * (width / 16)..][..width / 16].iter();
            let row = row.flat_map(|line| &line.0);
            sums.iter_mut().zip(row).for_each(|(s, w)| *s += w * x);
        }
    }
}

fn portable_spikes(block: &Block, maps: Maps<'_>, tile: Tile, sums: &mut [f32]) {
    let lines = block.width / 16;
    let maps_and_sums =
        maps.words.chunks_exact(maps.stride).zip(sums.chunks_exact_mut(block.width));
    for (words, sums) in maps_and_sums {
        if tile.words.start == 0 {
            sums.fill(0.0);
        }
        for w in tile.words.clone() {
            let mut bits = words[w];
            while bits != 0 {
                let source = w * maps.each + bits.trailing_zeros() as usize;
                let row = block.weights.chunks_exact(lines).nth(source).unwrap_or_default();
                let row = row.iter().flat_map(|line| &line.0);
                sums.iter_mut().zip(row).for_each(|(s, w)| *s += w);
                bits &= bits - 1;
            }
        }
    }
}

/// Writes the indices of the values that are not 0 to the front of `indices` and returns their number.
/// What lies behind them is left undetermined.
///
/// # Panics
/// When `indices` is shorter than `values` rounded up to a whole 16.
pub fn nonzero(isa: Isa, values: &[f32], indices: &mut [u32]) -> usize {
    let indices = &mut indices[..values.len().next_multiple_of(16)];
    match isa.kernels() {
        // SAFETY: an `Isa` of AVX-512 exists only where the processor has it.
        #[cfg(target_arch = "x86_64")]
        Kernels::Avx512 => unsafe { avx512::nonzero(values, indices) },
        _ => {
            let mut count = 0;
            for (i, &x) in values.iter().enumerate() {
                // Without a branch, as spikes come at random.
                indices[count] = i as u32;
                count += usize::from(x != 0.0);
            }
            count
        }
    }
}

/// Turns `[row][column]` of rows `width` long into `[column][row]` of columns `stride` apart: of the first
/// `columns` columns, as many rows as there are in `rows`.
///
/// # Panics
/// When `out` is too short.
pub fn transpose(
    isa: Isa,
    rows: &[f32],
    width: usize,
    columns: usize,
    stride: usize,
    out: &mut [f32],
) {
    #[cfg(target_arch = "x86_64")]
    if isa.kernels() == Kernels::Avx512 && rows.len() == 16 * width && width.is_multiple_of(16) {
        // SAFETY: an `Isa` of AVX-512 exists only where the processor has it.
        return unsafe { avx512::transpose(rows, width, columns, stride, out) };
    }
    transpose_any(isa, rows, width, columns, stride, out);
}

multiversion! {
    /// As [`transpose`].
    pub fn transpose_any(rows: &[f32], width: usize, columns: usize, stride: usize, out: &mut [f32]) {
        let count = rows.len() / width;
        for column in 0..columns {
            let out = &mut out[column * stride..][..count];
            for (out, row) in out.iter_mut().zip(rows.chunks_exact(width)) {
                *out = row[column];
            }
        }
    }
}

multiversion! {
    /// The largest of each two by two values of rows `2 * width` long, to rows `width` long.
    pub fn largest_of_four(x: &[f32], width: usize, out: &mut [f32]) {
        for (x, out) in x.chunks_exact(4 * width).zip(out.chunks_exact_mut(width)) {
            let (above, below) = x.split_at(2 * width);
            let cells = above.as_chunks::<2>().0.iter().zip(below.as_chunks::<2>().0);
            for (out, ([a, b], [c, d])) in out.iter_mut().zip(cells) {
                *out = a.max(*b).max(*c).max(*d);
            }
        }
    }
}
