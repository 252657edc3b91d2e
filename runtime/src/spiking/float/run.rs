//! Runs a plan.

use snnc_ir::Readout;

use super::convolution::{Bits, Listed, Meetings, SUMS};
use super::plan::{Action, Operand, Plan, Step};
use super::sent::{Read, Sent, room};
use super::{Given, SampleObserver};
use crate::kernels::reals::neurons::{Arriving, Neurons, States};
use crate::kernels::reals::{Block, Rows, WIDEST, largest_of_four, nonzero};

/// Room for one run.
#[derive(Debug)]
pub(super) struct Buffers {
    sent: Vec<Sent>,
    states: Vec<States>,
    shown: Vec<Vec<f32>>,
    listed: Listed,
    bits: Bits,
    /// Sums of some lists.
    sums: Vec<f32>,
}

impl Buffers {
    pub(super) fn new(plan: &Plan) -> Buffers {
        let sent = plan.steps.iter().map(|step| {
            // Where there are many samples nothing is kept for later chunks.
            let rows = step.history + plan.chunk * if step.many { plan.together } else { 1 };
            let listed = if step.listed { rows * room(step.len) } else { 0 };
            Sent {
                values: vec![0.0; rows * step.len],
                indices: vec![0; listed],
                listed: vec![0.0; listed],
                counts: vec![0; rows],
            }
        });
        let [entries, lists] = plan.lists;
        let mut bits = Bits::default();
        for step in &plan.steps {
            match &step.action {
                Action::ConvolveSpikes(convolution) => bits.fit(convolution),
                Action::DenseSpikes { sources, .. } => {
                    bits.fit_dense(*sources, plan.chunk * plan.together)
                }
                _ => {}
            }
        }
        Buffers {
            sent: sent.collect(),
            states: vec![States::default(); plan.populations],
            shown: plan.outputs.iter().map(|&len| vec![0.0; len * plan.together]).collect(),
            listed: Listed {
                indices: vec![0; entries],
                values: vec![0.0; entries],
                counts: vec![0; lists],
            },
            bits,
            sums: vec![0.0; SUMS.max(plan.chunk * plan.together * WIDEST)],
        }
    }

    /// What each output shows of a sample after so many timesteps, nothing after none.
    pub(super) fn shown(&self, plan: &Plan, sample: usize, timesteps: usize) -> Vec<Vec<f32>> {
        let outputs = self.shown.iter().zip(&plan.outputs);
        let shown = |(shown, &len): (&Vec<f32>, &usize)| match timesteps {
            0 => Vec::new(),
            _ => shown[sample * len..(sample + 1) * len].to_vec(),
        };
        outputs.map(shown).collect()
    }
}

/// The timesteps that are run, of one sample or of all that are run at once.
#[derive(Clone, Copy)]
struct Chunk<'a> {
    given: &'a [Given<'a>],
    /// Which sample is the first.
    sample: usize,
    first: usize,
    steps: usize,
}

impl Chunk<'_> {
    /// Where the rows of a step begin, `each` for a sample.
    fn begin(&self, step: &Step, each: usize) -> usize {
        step.history + if step.many { self.sample * each } else { 0 }
    }
}

