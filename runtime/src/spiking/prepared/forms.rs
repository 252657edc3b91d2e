//! How the nodes of a network run, and why.

use snnc_ir::NodeId;

/// How one node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// As bytes: products of matrices or sums over spikes, neurons in 32-bit registers.
    Bytes,
    /// Sums on bytes or over events, but neurons one by one by their own definition.
    Neurons,
    /// As lists of payloads that are not 0, in 32-bit sums.
    Events,
    /// By the neuron's or operator's own definition, in 64 bits, one after the other.
    Scalar,
}

impl Form {
    /// The word for it in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Form::Bytes => "bytes",
            Form::Neurons => "neurons one by one",
            Form::Events => "events",
            Form::Scalar => "scalar",
        }
    }
}

/// The form of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeForm {
    /// The node: an encoder, a population, a pool, a concatenation, or a projection that stands by itself.
    pub node: NodeId,
    /// How it runs.
    pub form: Form,
    /// Why it is not in the form before, empty for bytes.
    pub reason: &'static str,
}
