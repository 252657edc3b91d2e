//! What runs tell, and why there may be none.

use snnc_ir::{GraphError, NeuronState, NodeId};

/// Why a network cannot be run, or a run not be finished.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The graph has no order.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A node cannot be run, or left its range.
    #[error("`{node}`: {reason}")]
    Node {
        /// Name of the node.
        node: String,
        /// What is wrong.
        reason: String,
    },
    /// The samples do not match the network's inputs.
    #[error("input `{node}` takes {expected} values, but {found} are given")]
    Input {
        /// Name of the encoder.
        node: String,
        /// Values of one sample.
        expected: usize,
        /// Values given.
        found: usize,
    },
    /// Negative and positive spikes went on for too long.
    #[error("the network has not settled after {0} timesteps")]
    Unsettled(usize),
}

/// Is told of every value: node, timestep, payloads (sums for projections).
pub type Observer<'a> = dyn FnMut(NodeId, usize, &[i64]) + 'a;

/// Is told of every population's state at the end of a timestep.
pub type StateObserver<'a> = dyn FnMut(NodeId, usize, &NeuronState<'_>) + 'a;

/// What one population did during a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Payloads other than 0.
    pub spikes: u64,
    /// Sum of the payloads' magnitudes.
    pub payload: u64,
    /// Weights met by a spike on the way out.
    pub synaptic_operations: u64,
}

/// What one output shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// Name of the decoder.
    pub name: String,
    /// Integers read out.
    pub raw: Vec<i64>,
    /// Scores.
    pub scores: Vec<f32>,
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Outputs, in the order of the graph.
    pub outputs: Vec<Output>,
    /// Timesteps run.
    pub timesteps: usize,
    /// What each encoder and population did, in order of computation.
    pub activity: Vec<(NodeId, Activity)>,
}
