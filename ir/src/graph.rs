//! The graph: nodes with one output, edges with a port and a delay.

use std::collections::{BTreeSet, HashMap};

use petgraph::Direction;
use petgraph::stable_graph::{NodeIndex, StableDiGraph};
use petgraph::visit::EdgeRef;
use serde::{Deserialize, Serialize};

use crate::{DType, Op, SpikingOp, Tensor, TensorOp, TensorType};

/// Names a node of one graph; stays valid while other nodes come and go.
pub type NodeId = NodeIndex<u32>;

/// How far a network has been compiled, and with it which operators may appear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Tensor operators on reals, quantisation as [`TensorOp::Quantise`] and its inverse.
    Tensor,
    /// Tensor operators on integer codes and accumulators, between one quantiser at each input and
    /// one dequantiser at each output.
    Quantised,
    /// Encoders, projections, populations and decoders.
    Spiking,
}

impl Stage {
    /// The name used in the text form.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Tensor => "tensor",
            Stage::Quantised => "quantised",
            Stage::Spiking => "spiking",
        }
    }
}

/// In which order populations and timesteps are run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Every population integrates and fires in every timestep.
    #[default]
    Streaming,
    /// A barrier before each population: it integrates all timesteps of its input, then fires.
    LayerSynchronous,
    /// Streaming, after the last timestep going on without input until no neuron can fire.
    UntilSettled,
}

/// How long a network runs on one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// Number of timesteps.
    pub timesteps: usize,
    /// Order of populations and timesteps.
    pub schedule: Schedule,
}

impl Default for Timing {
    fn default() -> Self {
        Timing { timesteps: 1, schedule: Schedule::Streaming }
    }
}

/// An ONNX node from which a node was made.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Origin {
    /// Its name, or that of its first output when it has none.
    pub node: String,
    /// Its operator.
    pub op: String,
}

/// One value and what makes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Unique in the graph; populations, traces and reports use it.
    pub name: String,
    /// What the node does.
    pub op: Op,
    /// Type of the one output.
    pub ty: TensorType,
    /// Value of a constant, weights of a projection.
    pub data: Option<Tensor>,
    /// Where it came from.
    pub origins: Vec<Origin>,
}

impl Node {
    /// A node of the tensor family.
    pub fn tensor(name: impl Into<String>, op: TensorOp, ty: TensorType) -> Self {
        Node { name: name.into(), op: Op::Tensor(op), ty, data: None, origins: Vec::new() }
    }

    /// A constant.
    pub fn constant(name: impl Into<String>, value: Tensor) -> Self {
        let ty = value.tensor_type();
        Node { data: Some(value), ..Node::tensor(name, TensorOp::Constant, ty) }
    }

    /// A node of the spiking family, sending payloads of the given shape.
    pub fn spiking(name: impl Into<String>, op: SpikingOp, shape: impl Into<Vec<usize>>) -> Self {
        let ty = TensorType::new(DType::I64, shape);
        Node { name: name.into(), op: Op::Spiking(op), ty, data: None, origins: Vec::new() }
    }

    /// The same node with data.
    pub fn with_data(mut self, data: Tensor) -> Self {
        self.data = Some(data);
        self
    }

    /// The same node with origins.
    pub fn with_origins(mut self, origins: &[Origin]) -> Self {
        self.origins = origins.to_vec();
        self
    }

    /// The tensor operator, if it is one.
    pub fn as_tensor(&self) -> Option<&TensorOp> {
        match &self.op {
            Op::Tensor(op) => Some(op),
            Op::Spiking(_) => None,
        }
    }

    /// The spiking operator, if it is one.
    pub fn as_spiking(&self) -> Option<&SpikingOp> {
        match &self.op {
            Op::Spiking(op) => Some(op),
            Op::Tensor(_) => None,
        }
    }

