//! Bias correction: what rounding shifts a layer's outputs by in the mean goes into its bias.
//!
//! Layer by layer in order of computation, the mean of each channel of the quantised network's
//! pre-activations over some samples is brought to that of the float network (the empirical bias
//! correction of Nagel et al. 2019, section 4.2; the "light" pipeline of Li et al. 2021).

use std::borrow::Cow;
use std::path::Path;

use rayon::prelude::*;
use snnc_ir::{DType, Graph, Node, NodeId, Tensor, TensorOp};
use snnc_runtime::tensor::{Program, RunError, Value};

use super::sites::{coded, is_on_codes};
use super::sweep::Sweep;
use crate::Error;
use crate::data::Dataset;
use crate::feed::{Feed, Given};

/// Multiplications that may be spent on one layer's correction.
const OPERATIONS: usize = 3 << 30;
/// Samples that are enough in any case, and those without which a mean says too little.
const SAMPLES: (usize, usize) = (32, 256);
/// Bytes that the values of all samples may take together.
const MEMORY: usize = 64 << 20;

/// What the means of a float network's layers are over some samples.
pub(super) struct Correction {
    layers: Vec<NodeId>,
    wanted: Vec<Vec<f64>>,
    inputs: Vec<Value>,
}

impl Correction {
    /// Runs `float` on as many samples as there is time for; calls `done` with each layer that is no
    /// longer needed, where weights are prepared layer by layer.
    ///
    /// # Errors
    /// When a sample does not fit, or the network cannot be run.
    pub(super) fn new(
        float: &mut Graph,
        (data, path): (&Dataset, &Path),
        given: Given,
        done: &mut dyn FnMut(&mut Graph, NodeId),
    ) -> Result<Correction, Error> {
        let input = only_input(float)?;
        let shape = float[input].ty.shape.clone();
        let data = &*data.fitted(shape.get(1..).unwrap_or(&shape), path)?;
        let on_codes = coded(float);
        let layer = |id: &NodeId| {
            matches!(float[*id].as_tensor(), Some(TensorOp::Convolution { .. } | TensorOp::Dense))
                && !is_on_codes(float, &on_codes, *id)
        };
        let order = float.order().map_err(Error::network)?;
        let layers: Vec<NodeId> = order.into_iter().filter(layer).collect();
        let cost: usize = layers.iter().map(|&id| operations(float, id)).sum();
        let samples = (OPERATIONS / cost.max(1)).clamp(SAMPLES.0, SAMPLES.1).min(data.len());
        let feed = Feed::of_model(float, given);
        let inputs: Vec<Value> =
            (0..samples).map(|i| feed.value(data, i, &shape)).collect::<Result<_, _>>()?;
        let wanted =
            if samples == 0 { Vec::new() } else { means_of_all(float, &layers, &inputs, done)? };
        Ok(Correction { layers, wanted, inputs })
    }

    /// Corrects the biases of `coded`, which has every node of the float network and quantisers
    /// between them.
    ///
    /// # Errors
    /// When the network cannot be run.
    pub(super) fn apply(self, coded: &mut Graph) -> Result<(), Error> {
        let mut sweep = Sweep::new(coded, &self.layers, &self.inputs);
        if sweep.memory() > MEMORY {
            return self.apply_one_by_one(coded);
        }
        for id in sweep.order().to_vec() {
            match self.layers.iter().position(|&layer| layer == id) {
                Some(place) => correct(coded, id, &self.wanted[place], &mut sweep)?,
                None => sweep.compute(coded, id).map_err(Error::network)?,
            }
            sweep.release(coded, id);
        }
        Ok(())
    }

    /// The same, running the network anew up to each layer: the slow twin, in less memory.
    fn apply_one_by_one(self, coded: &mut Graph) -> Result<(), Error> {
        for (&id, wanted) in self.layers.iter().zip(&self.wanted) {
            let part = up_to(coded, id);
            let found = means(&part, &[id], &self.inputs)?;
            shift(coded, id, wanted, &found[0]);
        }
        Ok(())
    }
}

