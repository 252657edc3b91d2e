//! Layers: what reaches their places, and what their neurons send.

use std::ops::Range;

use snnc_ir::{IntegrateAndFire, PerChannel};

use super::buffers::{Buffers, Scratch};
use super::fire::Fire;
use super::map::Map;
use super::synapses::{Arithmetic, Patches, Synapses};
use super::{Layer, Plan, Source};
use crate::kernels::events::Spikes;
use crate::kernels::neurons::{Input, Sent, WideLine};
use crate::kernels::{elements, neurons, signed};

impl Plan {
    /// The share of a map's neurons that fired in a timestep; lists the spikes for it.
    fn density(&self, map: usize, b: &mut Buffers) -> f32 {
        let (own, (listed, spikes)) = (&self.maps[map], &mut b.spikes[map]);
        if !*listed {
            spikes.collect(self.isa, &b.maps[map], own.layout(b.samples));
            *listed = true;
        }
        let neurons = own.channels * own.height * own.width * own.steps * b.samples;
        spikes.count() as f32 / neurons as f32
    }

    /// Runs a layer for all samples.
    pub(super) fn layer(&self, layer: &Layer, b: &mut Buffers) {
        // Few spikes are added up one by one, many are multiplied as all payloads are.
        let mut events = 0u64;
        for (i, s) in layer.synapses.iter().enumerate().take(64) {
            if s.prefers_events(self.isa, 0.0) {
                let density = self.density(s.from, b);
                events |= u64::from(s.prefers_events(self.isa, density)) << i;
            }
        }
        let events = |i: usize| i < 64 && events >> i & 1 == 1;
        b.pooled.clear();
        b.pooled.resize(b.samples, [0; 2]);
        let all = b.samples * layer.places.len();
        for first in (0..all).step_by(layer.block) {
            let places = first..(first + layer.block).min(all);
            match &layer.fire {
                Fire::Wide(n) => self.wide_block(layer, n, places, &events, b),
                _ => self.block(layer, places, &events, b),
            }
        }
    }

    /// Some places of a layer, counted from sample to sample.
    fn block(
        &self,
        layer: &Layer,
        places: Range<usize>,
        events: &dyn Fn(usize) -> bool,
        b: &mut Buffers,
    ) {
        let varying = places.len() * self.steps * layer.width;
        let constant = places.len() * layer.width;
        // Whether there is a sum of either kind yet.
        let mut begun = [false; 2];
        let cells = places.start * layer.cells..places.end * layer.cells;
        for (i, s) in layer.synapses.iter().enumerate() {
            self.project(s, cells.clone(), layer.width, events(i), &mut begun, b);
        }
        if layer.cells > 1 || layer.pooled_at.is_some() {
            self.largest(layer, &places, begun, b);
        }
        if !layer.early_bias.is_empty() {
            if !begun[1] {
                b.varying[..varying].fill(0);
                begun[1] = true;
            }
            for rows in b.varying[..varying].chunks_exact_mut(self.steps * layer.width) {
                for row in rows.chunks_exact_mut(layer.width).take(self.given) {
                    let both = row.iter_mut().zip(&layer.early_bias);
                    both.for_each(|(sum, &bias)| *sum = sum.wrapping_add(bias));
                }
            }
        }
        let input = Input {
            varying: if begun[1] { &b.varying[..varying] } else { &[] },
            constant: if begun[0] { &b.constant[..constant] } else { &[] },
            bias: &layer.bias,
            bias_at: layer.bias_at,
            steps: self.steps,
            width: layer.width,
        };
        let own = &mut b.scratch.starts;
        match layer.to {
            Source::Map(to) => {
                let (stride, len) = (self.maps[to].stride, self.maps[to].len());
                starts(&layer.places, places, len, own);
                let mut sent = Sent { bytes: &mut b.maps[to], places: own, stride };
                match &layer.fire {
                    Fire::Binary(n) => neurons::fire(self.isa, n, &input, &mut sent),
                    Fire::Line(n) => neurons::answer(self.isa, n, &input, &mut sent),
                    Fire::Signed(n) => signed::fire_signed(self.isa, n, &input, &mut sent),
                    _ => each(layer, &self.maps[to], &input, &mut sent),
                }
            }
            Source::Totals(to) => {
                let (neurons, len) =
                    (self.totals[to].neurons, self.totals[to].neurons * self.steps);
                starts(&layer.places, places, len, own);
                accumulate(layer, &input, own, neurons, &mut b.totals[to]);
            }
            // Only nodes that run timestep by timestep send lists.
            Source::Lists(_) => {}
        }
    }

