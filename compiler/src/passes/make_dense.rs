//! Turns products with constant matrices into dense layers.

use snnc_ir::{Graph, Node, NodeId, Quantisation, Tensor, TensorOp, TensorType};

use super::rewrite::{Names, add_constant, constant, op, quantised_constant, set_op, set_sources};
use super::{Context, Meaning, Pass};
use crate::Error;
use crate::fold;

pub(super) const PASS: Pass = Pass {
    name: "make-dense",
    summary: "turns products with constant matrices into dense layers",
    meaning: Meaning::Kept,
    run,
};

fn run(graph: &mut Graph, _: &mut Context) -> Result<bool, Error> {
    let mut names = Names::of(graph);
    let mut changed = false;
    for id in super::order(graph)? {
        if matches!(op(graph, id), Some(TensorOp::MatrixProduct)) {
            changed |= dense(graph, &mut names, id).is_some();
        }
    }
    Ok(changed)
}

fn dense(graph: &mut Graph, names: &mut Names, id: NodeId) -> Option<()> {
    let (x, weights) = (graph.source(id, 0)?, graph.source(id, 1)?);
    if graph[x].ty.shape.len() != 2 || graph[weights].ty.shape.len() != 2 {
        return None;
    }
    let operand = if let Some(value) = constant(graph, weights) {
        let value = transposed(value)?;
        add_constant(graph, names, id, "weights", value)
    } else {
        let (value, q) = quantised_constant(graph, weights)?;
        let (value, mut q): (_, Quantisation) = (transposed(value)?, q.clone());
        q.axis = q.axis.map(|axis| 1 - axis);
        let shape = value.shape().to_vec();
        let codes = add_constant(graph, names, id, "weights", value);
        let ty = TensorType::new(snnc_ir::DType::F32, shape);
        let name = names.fresh(&format!("{}.weights.real", graph[id].name));
        let node = Node::tensor(name, TensorOp::Dequantise(q), ty);
        let origins = graph[weights].origins.clone();
        graph.add(node.with_origins(&origins), &[codes])
    };
    set_op(graph, id, TensorOp::Dense);
    set_sources(graph, id, &[x, operand]);
    Some(())
}

fn transposed(x: &Tensor) -> Option<Tensor> {
    let ty = TensorType::new(x.dtype(), x.shape().iter().rev().copied().collect::<Vec<_>>());
    fold::evaluate(&TensorOp::Transpose { permutation: vec![1, 0] }, &[x], &ty)
}
