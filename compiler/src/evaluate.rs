//! Running networks on data: answers, accuracy, activity, and the distance to the reference.

mod clipping;
mod host;
mod judge;
mod reference;
mod runner;
mod summary;

use std::collections::BTreeMap;

use serde::Serialize;
use snnc_ir::{Graph, NodeId, TensorOp};
use snnc_runtime::spiking::Activity;
use snnc_runtime::tensor::Value;

use crate::certificate::Measured;
use crate::energy::{NetworkEnergy, PopulationEnergy};

pub(crate) use clipping::text as clipping_text;
pub use host::OutputPort;
pub use judge::Judge;
pub use runner::Runner;
pub(crate) use runner::{check_labels, share};

/// What a network answers to one sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Scores of the classes: the first output, or what it is the largest of.
    pub scores: Vec<f32>,
    /// All outputs of the model, of the types of [`Runner::outputs`].
    pub outputs: Vec<Value>,
    /// Integers that the first decoder read out, or of a first output on integers.
    pub codes: Option<Value>,
    /// Timesteps run.
    pub timesteps: usize,
    /// What each encoder and population did.
    pub activity: Vec<(NodeId, Activity)>,
    /// Distance to the reference, population by population.
    pub measured: Vec<Measured>,
}

/// Index of the largest score, the first of equals; -1 where a score is NaN, which leaves no order.
pub fn prediction(scores: &[f32]) -> i64 {
    if scores.iter().any(|s| s.is_nan()) {
        return -1;
    }
    let mut best = 0;
    for (i, s) in scores.iter().enumerate() {
        if *s > scores[best] {
            best = i;
        }
    }
    best as i64
}

/// What `eval` reports.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluation {
    /// Samples run.
    pub samples: usize,
    /// Share of samples whose best score is that of the label, in percent.
    pub top1: Option<f64>,
    /// Share of samples whose label is among the five best scores, in percent.
    pub top5: Option<f64>,
    /// Samples with a score that is NaN; none of them counts as right.
    pub nan_scores: usize,
    /// Share of the samples' numbers outside the input's range, where there are many.
    pub clipped: Option<f64>,
    /// Timesteps of one sample.
    pub timesteps: usize,
    /// Timesteps from the input to a valid output.
    pub latency: usize,
    /// Mean spikes of a neuron for one sample.
    pub spikes_per_neuron: f64,
    /// Mean spikes per neuron and timestep (ATIF, Castagnetti et al. 2023, equation 20).
    pub sparsity: f64,
    /// Mean weights met by spikes for one sample.
    pub synaptic_operations: f64,
    /// Energy of one sample by profile.
    pub energy_nj: BTreeMap<String, f64>,
    /// The same energy by layer and term, and operations.
    pub energy: Vec<NetworkEnergy>,
    /// Energy of the same layers in an ordinary network, with dense numbers instead of spikes.
    pub formal_energy_nj: BTreeMap<String, f64>,
    /// Activations whose code is not the reference's, all samples; none without a reference.
    pub mismatches_vs_reference: Option<u64>,
    /// Activations compared.
    pub activations_compared: Option<u64>,
    /// One row for each encoder and population.
    pub per_layer: Vec<LayerRow>,
    /// Time taken.
    pub seconds: f64,
    /// Speed.
    pub samples_per_second: f64,
    /// Predictions, in the order of the samples; -1 where a score is NaN.
    #[serde(skip)]
    pub predictions: Vec<i64>,
    /// Distance to the reference by population.
    #[serde(skip)]
    pub measured: Vec<(String, Measured)>,
}

/// One population's part of an evaluation.
#[derive(Clone, Debug, Serialize)]
pub struct LayerRow {
    /// Name.
    pub name: String,
    /// Number of neurons.
    pub neurons: usize,
    /// Mean spikes of a neuron for one sample.
    pub spikes_per_neuron: f64,
    /// Mean magnitude of a spike's payload.
    pub mean_payload: f64,
    /// Mean weights met by its spikes for one sample.
    pub synaptic_operations: f64,
    /// Mean spikes per neuron and timestep (Castagnetti et al. 2023, equation 20, for one layer).
    pub firing_rate: f64,
    /// Energy of one sample by profile, term by term, with the operations it pays for; of the synapses
    /// onto the population and its neurons, so that none stands with an encoder.
    pub energy: BTreeMap<String, PopulationEnergy>,
    /// Activations whose code is not the reference's.
    pub mismatches_vs_reference: Option<u64>,
    /// Mean distance of the codes from the reference's.
    pub mean_error: Option<f64>,
    /// Largest distance of the codes from the reference's.
    pub maximum_error: Option<i64>,
    /// Signal to quantisation noise in dB (equation 8); none where there is no noise.
    pub sqnr_db: Option<f64>,
}

impl Evaluation {
    /// What is likely not what the user wanted: scores that are no numbers, samples far outside the input's
    /// range.
    pub fn warnings(&self) -> Vec<String> {
        let nan = (self.nan_scores > 0).then(|| {
            format!(
                "{} of {} samples have NaN among their scores; none of those counts as right",
                self.nan_scores, self.samples
            )
        });
        nan.into_iter().chain(self.clipped.map(clipping_text)).collect()
    }
}

/// Whether the first input of a tensor graph takes reals.
pub fn takes_reals(graph: &Graph) -> bool {
    let input = graph.ids().find(|&id| matches!(graph[id].as_tensor(), Some(TensorOp::Input)));
    input.is_none_or(|id| graph[id].ty.dtype.is_float())
}
