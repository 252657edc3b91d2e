//! Quantised tensor graph to graded spikes: one timestep, one payload for each neuron.
//!
//! Each linear operator becomes a projection, each requantisation a population whose neuron has
//! exactly the thresholds of `y = RNE(f32(acc) * f32(M)) + zero`, and a payload is `code - zero`.

mod encoders;
mod host;
mod join;
mod movement;
mod populations;
mod sums;
mod transposed;

use std::collections::HashMap;

use snnc_ir::analysis::Interval;
use snnc_ir::{
    Connectivity, Graph, Node, NodeId, PoolKind, Quantisation, SpikingOp, Stage, Tensor, TensorOp,
    ThresholdRows, Window,
};

use crate::{Error, Problem};
pub(crate) use host::DECODER;
use host::Host;
use movement::Moved;

/// A converted network, and which node of the quantised graph each part stands for.
#[derive(Clone, Debug)]
pub struct Conversion {
    /// The canonical spiking graph.
    pub network: Graph,
    /// Encoders, populations and pools of `network`, each with the node of the quantised graph whose
    /// codes (less their zero point) it sends, or whose accumulators it shows.
    pub correspondence: Vec<(NodeId, NodeId)>,
    /// What the host makes of what the decoders show, a graph of the quantised stage. Its inputs name
    /// their decoders as their origins: a real one takes scores, one of integers raw values less the
    /// decoder's zero. Its outputs are the model's.
    pub host: Graph,
}

/// What is read out of a layer behind which a quantiser is the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadOut {
    /// Codes: neurons quantise.
    #[default]
    Codes,
    /// Membrane potentials: the host quantises.
    Potentials,
}

/// Converts a quantised graph.
///
/// # Errors
/// All operators that have no spiking form, each with its ONNX node.
pub fn convert(quantised: &Graph) -> Result<Conversion, Error> {
    convert_reading(quantised, ReadOut::Codes)
}

/// The conversion of which `emitted` was made: that which reads out what `emitted` does.
///
/// # Errors
/// As [`convert`].
pub fn convert_for(quantised: &Graph, emitted: &Graph) -> Result<Conversion, Error> {
    let conversion = convert(quantised)?;
    let accumulates = |graph: &Graph, id: NodeId| match graph[id].as_spiking() {
        Some(SpikingOp::Population(p)) => Some(!p.neuron.fires()),
        _ => None,
    };
    let network = &conversion.network;
    let potential = network.ids().any(|id| {
        accumulates(network, id) == Some(false)
            && emitted.find(&network[id].name).and_then(|own| accumulates(emitted, own))
                == Some(true)
    });
    if potential { convert_reading(quantised, ReadOut::Potentials) } else { Ok(conversion) }
}

/// Converts a quantised graph, with a choice of what is read out.
///
/// # Errors
/// As [`convert`].
pub fn convert_reading(quantised: &Graph, read_out: ReadOut) -> Result<Conversion, Error> {
    let order = quantised.order().map_err(|e| Error::input("graph", e.to_string(), ""))?;
    let mut converter = Converter {
        quantised,
        network: Graph::new(quantised.name.clone(), Stage::Spiking),
        values: HashMap::new(),
        correspondence: Vec::new(),
        host: Host::new(quantised, read_out),
        copies: HashMap::new(),
        problems: Vec::new(),
    };
    for id in inputs_first(quantised, order) {
        converter.node(id);
    }
    converter.outputs();
    if converter.problems.is_empty() {
        Ok(Conversion {
            network: converter.network,
            correspondence: converter.correspondence,
            host: converter.host.graph,
        })
    } else {
        Err(Error::Unsupported(converter.problems))
    }
}

/// An order of computation in which the quantisers of inputs come first, input by input: encoders then
/// have the order of the model's inputs.
fn inputs_first(quantised: &Graph, order: Vec<NodeId>) -> Vec<NodeId> {
    let mut first = Vec::new();
    for input in quantised.inputs() {
        let quantisers = quantised.users(input).into_iter();
        let is = |user: &NodeId| match quantised[*user].as_tensor() {
            Some(TensorOp::Quantise(_)) => true,
            Some(TensorOp::Threshold(t)) => matches!(t.rows, ThresholdRows::Reals(_)),
            _ => false,
        };
        for id in std::iter::once(input).chain(quantisers.filter(is)) {
            if !first.contains(&id) {
                first.push(id);
            }
        }
    }
    let rest: Vec<NodeId> = order.into_iter().filter(|id| !first.contains(id)).collect();
    [first, rest].concat()
}

