//! Weights of sigma-delta layers, and where they come from.

use snnc_ir::{Connectivity, Graph, NodeId, Projection, Tensor};

/// Weights of a layer in canonical integers, with what second neurons add.
pub(super) struct Synapses {
    /// Rows first.
    pub(super) shape: Vec<usize>,
    /// Row by row.
    pub(super) weights: Vec<i64>,
}

impl Synapses {
    /// The weights of `data` onto twice the rows if `targets`, from twice the channels if `sources`:
    /// the second ones take back.
    pub(super) fn doubled(data: &Tensor, targets: bool, sources: bool) -> Option<Synapses> {
        let (mut weights, mut shape) = (data.to_i64().ok()?, data.shape().to_vec());
        let rows = *shape.first()?;
        if sources {
            let width = (weights.len() / rows.max(1)).max(1);
            let both = |row: &[i64]| row.iter().copied().chain(row.iter().map(|w| -w)).collect();
            weights = weights.chunks(width).flat_map::<Vec<i64>, _>(both).collect();
            *shape.get_mut(1)? *= 2;
        }
        if targets {
            weights.extend_from_within(..);
            *shape.first_mut()? *= 2;
        }
        Some(Synapses { shape, weights })
    }
}

/// Number of weights that meet in one neuron.
pub(super) fn fan_in(network: &Graph, projection: NodeId) -> usize {
    let weights = network[projection].data.as_ref().map_or(&[][..], Tensor::shape);
    weights.iter().skip(1).product()
}

/// For each group of target channels the source channel of each weight of a row.
pub(super) fn source_channels(
    projection: &Projection,
    shape: &[usize],
    channels: usize,
) -> Vec<Vec<usize>> {
    let width = shape.iter().skip(1).product::<usize>();
    match &projection.connectivity {
        Connectivity::Convolution { groups, .. } => {
            let per_group = shape.get(1).copied().unwrap_or(1);
            let taps = width / per_group.max(1);
            (0..*groups)
                .map(|g| (0..width).map(|i| g * per_group + i / taps.max(1)).collect())
                .collect()
        }
        _ => {
            let plane = width / channels.max(1);
            vec![(0..width).map(|i| i / plane.max(1)).collect()]
        }
    }
}
