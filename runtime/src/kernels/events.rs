//! Sums over spikes: the weights of every neuron that fired, added up.
//!
//! A map of payloads 0 and 1 becomes lists of its spikes, ordered so that those that a row of a
//! kernel meets follow each other. A spike adds one line of weights, 64 outputs as unsigned bytes. Two
//! bytes are added at once as a number of 16 bits, and the upper one once more by itself, from which
//! the lower one's sum follows: up to 257 spikes fit.

use std::sync::OnceLock;

use super::aligned::Aligned;
use super::product::{BLOCK, Product};
use super::{Isa, Kernels, multiversion};

#[cfg(target_arch = "x86_64")]
mod avx512;

/// Outputs, and bytes, of one line of weights.
const LINE: usize = 4 * BLOCK;

/// So many unsigned bytes have a sum of 16 bits.
const MOST: usize = 257;

/// How a map of payloads lies in memory: `[line][place][timestep][channel]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Lines of places.
    pub lines: usize,
    /// Places in a line.
    pub places: usize,
    /// Timesteps.
    pub steps: usize,
    /// Bytes of one timestep of a place, a multiple of 4.
    pub stride: usize,
}

impl Layout {
    /// Bytes of one place.
    pub fn place_len(&self) -> usize {
        self.steps * self.stride
    }

    /// Bytes in all.
    pub fn len(&self) -> usize {
        self.lines * self.places * self.place_len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The list of a place; those of the places of a line follow each other, timestep by timestep.
    #[inline(always)]
    fn list(&self, line: usize, place: usize, t: usize) -> usize {
        (line * self.steps + t) * self.places + place
    }
}

/// The spikes of one map, list after list.
#[derive(Debug, Default)]
pub struct Spikes {
    /// `(place in the line * stride + channel) * 64` of each spike, then memory for more.
    entries: Vec<u32>,
    /// Where each list begins, and the last one ends.
    starts: Vec<u32>,
}

impl Spikes {
    /// Lists the bytes of a map that are not 0.
    ///
    /// # Panics
    /// When the map has fewer bytes than its layout says.
    pub fn collect(&mut self, isa: Isa, bytes: &[u8], layout: Layout) {
        let bytes = &bytes[..layout.len()];
        self.starts.clear();
        match isa.kernels() {
            #[cfg(target_arch = "x86_64")]
            Kernels::Avx512 => {
                // Whole registers are stored behind the last spike.
                let room = bytes.len() + BLOCK;
                if self.entries.len() < room {
                    self.entries = vec![0; room];
                }
                self.starts.reserve(layout.lines * layout.steps * layout.places + 1);
                // SAFETY: the processor has the features, as an `Isa` says; the bytes are as many as
                // the layout says, and there is room for a spike from each.
                unsafe { avx512::collect(self, bytes, layout) };
            }
            _ => self.collect_each(bytes, layout),
        }
    }

    fn collect_each(&mut self, bytes: &[u8], layout: Layout) {
        self.entries.clear();
        for line in bytes.chunks_exact((layout.places * layout.place_len()).max(1)) {
            for t in 0..layout.steps {
                for (x, place) in line.chunks_exact(layout.place_len()).enumerate() {
                    self.starts.push(self.entries.len() as u32);
                    let channels = &place[t * layout.stride..][..layout.stride];
                    for (i, four) in channels.as_chunks::<4>().0.iter().enumerate() {
                        if *four == [0; 4] {
                            continue;
                        }
                        let first = x * layout.stride + 4 * i;
                        let fired = (0..4).filter(|&k| four[k] != 0);
                        self.entries.extend(fired.map(|k| ((first + k) * LINE) as u32));
                    }
                }
            }
        }
        self.starts.push(self.entries.len() as u32);
    }

    /// Spikes in all.
    pub fn count(&self) -> usize {
        self.starts.last().map_or(0, |&end| end as usize)
    }
}

/// Taps whose places follow each other in a line.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// Lines and places from the first tap.
    line: usize,
    place: usize,
    /// Taps.
    taps: usize,
    /// The first of them.
    first: usize,
}