/// What a node of the quantised graph has become.
#[derive(Clone, Debug)]
enum Form {
    /// Payloads of a spiking node.
    Payloads(Payloads),
    /// Payloads of a spiking node that are moved, left out or repeated.
    Moved(Box<Moved>),
    /// Not yet spikes: the synapses onto a population still to come.
    Sum(Box<Synapses>),
    /// A graph input before its quantiser.
    Raw,
    /// Real scores.
    Scores(Payloads, Vec<f32>),
    /// Computed by the host.
    Host,
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
    host: Host,
    /// Populations that copy the value of a node of the quantised graph.
    copies: HashMap<NodeId, Payloads>,
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
        let form = match op.clone() {
            TensorOp::Constant | TensorOp::Output => return,
            op if self.is_for_host(id, &op) => self.on_host(id),
            TensorOp::Input => self.input(id),
            TensorOp::Quantise(q) => self.encoder(id, &q),
            TensorOp::Convolution { window, groups } => {
                self.linear(id, Connectivity::Convolution { window, groups })
            }
            TensorOp::TransposedConvolution { window, groups } => {
                self.transposed(id, &window, groups)
            }
            TensorOp::Dense => self.linear(id, Connectivity::Dense),
            TensorOp::Pool(pool) => match pool.kind {
                PoolKind::Max => self.max_pool(id, pool.window),
                PoolKind::Sum => self.sum_pool(id, pool.window),
                PoolKind::EvenSum { .. } => self.even_sum(id, &pool),
                _ => self.problem(id, "an average pool that is not on codes", "quantise its input"),
            },
            TensorOp::Requantise | TensorOp::RequantiseSum => self.population(id),
            TensorOp::Lookup { minimum, table } => self.lookup(id, minimum, &table),
            TensorOp::Threshold(thresholds) => self.threshold(id, &thresholds),
            TensorOp::Reshape => self.reshape(id),
            TensorOp::Transpose { permutation } => self.transpose(id, &permutation),
            TensorOp::Pad { .. }
            | TensorOp::Slice { .. }
            | TensorOp::Gather { .. }
            | TensorOp::Expand
            | TensorOp::Upsample { .. } => self.moved(id, &op),
            TensorOp::Concatenate { axis } => self.concatenate(id, axis),
            TensorOp::Dequantise(q) => self.scores(id, &q),
            _ => self.problem(
                id,
                "this operator has no spiking form",
                "remove it from the network, or move it after the output",
            ),
        };
        self.values.insert(id, form);
    }

    fn linear(&mut self, id: NodeId, connectivity: Connectivity) -> Form {
        let Some(operand) = self.quantised.source(id, 1) else { return Form::Nothing };
        let Some(weights) = self.codes(operand) else {
            return self.problem(
                id,
                "its weights are not constant integers",
                "quantise its weights",
            );
        };
        let weight_shape = self.quantised[operand].ty.shape.clone();
        self.projecting(id, connectivity, weights, weight_shape)
    }

    /// The synapses of a layer, of which the bias is still to come.
    fn projecting(
        &mut self,
        id: NodeId,
        connectivity: Connectivity,
        weights: Vec<i64>,
        weight_shape: Vec<usize>,
    ) -> Form {
        let (source, moved) = match self.form(id, 0) {
            // A dense layer reads any order of neurons.
            Form::Payloads(p)
                if connectivity == Connectivity::Dense
                    || (p.order.is_none() && p.shape == self.network[p.node].ty.shape) =>
            {
                (p, None)
            }
            Form::Payloads(p) => (p.clone(), Some(Moved::from(p))),
            Form::Moved(moved) => (self.shown_as(&moved), Some(*moved)),
            Form::Nothing => return Form::Nothing,
            _ => return self.problem(id, "its input is not quantised", "quantise its input"),
        };
        let operands = self.quantised.sources(id);
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
            weight_shape,
            bias,
            scale: q.scale.clone(),
            shape: unbatched(&node.ty.shape),
            codes: self.quantised[operands[1]].data.clone(),
        };
        let read = match moved {
            Some(moved) => self.reading(operands[0], moved, synapses),
            None => Some(synapses),
        };
        read.map_or(Form::Nothing, |synapses| Form::Sum(Box::new(synapses)))
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

    /// The operand as a map in its node's own order.
    fn map_of(&mut self, id: NodeId) -> Result<Payloads, Form> {
        match self.plain(id, 0) {
            Form::Payloads(p) => Ok(p),
            Form::Nothing => Err(Form::Nothing),
            _ => Err(self.problem(id, "its input is not quantised", "quantise its input")),
        }
    }

    fn reshape(&mut self, id: NodeId) -> Form {
        let shape = unbatched(&self.quantised[id].ty.shape);
        match self.form(id, 0) {
            Form::Payloads(p) => Form::Payloads(Payloads { shape, ..p }),
            Form::Moved(moved) => Form::Moved(Box::new(moved.reshaped(shape))),
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
        let held = self.quantised.source(id, 0).and_then(|source| self.values.get(&source));
        if matches!(held, Some(Form::Moved(_))) {
            return self.moved(id, &TensorOp::Transpose { permutation: permutation.to_vec() });
        }
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
            match self.plain(id, port) {
                Form::Payloads(p) => parts.push(p),
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
            Form::Sum(s) => match self.quantised.source(id, 0) {
                Some(linear) => self.read_out(linear, &s),
                None => Form::Nothing,
            },
            other => other,
        }
    }
}

fn unbatched(shape: &[usize]) -> Vec<usize> {
    if shape.len() > 1 { shape[1..].to_vec() } else { shape.to_vec() }
}
