//! One run of a prepared network, over a group of samples.

use snnc_ir::{Encoder, Graph, Presentation, Readout, Rounding};

use super::buffers::Buffers;
use super::link::Failed;
use super::lists::Entry;
use super::map::Map;
use super::{Action, Plan, Pool, PoolKind, Source};
use crate::kernels::elements::{self, Running};
use crate::spiking::boundary::{Sample, decode, encode};
use crate::spiking::outcome::{Activity, Outcome, Output};

impl Plan {
    /// Runs as many samples as the buffers were prepared for; `None` where one has not settled.
    pub(super) fn run(
        &self,
        graph: &Graph,
        samples: &[&[Sample]],
        b: &mut Buffers,
    ) -> Result<Option<Vec<Outcome>>, Failed> {
        let none = |_: &&[Sample]| Outcome {
            outputs: Vec::with_capacity(1),
            timesteps: self.steps,
            activity: self.counted.iter().map(|&id| (id, Activity::default())).collect(),
        };
        let mut outcomes: Vec<Outcome> = samples.iter().map(none).collect();
        b.last.clear();
        b.last.resize(b.samples, self.steps - 1);
        let decodes = |a: &Action| matches!(a, Action::Decode { .. });
        let end = self.actions.iter().position(decodes).unwrap_or(self.actions.len());
        let (layers, read_outs) = self.actions.split_at(end);
        for action in layers {
            self.act(graph, action, samples, &mut outcomes, b)?;
            for (i, outcome) in outcomes.iter_mut().enumerate() {
                if let Some((slot, activity)) = self.activity(action, i, b) {
                    let own = &mut outcome.activity[slot].1;
                    own.spikes += activity.spikes;
                    own.payload += activity.payload;
                    own.synaptic_operations += activity.synaptic_operations;
                }
            }
        }
        // What is read out, and counted of potentials, ends with the last timestep.
        match self.settled(graph, b)? {
            Some(last) => b.last = last,
            None => return Ok(None),
        }
        self.count_numbers(&mut outcomes, b);
        for action in read_outs {
            self.act(graph, action, samples, &mut outcomes, b)?;
        }
        Ok(Some(outcomes))
    }

    /// Does what an action is.
    fn act(
        &self,
        graph: &Graph,
        action: &Action,
        samples: &[&[Sample]],
        outcomes: &mut [Outcome],
        b: &mut Buffers,
    ) -> Result<(), Failed> {
        match action {
            Action::Encode { input, encoder, to } => {
                for (i, sample) in samples.iter().enumerate() {
                    self.encode(encoder, &sample[*input], *to, i, b);
                }
            }
            Action::Layer(layer) => {
                self.layer(layer, b);
                if let Some(slot) = layer.pooled_at {
                    for (outcome, [count, magnitude]) in outcomes.iter_mut().zip(&b.pooled) {
                        outcome.activity[slot].1.spikes += count;
                        outcome.activity[slot].1.payload += magnitude;
                    }
                }
            }
            Action::Pool(pool) => self.pool(pool, b),
            Action::Concatenate { parts, to } => self.concatenate(parts, *to, b),
            Action::Stepped(node) => self.step(graph, node, samples, b, outcomes)?,
            Action::Decode { id, from, delay, decoder } => {
                for (i, outcome) in outcomes.iter_mut().enumerate() {
                    let raw = self.read_out((*from, *delay), decoder.readout, i, b);
                    let scores = decode(decoder, &raw);
                    outcome.outputs.push(Output { name: graph[*id].name.clone(), raw, scores });
                }
            }
        }
        Ok(())
    }

    /// Counts what is sent as numbers, which may go on after the last timestep, and timesteps.
    fn count_numbers(&self, outcomes: &mut [Outcome], b: &Buffers) {
        for (i, outcome) in outcomes.iter_mut().enumerate() {
            outcome.timesteps = if self.settles { b.last[i] } else { self.steps };
            for (to, own) in self.totals.iter().enumerate() {
                let values = self.totals_of_sample(to, i, b);
                let values = &values[..(b.last[i] + 1) * own.neurons];
                if let Some(slot) = own.slot {
                    let activity = &mut outcome.activity[slot].1;
                    activity.spikes += values.iter().filter(|&&v| v != 0).count() as u64;
                    activity.payload += values.iter().map(|v| v.unsigned_abs()).sum::<u64>();
                }
            }
            for (own, lists) in self.lists.iter().zip(&b.lists) {
                if let Some(slot) = own.slot.filter(|_| own.counted) {
                    let sent = lists.activity(i * self.steps, b.last[i] + 1);
                    outcome.activity[slot].1.spikes += sent.spikes;
                    outcome.activity[slot].1.payload += sent.payload;
                }
            }
        }
    }

