//! What is done byte by byte and sum by sum: encoding, counting, pooling, products without a sum over
//! channels.

#[cfg(target_arch = "x86_64")]
use super::Kernels;
use super::neurons::whole;
use super::product::BLOCK;
use super::{Isa, multiversion};

#[cfg(target_arch = "x86_64")]
mod avx512;

/// Chunks of so many times 64 bytes are counted byte by byte: no count leaves 8 bits, no sum 16.
const CHUNK: usize = 255 * 64;

/// Chunks of so many bytes have sums of squares, and of synapses, that 32 bits hold in each of 16 lanes.
const LONG_CHUNK: usize = 1 << 18;

/// More synapses of one neuron are not added up by [`synapses`].
pub const MOST_SYNAPSES: u32 = 1 << 16;

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

/// Payloads other than 0 and the sum of their magnitudes; a byte stands for itself less `zero`.
pub fn activity(isa: Isa, bytes: &[u8], zero: u8) -> (u64, u64) {
    match isa.kernels() {
        // SAFETY: the processor has the features, as an `Isa` says.
        #[cfg(target_arch = "x86_64")]
        Kernels::Avx512 => unsafe { avx512::activity(bytes, zero) },
        _ => activity_of_chunks(isa, bytes, zero),
    }
}

multiversion! {
    /// As [`activity`], for the compiler to vectorise.
    pub fn activity_of_chunks(bytes: &[u8], zero: u8) -> (u64, u64) {
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

/// The sum of the squares of payloads; a byte stands for itself less `zero`.
pub fn squares(isa: Isa, bytes: &[u8], zero: u8) -> u64 {
    match isa.kernels() {
        // SAFETY: the processor has the features, as an `Isa` says.
        #[cfg(target_arch = "x86_64")]
        Kernels::Avx512 => unsafe { avx512::squares(bytes, zero) },
        _ => squares_of_chunks(isa, bytes, zero),
    }
}

multiversion! {
    /// As [`squares`], for the compiler to vectorise.
    pub fn squares_of_chunks(bytes: &[u8], zero: u8) -> u64 {
        let square = |byte: u8| u32::from(byte.abs_diff(zero)) * u32::from(byte.abs_diff(zero));
        let mut total = 0;
        for chunk in bytes.chunks(LONG_CHUNK) {
            let mut sums = [0u32; 16];
            let (whole, rest) = chunk.as_chunks::<16>();
            for bytes in whole {
                for i in 0..16 {
                    sums[i] += square(bytes[i]);
                }
            }
            total += rest.iter().map(|&byte| u64::from(square(byte))).sum::<u64>();
            total += sums.iter().map(|&sum| u64::from(sum)).sum::<u64>();
        }
        total
    }
}

/// The sum of the entries of `each` of all bytes other than `zero`; none is above [`MOST_SYNAPSES`].
///
/// # Panics
/// When there are fewer entries than bytes.
pub fn synapses(isa: Isa, bytes: &[u8], zero: u8, each: &[u32]) -> u64 {
    let each = &each[..bytes.len()];
    match isa.kernels() {
        // SAFETY: the processor has the features, as an `Isa` says; there are as many entries as bytes.
        #[cfg(target_arch = "x86_64")]
        Kernels::Avx512 => unsafe { avx512::synapses(bytes, zero, each) },
        _ => synapses_of_chunks(isa, bytes, zero, each),
    }
}

multiversion! {
    /// As [`synapses`], for the compiler to vectorise.
    pub fn synapses_of_chunks(bytes: &[u8], zero: u8, each: &[u32]) -> u64 {
        let mut total = 0;
        for (bytes, each) in bytes.chunks(LONG_CHUNK).zip(each.chunks(LONG_CHUNK)) {
            let mut sums = [0u32; 16];
            for (bytes, each) in bytes.chunks(16).zip(each.chunks(16)) {
                for (sum, (&byte, &each)) in sums.iter_mut().zip(bytes.iter().zip(each)) {
                    *sum += if byte == zero { 0 } else { each };
                }
            }
            total += sums.iter().map(|&sum| u64::from(sum)).sum::<u64>();
        }
        total
    }
}

/// Windows of a map: for each place of the result where it begins, and where the places of its window do.
#[derive(Clone, Debug, Default)]
pub struct Windows {
    /// Begin of the place, and the end of its cells, which begin where those before end.
    places: Vec<(usize, usize)>,
    cells: Vec<usize>,
    /// The last place, and the last cell.
    last: [usize; 2],
}

impl Windows {
    /// Adds the window of the place that begins at `place`.
    pub fn push(&mut self, place: usize, cells: &[usize]) {
        self.cells.extend_from_slice(cells);
        self.places.push((place, self.cells.len()));
        self.last[0] = self.last[0].max(place);
        self.last[1] = cells.iter().fold(self.last[1], |last, &cell| last.max(cell));
    }

    /// Refuses bytes in which places or cells of `len` bytes do not lie.
    fn check(&self, from: &[u8], len: usize, to: &[u8]) {
        self.check_cells(from, len);
        self.check_places(len, to);
    }

    fn check_cells(&self, from: &[u8], len: usize) {
        assert!(self.cells.is_empty() || self.last[1] + len <= from.len(), "a cell lies outside");
    }

    fn check_places(&self, len: usize, to: &[u8]) {
        assert!(self.places.is_empty() || self.last[0] + len <= to.len(), "a place lies outside");
    }

    /// Joins the `len` bytes of all cells of each window, byte by byte; those of a window without cells are
    /// `empty`.
    #[inline(always)]
    fn join(
        &self,
        from: &[u8],
        len: usize,
        empty: u8,
        to: &mut [u8],
        join: impl Fn(u8, u8) -> u8 + Copy,
    ) {
        match len {
            _ if len.is_multiple_of(64) => self.join_by::<64>(from, len, empty, to, join),
            _ if len.is_multiple_of(32) => self.join_by::<32>(from, len, empty, to, join),
            _ if len.is_multiple_of(16) => self.join_by::<16>(from, len, empty, to, join),
            _ if len.is_multiple_of(8) => self.join_by::<8>(from, len, empty, to, join),
            _ if len.is_multiple_of(4) => self.join_by::<4>(from, len, empty, to, join),
            _ => self.join_by::<1>(from, len, empty, to, join),
        }
    }

    #[inline(always)]
    fn join_by<const N: usize>(
        &self,
        from: &[u8],
        len: usize,
        empty: u8,
        to: &mut [u8],
        join: impl Fn(u8, u8) -> u8 + Copy,
    ) {
        let mut first = 0;
        for &(place, end) in &self.places {
            let cells = &self.cells[first..end];
            for (i, to) in to[place..][..len].chunks_exact_mut(N).enumerate() {
                let mut joined = [empty; N];
                if let Some((&cell, rest)) = cells.split_first() {
                    joined.copy_from_slice(&from[cell + i * N..][..N]);
                    for &cell in rest {
                        let more = &from[cell + i * N..][..N];
                        (0..N).for_each(|k| joined[k] = join(joined[k], more[k]));
                    }
                }
                to.copy_from_slice(&joined);
            }
            first = end;
        }
    }
}

/// The largest of the bytes `from[cell + i]` of all cells of each window, for `len` bytes; `empty` where
/// there is no cell.
///
/// # Panics
/// When a cell or a place does not lie in the bytes.
pub fn maxima(isa: Isa, from: &[u8], windows: &Windows, len: usize, empty: u8, to: &mut [u8]) {
    windows.check(from, len, to);
    match isa.kernels() {
        // SAFETY: the processor has the features, as an `Isa` says; cells and places were checked.
        #[cfg(target_arch = "x86_64")]
        Kernels::Avx512 => unsafe { avx512::join::<false>(from, windows, len, empty, to) },
        _ => maxima_of_cells(isa, from, windows, len, empty, to),
    }
}

/// The sum of the bytes `from[cell + i]` of all cells of each window, for `len` bytes, which wraps.
///
/// # Panics
/// As [`maxima`].
pub fn sums(isa: Isa, from: &[u8], windows: &Windows, len: usize, to: &mut [u8]) {
    windows.check(from, len, to);
    match isa.kernels() {
        // SAFETY: the processor has the features, as an `Isa` says; cells and places were checked.
        #[cfg(target_arch = "x86_64")]
        Kernels::Avx512 => unsafe { avx512::join::<true>(from, windows, len, 0, to) },
        _ => sums_of_cells(isa, from, windows, len, to),
    }
}

multiversion! {
    /// As [`maxima`], for the compiler to vectorise.
    pub fn maxima_of_cells(from: &[u8], windows: &Windows, len: usize, empty: u8, to: &mut [u8]) {
        windows.join(from, len, empty, to, u8::max);
    }
}

multiversion! {
    /// As [`sums`], for the compiler to vectorise.
    pub fn sums_of_cells(from: &[u8], windows: &Windows, len: usize, to: &mut [u8]) {
        windows.join(from, len, 0, to, u8::wrapping_add);
    }
}

/// Timesteps of a map on which totals run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Running {
    /// Timesteps of the result.
    pub steps: usize,
    /// Bytes from one timestep of a cell to the next; 0 where all are the same.
    pub from: usize,
    /// Bytes of one timestep of a place.
    pub stride: usize,
    /// The byte of payload 0, in both maps.
    pub silence: u8,
}

/// By how much the largest of the running totals has changed in each window and timestep: what a cell has sent so far
/// is the sum of its bytes less `silence`; before the first timestep, and in windows without cells, the
/// largest is 0.
///
/// # Panics
/// When a cell or a place does not lie in the bytes.
pub fn running_maxima(isa: Isa, from: &[u8], windows: &Windows, run: Running, to: &mut [u8]) {
    assert!(run.steps > 0, "there is no timestep");
    windows.check_cells(from, (run.steps - 1) * run.from + run.stride);
    windows.check_places(run.steps * run.stride, to);
    match run.stride {
        stride if stride.is_multiple_of(16) => running_maxima_by_16(isa, from, windows, run, to),
        stride if stride.is_multiple_of(8) => running_maxima_by_8(isa, from, windows, run, to),
        stride if stride.is_multiple_of(4) => running_maxima_by_4(isa, from, windows, run, to),
        _ => running_maxima_by_1(isa, from, windows, run, to),
    }
}

#[inline(always)]
fn running_maxima_by<const N: usize>(from: &[u8], windows: &Windows, run: Running, to: &mut [u8]) {
    let mut totals: Vec<[i32; N]> = Vec::new();
    let mut begin = 0;
    for &(place, end) in &windows.places {
        let cells = &windows.cells[begin..end];
        begin = end;
        for first in (0..run.stride).step_by(N) {
            totals.clear();
            totals.resize(cells.len(), [0; N]);
            let mut before = [0i32; N];
            for t in 0..run.steps {
                let mut largest = [if cells.is_empty() { 0 } else { i32::MIN }; N];
                for (&cell, total) in cells.iter().zip(&mut totals) {
                    let bytes = &from[cell + t * run.from + first..][..N];
                    for i in 0..N {
                        total[i] += i32::from(bytes[i]) - i32::from(run.silence);
                        largest[i] = largest[i].max(total[i]);
                    }
                }
                let sent = &mut to[place + t * run.stride + first..][..N];
                for i in 0..N {
                    sent[i] = (largest[i] - before[i] + i32::from(run.silence)) as u8;
                }
                before = largest;
            }
        }
    }
}

multiversion! {
    /// As [`running_maxima`], sixteen channels at a time.
    pub fn running_maxima_by_16(from: &[u8], windows: &Windows, run: Running, to: &mut [u8]) {
        running_maxima_by::<16>(from, windows, run, to);
    }
}

multiversion! {
    /// As [`running_maxima`], eight channels at a time.
    pub fn running_maxima_by_8(from: &[u8], windows: &Windows, run: Running, to: &mut [u8]) {
        running_maxima_by::<8>(from, windows, run, to);
    }
}

multiversion! {
    /// As [`running_maxima`], four channels at a time.
    pub fn running_maxima_by_4(from: &[u8], windows: &Windows, run: Running, to: &mut [u8]) {
        running_maxima_by::<4>(from, windows, run, to);
    }
}

multiversion! {
    /// As [`running_maxima`], channel by channel.
    pub fn running_maxima_by_1(from: &[u8], windows: &Windows, run: Running, to: &mut [u8]) {
        running_maxima_by::<1>(from, windows, run, to);
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
