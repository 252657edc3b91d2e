//! Evaluates a tensor graph to expressions. A value is a row of frames, one for each timestep: what
//! exporters slice, squeeze, stack and reshape are only ways to write the same frames.

use std::collections::HashMap;

use snnc_ir::{Binary, Connectivity, Graph, Node, NodeId, Op, TensorOp, Unary};

use super::expression::{Expression, Id, Table};

use crate::Problem;

mod layers;

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
                framed.values.insert(id, frames);
            }
            Err(reason) => problems.push(Problem::new(node.describe(), reason, EXPORT)),
        }
    }
    let outputs = graph.outputs().into_iter();
    framed.outputs = outputs.filter_map(|id| Some((id, framed.values.get(&id)?.clone()))).collect();
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
            TensorOp::Output | TensorOp::Reshape => Ok(self.values[&input(0)].clone()),
            TensorOp::Cast => {
                let frames = self.values[&input(0)].clone();
                let real = graph[input(0)].ty.dtype.is_float() && !node.ty.dtype.is_float();
                if real && frames.iter().any(|&f| !self.is_whole(f)) {
                    return Err("turns what is computed into whole numbers".into());
                }
                Ok(frames)
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
            TensorOp::Expand => self.expand(input(0), (shape_of(0), shape)),
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
            TensorOp::Reduce { axes, mean } => {
                self.reduce((axes, *mean), (input(0), shape_of(0)), node)
            }
            TensorOp::BatchNormalisation { epsilon } => {
                self.normalise(graph, *epsilon, sources, node)
            }
            _ => Err("has no form between spiking neurons".into()),
        }
    }

    /// Whether an expression holds spikes or whole constants.
    fn is_whole(&self, id: Id) -> bool {
        match self.table.get(id) {
            Expression::Fires { .. } => true,
            Expression::Constant(values) => values.iter().all(|v| v.fract() == 0.0),
            _ => false,
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
            _ => Err("has no form between spiking neurons".into()),
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
                _ => return Err("has no form between spiking neurons".into()),
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

    /// What is the same in all timesteps, or repeated as a constant.
    fn expand(&mut self, x: NodeId, (from, to): (&[usize], &[usize])) -> Result1 {
        let frames = self.values[&x].clone();
        if let &[only] = frames.as_slice()
            && let Expression::Constant(v) = self.table.get(only).clone()
            && v.len() == 1
        {
            return Ok(vec![self.table.constant(v, to)]);
        }
        let wide = [vec![1; to.len().saturating_sub(from.len())], from.to_vec()].concat();
        let other: Vec<usize> = (0..to.len()).filter(|&a| wide.get(a) != to.get(a)).collect();
        match (other.as_slice(), frames.as_slice()) {
            ([], _) => Ok(frames),
            (&[axis], &[only]) if to[..axis].iter().all(|&d| d == 1) => Ok(vec![only; to[axis]]),
            _ => Err("repeats neurons; only a still input may be repeated, over time".into()),
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
            return self.join(graph, axis, sources, to);
        }
        let single = |id: &NodeId| self.values[id].len() == 1 && !self.is_constant(*id);
        let timeless = sources.iter().all(single) && axis > 0;
        if timeless && sources.iter().any(|&id| graph[id].ty.shape[axis] > 1) {
            return self.join(graph, axis, sources, to);
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

    /// Joins maps of the same timestep along their first dimension.
    fn join(&mut self, graph: &Graph, axis: usize, sources: &[NodeId], to: &[usize]) -> Result1 {
        let all = self.together(sources)?;
        let steps: usize = to[..axis].iter().product();
        if all.iter().any(|frames| frames.len() != steps) {
            return Err("joins layers along another dimension than their channels".into());
        }
        let shape = |id: &NodeId| graph[*id].ty.shape[axis..].to_vec();
        let one = |t: usize| {
            let parts = sources.iter().zip(&all).map(|(id, frames)| (frames[t], shape(id)));
            self.table.intern(Expression::Joined(parts.collect()), &to[axis..], None)
        };
        Ok((0..steps).map(one).collect())
    }
}

/// Whether a permutation only moves dimensions of size 1.
fn moves_nothing(permutation: &[usize], shape: &[usize]) -> bool {
    let kept: Vec<usize> =
        permutation.iter().copied().filter(|&p| shape.get(p).is_some_and(|&d| d != 1)).collect();
    kept.is_sorted()
}
