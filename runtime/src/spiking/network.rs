//! A network made ready to run, and its runs.

use std::collections::HashMap;
use std::sync::OnceLock;

use snnc_ir::{Graph, NodeId, Schedule};

use super::boundary::Sample;
use super::outcome::{Observer, Outcome, RunError, StateObserver};
use super::prepared::{BatchObserver, Form, NodeForm, Prepared, Shown};
use super::scalar::{Run, Scalar};
use crate::kernels::{Isa, Kernels};

/// A spiking graph made ready to run on any number of samples, on any number of threads at once.
///
/// Where bytes and 32-bit sums carry a network exactly it is run in prepared form, bit for bit as the
/// scalar interpreter would; every other network is run by that.
#[derive(Debug)]
pub struct Network {
    pub(super) graph: Graph,
    pub(super) order: Vec<NodeId>,
    prepared: Result<Box<Prepared>, &'static str>,
    scalar: OnceLock<Result<Scalar, RunError>>,
    pub(super) unwired: Scalar,
}

/// Timesteps without input after which a network that should settle is given up.
const SETTLING_LIMIT: usize = 100_000;

impl Network {
    /// Prepares a graph for the kernels that [`Kernels::chosen`] names.
    ///
    /// # Errors
    /// When it has no order, or a node that cannot be run.
    pub fn new(graph: &Graph) -> Result<Network, RunError> {
        Network::with_kernels(graph, Kernels::chosen())
    }

    /// Prepares a graph.
    ///
    /// # Errors
    /// When it has no order, or a node that cannot be run.
    pub fn with_kernels(graph: &Graph, kernels: Kernels) -> Result<Network, RunError> {
        let order = graph.order()?;
        if graph.is_float() {
            let reason = "its neurons are in float32, not in integers".to_owned();
            return Err(RunError::Node { node: graph.name.clone(), reason });
        }
        let isa = Isa::of(kernels).ok_or("the scalar interpreter was asked for");
        let prepared = isa.and_then(|isa| Prepared::new(graph, &order, isa)).map(Box::new);
        let network = Network {
            graph: graph.clone(),
            order,
            prepared,
            scalar: OnceLock::new(),
            unwired: Scalar::default(),
        };
        if network.prepared.is_err() {
            network.scalar()?;
        }
        Ok(network)
    }

    /// Whether it is run in prepared form, no node of it by the scalar interpreter.
    pub fn is_prepared(&self) -> bool {
        let scalar = |forms: &[NodeForm]| forms.iter().any(|f| f.form == Form::Scalar);
        self.forms().is_ok_and(|forms| !scalar(forms))
    }

