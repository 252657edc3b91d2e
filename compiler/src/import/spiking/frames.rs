//! Evaluates a tensor graph to expressions. A value is a row of frames, one for each timestep: what
//! exporters slice, squeeze, stack and reshape are only ways to write the same frames.

use std::collections::HashMap;

use snnc_ir::{
    Binary, Connectivity, DType, Graph, Node, NodeId, Op, Pool, PoolKind, Tensor, TensorOp, Unary,
    Window,
};

use super::expression::{Expression, Id, Layer, LayerKind, Table};
use crate::Problem;

/// Frames whose elements one after the other are the elements of a value.
pub(super) type Frames = Vec<Id>;

/// A graph as expressions.
pub(super) struct Framed {
    pub table: Table,
    pub values: HashMap<NodeId, Frames>,
    /// Node of each graph input.
    pub inputs: Vec<NodeId>,
    /// Nodes of the graph outputs and their frames.
    pub outputs: Vec<(NodeId, Frames)>,
}

const EXPORT: &str = "put only linear layers, poolings and neurons into the exported module";

/// Evaluates all nodes.
///
/// # Errors
/// Every node that is no part of a spiking network.
pub(super) fn framed(graph: &Graph) -> Result<Framed, Vec<Problem>> {
    let order = graph.order().map_err(|e| vec![Problem::new("graph", e.to_string(), EXPORT)])?;
    let inputs = graph.inputs();
    let mut framed =
        Framed { table: Table::default(), values: HashMap::new(), inputs, outputs: Vec::new() };
    let mut problems = Vec::new();
    for id in order {
        let node = &graph[id];
        let sources = graph.sources(id);
        // What a failed node was to give is missing from here on, and has been told.
        if sources.iter().any(|s| !framed.values.contains_key(s)) {
            continue;
        }
        match framed.node(graph, id, node, &sources) {
            Ok(frames) => {
                if matches!(node.op, Op::Tensor(TensorOp::Output)) {
                    framed.outputs.push((id, frames.clone()));
                }
                framed.values.insert(id, frames);
            }
            Err(reason) => problems.push(Problem::new(node.describe(), reason, EXPORT)),
        }
    }
    if problems.is_empty() { Ok(framed) } else { Err(problems) }
}

type Result1 = Result<Frames, String>;

impl Framed {
    fn node(&mut self, graph: &Graph, id: NodeId, node: &Node, sources: &[NodeId]) -> Result1 {
        let Op::Tensor(op) = &node.op else { return Err("is no tensor operator".into()) };
        let shape = &node.ty.shape;
        let input = |port: usize| sources.get(port).copied().unwrap_or(id);
        let shape_of = |port: usize| graph[input(port)].ty.shape.as_slice();
        match op {
            TensorOp::Input => Ok(self.input(id, shape)),
            TensorOp::Constant => {
                let Some(data) = &node.data else { return Err("has no value".into()) };
                let values = data.to_f32().into_iter().map(f64::from).collect();
                Ok(vec![self.table.constant(values, shape)])
            }
            TensorOp::Output | TensorOp::Cast | TensorOp::Reshape => {
                Ok(self.values[&input(0)].clone())
            }
            TensorOp::Transpose { permutation } if moves_nothing(permutation, shape_of(0)) => {
                Ok(self.values[&input(0)].clone())
            }
            TensorOp::Transpose { .. } if self.is_constant(input(0)) => {
                // Weights: whoever uses them reads the tensor itself.
                Ok(self.values[&input(0)].clone())
            }
            TensorOp::Unary(f) => self.unary(*f, input(0), node),
            TensorOp::Binary(f) => self.binary(*f, (input(0), input(1)), node),
            TensorOp::Select => self.select([input(0), input(1), input(2)], node),
            TensorOp::Expand => self.expand(input(0), shape),
            TensorOp::Slice { start, step } => {
                self.slice(input(0), shape_of(0), (start, step), shape)
            }
            TensorOp::Gather { axis } => {
                self.gather(graph, *axis, (input(0), input(1)), shape_of(0))
            }
            TensorOp::Concatenate { axis } => self.concatenate(graph, *axis, sources, shape),
            TensorOp::Dense | TensorOp::MatrixProduct => self.dense(graph, op, sources, node),
            TensorOp::Convolution { window, groups } => {
                let kind = Connectivity::Convolution { window: window.clone(), groups: *groups };
                self.convolution(graph, kind, sources, node)
            }
            TensorOp::Pool(pool) => self.pool(pool, (input(0), shape_of(0)), node),
            _ => Err("stands between spiking neurons, where it has no form".into()),
        }
    }

