//! Makes a factor and a shift before the quantiser of an input part of its scale and zero point.

use snnc_ir::{Binary, DType, Graph, NodeId, Quantisation, TensorOp};

use super::rewrite::{constant, inherit_before, op, set_op, set_sources};
use super::{Context, Meaning, Pass};
use crate::Error;

pub(super) const PASS: Pass = Pass {
    name: "absorb-affine",
    summary: "makes a factor and a shift before a quantiser part of its scale and zero point",
    meaning: Meaning::Reordered,
    run,
};

fn run(graph: &mut Graph, _: &mut Context) -> Result<bool, Error> {
    let mut changed = false;
    for id in super::order(graph)? {
        while absorb(graph, id).is_some() {
            changed = true;
        }
    }
    Ok(changed)
}

/// `(a x + b) / s + z = x / (s / a) + (z + b / s)`, if the new zero point is a whole number. A real
/// half way between two codes may go to the other one, where the zero point changes parity. A shift of
/// any size joins an offset that is added before rounding in any case. The
/// codes keep their meaning: whoever reads them does so by a dequantiser of its own.
fn absorb(graph: &mut Graph, id: NodeId) -> Option<()> {
    let TensorOp::Quantise(q) = op(graph, id)? else { return None };
    let affine = graph.source(id, 0)?;
    let TensorOp::Binary(function) = op(graph, affine)? else { return None };
    let scalar = |id: NodeId| {
        let value = constant(graph, id).filter(|v| v.len() == 1 && v.dtype() == DType::F32)?;
        value.to_f32().first().copied()
    };
    let (a, b) = (graph.source(affine, 0)?, graph.source(affine, 1)?);
    let (x, value, swapped) = match (scalar(a), scalar(b)) {
        (None, Some(value)) => (a, value, false),
        (Some(value), None) => (b, value, true),
        _ => return None,
    };
    if q.axis.is_some() || graph[x].ty.shape != graph[id].ty.shape {
        return None;
    }
    let scale = q.scale_at(0);
    let mut changed = q.clone();
    match function {
        Binary::Mul if value > 0.0 => changed.scale = vec![scale / value],
        Binary::Div if value > 0.0 && !swapped => changed.scale = vec![scale * value],
        Binary::Add => shift(&mut changed, value / scale)?,
        Binary::Sub if !swapped => shift(&mut changed, -value / scale)?,
        _ => return None,
    }
    if !changed.scale.iter().all(|s| *s > 0.0 && s.is_finite()) {
        return None;
    }
    // Users that are no dequantisers would see codes of another meaning.
    let read = graph.users(id).into_iter();
    if !read.map(|u| op(graph, u)).all(|u| matches!(u, Some(TensorOp::Dequantise(_)))) {
        return None;
    }
    graph[id].ty.quantisation = Some(changed.clone());
    set_op(graph, id, TensorOp::Quantise(changed));
    set_sources(graph, id, &[x]);
    inherit_before(graph, affine, id);
    Some(())
}

fn shift(q: &mut Quantisation, by: f32) -> Option<()> {
    match q.offset_at(0) {
        Some(offset) => q.offset = vec![offset + by],
        None if by.fract() == 0.0 && by.abs() < 1e6 => {
            q.zero_point = vec![q.zero_at(0) + by as i64]
        }
        None => return None,
    }
    Some(())
}
