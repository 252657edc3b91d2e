//! Neurons, sixteen channels at a time, their membrane potentials in registers for all timesteps.

#[cfg(target_arch = "x86_64")]
use super::Kernels;
use super::product::BLOCK;
use super::{Isa, furthest, multiversion};

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

/// What reaches the neurons of some places of a map.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// `[place][timestep][channel]`; empty where everything is the same in every timestep.
    pub varying: &'a [i32],
    /// `[place][channel]`, added in every timestep; empty where there is nothing of the kind.
    pub constant: &'a [i32],
    /// One entry for each channel, added at timestep `bias_at`, or in each where that is `None`.
    pub bias: &'a [i32],
    /// The timestep of the bias.
    pub bias_at: Option<usize>,
    /// Timesteps.
    pub steps: usize,
    /// Channels, padded to whole blocks.
    pub width: usize,
}

impl Input<'_> {
    /// What reaches the 16 channels from `first` on of place `place` at timestep `t`.
    #[inline(always)]
    pub fn at(&self, place: usize, t: usize, first: usize) -> [i32; BLOCK] {
        let mut v = [0i32; BLOCK];
        if self.bias_at.is_none_or(|at| at == t) {
            v = block(self.bias, first);
        }
        if !self.constant.is_empty() {
            let more = block(self.constant, place * self.width + first);
            (0..BLOCK).for_each(|i| v[i] = v[i].wrapping_add(more[i]));
        }
        if !self.varying.is_empty() {
            let more = block(self.varying, (place * self.steps + t) * self.width + first);
            (0..BLOCK).for_each(|i| v[i] = v[i].wrapping_add(more[i]));
        }
        v
    }

    /// What reaches them in all timesteps together.
    #[inline(always)]
    pub fn total(&self, place: usize, first: usize) -> [i32; BLOCK] {
        let mut v = [0i32; BLOCK];
        for t in 0..self.steps {
            let more = self.at(place, t, first);
            (0..BLOCK).for_each(|i| v[i] = v[i].wrapping_add(more[i]));
        }
        v
    }
}

#[inline(always)]
fn block(values: &[i32], first: usize) -> [i32; BLOCK] {
    let mut block = [0; BLOCK];
    block.copy_from_slice(&values[first..first + BLOCK]);
    block
}

/// Where payloads go: a buffer of bytes laid out `[place][timestep][channel]`.
#[derive(Debug)]
pub struct Sent<'a> {
    /// The buffer.
    pub bytes: &'a mut [u8],
    /// Where each place begins.
    pub places: &'a [usize],
    /// Bytes of one timestep.
    pub stride: usize,
}

impl Sent<'_> {
    #[inline(always)]
    pub(super) fn put(&mut self, place: usize, t: usize, first: usize, block: &[u8; BLOCK]) {
        let to = &mut self.bytes[self.places[place] + t * self.stride + first..];
        match self.stride - first {
            BLOCK.. => to[..BLOCK].copy_from_slice(block),
            // Maps of few channels have rows of 4, 8 or 12 bytes.
            4 => to[..4].copy_from_slice(&block[..4]),
            8 => to[..8].copy_from_slice(&block[..8]),
            left => to[..left].copy_from_slice(&block[..left]),
        }
    }
}

/// Binary neurons that integrate and fire without leak. Rows of `[timestep][channel]` have one
/// timestep where nothing changes in time.
#[derive(Clone, Debug, Default)]
pub struct Binary {
    /// A neuron fires at this potential.
    pub threshold: Vec<i32>,
    /// What firing subtracts.
    pub amount: Vec<i32>,
    /// What firing leaves, for a hard reset.
    pub hard: Option<i32>,
    /// Potential at the start, one entry for each channel.
    pub initial: Vec<i32>,
    /// Bytes of silence and of a spike.
    pub silence: u8,
    /// See `silence`.
    pub spike: Vec<u8>,
    /// Behind a barrier: all input arrives before the first comparison.
    pub behind_barrier: bool,
}

