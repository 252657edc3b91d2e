//! Quantised tensor graph to graded spikes: one timestep, one payload for each neuron.
//!
//! Each linear operator becomes a projection, each requantisation a population whose neuron has
//! exactly the thresholds of `y = RNE(f32(acc) * f32(M)) + zero`, and a payload is `code - zero`.

mod populations;

use std::collections::HashMap;

use snnc_ir::analysis::Interval;
use snnc_ir::{
    Connectivity, Decoder, Encoder, Graph, Node, NodeId, PoolKind, Presentation, Quantisation,
    Readout, SpikingOp, Stage, Tensor, TensorOp, Window,
};

use crate::{Error, Problem};

/// A converted network, and which node of the quantised graph each part stands for.
#[derive(Clone, Debug)]
pub struct Conversion {
    /// The canonical spiking graph.
    pub network: Graph,
    /// Encoders, populations and pools of `network`, each with the node of the quantised graph whose
    /// codes (less their zero point) it sends, or whose accumulators it shows.
    pub correspondence: Vec<(NodeId, NodeId)>,
}

/// Converts a quantised graph.
///
/// # Errors
/// All operators that have no spiking form, each with its ONNX node.
pub fn convert(quantised: &Graph) -> Result<Conversion, Error> {
    let order = quantised.order().map_err(|e| Error::input("graph", e.to_string(), ""))?;
    let mut converter = Converter {
        quantised,
        network: Graph::new(quantised.name.clone(), Stage::Spiking),
        values: HashMap::new(),
        correspondence: Vec::new(),
        problems: Vec::new(),
    };
    for id in order {
        converter.node(id);
    }
    if converter.problems.is_empty() {
        Ok(Conversion { network: converter.network, correspondence: converter.correspondence })
    } else {
        Err(Error::Unsupported(converter.problems))
    }
}

/// What a node of the quantised graph has become.
#[derive(Clone, Debug)]
enum Form {
    /// Payloads of a spiking node.
    Payloads(Payloads),
    /// Not yet spikes: the synapses onto a population still to come.
    Sum(Box<Synapses>),
    /// A graph input before its quantiser.
    Raw,
    /// Real scores.
    Scores(Payloads, Vec<f32>),
    /// Could not be converted; the problem is recorded.
    Nothing,
}

#[derive(Clone, Debug)]
struct Payloads {
    node: NodeId,
    /// Shape without batch; may differ from the node's by a reshape.
    shape: Vec<usize>,
    /// Where the order of neurons is not the node's: for each place the neuron.
    order: Option<Vec<usize>>,
    /// Range of one payload for each channel of the node.
    range: Vec<Interval>,
}

#[derive(Clone, Debug)]
struct Synapses {
    source: Payloads,
    connectivity: Connectivity,
    weights: Vec<i64>,
    weight_shape: Vec<usize>,
    bias: Vec<i64>,
    /// Real value of one unit for each channel, or one for all.
    scale: Vec<f32>,
    shape: Vec<usize>,
    /// The weights as the quantised network holds them.
    codes: Option<Tensor>,
}

struct Converter<'a> {
    quantised: &'a Graph,
    network: Graph,
    values: HashMap<NodeId, Form>,
    correspondence: Vec<(NodeId, NodeId)>,
    problems: Vec<Problem>,
}