    fn is_constant(&self, id: NodeId) -> bool {
        let frames = &self.values[&id];
        frames.iter().all(|&f| matches!(self.table.get(f), Expression::Constant(_)))
    }

    /// A first dimension above 1 is time; the batch after it, or alone, is 1.
    fn input(&mut self, id: NodeId, shape: &[usize]) -> Frames {
        let input = self.inputs.iter().position(|&i| i == id).unwrap_or(0);
        let rows = if shape.len() > 1 { shape[0] } else { 1 };
        let rest = if shape.len() > 1 { &shape[1..] } else { shape };
        let rest = if rows > 1 && rest.len() > 1 && rest[0] == 1 { &rest[1..] } else { rest };
        (0..rows)
            .map(|row| self.table.intern(Expression::Input { input, row }, rest, None))
            .collect()
    }

    /// The frames of a value as `count` of them; constants are spread or cut.
    fn spread(&mut self, frames: &Frames, count: usize) -> Option<Frames> {
        if frames.len() == count {
            return Some(frames.clone());
        }
        let &[only] = frames.as_slice() else { return None };
        let Expression::Constant(values) = self.table.get(only).clone() else {
            // The same in every timestep.
            return Some(vec![only; count]);
        };
        let elements: usize = self.table.shape(only).iter().product();
        if values.len() == 1 || elements == 1 || values.len() % count != 0 || count > values.len() {
            return Some(vec![only; count]);
        }
        // One for each neuron serves every timestep; one for each element is cut into timesteps.
        let shape = self.table.shape(only).to_vec();
        if shape.first() != Some(&count) || shape.len() < 2 {
            return Some(vec![only; count]);
        }
        let part = values.len() / count;
        let parts: Vec<Vec<f64>> = values.chunks(part).map(<[f64]>::to_vec).collect();
        Some(parts.into_iter().map(|v| self.table.constant(v, &shape[1..])).collect())
    }

    fn together(&mut self, ids: &[NodeId]) -> Result<Vec<Frames>, String> {
        let all: Vec<Frames> = ids.iter().map(|id| self.values[id].clone()).collect();
        let count = all.iter().map(Vec::len).max().unwrap_or(1);
        let spread = all.iter().map(|f| self.spread(f, count));
        spread
            .collect::<Option<Vec<Frames>>>()
            .ok_or_else(|| "has operands of different numbers of timesteps".into())
    }

    fn unary(&mut self, f: Unary, x: NodeId, node: &Node) -> Result1 {
        let origin = node.origins.first();
        let frames = self.values[&x].clone();
        match f {
            Unary::Neg => Ok(frames.iter().map(|&a| self.table.negated(a, origin)).collect()),
            Unary::Not => {
                let mut not = |a: Id| {
                    let one = self.table.constant(vec![1.0], &[]);
                    match *self.table.get(a) {
                        Expression::Fires { strict, left, right } => {
                            self.table.fires(!strict, right, left, origin)
                        }
                        _ => self.table.difference(one, a, origin),
                    }
                };
                Ok(frames.iter().map(|&a| not(a)).collect())
            }
            _ => Err("stands between spiking neurons, where it has no form".into()),
        }
    }

    fn binary(&mut self, f: Binary, (a, b): (NodeId, NodeId), node: &Node) -> Result1 {
        let pairs = self.together(&[a, b])?;
        let origin = node.origins.first();
        let mut one = |a: Id, b: Id| -> Result<Id, String> {
            let t = &mut self.table;
            let (to_a, to_b) = (t.shape(a).to_vec(), t.shape(b).to_vec());
            let (a, b) = match (t.fitted(a, &to_b), t.fitted(b, &to_a)) {
                (Some(a), Some(b)) => (a, b),
                _ => return Err("has a constant that fits no layer".into()),
            };
            Ok(match f {
                Binary::Add => t.biased_sum(a, b, origin),
                Binary::Sub => t.difference(a, b, origin),
                Binary::Mul => t.product(a, b, origin),
                Binary::Div => match t.reciprocal(b) {
                    Some(inverse) => t.product(a, inverse, origin),
                    None => return Err("divides by what is computed".into()),
                },
                Binary::Greater => t.fires(true, a, b, origin),
                Binary::GreaterOrEqual => t.fires(false, a, b, origin),
                Binary::Less => t.fires(true, b, a, origin),
                Binary::LessOrEqual => t.fires(false, b, a, origin),
                Binary::And => t.product(a, b, origin),
                _ => return Err("stands between spiking neurons, where it has no form".into()),
            })
        };
        pairs[0].iter().zip(&pairs[1]).map(|(&a, &b)| one(a, b)).collect()
    }

