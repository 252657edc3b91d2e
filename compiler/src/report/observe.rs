//! What the neurons of a network did on data, neuron by neuron and payload by payload.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use rayon::prelude::*;
use serde::Serialize;
use snnc_ir::{Graph, NodeId, SpikingOp};

use crate::Error;
use crate::data::Dataset;
use crate::evaluate::{Answer, Evaluation, Runner, check_labels};

/// Bars of a histogram of firing rates.
pub const RATE_BINS: usize = 20;

/// What one encoder or population did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    /// Spikes of each neuron, all samples and timesteps.
    spikes: Vec<u64>,
    /// How often each payload other than 0 was sent.
    payloads: BTreeMap<i64, u64>,
}

/// Histograms of one encoder or population.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Histograms {
    /// Its name.
    pub name: String,
    /// Neurons by their mean spikes per timestep: equal bins from 0 to 1, 1 in the last.
    pub rates: Vec<u64>,
    /// Neurons that never fired.
    pub silent: u64,
    /// How often each payload other than 0 was sent, ascending.
    pub payloads: Vec<(i64, u64)>,
}

#[derive(Default)]
struct Gathered {
    answers: Vec<(usize, Answer)>,
    seen: HashMap<NodeId, Seen>,
}

impl Gathered {
    fn see(&mut self, id: NodeId, payloads: &[i64]) {
        let seen = self.seen.entry(id).or_default();
        seen.spikes.resize(payloads.len(), 0);
        for (count, &payload) in seen.spikes.iter_mut().zip(payloads) {
            if payload != 0 {
                *count += 1;
                *seen.payloads.entry(payload).or_default() += 1;
            }
        }
    }

    fn joined(mut self, other: Gathered) -> Gathered {
        self.answers.extend(other.answers);
        for (id, seen) in other.seen {
            let own = self.seen.entry(id).or_default();
            own.spikes.resize(seen.spikes.len().max(own.spikes.len()), 0);
            own.spikes.iter_mut().zip(seen.spikes).for_each(|(a, b)| *a += b);
            for (payload, n) in seen.payloads {
                *own.payloads.entry(payload).or_default() += n;
            }
        }
        self
    }
}

/// Runs all samples as [`Runner::evaluate`] does, and counts what every encoder and firing population
/// of `network` sent; `tick` is called after each sample. The result does not depend on threads.
///
/// # Errors
/// As [`Runner::answers`].
pub fn observe(
    runner: &Runner,
    network: &Graph,
    data: &Dataset,
    path: &Path,
    tick: &(dyn Fn() + Sync),
) -> Result<(Evaluation, Vec<Histograms>), Error> {
    let data = &*data.fitted(&runner.input_shape, path)?;
    let order: Vec<NodeId> =
        network.order().unwrap_or_default().into_iter().filter(|&id| sends(network, id)).collect();
    let start = std::time::Instant::now();
    let sample = |mut all: Gathered, i: usize| -> Result<Gathered, Error> {
        let answer = runner.answer_showing(data, i, Some(&order), &mut |id, _, payloads| {
            all.see(id, payloads);
        })?;
        all.answers.push((i, answer));
        tick();
        Ok(all)
    };
    let gathered = (0..data.len())
        .into_par_iter()
        .try_fold(Gathered::default, sample)
        .try_reduce(Gathered::default, |a, b| Ok(a.joined(b)))?;
    let Gathered { mut answers, mut seen } = gathered;
    answers.sort_by_key(|(i, _)| *i);
    let answers: Vec<Answer> = answers.into_iter().map(|(_, answer)| answer).collect();
    check_labels(data, &answers, path)?;
    let steps: usize = answers.iter().map(|a| a.timesteps).sum();
    let histograms = order
        .iter()
        .map(|&id| histograms(network, id, seen.remove(&id).unwrap_or_default(), steps))
        .collect();
    let seconds = start.elapsed().as_secs_f64();
    let summary = runner.summary(&answers, data.labels.as_deref(), seconds);
    Ok((Evaluation { clipped: runner.clipped(data), ..summary }, histograms))
}

/// Whether a node sends spikes: an encoder, or a population that is no read-out.
fn sends(network: &Graph, id: NodeId) -> bool {
    match network[id].as_spiking() {
        Some(SpikingOp::Encoder(_)) => true,
        Some(SpikingOp::Population(p)) => p.neuron.fires(),
        _ => false,
    }
}

fn histograms(network: &Graph, id: NodeId, seen: Seen, steps: usize) -> Histograms {
    let mut rates = vec![0; RATE_BINS];
    for &spikes in &seen.spikes {
        let rate = spikes as f64 / steps.max(1) as f64;
        let bin = ((rate * RATE_BINS as f64) as usize).min(RATE_BINS - 1);
        if let Some(count) = rates.get_mut(bin) {
            *count += 1;
        }
    }
    Histograms {
        name: network[id].name.clone(),
        rates,
        silent: seen.spikes.iter().filter(|&&n| n == 0).count() as u64,
        payloads: seen.payloads.into_iter().collect(),
    }
}
