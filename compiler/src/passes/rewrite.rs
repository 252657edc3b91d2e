//! What rewriting passes share.

pub(crate) use snnc_ir::query::Names;
use snnc_ir::{Graph, Node, NodeId, Op, Operand, Quantisation, Tensor, TensorOp};

/// The operator of a node in a tensor stage.
pub(crate) fn op(graph: &Graph, id: NodeId) -> Option<&TensorOp> {
    graph[id].as_tensor()
}

/// The value of a constant.
pub(crate) fn constant(graph: &Graph, id: NodeId) -> Option<&Tensor> {
    match op(graph, id)? {
        TensorOp::Constant => graph[id].data.as_ref(),
        _ => None,
    }
}

/// The codes and the quantisation of a constant that is dequantised.
pub(crate) fn quantised_constant(graph: &Graph, id: NodeId) -> Option<(&Tensor, &Quantisation)> {
    let TensorOp::Dequantise(q) = op(graph, id)? else { return None };
    Some((constant(graph, graph.source(id, 0)?)?, q))
}

/// Whether nothing but one operand of one node uses the value.
pub(crate) fn used_once(graph: &Graph, id: NodeId) -> bool {
    graph.users(id).len() == 1
}

/// Replaces the operands, all without delay.
pub(crate) fn set_sources(graph: &mut Graph, id: NodeId, sources: &[NodeId]) {
    let operands: Vec<Operand> =
        sources.iter().map(|&source| Operand { source, delay: 0 }).collect();
    graph.set_operands(id, &operands);
}

/// Replaces the operator of a node.
pub(crate) fn set_op(graph: &mut Graph, id: NodeId, op: TensorOp) {
    graph[id].op = Op::Tensor(op);
}

/// Adds a constant made for node `of`.
pub(crate) fn add_constant(
    graph: &mut Graph,
    names: &mut Names,
    of: NodeId,
    what: &str,
    value: Tensor,
) -> NodeId {
    let name = names.fresh(&format!("{}.{what}", graph[of].name));
    let node = Node::constant(name, value).with_origins(&graph[of].origins.clone());
    graph.add(node, &[])
}

/// Adds the origins of `from` behind those of `to`, each once.
pub(crate) fn inherit(graph: &mut Graph, from: NodeId, to: NodeId) {
    for origin in graph[from].origins.clone() {
        if !graph[to].origins.contains(&origin) {
            graph[to].origins.push(origin);
        }
    }
}

/// Puts the origins of `from` before those of `to`, each once.
pub(crate) fn inherit_before(graph: &mut Graph, from: NodeId, to: NodeId) {
    let mut origins = graph[from].origins.clone();
    for origin in &graph[to].origins {
        if !origins.contains(origin) {
            origins.push(origin.clone());
        }
    }
    graph[to].origins = origins;
}
