//! One run of a prepared network.

use std::ops::Range;

use snnc_ir::{Encoder, Graph, Neuron, NodeId, Presentation, Readout, Rounding};

use super::fire::Fire;
use super::map::Map;
use super::synapses::{Arithmetic, Patches, Synapses};
use super::{Action, Layer, Plan, Pool, PoolKind, Source};
use crate::kernels::aligned::Aligned;
use crate::kernels::events::Spikes;
use crate::kernels::neurons::{Input, Sent, WideLine};
use crate::kernels::{elements, neurons};
use crate::spiking::boundary::{Sample, decode, encode};
use crate::spiking::network::{Activity, Outcome, Output};

/// All memory of a run.
#[derive(Debug)]
pub(super) struct Buffers {
    maps: Vec<Vec<u8>>,
    /// `[timestep][neuron]`
    totals: Vec<Vec<i64>>,
    constant: Aligned<i32>,
    varying: Aligned<i32>,
    /// Sums that wait for their gain.
    terms: Aligned<i32>,
    /// Spikes of each map, of which those of this run are marked.
    spikes: Vec<(bool, Spikes)>,
    scratch: Scratch,
    codes: Vec<u8>,
}

/// Where rows begin, and their patches.
#[derive(Debug)]
struct Scratch {
    rows: Vec<usize>,
    patches: Vec<u8>,
}

impl Buffers {
    pub(super) fn new(plan: &Plan) -> Buffers {
        let [constant, varying] = plan.sums;
        let most = constant.max(varying);
        Buffers {
            maps: plan.maps.iter().map(|m| vec![m.silence(); m.len()]).collect(),
            totals: plan.totals.iter().map(|t| vec![0; t.neurons * plan.steps]).collect(),
            constant: Aligned::zeros(constant),
            varying: Aligned::zeros(varying),
            terms: Aligned::zeros(most),
            spikes: plan.maps.iter().map(|_| Default::default()).collect(),
            scratch: Scratch { rows: Vec::with_capacity(most), patches: vec![0; plan.patches] },
            codes: Vec::new(),
        }
    }
}

impl Plan {
    pub(super) fn run(&self, graph: &Graph, samples: &[Sample], b: &mut Buffers) -> Outcome {
        let mut outputs = Vec::with_capacity(1);
        b.spikes.iter_mut().for_each(|(listed, _)| *listed = false);
        for action in &self.actions {
            match action {
                Action::Encode { input, encoder, to } => {
                    self.encode(encoder, &samples[*input], *to, b);
                }
                Action::Layer(layer) => self.layer(layer, b),
                Action::Pool(pool) => self.pool(pool, b),
                Action::Concatenate { parts, to } => self.concatenate(parts, *to, b),
                Action::Decode { id, from, decoder } => {
                    let raw = self.read_out(*from, decoder.readout, b);
                    let scores = decode(decoder, &raw);
                    outputs.push((*id, Output { name: graph[*id].name.clone(), raw, scores }));
                }
            }
        }
        outputs.sort_by_key(|(id, _)| *id);
        let outputs = outputs.into_iter().map(|(_, output)| output).collect();
        Outcome { outputs, timesteps: self.steps, activity: self.activity(b) }
    }

    /// What every map and read-out did, in order of computation.
    fn activity(&self, b: &Buffers) -> Vec<(NodeId, Activity)> {
        let of_map = |(map, bytes): (&Map, &Vec<u8>)| {
            let mut activity = Activity::default();
            for &(from, to, synapses) in &map.fan_out {
                let (bytes, silence) = (&bytes[from..to], map.silence());
                let (spikes, payload) = if map.is_binary() {
                    let spikes = elements::spikes(self.isa, bytes, silence);
                    (spikes, spikes)
                } else {
                    elements::activity(self.isa, bytes, silence)
                };
                let spikes = spikes * map.repeats as u64;
                activity.synaptic_operations += spikes * synapses;
                if map.counted {
                    activity.spikes += spikes;
                    activity.payload += payload * map.repeats as u64;
                }
            }
            (map.id, activity)
        };
        let of_totals = |(totals, values): (&super::Totals, &Vec<i64>)| {
            let activity = Activity {
                spikes: values.iter().filter(|&&v| v != 0).count() as u64,
                payload: values.iter().map(|v| v.unsigned_abs()).sum(),
                synaptic_operations: 0,
            };
            (totals.id, activity)
        };
        let mut maps = self.maps.iter().zip(&b.maps).map(of_map);
        let mut totals = self.totals.iter().zip(&b.totals).map(of_totals);
        let mut all = Vec::with_capacity(self.actions.len());
        for action in &self.actions {
            let next = match action {
                Action::Layer(layer) => match layer.to {
                    Source::Map(_) => maps.next(),
                    Source::Totals(_) => totals.next(),
                },
                Action::Concatenate { to, .. } if !self.maps[*to].projects => {
                    maps.next();
                    None
                }
                Action::Decode { .. } => None,
                _ => maps.next(),
            };
            all.extend(next);
        }
        all
    }