    /// Leaves of the sums of each place's cells the largest, and counts it as what a pool sent.
    fn largest(&self, layer: &Layer, places: &Range<usize>, begun: [bool; 2], b: &mut Buffers) {
        let width = layer.width;
        let (sums, steps, times) = match begun {
            [_, true] => (&mut b.varying, self.steps, 1),
            _ => (&mut b.constant, 1, self.steps as u64),
        };
        let row = steps * width;
        let all = &mut sums[..places.len() * layer.cells * row];
        signed::largest_of_rows(self.isa, all, layer.cells, steps, width);
        for (i, place) in places.clone().enumerate() {
            let own = &sums[i * row..][..row];
            let (count, magnitude) = self.activity_of_sums(own, width, layer.channels);
            let pooled = &mut b.pooled[place / layer.places.len()];
            *pooled = [pooled[0] + times * count, pooled[1] + times * magnitude];
        }
    }

    /// Some places of a layer of wide sums.
    fn wide_block(
        &self,
        layer: &Layer,
        n: &WideLine,
        places: Range<usize>,
        events: &dyn Fn(usize) -> bool,
        b: &mut Buffers,
    ) {
        let Source::Map(to) = layer.to else { return };
        let count = places.len() * layer.width;
        for (i, s) in layer.synapses.iter().enumerate() {
            let spikes = events(i).then_some(&b.spikes[s.from].1);
            let sums = &mut b.varying[i * count..][..count];
            self.sums(s, places.clone(), (&b.maps[s.from], spikes), &mut b.scratch, sums, false);
        }
        let (stride, len) = (self.maps[to].stride, self.maps[to].len());
        starts(&layer.places, places, len, &mut b.scratch.starts);
        let mut sent = Sent { bytes: &mut b.maps[to], places: &b.scratch.starts, stride };
        neurons::answer_wide(self.isa, n, &b.varying, &mut sent);
    }

    /// Sums of one projection for some places, times its gain, into `constant` or `varying`.
    fn project(
        &self,
        s: &Synapses,
        places: Range<usize>,
        width: usize,
        events: bool,
        begun: &mut [bool; 2],
        b: &mut Buffers,
    ) {
        let steps = self.maps[s.from].steps;
        let varies = steps == self.steps;
        let count = places.len() * steps * width;
        let sums = if varies { &mut b.varying[..count] } else { &mut b.constant[..count] };
        let begun = &mut begun[usize::from(varies)];
        let from = (b.maps[s.from].as_slice(), events.then_some(&b.spikes[s.from].1));
        if s.gain.is_empty() {
            self.sums(s, places, from, &mut b.scratch, sums, *begun);
        } else {
            let terms = &mut b.terms[..count];
            self.sums(s, places, from, &mut b.scratch, terms, false);
            if !*begun {
                sums.fill(0);
            }
            elements::add_scaled(self.isa, terms, &s.gain, sums);
        }
        *begun = true;
    }

    /// Sums of one projection for some places, from the bytes of its map, or its spikes if those are
    /// given.
    fn sums(
        &self,
        s: &Synapses,
        places: Range<usize>,
        (mut bytes, spikes): (&[u8], Option<&Spikes>),
        scratch: &mut Scratch,
        to: &mut [i32],
        add: bool,
    ) {
        let map = &self.maps[s.from];
        if let (Arithmetic::Product { product, sums: Some(sums), .. }, Some(spikes)) =
            (&s.arithmetic, spikes)
        {
            let (all, lines) = (&mut scratch.places, map.lines() as u32);
            all.clear();
            of_block(&s.places, places, |own, sample| {
                let first = sample as u32 * lines;
                all.extend(own.iter().map(|&[line, place]| [first + line, place]));
            });
            sums.run(self.isa, product, spikes, all, to, add);
            return;
        }
        let Scratch { rows, patches: copies, .. } = scratch;
        if map.steps == 1 {
            starts(&s.bases, places, map.len(), rows);
        } else {
            rows.clear();
            of_block(&s.bases, places, |bases, sample| {
                for base in bases {
                    let first = base + sample * map.len();
                    rows.extend((0..map.steps).map(|t| first + t * map.stride));
                }
            });
        }
        match &s.arithmetic {
            Arithmetic::Product { product, patches, .. } => {
                if let Some(patches) = patches {
                    copy_patches(patches, bytes, rows, copies);
                    bytes = copies;
                }
                product.run(self.isa, bytes, rows, to, add);
            }
            Arithmetic::Diagonal { taps, weights, initial } => {
                let stride = map.stride;
                elements::diagonal(self.isa, bytes, rows, taps, stride, weights, initial, to, add);
            }
        }
    }
}

