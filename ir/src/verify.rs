//! The verifier: what every graph of a stage can rely on.

use std::collections::HashSet;

use crate::neuron::{Checks, lengths};
use crate::{
    Connectivity, DType, Graph, GraphError, InferError, NodeId, Op, Overflow, Population,
    Projection, Schedule, SpikingOp, Stage, TensorOp, ThresholdRows, infer_output,
};

/// A graph that [`verify`] accepted. Only the verifier makes one, so whoever takes it need not ask.
#[derive(Clone, Debug)]
pub struct Verified(Graph);

impl Verified {
    /// The graph, to be changed and verified anew.
    pub fn into_inner(self) -> Graph {
        self.0
    }
}

impl std::ops::Deref for Verified {
    type Target = Graph;

    fn deref(&self) -> &Graph {
        &self.0
    }
}

/// What is wrong with a graph.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The nodes have no order.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// Two nodes have one name.
    #[error("two nodes are named `{0}`")]
    DuplicateName(String),
    /// An operator does not belong to the stage.
    #[error("`{node}` does not belong to the {} stage", stage.name())]
    Stage {
        /// Node.
        node: String,
        /// Stage of the graph.
        stage: Stage,
    },
    /// Operands do not fit.
    #[error("`{node}` {source}")]
    Infer {
        /// Node.
        node: String,
        /// What does not fit.
        #[source]
        source: InferError,
    },
    /// The type stored with a node is not the one its operands give.
    #[error("`{node}` says {stated:?}, but its operands make {inferred:?}")]
    Type {
        /// Node.
        node: String,
        /// Shape stored.
        stated: Vec<usize>,
        /// Shape inferred.
        inferred: Vec<usize>,
    },
    /// A parameter is out of its range or of the wrong length.
    #[error("`{node}`: {reason}")]
    Parameter {
        /// Node.
        node: String,
        /// What is wrong.
        reason: String,
    },
    /// There is no input or no output.
    #[error("the graph has no {0}")]
    Missing(&'static str),
}

/// Checks every invariant of the graph's stage.
///
/// # Errors
/// All violations found, in node order.
pub fn verify(graph: Graph) -> Result<Verified, Vec<VerifyError>> {
    let mut errors = Vec::new();
    if let Err(error) = graph.order() {
        errors.push(error.into());
    }
    if graph.outputs().is_empty() {
        errors.push(VerifyError::Missing("output"));
    }
    if graph.timing.timesteps == 0 {
        errors.push(VerifyError::Missing("timestep"));
    }
    let mut names = HashSet::new();
    for id in graph.ids() {
        let node = &graph[id];
        if !names.insert(node.name.as_str()) {
            errors.push(VerifyError::DuplicateName(node.name.clone()));
        }
        if !belongs(&graph, id) {
            errors.push(VerifyError::Stage { node: node.name.clone(), stage: graph.stage });
            continue;
        }
        match infer_output(&graph, id) {
            Err(source) => errors.push(VerifyError::Infer { node: node.name.clone(), source }),
            Ok(ty) if ty.shape != node.ty.shape => errors.push(VerifyError::Type {
                node: node.name.clone(),
                stated: node.ty.shape.clone(),
                inferred: ty.shape,
            }),
            Ok(_) => {
                let mut reasons = Vec::new();
                parameters(&graph, id, &mut reasons);
                let node = &node.name;
                errors.extend(
                    reasons
                        .into_iter()
                        .map(|reason| VerifyError::Parameter { node: node.clone(), reason }),
                );
            }
        }
    }
    if errors.is_empty() { Ok(Verified(graph)) } else { Err(errors) }
}

fn belongs(graph: &Graph, id: NodeId) -> bool {
    match (&graph[id].op, graph.stage) {
        (Op::Spiking(_), stage) => stage == Stage::Spiking,
        (Op::Tensor(_), Stage::Spiking) => false,
        (Op::Tensor(op), Stage::Tensor) => {
            !matches!(op, TensorOp::Requantise | TensorOp::RequantiseSum | TensorOp::Lookup { .. })
        }
        (Op::Tensor(op), Stage::Quantised) => {
            use TensorOp::*;
            matches!(
                op,
                Input
                    | Output
                    | Constant
                    | Quantise(_)
                    | Dequantise(_)
                    | Requantise
                    | RequantiseSum
                    | Lookup { .. }
                    | Threshold(_)
                    | Convolution { .. }
                    | TransposedConvolution { .. }
                    | Dense
                    | Pool(_)
                    | Reshape
                    | Transpose { .. }
                    | Concatenate { .. }
                    | Pad { .. }
                    | Slice { .. }
                    | Upsample { .. }
                    // What the host computes on reals behind the last layer.
                    | Unary(_)
                    | Binary(_)
                    | Clip { .. }
                    | Cast
                    | Select
                    | Gather { .. }
                    | Expand
                    | Reduce { .. }
                    | BatchNormalisation { .. }
                    | Softmax { .. }
                    | ArgMax { .. }
            )
        }
    }
}

