//! Which values of a float network are sent as payloads, and so need a quantiser.

use std::collections::HashSet;

use snnc_ir::query::keeps_grid;
use snnc_ir::{Binary, Graph, NodeId, TensorOp, Unary};

use crate::passes::tail;

/// A value that needs a quantiser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The node whose output it is.
    pub node: NodeId,
    /// Its name, the key of statistics.
    pub name: String,
    /// Whether it can be negative.
    pub signed: bool,
    /// Whether it is a graph input, or one that is normalised channel by channel.
    pub input: bool,
}

/// The sites of a canonical network of the tensor stage, in order of computation.
pub fn sites(graph: &Graph) -> Vec<Site> {
    let order = graph.order().unwrap_or_default();
    // What the host computes takes reals as they are; means and largest values do well on codes.
    let mut host = tail::of_reals(graph);
    host.retain(|&id| !matches!(graph[id].as_tensor(), Some(TensorOp::Pool(_))));
    let mut positive: HashSet<NodeId> = HashSet::new();
    let mut found = Vec::new();
    for id in order {
        if is_positive(graph, id, &positive) {
            positive.insert(id);
        }
        let Some(op) = graph[id].as_tensor() else { continue };
        let input = matches!(op, TensorOp::Input);
        if !input && (keeps_grid(op) || matches!(op, TensorOp::Constant | TensorOp::Output)) {
            continue;
        }
        if graph.users(id).into_iter().any(|user| needs_codes(graph, &host, id, user)) {
            let name = graph[id].name.clone();
            let input = input || is_normalised_input(graph, id);
            found.push(Site { node: id, name, signed: !positive.contains(&id), input });
        }
    }
    found
}

fn is_layer(op: &TensorOp) -> bool {
    matches!(
        op,
        TensorOp::Convolution { .. } | TensorOp::TransposedConvolution { .. } | TensorOp::Dense
    )
}

/// Whether a value is a graph input with a factor and a shift for each channel.
fn is_normalised_input(graph: &Graph, id: NodeId) -> bool {
    let Some(TensorOp::Convolution { window, groups }) = graph[id].as_tensor() else {
        return false;
    };
    let of_input = graph.source(id, 0).and_then(|x| graph[x].as_tensor());
    matches!(of_input, Some(TensorOp::Input))
        && graph[id].ty.shape.get(1) == Some(groups)
        && window.kernel.iter().all(|&k| k == 1)
}

fn is_rectifier(op: &TensorOp) -> bool {
    match op {
        TensorOp::Unary(Unary::Relu) => true,
        TensorOp::Clip { minimum, .. } => *minimum == Some(0.0),
        _ => false,
    }
}

/// Whether `user` can only work on codes of `source`.
fn needs_codes(graph: &Graph, host: &HashSet<NodeId>, source: NodeId, user: NodeId) -> bool {
    if host.contains(&user) {
        return false;
    }
    let (Some(from), Some(op)) = (graph[source].as_tensor(), graph[user].as_tensor()) else {
        return false;
    };
    match op {
        // A rectifier joins the requantiser behind it.
        _ if is_rectifier(op) => false,
        // Accumulators meet in an addition as they are.
        TensorOp::Binary(Binary::Add) if is_layer(from) => false,
        op if keeps_grid(op) && !matches!(op, TensorOp::Pool(_)) => {
            graph.users(user).into_iter().any(|next| needs_codes(graph, host, user, next))
        }
        _ => true,
    }
}

fn is_positive(graph: &Graph, id: NodeId, positive: &HashSet<NodeId>) -> bool {
    let Some(op) = graph[id].as_tensor() else { return false };
    let sources = graph.sources(id);
    match op {
        op if is_rectifier(op) => true,
        TensorOp::Unary(
            Unary::Sigmoid | Unary::HardSigmoid { .. } | Unary::Softplus | Unary::Exp,
        ) => true,
        TensorOp::Pool(_) | TensorOp::Concatenate { .. } | TensorOp::Binary(Binary::Add) => {
            sources.iter().all(|s| positive.contains(s))
        }
        op if keeps_grid(op) => sources.first().is_some_and(|s| positive.contains(s)),
        _ => false,
    }
}