    /// The bytes of a map that belong to one sample.
    pub(super) fn of_sample<'a>(&self, map: usize, sample: usize, b: &'a Buffers) -> &'a [u8] {
        let len = self.maps[map].len();
        &b.maps[map][sample * len..][..len]
    }

    /// What is read out of one sample, `[timestep][neuron]`.
    pub(super) fn totals_of_sample<'a>(
        &self,
        totals: usize,
        sample: usize,
        b: &'a Buffers,
    ) -> &'a [i64] {
        let len = self.totals[totals].neurons * self.steps;
        &b.totals[totals][sample * len..][..len]
    }

    /// What a source sent in one timestep of one sample; `room` is memory for it.
    pub(super) fn sent<'a>(
        &self,
        from: Source,
        (sample, t): (usize, usize),
        b: &'a Buffers,
        room: &'a mut Vec<Entry>,
    ) -> &'a [Entry] {
        room.clear();
        match from {
            Source::Lists(index) => return b.lists[index].at(sample * self.steps + t),
            Source::Map(index) => self.maps[index].list(self.of_sample(index, sample, b), t, room),
            Source::Totals(index) => {
                let own = &self.totals[index];
                let values = &self.totals_of_sample(index, sample, b)[t * own.neurons..];
                for (i, &value) in values[..own.neurons].iter().enumerate() {
                    if value != 0 {
                        let (channel, place) = ((i / own.plane) as u32, (i % own.plane) as u32);
                        room.push(Entry { place, channel, value });
                    }
                }
            }
        }
        room
    }

    /// What a node has just done in the run of one sample, and where it is counted.
    fn activity(&self, action: &Action, sample: usize, b: &Buffers) -> Option<(usize, Activity)> {
        let to = match action {
            Action::Layer(layer) => Some(layer.to),
            Action::Stepped(node) => Some(node.to),
            _ => None,
        };
        let map = match (action, to) {
            (_, Some(Source::Map(to))) => to,
            (Action::Encode { to, .. }, _) => *to,
            (Action::Pool(pool), _) => pool.to,
            (Action::Concatenate { to, .. }, _) if self.maps[*to].projects => *to,
            _ => return None,
        };
        let bytes = self.of_sample(map, sample, b);
        Some((self.maps[map].slot?, self.maps[map].activity(self.isa, bytes)))
    }

    fn encode(&self, encoder: &Encoder, input: &Sample, to: usize, sample: usize, b: &mut Buffers) {
        let map = &self.maps[to];
        b.codes.resize(map.channels * map.height * map.width, 0);
        let (low, high) =
            (encoder.minimum - encoder.zero_point, encoder.maximum - encoder.zero_point);
        let serial = matches!(encoder.presentation, Presentation::BitSerial { .. });
        let small = high - low <= 255 && low.abs() < 1 << 22 && encoder.thresholds.is_empty();
        let bytes = &mut b.maps[to][sample * map.len()..][..map.len()];
        if let (Sample::Real(x), Rounding::HalfEven, false, true) =
            (input, encoder.rounding, serial, small)
        {
            // Codes count from the smallest code, bytes from the smallest payload or 0.
            let shift = (low - map.low) as u8;
            let (low, high) = (low as f32, high as f32);
            elements::quantise(self.isa, x, encoder.scale, low, high, &mut b.codes);
            if shift != 0 {
                b.codes.iter_mut().for_each(|code| *code = code.wrapping_add(shift));
            }
            for t in 0..self.presented(encoder, map) {
                map.put(bytes, t, &b.codes);
            }
            return;
        }
        let payloads = encode(encoder, input);
        for t in 0..map.steps {
            let present = |p: i64| match encoder.presentation {
                _ if t >= self.given => 0,
                Presentation::BitSerial { bits } => match usize::from(bits).checked_sub(t + 1) {
                    Some(bit) => (p >> bit) & 1,
                    None => 0,
                },
                _ if t < self.presented(encoder, map) => p,
                _ => 0,
            };
            for (code, &p) in b.codes.iter_mut().zip(&payloads) {
                *code = (present(p) - map.low) as u8;
            }
            map.put(bytes, t, &b.codes);
        }
    }

    /// In how many timesteps of its map an encoder sends its payloads.
    fn presented(&self, encoder: &Encoder, map: &Map) -> usize {
        match encoder.presentation {
            Presentation::EveryTimestep => map.steps.min(self.given),
            _ => 1,
        }
    }

    fn pool(&self, pool: &Pool, b: &mut Buffers) {
        let (source, own) = (&self.maps[pool.from], &self.maps[pool.to]);
        let len = source.place_len();
        let (from, to) = pair(&mut b.maps, pool.from, pool.to);
        for sample in 0..b.samples {
            let from = &from[sample * source.len()..][..source.len()];
            let to = &mut to[sample * own.len()..][..own.len()];
            match pool.kind {
                PoolKind::Sum => elements::sums(self.isa, from, &pool.windows, len, to),
                PoolKind::Maximum => {
                    elements::maxima(self.isa, from, &pool.windows, len, own.silence(), to);
                }
                PoolKind::Running => {
                    let run = Running {
                        steps: self.steps,
                        from: if source.steps == 1 { 0 } else { source.stride },
                        stride: own.stride,
                        silence: own.silence(),
                    };
                    elements::running_maxima(self.isa, from, &pool.windows, run, to);
                }
            }
        }
    }

    fn concatenate(&self, parts: &[usize], to: usize, b: &mut Buffers) {
        let own = &self.maps[to];
        let mut channel = 0;
        for &part in parts {
            let source = &self.maps[part];
            let shift = (source.low - own.low) as u8;
            let (from, to) = pair(&mut b.maps, part, to);
            for (a, z) in source.places().into_iter().zip(own.places()) {
                for (sample, t) in (0..b.samples).flat_map(|i| (0..own.steps).map(move |t| (i, t)))
                {
                    let (a, z) = (a + sample * source.len(), z + sample * own.len());
                    let bytes = &from[a + t * source.stride..][..source.channels];
                    let to = &mut to[z + t * own.stride + channel..][..source.channels];
                    for (to, &byte) in to.iter_mut().zip(bytes) {
                        *to = byte.wrapping_add(shift);
                    }
                }
            }
            channel += source.channels;
        }
    }

    fn read_out(
        &self,
        (from, delay): (Source, usize),
        readout: Readout,
        sample: usize,
        b: &Buffers,
    ) -> Vec<i64> {
        let Some(last) = b.last[sample].checked_sub(delay) else {
            return vec![0; self.neurons(from)];
        };
        let first = if readout == Readout::Last { last } else { 0 };
        let (mut raw, mut value) = (Vec::new(), Vec::new());
        for t in first..=last {
            match from {
                Source::Map(index) => {
                    let bytes = self.of_sample(index, sample, b);
                    self.maps[index].payloads(bytes, t, &mut value);
                }
                Source::Totals(index) => {
                    let neurons = self.totals[index].neurons;
                    let values = self.totals_of_sample(index, sample, b);
                    value.clear();
                    value.extend_from_slice(&values[t * neurons..][..neurons]);
                }
                Source::Lists(index) => {
                    let entries = b.lists[index].at(sample * self.steps + t);
                    self.lists[index].dense(entries, &mut value);
                }
            }
            if t == first {
                std::mem::swap(&mut raw, &mut value);
            } else {
                raw.iter_mut().zip(&value).for_each(|(raw, value)| *raw += value);
            }
        }
        raw
    }
}

impl Plan {
    /// Neurons of a source.
    fn neurons(&self, from: Source) -> usize {
        match from {
            Source::Map(index) => {
                let map = &self.maps[index];
                map.channels * map.height * map.width
            }
            Source::Totals(index) => self.totals[index].neurons,
            Source::Lists(index) => self.lists[index].channels * self.lists[index].plane,
        }
    }
}

/// Two buffers at once, the first to read and the second to write; they are different ones.
fn pair(maps: &mut [Vec<u8>], from: usize, to: usize) -> (&[u8], &mut [u8]) {
    let (before, after) = maps.split_at_mut(to.max(from));
    if from < to { (&before[from], &mut after[0]) } else { (&after[0], &mut before[to]) }
}
