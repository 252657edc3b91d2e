//! One threshold for each channel, where the network allows it at no cost.
//!
//! `relu(a x) = a relu(x)` for `a > 0`, and pools and layers are as homogeneous: the outputs of a layer
//! may be divided by anything, channel by channel, if the weights that read them are multiplied by it
//! (Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization", section 4.1). Divided by
//! the threshold of each channel, all channels share the threshold 1, and the neurons of a population
//! keep one threshold in hardware.

use std::collections::HashSet;

use rayon::prelude::*;
use snnc_ir::{DType, Graph, Node, NodeId, Tensor, TensorOp, Unary};

use super::{Site, SiteStatistics, ThresholdMethod};

/// A layer whose outputs nothing but layers read, through what keeps channels apart.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// The layer that makes the values.
    producer: NodeId,
    /// The layers that read them.
    consumers: Vec<NodeId>,
    /// The sites between them, in order of computation.
    pub(super) sites: Vec<NodeId>,
}

/// Channels may be this much smaller than the largest; what is smaller still would leave no bits for
/// the weights that read it.
const SPREAD: f64 = 16.0;

/// Weights that a thread scales at least at once.
const SHARE: usize = 1 << 14;

/// The groups of a float network.
pub(super) fn groups(graph: &Graph, sites: &[Site]) -> Vec<Group> {
    let order = graph.order().unwrap_or_default();
    order.into_iter().filter_map(|id| group(graph, sites, id)).collect()
}

fn group(graph: &Graph, sites: &[Site], producer: NodeId) -> Option<Group> {
    if !is_layer(graph, producer) {
        return None;
    }
    let mut consumers = Vec::new();
    let mut members = HashSet::from([producer]);
    let mut pending = vec![producer];
    while let Some(node) = pending.pop() {
        for user in graph.users(node) {
            match graph[user].as_tensor()? {
                TensorOp::Unary(Unary::Relu) | TensorOp::Pool(_) => {}
                TensorOp::Reshape if keeps_channels(graph, node, user) => {}
                TensorOp::Convolution { .. } | TensorOp::Dense
                    if is_layer(graph, user) && graph.source(user, 0) == Some(node) =>
                {
                    consumers.push(user);
                    continue;
                }
                _ => return None,
            }
            if members.insert(user) {
                pending.push(user);
            }
        }
    }
    let sites: Vec<NodeId> =
        sites.iter().filter(|s| !s.input && members.contains(&s.node)).map(|s| s.node).collect();
    (!consumers.is_empty() && !sites.is_empty()).then_some(Group { producer, consumers, sites })
}

/// Whether a node is a layer whose parameters are real constants.
fn is_layer(graph: &Graph, id: NodeId) -> bool {
    let real = |s: &NodeId| graph[*s].data.as_ref().is_some_and(|d| d.dtype() == DType::F32);
    matches!(graph[id].as_tensor(), Some(TensorOp::Convolution { .. } | TensorOp::Dense))
        && graph.sources(id).iter().skip(1).all(real)
}

/// Whether a reshape joins what lies behind the channels, and leaves these in order.
fn keeps_channels(graph: &Graph, from: NodeId, to: NodeId) -> bool {
    let (before, after) = (&graph[from].ty.shape, &graph[to].ty.shape);
    let ([batch, ..], [same, features, rest @ ..]) = (before.as_slice(), after.as_slice()) else {
        return false;
    };
    let channels = before.get(1).copied().unwrap_or(1).max(1);
    batch == same && features % channels == 0 && rest.iter().product::<usize>() == 1
}

/// The threshold of each channel at the first site of a group.
pub(super) fn thresholds(
    found: &SiteStatistics,
    method: ThresholdMethod,
    levels: i64,
    signed: bool,
) -> Vec<f64> {
    let of = |histogram: &super::Histogram| {
        let distribution = histogram.distribution(1.0);
        let lives = distribution.maximum > 0.0 || (signed && distribution.minimum < 0.0);
        lives.then(|| method.threshold(&distribution, levels, signed))
    };
    let found: Vec<Option<f64>> = found.channels.par_iter().map(of).collect();
    let largest = found.iter().flatten().copied().fold(0.0, f64::max);
    let largest = if largest > 0.0 { largest } else { 1.0 };
    // A channel that was silent says nothing, and gets the range of the others.
    found.into_iter().map(|t| t.map_or(largest, |t| t.max(largest / SPREAD))).collect()
}

