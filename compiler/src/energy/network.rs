//! The layers of a spiking network, with what its populations did.

use std::collections::HashMap;

use snnc_backends::{LayerMemories, MemorySize};
use snnc_ir::analysis::{Interval, Intervals, intervals, signed_bits};
use snnc_ir::{
    Binary, Connectivity, EnergyClass, Graph, Node, NodeId, Population, Presentation, Projection,
    SpikingOp, TensorOp,
};

use super::layer::{Input, Kind, Layer, Memories, Neurons, Payload, Widths};
use super::profile::Memory;

/// What an encoder, a population or a pool did for one sample, on average.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Payloads other than 0.
    pub spikes: f64,
    /// Weights met by them.
    pub synaptic_operations: f64,
}

/// The layers of a spiking network that took `timesteps` for one sample: one for each projection, in
/// order of computation. Where several projections lead to one population, the first has its neurons.
///
/// The run counts synaptic operations at their source; where that leads to several projections, they
/// are shared out by the projections' fan-out.
pub fn layers(graph: &Graph, activity: &HashMap<NodeId, Counts>, timesteps: f64) -> Vec<Layer> {
    layers_of(graph, activity, timesteps).into_iter().map(|(_, layer)| layer).collect()
}

/// As [`layers`], each with the population in whose neurons it ends.
pub fn layers_of(
    graph: &Graph,
    activity: &HashMap<NodeId, Counts>,
    timesteps: f64,
) -> Vec<(NodeId, Layer)> {
    let intervals = intervals(graph).unwrap_or_default();
    let walk = Walk { graph, activity, timesteps, intervals };
    let mut found = Vec::new();
    for id in graph.order().unwrap_or_default() {
        if let Some(SpikingOp::Population(p)) = graph[id].as_spiking() {
            walk.population(id, p, &mut found);
        }
    }
    found
}

/// The same network as an ordinary one: every layer formal.
pub fn formal_layers(graph: &Graph) -> Vec<Layer> {
    layers(graph, &HashMap::new(), 1.0).iter().map(Layer::formal).collect()
}

/// Gives the layers of a network the memories that an artefact lays out for their populations.
pub fn lay_out(layers: &mut [(NodeId, Layer)], graph: &Graph, memories: &[LayerMemories]) {
    let size = |m: &MemorySize| Memory { words: m.words as f64, bits: m.bits };
    let mut position: HashMap<NodeId, usize> = HashMap::new();
    for (id, layer) in layers {
        let port = position.entry(*id).or_insert(0);
        let own = memories.iter().find(|m| m.population == graph[*id].name);
        layer.memories = own.and_then(|m| {
            Some(Memories {
                weights: size(m.weights.get(*port)?),
                bias: size(&m.bias),
                potentials: size(&m.potentials),
                queue_in: size(&m.queue_in),
                queue_out: size(&m.queue_out),
            })
        });
        *port += 1;
    }
}

struct Walk<'a> {
    graph: &'a Graph,
    activity: &'a HashMap<NodeId, Counts>,
    timesteps: f64,
    intervals: Intervals,
}

/// What leaves a node.
struct Sent {
    payload: Payload,
    events: f64,
    presentations: f64,
}

