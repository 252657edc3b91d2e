//! Layouts of targets that compute the same, brought to the canonical one.
//!
//! A target may take maxima of potentials instead of payloads, which any ascending neuron passes on alike; it may
//! lay a population out in a larger map, the border of which no reader takes in; and it may put a population between two layers that sends
//! on what it gets. Each is undone here where it is shown to change nothing, so that what is left can be compared
//! tap by tap. What is not understood stays as it is, and is found to be another network.

use std::borrow::Cow;

use snnc_ir::analysis::intervals;
use snnc_ir::{Connectivity, Graph, NodeId, Op, Operand, PerChannel, SpikingOp, Tensor, Window};

use super::copies::merge;
use crate::passes::graded::Conversion;

/// The emitted network in the canonical layout, as far as it is shown to be the same.
pub(super) fn in_canonical_layout<'a>(
    canonical: &Conversion,
    emitted: Cow<'a, Graph>,
) -> Cow<'a, Graph> {
    let mut graph = emitted;
    let names: Vec<(NodeId, String)> = canonical
        .correspondence
        .iter()
        // Pools are no populations, whatever a target makes of them.
        .filter(|&&(id, _)| is_population(&canonical.network, id))
        .map(|&(id, _)| (id, canonical.network[id].name.clone()))
        .collect();
    let all = graph.order().unwrap_or_default();
    for id in all {
        let named = names.iter().any(|(_, name)| *name == graph[id].name);
        if !named {
            let source = graph.source(id, 0).and_then(|s| graph.source(s, 0));
            let channels = source.and_then(|s| graph[s].ty.shape.first().copied()).unwrap_or(0);
            let all = graph[id].ty.shape.first().copied().unwrap_or(0);
            if is_population(&graph, id) && channels > 0 && all > channels && all % channels == 0 {
                let _ = merge(graph.to_mut(), id, channels);
            }
        }
        if !named && passes_on(&graph, id) {
            bypass(graph.to_mut(), id);
        }
    }
    for (reference, name) in names {
        let Some(id) = graph.find(&name) else { continue };
        let pooled = |g: &Graph, id| g.source(id, 0).is_some_and(|s| is_pool(g, s));
        if pooled(&graph, id) && !pooled(&canonical.network, reference) && ascends(&graph, id) {
            pool_payloads(graph.to_mut(), id);
        }
        let own = &canonical.network[reference].ty.shape;
        let larger = graph[id].ty.shape.len() == own.len()
            && graph[id].ty.shape.first() == own.first()
            && graph[id].ty.shape.iter().zip(own).any(|(a, b)| a > b);
        if larger {
            let mut cropped = graph.clone().into_owned();
            if crop(&mut cropped, id, &canonical.network, reference).is_some() {
                graph = Cow::Owned(cropped);
            }
        }
    }
    graph
}

fn is_population(graph: &Graph, id: NodeId) -> bool {
    matches!(graph[id].as_spiking(), Some(SpikingOp::Population(_)))
}

fn is_pool(graph: &Graph, id: NodeId) -> bool {
    matches!(graph[id].as_spiking(), Some(SpikingOp::MaxPool { .. }))
}

/// Whether `id` is a population of one timestep that answers more where its potential is higher.
fn ascends(graph: &Graph, id: NodeId) -> bool {
    matches!(graph[id].as_spiking(), Some(SpikingOp::Population(p))
        if graph.timing.timesteps == 1 && graph.operands(id).len() == 1 && p.neuron.staircase().is_some())
}

/// Whether each neuron of `id` sends, in the one timestep there is, what one neuron before it sends.
fn passes_on(graph: &Graph, id: NodeId) -> bool {
    let Some(SpikingOp::Population(p)) = graph[id].as_spiking() else { return false };
    let &[Operand { source: synapses, delay: 0 }] = graph.operands(id).as_slice() else {
        return false;
    };
    let Some(SpikingOp::Projection(projection)) = graph[synapses].as_spiking() else {
        return false;
    };
    let (Some(source), Some(data)) = (graph.source(synapses, 0), &graph[synapses].data) else {
        return false;
    };
    let channels = graph[id].ty.shape.first().copied().unwrap_or(0);
    let single = match &projection.connectivity {
        Connectivity::OneToOne => true,
        Connectivity::Convolution { window, .. } => {
            window.kernel.iter().chain(&window.strides).all(|&k| k == 1) && !window.is_padded()
        }
        Connectivity::Dense => false,
    };
    if graph.timing.timesteps != 1
        || !single
        || graph[source].ty.shape != graph[id].ty.shape
        || !projection.delays.is_empty()
        || !projection.input_shift.is_empty()
    {
        return false;
    }
    let (Ok(weights), Ok(bounds)) = (data.to_i64(), intervals(graph)) else { return false };
    (0..channels).all(|c| {
        let row = weights.len() / channels.max(1);
        let taps: Vec<(usize, i64)> = match &projection.connectivity {
            Connectivity::OneToOne => vec![(c, *PerChannel::of(&weights).at(c))],
            Connectivity::Convolution { groups, .. } => {
                let first = c / (channels / (*groups).max(1)).max(1) * row;
                let taps = weights[c * row..(c + 1) * row].iter().enumerate();
                taps.map(|(i, &w)| (first + i, w)).filter(|&(_, w)| w != 0).collect()
            }
            Connectivity::Dense => return false,
        };
        let (&[(from, weight)], Some(range)) = (taps.as_slice(), bounds.values(source).get(c))
        else {
            return false;
        };
        let answer = |x: i64| {
            let v = x * weight * projection.gain_at(c) + p.bias_at(c);
            p.neuron.single_shot(c, v)
        };
        from == c
            && range.high - range.low < 1 << 16
            && (range.low..=range.high).all(|x| answer(x) == Some(x))
    })
}