impl Group {
    /// Whether `thresholds` are as many as the producer has outputs.
    pub(super) fn fits(&self, graph: &Graph, thresholds: &[f64]) -> bool {
        let outputs = graph[self.producer].ty.shape.get(1).copied().unwrap_or(0);
        outputs == thresholds.len() && outputs > 0
    }

    /// Divides the values by `thresholds`, one for each output of the producer; changes nothing if they
    /// are not as many.
    pub(super) fn apply(&self, graph: &mut Graph, thresholds: &[f64]) {
        if !self.fits(graph, thresholds) {
            return;
        }
        let outputs = thresholds.len();
        let parameters = graph.sources(self.producer).len();
        for port in 1..parameters {
            let Some(len) = graph.source(self.producer, port).map(|p| graph[p].ty.len()) else {
                continue;
            };
            let run = if len % outputs == 0 { len / outputs } else { 1 };
            let factor = |first: usize| 1.0 / thresholds[first * outputs / len.max(1)];
            scale(graph, self.producer, port, run, factor);
        }
        for &consumer in &self.consumers {
            let groups = match graph[consumer].as_tensor() {
                Some(TensorOp::Convolution { groups, .. }) => *groups,
                _ => 1,
            };
            let Some(weights) = graph.source(consumer, 1) else { continue };
            let shape = graph[weights].ty.shape.clone();
            let (rows, inputs) = (shape[0], shape[1]);
            let taps: usize = shape[2..].iter().product();
            // A dense layer reads all cells of a channel, one after the other.
            let cells = (inputs * groups / outputs).max(1);
            scale(graph, consumer, 1, taps, |first| {
                let (row, input) = (first / (inputs * taps), first / taps % inputs);
                let group = row / (rows / groups).max(1);
                thresholds[((group * inputs + input) / cells).min(outputs - 1)]
            });
        }
    }
}

/// Replaces a constant operand by one multiplied element by element; `factor` is given the index of
/// the first of each `run` neighbours, which share it.
fn scale(
    graph: &mut Graph,
    layer: NodeId,
    port: usize,
    run: usize,
    factor: impl Fn(usize) -> f64 + Sync,
) {
    let mut operands = graph.operands(layer);
    let Some(old) = operands.get(port).map(|o| o.source) else { return };
    let Some(value) = graph[old].data.clone() else { return };
    // In place, in the bytes of the new constant: weights are large.
    let mut bytes = match value.dtype() {
        DType::F32 => value.bytes().to_vec(),
        _ => value.to_f32().into_iter().flat_map(f32::to_le_bytes).collect(),
    };
    let run = run.max(1);
    let runs = bytes.par_chunks_mut(4 * run).enumerate().with_min_len(SHARE / run + 1);
    runs.for_each(|(i, reals)| {
        let factor = factor(i * run);
        for real in reals.as_chunks_mut::<4>().0 {
            *real = ((f64::from(f32::from_le_bytes(*real)) * factor) as f32).to_le_bytes();
        }
    });
    let Ok(scaled) = Tensor::new(DType::F32, value.shape().to_vec(), bytes.into()) else { return };
    let name = graph.fresh_name(&format!("{}.equalised", graph[old].name));
    let node = Node::constant(name, scaled);
    operands[port].source = graph.add(node, &[]);
    graph.set_operands(layer, &operands);
    forget(graph, old);
}

/// Frees the numbers of a constant that nobody reads any more. It stays with its name, which no other
/// node then gets.
pub(super) fn forget(graph: &mut Graph, id: NodeId) {
    if graph.users(id).is_empty() && matches!(graph[id].as_tensor(), Some(TensorOp::Constant)) {
        let nothing = Tensor::from_f32(&[0], &[]);
        graph[id].ty = nothing.tensor_type();
        graph[id].data = Some(nothing);
    }
}