impl Converter<'_> {
    fn problem(&mut self, id: NodeId, reason: impl Into<String>, remedy: &str) -> Form {
        let problem = Problem::new(self.quantised[id].describe(), reason, remedy);
        // A node with several outputs is one obstacle.
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
        Form::Nothing
    }

    /// What operand `port` of `id` has become. Synapses, which hold weights, are handed over to their
    /// only reader.
    fn form(&mut self, id: NodeId, port: usize) -> Form {
        let Some(source) = self.quantised.source(id, port) else { return Form::Nothing };
        let only = matches!(self.values.get(&source), Some(Form::Sum(_)))
            && self.quantised.users(source).len() == 1;
        let found =
            if only { self.values.remove(&source) } else { self.values.get(&source).cloned() };
        found.unwrap_or(Form::Nothing)
    }

    fn node(&mut self, id: NodeId) {
        let Some(op) = self.quantised[id].as_tensor().cloned() else { return };
        let form = match op {
            TensorOp::Constant => return,
            TensorOp::Input => self.input(id),
            TensorOp::Quantise(q) => self.encoder(id, &q),
            TensorOp::Convolution { window, groups } => {
                self.linear(id, Connectivity::Convolution { window, groups })
            }
            TensorOp::Dense => self.linear(id, Connectivity::Dense),
            TensorOp::Pool(pool) => match pool.kind {
                PoolKind::Max => self.max_pool(id, pool.window),
                PoolKind::Sum => self.sum_pool(id, pool.window),
                _ => self.problem(id, "an average pool that is not on codes", "quantise its input"),
            },
            TensorOp::Requantise => self.population(id),
            TensorOp::Lookup { minimum, table } => self.lookup(id, minimum, &table),
            TensorOp::Reshape => self.reshape(id),
            TensorOp::Transpose { permutation } => self.transpose(id, &permutation),
            TensorOp::Concatenate { axis } => self.concatenate(id, axis),
            TensorOp::Dequantise(q) => self.scores(id, &q),
            // The order of the scores, all that a prediction needs, is that of what goes in.
            TensorOp::Softmax { .. } => self.form(id, 0),
            TensorOp::Output => {
                self.decoder(id);
                return;
            }
            _ => self.problem(
                id,
                "this operator has no spiking form",
                "remove it from the network, or move it after the output",
            ),
        };
        self.values.insert(id, form);
    }

    fn input(&mut self, id: NodeId) -> Form {
        match &self.quantised[id].ty.quantisation {
            Some(q) => self.encode(id, id, &q.clone()),
            None => Form::Raw,
        }
    }

    fn encoder(&mut self, id: NodeId, q: &Quantisation) -> Form {
        match (self.form(id, 0), self.quantised.source(id, 0)) {
            (Form::Raw, Some(input)) => self.encode(id, input, q),
            (Form::Nothing, _) => Form::Nothing,
            // Quantising what is behind a softmax keeps the order of the scores, but for ties.
            (Form::Scores(source, scale), _) if self.ends_at_outputs(id) => {
                Form::Scores(source, scale)
            }
            _ => self.problem(id, "a quantiser that is not at an input", ""),
        }
    }

    /// Whether nothing but outputs, and dequantisers before them, sees a value.
    fn ends_at_outputs(&self, id: NodeId) -> bool {
        self.quantised.users(id).into_iter().all(|user| match self.quantised[user].as_tensor() {
            Some(TensorOp::Output) => true,
            Some(TensorOp::Dequantise(_)) => self.ends_at_outputs(user),
            _ => false,
        })
    }

    fn encode(&mut self, id: NodeId, input: NodeId, q: &Quantisation) -> Form {
        if q.axis.is_some() {
            return self.problem(
                id,
                "an input quantised channel by channel",
                "use one scale for the input",
            );
        }
        let shape = unbatched(&self.quantised[id].ty.shape);
        let encoder = Encoder {
            scale: q.scale_at(0),
            zero_point: q.zero_at(0),
            minimum: q.minimum,
            maximum: q.maximum,
            rounding: q.rounding,
            offset: q.offset_at(0),
            presentation: Presentation::Once,
        };
        let range = Interval::new(q.minimum - q.zero_at(0), q.maximum - q.zero_at(0)).with_zero();
        let name = self.network.fresh_name(&self.quantised[input].name);
        let node = Node::spiking(name, SpikingOp::Encoder(encoder), shape.clone())
            .with_origins(&self.quantised[id].origins);
        let node = self.network.add(node, &[]);
        self.correspondence.push((node, id));
        let channels = shape.first().copied().unwrap_or(1);
        Form::Payloads(Payloads { node, shape, order: None, range: vec![range; channels] })
    }

    fn linear(&mut self, id: NodeId, connectivity: Connectivity) -> Form {
        let source = match self.form(id, 0) {
            Form::Payloads(source) => source,
            Form::Nothing => return Form::Nothing,
            _ => return self.problem(id, "its input is not quantised", "quantise its input"),
        };
        let operands = self.quantised.sources(id);
        let Some(weights) = self.codes(operands[1]) else {
            return self.problem(
                id,
                "its weights are not constant integers",
                "quantise its weights",
            );
        };
        let bias = match operands.get(2).map(|&b| self.codes(b)) {
            None => Vec::new(),
            Some(Some(bias)) => bias,
            Some(None) => return self.problem(id, "its bias is not a constant", ""),
        };
        let node = &self.quantised[id];
        let Some(q) = &node.ty.quantisation else {
            return self.problem(id, "its accumulator has no scale", "");
        };
        let synapses = Synapses {
            source,
            connectivity,
            weights,
            weight_shape: self.quantised[operands[1]].ty.shape.clone(),
            bias,
            scale: q.scale.clone(),
            shape: unbatched(&node.ty.shape),
            codes: self.quantised[operands[1]].data.clone(),
        };
        Form::Sum(Box::new(synapses))
    }

    /// The integers of a constant, zero points subtracted.
    fn codes(&self, id: NodeId) -> Option<Vec<i64>> {
        let node = &self.quantised[id];
        let mut values = node.data.as_ref()?.to_i64().ok()?;
        if let Some(q) = &node.ty.quantisation
            && q.zero_point.iter().any(|&z| z != 0)
        {
            let axis = q.axis.unwrap_or(0);
            let inner: usize = node.ty.shape[axis + 1..].iter().product();
            let along = node.ty.shape[axis];
            for (i, v) in values.iter_mut().enumerate() {
                *v -= q.zero_at(i / inner % along);
            }
        }
        Some(values)
    }

    fn max_pool(&mut self, id: NodeId, window: Window) -> Form {
        let source = match self.map_of(id) {
            Ok(source) => source,
            Err(form) => return form,
        };
        let shape = unbatched(&self.quantised[id].ty.shape);
        let node = self.named(id, SpikingOp::MaxPool { window }, &shape);
        let node = self.network.add(node, &[source.node]);
        self.correspondence.push((node, id));
        Form::Payloads(Payloads { node, shape, order: None, range: source.range })
    }

    fn sum_pool(&mut self, id: NodeId, window: Window) -> Form {
        let source = match self.map_of(id) {
            Ok(source) => source,
            Err(form) => return form,
        };
        let node = &self.quantised[id];
        let Some(q) = &node.ty.quantisation else {
            return self.problem(id, "its sum has no scale", "");
        };
        let channels = source.shape[0];
        let cells: usize = window.kernel.iter().product();
        let weight_shape = [&[channels, 1], window.kernel.as_slice()].concat();
        Form::Sum(Box::new(Synapses {
            weights: vec![1; channels * cells],
            weight_shape,
            bias: Vec::new(),
            scale: q.scale.clone(),
            shape: unbatched(&node.ty.shape),
            connectivity: Connectivity::Convolution { window, groups: channels },
            codes: None,
            source,
        }))
    }

    /// The operand as a map in its node's own order.
    fn map_of(&mut self, id: NodeId) -> Result<Payloads, Form> {
        match self.form(id, 0) {
            Form::Payloads(p) if p.order.is_none() && p.shape == self.network[p.node].ty.shape => {
                Ok(p)
            }
            Form::Nothing => Err(Form::Nothing),
            Form::Payloads(_) => Err(self.problem(id, "a reshaped or transposed map goes in", "")),
            _ => Err(self.problem(id, "its input is not quantised", "quantise its input")),
        }
    }

    fn reshape(&mut self, id: NodeId) -> Form {
        let shape = unbatched(&self.quantised[id].ty.shape);
        match self.form(id, 0) {
            Form::Payloads(p) => Form::Payloads(Payloads { shape, ..p }),
            Form::Sum(s) if s.scale.len() == 1 || shape.first() == s.shape.first() => {
                Form::Sum(Box::new(Synapses { shape, ..*s }))
            }
            Form::Sum(_) => {
                self.problem(id, "accumulators with a scale for each channel are reshaped", "")
            }
            other => other,
        }
    }

    fn transpose(&mut self, id: NodeId, permutation: &[usize]) -> Form {
        let p = match self.form(id, 0) {
            Form::Payloads(p) if permutation.first() == Some(&0) => p,
            Form::Nothing => return Form::Nothing,
            _ => return self.problem(id, "this transposition has no spiking form", ""),
        };
        let from = &p.shape;
        let shape: Vec<usize> = permutation[1..].iter().map(|&d| from[d - 1]).collect();
        let strides: Vec<usize> = (0..from.len()).map(|d| from[d + 1..].iter().product()).collect();
        let order = (0..shape.iter().product())
            .map(|index: usize| {
                let (mut rest, mut place) = (index, 0);
                for (axis, &extent) in shape.iter().enumerate().rev() {
                    place += rest % extent * strides[permutation[axis + 1] - 1];
                    rest /= extent;
                }
                p.order.as_ref().map_or(place, |o| o[place])
            })
            .collect();
        Form::Payloads(Payloads { shape, order: Some(order), ..p })
    }

    fn concatenate(&mut self, id: NodeId, axis: usize) -> Form {
        let mut parts = Vec::new();
        for port in 0..self.quantised.sources(id).len() {
            match self.form(id, port) {
                Form::Payloads(p)
                    if p.order.is_none() && p.shape == self.network[p.node].ty.shape =>
                {
                    parts.push(p);
                }
                Form::Nothing => return Form::Nothing,
                _ => return self.problem(id, "joins what are not maps of spikes", ""),
            }
        }
        if axis == 0 {
            return self.problem(id, "joins along the batch", "");
        }
        let shape = unbatched(&self.quantised[id].ty.shape);
        let range = if axis == 1 {
            parts.iter().flat_map(|p| p.range.clone()).collect()
        } else {
            let union = parts.iter().flat_map(|p| p.range.iter().copied()).reduce(Interval::union);
            vec![union.unwrap_or(Interval::new(0, 0)); shape[0]]
        };
        let sources: Vec<NodeId> = parts.iter().map(|p| p.node).collect();
        let node = self.named(id, SpikingOp::Concatenate { axis: axis - 1 }, &shape);
        let node = self.network.add(node, &sources);
        self.correspondence.push((node, id));
        Form::Payloads(Payloads { node, shape, order: None, range })
    }

    /// A spiking node named after the ONNX node that made `id`.
    fn named(&self, id: NodeId, op: SpikingOp, shape: &[usize]) -> Node {
        let node = &self.quantised[id];
        let wanted = node.origins.first().map_or(&node.name, |o| &o.node);
        Node::spiking(self.network.fresh_name(wanted), op, shape).with_origins(&node.origins)
    }

    fn scores(&mut self, id: NodeId, q: &Quantisation) -> Form {
        match self.form(id, 0) {
            Form::Payloads(p) => Form::Scores(p, q.scale.clone()),
            Form::Sum(s) => {
                let Some(linear) = self.quantised.source(id, 0) else { return Form::Nothing };
                self.read_out(id, linear, &s)
            }
            other => other,
        }
    }

    /// The payloads of the code 0 in an output of codes, which are `code - zero point`: one for all, or
    /// one for each channel; none if all are 0.
    fn silent_codes(&self, output: NodeId) -> Vec<i64> {
        let source = self.quantised.source(output, 0);
        let q = source.and_then(|s| self.quantised[s].ty.quantisation.as_ref());
        let zero: Vec<i64> = q.map_or_else(Vec::new, |q| q.zero_point.iter().map(|z| -z).collect());
        if zero.iter().all(|&z| z == 0) { Vec::new() } else { zero }
    }

    fn decoder(&mut self, id: NodeId) {
        let linear = self.quantised.source(id, 0);
        let mut zero = Vec::new();
        let form = match (self.form(id, 0), linear) {
            // Accumulators that are given as they are.
            (Form::Sum(s), Some(linear)) => {
                let s = Synapses { scale: vec![1.0], ..*s };
                self.read_out(id, linear, &s)
            }
            (Form::Payloads(source), _) => {
                zero = self.silent_codes(id);
                Form::Scores(source, vec![1.0])
            }
            (other, _) => other,
        };
        let (source, scale) = match form {
            Form::Scores(source, scale) => (source, scale),
            Form::Nothing => return,
            _ => {
                self.problem(id, "the output is neither quantised nor dequantised", "");
                return;
            }
        };
        if source.order.is_some() {
            self.problem(id, "the output is transposed", "leave the last transposition out");
            return;
        }
        let shape = unbatched(&self.quantised[id].ty.shape);
        let decoder = Decoder { readout: Readout::Last, scale, zero };
        let name = self.network.fresh_name(&self.quantised[id].name);
        let mut node = Node::spiking(name, SpikingOp::Decoder(decoder), shape);
        node.ty.dtype = snnc_ir::DType::F32;
        self.network.add(node, &[source.node]);
    }
}

fn unbatched(shape: &[usize]) -> Vec<usize> {
    if shape.len() > 1 { shape[1..].to_vec() } else { shape.to_vec() }
}
