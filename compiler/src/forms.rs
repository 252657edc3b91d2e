//! How the layers of a network run here, and why.

use snnc_ir::{Graph, NodeId, SpikingOp};
use snnc_runtime::spiking::{FloatNetwork, Form, Network};

/// How one node runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormRow {
    /// Its name.
    pub name: String,
    /// How: `bytes`, `events`, `neurons one by one`, `scalar` or `reals`.
    pub form: &'static str,
    /// Why it is not faster; empty where it is as fast as can be.
    pub reason: &'static str,
}

impl FormRow {
    /// Whether kernels run it.
    pub fn is_fast(&self) -> bool {
        [Form::Bytes, Form::Events].iter().any(|form| form.name() == self.form)
            || self.form == REALS
    }
}

/// In single precision, in prepared form.
const REALS: &str = "reals";

/// The form of each encoder, population, pool and concatenation, in the order of computation.
///
/// # Errors
/// Why the network cannot be run at all.
pub fn forms(graph: &Graph) -> Result<Vec<FormRow>, String> {
    let row = |id: NodeId, form, reason| FormRow { name: graph[id].name.clone(), form, reason };
    let order = graph.order().map_err(|e| e.to_string())?;
    let sends = |&&id: &&NodeId| {
        !matches!(
            graph[id].as_spiking(),
            None | Some(SpikingOp::Projection(_) | SpikingOp::Decoder(_))
        )
    };
    let all = |form: &'static str, reason: &'static str| {
        Ok(order.iter().filter(sends).map(|&id| row(id, form, reason)).collect())
    };
    if graph.is_float() {
        let network = FloatNetwork::new(graph).map_err(|e| e.to_string())?;
        return match network.is_prepared() {
            true => all(REALS, ""),
            false => all(Form::Scalar.name(), "the scalar interpreter was asked for"),
        };
    }
    of(&Network::new(graph).map_err(|e| e.to_string())?)
        .map_or_else(|reason| all(Form::Scalar.name(), reason), Ok)
}

/// The same of a network that is ready to run.
///
/// # Errors
/// Why the scalar interpreter runs all of it, where it does.
pub fn of(network: &Network) -> Result<Vec<FormRow>, &'static str> {
    let row = |f: &snnc_runtime::spiking::NodeForm| {
        let name = network.graph()[f.node].name.clone();
        FormRow { name, form: f.form.name(), reason: f.reason }
    };
    Ok(network.forms()?.iter().map(row).collect())
}

/// Says in the log how each layer runs.
pub fn log(network: &Network) {
    match of(network) {
        Ok(rows) => {
            for FormRow { name, form, reason } in rows {
                tracing::info!(layer = name, form, reason, "runs");
            }
        }
        Err(reason) => tracing::info!(form = Form::Scalar.name(), reason, "the network runs"),
    }
}
