//! Runs networks that spike in single precision, as frameworks train them: f32 throughout.

mod build;
mod convolution;
mod plan;
mod prepared;
mod run;
mod scalar;
mod sent;

use std::collections::HashMap;
use std::sync::OnceLock;

use snnc_ir::{Connectivity, Graph, NodeId, Op, Presentation, SpikingOp};

use super::RunError;
use crate::kernels::{Isa, Kernels};
use prepared::Prepared;
pub use scalar::FloatStream;

/// A network of real neurons made ready to run on any number of samples, on any number of threads at once.
///
/// It is run in prepared form where it has one, which is what almost every network has, else by the
/// scalar interpreter. Both add the terms of every sum in the same order, so that all values are equal
/// and no spike differs.
#[derive(Debug)]
pub struct FloatNetwork {
    graph: Graph,
    order: Vec<NodeId>,
    /// Timesteps by which a node is read late, at most.
    longest: HashMap<NodeId, usize>,
    /// Weights for the scalar interpreter.
    weights: OnceLock<HashMap<NodeId, Vec<f32>>>,
    prepared: Option<Prepared>,
}

/// Is told of every value: node, timestep, what it sends (sums for projections).
pub type FloatObserver<'a> = dyn FnMut(NodeId, usize, &[f32]) + 'a;

/// As [`FloatObserver`], of several samples: the first argument says which.
pub type SampleObserver<'a> = dyn FnMut(usize, NodeId, usize, &[f32]) + 'a;