impl Plan {
    /// Runs samples of as many timesteps each: one, or at most [`Plan::together`].
    pub(super) fn run(
        &self,
        given: &[Given<'_>],
        buffers: &mut Buffers,
        observe: &mut SampleObserver<'_>,
    ) {
        for (step, sent) in self.steps.iter().zip(&mut buffers.sent) {
            // Before the first timestep nothing was sent.
            sent.values[..step.history * step.len].fill(0.0);
            sent.counts[..step.history].fill(0);
        }
        buffers.shown.iter_mut().for_each(|shown| shown.fill(0.0));
        let timesteps = given.first().map_or(0, |given| given.timesteps());
        let mut first = 0;
        while first < timesteps {
            let steps = self.chunk.min(timesteps - first);
            // All in order where that is as fast.
            let joined = if given.len() > 1 { self.joined } else { 0 };
            if joined > 0 {
                for (sample, given) in given.iter().enumerate() {
                    let given = std::slice::from_ref(given);
                    let chunk = Chunk { given, sample, first, steps };
                    self.pass(0..joined, chunk, buffers, observe);
                }
            }
            let chunk = Chunk { given, sample: 0, first, steps };
            self.pass(joined..self.steps.len(), chunk, buffers, observe);
            self.keep(steps, buffers);
            first += steps;
        }
    }

    /// Runs some nodes over a chunk.
    fn pass(
        &self,
        places: std::ops::Range<usize>,
        chunk: Chunk<'_>,
        buffers: &mut Buffers,
        observe: &mut SampleObserver<'_>,
    ) {
        for place in places.clone() {
            self.step(place, chunk, buffers);
        }
        for (sample, t) in
            (0..chunk.given.len()).flat_map(|i| (0..chunk.steps).map(move |t| (i, t)))
        {
            let nodes = self.steps[places.clone()].iter().zip(&buffers.sent[places.clone()]);
            for (step, sent) in nodes {
                let each = self.rows(step, chunk);
                let row = chunk.begin(step, each) + sample * each + t.min(each - 1);
                let values = &sent.values[row * step.len..][..step.len];
                observe(chunk.sample + sample, step.id, chunk.first + t, values);
            }
        }
    }

    /// Whether a node sends the same in every timestep of this run, kept in its first row.
    fn stays(&self, step: &Step, chunk: Chunk<'_>) -> bool {
        step.constant && matches!(chunk.given, [Given::Always(..), ..])
    }

    /// Moves the last timesteps in front, where delays find them.
    fn keep(&self, steps: usize, buffers: &mut Buffers) {
        for (step, sent) in self.steps.iter().zip(&mut buffers.sent) {
            if step.history == 0 {
                continue;
            }
            let Sent { values, indices, listed, counts } = sent;
            let (len, room) = (step.len, room(step.len));
            values.copy_within(steps * len..(steps + step.history) * len, 0);
            counts.copy_within(steps..steps + step.history, 0);
            if step.listed {
                let rows = steps * room..(steps + step.history) * room;
                indices.copy_within(rows.clone(), 0);
                listed.copy_within(rows, 0);
            }
        }
    }

    /// Rows of a node for each sample of a chunk.
    fn rows(&self, step: &Step, chunk: Chunk<'_>) -> usize {
        if self.stays(step, chunk) { 1 } else { chunk.steps }
    }

    /// What `reader` reads.
    fn read<'a>(&self, reader: &Step, o: Operand, sent: &'a [Sent], chunk: Chunk<'_>) -> Read<'a> {
        let step = &self.steps[o.from];
        let each = self.rows(step, chunk);
        Read {
            sent: &sent[o.from],
            len: step.len,
            // No operand is later than the history that its source keeps.
            first: chunk.begin(step, each) - o.delay,
            times: (self.rows(reader, chunk) / each).max(1),
        }
    }

    /// Runs one node over the timesteps of a chunk.
    fn step(&self, place: usize, chunk: Chunk<'_>, buffers: &mut Buffers) {
        let step = &self.steps[place];
        let each = self.rows(step, chunk);
        if chunk.first > 0 && self.stays(step, chunk) {
            return;
        }
        // A node may read itself, but only what it sent in timesteps before.
        let mut own = std::mem::take(&mut buffers.sent[place]);
        let from = chunk.begin(step, each);
        let rows = from..from + each * chunk.given.len();
        let values = &mut own.values[rows.start * step.len..rows.end * step.len];
        self.act(step, chunk, buffers, values);
        if step.listed {
            let room = room(step.len);
            for (row, values) in rows.zip(values.chunks_exact(step.len)) {
                let indices = &mut own.indices[row * room..(row + 1) * room];
                let count = nonzero(self.isa, values, indices);
                own.counts[row] = count as u32;
                let listed = &mut own.listed[row * room..][..count];
                for (listed, &i) in listed.iter_mut().zip(&*indices) {
                    *listed = values[i as usize];
                }
            }
        }
        buffers.sent[place] = own;
    }

    fn act(&self, step: &Step, chunk: Chunk<'_>, buffers: &mut Buffers, out: &mut [f32]) {
        let Buffers { sent, states, shown, listed, bits, sums } = buffers;
        let read = |port: usize| self.read(step, step.operands[port], sent, chunk);
        let each = self.rows(step, chunk);
        let rows = out.chunks_exact_mut(step.len).enumerate();
        match &step.action {
            Action::Encode { scale } => {
                for (t, row) in rows {
                    chunk.given[t / each].encode(chunk.first + t % each, *scale, row);
                }
            }
            Action::Silence => out.fill(0.0),
            Action::Dense { rows } => self.dense(rows, read(0), step.len, sums, out),
            Action::DenseSpikes { rows, sources } => {
                let (steps, read) = (out.len() / step.len, read(0));
                let maps = bits.dense(self.isa, *sources, (0..steps).map(|t| read.values(t)));
                for block in rows.blocks() {
                    block.spikes(self.isa, maps, sums);
                    place(block, sums, step.len, out);
                }
            }
            Action::Convolve(convolution) => {
                for (t, row) in rows {
                    convolution.run(self.isa, read(0), t, listed, sums, row);
                }
            }
            Action::ConvolveSpikes(convolution) => {
                convolution.run(self.isa, read(0), bits, sums, out);
            }
            Action::Scatter { weights, meetings, inputs, outputs } => {
                for (t, row) in rows {
                    scatter(weights, meetings, [*inputs, *outputs], read(0).sources(t), row);
                }
            }
            Action::OneToOne { weights } => {
                for (t, row) in rows {
                    for ((y, x), w) in row.iter_mut().zip(read(0).values(t)).zip(weights) {
                        *y = w * x;
                    }
                }
            }
            Action::Fire { neurons, state } => {
                self.fire(neurons, &mut states[*state], step, chunk, sent, out);
            }
            Action::Pool { cells, width } => {
                for (t, row) in rows {
                    pool(cells, *width, read(0).values(t), row);
                }
            }
            Action::PoolFours { width } => {
                for (t, row) in rows {
                    largest_of_four(self.isa, read(0).values(t), *width, row);
                }
            }
            Action::Concatenate { runs } => {
                for (t, row) in rows {
                    let mut at = 0;
                    for &(port, from, len) in runs {
                        row[at..at + len].copy_from_slice(&read(port).values(t)[from..from + len]);
                        at += len;
                    }
                }
            }
            Action::Decode { readout, output } => {
                for (t, row) in rows {
                    row.copy_from_slice(read(0).values(t));
                    let shown = &mut shown[*output][(chunk.sample + t / each) * step.len..];
                    for (s, v) in shown.iter_mut().zip(&*row) {
                        *s = if *readout == Readout::Sum { *s + v } else { *v };
                    }
                }
            }
        }
    }

    fn dense(
        &self,
        rows: &Rows,
        read: Read<'_>,
        targets: usize,
        sums: &mut [f32],
        out: &mut [f32],
    ) {
        let steps = out.len() / targets / read.times;
        for block in rows.blocks() {
            block.sums(self.isa, read.lists(steps), sums);
            place(block, &sums[..steps * block.width()], targets, out);
        }
    }

    fn fire(
        &self,
        neurons: &Neurons,
        states: &mut States,
        step: &Step,
        chunk: Chunk<'_>,
        sent: &[Sent],
        out: &mut [f32],
    ) {
        let each = self.rows(step, chunk);
        for (sample, out) in out.chunks_exact_mut(each * step.len).enumerate() {
            if chunk.first == 0 {
                neurons.rest(states);
            }
            let arriving = |o: &Operand| {
                let read = self.read(step, *o, sent, chunk);
                let stride = if read.times > 1 { 0 } else { read.len };
                Arriving { values: &read.sent.values[read.row(sample * each) * read.len..], stride }
            };
            // Most populations have few projections, of which nothing is allocated.
            match step.operands.as_slice() {
                [a] => neurons.fire(self.isa, states, &[arriving(a)], out),
                [a, b] => neurons.fire(self.isa, states, &[arriving(a), arriving(b)], out),
                many => {
                    let many: Vec<Arriving<'_>> = many.iter().map(arriving).collect();
                    neurons.fire(self.isa, states, &many, out);
                }
            }
        }
    }
}

/// Copies the sums of a block to their places, those of one timestep to all where they are of one only.
fn place(block: &Block, sums: &[f32], targets: usize, out: &mut [f32]) {
    let sums = sums.chunks_exact(block.width()).cycle();
    for (row, sums) in out.chunks_exact_mut(targets).zip(sums) {
        row[block.first()..][..block.targets()].copy_from_slice(&sums[..block.targets()]);
    }
}

/// A convolution in groups: each source adds to what it meets, in the order of the sources.
fn scatter(
    weights: &[f32],
    meetings: &Meetings,
    [inputs, outputs]: [usize; 2],
    sources: impl Iterator<Item = (usize, f32)>,
    out: &mut [f32],
) {
    let ([source, target], taps) = (meetings.planes, meetings.taps);
    out.fill(0.0);
    // Sources come channel by channel.
    let (mut group, mut within, mut start) = (0, 0, 0);
    for (i, x) in sources {
        while i - start >= source {
            start += source;
            within += 1;
            if within == inputs {
                (group, within) = (group + 1, 0);
            }
        }
        for o in group * outputs..(group + 1) * outputs {
            let weights = &weights[(o * inputs + within) * taps..][..taps];
            let out = &mut out[o * target..(o + 1) * target];
            for &(tap, at) in meetings.of(i - start) {
                out[at as usize] += weights[tap as usize] * x;
            }
        }
    }
}

fn pool(cells: &[u32], width: usize, x: &[f32], out: &mut [f32]) {
    for (out, cells) in out.iter_mut().zip(cells.chunks_exact(width)) {
        let largest = cells.iter().map(|&c| x[c as usize]).reduce(f32::max);
        *out = largest.unwrap_or(0.0);
    }
}
