//! Turns means over whole maps into poolings.

use snnc_ir::{Graph, Node, NodeId, Pool, PoolKind, SumOrder, TensorOp, TensorType, Window};

use super::rewrite::{Names, op, set_op, set_sources};
use super::{Context, Meaning, Pass};
use crate::Error;

pub(super) const PASS: Pass = Pass {
    name: "reduce-to-pool",
    summary: "turns means over whole maps into poolings",
    meaning: Meaning::Kept,
    run,
};

fn run(graph: &mut Graph, _: &mut Context) -> Result<bool, Error> {
    let mut names = Names::of(graph);
    let mut changed = false;
    for id in super::order(graph)? {
        changed |= rewrite(graph, &mut names, id).is_some();
    }
    Ok(changed)
}

fn rewrite(graph: &mut Graph, names: &mut Names, id: NodeId) -> Option<()> {
    let TensorOp::Reduce { axes, mean: true } = op(graph, id)? else { return None };
    let x = graph.source(id, 0)?;
    let from = graph[x].ty.clone();
    if from.shape.len() < 3 || !axes.iter().copied().eq(2..from.shape.len()) {
        return None;
    }
    let window = Window::plain(&from.shape[2..]);
    let pool = Pool { kind: PoolKind::Average, window, order: SumOrder::AlignedLanes };
    let mut shape = from.shape[..2].to_vec();
    shape.resize(from.shape.len(), 1);
    let ty = TensorType::new(from.dtype, shape);
    let name = names.fresh(&format!("{}.pool", graph[id].name));
    let origins = graph[id].origins.clone();
    let node = Node::tensor(name, TensorOp::Pool(pool), ty).with_origins(&origins);
    let pooled = graph.add(node, &[x]);
    set_op(graph, id, TensorOp::Reshape);
    set_sources(graph, id, &[pooled]);
    Some(())
}
