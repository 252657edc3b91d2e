//! Evaluates operators on constants.

use snnc_ir::{Graph, NodeId, Tensor, TensorOp};

use super::rewrite::{constant, op};
use super::{Context, Meaning, Pass};
use crate::Error;
use crate::fold;

/// Bytes that evaluation may add to any graph.
const BUDGET: usize = 4 << 20;

/// Bytes that evaluation may add for each byte of constants; weights are scaled and turned.
const GROWTH: usize = 2;

pub(super) const PASS: Pass = Pass {
    name: "fold-constants",
    summary: "evaluates operators on constants, but keeps weights as codes",
    meaning: Meaning::Kept,
    run,
};

fn run(graph: &mut Graph, _: &mut Context) -> Result<bool, Error> {
    let constants = graph.ids().filter_map(|id| constant(graph, id)).map(|t| t.bytes().len());
    let mut budget = BUDGET.saturating_add(constants.sum::<usize>().saturating_mul(GROWTH));
    let mut changed = false;
    for id in super::order(graph)? {
        if let Some(value) = evaluated(graph, id, budget) {
            budget = budget.saturating_sub(value.bytes().len());
            graph[id].op = snnc_ir::Op::Tensor(TensorOp::Constant);
            graph[id].data = Some(value);
            graph.set_operands(id, &[]);
            changed = true;
        }
    }
    Ok(changed)
}

fn evaluated(graph: &Graph, id: NodeId, budget: usize) -> Option<Tensor> {
    let (node, sources) = (&graph[id], graph.sources(id));
    if sources.is_empty() || node.ty.dtype.byte_len(node.ty.len())? > budget {
        return None;
    }
    let operands: Option<Vec<&Tensor>> = sources.iter().map(|&s| constant(graph, s)).collect();
    let operands = operands?;
    match op(graph, id)? {
        TensorOp::Output | TensorOp::Dequantise(_) => None,
        other => fold::evaluate(other, &operands, &node.ty),
    }
}
