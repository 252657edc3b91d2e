//! Recognises a quantiser that was written out in real arithmetic.
//!
//! Exporters that know no quantisers, or tools that lower QONNX `Quant` to standard operators, leave
//! `(round(clip(x / s + z, low, high)) - z) * s`.

use snnc_ir::{
    Binary, DType, Graph, Node, NodeId, Origin, Quantisation, TensorOp, TensorType, Unary,
};

use super::rewrite::{Names, constant, op, set_op, set_sources};
use super::{Context, Meaning, Pass};
use crate::Error;

pub(super) const PASS: Pass = Pass {
    name: "raise-quantisers",
    summary: "recognises quantisers that are written out as division, bounds and rounding",
    meaning: Meaning::Kept,
    run,
};

fn run(graph: &mut Graph, _: &mut Context) -> Result<bool, Error> {
    let mut names = Names::of(graph);
    let mut changed = false;
    for id in super::order(graph)? {
        changed |= raise(graph, &mut names, id).is_some();
    }
    Ok(changed)
}

/// `id` is the product that ends the pattern; it becomes the dequantiser.
fn raise(graph: &mut Graph, names: &mut Names, id: NodeId) -> Option<()> {
    let mut origins = Vec::new();
    let (rounded, scale) = with_scalar(graph, id, Binary::Mul, &mut origins)?;
    let (rounded, zero) =
        with_scalar(graph, rounded, Binary::Sub, &mut origins).unwrap_or((rounded, 0.0));
    let TensorOp::Unary(Unary::Round) = op(graph, rounded)? else { return None };
    note_origins(graph, rounded, &mut origins);
    let (clipped, bounds) = bounds(graph, graph.source(rounded, 0)?, &mut origins);
    let (low, high) = (bounds.0?, bounds.1?);
    let (shifted, given_zero) =
        with_scalar(graph, clipped, Binary::Add, &mut origins).unwrap_or((clipped, 0.0));
    let (x, given_scale) = match with_scalar(graph, shifted, Binary::Div, &mut origins) {
        Some(found) => found,
        None if scale == 1.0 => (shifted, 1.0),
        None => return None,
    };
    // Rounding commutes with bounds only where they are whole.
    let whole = |v: f64| v.fract() == 0.0 && v.abs() < f64::from(1u32 << 23);
    if scale != given_scale
        || zero != given_zero
        || !(scale > 0.0 && scale.is_finite())
        || ![zero, low, high].into_iter().all(whole)
        || low > high
    {
        return None;
    }
    let (low, high) = (low as i64, high as i64);
    let dtype = [DType::U8, DType::I8, DType::I16, DType::I32]
        .into_iter()
        .find(|d| d.integer_range().is_some_and(|(least, most)| least <= low && high <= most))?;
    let offset = if zero == 0.0 { Vec::new() } else { vec![zero as f32] };
    let q =
        Quantisation { offset, ..Quantisation::per_tensor(scale as f32, zero as i64, low, high) };
    let ty = TensorType::new(dtype, graph[x].ty.shape.clone()).quantised(q.clone());
    let name = names.fresh(&format!("{}.codes", graph[id].name));
    let codes = Node::tensor(name, TensorOp::Quantise(q.clone()), ty).with_origins(&origins);
    let codes = graph.add(codes, &[x]);
    set_op(graph, id, TensorOp::Dequantise(q));
    set_sources(graph, id, &[codes]);
    graph[id].origins = origins;
    Some(())
}

/// The other operand of a node that applies `function` to an array and a constant number.
fn with_scalar(
    graph: &Graph,
    id: NodeId,
    function: Binary,
    origins: &mut Vec<Origin>,
) -> Option<(NodeId, f64)> {
    match op(graph, id)? {
        TensorOp::Binary(found) if *found == function => {}
        _ => return None,
    }
    let scalar = |id: NodeId| {
        let value = constant(graph, id).filter(|v| v.len() == 1 && v.dtype() == DType::F32)?;
        value.to_f32().first().map(|&v| f64::from(v))
    };
    let (a, b) = (graph.source(id, 0)?, graph.source(id, 1)?);
    let commutes = matches!(function, Binary::Add | Binary::Mul | Binary::Min | Binary::Max);
    let found = match (scalar(a), scalar(b)) {
        (_, Some(value)) => (a, value),
        (Some(value), None) if commutes => (b, value),
        _ => return None,
    };
    if graph[found.0].ty.shape != graph[id].ty.shape {
        return None;
    }
    note_origins(graph, id, origins);
    Some(found)
}

/// What stands before up to two bounds, and the bounds: as minimum and maximum, or one clip.
fn bounds(
    graph: &Graph,
    mut id: NodeId,
    origins: &mut Vec<Origin>,
) -> (NodeId, (Option<f64>, Option<f64>)) {
    let mut bounds = (None, None);
    for _ in 0..2 {
        if let Some((x, high)) = with_scalar(graph, id, Binary::Min, origins) {
            (id, bounds.1) = (x, Some(bounds.1.map_or(high, |b: f64| b.min(high))));
        } else if let Some((x, low)) = with_scalar(graph, id, Binary::Max, origins) {
            (id, bounds.0) = (x, Some(bounds.0.map_or(low, |b: f64| b.max(low))));
        } else if let (Some(TensorOp::Clip { minimum, maximum }), Some(x)) =
            (op(graph, id), graph.source(id, 0))
        {
            bounds = (bounds.0.or(*minimum), bounds.1.or(*maximum));
            note_origins(graph, id, origins);
            id = x;
        }
    }
    (id, bounds)
}

/// Puts the origins of `id` before those found behind it.
fn note_origins(graph: &Graph, id: NodeId, origins: &mut Vec<Origin>) {
    let own = graph[id].origins.iter().filter(|o| !origins.contains(o)).cloned();
    let own: Vec<Origin> = own.collect();
    origins.splice(0..0, own);
}
