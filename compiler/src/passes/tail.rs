//! The tail of a network: what computes on reals between its last values on codes and its outputs, and is
//! left to the host.

use std::collections::HashSet;

use snnc_ir::query::is_movement;
use snnc_ir::{Graph, NodeId, TensorOp};

/// Whether the host can apply an operator to what a network shows: functions of few elements and
/// layout, but no layers, whose work is what the network is there for.
pub(crate) fn is_host(op: &TensorOp) -> bool {
    match op {
        TensorOp::Unary(_)
        | TensorOp::Threshold(_)
        | TensorOp::Binary(_)
        | TensorOp::Clip { .. }
        | TensorOp::Cast
        | TensorOp::Select
        | TensorOp::Softmax { .. }
        | TensorOp::ArgMax { .. }
        | TensorOp::Reduce { .. }
        | TensorOp::BatchNormalisation { .. } => true,
        TensorOp::Pool(pool) => !pool.is_of_codes(),
        other => is_movement(other),
    }
}

/// The outputs, and the nodes that `belongs` names whose values nothing but such nodes read.
pub(crate) fn tail(graph: &Graph, belongs: impl Fn(NodeId, &TensorOp) -> bool) -> HashSet<NodeId> {
    let mut found = HashSet::new();
    for id in graph.order().unwrap_or_default().into_iter().rev() {
        let Some(op) = graph[id].as_tensor() else { continue };
        let users = graph.users(id);
        let inside = !users.is_empty() && users.iter().all(|user| found.contains(user));
        if matches!(op, TensorOp::Output) || (inside && belongs(id, op)) {
            found.insert(id);
        }
    }
    found
}

/// The tail of a network in tensor operators, quantisers within it included.
pub(crate) fn of_reals(graph: &Graph) -> HashSet<NodeId> {
    let quantiser = |op: &TensorOp| matches!(op, TensorOp::Quantise(_) | TensorOp::Dequantise(_));
    tail(graph, |_, op| is_host(op) || quantiser(op))
}

/// Of a tail, what an output shows without a quantiser between: no codes stand for these values.
pub(crate) fn unquantised(graph: &Graph, tail: &HashSet<NodeId>) -> HashSet<NodeId> {
    let mut found = HashSet::new();
    for id in graph.order().unwrap_or_default().into_iter().rev() {
        let shown = match graph[id].as_tensor() {
            Some(TensorOp::Output) => true,
            Some(TensorOp::Quantise(_)) | None => false,
            Some(_) => graph.users(id).iter().any(|user| found.contains(user)),
        };
        if shown && tail.contains(&id) {
            found.insert(id);
        }
    }
    found
}
