//! Turns a factor and a shift for each channel into a depthwise convolution of one tap.

use snnc_ir::{Binary, DType, Graph, NodeId, Tensor, TensorOp, Window};

use super::rewrite::{Names, add_constant, constant, inherit, op, set_op, set_sources};
use super::{Context, Meaning, Pass};
use crate::Error;

pub(super) const PASS: Pass = Pass {
    name: "make-depthwise",
    summary: "turns a factor and a shift for each channel into a depthwise convolution of one tap",
    meaning: Meaning::Reordered,
    run,
};

/// Where a network is quantised, its own quantisers say which products are layers.
fn run(graph: &mut Graph, _: &mut Context) -> Result<bool, Error> {
    let quantiser =
        |id: NodeId| matches!(op(graph, id), Some(TensorOp::Quantise(_) | TensorOp::Dequantise(_)));
    if graph.ids().any(quantiser) {
        return Ok(false);
    }
    let mut names = Names::of(graph);
    let mut changed = false;
    for id in super::order(graph)?.into_iter().rev() {
        changed |= convert(graph, &mut names, id).is_some();
    }
    Ok(changed)
}

/// `y = factor * x + shift`, channel by channel.
struct Affine {
    x: NodeId,
    factor: Vec<f64>,
    shift: Vec<f64>,
}

fn convert(graph: &mut Graph, names: &mut Names, id: NodeId) -> Option<()> {
    let mut whole = affine(graph, id)?;
    let mut passed = Vec::new();
    while graph.users(whole.x).len() == 1
        && let Some(before) = affine(graph, whole.x)
    {
        passed.push(whole.x);
        for c in 0..whole.factor.len() {
            whole.shift[c] += whole.factor[c] * before.shift[c];
            whole.factor[c] *= before.factor[c];
        }
        whole.x = before.x;
    }
    let channels = whole.factor.len();
    let axes = graph[id].ty.shape.len() - 2;
    let single = |values: &[f64]| values.iter().map(|&v| v as f32).collect::<Vec<f32>>();
    let shape = [&[channels, 1], vec![1; axes].as_slice()].concat();
    let weights = Tensor::from_f32(&shape, &single(&whole.factor));
    let weights = add_constant(graph, names, id, "weights", weights);
    let bias = Tensor::from_f32(&[channels], &single(&whole.shift));
    let bias = add_constant(graph, names, id, "bias", bias);
    let window = Window::plain(&vec![1; axes]);
    set_op(graph, id, TensorOp::Convolution { window, groups: channels });
    set_sources(graph, id, &[whole.x, weights, bias]);
    for node in passed {
        inherit(graph, node, id);
    }
    Some(())
}

/// Node `id` as a factor and a shift for each channel of maps, if one of these differs between
/// channels: what is the same for all of them becomes a table.
fn affine(graph: &Graph, id: NodeId) -> Option<Affine> {
    let TensorOp::Binary(function) = op(graph, id)? else { return None };
    let (a, b) = (graph.source(id, 0)?, graph.source(id, 1)?);
    let (x, value, swapped) = match (values(graph, a, id), values(graph, b, id)) {
        (None, Some(value)) => (a, value, false),
        (Some(value), None) => (b, value, true),
        _ => return None,
    };
    if graph[x].ty.shape != graph[id].ty.shape {
        return None;
    }
    let channels = value.len();
    let (ones, zeros) = (vec![1.0; channels], vec![0.0; channels]);
    let negated = |v: &[f64]| v.iter().map(|v| -v).collect::<Vec<f64>>();
    let (factor, shift) = match function {
        Binary::Add => (ones, value),
        Binary::Sub if swapped => (negated(&ones), value),
        Binary::Sub => (ones, negated(&value)),
        Binary::Mul => (value, zeros),
        Binary::Div if !swapped && value.iter().all(|v| *v != 0.0) => {
            (value.iter().map(|v| 1.0 / v).collect(), zeros)
        }
        _ => return None,
    };
    Some(Affine { x, factor, shift })
}

/// A constant of one real for each channel of the maps of node `id`.
fn values(graph: &Graph, constant_id: NodeId, id: NodeId) -> Option<Vec<f64>> {
    let value = constant(graph, constant_id).filter(|v| v.dtype() == DType::F32)?;
    let own = &graph[id].ty.shape;
    let channels = *own.get(1).filter(|c| own.len() > 2 && **c > 1)?;
    let leading = own.len().checked_sub(value.shape().len())?;
    let along =
        |(axis, &extent): (usize, &usize)| extent == if axis + leading == 1 { channels } else { 1 };
    (value.len() == channels && value.shape().iter().enumerate().all(along))
        .then(|| value.to_f32().into_iter().map(f64::from).collect())
}
