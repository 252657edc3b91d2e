//! Questions on graphs that more than one part of the compiler asks, each answered here alone.

use std::collections::{HashMap, HashSet};

use crate::{Graph, NodeId, Op, Operand, PoolKind, Schedule, SpikingOp, TensorOp};

/// Whether a node is a population that sends spikes, and is not only read out.
pub fn fires(graph: &Graph, id: NodeId) -> bool {
    matches!(&graph[id].op, Op::Spiking(SpikingOp::Population(p)) if p.neuron.fires())
}

/// Whether a graph of tensor operators is unquantised: nothing in it makes codes, or is made of them.
pub fn is_unquantised(graph: &Graph) -> bool {
    !graph.ids().any(|id| {
        let op = graph[id].as_tensor();
        matches!(op, Some(TensorOp::Quantise(_) | TensorOp::Threshold(_) | TensorOp::Dequantise(_)))
    })
}

/// The longest way from an input to each node: the cost of each node on it, and of each operand. Nodes on a
/// cycle get what arrives without the operand that closes it.
fn longest(
    graph: &Graph,
    node: impl Fn(NodeId) -> usize,
    operand: impl Fn(&Operand) -> usize,
) -> HashMap<NodeId, usize> {
    let mut found: HashMap<NodeId, usize> = HashMap::new();
    for id in graph.order().unwrap_or_default() {
        let arrives = graph.operands(id);
        let arrives = arrives.iter().filter_map(|o| Some(found.get(&o.source)? + operand(o)));
        let latest = arrives.max().unwrap_or(0);
        found.insert(id, latest + node(id));
    }
    found
}

/// Timesteps after which what the input sent in the first reaches each node, by the delays on the way.
pub fn delays(graph: &Graph) -> HashMap<NodeId, usize> {
    longest(graph, |_| 0, |operand| operand.delay as usize)
}

/// Timesteps after which what the input sent in the first reaches an output.
pub fn delay(graph: &Graph) -> usize {
    let delays = delays(graph);
    graph.outputs().iter().filter_map(|id| delays.get(id).copied()).max().unwrap_or(0)
}

/// Layers of synapses on the longest way through a spiking network.
pub fn layers(graph: &Graph) -> usize {
    let is_layer = |id| matches!(&graph[id].op, Op::Spiking(SpikingOp::Projection(_)));
    longest(graph, |id| usize::from(is_layer(id)), |_| 0).into_values().max().unwrap_or(0)
}

/// Timesteps from the input of a spiking network to a valid output.
pub fn latency(graph: &Graph) -> usize {
    match graph.timing.schedule {
        Schedule::Streaming | Schedule::UntilSettled => graph.timing.timesteps,
        Schedule::LayerSynchronous => {
            let depths = longest(graph, |id| usize::from(fires(graph, id)), |_| 0);
            graph.timing.timesteps * (depths.into_values().max().unwrap_or(0) + 1)
        }
    }
}

/// Whether an operator moves elements, and changes none.
pub fn is_movement(op: &TensorOp) -> bool {
    matches!(
        op,
        TensorOp::Reshape
            | TensorOp::Transpose { .. }
            | TensorOp::Concatenate { .. }
            | TensorOp::Pad { .. }
            | TensorOp::Slice { .. }
            | TensorOp::Gather { .. }
            | TensorOp::Expand
            | TensorOp::Upsample { .. }
    )
}

/// Whether an operator only moves elements, or picks the largest: it works on codes as on f32 values.
pub fn is_layout(op: &TensorOp) -> bool {
    is_movement(op) || matches!(op, TensorOp::Pool(pool) if pool.kind == PoolKind::Max)
}

/// Whether codes that go in come out as codes of the same quantisation: of operators with one operand.
pub fn keeps_grid(op: &TensorOp) -> bool {
    match op {
        TensorOp::Concatenate { .. } => false,
        TensorOp::Quantise(_) | TensorOp::Dequantise(_) => true,
        other => is_layout(other),
    }
}

/// The names of a graph's nodes, so that fresh ones cost no search through the graph.
pub struct Names(HashSet<String>);

impl Names {
    /// Of all nodes of a graph.
    pub fn of(graph: &Graph) -> Self {
        Names(graph.ids().map(|id| graph[id].name.clone()).collect())
    }

    /// A name that no node has yet, which is taken then: `wanted`, or `wanted` with a number.
    pub fn fresh(&mut self, wanted: &str) -> String {
        let name = fresh(wanted, |name| self.0.contains(name));
        self.0.insert(name.clone());
        name
    }
}

/// `wanted`, or the first of `wanted.1`, `wanted.2`, .. that is not taken.
pub(crate) fn fresh(wanted: &str, taken: impl Fn(&str) -> bool) -> String {
    let mut name = wanted.to_owned();
    let mut count = 0usize;
    while taken(&name) {
        count += 1;
        name = format!("{wanted}.{count}");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        BiasPlacement, Coding, Connectivity, Neuron, Node, Population, Projection, Stage,
        ThresholdTable, Timing,
    };

    /// Two layers of synapses one behind the other and one beside them; operands of populations are late by
    /// a timestep.
    fn branches(schedule: Schedule) -> Graph {
        let mut graph = Graph::new("branches", Stage::Spiking);
        graph.timing = Timing { timesteps: 4, schedule };
        let mut add = |name: &str, op: SpikingOp, source: Option<NodeId>, delay: u32| {
            let id = graph.add(Node::spiking(name, op, [2]), &[]);
            if let Some(source) = source {
                graph.connect(source, id, delay);
            }
            id
        };
        let synapses = || SpikingOp::Projection(Projection::exact(Connectivity::OneToOne));
        let population = |neuron: Neuron| {
            SpikingOp::Population(Population {
                coding: Coding::Graded,
                bias: Vec::new(),
                bias_placement: BiasPlacement::default(),
                neuron,
                minimum: 0,
                maximum: 1,
                scale: Vec::new(),
            })
        };
        let firing =
            || Neuron::Thresholds(ThresholdTable { thresholds: vec![vec![3]], minimum: 0 });
        let x = add("x", population(firing()), None, 0);
        let first = add("a.synapses", synapses(), Some(x), 0);
        let a = add("a", population(firing()), Some(first), 1);
        let second = add("b.synapses", synapses(), Some(a), 0);
        let beside = add("b.synapses.1", synapses(), Some(x), 0);
        let b = add("b", population(Neuron::Accumulate), Some(second), 1);
        graph.connect(beside, b, 1);
        graph
    }

    #[test]
    fn ways_are_as_long_as_their_longest_branch() {
        let graph = branches(Schedule::Streaming);
        assert_eq!(layers(&graph), 2, "a branch beside is no layer more");
        let named = |name: &str| graph.find(name).expect("is there");
        let delays = delays(&graph);
        assert_eq!((delays[&named("a")], delays[&named("b")]), (1, 2));
        let fires = |name: &str| fires(&graph, named(name));
        assert_eq!((fires("a"), fires("b"), fires("a.synapses")), (true, false, false));
    }

    #[test]
    fn only_layers_that_wait_for_each_other_add_up_their_timesteps() {
        assert_eq!(latency(&branches(Schedule::Streaming)), 4);
        assert_eq!(latency(&branches(Schedule::LayerSynchronous)), 4 * 3);
    }

    #[test]
    fn fresh_names_count_from_one() {
        let mut names = Names(HashSet::from(["a".to_owned(), "a.1".to_owned()]));
        assert_eq!(names.fresh("b"), "b");
        assert_eq!(names.fresh("b"), "b.1");
        assert_eq!(names.fresh("a"), "a.2");
    }
}
