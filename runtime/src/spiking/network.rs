//! A network made ready to run, and its runs.

use std::collections::HashMap;
use std::sync::OnceLock;

use snnc_ir::{
    BiasPlacement, Graph, GraphError, NodeId, Op, Population, Presentation, Schedule, SpikingOp,
    TensorType, Timing, Window,
};

use super::boundary::{Sample, decode, encode, present};
use super::neurons::{State, StateView};
use super::prepared::Prepared;
use super::projections::Synapses;
use crate::kernels::{Isa, Kernels};

/// Why a network cannot be run, or a run not be finished.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The graph has no order.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A node cannot be run, or left its range.
    #[error("`{node}`: {reason}")]
    Node {
        /// Name of the node.
        node: String,
        /// What is wrong.
        reason: String,
    },
    /// The samples do not match the network's inputs.
    #[error("input `{node}` takes {expected} values, but {found} are given")]
    Input {
        /// Name of the encoder.
        node: String,
        /// Values of one sample.
        expected: usize,
        /// Values given.
        found: usize,
    },
    /// Negative and positive spikes went on for too long.
    #[error("the network has not settled after {0} timesteps")]
    Unsettled(usize),
}

/// Is told of every value: node, timestep, payloads (sums for projections).
pub type Observer<'a> = dyn FnMut(NodeId, usize, &[i64]) + 'a;

/// Is told of every population's state at the end of a timestep.
pub type StateObserver<'a> = dyn FnMut(NodeId, usize, StateView<'_>) + 'a;

/// What one population did during a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Payloads other than 0.
    pub spikes: u64,
    /// Sum of the payloads' magnitudes.
    pub payload: u64,
    /// Weights met by a spike on the way out.
    pub synaptic_operations: u64,
}

/// What one output shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// Name of the decoder.
    pub name: String,
    /// Integers read out.
    pub raw: Vec<i64>,
    /// Scores.
    pub scores: Vec<f32>,
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Outputs, in the order of the graph.
    pub outputs: Vec<Output>,
    /// Timesteps run.
    pub timesteps: usize,
    /// What each encoder and population did, in order of computation.
    pub activity: Vec<(NodeId, Activity)>,
}

/// A spiking graph made ready to run on any number of samples, on any number of threads at once.
///
/// Where bytes and 32-bit sums carry a network exactly it is run in prepared form, bit for bit as the
/// scalar interpreter would; every other network is run by that.
#[derive(Debug)]
pub struct Network {
    graph: Graph,
    order: Vec<NodeId>,
    prepared: Option<Prepared>,
    scalar: OnceLock<Result<Scalar, RunError>>,
    unwired: Scalar,
}

/// What the scalar interpreter needs beside the graph.
#[derive(Debug, Default)]
struct Scalar {
    synapses: HashMap<NodeId, Synapses>,
    delays: HashMap<NodeId, usize>,
}

