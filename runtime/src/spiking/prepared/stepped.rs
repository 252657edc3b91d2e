//! Nodes that run timestep by timestep on numbers of any size, next to others that run on bytes: whatever bytes and
//! 32-bit potentials do not carry. What can be told by the scalar interpreter alone ends a run with [`Failed`].

use snnc_ir::{
    BiasPlacement, Encoder, Graph, NeuronState, NodeId, Population, SigmaDeltaNeuron,
    SigmaDeltaRole, SpikingOp, Window,
};

use super::buffers::{Buffers, Room};
use super::link::{Failed, Link};
use super::lists::{Entry, Lists};
use super::{Plan, Source};
use crate::kernels::scatter::{SigmaDelta, sigma_delta};
use crate::spiking::boundary::{Sample, encode, present};
use crate::spiking::outcome::Outcome;
use crate::spiking::scalar::{RunningMaximum, concatenate, max_pool};

/// One such node.
#[derive(Debug)]
pub(super) struct Stepped {
    pub(super) id: NodeId,
    pub(super) to: Source,
    pub(super) operands: Vec<Operand>,
    pub(super) channels: usize,
    /// Neurons of one channel.
    pub(super) plane: usize,
    pub(super) behind_barrier: bool,
    pub(super) work: Work,
}

/// What reaches it.
#[derive(Debug)]
pub(super) struct Operand {
    pub(super) from: Source,
    pub(super) delay: usize,
    pub(super) channels: usize,
    pub(super) plane: usize,
    /// The projection that it comes through.
    pub(super) link: Option<Link>,
}

/// What it does.
#[derive(Debug)]
pub(super) enum Work {
    Encode {
        input: usize,
        encoder: Encoder,
    },
    /// What arrives is what is sent: a projection by itself.
    Pass,
    Neurons,
    /// Neurons that send a change of their input in the first timestep, and no other, as it never changes again.
    Once,
    /// Sigma-delta neurons, which do nothing where nothing arrives.
    SigmaDelta(SigmaDelta),
    MaxPool(Window),
    RunningMaxPool(Window),
    Concatenate(usize),
}

/// Where what is sent goes.
struct Target<'a> {
    to: Source,
    shape: [usize; 2],
    lists: Lists,
    /// Of the sample.
    bytes: &'a mut [u8],
}

/// What a neuron of this population does at rest when nothing arrives: the kernel that may then leave it out.
pub(super) fn quiet(p: &Population, channels: usize, constant: bool) -> Option<Work> {
    let n = p.neuron.get::<SigmaDeltaNeuron>()?;
    let unbiased = p.bias.iter().all(|&bias| bias == 0);
    match n.role {
        SigmaDeltaRole::Delta if constant => {
            (unbiased || p.bias_placement == BiasPlacement::EveryTimestep).then_some(Work::Once)
        }
        SigmaDeltaRole::SigmaDelta if unbiased => {
            let shift = u32::from(n.spike_exponent) + u32::from(n.state_exponent);
            let bias = |c: usize| snnc_ir::PerChannel::of(&n.bias).or(c, 0);
            let threshold = i128::from(n.threshold) << shift;
            Some(Work::SigmaDelta(SigmaDelta {
                bias: (0..channels).map(|c| (bias(c) << shift) as i32).collect(),
                threshold: threshold.clamp(0, u32::MAX.into()) as u32,
                reachable: threshold <= 1 << 31,
                shift: n.state_exponent.into(),
            }))
        }
        _ => None,
    }
}

impl Plan {
    /// Runs a node for all samples, and adds what it did to their activities.
    pub(super) fn step(
        &self,
        graph: &Graph,
        s: &Stepped,
        samples: &[&[Sample]],
        b: &mut Buffers,
        outcomes: &mut [Outcome],
    ) -> Result<(), Failed> {
        let mut room = std::mem::take(&mut b.stepped);
        // What is written is taken out, so that all else can be read.
        let (mut lists, mut bytes) = (Lists::default(), Vec::new());
        match s.to {
            Source::Lists(to) => lists = std::mem::take(&mut b.lists[to]),
            Source::Map(to) => bytes = std::mem::take(&mut b.maps[to]),
            Source::Totals(_) => return Err(Failed),
        }
        lists.clear();
        let mut result = Ok(());
        for (i, sample) in samples.iter().enumerate() {
            let own: &mut [u8] = match s.to {
                Source::Map(to) => {
                    let len = self.maps[to].len();
                    &mut bytes[i * len..][..len]
                }
                _ => &mut [],
            };
            let shape = [s.channels, s.plane];
            let mut target = Target { to: s.to, shape, lists, bytes: own };
            result = result
                .and_then(|()| self.step_sample(graph, s, (i, sample), b, &mut room, &mut target));
            lists = target.lists;
            for (slot, operations) in room.operations.drain(..) {
                outcomes[i].activity[slot].1.synaptic_operations += operations;
            }
        }
        match s.to {
            Source::Lists(to) => b.lists[to] = lists,
            Source::Map(to) => b.maps[to] = bytes,
            Source::Totals(_) => {}
        }
        b.stepped = room;
        result
    }

