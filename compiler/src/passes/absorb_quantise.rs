//! Moves quantisers up: through bounds, which become bounds of codes, and before operators that
//! work on codes as well as on reals.

use snnc_ir::query::is_layout;
use snnc_ir::{
    Graph, Node, NodeId, Op, PoolKind, Quantisation, TensorOp, TensorType, Thresholds, Unary,
};

use super::rewrite::{Names, inherit_before, op, set_op, set_sources};
use super::sink_dequantise::on_codes;
use super::{Context, Meaning, Pass};
use crate::Error;

pub(super) const PASS: Pass = Pass {
    name: "absorb-quantise",
    summary: "makes bounds before a quantiser bounds of its codes, and moves it before layout \
              operators",
    meaning: Meaning::Kept,
    run,
};

fn run(graph: &mut Graph, _: &mut Context) -> Result<bool, Error> {
    let mut names = Names::of(graph);
    let mut changed = false;
    let is_quantiser = |graph: &Graph, id: &NodeId| {
        matches!(op(graph, *id), Some(TensorOp::Quantise(_) | TensorOp::Threshold(_)))
    };
    let mut pending: Vec<NodeId> = super::order(graph)?;
    pending.retain(|id| is_quantiser(graph, id));
    while let Some(id) = pending.pop() {
        while absorb(graph, id).is_some() {
            changed = true;
        }
        if let Some(hoisted) = hoist(graph, &mut names, id) {
            pending.extend(hoisted);
            changed = true;
        }
    }
    Ok(changed)
}

/// Quantisation is monotone, so the code of a bounded real is the bounded code.
fn absorb(graph: &mut Graph, id: NodeId) -> Option<()> {
    let TensorOp::Quantise(q) = op(graph, id)? else { return None };
    let bound = graph.source(id, 0)?;
    let (low, high) = match op(graph, bound)? {
        TensorOp::Unary(Unary::Relu) => (Some(0.0), None),
        TensorOp::Clip { minimum, maximum } => (*minimum, *maximum),
        _ => return None,
    };
    let channels = q.scale.len().max(q.zero_point.len());
    // The bounds of codes are those of all channels.
    let common = |real: f64| {
        let code = q.code(real as f32, 0);
        (1..channels).all(|c| q.code(real as f32, c) == code).then_some(code)
    };
    let minimum = low.map_or(Some(q.minimum), common)?;
    let maximum = high.map_or(Some(q.maximum), common)?;
    // The upper bound wins over a lower one above it.
    let q = Quantisation { minimum: minimum.min(maximum), maximum, ..q.clone() };
    let source = graph.source(bound, 0)?;
    graph[id].ty.quantisation = Some(q.clone());
    set_op(graph, id, TensorOp::Quantise(q));
    set_sources(graph, id, &[source]);
    inherit_before(graph, bound, id);
    Some(())
}

/// Compares the operand of a layout operator with thresholds instead of its result.
fn hoist_thresholds(graph: &mut Graph, names: &mut Names, id: NodeId) -> Option<Vec<NodeId>> {
    let TensorOp::Threshold(thresholds) = op(graph, id)?.clone() else { return None };
    let layout = graph.source(id, 0)?;
    let one = thresholds.rows.len() == 1;
    let axis = match op(graph, layout)? {
        TensorOp::Transpose { permutation } => *permutation.get(thresholds.axis)?,
        TensorOp::Pool(pool) if pool.kind == PoolKind::Max => thresholds.axis,
        TensorOp::Reshape if one => thresholds.axis,
        _ => return None,
    };
    let operator = op(graph, layout)?.clone();
    let operand = graph.source(layout, 0)?;
    let codes = graph[id].ty.clone();
    let ty = TensorType { shape: graph[operand].ty.shape.clone(), ..codes };
    let name = names.fresh(&format!("{}.codes", graph[operand].name));
    let thresholds = Thresholds { axis, ..thresholds };
    let node = Node::tensor(name, TensorOp::Threshold(thresholds), ty);
    let hoisted = graph.add(node.with_origins(&graph[id].origins.clone()), &[operand]);
    graph[id].op = Op::Tensor(operator);
    graph[id].origins = graph[layout].origins.clone();
    set_sources(graph, id, &[hoisted]);
    Some(vec![hoisted])
}

/// Quantises the operands of a layout operator instead of its result; the new quantisers.
fn hoist(graph: &mut Graph, names: &mut Names, id: NodeId) -> Option<Vec<NodeId>> {
    if let Some(hoisted) = hoist_thresholds(graph, names, id) {
        return Some(hoisted);
    }
    let TensorOp::Quantise(q) = op(graph, id)? else { return None };
    let q = q.clone();
    let layout = graph.source(id, 0)?;
    let operator = op(graph, layout)?;
    if q.axis.is_some() || !is_layout(operator) {
        return None;
    }
    let operator = on_codes(operator.clone(), &q)?;
    let dtype = graph[id].ty.dtype;
    let mut operands = graph.sources(layout);
    let data = if matches!(operator, TensorOp::Gather { .. }) { 1 } else { operands.len() };
    let mut hoisted = Vec::with_capacity(data);
    for operand in &mut operands[..data] {
        let ty = TensorType::new(dtype, graph[*operand].ty.shape.clone()).quantised(q.clone());
        let name = names.fresh(&format!("{}.codes", graph[*operand].name));
        let node = Node::tensor(name, TensorOp::Quantise(q.clone()), ty);
        let node = node.with_origins(&graph[id].origins.clone());
        *operand = graph.add(node, &[*operand]);
        hoisted.push(*operand);
    }
    graph[id].op = Op::Tensor(operator);
    graph[id].origins = graph[layout].origins.clone();
    set_sources(graph, id, &operands);
    Some(hoisted)
}