impl Scalar {
    fn new(graph: &Graph, order: &[NodeId]) -> Result<Scalar, RunError> {
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

/// Timesteps without input after which a network that should settle is given up.
const SETTLING_LIMIT: usize = 100_000;

impl Network {
    /// Prepares a graph for the kernels that [`Kernels::chosen`] names.
    ///
    /// # Errors
    /// When it has no order, or a node that cannot be run.
    pub fn new(graph: &Graph) -> Result<Network, RunError> {
        Network::with_kernels(graph, Kernels::chosen())
    }

    /// Prepares a graph.
    ///
    /// # Errors
    /// When it has no order, or a node that cannot be run.
    pub fn with_kernels(graph: &Graph, kernels: Kernels) -> Result<Network, RunError> {
        let order = graph.order()?;
        if graph.is_float() {
            let reason = "its neurons are in single precision, not in integers".to_owned();
            return Err(RunError::Node { node: graph.name.clone(), reason });
        }
        let prepared = Isa::of(kernels).and_then(|isa| Prepared::new(graph, &order, isa));
        let network = Network {
            graph: graph.clone(),
            order,
            prepared,
            scalar: OnceLock::new(),
            unwired: Scalar::default(),
        };
        if network.prepared.is_none() {
            network.scalar()?;
        }
        Ok(network)
    }

    /// Whether it is run in prepared form.
    pub fn is_prepared(&self) -> bool {
        self.prepared.is_some()
    }

    fn scalar(&self) -> Result<&Scalar, RunError> {
        let scalar = self.scalar.get_or_init(|| Scalar::new(&self.graph, &self.order));
        scalar.as_ref().map_err(Clone::clone)
    }

    fn check(&self, samples: &[Sample]) -> Result<(), RunError> {
        for (i, id) in self.graph.inputs().into_iter().enumerate() {
            let expected = self.graph[id].ty.len();
            let found = samples.get(i).map_or(0, Sample::len);
            if found != expected {
                return Err(RunError::Input { node: self.graph[id].name.clone(), expected, found });
            }
        }
        Ok(())
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Runs one sample, one [`Sample`] for each input in the order of [`Graph::inputs`].
    ///
    /// # Errors
    /// When the samples do not fit, or an accumulator leaves a range that it must not leave.
    pub fn run(&self, samples: &[Sample]) -> Result<Outcome, RunError> {
        self.run_showing(samples, &[], &mut |_, _, _| {})
    }

    /// Runs one sample and shows the values of the nodes of `wanted` to `observe`, each node's in the
    /// order of its timesteps.
    ///
    /// # Errors
    /// As [`Network::run`].
    pub fn run_showing(
        &self,
        samples: &[Sample],
        wanted: &[NodeId],
        observe: &mut Observer<'_>,
    ) -> Result<Outcome, RunError> {
        if let Some(prepared) = &self.prepared
            && wanted.iter().all(|&id| prepared.shows(id))
        {
            self.check(samples)?;
            return Ok(prepared.run(&self.graph, samples, wanted, observe));
        }
        self.run_with(samples, &mut |id, t, value| {
            if wanted.contains(&id) {
                observe(id, t, value);
            }
        })
    }

    /// Runs one sample by the scalar interpreter and shows every value to `observe`.
    ///
    /// # Errors
    /// As [`Network::run`].
    pub fn run_with(
        &self,
        samples: &[Sample],
        observe: &mut Observer<'_>,
    ) -> Result<Outcome, RunError> {
        self.run_with_states(samples, observe, &mut |_, _, _| {})
    }

    /// Runs one sample by the scalar interpreter, shows every value to `observe` and the state of every population at the end
    /// of each timestep to `states`; where the schedule is layer-synchronous, of the last one only.
    ///
    /// # Errors
    /// As [`Network::run`].
    pub fn run_with_states(
        &self,
        samples: &[Sample],
        observe: &mut Observer<'_>,
        states: &mut StateObserver<'_>,
    ) -> Result<Outcome, RunError> {
        let inputs = self.graph.inputs();
        self.check(samples)?;
        let mut run = Run::new(self, self.scalar()?);
        let samples: HashMap<NodeId, &Sample> = inputs.into_iter().zip(samples).collect();
        let timesteps = self.graph.timing.timesteps;
        let mut last = timesteps;
        match self.graph.timing.schedule {
            Schedule::LayerSynchronous => {
                run.layer_synchronous(&samples, observe)?;
                run.show_states(timesteps.saturating_sub(1), states);
            }
            Schedule::Streaming => {
                for t in 0..timesteps {
                    run.timestep(t, &samples, observe)?;
                    run.show_states(t, states);
                }
            }
            Schedule::UntilSettled => {
                let mut t = 0;
                while run.timestep(t, &samples, observe)? || t < timesteps {
                    run.show_states(t, states);
                    t += 1;
                    if t > timesteps + SETTLING_LIMIT {
                        return Err(RunError::Unsettled(t));
                    }
                }
                last = t;
            }
        }
        Ok(run.outcome(last))
    }
}

/// A run that goes on for as long as there is input: states, spikes on their way and totals are kept
/// from one call to the next, so that the result does not depend on how the input is cut up.
pub struct Stream<'a> {
    run: Run<'a>,
    timesteps: usize,
}

impl Network {
    /// Prepares a graph for input that comes in time and has no end: every encoder presents in each
    /// timestep what that timestep brings, and biases go on being added.
    ///
    /// # Errors
    /// As [`Network::new`], and when the network has a barrier: behind one a neuron fires only once
    /// all input has come.
    pub fn streaming(graph: &Graph) -> Result<Network, RunError> {
        let mut graph = graph.clone();
        let fault = |node: &str, reason: &str| RunError::Node {
            node: node.to_owned(),
            reason: reason.to_owned(),
        };
        if graph.timing.schedule == Schedule::LayerSynchronous {
            return Err(fault("network", "layers that wait for each other cannot run on a stream"));
        }
        graph.timing = Timing { timesteps: usize::MAX, schedule: Schedule::Streaming };
        for id in graph.ids().collect::<Vec<_>>() {
            match &mut graph[id].op {
                Op::Spiking(SpikingOp::Encoder(e)) => e.presentation = Presentation::InTime,
                Op::Spiking(SpikingOp::Population(p))
                    if p.bias_placement == BiasPlacement::AfterLastTimestep
                        && p.bias.iter().any(|&b| b != 0) =>
                {
                    let name = &graph[id].name;
                    return Err(fault(
                        name,
                        "a bias after the last timestep has no place in a stream",
                    ));
                }
                _ => {}
            }
        }
        Network::with_kernels(&graph, Kernels::Scalar)
    }

    /// Begins a run on a network made by [`Network::streaming`].
    pub fn stream(&self) -> Stream<'_> {
        // `streaming` has prepared the scalar interpreter, or failed.
        let scalar = self.scalar().unwrap_or(&self.unwired);
        Stream { run: Run::new(self, scalar), timesteps: 0 }
    }
}

impl Stream<'_> {
    /// Runs one timestep for each row of `payloads`, those of the first input; other inputs are silent.
    ///
    /// # Errors
    /// When a row does not fit the input, or an accumulator leaves its range.
    pub fn advance(
        &mut self,
        payloads: &[Vec<i64>],
        observe: &mut Observer<'_>,
    ) -> Result<(), RunError> {
        let graph = &self.run.network.graph;
        let mut samples = HashMap::new();
        for (i, id) in graph.inputs().into_iter().enumerate() {
            let expected = graph[id].ty.len();
            if i == 0
                && let Some(row) = payloads.iter().find(|row| row.len() != expected)
            {
                let node = graph[id].name.clone();
                return Err(RunError::Input { node, expected, found: row.len() });
            }
            let silence = vec![vec![0; expected]; payloads.len()];
            samples.insert(id, Sample::InTime(if i == 0 { payloads.to_vec() } else { silence }));
        }
        let samples = samples.iter().map(|(id, sample)| (*id, sample)).collect();
        self.run.first = self.timesteps;
        for _ in payloads {
            self.run.timestep(self.timesteps, &samples, observe)?;
            self.timesteps += 1;
        }
        Ok(())
    }