    fn step_sample(
        &self,
        graph: &Graph,
        s: &Stepped,
        (i, sample): (usize, &[Sample]),
        b: &Buffers,
        room: &mut Room,
        target: &mut Target<'_>,
    ) -> Result<(), Failed> {
        let steps = self.steps;
        let neurons = s.channels * s.plane;
        match &s.work {
            Work::Encode { input, encoder } => {
                let sample = &sample[*input];
                let payloads = encode(encoder, sample);
                for t in 0..steps.min(self.given) {
                    self.put(target, t, &present(encoder, sample, &payloads, t), &mut room.codes);
                }
                (self.given..steps).for_each(|t| self.quiet(target, t));
            }
            Work::MaxPool(window) => {
                let shape = graph[graph.source(s.id, 0).ok_or(Failed)?].ty.shape.as_slice();
                for t in 0..steps {
                    self.dense(&s.operands[0], (i, t), b, &mut room.sent, &mut room.values);
                    let sent = max_pool(window, &room.values, shape, &graph[s.id].ty);
                    self.put(target, t, &sent, &mut room.codes);
                }
            }
            Work::RunningMaxPool(window) => {
                let shape = graph[graph.source(s.id, 0).ok_or(Failed)?].ty.shape.as_slice();
                let mut running = RunningMaximum::new(shape, &graph[s.id].ty);
                for t in 0..steps {
                    self.dense(&s.operands[0], (i, t), b, &mut room.sent, &mut room.values);
                    let sent = running.step(window, &room.values);
                    self.put(target, t, &sent, &mut room.codes);
                }
            }
            Work::Concatenate(axis) => {
                for t in 0..steps {
                    let mut parts = Vec::with_capacity(s.operands.len());
                    for operand in &s.operands {
                        self.dense(operand, (i, t), b, &mut room.sent, &mut room.values);
                        parts.push(room.values.clone());
                    }
                    let sent = concatenate(graph, s.id, *axis, &parts);
                    self.put(target, t, &sent, &mut room.codes);
                }
            }
            Work::SigmaDelta(n) => {
                room.sigma_delta.rest(neurons);
                for t in 0..steps {
                    if !self.gather(graph, s, (i, t), b, room, &mut [])? && t > 0 {
                        self.quiet(target, t);
                        continue;
                    }
                    room.small.clear();
                    room.small.extend(room.input.iter().map(|&x| x as i32));
                    sigma_delta(self.isa, n, &mut room.sigma_delta, &mut room.small);
                    for (place, sent) in room.small.chunks_exact(s.channels.max(1)).enumerate() {
                        for (channel, &value) in sent.iter().enumerate() {
                            if value != 0 {
                                target.lists.push(place, channel, value.into());
                            }
                        }
                    }
                    target.lists.close();
                }
            }
            Work::Pass => {
                let mut arrivals = arrivals(s);
                for t in 0..steps {
                    self.gather(graph, s, (i, t), b, room, &mut arrivals)?;
                    let values = in_order(&room.input, s.channels, s.plane).collect::<Vec<_>>();
                    self.put(target, t, &values, &mut room.codes);
                }
            }
            Work::Neurons | Work::Once => {
                let Some(SpikingOp::Population(p)) = graph[s.id].as_spiking() else {
                    return Err(Failed);
                };
                let mut state = p.neuron.states(neurons, s.channels).ok_or(Failed)?;
                let last = if matches!(s.work, Work::Once) { 1 } else { steps };
                if s.behind_barrier {
                    self.behind_barrier(graph, s, p, i, b, room, &mut state, target)?;
                    return Ok(());
                }
                let mut arrivals = arrivals(s);
                for t in 0..last {
                    self.gather(graph, s, (i, t), b, room, &mut arrivals)?;
                    bias(p, s, t, self.given, &mut room.input);
                    let sent = state.step(t, in_order(&room.input, s.channels, s.plane));
                    self.put(target, t, &sent, &mut room.codes);
                }
                (last..steps).for_each(|t| self.quiet(target, t));
            }
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    fn behind_barrier(
        &self,
        graph: &Graph,
        s: &Stepped,
        p: &Population,
        i: usize,
        b: &Buffers,
        room: &mut Room,
        state: &mut NeuronState<'_>,
        target: &mut Target<'_>,
    ) -> Result<(), Failed> {
        let mut arrivals = arrivals(s);
        let mut total = std::mem::take(&mut room.total);
        total.clear();
        total.resize(s.channels * s.plane, 0);
        for t in 0..self.steps {
            self.gather(graph, s, (i, t), b, room, &mut arrivals)?;
            bias(p, s, t, self.steps, &mut room.input);
            total.iter_mut().zip(&room.input).for_each(|(total, x)| *total += x);
        }
        for t in 0..self.steps {
            let all = in_order(&total, s.channels, s.plane);
            let sent = state.step_behind_barrier((t, self.steps), all);
            self.put(target, t, &sent, &mut room.codes);
        }
        room.total = total;
        Ok(())
    }

    /// What arrives in one timestep, `[place][channel]`, into `room.input`; whether anything does.
    fn gather(
        &self,
        graph: &Graph,
        s: &Stepped,
        (i, t): (usize, usize),
        b: &Buffers,
        room: &mut Room,
        arrivals: &mut [Vec<Vec<i64>>],
    ) -> Result<bool, Failed> {
        let mut any = false;
        room.input.clear();
        room.input.resize(s.channels * s.plane, 0);
        let mut own = std::mem::take(&mut room.sent);
        for (k, operand) in s.operands.iter().enumerate() {
            let sent = match t.checked_sub(operand.delay) {
                Some(t) => self.sent(operand.from, (i, t), b, &mut own),
                None => &[],
            };
            any |= !sent.is_empty();
            match &operand.link {
                None => {
                    for e in sent {
                        room.input[e.place as usize * s.channels + e.channel as usize] += e.value;
                    }
                }
                // Without anything on its way, nothing comes of nothing.
                Some(link) if sent.is_empty() && link.delay == 0 => {}
                Some(link) => {
                    let on_the_way = arrivals.get_mut(k).map_or(&mut [][..], Vec::as_mut_slice);
                    let (input, memory) = (&mut room.input, &mut room.link);
                    let count = link.add(self.isa, graph, sent, on_the_way, input, memory)?;
                    room.operations.extend(link.slot.map(|slot| (slot, count)));
                }
            }
        }
        room.sent = own;
        Ok(any)
    }

    /// An operand at one timestep in the order of its shape, into `values`.
    fn dense(
        &self,
        operand: &Operand,
        (i, t): (usize, usize),
        b: &Buffers,
        room: &mut Vec<Entry>,
        values: &mut Vec<i64>,
    ) {
        values.clear();
        values.resize(operand.channels * operand.plane, 0);
        if let Some(t) = t.checked_sub(operand.delay) {
            for e in self.sent(operand.from, (i, t), b, room) {
                values[e.channel as usize * operand.plane + e.place as usize] = e.value;
            }
        }
    }

    /// Sends values in the order of the node's shape.
    fn put(&self, target: &mut Target<'_>, t: usize, values: &[i64], codes: &mut Vec<u8>) {
        if let Source::Map(to) = target.to {
            let map = &self.maps[to];
            codes.clear();
            codes.extend(values.iter().map(|&v| (v - map.low) as u8));
            map.put(target.bytes, t, codes);
            return;
        }
        let [_, plane] = target.shape;
        for (i, &value) in values.iter().enumerate() {
            if value != 0 {
                target.lists.push(i % plane.max(1), i / plane.max(1), value);
            }
        }
        target.lists.close();
    }

    /// Sends nothing.
    fn quiet(&self, target: &mut Target<'_>, t: usize) {
        match target.to {
            Source::Map(to) => {
                let map = &self.maps[to];
                for place in map.places() {
                    target.bytes[place + t * map.stride..][..map.channels].fill(map.silence());
                }
            }
            _ => target.lists.close(),
        }
    }
}

/// Room for what is on its way to a node.
fn arrivals(s: &Stepped) -> Vec<Vec<Vec<i64>>> {
    let of = |operand: &Operand| match &operand.link {
        Some(link) if link.delay > 0 => link.arrivals(),
        _ => Vec::new(),
    };
    s.operands.iter().map(of).collect()
}

/// `[place][channel]` in the order of a shape.
fn in_order(values: &[i64], channels: usize, plane: usize) -> impl Iterator<Item = i64> + '_ {
    (0..channels).flat_map(move |c| (0..plane).map(move |place| values[place * channels + c]))
}

/// Adds the bias of a timestep.
fn bias(p: &Population, s: &Stepped, t: usize, steps: usize, input: &mut [i64]) {
    let biased = match p.bias_placement {
        BiasPlacement::EveryTimestep => t < steps,
        BiasPlacement::FirstTimestep => t == 0,
        BiasPlacement::AfterLastTimestep => t + 1 == steps,
    };
    if biased && !p.bias.is_empty() {
        for input in input.chunks_exact_mut(s.channels.max(1)) {
            for (c, input) in input.iter_mut().enumerate() {
                *input += p.bias_at(c);
            }
        }
    }
}