/// Those of `places` that a block of all samples has, sample after sample: calls `put` with some of them
/// and their sample.
fn of_block<T>(places: &[T], block: Range<usize>, mut put: impl FnMut(&[T], usize)) {
    let mut at = block.start;
    while at < block.end {
        let (sample, first) = (at / places.len(), at % places.len());
        let last = places.len().min(first + block.end - at);
        put(&places[first..last], sample);
        at += last - first;
    }
}

/// The same of a map: where they begin in the memory of all samples, each of which takes `len`.
fn starts(places: &[usize], block: Range<usize>, len: usize, to: &mut Vec<usize>) {
    to.clear();
    of_block(places, block, |own, sample| to.extend(own.iter().map(|at| at + sample * len)));
}

/// Copies the patch of every row together; the rows then begin in the patches.
fn copy_patches(patches: &Patches, bytes: &[u8], rows: &mut [usize], to: &mut [u8]) {
    for (i, (row, to)) in rows.iter_mut().zip(to.chunks_exact_mut(patches.len)).enumerate() {
        let mut at = 0;
        for &(from, len) in &patches.runs {
            to[at..at + len].copy_from_slice(&bytes[*row + from..][..len]);
            at += len;
        }
        *row = i * patches.len;
    }
}

/// Neurons one by one.
fn each(layer: &Layer, map: &Map, input: &Input<'_>, sent: &mut Sent<'_>) {
    let steps = input.steps;
    for (place, &at) in sent.places.iter().enumerate() {
        for c in 0..layer.channels {
            let (first, lane) = (c / 16 * 16, c % 16);
            let arriving = |t: usize| i64::from(input.at(place, t, first)[lane]);
            let mut put = |t: usize, payload: i64| {
                sent.bytes[at + t * sent.stride + c] = (payload - map.low) as u8;
            };
            let whole = || (0..steps).map(arriving).sum::<i64>();
            let Some(n) = layer.population.neuron.get::<IntegrateAndFire>() else {
                let answer = |v| layer.population.neuron.single_shot(c, v).unwrap_or(0);
                for t in 0..steps {
                    put(
                        t,
                        match layer.behind_barrier {
                            false => answer(arriving(t)),
                            true if t + 1 == steps => answer(whole()),
                            true => 0,
                        },
                    );
                }
                continue;
            };
            let mut v = *PerChannel::of(&n.initial).at(c);
            let mut total = 0;
            if layer.behind_barrier {
                v += whole();
            }
            for t in 0..steps {
                let more = if layer.behind_barrier { 0 } else { arriving(t) };
                let (level, left) = n.step(c, t, v + more, total);
                v = left;
                total += level;
                put(t, level * n.decode.as_ref().map_or(1, |d| d.at(c, t)));
            }
        }
    }
}

/// Potentials of neurons that never fire, `[timestep][neuron]`; a place is that of its first one.
fn accumulate(
    layer: &Layer,
    input: &Input<'_>,
    places: &[usize],
    neurons: usize,
    totals: &mut [i64],
) {
    let plane = neurons / layer.channels;
    for (place, &at) in places.iter().enumerate() {
        for first in (0..layer.channels).step_by(16) {
            let lanes = (layer.channels - first).min(16);
            let mut v = [0i64; 16];
            for t in 0..input.steps {
                let more = input.at(place, t, first);
                let shown = !layer.behind_barrier || t + 1 == input.steps;
                for lane in 0..lanes {
                    v[lane] += i64::from(more[lane]);
                    let to = &mut totals[t * neurons + (first + lane) * plane + at];
                    *to = if shown { v[lane] } else { 0 };
                }
            }
        }
    }
}