    /// What the run shows after all timesteps so far.
    pub fn finish(self) -> Outcome {
        self.run.outcome(self.timesteps)
    }
}

/// One run.
struct Run<'a> {
    network: &'a Network,
    /// The timestep at which the samples at hand begin.
    first: usize,
    scalar: &'a Scalar,
    states: HashMap<NodeId, State>,
    /// Values of the last timesteps, newest first, as many as delays ask for.
    history: HashMap<NodeId, Vec<Vec<i64>>>,
    /// What is still on the way through delayed synapses: `[timesteps to go][target]`.
    arrivals: HashMap<NodeId, Vec<Vec<i64>>>,
    sums: HashMap<NodeId, Vec<i64>>,
    /// Totals of what has gone into and out of pools on running totals.
    totals: HashMap<NodeId, (Vec<i64>, Vec<i64>)>,
    activity: HashMap<NodeId, Activity>,
}

impl<'a> Run<'a> {
    fn new(network: &'a Network, scalar: &'a Scalar) -> Self {
        let (mut states, mut arrivals) = (HashMap::new(), HashMap::new());
        for &id in &network.order {
            let node = &network.graph[id];
            let channels = node.ty.shape.first().copied().unwrap_or(1);
            if let Op::Spiking(SpikingOp::Population(p)) = &node.op {
                states.insert(id, State::new(p, node.ty.len(), channels));
            }
            if let Some(s) = scalar.synapses.get(&id) {
                arrivals.insert(id, vec![vec![0; node.ty.len()]; s.max_delay() + 1]);
            }
        }
        let (history, sums, totals) = (HashMap::new(), HashMap::new(), HashMap::new());
        Run {
            network,
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
            None => vec![0; self.network.graph[source].ty.len()],
        }
    }