/// The input of a network that has one.
///
/// # Errors
/// When it has none, or several.
pub(super) fn only_input(graph: &Graph) -> Result<NodeId, Error> {
    match graph.inputs().as_slice() {
        [input] => Ok(*input),
        [] => Err(Error::network("has no input")),
        all => Err(Error::network(RunError::Inputs { expected: all.len(), found: 1 })),
    }
}

/// Computes a layer, corrects its bias and gives its values the new one. A bias is added last, so that
/// the sums before it serve for both.
pub(super) fn correct(
    coded: &mut Graph,
    id: NodeId,
    wanted: &[f64],
    sweep: &mut Sweep<'_>,
) -> Result<(), Error> {
    let ty = &coded[id].ty;
    let channels = ty.shape.get(1).copied().unwrap_or(0);
    let single = ty.dtype == DType::F32 && ty.shape.first() == Some(&1);
    let old = bias(coded, id).filter(|b| single && (b.is_empty() || b.len() == channels));
    let Some(old) = old else {
        sweep.compute(coded, id).map_err(Error::network)?;
        let found = mean(sweep.values(id).par_iter().map(channel_means).collect());
        shift(coded, id, wanted, &found);
        return sweep.compute(coded, id).map_err(Error::network);
    };
    sweep.compute_sums(coded, id).map_err(Error::network)?;
    let means = |sums: &Value| means_with(sums, &old);
    let found = mean(sweep.values(id).par_iter().map(means).collect());
    shift(coded, id, wanted, &found);
    let new = bias(coded, id).unwrap_or_default();
    sweep.add_bias(id, &new).map_err(Error::network)
}

/// The bias of a layer, empty if there is none; `None` if it is no constant of reals in single
/// precision.
fn bias(graph: &Graph, layer: NodeId) -> Option<Vec<f32>> {
    match graph.source(layer, 2) {
        None => Some(Vec::new()),
        Some(bias) => {
            let value = graph[bias].data.as_ref().filter(|d| d.dtype() == DType::F32)?;
            Some(value.to_f32())
        }
    }
}

