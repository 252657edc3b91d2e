//! Clocks of an image's own core, out of the events that its layers exchange.
//!
//! A model of the control in `rtl/spleat_layer.v` and of the FIFOs between layers, clock by clock but
//! without any arithmetic: what is sent is known beforehand. It gives the clock in which each layer
//! ends each inference, and how full FIFOs get, equal to simulation of the Verilog. These are clocks
//! of this project's core, not of SPLEAT.

mod layer;
mod queue;

use std::collections::BTreeMap;

use self::layer::Stage;
use self::queue::Queue;
use super::aer::{self, Event, Word};
use super::geometry::{Geometry, Map};
use super::layer::Layer;
use super::manifest::Manifest;
use super::rtl::feeds;

/// What every input and layer sends in one inference, by name: payloads of each timestep in (C, H, W)
/// order.
pub type Sent = BTreeMap<String, Vec<Vec<i64>>>;

/// When what happened, in clocks from the end of reset, the first being 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timetable {
    /// For each inference the clock in which its first word was taken.
    pub starts: Vec<u64>,
    /// For each layer and inference the clock in which it ended.
    pub ends: Vec<Vec<u64>>,
    /// For each layer the clocks in which it added up taps, in all inferences.
    pub work: Vec<u64>,
    /// Most words that each FIFO held, by its name in traces.
    pub most: BTreeMap<String, u64>,
}

impl Timetable {
    /// Clocks of each inference from its first word to the end of the last layer.
    pub fn latencies(&self) -> Vec<u64> {
        let last = |i: usize| self.ends.iter().filter_map(|e| e.get(i)).max().copied();
        let starts = self.starts.iter().enumerate();
        starts.filter_map(|(i, start)| last(i).map(|end| end.saturating_sub(*start) + 1)).collect()
    }

    /// Clocks between the ends of inferences that follow each other, mean; none of a single one.
    pub fn interval(&self) -> Option<f64> {
        let last = |i: usize| self.ends.iter().filter_map(|e| e.get(i)).max().copied();
        let rest = self.starts.len().checked_sub(1).filter(|rest| *rest > 0)?;
        Some(last(rest)?.checked_sub(last(0)?)? as f64 / rest as f64)
    }
}

/// The rows or columns of the kernel under which an event reaches an output.
fn along(geometry: &Geometry, place: usize, axis: usize) -> Vec<usize> {
    let outputs = [geometry.target.h, geometry.target.w][axis];
    let stride = geometry.strides[axis];
    let meets = |k: &usize| {
        let at = (place + geometry.before[axis]).checked_sub(k * geometry.dilations[axis]);
        at.is_some_and(|at| at % stride == 0 && at / stride < outputs)
    };
    (0..geometry.kernel[axis]).filter(meets).collect()
}

/// The cells of the kernel, as row and column, under which an event reaches an output.
pub fn taps(geometry: &Geometry, event: &Event) -> Vec<(usize, usize)> {
    if geometry.dense {
        return vec![(0, 0)];
    }
    let columns = along(geometry, event.x, 1);
    let rows = along(geometry, event.y, 0);
    rows.into_iter().flat_map(|ky| columns.iter().map(move |&kx| (ky, kx))).collect()
}

/// Clocks that a layer spends on an event at one of its ports: one for each tap that meets an output
/// and each group of channels that the event meets.
pub fn accumulate(layer: &Layer, port: usize, event: &Event) -> u64 {
    let Some(port) = layer.ports.get(port) else { return 0 };
    let g = &port.geometry;
    let groups = if g.dense || g.groups == 1 {
        layer.groups_per_bank()
    } else {
        let targets = g.target.c / g.groups;
        let from = event.c / (g.source.c / g.groups) * targets;
        (from + targets - 1) / layer.npu - from / layer.npu + 1
    };
    (taps(g, event).len() * groups) as u64
}

/// The words of a stream for samples one after the other.
fn words(sent: &[Sent], name: &str, map: Map) -> Result<Vec<Word>, String> {
    let mut all = Vec::new();
    for sample in sent {
        let steps = sample.get(name).ok_or_else(|| format!("nothing is known of `{name}`"))?;
        all.extend(aer::words(steps, map));
    }
    Ok(all)
}

/// When every layer ends each of these inferences, words coming from clock `begin` on, and answers leaving, as
/// fast as they can.
///
/// # Errors
/// When the manifest connects what is not there, something is not said to be sent, or nothing moves any more.
pub fn timetable(
    manifest: &Manifest,
    layers: &[Layer],
    sent: &[Sent],
    begin: u64,
) -> Result<Timetable, String> {
    Pipeline::new(manifest, layers, sent, begin)?.run(sent.len())
}

/// Clocks after reset until every layer takes words.
pub fn clearing(layers: &[Layer]) -> u64 {
    layers.iter().map(|layer| layer::clearing(layer) as u64).max().unwrap_or(0)
}

/// All of an image.
struct Pipeline {
    /// Words of every stream, inputs first, and how many have been handed on.
    streams: Vec<Vec<Word>>,
    handed: Vec<usize>,
    inputs: usize,
    begin: u64,
    /// Of each layer the FIFOs before its ports with the streams that feed them, itself, and the FIFO behind.
    before: Vec<Vec<(usize, Queue)>>,
    stages: Vec<Stage>,
    behind: Vec<Queue>,
}