    fn encode(&self, encoder: &Encoder, sample: &Sample, to: usize, b: &mut Buffers) {
        let map = &self.maps[to];
        let plane = map.height * map.width;
        let count = map.channels * plane;
        b.codes.resize(count, 0);
        let (low, high) =
            (encoder.minimum - encoder.zero_point, encoder.maximum - encoder.zero_point);
        let serial = matches!(encoder.presentation, Presentation::BitSerial { .. });
        let small = high - low <= 255 && low.abs() < 1 << 22;
        let bytes = &mut b.maps[to];
        if let (Sample::Real(x), Rounding::HalfEven, false, true) =
            (sample, encoder.rounding, serial, small)
        {
            let (low, high) = (low as f32, high as f32);
            elements::quantise(self.isa, x, encoder.scale, low, high, &mut b.codes);
            // Codes count from the smallest code, bytes from the smallest payload or 0.
            let shift = ((encoder.minimum - encoder.zero_point) - map.low) as u8;
            b.codes.iter_mut().for_each(|code| *code = code.wrapping_add(shift));
            place(map, bytes, 0, &b.codes);
            return;
        }
        let payloads = encode(encoder, sample);
        for t in 0..map.steps {
            let present = |p: i64| match encoder.presentation {
                Presentation::BitSerial { bits } => match usize::from(bits).checked_sub(t + 1) {
                    Some(bit) => (p >> bit) & 1,
                    None => 0,
                },
                _ if t == 0 => p,
                _ => 0,
            };
            for (code, &p) in b.codes.iter_mut().zip(&payloads) {
                *code = (present(p) - map.low) as u8;
            }
            place(map, bytes, t, &b.codes);
        }
    }

    /// The share of a map's neurons that fired in a timestep; lists the spikes for it.
    fn density(&self, map: usize, b: &mut Buffers) -> f32 {
        let (own, (listed, spikes)) = (&self.maps[map], &mut b.spikes[map]);
        if !*listed {
            spikes.collect(self.isa, &b.maps[map], own.layout());
            *listed = true;
        }
        let neurons = own.channels * own.height * own.width * own.steps;
        spikes.count() as f32 / neurons as f32
    }

    fn layer(&self, layer: &Layer, b: &mut Buffers) {
        // Few spikes are added up one by one, many are multiplied as all payloads are.
        let mut events = 0u64;
        for (i, s) in layer.synapses.iter().enumerate().take(64) {
            if s.prefers_events(self.isa, 0.0) {
                let density = self.density(s.from, b);
                events |= u64::from(s.prefers_events(self.isa, density)) << i;
            }
        }
        let events = |i: usize| i < 64 && events >> i & 1 == 1;
        for first in (0..layer.places.len()).step_by(layer.block) {
            let places = first..(first + layer.block).min(layer.places.len());
            match &layer.fire {
                Fire::Wide(n) => self.wide_block(layer, n, places, &events, b),
                _ => self.block(layer, places, &events, b),
            }
        }
    }

