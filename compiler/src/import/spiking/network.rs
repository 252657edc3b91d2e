//! The spiking graph of the neurons that were found.

use std::collections::HashMap;

use snnc_ir::{
    Coding, Connectivity, DType, Decoder, Encoder, FloatNeuron, Graph, Neuron, Node, NodeId,
    Origin, Population, Presentation, Projection, Readout, Schedule, SpikingOp, Stage, Tensor,
    TensorType, Timing,
};

use super::expression::{Expression, Id, LayerKind, Table, Values};
use super::frames::Framed;
use super::neurons::{Found, Neurons};
use crate::Problem;

/// Where what flows into a layer comes from, the same in every timestep.
#[derive(Clone, Debug, PartialEq)]
struct Path {
    from: From,
    /// Layers on the way, the first one first.
    layers: Vec<usize>,
    /// Factor of what arrives.
    factor: Values,
}

#[derive(Clone, Debug, PartialEq)]
enum From {
    /// A graph input, row by row or the same in every timestep.
    Input { input: usize, in_time: bool },
    /// Neurons, so many timesteps ago.
    Spikes { layer: usize, delay: usize },
}

const SAME: &str = "export a network that does the same in every timestep";

struct Builder<'a> {
    framed: &'a Framed,
    table: &'a Table,
    found: &'a Found,
    graph: Graph,
    encoders: HashMap<usize, NodeId>,
    populations: Vec<NodeId>,
    problems: Vec<Problem>,
}

/// Builds the network, named `name`.
///
/// # Errors
/// Everything that differs between timesteps, or stands in between neurons without a form.
pub(super) fn build(source: &Graph, framed: &Framed, found: &Found) -> Result<Graph, Vec<Problem>> {
    let timesteps = found.neurons.iter().map(|n| n.membranes.len()).max().unwrap_or(1);
    let mut graph = Graph::new(source.name.clone(), Stage::Spiking);
    graph.timing = Timing { timesteps, schedule: Schedule::Streaming };
    let mut builder = Builder {
        framed,
        table: &framed.table,
        found,
        graph,
        encoders: HashMap::new(),
        populations: Vec::new(),
        problems: Vec::new(),
    };
    builder.run(source);
    if builder.problems.is_empty() { Ok(builder.graph) } else { Err(builder.problems) }
}

