//! Makes bounds on codes part of their quantisation, as in quantise, clip, dequantise.

use snnc_ir::{Graph, NodeId, Quantisation, TensorOp};

use super::rewrite::{inherit, op, set_op, used_once};
use super::{Context, Meaning, Pass};
use crate::Error;

pub(super) const PASS: Pass = Pass {
    name: "merge-clip",
    summary: "makes bounds on codes part of their quantisation",
    meaning: Meaning::Kept,
    run,
};

fn run(graph: &mut Graph, _: &mut Context) -> Result<bool, Error> {
    let mut changed = false;
    for id in super::order(graph)? {
        changed |= merge(graph, id).is_some() | narrow(graph, id).is_some();
    }
    Ok(changed)
}

/// Bounds of codes that only the bounded value uses become the quantiser's own.
fn merge(graph: &mut Graph, id: NodeId) -> Option<()> {
    let TensorOp::Clip { minimum, maximum } = op(graph, id)? else { return None };
    let (minimum, maximum) = (*minimum, *maximum);
    let source = graph.source(id, 0)?;
    let TensorOp::Quantise(q) = op(graph, source)? else { return None };
    if !used_once(graph, source) {
        return None;
    }
    let within = |code: f64| (code as i64).clamp(q.minimum, q.maximum);
    let low = minimum.map_or(q.minimum, |m| within(m.ceil()));
    let high = maximum.map_or(q.maximum, |m| within(m.floor()));
    // The upper bound is applied last, so it wins over a lower bound above it.
    let q = Quantisation { minimum: low.min(high), maximum: high, ..q.clone() };
    graph[source].ty.quantisation = Some(q.clone());
    set_op(graph, source, TensorOp::Quantise(q));
    inherit(graph, id, source);
    graph.replace_uses(id, source);
    Some(())
}

/// A dequantiser knows the range of what it is given.
fn narrow(graph: &mut Graph, id: NodeId) -> Option<()> {
    let TensorOp::Dequantise(q) = op(graph, id)? else { return None };
    let given = graph[graph.source(id, 0)?].ty.quantisation.as_ref()?;
    if (given.minimum, given.maximum) == (q.minimum, q.maximum) || !same_scale(q, given) {
        return None;
    }
    let q = Quantisation { minimum: given.minimum, maximum: given.maximum, ..q.clone() };
    set_op(graph, id, TensorOp::Dequantise(q));
    Some(())
}

/// Whether codes mean the same reals in both.
pub(super) fn same_scale(a: &Quantisation, b: &Quantisation) -> bool {
    a.scale == b.scale && a.zero_point == b.zero_point && a.axis == b.axis
}
