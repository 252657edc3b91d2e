//! Clocks that a target's hardware spends on samples.

use std::collections::BTreeMap;

use snnc_backends::{Clocks, PipelineClocks};
use snnc_ir::{Graph, NodeId};

use crate::Error;
use crate::data::Dataset;
use crate::evaluate::Runner;

/// Clocks of the first `samples`.
///
/// # Errors
/// When a sample cannot be run.
pub fn pipeline_clocks(
    clocks: &dyn Clocks,
    network: &Graph,
    runner: &Runner,
    data: &Dataset,
    samples: usize,
) -> Result<PipelineClocks, Error> {
    let wanted: Vec<NodeId> =
        network.ids().filter(|&id| clocks.concerns(&network[id].name)).collect();
    let mut all = Vec::new();
    for index in 0..samples.min(data.len()) {
        let mut sent: BTreeMap<String, Vec<Vec<i64>>> = BTreeMap::new();
        runner.answer_showing(data, index, Some(&wanted), &mut |id, _, payloads| {
            sent.entry(network[id].name.clone()).or_default().push(payloads.to_vec());
        })?;
        all.push(sent);
    }
    clocks
        .pipeline(&all)
        .map_err(|reason| Error::input("clocks", reason, "leave out --cycle-samples"))
}

/// Mean clocks from the first word of a sample to its answer.
pub fn mean_latency(clocks: &PipelineClocks) -> f64 {
    let count = clocks.latencies.len().max(1) as f64;
    clocks.latencies.iter().map(|&c| c as f64).sum::<f64>() / count
}
