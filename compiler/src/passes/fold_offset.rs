//! Moves a constant that is added to the operand of a layer into the layer's bias.

use snnc_ir::{Binary, DType, Graph, NodeId, Tensor, TensorOp};

use super::rewrite::{Names, add_constant, constant, inherit, op, quantised_constant, set_sources};
use super::{Context, Meaning, Pass};
use crate::Error;

pub(super) const PASS: Pass = Pass {
    name: "fold-offset",
    summary: "moves a constant that is added to the operand of a layer into its bias",
    meaning: Meaning::Reordered,
    run,
};

fn run(graph: &mut Graph, _: &mut Context) -> Result<bool, Error> {
    let mut names = Names::of(graph);
    let mut changed = false;
    for id in super::order(graph)? {
        changed |= fold(graph, &mut names, id).is_some();
    }
    Ok(changed)
}

/// `W (x + c) + b = W x + (b + c * sum(W))`, where no window reaches into padding, which holds
/// zeros and not `c`. Only where `x` stands for codes: elsewhere the sum is as good where it is.
fn fold(graph: &mut Graph, names: &mut Names, layer: NodeId) -> Option<()> {
    match op(graph, layer)? {
        TensorOp::Dense => {}
        TensorOp::Convolution { window, .. } if !window.is_padded() => {}
        _ => return None,
    }
    let sources = graph.sources(layer);
    let (sum, weights) = (*sources.first()?, *sources.get(1)?);
    let TensorOp::Binary(function) = op(graph, sum)? else { return None };
    let (x, c) = (graph.source(sum, 0)?, graph.source(sum, 1)?);
    let sign = match function {
        Binary::Add => 1.0,
        Binary::Sub => -1.0,
        _ => return None,
    };
    let value = constant(graph, c).filter(|v| v.len() == 1 && v.dtype() == DType::F32)?;
    let offset = sign * f64::from(*value.to_f32().first()?);
    if !matches!(op(graph, x)?, TensorOp::Dequantise(_)) {
        return None;
    }
    let sums = row_sums(graph, weights)?;
    let bias = match sources.get(2) {
        None => vec![0.0; sums.len()],
        Some(&b) => {
            let value = constant(graph, b).filter(|v| v.dtype() == DType::F32)?;
            value.to_f32().into_iter().map(f64::from).collect()
        }
    };
    if bias.len() != sums.len() {
        return None;
    }
    let bias: Vec<f32> = bias.iter().zip(&sums).map(|(b, s)| (b + offset * s) as f32).collect();
    let bias = Tensor::from_f32(&[bias.len()], &bias);
    let bias = add_constant(graph, names, layer, "bias", bias);
    set_sources(graph, layer, &[x, weights, bias]);
    inherit(graph, sum, layer);
    Some(())
}

/// The sum of the weights of each output.
fn row_sums(graph: &Graph, weights: NodeId) -> Option<Vec<f64>> {
    let sums = |values: Vec<f64>, outputs: usize| -> Option<Vec<f64>> {
        let row = values.len().checked_div(outputs)?;
        Some(values.chunks(row.max(1)).map(|r| r.iter().sum()).collect())
    };
    if let Some(value) = constant(graph, weights) {
        let reals = value.to_f32().into_iter().map(f64::from).collect();
        return sums(reals, *value.shape().first()?);
    }
    let (codes, q) = quantised_constant(graph, weights)?;
    if q.axis.is_some_and(|axis| axis != 0) {
        return None;
    }
    let outputs = *codes.shape().first()?;
    let row = codes.len().checked_div(outputs)?.max(1);
    let values = codes.to_i64().ok()?;
    let real = |(i, &code): (usize, &i64)| {
        let channel = i / row;
        code.saturating_sub(q.zero_at(channel)) as f64 * f64::from(q.scale_at(channel))
    };
    sums(values.iter().enumerate().map(real).collect(), outputs)
}
