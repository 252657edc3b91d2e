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
mod frames;
mod network;
mod neurons;
mod polynomial;

use snnc_ir::{Binary, Graph, TensorOp, verify};

use crate::{Error, Problem};

/// Whether a tensor graph seems to hold spiking neurons: it compares reals, and has no quantiser.
pub fn seems_spiking(graph: &Graph) -> bool {
    let ops = || graph.ids().filter_map(|id| Some((id, graph[id].as_tensor()?)));
    let quantised =
        ops().any(|(_, op)| matches!(op, TensorOp::Quantise(_) | TensorOp::Dequantise(_)));
    !quantised
        && ops().any(|(id, op)| {
            use Binary::{Greater, GreaterOrEqual, Less, LessOrEqual};
            matches!(op, TensorOp::Binary(Greater | GreaterOrEqual | Less | LessOrEqual))
                && graph.sources(id).iter().any(|&s| graph[s].ty.dtype.is_float())
        })
}

/// The spiking network, in single precision, that a tensor graph writes out.
///
/// # Errors
/// Everything in it that is no spiking neuron, or differs between timesteps.
pub fn recognise(graph: &Graph) -> Result<Graph, Error> {
    let framed = frames::framed(graph).map_err(Error::Unsupported)?;
    let found = neurons::find(&framed).map_err(Error::Unsupported)?;
    let network = network::build(graph, &framed, &found).map_err(Error::Unsupported)?;
    match verify(network) {
        Ok(network) => Ok(network.into_inner()),
        Err(errors) => {
            let problem = |e: &snnc_ir::VerifyError| {
                Problem::new("spiking network", e.to_string(), "report this with the model")
            };
            Err(Error::Unsupported(errors.iter().map(problem).collect()))
        }
    }
}
