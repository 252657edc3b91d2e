//! Moves dequantisers behind operators that work on codes as well.

use snnc_ir::query::is_layout;
use snnc_ir::{Graph, Node, NodeId, Quantisation, TensorOp, TensorType};

use super::merge_clip::same_scale;
use super::rewrite::{Names, op, set_sources};
use super::{Context, Meaning, Pass};
use crate::Error;

pub(super) const PASS: Pass = Pass {
    name: "sink-dequantise",
    summary: "moves dequantisers behind operators that work on codes as well",
    meaning: Meaning::Kept,
    run,
};

fn run(graph: &mut Graph, _: &mut Context) -> Result<bool, Error> {
    let mut names = Names::of(graph);
    let mut changed = false;
    // In order of computation, so a dequantiser goes through a whole row of operators.
    for id in super::order(graph)? {
        changed |= sink(graph, &mut names, id).is_some();
    }
    Ok(changed)
}

fn sink(graph: &mut Graph, names: &mut Names, id: NodeId) -> Option<()> {
    let operator = op(graph, id)?.clone();
    if !is_layout(&operator) || !graph[id].ty.dtype.is_float() {
        return None;
    }
    let data = graph.sources(id);
    // The indices of a selection are no data.
    let count = if matches!(operator, TensorOp::Gather { .. }) { 1 } else { data.len() };
    let mut codes = Vec::with_capacity(data.len());
    let mut common: Option<Quantisation> = None;
    for &source in &data[..count] {
        let TensorOp::Dequantise(q) = op(graph, source)? else { return None };
        let q = q.clone();
        let inner = graph.source(source, 0)?;
        if codes.first().is_some_and(|&c: &NodeId| graph[c].ty.dtype != graph[inner].ty.dtype) {
            return None;
        }
        common = Some(match common {
            None => q,
            Some(first) if same_scale(&first, &q) => Quantisation {
                minimum: first.minimum.min(q.minimum),
                maximum: first.maximum.max(q.maximum),
                ..first
            },
            Some(_) => return None,
        });
        codes.push(inner);
    }
    let first = *codes.first()?;
    let q = moved(&operator, &common?, &graph[first].ty.shape, &graph[id].ty.shape)?;
    let operator = on_codes(operator, &q)?;
    codes.extend_from_slice(&data[count..]);
    let dtype = graph[first].ty.dtype;
    let real = graph[id].ty.clone();
    let name = names.fresh(&format!("{}.real", graph[id].name));
    let node = Node::tensor(name, TensorOp::Dequantise(q.clone()), real.clone());
    let node = node.with_origins(&graph[id].origins.clone());
    let dequantised = graph.add(node, &[]);
    graph.replace_uses(id, dequantised);
    set_sources(graph, dequantised, &[id]);
    set_sources(graph, id, &codes);
    graph[id].op = snnc_ir::Op::Tensor(operator);
    graph[id].ty = TensorType::new(dtype, real.shape).quantised(q);
    Some(())
}

/// The quantisation behind an operator of that before it; `None` if scales of channels would be
/// mixed.
pub(super) fn moved(
    op: &TensorOp,
    q: &Quantisation,
    from: &[usize],
    to: &[usize],
) -> Option<Quantisation> {
    let Some(axis) = q.axis else { return Some(q.clone()) };
    let axis = match op {
        TensorOp::Transpose { permutation } => permutation.iter().position(|&p| p == axis)?,
        // Channels whose cells become features have one entry for each of these.
        TensorOp::Reshape
            if axis == 1 && to.len() == 2 && from.first() == to.first() && from.len() > 2 =>
        {
            let cells: usize = from[2..].iter().product();
            let spread = |n: usize| if n == 1 { 1 } else { cells };
            return Some(Quantisation {
                axis: Some(1),
                scale: repeated(&q.scale, spread(q.scale.len())),
                zero_point: repeated(&q.zero_point, spread(q.zero_point.len())),
                offset: repeated(&q.offset, spread(q.offset.len())),
                ..q.clone()
            });
        }
        TensorOp::Reshape => {
            let before: usize = from.get(..axis)?.iter().product();
            (0..to.len())
                .find(|&j| to[j] == from[axis] && to[..j].iter().product::<usize>() == before)?
        }
        TensorOp::Pool(_) if axis == 1 => axis,
        _ => return None,
    };
    Some(Quantisation { axis: Some(axis), ..q.clone() })
}

/// Every element so many times in a row.
fn repeated<T: Clone>(values: &[T], times: usize) -> Vec<T> {
    values.iter().flat_map(|v| std::iter::repeat_n(v.clone(), times)).collect()
}

/// The operator for codes: what is filled in must be a code; `None` if the real is none.
pub(super) fn on_codes(op: TensorOp, q: &Quantisation) -> Option<TensorOp> {
    match op {
        TensorOp::Pad { before, after, value } => {
            let code = q.code(value as f32, 0);
            let channels = q.scale.len().max(q.zero_point.len());
            let exact = (0..channels)
                .all(|c| q.code(value as f32, c) == code && q.real(code, c) == value as f32);
            exact.then_some(TensorOp::Pad { before, after, value: code as f64 })
        }
        other => Some(other),
    }
}