    /// `b + c * (a - b)` for a condition `c`.
    fn select(&mut self, ids: [NodeId; 3], node: &Node) -> Result1 {
        let all = self.together(&ids)?;
        let origin = node.origins.first();
        let mut one = |c: Id, a: Id, b: Id| {
            let difference = self.table.difference(a, b, origin);
            let chosen = self.table.product(c, difference, origin);
            self.table.sum(b, chosen, origin)
        };
        Ok((0..all[0].len()).map(|i| one(all[0][i], all[1][i], all[2][i])).collect())
    }

    fn expand(&mut self, x: NodeId, shape: &[usize]) -> Result1 {
        let frames = self.values[&x].clone();
        if let &[only] = frames.as_slice()
            && let Expression::Constant(v) = self.table.get(only).clone()
            && v.len() == 1
        {
            return Ok(vec![self.table.constant(v, shape)]);
        }
        let size: usize =
            frames.iter().map(|&f| self.table.shape(f).iter().product::<usize>()).sum();
        if size == shape.iter().product::<usize>() {
            Ok(frames)
        } else {
            Err("repeats neurons".into())
        }
    }

    /// A range of frames, where the slice is on whole ones.
    fn slice(
        &mut self,
        x: NodeId,
        from: &[usize],
        (start, step): (&[usize], &[isize]),
        to: &[usize],
    ) -> Result1 {
        let whole = |axis: usize| from.get(axis) == to.get(axis) && step[axis] == 1;
        let Some(axis) = (0..from.len()).find(|&axis| !whole(axis)) else {
            return Ok(self.values[&x].clone());
        };
        if (axis + 1..from.len()).any(|other| !whole(other)) || step[axis] != 1 {
            return Err("takes parts of a layer, or walks in steps".into());
        }
        self.range(x, from, axis, (start[axis]..start[axis] + to[axis]).collect())
    }

    fn gather(
        &mut self,
        graph: &Graph,
        axis: usize,
        (x, indices): (NodeId, NodeId),
        from: &[usize],
    ) -> Result1 {
        let indices = graph[indices].data.as_ref().and_then(|d| d.to_i64().ok());
        let Some(indices) = indices else { return Err("takes timesteps that are computed".into()) };
        self.range(x, from, axis, indices.iter().map(|&i| i.max(0) as usize).collect())
    }

    fn range(&mut self, x: NodeId, from: &[usize], axis: usize, at: Vec<usize>) -> Result1 {
        let frames = self.values[&x].clone();
        let frames = if frames.len() == 1 && self.is_constant(x) {
            self.spread(&frames, from[axis]).unwrap_or(frames)
        } else {
            frames
        };
        if from[..axis].iter().any(|&d| d != 1) || frames.len() != from[axis] {
            return Err("takes a part of a layer, not of time".into());
        }
        at.iter()
            .map(|&i| frames.get(i).copied().ok_or("goes beyond the timesteps".into()))
            .collect()
    }

    fn concatenate(
        &mut self,
        graph: &Graph,
        axis: usize,
        sources: &[NodeId],
        to: &[usize],
    ) -> Result1 {
        if to[..axis].iter().any(|&d| d != 1) {
            return Err("joins layers, which spiking recurrences are not followed through".into());
        }
        let mut frames = Frames::new();
        for &id in sources {
            let own = self.values[&id].clone();
            let rows = graph[id].ty.shape[axis];
            // A constant of many timesteps is one expression until its rows are asked for.
            let spread = self.is_constant(id).then(|| self.spread(&own, rows)).flatten();
            frames.extend(spread.unwrap_or(own));
        }
        Ok(frames)
    }

    fn dense(&mut self, graph: &Graph, op: &TensorOp, sources: &[NodeId], node: &Node) -> Result1 {
        let weights = sources.get(1).and_then(|&w| constant(graph, w));
        let Some(weights) = weights else { return Err("multiplies what is computed".into()) };
        let &[rows, columns] = weights.shape() else {
            return Err("has weights of another rank".into());
        };
        let (weights, outputs, inputs) = match op {
            TensorOp::Dense => (weights, rows, columns),
            _ => (transposed(&weights), columns, rows),
        };
        let bias = match sources.get(2) {
            Some(&b) => Some(constant(graph, b).ok_or("has a bias that is computed")?.to_f32()),
            None => None,
        };
        let layer = Layer {
            kind: LayerKind::Synapses(Connectivity::Dense),
            weights: Some(weights),
            bias,
            input: vec![inputs],
            output: vec![outputs],
        };
        self.apply(layer, sources[0], node)
    }