/// The whole part of a real clamped to 0..=255.
#[inline(always)]
pub(super) fn whole(level: f32) -> u8 {
    let level = if level > 0.0 { level } else { 0.0 };
    let level = if level < 255.0 { level } else { 255.0 };
    // SAFETY: the level is in 0..=255, as what is not a number has become 0.
    unsafe { level.to_int_unchecked::<i32>() as u8 }
}

#[inline(always)]
fn row<T: Copy>(table: &[T], t: usize, width: usize, first: usize) -> &[T] {
    let from = if table.len() > width { t * width } else { 0 } + first;
    &table[from..from + BLOCK]
}

/// Refuses what kernels without bounds would read or write outside of.
fn check(isa: Isa, input: &Input<'_>, sent: &Sent<'_>, tables: &[usize]) {
    let padded = sent.stride.next_multiple_of(BLOCK);
    let places = sent.places.len();
    let holds = |sums: &[i32], rows: usize| sums.is_empty() || sums.len() >= rows * input.width;
    let furthest = furthest(isa, sent.places);
    assert!(padded <= input.width && input.bias.len() >= input.width, "too few channels");
    assert!(holds(input.constant, places) && holds(input.varying, places * input.steps));
    assert!(places == 0 || furthest + input.steps * sent.stride <= sent.bytes.len());
    let fits = |&len: &usize| len == input.width || len >= input.steps * input.width;
    assert!(tables.iter().all(fits), "a table has too few entries");
}

/// Runs binary neurons over all timesteps.
///
/// # Panics
/// When buffers or tables are too short.
pub fn fire(isa: Isa, n: &Binary, input: &Input<'_>, sent: &mut Sent<'_>) {
    check(isa, input, sent, &[n.threshold.len(), n.amount.len(), n.spike.len(), n.initial.len()]);
    match isa.kernels() {
        // SAFETY: the processor has the features, as an `Isa` says; the arguments were checked.
        #[cfg(target_arch = "x86_64")]
        Kernels::Avx512 => unsafe { avx512::fire(n, input, sent) },
        _ => fire_blocks(isa, n, input, sent),
    }
}

/// Runs the neurons of a [`Line`] over all timesteps.
///
/// # Panics
/// When buffers or tables are too short.
pub fn answer(isa: Isa, n: &Line, input: &Input<'_>, sent: &mut Sent<'_>) {
    check(isa, input, sent, &[n.slope.len(), n.offset.len()]);
    if !n.thresholds.is_empty() {
        n.check_rows(input.width);
        return match isa.kernels() {
            // SAFETY: the processor has AVX2, as an `Isa` of AVX-512 has it too; arguments and rows were checked.
            #[cfg(target_arch = "x86_64")]
            Kernels::Avx2 | Kernels::Avx512 => unsafe { avx2::answer_uneven(n, input, sent) },
            _ => answer_uneven_blocks(isa, n, input, sent),
        };
    }
    match isa.kernels() {
        // SAFETY: the processor has the features, as an `Isa` says; the arguments were checked.
        #[cfg(target_arch = "x86_64")]
        Kernels::Avx512 => unsafe { avx512::answer(n, input, sent) },
        _ => answer_blocks(isa, n, input, sent),
    }
}

