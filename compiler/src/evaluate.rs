//! Running networks on data: answers, accuracy, activity, and the distance to the reference.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Instant;

use rayon::prelude::*;
use serde::Serialize;
use snnc_backends::LayerMemories;
use snnc_ir::{Graph, Neuron, NodeId, Op, Schedule, SpikingOp, TensorOp};
use snnc_runtime::spiking::{Activity, Network, Sample};
use snnc_runtime::tensor::{Program, Value};

use crate::certificate::{Comparison, Measured, Verdict, certify, compare_sample};
use crate::data::{Dataset, Scaling};
use crate::energy::{self, Counts, Layer, NetworkEnergy, PopulationEnergy, all_profiles};
use crate::passes::graded;
use crate::{Error, Problem};

/// A network made ready to answer samples.
pub struct Runner {
    body: Body,
    /// Shape of one sample.
    pub input_shape: Vec<usize>,
    /// Whether the input takes reals.
    pub takes_reals: bool,
    /// How integer data becomes the input.
    pub scaling: Scaling,
    batched: Vec<usize>,
}

enum Body {
    Spiking {
        network: Box<Network>,
        reference: Option<Box<Reference>>,
        memories: Vec<LayerMemories>,
    },
    Tensor {
        program: Program,
        layers: Vec<Layer>,
    },
}

/// The quantised network beside the emitted one.
struct Reference {
    comparisons: Vec<Comparison>,
    way: Way,
}

/// How the quantised network's codes are computed.
enum Way {
    /// By the quantised network itself: shape of its input, nodes whose values are compared.
    Codes { program: Program, batched: Vec<usize>, values: Vec<NodeId> },
    /// By its graded network in prepared form, where the certificate proves both equal for all inputs:
    /// the node, and the code of payload 0, of each comparison.
    Graded { network: Box<Network>, values: Vec<(NodeId, i64)> },
}

impl Reference {
    fn new(graph: &Graph, emitted: &Graph) -> Result<Reference, Error> {
        let conversion = graded::convert(graph)?;
        let comparisons = Comparison::all(graph, &conversion, emitted);
        let network = Network::new(&conversion.network).map_err(run_fault)?;
        let proved = || certify(graph, &conversion, &conversion.network).verdict == Verdict::Proved;
        if network.is_prepared() && proved() {
            let value = |c: &Comparison| {
                let same = |(_, reference): &&(NodeId, NodeId)| *reference == c.reference;
                let (node, _) = conversion.correspondence.iter().find(same)?;
                Some((*node, graph[c.reference].ty.quantisation.as_ref()?.zero_at(0)))
            };
            if let Some(values) = comparisons.iter().map(value).collect() {
                let way = Way::Graded { network: Box::new(network), values };
                return Ok(Reference { comparisons, way });
            }
        }
        let batched = graph.inputs().first().map(|&i| graph[i].ty.shape.clone());
        let way = Way::Codes {
            program: Program::new(graph).map_err(run_fault)?,
            batched: batched.unwrap_or_default(),
            values: comparisons.iter().map(|c| c.reference).collect(),
        };
        Ok(Reference { comparisons, way })
    }

    /// The codes of one sample; `value` gives it as an input of that shape.
    fn codes(
        &self,
        sample: &Sample,
        value: impl Fn(&[usize]) -> Result<Value, Error>,
    ) -> Result<HashMap<NodeId, Vec<i64>>, Error> {
        let mut codes = HashMap::new();
        match &self.way {
            Way::Codes { program, batched, values } => {
                let keep = &mut |id: NodeId, value: &Value| {
                    if values.contains(&id)
                        && let Some(v) = value.as_i64()
                    {
                        codes.insert(id, v.to_vec());
                    }
                };
                program.run_with(&[value(batched)?], keep).map_err(run_fault)?;
            }
            Way::Graded { network, values } => {
                let wanted: Vec<NodeId> = values.iter().map(|(id, _)| *id).collect();
                let keep = &mut |id: NodeId, _, payloads: &[i64]| {
                    for (c, &(node, zero)) in self.comparisons.iter().zip(values) {
                        if node == id {
                            let own = payloads.iter().map(|p| p + zero).collect();
                            codes.insert(c.reference, own);
                        }
                    }
                };
                network
                    .run_showing(std::slice::from_ref(sample), &wanted, keep)
                    .map_err(run_fault)?;
            }
        }
        Ok(codes)
    }
}

/// What a network answers to one sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Decoded scores of the first output.
    pub scores: Vec<f32>,
    /// Integers behind them; empty for a network on reals.
    pub codes: Vec<i64>,
    /// Shape of the scores.
    pub shape: Vec<usize>,
    /// Timesteps run.
    pub timesteps: usize,
    /// What each encoder and population did.
    pub activity: Vec<(NodeId, Activity)>,
    /// Distance to the reference, population by population.
    pub measured: Vec<Measured>,
}

