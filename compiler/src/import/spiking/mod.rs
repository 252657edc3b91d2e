//! Networks that spike already in ONNX: neurons written out in arithmetic, recognised by what is
//! computed, never by names.
//!
//! Frameworks write one timestep with states as inputs and outputs (snnTorch), all timesteps one
//! after the other (snnTorch and SpikingJelly's multi-step mode), or a `Loop`, which import has
//! unrolled before. All of them become expressions on frames ([`mod@frames`]) in which equal
//! computations are one, then neurons ([`mod@neurons`]): a membrane potential is what is compared with
//! a threshold, and the sum of products by which it follows from the one before says how it decays
//! and resets, however the formula is written. Copies of a timestep must be copies; a spike whose
//! potential does not last is the work of an exporter that left the state out, and is refused.

mod expression;
mod flow;
mod formula;
mod frames;
mod linear;
mod network;
mod neurons;
mod polynomial;

use snnc_ir::query::is_unquantised;
use snnc_ir::{Binary, FloatNeuron, Graph, NodeId, SpikingOp, TensorOp, Verified, verify};

use crate::showing::Showing;
use crate::{Error, Problem};

pub use formula::{Formula, Place};

/// A network that was read out of a tensor graph.
#[derive(Clone, Debug)]
pub struct Recognised {
    /// The network.
    pub network: Graph,
    /// Its outputs as the model has them, in the order of the network's.
    pub shown: Vec<Shown>,
    /// Where its numbers are in the tensor graph.
    pub formula: Formula,
    /// What is left out, each with the node it is about.
    pub notes: Vec<(String, String)>,
}

impl Recognised {
    /// When the model shows each output.
    pub fn showing(&self) -> Vec<Showing> {
        let showing = |shown: &Shown| match (shown.every, self.network.timing.timesteps) {
            (false, _) => Showing::Once,
            (true, 1) => Showing::EachRun,
            (true, _) => Showing::EveryTimestep,
        };
        self.shown.iter().map(showing).collect()
    }
}

/// An output of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Name of its decoder.
    pub name: String,
    /// Its shape in the model.
    pub shape: Vec<usize>,
    /// Whether the model shows a value in every timestep, and not one for all.
    pub every: bool,
    /// Which output of the model it is.
    pub index: usize,
}

/// Whether a tensor graph seems to hold spiking neurons: it compares reals, and has no quantiser.
pub fn seems_spiking(graph: &Graph) -> bool {
    is_unquantised(graph) && graph.ids().any(|id| compares_reals(graph, id))
}

/// Whether a node compares reals, as neurons do with their threshold.
pub(crate) fn compares_reals(graph: &Graph, id: NodeId) -> bool {
    use Binary::{Greater, GreaterOrEqual, Less, LessOrEqual};
    matches!(
        graph[id].as_tensor(),
        Some(TensorOp::Binary(Greater | GreaterOrEqual | Less | LessOrEqual))
    ) && graph.sources(id).iter().any(|&s| graph[s].ty.dtype.is_float())
}

/// The spiking network, in single precision, that a tensor graph writes out.
///
/// # Errors
/// Everything in it that is no spiking neuron, or differs between timesteps; weights and parameters that
/// are not finite.
pub fn recognise(graph: &Graph) -> Result<Recognised, Error> {
    finite_constants(graph)?;
    let framed = frames::framed(graph).map_err(Error::Unsupported)?;
    let found = neurons::find(&framed).map_err(Error::Unsupported)?;
    let recognised = network::build(graph, &framed, &found).map_err(Error::Unsupported)?;
    finite(&recognised.network)?;
    match verify(recognised.network.clone()) {
        Ok(_) => Ok(recognised),
        Err(errors) => Err(Error::unverified("spiking network", &errors)),
    }
}

/// The network of a recognition, checked.
///
/// # Errors
/// Everything that breaks a rule of the representation.
pub fn verified(network: Graph) -> Result<Verified, Error> {
    verify(network).map_err(|errors| Error::unverified("network", &errors))
}

const TRAIN: &str = "export the network again from weights that are finite";

/// Refuses constants that are not finite.
fn finite_constants(graph: &Graph) -> Result<(), Error> {
    let mut problems = Vec::new();
    for id in graph.ids() {
        let Some(data) = graph[id].data.as_ref().filter(|d| d.dtype().is_float()) else { continue };
        if let Some(reason) = odd(&data.to_f32()) {
            let users = graph.users(id);
            let place = users.first().map_or_else(
                || graph[id].describe(),
                |&user| format!("{}, operand `{}`", graph[user].describe(), graph[id].name),
            );
            problems.push(Problem::new(place, reason, TRAIN));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Error::Input(problems)) }
}

/// Refuses weights and parameters that left single precision when factors were multiplied into them.
fn finite(network: &Graph) -> Result<(), Error> {
    let mut problems = Vec::new();
    for id in network.ids() {
        let node = &network[id];
        let weights = node.data.as_ref().and_then(|d| odd(&d.to_f32()));
        let mut all: Vec<String> =
            weights.map(|w| format!("its weights: {w}")).into_iter().collect();
        if let Some(SpikingOp::Population(p)) = node.as_spiking()
            && let Some(n) = p.neuron.get::<FloatNeuron>()
        {
            let named =
                |(name, values): (&str, &[f32])| Some(format!("its {name}: {}", odd(values)?));
            all.extend(n.vectors().into_iter().filter_map(named));
        }
        let problem = |reason| Problem::new(node.describe(), reason, TRAIN);
        problems.extend(all.into_iter().map(problem));
    }
    if problems.is_empty() { Ok(()) } else { Err(Error::Input(problems)) }
}

/// The first value that is not finite, if there is one.
fn odd(values: &[f32]) -> Option<String> {
    let place = values.iter().position(|v| !v.is_finite())?;
    let count = values.iter().filter(|v| !v.is_finite()).count();
    Some(format!(
        "is {} at index {place} ({count} of {} are not finite)",
        values[place],
        values.len()
    ))
}