impl Walk<'_> {
    fn population(&self, id: NodeId, p: &Population, found: &mut Vec<(NodeId, Layer)>) {
        let mut projections = Vec::new();
        self.projections(id, &mut projections);
        for (i, (projection, node)) in projections.iter().enumerate() {
            let neurons = match p.neuron.energy_class() {
                _ if i > 0 => Neurons::Shared,
                EnergyClass::ReadOut => Neurons::ReadOut,
                EnergyClass::Leaking => Neurons::Leak,
                EnergyClass::Firing => Neurons::Fire,
            };
            found.push((id, self.layer(id, p, *projection, node, neurons, i)));
        }
    }

    /// Projections onto a node, through pools of potentials.
    fn projections<'b>(&'b self, id: NodeId, found: &mut Vec<(NodeId, &'b Projection)>) {
        for source in self.graph.sources(id) {
            match self.graph[source].as_spiking() {
                Some(SpikingOp::Projection(p)) => found.push((source, p)),
                Some(
                    SpikingOp::MaxPool { .. }
                    | SpikingOp::RunningMaxPool { .. }
                    | SpikingOp::Concatenate { .. },
                ) => {
                    self.projections(source, found);
                }
                _ => {}
            }
        }
    }

    fn layer(
        &self,
        population: NodeId,
        p: &Population,
        projection: NodeId,
        synapses: &Projection,
        neurons: Neurons,
        position: usize,
    ) -> Layer {
        let (target, node) = (&self.graph[population], &self.graph[projection]);
        let source = self.graph.source(projection, 0);
        let shape = source.map_or(&[][..], |s| self.graph[s].ty.shape.as_slice());
        let inputs: usize = shape.iter().product();
        let outputs = node.ty.len();
        let sent = source.map_or(Sent::NOTHING, |s| self.sent(s));
        let mut layer = Layer {
            name: match (position, source) {
                (0, _) => target.name.clone(),
                (_, Some(s)) => format!("{} from {}", target.name, self.graph[s].name),
                _ => node.name.clone(),
            },
            kind: kind(&synapses.connectivity, shape),
            input_channels: shape.first().copied().unwrap_or(1),
            inputs,
            output_channels: node.ty.shape.first().copied().unwrap_or(1),
            outputs,
            timesteps: self.timesteps,
            input: Input::Spikes {
                payload: if synapses.binary { Payload::BINARY } else { sent.payload },
                events: sent.events,
                presentations: sent.presentations,
            },
            sends: payload(p),
            events_out: match neurons {
                Neurons::Fire | Neurons::Leak => {
                    self.activity.get(&population).map_or(0.0, |a| a.spikes)
                }
                Neurons::ReadOut | Neurons::Shared => 0.0,
            },
            bias: has_bias(p),
            neurons,
            synaptic_operations: None,
            widths: self.widths(population, node, synapses),
            memories: None,
        };
        layer.synaptic_operations = source.and_then(|s| self.operations(s, projection, &layer));
        layer
    }

    /// What leaves `id` for one sample.
    fn sent(&self, id: NodeId) -> Sent {
        let counted = self.activity.get(&id).map_or(0.0, |a| a.spikes);
        match self.graph[id].as_spiking() {
            Some(SpikingOp::Encoder(e)) => {
                let range = (e.minimum - e.zero_point, e.maximum - e.zero_point);
                let (payload, presentations) = match e.presentation {
                    Presentation::Once => (ranged(range.0, range.1), 1.0),
                    Presentation::BitSerial { .. } => (Payload::BINARY, self.timesteps),
                    Presentation::EveryTimestep | Presentation::InTime => {
                        (ranged(range.0, range.1), self.timesteps)
                    }
                };
                Sent { payload, events: counted, presentations }
            }
            Some(SpikingOp::Population(p)) => {
                Sent { payload: payload(p), events: counted, presentations: self.timesteps }
            }
            Some(SpikingOp::MaxPool { .. } | SpikingOp::RunningMaxPool { .. }) => {
                let before = self.graph.source(id, 0).map_or(Sent::NOTHING, |s| self.sent(s));
                Sent { events: counted, ..before }
            }
            Some(SpikingOp::Concatenate { .. }) => {
                let parts = self.graph.sources(id).into_iter().map(|s| self.sent(s));
                parts.fold(Sent::NOTHING, Sent::joined)
            }
            _ => Sent::NOTHING,
        }
    }

    /// This projection's share of what its source's spikes met.
    fn operations(&self, source: NodeId, projection: NodeId, layer: &Layer) -> Option<f64> {
        let all = self.activity.get(&source)?.synaptic_operations;
        let fan_out = |id: NodeId| match self.graph[id].as_spiking() {
            Some(SpikingOp::Projection(p)) => {
                let node = &self.graph[id];
                let like = Layer {
                    kind: kind(&p.connectivity, &self.graph[source].ty.shape),
                    output_channels: node.ty.shape.first().copied().unwrap_or(1),
                    outputs: node.ty.len(),
                    ..layer.clone()
                };
                like.strided_fan_out()
            }
            _ => 0.0,
        };
        let total: f64 = self.graph.users(source).into_iter().map(fan_out).sum();
        (total > 0.0).then(|| all * fan_out(projection) / total)
    }

    fn widths(&self, population: NodeId, node: &Node, synapses: &Projection) -> Widths {
        let weights = node.data.as_ref().and_then(|w| w.to_i64().ok()).unwrap_or_default();
        let weight = weights.iter().map(|&w| u32::from(signed_bits(w))).max().unwrap_or(1);
        let held = synapses.accumulator.bits;
        let potential = if held < 64 {
            u32::from(held)
        } else {
            let steps = self.timesteps.ceil().max(1.0) as i64;
            let reach = |i: &Interval| u32::from(i.with_zero().times(steps).bits());
            self.intervals.potentials(population).iter().map(reach).max().unwrap_or(32)
        };
        Widths { weight, potential }
    }
}

