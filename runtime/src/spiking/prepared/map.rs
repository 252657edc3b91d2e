//! Payloads of a map in memory: `[y][x][timestep][channel]`, one byte each, within a border of silence.

use crate::kernels::events::Layout;
use crate::kernels::{Isa, elements};
use crate::spiking::outcome::Activity;

/// How one map lies in memory. A byte stands for the payload `byte + low`.
#[derive(Clone, Debug)]
pub(super) struct Map {
    pub(super) channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    /// Bytes of one timestep of one place: the channels, from 4 on padded to a multiple of 4.
    pub(super) stride: usize,
    /// Timesteps kept; 1 for what is the same in every timestep.
    pub(super) steps: usize,
    /// Timesteps in which each byte is sent.
    pub(super) repeats: usize,
    /// Smallest payload, at most 0.
    pub(super) low: i64,
    /// Largest payload, at least 0.
    pub(super) high: i64,
    /// Places of silence above, left, below and right, for convolutions that reach beyond the map.
    pub(super) border: [usize; 4],
    /// Whether what it sends is counted.
    pub(super) counted: bool,
    /// Where its activity is counted.
    pub(super) slot: Option<usize>,
    /// Whether a projection reads it.
    pub(super) projects: bool,
    /// Runs of bytes whose sources have the same number of synapses: start, end, synapses.
    pub(super) fan_out: Vec<(usize, usize, u64)>,
    /// The same byte by byte where runs are short, else empty.
    pub(super) fan_out_each: Vec<u32>,
}

/// Runs of synapses are short below so many bytes.
const SHORT: usize = 128;

/// Channels, height and width of a shape; `None` beyond two spatial dimensions, or of an empty map.
pub(super) fn extents(shape: &[usize]) -> Option<[usize; 3]> {
    let extents = match *shape {
        [c] => [c, 1, 1],
        [c, x] => [c, 1, x],
        [c, y, x] => [c, y, x],
        _ => return None,
    };
    (!extents.contains(&0)).then_some(extents)
}

impl Map {
    /// Bytes of one place.
    pub(super) fn place_len(&self) -> usize {
        self.steps * self.stride
    }

    /// Places in a row, the border included.
    pub(super) fn row_places(&self) -> usize {
        self.border[1] + self.width + self.border[3]
    }

    /// Bytes in all.
    pub(super) fn len(&self) -> usize {
        self.lines() * self.row_places() * self.place_len()
    }

    /// Lines of places, the border included.
    pub(super) fn lines(&self) -> usize {
        self.border[0] + self.height + self.border[2]
    }

    /// The same of several samples for kernels.
    pub(super) fn layout(&self, samples: usize) -> Layout {
        Layout {
            lines: samples * self.lines(),
            places: self.row_places(),
            steps: self.steps,
            stride: self.stride,
        }
    }

    /// Where a place begins, counted from the first place of the border.
    pub(super) fn bordered(&self, y: usize, x: usize) -> usize {
        (y * self.row_places() + x) * self.place_len()
    }

    /// Where a place begins.
    pub(super) fn place(&self, y: usize, x: usize) -> usize {
        self.bordered(y + self.border[0], x + self.border[1])
    }

    /// Moves codes in (C, H, W) order to their places at timestep `t`.
    pub(super) fn put(&self, bytes: &mut [u8], t: usize, codes: &[u8]) {
        let len = self.place_len();
        for (c, plane) in codes.chunks_exact(self.height * self.width).enumerate() {
            for (y, row) in plane.chunks_exact(self.width).enumerate() {
                let from = self.place(y, 0) + t * self.stride + c;
                if len == 1 {
                    bytes[from..][..row.len()].copy_from_slice(row);
                    continue;
                }
                for (to, &code) in bytes[from..].iter_mut().step_by(len).zip(row) {
                    *to = code;
                }
            }
        }
    }

    /// Where every place begins, row by row.
    pub(super) fn places(&self) -> Vec<usize> {
        let all = (0..self.height).flat_map(|y| (0..self.width).map(move |x| (y, x)));
        all.map(|(y, x)| self.place(y, x)).collect()
    }

    /// Whether the payloads are 0 and 1.
    pub(super) fn is_binary(&self) -> bool {
        self.low == 0 && self.high == 1
    }

    /// The byte of silence.
    pub(super) fn silence(&self) -> u8 {
        (-self.low) as u8
    }

    /// The payloads of one timestep in (C, H, W) order, instead of what is in `payloads`.
    pub(super) fn payloads(&self, bytes: &[u8], t: usize, payloads: &mut Vec<i64>) {
        let (at, len) = (if self.steps == 1 { 0 } else { t }, self.place_len());
        let plane = self.height * self.width;
        payloads.clear();
        payloads.resize(self.channels * plane, 0);
        if self.steps == 1 && t >= self.repeats {
            return;
        }
        for (c, payloads) in payloads.chunks_exact_mut(plane).enumerate() {
            for (y, row) in payloads.chunks_exact_mut(self.width).enumerate() {
                let from = self.place(y, 0) + at * self.stride + c;
                for (payload, byte) in row.iter_mut().zip(bytes[from..].iter().step_by(len)) {
                    *payload = i64::from(*byte) + self.low;
                }
            }
        }
    }

    /// Lets every place of the map have `synapses(y, x)` synapses for each of its channels, beside
    /// those it has. All channels of a place are alike.
    pub(super) fn add_fan_out(&mut self, synapses: impl Fn(usize, usize) -> u64) {
        let before = std::mem::take(&mut self.fan_out);
        let known = |at: usize| {
            let run = before.partition_point(|&(start, _, _)| start <= at);
            run.checked_sub(1).map_or(0, |i| before[i].2)
        };
        for y in 0..self.height {
            for x in 0..self.width {
                let from = self.place(y, x);
                let (to, n) = (from + self.place_len(), known(from) + synapses(y, x));
                match self.fan_out.last_mut() {
                    Some((_, end, same)) if *end == from && *same == n => *end = to,
                    _ => self.fan_out.push((from, to, n)),
                }
            }
        }
    }

    /// Lists synapses byte by byte where their runs are short.
    pub(super) fn tabulate(&mut self) {
        let few = self.fan_out.len() * SHORT <= self.len();
        if few || self.fan_out.iter().any(|run| run.2 > elements::MOST_SYNAPSES.into()) {
            return;
        }
        self.fan_out_each = vec![0; self.len()];
        for &(from, to, synapses) in &self.fan_out {
            self.fan_out_each[from..to].fill(synapses as u32);
        }
    }

    /// What the bytes of one sample come to, timesteps that repeat them included.
    pub(super) fn activity(&self, isa: Isa, bytes: &[u8]) -> Activity {
        let (mut activity, silence) = (Activity::default(), self.silence());
        let repeats = self.repeats as u64;
        let mut add = |bytes: &[u8], synapses: u64| {
            let (spikes, payload) = if self.is_binary() {
                let spikes = elements::spikes(isa, bytes, silence);
                (spikes, spikes)
            } else {
                elements::activity(isa, bytes, silence)
            };
            activity.synaptic_operations += spikes * repeats * synapses;
            if self.counted {
                activity.spikes += spikes * repeats;
                activity.payload += payload * repeats;
            }
        };
        if self.fan_out_each.is_empty() {
            self.fan_out.iter().for_each(|&(from, to, synapses)| add(&bytes[from..to], synapses));
        } else {
            add(bytes, 0);
            let met = elements::synapses(isa, bytes, silence, &self.fan_out_each);
            activity.synaptic_operations = met * repeats;
        }
        activity
    }
}