    /// One streaming timestep; whether anything was sent, or is still on its way.
    fn timestep(
        &mut self,
        t: usize,
        samples: &HashMap<NodeId, &Sample>,
        observe: &mut Observer<'_>,
    ) -> Result<bool, RunError> {
        let network = self.network;
        let mut active = false;
        let mut computed = std::collections::HashSet::new();
        for &id in &network.order {
            let node = &network.graph[id];
            let Op::Spiking(op) = &node.op else { continue };
            let operands: Vec<Vec<i64>> = network
                .graph
                .operands(id)
                .iter()
                .map(|o| self.operand(o.source, o.delay as usize, computed.contains(&o.source)))
                .collect();
            let value = match op {
                SpikingOp::Encoder(e) => {
                    let sample = samples[&id];
                    if t < network.graph.timing.timesteps {
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
                    let input = self.input(id, p, &operands, t, network.graph.timing.timesteps);
                    let Some(state) = self.states.get_mut(&id) else { continue };
                    let sent = state.step(p, t, &input);
                    active |= !matches!(p.neuron, snnc_ir::Neuron::Accumulate)
                        && sent.iter().any(|&x| x != 0);
                    sent
                }
                SpikingOp::MaxPool { window } => {
                    max_pool(window, &operands[0], self.shape(id), &node.ty)
                }
                SpikingOp::RunningMaxPool { window } => {
                    self.running_max_pool(id, window, &operands[0])
                }
                SpikingOp::Concatenate { axis } => self.concatenate(id, *axis, &operands),
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

    fn show_states(&self, t: usize, states: &mut StateObserver<'_>) {
        for id in &self.network.order {
            if let Some(state) = self.states.get(id) {
                states(*id, t, state.view());
            }
        }
    }

    /// All timesteps of each node before those of the next: a barrier before each population.
    fn layer_synchronous(
        &mut self,
        samples: &HashMap<NodeId, &Sample>,
        observe: &mut Observer<'_>,
    ) -> Result<(), RunError> {
        let network = self.network;
        let steps = network.graph.timing.timesteps;
        let mut values: HashMap<NodeId, Vec<Vec<i64>>> = HashMap::new();
        for &id in &network.order {
            let node = &network.graph[id];
            let Op::Spiking(op) = &node.op else { continue };
            let sources = network.graph.sources(id);
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
                    for t in 0..steps {
                        let input = self.input(id, p, &at(t), t, steps);
                        if let Some(state) = self.states.get_mut(&id) {
                            state.integrate(&input);
                        }
                    }
                    let silence = vec![0; node.ty.len()];
                    let Some(state) = self.states.get_mut(&id) else { continue };
                    for t in 0..steps {
                        sent.push(match &p.neuron {
                            snnc_ir::Neuron::IntegrateAndFire(_) => state.step(p, t, &silence),
                            _ if t + 1 < steps => silence.clone(),
                            // One spike a frame, after the whole frame arrived.
                            _ => {
                                let total = state.potentials().to_vec();
                                State::new(p, node.ty.len(), node.ty.shape[0]).step(p, t, &total)
                            }
                        });
                    }
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
                    sent.extend((0..steps).map(|t| self.concatenate(id, *axis, &at(t))));
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

    fn shape(&self, id: NodeId) -> &'a [usize] {
        let source = self.network.graph.source(id, 0);
        source.map_or(&[], |s| self.network.graph[s].ty.shape.as_slice())
    }

    fn propagate(&mut self, id: NodeId, payloads: &[i64]) -> Result<Vec<i64>, RunError> {
        let network = self.network;
        let (Some(synapses), Some(arrivals)) =
            (self.scalar.synapses.get(&id), self.arrivals.get_mut(&id))
        else {
            return Ok(Vec::new());
        };
        let operations = synapses.propagate(&network.graph[id].name, payloads, arrivals)?;
        if let Some(source) = network.graph.source(id, 0) {
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
        let neurons = self.network.graph[id].ty.len();
        let plane =
            (neurons / self.network.graph[id].ty.shape.first().copied().unwrap_or(1).max(1)).max(1);
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
        let (shape, ty) = (self.shape(id), &self.network.graph[id].ty);
        let (taken, sent) =
            self.totals.entry(id).or_insert_with(|| (vec![0; value.len()], vec![0; ty.len()]));
        taken.iter_mut().zip(value).for_each(|(total, v)| *total += v);
        let reached = max_pool(window, taken, shape, ty);
        let change = reached.iter().zip(sent.iter()).map(|(now, before)| now - before).collect();
        *sent = reached;
        change
    }

    fn concatenate(&self, id: NodeId, axis: usize, operands: &[Vec<i64>]) -> Vec<i64> {
        let graph = &self.network.graph;
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

    fn read_out(&mut self, id: NodeId, readout: snnc_ir::Readout, value: &[i64]) {
        let raw = self.sums.entry(id).or_insert_with(|| vec![0; value.len()]);
        for (r, &v) in raw.iter_mut().zip(value) {
            *r = if readout == snnc_ir::Readout::Sum { *r + v } else { v };
        }
    }

    fn count(&mut self, id: NodeId, value: &[i64]) {
        if matches!(
            self.network.graph[id].op,
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

    fn outcome(mut self, timesteps: usize) -> Outcome {
        let graph = &self.network.graph;
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
        let order = self.network.order.iter();
        let activity = order.filter_map(|id| Some((*id, *self.activity.get(id)?))).collect();
        Outcome { outputs, timesteps, activity }
    }
}

/// Largest value of each window of a (C, spatial..) map; padding never wins.
fn max_pool(window: &Window, value: &[i64], shape: &[usize], ty: &TensorType) -> Vec<i64> {
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
