//! Moves batch normalisation, and any other factor and shift of channels, into the layer before it.

use snnc_ir::{Binary, DType, Graph, Node, NodeId, Quantisation, Tensor, TensorOp, TensorType};

use super::rewrite::{
    Names, add_constant, constant, inherit, op, quantised_constant, set_op, set_sources, used_once,
};
use super::{Context, Meaning, Pass};
use crate::Error;

pub(super) const PASS: Pass = Pass {
    name: "fold-batch-normalisation",
    summary: "moves factors and shifts of channels into the layer before",
    meaning: Meaning::Reordered,
    run,
};

/// `y = factor[c] * x + shift[c]`.
struct Affine {
    factor: Vec<f64>,
    shift: Vec<f64>,
}

fn run(graph: &mut Graph, _: &mut Context) -> Result<bool, Error> {
    let mut names = Names::of(graph);
    let mut changed = false;
    for id in super::order(graph)? {
        let Some((x, affine)) = affine(graph, id) else { continue };
        if fold(graph, &mut names, id, x, &affine).is_some() {
            changed = true;
        } else if matches!(op(graph, id), Some(TensorOp::BatchNormalisation { .. })) {
            expand(graph, &mut names, id, x, &affine);
            changed = true;
        }
    }
    Ok(changed)
}

/// The operand of a node that scales and shifts channels, and by how much.
fn affine(graph: &Graph, id: NodeId) -> Option<(NodeId, Affine)> {
    let sources = graph.sources(id);
    let x = *sources.first()?;
    let channels = *graph[id].ty.shape.get(1)?;
    let reals = |id: NodeId| {
        let value = constant(graph, id).filter(|t| t.dtype() == DType::F32)?;
        Some(value.to_f32().into_iter().map(f64::from).collect::<Vec<f64>>())
    };
    match op(graph, id)? {
        TensorOp::BatchNormalisation { epsilon } => {
            let epsilon = f64::from(*epsilon);
            let [scale, bias, mean, variance] =
                [1, 2, 3, 4].map(|i| sources.get(i).and_then(|&s| reals(s)));
            let (scale, bias, mean, variance) = (scale?, bias?, mean?, variance?);
            let factor: Vec<f64> =
                scale.iter().zip(&variance).map(|(s, v)| s / (v + epsilon).sqrt()).collect();
            let shifted = mean.iter().zip(&factor).zip(&bias);
            let shift = shifted.map(|((m, f), b)| b - m * f).collect();
            Some((x, Affine { factor, shift }))
        }
        TensorOp::Binary(function) => {
            let second = *sources.get(1)?;
            let (x, other) =
                if constant(graph, second).is_some() { (x, second) } else { (second, x) };
            let swapped = other != second;
            let values = per_channel(graph, id, other, channels)?;
            let (one, zero) = (vec![1.0; channels], vec![0.0; channels]);
            let affine = match (function, swapped) {
                (Binary::Mul, _) => Affine { factor: values, shift: zero },
                (Binary::Div, false) => {
                    Affine { factor: values.iter().map(|v| 1.0 / v).collect(), shift: zero }
                }
                (Binary::Add, _) => Affine { factor: one, shift: values },
                (Binary::Sub, false) => {
                    Affine { factor: one, shift: values.iter().map(|v| -v).collect() }
                }
                (Binary::Sub, true) => Affine { factor: vec![-1.0; channels], shift: values },
                _ => return None,
            };
            Some((x, affine))
        }
        _ => None,
    }
}

/// A constant with one value for each channel of node `id`, or one for all.
fn per_channel(graph: &Graph, id: NodeId, other: NodeId, channels: usize) -> Option<Vec<f64>> {
    let value = constant(graph, other).filter(|t| t.dtype() == DType::F32)?;
    let (rank, shape) = (graph[id].ty.shape.len(), value.shape());
    let offset = rank.checked_sub(shape.len())?;
    if shape.iter().enumerate().any(|(i, &d)| d != 1 && i + offset != 1) {
        return None;
    }
    let values = value.to_f32();
    let count = values.len();
    (count == channels || count == 1)
        .then(|| (0..channels).map(|i| f64::from(values[i % count])).collect())
}

/// Scales the weights and the bias of the layer that makes `x`, if nothing else uses it.
fn fold(
    graph: &mut Graph,
    names: &mut Names,
    id: NodeId,
    x: NodeId,
    affine: &Affine,
) -> Option<()> {
    if !used_once(graph, x) || affine.factor.iter().any(|f| *f == 0.0 || !f.is_finite()) {
        return None;
    }
    let outputs = match op(graph, x)? {
        TensorOp::Convolution { .. } | TensorOp::Dense => *graph[x].ty.shape.get(1)?,
        _ => return None,
    };
    let sources = graph.sources(x);
    let bias = match sources.get(2) {
        Some(&b) => reals_of(graph, b).filter(|v| v.len() == outputs)?,
        None => vec![0.0; outputs],
    };
    let weights = scaled(graph, names, x, *sources.get(1)?, &affine.factor)?;
    let moved = bias.iter().zip(&affine.factor).zip(&affine.shift);
    let bias: Vec<f32> = moved.map(|((b, f), s)| (b * f + s) as f32).collect();
    let operands = if sources.len() > 2 || bias.iter().any(|&b| b != 0.0) {
        let value = Tensor::from_f32(&[outputs], &bias);
        vec![sources[0], weights, add_constant(graph, names, x, "bias", value)]
    } else {
        vec![sources[0], weights]
    };
    set_sources(graph, x, &operands);
    inherit(graph, id, x);
    graph.replace_uses(id, x);
    // The node is dead, but would count as a user of the layer when the next in a chain is folded.
    set_sources(graph, id, &[]);
    Some(())
}