multiversion! {
    /// As [`fire`], for the compiler to vectorise.
    pub fn fire_blocks(n: &Binary, input: &Input<'_>, sent: &mut Sent<'_>) {
        for place in 0..sent.places.len() {
            for first in (0..sent.stride).step_by(BLOCK) {
                let mut v = block(&n.initial, first);
                if n.behind_barrier {
                    let more = input.total(place, first);
                    (0..BLOCK).for_each(|i| v[i] = v[i].wrapping_add(more[i]));
                }
                for t in 0..input.steps {
                    if !n.behind_barrier {
                        let more = input.at(place, t, first);
                        (0..BLOCK).for_each(|i| v[i] = v[i].wrapping_add(more[i]));
                    }
                    let threshold = row(&n.threshold, t, input.width, first);
                    let amount = row(&n.amount, t, input.width, first);
                    let spike = row(&n.spike, t, input.width, first);
                    let mut bytes = [0u8; BLOCK];
                    for i in 0..BLOCK {
                        let fires = v[i] >= threshold[i];
                        let left = n.hard.unwrap_or(v[i].wrapping_sub(amount[i]));
                        v[i] = if fires { left } else { v[i] };
                        bytes[i] = if fires { spike[i] } else { n.silence };
                    }
                    sent.put(place, t, first, &bytes);
                }
            }
        }
    }
}

/// Neurons whose payload depends on what arrives alone, as a straight line that is rounded down:
/// `byte = floor(clamp(v * slope + offset, low, high))`, all in f32, rounded after each operation. The
/// result never falls as `v` grows, so it is right everywhere if it is right beside every threshold.
/// Where thresholds lie on no line, one that is at most one level too low is put right by them.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// One entry for each channel.
    pub slope: Vec<f32>,
    /// One entry for each channel.
    pub offset: Vec<f32>,
    /// Least byte, as a real.
    pub low: f32,
    /// Largest byte.
    pub high: f32,
    /// Byte of silence.
    pub silence: u8,
    /// Behind a barrier: answers in the last timestep, for all that has arrived.
    pub behind_barrier: bool,
    /// Rows of the least potential of each level above the lowest, then one that is never reached; empty where
    /// all lines are right.
    pub thresholds: Vec<i32>,
    /// Where the row of each channel begins, if there are any; channels share equal ones.
    pub rows: Vec<u32>,
    /// Whether a block of channels has lines that thresholds put right.
    pub uneven: Vec<bool>,
}

impl Line {
    /// Refuses rows that do not have a threshold for every byte up to the largest.
    fn check_rows(&self, width: usize) {
        let each = self.high.clamp(0.0, 255.0) as usize + 1;
        let last = self.rows.iter().fold(0, |last, &row| last.max(row)) as usize;
        assert!(self.rows.len() >= width && self.uneven.len() >= width / BLOCK, "too few rows");
        assert!(last + each <= self.thresholds.len() && self.thresholds.len() <= i32::MAX as usize);
    }

    /// The byte of one neuron.
    #[inline(always)]
    pub fn byte(v: i32, slope: f32, offset: f32, (low, high): (f32, f32)) -> u8 {
        let level = v as f32 * slope + offset;
        let level = if level > low { level } else { low };
        let level = if level < high { level } else { high };
        whole(level)
    }
}

multiversion! {
    /// As [`answer`], for the compiler to vectorise, where all lines are right.
    pub fn answer_blocks(n: &Line, input: &Input<'_>, sent: &mut Sent<'_>) {
        answer_each(n, input, sent, |_, _, _| {});
    }
}

multiversion! {
    /// As [`answer`], for the compiler to vectorise, where thresholds put lines right.
    pub fn answer_uneven_blocks(n: &Line, input: &Input<'_>, sent: &mut Sent<'_>) {
        answer_each(n, input, sent, |first, v, bytes| {
            if n.uneven[first / BLOCK] {
                for (i, byte) in bytes.iter_mut().enumerate() {
                    let next = n.rows[first + i] as usize + usize::from(*byte);
                    *byte += u8::from(v[i] >= n.thresholds[next]);
                }
            }
        });
    }
}

