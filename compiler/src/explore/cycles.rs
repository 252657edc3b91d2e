//! Clocks that a target's hardware spends on samples.

use std::collections::BTreeMap;

use snnc_backends::Clocks;
use snnc_ir::{Graph, NodeId};

use crate::Error;
use crate::data::Dataset;
use crate::evaluate::Runner;

/// Clocks of one sample, mean over the first `samples`.
///
/// # Errors
/// When a sample cannot be run.
pub fn mean_clocks(
    clocks: &dyn Clocks,
    network: &Graph,
    runner: &Runner,
    data: &Dataset,
    samples: usize,
) -> Result<f64, Error> {
    let samples = samples.min(data.len());
    let wanted: Vec<NodeId> =
        network.ids().filter(|&id| clocks.concerns(&network[id].name)).collect();
    let mut total = 0;
    for index in 0..samples {
        let mut spikes: BTreeMap<String, u64> = BTreeMap::new();
        runner.answer_showing(data, index, Some(&wanted), &mut |id, _, payloads| {
            let name = &network[id].name;
            total += clocks.received(name, payloads);
            let sent = payloads.iter().filter(|p| **p != 0).count() as u64;
            *spikes.entry(name.clone()).or_default() += sent;
        })?;
        total += clocks.swept(network.timing.timesteps, &spikes);
    }
    Ok(total as f64 / samples.max(1) as f64)
}
