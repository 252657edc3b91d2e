//! The scalar interpreter: one node after the other, in 64-bit integers.

use std::collections::HashMap;

use snnc_ir::{
    BiasPlacement, Graph, NeuronState, NodeId, Op, Population, SpikingOp, TensorType, Window,
};

use super::boundary::{Sample, decode, encode, present};
use super::outcome::{Activity, Observer, Outcome, Output, RunError, StateObserver};
use super::projections::Synapses;

/// What the scalar interpreter needs beside the graph.
#[derive(Debug, Default)]
pub(super) struct Scalar {
    synapses: HashMap<NodeId, Synapses>,
    delays: HashMap<NodeId, usize>,
}

impl Scalar {
    pub(super) fn new(graph: &Graph, order: &[NodeId]) -> Result<Scalar, RunError> {
        let (mut synapses, mut delays) = (HashMap::new(), HashMap::new());
        for &id in order {
            let node = &graph[id];
            for operand in graph.operands(id) {
                let longest = delays.entry(operand.source).or_insert(0);
                *longest = (*longest).max(operand.delay as usize);
            }
            if let (Op::Spiking(SpikingOp::Projection(p)), Some(weights)) = (&node.op, &node.data) {
                let source =
                    graph.source(id, 0).map(|s| graph[s].ty.shape.clone()).unwrap_or_default();
                synapses
                    .insert(id, Synapses::new(&node.name, p, weights, &source, &node.ty.shape)?);
            }
        }
        Ok(Scalar { synapses, delays })
    }
}

/// One run.
pub(super) struct Run<'a> {
    pub(super) graph: &'a Graph,
    order: &'a [NodeId],
    /// The timestep at which the samples at hand begin.
    pub(super) first: usize,
    scalar: &'a Scalar,
    states: HashMap<NodeId, NeuronState<'a>>,
    /// Values of the last timesteps, newest first, as many as delays ask for.
    history: HashMap<NodeId, Vec<Vec<i64>>>,
    /// What is still on the way through delayed synapses: `[timesteps to go][target]`.
    arrivals: HashMap<NodeId, Vec<Vec<i64>>>,
    sums: HashMap<NodeId, Vec<i64>>,
    totals: HashMap<NodeId, RunningMaximum<'a>>,
    activity: HashMap<NodeId, Activity>,
}

impl<'a> Run<'a> {
    pub(super) fn new(graph: &'a Graph, order: &'a [NodeId], scalar: &'a Scalar) -> Self {
        let (mut states, mut arrivals) = (HashMap::new(), HashMap::new());
        for &id in order {
            let node = &graph[id];
            let channels = node.ty.shape.first().copied().unwrap_or(1);
            if let Op::Spiking(SpikingOp::Population(p)) = &node.op
                && let Some(own) = p.neuron.states(node.ty.len(), channels)
            {
                states.insert(id, own);
            }
            if let Some(s) = scalar.synapses.get(&id) {
                arrivals.insert(id, vec![vec![0; node.ty.len()]; s.max_delay() + 1]);
            }
        }
        let (history, sums, totals) = (HashMap::new(), HashMap::new(), HashMap::new());
        Run {
            graph,
            order,
            scalar,
            first: 0,
            states,
            history,
            arrivals,
            sums,
            totals,
            activity: HashMap::new(),
        }
    }

    /// The value of an operand at this timestep (its source may have been computed already or, on a
    /// recurrent edge, not yet: what counts is the delay).
    fn operand(&self, source: NodeId, delay: usize, computed: bool) -> Vec<i64> {
        let back = if computed { delay } else { delay.saturating_sub(1) };
        match self.history.get(&source).and_then(|h| h.get(back)) {
            Some(value) => value.clone(),
            None => vec![0; self.graph[source].ty.len()],
        }
    }

