//! In which order nodes run, and which of them are counted.

use std::collections::HashSet;

use snnc_ir::{Graph, NodeId, SpikingOp};

use super::Why;

/// Whether a node's activity is counted.
pub(super) fn has_activity(graph: &Graph, id: NodeId) -> bool {
    let projects = |&u: &NodeId| matches!(graph[u].as_spiking(), Some(SpikingOp::Projection(_)));
    match graph[id].as_spiking() {
        Some(op) if sends(op) => true,
        _ => graph.users(id).iter().any(projects),
    }
}

/// Whether what a node sends is counted.
pub(super) fn sends(op: &SpikingOp) -> bool {
    match op {
        SpikingOp::Encoder(_)
        | SpikingOp::Population(_)
        | SpikingOp::MaxPool { .. }
        | SpikingOp::RunningMaxPool { .. } => true,
        SpikingOp::Projection(_) | SpikingOp::Concatenate { .. } | SpikingOp::Decoder(_) => false,
    }
}

/// The nodes in an order in which all that a node reads is before it, however late it reads it.
pub(super) fn along(graph: &Graph, order: &[NodeId]) -> Result<Vec<NodeId>, Why> {
    let (mut sorted, mut left) = (Vec::with_capacity(order.len()), order.to_vec());
    let mut known: HashSet<NodeId> = HashSet::new();
    while !left.is_empty() {
        let before = sorted.len();
        left.retain(|&id| {
            let ready = graph.sources(id).iter().all(|source| known.contains(source));
            if ready {
                known.insert(id);
                sorted.push(id);
            }
            !ready
        });
        if sorted.len() == before {
            return Err("it has cycles");
        }
    }
    Ok(sorted)
}
