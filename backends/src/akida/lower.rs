//! Layers to spiking IR: what each layer computes, in the IR's own words.
//!
//! One layer becomes a projection and a population, with a max-pool on the sums between them where
//! the layer has one; layers with inner stages (global sums, tables) become several populations. The
//! last population of a layer has the layer's name. Source of the arithmetic: BrainChip, Akida
//! Python API reference 2.19 (layer docstrings).

mod one;
mod two;

use std::collections::{BTreeSet, HashMap};

use snnc_ir::{
    Accumulator, Coding, Connectivity, DType, Decoder, Encoder, Graph, Neuron, Node, NodeId,
    Overflow, Population, Presentation, Projection, Readout, SpikingOp, Stage, Tensor, Window,
    window_outputs,
};

pub use one::weight_range;
pub use two::{TABLE, UNBOUNDED, UNLIMITED, passing};

use super::layer::{Layer, LayerError, LayerType, Version};
use super::layout::Padding;
use super::spec::{Decoding, Encoding, Spec};

/// Suffixes of the names of a layer's inner nodes.
pub const SYNAPSES: &str = "synapses";

/// The network that a model computes.
///
/// # Errors
/// The first layer that is malformed or has no form in the IR.
pub fn lower(spec: &Spec) -> Result<Graph, LayerError> {
    let names = spec.layers.iter().map(|l| l.name.clone());
    let own = spec.encoding.iter().map(|e| e.name.clone());
    let own = own.chain(spec.decoding.iter().map(|d| d.name.clone()));
    let mut lowering = Lowering {
        spec,
        graph: Graph::new(spec.network.clone(), Stage::Spiking),
        reserved: names.chain(own).collect(),
        outputs: HashMap::new(),
        scores: None,
    };
    for (index, layer) in spec.layers.iter().enumerate() {
        lowering.layer(index, layer)?;
    }
    lowering.decoder()?;
    Ok(lowering.graph)
}

struct Lowering<'a> {
    spec: &'a Spec,
    graph: Graph,
    reserved: BTreeSet<String>,
    /// What each layer sends.
    outputs: HashMap<String, NodeId>,
    /// Real value of one unit of the last layer, as far as the layers say.
    scores: Option<Vec<f32>>,
}

/// What pooling a layer does between its sums and its activation.
enum Pooling {
    None,
    Max(Window),
    /// Sum over the whole map.
    Global,
}

