//! Moves constants that are added to a layer into its bias.

use snnc_ir::{Binary, Graph, Node, NodeId, TensorOp, TensorType};

use super::rewrite::{
    Names, add_constant, constant, inherit, op, quantised_constant, set_sources, used_once,
};
use super::{Context, Meaning, Pass};
use crate::Error;

pub(super) const PASS: Pass = Pass {
    name: "fold-bias",
    summary: "moves constants that are added to a layer into its bias",
    meaning: Meaning::Kept,
    run,
};

fn run(graph: &mut Graph, _: &mut Context) -> Result<bool, Error> {
    let mut names = Names::of(graph);
    let mut changed = false;
    for id in super::order(graph)? {
        if !matches!(op(graph, id), Some(TensorOp::Binary(Binary::Add))) {
            continue;
        }
        let sources = graph.sources(id);
        let &[a, b] = sources.as_slice() else { continue };
        changed |= fold(graph, &mut names, id, a, b) || fold(graph, &mut names, id, b, a);
    }
    Ok(changed)
}

/// Makes `bias` the bias of `layer`, if it is a constant with one value for each output or for all,
/// and `sum` is the only use of a layer without a bias.
fn fold(graph: &mut Graph, names: &mut Names, sum: NodeId, layer: NodeId, bias: NodeId) -> bool {
    let is_layer = matches!(op(graph, layer), Some(TensorOp::Dense | TensorOp::Convolution { .. }));
    if !is_layer
        || graph.sources(layer).len() != 2
        || !used_once(graph, layer)
        || graph[sum].ty.shape != graph[layer].ty.shape
    {
        return false;
    }
    let outputs = graph[layer].ty.shape[1];
    let Some(operand) = vector(graph, names, layer, bias, outputs) else { return false };
    let mut sources = graph.sources(layer);
    sources.push(operand);
    set_sources(graph, layer, &sources);
    inherit(graph, sum, layer);
    graph.replace_uses(sum, layer);
    graph.remove(sum);
    true
}

/// A constant as a vector of one value for each output.
fn vector(
    graph: &mut Graph,
    names: &mut Names,
    layer: NodeId,
    bias: NodeId,
    outputs: usize,
) -> Option<NodeId> {
    let shape = graph[bias].ty.shape.clone();
    let rank = graph[layer].ty.shape.len();
    let offset = rank.checked_sub(shape.len())?;
    // Every dimension but that of the channels must be 1.
    let elsewhere = shape.iter().enumerate().any(|(i, &d)| d != 1 && i + offset != 1);
    let count: usize = shape.iter().product();
    if elsewhere || (count != outputs && count != 1) {
        return None;
    }
    if shape == [outputs] && rank == 2 {
        return (constant(graph, bias).is_some() || quantised_constant(graph, bias).is_some())
            .then_some(bias);
    }
    if let Some(value) = constant(graph, bias) {
        if value.dtype() != snnc_ir::DType::F32 {
            return None;
        }
        let values = value.to_f32();
        let values: Vec<f32> = (0..outputs).map(|i| values[i % count]).collect();
        let value = snnc_ir::Tensor::from_f32(&[outputs], &values);
        return Some(add_constant(graph, names, layer, "bias", value));
    }
    let (value, q) = quantised_constant(graph, bias)?;
    if count != outputs {
        return None;
    }
    let (value, mut q) = (value.reshaped(vec![outputs]).ok()?, q.clone());
    q.axis = q.axis.map(|_| 0);
    let codes = add_constant(graph, names, layer, "bias", value);
    let name = names.fresh(&format!("{}.bias.real", graph[layer].name));
    let ty = TensorType::new(snnc_ir::DType::F32, vec![outputs]);
    Some(graph.add(Node::tensor(name, TensorOp::Dequantise(q), ty), &[codes]))
}
