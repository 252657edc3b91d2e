//! Networks made ready to answer samples.

use std::ops::Range;
use std::path::Path;
use std::time::Instant;

use rayon::prelude::*;
use snnc_backends::LayerMemories;
use snnc_ir::{Graph, NodeId, SpikingOp};
use snnc_runtime::spiking::{Network, Outcome, Sample, encode};
use snnc_runtime::tensor::{Program, Value};

use super::clipping::InputRange;
use super::host::{self, Host, OutputPort};
use super::reference::{Reference, Sent};
use super::{Answer, Evaluation};
use crate::Error;
use crate::certificate::Measured;
use crate::data::{Dataset, Scaling};
use crate::energy::{self, Layer};
use crate::feed::{self, Feed};
use crate::inputs::{self, Cut, Port};
use crate::watch;

/// A network made ready to answer samples.
pub struct Runner {
    pub(super) body: Body,
    /// Shape of one sample.
    pub input_shape: Vec<usize>,
    /// Whether the input takes reals.
    pub takes_reals: bool,
    /// How integer data becomes the input.
    pub scaling: Scaling,
    batched: Vec<usize>,
    /// How a sample is cut into the inputs of a tensor graph.
    cut: Option<Cut>,
    /// The inputs, in the order in which a sample has them.
    ports: Vec<Port>,
    /// Smallest and largest integer that an input of integers takes.
    codes: (i64, i64),
    /// What the input takes without clipping.
    pub(super) range: InputRange,
}

