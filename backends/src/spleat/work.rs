//! One population on its way into the image, and what becomes a layer.

use snnc_ir::analysis::Intervals;
use snnc_ir::{Connectivity, Graph, Node, NodeId, Op, SpikingOp};

use super::geometry::Geometry;
use super::hardware::Hardware;
use crate::{Note, Violation};

/// What becomes a layer, populations and maxima, in order of computation.
pub fn stages(graph: &Graph) -> Vec<NodeId> {
    let order = graph.order().unwrap_or_default();
    let is_stage = |id: &NodeId| {
        matches!(
            graph[*id].op,
            Op::Spiking(
                SpikingOp::Population(_)
                    | SpikingOp::MaxPool { .. }
                    | SpikingOp::RunningMaxPool { .. }
            )
        )
    };
    order.into_iter().filter(is_stage).collect()
}

/// The populations in order of computation.
pub fn populations(graph: &Graph) -> Vec<NodeId> {
    let order = graph.order().unwrap_or_default();
    let is_population =
        |id: &NodeId| matches!(graph[*id].op, Op::Spiking(SpikingOp::Population(_)));
    order.into_iter().filter(is_population).collect()
}

/// One population on its way into the image.
pub(super) struct Work<'a> {
    pub(super) graph: &'a mut Graph,
    pub(super) bounds: &'a Intervals,
    pub(super) hardware: &'a Hardware,
    pub(super) id: NodeId,
    pub(super) notes: &'a mut Vec<Note>,
}

impl Work<'_> {
    pub(super) fn node(&self) -> &Node {
        &self.graph[self.id]
    }

    pub(super) fn violation(&self, reason: impl Into<String>, remedy: &str) -> Violation {
        Violation::new(self.node(), reason, remedy)
    }

    /// Largest magnitude of a channel's weights, gain and shifts included.
    pub(super) fn magnitudes(&self, channels: usize) -> Vec<i64> {
        let mut magnitudes = vec![0i64; channels];
        for id in self.graph.sources(self.id) {
            let Some((_, folded)) = self.folded(id, &vec![1; channels]) else { continue };
            let each = (folded.len() / channels.max(1)).max(1);
            for (channel, row) in folded.chunks(each).enumerate().take(channels) {
                let largest = row.iter().map(|w| w.saturating_abs()).max().unwrap_or(0);
                magnitudes[channel] = magnitudes[channel].max(largest);
            }
        }
        magnitudes
    }

    /// Geometry, and weights times gains, shifts and multipliers, of one projection.
    pub(super) fn folded(&self, id: NodeId, multipliers: &[i64]) -> Option<(Geometry, Vec<i64>)> {
        let node = &self.graph[id];
        let Op::Spiking(SpikingOp::Projection(projection)) = &node.op else { return None };
        let source = self.graph.source(id, 0)?;
        let shape = &self.graph[source].ty.shape;
        let geometry = Geometry::of(&projection.connectivity, shape, &node.ty.shape).ok()?;
        let mut weights = node.data.as_ref()?.to_i64().ok()?;
        let channels = multipliers.len();
        if projection.connectivity == Connectivity::OneToOne && weights.len() == 1 {
            weights = vec![weights[0]; channels];
        }
        let each = (weights.len() / channels.max(1)).max(1);
        let cells = (geometry.kernel[0] * geometry.kernel[1]).max(1);
        let per_target_group = (channels / geometry.groups.max(1)).max(1);
        let shift = |channel: usize, index: usize| match projection.input_shift.as_slice() {
            [] => 0,
            [shift] => *shift,
            shifts if geometry.dense => shifts[index],
            shifts => {
                let group = channel / per_target_group;
                shifts[group * geometry.inputs_per_group() + index / cells]
            }
        };
        for (channel, row) in weights.chunks_mut(each).enumerate() {
            let factor = projection.gain_at(channel).saturating_mul(multipliers[channel]);
            for (index, w) in row.iter_mut().enumerate() {
                *w = w.saturating_mul(factor).saturating_mul(1 << shift(channel, index).min(31));
            }
        }
        Some((geometry, weights))
    }
}
