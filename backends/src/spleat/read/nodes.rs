//! Layers and nodes out of what files say of them.

use snnc_ir::{
    Accumulator, Connectivity, DType, Node, Overflow, Population, Projection, SpikingOp, Tensor,
    Window,
};

use super::super::config::Configuration;
use super::super::layer::{Kind, Layer, LayerNeuron, Port, Widths};
use super::super::manifest::{InputEntry, LayerEntry, OutputEntry};
use super::super::memory::{Memory, MemoryKind};

/// A layer with its geometry and widths, its numbers still to come.
pub(super) fn skeleton(
    index: usize,
    entry: &LayerEntry,
    configurations: &[Configuration],
    memories: &[Memory],
) -> Layer {
    let first = &configurations[0];
    let width = |kind: MemoryKind| memories.iter().find(|m| m.kind == kind).map_or(1, |m| m.width);
    let ports = entry.ports.iter().zip(configurations);
    Layer {
        index,
        name: entry.name.clone(),
        ports: ports
            .map(|(p, c)| Port {
                name: p.name.clone(),
                geometry: c.geometry.clone(),
                weights: Vec::new(),
            })
            .collect(),
        target: first.geometry.target,
        neuron: LayerNeuron {
            kind: first.neuron,
            hard_reset: first.hard_reset,
            maximum: first.maximum,
            threshold: Vec::new(),
            reset: None,
            decode: None,
        },
        bias: Vec::new(),
        initial: Vec::new(),
        widths: Widths {
            weight: first.weight_bits,
            bias: width(MemoryKind::Bias),
            threshold: width(MemoryKind::Threshold),
            membrane: first.membrane_bits,
        },
        npu: first.npu,
        timesteps: first.timesteps,
        barrier: first.barrier,
        payload_bits: first.payload_bits,
    }
}

pub(super) fn input_node(entry: &InputEntry) -> Node {
    let op = SpikingOp::Encoder(entry.encoder.clone());
    Node::spiking(&entry.name, op, entry.shape.clone()).with_origins(&entry.origins)
}

pub(super) fn projection_node(layer: &Layer, port: &Port, entry: &LayerEntry) -> Node {
    let rank = entry.shape.len();
    let accumulator = Accumulator { bits: layer.widths.membrane, overflow: Overflow::Error };
    let projection =
        Projection { accumulator, ..Projection::exact(port.geometry.connectivity(rank)) };
    let weights = Tensor::from_integers(&port.geometry.weight_shape(rank), &port.weights);
    Node::spiking(&port.name, SpikingOp::Projection(projection), entry.shape.clone())
        .with_data(weights)
}

pub(super) fn maximum_node(layer: &Layer, entry: &LayerEntry) -> Node {
    let connectivity = layer.ports[0].geometry.connectivity(entry.shape.len());
    let window = match connectivity {
        Connectivity::Convolution { window, .. } => window,
        // A vector has windows of no dimension.
        _ => Window::plain(&[]),
    };
    let op = match layer.neuron.kind {
        Kind::RunningMaximum => SpikingOp::RunningMaxPool { window },
        _ => SpikingOp::MaxPool { window },
    };
    Node::spiking(&entry.name, op, entry.shape.clone()).with_origins(&entry.origins)
}

pub(super) fn population_node(layer: &Layer, entry: &LayerEntry) -> Node {
    let (neuron, bias, bias_placement) = layer.ir_neuron();
    let population = Population {
        coding: entry.coding,
        bias,
        bias_placement,
        neuron,
        minimum: entry.payloads[0],
        maximum: entry.payloads[1],
        scale: entry.scale.clone(),
    };
    let op = SpikingOp::Population(population);
    Node::spiking(&entry.name, op, entry.shape.clone()).with_origins(&entry.origins)
}

pub(super) fn output_node(entry: &OutputEntry) -> Result<Node, String> {
    let dtype = DType::from_name(&entry.dtype).ok_or(format!("element type `{}`", entry.dtype))?;
    let op = SpikingOp::Decoder(entry.decoder.clone());
    let mut node = Node::spiking(&entry.name, op, entry.shape.clone()).with_origins(&entry.origins);
    node.ty.dtype = dtype;
    Ok(node)
}
