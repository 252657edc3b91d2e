//! Spiking IR back to layers: the inverse of [`lower`](super::lower).

mod one;
mod two;

use std::collections::HashMap;

use snnc_ir::{
    AkidaTwoNeuron, Connectivity, Decoder, Encoder, Graph, LookupNeuron, Node, NodeId, Overflow,
    Projection, SpikingOp, Window,
};

pub use one::weight_bits;
pub use two::{ceiling_parts, mantissa, set_weight_bits};

use super::layer::{Layer, LayerType, Version};
use super::layout::Padding;
use super::spec::{Decoding, Encoding, Spec};
use crate::EmitError;

/// The layers that compute a network which [`lower`](super::lower::lower) made.
///
/// # Errors
/// The first node that is not part of any layer's form.
pub fn lift(graph: &Graph, version: Version) -> Result<Spec, EmitError> {
    let mut lifting = Lifting {
        graph,
        version,
        spec: Spec {
            network: graph.name.clone(),
            version,
            layers: Vec::new(),
            shapes: Vec::new(),
            encoding: None,
            decoding: None,
        },
        names: HashMap::new(),
    };
    let order = graph.order().map_err(|e| EmitError::Container(e.to_string()))?;
    for id in order {
        lifting.node(id)?;
    }
    if version == Version::V2 {
        set_weight_bits(&mut lifting.spec.layers);
    }
    Ok(lifting.spec)
}

struct Lifting<'a> {
    graph: &'a Graph,
    version: Version,
    spec: Spec,
    /// Layers by the node that sends what they send.
    names: HashMap<NodeId, String>,
}

/// The synapses of a layer, and the pooling behind them.
struct Drive<'a> {
    projection: &'a Projection,
    /// The projection's node.
    node: &'a Node,
    /// What projects.
    source: NodeId,
    pool: Option<&'a Window>,
    /// Shape of the sums.
    map: [usize; 3],
}

impl<'a> Lifting<'a> {
    fn node(&mut self, id: NodeId) -> Result<(), EmitError> {
        match self.graph[id].as_spiking() {
            Some(SpikingOp::Encoder(e)) => self.encoder(id, e),
            Some(SpikingOp::Population(p)) if !self.is_inner(id) => match self.version {
                Version::V1 => self.population_one(id, p),
                Version::V2 => self.population_two(id, p),
            },
            Some(SpikingOp::Concatenate { axis: 0 }) if self.version == Version::V2 => {
                let mut layer = Layer::new(self.graph[id].name.clone(), LayerType::Concatenate);
                for source in self.graph.sources(id) {
                    layer = layer.after(self.inbound(id, source)?);
                }
                let first = self.graph.source(id, 0).unwrap_or(id);
                self.push(layer, id, first)
            }
            Some(SpikingOp::Decoder(d)) => self.decoder(id, d),
            Some(
                SpikingOp::Projection(_) | SpikingOp::MaxPool { .. } | SpikingOp::Population(_),
            ) => Ok(()),
            _ => Err(self.fault(id, "it is not part of any Akida layer")),
        }
    }

    fn fault(&self, id: NodeId, reason: impl Into<String>) -> EmitError {
        EmitError::Node { node: self.graph[id].describe(), reason: reason.into() }
    }

    /// Whether a population is an inner stage of a layer: what it sends meets no threshold yet.
    fn is_inner(&self, id: NodeId) -> bool {
        let Some(SpikingOp::Population(p)) = self.graph[id].as_spiking() else { return false };
        let projects = self
            .graph
            .users(id)
            .iter()
            .any(|&u| matches!(self.graph[u].as_spiking(), Some(SpikingOp::Projection(_))));
        let unfinished = |n: &AkidaTwoNeuron| {
            n.output_bits == super::lower::UNLIMITED
                || (n.output_bits == 11 && self.feeds_table(id))
        };
        let stage = !p.neuron.fires() || p.neuron.get::<LookupNeuron>().is_some();
        projects && (stage || p.neuron.get().is_some_and(unfinished))
    }