/// The weights of a [`Product`] for spikes of a map, packed when they are first asked for.
#[derive(Debug)]
pub struct Sums {
    layout: Layout,
    runs: Vec<Run>,
    /// Lines of one part of the outputs.
    inputs: usize,
    /// Weights and 128, `[64 outputs][tap][channel][16][4]`: four blocks of outputs interleaved.
    packed: OnceLock<Aligned<u8>>,
}

impl Sums {
    /// Prepares a product for maps of a layout, that of the product's rows and taps.
    pub fn new(product: &Product, layout: Layout) -> Sums {
        let mut runs: Vec<Run> = Vec::new();
        for (first, &tap) in product.taps().iter().enumerate() {
            let place = tap / layout.place_len().max(1);
            let (line, place) = (place / layout.places, place % layout.places);
            match runs.last_mut() {
                Some(run) if run.line == line && run.place + run.taps == place => run.taps += 1,
                _ => runs.push(Run { line, place, taps: 1, first }),
            }
        }
        let inputs = product.taps().len() * layout.stride;
        Sums { layout, runs, inputs, packed: OnceLock::new() }
    }

    /// Whether spikes of a share `density` of all neurons are added up sooner than multiplied.
    pub fn worthwhile(&self, isa: Isa, product: &Product, density: f32) -> bool {
        // Products of 16 outputs and 4 inputs in the time of one line, and of what a row costs beside.
        let (line, row) = match isa.kernels() {
            Kernels::Avx512 => (3.0, 40.0),
            _ => (1.0, 20.0),
        };
        let inputs = self.inputs as f32;
        let parts = product.width().div_ceil(LINE) as f32;
        let blocks = (product.width() / BLOCK) as f32;
        (density * inputs * line + row) * parts < inputs / 4.0 * blocks
    }

    fn pack(&self, product: &Product) -> Aligned<u8> {
        let parts = product.width().div_ceil(LINE);
        let mut packed = Aligned::zeros(parts * self.inputs * LINE);
        let mut lines = packed.chunks_exact_mut(LINE);
        for part in 0..parts {
            for tap in 0..product.taps().len() {
                for (channel, line) in (0..self.layout.stride).zip(&mut lines) {
                    for (lane, weight) in line.iter_mut().enumerate() {
                        let output = part * LINE + lane % 4 * BLOCK + lane / 4;
                        *weight = 128;
                        if output < product.outputs() && channel < product.inputs() {
                            *weight = (product.weight(output, tap, channel) as u8) ^ 128;
                        }
                    }
                }
            }
        }
        packed
    }

    /// As [`Product::run`] on the bytes that `spikes` were collected from, all of them 0 or 1: those of one
    /// map or of several, line after line. `places` are the line and place of the first tap; each has a row
    /// for every timestep.
    ///
    /// # Panics
    /// When a place with all taps does not lie in the map, or `sums` is too short.
    pub fn run(
        &self,
        isa: Isa,
        product: &Product,
        spikes: &Spikes,
        places: &[[u32; 2]],
        sums: &mut [i32],
        add: bool,
    ) {
        let width = product.width();
        let layout = self.layout;
        assert!(places.len() * layout.steps * width <= sums.len(), "there is no room for all sums");
        let lists = layout.steps * layout.places;
        let lines = spikes.starts.len().saturating_sub(1) / lists.max(1);
        assert_eq!(spikes.starts.len(), lines * lists + 1, "spikes of a map of another layout");
        let reach = |f: fn(&Run) -> usize| self.runs.iter().map(f).max().unwrap_or(0);
        let (down, right) = (reach(|run| run.line), reach(|run| run.place + run.taps));
        let inside = |&[line, place]: &[u32; 2]| {
            line as usize + down < lines && place as usize + right <= layout.places
        };
        assert!(places.iter().all(inside), "a place lies outside of the map");
        let packed = self.packed.get_or_init(|| self.pack(product));
        let work =
            Work { sums: self, packed, initial: product.initial(), spikes, places, width, add };
        match isa.kernels() {
            // SAFETY: the processor has the features, as an `Isa` says; rows and sums were checked.
            #[cfg(target_arch = "x86_64")]
            Kernels::Avx512 => unsafe { avx512::run(&work, sums) },
            _ => run_each(isa, &work, sums),
        }
    }
}