/// Index of the largest score, the first of equals.
pub fn prediction(scores: &[f32]) -> usize {
    let mut best = 0;
    for (i, s) in scores.iter().enumerate() {
        if *s > scores[best] {
            best = i;
        }
    }
    best
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
    /// Predictions, in the order of the samples.
    #[serde(skip)]
    pub predictions: Vec<usize>,
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

fn run_fault(e: impl std::fmt::Display) -> Error {
    Error::Input(vec![Problem::new("network", e.to_string(), "")])
}

impl Runner {
    /// For a spiking network; with `quantised`, the network from which it came, codes are compared.
    ///
    /// # Errors
    /// When one of the networks cannot be run.
    pub fn spiking(
        network: &Graph,
        quantised: Option<&Graph>,
        takes_reals: bool,
        scaling: Scaling,
    ) -> Result<Runner, Error> {
        let Some(&input) = network.inputs().first() else {
            return Err(Error::input("network", "has no input", ""));
        };
        let reference = match quantised {
            Some(graph) => Some(Box::new(Reference::new(graph, network)?)),
            None => None,
        };
        let input_shape = network[input].ty.shape.clone();
        let network = Network::new(network).map_err(run_fault)?;
        let body = Body::Spiking { network: Box::new(network), reference, memories: Vec::new() };
        Ok(Runner { body, batched: input_shape.clone(), input_shape, takes_reals, scaling })
    }

    /// With the memories of a device, by which the profile `hardware` reckons energy.
    pub fn with_memories(mut self, laid_out: Vec<LayerMemories>) -> Runner {
        if let Body::Spiking { memories, .. } = &mut self.body {
            *memories = laid_out;
        }
        self
    }

    /// For a network of a tensor stage.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn tensor(graph: &Graph, scaling: Scaling) -> Result<Runner, Error> {
        let Some(&input) = graph.inputs().first() else {
            return Err(Error::input("network", "has no input", ""));
        };
        let ty = &graph[input].ty;
        let (batched, takes_reals) = (ty.shape.clone(), ty.dtype.is_float());
        let input_shape = if batched.len() > 1 { batched[1..].to_vec() } else { batched.clone() };
        let layers = energy::tensor_layers(graph);
        let body = Body::Tensor { program: Program::new(graph).map_err(run_fault)?, layers };
        Ok(Runner { body, input_shape, takes_reals, scaling, batched })
    }

    fn tensor_value(
        &self,
        data: &Dataset,
        index: usize,
        batched: &[usize],
    ) -> Result<Value, Error> {
        if self.takes_reals {
            Value::from_f32(batched, data.reals(index, self.scaling)).map_err(run_fault)
        } else {
            Value::from_i64(batched, data.integers(index, self.scaling)).map_err(run_fault)
        }
    }

    /// Answers sample `index`.
    ///
    /// # Errors
    /// When the sample does not fit, or an accumulator overflows.
    pub fn answer(&self, data: &Dataset, index: usize) -> Result<Answer, Error> {
        self.answer_showing(data, index, Some(&[]), &mut |_, _, _| {})
    }

    /// Answers sample `index`, showing the values of the nodes of `wanted` of a spiking network to
    /// `observe`, each node's in the order of its timesteps; with `None` those of all nodes, which takes
    /// the scalar interpreter.
    ///
    /// # Errors
    /// As [`Runner::answer`].
    pub fn answer_showing(
        &self,
        data: &Dataset,
        index: usize,
        wanted: Option<&[NodeId]>,
        observe: &mut dyn FnMut(NodeId, usize, &[i64]),
    ) -> Result<Answer, Error> {
        match &self.body {
            Body::Tensor { program, .. } => {
                let outcome = program
                    .run(&[self.tensor_value(data, index, &self.batched)?])
                    .map_err(run_fault)?;
                let Some(value) = outcome.first() else {
                    return Err(run_fault("there is no output"));
                };
                let codes = value.as_i64().map(<[i64]>::to_vec).unwrap_or_default();
                Ok(Answer {
                    scores: value.to_f32(),
                    codes,
                    shape: value.shape().to_vec(),
                    timesteps: 1,
                    activity: Vec::new(),
                    measured: Vec::new(),
                })
            }
            Body::Spiking { network, reference, .. } => {
                let reference = reference.as_deref();
                self.spiking_answer(network, reference, data, index, wanted, observe)
            }
        }
    }

    fn spiking_answer(
        &self,
        network: &Network,
        reference: Option<&Reference>,
        data: &Dataset,
        index: usize,
        wanted: Option<&[NodeId]>,
        observe: &mut dyn FnMut(NodeId, usize, &[i64]),
    ) -> Result<Answer, Error> {
        let step: usize =
            network.graph().inputs().first().map_or(0, |&input| network.graph()[input].ty.len());
        let sample = if data.shape.iter().product::<usize>() > step {
            // One dimension more: an input in time.
            let steps = data.integers(index, self.scaling);
            Sample::InTime(steps.chunks(step.max(1)).map(<[i64]>::to_vec).collect())
        } else if self.takes_reals {
            Sample::Real(data.reals(index, self.scaling))
        } else {
            Sample::Codes(data.integers(index, self.scaling))
        };
        let mut payloads: HashMap<NodeId, Vec<i64>> = HashMap::new();
        let compared: Vec<NodeId> =
            reference.iter().flat_map(|r| r.comparisons.iter().map(|c| c.emitted)).collect();
        let samples = std::slice::from_ref(&sample);
        let see = &mut |id: NodeId, t: usize, value: &[i64]| {
            if wanted.is_none_or(|wanted| wanted.contains(&id)) {
                observe(id, t, value);
            }
            if compared.contains(&id) {
                match payloads.entry(id) {
                    Entry::Vacant(entry) => drop(entry.insert(value.to_vec())),
                    Entry::Occupied(mut entry) => {
                        entry.get_mut().iter_mut().zip(value).for_each(|(s, v)| *s += v);
                    }
                }
            }
        };
        let outcome = match wanted {
            None => network.run_with(samples, see),
            Some(wanted) => {
                let mut shown = compared.clone();
                shown.extend(wanted.iter().filter(|id| !compared.contains(id)));
                network.run_showing(samples, &shown, see)
            }
        };
        let outcome = outcome.map_err(run_fault)?;
        let measured = match reference {
            Some(r) => {
                let codes = r.codes(&sample, |shape| self.tensor_value(data, index, shape))?;
                compare_sample(&r.comparisons, &codes, &payloads)
            }
            None => Vec::new(),
        };
        let Some(output) = outcome.outputs.into_iter().next() else {
            return Err(run_fault("there is no output"));
        };
        let shape = network.graph().outputs().first().map(|&o| network.graph()[o].ty.shape.clone());
        Ok(Answer {
            scores: output.scores,
            codes: output.raw,
            shape: shape.unwrap_or_default(),
            timesteps: outcome.timesteps,
            activity: outcome.activity,
            measured,
        })
    }

    /// Answers all samples, on as many threads as rayon has; the order is that of the samples.
    ///
    /// # Errors
    /// The first sample's that cannot be run.
    pub fn answers(&self, data: &Dataset, path: &Path) -> Result<Vec<Answer>, Error> {
        self.answers_with(data, path, &|| {})
    }

    /// As [`Runner::answers`]; `tick` is called after each sample.
    ///
    /// # Errors
    /// As [`Runner::answers`].
    pub fn answers_with(
        &self,
        data: &Dataset,
        path: &Path,
        tick: &(dyn Fn() + Sync),
    ) -> Result<Vec<Answer>, Error> {
        let data = &*data.fitted(&self.input_shape, path)?;
        let answer = |i| self.answer(data, i).inspect(|_| tick());
        (0..data.len()).into_par_iter().map(answer).collect()
    }

    /// Runs all samples and sums up.
    ///
    /// # Errors
    /// As [`Runner::answers`].
    pub fn evaluate(&self, data: &Dataset, path: &Path) -> Result<Evaluation, Error> {
        self.evaluate_with(data, path, &|| {})
    }

    /// As [`Runner::evaluate`]; `tick` is called after each sample.
    ///
    /// # Errors
    /// As [`Runner::answers`].
    pub fn evaluate_with(
        &self,
        data: &Dataset,
        path: &Path,
        tick: &(dyn Fn() + Sync),
    ) -> Result<Evaluation, Error> {
        let start = Instant::now();
        let answers = self.answers_with(data, path, tick)?;
        let seconds = start.elapsed().as_secs_f64();
        Ok(self.summary(&answers, data.labels.as_deref(), seconds))
    }

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

/// Whether `label` is among the `top` best scores, earlier classes first among equals.
fn ranked(scores: &[f32], label: i64, top: usize) -> bool {
    let Some(own) = usize::try_from(label).ok().filter(|&l| l < scores.len()) else { return false };
    let better = |i: usize| scores[i] > scores[own] || (scores[i] == scores[own] && i < own);
    (0..scores.len()).filter(|&i| better(i)).count() < top
}

fn fires(graph: &Graph, id: NodeId) -> bool {
    matches!(&graph[id].op, Op::Spiking(SpikingOp::Population(p)) if !matches!(p.neuron, Neuron::Accumulate))
}

/// Timesteps from the input to a valid output.
pub fn latency(graph: &Graph) -> usize {
    match graph.timing.schedule {
        Schedule::Streaming | Schedule::UntilSettled => graph.timing.timesteps,
        Schedule::LayerSynchronous => {
            let mut depth: HashMap<NodeId, usize> = HashMap::new();
            for id in graph.order().unwrap_or_default() {
                let before = graph.sources(id).iter().map(|s| depth[s]).max().unwrap_or(0);
                depth.insert(id, before + usize::from(fires(graph, id)));
            }
            graph.timing.timesteps * (depth.values().copied().max().unwrap_or(0) + 1)
        }
    }
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

/// Whether the first input of a tensor graph takes reals.
pub fn takes_reals(graph: &Graph) -> bool {
    let input = graph.ids().find(|&id| matches!(graph[id].as_tensor(), Some(TensorOp::Input)));
    input.is_none_or(|id| graph[id].ty.dtype.is_float())
}