/// What the first input is given; other inputs are silent.
#[derive(Clone, Copy, Debug)]
enum Given<'a> {
    /// A row for each timestep.
    Rows(&'a [Vec<f32>]),
    /// The same row in so many timesteps.
    Always(&'a [f32], usize),
    /// A row in the first of so many timesteps, then silence.
    Once(&'a [f32], usize),
}

impl<'a> Given<'a> {
    fn timesteps(self) -> usize {
        match self {
            Given::Rows(rows) => rows.len(),
            Given::Always(_, timesteps) | Given::Once(_, timesteps) => timesteps,
        }
    }

    fn row(self, t: usize) -> Option<&'a [f32]> {
        match self {
            Given::Rows(rows) => rows.get(t).map(Vec::as_slice),
            Given::Once(..) if t > 0 => None,
            Given::Always(row, _) | Given::Once(row, _) => Some(row),
        }
    }

    /// Writes what an encoder sends at timestep `t`.
    fn encode(self, t: usize, scale: f32, sent: &mut [f32]) {
        let Some(row) = self.row(t) else { return sent.fill(0.0) };
        for (sent, x) in sent.iter_mut().zip(row) {
            *sent = if scale == 1.0 { *x } else { x / scale };
        }
    }
}

impl FloatNetwork {
    /// Prepares a graph whose populations are all of real neurons, for the kernels that
    /// [`Kernels::chosen`] names.
    ///
    /// # Errors
    /// When it has no order, or a node that cannot be run.
    pub fn new(graph: &Graph) -> Result<FloatNetwork, RunError> {
        FloatNetwork::with_kernels(graph, Kernels::chosen())
    }

    /// As [`FloatNetwork::new`], for these kernels.
    ///
    /// # Errors
    /// As [`FloatNetwork::new`].
    pub fn with_kernels(graph: &Graph, kernels: Kernels) -> Result<FloatNetwork, RunError> {
        let order = graph.order()?;
        let mut longest = HashMap::new();
        for &id in &order {
            let node = &graph[id];
            for operand in graph.operands(id) {
                let most = longest.entry(operand.source).or_insert(0);
                *most = (*most).max(operand.delay as usize);
            }
            let reason = match &node.op {
                Op::Spiking(SpikingOp::Projection(p)) => match &p.connectivity {
                    Connectivity::Convolution { window, .. } if window.rank() > 2 => {
                        Some("convolutions over more than 2 dimensions are not run")
                    }
                    _ => None,
                },
                Op::Spiking(SpikingOp::Population(p)) if !p.neuron.is_real() => {
                    Some("its neurons are not real")
                }
                Op::Spiking(SpikingOp::RunningMaxPool { .. }) => Some("has no float32 form"),
                Op::Tensor(_) => Some("is no part of a spiking network"),
                _ => None,
            };
            if let Some(reason) = reason {
                return Err(RunError::Node { node: node.name.clone(), reason: reason.into() });
            }
        }
        let prepared = Isa::of(kernels).and_then(|isa| Prepared::new(graph, &order, isa));
        let (graph, weights) = (graph.clone(), OnceLock::new());
        Ok(FloatNetwork { graph, order, longest, weights, prepared })
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Whether it is run in prepared form.
    pub fn is_prepared(&self) -> bool {
        self.prepared.is_some()
    }

    /// Begins a run by the scalar interpreter.
    pub fn stream(&self) -> FloatStream<'_> {
        let weights = self.weights.get_or_init(|| {
            let projects = |&id: &NodeId| {
                matches!(self.graph[id].as_spiking(), Some(SpikingOp::Projection(_)))
            };
            let own = |id: NodeId| self.graph[id].data.as_ref().map(|d| d.to_f32());
            let ids = self.order.iter().copied().filter(projects);
            ids.map(|id| (id, own(id).unwrap_or_default())).collect()
        });
        FloatStream::new(self, weights)
    }

    /// Runs `rows`, one for each timestep of the first input, and returns what each output shows.
    ///
    /// # Errors
    /// When a row does not fit the input.
    pub fn run(
        &self,
        rows: &[Vec<f32>],
        observe: &mut FloatObserver<'_>,
    ) -> Result<Vec<Vec<f32>>, RunError> {
        rows.iter().try_for_each(|row| self.check(row))?;
        self.run_given(Given::Rows(rows), observe)
    }

    /// Runs a sample without time for all timesteps of the network, as the input's encoder presents it,
    /// and returns what each output shows.
    ///
    /// # Errors
    /// When the sample does not fit the input.
    pub fn run_sample(
        &self,
        sample: &[f32],
        observe: &mut FloatObserver<'_>,
    ) -> Result<Vec<Vec<f32>>, RunError> {
        self.check(sample)?;
        self.run_given(self.given(sample), observe)
    }

    /// Runs samples as [`FloatNetwork::run_sample`] does, with the same results, and returns what each
    /// output shows of each of them. Weights that lie far away are fetched once for several samples.
    ///
    /// # Errors
    /// When a sample does not fit the input.
    pub fn run_batch<S: AsRef<[f32]>>(
        &self,
        samples: &[S],
        observe: &mut SampleObserver<'_>,
    ) -> Result<Vec<Vec<Vec<f32>>>, RunError> {
        samples.iter().try_for_each(|sample| self.check(sample.as_ref()))?;
        let mut shown = Vec::with_capacity(samples.len());
        for (i, together) in samples.chunks(self.batch()).enumerate() {
            let given: Vec<Given<'_>> = together.iter().map(|s| self.given(s.as_ref())).collect();
            let first = i * self.batch();
            let mut own = |sample: usize, id, t, sent: &[f32]| observe(first + sample, id, t, sent);
            match (&self.prepared, given.as_slice()) {
                (Some(prepared), many) => {
                    let raw = prepared.run(many, &mut own).into_iter();
                    shown.extend(raw.map(|raw| self.decoded(raw)));
                }
                (None, one) => {
                    for &given in one {
                        shown.push(self.run_given(given, &mut |id, t, sent| own(0, id, t, sent))?);
                    }
                }
            }
        }
        Ok(shown)
    }

    /// How many samples [`FloatNetwork::run_batch`] runs at once.
    pub fn batch(&self) -> usize {
        self.prepared.as_ref().map_or(1, Prepared::together)
    }

    fn given<'a>(&self, sample: &'a [f32]) -> Given<'a> {
        let timesteps = self.graph.timing.timesteps;
        match self.presents_once() {
            true => Given::Once(sample, timesteps),
            false => Given::Always(sample, timesteps),
        }
    }

    fn run_given(
        &self,
        given: Given<'_>,
        observe: &mut FloatObserver<'_>,
    ) -> Result<Vec<Vec<f32>>, RunError> {
        if let Some(prepared) = &self.prepared {
            let mut own = |_, id, t, sent: &[f32]| observe(id, t, sent);
            let raw = prepared.run(&[given], &mut own).pop().unwrap_or_default();
            return Ok(self.decoded(raw));
        }
        let mut stream = self.stream();
        let silence = vec![0.0; self.input()];
        for t in 0..given.timesteps() {
            stream.step(given.row(t).unwrap_or(&silence), observe)?;
        }
        Ok(stream.finish())
    }

    /// Sums or last payloads in the units of the outputs.
    fn decoded(&self, mut raw: Vec<Vec<f32>>) -> Vec<Vec<f32>> {
        for (values, id) in raw.iter_mut().zip(self.graph.outputs()) {
            let Some(SpikingOp::Decoder(d)) = self.graph[id].as_spiking() else { continue };
            if d.scale.iter().all(|&s| s == 1.0) {
                continue;
            }
            let each = values.len() / d.scale.len().max(1);
            for (i, v) in values.iter_mut().enumerate() {
                *v *= d.scale.get(i / each.max(1)).copied().unwrap_or(1.0);
            }
        }
        raw
    }

    /// The rows that a sample without time becomes, as the input's encoder presents it.
    pub fn presented(&self, sample: &[f32]) -> Vec<Vec<f32>> {
        let (once, silence) = (self.presents_once(), vec![0.0; sample.len()]);
        let row = |t| if once && t > 0 { silence.clone() } else { sample.to_vec() };
        (0..self.graph.timing.timesteps).map(row).collect()
    }

    fn presents_once(&self) -> bool {
        let encoder = self.graph.inputs().first().and_then(|&id| self.graph[id].as_spiking());
        matches!(encoder, Some(SpikingOp::Encoder(e)) if e.presentation == Presentation::Once)
    }

    /// Neurons of the first input.
    fn input(&self) -> usize {
        self.graph.inputs().first().map_or(0, |&id| self.graph[id].ty.len())
    }

    fn check(&self, row: &[f32]) -> Result<(), RunError> {
        match self.graph.inputs().first() {
            Some(&first) if self.input() != row.len() => Err(RunError::Input {
                node: self.graph[first].name.clone(),
                expected: self.input(),
                found: row.len(),
            }),
            _ => Ok(()),
        }
    }
}