/// Lets the readers of `id` read what its only source sends.
fn bypass(graph: &mut Graph, id: NodeId) {
    if let Some(source) = graph.source(id, 0).and_then(|s| graph.source(s, 0)) {
        graph.replace_uses(id, source);
        graph.remove_dead();
    }
}

/// Takes the maxima before population `id` behind it.
fn pool_payloads(graph: &mut Graph, id: NodeId) {
    let mut pools = Vec::new();
    let mut next = id;
    while let Some(source) = graph.source(next, 0).filter(|&s| is_pool(graph, s)) {
        pools.push(source);
        next = source;
    }
    let (Some(&last), Some(sums)) = (pools.last(), graph.source(next, 0)) else { return };
    if pools.iter().any(|&pool| graph.users(pool).len() != 1) {
        return;
    }
    let whole = graph[sums].ty.shape.clone();
    graph.replace_uses(id, pools[0]);
    graph.set_operands(id, &[Operand { source: sums, delay: 0 }]);
    graph.set_operands(last, &[Operand { source: id, delay: 0 }]);
    graph[id].ty.shape = whole;
}

/// Cuts population `id` down to the map of its counterpart: `None` where its border is read.
fn crop(graph: &mut Graph, id: NodeId, canonical: &Graph, reference: NodeId) -> Option<()> {
    let (synapses, wanted) = (graph.source(id, 0)?, canonical.source(reference, 0)?);
    if graph.operands(id).len() != 1 || graph.users(synapses).len() != 1 {
        return None;
    }
    let own = window(canonical, wanted)?.clone();
    let theirs = window(graph, synapses)?.clone();
    let (from, to) = (graph[id].ty.shape.clone(), canonical[reference].ty.shape.clone());
    let source = graph.source(synapses, 0)?;
    let before = canonical.source(wanted, 0)?;
    if graph[source].ty.shape != canonical[before].ty.shape
        || (&own.kernel, &own.strides, &own.dilations)
            != (&theirs.kernel, &theirs.strides, &theirs.dilations)
    {
        return None;
    }
    let offset = offsets(&theirs.before, &own.before, &own.strides)?;
    inside(&offset, &from, &to)?;
    if let Op::Spiking(SpikingOp::Projection(p)) = &mut graph[synapses].op
        && let Connectivity::Convolution { window, .. } = &mut p.connectivity
    {
        *window = own;
    }
    graph[synapses].ty.shape.clone_from(&to);
    graph[id].ty.shape.clone_from(&to);
    readers(graph, id, (canonical, reference), &from, &offset)
}

fn window(graph: &Graph, id: NodeId) -> Option<&Window> {
    match graph[id].as_spiking()? {
        SpikingOp::Projection(p) => match &p.connectivity {
            Connectivity::Convolution { window, .. } => Some(window),
            _ => None,
        },
        SpikingOp::MaxPool { window } => Some(window),
        _ => None,
    }
}

/// By how many windows those with the larger padding before begin earlier.
fn offsets(theirs: &[usize], own: &[usize], strides: &[usize]) -> Option<Vec<usize>> {
    let each = theirs.iter().zip(own).zip(strides);
    each.map(|((&a, &b), &s)| a.checked_sub(b).filter(|d| d.is_multiple_of(s)).map(|d| d / s))
        .collect()
}

/// Whether a map of shape `to` lies at `offset` in one of shape `from`.
fn inside(offset: &[usize], from: &[usize], to: &[usize]) -> Option<()> {
    let fits = offset.len() + 1 == from.len()
        && from.len() == to.len()
        && (1..from.len()).all(|axis| offset[axis - 1] + to[axis] <= from[axis]);
    fits.then_some(())
}

