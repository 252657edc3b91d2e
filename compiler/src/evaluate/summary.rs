//! What answers come to, all together.

use std::collections::BTreeMap;

use snnc_ir::query::{fires, latency};
use snnc_ir::{Graph, NodeId};
use snnc_runtime::spiking::Activity;

use super::runner::Body;
use super::{Answer, Evaluation, LayerRow, Runner, prediction};
use crate::certificate::Measured;
use crate::energy::{self, Counts, Layer, NetworkEnergy, PopulationEnergy, all_profiles};

impl Runner {
    /// The layers as the answers ran them with the populations they end in, and the layers of the
    /// ordinary network.
    fn energy_layers(&self, answers: &[Answer]) -> (Vec<Option<NodeId>>, Vec<Layer>, Vec<Layer>) {
        match &self.body {
            Body::Tensor { layers, .. } => {
                (vec![None; layers.len()], layers.clone(), layers.clone())
            }
            Body::Spiking { network, memories, .. } => {
                let n = answers.len().max(1) as f64;
                let mean = |(id, a): (NodeId, Activity)| {
                    let synaptic_operations = a.synaptic_operations as f64 / n;
                    (id, Counts { spikes: a.spikes as f64 / n, synaptic_operations })
                };
                let counts = totals(answers).into_iter().map(mean).collect();
                let steps = answers.iter().map(|a| a.timesteps as f64).sum::<f64>() / n;
                let graph = network.graph();
                let mut layers = energy::layers_of(graph, &counts, steps);
                energy::lay_out(&mut layers, graph, memories);
                let (ends, layers) = layers.into_iter().map(|(id, l)| (Some(id), l)).unzip();
                (ends, layers, energy::formal_layers(graph))
            }
        }
    }

    /// Sums up answers that took `seconds` to give.
    pub(crate) fn summary(
        &self,
        answers: &[Answer],
        labels: Option<&[i64]>,
        seconds: f64,
    ) -> Evaluation {
        let n = answers.len() as f64;
        // A single score is the largest whatever it is.
        let labels = labels.filter(|_| answers.iter().all(|a| a.scores.len() > 1));
        let within = |top: usize| {
            labels.map(|labels| {
                let hits = answers
                    .iter()
                    .zip(labels)
                    .filter(|(a, label)| ranked(&a.scores, **label, top))
                    .count();
                100.0 * hits as f64 / n
            })
        };
        let (comparisons, graph) = match &self.body {
            Body::Spiking { network, reference, .. } => {
                (reference.as_ref().map(|r| r.comparisons.as_slice()), Some(network.graph()))
            }
            Body::Tensor { .. } => (None, None),
        };
        let measured: Vec<(String, Measured)> = comparisons
            .unwrap_or_default()
            .iter()
            .enumerate()
            .map(|(i, c)| {
                let all = answers.iter().map(|a| a.measured[i]);
                (c.population.clone(), all.fold(Measured::default(), Measured::merged))
            })
            .collect();
        let (ends, layers, formal) = self.energy_layers(answers);
        let energy = all_profiles(&layers);
        let mut per_layer = graph
            .map_or_else(Vec::new, |g| layer_rows(g, answers, &measured, comparisons.is_some()));
        for row in &mut per_layer {
            let id = graph.and_then(|g| g.find(&row.name));
            row.energy = population_energy(&energy, &ends, id);
        }
        let hidden: Vec<&LayerRow> = match graph {
            Some(g) => per_layer
                .iter()
                .filter(|row| g.find(&row.name).is_some_and(|id| fires(g, id)))
                .collect(),
            None => Vec::new(),
        };
        let neurons: usize = hidden.iter().map(|r| r.neurons).sum();
        let spikes: f64 = hidden.iter().map(|r| r.spikes_per_neuron * r.neurons as f64).sum();
        let spikes_per_neuron = if neurons == 0 { 0.0 } else { spikes / neurons as f64 };
        let timesteps = answers.iter().map(|a| a.timesteps).max().unwrap_or(1);
        Evaluation {
            samples: answers.len(),
            top1: within(1),
            top5: within(5),
            clipped: None,
            nan_scores: answers.iter().filter(|a| has_nan(&a.scores)).count(),
            timesteps,
            latency: graph.map_or(1, latency),
            spikes_per_neuron,
            sparsity: spikes_per_neuron / timesteps.max(1) as f64,
            synaptic_operations: per_layer.iter().fold(0.0, |sum, r| sum + r.synaptic_operations),
            energy_nj: by_profile(&energy),
            energy,
            formal_energy_nj: by_profile(&all_profiles(&formal)),
            mismatches_vs_reference: comparisons
                .map(|_| measured.iter().map(|(_, m)| m.differing).sum()),
            activations_compared: comparisons
                .map(|_| measured.iter().map(|(_, m)| m.activations).sum()),
            per_layer,
            seconds,
            samples_per_second: if seconds > 0.0 { n / seconds } else { 0.0 },
            predictions: answers.iter().map(|a| prediction(&a.scores)).collect(),
            measured,
        }
    }
}

