//! Bits that say which sources spike, in the order in which a target adds them up.
//!
//! A target of a convolution reads channel by channel, and of each channel tap by tap. So the bit of a
//! tap lies `taps` bits from that of the same tap in the next channel: the channels of a place are spread
//! out once, and each target takes the words of the places that it meets, moved by the tap, together.

use super::Maps;
use crate::kernels::{Isa, multiversion};

/// Words are taken so many at a time.
const LANES: usize = 4;

/// How the bits of a convolution are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    channels: usize,
    taps: usize,
    /// Channels of a word.
    together: usize,
}

impl Layout {
    /// `None` where a word has not a bit for each tap.
    pub fn new(channels: usize, taps: usize) -> Option<Layout> {
        let together = (u64::BITS as usize).checked_div(taps)?;
        (together > 0).then_some(Layout { channels, taps, together })
    }

    /// Sources of a target.
    pub fn sources(&self) -> usize {
        self.channels * self.taps
    }

    /// Words of a place.
    pub fn stride(&self) -> usize {
        self.channels.div_ceil(self.together).next_multiple_of(LANES)
    }

    /// Maps in this layout.
    pub fn maps(self, words: &[u64]) -> Maps<'_> {
        Maps { words, stride: self.stride(), each: self.together * self.taps }
    }
}

/// Sets bit `i % 64` of word `i / 64` where value `i` is not 0.
///
/// # Panics
/// When there is not a word for each 64 values.
pub fn bits(isa: Isa, values: &[f32], words: &mut [u64]) {
    let words = &mut words[..values.len().div_ceil(64)];
    each_bit(isa, values, words);
}

multiversion! {
    /// As [`bits`].
    pub fn each_bit(values: &[f32], words: &mut [u64]) {
        for (word, values) in words.iter_mut().zip(values.chunks(64)) {
            let bit = |(i, &x): (usize, &f32)| u64::from(x != 0.0) << i;
            *word = values.iter().enumerate().map(bit).sum();
        }
    }
}

multiversion! {
    /// Spreads out the channels of `values`, one plane of `plane` places after the other, to
    /// [`Layout::stride`] words for each place, and as many of no bit behind the last; `line` has room for
    /// a plane.
    ///
    /// # Panics
    /// When a slice is too short.
    pub fn spread(layout: Layout, values: &[f32], plane: usize, line: &mut [u64], words: &mut [u64]) {
        let stride = layout.stride();
        let words = &mut words[..(plane + 1) * stride];
        let (words, silent) = words.split_at_mut(plane * stride);
        silent.fill(0);
        let line = &mut line[..plane];
        let values = &values[..plane * layout.channels];
        for (w, channels) in values.chunks(plane * layout.together).enumerate() {
            line.fill(0);
            for (i, channel) in channels.chunks_exact(plane).enumerate() {
                let bit = 1u64 << (i * layout.taps);
                for (word, &x) in line.iter_mut().zip(channel) {
                    *word |= if x != 0.0 { bit } else { 0 };
                }
            }
            for (words, &word) in words.chunks_exact_mut(stride).zip(&*line) {
                words[w] = word;
            }
        }
        let used = layout.channels.div_ceil(layout.together);
        for words in words.chunks_exact_mut(stride) {
            words[used..].fill(0);
        }
    }
}

multiversion! {
    /// Writes a map for each target, whose `cells` are the place that each tap meets, the one behind the
    /// last where it meets none.
    ///
    /// # Panics
    /// When a slice is too short or a place is not there.
    pub fn gather(layout: Layout, spread: &[u64], cells: &[u32], maps: &mut [u64]) {
        let lanes = layout.stride() / LANES;
        let (spread, maps) = (spread.as_chunks::<LANES>().0, maps.as_chunks_mut::<LANES>().0);
        for (map, cells) in maps.chunks_exact_mut(lanes).zip(cells.chunks_exact(layout.taps)) {
            for (lane, map) in map.iter_mut().enumerate() {
                let mut words = [0; LANES];
                for (tap, &cell) in cells.iter().enumerate() {
                    let from = &spread[cell as usize * lanes + lane];
                    for (word, from) in words.iter_mut().zip(from) {
                        *word |= from << tap;
                    }
                }
                *map = words;
            }
        }
    }
}