    /// One streaming timestep; whether anything was sent, or is still on its way.
    pub(super) fn timestep(
        &mut self,
        t: usize,
        samples: &HashMap<NodeId, &Sample>,
        observe: &mut Observer<'_>,
    ) -> Result<bool, RunError> {
        let (graph, order) = (self.graph, self.order);
        let mut active = false;
        let mut computed = std::collections::HashSet::new();
        for &id in order {
            let node = &graph[id];
            let Op::Spiking(op) = &node.op else { continue };
            let operands: Vec<Vec<i64>> = graph
                .operands(id)
                .iter()
                .map(|o| self.operand(o.source, o.delay as usize, computed.contains(&o.source)))
                .collect();
            let value = match op {
                SpikingOp::Encoder(e) => {
                    let sample = samples[&id];
                    if t < graph.timing.timesteps {
                        present(e, sample, &encode(e, sample), t - self.first)
                    } else {
                        vec![0; node.ty.len()]
                    }
                }
                SpikingOp::Projection(_) => {
                    let sums = self.propagate(id, &operands[0])?;
                    let pending = self.arrivals.get(&id).into_iter().flatten();
                    active |= pending.flatten().any(|&x| x != 0);
                    sums
                }
                SpikingOp::Population(p) => {
                    let input = self.input(id, p, &operands, t, graph.timing.timesteps);
                    let Some(state) = self.states.get_mut(&id) else { continue };
                    let sent = state.step(t, input);
                    active |= p.neuron.fires() && sent.iter().any(|&x| x != 0);
                    sent
                }
                SpikingOp::MaxPool { window } => {
                    max_pool(window, &operands[0], self.shape(id), &node.ty)
                }
                SpikingOp::RunningMaxPool { window } => {
                    self.running_max_pool(id, window, &operands[0])
                }
                SpikingOp::Concatenate { axis } => concatenate(graph, id, *axis, &operands),
                SpikingOp::Decoder(d) => {
                    self.read_out(id, d.readout, &operands[0]);
                    operands[0].clone()
                }
            };
            observe(id, t, &value);
            self.count(id, &value);
            self.remember(id, value);
            computed.insert(id);
        }
        Ok(active)
    }

    pub(super) fn show_states(&self, t: usize, states: &mut StateObserver<'_>) {
        for id in self.order {
            if let Some(state) = self.states.get(id) {
                states(*id, t, state);
            }
        }
    }

    /// All timesteps of each node before those of the next: a barrier before each population.
    pub(super) fn layer_synchronous(
        &mut self,
        samples: &HashMap<NodeId, &Sample>,
        observe: &mut Observer<'_>,
    ) -> Result<(), RunError> {
        let (graph, order) = (self.graph, self.order);
        let steps = graph.timing.timesteps;
        let mut values: HashMap<NodeId, Vec<Vec<i64>>> = HashMap::new();
        for &id in order {
            let node = &graph[id];
            let Op::Spiking(op) = &node.op else { continue };
            let sources = graph.sources(id);
            let at = |t: usize| -> Vec<Vec<i64>> {
                sources.iter().map(|s| values[s][t].clone()).collect()
            };
            let mut sent = Vec::with_capacity(steps);
            match op {
                SpikingOp::Encoder(e) => {
                    let payloads = encode(e, samples[&id]);
                    sent.extend((0..steps).map(|t| present(e, samples[&id], &payloads, t)));
                }
                SpikingOp::Projection(_) => {
                    for t in 0..steps {
                        let sums = self.propagate(id, &at(t)[0])?;
                        sent.push(sums);
                    }
                }
                SpikingOp::Population(p) => {
                    let inputs = (0..steps).map(|t| self.input(id, p, &at(t), t, steps)).collect();
                    sent = self.after_barrier(id, inputs);
                }
                SpikingOp::MaxPool { window } => {
                    sent.extend(
                        (0..steps).map(|t| max_pool(window, &at(t)[0], self.shape(id), &node.ty)),
                    );
                }
                SpikingOp::RunningMaxPool { window } => {
                    for t in 0..steps {
                        sent.push(self.running_max_pool(id, window, &at(t)[0]));
                    }
                }
                SpikingOp::Concatenate { axis } => {
                    sent.extend((0..steps).map(|t| concatenate(graph, id, *axis, &at(t))));
                }
                SpikingOp::Decoder(d) => {
                    for t in 0..steps {
                        self.read_out(id, d.readout, &at(t)[0]);
                        sent.push(at(t).swap_remove(0));
                    }
                }
            }
            for (t, value) in sent.iter().enumerate() {
                observe(id, t, value);
                self.count(id, value);
            }
            values.insert(id, sent);
        }
        Ok(())
    }