/// By profile, the layers that end in one population; nothing for what ends none.
fn population_energy(
    energy: &[NetworkEnergy],
    ends: &[Option<NodeId>],
    population: Option<NodeId>,
) -> BTreeMap<String, PopulationEnergy> {
    let population = population.filter(|&id| ends.contains(&Some(id)));
    let own = |e: &NetworkEnergy| {
        let layers = e.layers.iter().zip(ends).filter(|(_, end)| **end == population);
        layers.fold(PopulationEnergy::default(), |sum, (layer, _)| sum.plus(layer))
    };
    match population {
        Some(_) => energy.iter().map(|e| (e.profile.clone(), own(e))).collect(),
        None => BTreeMap::new(),
    }
}

fn by_profile(energy: &[NetworkEnergy]) -> BTreeMap<String, f64> {
    energy.iter().map(|e| (e.profile.clone(), e.total_nj)).collect()
}

/// Whether `label` is among the `top` best scores, earlier classes first among equals. Scores of which one is
/// NaN have no order: nothing is right then.
fn ranked(scores: &[f32], label: i64, top: usize) -> bool {
    if has_nan(scores) {
        return false;
    }
    let Some(own) = usize::try_from(label).ok().filter(|&l| l < scores.len()) else { return false };
    let better = |i: usize| scores[i] > scores[own] || (scores[i] == scores[own] && i < own);
    (0..scores.len()).filter(|&i| better(i)).count() < top
}

/// Whether there is a score that is no number.
fn has_nan(scores: &[f32]) -> bool {
    scores.iter().any(|s| s.is_nan())
}

/// What each node did in all answers together, in order of computation.
fn totals(answers: &[Answer]) -> Vec<(NodeId, Activity)> {
    let mut totals: Vec<(NodeId, Activity)> = Vec::new();
    for answer in answers {
        for &(id, activity) in &answer.activity {
            match totals.iter_mut().find(|(known, _)| *known == id) {
                Some((_, total)) => {
                    total.spikes += activity.spikes;
                    total.payload += activity.payload;
                    total.synaptic_operations += activity.synaptic_operations;
                }
                None => totals.push((id, activity)),
            }
        }
    }
    totals
}

fn layer_rows(
    graph: &Graph,
    answers: &[Answer],
    measured: &[(String, Measured)],
    compared: bool,
) -> Vec<LayerRow> {
    let n = answers.len().max(1) as f64;
    let steps = answers.iter().map(|a| a.timesteps).sum::<usize>().max(1) as f64;
    let row = |(id, total): (NodeId, Activity)| {
        let node = &graph[id];
        let own = measured.iter().find(|(name, _)| *name == node.name);
        LayerRow {
            name: node.name.clone(),
            neurons: node.ty.len(),
            spikes_per_neuron: total.spikes as f64 / n / node.ty.len().max(1) as f64,
            mean_payload: if total.spikes == 0 {
                0.0
            } else {
                total.payload as f64 / total.spikes as f64
            },
            synaptic_operations: total.synaptic_operations as f64 / n,
            firing_rate: total.spikes as f64 / steps / node.ty.len().max(1) as f64,
            energy: BTreeMap::new(),
            mismatches_vs_reference: own.filter(|_| compared).map(|(_, m)| m.differing),
            mean_error: own.filter(|_| compared).map(|(_, m)| m.mean_error),
            maximum_error: own.filter(|_| compared).map(|(_, m)| m.maximum_error),
            sqnr_db: own.filter(|_| compared).and_then(|(_, m)| m.sqnr_db()),
        }
    };
    totals(answers).into_iter().map(row).collect()
}