impl Builder<'_> {
    fn run(&mut self, source: &Graph) {
        let found = self.found;
        for neurons in &found.neurons {
            let wanted = neurons.origin.as_ref().map_or("neurons", |o| o.node.as_str());
            let name = self.graph.fresh_name(wanted);
            let mut neuron = neurons.neuron.clone();
            let paths = self.paths(neurons);
            let (bias, gain) = common(&paths, self.table);
            neuron.input_bias = bias;
            neuron.gain = gain;
            let node = population(name, neuron, &neurons.shape, neurons.origin.as_ref());
            let id = self.graph.add(node, &[]);
            self.populations.push(id);
        }
        for (layer, neurons) in found.neurons.iter().enumerate() {
            let paths = self.paths(neurons);
            if paths.is_empty() {
                let place = self.graph[self.populations[layer]].describe();
                self.problems.push(Problem::new(place, "gets no input", "connect the layer"));
            }
            let folded = self.graph_gain_is_one(layer);
            for path in &paths {
                self.connect(source, layer, path, folded);
            }
        }
        self.outputs(source);
    }

    /// Whether the factors of what flows in are part of the weights, not of the neuron.
    fn graph_gain_is_one(&self, layer: usize) -> bool {
        match self.graph[self.populations[layer]].as_spiking() {
            Some(SpikingOp::Population(Population { neuron: Neuron::Float(n), .. })) => {
                n.gain.is_empty()
            }
            _ => true,
        }
    }

    /// The ways into a layer, held against each other over all timesteps.
    fn paths(&mut self, neurons: &Neurons) -> Vec<Path> {
        let place = neurons
            .origin
            .as_ref()
            .map_or_else(|| "a neuron".to_owned(), |o| format!("{} `{}`", o.op, o.node));
        let mut longest: Vec<Path> = Vec::new();
        let mut all = Vec::with_capacity(neurons.inputs.len());
        for (t, inputs) in neurons.inputs.iter().enumerate() {
            let own: Result<Vec<Path>, String> =
                inputs.iter().map(|(&id, factor)| self.path(id, factor.clone(), t)).collect();
            match own {
                Ok(own) => {
                    if own.len() >= longest.len() {
                        longest.clone_from(&own);
                    }
                    all.push(own);
                }
                Err(reason) => {
                    let problem = Problem::new(place.clone(), reason, SAME);
                    if !self.problems.contains(&problem) {
                        self.problems.push(problem);
                    }
                    return Vec::new();
                }
            }
        }
        for (t, own) in all.iter().enumerate() {
            // What comes back from the neurons of the timestep before is not there in the first.
            let late = |p: &Path| matches!(p.from, From::Spikes { delay, .. } if delay > t);
            let misses = longest.iter().any(|p| !late(p) && !own.contains(p));
            if misses || own.iter().any(|p| !longest.contains(p)) {
                let reason = format!(
                    "timestep {t} gets its input in another way than the others, or through other weights"
                );
                let problem = Problem::new(place.clone(), reason, SAME);
                if !self.problems.contains(&problem) {
                    self.problems.push(problem);
                }
                return Vec::new();
            }
        }
        longest
    }

    /// The way of one input of timestep `t`, from where it comes.
    fn path(&self, id: Id, factor: Values, t: usize) -> Result<Path, String> {
        let (mut at, mut layers, mut factor) = (id, Vec::new(), factor);
        loop {
            match self.table.get(at) {
                Expression::Layer { layer, source } => {
                    layers.insert(0, *layer);
                    at = *source;
                }
                Expression::Product(a, b) if let Expression::Constant(c) = self.table.get(*b) => {
                    let &[scale] = c.as_slice() else {
                        return Err("spikes are scaled neuron by neuron on their way".into());
                    };
                    factor = factor.iter().map(|f| f * scale).collect();
                    at = *a;
                }
                _ => break,
            }
        }
        let from = match self.table.get(at) {
            Expression::Input { .. } if self.found.states.contains(&at) => {
                return Err("a state flows in through synapses".into());
            }
            Expression::Input { input, row } => match self.found.recurrent.get(&at) {
                Some(&layer) => From::Spikes { layer, delay: 1 },
                None => {
                    let in_time = self.rows(*input) > 1;
                    if in_time && *row != t {
                        return Err(format!("timestep {t} takes row {row} of the input"));
                    }
                    From::Input { input: *input, in_time }
                }
            },
            Expression::Fires { .. } => {
                let Some(&(layer, then)) = self.found.spikes.get(&at) else {
                    return Err("gets spikes of a neuron that is none".into());
                };
                let Some(delay) = t.checked_sub(then) else {
                    return Err("gets spikes of a later timestep".into());
                };
                From::Spikes { layer, delay }
            }
            _ => return Err("gets sums of what several layers send".into()),
        };
        Ok(Path { from, layers, factor })
    }

    fn rows(&self, input: usize) -> usize {
        let table = self.table;
        let rows = (0..table.len()).filter(
            |&id| matches!(table.get(id), Expression::Input { input: i, .. } if *i == input),
        );
        rows.count()
    }

    /// The node that sends what a path begins with.
    fn source(&mut self, source: &Graph, from: &From, shape: &[usize]) -> (NodeId, u32) {
        match *from {
            From::Spikes { layer, delay } => (self.populations[layer], delay as u32),
            From::Input { input, in_time } => {
                if let Some(&id) = self.encoders.get(&input) {
                    return (id, 0);
                }
                let node = &source[self.framed.inputs[input]];
                // One timestep in the graph takes a new input each time it is run.
                let once = self.graph.timing.timesteps == 1;
                let presentation = if in_time || once {
                    Presentation::InTime
                } else {
                    Presentation::EveryTimestep
                };
                let encoder = Encoder {
                    scale: 1.0,
                    zero_point: 0,
                    minimum: i64::MIN,
                    maximum: i64::MAX,
                    offset: None,
                    rounding: Default::default(),
                    presentation,
                };
                let name = self.graph.fresh_name(&node.name);
                let node = Node::spiking(name, SpikingOp::Encoder(encoder), shape)
                    .with_origins(&node.origins);
                let id = self.graph.add(node, &[]);
                self.encoders.insert(input, id);
                (id, 0)
            }
        }
    }

    /// Adds the projections and pools of a path into a layer.
    fn connect(&mut self, source: &Graph, layer: usize, path: &Path, folded: bool) {
        let target = self.populations[layer];
        let shape = match path.layers.first() {
            Some(&first) => self.table.layers[first].input.clone(),
            None => self.graph[target].ty.shape.clone(),
        };
        let (mut at, mut delay) = self.source(source, &path.from, &shape);
        let synapses = |l: &usize| matches!(self.table.layers[*l].kind, LayerKind::Synapses(_));
        let last = path.layers.iter().rposition(synapses);
        for (i, &place) in path.layers.iter().enumerate() {
            let found = &self.table.layers[place];
            let origins = self.table.layer_origins[place].clone();
            let name = origins.first().map_or("synapses", |o| o.node.as_str());
            match &found.kind {
                LayerKind::Maximum(window) => {
                    let op = SpikingOp::MaxPool { window: window.clone() };
                    let name = self.graph.fresh_name(name);
                    let node = Node::spiking(name, op, found.output.clone()).with_origins(&origins);
                    at = self.attach(node, at, delay);
                }
                LayerKind::Synapses(connectivity) => {
                    let ends = last == Some(i);
                    let factor = if ends && folded { path.factor.clone() } else { vec![1.0] };
                    let weights = found.weights.clone().map(|w| scaled(&w, &factor));
                    let connectivity = connectivity.clone();
                    let name = self.graph.fresh_name(&format!("{name}.synapses"));
                    at = self.project(
                        (name, &origins),
                        connectivity,
                        weights,
                        (&found.output, at, delay),
                    );
                    if !ends {
                        let bias = found.bias.clone().unwrap_or_default();
                        let name = self
                            .graph
                            .fresh_name(&format!("{name}.relay", name = self.graph[at].name));
                        let node = population(name, relay(bias), &found.output, origins.first());
                        at = self.attach(node, at, 0);
                    }
                }
            }
            delay = 0;
        }
        if last.is_none() {
            let shape = self.graph[target].ty.shape.clone();
            let factor = if folded { path.factor.clone() } else { vec![1.0] };
            let weights: Vec<f32> = factor.iter().map(|&f| f as f32).collect();
            let name = self.graph.fresh_name(&format!("{}.synapses", self.graph[target].name));
            let weights = Tensor::from_f32(&[weights.len()], &weights);
            at = self.project(
                (name, &[]),
                Connectivity::OneToOne,
                Some(weights),
                (&shape, at, delay),
            );
        }
        self.graph.connect(at, target, 0);
    }

    fn project(
        &mut self,
        (name, origins): (String, &[Origin]),
        connectivity: Connectivity,
        weights: Option<Tensor>,
        (shape, from, delay): (&[usize], NodeId, u32),
    ) -> NodeId {
        let op = SpikingOp::Projection(Projection::exact(connectivity));
        let mut node = Node::spiking(name, op, shape.to_vec()).with_origins(origins);
        node.data = weights;
        self.attach(node, from, delay)
    }

    fn attach(&mut self, node: Node, from: NodeId, delay: u32) -> NodeId {
        let id = self.graph.add(node, &[]);
        self.graph.connect(from, id, delay);
        id
    }

    /// Spikes that are outputs are counted; states that are outputs stay inside.
    fn outputs(&mut self, source: &Graph) {
        let mut any = false;
        let mut odd = Vec::new();
        for (node, frames) in &self.framed.outputs {
            let steps: Option<Vec<(usize, usize)>> =
                frames.iter().map(|f| self.found.spikes.get(f).copied()).collect();
            let node = &source[*node];
            match steps.as_deref() {
                Some([(layer, _), ..]) => {
                    let population = self.populations[*layer];
                    let shape = self.graph[population].ty.shape.clone();
                    let decoder =
                        Decoder { readout: Readout::Sum, scale: vec![1.0], zero: Vec::new() };
                    let name = self.graph.fresh_name(&node.name);
                    let mut out = Node::spiking(name, SpikingOp::Decoder(decoder), shape.clone());
                    out.ty = TensorType::new(DType::F32, shape);
                    self.graph.add(out.with_origins(&node.origins), &[population]);
                    any = true;
                }
                _ => odd.push(node.describe()),
            }
        }
        if !any {
            let place = odd.into_iter().next().unwrap_or_else(|| "graph".into());
            let reason = "shows no spikes: what is read out is no neuron's";
            let remedy = "let the last layer be neurons, and export their spikes";
            self.problems.push(Problem::new(place, reason, remedy));
        }
    }
}

