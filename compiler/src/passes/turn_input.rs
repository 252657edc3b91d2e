//! Lets graph inputs take their channels first, as convolutions do, where the model takes them last.

use snnc_ir::{Graph, NodeId, TensorOp};

use super::rewrite::{constant, op, used_once};
use super::{Context, Meaning, Pass};
use crate::Error;

pub(super) const PASS: Pass = Pass {
    name: "turn-input",
    summary: "lets an input take its channels first where it is transposed at once",
    meaning: Meaning::Kept,
    run,
};

fn run(graph: &mut Graph, context: &mut Context) -> Result<bool, Error> {
    let mut changed = false;
    for id in super::order(graph)? {
        let moves = match op(graph, id) {
            Some(TensorOp::Transpose { permutation }) => channels_to_front(permutation),
            Some(TensorOp::Reshape) => moves_ones(graph, id),
            _ => false,
        };
        let Some(chain) = moves.then(|| chain_to_input(graph, id)).flatten() else { continue };
        let shape = graph[id].ty.shape.clone();
        let transposed = matches!(op(graph, id), Some(TensorOp::Transpose { .. }));
        if let (true, Some(&input)) = (transposed, chain.last()) {
            let text = format!(
                "its channels are taken first, as {shape:?}; samples that have them last are turned"
            );
            context.note(graph[input].name.clone(), text);
        }
        for &node in &chain {
            graph[node].ty.shape.clone_from(&shape);
        }
        if let Some(&last) = chain.first() {
            graph.replace_uses(id, last);
        }
        changed = true;
    }
    Ok(changed)
}

/// Whether the last dimension becomes the second, and the others keep their order.
fn channels_to_front(permutation: &[usize]) -> bool {
    let rank = permutation.len();
    let order = [0, rank.saturating_sub(1)].into_iter().chain(1..rank.saturating_sub(1));
    rank > 2 && permutation.iter().copied().eq(order)
}

/// Whether only dimensions of extent 1 stand elsewhere.
fn moves_ones(graph: &Graph, id: NodeId) -> bool {
    let Some(source) = graph.source(id, 0) else { return false };
    let (from, to) = (&graph[source].ty.shape, &graph[id].ty.shape);
    let extents = |shape: &[usize]| shape.iter().copied().filter(|&d| d != 1).collect::<Vec<_>>();
    from.first() == to.first() && from.len() == to.len() && extents(from) == extents(to)
}

/// The operators before node `id`, up to a graph input, if each works on every element alike and
/// nothing else sees what they give.
fn chain_to_input(graph: &Graph, id: NodeId) -> Option<Vec<NodeId>> {
    let mut chain = Vec::new();
    let mut next = graph.source(id, 0)?;
    loop {
        if !used_once(graph, next) {
            return None;
        }
        chain.push(next);
        let data = match op(graph, next)? {
            TensorOp::Input => return Some(chain),
            TensorOp::Quantise(q) | TensorOp::Dequantise(q) if q.axis.is_none() => 0,
            TensorOp::Unary(_) | TensorOp::Clip { .. } | TensorOp::Cast => 0,
            TensorOp::Binary(_) => {
                let one = |port: usize| {
                    let source = graph.source(next, port)?;
                    constant(graph, source).filter(|value| value.len() == 1)
                };
                match (one(0), one(1)) {
                    (None, Some(_)) => 0,
                    (Some(_), None) => 1,
                    _ => return None,
                }
            }
            _ => return None,
        };
        next = graph.source(next, data)?;
    }
}