impl Lowering<'_> {
    fn layer(&mut self, index: usize, layer: &Layer) -> Result<(), LayerError> {
        if layer.kind.is_input() != (index == 0) {
            return Err(layer.error(if index == 0 {
                "a model starts with an input layer"
            } else {
                "an input layer that is not the first"
            }));
        }
        if index > 0 && layer.inbounds.is_empty() {
            return Err(layer.error("`inbounds` is empty"));
        }
        if self.spec.version == Version::V1 && layer.inbounds.len() > 1 {
            return Err(layer.error("an Akida 1.0 model is a chain, but two layers feed this one"));
        }
        use LayerType::*;
        let node = match layer.kind {
            InputData => self.input_data(layer)?,
            InputConvolutional | Convolutional => self.convolution_one(layer)?,
            SeparableConvolutional => self.separable(layer)?,
            FullyConnected => self.dense_one(layer, index + 1 == self.spec.layers.len())?,
            InputConv2D | Conv2D | DepthwiseConv2D => self.convolution_two(layer)?,
            Dense1D => self.dense_two(layer)?,
            Add => self.add(layer)?,
            Concatenate => self.concatenate(layer)?,
            Dequantizer => self.dequantizer(layer, index + 1 == self.spec.layers.len())?,
            other => return Err(layer.unsupported(format!("the layer type {other}"))),
        };
        self.outputs.insert(layer.name.clone(), node);
        Ok(())
    }

    /// What feeds a layer through one of its ports.
    fn inbound(&self, layer: &Layer, port: usize) -> Result<NodeId, LayerError> {
        let name = layer.inbounds.get(port).ok_or_else(|| {
            layer.error(format!("`inbounds` has fewer than {} entries", port + 1))
        })?;
        self.outputs
            .get(name)
            .copied()
            .ok_or_else(|| layer.error(format!("no earlier layer is named `{name}`")))
    }

    /// Shape (C, X, Y) of a node's map; vectors count as C.
    fn map(&self, layer: &Layer, id: NodeId) -> Result<[usize; 3], LayerError> {
        match *self.graph[id].ty.shape.as_slice() {
            [c] => Ok([c, 1, 1]),
            [c, x, y] => Ok([c, x, y]),
            ref other => Err(layer.unsupported(format!("a map of shape {other:?}"))),
        }
    }

    /// A name for an inner node of a layer.
    fn inner_name(&self, layer: &Layer, suffix: &str) -> String {
        let mut name = format!("{}.{suffix}", layer.name);
        while self.reserved.contains(&name) || self.graph.find(&name).is_some() {
            name.push('_');
        }
        name
    }

    /// The encoder: as `encoding` says, or codes as they are.
    fn encoder(
        &mut self,
        layer: &Layer,
        shape: [usize; 3],
        (low, high): (i64, i64),
        zero_point: i64,
    ) -> Result<NodeId, LayerError> {
        let (name, encoder, shape) = match &self.spec.encoding {
            Some(Encoding { name, shape: own, encoder }) => {
                let same = *own == shape || (own.len() == 1 && shape == [own[0], 1, 1]);
                if !same {
                    let reason =
                        format!("`encoding` has shape {own:?}, the layer {shape:?} (C, X, Y)");
                    return Err(layer.error(reason));
                }
                (name.clone(), encoder.clone(), own.clone())
            }
            None => {
                let encoder = Encoder {
                    scale: 1.0,
                    zero_point,
                    minimum: low,
                    maximum: high,
                    offset: None,
                    rounding: Default::default(),
                    thresholds: Vec::new(),
                    presentation: Presentation::Once,
                };
                let free = self.reserved.contains("input") && layer.name != "input";
                let name = if free { self.inner_name(layer, "input") } else { "input".into() };
                // An InputData layer is the encoder; other input layers have one before them.
                let own = layer.kind == LayerType::InputData;
                let name = if own { layer.name.clone() } else { name };
                let name =
                    if !own && name == layer.name { self.inner_name(layer, "input") } else { name };
                (name, encoder, shape.to_vec())
            }
        };
        let span = encoder.maximum.checked_sub(encoder.minimum).unwrap_or(i64::MAX);
        if encoder.presentation != Presentation::Once || span < 0 || span > high - low {
            return Err(layer.error("`encoding` does not fit the layer's input"));
        }
        Ok(self.graph.add(Node::spiking(name, SpikingOp::Encoder(encoder), shape), &[]))
    }

    fn input_data(&mut self, layer: &Layer) -> Result<NodeId, LayerError> {
        let shape = [
            layer.size("input_channels")?,
            layer.size("input_width")?,
            layer.size("input_height")?,
        ];
        let bits = layer.within("input_bits", 1, 16)?;
        let signed = layer.within("input_signed", 0, 1)? == 1;
        let range =
            if signed { (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) } else { (0, (1 << bits) - 1) };
        let id = self.encoder(layer, shape, range, 0)?;
        if let snnc_ir::Op::Spiking(SpikingOp::Encoder(e)) = &self.graph[id].op {
            let (low, high) =
                (e.minimum.saturating_sub(e.zero_point), e.maximum.saturating_sub(e.zero_point));
            if low < range.0 || high > range.1 {
                let reason = format!(
                    "`encoding` sends {low}..{high}, the layer takes {}..{}",
                    range.0, range.1
                );
                return Err(layer.error(reason));
            }
        }
        Ok(id)
    }

    /// The encoder of a layer that takes uint8 pixels, and the pixel that stands for 0.
    fn pixels(
        &mut self,
        layer: &Layer,
        map: [usize; 3],
        padding: i64,
    ) -> Result<(NodeId, i64), LayerError> {
        let id = self.encoder(layer, map, (0, 255), padding)?;
        let snnc_ir::Op::Spiking(SpikingOp::Encoder(e)) = &self.graph[id].op else {
            return Err(layer.error("no encoder"));
        };
        let zero = e.zero_point.saturating_sub(e.minimum);
        if zero != padding {
            let reason = format!("`padding_value` is {padding}, but `encoding` has 0 at {zero}");
            return Err(layer.error(reason));
        }
        Ok((id, zero))
    }

    /// A layer's synapses; `inner` names them where a layer has several.
    fn project(
        &mut self,
        layer: &Layer,
        inner: &str,
        source: NodeId,
        projection: Projection,
        weights: Tensor,
    ) -> Result<NodeId, LayerError> {
        let shape = match &projection.connectivity {
            Connectivity::Dense => vec![weights.shape()[0]],
            Connectivity::OneToOne => self.graph[source].ty.shape.clone(),
            Connectivity::Convolution { window, .. } => {
                let spatial = self.graph[source].ty.shape.get(1..).unwrap_or_default();
                let out = window_outputs(window, spatial, false)
                    .map_err(|e| layer.error(e.to_string()))?;
                [&[weights.shape()[0]], out.as_slice()].concat()
            }
        };
        let name = self.inner_name(layer, inner);
        let node = Node::spiking(name, SpikingOp::Projection(projection), shape).with_data(weights);
        Ok(self.graph.add(node, &[source]))
    }

    /// A max-pool on sums.
    fn pool(
        &mut self,
        layer: &Layer,
        source: NodeId,
        window: Window,
    ) -> Result<NodeId, LayerError> {
        let shape = &self.graph[source].ty.shape;
        let out = window_outputs(&window, shape.get(1..).unwrap_or_default(), false)
            .map_err(|e| layer.error(e.to_string()))?;
        let shape = [&shape[..1], out.as_slice()].concat();
        let name = self.inner_name(layer, "pool");
        Ok(self.graph.add(Node::spiking(name, SpikingOp::MaxPool { window }, shape), &[source]))
    }

    fn populate(&mut self, name: String, sources: &[NodeId], population: Population) -> NodeId {
        let shape = self.graph[sources[0]].ty.shape.clone();
        self.graph.add(Node::spiking(name, SpikingOp::Population(population), shape), sources)
    }

    /// The sum over each channel's map, saturating after every addition; rows outer, columns inner.
    fn global_sum(
        &mut self,
        layer: &Layer,
        source: NodeId,
        bits: u8,
    ) -> Result<NodeId, LayerError> {
        let [c, x, y] = self.map(layer, source)?;
        let window = Window::plain(&[x, y]);
        let projection = Projection {
            accumulator: Accumulator { bits, overflow: Overflow::SaturateEach },
            ..Projection::exact(Connectivity::Convolution { window, groups: c })
        };
        let ones = Tensor::from_integers(&[c, 1, x, y], &vec![1; c * x * y]);
        self.project(layer, "sum", source, projection, ones)
    }

    fn decoder(&mut self) -> Result<(), LayerError> {
        let Some(last) = self.spec.layers.last() else { return Ok(()) };
        let source = self.outputs[&last.name];
        let (name, shape, decoder) = match &self.spec.decoding {
            Some(Decoding { name, shape, decoder }) => {
                if shape.iter().product::<usize>() != self.graph[source].ty.len() {
                    return Err(last.error(format!("`decoding` has shape {shape:?}")));
                }
                (name.clone(), shape.clone(), decoder.clone())
            }
            None => {
                let scale = self.scores.clone().unwrap_or_else(|| vec![1.0]);
                let decoder = Decoder { readout: Readout::Last, scale, zero: Vec::new() };
                let name = if last.kind == LayerType::Dequantizer {
                    last.name.clone()
                } else {
                    self.inner_name(last, "output")
                };
                (name, self.graph[source].ty.shape.clone(), decoder)
            }
        };
        let mut node = Node::spiking(name, SpikingOp::Decoder(decoder), shape);
        node.ty.dtype = DType::F32;
        self.graph.add(node, &[source]);
        Ok(())
    }
}

/// A population that sends graded spikes and adds nothing of its own.
fn graded(neuron: Neuron, minimum: i64, maximum: i64) -> Population {
    Population {
        coding: Coding::Graded,
        bias: Vec::new(),
        bias_placement: Default::default(),
        neuron,
        minimum,
        maximum,
        scale: Vec::new(),
    }
}

/// The padding mode of a layer.
fn padding(layer: &Layer) -> Result<Padding, LayerError> {
    let code = layer.parameter("padding")?;
    Padding::from_code(code).ok_or_else(|| layer.error(format!("`padding` is {code}")))
}

/// What each channel's weights bring where every input is `zero` instead of 0.
fn zero_bias(weights: &[i64], filters: usize, zero: i64) -> Vec<i64> {
    if zero == 0 {
        return Vec::new();
    }
    let each = (weights.len() / filters.max(1)).max(1);
    weights.chunks(each).map(|row| row.iter().sum::<i64>() * zero).collect()
}