    fn feeds_table(&self, id: NodeId) -> bool {
        let next = |id: NodeId| self.graph.users(id).into_iter().next();
        let lookup = next(id).and_then(next);
        lookup.is_some_and(|l| match self.graph[l].as_spiking() {
            Some(SpikingOp::Population(p)) => p.neuron.get::<LookupNeuron>().is_some(),
            _ => false,
        })
    }

    fn encoder(&mut self, id: NodeId, encoder: &Encoder) -> Result<(), EmitError> {
        let node = &self.graph[id];
        if self.spec.encoding.is_some() {
            return Err(self.fault(id, "an Akida model has one input"));
        }
        let shape = node.ty.shape.clone();
        let encoding = Encoding { name: node.name.clone(), shape, encoder: encoder.clone() };
        self.spec.encoding = Some(encoding);
        let (low, high) = payloads(encoder);
        let pixels = match self.version {
            Version::V1 => low < 0 || high > 15,
            Version::V2 => self.feeds_pixels(id),
        };
        if pixels {
            return Ok(());
        }
        let layer = input_data(self.version, &node.name, self.map(id)?, (low, high));
        self.push(layer, id, id)
    }

    /// Whether an encoder's only reader is an input convolution of Akida 2.0.
    fn feeds_pixels(&self, id: NodeId) -> bool {
        let mut id = id;
        loop {
            match self.graph.users(id).as_slice() {
                &[user] => id = user,
                _ => return false,
            }
            if let Some(SpikingOp::Population(p)) = self.graph[id].as_spiking() {
                return p.neuron.get::<AkidaTwoNeuron>().is_some_and(|n| n.fused_bits.is_some());
            }
        }
    }

    fn decoder(&mut self, id: NodeId, decoder: &Decoder) -> Result<(), EmitError> {
        let node = &self.graph[id];
        if self.spec.decoding.is_some() {
            return Err(self.fault(id, "an Akida model has one output"));
        }
        self.spec.decoding = Some(Decoding {
            name: node.name.clone(),
            shape: node.ty.shape.clone(),
            decoder: decoder.clone(),
        });
        let source = self.graph.source(id, 0).ok_or_else(|| self.fault(id, "it reads nothing"))?;
        let [c, ..] = self.map(source)?;
        let scale = spread(&decoder.scale, c);
        match self.version {
            Version::V1 => {
                // A read-out's act_step is what `predict` divides by.
                if let Some(last) = self.spec.layers.last_mut()
                    && last.parameter("activation") == Ok(0)
                {
                    let steps: Vec<f32> = scale.iter().map(|s| 1.0 / s).collect();
                    last.variables
                        .insert("act_step".into(), snnc_ir::Tensor::from_f32(&[c], &steps));
                }
                Ok(())
            }
            Version::V2 => {
                let layer = Layer::new(node.name.clone(), LayerType::Dequantizer)
                    .after(self.inbound(id, source)?)
                    .reals("scales", &scale);
                self.push(layer, source, source)
            }
        }
    }

    /// Shape (C, X, Y) of a node's map.
    fn map(&self, id: NodeId) -> Result<[usize; 3], EmitError> {
        match *self.graph[id].ty.shape.as_slice() {
            [c] => Ok([c, 1, 1]),
            [c, x, y] => Ok([c, x, y]),
            ref shape => Err(self.fault(id, format!("Akida has no map of shape {shape:?}"))),
        }
    }

    /// The layer that sends what `source` sends.
    fn inbound(&self, id: NodeId, source: NodeId) -> Result<String, EmitError> {
        self.names.get(&source).cloned().ok_or_else(|| self.fault(id, "its input is not a layer"))
    }