/// Lets all readers of `id` read the cut map, which lay at `offset` in one of shape `from`.
fn readers(
    graph: &mut Graph,
    id: NodeId,
    (canonical, reference): (&Graph, NodeId),
    from: &[usize],
    offset: &[usize],
) -> Option<()> {
    for user in graph.users(id) {
        match graph[user].as_spiking()? {
            SpikingOp::MaxPool { window: theirs } => {
                let pools =
                    canonical.users(reference).into_iter().filter(|&u| is_pool(canonical, u));
                let &[pool] = pools.collect::<Vec<_>>().as_slice() else { return None };
                let (theirs, own) = (theirs.clone(), window(canonical, pool)?.clone());
                let moved: Vec<usize> =
                    theirs.before.iter().zip(offset).map(|(b, o)| b + o).collect();
                let same = (&own.kernel, &own.strides, &own.dilations)
                    == (&theirs.kernel, &theirs.strides, &theirs.dilations);
                let next = offsets(&moved, &own.before, &own.strides).filter(|_| same)?;
                let (large, small) =
                    (graph[user].ty.shape.clone(), canonical[pool].ty.shape.clone());
                inside(&next, &large, &small)?;
                // A window over the end of the map would see the border, and not padding.
                let whole = |axis: usize| {
                    let reach = (own.kernel[axis] - 1) * own.dilations[axis] + 1;
                    let last = (small[axis + 1] - 1) * own.strides[axis] + reach;
                    own.before[axis] == 0 && last <= canonical[reference].ty.shape[axis + 1]
                };
                if !(0..next.len()).all(whole) {
                    return None;
                }
                graph[user].op = Op::Spiking(SpikingOp::MaxPool { window: own });
                graph[user].ty.shape = small;
                readers(graph, user, (canonical, pool), &large, &next)?;
            }
            SpikingOp::Projection(p) => match &p.connectivity {
                Connectivity::Dense if p.input_shift.is_empty() && p.delays.is_empty() => {
                    dense(graph, user, from, offset, &canonical[reference].ty.shape)?;
                }
                Connectivity::Convolution { window: theirs, .. } => {
                    convolution(graph, user, theirs.clone(), (canonical, reference), offset)?;
                }
                _ => return None,
            },
            _ => return None,
        }
    }
    Some(())
}

/// A convolution behind a cut map reads nothing of its border if its counterpart has no padding there.
fn convolution(
    graph: &mut Graph,
    id: NodeId,
    theirs: Window,
    (canonical, reference): (&Graph, NodeId),
    offset: &[usize],
) -> Option<()> {
    let user = *graph.users(id).first()?;
    let reader = canonical.find(&graph[user].name)?;
    let own = window(canonical, canonical.source(reader, 0)?)?;
    if own.before.iter().any(|&b| b > 0) {
        return None;
    }
    let (map, to) = (&canonical[reader].ty.shape, &canonical[reference].ty.shape);
    for axis in 0..own.kernel.len() {
        let reach = (own.kernel[axis] - 1) * own.dilations[axis] + 1;
        if (map.get(axis + 1)? - 1) * own.strides[axis] + reach > *to.get(axis + 1)? {
            return None;
        }
    }
    let before: Vec<usize> = theirs.before.iter().zip(offset).map(|(b, o)| b + o).collect();
    if let Op::Spiking(SpikingOp::Projection(p)) = &mut graph[id].op
        && let Connectivity::Convolution { window, .. } = &mut p.connectivity
    {
        window.before = before;
    }
    Some(())
}

/// The weights of a dense layer that read the cut map; `None` if one that reads the border is not 0.
fn dense(
    graph: &mut Graph,
    id: NodeId,
    from: &[usize],
    offset: &[usize],
    to: &[usize],
) -> Option<()> {
    let data = graph[id].data.as_ref()?;
    let &[units, inputs] = data.shape() else { return None };
    if inputs != from.iter().product::<usize>() {
        return None;
    }
    let within = |mut place: usize| {
        let mut kept = true;
        for axis in (0..from.len()).rev() {
            let at = place % from[axis];
            place /= from[axis];
            if axis > 0 {
                kept &= at >= offset[axis - 1] && at < offset[axis - 1] + to[axis];
            }
        }
        kept
    };
    let weights = data.to_i64().ok()?;
    let (mut kept, mut lost) = (Vec::with_capacity(units * to.iter().product::<usize>()), false);
    for (i, &w) in weights.iter().enumerate() {
        match within(i % inputs) {
            true => kept.push(w),
            false => lost |= w != 0,
        }
    }
    if lost || kept.len() != units * to.iter().product::<usize>() {
        return None;
    }
    let weights = Tensor::from_i64(data.dtype(), &[units, kept.len() / units.max(1)], &kept);
    graph[id].data = Some(weights);
    Some(())
}
