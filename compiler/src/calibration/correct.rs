//! Bias correction: what rounding shifts a layer's outputs by in the mean goes into its bias.
//!
//! Layer by layer in order of computation, the mean of each channel of the quantised network's
//! pre-activations over some samples is brought to that of the float network (the empirical bias
//! correction of Nagel et al. 2019, section 4.2; the "light" pipeline of Li et al. 2021).

use std::path::Path;

use rayon::prelude::*;
use snnc_ir::{Graph, Node, NodeId, Tensor, TensorOp};
use snnc_runtime::tensor::{Program, Value};

use crate::Error;
use crate::data::{Dataset, Scaling};

/// Multiplications that may be spent on one layer's correction.
const OPERATIONS: usize = 3 << 30;
/// Samples that are enough in any case, and those without which a mean says too little.
const SAMPLES: (usize, usize) = (32, 256);

/// Corrects the biases of `coded`, which has every node of `float` and quantisers between them.
///
/// # Errors
/// When a sample does not fit, or a network cannot be run.
pub(super) fn correct_biases(
    float: &Graph,
    coded: &mut Graph,
    (data, path): (&Dataset, &Path),
    scaling: Scaling,
) -> Result<(), Error> {
    let fault = |e: &dyn std::fmt::Display| Error::input("network", e.to_string(), "");
    let Some(&input) = float.inputs().first() else { return Err(fault(&"has no input")) };
    let shape = float[input].ty.shape.clone();
    let data = &*data.fitted(shape.get(1..).unwrap_or(&shape), path)?;
    let layer = |id: &NodeId| {
        matches!(float[*id].as_tensor(), Some(TensorOp::Convolution { .. } | TensorOp::Dense))
    };
    let order = float.order().map_err(|e| fault(&e))?;
    let layers: Vec<NodeId> = order.into_iter().filter(layer).collect();
    let cost: usize = layers.iter().map(|&id| operations(float, id)).sum();
    let samples = (OPERATIONS / cost.max(1)).clamp(SAMPLES.0, SAMPLES.1).min(data.len());
    if samples == 0 {
        return Ok(());
    }
    let inputs: Vec<Value> = (0..samples)
        .map(|i| Value::from_f32(&shape, data.reals(i, scaling)).map_err(|e| fault(&e)))
        .collect::<Result<_, _>>()?;
    let wanted = means(float, &layers, &inputs)?;
    for (&id, wanted) in layers.iter().zip(&wanted) {
        let part = up_to(coded, id);
        let found = means(&part, &[id], &inputs)?;
        shift(coded, id, wanted, &found[0]);
    }
    Ok(())
}

fn operations(graph: &Graph, layer: NodeId) -> usize {
    let weights = graph.source(layer, 1).map_or(0, |w| graph[w].ty.len());
    let cells: usize = graph[layer].ty.shape.iter().skip(2).product();
    weights.saturating_mul(cells)
}

/// The part of a graph that node `id` needs, with `id` as its only output.
fn up_to(graph: &Graph, id: NodeId) -> Graph {
    let mut part = graph.clone();
    for output in part.outputs() {
        let mut operands = part.operands(output);
        if let Some(first) = operands.first_mut() {
            first.source = id;
        }
        part.set_operands(output, &operands);
        part[output].ty = graph[id].ty.clone();
    }
    part.remove_dead();
    part
}

/// The mean of each channel of each of the nodes over all samples and cells.
fn means(graph: &Graph, nodes: &[NodeId], inputs: &[Value]) -> Result<Vec<Vec<f64>>, Error> {
    let fault = |e: &dyn std::fmt::Display| Error::input("network", e.to_string(), "");
    let program = Program::new(graph).map_err(|e| fault(&e))?;
    let of_sample = |input: &Value| -> Result<Vec<Vec<f64>>, Error> {
        let mut found = vec![Vec::new(); nodes.len()];
        let mut observe = |id: NodeId, value: &Value| {
            if let Some(place) = nodes.iter().position(|&n| n == id) {
                found[place] = channel_means(value);
            }
        };
        program.run_with(std::slice::from_ref(input), &mut observe).map_err(|e| fault(&e))?;
        Ok(found)
    };
    // In order of the samples, so that the sum does not depend on the threads.
    let all: Vec<Vec<Vec<f64>>> = inputs.par_iter().map(of_sample).collect::<Result<_, _>>()?;
    let mut sums: Vec<Vec<f64>> = all.first().cloned().unwrap_or_default();
    for sample in all.iter().skip(1) {
        for (sum, found) in sums.iter_mut().zip(sample) {
            for (s, x) in sum.iter_mut().zip(found) {
                *s += x;
            }
        }
    }
    let n = inputs.len().max(1) as f64;
    Ok(sums.into_iter().map(|s| s.into_iter().map(|x| x / n).collect()).collect())
}

fn channel_means(value: &Value) -> Vec<f64> {
    let channels = value.shape().get(1).copied().unwrap_or(1).max(1);
    let reals = value.to_f32();
    let cells = (reals.len() / channels).max(1);
    let mean = |c: &[f32]| c.iter().map(|&x| f64::from(x)).sum::<f64>() / c.len().max(1) as f64;
    reals.chunks(cells).map(mean).collect()
}

/// Adds `wanted - found` to a layer's bias.
fn shift(graph: &mut Graph, layer: NodeId, wanted: &[f64], found: &[f64]) {
    let mut operands = graph.operands(layer);
    let old = match operands.get(2) {
        None => vec![0.0; wanted.len()],
        Some(o) => match &graph[o.source].data {
            Some(value) if value.dtype().is_float() && value.len() == wanted.len() => {
                value.to_f32()
            }
            _ => return,
        },
    };
    if found.len() != wanted.len() || operands.len() < 2 {
        return;
    }
    let moved = |((b, w), f): ((&f32, &f64), &f64)| (f64::from(*b) + w - f) as f32;
    let bias: Vec<f32> = old.iter().zip(wanted).zip(found).map(moved).collect();
    let name = graph.fresh_name(&format!("{}.corrected", graph[layer].name));
    let bias = graph.add(Node::constant(name, Tensor::from_f32(&[bias.len()], &bias)), &[]);
    operands.truncate(2);
    operands.push(snnc_ir::Operand { source: bias, delay: 0 });
    graph.set_operands(layer, &operands);
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"snnir 1 tensor "bias" {"timesteps":1,"schedule":"streaming"}
%x = input () : f32[1,2]
%w = constant () : f32[2,2]
  data f32[2,2] 1 0 0 1
%y = dense (%x, %w) : f32[1,2]
%scores = output (%y) : f32[1,2]
"#;

    #[test]
    fn a_shifted_layer_comes_back() {
        let float = Graph::from_text(TEXT).unwrap();
        let mut coded = float.clone();
        let layer = coded.find("y").unwrap();
        shift(&mut coded, layer, &[0.5, -2.0], &[0.0, 0.0]);
        let inputs = [Value::from_f32(&[1, 2], vec![1.0, 2.0]).unwrap()];
        assert_eq!(means(&coded, &[layer], &inputs).unwrap(), [[1.5, 0.0]]);
        let wanted = means(&float, &[layer], &inputs).unwrap();
        let found = means(&up_to(&coded, layer), &[layer], &inputs).unwrap();
        shift(&mut coded, layer, &wanted[0], &found[0]);
        assert_eq!(means(&coded, &[layer], &inputs).unwrap(), [[1.0, 2.0]]);
    }
}