    /// How messages name the node: its ONNX node if it has one, as ``Conv `conv1` ``.
    pub fn describe(&self) -> String {
        match self.origins.first() {
            Some(origin) => format!("{} `{}`", origin.op, origin.node),
            None => format!("`{}`", self.name),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Edge {
    port: u32,
    delay: u32,
}

/// One operand of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operand {
    /// The node whose output it is.
    pub source: NodeId,
    /// Timesteps by which it arrives later.
    pub delay: u32,
}

/// Why a graph has no order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// These nodes depend on each other within one timestep.
    #[error("the nodes {} form a cycle without a delay", .0.join(", "))]
    Cycle(Vec<String>),
}

/// A network at one stage of compilation.
#[derive(Clone, Debug)]
pub struct Graph {
    /// Name of the network.
    pub name: String,
    /// Stage.
    pub stage: Stage,
    /// How long it runs; only the spiking stage has more than one timestep.
    pub timing: Timing,
    graph: StableDiGraph<Node, Edge>,
}

impl Graph {
    /// An empty graph.
    pub fn new(name: impl Into<String>, stage: Stage) -> Self {
        Graph { name: name.into(), stage, timing: Timing::default(), graph: StableDiGraph::new() }
    }

    /// Adds a node with operands, in port order.
    pub fn add(&mut self, node: Node, operands: &[NodeId]) -> NodeId {
        let id = self.graph.add_node(node);
        for (port, &source) in operands.iter().enumerate() {
            self.graph.add_edge(source, id, Edge { port: port as u32, delay: 0 });
        }
        id
    }

    /// Adds one more operand at the end of a node's list.
    pub fn connect(&mut self, source: NodeId, target: NodeId, delay: u32) {
        let port = self.operands(target).len() as u32;
        self.graph.add_edge(source, target, Edge { port, delay });
    }

    /// Replaces the operands of a node.
    pub fn set_operands(&mut self, id: NodeId, operands: &[Operand]) {
        let old: Vec<_> =
            self.graph.edges_directed(id, Direction::Incoming).map(|e| e.id()).collect();
        for edge in old {
            self.graph.remove_edge(edge);
        }
        for (port, operand) in operands.iter().enumerate() {
            let edge = Edge { port: port as u32, delay: operand.delay };
            self.graph.add_edge(operand.source, id, edge);
        }
    }

    /// Lets every user of `old` use `new` instead.
    pub fn replace_uses(&mut self, old: NodeId, new: NodeId) {
        if old == new {
            return;
        }
        let uses: Vec<_> = self
            .graph
            .edges_directed(old, Direction::Outgoing)
            .map(|e| (e.id(), e.target(), *e.weight()))
            .collect();
        for (edge, target, weight) in uses {
            self.graph.remove_edge(edge);
            self.graph.add_edge(new, target, weight);
        }
    }

    /// Removes a node and its edges.
    pub fn remove(&mut self, id: NodeId) -> Option<Node> {
        self.graph.remove_node(id)
    }

    /// Removes every node on which no output depends, but no graph input.
    pub fn remove_dead(&mut self) {
        let mut live = BTreeSet::new();
        let mut pending: Vec<NodeId> = self.ids().filter(|&id| self.is_root(id)).collect();
        while let Some(id) = pending.pop() {
            if live.insert(id) {
                pending.extend(self.graph.neighbors_directed(id, Direction::Incoming));
            }
        }
        self.graph.retain_nodes(|_, id| live.contains(&id));
    }

    fn is_root(&self, id: NodeId) -> bool {
        matches!(
            self[id].op,
            Op::Tensor(TensorOp::Output | TensorOp::Input)
                | Op::Spiking(SpikingOp::Decoder(_) | SpikingOp::Encoder(_))
        )
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.graph.node_count()
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All nodes, oldest first.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.graph.node_indices()
    }

    /// The node of that name.
    pub fn find(&self, name: &str) -> Option<NodeId> {
        self.ids().find(|&id| self[id].name == name)
    }

    /// The node, if it is there.
    pub fn get(&self, id: NodeId) -> Option<&Node> {
        self.graph.node_weight(id)
    }

    /// Operands in port order.
    pub fn operands(&self, id: NodeId) -> Vec<Operand> {
        let mut edges: Vec<_> = self
            .graph
            .edges_directed(id, Direction::Incoming)
            .map(|e| (e.weight().port, Operand { source: e.source(), delay: e.weight().delay }))
            .collect();
        edges.sort_by_key(|(port, _)| *port);
        edges.into_iter().map(|(_, operand)| operand).collect()
    }

