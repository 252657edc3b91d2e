//! Convolutions: every output place has a list of the weights that it adds up, or a map of them in bits.

use super::sent::Read;
use crate::kernels::Isa;
use crate::kernels::reals::bits::{Layout, bits, gather, spread};
use crate::kernels::reals::{Lists, Maps, NEAR, Rows, WIDEST, transpose};

/// Sums of which a block is made at once: all weights of a block are near.
const FEW: usize = 16;

/// Sums of which a block is made at once where each tile of its weights is to serve many.
const MANY: usize = 256;

/// Sums that are made at once, at most.
pub(super) const SUMS: usize = MANY * WIDEST;

/// Which outputs of a convolution each place of the source map meets, by which tap of the kernel.
#[derive(Debug)]
pub(super) struct Meetings {
    /// Places of a plane of the source, and of the target.
    pub(super) planes: [usize; 2],
    pub(super) taps: usize,
    /// Where the meetings of each place begin, and the end.
    pub(super) starts: Vec<u32>,
    /// Tap and target place.
    pub(super) met: Vec<(u32, u32)>,
}

impl Meetings {
    pub(super) fn of(&self, place: usize) -> &[(u32, u32)] {
        &self.met[self.starts[place] as usize..self.starts[place + 1] as usize]
    }
}

/// A convolution of sources that send more than spikes, or that have too many taps for a word of bits.
#[derive(Debug)]
pub(super) struct Convolution {
    pub(super) rows: Rows,
    pub(super) meetings: Meetings,
    pub(super) channels: usize,
}

/// Room for lists of sources.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) indices: Vec<u32>,
    pub(super) values: Vec<f32>,
    pub(super) counts: Vec<u32>,
}

impl Convolution {
    /// Computes one timestep.
    pub(super) fn run(
        &self,
        isa: Isa,
        read: Read<'_>,
        t: usize,
        listed: &mut Listed,
        sums: &mut [f32],
        out: &mut [f32],
    ) {
        self.list(read, t, listed);
        let (plane, stride) = (self.meetings.planes[1], self.longest());
        for block in self.rows.blocks() {
            for first in (0..plane).step_by(FEW) {
                let count = FEW.min(plane - first);
                let lists = Lists {
                    indices: &listed.indices[first * stride..],
                    values: &listed.values[first * stride..],
                    counts: &listed.counts[first..first + count],
                    stride,
                };
                block.sums(isa, lists, sums);
                let out = &mut out[block.first() * plane + first..];
                let (width, sums) = (block.width(), &sums[..count * block.width()]);
                transpose(isa, sums, width, block.targets(), plane, out);
            }
        }
    }

    /// Most sources that one output meets.
    pub(super) fn longest(&self) -> usize {
        self.channels * self.meetings.taps
    }

    /// Lists what each output place meets at timestep `t`. Sources come channel by channel and row by row,
    /// so that every list is in the order of the weights.
    fn list(&self, read: Read<'_>, t: usize, listed: &mut Listed) {
        let [source, target] = self.meetings.planes;
        let (taps, stride) = (self.meetings.taps as u32, self.longest());
        // Where the next entry of each list goes.
        let ends = &mut listed.counts[..target];
        for (end, at) in ends.iter_mut().zip((0..).step_by(stride)) {
            *end = at;
        }
        let (mut channel, mut start) = (0, 0);
        for (i, x) in read.sources(t) {
            while i - start >= source {
                start += source;
                channel += taps;
            }
            for &(tap, place) in self.meetings.of(i - start) {
                let end = &mut ends[place as usize];
                listed.indices[*end as usize] = channel + tap;
                listed.values[*end as usize] = x;
                *end += 1;
            }
        }
        for (end, at) in ends.iter_mut().zip((0..).step_by(stride)) {
            *end -= at;
        }
    }
}

/// A convolution of spikes.
#[derive(Debug)]
pub(super) struct SpikeConvolution {
    pub(super) rows: Rows,
    pub(super) layout: Layout,
    /// Places of a plane of the source, and of the target.
    pub(super) planes: [usize; 2],
    /// The place that each tap of each target meets, the one behind the last where it meets none.
    pub(super) cells: Vec<u32>,
    /// Timesteps that are run at once.
    pub(super) together: usize,
}

