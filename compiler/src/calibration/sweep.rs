//! Running a network on many samples side by side, node by node: only the weights of the layer at work
//! are unpacked, and a layer can be changed before what follows is computed.

use std::collections::{HashMap, HashSet};

use rayon::prelude::*;
use snnc_ir::{Graph, Node, NodeId, Operand, TensorOp};
use snnc_runtime::tensor::{Program, RunError, Value};

/// The values of all samples at some nodes of a graph with one input.
pub(super) struct Sweep<'a> {
    /// The nodes that lead from the input to those wanted, in order of computation.
    order: Vec<NodeId>,
    /// The same as a set.
    placed: HashSet<NodeId>,
    inputs: &'a [Value],
    values: HashMap<NodeId, Vec<Value>>,
    /// For each node, how many of those in `order` read it and have not been released.
    readers: HashMap<NodeId, usize>,
    /// What was computed at least once.
    done: HashSet<NodeId>,
    memory: usize,
}

impl<'a> Sweep<'a> {
    /// Prepares to run `graph` on `inputs` as far as the nodes `wanted` need, these in their order, which
    /// is one of computation.
    pub(super) fn new(graph: &Graph, wanted: &[NodeId], inputs: &'a [Value]) -> Sweep<'a> {
        let all = graph.order().unwrap_or_default();
        let mut varies: HashSet<NodeId> = HashSet::new();
        for &id in &all {
            let input = matches!(graph[id].as_tensor(), Some(TensorOp::Input));
            if input || graph.sources(id).iter().any(|s| varies.contains(s)) {
                varies.insert(id);
            }
        }
        let (mut order, mut placed) = (Vec::new(), HashSet::new());
        for &id in wanted {
            let mut needed: HashSet<NodeId> = HashSet::new();
            let mut pending = vec![id];
            while let Some(id) = pending.pop() {
                if varies.contains(&id) && !placed.contains(&id) && needed.insert(id) {
                    pending.extend(graph.sources(id));
                }
            }
            order.extend(all.iter().filter(|id| needed.contains(id)));
            placed.extend(needed);
        }
        let mut readers = HashMap::new();
        for &id in &order {
            for source in graph.sources(id) {
                *readers.entry(source).or_insert(0) += 1;
            }
        }
        let values = HashMap::new();
        let mut sweep =
            Sweep { order, placed, inputs, values, readers, done: HashSet::new(), memory: 0 };
        sweep.memory = sweep.most_bytes(graph).saturating_mul(inputs.len());
        sweep
    }

    /// The nodes to compute, in order.
    pub(super) fn order(&self) -> &[NodeId] {
        &self.order
    }

    /// Whether a node is among those to compute.
    pub(super) fn varies(&self, id: NodeId) -> bool {
        self.placed.contains(&id)
    }

    /// Whether a node was computed, read by all that read it, and freed.
    pub(super) fn is_done(&self, id: NodeId) -> bool {
        self.done.contains(&id) && !self.values.contains_key(&id)
    }

    /// The most bytes that values of all samples take at any time.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    /// The most bytes that the values of one sample take at any time.
    pub(super) fn most_bytes(&self, graph: &Graph) -> usize {
        let bytes = |id: NodeId| {
            let ty = &graph[id].ty;
            ty.len().saturating_mul(if ty.dtype.is_float() { 4 } else { 8 })
        };
        let mut readers = self.readers.clone();
        let (mut now, mut most) = (0usize, 0usize);
        for &id in &self.order {
            now = now.saturating_add(bytes(id));
            most = most.max(now);
            for source in released(graph, id, &mut readers) {
                if self.placed.contains(&source) {
                    now = now.saturating_sub(bytes(source));
                }
            }
        }
        most
    }

    /// Computes the values of one node, again if the graph has changed there.
    ///
    /// # Errors
    /// When the operator cannot be applied; the error names the node.
    pub(super) fn compute(&mut self, graph: &Graph, id: NodeId) -> Result<(), RunError> {
        self.compute_with(graph, id, usize::MAX)
    }

    /// Computes the sums of products of a layer, without its bias.
    ///
    /// # Errors
    /// As [`Sweep::compute`].
    pub(super) fn compute_sums(&mut self, graph: &Graph, id: NodeId) -> Result<(), RunError> {
        self.compute_with(graph, id, 2)
    }

    /// Adds a bias for each channel to the sums of a layer of one sample, unless it is empty.
    ///
    /// # Errors
    /// When there is no room.
    pub(super) fn add_bias(&mut self, id: NodeId, bias: &[f32]) -> Result<(), RunError> {
        let (Some(values), false) = (self.values.get_mut(&id), bias.is_empty()) else {
            return Ok(());
        };
        values.par_iter_mut().try_for_each(|value| {
            let mut reals = value.to_f32();
            let cells = (reals.len() / bias.len()).max(1);
            for (map, bias) in reals.chunks_exact_mut(cells).zip(bias) {
                map.iter_mut().for_each(|y| *y += bias);
            }
            *value = Value::from_f32(value.shape(), reals)?;
            Ok(())
        })
    }

    /// Computes a node with so many of its operands at most.
    fn compute_with(&mut self, graph: &Graph, id: NodeId, most: usize) -> Result<(), RunError> {
        let (part, sources) = self.part(graph, id, most);
        let program = Program::lean(&part)?;
        let of_sample = |index: usize| {
            let operand = |source: &NodeId| match self.values.get(source) {
                Some(values) if source != &id => values.get(index).cloned(),
                _ => self.inputs.get(index).cloned(),
            };
            let operands: Vec<Value> = sources.iter().filter_map(operand).collect();
            let found = program.run(&operands)?.outputs.into_iter().next();
            found.map(|(_, value)| value).ok_or(RunError::Unsupported("has no value"))
        };
        let values =
            (0..self.inputs.len()).into_par_iter().map(of_sample).collect::<Result<_, _>>()?;
        self.values.insert(id, values);
        self.done.insert(id);
        Ok(())
    }

    /// The values that were computed of a node, by sample.
    pub(super) fn values(&self, id: NodeId) -> &[Value] {
        self.values.get(&id).map(Vec::as_slice).unwrap_or_default()
    }

    /// Frees what nobody needs once a node is computed for good.
    pub(super) fn release(&mut self, graph: &Graph, id: NodeId) {
        for source in released(graph, id, &mut self.readers) {
            self.values.remove(&source);
        }
        if !self.readers.contains_key(&id) {
            self.values.remove(&id);
        }
    }

    /// One node with the constants among its first `most` operands, its other operands being inputs; and what these are.
    fn part(&self, graph: &Graph, id: NodeId, most: usize) -> (Graph, Vec<NodeId>) {
        let mut part = Graph::new(graph.name.clone(), graph.stage);
        let mut copies: HashMap<NodeId, NodeId> = HashMap::new();
        let mut inputs = Vec::new();
        let mut pending = vec![id];
        while let Some(&at) = pending.last() {
            let mut operands = graph.operands(at);
            operands.truncate(if at == id { most } else { usize::MAX });
            let is_input = matches!(graph[at].as_tensor(), Some(TensorOp::Input))
                || (at != id && self.placed.contains(&at));
            let sources = operands.iter().map(|o| o.source);
            let before: Vec<NodeId> =
                sources.filter(|s| !is_input && !copies.contains_key(s)).collect();
            if !before.is_empty() {
                pending.extend(before);
                continue;
            }
            pending.pop();
            if copies.contains_key(&at) {
                continue;
            }
            let copy = if is_input {
                inputs.push(at);
                let input =
                    Node::tensor(graph[at].name.clone(), TensorOp::Input, graph[at].ty.clone());
                part.add(input.with_origins(&graph[at].origins), &[])
            } else {
                let copy = part.add(graph[at].clone(), &[]);
                let moved = |o: Operand| copies.get(&o.source).map(|&s| Operand { source: s, ..o });
                let operands: Vec<Operand> = operands.into_iter().filter_map(moved).collect();
                part.set_operands(copy, &operands);
                copy
            };
            copies.insert(at, copy);
        }
        let output = Node::tensor(part.fresh_name("value"), TensorOp::Output, graph[id].ty.clone());
        part.add(output, &[copies[&id]]);
        (part, inputs)
    }
}

/// The operands of `id` that nobody reads after it.
fn released(graph: &Graph, id: NodeId, readers: &mut HashMap<NodeId, usize>) -> Vec<NodeId> {
    let mut free = Vec::new();
    for source in graph.sources(id) {
        if let Some(count) = readers.get_mut(&source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                free.push(source);
            }
        }
    }
    free
}