    fn convolution(
        &mut self,
        graph: &Graph,
        kind: Connectivity,
        sources: &[NodeId],
        node: &Node,
    ) -> Result1 {
        let weights = sources.get(1).and_then(|&w| constant(graph, w));
        let Some(weights) = weights else { return Err("has weights that are computed".into()) };
        let bias = match sources.get(2) {
            Some(&b) => Some(constant(graph, b).ok_or("has a bias that is computed")?.to_f32()),
            None => None,
        };
        let output = node.ty.shape[1..].to_vec();
        let plane: usize = output[1..].iter().product();
        let bias = bias.map(|b| b.iter().flat_map(|&v| std::iter::repeat_n(v, plane)).collect());
        let layer = Layer {
            kind: LayerKind::Synapses(kind),
            weights: Some(weights),
            bias,
            input: graph[sources[0]].ty.shape[1..].to_vec(),
            output,
        };
        self.apply(layer, sources[0], node)
    }

    fn pool(&mut self, pool: &Pool, (x, from): (NodeId, &[usize]), node: &Node) -> Result1 {
        let (input, output) = (from[1..].to_vec(), node.ty.shape[1..].to_vec());
        let cells: usize = pool.window.kernel.iter().product();
        let kind = match pool.kind {
            PoolKind::Max => {
                let layer = Layer {
                    kind: LayerKind::Maximum(pool.window.clone()),
                    weights: None,
                    bias: None,
                    input,
                    output,
                };
                return self.apply(layer, x, node);
            }
            PoolKind::Average if pool.window.is_padded() => {
                return Err("averages over fewer cells at the border".into());
            }
            PoolKind::Average | PoolKind::AverageWithPadding => 1.0 / cells as f32,
            PoolKind::Sum => 1.0,
        };
        let groups = input[0];
        let shape: Vec<usize> = [&[groups, 1], pool.window.kernel.as_slice()].concat();
        let weights = Tensor::from_f32(&shape, &vec![kind; groups * cells]);
        let window: Window = pool.window.clone();
        let layer = Layer {
            kind: LayerKind::Synapses(Connectivity::Convolution { window, groups }),
            weights: Some(weights),
            bias: None,
            input,
            output,
        };
        self.apply(layer, x, node)
    }

    fn apply(&mut self, layer: Layer, x: NodeId, node: &Node) -> Result1 {
        let frames = self.values[&x].clone();
        let neurons: usize = layer.input.iter().product();
        if let Some(&odd) =
            frames.iter().find(|&&f| self.table.shape(f).iter().product::<usize>() != neurons)
        {
            let found: usize = self.table.shape(odd).iter().product();
            return Err(format!(
                "takes {neurons} values, but a timestep has {found}: the first dimension must be time, and the batch 1"
            ));
        }
        let shape = layer.output.clone();
        let layer = self.table.layer(layer, &node.origins);
        let origin = node.origins.first();
        let one =
            |source: Id| self.table.intern(Expression::Layer { layer, source }, &shape, origin);
        Ok(frames.into_iter().map(one).collect())
    }
}

/// Whether a permutation only moves dimensions of size 1.
fn moves_nothing(permutation: &[usize], shape: &[usize]) -> bool {
    let kept: Vec<usize> =
        permutation.iter().copied().filter(|&p| shape.get(p).is_some_and(|&d| d != 1)).collect();
    kept.is_sorted()
}

/// The constant that a node is, transposed where it is a transposition of one.
fn constant(graph: &Graph, id: NodeId) -> Option<Tensor> {
    match graph[id].as_tensor()? {
        TensorOp::Constant => graph[id].data.clone().filter(|d| d.dtype() == DType::F32),
        TensorOp::Transpose { permutation } if permutation[..] == [1, 0] => {
            Some(transposed(&constant(graph, graph.source(id, 0)?)?))
        }
        _ => None,
    }
}

fn transposed(weights: &Tensor) -> Tensor {
    let &[rows, columns] = weights.shape() else { return weights.clone() };
    let values = weights.to_f32();
    let turned: Vec<f32> =
        (0..rows * columns).map(|i| values[i % rows * columns + i / rows]).collect();
    Tensor::from_f32(&[columns, rows], &turned)
}
