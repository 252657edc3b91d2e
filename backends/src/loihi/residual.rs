//! Residual additions without branches: what skips a layer is carried through it.
//!
//! NetX networks are sequential, but a rectified map passes a rectifying neuron unchanged. So for
//! `B = relu(W2 * A + S x)` with `A = relu(W1 * x)` the layer of `A` gets a channel for each one of
//! `x`, fed by the one tap of its kernel that meets the neuron's own place, and the skip connection
//! `S` becomes taps of the second kernel. The sum is the same; the price is more neurons and synapses,
//! and the latency stays one timestep for each layer.

use snnc_ir::{
    Connectivity, Graph, Neuron, NodeId, Op, PerChannel, Population, Projection, SpikingOp, Tensor,
    ThresholdTable, Verified, Window, verify,
};

use super::Note;

/// A threshold that nothing reaches.
const NEVER: i64 = i64::MAX >> 2;

/// A residual addition that can be carried.
struct Block {
    /// What both ways begin with.
    source: NodeId,
    /// Synapses and neurons of the layer that is skipped.
    first: NodeId,
    inner: NodeId,
    /// Synapses onto the sum, and those that skip.
    second: NodeId,
    skip: NodeId,
    sum: NodeId,
}

/// The canonical network with every residual addition carried where that can be done; what cannot is
/// left for the chain to refuse.
pub(super) fn carried(network: &Verified) -> (Verified, Vec<Note>) {
    let (mut graph, mut notes) = (Graph::clone(network), Vec::new());
    let ids: Vec<NodeId> = graph.order().unwrap_or_default();
    for id in ids {
        let Some(block) = block(&graph, id) else { continue };
        let before = graph[block.inner].ty.len();
        if carry(&mut graph, &block).is_some() {
            let more = graph[block.inner].ty.len() - before;
            notes.push(Note {
                node: graph[id].describe(),
                text: format!(
                    "the residual addition is carried through `{}` by {more} more neurons",
                    graph[block.inner].name
                ),
            });
        }
    }
    match verify(graph) {
        Ok(graph) => (graph, notes),
        // The chain says what is wrong with the network as it came.
        Err(_) => (network.clone(), Vec::new()),
    }
}

fn population(graph: &Graph, id: NodeId) -> Option<&Population> {
    match graph[id].as_spiking() {
        Some(SpikingOp::Population(p)) => Some(p),
        _ => None,
    }
}

fn projection(graph: &Graph, id: NodeId) -> Option<&Projection> {
    match graph[id].as_spiking() {
        Some(SpikingOp::Projection(p)) => Some(p),
        _ => None,
    }
}

/// The window of a convolution without groups.
fn window(graph: &Graph, id: NodeId) -> Option<&Window> {
    match &projection(graph, id)?.connectivity {
        Connectivity::Convolution { window, groups: 1 } if window.rank() == 2 => Some(window),
        _ => None,
    }
}

/// The block that ends in population `sum`.
fn block(graph: &Graph, sum: NodeId) -> Option<Block> {
    population(graph, sum)?;
    let ways = graph.sources(sum);
    let &[a, b] = ways.as_slice() else { return None };
    [(a, b), (b, a)].into_iter().find_map(|(second, skip)| {
        let (source, inner) = (graph.source(skip, 0)?, graph.source(second, 0)?);
        let &[first] = graph.sources(inner).as_slice() else { return None };
        let alone = graph.source(first, 0)? == source
            && graph.users(source).len() == 2
            && graph.users(inner).len() == 1;
        let rectified = |id| population(graph, id).is_some_and(|p| p.minimum == 0);
        let block = Block { source, first, inner, second, skip, sum };
        (alone && rectified(source) && rectified(inner) && matches(graph, &block)).then_some(block)
    })
}

/// Whether the skip connection steps over the map as both layers together do.
fn matches(graph: &Graph, block: &Block) -> bool {
    let (Some(first), Some(second)) = (window(graph, block.first), window(graph, block.second))
    else {
        return false;
    };
    let strides: Vec<usize> =
        first.strides.iter().zip(&second.strides).map(|(a, b)| a * b).collect();
    let stepped = match projection(graph, block.skip).map(|p| &p.connectivity) {
        Some(Connectivity::OneToOne) => strides == [1, 1],
        Some(Connectivity::Convolution { window, groups: 1 }) => {
            window.kernel == [1, 1] && !window.is_padded() && window.strides == strides
        }
        _ => false,
    };
    let reaches = |from: NodeId, to: NodeId, window: &Window| {
        let (from, to) = (&graph[from].ty.shape[1..], &graph[to].ty.shape[1..]);
        let last = |axis: usize| to[axis].saturating_sub(1) * window.strides[axis];
        from.len() == 2 && to.len() == 2 && (0..2).all(|axis| last(axis) < from[axis])
    };
    stepped
        && own_tap(first).is_some()
        && own_tap(second).is_some()
        && reaches(block.source, block.inner, first)
        && reaches(block.inner, block.sum, second)
}

/// The tap of a kernel that meets the place where its window was put.
fn own_tap(window: &Window) -> Option<usize> {
    let tap = |axis: usize| {
        let dilation = window.dilations[axis].max(1);
        let tap = window.before[axis] / dilation;
        (window.before[axis].is_multiple_of(dilation) && tap < window.kernel[axis]).then_some(tap)
    };
    Some(tap(0)? * window.kernel[1] + tap(1)?)
}