    /// Sources of the operands in port order.
    pub fn sources(&self, id: NodeId) -> Vec<NodeId> {
        self.operands(id).into_iter().map(|o| o.source).collect()
    }

    /// Source of one operand.
    pub fn source(&self, id: NodeId, port: usize) -> Option<NodeId> {
        self.operands(id).get(port).map(|o| o.source)
    }

    /// Nodes that use the output of `id`, once for each use, in ascending order.
    pub fn users(&self, id: NodeId) -> Vec<NodeId> {
        let mut users: Vec<_> = self.graph.neighbors_directed(id, Direction::Outgoing).collect();
        users.sort();
        users
    }

    /// Whether the network spikes in single precision: some population's neuron is real.
    pub fn is_float(&self) -> bool {
        self.ids().any(|id| {
            matches!(&self[id].op, Op::Spiking(SpikingOp::Population(p)) if p.neuron.is_real())
        })
    }

    /// Graph inputs: input nodes or encoders, oldest first.
    pub fn inputs(&self) -> Vec<NodeId> {
        let is_input = |op: &Op| {
            matches!(op, Op::Tensor(TensorOp::Input) | Op::Spiking(SpikingOp::Encoder(_)))
        };
        self.ids().filter(|&id| is_input(&self[id].op)).collect()
    }

    /// Graph outputs: output nodes or decoders, oldest first.
    pub fn outputs(&self) -> Vec<NodeId> {
        self.ids().filter(|&id| self.is_output(id)).collect()
    }

    fn is_output(&self, id: NodeId) -> bool {
        matches!(self[id].op, Op::Tensor(TensorOp::Output) | Op::Spiking(SpikingOp::Decoder(_)))
    }

    /// Every node after its operands, ties by age; operands with a delay do not count. Graph outputs come
    /// last, in their own order, so that no rewriting of the nodes before them exchanges them.
    ///
    /// # Errors
    /// When nodes depend on each other within one timestep.
    pub fn order(&self) -> Result<Vec<NodeId>, GraphError> {
        let mut missing: HashMap<NodeId, usize> = HashMap::with_capacity(self.len());
        for id in self.ids() {
            let edges = self.graph.edges_directed(id, Direction::Incoming);
            missing.insert(id, edges.filter(|e| e.weight().delay == 0).count());
        }
        let mut ready: BTreeSet<NodeId> = self.ids().filter(|id| missing[id] == 0).collect();
        let mut order = Vec::with_capacity(self.len());
        let mut outputs = BTreeSet::new();
        while let Some(id) = ready.pop_first() {
            let mut users = self.graph.neighbors_directed(id, Direction::Outgoing);
            if self.is_output(id) && users.next().is_none() {
                outputs.insert(id);
                continue;
            }
            order.push(id);
            for edge in self.graph.edges_directed(id, Direction::Outgoing) {
                if edge.weight().delay == 0
                    && let Some(count) = missing.get_mut(&edge.target())
                {
                    *count -= 1;
                    if *count == 0 {
                        ready.insert(edge.target());
                    }
                }
            }
        }
        order.extend(outputs);
        if order.len() == self.len() {
            return Ok(order);
        }
        let done: BTreeSet<_> = order.into_iter().collect();
        let names = self.ids().filter(|id| !done.contains(id)).map(|id| self[id].name.clone());
        Err(GraphError::Cycle(names.take(8).collect()))
    }

    /// A name that no node has yet: `wanted`, or `wanted` with a number.
    pub fn fresh_name(&self, wanted: &str) -> String {
        let taken: BTreeSet<&str> = self.graph.node_weights().map(|n| n.name.as_str()).collect();
        crate::query::fresh(wanted, |name| taken.contains(name))
    }
}

impl std::ops::Index<NodeId> for Graph {
    type Output = Node;

    fn index(&self, id: NodeId) -> &Node {
        &self.graph[id]
    }
}

impl std::ops::IndexMut<NodeId> for Graph {
    fn index_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.graph[id]
    }
}
