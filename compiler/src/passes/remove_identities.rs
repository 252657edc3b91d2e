//! Removes operators that change nothing, and joins layout operators in a row.

use snnc_ir::{Graph, NodeId, TensorOp};

use super::rewrite::{op, set_op, set_sources};
use super::{Context, Meaning, Pass};
use crate::Error;

pub(super) const PASS: Pass = Pass {
    name: "remove-identities",
    summary: "removes operators that change nothing and joins layout operators in a row",
    meaning: Meaning::Kept,
    run,
};

fn run(graph: &mut Graph, _: &mut Context) -> Result<bool, Error> {
    let mut changed = false;
    for id in super::order(graph)? {
        changed |= join(graph, id);
        if let Some(source) = graph.source(id, 0)
            && is_identity(graph, id, source)
        {
            graph.replace_uses(id, source);
            changed = true;
        }
    }
    Ok(changed)
}

fn is_identity(graph: &Graph, id: NodeId, source: NodeId) -> bool {
    let (node, from) = (&graph[id], &graph[source]);
    if node.ty.shape != from.ty.shape || node.ty.dtype != from.ty.dtype {
        return false;
    }
    match op(graph, id) {
        Some(TensorOp::Reshape | TensorOp::Expand | TensorOp::Cast) => true,
        Some(TensorOp::Clip { minimum, maximum }) => minimum.is_none() && maximum.is_none(),
        Some(TensorOp::Transpose { permutation }) => permutation.is_sorted(),
        Some(TensorOp::Pad { before, after, .. }) => before.iter().chain(after).all(|&p| p == 0),
        Some(TensorOp::Slice { step, .. }) => step.iter().all(|&s| s == 1),
        Some(TensorOp::Concatenate { .. }) => graph.sources(id).len() == 1,
        Some(TensorOp::Upsample { factors }) => factors.iter().all(|&f| f == 1),
        _ => false,
    }
}

/// Lets a layout operator take the operand of one before it that does the same kind of thing.
fn join(graph: &mut Graph, id: NodeId) -> bool {
    let Some(first) = graph.source(id, 0) else { return false };
    let Some(origin) = graph.source(first, 0) else { return false };
    let joined = match (op(graph, first), op(graph, id)) {
        (Some(TensorOp::Reshape), Some(TensorOp::Reshape)) => TensorOp::Reshape,
        (
            Some(TensorOp::Transpose { permutation: a }),
            Some(TensorOp::Transpose { permutation: b }),
        ) => TensorOp::Transpose { permutation: b.iter().map(|&i| a[i]).collect() },
        // A transposition that only moves dimensions of extent 1 reorders no element.
        (_, Some(TensorOp::Transpose { permutation })) => {
            let shape = &graph[first].ty.shape;
            let mut moved = permutation.iter().filter(|&&p| shape[p] != 1);
            if permutation.is_sorted() || !moved.by_ref().is_sorted() {
                return false;
            }
            set_op(graph, id, TensorOp::Reshape);
            return true;
        }
        _ => return false,
    };
    set_op(graph, id, joined);
    set_sources(graph, id, &[origin]);
    true
}