pub(super) enum Body {
    Spiking {
        network: Box<Network>,
        reference: Option<Box<Reference>>,
        memories: Vec<LayerMemories>,
        host: Box<Host>,
    },
    Tensor {
        program: Program,
        layers: Vec<Layer>,
        outputs: Vec<OutputPort>,
        /// The node whose values are the scores, where the first output is a class.
        choice: Option<NodeId>,
    },
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
        // A sample of several inputs is their elements one after the other.
        let input_shape = match network.inputs().as_slice() {
            [_] => network[input].ty.shape.clone(),
            several => vec![several.iter().map(|&id| network[id].ty.len()).sum()],
        };
        let ports = inputs::ports(network);
        let codes = feed::codes(quantised.unwrap_or(network));
        let range = InputRange::of(network);
        let host = Box::new(Host::none(network));
        let network = Box::new(Network::new(network).map_err(Error::network)?);
        crate::forms::log(&network);
        let body = Body::Spiking { network, reference, memories: Vec::new(), host };
        let batched = input_shape.clone();
        let cut = None;
        Ok(Runner { body, batched, input_shape, takes_reals, scaling, cut, ports, codes, range })
    }

    /// With the inputs of a model, some of which may take integers and others reals.
    pub fn with_ports(mut self, ports: Vec<Port>) -> Runner {
        if ports.len() == self.ports.len() {
            self.takes_reals |= ports.iter().any(|port| port.real == Some(true));
            self.ports = ports;
        }
        self
    }

    /// With what the host makes of what a spiking network shows, as
    /// [`Conversion::host`](crate::passes::graded::Conversion::host) has it; without it, outputs are the
    /// scores of decoders.
    ///
    /// # Errors
    /// When `graph` does not fit the network.
    pub fn with_host(mut self, graph: &Graph) -> Result<Runner, Error> {
        if let Body::Spiking { network, host, .. } = &mut self.body {
            **host = Host::new(network.graph(), graph)?;
        }
        Ok(self)
    }

    /// The outputs of the model, in the order of [`Answer::outputs`].
    pub fn outputs(&self) -> &[OutputPort] {
        match &self.body {
            Body::Spiking { host, .. } => &host.outputs,
            Body::Tensor { outputs, .. } => outputs,
        }
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
        if graph.inputs().is_empty() {
            return Err(Error::input("network", "has no input", ""));
        }
        let cut = Cut::of(graph);
        let (batched, takes_reals) = (cut.batched(), cut.takes_reals());
        let input_shape = if batched.len() > 1 { batched[1..].to_vec() } else { batched.clone() };
        let layers = energy::tensor_layers(graph);
        let program = Program::new(graph).map_err(Error::network)?;
        let (outputs, choice) = (OutputPort::all(graph), host::choice(graph));
        let body = Body::Tensor { program, layers, outputs, choice };
        let (ports, cut) = (inputs::ports(graph), Some(cut));
        let (codes, range) = (feed::codes(graph), InputRange::of(graph));
        Ok(Runner { body, input_shape, takes_reals, scaling, batched, cut, ports, codes, range })
    }

    /// Sample `index` as a tensor of shape `batched`.
    pub(super) fn tensor_value(
        &self,
        data: &Dataset,
        index: usize,
        batched: &[usize],
    ) -> Result<Value, Error> {
        let Runner { takes_reals, scaling, codes, .. } = *self;
        let feed = Feed { takes_reals, scaling, codes };
        feed.value(data, index, batched)
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
            Body::Tensor { program, choice, .. } => {
                let input = self.tensor_value(data, index, &self.batched)?;
                let inputs = match &self.cut {
                    Some(cut) => cut.values(input)?,
                    None => vec![input],
                };
                let host::Values { outputs, scores } = host::run(program, &inputs, *choice)?;
                let codes = outputs.first().filter(|value| value.as_i64().is_some()).cloned();
                Ok(Answer {
                    scores,
                    outputs,
                    codes,
                    timesteps: 1,
                    activity: Vec::new(),
                    measured: Vec::new(),
                })
            }
            Body::Spiking { network, reference, host, .. } => {
                let parts = (&**network, &**host, reference.as_deref());
                self.spiking_answer(parts, data, index, wanted, observe)
            }
        }
    }

    /// The inputs as data files name them.
    pub fn ports(&self) -> &[Port] {
        &self.ports
    }

    /// Sample `index` as the inputs of a spiking network take it.
    fn samples(&self, network: &Network, data: &Dataset, index: usize) -> Vec<Sample> {
        let graph = network.graph();
        let lens: Vec<usize> = graph.inputs().iter().map(|&input| graph[input].ty.len()).collect();
        let step: usize = lens.iter().sum();
        if data.shape.iter().product::<usize>() > step {
            // One dimension more: an input in time, of reals through the encoder.
            let encoder = network.graph().inputs().first().and_then(|&id| {
                match network.graph()[id].as_spiking() {
                    Some(SpikingOp::Encoder(e)) if self.takes_reals => Some(e),
                    _ => None,
                }
            });
            if let Some(encoder) = encoder {
                let rows = data.reals(index, self.scaling);
                let rows = rows.chunks(step.max(1)).map(|row| Sample::Real(row.to_vec()));
                return vec![Sample::InTime(rows.map(|row| encode(encoder, &row)).collect())];
            }
            let steps = data.integers(index, self.scaling);
            return vec![Sample::InTime(steps.chunks(step.max(1)).map(<[i64]>::to_vec).collect())];
        }
        fn parts<T: Clone>(mut all: &[T], lens: &[usize]) -> Vec<Vec<T>> {
            let part = |&len: &usize| {
                let (own, rest) = all.split_at(len.min(all.len()));
                all = rest;
                own.to_vec()
            };
            lens.iter().map(part).collect()
        }
        if !self.takes_reals {
            let codes = parts(&data.integers(index, self.scaling), &lens);
            return codes.into_iter().map(Sample::Codes).collect();
        }
        let sample = |(own, port): (Vec<f32>, &Port)| match port.real {
            Some(false) => Sample::Codes(own.iter().map(|x| x.round_ties_even() as i64).collect()),
            _ => Sample::Real(own),
        };
        parts(&data.reals(index, self.scaling), &lens)
            .into_iter()
            .zip(&self.ports)
            .map(sample)
            .collect()
    }

    fn spiking_answer(
        &self,
        (network, host, reference): (&Network, &Host, Option<&Reference>),
        data: &Dataset,
        index: usize,
        wanted: Option<&[NodeId]>,
        observe: &mut dyn FnMut(NodeId, usize, &[i64]),
    ) -> Result<Answer, Error> {
        let samples = &*self.samples(network, data, index);
        let mut sent = Sent::default();
        let compared = reference.map_or_else(Vec::new, Reference::emitted);
        let see = &mut |id: NodeId, t: usize, value: &[i64]| {
            if wanted.is_none_or(|wanted| wanted.contains(&id)) {
                observe(id, t, value);
            }
            if compared.contains(&id) {
                sent.add(id, value);
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
        let outcome = outcome.map_err(Error::network)?;
        let measured = match reference {
            Some(r) => r.compare(samples, &sent, |shape| self.tensor_value(data, index, shape))?,
            None => Vec::new(),
        };
        spiking(network, host, outcome, measured)
    }

    /// Answers some samples at once.
    fn spiking_answers(
        &self,
        (network, host, reference): (&Network, &Host, Option<&Reference>),
        data: &Dataset,
        indices: Range<usize>,
    ) -> Result<Vec<Answer>, Error> {
        let samples: Vec<Vec<Sample>> =
            indices.clone().map(|index| self.samples(network, data, index)).collect();
        let all: Vec<&[Sample]> = samples.iter().map(Vec::as_slice).collect();
        let compared = reference.map_or_else(Vec::new, Reference::emitted);
        let mut sent = vec![Sent::default(); samples.len()];
        let outcomes = network.run_batch(&all, &compared, &mut |i, id, shown| {
            if let Some(reference) = reference {
                reference.see(id, shown, &mut sent[i]);
            }
        });
        let outcomes = outcomes.map_err(Error::network)?.into_iter().zip(indices);
        let answer =
            |((outcome, index), (sample, sent)): ((Outcome, usize), (&Vec<Sample>, &Sent))| {
                let value = |shape: &[usize]| self.tensor_value(data, index, shape);
                let measured = match reference {
                    Some(reference) => reference.compare(sample, sent, value)?,
                    None => Vec::new(),
                };
                spiking(network, host, outcome, measured)
            };
        outcomes.zip(samples.iter().zip(&sent)).map(answer).collect()
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
        let watch = watch::current();
        let check = || watch.iter().for_each(|watch| watch.check());
        let Body::Spiking { network, reference, host, .. } = &self.body else {
            let answer = |i| {
                check();
                self.answer(data, i).inspect(|_| tick())
            };
            return (0..data.len()).into_par_iter().map(answer).collect();
        };
        let share = share(data.len(), network.batch());
        let answers = |first: usize| {
            check();
            let indices = first..data.len().min(first + share);
            let parts = (&**network, &**host, reference.as_deref());
            let answers = self.spiking_answers(parts, data, indices);
            answers.inspect(|answers| answers.iter().for_each(|_| tick()))
        };
        let all: Result<Vec<Vec<Answer>>, Error> =
            (0..data.len()).into_par_iter().step_by(share).map(answers).collect();
        Ok(all?.into_iter().flatten().collect())
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
        check_labels(data, &answers, path)?;
        let summary = self.summary(&answers, data.labels.as_deref(), seconds);
        Ok(Evaluation { clipped: self.clipped(data), ..summary })
    }
}

/// How many of so many samples are run at once: no more than the `batch` that a network likes, and no more
/// than leaves every thread its share.
pub(crate) fn share(samples: usize, batch: usize) -> usize {
    samples.div_ceil(rayon::current_num_threads()).clamp(1, batch)
}

/// That every label is the number of a score.
///
/// # Errors
/// The first sample with another one.
pub(crate) fn check_labels(data: &Dataset, answers: &[Answer], path: &Path) -> Result<(), Error> {
    let classes = answers.first().map_or(0, |a| a.scores.len());
    let labels = data.labels.as_deref().filter(|_| classes > 1).unwrap_or_default();
    let possible = |label: i64| usize::try_from(label).is_ok_and(|l| l < classes);
    let Some(sample) = labels.iter().position(|&label| !possible(label)) else { return Ok(()) };
    let (label, last) = (labels[sample], classes - 1);
    let reason = format!("sample {sample} has label {label}, but scores are from 0 to {last}");
    let help = "number the classes of `y` as the network's scores are";
    Err(Error::input(format!("`{}`", path.display()), reason, help))
}

/// What a spiking network answered.
fn spiking(
    network: &Network,
    host: &Host,
    outcome: Outcome,
    measured: Vec<Measured>,
) -> Result<Answer, Error> {
    let host::Values { outputs, scores } = host.values(&outcome.outputs)?;
    let first = outcome.outputs.into_iter().next().zip(network.graph().outputs().first().copied());
    let codes = first.map(|(output, id)| {
        let shape = [&[1], network.graph()[id].ty.shape.as_slice()].concat();
        Value::from_i64(&shape, output.raw).map_err(Error::network)
    });
    Ok(Answer {
        scores,
        outputs,
        codes: codes.transpose()?,
        timesteps: outcome.timesteps,
        activity: outcome.activity,
        measured,
    })
}
