//! `mapping.yaml`: what the network asks of a chip, layer by layer.

use serde::Serialize;
use snnc_ir::{Graph, Node, Op, SpikingOp};

use crate::EmitError;

/// The whole file.
#[derive(Serialize)]
struct Mapping<'a> {
    format: u32,
    timesteps: usize,
    latency: usize,
    layers: Vec<Row<'a>>,
}

/// One population.
#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    shape: &'a [usize],
    neurons: usize,
    /// Weights as the file holds them.
    weights: usize,
    /// Largest magnitude of a weight.
    largest_weight: i64,
}

/// Writes the file.
///
/// # Errors
/// When the graph has no order.
pub(super) fn write(graph: &Graph) -> Result<String, EmitError> {
    let container = |reason: String| EmitError::Container(reason);
    let order = graph.order().map_err(|e| container(e.to_string()))?;
    let mut layers = Vec::new();
    let mut latency = 0;
    for id in order {
        let node = &graph[id];
        let Op::Spiking(SpikingOp::Population(_)) = &node.op else { continue };
        let synapses: Vec<&Node> =
            graph.sources(id).into_iter().map(|s| &graph[s]).filter(|s| s.data.is_some()).collect();
        latency += usize::from(!synapses.is_empty());
        let weights = synapses.iter().filter_map(|s| s.data.as_ref());
        let largest = weights.clone().filter_map(|w| w.to_i64().ok()).flatten().map(i64::abs).max();
        layers.push(Row {
            name: &node.name,
            shape: &node.ty.shape,
            neurons: node.ty.len(),
            weights: weights.map(|w| w.len()).sum(),
            largest_weight: largest.unwrap_or(0),
        });
    }
    let mapping = Mapping { format: 1, timesteps: graph.timing.timesteps, latency, layers };
    serde_yaml::to_string(&mapping).map_err(|e| container(e.to_string()))
}