/// Weights of a convolution, the gain of each target in them, and the number of sources of one.
fn weights(graph: &Graph, id: NodeId) -> Option<(Vec<i64>, usize)> {
    let (projection, data) = (projection(graph, id)?, graph[id].data.as_ref()?);
    if !projection.input_shift.is_empty() {
        return None;
    }
    let width = data.shape().iter().skip(1).product::<usize>().max(1);
    let gained = |(i, w): (usize, i64)| w.checked_mul(projection.gain_at(i / width));
    let weights = data.to_i64().ok()?.into_iter().enumerate().map(gained).collect::<Option<_>>()?;
    Some((weights, data.shape().get(1).copied().unwrap_or(1)))
}

/// Rewrites the block.
fn carry(graph: &mut Graph, block: &Block) -> Option<()> {
    let carried = *graph[block.source].ty.shape.first()?;
    let (first, second) =
        (window(graph, block.first)?.clone(), window(graph, block.second)?.clone());
    let inner = *graph[block.inner].ty.shape.first()?;
    let targets = *graph[block.sum].ty.shape.first()?;

    // One more target for each channel that skips, with the weight 1 at its own place.
    let (mut onto_inner, _) = weights(graph, block.first)?;
    let taps: usize = first.kernel.iter().product();
    let own = own_tap(&first)?;
    for channel in 0..carried {
        let mut row = vec![0; carried * taps];
        row[channel * taps + own] = 1;
        onto_inner.extend(row);
    }
    let neurons =
        wider(population(graph, block.inner)?, inner, population(graph, block.source)?, carried)?;

    // The taps that skip lie behind those of the second kernel.
    let (own_weights, _) = weights(graph, block.second)?;
    let skipping = skip_weights(graph, block, targets, carried)?;
    let taps_there: usize = second.kernel.iter().product();
    let there = own_tap(&second)?;
    let mut onto_sum = Vec::with_capacity(targets * (inner + carried) * taps_there);
    for target in 0..targets {
        onto_sum.extend(&own_weights[target * inner * taps_there..][..inner * taps_there]);
        for channel in 0..carried {
            let mut plane = vec![0; taps_there];
            plane[there] = skipping[target * carried + channel];
            onto_sum.extend(plane);
        }
    }

    let widened = inner + carried;
    let shape = [&[widened, carried], first.kernel.as_slice()].concat();
    set_synapses(graph, block.first, Tensor::from_integers(&shape, &onto_inner));
    let shape = [&[targets, widened], second.kernel.as_slice()].concat();
    set_synapses(graph, block.second, Tensor::from_integers(&shape, &onto_sum));
    graph[block.inner].op = Op::Spiking(SpikingOp::Population(neurons));
    for id in [block.first, block.inner] {
        graph[id].ty.shape[0] = widened;
    }
    let kept = graph.operands(block.sum).into_iter().filter(|o| o.source == block.second);
    let kept: Vec<_> = kept.collect();
    graph.set_operands(block.sum, &kept);
    graph.remove_dead();
    Some(())
}

fn set_synapses(graph: &mut Graph, id: NodeId, data: Tensor) {
    graph[id].data = Some(data);
    if let Op::Spiking(SpikingOp::Projection(p)) = &mut graph[id].op {
        p.gain.clear();
    }
}

/// Weights (targets, sources) of the skip connection, gain included.
fn skip_weights(graph: &Graph, block: &Block, targets: usize, carried: usize) -> Option<Vec<i64>> {
    let (weights, _) = weights(graph, block.skip)?;
    match projection(graph, block.skip)?.connectivity {
        Connectivity::OneToOne if targets == carried => {
            let mut square = vec![0; targets * carried];
            for (c, w) in weights.into_iter().enumerate().take(targets) {
                square[c * carried + c] = w;
            }
            Some(square)
        }
        Connectivity::Convolution { .. } if weights.len() == targets * carried => Some(weights),
        _ => None,
    }
}

/// The neurons of the skipped layer, and behind them neurons that send what they get.
fn wider(
    inner: &Population,
    channels: usize,
    source: &Population,
    carried: usize,
) -> Option<Population> {
    let ceiling = inner.maximum.max(source.maximum);
    let thresholds = |channel: usize| -> Option<Vec<i64>> {
        let mut row: Vec<i64> = match &inner.neuron {
            Neuron::Graded(n) => (1..=inner.maximum).map(|k| n.threshold(channel, k)).collect(),
            Neuron::Thresholds(n) => PerChannel::of(&n.thresholds).get(channel)?.clone(),
            _ => return None,
        };
        row.resize(ceiling.try_into().ok()?, NEVER);
        Some(row)
    };
    let mut rows: Vec<Vec<i64>> = (0..channels).map(thresholds).collect::<Option<_>>()?;
    let identity = |k: i64| if k <= source.maximum { k } else { NEVER };
    rows.extend(std::iter::repeat_n((1..=ceiling).map(identity).collect(), carried));
    let all = |values: &[f32], n: usize| -> Vec<f32> {
        if values.len() == 1 { vec![values[0]; n] } else { values.to_vec() }
    };
    let mut scale = all(&inner.scale, channels);
    scale.extend(all(&source.scale, carried));
    let mut bias: Vec<i64> = (0..channels).map(|c| inner.bias_at(c)).collect();
    bias.extend(vec![0; carried]);
    Some(Population {
        bias,
        neuron: Neuron::Thresholds(ThresholdTable { thresholds: rows, minimum: 0 }),
        maximum: ceiling,
        scale: if scale.len() == channels + carried { scale } else { Vec::new() },
        ..inner.clone()
    })
}
