//! Numbers of any size that nodes send, as lists of those that are not 0.

use super::map::Map;
use crate::spiking::outcome::Activity;

/// How the numbers of a node are listed.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) channels: usize,
    /// Neurons of one channel.
    pub(super) plane: usize,
    /// Where its activity is counted.
    pub(super) slot: Option<usize>,
    /// Whether what it sends is counted.
    pub(super) counted: bool,
}

impl Listed {
    /// The numbers of one timestep in the order of the node's shape, instead of what is in `values`.
    pub(super) fn dense(&self, entries: &[Entry], values: &mut Vec<i64>) {
        values.clear();
        values.resize(self.channels * self.plane, 0);
        for entry in entries {
            values[entry.channel as usize * self.plane + entry.place as usize] = entry.value;
        }
    }
}

/// One number that is not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) place: u32,
    pub(super) channel: u32,
    pub(super) value: i64,
}

/// What one node sent, sample by sample and timestep by timestep.
#[derive(Debug, Default)]
pub(super) struct Lists {
    entries: Vec<Entry>,
    /// Where the list of each timestep ends.
    ends: Vec<usize>,
}

impl Lists {
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.ends.clear();
    }

    pub(super) fn push(&mut self, place: usize, channel: usize, value: i64) {
        self.entries.push(Entry { place: place as u32, channel: channel as u32, value });
    }

    /// Ends the list of a timestep.
    pub(super) fn close(&mut self) {
        self.ends.push(self.entries.len());
    }

    /// The list of one timestep, counted from the first sample on.
    pub(super) fn at(&self, index: usize) -> &[Entry] {
        let first = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.entries[first..self.ends[index]]
    }

    /// What so many timesteps from `index` on came to, synaptic operations not counted.
    pub(super) fn activity(&self, index: usize, steps: usize) -> Activity {
        let mut activity = Activity::default();
        for t in index..index + steps {
            activity.spikes += self.at(t).len() as u64;
            activity.payload += self.at(t).iter().map(|e| e.value.unsigned_abs()).sum::<u64>();
        }
        activity
    }
}

impl Map {
    /// Lists the payloads of one timestep of one sample.
    pub(super) fn list(&self, bytes: &[u8], t: usize, to: &mut Vec<Entry>) {
        if self.steps == 1 && t >= self.repeats {
            return;
        }
        let at = if self.steps == 1 { 0 } else { t * self.stride };
        let silence = self.silence();
        for place in 0..self.height * self.width {
            let from = self.place(place / self.width, place % self.width) + at;
            for (channel, &byte) in bytes[from..][..self.channels].iter().enumerate() {
                if byte != silence {
                    let value = i64::from(byte) + self.low;
                    to.push(Entry { place: place as u32, channel: channel as u32, value });
                }
            }
        }
    }
}