    /// Some places of a layer.
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
        for (i, s) in layer.synapses.iter().enumerate() {
            self.project(s, places.clone(), layer.width, events(i), &mut begun, b);
        }
        let input = Input {
            varying: if begun[1] { &b.varying[..varying] } else { &[] },
            constant: if begun[0] { &b.constant[..constant] } else { &[] },
            bias: &layer.bias,
            bias_at: layer.bias_at,
            steps: self.steps,
            width: layer.width,
        };
        let at = &layer.places[places.clone()];
        match layer.to {
            Source::Map(to) => {
                let stride = self.maps[to].stride;
                let mut sent = Sent { bytes: &mut b.maps[to], places: at, stride };
                match &layer.fire {
                    Fire::Binary(n) => neurons::fire(self.isa, n, &input, &mut sent),
                    Fire::Line(n) => neurons::answer(self.isa, n, &input, &mut sent),
                    _ => each(layer, &self.maps[to], &input, &mut sent),
                }
            }
            Source::Totals(to) => accumulate(layer, &input, at, &mut b.totals[to]),
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
        let stride = self.maps[to].stride;
        let mut sent = Sent { bytes: &mut b.maps[to], places: &layer.places[places], stride };
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
            sums.run(self.isa, product, spikes, &s.places[places], to, add);
            return;
        }
        let Scratch { rows, patches: copies } = scratch;
        rows.clear();
        for &base in &s.bases[places] {
            rows.extend((0..map.steps).map(|t| base + t * map.stride));
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

    fn pool(&self, pool: &Pool, b: &mut Buffers) {
        let len = self.maps[pool.from].place_len();
        let silence = self.maps[pool.to].silence();
        let (from, to) = pair(&mut b.maps, pool.from, pool.to);
        for (at, cells) in &pool.windows {
            let to = &mut to[*at..][..len];
            match pool.kind {
                PoolKind::Sum => elements::sum(self.isa, from, cells, to),
                PoolKind::Maximum if cells.is_empty() => to.fill(silence),
                PoolKind::Maximum => elements::maximum(self.isa, from, cells, to),
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
                for t in 0..own.steps {
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

    fn read_out(&self, from: Source, readout: Readout, b: &Buffers) -> Vec<i64> {
        let first = if readout == Readout::Last { self.steps - 1 } else { 0 };
        let (mut raw, mut value) = (Vec::new(), Vec::new());
        for t in first..self.steps {
            match from {
                Source::Map(index) => self.maps[index].payloads(&b.maps[index], t, &mut value),
                Source::Totals(index) => {
                    let neurons = self.totals[index].neurons;
                    value.clear();
                    value.extend_from_slice(&b.totals[index][t * neurons..][..neurons]);
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

    /// Shows what a node sent in every timestep.
    pub(super) fn show(
        &self,
        id: NodeId,
        b: &Buffers,
        observe: &mut dyn FnMut(NodeId, usize, &[i64]),
    ) {
        let mut payloads = Vec::new();
        for t in 0..self.steps {
            match self.sources.get(&id) {
                Some(&Source::Map(index)) => {
                    self.maps[index].payloads(&b.maps[index], t, &mut payloads);
                    observe(id, t, &payloads);
                }
                Some(&Source::Totals(index)) => {
                    let neurons = self.totals[index].neurons;
                    observe(id, t, &b.totals[index][t * neurons..][..neurons]);
                }
                None => {}
            }
        }
    }
}

/// Two buffers at once, the first to read and the second to write; they are different ones.
fn pair(maps: &mut [Vec<u8>], from: usize, to: usize) -> (&[u8], &mut [u8]) {
    let (before, after) = maps.split_at_mut(to.max(from));
    if from < to { (&before[from], &mut after[0]) } else { (&after[0], &mut before[to]) }
}

/// Moves codes in (C, H, W) order to their places at timestep `t`.
fn place(map: &Map, bytes: &mut [u8], t: usize, codes: &[u8]) {
    let len = map.place_len();
    for (c, plane) in codes.chunks_exact(map.height * map.width).enumerate() {
        for (y, row) in plane.chunks_exact(map.width).enumerate() {
            let from = map.place(y, 0) + t * map.stride + c;
            for (to, &code) in bytes[from..].iter_mut().step_by(len).zip(row) {
                *to = code;
            }
        }
    }
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
            let Neuron::IntegrateAndFire(n) = &layer.population.neuron else {
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
            let mut v = n.initial[if n.initial.len() == 1 { 0 } else { c }];
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

/// Potentials of neurons that never fire, `[timestep][neuron]`.
fn accumulate(layer: &Layer, input: &Input<'_>, places: &[usize], totals: &mut [i64]) {
    let neurons = totals.len() / input.steps;
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