pub(super) fn operations(graph: &Graph, layer: NodeId) -> usize {
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

/// The means of [`means`], with all weights prepared only while they are needed, if values of all
/// samples find room.
fn means_of_all(
    graph: &mut Graph,
    nodes: &[NodeId],
    inputs: &[Value],
    done: &mut dyn FnMut(&mut Graph, NodeId),
) -> Result<Vec<Vec<f64>>, Error> {
    let mut sweep = Sweep::new(graph, nodes, inputs);
    if sweep.memory() > MEMORY {
        return means(graph, nodes, inputs);
    }
    let mut found = vec![Vec::new(); nodes.len()];
    for id in sweep.order().to_vec() {
        sweep.compute(graph, id).map_err(Error::network)?;
        if let Some(place) = nodes.iter().position(|&n| n == id) {
            found[place] = mean(sweep.values(id).par_iter().map(channel_means).collect());
            done(graph, id);
        }
        sweep.release(graph, id);
    }
    Ok(found)
}

/// The mean of each channel of each of the nodes over all samples and cells.
fn means(graph: &Graph, nodes: &[NodeId], inputs: &[Value]) -> Result<Vec<Vec<f64>>, Error> {
    let program = Program::lean(graph).map_err(Error::network)?;
    let of_sample = |input: &Value| -> Result<Vec<Vec<f64>>, Error> {
        let mut found = vec![Vec::new(); nodes.len()];
        let mut observe = |id: NodeId, value: &Value| {
            if let Some(place) = nodes.iter().position(|&n| n == id) {
                found[place] = channel_means(value);
            }
        };
        program.run_with(std::slice::from_ref(input), &mut observe).map_err(Error::network)?;
        Ok(found)
    };
    let all: Vec<Vec<Vec<f64>>> = inputs.par_iter().map(of_sample).collect::<Result<_, _>>()?;
    let of_node = |n: usize| mean(all.iter().map(|sample| sample[n].clone()).collect());
    Ok((0..nodes.len()).map(of_node).collect())
}

/// The mean over samples, added up in their order, so that it does not depend on the threads.
pub(super) fn mean(samples: Vec<Vec<f64>>) -> Vec<f64> {
    let n = samples.len().max(1) as f64;
    let mut samples = samples.into_iter();
    let mut sum = samples.next().unwrap_or_default();
    for found in samples {
        for (s, x) in sum.iter_mut().zip(found) {
            *s += x;
        }
    }
    sum.into_iter().map(|x| x / n).collect()
}

pub(super) fn channel_means(value: &Value) -> Vec<f64> {
    means_with(value, &[])
}

/// The mean of each channel of one sample, with its bias added, if there are any.
fn means_with(value: &Value, bias: &[f32]) -> Vec<f64> {
    let channels = value.shape().get(1).copied().unwrap_or(1).max(1);
    let reals = value.as_f32().map_or_else(|| Cow::Owned(value.to_f32()), Cow::Borrowed);
    let cells = (reals.len() / channels).max(1);
    let mean = |(channel, c): (usize, &[f32])| {
        let sum: f64 = match bias.get(channel) {
            Some(b) => c.iter().map(|x| f64::from(x + b)).sum(),
            None => c.iter().map(|&x| f64::from(x)).sum(),
        };
        sum / c.len().max(1) as f64
    };
    reals.chunks(cells).enumerate().map(mean).collect()
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

    /// A residual network whose weights are coarse: layers after a layer, beside it, and after both.
    fn residual() -> (Graph, Graph) {
        let weights = |n: usize, by: f32| {
            let w = (0..n).map(|i| (((i * 7919) % 23) as f32 * 0.11 - 1.2) * by);
            w.map(|w| format!("{w}")).collect::<Vec<_>>().join(" ")
        };
        let text = |by: f32| {
            let (four, two) = (weights(16, by), weights(8, by));
            format!(
                r#"snnir 1 tensor "r" {{"timesteps":1,"schedule":"streaming"}}
%x = input () : f32[1,4]
%w = constant () : f32[4,4]
  data f32[4,4] {four}
%v = constant () : f32[2,4]
  data f32[2,4] {two}
%b = constant () : f32[4]
  data f32[4] 0.5 -0.25 0.125 1
%a = dense (%x, %w, %b) : f32[1,4]
%relu = unary "relu" (%a) : f32[1,4]
%beside = dense (%x, %w) : f32[1,4]
%deep = dense (%relu, %w) : f32[1,4]
%sum = binary "add" (%deep, %beside) : f32[1,4]
%last = dense (%sum, %v) : f32[1,2]
%y = output (%last) : f32[1,2]
"#
            )
        };
        (Graph::from_text(&text(1.0)).unwrap(), Graph::from_text(&text(1.07)).unwrap())
    }

    #[test]
    fn one_sweep_corrects_as_a_run_for_each_layer_does() {
        let (float, coded) = residual();
        let names = ["a", "beside", "deep", "last"];
        let layers: Vec<NodeId> = names.iter().map(|n| float.find(n).unwrap()).collect();
        let value =
            |i: usize| (0..4).map(|k| ((i * 31 + k * 17) % 13) as f32 * 0.3 - 1.7).collect();
        let inputs: Vec<Value> =
            (0..9).map(|i| Value::from_f32(&[1, 4], value(i)).unwrap()).collect();
        let wanted = means(&float, &layers, &inputs).unwrap();
        let mut done = Vec::new();
        let swept =
            means_of_all(&mut float.clone(), &layers, &inputs, &mut |_, id| done.push(id)).unwrap();
        assert_eq!((swept, done), (wanted.clone(), layers.clone()));
        let correction = || Correction {
            layers: layers.clone(),
            wanted: wanted.clone(),
            inputs: inputs.clone(),
        };
        let (mut fast, mut slow) = (coded.clone(), coded.clone());
        correction().apply(&mut fast).unwrap();
        correction().apply_one_by_one(&mut slow).unwrap();
        assert_eq!(fast.to_wire(), slow.to_wire());
        assert_ne!(fast.to_wire(), coded.to_wire());
    }
}