    /// How each node runs, in the order of computation; why the network is run by the scalar interpreter as a
    /// whole, where it is.
    ///
    /// # Errors
    /// In that case.
    pub fn forms(&self) -> Result<&[NodeForm], &'static str> {
        self.prepared.as_ref().map(|p| p.forms()).map_err(|why| *why)
    }

    pub(super) fn scalar(&self) -> Result<&Scalar, RunError> {
        let scalar = self.scalar.get_or_init(|| Scalar::new(&self.graph, &self.order));
        scalar.as_ref().map_err(Clone::clone)
    }

    fn check(&self, samples: &[Sample]) -> Result<(), RunError> {
        for (i, id) in self.graph.inputs().into_iter().enumerate() {
            let expected = self.graph[id].ty.len();
            let found = samples.get(i).map_or(0, Sample::len);
            if found != expected {
                return Err(RunError::Input { node: self.graph[id].name.clone(), expected, found });
            }
        }
        Ok(())
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Runs one sample, one [`Sample`] for each input in the order of [`Graph::inputs`].
    ///
    /// # Errors
    /// When the samples do not fit, or an accumulator leaves a range that it must not leave.
    pub fn run(&self, samples: &[Sample]) -> Result<Outcome, RunError> {
        self.run_showing(samples, &[], &mut |_, _, _| {})
    }

    /// Runs one sample and shows the values of the nodes of `wanted` to `observe`, each node's in the
    /// order of its timesteps.
    ///
    /// # Errors
    /// As [`Network::run`].
    pub fn run_showing(
        &self,
        samples: &[Sample],
        wanted: &[NodeId],
        observe: &mut Observer<'_>,
    ) -> Result<Outcome, RunError> {
        if self.shows(wanted) {
            let mut payloads = Vec::new();
            let outcomes = self.run_batch(&[samples], wanted, &mut |_, id, shown| {
                for t in 0..shown.timesteps() {
                    shown.payloads(t, &mut payloads);
                    observe(id, t, &payloads);
                }
            })?;
            if let Some(outcome) = outcomes.into_iter().next() {
                return Ok(outcome);
            }
        }
        self.run_with(samples, &mut |id, t, value| {
            if wanted.contains(&id) {
                observe(id, t, value);
            }
        })
    }

    /// Whether the prepared form can show all of these nodes.
    fn shows(&self, wanted: &[NodeId]) -> bool {
        self.prepared.as_ref().is_ok_and(|p| wanted.iter().all(|&id| p.shows(id)))
    }

    /// Samples that [`Network::run_batch`] is best given at once.
    pub fn batch(&self) -> usize {
        self.prepared.as_ref().map_or(1, |p| p.group())
    }

    /// Runs samples, each as [`Network::run`] would, and shows what the nodes of `wanted` sent to
    /// `observe`, sample by sample. In prepared form samples share what is read of the weights.
    ///
    /// # Errors
    /// As [`Network::run`], for the first sample that cannot be run.
    pub fn run_batch(
        &self,
        samples: &[&[Sample]],
        wanted: &[NodeId],
        observe: &mut BatchObserver<'_>,
    ) -> Result<Vec<Outcome>, RunError> {
        let mut outcomes = Vec::new();
        if let Ok(prepared) = &self.prepared
            && self.shows(wanted)
        {
            samples.iter().try_for_each(|own| self.check(own))?;
            outcomes = prepared.run(&self.graph, samples, wanted, observe);
        }
        // What is left has an accumulator that may leave its range, or no prepared form.
        for (i, own) in samples.iter().enumerate().skip(outcomes.len()) {
            let mut sent: Vec<Vec<Vec<i64>>> = vec![Vec::new(); wanted.len()];
            outcomes.push(self.run_with(own, &mut |id, _, value| {
                if let Some(place) = wanted.iter().position(|&w| w == id) {
                    sent[place].push(value.to_vec());
                }
            })?);
            for (&id, values) in wanted.iter().zip(&sent) {
                observe(i, id, Shown::integers(values));
            }
        }
        Ok(outcomes)
    }

    /// Runs one sample by the scalar interpreter and shows every value to `observe`.
    ///
    /// # Errors
    /// As [`Network::run`].
    pub fn run_with(
        &self,
        samples: &[Sample],
        observe: &mut Observer<'_>,
    ) -> Result<Outcome, RunError> {
        self.run_with_states(samples, observe, &mut |_, _, _| {})
    }

    /// Runs one sample by the scalar interpreter, shows every value to `observe` and the state of every population at the end
    /// of each timestep to `states`; where the schedule is layer-synchronous, of the last one only.
    ///
    /// # Errors
    /// As [`Network::run`].
    pub fn run_with_states(
        &self,
        samples: &[Sample],
        observe: &mut Observer<'_>,
        states: &mut StateObserver<'_>,
    ) -> Result<Outcome, RunError> {
        let inputs = self.graph.inputs();
        self.check(samples)?;
        let mut run = Run::new(&self.graph, &self.order, self.scalar()?);
        let samples: HashMap<NodeId, &Sample> = inputs.into_iter().zip(samples).collect();
        let timesteps = self.graph.timing.timesteps;
        let mut last = timesteps;
        match self.graph.timing.schedule {
            Schedule::LayerSynchronous => {
                run.layer_synchronous(&samples, observe)?;
                run.show_states(timesteps.saturating_sub(1), states);
            }
            Schedule::Streaming => {
                for t in 0..timesteps {
                    run.timestep(t, &samples, observe)?;
                    run.show_states(t, states);
                }
            }
            Schedule::UntilSettled => {
                let mut t = 0;
                while run.timestep(t, &samples, observe)? || t < timesteps {
                    run.show_states(t, states);
                    t += 1;
                    if t > timesteps + SETTLING_LIMIT {
                        return Err(RunError::Unsettled(t));
                    }
                }
                last = t;
            }
        }
        Ok(run.outcome(last))
    }
}