/// Room for the bits of a convolution.
#[derive(Debug, Default)]
pub(super) struct Bits {
    line: Vec<u64>,
    spread: Vec<u64>,
    maps: Vec<u64>,
}

impl Bits {
    /// Makes room for one more convolution.
    pub(super) fn fit(&mut self, c: &SpikeConvolution) {
        let ([source, target], stride) = (c.planes, c.layout.stride());
        let needed = [source, (source + 1) * stride, c.together * target * stride];
        for (room, len) in
            [&mut self.line, &mut self.spread, &mut self.maps].into_iter().zip(needed)
        {
            room.resize(room.len().max(len), 0);
        }
    }
}

impl Bits {
    /// Makes room for a dense projection.
    pub(super) fn fit_dense(&mut self, sources: usize, timesteps: usize) {
        let len = sources.div_ceil(64) * timesteps;
        self.maps.resize(self.maps.len().max(len), 0);
    }

    /// The maps of a dense projection, one for each row of values.
    pub(super) fn dense<'a>(
        &mut self,
        isa: Isa,
        sources: usize,
        rows: impl ExactSizeIterator<Item = &'a [f32]>,
    ) -> Maps<'_> {
        let stride = sources.div_ceil(64);
        let words = &mut self.maps[..rows.len() * stride];
        for (words, values) in words.chunks_exact_mut(stride).zip(rows) {
            bits(isa, values, words);
        }
        Maps { words, stride, each: 64 }
    }
}

impl SpikeConvolution {
    pub(super) fn new(rows: Rows, layout: Layout, meetings: &Meetings, together: usize) -> Self {
        let (planes, taps) = (meetings.planes, meetings.taps);
        let mut cells = vec![planes[0] as u32; planes[1] * taps];
        for place in 0..planes[0] {
            for &(tap, at) in meetings.of(place) {
                cells[at as usize * taps + tap as usize] = place as u32;
            }
        }
        SpikeConvolution { rows, layout, planes, cells, together }
    }

    /// Computes all timesteps of `out`.
    pub(super) fn run(
        &self,
        isa: Isa,
        read: Read<'_>,
        bits: &mut Bits,
        sums: &mut [f32],
        out: &mut [f32],
    ) {
        let len = self.rows.targets() * self.planes[1];
        for (i, out) in out.chunks_mut(self.together * len).enumerate() {
            let steps = out.len() / len;
            let own = self.planes[1] * self.layout.stride();
            let maps = &mut bits.maps[..steps * own];
            for (t, maps) in maps.chunks_exact_mut(own).enumerate() {
                let values = read.values(i * self.together + t);
                spread(isa, self.layout, values, self.planes[0], &mut bits.line, &mut bits.spread);
                gather(isa, self.layout, &bits.spread, &self.cells, maps);
            }
            self.sum(isa, maps, sums, out);
        }
    }

    /// Sums what the maps say, one block of weights after the other.
    fn sum(&self, isa: Isa, maps: &[u64], sums: &mut [f32], out: &mut [f32]) {
        let (plane, stride) = (self.planes[1], self.layout.stride());
        let len = self.rows.targets() * plane;
        let near = self.layout.sources() <= NEAR;
        let at_once = if near { FEW } else { MANY } * stride;
        for block in self.rows.blocks() {
            let mut place = 0;
            for maps in maps.chunks(at_once) {
                block.spikes(isa, self.layout.maps(maps), sums);
                let mut sums = &sums[..maps.len() / stride * block.width()];
                // What belongs to one timestep is one plane of each channel.
                while !sums.is_empty() {
                    let (t, first) = (place / plane, place % plane);
                    let count = (plane - first).min(sums.len() / block.width());
                    let (own, rest) = sums.split_at(count * block.width());
                    let out = &mut out[t * len + block.first() * plane + first..];
                    transpose(isa, own, block.width(), block.targets(), plane, out);
                    (place, sums) = (place + count, rest);
                }
            }
        }
    }
}