/// The reals of a constant or of a dequantised one.
fn reals_of(graph: &Graph, id: NodeId) -> Option<Vec<f64>> {
    if let Some(value) = constant(graph, id) {
        return Some(value.to_f32().into_iter().map(f64::from).collect());
    }
    let (codes, q) = quantised_constant(graph, id)?;
    let real = |(i, &c): (usize, &i64)| f64::from(q.real(c, i));
    (codes.shape().len() <= 1)
        .then(|| codes.to_i64().ok())?
        .map(|v| v.iter().enumerate().map(real).collect())
}

/// Weights whose first dimension is scaled: reals are multiplied, codes get other scales, and the
/// other sign where the factor is negative.
fn scaled(
    graph: &mut Graph,
    names: &mut Names,
    layer: NodeId,
    weights: NodeId,
    factor: &[f64],
) -> Option<NodeId> {
    if let Some(value) = constant(graph, weights) {
        if value.dtype() != DType::F32 || value.shape().first() != Some(&factor.len()) {
            return None;
        }
        let row = value.len() / factor.len().max(1);
        let by = |(i, &w): (usize, &f32)| (f64::from(w) * factor[i / row.max(1)]) as f32;
        let values: Vec<f32> = value.to_f32().iter().enumerate().map(by).collect();
        let value = Tensor::from_f32(value.shape(), &values);
        return Some(add_constant(graph, names, layer, "weights", value));
    }
    let (codes, q) = quantised_constant(graph, weights)?;
    let outputs = factor.len();
    if q.axis.is_some_and(|axis| axis != 0) || codes.shape().first() != Some(&outputs) {
        return None;
    }
    let scale: Vec<f32> =
        (0..outputs).map(|c| (f64::from(q.scale_at(c)) * factor[c].abs()) as f32).collect();
    if scale.iter().any(|s| !(*s > 0.0 && s.is_finite())) {
        return None;
    }
    let row = codes.len() / outputs.max(1);
    let signed = |(i, &code): (usize, &i64)| {
        let channel = i / row.max(1);
        let centred = code.saturating_sub(q.zero_at(channel));
        if factor[channel] < 0.0 { centred.saturating_neg() } else { centred }
    };
    let (low, high) = (q.minimum, q.maximum);
    let zeros = q.zero_point.iter();
    let reach = zeros.map(|&z| (low - z).abs().max((high - z).abs())).max().unwrap_or(0);
    let unchanged = factor.iter().all(|&f| f > 0.0) && q.zero_point.iter().all(|&z| z == 0);
    let (value, minimum, maximum) = if unchanged {
        (codes.clone(), low, high)
    } else {
        let values: Vec<i64> = codes.to_i64().ok()?.iter().enumerate().map(signed).collect();
        (Tensor::from_integers(codes.shape(), &values), -reach, reach)
    };
    let shape = value.shape().to_vec();
    let q = Quantisation::per_axis(scale, 0, minimum, maximum);
    let origins = graph[weights].origins.clone();
    let codes = add_constant(graph, names, layer, "weights", value);
    let name = names.fresh(&format!("{}.weights.real", graph[layer].name));
    let node = Node::tensor(name, TensorOp::Dequantise(q), TensorType::new(DType::F32, shape));
    Some(graph.add(node.with_origins(&origins), &[codes]))
}

/// Without a layer to fold into, a normalisation is a product and a sum.
fn expand(graph: &mut Graph, names: &mut Names, id: NodeId, x: NodeId, affine: &Affine) {
    let mut shape = vec![affine.factor.len()];
    shape.resize(graph[id].ty.shape.len().saturating_sub(1).max(1), 1);
    let tensor = |values: &[f64]| {
        let values: Vec<f32> = values.iter().map(|&v| v as f32).collect();
        Tensor::from_f32(&shape, &values)
    };
    let factor = add_constant(graph, names, id, "factor", tensor(&affine.factor));
    let shift = add_constant(graph, names, id, "shift", tensor(&affine.shift));
    let name = names.fresh(&format!("{}.scaled", graph[id].name));
    let node = Node::tensor(name, TensorOp::Binary(Binary::Mul), graph[id].ty.clone());
    let node = node.with_origins(&graph[id].origins.clone());
    let product = graph.add(node, &[x, factor]);
    set_op(graph, id, TensorOp::Binary(Binary::Add));
    set_sources(graph, id, &[product, shift]);
}