    /// What a population sends in every timestep once all `inputs` have arrived.
    fn after_barrier(&mut self, id: NodeId, inputs: Vec<Vec<i64>>) -> Vec<Vec<i64>> {
        let steps = inputs.len();
        let Some(state) = self.states.get_mut(&id) else { return vec![Vec::new(); steps] };
        let mut total = vec![0; self.graph[id].ty.len()];
        for input in &inputs {
            total.iter_mut().zip(input).for_each(|(sum, x)| *sum += x);
        }
        (0..steps).map(|t| state.step_behind_barrier((t, steps), total.iter().copied())).collect()
    }

    fn shape(&self, id: NodeId) -> &'a [usize] {
        let source = self.graph.source(id, 0);
        source.map_or(&[], |s| self.graph[s].ty.shape.as_slice())
    }

    fn propagate(&mut self, id: NodeId, payloads: &[i64]) -> Result<Vec<i64>, RunError> {
        let graph = self.graph;
        let (Some(synapses), Some(arrivals)) =
            (self.scalar.synapses.get(&id), self.arrivals.get_mut(&id))
        else {
            return Ok(Vec::new());
        };
        let operations = synapses.propagate(&graph[id].name, payloads, arrivals)?;
        if let Some(source) = graph.source(id, 0) {
            self.activity.entry(source).or_default().synaptic_operations += operations;
        }
        let targets = arrivals[0].len();
        let now = arrivals.remove(0);
        arrivals.push(vec![0; targets]);
        Ok(now)
    }

    /// Sum of the operands, and the bias where this timestep has one.
    fn input(
        &self,
        id: NodeId,
        p: &Population,
        operands: &[Vec<i64>],
        t: usize,
        steps: usize,
    ) -> Vec<i64> {
        let neurons = self.graph[id].ty.len();
        let plane = (neurons / self.graph[id].ty.shape.first().copied().unwrap_or(1).max(1)).max(1);
        let biased = match p.bias_placement {
            BiasPlacement::EveryTimestep => t < steps,
            BiasPlacement::FirstTimestep => t == 0,
            BiasPlacement::AfterLastTimestep => t + 1 == steps,
        };
        (0..neurons)
            .map(|i| {
                let sum: i64 = operands.iter().map(|o| o[i]).sum();
                if biased { sum + p.bias_at(i / plane) } else { sum }
            })
            .collect()
    }

    /// By how much the maximum of the running totals has changed in each window.
    fn running_max_pool(&mut self, id: NodeId, window: &Window, value: &[i64]) -> Vec<i64> {
        let (shape, ty) = (self.shape(id), &self.graph[id].ty);
        self.totals.entry(id).or_insert_with(|| RunningMaximum::new(shape, ty)).step(window, value)
    }

    fn read_out(&mut self, id: NodeId, readout: snnc_ir::Readout, value: &[i64]) {
        let raw = self.sums.entry(id).or_insert_with(|| vec![0; value.len()]);
        for (r, &v) in raw.iter_mut().zip(value) {
            *r = if readout == snnc_ir::Readout::Sum { *r + v } else { v };
        }
    }

    fn count(&mut self, id: NodeId, value: &[i64]) {
        if matches!(
            self.graph[id].op,
            Op::Spiking(
                SpikingOp::Encoder(_)
                    | SpikingOp::Population(_)
                    | SpikingOp::MaxPool { .. }
                    | SpikingOp::RunningMaxPool { .. }
            )
        ) {
            let activity = self.activity.entry(id).or_default();
            activity.spikes += value.iter().filter(|&&x| x != 0).count() as u64;
            activity.payload += value.iter().map(|x| x.unsigned_abs()).sum::<u64>();
        }
    }

    fn remember(&mut self, id: NodeId, value: Vec<i64>) {
        let keep = self.scalar.delays.get(&id).copied().unwrap_or(0) + 1;
        let history = self.history.entry(id).or_default();
        history.insert(0, value);
        history.truncate(keep);
    }

    pub(super) fn outcome(mut self, timesteps: usize) -> Outcome {
        let graph = self.graph;
        let outputs = graph
            .outputs()
            .into_iter()
            .map(|id| {
                let raw = self.sums.remove(&id).unwrap_or_default();
                let scores = match &graph[id].op {
                    Op::Spiking(SpikingOp::Decoder(d)) => decode(d, &raw),
                    _ => Vec::new(),
                };
                Output { name: graph[id].name.clone(), raw, scores }
            })
            .collect();
        let order = self.order.iter();
        let activity = order.filter_map(|id| Some((*id, *self.activity.get(id)?))).collect();
        Outcome { outputs, timesteps, activity }
    }
}