impl Pipeline {
    fn new(
        manifest: &Manifest,
        layers: &[Layer],
        sent: &[Sent],
        begin: u64,
    ) -> Result<Pipeline, String> {
        let mut streams = Vec::new();
        for input in &manifest.inputs {
            let map = Map::of(&input.shape).ok_or_else(|| format!("input `{}`", input.name))?;
            streams.push(words(sent, &input.name, map)?);
        }
        for layer in layers {
            // Read-outs send nothing: their potentials leave as if they were spikes.
            streams.push(words(sent, &layer.name, layer.target)?);
        }
        let inputs = manifest.inputs.len();
        let feeds = feeds(manifest)?;
        let hardware = &manifest.hardware.description;
        let (mut before, mut stages, mut behind) = (Vec::new(), Vec::new(), Vec::new());
        for (k, (layer, ports)) in layers.iter().zip(&feeds).enumerate() {
            let resources = hardware.resources(&layer.name);
            let queues = ports.iter().map(|&from| (from, Queue::new(resources.fifo_in)));
            before.push(queues.collect());
            behind.push(Queue::new(resources.fifo_out));
            let taken: Vec<&[Word]> = ports.iter().map(|&from| streams[from].as_slice()).collect();
            stages.push(Stage::new(manifest, layer, &taken, &streams[inputs + k]));
        }
        let handed = vec![0; streams.len()];
        Ok(Pipeline { streams, handed, inputs, begin, before, stages, behind })
    }

    fn run(mut self, samples: usize) -> Result<Timetable, String> {
        let mut table =
            Timetable { ends: vec![Vec::new(); self.stages.len()], ..Timetable::default() };
        let (mut clock, mut still) = (0u64, 0u64);
        while table.ends.iter().any(|ends| ends.len() < samples) {
            clock += 1;
            still += 1;
            if self.clock(clock, &mut table) {
                still = 0;
            }
            if still > 1 << 26 {
                return Err(format!("no word is handed on since clock {}", clock - still));
            }
        }
        table.work = self.stages.iter().map(|stage| stage.work).collect();
        for (k, (queues, behind)) in self.before.iter().zip(&self.behind).enumerate() {
            table.most.insert(format!("out{k}"), behind.most());
            for (q, (_, queue)) in queues.iter().enumerate() {
                table.most.insert(format!("in{k}_{q}"), queue.most());
            }
        }
        Ok(table)
    }

    /// One clock; whether a word was handed on.
    fn clock(&mut self, clock: u64, table: &mut Timetable) -> bool {
        // Everything is decided by what was there before the clock.
        let mut ready = vec![true; self.streams.len()];
        for (from, queue) in self.before.iter().flatten() {
            ready[*from] &= queue.ready();
        }
        let valid = |n: usize, handed: &[usize]| match n.checked_sub(self.inputs) {
            None => clock >= self.begin && handed[n] < self.streams[n].len(),
            Some(k) => self.behind[k].front().is_some(),
        };
        let goes: Vec<bool> =
            (0..ready.len()).map(|n| ready[n] && valid(n, &self.handed)).collect();
        for k in 0..self.stages.len() {
            let fronts: Vec<Option<usize>> =
                self.before[k].iter().map(|(_, q)| q.front()).collect();
            let room = self.behind[k].ready();
            let deeds = self.stages[k].clock(&fronts, room);
            for (port, (from, queue)) in self.before[k].iter_mut().enumerate() {
                let word = goes[*from].then(|| self.handed[*from]);
                queue.clock(word, deeds.taken == Some(port));
            }
            self.behind[k].clock(deeds.sent.then_some(0), goes[self.inputs + k]);
            if deeds.ended {
                table.ends[k].push(clock);
            }
        }
        for (n, _) in goes.iter().enumerate().filter(|(_, goes)| **goes) {
            let at = self.handed[n];
            let begins =
                at == 0 || matches!(self.streams[n].get(at - 1), Some(Word::EndOfInference));
            if n == 0 && begins {
                table.starts.push(clock);
            }
            self.handed[n] += 1;
        }
        goes.contains(&true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn taps_are_the_windows_that_hold_the_event(
            kernel in [1usize..4, 1usize..4], strides in [1usize..4, 1usize..4], dilations in [1usize..3, 1usize..3],
            before in [0usize..3, 0usize..3], y in 0usize..6, x in 0usize..6,
        ) {
            let target = Map { c: 1, h: 4, w: 5 };
            let source = Map { c: 1, h: 6, w: 6 };
            let g = Geometry { dense: false, source, target, kernel, strides, dilations, before, groups: 1 };
            let hits = |ky: usize, kx: usize| {
                let hit = |yo: usize, xo: usize| {
                    yo * strides[0] + ky * dilations[0] == y + before[0] && xo * strides[1] + kx * dilations[1] == x + before[1]
                };
                (0..target.h).any(|yo| (0..target.w).any(|xo| hit(yo, xo)))
            };
            let all = (0..kernel[0]).flat_map(|ky| (0..kernel[1]).map(move |kx| (ky, kx)));
            let expected: Vec<_> = all.filter(|&(ky, kx)| hits(ky, kx)).collect();
            prop_assert_eq!(taps(&g, &Event { c: 0, y, x, payload: 1 }), expected);
        }
    }
}