    /// Adds a layer that sends what node `output` sends and reads the map of node `input`.
    fn push(&mut self, layer: Layer, output: NodeId, input: NodeId) -> Result<(), EmitError> {
        let akida = |[c, x, y]: [usize; 3]| [x, y, c];
        let dense = matches!(layer.kind, LayerType::FullyConnected | LayerType::Dense1D);
        let output_shape = match dense {
            true => [1, 1, self.graph[output].ty.len()],
            false => akida(self.map(output)?),
        };
        self.spec.shapes.push([akida(self.map(input)?), output_shape]);
        self.names.insert(output, layer.name.clone());
        self.spec.layers.push(layer);
        Ok(())
    }

    /// The synapses that drive `id` through `port`.
    fn drive(&self, id: NodeId, port: usize) -> Result<Drive<'a>, EmitError> {
        let missing = || self.fault(id, "it has no synapses");
        let mut at = self.graph.source(id, port).ok_or_else(missing)?;
        let mut pool = None;
        if let Some(SpikingOp::MaxPool { window }) = self.graph[at].as_spiking() {
            pool = Some(window);
            at = self.graph.source(at, 0).ok_or_else(missing)?;
        }
        let node = &self.graph[at];
        let (Some(SpikingOp::Projection(projection)), Some(source)) =
            (node.as_spiking(), self.graph.source(at, 0))
        else {
            return Err(missing());
        };
        Ok(Drive { projection, node, source, pool, map: self.map(at)? })
    }

    /// The stage that `id` adds up over the whole map, if it does.
    fn summed(&self, id: NodeId) -> Option<(NodeId, u8)> {
        let drive = self.drive(id, 0).ok()?;
        let whole = matches!(&drive.projection.connectivity,
            Connectivity::Convolution { groups, .. } if *groups == drive.map[0]);
        let each = drive.projection.accumulator.overflow == Overflow::SaturateEach;
        (whole && each && self.is_inner(drive.source))
            .then_some((drive.source, drive.projection.accumulator.bits))
    }

    fn weights(&self, drive: &Drive<'_>) -> Vec<i64> {
        drive.node.data.as_ref().and_then(|d| d.to_i64().ok()).unwrap_or_default()
    }

    /// Window and padding mode of a convolution.
    fn window(
        &self,
        id: NodeId,
        drive: &Drive<'a>,
    ) -> Result<(&'a Window, Padding, usize), EmitError> {
        let Connectivity::Convolution { window, groups } = &drive.projection.connectivity else {
            return Err(self.fault(id, "it is no convolution"));
        };
        let [_, x, y] = self.map(drive.source)?;
        let padding = Padding::of(window, [x, y], [drive.map[1], drive.map[2]])
            .ok_or_else(|| self.fault(id, "its padding is none of Akida's modes"))?;
        Ok((window, padding, *groups))
    }
}

/// Smallest and largest payload of an encoder.
pub fn payloads(encoder: &Encoder) -> (i64, i64) {
    let zero = encoder.zero_point;
    (encoder.minimum.saturating_sub(zero), encoder.maximum.saturating_sub(zero))
}

/// The input layer for payloads in a range: unsigned of 1, 2 or 4 bits on Akida 1.0, signed of 8 or
/// more on Akida 2.0, where layers take 4 or 8 (4 would make it a model of the first generation).
pub fn input_data(
    version: Version,
    name: &str,
    [c, x, y]: [usize; 3],
    (low, high): (i64, i64),
) -> Layer {
    let holds = |b: &i64| low >= -(1i64 << (b - 1)) && high < 1i64 << (b - 1);
    let (bits, signed) = match version {
        Version::V1 => ([1, 2].into_iter().find(|b| high < 1 << b).unwrap_or(4), 0),
        Version::V2 => ((8..=16).find(holds).unwrap_or(16), 1),
    };
    Layer::new(name, LayerType::InputData).with(&[
        ("input_width", x as i64),
        ("input_height", y as i64),
        ("input_channels", c as i64),
        ("input_bits", bits),
        ("input_signed", signed),
    ])
}

/// One entry for each channel.
pub fn spread<T: Copy>(values: &[T], channels: usize) -> Vec<T> {
    match values {
        [one] => vec![*one; channels],
        many => many.to_vec(),
    }
}