/// Bytes by lines, which `put_right` gets with the block's first channel and what has arrived.
#[inline(always)]
fn answer_each(
    n: &Line,
    input: &Input<'_>,
    sent: &mut Sent<'_>,
    put_right: impl Fn(usize, &[i32; BLOCK], &mut [u8; BLOCK]),
) {
    for place in 0..sent.places.len() {
        for first in (0..sent.stride).step_by(BLOCK) {
            let (slope, offset) = (&n.slope[first..][..BLOCK], &n.offset[first..][..BLOCK]);
            for t in 0..input.steps {
                if n.behind_barrier && t + 1 < input.steps {
                    sent.put(place, t, first, &[n.silence; BLOCK]);
                    continue;
                }
                let v = if n.behind_barrier {
                    input.total(place, first)
                } else {
                    input.at(place, t, first)
                };
                let mut bytes = [0u8; BLOCK];
                for i in 0..BLOCK {
                    bytes[i] = Line::byte(v[i], slope[i], offset[i], (n.low, n.high));
                }
                put_right(first, &v, &mut bytes);
                sent.put(place, t, first, &bytes);
            }
        }
    }
}

/// As [`Line`] where 32-bit sums would not hold what arrives: sums of several projections, each times a
/// gain, in f64. All numbers up to then are whole and below 2^53, hence exact.
#[derive(Clone, Debug, Default)]
pub struct WideLine {
    /// Gains of each projection, `[projection][channel]`.
    pub gains: Vec<f64>,
    /// One entry for each channel.
    pub bias: Vec<f64>,
    /// One entry for each channel.
    pub slope: Vec<f64>,
    /// One entry for each channel.
    pub offset: Vec<f64>,
    /// Largest byte.
    pub high: f64,
}

impl WideLine {
    /// The byte of one neuron.
    #[inline(always)]
    pub fn byte(v: f64, slope: f64, offset: f64, high: f64) -> u8 {
        let level = v * slope + offset;
        let level = if level > 0.0 { level } else { 0.0 };
        let level = if level < high { level } else { high };
        let level = if level < 255.0 { level } else { 255.0 };
        // SAFETY: the level is in 0..=255, as what is not a number has become 0.
        unsafe { level.to_int_unchecked::<i32>() as u8 }
    }
}

/// Runs the neurons of a [`WideLine`] in the only timestep. `terms` holds the sums of the projections,
/// `[projection][place][channel]`, channels padded to whole blocks.
///
/// # Panics
/// When buffers or tables are too short.
pub fn answer_wide(isa: Isa, n: &WideLine, terms: &[i32], sent: &mut Sent<'_>) {
    let (width, places) = (n.bias.len(), sent.places.len());
    let projections = n.gains.len() / width.max(1);
    assert!(sent.stride.next_multiple_of(BLOCK) <= width, "too few channels");
    assert!(n.slope.len() == width && n.offset.len() == width, "a table has too few entries");
    assert!(projections * places * width <= terms.len(), "there are too few sums");
    answer_wide_blocks(isa, n, terms, sent);
}

multiversion! {
    /// As [`answer_wide`], for the compiler to vectorise.
    pub fn answer_wide_blocks(n: &WideLine, terms: &[i32], sent: &mut Sent<'_>) {
        let (width, places) = (n.bias.len(), sent.places.len());
        for first in (0..sent.stride).step_by(BLOCK) {
            let [bias, slope, offset] =
                [&n.bias, &n.slope, &n.offset].map(|table| block_of(table, first));
            for place in 0..places {
                let mut v = bias;
                for (projection, gains) in n.gains.chunks_exact(width).enumerate() {
                    let gains = block_of(gains, first);
                    let terms = block(terms, (projection * places + place) * width + first);
                    for i in 0..BLOCK {
                        v[i] += gains[i] * f64::from(terms[i]);
                    }
                }
                let mut bytes = [0u8; BLOCK];
                for i in 0..BLOCK {
                    bytes[i] = WideLine::byte(v[i], slope[i], offset[i], n.high);
                }
                sent.put(place, 0, first, &bytes);
            }
        }
    }
}

#[inline(always)]
fn block_of(values: &[f64], first: usize) -> [f64; BLOCK] {
    let mut block = [0.0; BLOCK];
    block.copy_from_slice(&values[first..first + BLOCK]);
    block
}
