//! Runs without an end.

use std::collections::HashMap;

use snnc_ir::{BiasPlacement, Graph, Op, Presentation, Schedule, SpikingOp, Timing};

use super::boundary::Sample;
use super::network::Network;
use super::outcome::{Observer, Outcome, RunError};
use super::scalar::Run;
use crate::kernels::Kernels;

/// A run that goes on for as long as there is input: states, spikes on their way and totals are kept
/// from one call to the next, so that the result does not depend on how the input is cut up.
pub struct Stream<'a> {
    run: Run<'a>,
    timesteps: usize,
}

impl Network {
    /// Prepares a graph for input that comes in time and has no end: every encoder presents in each
    /// timestep what that timestep brings, and biases go on being added.
    ///
    /// # Errors
    /// As [`Network::new`], and when the network has a barrier: behind one a neuron fires only once
    /// all input has come.
    pub fn streaming(graph: &Graph) -> Result<Network, RunError> {
        let mut graph = graph.clone();
        let fault = |node: &str, reason: &str| RunError::Node {
            node: node.to_owned(),
            reason: reason.to_owned(),
        };
        if graph.timing.schedule == Schedule::LayerSynchronous {
            return Err(fault("network", "layers that wait for each other cannot run on a stream"));
        }
        graph.timing = Timing { timesteps: usize::MAX, schedule: Schedule::Streaming };
        for id in graph.ids().collect::<Vec<_>>() {
            match &mut graph[id].op {
                Op::Spiking(SpikingOp::Encoder(e)) => e.presentation = Presentation::InTime,
                Op::Spiking(SpikingOp::Population(p))
                    if p.bias_placement == BiasPlacement::AfterLastTimestep
                        && p.bias.iter().any(|&b| b != 0) =>
                {
                    let name = &graph[id].name;
                    return Err(fault(
                        name,
                        "a bias after the last timestep has no place in a stream",
                    ));
                }
                _ => {}
            }
        }
        Network::with_kernels(&graph, Kernels::Scalar)
    }

    /// Begins a run on a network made by [`Network::streaming`].
    pub fn stream(&self) -> Stream<'_> {
        // `streaming` has prepared the scalar interpreter, or failed.
        let scalar = self.scalar().unwrap_or(&self.unwired);
        Stream { run: Run::new(&self.graph, &self.order, scalar), timesteps: 0 }
    }
}

impl Stream<'_> {
    /// Runs one timestep for each row of `payloads`, those of the first input; other inputs are silent.
    ///
    /// # Errors
    /// When a row does not fit the input, or an accumulator leaves its range.
    pub fn advance(
        &mut self,
        payloads: &[Vec<i64>],
        observe: &mut Observer<'_>,
    ) -> Result<(), RunError> {
        let graph = self.run.graph;
        let mut samples = HashMap::new();
        for (i, id) in graph.inputs().into_iter().enumerate() {
            let expected = graph[id].ty.len();
            if i == 0
                && let Some(row) = payloads.iter().find(|row| row.len() != expected)
            {
                let node = graph[id].name.clone();
                return Err(RunError::Input { node, expected, found: row.len() });
            }
            let silence = vec![vec![0; expected]; payloads.len()];
            samples.insert(id, Sample::InTime(if i == 0 { payloads.to_vec() } else { silence }));
        }
        let samples = samples.iter().map(|(id, sample)| (*id, sample)).collect();
        self.run.first = self.timesteps;
        for _ in payloads {
            self.run.timestep(self.timesteps, &samples, observe)?;
            self.timesteps += 1;
        }
        Ok(())
    }

    /// What the run shows after all timesteps so far.
    pub fn finish(self) -> Outcome {
        self.run.outcome(self.timesteps)
    }
}