/// What is to be added up.
#[derive(Clone, Copy, Debug)]
pub struct Work<'a> {
    sums: &'a Sums,
    packed: &'a [u8],
    initial: &'a [i32],
    spikes: &'a Spikes,
    places: &'a [[u32; 2]],
    width: usize,
    add: bool,
}

impl Work<'_> {
    /// The spikes that a row meets by one run of taps, and what brings them to lines of weights.
    #[inline(always)]
    fn met(&self, [line, place]: [u32; 2], t: usize, run: &Run) -> (std::ops::Range<usize>, usize) {
        let layout = self.sums.layout;
        let (line, place) = (line as usize + run.line, place as usize + run.place);
        let first = layout.list(line, place, t);
        let (from, to) = (self.spikes.starts[first], self.spikes.starts[first + run.taps]);
        let weights = run.first * layout.stride * LINE;
        (from as usize..to as usize, weights.wrapping_sub(place * layout.stride * LINE))
    }

    /// Every row: its place and timestep.
    #[inline(always)]
    fn rows(&self) -> impl Iterator<Item = ([u32; 2], usize)> {
        let steps = self.sums.layout.steps;
        self.places.iter().flat_map(move |&place| (0..steps).map(move |t| (place, t)))
    }
}

/// Sums of 64 outputs, by pairs of bytes.
#[derive(Clone, Copy)]
struct Pairs {
    /// Of both bytes.
    both: [u16; LINE / 2],
    /// Of the upper one.
    upper: [u16; LINE / 2],
}

impl Pairs {
    const NONE: Pairs = Pairs { both: [0; LINE / 2], upper: [0; LINE / 2] };

    /// Adds to sums what `count` spikes came to.
    #[inline(always)]
    fn flush(&mut self, count: usize, sums: &mut [i32]) {
        let offset = 128 * count as i32;
        for (block, sums) in sums.chunks_mut(BLOCK).enumerate() {
            for (i, sum) in sums.iter_mut().enumerate() {
                let (both, upper) = (self.both[2 * i + block / 2], self.upper[2 * i + block / 2]);
                let lower = both.wrapping_sub(upper << 8);
                let own = if block % 2 == 0 { lower } else { upper };
                *sum = sum.wrapping_add(i32::from(own) - offset);
            }
        }
        *self = Pairs::NONE;
    }
}

multiversion! {
    /// As [`Sums::run`], for the compiler to vectorise.
    pub fn run_each(work: &Work<'_>, sums: &mut [i32]) {
        let length = work.sums.inputs * LINE;
        for (part, packed) in work.packed.chunks_exact(length.max(1)).enumerate() {
            let columns = part * LINE..((part + 1) * LINE).min(work.width);
            for ((place, t), sums) in work.rows().zip(sums.chunks_exact_mut(work.width)) {
                let sums = &mut sums[columns.clone()];
                for (sum, &initial) in sums.iter_mut().zip(&work.initial[columns.clone()]) {
                    *sum = if work.add { *sum } else { 0 }.wrapping_add(initial);
                }
                let (mut pairs, mut count) = (Pairs::NONE, 0);
                for run in &work.sums.runs {
                    let (met, shift) = work.met(place, t, run);
                    for &entry in &work.spikes.entries[met] {
                        let line = &packed[shift.wrapping_add(entry as usize)..][..LINE];
                        let line = line.as_chunks::<2>().0;
                        let own = pairs.both.iter_mut().zip(&mut pairs.upper);
                        for ((both, upper), &two) in own.zip(line) {
                            let two = u16::from_le_bytes(two);
                            *both = both.wrapping_add(two);
                            *upper = upper.wrapping_add(two >> 8);
                        }
                        count += 1;
                        if count == MOST {
                            pairs.flush(count, sums);
                            count = 0;
                        }
                    }
                }
                pairs.flush(count, sums);
            }
        }
    }
}