fn parameters(graph: &Graph, id: NodeId, reasons: &mut Vec<String>) {
    let node = &graph[id];
    if let Some(q) = &node.ty.quantisation {
        quantisation(q, &node.ty.shape, reasons);
    }
    let channels = node.ty.shape.first().copied().unwrap_or(1);
    match &node.op {
        Op::Tensor(TensorOp::Constant)
            if node.data.as_ref().is_none_or(|d| d.shape() != node.ty.shape) =>
        {
            reasons.push("a constant needs a value of its type's shape".into());
        }
        Op::Tensor(TensorOp::Lookup { table, .. }) if table.is_empty() => {
            reasons.push("an empty table".into());
        }
        Op::Tensor(TensorOp::Threshold(t)) => {
            reasons.extend(t.rows.fault(node.ty.shape.get(t.axis).copied()));
        }
        Op::Tensor(TensorOp::Requantise | TensorOp::RequantiseSum)
            if node.ty.quantisation.is_none() =>
        {
            reasons.push("requantises to nothing".into());
        }
        Op::Spiking(SpikingOp::Encoder(e)) => {
            if !(e.scale > 0.0 && e.scale.is_finite()) {
                reasons.push(format!("an encoder's scale must be positive, not {}", e.scale));
            }
            if e.offset.is_some_and(|o| !o.is_finite()) {
                reasons.push("an encoder's offset must be finite".into());
            }
            if e.minimum > e.maximum {
                reasons.push("an encoder's codes are an empty range".into());
            }
            let rows = ThresholdRows::Reals(e.thresholds.clone());
            let beyond = rows.most() as i64 > e.maximum.saturating_sub(e.minimum);
            if !rows.is_empty() && beyond {
                reasons.push("an encoder's thresholds reach more than its codes".into());
            }
            if !rows.is_empty() {
                reasons.extend(rows.fault(Some(channels)));
            }
        }
        Op::Spiking(SpikingOp::Projection(p)) => projection(graph, id, p, channels, reasons),
        Op::Spiking(SpikingOp::Population(p)) => {
            population(graph, p, channels, node.ty.len(), reasons)
        }
        Op::Spiking(SpikingOp::Decoder(d)) => {
            let n = node.ty.shape.first().copied().unwrap_or(1);
            lengths("scale", d.scale.len(), n, false, reasons);
            lengths("zero", d.zero.len(), n, true, reasons);
        }
        _ => {}
    }
}

fn quantisation(q: &crate::Quantisation, shape: &[usize], reasons: &mut Vec<String>) {
    let expected = q.axis.map_or(Some(1), |axis| shape.get(axis).copied());
    match expected {
        None => reasons.push(format!("a quantisation axis beyond {shape:?}")),
        Some(n) => {
            lengths("quantisation scale", q.scale.len(), n, false, reasons);
            lengths("zero point", q.zero_point.len(), n, false, reasons);
            lengths("quantisation offset", q.offset.len(), n, true, reasons);
        }
    }
    if q.scale.iter().any(|s| !(*s > 0.0 && s.is_finite())) {
        reasons.push("every scale must be positive and finite".into());
    }
    if q.offset.iter().any(|o| !o.is_finite()) {
        reasons.push("every offset must be finite".into());
    }
    if q.minimum > q.maximum {
        reasons.push("the range of codes is empty".into());
    }
}

fn projection(
    graph: &Graph,
    id: NodeId,
    p: &Projection,
    channels: usize,
    reasons: &mut Vec<String>,
) {
    lengths("gain", p.gain.len(), channels, true, reasons);
    if let Some(source) = graph.source(id, 0) {
        let shape = &graph[source].ty.shape;
        let inputs = match p.connectivity {
            Connectivity::Dense => graph[source].ty.len(),
            _ => shape.first().copied().unwrap_or(1),
        };
        lengths("input shift", p.input_shift.len(), inputs, true, reasons);
    }
    if p.input_shift.iter().any(|&s| s > 31) {
        reasons.push("an input shift above 31".into());
    }
    let weights = graph[id].data.as_ref();
    let real = graph.is_float();
    if weights.is_some_and(|w| w.dtype() != DType::F32) && real {
        reasons.push("weights onto real neurons must be f32".into());
    }
    if weights.is_some_and(|w| w.dtype().is_float() || w.dtype() == DType::U64) && !real {
        reasons.push("weights must be integers".into());
    }
    if real && (!p.gain.is_empty() || !p.input_shift.is_empty() || !p.delays.is_empty() || p.binary)
    {
        reasons.push("synapses onto real neurons have weights alone".into());
    }
    let count = weights.map_or(0, crate::Tensor::len);
    if !p.delays.is_empty() && p.delays.len() != count {
        reasons.push(format!("{} delays for {count} weights", p.delays.len()));
    }
    let bits = p.accumulator.bits;
    if !(1..=64).contains(&bits) || (p.accumulator.overflow == Overflow::Wrap && bits == 64) {
        reasons.push(format!("an accumulator of {bits} bits"));
    }
    for user in graph.users(id) {
        if !matches!(
            graph[user].op,
            Op::Spiking(SpikingOp::Population(_) | SpikingOp::MaxPool { .. })
        ) {
            reasons.push(format!("projects to `{}`, which is no population", graph[user].name));
        }
    }
}

fn population(
    graph: &Graph,
    p: &Population,
    channels: usize,
    neurons: usize,
    reasons: &mut Vec<String>,
) {
    lengths("bias", p.bias.len(), channels, true, reasons);
    lengths("scale", p.scale.len(), channels, true, reasons);
    if p.minimum > p.maximum {
        reasons.push("the range of payloads is empty".into());
    }
    if p.minimum > 0 || p.maximum < 0 {
        reasons.push("a silent neuron's payload 0 is outside the range of payloads".into());
    }
    if graph.is_float() && !p.neuron.is_real() {
        reasons.push("integer neurons cannot be among real ones".into());
    }
    if p.neuron.is_real() && !p.bias.is_empty() {
        reasons.push("a real neuron has its bias in itself".into());
    }
    let barrier = graph.timing.schedule == Schedule::LayerSynchronous;
    p.neuron.check(&mut Checks { channels, neurons, barrier, reasons });
}