/// The bias of all that flows in, and the factor of it where all have one.
fn common(paths: &[Path], table: &Table) -> (Vec<f32>, Vec<f32>) {
    let uniform = paths.windows(2).all(|w| w[0].factor == w[1].factor);
    let gain = match paths.first() {
        Some(p) if uniform && p.factor != [1.0] => p.factor.iter().map(|&f| f as f32).collect(),
        _ => Vec::new(),
    };
    let mut bias: Vec<f32> = Vec::new();
    for path in paths {
        let synapses = path.layers.iter().rev().map(|&l| &table.layers[l]);
        let last = synapses.into_iter().find(|l| matches!(l.kind, LayerKind::Synapses(_)));
        let Some(own) = last.and_then(|l| l.bias.as_ref()) else { continue };
        bias.resize(own.len(), 0.0);
        for (i, (b, v)) in bias.iter_mut().zip(own).enumerate() {
            let factor = path.factor.get(i).or(path.factor.first()).copied().unwrap_or(1.0);
            *b += if gain.is_empty() { (f64::from(*v) * factor) as f32 } else { *v };
        }
    }
    (bias, gain)
}

fn scaled(weights: &Tensor, factor: &Values) -> Tensor {
    if factor[..] == [1.0] {
        return weights.clone();
    }
    let values = weights.to_f32();
    let rows = weights.shape().first().copied().unwrap_or(1).max(1);
    let row = (values.len() / rows).max(1);
    let at = |i: usize| factor[if factor.len() == 1 { 0 } else { i * factor.len() / rows / row }];
    let scaled: Vec<f32> =
        values.iter().enumerate().map(|(i, &w)| (f64::from(w) * at(i)) as f32).collect();
    Tensor::from_f32(weights.shape(), &scaled)
}

/// What passes its input on in the same timestep.
fn relay(bias: Vec<f32>) -> FloatNeuron {
    FloatNeuron {
        decay: vec![0.0],
        gain: Vec::new(),
        input_bias: bias,
        drive: Vec::new(),
        current: None,
        initial: Vec::new(),
        firing: None,
    }
}

fn population(name: String, neuron: FloatNeuron, shape: &[usize], origin: Option<&Origin>) -> Node {
    let fires = neuron.firing.is_some();
    let population = Population {
        coding: Coding::Rate,
        bias: Vec::new(),
        bias_placement: Default::default(),
        neuron: Neuron::Float(neuron),
        minimum: if fires { 0 } else { i64::MIN },
        maximum: if fires { 1 } else { i64::MAX },
        scale: Vec::new(),
    };
    let node = Node::spiking(name, SpikingOp::Population(population), shape.to_vec());
    match origin {
        Some(origin) => node.with_origins(std::slice::from_ref(origin)),
        None => node,
    }
}
