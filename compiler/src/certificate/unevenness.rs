//! How much of a streaming network's error comes from currents that are not constant.

use std::collections::HashMap;

use snnc_ir::{Graph, IntegrateAndFire, NodeId, PerChannel, SpikingOp};
use snnc_runtime::spiking::{Network, RunError, Sample};

use super::frame;

/// For each population with a constant threshold, a soft reset and no negative spikes: the mean distance,
/// over samples and neurons, between the spikes it sent and those it would have sent had all that
/// reached it come as a constant current (`clamp(floor((V0 + sum) / threshold))`, Castagnetti et al. 2023,
/// equation 7). 0 for a first layer with a constant input.
///
/// # Errors
/// When a sample does not fit the network, or an accumulator overflows.
pub fn unevenness(network: &Graph, samples: &[Sample]) -> Result<Vec<(String, f64)>, RunError> {
    let runnable = Network::new(network)?;
    let populations: Vec<NodeId> =
        network.order()?.into_iter().filter(|&id| plain(network, id)).collect();
    let mut totals: HashMap<NodeId, f64> = HashMap::new();
    for sample in samples {
        let mut sums: HashMap<NodeId, Vec<i64>> = HashMap::new();
        runnable.run_with(std::slice::from_ref(sample), &mut |id, _, value| {
            let sum = sums.entry(id).or_insert_with(|| vec![0; value.len()]);
            sum.iter_mut().zip(value).for_each(|(s, v)| *s += v);
        })?;
        for &id in &populations {
            *totals.entry(id).or_default() += distance(network, id, &sums);
        }
    }
    let count = samples.len().max(1) as f64;
    let row = |id: NodeId| {
        let total = totals.get(&id).copied().unwrap_or(0.0);
        (network[id].name.clone(), total / count / network[id].ty.len().max(1) as f64)
    };
    Ok(populations.into_iter().map(row).collect())
}

fn plain(network: &Graph, id: NodeId) -> bool {
    match network[id].as_spiking() {
        Some(SpikingOp::Population(p)) => {
            let plain = |n: &IntegrateAndFire| n.signed_limit.is_none() && frame::is_plain(n);
            p.neuron.get().is_some_and(plain)
        }
        _ => false,
    }
}

/// Sum over the neurons of one sample.
fn distance(network: &Graph, id: NodeId, sums: &HashMap<NodeId, Vec<i64>>) -> f64 {
    let Some(SpikingOp::Population(p)) = network[id].as_spiking() else { return 0.0 };
    let Some(n) = p.neuron.get::<IntegrateAndFire>() else { return 0.0 };
    let Some(sent) = sums.get(&id) else { return 0.0 };
    let channels = network[id].ty.shape.first().copied().unwrap_or(1).max(1);
    let plane = (sent.len() / channels).max(1);
    let most = n.maximum.saturating_mul(network.timing.timesteps as i64);
    let ports: Vec<&Vec<i64>> = network.sources(id).iter().filter_map(|s| sums.get(s)).collect();
    let one = |(i, &sent): (usize, &i64)| {
        let channel = i / plane;
        let brought: i64 = ports.iter().map(|p| p[i]).sum();
        let start = *PerChannel::of(&n.initial).at(channel);
        let total = brought + start + frame::bias(network, p, channel);
        (total.div_euclid(n.threshold.at(channel, 0)).clamp(0, most) - sent).abs() as f64
    };
    sent.iter().enumerate().map(one).sum()
}
