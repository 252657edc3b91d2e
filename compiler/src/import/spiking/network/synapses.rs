//! Nodes between populations: synapses, pools, maps side by side, and neurons that only pass sums on.

use snnc_ir::{
    Connectivity, Encoder, Graph, Node, NodeId, Origin, Presentation, Projection, SpikingOp,
    Tensor, Window,
};

use super::super::expression::{Expression, Id, LayerKind, Values, zip};
use super::super::flow::{Affine, Flow, Term};
use super::super::linear::{by_channel, scaled};
use super::super::neurons::single;
use super::{Builder, Piece, population, relay, take};

/// Most neurons whose map is given another shape by synapses from each to itself.
const RESHAPED: usize = 4096;

impl Builder<'_> {
    /// The node that sends a flow, and the delay from there.
    pub(super) fn sender(&mut self, source: &Graph, flow: &Flow, shape: &[usize]) -> (NodeId, u32) {
        match flow {
            Flow::Spikes { layer, delay } => (self.populations[*layer], *delay as u32),
            Flow::Input { input, in_time } => (self.encoder(source, *input, *in_time, shape), 0),
            other => {
                if let Some((_, id)) = self.built.iter().find(|(flow, _)| flow == other) {
                    return (*id, 0);
                }
                let id = self.between(source, other);
                self.built.push((other.clone(), id));
                (id, 0)
            }
        }
    }

    fn encoder(&mut self, source: &Graph, input: usize, in_time: bool, shape: &[usize]) -> NodeId {
        if let Some(&id) = self.encoders.get(&input) {
            return id;
        }
        let node = &source[self.framed.inputs[input]];
        // One timestep in the graph takes a new input each time it is run.
        let once = self.graph.timing.timesteps == 1;
        let presentation =
            if in_time || once { Presentation::InTime } else { Presentation::EveryTimestep };
        let encoder = Encoder {
            scale: 1.0,
            zero_point: 0,
            minimum: i64::MIN,
            maximum: i64::MAX,
            offset: None,
            rounding: Default::default(),
            thresholds: Vec::new(),
            presentation,
        };
        let own = |id: &Id| matches!(self.table.get(*id), Expression::Input { input: i, .. } if *i == input);
        let wanted = self.wanted.iter().filter(|(id, _)| own(id)).min_by_key(|(id, _)| **id);
        let shape = wanted.map_or_else(|| shape.to_vec(), |(_, s)| s.clone());
        let name = self.graph.fresh_name(&node.name);
        let node =
            Node::spiking(name, SpikingOp::Encoder(encoder), shape).with_origins(&node.origins);
        let id = self.graph.add(node, &[]);
        self.encoders.insert(input, id);
        id
    }

    /// What stands between two layers of neurons: a pool, maps side by side, or neurons that send what
    /// they sum up, in the same timestep.
    fn between(&mut self, source: &Graph, flow: &Flow) -> NodeId {
        match flow {
            Flow::Maximum { layer, of } => {
                let found = &self.table.layers[*layer];
                let window = match &found.kind {
                    LayerKind::Maximum(window) => window.clone(),
                    LayerKind::Synapses(_) => Window::plain(&[]),
                };
                let origins = self.table.layer_origins[*layer].clone();
                let name = origins.first().map_or("pool", |o| o.node.as_str());
                let op = SpikingOp::MaxPool { window };
                let name = self.graph.fresh_name(name);
                let node = Node::spiking(name, op, found.output.clone()).with_origins(&origins);
                let (from, delay) = self.sender(source, of, &found.input);
                let from = self.shaped(from, delay, &found.input);
                self.attach(node, from.0, from.1)
            }
            Flow::Joined { parts, shape } => {
                let name = self.graph.fresh_name("join");
                let node = Node::spiking(name, SpikingOp::Concatenate { axis: 0 }, shape.clone());
                let part = |(flow, shape): &(Flow, Vec<usize>)| {
                    let (from, delay) = self.sender(source, flow, shape);
                    self.shaped(from, delay, shape)
                };
                let from: Vec<(NodeId, u32)> = parts.iter().map(part).collect();
                let id = self.graph.add(node, &[]);
                for (from, delay) in from {
                    self.graph.connect(from, id, delay);
                }
                id
            }
            Flow::Sum(sum) => {
                let shape = sum.shape.clone();
                let layer = sum.terms.iter().find_map(|t| t.layer);
                let origin = layer.and_then(|l| self.table.layer_origins[l].first()).cloned();
                let intake = self.intake((**sum).clone(), false);
                let mut neuron = relay();
                take(&mut neuron, &intake);
                let name = origin.as_ref().map_or("sum", |o| o.node.as_str());
                let name = self.graph.fresh_name(&format!("{name}.relay"));
                let id = self.graph.add(population(name, neuron, &shape, origin.as_ref()), &[]);
                self.connect(source, id, intake.pieces);
                id
            }
            Flow::Input { .. } | Flow::Spikes { .. } => self.sender(source, flow, &[]).0,
        }
    }

    /// Adds the projections into a population.
    pub(super) fn connect(&mut self, source: &Graph, target: NodeId, pieces: Vec<Piece>) {
        let shape = self.graph[target].ty.shape.clone();
        for piece in pieces {
            let id = match piece.layer {
                Some(layer) => self.synapses(source, layer, &piece, &shape),
                None => self.one_to_one(source, &piece, &shape),
            };
            self.graph.connect(id, target, 0);
        }
    }

    fn synapses(&mut self, source: &Graph, layer: usize, piece: &Piece, to: &[usize]) -> NodeId {
        let found = &self.table.layers[layer];
        let (LayerKind::Synapses(connectivity), Some(weights)) =
            (&found.kind, scaled(found, &piece.before, &piece.after))
        else {
            return self.one_to_one(source, &apart(piece, &found.output), to);
        };
        let origins = self.table.layer_origins[layer].clone();
        let name = origins.first().map_or("synapses", |o| o.node.as_str());
        let (from, delay) = self.sender(source, &piece.of, &found.input);
        let dense = matches!(connectivity, Connectivity::Dense);
        let (from, delay) =
            if dense { (from, delay) } else { self.shaped(from, delay, &found.input) };
        let shape = if dense { to } else { &found.output };
        let name = self.graph.fresh_name(&format!("{name}.synapses"));
        self.project((name, &origins), connectivity.clone(), weights, (shape, from, delay))
    }

    /// Synapses from each neuron to the one of the same place.
    fn one_to_one(&mut self, source: &Graph, piece: &Piece, shape: &[usize]) -> NodeId {
        let factor = zip(&piece.before, &piece.after, |a, b| a * b);
        let Some(weights) = by_channel(&factor, shape) else {
            return self.one_to_one(source, &apart(piece, shape), shape);
        };
        let (from, delay) = self.sender(source, &piece.of, shape);
        let (from, delay) = self.shaped(from, delay, shape);
        let name = format!("{}.identity", self.graph[from].name);
        let name = self.graph.fresh_name(&name);
        let weights = Tensor::from_f32(&[weights.len()], &single(&weights));
        self.project((name, &[]), Connectivity::OneToOne, weights, (shape, from, delay))
    }

    /// The node with a map of that shape: itself, or neurons that take its payloads in that order.
    fn shaped(&mut self, from: NodeId, delay: u32, shape: &[usize]) -> (NodeId, u32) {
        let own = self.graph[from].ty.shape.clone();
        let neurons: usize = own.iter().product();
        if own == shape || neurons != shape.iter().product::<usize>() {
            return (from, delay);
        }
        let place = self.graph[from].describe();
        if neurons > RESHAPED {
            let reason = format!("is a map of shape {own:?} that is read as {shape:?}");
            self.problem(place, reason, "reshape the input of the network instead");
            return (from, delay);
        }
        let each = (0..neurons * neurons).map(|i| f32::from(u8::from(i / neurons == i % neurons)));
        let weights = Tensor::from_f32(&[neurons, neurons], &each.collect::<Vec<_>>());
        let name = self.graph.fresh_name(&format!("{}.reshaped", self.graph[from].name));
        let id = self.project((name, &[]), Connectivity::Dense, weights, (shape, from, delay));
        let name = self.graph.fresh_name(&format!("{}.relay", self.graph[from].name));
        let node = population(name, relay(), shape, None);
        (self.attach(node, id, 0), 0)
    }

    fn project(
        &mut self,
        (name, origins): (String, &[Origin]),
        connectivity: Connectivity,
        weights: Tensor,
        (shape, from, delay): (&[usize], NodeId, u32),
    ) -> NodeId {
        let op = SpikingOp::Projection(Projection::exact(connectivity));
        let node = Node::spiking(name, op, shape.to_vec()).with_origins(origins);
        self.attach(node.with_data(weights), from, delay)
    }

    fn attach(&mut self, node: Node, from: NodeId, delay: u32) -> NodeId {
        let id = self.graph.add(node, &[]);
        self.graph.connect(from, id, delay);
        id
    }
}

/// The same by neurons of their own, which can have a factor each.
fn apart(piece: &Piece, shape: &[usize]) -> Piece {
    let sum = |factor: Values, layer: Option<usize>, of: Flow| {
        let terms = vec![Term { factor, layer, of }];
        Flow::Sum(Box::new(Affine { terms, constant: vec![0.0], shape: shape.to_vec() }))
    };
    let of = match piece.layer {
        None => {
            let factor = zip(&piece.before, &piece.after, |a, b| a * b);
            sum(factor, None, piece.of.clone())
        }
        Some(_) if piece.before == [1.0] => sum(piece.after.clone(), piece.layer, piece.of.clone()),
        Some(_) => {
            let of = sum(piece.before.clone(), None, piece.of.clone());
            sum(piece.after.clone(), piece.layer, of)
        }
    };
    Piece { of, layer: None, before: vec![1.0], after: vec![1.0] }
}