impl Sent {
    const NOTHING: Sent = Sent { payload: Payload::BINARY, events: 0.0, presentations: 1.0 };

    fn joined(self, other: Sent) -> Sent {
        Sent {
            payload: Payload {
                bits: self.payload.bits.max(other.payload.bits),
                magnitude: self.payload.magnitude.max(other.payload.magnitude),
            },
            events: self.events + other.events,
            presentations: self.presentations.max(other.presentations),
        }
    }
}

fn ranged(minimum: i64, maximum: i64) -> Payload {
    let magnitude = minimum.unsigned_abs().max(maximum.unsigned_abs());
    let unsigned = (64 - magnitude.leading_zeros()).max(1);
    Payload { bits: if minimum < 0 { unsigned + 1 } else { unsigned }, magnitude }
}

/// What one spike of the population carries. Where only one value can be sent in a timestep, as in
/// few-spikes neurons, that value is known to the receiver and the spike binary.
fn payload(p: &Population) -> Payload {
    let range = p.neuron.wire().unwrap_or(Interval::new(p.minimum, p.maximum));
    ranged(range.low, range.high)
}

fn has_bias(p: &Population) -> bool {
    let own = |bias: &[i64]| bias.iter().any(|&b| b != 0);
    own(&p.bias) || own(p.neuron.bias())
}

fn kind(connectivity: &Connectivity, source: &[usize]) -> Kind {
    match connectivity {
        Connectivity::Dense => Kind::Dense,
        Connectivity::OneToOne => Kind::OneToOne { shape: source.to_vec() },
        Connectivity::Convolution { window, groups } => Kind::Convolution {
            kernel: window.kernel.clone(),
            strides: window.strides.clone(),
            groups: *groups,
        },
    }
}

/// The layers of a network of a tensor stage: convolutions, dense layers and additions of two maps,
/// formal. Everything else is free, as in the metric.
pub fn tensor_layers(graph: &Graph) -> Vec<Layer> {
    tensor_layers_of(graph).into_iter().map(|(_, layer)| layer).collect()
}

/// As [`tensor_layers`], each with its node.
pub fn tensor_layers_of(graph: &Graph) -> Vec<(NodeId, Layer)> {
    let order = graph.order().unwrap_or_default();
    order.into_iter().filter_map(|id| Some((id, tensor_layer(graph, id)?))).collect()
}

fn tensor_layer(graph: &Graph, id: NodeId) -> Option<Layer> {
    let node = &graph[id];
    let sources = graph.sources(id);
    let constant = |id: &NodeId| matches!(graph[*id].as_tensor(), Some(TensorOp::Constant));
    let values: Vec<NodeId> = sources.iter().copied().filter(|s| !constant(s)).collect();
    let from = &graph[*values.first()?].ty;
    // The batch is not counted.
    let sample = |shape: &[usize]| shape.get(1..).unwrap_or_default().to_vec();
    let (input, output) = (sample(&from.shape), sample(&node.ty.shape));
    let kind = match node.as_tensor()? {
        TensorOp::Convolution { window, groups } => Kind::Convolution {
            kernel: window.kernel.clone(),
            strides: window.strides.clone(),
            groups: *groups,
        },
        TensorOp::Dense | TensorOp::MatrixProduct if values.len() == 1 => Kind::Dense,
        TensorOp::Binary(Binary::Add) | TensorOp::Requantise | TensorOp::RequantiseSum
            if values.len() == 2 =>
        {
            Kind::OneToOne { shape: output.clone() }
        }
        _ => return None,
    };
    let (inputs, outputs) = (input.iter().product(), output.iter().product());
    Some(Layer {
        name: node.name.clone(),
        kind,
        input_channels: input.first().copied().unwrap_or(1),
        inputs,
        output_channels: output.first().copied().unwrap_or(1),
        outputs,
        timesteps: 1.0,
        input: Input::Formal,
        sends: Payload::graded(from.quantisation.as_ref().map_or(32, |q| q.bits().into())),
        events_out: 0.0,
        bias: sources.len() > 2,
        neurons: Neurons::ReadOut,
        synaptic_operations: None,
        widths: Widths {
            weight: sources.get(1).map_or(32, |&w| {
                let ty = &graph[w].ty;
                ty.quantisation.as_ref().map_or(ty.dtype.bits() as u32, |q| q.bits().into())
            }),
            potential: if node.ty.dtype.is_float() { node.ty.dtype.bits() as u32 } else { 32 },
        },
        memories: None,
    })
}
