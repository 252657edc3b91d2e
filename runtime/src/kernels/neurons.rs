//! Neurons, sixteen channels at a time, their membrane potentials in registers for all timesteps.

use super::product::BLOCK;
use super::{Isa, Kernels, multiversion};

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
    fn put(&mut self, place: usize, t: usize, first: usize, block: &[u8; BLOCK]) {
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
fn check(input: &Input<'_>, sent: &Sent<'_>, tables: &[usize]) {
    let padded = sent.stride.next_multiple_of(BLOCK);
    let places = sent.places.len();
    let holds = |sums: &[i32], rows: usize| sums.is_empty() || sums.len() >= rows * input.width;
    let furthest = sent.places.iter().copied().max().unwrap_or(0);
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
    check(input, sent, &[n.threshold.len(), n.amount.len(), n.spike.len(), n.initial.len()]);
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
    check(input, sent, &[n.slope.len(), n.offset.len()]);
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
}

impl Line {
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
    /// As [`answer`], for the compiler to vectorise.
    pub fn answer_blocks(n: &Line, input: &Input<'_>, sent: &mut Sent<'_>) {
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
                    sent.put(place, t, first, &bytes);
                }
            }
        }
    }
}

/// The straight line in f32 that rises to level `k` at `thresholds[k]` and not before, for potentials
/// in `low..=high` and bytes `0..=thresholds.len()`; `None` where no such line is found. Thresholds
/// ascend; those beyond `high` are not reached.
pub fn fit(thresholds: &[i64], (low, high): (i64, i64)) -> Option<(f32, f32)> {
    // (v, k): the line is at least k at v; the line is below k at v.
    let (mut reached, mut below) = (Vec::new(), Vec::new());
    for (i, &t) in thresholds.iter().enumerate() {
        let k = (i + 1) as f64;
        if t > low && t <= high {
            reached.push((t as f64, k));
            below.push(((t - 1) as f64, k));
        } else if t <= low {
            reached.push((low as f64, k));
        } else {
            below.push((high as f64, k));
            break;
        }
    }
    let needed = |a: f64| reached.iter().map(|&(v, k)| k - a * v).fold(f64::MIN, f64::max);
    let allowed = |a: f64| below.iter().map(|&(v, k)| k - a * v).fold(f64::MAX, f64::min);
    let (slope, offset) = match (reached.is_empty(), below.is_empty()) {
        (true, _) => (0.0, 0.0),
        (_, true) => (0.0, thresholds.len() as f64 + 0.5),
        _ => {
            // The room for the offset is a concave function of the slope.
            let room = |a: f64| allowed(a) - needed(a);
            let span = (high - low).max(1) as f64;
            let (mut from, mut to) = (0.0, thresholds.len() as f64 + 1.0);
            let guess = thresholds.len() as f64 / span;
            if room(4.0 * guess) < room(2.0 * guess) {
                to = 4.0 * guess;
            }
            for _ in 0..120 {
                let (a, b) = (from + (to - from) / 3.0, to - (to - from) / 3.0);
                if room(a) < room(b) { from = a } else { to = b }
            }
            let a = f64::from(((from + to) / 2.0) as f32);
            (a, (needed(a) + allowed(a)) / 2.0)
        }
    };
    let (slope, offset) = (slope as f32, offset as f32);
    let range = (0.0, thresholds.len() as f32);
    let byte = |v: i64| i64::from(Line::byte(v as i32, slope, offset, range));
    let level = |v: i64| thresholds.partition_point(|&t| t <= v) as i64;
    let right = |v: i64| v < low || v > high || byte(v) == level(v);
    let all = thresholds.len() <= 255
        && slope.is_finite()
        && offset.is_finite()
        && right(low)
        && right(high)
        && thresholds.iter().all(|&t| right(t) && right(t.saturating_sub(1)));
    all.then_some((slope, offset))
}
