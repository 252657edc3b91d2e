//! Neurons that are copies of each other, taken as one.
//!
//! A backend may lay a population's channels out several times, behind each other, to give readers
//! weights beyond the chip's range. Copies have the same synapses and the same parameters, so they send
//! the same; a network in which one of them stands for all, its outgoing weights their sum, computes
//! the same.

use std::borrow::Cow;

use snnc_ir::{
    Connectivity, GradedNeuron, Graph, NodeId, Op, Population, SpikingOp, Tensor, ThresholdTable,
};

use crate::passes::graded::Conversion;

/// The network with each population that repeats its channels, and is the canonical one but for
/// that, without the copies.
pub fn without_copies<'a>(canonical: &Conversion, emitted: &'a Graph) -> Cow<'a, Graph> {
    let mut graph = Cow::Borrowed(emitted);
    for &(reference, _) in &canonical.correspondence {
        let own = &canonical.network[reference];
        let Some(id) = graph.find(&own.name) else { continue };
        let (Some(&channels), Some(&all)) = (own.ty.shape.first(), graph[id].ty.shape.first())
        else {
            continue;
        };
        if channels > 0 && all > channels && all % channels == 0 {
            // A population that is not made of copies stays, and is found to be another one.
            let _ = merge(graph.to_mut(), id, channels);
        }
    }
    graph
}

/// Merges the copies of `id`'s first `channels` channels; `None`, and nothing done, where they are none.
pub(super) fn merge(graph: &mut Graph, id: NodeId, channels: usize) -> Option<()> {
    let all = *graph[id].ty.shape.first()?;
    let copies = all / channels;
    let Some(SpikingOp::Population(population)) = graph[id].as_spiking() else { return None };
    let population = merged_population(population, channels, all)?;
    let mut chain = vec![id];
    let mut synapses = graph.source(id, 0).filter(|_| graph.sources(id).len() == 1)?;
    while let Some(SpikingOp::MaxPool { .. }) = graph[synapses].as_spiking() {
        chain.push(synapses);
        synapses = graph.source(synapses, 0)?;
    }
    chain.push(synapses);
    let Some(SpikingOp::Projection(projection)) = graph[synapses].as_spiking() else { return None };
    let per_filter = match &projection.connectivity {
        Connectivity::Dense => true,
        Connectivity::Convolution { groups, .. } => *groups == 1,
        Connectivity::OneToOne => false,
    };
    if !per_filter || !projection.delays.is_empty() {
        return None;
    }
    let mut kept = projection.clone();
    kept.gain = first_of(&projection.gain, channels, all)?;
    let data = graph[synapses].data.as_ref()?;
    let rows = first_of(&data.to_i64().ok()?, data.len() / copies, data.len())?;
    let mut shape = data.shape().to_vec();
    *shape.first_mut()? = channels;
    let rows = Tensor::from_i64(data.dtype(), &shape, &rows);

    let readers = readers(graph, id, &mut chain)?;
    let summed: Option<Vec<(NodeId, Tensor)>> =
        readers.into_iter().map(|r| Some((r, summed(graph, r, copies)?))).collect();
    for (reader, weights) in summed? {
        graph[reader].data = Some(weights);
    }
    graph[synapses].data = Some(rows);
    graph[synapses].op = Op::Spiking(SpikingOp::Projection(kept));
    graph[id].op = Op::Spiking(SpikingOp::Population(population));
    for node in chain {
        if let Some(first) = graph[node].ty.shape.first_mut() {
            *first = channels;
        }
    }
    Some(())
}

/// The projections that read `id`, the pools between them joining `chain`; `None` where anything else
/// reads it.
fn readers(graph: &Graph, id: NodeId, chain: &mut Vec<NodeId>) -> Option<Vec<NodeId>> {
    let mut found = Vec::new();
    for user in graph.users(id) {
        match graph[user].as_spiking()? {
            SpikingOp::Projection(p) if p.input_shift.is_empty() && p.delays.is_empty() => {
                match &p.connectivity {
                    Connectivity::Dense | Connectivity::Convolution { groups: 1, .. } => {
                        found.push(user);
                    }
                    _ => return None,
                }
            }
            SpikingOp::MaxPool { .. } => {
                chain.push(user);
                found.extend(readers(graph, user, chain)?);
            }
            _ => return None,
        }
    }
    Some(found)
}

/// The weights of a projection, each the sum of those from a channel's copies.
fn summed(graph: &Graph, reader: NodeId, copies: usize) -> Option<Tensor> {
    let data = graph[reader].data.as_ref()?;
    let [filters, inputs, kernel @ ..] = data.shape() else { return None };
    let (filters, inputs) = (*filters, *inputs);
    if inputs % copies != 0 || data.is_empty() {
        return None;
    }
    let values = data.to_i64().ok()?;
    // One copy's channels lie behind the other's, in maps as in vectors of them.
    let each = data.len() / filters / copies;
    let sum = |row: &[i64]| -> Vec<i64> {
        (0..each).map(|i| row.iter().skip(i).step_by(each).sum()).collect()
    };
    let sums: Vec<i64> = values.chunks(each * copies).flat_map(sum).collect();
    let shape = [&[filters, inputs / copies], kernel].concat();
    Some(Tensor::from_integers(&shape, &sums))
}

/// The first `part` of `all` values that repeat it; a list of at most one value serves all.
fn first_of<T: Clone + PartialEq>(values: &[T], part: usize, all: usize) -> Option<Vec<T>> {
    if values.len() <= 1 {
        return Some(values.to_vec());
    }
    let first = values.get(..part)?;
    (values.len() == all && values.chunks(part).all(|c| c == first)).then(|| first.to_vec())
}

/// A population's first channels, if the others repeat them.
fn merged_population(p: &Population, channels: usize, all: usize) -> Option<Population> {
    let mut kept = p.clone();
    kept.bias = first_of(&p.bias, channels, all)?;
    kept.scale = first_of(&p.scale, channels, all)?;
    kept.neuron = if let Some(n) = p.neuron.get::<GradedNeuron>() {
        let first = |values| first_of(values, channels, all);
        let (multiplier, offset) = (first(&n.multiplier)?, first(&n.offset)?);
        GradedNeuron { multiplier, offset, divisor: first(&n.divisor)?, ..*n }.into()
    } else {
        let n = p.neuron.get::<ThresholdTable>()?;
        let thresholds = first_of(&n.thresholds, channels, all)?;
        ThresholdTable { thresholds, ..*n }.into()
    };
    Some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_repeated_values_are_shortened() {
        assert_eq!(first_of(&[1, 2, 1, 2], 2, 4), Some(vec![1, 2]));
        assert_eq!(first_of(&[1, 2, 1, 3], 2, 4), None);
        assert_eq!(first_of(&[5], 2, 4), Some(vec![5]));
        assert_eq!(first_of::<i64>(&[], 2, 4), Some(vec![]));
        assert_eq!(first_of(&[1, 2], 2, 4), None);
    }
}