/// A pool on running totals: those of what has gone into it and out of it.
#[derive(Debug)]
pub(super) struct RunningMaximum<'a> {
    shape: &'a [usize],
    ty: &'a TensorType,
    taken: Vec<i64>,
    sent: Vec<i64>,
}

impl<'a> RunningMaximum<'a> {
    /// Before the first timestep, for a source of shape `shape` and a result of type `ty`.
    pub(super) fn new(shape: &'a [usize], ty: &'a TensorType) -> Self {
        let taken = vec![0; shape.iter().product()];
        RunningMaximum { shape, ty, taken, sent: vec![0; ty.len()] }
    }

    /// By how much the maximum has changed in each window.
    pub(super) fn step(&mut self, window: &Window, value: &[i64]) -> Vec<i64> {
        self.taken.iter_mut().zip(value).for_each(|(total, v)| *total += v);
        let reached = max_pool(window, &self.taken, self.shape, self.ty);
        let change = reached.iter().zip(&self.sent).map(|(now, before)| now - before).collect();
        self.sent = reached;
        change
    }
}

/// Joins values along dimension `axis` of the shape of node `id`.
pub(super) fn concatenate(
    graph: &Graph,
    id: NodeId,
    axis: usize,
    operands: &[Vec<i64>],
) -> Vec<i64> {
    let shapes: Vec<&[usize]> =
        graph.sources(id).iter().map(|&s| graph[s].ty.shape.as_slice()).collect();
    let outer: usize = graph[id].ty.shape[..axis].iter().product();
    let mut joined = Vec::with_capacity(graph[id].ty.len());
    for i in 0..outer {
        for (operand, shape) in operands.iter().zip(&shapes) {
            let run: usize = shape[axis..].iter().product();
            joined.extend_from_slice(&operand[i * run..(i + 1) * run]);
        }
    }
    joined
}

/// Largest value of each window of a (C, spatial..) map; padding never wins.
pub(super) fn max_pool(
    window: &Window,
    value: &[i64],
    shape: &[usize],
    ty: &TensorType,
) -> Vec<i64> {
    let (input, output) = (&shape[1..], &ty.shape[1..]);
    let plane: usize = input.iter().product();
    let windows: usize = output.iter().product();
    let cells: usize = window.kernel.iter().product();
    let place = |mut index: usize, dims: &[usize]| {
        let mut position = vec![0; dims.len()];
        for axis in (0..dims.len()).rev() {
            position[axis] = index % dims[axis];
            index /= dims[axis];
        }
        position
    };
    (0..ty.len())
        .map(|i| {
            let (channel, at) = (i / windows, place(i % windows, output));
            let inside = (0..cells).filter_map(|cell| {
                let offset = place(cell, &window.kernel);
                let mut index = 0;
                for axis in 0..input.len() {
                    let along =
                        at[axis] * window.strides[axis] + offset[axis] * window.dilations[axis];
                    let along =
                        along.checked_sub(window.before[axis]).filter(|&p| p < input[axis])?;
                    index = index * input[axis] + along;
                }
                Some(value[channel * plane + index])
            });
            inside.max().unwrap_or(0)
        })
        .collect()
}
